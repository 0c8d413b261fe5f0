"""MG-VTON's geometric matching: the garment is bent by its outline onto the garment mask of the drawn parse.

CP-VTON learns its warp from the picture of the worn garment. In a new pose there is no such picture; what there is, is
the parse that stage 1 has drawn. So both sides are masks: the garment's in the shop, and what the drawn parse tells (a
body shape, and where the garment is). The spline that brings one outline onto the other then bends the picture.
Source: Dong et al. 2019 (MG-VTON), section 3.4 and figure 2 f, on top of CP-VTON's network.

An outline says nothing about what happens inside it. How far the print on the chest is from where it should be can be
measured in the studio, which knows the true flow; `mask_warp_terms` can also be told it, which no photograph can.

Convention: masks and maps are in [-1, 1] for the network; grids are read with align_corners as in the config.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vtonlib.labels import TOP_LABELS
from vtonlib.losses import flow_loss, l1_loss
from vtonlib.represent import body_shape, label_mask
from vtonlib.warp import GMM, GMMConfig, GMMOutput

SEES = ("body-shape", "garment-mask")


@dataclass(frozen=True, kw_only=True)
class MaskWarpConfig:
    """What the matching of masks is built from. The defaults are MG-VTON's, with CP-VTON's sizes.

    sees: of the drawn parse: "body-shape" (the paper's figure), or "garment-mask": that and the mask which the garment
    is to fill. The rest: see `GMMConfig`. Raises ValueError for another `sees`, and as `GMMConfig` does.
    """

    sees: str = "body-shape"
    widths: tuple[int, ...] = (64, 128, 256, 512)
    regression_widths: tuple[int, int, int, int] = (512, 256, 128, 64)
    size: tuple[int, int] = (256, 192)
    grid_size: int = 5
    align_corners: bool = False
    start_at_identity: bool = False

    def __post_init__(self) -> None:
        for name in ("widths", "regression_widths", "size"):  # JSON gives lists back
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.sees not in SEES:
            raise ValueError(f"MaskWarpConfig: sees: expected one of {', '.join(SEES)}, got {self.sees!r}")
        self.gmm  # noqa: B018 - its own checks

    @property
    def gmm(self) -> GMMConfig:
        """The network's config: one mask of the garment, one or two maps of the parse."""
        return GMMConfig(
            agnostic_channels=1 + SEES.index(self.sees), garment_channels=1, widths=self.widths,
            regression_widths=self.regression_widths, size=self.size, grid_size=self.grid_size,
            align_corners=self.align_corners, start_at_identity=self.start_at_identity,
        )  # fmt: skip


MASK_WARP_PAPER = MaskWarpConfig()
MASK_WARP_COURSE = MaskWarpConfig(
    sees="garment-mask", widths=(32, 64, 128), regression_widths=(128, 64, 64, 32), size=(128, 96),
    start_at_identity=True,
)  # fmt: skip


def parse_maps(parse: Tensor, sees: str) -> Tensor:
    """What the network sees of a drawn parse (B,H,W): (B, 1 or 2, H, W) in [-1,1]: body shape, then garment mask."""
    maps = [body_shape(parse)]
    if sees == "garment-mask":
        maps.append(label_mask(parse, TOP_LABELS).to(maps[0].dtype))
    return torch.cat(maps, 1) * 2 - 1


class MaskWarp(nn.Module):
    """From the garment's mask (B,1,h,w) in {0,1} and a drawn parse (B,H,W) to a thin-plate spline, see `GMM`."""

    def __init__(self, config: MaskWarpConfig) -> None:
        super().__init__()
        self.config = config
        self.gmm = GMM(config.gmm)

    def forward(self, garment_mask: Tensor, parse: Tensor) -> GMMOutput:
        return self.gmm(parse_maps(parse, self.config.sees), garment_mask * 2 - 1)


def warp_by_masks(
    network: MaskWarp, picture: Tensor, garment_mask: Tensor, parse: Tensor
) -> tuple[Tensor, Tensor, GMMOutput]:
    """The garment bent for drawn parses: picture (B,3,H,W) in [-1,1], mask (B,1,H,W) in [0,1], theta and grid.

    picture (B,3,h,w): the garment on white, garment_mask (B,1,h,w). C_w = T_theta(C), MG-VTON, section 3.4.
    """
    output = network(garment_mask, parse)
    warped = network.gmm.warp(picture, output.grid, padding="border")
    return warped, network.gmm.warp(garment_mask, output.grid, padding="zeros"), output


def mask_warp_terms(
    network: MaskWarp,
    garment_mask: Tensor,
    parse: Tensor,
    *,
    hidden: Tensor | None = None,
    flow: Tensor | None = None,
    flow_weight: float = 0.0,
) -> dict[str, Tensor]:
    """The loss |T_theta(C_mask) - C^_mask|_1: mean absolute difference of the bent mask and the parse's garment mask.

    Paper and source notes print T_theta(C_mask - C^_mask). With that bracket the *difference* of the masks is bent, and
    the best spline looks up nothing but places where they agree, a corner say: the loss is 0 and nothing fits.

    Not in the paper: hidden (B,1,H,W), pixels where the worn garment is behind an arm or hair; they don't count, as a
    hole in the target mask would pull the garment away from the arm. flow (B,2,H,W): the studio's true flow, see
    `vtonlib.losses.flow_loss`; its mean distance, as a share of the width, is a term of the weight flow_weight.
    """
    output = network(garment_mask, parse)
    warped_mask = network.gmm.warp(garment_mask, output.grid, padding="zeros")
    worn_mask = label_mask(parse, TOP_LABELS).to(warped_mask.dtype)
    seen = None if hidden is None else 1 - hidden.to(warped_mask.dtype)
    terms = {"mask": l1_loss(warped_mask, worn_mask, seen)}
    if flow_weight and flow is not None:
        distance = flow_loss(output.grid, flow, worn_mask, align_corners=network.config.align_corners)
        terms["flow"] = flow_weight * distance / flow.shape[-1]
    return terms
