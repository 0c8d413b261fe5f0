"""Shapes of hands: how far each finger bends, how far the fingers spread, how far the thumb lies across the palm.

Convention: degrees; fingers are counted 1 (thumb) to 5 (little finger), written for either hand. Rotations are (3,3),
world axes of the rest pose, about the bone's head (vtonlib.studio.body).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .body import rotation

FINGERS = range(1, 6)  # 1 is the thumb
GATHER = 0.65  # share of the angle to the middle finger by which fingers close up in a hand that is not spread


@dataclass(frozen=True)
class HandShape:
    """curl: degrees that each joint of thumb, index, middle, ring and little finger bends towards the palm; spread: 0
    fingers side by side, 1 as at rest, above 1 wider; thumb: degrees that the thumb swings across the palm."""

    curl: tuple[float, float, float, float, float] = (6.0, 12.0, 15.0, 18.0, 20.0)
    spread: float = 0.0
    thumb: float = 0.0


HANDS = {
    "relaxed": HandShape(),
    "half-closed": HandShape((10, 28, 34, 38, 40), 0.0, 8),
    "flat": HandShape((2, 2, 2, 3, 4), 0.0, 0),
    "spread": HandShape((-4, 4, 3, 4, 6), 1.5, -14),
    "fist": HandShape((38, 68, 72, 74, 74), 0.0, 17),
    "pointing": HandShape((34, 6, 66, 70, 70), 0.0, 15),
    "two-finger": HandShape((36, 5, 4, 68, 70), 0.8, 17),
    "holding": HandShape((16, 30, 32, 34, 36), 0.15, 30),
    "pinching": HandShape((16, 38, 24, 18, 14), 0.4, 30),
    "thumb-out": HandShape((-8, 10, 12, 14, 16), 0.0, -22),
}
SHARES = {
    "relaxed": 0.34, "half-closed": 0.20, "flat": 0.08, "spread": 0.07, "fist": 0.08, "pointing": 0.04,
    "two-finger": 0.03, "holding": 0.07, "pinching": 0.05, "thumb-out": 0.04,
}  # fmt: skip
RESTING = ("relaxed", "flat", "half-closed", "relaxed")  # for a hand that touches something


def draw_hand(rng: np.random.Generator, names: tuple[str, ...] | None = None) -> HandShape:
    """A hand of one of the named shapes (None: of any, by SHARES), every finger a little different each time.

    Raises ValueError for a name not in HANDS.
    """
    unknown = [name for name in names or () if name not in HANDS]
    if unknown:
        raise ValueError(f"draw_hand: expected names from {', '.join(HANDS)}, got {unknown[0]!r}")
    options = names or tuple(SHARES)
    share = None if names else tuple(SHARES.values())
    shape = HANDS[options[int(rng.choice(len(options), p=share))]]
    noise = rng.normal(0, 1, 7)
    curl = tuple(float(c + (2 + 0.06 * abs(c)) * n) for c, n in zip(shape.curl, noise))
    return replace(shape, curl=curl, spread=shape.spread + 0.08 * float(noise[5]), thumb=shape.thumb + 4 * noise[6])


def finger_rotations(shape: HandShape, head: Callable[[str], np.ndarray], sign: float) -> dict[str, np.ndarray]:
    """Rotations of the finger bones (without side). head: bone name -> its place at rest; sign: 1 left, -1 right."""
    wrist = head("wrist")
    palm = sign * _unit(np.cross(head("finger2-1") - wrist, head("finger5-1") - wrist))
    direction = {k: _unit(head(f"finger{k}-3") - head(f"finger{k}-1")) for k in FINGERS}
    across = _unit(head("finger5-1") - head("finger2-1"))
    swing = np.deg2rad(shape.thumb) * _thumb_axis(direction, palm)
    rotations = {}
    for k, curl in zip(FINGERS, shape.curl):
        inward = across - 0.35 * palm if k == 1 else -palm  # a thumb bends across the palm, not out of it
        bend = rotation(_unit(np.cross(direction[k], inward)) * np.deg2rad(curl))
        close = np.cross(direction[k], direction[3]) * ((0.25 if k == 1 else GATHER) * (1 - shape.spread))
        first = rotation(swing) @ rotation(close) if k == 1 else rotation(close)
        rotations |= {f"finger{k}-1": bend @ first, f"finger{k}-2": bend, f"finger{k}-3": bend}
    return rotations


def _thumb_axis(direction: dict[int, np.ndarray], palm: np.ndarray) -> np.ndarray:
    """The axis along the hand about which the thumb swings towards the palm."""
    axis = direction[3]
    towards = np.cross(axis, direction[1]) @ palm
    return axis if towards < 0 else -axis


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector), 1e-12)
