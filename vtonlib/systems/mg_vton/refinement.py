"""Stage 3 of MG-VTON: the refinement render, which brings the garment's texture back.

    tryon = m * warped + (1 - m) * coarse        m = G_p(warped, coarse, heatmaps)

Warp-GAN squeezes the garment through its bottleneck and loses what is small: letters, stripes, seams. The bent garment
has them, and has no shade, and may lie wrong; a *multi-pose composition mask* m says, pixel by pixel, which to take.
Source: Dong et al. 2019 (MG-VTON), section 3.3. The source notes write the product as one of matrices; it is pixel by
pixel, and both pictures in the equation are the coarse one.

Convention: pictures and maps are in [-1, 1]; m is in [0, 1], 1 where the bent garment shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vtonlib.losses import l1_loss, mask_loss, perceptual_loss
from vtonlib.nets import ResidualGenerator, ResidualGeneratorConfig
from vtonlib.systems.mg_vton.inputs import POSE_CHANNELS
from vtonlib.systems.tom import compose


@dataclass(frozen=True, kw_only=True)
class RefinementConfig:
    """What the refinement render is built from. The defaults are MG-VTON's: 24 channels in, one mask out.

    garment_mask: the bent garment's mask is a 25th channel, and m is 0 outside it; not in the paper, where the network
    must tell a white garment from the white around it. The rest: see `ResidualGeneratorConfig`.
    """

    width: int = 64
    blocks: int = 9
    convs_per_block: int = 2
    norm: str = "batch"
    stem: int = 7
    enlarge: str = "transposed"
    garment_mask: bool = False

    @property
    def generator(self) -> ResidualGeneratorConfig:
        """The generator's own config."""
        return ResidualGeneratorConfig(
            in_channels=6 + POSE_CHANNELS + int(self.garment_mask), out_channels=1, width=self.width,
            blocks=self.blocks, convs_per_block=self.convs_per_block, norm=self.norm, stem=self.stem,
            enlarge=self.enlarge,
        )  # fmt: skip


REFINEMENT_PAPER = RefinementConfig()
REFINEMENT_COURSE = RefinementConfig(width=16, blocks=3, norm="instance", stem=5, enlarge="bilinear", garment_mask=True)


@dataclass(frozen=True, kw_only=True)
class RefinementBatch:
    """warped, coarse (B,3,H,W) in [-1,1]; warped_mask (B,1,H,W) in [0,1]; heatmaps (B,18,H,W) in {-1,1}."""

    warped: Tensor
    warped_mask: Tensor
    coarse: Tensor
    heatmaps: Tensor

    def __len__(self) -> int:
        return len(self.warped)


class Refinement(nn.Module):
    """Stage 3: a `RefinementBatch` -> the try-on (B,3,H,W) in [-1,1] and the composition mask (B,1,H,W) in [0,1]."""

    def __init__(self, config: RefinementConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = ResidualGenerator(config.generator)

    def forward(self, batch: RefinementBatch) -> tuple[Tensor, Tensor]:
        masks = [batch.warped_mask * 2 - 1] if self.config.garment_mask else []
        mask = torch.sigmoid(self.generator(torch.cat([batch.warped, batch.coarse, batch.heatmaps, *masks], 1)))
        if self.config.garment_mask:
            mask = mask * batch.warped_mask
        return compose(batch.coarse, batch.warped, mask), mask


def refinement_terms(
    generator: nn.Module,
    batch: RefinementBatch,
    target: Tensor,
    worn_mask: Tensor,
    features: nn.Module | None,
    *,
    perceptual: float = 1.0,
    mask: float = 1.0,
    l1: float = 0.0,
    mask_kind: str = "paper",
) -> dict[str, Tensor]:
    """L_p = mu_1 L_perceptual(tryon, target) + mu_2 |1 - m|. A weight of 0 leaves a term out.

    target (B,3,H,W): the photograph in the new pose; worn_mask (B,1,H,W): where it shows the garment. mask_kind: what m
    is held to, see `vtonlib.losses.mask_loss`; "paper": to 1 everywhere. l1: of the pictures, not in the paper.
    Source: MG-VTON, section 3.3. Raises ValueError as `mask_loss` does.
    """
    tryon, composition_mask = generator(batch)
    terms = {}
    if perceptual:
        terms["perceptual"] = perceptual * perceptual_loss(features, tryon, target)
    if l1:
        terms["l1"] = l1 * l1_loss(tryon, target)
    if mask:
        held_to = {"warped_mask": batch.warped_mask, "worn_mask": worn_mask}
        terms["mask"] = mask * mask_loss(composition_mask, kind=mask_kind, **held_to)
    return terms
