"""Hair styles, and where hair grows on a head.

Convention: directions from the head's centre are azimuth, degrees from the front over the left (-180..180), and polar
angle, degrees from the crown down. Colours are sRGB; lengths metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from .noise import value_noise
from .skin import Colour


@dataclass(frozen=True)
class HairStyle:
    """thickness of the hair over the crown, metres; sides: its share near the hairline at the sides and back; front:
    further share at the front; lumps: unevenness; strands: length of loose strands, metres (0 none), count of them;
    hanging: curtains hang down; fringe: hair over the forehead; knot: "", "bun", "half" (a small bun),
    "tail" or "braid"; curl in [0,1]; frame: azimuth from which curtains hang, small where hair frames the face; volume:
    metres that curtains bulge; layered: a shorter layer lies over the curtains; locks: count of dreadlocks that hang in
    place of curtains; rows: braided to the scalp; recede: degrees that the hairline has drawn back; density: of the
    scalp's tint, below which skin shows through."""

    thickness: float
    sides: float = 1.0
    front: float = 0.0
    lumps: float = 0.3
    strands: float = 0.0
    count: int = 0
    hanging: bool = False
    fringe: bool = False
    knot: str = ""
    curl: float = 0.0
    frame: float = 61.0
    volume: float = 0.0
    layered: bool = False
    locks: int = 0
    rows: bool = False
    recede: float = 0.0
    density: float = 0.85

    @property
    def combed(self) -> bool:
        """Hair is parted or drawn back: no strands fall over the forehead."""
        return bool(self.knot) or (self.hanging and not self.fringe)


STYLES = {
    "buzz": HairStyle(0.0035, sides=0.7, lumps=0.1),
    "bald": HairStyle(0.0040, lumps=0.0, density=0.16),
    "receding": HairStyle(0.008, sides=0.8, lumps=0.3, strands=0.014, count=220, recede=27.0, density=0.6),
    "short": HairStyle(0.017, sides=0.40, front=0.1, strands=0.022, count=380),
    "crop": HairStyle(0.022, sides=0.30, front=0.35, lumps=0.45, strands=0.030, count=420),
    "quiff": HairStyle(0.020, sides=0.32, front=1.1, strands=0.034, count=380),
    "undercut": HairStyle(0.030, sides=0.09, front=0.5, lumps=0.4, strands=0.036, count=420, curl=0.2),
    "bob": HairStyle(0.022, hanging=True, strands=0.04, count=200, frame=54, volume=0.016),
    "wavy-bob": HairStyle(0.025, lumps=0.4, hanging=True, strands=0.04, count=240, curl=0.7, frame=52, volume=0.022,
                          layered=True),
    "long": HairStyle(0.018, hanging=True, strands=0.08, count=220, frame=56, volume=0.006),
    "layered": HairStyle(0.022, hanging=True, strands=0.07, count=240, curl=0.15, frame=52, volume=0.016, layered=True),
    "wavy": HairStyle(0.024, lumps=0.4, hanging=True, strands=0.07, count=240, curl=0.7, frame=53, volume=0.022,
                      layered=True),
    "long-curly": HairStyle(0.034, lumps=0.5, hanging=True, strands=0.04, count=400, curl=1.0, frame=54, volume=0.040,
                            layered=True),
    "fringe": HairStyle(0.018, hanging=True, fringe=True, strands=0.07, count=220, volume=0.008),
    "wavy-fringe": HairStyle(0.023, hanging=True, fringe=True, strands=0.07, count=240, curl=0.6, volume=0.022,
                             layered=True),
    "half-up": HairStyle(0.014, hanging=True, strands=0.06, count=200, knot="half", volume=0.010, layered=True),
    "tied": HairStyle(0.009, lumps=0.15, strands=0.025, count=80, knot="tail"),
    "braid": HairStyle(0.010, lumps=0.2, strands=0.03, count=90, knot="braid"),
    "bun": HairStyle(0.009, lumps=0.15, strands=0.025, count=80, knot="bun"),
    "curly": HairStyle(0.040, sides=0.75, front=0.15, lumps=0.5, strands=0.022, count=620, curl=1.0),
    "afro": HairStyle(0.062, sides=0.9, lumps=0.28, strands=0.014, count=720, curl=1.0),
    "dreadlocks": HairStyle(0.012, lumps=0.4, hanging=True, locks=84, frame=50, volume=0.02),
    "cornrows": HairStyle(0.011, lumps=0.1, rows=True, density=0.45),
}  # fmt: skip

# Largest polar angle that hair grows to, by azimuth from the front: forehead, temple, sideburn before the ear (which
# lies at azimuth 60 to 84, below 96), over the ear, down behind it, nape.
_AZIMUTH = (0, 30, 43, 49, 53, 58, 63, 72, 82, 88, 98, 120, 150, 180)
_HAIRLINE = (57, 59, 64, 78, 98, 100, 91, 92, 95, 110, 119, 121, 123, 124)


@dataclass(frozen=True)
class Hairline:
    """Where hair ends on a head at rest: azimuth (n,) ascending over [-180,180] and polar angle (n,) from `centre`."""

    centre: np.ndarray
    azimuth: np.ndarray
    polar: np.ndarray
    colour: Colour
    density: float = 0.85

    def coverage(self, points: np.ndarray) -> np.ndarray:
        """Share (N,) in [0,1] of hair over skin at rest points (N,3): 0 beyond a ragged edge along the hairline."""
        offset = points - self.centre
        radius = np.linalg.norm(offset, axis=1)
        near = np.flatnonzero((radius < 0.17) & (offset[:, 2] > -0.10))
        polar = np.degrees(np.arccos(np.clip(offset[near, 2] / np.maximum(radius[near], 1e-9), -1, 1)))
        azimuth = np.degrees(np.arctan2(offset[near, 0], -offset[near, 1]))
        limit = np.interp(azimuth, self.azimuth, self.polar)
        streaks = value_noise(np.stack([azimuth * 1.6, polar * 0.25, 0 * polar], axis=1), 3)
        share = np.zeros(len(points), np.float32)
        share[near] = self.density * np.clip((limit + 1.5 + 3.0 * streaks - polar) / 5, 0, 1)
        return share


def natural_hairline(look: HairStyle, from_front: np.ndarray) -> np.ndarray:
    """Polar angle to which hair grows; hair that is drawn back has no sideburns."""
    limit = np.interp(from_front, _AZIMUTH, _HAIRLINE)
    drawn_back = np.interp(from_front, (43, 58, 66), (64, 84, 91))
    return np.where((from_front > 43) & (from_front < 66), drawn_back, limit) if look.combed else limit


def draw_hairline(look: HairStyle, azimuth, curtain, tucked: bool, rng: np.random.Generator) -> np.ndarray:
    """Polar angle (121,) that the sheet reaches, with a person's own forehead, temples and ragged edge."""
    from_front = np.abs(azimuth)
    limit = natural_hairline(look, from_front)
    front = np.clip((52 - from_front) / 20, 0, 1)
    limit += front * rng.normal(0, 2.5) + rng.uniform(-2, 5) * np.exp(-((from_front / 9) ** 2))
    limit -= rng.uniform(0, 5) * np.exp(-(((from_front - 34) / 9) ** 2))
    limit -= look.recede * np.clip((70 - from_front) / 25, 0, 1)
    if look.fringe:
        reach = rng.uniform(76, 84) + rng.uniform(-4, 4) * np.clip(azimuth / 45, -1, 1)
        limit = np.where(from_front < 56, np.maximum(limit, reach), limit)
    elif look.hanging:  # swept to one side: the line dips from the parting outwards
        side = 1 if rng.random() < 0.5 else -1
        limit += rng.uniform(0, 9) * np.exp(-(((side * azimuth - 38) / 14) ** 2))
    if look.hanging:
        under = np.interp(from_front, [50, 61, 70, 180], [67, 78, 96, 101])
        limit = np.where(curtain, np.maximum(limit, 104) if tucked else under, limit)
    ragged = uniform_filter1d(rng.normal(0, 1, 121), 2, mode="wrap")
    ragged[-1] = ragged[0]
    return limit + ragged * np.where(curtain, 0.0, 2.2 if look.fringe else 0.7 if look.combed else 1.3)


def tinted_hairline(edge, centre, look: HairStyle, azimuth, curtain, colour: Colour) -> Hairline:
    """Where the scalp's tint ends: at the sheet's edge, and where hair hangs over skin, at the natural hairline."""
    offset = edge - centre
    polar = np.degrees(np.arccos(np.clip(offset[:, 2] / np.linalg.norm(offset, axis=1), -1, 1)))
    natural = natural_hairline(look, np.abs(azimuth))
    covered = curtain | ((np.abs(azimuth) < 56) & look.fringe)
    actual = np.degrees(np.arctan2(offset[:, 0], -offset[:, 1]))
    actual[0], actual[-1] = -180, 180
    order = np.argsort(actual, kind="stable")
    return Hairline(
        centre.astype(np.float32), actual[order], np.where(covered, natural, polar)[order], colour, look.density
    )
