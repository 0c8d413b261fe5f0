"""The map between two parses by which Warp-GAN moves features: an affine map, then a thin-plate spline.

Source: Dong et al. 2019 (MG-VTON), section 3.2, with the network of Rocco et al. 2017 (`vtonlib.warp.matcher`). The
paper takes one that was trained on drawn transformations of pictures. A person who raises an arm is no such
transformation; here the matcher is trained on triplets, to bring the parse of the reference onto that of the target.
No spline of 25 control points can do that for every limb, so what it does best is decided by what each label weighs.

Convention: grids run from the target to the reference: target(p) = reference(grid(p)).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from vtonlib.labels import ARM_LABELS, HEAD_LABELS, LIP, LIP_INDEX, LOWER_LABELS, TOP_LABELS
from vtonlib.metrics import iou
from vtonlib.perceive.parsing import label_colours
from vtonlib.represent import label_mask, one_hot
from vtonlib.sample import TryOnSample
from vtonlib.systems.memory import Augmentation
from vtonlib.systems.mg_vton.inputs import signed_one_hot
from vtonlib.systems.mg_vton.triplet_training import Stage, Work, check_recipe, check_share, train_on_triplets
from vtonlib.systems.mg_vton.triplets import target_of
from vtonlib.systems.runs import two_stages
from vtonlib.training import TrainConfig
from vtonlib.warp import AffineTPSMatcher, MatcherConfig, warp_image

PARSE_MATCHER_PAPER = MatcherConfig(
    in_channels=len(LIP), widths=(64, 128, 256, 512), regression_widths=(512, 256, 128, 64), size=(256, 192)
)
PARSE_MATCHER_COURSE = MatcherConfig(in_channels=len(LIP), normalise_correlation=False)
GROUPS = {"head": HEAD_LABELS, "arms": ARM_LABELS, "lower": LOWER_LABELS}
# The top is taken off the reference and the ground is alike everywhere: they only say roughly where things are.
LIGHT, LIGHTLY = (LIP_INDEX["background"], *TOP_LABELS), 0.25


@dataclass(frozen=True, kw_only=True)
class ParseMatcherRecipe:
    """How the matcher between parses is trained: at one size after the other.

    blur: side of the square, as a share of the height, over which both parses are averaged before they are compared; a
    label that isn't met yet then still feels in which direction it lies. affine_weight: of the same distance after the
    affine map alone. Raises ValueError for a weight below 0, a blur beyond 0 to 1, other numbers of sizes and stages.
    """

    sizes: tuple[tuple[int, int], ...] = ((128, 96),)
    stages: tuple[TrainConfig, ...]
    network: MatcherConfig = PARSE_MATCHER_COURSE
    augmentation: Augmentation = field(default_factory=Augmentation)
    blur: float = 0.05
    affine_weight: float = 0.5

    def __post_init__(self) -> None:
        check_recipe(self, both=1.0, affine=self.affine_weight)
        check_share(self, "blur")


def _stage(steps: int, batch_size: int, lr: float, **other) -> tuple[TrainConfig]:
    return two_stages(steps, 1, batch_size, lr, beta=0.9, slower=1, **other)[:1]


RECIPES = {
    "smoke": ParseMatcherRecipe(
        sizes=((64, 64),), stages=_stage(2, 2, 1e-3),
        network=MatcherConfig(in_channels=20, widths=(4, 8), regression_widths=(8, 8, 8, 8), size=(64, 64)),
    ),
    "laptop": ParseMatcherRecipe(stages=_stage(1500, 16, 1e-3, validate_every=500)),
    "gpu": ParseMatcherRecipe(
        sizes=((256, 192),), network=PARSE_MATCHER_PAPER, stages=_stage(20000, 32, 5e-4, validate_every=2000)
    ),
}  # fmt: skip


def parse_distance(moved: Tensor, target: Tensor) -> Tensor:
    """How far two parses with one channel a label (B,20,H,W) in [0,1] are from each other, a scalar in [0,1].

    Half the sum of the absolute differences, each label with its weight: 1, or `LIGHTLY` for those of `LIGHT`.
    """
    weight = moved.new_ones(len(LIP))
    weight[list(LIGHT)] = LIGHTLY
    return ((moved - target).abs() * weight[:, None, None]).sum(1).mean() / 2


def matching_terms(
    matcher: AffineTPSMatcher, reference: Tensor, target: Tensor, *, blur: float, affine_weight: float
) -> dict[str, Tensor]:
    """The loss for parses (B,H,W): "both" maps, and "affine" alone, weighted; see `parse_distance`."""
    source, wanted = one_hot(reference, groups=LIP), one_hot(target, groups=LIP)
    output = matcher(source * 2 - 1, wanted * 2 - 1)
    side = 2 * round(blur * source.shape[-2] / 2) + 1
    source, wanted = (avg_pool2d(each, side, 1, side // 2, count_include_pad=False) for each in (source, wanted))
    moved = matcher.warp(source, output.grid, padding="border")
    terms = {"both": parse_distance(moved, wanted)}
    if affine_weight:
        roughly = matcher.warp(source, output.affine_grid, padding="border")
        terms["affine"] = affine_weight * parse_distance(roughly, wanted)
    return terms


def moved_parse(reference: Tensor, grid: Tensor) -> Tensor:
    """A parse (B,H,W) as it looks after a grid (B,H,W,2) made with align_corners=False: the likeliest label."""
    return warp_image(one_hot(reference, groups=LIP), grid, padding="border", align_corners=False).argmax(1)


def group_iou(one: Tensor, other: Tensor) -> dict[str, Tensor]:
    """IoU of two parses (B,H,W) for each of GROUPS, (B,), NaN where neither shows it."""
    return {name: iou(label_mask(one, labels), label_mask(other, labels)) for name, labels in GROUPS.items()}


def look(matcher: nn.Module, batch: TryOnSample) -> tuple[dict[str, Tensor], list[tuple[Tensor, ...]]]:
    """IoU by group: of both maps, and of the parse left where it is; rows reference | affine | both | target."""
    target = target_of(batch)
    output = matcher(signed_one_hot(batch.parse), signed_one_hot(target.parse))
    roughly, moved = (moved_parse(batch.parse, grid) for grid in (output.affine_grid, output.grid))
    before, after = group_iou(batch.parse, target.parse), group_iou(moved, target.parse)
    numbers = {name: after[name] for name in GROUPS} | {f"{name}_still": before[name] for name in GROUPS}
    shown = (label_colours(parse) for parse in (batch.parse, roughly, moved, target.parse))
    return numbers, list(zip(*shown, strict=True))


def _work(recipe: ParseMatcherRecipe, config: TrainConfig, device: torch.device) -> Work:
    def loss(matcher: nn.Module, batch: TryOnSample) -> dict[str, Tensor]:
        how = {"blur": recipe.blur, "affine_weight": recipe.affine_weight}
        return matching_terms(matcher, batch.parse, target_of(batch).parse, **how)

    return Work(module=AffineTPSMatcher(recipe.network), prepare=lambda batch, generator: batch, loss=loss, look=look)


STAGE = Stage(name="matcher", version="mg-vton-matcher/1", work=_work)
train_parse_matcher = partial(train_on_triplets, STAGE)
