"""Colours of cloth: what garments are sold in, how well two colours stand apart, and the palette of one fabric.

Convention: colours are sRGB in [0,1].
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from .lighting import decode_srgb

# Colours that clothes are sold in; each draw varies them a little.
DYES = (
    (0.95, 0.95, 0.94), (0.90, 0.86, 0.78), (0.09, 0.09, 0.10), (0.25, 0.26, 0.28), (0.58, 0.59, 0.61),
    (0.11, 0.15, 0.30), (0.17, 0.32, 0.62), (0.58, 0.74, 0.88), (0.76, 0.13, 0.16), (0.42, 0.10, 0.17),
    (0.90, 0.55, 0.63), (0.78, 0.60, 0.58), (0.82, 0.72, 0.58), (0.66, 0.46, 0.28), (0.36, 0.24, 0.17),
    (0.38, 0.40, 0.24), (0.14, 0.42, 0.27), (0.63, 0.83, 0.72), (0.10, 0.43, 0.47), (0.82, 0.63, 0.18),
    (0.95, 0.84, 0.35), (0.90, 0.45, 0.20), (0.72, 0.65, 0.85), (0.40, 0.22, 0.52),
)  # fmt: skip

# Grounds of fabrics that have colours of their own.
GROUNDS = {
    "denim": ((0.20, 0.28, 0.42), (0.12, 0.16, 0.28), (0.38, 0.48, 0.62), (0.62, 0.70, 0.78), (0.10, 0.10, 0.12)),
    "leather": ((0.12, 0.10, 0.10), (0.35, 0.20, 0.12), (0.55, 0.36, 0.22), (0.28, 0.08, 0.09), (0.86, 0.84, 0.80)),
    "leopard": ((0.82, 0.63, 0.42), (0.88, 0.80, 0.66), (0.70, 0.52, 0.34)),
    "gingham": ((0.95, 0.95, 0.94), (0.94, 0.92, 0.86)),
    "camouflage": ((0.40, 0.42, 0.28), (0.55, 0.50, 0.38), (0.30, 0.36, 0.30), (0.50, 0.52, 0.54)),
}  # fmt: skip

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Palette:
    """Colours of a fabric and its prints. collar: colour of a contrasting hem; None stands for no collar, no print."""

    ground: Colour
    accent: Colour
    ink: Colour
    collar: Colour | None
    print: str | None
    back_print: str | None


def lab(colour) -> np.ndarray:
    """CIE Lab (...,3) of sRGB colours (...,3) in [0,1], white point D65 (IEC 61966-2-1, CIE 15)."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = decode_srgb(colour).astype(np.float64) @ to_xyz.T / to_xyz.sum(1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def contrast(one, other) -> np.ndarray:
    """How well sRGB colours stand apart: distance in Lab with both chroma axes counting half; black to white is 100.

    Fine print is read by lightness: hue is blurred by the eye and by a JPEG's coarser chroma.
    """
    return np.linalg.norm((lab(one) - lab(other)) * (1, 0.5, 0.5), axis=-1)


def draw_dye(rng: np.random.Generator) -> Colour:
    """A garment colour: one of DYES varied a little, or now and then any colour at all."""
    if rng.random() < 0.25:
        return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.15, 0.75), rng.uniform(0.25, 0.9))
    dye = np.array(DYES[rng.integers(len(DYES))]) + rng.normal(0, 0.025, 3)
    return tuple(np.clip(dye, 0.04, 0.97).tolist())


def draw_ground(kind: str, rng: np.random.Generator) -> Colour:
    """The ground of a fabric of this kind: one of its own, varied a little, where GROUNDS names some, else any dye."""
    dye = draw_dye(rng)
    if kind not in GROUNDS:
        return dye
    own = np.array(GROUNDS[kind][rng.integers(len(GROUNDS[kind]))]) + rng.normal(0, 0.025, 3)
    return tuple(np.clip(own, 0.04, 0.97).tolist())


def draw_contrasting(rng: np.random.Generator, against: list[Colour], least: float) -> Colour:
    """A garment colour whose contrast with all of `against` is at least `least`; the best dye if none turns up."""
    for _ in range(40):
        colour = draw_dye(rng)
        if contrast(colour, against).min() >= least:
            return colour
    distance = contrast(np.array(DYES)[:, None], np.array(against)[None]).min(1)
    return DYES[int(distance.argmax())]
