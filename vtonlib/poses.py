"""Poses from anywhere: read from a file, made to fit a person, changed limb by limb, written again.

A system that draws a person in a new pose takes any pose in the pixels of its picture. A pose of somebody else, from
another photograph, first has to be moved and scaled to the person it is meant for:

    pose = check_pose(fit_pose(load_pose("dancer_keypoints.json"), sample.pose), sample.size)
    system.try_on(sample, pose=pose)

Convention: a pose is (25,3) float32 in the order BODY_25: x, y in index coordinates (x to the right, y down, the centre
of the first pixel is (0, 0)) and confidence. Confidence 0 is not seen: a joint at exactly (0, 0) is *missing*; any
other lies outside the picture, and its coordinates are known.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from .labels import BODY_25, BODY_25_INDEX, BODY_25_LIMBS
from .layouts.files import ABSURD, encode_keypoints, read_keypoints, write_bytes

ROOT = "neck"
PARENTS = {BODY_25[end]: BODY_25[start] for start, end in BODY_25_LIMBS}
NECK, MID_HIP, RIGHT_SHOULDER, LEFT_SHOULDER = (
    BODY_25_INDEX[name] for name in ("neck", "mid-hip", "right-shoulder", "left-shoulder")
)
SHORTEST = 1.0  # pixels: a length below it measures nothing
UNLIMITED = (math.inf, math.inf)


def load_pose(path: str | Path, size: tuple[int, int] | None = None) -> Tensor:
    """The pose (25,3) of an OpenPose JSON file of one person: BODY_25, or the 18 points of COCO (see `read_keypoints`).

    size: height and width of the photograph that it belongs to; joints outside it are not seen. None: not known; then a
    joint to the right of it or below can't be told from one inside. Hands in the file are not read.
    Raises FileNotFoundError, or DamagedFile (a ValueError) naming the file and what is wrong with it.
    """
    pose, _ = read_keypoints(Path(path), UNLIMITED if size is None else size)
    return torch.from_numpy(pose)


def save_pose(path: str | Path, pose: Tensor) -> Path:
    """Write a pose (25,3) as an OpenPose JSON file, atomically; coordinates to 1/1000 of a pixel.

    Raises ValueError for another shape and for numbers that aren't finite.
    """
    _single("pose", pose)
    path = Path(path)
    write_bytes(path, encode_keypoints(pose.detach().cpu().numpy(), None))
    return path


def check_pose(pose: Tensor, size: tuple[int, int]) -> Tensor:
    """The pose as a picture of `size` (height, width) has it: joints outside keep their place and are not seen.

    Raises ValueError for another shape than (25,3), numbers that aren't finite, a confidence below 0, a joint more than
    ten pictures away, and a pose of which no joint is seen in the picture.
    """
    _single("pose", pose)
    if bool((pose[:, 2] < 0).any()):
        raise ValueError(f"pose: expected confidences of 0 or more, got {float(pose[:, 2].min()):g}")
    height, width = size
    far = (pose[:, :2].abs() / pose.new_tensor([width, height])).max(1)
    if bool((far.values > ABSURD).any()):
        joint = int(far.values.argmax())
        raise ValueError(
            f"pose: expected joints in or near a picture of {height} x {width}, got {BODY_25[joint]} at "
            f"{pose[joint, :2].tolist()}"
        )
    checked = torch.cat([pose[:, :2], (pose[:, 2] * inside(pose, size))[:, None]], 1)
    if not bool((checked[:, 2] > 0).any()):
        raise ValueError(f"pose: expected a joint seen within {height} x {width}, got none; fit_pose brings it there")
    return checked


def inside(pose: Tensor, size: tuple[int, int]) -> Tensor:
    """(25,) bool: joints whose place is in a picture of `size` (height, width), seen or not."""
    edge = pose.new_tensor([size[1], size[0]]) - 0.5
    return ((pose[:, :2] >= -0.5) & (pose[:, :2] <= edge)).all(1)


def known(pose: Tensor) -> Tensor:
    """(25,) bool: joints that have a place, seen or beyond the edge; the others are missing."""
    return (pose[:, :2] != 0).any(1)


def fit_pose(pose: Tensor, reference: Tensor) -> Tensor:
    """A pose of somebody else, or from a picture of another size, brought to the size and place of a person.

    pose, reference (25,3): the pose, and that of the person it is for. One scale, no rotation, then a shift.
    Scale, the first that both show: the length from neck to mid-hip; the width of the shoulders. The second is the
    worse measure, as turning makes it shorter; so does bending towards the camera with the first.
    Place: necks coincide; where one isn't seen, the middles of the shoulders.
    Missing joints stay missing, confidences stay. Where joints come to lie is checked by `check_pose`.
    Raises ValueError for another shape, and where neither length is seen in both.
    """
    _single("pose", pose)
    _single("reference", reference)
    reference = reference.to(pose)
    ends = next((ends for ends in ((NECK, MID_HIP), (RIGHT_SHOULDER, LEFT_SHOULDER))
                 if min(_length(pose, ends), _length(reference, ends)) >= SHORTEST), None)  # fmt: skip
    if ends is None:
        raise ValueError(
            "fit_pose: expected pose and reference to show both neck and mid-hip, or both shoulders, a pixel or more "
            f"apart; the pose shows {_seen_names(pose)}; the reference shows {_seen_names(reference)}"
        )
    scale = _length(reference, ends) / _length(pose, ends)
    both = bool(pose[NECK, 2] > 0) and bool(reference[NECK, 2] > 0)
    anchor = [NECK] if both else [RIGHT_SHOULDER, LEFT_SHOULDER]
    start, goal = (each[anchor, :2].mean(0) for each in (pose, reference))
    moved = goal + scale * (pose[:, :2] - start)
    xy = torch.where(known(pose)[:, None], moved, 0.0)
    return torch.cat([xy, pose[:, 2:]], 1)


def rotate_limb(pose: Tensor, joint: str, degrees: float) -> Tensor:
    """Turn a limb about the joint that it hangs on; what hangs on it goes along, and all lengths stay.

    joint: the limb's far end, a name of BODY_25: "right-elbow" turns the right upper arm about the shoulder, and with
    it forearm and hand; "mid-hip" all below the waist; "nose" the head. Positive is clockwise in the picture.
    Missing joints stay missing, confidences stay: see `check_pose`.
    Raises ValueError for an unknown joint, the neck (on which everything hangs), and one that is missing or hangs on a
    missing one.
    """
    _single("pose", pose)
    check_limb(pose, joint)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = pose.new_tensor([[cos, sin], [-sin, cos]])  # of row vectors, y down
    centre = pose[BODY_25_INDEX[PARENTS[joint]], :2]
    return _moved(pose, joint, centre + (pose[:, :2] - centre) @ turn)


def limb_angle(pose: Tensor, joint: str) -> float:
    """The direction in which a limb points, from where it hangs to `joint`, in degrees from -180 to 180.

    0 is to the right in the picture, 90 down. Raises ValueError as `rotate_limb` does.
    """
    check_limb(pose, joint)
    x, y = (pose[BODY_25_INDEX[joint], :2] - pose[BODY_25_INDEX[PARENTS[joint]], :2]).tolist()
    return math.degrees(math.atan2(y, x))


def move_joint(pose: Tensor, joint: str, x: float, y: float) -> Tensor:
    """Put a joint at a place; what hangs on it goes along. With the neck the whole person moves.

    Its own limb gets longer or shorter; `rotate_limb` keeps its length.
    Raises ValueError for an unknown or a missing joint, and for the place (0, 0), which stands for a missing one.
    """
    _single("pose", pose)
    _check_joint(pose, joint)
    if x == y == 0:
        raise ValueError(f"place: {joint} at (0, 0) would be a missing joint; take a place beside it")
    return _moved(pose, joint, pose[:, :2] + pose.new_tensor([x, y]) - pose[BODY_25_INDEX[joint], :2])


def descendants(joint: str) -> list[int]:
    """The indices of a joint and of everything that hangs on it, in the order of BODY_25."""

    def hangs(name: str | None) -> bool:
        return name == joint or (name is not None and hangs(PARENTS.get(name)))

    return [index for index, name in enumerate(BODY_25) if hangs(name)]


def check_limb(pose: Tensor, joint: str) -> None:
    """Raise ValueError unless `joint` is the far end of a limb both of whose ends are known."""
    _check_joint(pose, joint)
    if joint == ROOT:
        raise ValueError(f"joint: expected one that hangs on another, got {ROOT!r}, on which everything hangs")
    _check_joint(pose, PARENTS[joint])


def _check_joint(pose: Tensor, joint: str) -> None:
    if joint not in BODY_25_INDEX:
        raise ValueError(f"joint: expected one of {', '.join(BODY_25)}, got {joint!r}")
    if not bool(known(pose)[BODY_25_INDEX[joint]]):
        raise ValueError(f"joint: {joint!r} is missing in this pose; it shows {_seen_names(pose)}")


def _single(name: str, pose: Tensor) -> None:
    if tuple(pose.shape) != (25, 3) or not pose.is_floating_point():
        raise ValueError(f"{name}: expected floats of shape (25, 3), got {pose.dtype} {tuple(pose.shape)}")
    if not bool(pose.isfinite().all()):
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")


def _moved(pose: Tensor, joint: str, places: Tensor) -> Tensor:
    """The pose with `places` (25,2) for a joint and what hangs on it; missing joints stay missing."""
    chosen = torch.zeros(len(pose), dtype=torch.bool, device=pose.device)
    chosen[descendants(joint)] = True
    xy = torch.where((chosen & known(pose))[:, None], places, pose[:, :2])
    return torch.cat([xy, pose[:, 2:]], 1)


def _length(pose: Tensor, ends: tuple[int, int]) -> float:
    """The distance between two joints in pixels; 0 where one isn't seen."""
    seen = bool((pose[list(ends), 2] > 0).all())
    return float((pose[ends[0], :2] - pose[ends[1], :2]).norm()) if seen else 0.0


def _seen_names(pose: Tensor) -> str:
    names = [name for name, confidence in zip(BODY_25, pose[:, 2].tolist(), strict=True) if confidence > 0]
    return ", ".join(names) or "no joint"
