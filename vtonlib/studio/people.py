"""Who stands in the studio and what they wear: seeded draws of identities, tops and outfits.

Every draw is a frozen dataclass of plain values, so that it can be written into the manifest, and a person can be built
again in another garment, pose or view.

Convention: colours are sRGB in [0,1]; one `numpy.random.Generator` a draw, seeded by the caller with integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .body import Phenotype
from .cuts import BOTTOMS, TOPS, BottomCut, TopCut
from .fabric import FABRICS

# Skin from light to dark; an identity's tone is a position between two of these.
SKIN = (
    (0.96, 0.80, 0.70), (0.92, 0.73, 0.61), (0.86, 0.66, 0.53), (0.76, 0.55, 0.42), (0.62, 0.42, 0.31),
    (0.45, 0.30, 0.22), (0.33, 0.21, 0.16),
)  # fmt: skip
DARK_HAIR = ((0.07, 0.05, 0.04), (0.12, 0.08, 0.06), (0.22, 0.13, 0.08))
HAIR = (*DARK_HAIR, (0.35, 0.22, 0.13), (0.55, 0.38, 0.20), (0.72, 0.58, 0.36), (0.45, 0.18, 0.09), (0.55, 0.55, 0.55))
HAIR_SHARE = (0.24, 0.20, 0.20, 0.12, 0.08, 0.06, 0.06, 0.04)
IRIS = ((0.30, 0.19, 0.10), (0.18, 0.11, 0.07), (0.35, 0.45, 0.55), (0.33, 0.40, 0.25))
WOMENS_HAIR = ("long", "long", "bob", "fringe", "tied", "bun", "short", "afro")
MENS_HAIR = ("short", "crop", "buzz", "quiff", "short", "crop", "afro")
# How often each pose is drawn.
POSE_SHARE = {
    "stand": 0.22, "hips": 0.12, "hand-on-hip": 0.12, "raise": 0.09, "crossed": 0.06, "walk": 0.12, "twist": 0.09,
    "lean": 0.08, "pocket": 0.10,
}  # fmt: skip
TROUSER_COLOURS = (
    (0.12, 0.16, 0.28), (0.20, 0.28, 0.42), (0.08, 0.08, 0.09), (0.55, 0.50, 0.42), (0.80, 0.78, 0.74),
    (0.30, 0.33, 0.28), (0.38, 0.26, 0.20), (0.62, 0.64, 0.67),
)  # fmt: skip
SHOE_COLOURS = ((0.9, 0.9, 0.9), (0.08, 0.08, 0.08), (0.35, 0.20, 0.12), (0.6, 0.1, 0.1))


@dataclass(frozen=True)
class Identity:
    """A person without clothes: body, skin, hair, eyes. tone: 0 (lightest) to 6 (darkest), a position in SKIN."""

    phenotype: Phenotype
    female: bool
    tone: float
    hair_style: str
    hair_colour: tuple[float, float, float]
    hair_length: float
    iris: tuple[float, float, float]
    seed: int

    @property
    def skin(self) -> tuple[float, float, float]:
        """sRGB skin colour."""
        low = min(int(self.tone), len(SKIN) - 2)
        mix = self.tone - low
        return tuple(float((1 - mix) * a + mix * b) for a, b in zip(SKIN[low], SKIN[low + 1]))


@dataclass(frozen=True)
class TopDesign:
    """One top: its cut, its fabric, and the seed of everything that is drawn on it."""

    cut: TopCut
    fabric: str
    seed: int


@dataclass(frozen=True)
class Outfit:
    """What a person wears besides the top."""

    bottom: BottomCut
    bottom_colour: tuple[float, float, float]
    shoe_colour: tuple[float, float, float]


@dataclass(frozen=True)
class Staging:
    """How a person stands: pose, its seed, turn about the vertical in degrees, and the seed of light and background."""

    pose: str
    pose_seed: int
    yaw: float
    seed: int


def _choose(rng: np.random.Generator, options, share=None):
    return options[int(rng.choice(len(options), p=share))]


def draw_identity(rng: np.random.Generator) -> Identity:
    """An adult. Shape and skin tone go with a random mixture of the body model's three ancestries."""
    female = bool(rng.random() < 0.6)
    african, asian, caucasian = rng.dirichlet([0.6, 0.6, 0.8])
    tone = float(np.clip(5.2 * african + 1.6 * asian + 0.7 * caucasian + rng.normal(0, 0.6), 0, 6))
    phenotype = Phenotype(
        gender=1.0 if female else 0.0,
        age=float(rng.uniform(0.62, 0.84)),
        weight=float(np.clip(rng.normal(0.45, 0.16), 0.15, 0.95)),
        muscle=float(rng.uniform(0.35, 0.7)),
        height=float(rng.uniform(0.4, 0.7)),
        proportions=float(rng.uniform(0.4, 0.9)),
        cupsize=float(rng.uniform(0.25, 0.6)),
        firmness=0.6,
        african=float(african),
        asian=float(asian),
        caucasian=float(caucasian),
    )
    fair = caucasian > 0.5
    style = _choose(rng, WOMENS_HAIR if female else MENS_HAIR)
    return Identity(
        phenotype=phenotype,
        female=female,
        tone=tone,
        hair_style=style,
        hair_colour=_choose(rng, HAIR, HAIR_SHARE) if fair else _choose(rng, DARK_HAIR),
        hair_length=float(rng.uniform(0.16, 0.40)) if style != "bob" else float(rng.uniform(0.08, 0.13)),
        iris=_choose(rng, IRIS, (0.4, 0.35, 0.13, 0.12)) if fair else IRIS[1],
        seed=int(rng.integers(1 << 30)),
    )


def draw_top(rng: np.random.Generator) -> TopDesign:
    """A top of any cut in any fabric."""
    return TopDesign(_choose(rng, TOPS), _choose(rng, FABRICS), int(rng.integers(1 << 30)))


def draw_outfit(rng: np.random.Generator, female: bool) -> Outfit:
    """Trousers twice as often as anything else; skirts for women only."""
    trousers, wide, shorts, skirt, short_skirt = BOTTOMS
    bottoms = (trousers, trousers, wide, shorts, skirt, short_skirt) if female else (trousers, trousers, wide, shorts)
    return Outfit(_choose(rng, bottoms), _choose(rng, TROUSER_COLOURS), _choose(rng, SHOE_COLOURS))


def draw_staging(rng: np.random.Generator) -> Staging:
    """A pose, a turn of a few degrees (12 standard deviation, 30 at most), and a background."""
    pose = _choose(rng, tuple(POSE_SHARE), tuple(POSE_SHARE.values()))
    yaw = float(np.clip(rng.normal(0, 12), -30, 30))
    return Staging(pose, int(rng.integers(1 << 30)), yaw, int(rng.integers(1 << 30)))
