"""What the best warp of a family would be, given the true flow; and how to tell a sane warp from a wild one.

A learned warp is judged as a share of its ceiling: the 5x5 thin-plate spline that comes nearest to the true flow. That
spline is linear in theta, so finding it is a linear least-squares problem with one answer.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vtonlib.warp.sampling import flow_to_grid, pixel_centres, warp_image
from vtonlib.warp.tps import TPSGrid, bending_energy, bending_matrix, tps_design

STIFFEST = 10.0  # by then the spline is affine
STEPS_PER_DECADE = 2
TOWARDS_IDENTITY = 1e-9  # decides only what the pixels leave open altogether, such as the affine part of a single line


class OracleWarp(NamedTuple):
    """theta (B, 2 * grid_size^2) and grid (B, H, W, 2) as of GMM; rms (B,) of what is left, in pixels of the source;
    stiffness (B,), the weight of the bending energy that was chosen."""

    theta: Tensor
    grid: Tensor
    rms: Tensor
    stiffness: Tensor


def oracle_tps(
    flow: Tensor,
    visible: Tensor,
    *,
    source_size: tuple[int, int] | None = None,
    grid_size: int = 5,
    extent: float = 1.0,
    align_corners: bool = False,
    softest: float = 1e-6,
    slack: float = 0.1,
) -> OracleWarp:
    """The thin-plate spline nearest to a true flow, in GMM's own parametrisation (see `TPSGrid`).

    flow (B, 2, H, W): for each pixel of the worn picture the index coordinates (x, y) in the in-shop picture, NaN where
    there is none. visible (B, H, W) or (B, 1, H, W): the pixels that count, where it is above 0.5.
    source_size: (height, width) of the in-shop picture; the flow's own where None. align_corners: of the grid made.

    It minimises the mean squared distance over the visible pixels plus stiffness * bending energy. The garment doesn't
    reach every control point; without the second term those would be anywhere, and fold parts of the garment back into
    view. The rule: of a ladder of stiffnesses that begins at `softest`, the stiffest whose root mean square distance is
    within `slack` pixels of the first's. So about `slack` pixels of the ceiling are given away, and beyond the garment
    the map goes on as straight as it can. (The unit of stiffness is mean squared distance over bending energy, both in
    normalised coordinates. At 1e-8 control points beyond a sleeve were seen to leave by ten pictures' widths, for 0.2
    pixels; at 1e-6 by one.) On masks alone other splines do better: see `mask_oracle_tps`.

    Raises ValueError where shapes don't match, or a sample has fewer than three visible pixels with a flow.
    """
    batch, _, height, width = flow.shape
    source_size = (height, width) if source_size is None else source_size
    if visible.shape not in {(batch, height, width), (batch, 1, height, width)}:
        raise ValueError(f"oracle_tps: expected visible ({batch}, {height}, {width}), got {tuple(visible.shape)}")
    centres = pixel_centres((height, width), align_corners=align_corners, dtype=torch.float64).reshape(-1, 2)
    design = tps_design(centres, grid_size)
    target = flow_to_grid(flow.detach().cpu().double(), source_size, align_corners=align_corners).flatten(1, 2)
    counted = (visible.reshape(batch, -1).cpu() > 0.5) & flow.detach().cpu().isfinite().all(1).flatten(1)
    pixel = 2 / (torch.tensor(source_size[::-1], dtype=torch.float64) - int(align_corners))
    decades = math.log10(STIFFEST / softest)
    ladder = softest * 10 ** torch.linspace(0, decades, round(decades * STEPS_PER_DECADE) + 1, dtype=torch.float64)
    thetas, rests, stiffnesses = [], [], []
    for number in range(batch):
        keep = counted[number]
        if int(keep.sum()) < 3:
            raise ValueError(f"oracle_tps: sample {number} has {int(keep.sum())} visible pixels with a flow, 3 needed")
        offsets = (target[number] - extent * centres)[keep]
        theta, rms, stiffness = _stiffest_fit(design[keep], offsets, pixel, extent, ladder, slack)
        thetas.append(theta.T.reshape(-1))
        rests.append(rms)
        stiffnesses.append(stiffness)
    theta = torch.stack(thetas)
    grid = extent * centres + (design @ theta.unflatten(1, (2, -1)).transpose(1, 2))
    return OracleWarp(
        theta.to(flow), grid.unflatten(1, (height, width)).to(flow), torch.stack(rests).to(flow),
        torch.stack(stiffnesses).to(flow),
    )  # fmt: skip


def _stiffest_fit(
    design: Tensor, offsets: Tensor, pixel: Tensor, extent: float, ladder: Tensor, slack: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Ridge regression for every stiffness at once: theta (K, 2), its rms in pixels, and the stiffness chosen."""
    count, controls = design.shape
    bending = bending_matrix(round(controls**0.5)) / extent**2
    normal = design.T @ design / count + TOWARDS_IDENTITY * torch.eye(controls, dtype=torch.float64)
    systems = normal + ladder[:, None, None] * bending
    thetas = torch.linalg.solve(systems, (design.T @ offsets / count).expand(len(ladder), -1, -1))
    rest = ((design @ thetas - offsets) / pixel).square().sum(-1).mean(-1).sqrt()
    chosen = int((rest <= rest[0] + slack).nonzero().max())
    return thetas[chosen], rest[chosen], ladder[chosen]


def mask_oracle_tps(
    start: Tensor,
    garment_mask: Tensor,
    worn_mask: Tensor,
    *,
    hidden: Tensor | None = None,
    flow: Tensor | None = None,
    flow_weight: float = 0.0,
    stiffness: float = 1e-4,
    steps: int = 300,
    learning_rate: float = 0.01,
    grid_size: int = 5,
    extent: float = 1.0,
    align_corners: bool = False,
) -> Tensor:
    """theta (B, 2 * grid_size^2) of a spline that carries one silhouette onto another: the ceiling of mask IoU.

    The spline nearest to the true flow is *not* that ceiling. At the silhouette of a body the cloth turns away, so its
    true flow ends well inside the in-shop garment, and the rest of it spills over; a spline made for masks squeezes it
    in, at the price of moving the print. flow_weight chooses between the two, and shows the trade-off.

    start: theta to begin from, `oracle_tps(..., slack=1.0).theta` or zeros. garment_mask (B, 1, h, w), worn_mask and
    hidden (B, 1, H, W) in [0, 1]; hidden pixels don't count. flow (B, 2, H, W) as in `oracle_tps`, with a garment
    picture of the same size as the worn one.

    Minimises, with Adam, the masks' mean absolute difference as a share of the worn area + stiffness * bending energy +
    flow_weight * mean flow distance in pixels. That is a local minimum, so a ceiling found, not proven.
    Raises ValueError for a flow_weight without a flow.
    """
    if flow_weight and flow is None:
        raise ValueError("mask_oracle_tps: a flow_weight needs the true flow")
    size = tuple(worn_mask.shape[2:])
    tps_grid = TPSGrid(grid_size=grid_size, extent=extent, align_corners=align_corners, size=size).to(start)
    counted = torch.ones_like(worn_mask) if hidden is None else 1 - hidden.to(worn_mask.dtype)
    area = (worn_mask * counted).sum((1, 2, 3)).clamp(min=1)
    target = None if flow is None else flow_to_grid(flow, size, align_corners=align_corners)
    known = None if flow is None else flow.isfinite().all(1) & (worn_mask[:, 0] > 0.5)
    pixel = 2 / (start.new_tensor(size[::-1]) - int(align_corners))
    with torch.enable_grad():
        theta = start.detach().clone().requires_grad_()
        optimiser = torch.optim.Adam([theta], lr=learning_rate)
        for _ in range(steps):
            grid = tps_grid(theta)
            warped_mask = warp_image(garment_mask, grid, align_corners=align_corners)
            loss = ((warped_mask - worn_mask).abs() * counted).sum((1, 2, 3)) / area
            loss = loss + stiffness * bending_energy(theta, grid_size=grid_size, extent=extent)
            if flow_weight:
                distance = (((grid - target) / pixel).square().sum(-1) + 1e-9).sqrt()
                loss = loss + flow_weight * (distance * known).sum((1, 2)) / known.sum((1, 2)).clamp(min=1)
            optimiser.zero_grad()
            loss.sum().backward()  # samples don't share parameters, so the sum optimises each by itself
            optimiser.step()
    return theta.detach()


def fold_overs(grid: Tensor, mask: Tensor | None = None) -> Tensor:
    """Share (B,) of the cells of a grid (B, H, W, 2) that are turned over: their Jacobian determinant is negative.

    A cell lies between a pixel, its right and its lower neighbour. mask (B, H, W): count cells whose first pixel is on
    it only; NaN for a sample without such a cell.
    """
    right = (grid[:, :, 1:] - grid[:, :, :-1])[:, :-1]
    down = (grid[:, 1:] - grid[:, :-1])[:, :, :-1]
    turned = (right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0] < 0).to(grid.dtype)
    if mask is None:
        return turned.mean((1, 2))
    counted = (mask.reshape(grid.shape[:3])[:, :-1, :-1] > 0.5).to(grid.dtype)
    return (turned * counted).sum((1, 2)) / counted.sum((1, 2))


def total_variation(grid: Tensor, *, align_corners: bool) -> Tensor:
    """Mean absolute difference between neighbours of what a grid (B, H, W, 2) adds to the identity: (B,).

    In normalised units per pixel, summed over x and y, and over right and lower neighbours; 0 for shifts.
    """
    size = tuple(grid.shape[1:3])
    offset = grid - pixel_centres(size, align_corners=align_corners, dtype=grid.dtype, device=grid.device)
    right = (offset[:, :, 1:] - offset[:, :, :-1]).abs().sum(-1).mean((1, 2))
    down = (offset[:, 1:] - offset[:, :-1]).abs().sum(-1).mean((1, 2))
    return right + down


def picture_total_variation(picture: Tensor) -> Tensor:
    """Total variation (TV) norm of pictures (B, C, H, W): mean absolute difference of neighbours, right + lower: (B,).

    Means over the whole picture and its channels, so a garment on a plain ground counts by itself, and a larger one of
    the same print counts more. CP-VTON (Wang et al. 2018, section 4) sorts garments by it, rich in detail or plain.
    """
    right = (picture[..., 1:] - picture[..., :-1]).abs().mean((1, 2, 3))
    down = (picture[..., 1:, :] - picture[..., :-1, :]).abs().mean((1, 2, 3))
    return right + down
