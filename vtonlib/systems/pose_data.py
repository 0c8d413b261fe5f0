"""What feeds the training of the pose network: pictures and keypoints in memory, and their random changes.

Photographs of try-on show people from the head to the thighs, large and cut off by the border; others show them small.
So a person is enlarged and reduced by much, moved and turned, and what the border then cuts off is *not seen*. Where
the picture ends within the frame, its last pixels go on or a plain colour begins, as a photograph of another shape is
filled up by the estimator. Light and grain change, and a patch of another picture may lie over the person: a joint
behind it is still asked for, for it has to be guessed from the others.

Convention: keypoints are index coordinates (x, y) of the pictures beside them; confidence 0 = not seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from vtonlib.perceive.pose import BODY, HAND, POINTS_MIRROR
from vtonlib.sample import TryOnSample
from vtonlib.systems.features_training import filmed, relight
from vtonlib.systems.memory import Augmentation, draw_affine, from_bytes, lookup_grid, move_points, to_bytes


@dataclass(frozen=True, kw_only=True)
class PoseAugmentation:
    """Random changes of a training sample, drawn anew each time.

    geometry: mirror, shift, scale and rotation, see `memory.Augmentation` (the garment has no part in it). light: the
    largest change of brightness and contrast. plain: share of the samples beyond whose picture is a plain colour rather
    than its continued border. grey: share without colour. patch: share over which a patch of another picture lies.
    """

    geometry: Augmentation = field(
        default_factory=lambda: Augmentation(mirror=0.5, shift=0.15, scale=0.45, rotation=15.0)
    )
    light: float = 0.35
    plain: float = 0.5
    grey: float = 0.1
    patch: float = 0.3


@dataclass(frozen=True, kw_only=True)
class PoseBatch:
    """picture (B,3,H,W) in [-1,1]; points (B,67,3): 25 joints of the body, 21 points of the left hand, 21 of the right:
    x, y in pixels of the picture, confidence."""

    picture: Tensor
    points: Tensor


def pack_pose(sample: TryOnSample) -> dict[str, Tensor]:
    """What `memory.PackedCache` keeps of a sample: picture (3,H,W) uint8 and points (67,3) float32.

    Raises ValueError naming what the sample lacks.
    """
    sample.require("pose", "hands")
    return {"picture": to_bytes(sample.person), "points": torch.cat([sample.pose, sample.hands.flatten(0, 1)])}


def pose_batch(chosen: dict[str, Tensor], size: tuple[int, int]) -> PoseBatch:
    """A batch of a cache at `size` (height, width), by averaging. Raises ValueError where that is no whole fraction."""
    picture, points = from_bytes(chosen["picture"]), chosen["points"]
    before = tuple(picture.shape[-2:])
    factor = before[0] // size[0]
    if factor < 1 or (size[0] * factor, size[1] * factor) != before:
        raise ValueError(f"size: expected a whole fraction of {before[0]} x {before[1]}, got {size[0]} x {size[1]}")
    xy = (points[..., :2] + 0.5) / factor - 0.5
    picture = functional.avg_pool2d(picture, factor) if factor > 1 else picture
    return PoseBatch(picture=picture, points=torch.cat([xy, points[..., 2:]], -1))


def augment_pose(batch: PoseBatch, strength: PoseAugmentation, generator: torch.Generator) -> PoseBatch:
    """Change pictures and keypoints at random; what leaves the picture gets the confidence 0, and nothing returns."""
    picture, size = batch.picture, tuple(batch.picture.shape[-2:])
    mirror = torch.rand(len(picture), generator=generator) < strength.geometry.mirror
    forward, inverse = draw_affine(mirror, size, strength.geometry, generator, rotate=True)
    moved = _moved_pictures(picture, lookup_grid(inverse, size, picture.device), strength.plain, generator)
    points = move_keypoints(batch.points, mirror.to(picture.device), forward.to(batch.points), size)
    moved = _covered(moved, strength.patch, generator)
    moved = filmed(relight(_greyed(moved, strength.grey, generator), strength.light, generator), generator)
    return PoseBatch(picture=moved, points=points)


def move_keypoints(points: Tensor, mirror: Tensor, forward: Tensor, size: tuple[int, int]) -> Tensor:
    """Points (B,67,3) under affine maps (B,2,3); where mirror (B,) is True, left and right change places.

    Outside a picture of `size` the confidence is 0.
    """
    points = torch.where(mirror[:, None, None], points[:, list(POINTS_MIRROR)], points)
    xy, (height, width) = move_points(points[..., :2], forward), size
    x, y = xy.unbind(-1)
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return torch.cat([xy, (points[..., 2] * inside).unsqueeze(-1)], -1)


def _moved_pictures(picture: Tensor, grid: Tensor, plain: float, generator: torch.Generator) -> Tensor:
    """Looked up with the border continued, or for a share of them in a plain colour: grey or any."""
    count = len(picture)
    colour = torch.rand(count, 3, 1, 1, generator=generator) * 2 - 1
    colour = (colour * (torch.rand(count, 1, 1, 1, generator=generator) < 0.5)).to(picture)
    chosen = (torch.rand(count, 1, 1, 1, generator=generator) < plain).to(picture.device)
    beyond = (grid.abs() > 1).any(-1).unsqueeze(1)
    moved = functional.grid_sample(picture, grid, padding_mode="border", align_corners=False)
    return torch.where(beyond & chosen, colour, moved)


def _covered(picture: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A rectangle of the neighbour in the batch over a share of the pictures, up to two fifths of each side."""
    count, (height, width) = len(picture), picture.shape[-2:]
    draws = torch.rand(5, count, 1, 1, 1, generator=generator).to(picture.device)
    rows = ((torch.arange(height, device=picture.device) + 0.5) / height).view(1, 1, -1, 1)
    columns = ((torch.arange(width, device=picture.device) + 0.5) / width).view(1, 1, 1, -1)
    within = ((rows - draws[0]).abs() < 0.05 + 0.15 * draws[1]) & ((columns - draws[2]).abs() < 0.05 + 0.15 * draws[3])
    return torch.where(within & (draws[4] < share), picture.roll(1, 0), picture)


def _greyed(picture: Tensor, share: float, generator: torch.Generator) -> Tensor:
    chosen = (torch.rand(len(picture), 1, 1, 1, generator=generator) < share).to(picture.device)
    weights = picture.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)  # luma of ITU-R BT.601
    return torch.where(chosen, (picture * weights).sum(1, keepdim=True), picture)


def body_and_hands(points: Tensor) -> tuple[Tensor, Tensor]:
    """Points (B,67,3) as pose (B,25,3) and hands (B,2,21,3)."""
    return points[:, :BODY], points[:, BODY:].unflatten(1, (2, HAND))
