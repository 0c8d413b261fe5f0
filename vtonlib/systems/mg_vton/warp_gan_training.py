"""Training Warp-GAN and its critic on triplets, on top of the frozen networks that draw the parse and bend the garment.

Source: Dong et al. 2019 (MG-VTON), sections 3.2 and 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vtonlib.features import load_features
from vtonlib.metrics import l1, masked_l1, ssim
from vtonlib.sample import TryOnSample
from vtonlib.systems.memory import NO_AUGMENTATION, Augmentation
from vtonlib.systems.mg_vton.networks import Frozen, about_stages, load_frozen
from vtonlib.systems.mg_vton.synthesis import dress, painter_batch, worn_mask
from vtonlib.systems.mg_vton.triplet_training import Stage, Work, check_recipe, check_share, train_on_triplets
from vtonlib.systems.mg_vton.triplets import target_of
from vtonlib.systems.mg_vton.warp_gan import (
    WARP_GAN_COURSE,
    WARP_GAN_PAPER,
    WarpGAN,
    WarpGANConfig,
    warp_gan_critic,
    warp_gan_critic_terms,
    warp_gan_terms,
)
from vtonlib.systems.runs import two_stages
from vtonlib.training import Critic, TrainConfig

NEEDS = ("parsing", "gmm", "matcher")


@dataclass(frozen=True, kw_only=True)
class WarpGANRecipe:
    """How Warp-GAN is trained: at one size after the other.

    *_weight: of the terms, see `warp_gan_terms`; without the adversarial and the matching one there is no critic.
    critic_lr: its learning rate, as a share of the generator's. features: network of the perceptual loss.
    drawn: share of the samples whose parse is the drawn one; for the others it is the true one, which fits the target
    to the pixel. made_with: folder of the frozen networks, None for the course's.
    Raises ValueError for weights below 0 or all 0, a share beyond 0 to 1, or other numbers of sizes and stages.
    """

    sizes: tuple[tuple[int, int], ...] = ((128, 96), (256, 192))
    stages: tuple[TrainConfig, ...]
    network: WarpGANConfig = WARP_GAN_COURSE
    augmentation: Augmentation = field(default_factory=Augmentation)
    l1_weight: float = 1.0
    perceptual_weight: float = 1.0
    adversarial_weight: float = 0.02
    matching_weight: float = 0.2
    critic_lr: float = 0.5
    features: str = "course"
    drawn: float = 0.5
    made_with: str | None = None

    def __post_init__(self) -> None:
        check_recipe(self, **self.weights)
        check_share(self, "drawn")

    @property
    def weights(self) -> dict[str, float]:
        """Of the terms, by their names."""
        names = ("l1", "perceptual", "adversarial", "matching")
        return {name: getattr(self, f"{name}_weight") for name in names}


_stages = partial(two_stages, beta=0.5, slower=2, ema_decay=0.995)

RECIPES = {
    "smoke": WarpGANRecipe(
        sizes=((64, 48), (128, 96)), stages=_stages(2, 1, 2, 5e-4),
        network=WarpGANConfig(width=4, blocks=1, stem=3, critic_width=4, critic_layers=2),
    ),
    "laptop": WarpGANRecipe(stages=_stages(1200, 200, 8, 1e-3, validate_every=200)),
    "gpu": WarpGANRecipe(stages=_stages(20000, 20000, 16, 5e-4, validate_every=2000)),
    "paper": WarpGANRecipe(
        sizes=((256, 192),),
        stages=(TrainConfig(steps=23_500, batch_size=40, lr=2e-4, validate_every=1000),),  # 15 epochs of 62,780
        network=WARP_GAN_PAPER,
        augmentation=NO_AUGMENTATION,
        adversarial_weight=1.0,
        matching_weight=1.0,
        critic_lr=1.0,
        features="vgg19",
        drawn=1.0,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PaintingTriplets:
    """What a stage that makes pictures is trained on: what it sees, and what it should make.

    seen: a `WarpGANBatch` or a `RefinementBatch`; target (B,3,H,W) in [-1,1]: the photograph in the new pose; garment
    (B,1,H,W) in {0,1}: where it shows the top.
    """

    seen: Any
    target: Tensor
    garment: Tensor


def picture_numbers(made: Tensor, batch: PaintingTriplets) -> dict[str, Tensor]:
    """L1 (all, and on the garment) and SSIM of each picture (B,3,H,W) in [-1,1] against its target, (B,)."""
    ours, theirs = (made / 2 + 0.5).clamp(0, 1), batch.target / 2 + 0.5
    return {"l1": l1(ours, theirs), "l1_garment": masked_l1(ours, theirs, batch.garment), "ssim": ssim(ours, theirs)}


def chosen_parse(batch: TryOnSample, frozen: Frozen, drawn: float, generator: torch.Generator) -> Tensor:
    """The parse (B,H,W) of the target that the later stages go by: for a share of the samples, drawn at random, the one
    that stage 1 draws, for the others the true one."""
    target = target_of(batch)
    use = torch.rand(len(target.person), generator=generator) < drawn
    if not use.any():
        return target.parse
    guess = frozen["parsing"].draw(batch, target.pose)
    return torch.where(use.to(guess.device)[:, None, None], guess, target.parse)


def prepared(
    batch: TryOnSample, frozen: Frozen, network: WarpGAN, drawn: float, generator: torch.Generator
) -> PaintingTriplets:
    """Stages 1 and 2 up to the painting, for a collated batch of triplets."""
    target = target_of(batch)
    parse = chosen_parse(batch, frozen, drawn, generator)
    dressed = dress(frozen["gmm"], batch, parse)
    seen = painter_batch(network, frozen["matcher"], batch, target.pose, parse, dressed)
    return PaintingTriplets(seen=seen, target=target.person, garment=worn_mask(target))


def look(network: nn.Module, batch: PaintingTriplets) -> tuple[dict[str, Tensor], list[tuple[Tensor, ...]]]:
    """`picture_numbers`; rows reference | bent garment | coarse | photograph."""
    coarse = network(batch.seen)
    shown = (batch.seen.reference, batch.seen.warped, coarse, batch.target)
    return picture_numbers(coarse, batch), list(zip(*shown, strict=True))


def _work(recipe: WarpGANRecipe, config: TrainConfig, device: torch.device) -> Work:
    frozen = load_frozen(NEEDS, recipe.made_with, device)
    network = WarpGAN(recipe.network)
    features = load_features(recipe.features, device=device) if recipe.perceptual_weight else None
    critic = None
    if recipe.adversarial_weight or recipe.matching_weight:
        critic = Critic(
            module=warp_gan_critic(recipe.network).to(device),
            loss=lambda module, batch, made: warp_gan_critic_terms(module, batch.seen, batch.target, made),
            lr=config.lr * recipe.critic_lr,
        )

    def loss(module: nn.Module, batch: PaintingTriplets):
        judge = critic.module if critic else None
        terms, made = warp_gan_terms(module, judge, batch.seen, batch.target, features, **recipe.weights)
        return (terms, made) if critic else terms

    return Work(
        module=network,
        prepare=lambda batch, generator: prepared(batch, frozen, network, recipe.drawn, generator),
        loss=loss,
        look=look,
        critic=critic,
    )


STAGE = Stage(
    name="warp-gan",
    version="mg-vton-warp-gan/1",
    work=_work,
    made_with=lambda recipe: about_stages(NEEDS, recipe.made_with),
)
train_warp_gan = partial(train_on_triplets, STAGE)
