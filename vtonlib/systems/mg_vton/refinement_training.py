"""Training the refinement render on triplets, on top of all other networks of MG-VTON, which stay as they are.

Source: Dong et al. 2019 (MG-VTON), sections 3.3 and 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from vtonlib.features import load_features
from vtonlib.sample import TryOnSample
from vtonlib.systems.memory import NO_AUGMENTATION, Augmentation
from vtonlib.systems.mg_vton.networks import Frozen, about_stages, load_frozen
from vtonlib.systems.mg_vton.refinement import (
    REFINEMENT_COURSE,
    REFINEMENT_PAPER,
    Refinement,
    RefinementConfig,
    refinement_terms,
)
from vtonlib.systems.mg_vton.synthesis import dress, painter_batch, refinement_batch, worn_mask
from vtonlib.systems.mg_vton.triplet_training import Stage, Work, check_recipe, check_share, train_on_triplets
from vtonlib.systems.mg_vton.triplets import target_of
from vtonlib.systems.mg_vton.warp_gan_training import PaintingTriplets, chosen_parse, picture_numbers
from vtonlib.systems.runs import two_stages
from vtonlib.training import TrainConfig

NEEDS = ("parsing", "gmm", "matcher", "warp-gan")


@dataclass(frozen=True, kw_only=True)
class RefinementRecipe:
    """How the refinement render is trained: at one size after the other.

    *_weight, mask_loss: of the terms, and what the mask is held to, see `refinement_terms`. features: network of the
    perceptual loss. drawn, made_with: see `WarpGANRecipe`.
    Raises ValueError for weights below 0 or all 0, a share beyond 0 to 1, or other numbers of sizes and stages.
    """

    sizes: tuple[tuple[int, int], ...] = ((128, 96), (256, 192))
    stages: tuple[TrainConfig, ...]
    network: RefinementConfig = REFINEMENT_COURSE
    augmentation: Augmentation = field(default_factory=Augmentation)
    perceptual_weight: float = 1.0
    mask_weight: float = 0.2
    l1_weight: float = 1.0
    mask_loss: str = "worn"
    features: str = "course"
    drawn: float = 1.0
    made_with: str | None = None

    def __post_init__(self) -> None:
        check_recipe(self, **self.weights)
        check_share(self, "drawn")

    @property
    def weights(self) -> dict[str, float]:
        """Of the terms, by their names."""
        return {name: getattr(self, f"{name}_weight") for name in ("perceptual", "mask", "l1")}


_stages = partial(two_stages, beta=0.5, slower=2, ema_decay=0.99)

RECIPES = {
    "smoke": RefinementRecipe(
        sizes=((64, 48), (128, 96)), stages=_stages(2, 1, 2, 5e-4),
        network=RefinementConfig(width=4, blocks=1, stem=3, garment_mask=True),
    ),
    "laptop": RefinementRecipe(stages=_stages(900, 250, 8, 1e-3, validate_every=300)),
    "gpu": RefinementRecipe(stages=_stages(5000, 5000, 16, 5e-4, validate_every=1000)),
    "paper": RefinementRecipe(
        sizes=((256, 192),),
        stages=(TrainConfig(steps=7_800, batch_size=40, lr=2e-4, validate_every=1000),),  # 5 epochs of 62,780
        network=REFINEMENT_PAPER,
        augmentation=NO_AUGMENTATION,
        mask_weight=1.0,
        l1_weight=0.0,
        mask_loss="paper",
        features="vgg19",
    ),
}  # fmt: skip


@torch.no_grad()
def prepared(batch: TryOnSample, frozen: Frozen, drawn: float, generator: torch.Generator) -> PaintingTriplets:
    """All of MG-VTON up to its last stage, for a collated batch of triplets."""
    target, painter = target_of(batch), frozen["warp-gan"]
    parse = chosen_parse(batch, frozen, drawn, generator)
    dressed = dress(frozen["gmm"], batch, parse)
    painted = painter_batch(painter, frozen["matcher"], batch, target.pose, parse, dressed)
    seen = refinement_batch(dressed, painter(painted), painted.heatmaps)
    return PaintingTriplets(seen=seen, target=target.person, garment=worn_mask(target))


def look(network: nn.Module, batch: PaintingTriplets) -> tuple[dict[str, Tensor], list[tuple[Tensor, ...]]]:
    """`picture_numbers` and the mean of the mask; rows bent garment | coarse | mask | try-on | photograph."""
    tryon, mask = network(batch.seen)
    numbers = {**picture_numbers(tryon, batch), "mask_mean": mask.mean((1, 2, 3))}
    shown = (batch.seen.warped, batch.seen.coarse, mask * 2 - 1, tryon, batch.target)
    return numbers, list(zip(*shown, strict=True))


def _work(recipe: RefinementRecipe, config: TrainConfig, device: torch.device) -> Work:
    frozen = load_frozen(NEEDS, recipe.made_with, device)
    features = load_features(recipe.features, device=device) if recipe.perceptual_weight else None

    def loss(module: nn.Module, batch: PaintingTriplets) -> dict[str, Tensor]:
        return refinement_terms(
            module, batch.seen, batch.target, batch.garment, features, mask_kind=recipe.mask_loss, **recipe.weights
        )

    return Work(
        module=Refinement(recipe.network),
        prepare=lambda batch, generator: prepared(batch, frozen, recipe.drawn, generator),
        loss=loss,
        look=look,
    )


STAGE = Stage(
    name="refinement",
    version="mg-vton-refinement/1",
    work=_work,
    made_with=lambda recipe: about_stages(NEEDS, recipe.made_with),
)
train_refinement = partial(train_on_triplets, STAGE)
