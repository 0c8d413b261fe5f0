"""Poses: how a named pose becomes a rotation for each bone.

An arm is posed by saying where things point, not by angles: a direction for the upper arm, one for the forearm, if
wanted one for the hand. Upper arm and forearm together span the plane that the elbow bends in, so at rest and posed
there is a frame (upper arm, hinge axis, their cross product); the rotation that takes one frame to the other keeps the
elbow a hinge. Only half of the twist about the upper arm is given to the shoulder and half to the middle of the upper
arm, and the forearm turns over its whole length, which keeps skin from collapsing at a joint as flesh does.

Convention: directions in metres' axes (z up, the person faces -y), written for the left arm, x outward; the right arm
mirrors x. Rotations are (3,3), world axes of the rest pose, about the bone's head (vtonlib.studio.body). Degrees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from scipy.spatial import cKDTree

from .body import RestBody, apply_transform, body_pack, forward_kinematics, rotation, skin_vertices, vertex_normals

FINGERS = range(1, 6)  # 1 is the thumb
MAX_TWIST = 1.9  # radians about the upper arm; a shoulder does not turn further
STRAIGHT = 0.12  # sine of the elbow's angle below which the hinge axis can't be told from the directions


@dataclass(frozen=True)
class ArmPose:
    """Where one arm points, left-arm convention; directions need not be of unit length.

    pronation: degrees that the forearm turns the thumb inward; raise_shoulder: degrees that the clavicle lifts; curl:
    degrees that each finger joint bends; hand: direction wrist -> middle finger, None = in line with the forearm.
    """

    upper: tuple[float, float, float]
    fore: tuple[float, float, float]
    hand: tuple[float, float, float] | None = None
    pronation: float = 0.0
    raise_shoulder: float = 0.0
    curl: float = 15.0


@dataclass(frozen=True)
class LegPose:
    """Degrees: forward and outward swing of the thigh, bend of the knee."""

    forward: float = 0.0
    outward: float = -5.0
    knee: float = 0.0


@dataclass(frozen=True)
class BodyPose:
    """A whole pose. lean, side, turn: degrees of the trunk forward, to the left and about the vertical; head: degrees
    turned to the left, tilted to the left, nodded down."""

    left: ArmPose
    right: ArmPose
    left_leg: LegPose = field(default_factory=LegPose)
    right_leg: LegPose = field(default_factory=LegPose)
    lean: float = 0.0
    side: float = 0.0
    turn: float = 0.0
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)


APOSE_ARM = ArmPose((0.60, 0.02, -0.80), (0.50, -0.12, -0.85), pronation=10, curl=8)
HIP_ARM = ArmPose((0.74, 0.30, -0.72), (-0.50, -0.34, -0.62), (-0.25, -0.85, -0.42), pronation=-15, curl=14)
RAISED_ARM = ArmPose((0.62, -0.25, 0.72), (-0.45, 0.12, 0.85), raise_shoulder=18, curl=14)
POCKET_ARM = ArmPose((0.35, 0.30, -0.90), (-0.12, -0.42, -0.90), pronation=-15, curl=20)
FORWARD_ARM = ArmPose((0.20, -0.32, -1.0), (0.05, -0.65, -0.80), pronation=-15, curl=22)
BACKWARD_ARM = ArmPose((0.20, 0.42, -1.0), (0.10, 0.10, -1.0), pronation=-15, curl=22)
CROSSED_UNDER = ArmPose((0.22, -0.30, -0.93), (-0.93, -0.24, 0.02), (-0.97, 0.05, 0.0), curl=18)
CROSSED_OVER = ArmPose((0.24, -0.52, -0.82), (-0.94, -0.20, 0.20), (-0.95, 0.10, 0.12), curl=18)


def _hanging_arm(rng: np.random.Generator) -> ArmPose:
    """An arm hanging down, a little different each time."""
    x, y, forward = rng.uniform(-1, 1, 3) * (0.07, 0.06, 0.10)
    inward = rng.uniform(-0.08, 0.08)
    return ArmPose(
        (0.27 + x, 0.06 + y, -1.0),
        (0.16 + inward, -0.18 + forward, -1.0),
        pronation=-12 + rng.uniform(-15, 15),
        curl=14 + rng.uniform(-8, 8),
    )


# What each kind changes about standing at ease.
_KINDS = {
    "stand": {},
    "hips": {"left": HIP_ARM, "right": HIP_ARM},
    "hand-on-hip": {"left": HIP_ARM, "side": 4.0},
    "raise": {"left": RAISED_ARM},
    "crossed": {"left": CROSSED_UNDER, "right": CROSSED_OVER},
    "walk": {
        "left": FORWARD_ARM,
        "right": BACKWARD_ARM,
        "left_leg": LegPose(forward=-14, outward=-3, knee=14),
        "right_leg": LegPose(forward=20, outward=-3, knee=8),
    },
    "twist": {"turn": 28.0, "head": (-14.0, 0.0, 4.0)},
    "lean": {"lean": 14.0, "side": 8.0},
    "pocket": {"right": POCKET_ARM, "side": -3.0},
    "apose": vars(BodyPose(APOSE_ARM, APOSE_ARM)),
}
POSES = tuple(_KINDS)
# Poses that have a left and a right form and are drawn as either.
_ONE_SIDED = ("hand-on-hip", "raise", "crossed", "walk", "twist", "lean", "pocket")


def draw_pose(kind: str, rng: np.random.Generator) -> BodyPose:
    """A pose of the named kind with small random differences; one-sided kinds are mirrored half of the time.

    Raises ValueError for a kind that is not in POSES.
    """
    if kind not in _KINDS:
        raise ValueError(f"pose: expected one of {', '.join(POSES)}, got {kind!r}")
    legs = [LegPose(outward=-5 + rng.uniform(-3, 3)) for _ in range(2)]
    if rng.random() < 0.4:  # weight on one leg
        legs[1] = replace(legs[1], forward=8.0, knee=14.0)
    lean, side, turn = rng.uniform(-1, 1, 3) * (3, 3, 8)
    head = tuple(rng.uniform(-1, 1, 3) * (10, 6, 12))
    stand = BodyPose(_hanging_arm(rng), _hanging_arm(rng), *legs, lean=lean, side=side, turn=turn, head=head)
    pose = replace(stand, **_KINDS[kind])
    return mirror_pose(pose) if kind in _ONE_SIDED and rng.random() < 0.5 else pose


def mirror_pose(pose: BodyPose) -> BodyPose:
    """The pose seen in a mirror: left and right change places."""
    turned, tilted, nodded = pose.head
    return BodyPose(
        left=pose.right,
        right=pose.left,
        left_leg=pose.right_leg,
        right_leg=pose.left_leg,
        lean=pose.lean,
        side=-pose.side,
        turn=-pose.turn,
        head=(-turned, -tilted, nodded),
    )


def pose_rotations(pose: BodyPose, heads: np.ndarray) -> dict[str, np.ndarray]:
    """Bone name -> (3,3) rotation for a person's rest bone heads (104,3); see forward_kinematics."""
    rotations = {}
    trunk = rotation(np.deg2rad([pose.lean, pose.side, pose.turn]) / 4)
    for bone in ("spine04", "spine03", "spine02", "spine01"):
        rotations[bone] = trunk
    turned, tilted, nodded = pose.head
    rotations["neck02"] = rotation(np.deg2rad([0.25 * nodded, 0.4 * tilted, 0.4 * turned]))
    rotations["head"] = rotation(np.deg2rad([0.40 * nodded, 0.6 * tilted, 0.6 * turned]))
    for side, arm, leg in (("L", pose.left, pose.left_leg), ("R", pose.right, pose.right_leg)):
        rotations |= _arm_rotations(arm, heads, side) | _leg_rotations(leg, side)
    return rotations


def sample_pose(kind: str, rest: RestBody, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Rotations of a seeded pose of the named kind for one person: draw_pose, clear_arms, pose_rotations.

    Raises ValueError for a kind not in POSES, TypeError if `rest` is not a RestBody (the arms need to know its girth).
    """
    if not isinstance(rest, RestBody):
        raise TypeError(f"sample_pose: rest must be a RestBody, got {type(rest).__name__}")
    return pose_rotations(clear_arms(draw_pose(kind, rng), rest), rest.heads)


def clear_arms(pose: BodyPose, rest: RestBody, margin: float = 0.012, rounds: int = 8) -> BodyPose:
    """The pose with its arms moved out of this person's body: bodies differ, directions don't know how wide hips are.

    Where a forearm or hand comes closer than `margin` metres to trunk or legs (signed distance along the normal of the
    nearest vertex), the arm turns about the shoulder so that its deepest point moves out, `rounds` times at most. The
    arm that lies nearer to the body goes first; the other one then keeps clear of it too.
    """
    trunk, arms = _contact_vertices()
    order = sorted((("left", "L"), ("right", "R")), key=lambda arm: -getattr(pose, arm[0]).upper[1])
    obstacle = trunk
    for name, side in order:
        pose = _clear_arm(pose, rest, name, side, obstacle, margin, rounds)
        obstacle = np.concatenate([trunk, arms[side]])
    return pose


def _clear_arm(pose: BodyPose, rest: RestBody, name: str, side: str, obstacle, margin, rounds) -> BodyPose:
    pack, moving = body_pack(), _arm_reach()[side]
    shoulder, tree = pack.bone_index[f"upperarm01.{side}"], None
    for _ in range(rounds):
        transforms = forward_kinematics(rest.heads, pose_rotations(pose, rest.heads))
        points = skin_vertices(rest.vertices, transforms)
        if tree is None:  # what is in the way stays where it is
            normals, tree = vertex_normals(points, pack.body_faces)[obstacle], cKDTree(points[obstacle])
        nearest = tree.query(points[moving])[1]
        height = ((points[moving] - tree.data[nearest]) * normals[nearest]).sum(1)
        deepest = int(height.argmin())
        if height[deepest] >= margin:
            break
        lever = points[moving[deepest]] - apply_transform(transforms[shoulder], rest.heads[shoulder])
        push = (margin + 0.002 - height[deepest]) * normals[nearest[deepest]]
        turn = np.cross(lever, push) / (lever @ lever)
        pose = replace(pose, **{name: _turn_arm(getattr(pose, name), turn, side)})
    return pose


def _turn_arm(arm: ArmPose, turn: np.ndarray, side: str) -> ArmPose:
    """Upper arm and forearm turned by the rotation vector `turn`, given in space, about the shoulder."""
    if side == "R":  # a mirrored rotation turns the other way about the axes in the mirror
        turn = turn * (1, -1, -1)
    matrix = rotation(turn)
    return replace(arm, upper=tuple(matrix @ unit(arm.upper)), fore=tuple(matrix @ unit(arm.fore)))


@lru_cache(maxsize=1)
def _contact_vertices() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Skin vertices of trunk, neck and legs, and of each arm by side."""
    pack = body_pack()
    arm, head = pack.arm_weight[pack.body_ids], pack.head_weight[pack.body_ids]
    left = pack.canonical.vertices[pack.body_ids, 0] > 0
    arms = {"L": pack.body_ids[(arm > 0.5) & left], "R": pack.body_ids[(arm > 0.5) & ~left]}
    return pack.body_ids[(arm < 0.05) & (head < 0.5)], arms


@lru_cache(maxsize=1)
def _arm_reach() -> dict[str, np.ndarray]:
    """Every third skin vertex of forearm and hand by side."""
    along = body_pack().arm_coordinate
    return {side: arm[along[arm] > 1.3][::3] for side, arm in _contact_vertices()[1].items()}


def unit(vector) -> np.ndarray:
    """`vector` (...,3) at length one."""
    vector = np.asarray(vector, np.float64)
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-12)


def align(start, end) -> np.ndarray:
    """The smallest rotation (3,3) that turns direction `start` into direction `end`."""
    start, end = unit(start), unit(end)
    axis, cosine = np.cross(start, end), float(start @ end)
    if cosine < -0.9999:  # opposite: any axis at right angles will do
        return rotation(np.pi * unit(np.cross(start, (1.0, 0.1, 0.2))))
    return rotation(unit(axis) * np.arctan2(np.linalg.norm(axis), cosine))


def _frame(along, normal) -> np.ndarray:
    along = unit(along)
    normal = unit(normal - (normal @ along) * along)
    return np.stack([along, normal, np.cross(along, normal)], axis=1)


def _angle_about(turn: np.ndarray, axis: np.ndarray) -> float:
    """Angle of a rotation whose axis is `axis`."""
    sine = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) @ axis / 2
    return float(np.arctan2(sine, (np.trace(turn) - 1) / 2))


def _arm_rotations(pose: ArmPose, heads: np.ndarray, side: str) -> dict[str, np.ndarray]:
    """Rotations of clavicle, arm, hand and fingers of side "L" or "R"."""
    sign = 1.0 if side == "L" else -1.0
    index, mirror = body_pack().bone_index, np.array([sign, 1, 1])

    def head(bone: str) -> np.ndarray:
        return heads[index[f"{bone}.{side}"]].astype(np.float64)

    shoulder, elbow, wrist = head("upperarm01"), head("lowerarm01"), head("wrist")
    upper, fore = unit(elbow - shoulder), unit(wrist - elbow)
    clavicle = rotation([0, -sign * np.deg2rad(pose.raise_shoulder), 0])
    # Bones below turn with the clavicle, so the wished directions are taken back into its frame.
    wanted_upper, wanted_fore = (unit(np.array(d) * mirror) @ clavicle for d in (pose.upper, pose.fore))
    swing = align(upper, wanted_upper)
    twist = _elbow_twist(upper, fore, wanted_upper, wanted_fore, swing)
    arm = swing @ rotation(upper * twist)
    bend = align(fore, wanted_fore @ arm)
    pronation = fore * np.deg2rad(pose.pronation) * sign
    turn_wrist = rotation(0.3 * pronation)
    if pose.hand is not None:
        before = clavicle @ arm @ bend @ rotation(pronation)
        turn_wrist = align(head("finger3-1") - wrist, (np.array(pose.hand) * mirror) @ before) @ turn_wrist
    bones = {
        "clavicle": clavicle,
        "upperarm01": swing @ rotation(upper * twist / 2),
        "upperarm02": rotation(upper * twist / 2),
        "lowerarm01": bend @ rotation(0.35 * pronation),
        "lowerarm02": rotation(0.35 * pronation),
        "wrist": turn_wrist,
    } | _finger_rotations(pose.curl, head, sign)
    return {f"{bone}.{side}": turn for bone, turn in bones.items()}


def _elbow_twist(upper, fore, wanted_upper, wanted_fore, swing: np.ndarray) -> float:
    """Angle about the upper arm, before the swing, that brings the elbow's hinge axis where the directions want it."""
    hinge, wanted_hinge = unit(np.cross(upper, fore)), np.cross(wanted_upper, wanted_fore)
    if np.linalg.norm(wanted_hinge) < STRAIGHT:
        wanted_hinge = swing @ hinge
    full = _frame(wanted_upper, unit(wanted_hinge)) @ _frame(upper, hinge).T
    return float(np.clip(_angle_about(swing.T @ full, upper), -MAX_TWIST, MAX_TWIST))


def _finger_rotations(curl: float, head: Callable[[str], np.ndarray], sign: float) -> dict[str, np.ndarray]:
    """Every finger joint bends by `curl` degrees towards the palm (the thumb by 40 % of it); fingers close up."""
    wrist = head("wrist")
    palm = sign * unit(np.cross(head("finger2-1") - wrist, head("finger5-1") - wrist))
    direction = {k: unit(head(f"finger{k}-3") - head(f"finger{k}-1")) for k in FINGERS}
    rotations = {}
    for k in FINGERS:
        axis = unit(np.cross(direction[k], palm))
        bend = rotation(-axis * np.deg2rad(curl * (0.4 if k == 1 else 1.0)))
        gather = rotation(np.cross(direction[k], direction[3]) * (0.25 if k == 1 else 0.65))
        rotations |= {f"finger{k}-1": bend @ gather, f"finger{k}-2": bend, f"finger{k}-3": bend}
    return rotations


def _leg_rotations(pose: LegPose, side: str) -> dict[str, np.ndarray]:
    sign = 1.0 if side == "L" else -1.0
    outward, forward = rotation([0, -sign * np.deg2rad(pose.outward), 0]), rotation([-np.deg2rad(pose.forward), 0, 0])
    return {f"upperleg01.{side}": outward @ forward, f"lowerleg01.{side}": rotation([np.deg2rad(pose.knee), 0, 0])}
