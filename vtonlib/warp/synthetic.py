"""Pairs of pictures whose warp is known because it was drawn at random, and the losses that such pairs allow.

Source: Rocco et al. 2017, section 4, trained a matcher so, from any pictures and without a label; CP-VTON's row of
ancestors begins here. What the network never sees is a real pair: light, folds and what is hidden are missing, but for
the rectangles that may cover a part of the target.

Convention: as in `vtonlib.warp.matcher`: target(p) = source(affine(tps(p))), normalised (x, y). Rotation and shear are
meant in pixels, so that a turned picture is not squashed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vtonlib.warp.matcher import MatcherOutput, apply_affine, invert_affine
from vtonlib.warp.sampling import warp_image
from vtonlib.warp.tps import TPSGrid, control_points, split_theta, tps_design


@dataclass(frozen=True, kw_only=True)
class SyntheticStrengths:
    """How strong the drawn warps are. All but bend and ripple are the ends of uniform ranges around nothing.

    rotation: degrees. scale: natural logarithm, for each axis by itself. shear: sideways pixels for each pixel down.
    shift: share of the picture's width and height. bend: standard deviation of the offsets of 3x3 control points, as
    Rocco et al. have, which the spline follows smoothly; ripple: of what each of its own control points adds. Both in
    normalised units (1 is half a picture), cut at three times that. occluders: probability that a rectangle covers a
    part of the target; occluder_side: its longest sides as shares of the picture's. tone: share by which each channel
    of the target moves towards the fill or away from it.

    Raises ValueError for a value out of its range.
    """

    rotation: float = 15.0
    scale: float = 0.5
    shear: float = 0.15
    shift: float = 0.18
    bend: float = 0.12
    ripple: float = 0.02
    occluders: float = 0.5
    occluder_side: float = 0.4
    tone: float = 0.1

    def __post_init__(self) -> None:
        ends = {"rotation": 180.0, "scale": 3.0, "shear": 3.0, "shift": 1.0, "bend": 0.3, "ripple": 0.3}
        ends |= {"occluders": 1.0, "occluder_side": 1.0, "tone": 1.0}
        for name, end in ends.items():
            if not 0 <= getattr(self, name) <= end:
                raise ValueError(f"SyntheticStrengths: {name} must be from 0 to {end:g}, got {getattr(self, name)!r}")


class SyntheticPair(NamedTuple):
    """source, target (B, C, H, W), and the truth as in `MatcherOutput`: affine (B, 2, 3), theta (B, 2 * grid_size^2),
    affine_grid and grid (B, H, W, 2)."""

    source: Tensor
    target: Tensor
    affine: Tensor
    theta: Tensor
    affine_grid: Tensor
    grid: Tensor


def draw_affine_theta(
    count: int, strengths: SyntheticStrengths, generator: torch.Generator, *, size: tuple[int, int]
) -> Tensor:
    """Affine maps (count, 2, 3) of normalised coordinates, drawn for pictures of `size` (height, width)."""
    draws = torch.rand(6, count, generator=generator, dtype=torch.float64) * 2 - 1
    angle = draws[0] * math.radians(strengths.rotation)
    one, zero = torch.ones_like(angle), torch.zeros_like(angle)
    turned = _matrix(angle.cos(), -angle.sin(), angle.sin(), angle.cos())
    sheared = _matrix(one, draws[1] * strengths.shear, zero, one)
    scales = torch.exp(draws[2:4] * strengths.scale)
    pixels = turned @ sheared @ _matrix(scales[0], zero, zero, scales[1])
    half = torch.tensor([size[1], size[0]], dtype=torch.float64) / 2
    linear = pixels * half / half[:, None]  # divide what comes out by half the picture, multiply what goes in
    return torch.cat([linear, 2 * strengths.shift * draws[4:].T[..., None]], -1).float()


def _matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return torch.stack([torch.stack([a, b], -1), torch.stack([c, d], -1)], -2)


def draw_tps_theta(
    count: int, strengths: SyntheticStrengths, generator: torch.Generator, *, grid_size: int = 5
) -> Tensor:
    """Offsets (count, 2 * grid_size^2) of a spline, see `TPSGrid`, without the affine part that random ones have.

    So an affine map and theta can be told apart: the affine map is the one nearest to the whole at the control points.
    """
    smooth = torch.randn(count, 2, 9, generator=generator, dtype=torch.float64).clamp(-3, 3) * strengths.bend
    own = torch.randn(count, 2, grid_size**2, generator=generator, dtype=torch.float64).clamp(-3, 3)
    control = control_points(grid_size)
    drawn = smooth @ tps_design(control, 3).T + strengths.ripple * own
    affine, _ = torch.linalg.qr(torch.cat([torch.ones_like(control[:, :1]), control], 1))
    return (drawn - drawn @ affine @ affine.T).flatten(1).float()


def draw_occluders(
    count: int, strengths: SyntheticStrengths, generator: torch.Generator, size: tuple[int, int]
) -> Tensor:
    """Masks (count, 1, height, width) bool of one rectangle each, or of none; sides and place are uniform."""
    chosen = torch.rand(count, generator=generator) < strengths.occluders
    draws = torch.rand(2, 2, count, generator=generator)  # sides and places, down and across
    inside = chosen[:, None, None]
    for axis, length in enumerate(size):
        side = draws[0, axis] * strengths.occluder_side * length
        start = draws[1, axis] * (length - side)
        centres = torch.arange(length) + 0.5
        covered = (centres >= start[:, None]) & (centres < (start + side)[:, None])
        inside = inside & (covered[:, :, None] if axis == 0 else covered[:, None, :])
    return inside[:, None]


def synthetic_pair(
    picture: Tensor,
    strengths: SyntheticStrengths,
    generator: torch.Generator,
    *,
    tps_grid: TPSGrid,
    fill: float | Tensor = 1.0,
) -> SyntheticPair:
    """Warp pictures (B, C, H, W) by maps drawn with the (CPU) generator; the pictures as they are become the sources.

    tps_grid: the matcher's, for the picture's size or any other; extent must be 1. fill: what an occluder is painted
    with, a number or (C,): 1.0 is white for pictures in [-1, 1]. Beyond its border a picture goes on as its border is.
    Raises ValueError for another shape, or a tps_grid of another extent.
    """
    if picture.ndim != 4:
        raise ValueError(f"synthetic_pair: expected pictures (B, C, H, W), got {tuple(picture.shape)}")
    if tps_grid.extent != 1.0:
        raise ValueError(f"synthetic_pair: expected a TPSGrid of extent 1, got {tps_grid.extent}")
    count, channels, height, width = picture.shape
    size = (height, width)
    affine = draw_affine_theta(count, strengths, generator, size=size).to(picture)
    theta = draw_tps_theta(count, strengths, generator, grid_size=tps_grid.grid_size).to(picture)
    gain = 1 + strengths.tone * (torch.rand(count, channels, 1, 1, generator=generator) * 2 - 1)
    covered = draw_occluders(count, strengths, generator, size).to(picture.device)
    grid = apply_affine(affine, tps_grid(theta, size))
    affine_grid = apply_affine(affine, tps_grid(torch.zeros_like(theta), size))
    fill = torch.as_tensor(fill).to(picture).view(-1, 1, 1)
    target = warp_image(picture, grid, padding="border", align_corners=tps_grid.align_corners)
    if strengths.tone:
        low, high = picture.aminmax()
        target = (fill + (target - fill) * gain.to(picture)).clamp(low, high)
    return SyntheticPair(picture, torch.where(covered, fill, target), affine, theta, affine_grid, grid)


def residual_theta(affine: Tensor, theta: Tensor, predicted: Tensor) -> Tensor:
    """What is left for the second pass after an affine map that was `predicted` (B, 2, 3): (B, 2 * grid_size^2).

    The whole map is affine(tps(p)), and the second pass sees source(predicted(q)), so its spline has to be
    predicted^-1(affine(tps(p))). An affine map after a spline is a spline on the same control points: the answer is
    exact, and its offsets are where the control points go.
    Raises torch.linalg.LinAlgError where the predicted map has no inverse.
    """
    grid_size = math.isqrt(theta.shape[1] // 2)
    control = control_points(grid_size).to(theta)
    moved = control + split_theta(theta, grid_size).mT
    left = apply_affine(invert_affine(predicted), apply_affine(affine, moved)) - control
    return left.mT.flatten(1)


def parameter_loss(output: MatcherOutput, pair: SyntheticPair) -> dict[str, Tensor]:
    """Mean squared error of the parameters: terms "affine" and "theta". Source: Rocco et al. 2017, section 4.1.

    theta is compared with what the predicted affine map has left over (`residual_theta`), not with the theta drawn:
    otherwise the second pass would be taught to keep the first one's error.
    """
    left = residual_theta(pair.affine, pair.theta, output.affine.detach())
    return {
        "affine": (output.affine - pair.affine).square().mean(),
        "theta": (output.theta - left).square().mean(),
    }


def grid_loss(output: MatcherOutput, pair: SyntheticPair) -> dict[str, Tensor]:
    """Mean squared distance of where the grids' points go, in normalised units: terms "affine" and "grid".

    Source: Rocco et al. 2018 (the journal version), which took it in place of the parameters' error: there a shift and
    a scale have no common unit, here everything is a distance. Both grids at the size of the pair.
    Raises ValueError where the output was made for another size.
    """
    if output.grid.shape != pair.grid.shape:
        raise ValueError(f"grid_loss: expected grids {tuple(pair.grid.shape)}, got {tuple(output.grid.shape)}")
    return {
        "affine": (output.affine_grid - pair.affine_grid).square().sum(-1).mean(),
        "grid": (output.grid - pair.grid).square().sum(-1).mean(),
    }


def grid_distance(grid: Tensor, true_grid: Tensor, size: tuple[int, int], mask: Tensor | None = None) -> Tensor:
    """Mean distance (B,) of two grids (B, H, W, 2) in pixels of the picture of `size` that they read, over `mask`.

    mask (B, 1, H, W): count pixels above 0.5; NaN where there is none. A pixel is 2 / size of a normalised unit, as
    align_corners=False has it.
    """
    half = grid.new_tensor([size[1], size[0]]) / 2
    distance = ((grid - true_grid) * half).square().sum(-1).sqrt()
    if mask is None:
        return distance.mean((1, 2))
    counted = (mask[:, 0] > 0.5).to(distance.dtype)
    return (distance * counted).sum((1, 2)) / counted.sum((1, 2))
