"""VITON's warp: boundaries, shape contexts, the pairing with dummies, and known maps of a T-shirt found again."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from vtonlib import warp
from vtonlib.warp import ShapeContextConfig, TooFewBoundaryPoints, pixel_centres, shape_context_tps, warp_image
from vtonlib.warp import shape_context as sc

SIZE = (128, 96)  # a pixel of the reduced masks is two of these
# In units of a picture of 192 x 256; mirror images of each other left and right of x = 96.
LEFT = [(74, 60), (52, 68), (16, 110), (40, 128), (56, 108), (58, 196)]
TSHIRT = [*LEFT, *((192 - x, y) for x, y in reversed(LEFT)), (106, 72), (96, 75), (86, 72)]


def tshirt(size: tuple[int, int] = SIZE) -> torch.Tensor:
    """A T-shirt as a mask (1, 1, H, W), the same as its mirror image."""
    picture = Image.new("L", (size[1] * 4, size[0] * 4))
    scale = picture.width / 192
    ImageDraw.Draw(picture).polygon([(x * scale, y * scale) for x, y in TSHIRT], fill=255)
    mask = torch.from_numpy(np.asarray(picture.resize(size[::-1], Image.Resampling.BOX)) > 127).float()[None, None]
    return torch.maximum(mask, mask.flip(-1))


def disc(size, centre, radius) -> torch.Tensor:
    y, x = np.mgrid[: size[0], : size[1]]
    return torch.from_numpy(np.hypot(x - centre[0], y - centre[1]) < radius).float()[None, None]


def errors(grid: torch.Tensor, expected: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Distances in pixels between two grids (1, H, W, 2), made with align_corners=False, on a mask: (N,)."""
    pixels = (grid - expected) / 2 * torch.tensor([grid.shape[2], grid.shape[1]])
    return pixels.norm(dim=-1)[mask[:, 0] > 0.5]


def overlap(mask: torch.Tensor, grid: torch.Tensor, worn: torch.Tensor) -> float:
    """Intersection over union of a mask, warped, with another."""
    warped = warp_image(mask, grid, align_corners=False) > 0.5
    return float((warped & (worn > 0.5)).sum() / (warped | (worn > 0.5)).sum())


def random_points(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 40


# --- known maps -------------------------------------------------------------------------------------------------------


def test_identity():
    mask = tshirt()
    found = shape_context_tps(mask, mask)
    distance = errors(found.grid, pixel_centres(SIZE, align_corners=False)[None], mask)
    assert distance.max() < 0.05 and found.grid.shape == (1, *SIZE, 2)
    for pairing in found.fits[0].pairings:
        assert torch.equal(pairing.rows, torch.arange(100)) and torch.equal(pairing.columns, pairing.rows)


def test_an_affine_map_is_found_again():
    mask, centres = tshirt(), pixel_centres(SIZE, align_corners=False)
    for scale, turn, shift in ((0.8, 0.0, (0.1, -0.05)), (1.1, 0.12, (-0.05, 0.08)), (0.9, -0.2, (0.0, 0.1))):
        aspect = SIZE[0] / SIZE[1]  # a turn of the picture, not of the square
        linear = scale * torch.tensor(
            [[math.cos(turn), -math.sin(turn) * aspect], [math.sin(turn) / aspect, math.cos(turn)]]
        )
        truth = (centres @ linear.T + torch.tensor(shift))[None]
        worn = warp_image(mask, truth, align_corners=False)
        distance = errors(shape_context_tps(mask, worn).grid, truth, worn)
        assert errors(centres[None], truth, worn).mean() > 5
        assert distance.mean() < 1 and distance.max() < 3.5


@pytest.mark.parametrize("bend", [0.3, -0.3])
def test_a_smooth_spline_is_found_again(bend):
    """The person leans and is narrower at the waist: the pixels inside follow to within a few, the outline nearer."""
    mask, (x, y) = tshirt(), warp.control_points().float().T
    theta = torch.cat([bend * y**2 + 0.1 * x * (1 - y**2), bend / 2 * x])[None]
    truth = warp.TPSGrid(align_corners=False, size=SIZE)(theta)
    worn = warp_image(mask, truth, align_corners=False)
    assert errors(pixel_centres(SIZE, align_corners=False)[None], truth, worn).mean() > 3
    grid = shape_context_tps(mask, worn).grid
    distance = errors(grid, truth, worn)
    assert distance.mean() < 1.5 and distance.max() < 4
    assert overlap(mask, grid, worn) > 0.95


def test_iterating_helps():
    mask = tshirt()
    theta = 0.1 * torch.randn(1, 50, generator=torch.Generator().manual_seed(5))
    worn = warp_image(mask, warp.TPSGrid(align_corners=False, size=SIZE)(theta), align_corners=False)
    overlaps = []
    for iterations in (1, 2, 6):
        grid = shape_context_tps(mask, worn, config=ShapeContextConfig(iterations=iterations)).grid
        overlaps.append(overlap(mask, grid, worn))
    assert overlaps == sorted(overlaps) and overlaps[2] > overlaps[0] + 0.05


def test_both_conventions_give_one_picture_and_sizes_may_differ():
    mask, large = tshirt(), tshirt((256, 192))
    picture = torch.rand(1, 3, 128, 96, generator=torch.Generator().manual_seed(0))
    grids = {flag: shape_context_tps(mask, large, align_corners=flag).grid for flag in (True, False)}
    pictures = [warp_image(picture, grid, align_corners=flag, padding="border") for flag, grid in grids.items()]
    assert pictures[0].shape == (1, 3, 256, 192) and torch.allclose(*pictures, atol=1e-3)
    assert errors(grids[False], pixel_centres((256, 192), align_corners=False)[None], large).mean() < 1.5


def test_a_batch_is_its_samples():
    worn = torch.cat([tshirt(), tshirt().roll(9, -1)])
    together = shape_context_tps(tshirt().expand(2, -1, -1, -1), worn)
    for number in range(2):
        alone = shape_context_tps(tshirt(), worn[number : number + 1])
        assert torch.equal(together.grid[number : number + 1], alone.grid)
    assert len(together.fits) == 2 and together.grid.dtype == torch.float32
    assert shape_context_tps(tshirt().double(), tshirt().double()).grid.dtype == torch.float64


def test_what_an_outline_does_not_say():
    """From behind a garment is seen mirrored. The outline is the same, so what is found is the identity."""
    mask = tshirt()
    mirrored = pixel_centres(SIZE, align_corners=False)[None] * torch.tensor([-1.0, 1.0])
    worn = warp_image(mask, mirrored, align_corners=False)
    assert torch.allclose(worn, mask, atol=1e-4)
    found = shape_context_tps(mask, worn).grid
    assert errors(found, mirrored, mask).mean() > 15
    assert errors(found, pixel_centres(SIZE, align_corners=False)[None], mask).max() < 0.5


def test_dummies_take_what_has_no_partner():
    mask = tshirt()
    worn = mask.clone()
    worn[..., 70:80, 45:70] = 0  # an arm before the garment
    identity = pixel_centres(SIZE, align_corners=False)[None]
    fitted = {dummies: shape_context_tps(mask, worn, config=ShapeContextConfig(dummies=dummies)) for dummies in (25, 0)}
    last = fitted[25].fits[0].pairings[-1]
    notch = fitted[25].fits[0].worn.points
    inside = (notch[:, 0] > 45 / 2 + 1) & (notch[:, 0] < 33) & (notch[:, 1] > 33) & (notch[:, 1] < 42)
    assert inside.sum() >= 8 and not inside[last.rows].all() and 75 <= len(last.rows) < 100
    assert inside[last.rows].sum() < 0.5 * inside.sum()
    distances = {dummies: errors(warped.grid, identity, worn).mean() for dummies, warped in fitted.items()}
    assert len(fitted[0].fits[0].pairings[-1].rows) == 100
    assert distances[25] < 1.5 and distances[25] < 0.5 * distances[0]


# --- boundaries -------------------------------------------------------------------------------------------------------


def test_boundary_of_a_disc():
    mask = disc((256, 192), (90, 120), 60)
    reduced = sc.reduced_mask(mask[0, 0], 64)
    assert reduced.shape == (64, 48) and reduced.dtype == torch.float64
    boundary = sc.boundary_points(reduced)
    centre = (torch.tensor([90.0, 120.0], dtype=torch.float64) + 0.5) / 4 - 0.5
    offset = boundary.points - centre
    off = (offset.norm(dim=1) - 15).abs()
    assert off.mean() < 0.06 and off.max() < 0.25
    tangent = torch.stack([boundary.tangents.cos(), boundary.tangents.sin()], -1)
    outward = offset / offset.norm(dim=1, keepdim=True)
    # The disc lies on the right-hand side: with y down, the right of (tx, ty) is (-ty, tx).
    assert (torch.stack([-tangent[:, 1], tangent[:, 0]], -1) * outward).sum(1).max() < -0.97


def test_holes_are_filled_and_the_edge_of_the_picture_is_a_boundary():
    mask = torch.zeros(64, 48)
    mask[20:, 10:30] = 1
    mask[30:40, 15:20] = 0
    boundary = sc.boundary_points(sc.reduced_mask(mask, 64))
    x, y = boundary.points.T
    assert x.min() == 9.5 and x.max() == 29.5 and y.min() == 19.5 and y.max() == 63.5
    assert not ((x > 10) & (x < 29) & (y > 21) & (y < 63)).any()
    top, bottom = boundary.tangents[y == 19.5], boundary.tangents[y == 63.5]
    assert top[8:-8].abs().max() < 1e-6 and (bottom[8:-8].abs() - math.pi).abs().max() < 1e-6


def test_thin_out_agrees_with_the_rule_by_loops():
    boundary = sc.Boundary(random_points(14), torch.arange(14.0))
    left = list(range(14))
    while len(left) > 6:
        distance = {
            pair: float((boundary.points[pair[0]] - boundary.points[pair[1]]).norm())
            for pair in itertools.permutations(left, 2)
        }
        nearest = min(distance, key=distance.get)

        def next_nearest(point, distance=distance):
            return sorted(distance[point, other] for other in left if other != point)[1]

        left.remove(min(nearest, key=next_nearest))
    thinned = sc.thin_out(boundary, 6)
    assert thinned.tangents.tolist() == left and torch.equal(thinned.points, boundary.points[left])


def test_thinned_points_are_spread_evenly():
    boundary = sc.boundary_points(sc.reduced_mask(disc((256, 192), (90, 120), 80)[0, 0], 64))
    points = sc.thin_out(boundary, 100).points
    distance = torch.cdist(points, points).fill_diagonal_(math.inf).amin(1)
    even = 2 * math.pi * 20 / 100
    assert distance.min() > 0.7 * even and distance.std() < 0.25 * even


# --- shape contexts ---------------------------------------------------------------------------------------------------


def test_shape_contexts_agree_with_loops():
    config, points = ShapeContextConfig(), random_points(9)
    distances = [math.dist(a, b) for a, b in itertools.permutations(points.tolist(), 2)]
    unit = sum(distances) / len(distances)
    expected = torch.zeros(9, 12, 5, dtype=torch.float64)
    for i, j in itertools.permutations(range(9), 2):
        x, y = (points[j] - points[i]).tolist()
        rings = [edge for edge in (1 / 8, 1 / 4, 1 / 2, 1, 2) if math.hypot(x, y) / unit >= edge]
        if len(rings) < 5:
            expected[i, int(math.degrees(math.atan2(y, x)) % 360 // 30), len(rings)] += 1
    expected = expected / expected.sum((1, 2), keepdim=True)
    torch.testing.assert_close(sc.shape_contexts(points, config), expected)


def test_what_changes_a_shape_context_and_what_does_not():
    points = random_points(30)
    contexts = sc.shape_contexts(points)
    torch.testing.assert_close(contexts.sum((1, 2)), torch.ones(30, dtype=torch.float64))
    torch.testing.assert_close(sc.shape_contexts(3.7 * points + torch.tensor([5.0, -80.0])), contexts)
    turn = math.radians(30)  # one of the twelve bins
    turned = points @ torch.tensor([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]).double()
    torch.testing.assert_close(sc.shape_contexts(turned), contexts.roll(1, 1))
    assert sc.chi_squared(sc.shape_contexts(turned), contexts).diagonal().mean() > 0.2, "not invariant to turns"
    mirrored = sc.shape_contexts(points * torch.tensor([-1.0, 1.0]))
    torch.testing.assert_close(mirrored, contexts.roll(-6, 1).flip(1), msg="a mirror image mirrors the histogram")


def test_chi_squared():
    a = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    b = torch.tensor([[0.25, 0.75, 0.0]])
    expected = 0.5 * (0.25**2 / 0.75 + 0.25**2 / 1.25)
    torch.testing.assert_close(sc.chi_squared(a, b), torch.tensor([[expected], [1.0]]))
    assert sc.chi_squared(a, a).diagonal().tolist() == [0, 0]


def test_tangents_tell_the_two_sides_of_a_thin_sleeve_apart():
    points = random_points(12)
    boundary = sc.Boundary(points, torch.zeros(12, dtype=torch.float64))
    opposite = sc.Boundary(points, torch.full((12,), math.pi, dtype=torch.float64))
    cost = sc.pair_cost(boundary, boundary)
    torch.testing.assert_close(sc.pair_cost(boundary, opposite), cost + 0.1)
    torch.testing.assert_close(cost, 0.9 * sc.chi_squared(sc.shape_contexts(points), sc.shape_contexts(points)))


# --- pairing and fitting ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dummies", [0, 1, 2])
def test_matching_is_the_cheapest_of_all(dummies):
    cost = torch.rand(4, 4, generator=torch.Generator().manual_seed(dummies), dtype=torch.float64)
    cost[1] = 0.9  # fits nowhere
    cheapest = min(
        sum(float(cost[i, j]) if i < 4 and j < 4 else 0.25 for i, j in enumerate(columns))
        for columns in itertools.permutations(range(4 + dummies))
    )
    rows, columns = sc.match_with_dummies(cost, dummies, 0.25)
    assert float(cost[rows, columns].sum()) + 0.25 * (4 + dummies - len(rows)) == pytest.approx(cheapest)
    assert (1 in rows.tolist()) == (dummies == 0) and len(set(columns.tolist())) == len(columns)


def test_the_spline_does_not_depend_on_the_unit_of_length():
    larger = warp_image(tshirt(), 0.9 * pixel_centres(SIZE, align_corners=False)[None], align_corners=False)
    worn, garment = (
        sc.thin_out(sc.boundary_points(sc.reduced_mask(mask[0, 0], 64)), 40) for mask in (larger, tshirt().roll(3, -1))
    )
    config = ShapeContextConfig(points=40, dummies=10, iterations=3)
    one = sc.iterate(worn, garment, config)[-1]
    other = sc.iterate(worn._replace(points=7 * worn.points), garment._replace(points=7 * garment.points), config)[-1]
    assert torch.equal(one.rows, other.rows) and torch.equal(one.columns, other.columns)
    points = random_points(20)
    torch.testing.assert_close(other.spline(7 * points), 7 * one.spline(points), atol=1e-5, rtol=1e-6)


def test_no_boundary_point_comes_twice():
    mask = torch.zeros(8, 8, dtype=torch.float64)
    mask[2:5, 2:6] = 1
    mask[4, 5] = 0.5  # row 4 and column 5 cross 0.5 at this pixel's centre
    points = sc.boundary_points(mask).points
    assert (points == torch.tensor([5.0, 4.0])).all(1).sum() == 1
    assert len(torch.unique(points, dim=0)) == len(points) == 13


def test_moved_tangents():
    boundary = sc.Boundary(random_points(6), torch.linspace(-3, 3, 6, dtype=torch.float64))
    turn, source = 0.4, random_points(5, seed=1)
    matrix = torch.tensor([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]], dtype=torch.float64)
    moved = sc.move(boundary, warp.ThinPlateSpline(source, source @ matrix))
    torch.testing.assert_close(moved.points, boundary.points @ matrix)
    torch.testing.assert_close((moved.tangents - boundary.tangents - turn).cos(), torch.ones(6, dtype=torch.float64))


# --- errors -----------------------------------------------------------------------------------------------------------


def test_masks_that_are_too_small_are_refused_by_name():
    mask = tshirt()
    with pytest.raises(TooFewBoundaryPoints, match=r"sample 1: .*100 boundary points in target_mask, got 0.*empty"):
        shape_context_tps(mask.expand(2, -1, -1, -1), torch.cat([mask, torch.zeros_like(mask)]))
    with pytest.raises(TooFewBoundaryPoints, match=r"sample 0: .*in garment_mask, got \d+ at \(64, 48\)$"):
        shape_context_tps(disc(SIZE, (45, 45), 10), mask)
    assert issubclass(TooFewBoundaryPoints, ValueError)


def test_other_arguments_are_refused():
    mask = tshirt()
    for garment, target, message in (
        (mask[0], mask, r"garment_mask \(1, 1, H, W\), got \(1, 128, 96\)"),
        (mask, mask.expand(2, -1, -1, -1), r"target_mask \(1, 1, H, W\), got \(2, 1"),
        (mask * 255, mask, r"garment_mask in \[0, 1\]"),
        (mask, mask * torch.nan, r"target_mask in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            shape_context_tps(garment, target)
    for wrong in ({"points": 2}, {"dummies": 98}, {"inner_radius": 3.0}, {"iterations": 0}, {"radius_bins": 1}):
        with pytest.raises(ValueError, match="ShapeContextConfig: expected"):
            ShapeContextConfig(**wrong)
    with pytest.raises(TypeError):
        ShapeContextConfig(bins=5)
