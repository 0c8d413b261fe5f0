"""Training MG-VTON's conditional parsing network and its critic on triplets.

Source: Dong et al. 2019 (MG-VTON), sections 3.1 and 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from vtonlib.labels import LIP
from vtonlib.perceive.parsing import label_colours
from vtonlib.represent import one_hot
from vtonlib.sample import TryOnSample
from vtonlib.systems.memory import NO_AUGMENTATION, Augmentation
from vtonlib.systems.mg_vton.conditional_parsing import (
    PARSING_COURSE,
    PARSING_PAPER,
    ConditionalParser,
    ConditionalParsingConfig,
    ParsingBatch,
    parsing_critic,
    parsing_critic_terms,
    parsing_terms,
)
from vtonlib.systems.mg_vton.triplet_training import Stage, Work, check_recipe, train_on_triplets
from vtonlib.systems.mg_vton.triplets import target_of
from vtonlib.systems.runs import two_stages
from vtonlib.training import Critic, TrainConfig


@dataclass(frozen=True, kw_only=True)
class ConditionalParsingRecipe:
    """How the conditional parsing network is trained: at one size after the other.

    adversarial_weight, l1_weight, softmax_weight: of the terms, see `parsing_terms`; without the first there is no
    critic. critic_lr: its learning rate, as a share of the generator's.
    Raises ValueError for weights below 0 or all 0, or other numbers of sizes and stages.
    """

    sizes: tuple[tuple[int, int], ...] = ((128, 96), (256, 192))
    stages: tuple[TrainConfig, ...]
    network: ConditionalParsingConfig = PARSING_COURSE
    augmentation: Augmentation = field(default_factory=Augmentation)
    adversarial_weight: float = 0.1
    l1_weight: float = 1.0
    softmax_weight: float = 1.0
    critic_lr: float = 0.5

    def __post_init__(self) -> None:
        check_recipe(self, **self.weights)

    @property
    def weights(self) -> dict[str, float]:
        """Of the terms, by their names."""
        return {name: getattr(self, f"{name}_weight") for name in ("adversarial", "l1", "softmax")}


_stages = partial(two_stages, beta=0.5, slower=2, ema_decay=0.99)

RECIPES = {
    "smoke": ConditionalParsingRecipe(
        sizes=((32, 32), (64, 64)), stages=_stages(2, 2, 2, 5e-4),
        network=ConditionalParsingConfig(width=4, blocks=1, stem=3, critic_width=4, critic_layers=2),
    ),
    "laptop": ConditionalParsingRecipe(sizes=((128, 96),), stages=_stages(1500, 1, 8, 1e-3, validate_every=250)[:1]),
    "gpu": ConditionalParsingRecipe(
        stages=_stages(20000, 20000, 16, 5e-4, validate_every=2000), network=replace(PARSING_COURSE, size=None)
    ),
    "paper": ConditionalParsingRecipe(
        sizes=((256, 192),),
        stages=(TrainConfig(steps=314_000, batch_size=40, lr=2e-4, validate_every=5000),),  # 200 epochs of 62,780
        network=PARSING_PAPER,
        augmentation=NO_AUGMENTATION,
        adversarial_weight=1.0,
        critic_lr=1.0,
    ),
}  # fmt: skip


def mean_label_iou(drawn: Tensor, truth: Tensor) -> Tensor:
    """IoU of two parses (B,H,W), the mean over the labels that either shows: (B,). One sample at a time it is harsher
    than `vtonlib.metrics.label_scores` over a set: a label that is drawn and isn't there counts 0."""
    ours, theirs = one_hot(drawn, groups=LIP).bool(), one_hot(truth, groups=LIP).bool()
    both, either = (ours & theirs).sum((2, 3)), (ours | theirs).sum((2, 3))
    return torch.where(either > 0, both / either, torch.nan).nanmean(1)


def look(parser: nn.Module, batch: ParsingBatch) -> tuple[dict[str, Tensor], list[tuple[Tensor, ...]]]:
    """Accuracy and mean IoU over the labels of each sample; rows garment | true parse | drawn parse."""
    drawn = parser(batch.maps).argmax(1)
    numbers = {"accuracy": (drawn == batch.parse).float().mean((1, 2)), "miou": mean_label_iou(drawn, batch.parse)}
    pictures = (batch.maps[:, -3:], label_colours(batch.parse), label_colours(drawn))
    return numbers, list(zip(*pictures, strict=True))


def _work(recipe: ConditionalParsingRecipe, config: TrainConfig, device: torch.device) -> Work:
    parser = ConditionalParser(recipe.network)

    def prepare(batch: TryOnSample, generator: torch.Generator) -> ParsingBatch:
        target = target_of(batch)
        return ParsingBatch(maps=parser.inputs(batch, target.pose), parse=target.parse)

    critic = None
    if recipe.adversarial_weight:
        network = parsing_critic(recipe.network).to(device)
        critic = Critic(module=network, loss=parsing_critic_terms, lr=config.lr * recipe.critic_lr)

    def loss(module: nn.Module, batch: ParsingBatch):
        terms, made = parsing_terms(module, critic.module if critic else None, batch, **recipe.weights)
        return (terms, made) if critic else terms

    return Work(module=parser, prepare=prepare, loss=loss, look=look, critic=critic)


STAGE = Stage(name="parsing", version="mg-vton-parsing/1", work=_work)
train_conditional_parsing = partial(train_on_triplets, STAGE)
