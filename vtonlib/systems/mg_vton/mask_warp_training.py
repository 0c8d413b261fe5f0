"""Training MG-VTON's matching of masks on triplets: the garment's mask onto the mask of the garment in the new pose.

Source: Dong et al. 2019 (MG-VTON), sections 3.4 and 4.3. The parse that it is trained on is the true one of the target.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from vtonlib.metrics import flow_error, iou
from vtonlib.sample import TryOnSample
from vtonlib.systems.memory import NO_AUGMENTATION, Augmentation
from vtonlib.systems.mg_vton.mask_warp import (
    MASK_WARP_COURSE,
    MASK_WARP_PAPER,
    MaskWarp,
    MaskWarpConfig,
    mask_warp_terms,
    warp_by_masks,
)
from vtonlib.systems.mg_vton.synthesis import worn_mask
from vtonlib.systems.mg_vton.triplet_training import Stage, Work, check_recipe, train_on_triplets
from vtonlib.systems.mg_vton.triplets import target_of
from vtonlib.systems.runs import two_stages
from vtonlib.training import TrainConfig
from vtonlib.warp import grid_to_flow


@dataclass(frozen=True, kw_only=True)
class MaskWarpRecipe:
    """How the matching of masks is trained: at one size after the other.

    ignore_hidden, flow_weight: see `mask_warp_terms`; both need the studio's truth and do nothing without it.
    Raises ValueError for a flow_weight below 0, or other numbers of sizes and stages.
    """

    sizes: tuple[tuple[int, int], ...] = ((128, 96), (256, 192))
    stages: tuple[TrainConfig, ...]
    network: MaskWarpConfig = MASK_WARP_COURSE
    augmentation: Augmentation = field(default_factory=Augmentation)
    ignore_hidden: bool = True
    flow_weight: float = 2.0

    def __post_init__(self) -> None:
        check_recipe(self, mask=1.0, flow=self.flow_weight)


_stages = partial(two_stages, beta=0.9, slower=3)

RECIPES = {
    "smoke": MaskWarpRecipe(
        sizes=((64, 64), (128, 128)), stages=_stages(2, 1, 2, 1e-3),
        network=MaskWarpConfig(
            sees="garment-mask", widths=(4, 8), regression_widths=(8, 8, 8, 8), size=(64, 64), start_at_identity=True
        ),
    ),
    "laptop": MaskWarpRecipe(stages=_stages(2500, 300, 16, 1e-3, validate_every=500)),
    "gpu": MaskWarpRecipe(stages=_stages(20000, 4000, 32, 1e-3, validate_every=2000)),
    "paper": MaskWarpRecipe(
        sizes=((256, 192),),
        stages=(TrainConfig(steps=55_000, batch_size=40, lr=2e-4, validate_every=2000),),  # 35 epochs of 62,780
        network=MASK_WARP_PAPER,
        augmentation=NO_AUGMENTATION,
        ignore_hidden=False,
        flow_weight=0.0,
    ),
}  # fmt: skip


def look(network: nn.Module, target: TryOnSample) -> tuple[dict[str, Tensor], list[tuple[Tensor, ...]]]:
    """IoU of the bent mask (hidden pixels aside) and distance to the true flow in pixels, of each sample; rows
    garment | bent garment | photograph."""
    warped, warped_mask, output = warp_by_masks(network, target.garment.on_white(), target.garment.mask, target.parse)
    worn, hidden = worn_mask(target), target.truth.hidden.unsqueeze(1)
    flow = grid_to_flow(output.grid, target.size, align_corners=network.config.align_corners)
    error = flow_error(flow, target.truth.flow, worn)
    numbers = {"iou": iou(warped_mask, worn, ignore=hidden), "flow": error.mean}
    return numbers, list(zip(target.garment.image, warped, target.person, strict=True))


def _work(recipe: MaskWarpRecipe, config: TrainConfig, device: torch.device) -> Work:
    def loss(network: nn.Module, target: TryOnSample) -> dict[str, Tensor]:
        hidden = target.truth.hidden.unsqueeze(1) if recipe.ignore_hidden else None
        extra = {"flow": target.truth.flow, "flow_weight": recipe.flow_weight}
        return mask_warp_terms(network, target.garment.mask, target.parse, hidden=hidden, **extra)

    return Work(
        module=MaskWarp(recipe.network), prepare=lambda batch, generator: target_of(batch), loss=loss, look=look
    )


STAGE = Stage(name="gmm", version="mg-vton-gmm/1", work=_work)
train_mask_warp = partial(train_on_triplets, STAGE)
