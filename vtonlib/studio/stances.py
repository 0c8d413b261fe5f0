"""Stances: the named poses of people in catalogue photographs, drawn with random differences.

Most arms are given by where the wrist is and which way the elbow points (`reach`); what a person's own body needs in
addition is done by `pose.clear_arms`.

Convention: metres' axes (z up, the person faces -y), written for the left arm, x outward; the right arm mirrors x and
all directions turn with the trunk. Degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .hands import HANDS, RESTING, HandShape, draw_hand

# The left arm of an average adult at rest, metres: where it begins, and the lengths of which `reach` makes a triangle.
SHOULDER, UPPER, FORE = np.array([0.18, -0.02, 0.63]), 0.283, 0.25


@dataclass(frozen=True)
class ArmPose:
    """Where one arm points, left-arm convention; directions need not be of unit length.

    pronation: degrees that the forearm turns the thumb inward; raise_shoulder: degrees that the clavicle lifts; hand:
    direction wrist -> middle finger, None = in line with the forearm; shape: of the fingers.
    """

    upper: tuple[float, float, float]
    fore: tuple[float, float, float]
    hand: tuple[float, float, float] | None = None
    pronation: float = 0.0
    raise_shoulder: float = 0.0
    shape: HandShape = HANDS["relaxed"]


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


def reach(wrist, elbow, hand=None, **more) -> ArmPose:
    """An arm whose wrist comes to `wrist` (m, left arm of an average adult), the elbow towards the direction `elbow`.

    A wrist out of reach is reached for with a straight arm. more: further fields of ArmPose.
    """
    way = np.subtract(wrist, SHOULDER)
    far = float(np.clip(np.linalg.norm(way), 0.08, 0.995 * (UPPER + FORE)))
    way = way / np.linalg.norm(way)
    along = (far**2 + UPPER**2 - FORE**2) / (2 * far)
    bow = np.sqrt(max(UPPER**2 - along**2, 0.0))
    out = np.asarray(elbow, float) - (np.asarray(elbow, float) @ way) * way
    upper = along * way + bow * out / np.linalg.norm(out)
    fore = far * way - upper
    return ArmPose(tuple(map(float, upper)), tuple(map(float, fore)), hand, **more)


APOSE_ARM = ArmPose((0.60, 0.02, -0.80), (0.50, -0.12, -0.85), pronation=10, shape=HANDS["flat"])
HIP_ARM = ArmPose((0.74, 0.30, -0.72), (-0.50, -0.34, -0.62), (-0.25, -0.85, -0.42), pronation=-15)
RAISED_ARM = ArmPose((0.62, -0.25, 0.72), (-0.45, 0.12, 0.85), raise_shoulder=18)
POCKET_ARM = ArmPose((0.35, 0.30, -0.90), (-0.12, -0.42, -0.90), pronation=-15)
FORWARD_ARM = ArmPose((0.20, -0.32, -1.0), (0.05, -0.65, -0.80), pronation=-15)
BACKWARD_ARM = ArmPose((0.20, 0.42, -1.0), (0.10, 0.10, -1.0), pronation=-15)
CROSSED_UNDER = ArmPose((0.22, -0.30, -0.93), (-0.93, -0.24, 0.02), (-0.97, 0.05, 0.0))
CROSSED_OVER = ArmPose((0.24, -0.52, -0.82), (-0.94, -0.20, 0.20), (-0.95, 0.10, 0.12))
HAIR_ARM = reach((0.20, 0.00, 0.88), (1.0, -0.4, 0.2), (-0.45, 0.35, 0.85), raise_shoulder=12)
NAPE_ARM = reach((0.17, 0.08, 0.84), (1.0, -0.1, 0.3), (-0.85, 0.35, 0.35), raise_shoulder=12)
COLLAR_ARM = reach((0.15, -0.22, 0.58), (0.8, 0.1, -1.0), (-0.62, 0.12, 0.78), pronation=-20)
CHIN_ARM = reach((0.10, -0.24, 0.63), (0.5, -0.3, -1.0), (-0.35, 0.22, 0.90))
BEHIND_ARM = reach((0.09, 0.19, 0.18), (1.0, 0.35, 0.0), (-0.90, 0.05, -0.35), pronation=30)
THIGH_ARM = reach((0.20, -0.16, 0.14), (0.8, 0.7, 0.0), (-0.25, -0.10, -1.0), pronation=-10)
ACROSS_ARM = reach((0.05, -0.24, 0.16), (0.8, 0.2, -0.2), (-0.55, -0.05, -0.80), pronation=-15)
HOLD_ARM = reach((-0.06, -0.23, 0.34), (0.6, 0.2, -1.0), (-0.95, 0.05, 0.05))
HELD_ARM = reach((0.24, -0.16, 0.16), (0.7, 0.6, 0.0), None, pronation=-15)
CLASP_ARM = reach((0.07, -0.24, 0.22), (1.0, 0.3, 0.0), (-0.55, -0.08, -0.80), pronation=-25)
OFFER_ARM = reach((0.36, -0.30, 0.40), (0.5, 0.6, -1.0), (0.25, -0.90, 0.15), pronation=-70)
BAG_ARM = reach((0.17, -0.16, 0.60), (0.7, 0.3, -1.0), (-0.10, 0.30, 0.95), pronation=-10, shape=HANDS["holding"])
WIDE_ARM = ArmPose((0.92, 0.02, -0.40), (0.80, -0.25, -0.55), pronation=5)
OUT_ARM = ArmPose((1.0, -0.05, 0.05), (0.95, -0.30, 0.15), pronation=10, raise_shoulder=6)


def _hanging_arm(rng: np.random.Generator) -> ArmPose:
    """An arm hanging down, a little different each time."""
    x, y, forward = rng.uniform(-1, 1, 3) * (0.07, 0.06, 0.10)
    inward = rng.uniform(-0.08, 0.08)
    return ArmPose(
        (0.27 + x, 0.06 + y, -1.0),
        (0.16 + inward, -0.18 + forward, -1.0),
        pronation=-12 + rng.uniform(-15, 15),
    )


STEP = {"left_leg": LegPose(forward=-14, outward=-3, knee=14), "right_leg": LegPose(forward=20, outward=-3, knee=8)}
STRIDE = {"left_leg": LegPose(forward=-22, outward=-2, knee=26), "right_leg": LegPose(forward=30, outward=-2, knee=10)}
# What each kind changes about standing at ease.
_KINDS = {
    "stand": {},
    "hips": {"left": HIP_ARM, "right": HIP_ARM},
    "hand-on-hip": {"left": HIP_ARM, "side": 4.0},
    "raise": {"left": RAISED_ARM},
    "crossed": {"left": CROSSED_UNDER, "right": CROSSED_OVER},
    "walk": {"left": FORWARD_ARM, "right": BACKWARD_ARM} | STEP,
    "twist": {"turn": 28.0, "head": (-14.0, 0.0, 4.0)},
    "lean": {"lean": 14.0, "side": 8.0},
    "pocket": {"right": POCKET_ARM, "side": -3.0},
    "pockets": {"left": POCKET_ARM, "right": POCKET_ARM},
    "hand-in-hair": {"left": HAIR_ARM, "side": 3.0, "head": (8.0, 6.0, 2.0)},
    "hands-behind-head": {"left": NAPE_ARM, "right": NAPE_ARM},
    "collar": {"left": COLLAR_ARM},
    "chin": {"left": CHIN_ARM, "right": HOLD_ARM},
    "behind-back": {"left": BEHIND_ARM, "right": BEHIND_ARM},
    "thigh": {"left": THIGH_ARM, "lean": 4.0},
    "across-thigh": {"left": ACROSS_ARM, "side": -5.0, "turn": -10.0},
    "hold-arm": {"left": HOLD_ARM, "right": HELD_ARM},
    "clasp": {"left": CLASP_ARM, "right": replace(CLASP_ARM, fore=(-0.45, -0.55, -0.75))},
    "offer": {"left": OFFER_ARM},
    "bag-strap": {"left": BAG_ARM},
    "hip-and-hair": {"left": HAIR_ARM, "right": HIP_ARM, "side": 5.0},
    "hip-and-thigh": {"left": THIGH_ARM, "right": HIP_ARM, "side": -4.0},
    "wide": {"left": WIDE_ARM, "right": WIDE_ARM},
    "arms-out": {"left": OUT_ARM, "right": WIDE_ARM},
    "stride": {"left": FORWARD_ARM, "right": BACKWARD_ARM, "turn": 14.0, "lean": 4.0} | STRIDE,
    "stride-pocket": {"left": POCKET_ARM, "right": BACKWARD_ARM, "turn": 8.0} | STRIDE,
    "look-back": {"turn": 34.0, "head": (24.0, -4.0, 2.0), "right": HIP_ARM},
    "slouch": {"lean": -7.0, "side": 5.0, "right": POCKET_ARM, "left_leg": LegPose(forward=24, outward=-6, knee=10)},
    "apose": vars(BodyPose(APOSE_ARM, APOSE_ARM)),
}
POSES = tuple(_KINDS)
# Poses that are the same in a mirror; all the others are drawn as either form.
_SYMMETRIC = ("stand", "hips", "pockets", "hands-behind-head", "behind-back", "wide", "apose")
_FREE_HANDS = ("stand", "raise", "walk", "twist", "lean", "offer", "wide", "arms-out", "stride", "look-back")


def draw_pose(kind: str, rng: np.random.Generator) -> BodyPose:
    """A pose of the named kind with random differences; kinds that have two sides are mirrored half of the time.

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
    if kind not in _SYMMETRIC and rng.random() < 0.5:
        pose = mirror_pose(pose)
    return pose if kind == "apose" else _vary(pose, kind, rng)


def _vary(pose: BodyPose, kind: str, rng: np.random.Generator) -> BodyPose:
    """The pose with arms, hands and trunk a little different each time."""
    arms = {}
    for side in ("left", "right"):
        arm, shake = getattr(pose, side), 0.035 * rng.standard_normal((2, 3))
        names = None if kind in _FREE_HANDS else RESTING
        drawn = draw_hand(rng, names)
        turned = arm.pronation + float(rng.normal(0, 5))
        upper, fore = (tuple(map(float, np.add(d, s))) for d, s in zip((arm.upper, arm.fore), shake))
        kept = arm.shape if arm.shape == HANDS["holding"] else drawn
        arms[side] = replace(arm, upper=upper, fore=fore, pronation=turned, shape=kept)
    lean, side, turn = rng.normal(0, 1, 3) * (1.5, 1.5, 3)
    turned, tilted, nodded = np.add(pose.head, rng.normal(0, 1, 3) * (5, 2.5, 3)).tolist()
    return replace(
        pose, **arms, lean=pose.lean + float(lean), side=pose.side + float(side), turn=pose.turn + float(turn),
        head=(turned, tilted, nodded),
    )  # fmt: skip


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
