"""VITON's warp: pair two outlines by shape contexts, and lay a thin-plate spline through the pairs. Nothing is learned.

A shape context says how the rest of an outline lies around one of its points: a histogram of directions and of
logarithmic distances. Points of two outlines with similar histograms are paired, all at once, at the least total cost;
a regularised spline is fitted to the pairs, the one outline is warped by it, and pairing and fitting are repeated.

It sees outlines and nothing else. Where the print goes is left to the spline, an arm before the garment looks like a
garment with a notch, and the outline of a symmetric garment is the same for its mirror image.

Source: Belongie, Malik and Puzicha 2002, "Shape matching and object recognition using shape contexts", sections 3, 4
and 5.1; the numbers are those of VITON (Han et al. 2018, section 3.2). Two things differ from VITON. It fits the map
from garment to person and then inverts it on 10x10 control points, by looking for the nearest place of a lattice, which
quantises them; we fit the direction that sampling needs at once. And our boundary points lie between the pixels.

Convention: points are (x, y) in index coordinates of a mask reduced to `ShapeContextConfig.height` rows, so that x and
y have one unit, as distances and angles need. The map runs worn -> in-shop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from vtonlib.warp.sampling import index_to_normalised, pixel_indices
from vtonlib.warp.tps import ThinPlateSpline

TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class ShapeContextConfig:
    """The numbers of the method. The defaults are VITON's.

    points: of each boundary. height: rows of the masks it works on (64x48 in VITON).
    angle_bins, radius_bins: of the histogram; the outer edges of its rings run from inner_radius to outer_radius,
    evenly on a logarithmic scale, as multiples of the mean distance between two points of the same boundary.
    orientation_weight: share of the tangents in the cost of a pair; the histograms have the rest.
    dummies, dummy_cost: partners for points that fit nowhere, and what it costs to take one.
    iterations: of pairing and fitting. first_stiffness, stiffness: the spline's regularisation in the first and in the
    later ones, in units of the garment's squared mean distance.

    Raises ValueError for numbers that make no sense.
    """

    points: int = 100
    height: int = 64
    angle_bins: int = 12
    radius_bins: int = 5
    inner_radius: float = 1 / 8
    outer_radius: float = 2.0
    orientation_weight: float = 0.1
    dummies: int = 25
    dummy_cost: float = 0.25
    iterations: int = 6
    first_stiffness: float = 1000.0
    stiffness: float = 1.0

    def __post_init__(self) -> None:
        counts = (self.points - 2, self.height - 7, self.angle_bins, self.radius_bins - 1, self.iterations)
        if min(counts) < 1 or not 0 <= self.dummies <= self.points - 3:
            raise ValueError(
                "ShapeContextConfig: expected points >= 3, height >= 8, angle_bins >= 1, radius_bins >= 2, "
                f"iterations >= 1 and dummies that leave three points, got {self}"
            )
        if not 0 < self.inner_radius < self.outer_radius:
            raise ValueError(f"ShapeContextConfig: expected 0 < inner_radius < outer_radius, got {self}")


VITON_SHAPE_CONTEXT = ShapeContextConfig()


class TooFewBoundaryPoints(ValueError):
    """A mask is empty or its boundary too short: VITON's "not enough keypoints"."""


class Boundary(NamedTuple):
    """points (N, 2) in index coordinates; tangents (N,), directions in radians from x towards y, with the shape on the
    right-hand side as one sees it: along the top edge of a shape they point to the right, 0."""

    points: Tensor
    tangents: Tensor


class Pairing(NamedTuple):
    """One iteration. moved (N, 2): the worn boundary points as the iterations before have warped them; pair m joins
    worn[rows[m]] with garment[columns[m]]; cost: the pairs' mean; spline: worn -> garment, fitted to these pairs."""

    moved: Tensor
    rows: Tensor
    columns: Tensor
    cost: float
    spline: ThinPlateSpline


class ShapeContextFit(NamedTuple):
    """What was found for one sample: both boundaries, in index coordinates of the reduced masks, whose sizes (height,
    width) are worn_size and garment_size; one `Pairing` an iteration."""

    worn: Boundary
    garment: Boundary
    pairings: tuple[Pairing, ...]
    worn_size: tuple[int, int]
    garment_size: tuple[int, int]

    @property
    def spline(self) -> ThinPlateSpline:
        """The last iteration's spline."""
        return self.pairings[-1].spline


class ShapeContextWarp(NamedTuple):
    """grid (B, H, W, 2), normalised (x, y), for `warp_image`; fits: for each sample how it was found."""

    grid: Tensor
    fits: tuple[ShapeContextFit, ...]


def shape_context_tps(
    garment_mask: Tensor,
    target_mask: Tensor,
    *,
    align_corners: bool = False,
    config: ShapeContextConfig = VITON_SHAPE_CONTEXT,
) -> ShapeContextWarp:
    """The warp that carries a garment's outline onto the outline it should have on the person.

    garment_mask (B, 1, h, w) of the in-shop picture; target_mask (B, 1, H, W), where the garment is or should be worn,
    for example as predicted from the person's pose and body shape; both in [0, 1], 1 on the garment, above 0.5 is in.
    align_corners: of the grid (B, H, W, 2) that is made, which has the dtype and the device of target_mask.

    Holes are filled before the boundary is taken, as in VITON. Samples are fitted one by one, some 0.1 s each.
    Raises TooFewBoundaryPoints, a ValueError that names the sample and the mask, where a boundary has fewer than
    `config.points` points; ValueError for other shapes or for values outside [0, 1].
    """
    batch = len(garment_mask)
    for name, mask in (("garment_mask", garment_mask), ("target_mask", target_mask)):
        if mask.ndim != 4 or mask.shape[:2] != (batch, 1):
            raise ValueError(f"shape_context_tps: expected {name} ({batch}, 1, H, W), got {tuple(mask.shape)}")
        if not (mask.min() >= 0 and mask.max() <= 1):  # NaN fails too
            raise ValueError(f"shape_context_tps: expected {name} in [0, 1]")
    fits, grids = [], []
    size = tuple(target_mask.shape[2:])
    for number, (garment, worn) in enumerate(zip(garment_mask[:, 0], target_mask[:, 0], strict=True)):
        fits.append(fit_shape_context(garment, worn, config=config, name=f"sample {number}"))
        grids.append(_grid(fits[-1], size, tuple(garment.shape), align_corners))
    return ShapeContextWarp(torch.stack(grids).to(target_mask), tuple(fits))


def _grid(fit: ShapeContextFit, size: tuple[int, int], source_size: tuple[int, int], align_corners: bool) -> Tensor:
    """From the reduced masks back to the pictures: (H, W, 2), normalised in a garment picture of `source_size`."""
    places = _rescale(pixel_indices(size, dtype=torch.float64), size, fit.worn_size)
    read = fit.spline(places.flatten(0, 1)).unflatten(0, size)
    read = _rescale(read, fit.garment_size, source_size)
    return index_to_normalised(read, source_size, align_corners=align_corners)


def _rescale(points: Tensor, size: tuple[int, int], new_size: tuple[int, int]) -> Tensor:
    """Index coordinates (..., 2) in a picture of `size`, after it is resized to `new_size`, both (height, width)."""
    scale = points.new_tensor(new_size[::-1]) / points.new_tensor(size[::-1])
    return (points + 0.5) * scale - 0.5


def fit_shape_context(
    garment_mask: Tensor, worn_mask: Tensor, *, config: ShapeContextConfig = VITON_SHAPE_CONTEXT, name: str = "sample"
) -> ShapeContextFit:
    """Pair the outlines of two masks (h, w) and (H, W) in [0, 1]. name: for the error of `shape_context_tps`."""
    masks, boundaries = {}, {}
    for what, mask in (("garment_mask", garment_mask), ("target_mask", worn_mask)):
        masks[what] = reduced_mask(mask, config.height)
        boundaries[what] = boundary_points(masks[what])
        if len(boundaries[what].points) < config.points:
            raise TooFewBoundaryPoints(
                f"shape_context_tps: {name}: expected at least {config.points} boundary points in {what}, "
                f"got {len(boundaries[what].points)} at {tuple(masks[what].shape)}"
                + ("; the mask is empty" if not (mask > 0.5).any() else "")
            )
        boundaries[what] = thin_out(boundaries[what], config.points)
    garment, worn = boundaries["garment_mask"], boundaries["target_mask"]
    pairings = iterate(worn, garment, config)
    return ShapeContextFit(
        worn, garment, pairings, tuple(masks["target_mask"].shape), tuple(masks["garment_mask"].shape)
    )


def iterate(worn: Boundary, garment: Boundary, config: ShapeContextConfig = VITON_SHAPE_CONTEXT) -> tuple[Pairing, ...]:
    """Pair, fit, warp, and again; one `Pairing` an iteration.

    Every spline is fitted from the *unwarped* worn points, so that errors don't add up.

    The regularisation of `tps_solve` stands beside r^2 log r^2, so it has the unit of a squared length: coordinates
    that are s times as large need s^2 times as much for the same spline. Hence stiffness times the squared mean
    distance.
    """
    moved, pairings = worn, []
    unit = mean_distance(garment.points).square()
    for number in range(config.iterations):
        cost = pair_cost(moved, garment, config)
        rows, columns = match_with_dummies(cost, config.dummies, config.dummy_cost)
        stiffness = config.stiffness if number else config.first_stiffness
        spline = ThinPlateSpline(worn.points[rows], garment.points[columns], regularisation=stiffness * unit)
        pairings.append(Pairing(moved.points, rows, columns, float(cost[rows, columns].mean()), spline))
        moved = move(worn, spline)
    return tuple(pairings)


# --- the boundary -----------------------------------------------------------------------------------------------------


def reduced_mask(mask: Tensor, height: int) -> Tensor:
    """A mask (H, W) in [0, 1] with its holes filled, averaged down to `height` rows at the same aspect: float64.

    Masks of fewer rows are enlarged.
    """
    from scipy import ndimage

    filled = torch.from_numpy(ndimage.binary_fill_holes((mask > 0.5).cpu().numpy())).double()
    size = (height, max(1, round(height * mask.shape[1] / mask.shape[0])))
    options = {"mode": "bilinear", "align_corners": False, "antialias": True}
    return functional.interpolate(filled[None, None], size, **options)[0, 0].clamp(0, 1)


def boundary_points(mask: Tensor) -> Boundary:
    """All places where a mask (H, W) in [0, 1] crosses 0.5 on its way from a pixel to its right or lower neighbour.

    None comes twice. Beyond the picture the mask is 0. The tangent is at right angles to the slope of the mask, blurred
    by a pixel.
    """
    from scipy import ndimage

    padded = functional.pad(mask.double(), (2, 2, 2, 2))
    across, down = _crossings(padded), _crossings(padded.T).flip(-1)
    points = torch.cat([across, down])
    points = points[~_repeats(points)]  # a pixel that is exactly 0.5 is where its row crosses, and its column
    blurred = ndimage.gaussian_filter(padded.numpy(), 1.0)
    places = points.flip(-1).T.numpy()  # rows, columns
    slope_y, slope_x = (
        torch.from_numpy(ndimage.map_coordinates(ndimage.sobel(blurred, axis), places, order=1)) for axis in (0, 1)
    )
    return Boundary(points - 2, torch.atan2(-slope_x, slope_y))


def _crossings(mask: Tensor) -> Tensor:
    """Points (N, 2), x and y, where a row of the mask crosses 0.5 between two neighbours."""
    here, there = mask[:, :-1], mask[:, 1:]
    y, x = ((here > 0.5) != (there > 0.5)).nonzero(as_tuple=True)
    share = (0.5 - here[y, x]) / (there[y, x] - here[y, x])
    return torch.stack([x + share, y.double()], -1)


def _repeats(points: Tensor) -> Tensor:
    """Which of the points (N, 2) come again later: (N,) bool."""
    equal = (points[:, None] == points[None]).all(-1)
    return equal.triu(1).any(1)


def thin_out(boundary: Boundary, count: int) -> Boundary:
    """The `count` points that are left when again and again one of the two nearest to each other is taken away.

    Of the two, the one whose next neighbour is nearer.
    """
    distances = torch.cdist(boundary.points, boundary.points)
    distances.fill_diagonal_(math.inf)
    kept = torch.ones(len(distances), dtype=torch.bool)
    for _ in range(len(distances) - count):
        nearest = int(distances.argmin())
        pair = torch.tensor(divmod(nearest, len(distances)))
        second = distances[pair].topk(2, largest=False).values[:, 1]
        gone = pair[second.argmin()]
        kept[gone] = False
        distances[gone] = distances[:, gone] = math.inf
    return Boundary(boundary.points[kept], boundary.tangents[kept])


# --- shape contexts and their cost ------------------------------------------------------------------------------------


def mean_distance(points: Tensor) -> Tensor:
    """Mean distance between two of the points (N, 2): over all N (N - 1) pairs."""
    return torch.cdist(points, points).sum() / (len(points) * (len(points) - 1))


def ring_ends(config: ShapeContextConfig, like: Tensor) -> Tensor:
    """Outer radii (radius_bins,) of a shape context's rings, in mean distances: 1/8, 1/4, 1/2, 1, 2 by default."""
    share = torch.linspace(0, 1, config.radius_bins, dtype=like.dtype, device=like.device)
    return config.inner_radius * (config.outer_radius / config.inner_radius) ** share


def shape_contexts(points: Tensor, config: ShapeContextConfig = VITON_SHAPE_CONTEXT) -> Tensor:
    """For each point (N, 2) the histogram of where the others lie: (N, angle_bins, radius_bins), each of sum 1.

    Bin [a, r]: direction between a and a + 1 times 360 / angle_bins degrees from x towards y; distance, as a multiple
    of the mean distance, in the r-th ring. The first ring is a disc up to inner_radius, and what lies beyond
    outer_radius doesn't count. Shifting and scaling the points changes nothing; turning them by one angle bin shifts
    the histogram by one bin. A point does not count in its own. Source: Belongie et al. 2002, section 3.1.
    """
    offsets = points[None] - points[:, None]  # from the point of the first index to that of the second
    distance = offsets.square().sum(-1).sqrt() / mean_distance(points)
    ring = torch.bucketize(distance, ring_ends(config, points), right=True)
    turn = torch.atan2(offsets[..., 1], offsets[..., 0]) / (2 * math.pi) % 1
    wedge = (turn * config.angle_bins).long().clamp(max=config.angle_bins - 1)
    counted = (ring < config.radius_bins) & ~torch.eye(len(points), dtype=torch.bool)
    place = wedge * config.radius_bins + ring.clamp(max=config.radius_bins - 1)
    histogram = points.new_zeros(len(points), config.angle_bins * config.radius_bins)
    histogram.scatter_add_(1, place, counted.to(points.dtype))
    histogram = histogram / histogram.sum(1, keepdim=True).clamp(min=1)
    return histogram.unflatten(1, (config.angle_bins, config.radius_bins))


def chi_squared(histograms_a: Tensor, histograms_b: Tensor) -> Tensor:
    """Half the chi-squared distance of all pairs of histograms (N, ...) and (M, ...): (N, M), 0 for equal, at most 1.

    Source: Belongie et al. 2002, equation 2.
    """
    a, b = histograms_a.flatten(1)[:, None], histograms_b.flatten(1)[None]
    return 0.5 * ((a - b).square() / (a + b).clamp(min=TINY)).sum(-1)


def pair_cost(worn: Boundary, garment: Boundary, config: ShapeContextConfig = VITON_SHAPE_CONTEXT) -> Tensor:
    """Cost (N, M) in [0, 1] of pairing each worn point with each garment point.

    (1 - w) chi-squared of the shape contexts + w (1 - cos of the angle between the tangents) / 2, with w the
    orientation_weight. Source: Belongie et al. 2002, section 5.1.
    """
    contexts = chi_squared(shape_contexts(worn.points, config), shape_contexts(garment.points, config))
    turned = worn.tangents[:, None] - garment.tangents[None]
    return (1 - config.orientation_weight) * contexts + config.orientation_weight * (1 - turned.cos()) / 2


def match_with_dummies(cost: Tensor, dummies: int, dummy_cost: float) -> tuple[Tensor, Tensor]:
    """Pair rows with columns at the least total cost; each may take one of some dummies at `dummy_cost` instead.

    cost (N, M). Returns rows and columns (P,) of the real pairs, rows rising. A pair that costs more than
    `dummy_cost` is not made as long as there are dummies for both of its points. Source: Belongie et al. 2002, section
    3.2.
    """
    from scipy.optimize import linear_sum_assignment

    padded = functional.pad(cost, (0, dummies, 0, dummies), value=dummy_cost)
    rows, columns = (torch.from_numpy(index) for index in linear_sum_assignment(padded.numpy()))
    real = (rows < cost.shape[0]) & (columns < cost.shape[1])
    return rows[real], columns[real]


def move(boundary: Boundary, spline: ThinPlateSpline, step: float = 1e-3) -> Boundary:
    """A boundary as a spline warps it: points, and the tangents by a small step forwards and back."""
    ahead = step * torch.stack([boundary.tangents.cos(), boundary.tangents.sin()], -1)
    direction = spline(boundary.points + ahead) - spline(boundary.points - ahead)
    return Boundary(spline(boundary.points), torch.atan2(direction[:, 1], direction[:, 0]))
