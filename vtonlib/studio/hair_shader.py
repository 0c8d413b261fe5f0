"""The shader of strands of hair.

Convention: uv counts metres across (u) and along (v) the strands from the root; colours are sRGB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .lighting import decode_srgb
from .mesh import Hit, Surface
from .noise import fractal_noise, value_noise
from .skin import Colour


@dataclass(frozen=True)
class Flow:
    """Which way strands run over the head at rest: towards or away from the point `pole` (3,)."""

    pole: np.ndarray
    towards: bool

    def direction(self, points: np.ndarray) -> np.ndarray:
        """Unit directions (N,3) from root to tip at rest points (N,3)."""
        return _unit((self.pole - points if self.towards else points - self.pole).astype(np.float32))


def strand_shader(
    colour: Colour, seed: int, flow: Flow, curl: float = 0.0, tips: Colour | None = None, span=(0.0, -1.0)
) -> Callable[[Hit], Surface]:
    """A shader of strands: noise that is fine across and long along them varies colour, normal and highlight.

    tips: colour that hair runs into from the crown down (None: one colour), some locks higher up than others; span:
    height of the crown and of the ends at rest, metres. The highlight is that of Kajiya and Kay (1989), which needs the
    strands' tangent: the flow laid into the surface.
    """
    base, ends = decode_srgb(colour), decode_srgb(colour if tips is None else tips)

    def shade(hit: Hit) -> Surface:
        u, v = hit.uv[:, 0], hit.uv[:, 1]
        zero = np.zeros_like(u)
        u = u + 0.006 * value_noise(np.stack([u * 14, v * 5, zero], 1), seed + 5)
        u = u + curl * 0.012 * np.sin(v * 60 + u * 60)
        fine = fractal_noise(np.stack([u * 150, v * 2.2, zero], 1), seed, 2)
        locks = value_noise(np.stack([u * 36, v * 1.1, zero + 3], 1), seed + 9)
        root = 0.72 + 0.28 * np.clip(v / 0.07, 0, 1)  # light hardly reaches the roots
        share = (
            np.clip(((span[0] - hit.rest[:, 2]) / (span[0] - span[1]) - 0.34 + 0.16 * locks) / 0.5, 0, 1)
            if tips is not None
            else zero
        )
        dyed = base + share[:, None] * (ends - base)
        albedo = dyed * (np.clip(1 + 0.55 * fine + 0.45 * locks, 0.25, 2.2) * root * (1 - 0.3 * hit.back))[:, None]
        along = flow.direction(hit.rest)
        tangent = _unit(along - (along * hit.normal).sum(1, keepdims=True) * hit.normal)
        across = np.cross(hit.normal, tangent)
        normal = _unit(hit.normal + across * (0.55 * fine + 0.5 * locks)[:, None])
        tangent = _unit(tangent + hit.normal * (0.18 * fine)[:, None])
        gloss = 0.022 * (1 - 0.5 * curl)
        return Surface(albedo=albedo, specular=gloss, roughness=0.4, wrap=0.22, normal=normal, tangent=tangent)

    return shade


def _unit(vectors) -> np.ndarray:
    vectors = np.asarray(vectors)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
