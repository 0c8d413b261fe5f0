"""Cuts: which part of the body suit a garment covers, as a scalar field on the canonical body.

A garment begins as the seamless body suit of the body model. Hem, sleeve ends and neckline are the zero line of a field
g over the canonical body: positive where there is cloth, and near the zero line its value is roughly the distance in
metres to the nearest cut, which stitch lines and collars use.

Convention: metres on the canonical body; z up, the person faces -y, the person's left is +x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FAR = 10.0  # metres: no cut anywhere near


@dataclass(frozen=True)
class Neckline:
    """A superellipse around the neck: half width, depth front and back (m), exponent, centre above the neck bone.

    width 0 means a closed collar that ends `front` metres above the neck bone.
    """

    width: float
    front: float
    back: float = 0.015
    exponent: float = 2.0
    rise: float = -0.01


CREW = Neckline(0.078, 0.085)
VEE = Neckline(0.082, 0.17, exponent=1.15)
SCOOP = Neckline(0.105, 0.15, back=0.03, exponent=2.2)
BOAT = Neckline(0.14, 0.06, back=0.03, exponent=2.2)
HIGH = Neckline(0.0, 0.02)


@dataclass(frozen=True)
class TopCut:
    """A top: sleeve end in arm coordinates (0 shoulder, 1 elbow, 2 wrist; 0 = sleeveless), hem above the hip joint.

    loose, flare: metres of ease around the body and added towards the hem.
    """

    name: str
    sleeve: float
    neckline: Neckline
    hem: float = -0.01
    loose: float = 0.015
    flare: float = 0.0


@dataclass(frozen=True)
class BottomCut:
    """Trousers, shorts or a skirt: hem as (bone, metres above its head), ease as in TopCut."""

    name: str
    hem: tuple[str, float]
    loose: float = 0.006
    flare: float = 0.008
    skirt: bool = False
    label: int = 9
    settle: int = 0  # steps of simulation


TOPS = (
    TopCut("t-shirt", 0.62, CREW, loose=0.02),
    TopCut("v-neck", 0.80, VEE),
    TopCut("fitted-scoop", 0.45, SCOOP, hem=0.05, loose=0.008),
    TopCut("loose-t-shirt", 0.70, CREW, hem=-0.03, loose=0.03, flare=0.02),
    TopCut("tank", 0.0, SCOOP, hem=-0.02, loose=0.01, flare=0.02),
    TopCut("boat-neck", 1.35, BOAT, hem=0.02),
    TopCut("sweater", 1.90, CREW, loose=0.022),
    TopCut("turtleneck", 1.90, HIGH, hem=0.02, loose=0.006),
    TopCut("long-v-neck", 1.90, VEE, hem=-0.02, loose=0.012, flare=0.02),
    TopCut("cropped", 0.62, CREW, hem=0.09, loose=0.012),
)
BOTTOMS = (
    BottomCut("trousers", ("foot.L", 0.03)),
    BottomCut("wide-trousers", ("foot.L", 0.02), loose=0.012, flare=0.045, settle=8),
    BottomCut("shorts", ("lowerleg01.L", 0.10), loose=0.012, flare=0.02, settle=8),
    BottomCut("skirt", ("lowerleg01.L", -0.15), skirt=True, label=12),
    BottomCut("short-skirt", ("lowerleg01.L", 0.22), skirt=True, label=12),
)
WAIST = 0.10  # waistband above the hip joint


@dataclass(frozen=True)
class Landmarks:
    """Places on the canonical body that cuts refer to: bone heads (3,) by name."""

    heads: dict[str, np.ndarray]

    @property
    def hip(self) -> float:
        return float(self.heads["upperleg01.L"][2])

    @property
    def neck(self) -> np.ndarray:
        return self.heads["neck01"]

    @property
    def shoulder(self) -> np.ndarray:
        return self.heads["upperarm01.L"]


def neck_field(line: Neckline, points: np.ndarray, marks: Landmarks) -> np.ndarray:
    """Signed distance-like field (N,) of the neck opening: negative inside the hole."""
    if line.width == 0:
        return marks.neck[2] + line.front - points[:, 2]
    in_front = 1 / (1 + np.exp((points[:, 1] - marks.neck[1] + 0.01) / 0.012))
    depth = line.back + (line.front - line.back) * in_front
    below = np.maximum(0, marks.neck[2] + line.rise - points[:, 2])
    ring = (np.abs(points[:, 0]) / line.width) ** line.exponent + (below / depth) ** line.exponent
    return (ring ** (1 / line.exponent) - 1) * np.minimum(line.width, depth)


def top_field(cut: TopCut, points: np.ndarray, arm: np.ndarray, along: np.ndarray, marks: Landmarks) -> np.ndarray:
    """The field g (N,) of a top. points (N,3); arm (N,) skinning weight of the arm; along (N,) arm coordinate."""
    on_arm = arm > 0.5
    g = np.where(on_arm, FAR, points[:, 2] - (marks.hip + cut.hem))
    if cut.sleeve > 0:
        g = np.minimum(g, np.where(on_arm, (cut.sleeve - along) * 0.28, FAR))
    else:  # an armhole: a plane through the shoulder joint, leaning inwards at the top
        normal = np.array([1, 0, 0.28]) / np.hypot(1, 0.28)
        mirrored = np.stack([np.abs(points[:, 0]), points[:, 1], points[:, 2]], 1)
        hole = -(mirrored - marks.shoulder) @ normal - 0.012
        g = np.minimum(g, hole + np.where(points[:, 2] < marks.shoulder[2] - 0.16, 1, 0))
        g = np.where(on_arm & (points[:, 2] < marks.shoulder[2] - 0.05), -0.05, g)
    return np.minimum(g, neck_field(cut.neckline, points, marks))


def bottom_field(cut: BottomCut, points: np.ndarray, marks: Landmarks) -> np.ndarray:
    """The field g (N,) of trousers, shorts or a skirt."""
    bone, above = cut.hem
    hem = marks.heads[bone][2] + above
    return np.minimum(marks.hip + WAIST - points[:, 2], points[:, 2] - hem)


def top_ease(cut: TopCut, points: np.ndarray, arm: np.ndarray, marks: Landmarks) -> np.ndarray:
    """Distance (N,) in metres between body and cloth. It vanishes at the shoulder, or it looks like a padded jacket."""
    below = np.clip((marks.shoulder[2] + 0.01 - points[:, 2]) / 0.15, 0, 1)
    ease = 0.004 + cut.loose * below * np.where(arm > 0.5, 0.8, 1)
    return ease + cut.flare * np.clip((0.42 - points[:, 2]) / 0.4, 0, 1) * (arm < 0.5)


def bottom_ease(cut: BottomCut, points: np.ndarray, marks: Landmarks) -> np.ndarray:
    """Distance (N,) in metres between body and cloth."""
    ease = 0.006 + cut.loose * np.clip((marks.hip + 0.02 - points[:, 2]) / 0.25, 0, 1)
    return ease + cut.flare * np.clip((marks.hip - 0.25 - points[:, 2]) / 0.5, 0, 1)
