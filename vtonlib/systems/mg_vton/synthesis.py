"""From a reference, a garment and a pose to what Warp-GAN and the refinement render see, by frozen networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vtonlib.labels import TOP_LABELS
from vtonlib.represent import label_mask
from vtonlib.sample import TryOnSample
from vtonlib.systems.cp_vton_warp import main_piece
from vtonlib.systems.mg_vton.inputs import (
    batch_pose,
    signed_one_hot,
    target_heatmaps,
    without_clothes,
)
from vtonlib.systems.mg_vton.mask_warp import warp_by_masks
from vtonlib.systems.mg_vton.refinement import RefinementBatch
from vtonlib.systems.mg_vton.warp_gan import WarpGAN, WarpGANBatch
from vtonlib.warp import AffineTPSMatcher, GMMOutput


@dataclass(frozen=True, kw_only=True)
class Dressed:
    """A garment bent for a parse: warped (B,3,H,W) in [-1,1] on white, warped_mask (B,1,H,W) in [0,1], GMM's output."""

    warped: Tensor
    warped_mask: Tensor
    output: GMMOutput


@torch.no_grad()
def dress(gmm: nn.Module, sample: TryOnSample, parse: Tensor) -> Dressed:
    """Bend the garments of a batch onto the garment masks of drawn parses (B,H,W)."""
    picture, mask = sample.garment.on_white(), sample.garment.mask
    warped, warped_mask, output = warp_by_masks(gmm, picture, mask, parse)
    kept = main_piece(warped_mask)
    return Dressed(warped=kept * warped + (1 - kept), warped_mask=kept, output=output)


@torch.no_grad()
def feature_grid(
    matcher: AffineTPSMatcher, reference: Tensor, parse: Tensor, size: tuple[int, int], feature_warp: str
) -> Tensor | None:
    """Where the drawn parse's places are found in the reference: a grid (B, *size, 2), or None for "none".

    reference, parse (B,H,W): the reference's parse and the drawn one.
    """
    if feature_warp == "none":
        return None
    matched = matcher(signed_one_hot(reference), signed_one_hot(parse), size=size)
    return matched.affine_grid if feature_warp == "affine" else matched.grid


def painter_batch(
    painter: WarpGAN, matcher: AffineTPSMatcher, sample: TryOnSample, pose: Tensor, parse: Tensor, dressed: Dressed
) -> WarpGANBatch:
    """What a Warp-GAN sees of a batch of references, new poses (B,25,3), drawn parses (B,H,W) and bent garments.

    One that isn't guided (see `WarpGANConfig`) sees no parse, and the garment as the shop shows it.
    """
    guided = painter.config.guided
    labels = signed_one_hot(parse)
    return WarpGANBatch(
        warped=dressed.warped if guided else sample.garment.on_white(),
        heatmaps=target_heatmaps(batch_pose(pose, sample), sample.size),
        parse=labels if guided else labels[:, :0],
        reference=without_clothes(sample.person, sample.parse),
        grid=feature_grid(matcher, sample.parse, parse, sample.size, painter.config.feature_warp),
    )


def refinement_batch(dressed: Dressed, coarse: Tensor, heatmaps: Tensor) -> RefinementBatch:
    """What the refinement render sees of bent garments and coarse pictures."""
    return RefinementBatch(warped=dressed.warped, warped_mask=dressed.warped_mask, coarse=coarse, heatmaps=heatmaps)


def worn_mask(sample: TryOnSample) -> Tensor:
    """Where a photograph shows the top: (B,1,H,W) in {0,1}."""
    return label_mask(sample.parse, TOP_LABELS).to(sample.person.dtype)
