"""The figures of notebook 06's outlines: what is drawn where, read back from the axes."""

import math

import torch

from vtonlib.course import new_figure
from vtonlib.course.outlines import draw_context, draw_dartboard, draw_outline, draw_pairing
from vtonlib.warp import ThinPlateSpline, mean_distance, shape_contexts
from vtonlib.warp.shape_context import Boundary, Pairing


def circle(count: int = 20) -> Boundary:
    angle = torch.arange(count, dtype=torch.float64) * 2 * math.pi / count
    return Boundary(20 + 10 * torch.stack([angle.cos(), angle.sin()], -1), angle + math.pi / 2)


def lines(axis) -> list[torch.Tensor]:
    return [torch.tensor(line.get_xydata()) for line in axis.lines]


def test_outline():
    _, axis = new_figure()
    draw_outline(axis, circle(), "worn")
    torch.testing.assert_close(lines(axis)[0], circle().points)
    assert axis.get_title() == "worn" and axis.get_ylim() == (33, 7), "y runs down"


def test_dartboard():
    _, axis = new_figure()
    outline = circle()
    draw_dartboard(axis, outline, 3)
    _, *rings_and_spokes, centre = lines(axis)
    torch.testing.assert_close(centre[0], outline.points[3])
    radii = [float((line - centre).norm(dim=1).max()) for line in rings_and_spokes]
    unit = float(mean_distance(outline.points))
    expected = [unit / 8, unit / 4, unit / 2, unit, 2 * unit] + [2 * unit] * 12
    torch.testing.assert_close(torch.tensor(radii), torch.tensor(expected))


def test_context():
    _, axis = new_figure()
    draw_context(axis, circle(), 3)
    shown = torch.tensor(axis.images[0].get_array().data)
    torch.testing.assert_close(shown, shape_contexts(circle().points)[3].T)
    assert axis.get_ylim()[0] < axis.get_ylim()[1], "the nearest ring is at the bottom"


def test_pairing():
    _, axis = new_figure()
    moved, garment = circle().points + 1, circle()
    rows, columns = torch.arange(18), torch.arange(18).flip(0)
    spline = ThinPlateSpline(moved[rows], garment.points[columns])
    draw_pairing(axis, Pairing(moved, rows, columns, 0.1, spline), garment)
    *pairs, worn, shop, alone = lines(axis)
    assert len(pairs) == 18
    torch.testing.assert_close(pairs[2], torch.stack([moved[2], garment.points[15]]))
    torch.testing.assert_close(worn, moved)
    torch.testing.assert_close(shop, garment.points)
    torch.testing.assert_close(alone, moved[18:])
