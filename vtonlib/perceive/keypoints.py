"""From heatmaps to keypoints, and how good keypoints are: the functions of pose estimation, without a network.

`decode_heatmaps` reads a map to a fraction of a pixel as DARK does (Zhang et al. 2020, section 3.1, "taylor-expansion
based coordinate decoding"): the logarithm of a Gaussian is a parabola, so its top follows from the peak and its
neighbours. `pck` is the percentage of correct keypoints (Yang and Ramanan 2013) with the course's torso (notebook 02).

Convention: keypoints are index coordinates (x, y); the centre of the first pixel is (0, 0). A confidence of 0 = not
seen. Sizes are (height, width).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from vtonlib.labels import BODY_25_INDEX

# The ends of the torso, by which errors are measured: the diagonal from the left shoulder to the right hip.
TORSO = (BODY_25_INDEX["left-shoulder"], BODY_25_INDEX["right-hip"])
SPINE = (BODY_25_INDEX["neck"], BODY_25_INDEX["mid-hip"])  # another measure, a little shorter
SMALLEST = 1e-12  # below it a map counts as empty; keeps the logarithm finite
MOST = 2.0  # pixels: the top of the parabola is never looked for further away than that


def decode_heatmaps(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """The place and height of the peak of each map.

    heatmaps (B,K,h,w) >= 0 with h and w of at least 3, not logarithms. Returns points (B,K,2), index coordinates of the
    map, and confidence (B,K), the value of the highest pixel: 0 for an empty map, whose point means nothing.

    From the highest pixel m the top lies at m - H^-1 g, with gradient g and Hessian H of the logarithm there
    (DARK, equation 5), both from differences of the 3 x 3 pixels around it. At the border the 3 x 3 pixels are those
    next to it, so a Gaussian whose centre lies on or a little beyond the border is still found where it is. Where the
    logarithm is not curved downwards (a plateau) the point stays on the pixel, in each direction on its own.

    Raises ValueError for another shape and for maps that are not floats.
    """
    if heatmaps.ndim != 4 or min(heatmaps.shape[-2:]) < 3 or not heatmaps.is_floating_point():
        expected = "heatmaps: expected floats (B, K, h, w) with h and w of at least 3"
        raise ValueError(f"{expected}, got {heatmaps.dtype} {tuple(heatmaps.shape)}")
    height, width = heatmaps.shape[-2:]
    flat = heatmaps.flatten(2)
    peak, place = flat.max(2)
    x, y = (place % width).clamp(1, width - 2), (place // width).clamp(1, height - 2)
    rows, columns = torch.meshgrid(torch.arange(-1, 2), torch.arange(-1, 2), indexing="ij")
    around = (y[..., None] + rows.flatten().to(y)) * width + x[..., None] + columns.flatten().to(x)
    logs = flat.gather(2, around.flatten(1).view(*flat.shape[:2], 9)).clamp(min=SMALLEST).log()
    return torch.stack([x, y], -1) + _step_to_top(logs.unflatten(2, (3, 3))), peak


def _step_to_top(logs: Tensor) -> Tensor:
    """From the middle of 3 x 3 values (..., 3, 3), rows downwards, to the top of the parabola: (..., 2) as x, y."""
    here = logs[..., 1, 1]
    slope_x, slope_y = (logs[..., 1, 2] - logs[..., 1, 0]) / 2, (logs[..., 2, 1] - logs[..., 0, 1]) / 2
    bend_x = logs[..., 1, 2] - 2 * here + logs[..., 1, 0]
    bend_y = logs[..., 2, 1] - 2 * here + logs[..., 0, 1]
    twist = (logs[..., 2, 2] - logs[..., 2, 0] - logs[..., 0, 2] + logs[..., 0, 0]) / 4
    round_x, round_y = bend_x < -1e-6, bend_y < -1e-6
    determinant = bend_x * bend_y - twist**2
    # A hill in every direction has a positive determinant; on a ridge that runs askew the twist says nothing reliable.
    hill = round_x & round_y & (determinant > 0.25 * bend_x * bend_y)
    safe = torch.where(hill, determinant, 1.0)
    step_x = torch.where(hill, (twist * slope_y - bend_y * slope_x) / safe, _vertex(slope_x, bend_x, round_x))
    step_y = torch.where(hill, (twist * slope_x - bend_x * slope_y) / safe, _vertex(slope_y, bend_y, round_y))
    return torch.stack([step_x, step_y], -1).clamp(-MOST, MOST)


def _vertex(slope: Tensor, bend: Tensor, curved: Tensor) -> Tensor:
    return torch.where(curved, -slope / torch.where(curved, bend, -1.0), 0.0)


def blur(heatmaps: Tensor, sigma: float) -> Tensor:
    """Maps (B,K,h,w) smoothed by a Gaussian of this standard deviation in pixels, zero beyond the border.

    DARK, section 3.1 ("distribution modulation"): predicted maps have several tops and dents, of which none may decide.
    Raises ValueError for a sigma that is negative or not finite; 0 changes nothing.
    """
    if not 0 <= sigma < math.inf:
        raise ValueError(f"sigma: expected a number >= 0, got {sigma}")
    if sigma == 0:
        return heatmaps
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2)).to(heatmaps)
    kernel = kernel / kernel.sum()
    maps = heatmaps.flatten(0, 1).unsqueeze(1)
    maps = functional.conv2d(maps, kernel.view(1, 1, 1, -1), padding=(0, reach))
    return functional.conv2d(maps, kernel.view(1, 1, -1, 1), padding=(reach, 0)).view_as(heatmaps)


def torso_length(pose: Tensor, ends: tuple[int, int] = TORSO) -> Tensor:
    """Distance (...) of two joints of poses (...,25,3), NaN where one of them is not seen."""
    length = (pose[..., ends[0], :2] - pose[..., ends[1], :2]).norm(dim=-1)
    return torch.where((pose[..., list(ends), 2] > 0).all(-1), length, torch.nan)


def pck(pose: Tensor, truth: Tensor, *, share: float = 0.1, torso: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Which keypoints are correct: PCK@share of the torso, as notebook 02 defines it.

    pose, truth (...,K,3): x, y, confidence. torso (...): the length that the share is of, in pixels, NaN for unknown;
    None: `torso_length(truth)`, for which truth has to be a body of 25 points.
    Returns hits and counted, both (...,K) bool. Counted: what is truly seen, where the torso is known. A hit: counted,
    found (confidence above 0) and within share * torso, ends included; so what was not found is a miss. The score is
    hits.sum() / counted.sum(); a mean over joints, not over people.

    Raises ValueError for shapes that don't fit.
    """
    if pose.shape != truth.shape or pose.shape[-1] != 3:
        raise ValueError(f"pose and truth: expected one shape (..., K, 3), got {_shape(pose)} and {_shape(truth)}")
    if torso is None:
        if truth.shape[-2] != 25:
            raise ValueError(
                f"truth: expected 25 points to measure the torso by, got {truth.shape[-2]}; give torso=..."
            )
        torso = torso_length(truth)
    if torso.shape != truth.shape[:-2]:
        raise ValueError(f"torso: expected shape {tuple(truth.shape[:-2])}, got {_shape(torso)}")
    limit = share * torso[..., None]
    counted = (truth[..., 2] > 0) & ~limit.isnan()
    near = (pose[..., :2] - truth[..., :2]).norm(dim=-1) <= limit
    return counted & near & (pose[..., 2] > 0), counted


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
