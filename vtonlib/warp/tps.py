"""Thin-plate splines, written out: solve for the coefficients, evaluate, and the regular control grid of GMM.

A thin-plate spline is the smoothest map of the plane that sends K source points to K target points: among all maps that
do so it has the least bending energy, the integral of f_xx^2 + 2 f_xy^2 + f_yy^2 (Bookstein 1989; Duchon 1977).
It is an affine map plus one bump for each control point,

    f(p) = a_0 + a_x p_x + a_y p_y + sum_k w_k U(|p - s_k|^2),      U(r^2) = r^2 log r^2,

and its coefficients solve one linear system. Nothing is learned and everything is differentiable.

Convention: points are (x, y). Maps run from the picture that is *made* to the picture that is *read* (worn -> in-shop),
because sampling asks for every pixel of the result where its colour comes from.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vtonlib.warp.sampling import pixel_centres


def tps_kernel(squared_distance: Tensor) -> Tensor:
    """U(r^2) = r^2 log r^2 with U(0) = 0. Any shape; non-negative input.

    Source: Bookstein 1989, equation 1. The factor of two between this form and r^2 log r is absorbed by the weights.
    """
    # log 0 would poison the gradient even where its value is masked out, so zero is replaced before the logarithm.
    positive = torch.where(squared_distance > 0, squared_distance, 1.0)
    return positive * positive.log()


def _features(points: Tensor, control: Tensor) -> Tensor:
    """One row [U(|p - s_1|^2) ... U(|p - s_K|^2), 1, x, y] for each point: (..., N, K + 3)."""
    # x and y one after the other: a sum over a last dimension of two is slow, and this is the bulk of the work.
    across, down = (points[..., :, None, axis] - control[..., None, :, axis] for axis in (0, 1))
    bumps = tps_kernel(across.square() + down.square())
    ones = torch.ones_like(points[..., :1]).expand(*bumps.shape[:-1], 1)
    return torch.cat([bumps, ones, points.expand(*bumps.shape[:-1], 2)], dim=-1)


def tps_system(source: Tensor, regularisation: float | Tensor = 0.0) -> Tensor:
    """The matrix [[K + r I, P], [P^T, 0]] of the spline through `source` (..., K, 2): (..., K + 3, K + 3).

    K_ij = U(|s_i - s_j|^2), and row i of P is [1, x_i, y_i]. The zero block asks that the
    weights have no part in an affine map. Source: Bookstein 1989, the matrix L.
    """
    count = source.shape[-2]
    upper = _features(source, source)
    affine = upper[..., count:].transpose(-1, -2)
    lower = torch.cat([affine, affine.new_zeros(*affine.shape[:-1], 3)], dim=-1)
    diagonal = torch.diag_embed(torch.cat([upper.new_ones(count), upper.new_zeros(3)]))
    return torch.cat([upper, lower], dim=-2) + regularisation * diagonal


def tps_solve(source: Tensor, target: Tensor, regularisation: float | Tensor = 0.0) -> Tensor:
    """Coefficients (..., K + 3, 2) of the spline that maps `source` to `target`, both (..., K, 2).

    Rows 0..K-1 are the weights w of the bumps, the last three the affine part [1, x, y].
    regularisation: r >= 0 on K's diagonal. With 0 the control points are met exactly; otherwise the spline minimises
    sum_k |f(s_k) - t_k|^2 + r w^T K w, where w^T K w is the bending energy divided by 16 pi.

    Raises ValueError for fewer than three points, shapes that don't match, or points that are equal or all on one line.
    """
    if source.shape[-1] != 2 or target.shape[-2:] != source.shape[-2:] or source.shape[-2] < 3:
        raise ValueError(
            "tps_solve: expected source and target (..., K, 2) with the same K >= 3, "
            f"got {tuple(source.shape)} and {tuple(target.shape)}"
        )
    batch = torch.broadcast_shapes(source.shape[:-2], target.shape[:-2])
    right = torch.cat([target, target.new_zeros(*target.shape[:-2], 3, 2)], dim=-2).expand(*batch, -1, -1)
    _check_control(source.detach())
    return torch.linalg.solve(tps_system(source, regularisation).expand(*batch, -1, -1), right)


def _check_control(source: Tensor) -> None:
    # Rounding lets the solver through a singular system with nonsense, so the two causes are looked for by themselves.
    distances = torch.cdist(source, source, compute_mode="donot_use_mm_for_euclid_dist")
    equal = (distances == 0).sum((-1, -2)) > source.shape[-2]
    centred = source - source.mean(-2, keepdim=True)
    scatter = centred.transpose(-1, -2) @ centred
    spread = scatter.diagonal(dim1=-2, dim2=-1).sum(-1)
    on_a_line = torch.linalg.det(scatter) <= 100 * torch.finfo(source.dtype).eps * spread.square()
    if equal.any() or on_a_line.any():
        raise ValueError("tps_solve: control points must be distinct and not all on one line")


def tps_apply(coefficients: Tensor, control: Tensor, points: Tensor) -> Tensor:
    """Map `points` (..., N, 2) with the spline of `tps_solve` whose source points are `control` (..., K, 2)."""
    return _features(points, control) @ coefficients


class ThinPlateSpline:
    """The thin-plate spline that maps `source` control points to `target` control points, both (..., K, 2).

    Called with points (..., N, 2) it maps them. `grid` evaluates it at every pixel centre. Raises as `tps_solve` does.
    Source: Bookstein 1989; in try-on VITON (Han et al. 2018) and CP-VTON (Wang et al. 2018, section 3.2).

    Convention: any coordinates will do for calling; `grid` needs both point sets in normalised coordinates, source in
    the picture that is made and target in the picture that is read.
    """

    def __init__(self, source: Tensor, target: Tensor, *, regularisation: float | Tensor = 0.0) -> None:
        self.source = source
        self.target = target
        self.coefficients = tps_solve(source, target, regularisation)

    def __call__(self, points: Tensor) -> Tensor:
        return tps_apply(self.coefficients, self.source, points)

    def grid(self, size: tuple[int, int], *, align_corners: bool) -> Tensor:
        """Sampling grid (..., height, width, 2) of normalised (x, y) for `warp_image` with the same `align_corners`."""
        centres = pixel_centres(size, align_corners=align_corners, dtype=self.source.dtype, device=self.source.device)
        return self(centres.reshape(-1, 2)).unflatten(-2, size)

    def bending_energy(self) -> Tensor:
        """Integral of f_xx^2 + 2 f_xy^2 + f_yy^2 over the plane, summed over x and y: (...)."""
        weights = self.coefficients[..., :-3, :]
        kernel = tps_system(self.source)[..., :-3, :-3]
        return 16 * math.pi * (weights * (kernel @ weights)).sum((-1, -2))


def control_points(grid_size: int = 5, extent: float = 1.0, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """The regular control grid (grid_size^2, 2) on [-extent, extent] in normalised (x, y).

    Convention: x-major, control point k = i_x * grid_size + i_y, as in CP-VTON and VITON-HD.
    """
    axis = torch.linspace(-extent, extent, grid_size, dtype=dtype)
    return torch.cartesian_prod(axis, axis)


def tps_design(points: Tensor, grid_size: int = 5) -> Tensor:
    """What each point takes from each control point's offset: (N, grid_size^2) for points (N, 2) on the grid's [-1, 1].

    A spline on fixed control points is linear in where they go: offset(p) = D(p) @ offsets of the control points.
    D does not change when points and control points are scaled together, so the same D serves every extent.
    """
    control = control_points(grid_size, dtype=torch.float64)
    inverse = torch.linalg.inv(tps_system(control))[:, : grid_size**2].to(points)
    return _features(points, control.to(points)) @ inverse


def bending_matrix(grid_size: int = 5) -> Tensor:
    """The matrix E (grid_size^2, grid_size^2), float64, with bending energy = offsets^T E offsets for extent 1.

    Source: Bookstein 1989, the bending-energy matrix: the upper left block of the inverse of L, here times 16 pi as
    U(r^2) = r^2 log r^2 is 16 pi times the Green's function of the thin plate.
    """
    inverse = torch.linalg.inv(tps_system(control_points(grid_size)))
    return 16 * math.pi * inverse[: grid_size**2, : grid_size**2]


def bending_energy(theta: Tensor, *, grid_size: int = 5, extent: float = 1.0) -> Tensor:
    """Bending energy (B,) of the grids that `TPSGrid` makes of theta (B, 2 * grid_size^2); 0 for affine maps.

    Unit: normalised coordinates of the result per normalised coordinate, squared and integrated over the plane.
    """
    offsets = split_theta(theta, grid_size)
    matrix = bending_matrix(grid_size).to(theta) / extent**2
    return (offsets * (offsets @ matrix)).sum((1, 2))


def split_theta(theta: Tensor, grid_size: int = 5) -> Tensor:
    """theta (B, 2 * K) as (B, 2, K): x-offsets then y-offsets. Raises ValueError for another shape."""
    if theta.ndim != 2 or theta.shape[1] != 2 * grid_size**2:
        raise ValueError(f"theta: expected (B, {2 * grid_size**2}), got {tuple(theta.shape)}")
    return theta.unflatten(1, (2, grid_size**2))


class TPSGrid(nn.Module):
    """From theta to the sampling grid of a thin-plate spline on a regular control grid (CP-VTON's grid generator).

    grid_size: control points along each axis (5 in the papers).
    extent: control points and pixels both lie on [-extent, extent]: 1.0 in CP-VTON, where theta = 0 is the identity;
    0.9 in VITON-HD, where theta = 0 magnifies the middle of the picture by 1 / 0.9.
    align_corners: where the pixel centres lie in normalised coordinates (see `vtonlib.warp.sampling`). VITON-HD places
    them as for True but samples with False; its weights are tied to that.
    size: the (height, width) whose grid is prepared in advance; others are made on demand.

    Convention: theta (B, 50) holds 25 x-offsets, then 25 y-offsets, in normalised units, control points x-major.
    The buffers are not persistent, so a GMM's state dict has the papers' keys and no others.
    """

    def __init__(
        self,
        *,
        grid_size: int = 5,
        extent: float = 1.0,
        align_corners: bool = True,
        size: tuple[int, int] = (256, 192),
    ) -> None:
        super().__init__()
        self.grid_size, self.extent, self.align_corners, self.size = grid_size, extent, align_corners, tuple(size)
        centres, design = self._prepare(self.size, torch.float64, torch.device("cpu"))
        # The inverse is taken in float64; float32 is enough to multiply with, and some accelerators have no more.
        self.register_buffer("centres", centres.float(), persistent=False)
        self.register_buffer("design", design.float(), persistent=False)

    def _prepare(self, size: tuple[int, int], dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
        """Pixel centres (H, W, 2) on [-1, 1] and the design matrix (H * W, K) at them."""
        centres = pixel_centres(size, align_corners=self.align_corners, dtype=dtype, device=device)
        return centres, tps_design(centres.reshape(-1, 2), self.grid_size)

    def forward(self, theta: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Sampling grid (B, height, width, 2) of normalised (x, y) for theta (B, 2 * grid_size^2).

        size: (height, width) of the grid; the prepared one where None. Raises ValueError for a theta of another shape.
        """
        offsets = split_theta(theta, self.grid_size)
        size = self.size if size is None else tuple(size)
        centres, design = self.centres, self.design
        if size != self.size:
            centres, design = self._prepare(size, centres.dtype, centres.device)
        moved = (offsets @ design.T).unflatten(2, size)
        return self.extent * centres + moved.permute(0, 2, 3, 1)
