"""Cuts: which part of the body suit a garment covers, as a scalar field on the canonical body.

A garment begins as the seamless body suit of the body model. Hem, sleeve ends and neckline are the zero line of a field
g over the canonical body: positive where there is cloth, and near the zero line its value is roughly the distance in
metres to the nearest cut, which stitch lines and collars use.

Convention: metres on the canonical body; z up, the person faces -y, the person's left is +x.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

FAR = 10.0  # metres: no cut anywhere near
ARM_LENGTH = 0.28  # metres along the arm to one unit of the arm coordinate
SLEEVES = ("plain", "cuff", "puff", "balloon", "bell", "ruffle")


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
SQUARE = Neckline(0.105, 0.13, back=0.05, exponent=4.5)
STRAPS = Neckline(0.09, 0.13, back=0.10, exponent=2.3)
SHIRT = Neckline(0.068, 0.055, back=0.008)
OPEN = Neckline(0.070, 0.15, back=0.010, exponent=1.2)
POLO = Neckline(0.070, 0.060, back=0.010)
HOOD = Neckline(0.080, 0.070, back=0.012)
DEEP = Neckline(0.085, 0.22, back=0.012, exponent=1.2)


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

    @property
    def bare_legs(self) -> bool:
        """Whether the lower legs show."""
        return self.hem[0].startswith("lowerleg")


@dataclass(frozen=True)
class TopCut:
    """A top: sleeve end in arm coordinates (0 shoulder, 1 elbow, 2 wrist; 0 = sleeveless), hem above the hip joint.

    loose, flare: metres of ease around the body and added towards the hem. gather: one of SLEEVES, how the sleeve
    widens. opening: half the gap of a front that is worn open. armhole: metres from the shoulder joint inwards to the
    armhole of a sleeveless top (large: straps). style: plain, or what collar and details it has (trims.COLLARS,
    details.DETAILS). tucks: may be worn in the waistband; label: LIP index; skirt: of a
    dress, whose upper part ends in it.
    """

    name: str
    sleeve: float
    neckline: Neckline
    hem: float = -0.01
    loose: float = 0.015
    flare: float = 0.0
    gather: str = "plain"
    opening: float = 0.0
    armhole: float = 0.012
    style: str = "plain"
    tucks: bool = True
    label: int = 5
    skirt: BottomCut | None = None


TOPS = (
    TopCut("t-shirt", 0.62, CREW, loose=0.02),
    TopCut("t-shirt-short", 0.42, CREW, hem=0.03, loose=0.014),
    TopCut("t-shirt-half", 0.95, CREW, hem=-0.03, loose=0.026),
    TopCut("v-neck", 0.80, VEE),
    TopCut("fitted-scoop", 0.45, SCOOP, hem=0.05, loose=0.008),
    TopCut("loose-t-shirt", 0.70, CREW, hem=-0.03, loose=0.03, flare=0.02),
    TopCut("cropped", 0.62, CREW, hem=0.12, loose=0.012),
    TopCut("cropped-square", 0.30, SQUARE, hem=0.14, loose=0.006),
    TopCut("tank", 0.0, SCOOP, hem=-0.02, loose=0.01, flare=0.02),
    TopCut("strap-top", 0.0, STRAPS, hem=0.02, loose=0.006, armhole=0.05),
    TopCut("sleeveless", 0.0, CREW, hem=0.0, loose=0.016),
    TopCut("boat-neck", 1.35, BOAT, hem=0.02),
    TopCut("scoop-long", 1.90, SCOOP, hem=0.02, loose=0.006),
    TopCut("long-sleeved", 1.92, CREW, loose=0.012, gather="cuff"),
    TopCut("sweater", 1.90, CREW, loose=0.022, gather="cuff"),
    TopCut("sweater-short", 1.88, CREW, hem=0.07, loose=0.026, gather="cuff"),
    TopCut("turtleneck", 1.90, HIGH, hem=0.02, loose=0.006),
    TopCut("long-v-neck", 1.90, VEE, hem=-0.02, loose=0.012, flare=0.02),
    TopCut("shirt", 1.95, SHIRT, hem=-0.03, loose=0.02, gather="cuff", style="shirt"),
    TopCut("shirt-short-sleeved", 0.72, SHIRT, hem=-0.01, loose=0.022, style="shirt"),
    TopCut("open-shirt", 0.78, OPEN, hem=-0.01, loose=0.026, style="open-shirt"),
    TopCut("blouse", 1.90, OPEN, hem=-0.02, loose=0.016, gather="balloon", style="open-shirt"),
    TopCut("polo", 0.60, POLO, loose=0.018, style="polo"),
    TopCut("puff-sleeved", 0.50, SQUARE, hem=0.03, loose=0.010, gather="puff"),
    TopCut("balloon-sleeved", 1.90, CREW, hem=0.02, gather="balloon"),
    TopCut("bell-sleeved", 1.72, VEE, hem=0.0, loose=0.010, gather="bell"),
    TopCut("ruffled", 0.58, SCOOP, hem=0.0, loose=0.010, gather="ruffle"),
    TopCut("hoodie", 1.95, HOOD, loose=0.028, gather="cuff", style="hoodie", tucks=False),
)
DRESSES = tuple(
    replace(cut, label=6, tucks=False, skirt=replace(skirt, label=6))
    for cut, skirt in (
        (
            TopCut("dress", 0.0, SCOOP, hem=0.06, loose=0.008),
            BottomCut("", ("lowerleg01.L", 0.06), flare=0.11, skirt=True),
        ),
        (
            TopCut("sleeved-dress", 0.60, CREW, hem=0.06, loose=0.010),
            BottomCut("", ("lowerleg01.L", 0.16), flare=0.07, skirt=True),
        ),
        (
            TopCut("long-dress", 0.50, VEE, hem=0.06, loose=0.010, gather="puff"),
            BottomCut("", ("foot.L", 0.14), flare=0.10, skirt=True),
        ),
        (
            TopCut("shirt-dress", 0.70, OPEN, hem=0.06, loose=0.014, style="open-shirt"),
            BottomCut("", ("lowerleg01.L", 0.0), flare=0.07, skirt=True),
        ),
    )
)
JACKETS = (
    TopCut("cardigan", 1.90, DEEP, hem=-0.03, loose=0.032, opening=0.05, style="cardigan", label=7),
    TopCut("jacket", 1.92, DEEP, hem=-0.02, loose=0.034, opening=0.06, style="jacket", label=7),
    TopCut("short-jacket", 1.92, HOOD, hem=0.05, loose=0.032, opening=0.045, gather="cuff", style="bomber", label=7),
)
BOTTOMS = (
    BottomCut("trousers", ("foot.L", 0.03)),
    BottomCut("wide-trousers", ("foot.L", 0.02), loose=0.012, flare=0.045, settle=8),
    BottomCut("shorts", ("lowerleg01.L", 0.10), loose=0.012, flare=0.02, settle=8),
    BottomCut("skirt", ("lowerleg01.L", -0.15), flare=0.0, skirt=True, label=12),
    BottomCut("short-skirt", ("lowerleg01.L", 0.22), flare=0.0, skirt=True, label=12),
    BottomCut("cropped-trousers", ("foot.L", 0.16), loose=0.010, flare=0.02, settle=8),
    BottomCut("flared-skirt", ("lowerleg01.L", 0.02), flare=0.13, skirt=True, label=12),
    BottomCut("short-flared-skirt", ("lowerleg01.L", 0.20), flare=0.10, skirt=True, label=12),
    BottomCut("long-skirt", ("foot.L", 0.16), flare=0.10, skirt=True, label=12),
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
        g = np.minimum(g, np.where(on_arm, (cut.sleeve - along) * ARM_LENGTH, FAR))
    else:  # an armhole: a plane through the shoulder joint, leaning inwards at the top
        normal = np.array([1, 0, 0.28]) / np.hypot(1, 0.28)
        mirrored = np.stack([np.abs(points[:, 0]), points[:, 1], points[:, 2]], 1)
        hole = -(mirrored - marks.shoulder) @ normal - cut.armhole
        g = np.minimum(g, hole + np.where(points[:, 2] < marks.shoulder[2] - 0.16, 1, 0))
        g = np.where(on_arm & (points[:, 2] < marks.shoulder[2] - 0.05), -0.05, g)
    if cut.opening > 0:
        behind = 1 / (1 + np.exp(-(points[:, 1] - marks.neck[1] + 0.01) / 0.012))
        wider = 1 + 1.2 * np.clip((marks.shoulder[2] - 0.1 - points[:, 2]) / 0.5, 0, 1)
        g = np.minimum(g, np.abs(points[:, 0]) - cut.opening * wider + 0.5 * behind)
    return np.minimum(g, neck_field(cut.neckline, points, marks))


def bottom_field(cut: BottomCut, points: np.ndarray, marks: Landmarks) -> np.ndarray:
    """The field g (N,) of trousers, shorts or a skirt."""
    bone, above = cut.hem
    hem = marks.heads[bone][2] + above
    return np.minimum(marks.hip + WAIST - points[:, 2], points[:, 2] - hem)


def top_ease(cut: TopCut, points: np.ndarray, arm: np.ndarray, along: np.ndarray, marks: Landmarks) -> np.ndarray:
    """Distance (N,) in metres between body and cloth. It vanishes at the shoulder, or it looks like a padded jacket."""
    below = np.clip((marks.shoulder[2] + 0.01 - points[:, 2]) / 0.15, 0, 1)
    ease = (0.010 if cut.opening > 0 else 0.004) + cut.loose * below * np.where(arm > 0.5, 0.8, 1)
    ease = np.where(arm > 0.5, sleeve_ease(cut, ease, along, points, marks), ease)
    return ease + cut.flare * np.clip((0.42 - points[:, 2]) / 0.4, 0, 1) * (arm < 0.5)


def sleeve_ease(cut: TopCut, ease: np.ndarray, along: np.ndarray, points: np.ndarray, marks: Landmarks) -> np.ndarray:
    """Ease (N,) on the arm: `ease` for a plain sleeve, else widened along the arm and gathered or flared at its end."""
    if cut.gather == "plain":
        return ease
    left = (cut.sleeve - along) * ARM_LENGTH  # metres to the end of the sleeve
    if cut.gather == "cuff":  # a sleeve gathered into a band
        return 0.004 + (ease - 0.004) * np.clip((left - 0.03) / 0.05, 0.1, 1)
    if cut.gather == "puff":  # a bubble from the shoulder seam to a tight band
        return 0.004 + 0.042 * _hump(np.clip(along / 0.3, 0, 1), np.clip((left - 0.018) / 0.05, 0, 1))
    if cut.gather == "balloon":  # wide over a tight cuff
        full = np.clip(along / max(cut.sleeve, 0.1), 0, 1)
        return ease + 0.038 * full * np.clip((left - 0.03) / 0.05, 0, 1) - 0.6 * ease * (left < 0.03)
    if cut.gather == "bell":
        return ease + 0.06 * np.clip(1 - left / 0.20, 0, 1) ** 1.3
    # ruffle: a frill over the last centimetres, waved around the arm
    frill = np.clip(1 - left / 0.075, 0, 1)
    around = np.arctan2(points[:, 1] - marks.shoulder[1], np.abs(points[:, 0]) + points[:, 2] - _bone_line(marks))
    return ease + frill * (0.030 + 0.014 * np.sin(9 * around))


def _hump(rise: np.ndarray, fall: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(np.minimum(rise, fall), 0))


def _bone_line(marks: Landmarks) -> float:
    """|x| + z of the arm's bones, which hang at 45 degrees on the canonical body."""
    return float(marks.shoulder[0] + marks.shoulder[2])


def bottom_ease(cut: BottomCut, points: np.ndarray, marks: Landmarks) -> np.ndarray:
    """Distance (N,) in metres between body and cloth."""
    if cut.skirt:
        down = np.clip((marks.hip - 0.05 - points[:, 2]) / 0.38, 0, 1.8)
        folds = np.sin(9 * np.arctan2(points[:, 0], -points[:, 1]) + 1.0)
        return 0.008 + cut.flare * down * (1 + 0.3 * folds * np.clip(down, 0, 1))
    ease = 0.006 + cut.loose * np.clip((marks.hip + 0.02 - points[:, 2]) / 0.25, 0, 1)
    return ease + cut.flare * np.clip((marks.hip - 0.25 - points[:, 2]) / 0.5, 0, 1)
