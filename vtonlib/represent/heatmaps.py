"""Keypoints as maps: one channel a joint, bright around it.

A network can't do much with 36 numbers, but a stack of maps lies on the picture pixel by pixel. Three shapes are used:
discs of radius 4 (MG-VTON), squares of 11 x 11 pixels (VITON, CP-VTON) and Gaussians (pose estimators).

Convention: keypoints are index coordinates (x, y); the centre of the first pixel is (0, 0). Sizes are (height, width).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..labels import COCO_18_FROM_BODY_25

RADII = {"disc": 4.0, "square": 5.0, "gaussian": 3.0}
ORDERS = {"coco-18": 18, "body-25": 25}


def pose_heatmaps(
    pose: Tensor,
    size: tuple[int, int],
    kind: str = "disc",
    radius: float | None = None,
    order: str = "coco-18",
) -> Tensor:
    """One map a keypoint.

    pose (...,25,3) in the order BODY_25 or (...,18,3) in the order COCO-18: x, y in pixels of a picture of `size`
    (height, width), confidence. order: of the channels, "coco-18" or "body-25". Returns (...,18 or 25,H,W) in [0,1],
    of pose's type and device.

    kind "disc": 1 within `radius` (4) pixels, MG-VTON section 3.1. "square": 1 in the rectangle from x - radius to
    x + radius (5), ends included and cut to whole pixels as Pillow draws it: 11 x 11 pixels as in CP-VTON. "gaussian":
    exp(-distance^2 / (2 radius^2)), radius (3) is the standard deviation.

    A keypoint with confidence 0 or less has an empty map. One outside the picture with a confidence above 0 is drawn as
    far as its shape reaches in; the data sets' readers give such points the confidence 0.

    Raises ValueError for an unknown kind or order, a wrong shape or radius, or 25 channels from 18 points.
    """
    pose = _ordered(pose, order)
    if kind not in RADII:
        raise ValueError(f"kind: expected one of {sorted(RADII)}, got {kind!r}")
    radius = RADII[kind] if radius is None else float(radius)
    if not radius > 0:
        raise ValueError(f"radius: expected a number above 0, got {radius}")
    height, width = size
    seen = (pose[..., 2] > 0)[..., None]
    columns = torch.arange(width, device=pose.device, dtype=pose.dtype)
    rows = torch.arange(height, device=pose.device, dtype=pose.dtype)
    x, y = pose[..., 0, None], pose[..., 1, None]
    # Every shape is a product or a comparison of one row and one column of numbers, so the big array is written once.
    if kind == "disc":
        reach = torch.where(seen, radius**2 - (columns - x) ** 2, -1)
        return ((rows - y) ** 2)[..., :, None].le(reach[..., None, :]).to(pose.dtype)
    if kind == "square":
        across, down = _between(columns, x, radius), _between(rows, y, radius)
    else:
        across, down = (torch.exp((at - centre) ** 2 / (-2 * radius**2)) for at, centre in ((columns, x), (rows, y)))
    return down[..., :, None] * (across * seen)[..., None, :]


def _ordered(pose: Tensor, order: str) -> Tensor:
    if order not in ORDERS:
        raise ValueError(f"order: expected one of {sorted(ORDERS)}, got {order!r}")
    if pose.ndim < 2 or pose.shape[-2] not in ORDERS.values() or pose.shape[-1] != 3 or not pose.is_floating_point():
        raise ValueError(f"pose: expected floats of shape (..., 25 or 18, 3), got {pose.dtype} {tuple(pose.shape)}")
    if pose.shape[-2] == ORDERS[order]:
        return pose
    if order == "body-25":
        raise ValueError("order: expected coco-18 for a pose of 18 points, got body-25")
    return pose[..., list(COCO_18_FROM_BODY_25), :]


def _between(at: Tensor, centre: Tensor, radius: float) -> Tensor:
    """1 from trunc(centre - radius) to trunc(centre + radius), else 0."""
    return ((at >= torch.trunc(centre - radius)) & (at <= torch.trunc(centre + radius))).to(at.dtype)
