"""Drawing outlines, the dartboard of a shape context, and pairs of points, on axes of `vtonlib.course.new_figure`.

Convention: points are (x, y) in index coordinates of a reduced mask (see `vtonlib.warp.shape_context`); y runs down.
"""

from __future__ import annotations

import math

import torch

from vtonlib.warp.shape_context import (
    VITON_SHAPE_CONTEXT,
    Boundary,
    Pairing,
    ShapeContextConfig,
    mean_distance,
    ring_ends,
    shape_contexts,
)

GREY = "0.6"


def draw_outline(axis, outline: Boundary, title: str = "") -> None:
    """The points of an outline and, in grey, where it runs at each of them."""
    angles = outline.tangents
    axis.quiver(*outline.points.T, angles.cos(), angles.sin(), angles="xy", width=0.004, color=GREY)
    axis.plot(*outline.points.T, ".")
    _frame(axis, title, outline.points)


def draw_dartboard(
    axis, outline: Boundary, i: int, title: str = "", *, config: ShapeContextConfig = VITON_SHAPE_CONTEXT
) -> None:
    """An outline under the directions and rings of the shape context of its point i."""
    centre, ends = outline.points[i], ring_ends(config, outline.points) * mean_distance(outline.points)
    axis.plot(*outline.points.T, ".", markersize=3)
    turn = torch.linspace(0, 2 * math.pi, 181, dtype=centre.dtype)
    around = torch.stack([turn.cos(), turn.sin()], -1)
    for end in ends:
        axis.plot(*(centre + end * around).T, color=GREY, linewidth=0.5)
    for direction in range(config.angle_bins):
        angle = 2 * math.pi * direction / config.angle_bins
        spoke = centre + ends[-1] * torch.tensor([[0.0, 0.0], [math.cos(angle), math.sin(angle)]], dtype=centre.dtype)
        axis.plot(*spoke.T, color=GREY, linewidth=0.5)
    axis.plot(*centre, "o", color="black", markersize=4)
    _frame(axis, title, outline.points)


def draw_context(
    axis, outline: Boundary, i: int, *, config: ShapeContextConfig = VITON_SHAPE_CONTEXT, most: float = 0.2
) -> None:
    """The shape context of point i as a table, directions across and rings upwards; the darkest blue is `most`."""
    histogram = shape_contexts(outline.points, config)[i]
    axis.imshow(histogram.T.numpy(), cmap="Blues", vmin=0, vmax=most, aspect="auto", origin="lower")
    axis.set(xlabel="direction", ylabel="ring", xticks=range(0, config.angle_bins, 3), yticks=range(config.radius_bins))
    axis.grid(False)


def draw_pairing(axis, pairing: Pairing, garment: Boundary, title: str = "") -> None:
    """One iteration: the worn outline as warped before, the garment's, lines between pairs, crosses without a pair."""
    moved, paired = pairing.moved, zip(pairing.moved[pairing.rows], garment.points[pairing.columns])
    for pair in paired:
        axis.plot(*torch.stack(pair).T, color=GREY, linewidth=0.7)
    alone = torch.ones(len(moved), dtype=torch.bool)
    alone[pairing.rows] = False
    axis.plot(*moved.T, ".", label="worn, warped so far")
    axis.plot(*garment.points.T, ".", label="in the shop")
    axis.plot(*moved[alone].T, "x", color="black", label="took a dummy")
    _frame(axis, title, torch.cat([moved, garment.points]))


def _frame(axis, title: str, points: torch.Tensor) -> None:
    (left, top), (right, bottom) = (points.amin(0) - 3).tolist(), (points.amax(0) + 3).tolist()
    axis.set(title=title, xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axis.axis("off")
