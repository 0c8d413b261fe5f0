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

from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy.spatial import cKDTree

from .body import RestBody, apply_transform, body_pack, forward_kinematics, rotation, skin_vertices, vertex_normals
from .hands import finger_rotations
from .stances import POSES, ArmPose, BodyPose, LegPose, draw_pose, mirror_pose

__all__ = [
    "POSES", "ArmPose", "BodyPose", "LegPose", "align", "clear_arms", "draw_pose", "mirror_pose", "pose_rotations",
    "sample_pose", "unit",
]  # fmt: skip

MAX_TWIST = 1.9  # radians about the upper arm; a shoulder does not turn further
STRAIGHT = 0.12  # sine of the elbow's angle below which the hinge axis can't be told from the directions


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


def clear_arms(pose: BodyPose, rest: RestBody, margin: float = 0.014, rounds: int = 8) -> BodyPose:
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
    rotations = pose_rotations(pose, rest.heads)
    for _ in range(rounds):
        transforms = forward_kinematics(rest.heads, rotations)
        if tree is None:  # what is in the way stays where it is
            body = skin_vertices(rest.vertices, transforms)
            normals, tree = vertex_normals(body, pack.body_faces)[obstacle], cKDTree(body[obstacle])
        points = skin_vertices(rest.vertices, transforms, moving)
        nearest = tree.query(points)[1]
        height = ((points - tree.data[nearest]) * normals[nearest]).sum(1)
        deepest = int(height.argmin())
        if height[deepest] >= margin:
            break
        lever = points[deepest] - apply_transform(transforms[shoulder], rest.heads[shoulder])
        push = (margin + 0.002 - height[deepest]) * normals[nearest[deepest]]
        turn = _cross(lever, push) / (lever @ lever)
        arm = _turn_arm(getattr(pose, name), turn, side)
        pose, rotations = replace(pose, **{name: arm}), rotations | _arm_rotations(arm, rest.heads, side)
    return pose


def _turn_arm(arm: ArmPose, turn: np.ndarray, side: str) -> ArmPose:
    """Upper arm and forearm turned by the rotation vector `turn`, given in space, about the shoulder."""
    if side == "R":  # a mirrored rotation turns the other way about the axes in the mirror
        turn = turn * (1, -1, -1)
    matrix = rotation(turn)
    return replace(arm, upper=tuple(matrix @ unit(arm.upper)), fore=tuple(matrix @ unit(arm.fore)))


@lru_cache(maxsize=1)
def _contact_vertices() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Skin vertices of trunk, neck, legs and, of its many, every fourth of the head; and of each arm by side."""
    pack = body_pack()
    arm, head = pack.arm_weight[pack.body_ids], pack.head_weight[pack.body_ids]
    left = pack.canonical.vertices[pack.body_ids, 0] > 0
    arms = {"L": pack.body_ids[(arm > 0.5) & left], "R": pack.body_ids[(arm > 0.5) & ~left]}
    sparse = (head < 0.5) | (np.arange(len(head)) % 4 == 0)
    return pack.body_ids[(arm < 0.05) & sparse], arms


@lru_cache(maxsize=1)
def _arm_reach() -> dict[str, np.ndarray]:
    """Every third skin vertex of forearm and hand by side."""
    along = body_pack().arm_coordinate
    return {side: arm[along[arm] > 1.3][::3] for side, arm in _contact_vertices()[1].items()}


def unit(vector) -> np.ndarray:
    """`vector` (...,3) at length one."""
    vector = np.asarray(vector, np.float64)
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-12)


def _cross(a, b) -> np.ndarray:
    """Vector product (3,) of two vectors; `numpy.cross` takes ten times as long over so few numbers."""
    (x, y, z), (u, v, w) = a, b
    return np.array([y * w - z * v, z * u - x * w, x * v - y * u])


def align(start, end) -> np.ndarray:
    """The smallest rotation (3,3) that turns direction `start` into direction `end`."""
    start, end = unit(start), unit(end)
    axis, cosine = _cross(start, end), float(start @ end)
    if cosine < -0.9999:  # opposite: any axis at right angles will do
        return rotation(np.pi * unit(_cross(start, (1.0, 0.1, 0.2))))
    return rotation(unit(axis) * np.arctan2(np.linalg.norm(axis), cosine))


def _frame(along, normal) -> np.ndarray:
    along = unit(along)
    normal = unit(normal - (normal @ along) * along)
    return np.stack([along, normal, _cross(along, normal)], axis=1)


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
    } | finger_rotations(pose.shape, head, sign)
    return {f"{bone}.{side}": turn for bone, turn in bones.items()}


def _elbow_twist(upper, fore, wanted_upper, wanted_fore, swing: np.ndarray) -> float:
    """Angle about the upper arm, before the swing, that brings the elbow's hinge axis where the directions want it."""
    hinge, wanted_hinge = unit(_cross(upper, fore)), _cross(wanted_upper, wanted_fore)
    if np.linalg.norm(wanted_hinge) < STRAIGHT:
        wanted_hinge = swing @ hinge
    full = _frame(wanted_upper, unit(wanted_hinge)) @ _frame(upper, hinge).T
    return float(np.clip(_angle_about(swing.T @ full, upper), -MAX_TWIST, MAX_TWIST))


def _leg_rotations(pose: LegPose, side: str) -> dict[str, np.ndarray]:
    sign = 1.0 if side == "L" else -1.0
    outward, forward = rotation([0, -sign * np.deg2rad(pose.outward), 0]), rotation([-np.deg2rad(pose.forward), 0, 0])
    return {f"upperleg01.{side}": outward @ forward, f"lowerleg01.{side}": rotation([np.deg2rad(pose.knee), 0, 0])}
