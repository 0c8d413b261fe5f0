"""Reading a picture at other places: coordinate conventions, sampling grids, flows.

Convention: *index coordinates* (x, y) count pixels, and the centre of the first pixel is (0, 0). *Normalised
coordinates* run over [-1, 1] across the picture, in one of two ways:

    align_corners=True     -1 and 1 are the centres of the first and last pixel:   n = 2 x / (W - 1) - 1
    align_corners=False    -1 and 1 are the outer edges of the picture:            n = (2 x + 1) / W - 1

The second is unchanged when a picture is resized (x -> (x + 0.5) s - 0.5); the first is what CP-VTON's linspace(-1, 1)
means. Whoever makes a grid and whoever samples with it must agree, so `align_corners` has no default here.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

OUTSIDE = -3.0  # a normalised coordinate from which bilinear sampling with zero padding reads nothing


def _size_xy(size: tuple[int, int], align_corners: bool) -> tuple[int, int]:
    height, width = size
    if min(height, width) < (2 if align_corners else 1):
        raise ValueError(f"size: too small for align_corners={align_corners}, got {tuple(size)}")
    return width, height


def index_to_normalised(points: Tensor, size: tuple[int, int], *, align_corners: bool) -> Tensor:
    """Index coordinates (..., 2) of a picture of `size` (height, width) as normalised coordinates.

    Raises ValueError for a picture one pixel wide or high with align_corners=True, where the map does not exist.
    """
    extent = points.new_tensor(_size_xy(size, align_corners))
    return 2 * points / (extent - 1) - 1 if align_corners else (2 * points + 1) / extent - 1


def normalised_to_index(points: Tensor, size: tuple[int, int], *, align_corners: bool) -> Tensor:
    """Normalised coordinates (..., 2) as index coordinates of a picture of `size` (height, width): the inverse."""
    extent = points.new_tensor(_size_xy(size, align_corners))
    return (points + 1) * (extent - 1) / 2 if align_corners else ((points + 1) * extent - 1) / 2


def pixel_indices(
    size: tuple[int, int], *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Tensor:
    """Index coordinates (x, y) of every pixel: (height, width, 2). As a flow this is the identity."""
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=dtype, device=device) for n in size), indexing="ij")
    return torch.stack([columns, rows], dim=-1)


def pixel_centres(
    size: tuple[int, int],
    *,
    align_corners: bool,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Normalised (x, y) of every pixel centre: (height, width, 2). As a sampling grid this is the identity."""
    indices = pixel_indices(size, dtype=dtype, device=device)
    return index_to_normalised(indices, size, align_corners=align_corners)


def warp_image(
    image: Tensor, grid: Tensor, *, padding: Literal["zeros", "border"] = "zeros", align_corners: bool
) -> Tensor:
    """Read `image` (B, C, h, w) bilinearly at `grid` (B, H, W, 2), normalised (x, y): (B, C, H, W).

    padding: what lies beyond the picture: zeros, or the nearest pixel of its border. CP-VTON warps the garment with
    "border" and its mask with "zeros"; zeros are mid-grey for pictures in [-1, 1].
    align_corners: the convention that the grid was made with.

    Raises ValueError for another padding, or batch sizes that differ.
    """
    if padding not in ("zeros", "border"):
        raise ValueError(f"warp_image: padding must be 'zeros' or 'border', got {padding!r}")
    if image.ndim != 4 or grid.ndim != 4 or grid.shape[-1] != 2 or image.shape[0] != grid.shape[0]:
        raise ValueError(
            "warp_image: expected image (B, C, h, w) and grid (B, H, W, 2) with the same B, "
            f"got {tuple(image.shape)} and {tuple(grid.shape)}"
        )
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode=padding, align_corners=align_corners)


def flow_to_grid(flow: Tensor, source_size: tuple[int, int], *, align_corners: bool) -> Tensor:
    """A flow (B, 2, H, W) of index coordinates in a picture of `source_size` as a sampling grid (B, H, W, 2).

    Pixels without a correspondence (NaN in x or y) are sent outside of the picture, so zero padding leaves them zero.
    """
    grid = index_to_normalised(flow.permute(0, 2, 3, 1), source_size, align_corners=align_corners)
    return torch.where(grid.isfinite().all(-1, keepdim=True), grid, OUTSIDE)


def grid_to_flow(grid: Tensor, source_size: tuple[int, int], *, align_corners: bool) -> Tensor:
    """A sampling grid (B, H, W, 2) as a flow (B, 2, H, W) of index coordinates in a picture of `source_size`."""
    return normalised_to_index(grid, source_size, align_corners=align_corners).permute(0, 3, 1, 2)


def warp_by_flow(image: Tensor, flow: Tensor, *, fill: float = 0.0) -> Tensor:
    """Read `image` (B, C, h, w) bilinearly where `flow` (B, 2, H, W) points: (B, C, H, W).

    flow: for each pixel of the result the index coordinates (x, y) in `image`; beyond the picture its border is read.
    Where the flow is NaN the result is `fill` (1.0 is white for pictures in [-1, 1]).
    """
    grid = flow_to_grid(flow, image.shape[-2:], align_corners=False)
    known = flow.isfinite().all(1, keepdim=True)
    return torch.where(known, warp_image(image, grid, padding="border", align_corners=False), fill)
