"""Who stands in the studio: seeded draws of identities and poses. (What they wear: `outfits`.)

Every draw is a frozen dataclass of plain values, so that it can be written into the manifest, and a person can be built
again in another garment, pose or view.

Convention: colours are sRGB in [0,1]; one `numpy.random.Generator` a draw, seeded by the caller with integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .body import Phenotype
from .faces import NEUTRAL, Expression, draw_expression, draw_face_shape

# Skin from light to dark; an identity's tone is a position between two of these.
SKIN = (
    (0.96, 0.80, 0.70), (0.92, 0.73, 0.61), (0.86, 0.66, 0.53), (0.76, 0.55, 0.42), (0.62, 0.42, 0.31),
    (0.45, 0.30, 0.22), (0.33, 0.21, 0.16),
)  # fmt: skip
DARK_HAIR = ((0.07, 0.05, 0.04), (0.12, 0.08, 0.06), (0.22, 0.13, 0.08))
HAIR = (*DARK_HAIR, (0.35, 0.22, 0.13), (0.55, 0.38, 0.20), (0.72, 0.58, 0.36), (0.45, 0.18, 0.09), (0.55, 0.55, 0.55))
HAIR_SHARE = (0.12, 0.14, 0.19, 0.19, 0.14, 0.11, 0.07, 0.04)
IRIS = ((0.30, 0.19, 0.10), (0.18, 0.11, 0.07), (0.35, 0.45, 0.55), (0.33, 0.40, 0.25))
DYED_HAIR = ((0.62, 0.30, 0.38), (0.25, 0.32, 0.45), (0.60, 0.12, 0.12), (0.80, 0.74, 0.62), (0.36, 0.16, 0.32))
WOMENS_HAIR = {
    "long": 0.14, "layered": 0.13, "wavy": 0.14, "long-curly": 0.06, "fringe": 0.06, "wavy-fringe": 0.05, "bob": 0.09,
    "wavy-bob": 0.07, "half-up": 0.04, "tied": 0.08, "bun": 0.06, "braid": 0.03, "short": 0.02, "afro": 0.02,
    "cornrows": 0.01,
}  # fmt: skip
MENS_HAIR = {
    "short": 0.28, "crop": 0.18, "quiff": 0.12, "buzz": 0.10, "undercut": 0.09, "receding": 0.07, "bald": 0.03,
    "curly": 0.05, "afro": 0.02, "dreadlocks": 0.02, "cornrows": 0.02, "bun": 0.02,
}  # fmt: skip
# How often each pose is drawn.
POSE_SHARE = {
    "stand": 0.14, "hips": 0.06, "hand-on-hip": 0.07, "raise": 0.03, "crossed": 0.04, "walk": 0.06, "twist": 0.05,
    "lean": 0.04, "pocket": 0.05, "pockets": 0.04, "hand-in-hair": 0.04, "hands-behind-head": 0.02, "collar": 0.03,
    "chin": 0.02, "behind-back": 0.04, "thigh": 0.04, "across-thigh": 0.03, "hold-arm": 0.03, "clasp": 0.02,
    "offer": 0.02, "bag-strap": 0.02, "hip-and-hair": 0.02, "hip-and-thigh": 0.02, "wide": 0.02, "arms-out": 0.01,
    "stride": 0.01, "stride-pocket": 0.01, "look-back": 0.01, "slouch": 0.01,
}  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """A person without clothes: body, skin, hair, eyes. tone: 0 (lightest) to 6 (darkest), a position in SKIN.

    face: weights of the shapes of the face (`faces.draw_face_shape`), none for the body model's own.
    """

    phenotype: Phenotype
    female: bool
    tone: float
    hair_style: str
    hair_colour: tuple[float, float, float]
    hair_length: float
    iris: tuple[float, float, float]
    seed: int
    face: tuple[float, ...] = ()
    hair_tips: tuple[float, float, float] | None = None

    @property
    def skin(self) -> tuple[float, float, float]:
        """sRGB skin colour."""
        low = min(int(self.tone), len(SKIN) - 2)
        mix = self.tone - low
        return tuple(float((1 - mix) * a + mix * b) for a, b in zip(SKIN[low], SKIN[low + 1]))


@dataclass(frozen=True)
class Staging:
    """How a person stands: pose, its seed, turn about the vertical in degrees, the seed of light and background, and
    what the face does."""

    pose: str
    pose_seed: int
    yaw: float
    seed: int
    expression: Expression = NEUTRAL


def _choose(rng: np.random.Generator, options, share=None):
    return options[int(rng.choice(len(options), p=share))]


def draw_identity(rng: np.random.Generator, female: bool | None = None) -> Identity:
    """An adult. Shape and skin tone go with a random mixture of the body model's three ancestries.

    female: whether a woman, drawn if None (the other draws are the same either way).
    """
    drawn = bool(rng.random() < 0.6)
    female = drawn if female is None else female
    african, asian, caucasian = rng.dirichlet([0.6, 0.6, 0.8])
    tone = float(np.clip(5.2 * african + 1.6 * asian + 0.7 * caucasian + rng.normal(0, 0.6), 0.2, 6))
    phenotype = Phenotype(
        gender=1.0 if female else 0.0,
        age=float(0.62 + 0.28 * rng.random() ** 2.4),  # mostly young
        weight=float(np.clip(rng.normal(0.46, 0.2), 0.1, 0.95)),
        muscle=float(rng.uniform(0.28, 0.8)),
        height=float(rng.uniform(0.32, 0.78)),
        proportions=float(rng.uniform(0.35, 0.95)),
        cupsize=float(rng.uniform(0.18, 0.72)),
        firmness=0.6,
        african=float(african),
        asian=float(asian),
        caucasian=float(caucasian),
    )
    fair = caucasian > 0.5
    hair = WOMENS_HAIR if female else MENS_HAIR
    style = _choose(rng, tuple(hair), tuple(hair.values()))
    identity = Identity(
        phenotype=phenotype,
        female=female,
        tone=tone,
        hair_style=style,
        hair_colour=_choose(rng, HAIR, HAIR_SHARE) if fair else _choose(rng, DARK_HAIR),
        hair_length=float(rng.uniform(0.16, 0.40)) if "bob" not in style else float(rng.uniform(0.09, 0.15)),
        iris=_choose(rng, IRIS, (0.4, 0.35, 0.13, 0.12)) if fair else IRIS[1],
        seed=int(rng.integers(1 << 30)),
        face=draw_face_shape(rng, phenotype),
    )
    identity = replace(identity, hair_colour=_greyed(rng, identity.hair_colour, phenotype.age))
    return _dyed(rng, identity)


def _dyed(rng: np.random.Generator, identity: Identity) -> Identity:
    """Some have dyed hair; long hair may run into lighter ends."""
    chance, tint = rng.random(2), _choose(rng, DYED_HAIR)
    lighter = tuple(float(c) for c in np.array(identity.hair_colour) ** rng.uniform(0.5, 0.75) * (1.0, 0.92, 0.80))
    if chance[0] < (0.08 if identity.female else 0.02):
        identity = replace(identity, hair_colour=tint)
    if identity.female and chance[1] < 0.30:
        identity = replace(identity, hair_tips=lighter)
    return identity


def _greyed(rng: np.random.Generator, colour: tuple[float, ...], age: float) -> tuple[float, float, float]:
    """Hair that has gone grey, likelier and further the older the head."""
    likely, share, grey = float(np.clip((age - 0.73) / 0.16, 0, 0.85)), rng.uniform(0.35, 1.0), rng.uniform(0.45, 0.8)
    if rng.random() >= likely:
        return colour
    return tuple(float(value) for value in (1 - share) * np.array(colour) + share * grey * np.array([1.0, 0.98, 0.95]))


def draw_staging(rng: np.random.Generator, others: Sequence[str] = ()) -> Staging:
    """A pose, a turn in degrees, and a seed for shadows and grain.

    others: poses of the same person's other pictures, which are not drawn again. A first picture is nearly frontal
    (12 standard deviation, 30 at most), a further one is turned more (35, at most 80). Raises ValueError if no pose is
    left.
    """
    share = {pose: share for pose, share in POSE_SHARE.items() if pose not in others}
    if not share:
        raise ValueError(f"draw_staging: expected at least one pose besides {', '.join(others)}")
    pose = _choose(rng, tuple(share), np.array(list(share.values())) / sum(share.values()))
    spread, most = (35, 80) if others else (12, 30)
    yaw = float(np.clip(rng.normal(0, spread), -most, most))
    return Staging(pose, int(rng.integers(1 << 30)), yaw, int(rng.integers(1 << 30)), draw_expression(rng))
