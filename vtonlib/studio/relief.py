"""What a cloth is like besides its colour: the relief of knit, cord and leather, and how it shines.

Convention: heights are in metres over fabric coordinates, (H,W) with row 0 at the top; slopes (H,W,2) are dh/dx and
dh/dz, z up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .patterns import clouds


@dataclass(frozen=True)
class Finish:
    """How a cloth reflects light (`mesh.Surface`) and creases. bump: factor on the strength of creases."""

    specular: float = 0.015
    roughness: float = 0.8
    fuzz: float | None = None  # None: drawn per garment
    bump: float = 1.0


FINISHES = {
    "satin": Finish(0.04, 0.42, 0.1, 1.0), "leather": Finish(0.045, 0.46, 0.0, 0.8),
    "knit": Finish(0.008, 0.95, 1.0, 0.6), "cable-knit": Finish(0.008, 0.95, 1.0, 0.4),
    "corduroy": Finish(0.01, 0.9, 1.0, 0.6), "denim": Finish(0.012, 0.9, 0.2, 0.9), "weave": Finish(bump=1.5),
    "lace": Finish(bump=0.5),
}  # fmt: skip
RELIEF_SHADE = {"knit": 0.22, "cable-knit": 0.30, "corduroy": 0.30, "leather": 0.06}  # darkening of the valleys


def finish_of(kind: str) -> Finish:
    """The finish of a fabric; that of cotton for all without one of their own."""
    return FINISHES.get(kind, Finish())


def relief(kind: str, rng: np.random.Generator, size: tuple[int, int], scale: float) -> np.ndarray | None:
    """Height (H,W) float32 of a cloth at `scale` pixels per metre, or None for a smooth fabric."""
    if kind not in RELIEF_SHADE:
        return None
    y = ((np.arange(size[0], dtype=np.float32) + 0.5) / np.float32(scale))[:, None]
    x = ((np.arange(size[1], dtype=np.float32) + 0.5 - size[1] / 2) / np.float32(scale))[None]
    if kind == "leather":
        return 0.0006 * clouds(size, scale, 0.009, rng, 2)
    if kind == "corduroy":
        period = rng.uniform(0.0065, 0.010)
        return (0.0014 * np.abs(np.sin(np.pi * x / period)) + 0 * y).astype(np.float32)
    ribs = _ribs(x, y, rng.uniform(0.0075, 0.013))
    return (_cables(x, y, rng) if kind == "cable-knit" else ribs).astype(np.float32)


def _ribs(x: np.ndarray, y: np.ndarray, period: float) -> np.ndarray:
    """Columns of knit stitches: rounded ribs whose stitches slant left and right."""
    phase = x / period
    slant = np.abs(phase % 1 - 0.5) * 2
    return 0.0012 * np.cos(2 * np.pi * phase) + 0.0004 * np.sin(2 * np.pi * (y / 0.007 + 0.5 * slant))


def _cables(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two strands that wind about each other, every eight to twelve centimetres, between ribs."""
    spacing, turn, half = rng.uniform(0.08, 0.12), rng.uniform(0.05, 0.08), 0.011
    across = (x / spacing + 0.5) % 1 * spacing - spacing / 2
    swing = np.sin(2 * np.pi * y / turn)
    height = 0.4 * _ribs(x, y, 0.010)
    for side, over in ((1, np.cos(2 * np.pi * y / turn)), (-1, -np.cos(2 * np.pi * y / turn))):
        strand = 1 - ((across - side * half * swing) / 0.0095) ** 2
        height = np.maximum(height, (0.0042 + 0.0012 * over) * np.sqrt(np.clip(strand, 0, 1)))
    return height


def shaded(texture: np.ndarray, height: np.ndarray, amount: float) -> np.ndarray:
    """Texture (H,W,3) uint8 with the valleys of a relief darkened by up to `amount`."""
    low, high = height.min(), height.max()
    depth = (high - height) / max(high - low, 1e-9)
    return (texture * (1 - np.float32(amount) * depth)[..., None] + 0.5).astype(np.uint8)


def slopes(height: np.ndarray, scale: float) -> np.ndarray:
    """dh/dx, dh/dz (H,W,2) float32 of a height (H,W) in metres at `scale` pixels per metre."""
    down, right = np.gradient(height.astype(np.float32))
    return np.stack([right, -down], axis=-1) * np.float32(scale)
