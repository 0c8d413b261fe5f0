"""What is sewn on a top: plackets and buttons, cuffs, pockets, drawstrings and ribbed bands, drawn by the shader.

A detail wraps the shader of the cloth and changes its colour where fabric coordinates say so; it needs no geometry.

Convention: fabric coordinates (x, z) in metres, x = 0 is the middle of the front, x to the person's left, z up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .lighting import decode_srgb
from .mesh import Hit, Shader, Surface

BUTTONS = ((0.93, 0.92, 0.88), (0.12, 0.12, 0.13), (0.42, 0.28, 0.18), (0.93, 0.92, 0.88))  # sRGB
SEAM = 0.0016  # metres, width of a seam
BUTTON, BUTTON_EVERY, PLACKET = 0.0058, 0.085, 0.017  # metres: radius, distance, half the width of the placket
CUFF = 0.058  # metres, width of a shirt's cuff
BELOW_ELBOW = 0.36  # |x| (m) on the canonical body from which cloth belongs to a forearm


@dataclass(frozen=True)
class Sewn:
    """Where the front of a top begins and ends: heights (m, fabric coordinates) of its neckline and hem; and the colour
    (sRGB) of buttons and strings."""

    neck: float
    hem: float
    button: tuple[float, float, float] = BUTTONS[0]


def sewn_shader(shader: Shader, style: str, sewn: Sewn) -> Shader:
    """The shader with the details of a style: one of DETAILS; any other is left as it is."""
    if style not in DETAILS:
        return shader
    draw = DETAILS[style]

    def shade(hit: Hit) -> Surface:
        surface = shader(hit)
        albedo = surface.albedo.copy()
        draw(albedo, hit, sewn)
        return replace(surface, albedo=albedo)

    return shade


def _line(distance: np.ndarray, width: float = SEAM) -> np.ndarray:
    """Factor (N,) of a seam at distance (N,) metres from its middle."""
    return 1 - 0.42 * np.exp(-((distance / width) ** 2))


def _placket(albedo: np.ndarray, hit: Hit, sewn: Sewn, low: float) -> None:
    """A button placket on the middle of the front from the neckline down to the height `low`."""
    x, z = hit.uv[:, 0], hit.uv[:, 1]
    ahead = np.flatnonzero(hit.front & ~hit.back & (np.abs(x) < 0.03) & (z > low - 0.01))
    x, z = x[ahead], z[ahead]
    side = _line(np.abs(x) - PLACKET)
    fold = 1 - 0.16 * np.exp(-(((x + PLACKET - 0.003) / 0.003) ** 2))
    shade = np.where(z > low, side * fold, 1) * np.where(np.abs(x) < PLACKET, _line(z - low), 1)
    albedo[ahead] *= shade[:, None]
    down = (sewn.neck - 0.018 - z) / BUTTON_EVERY
    number = np.round(down)
    from_button = np.hypot(x, (down - number) * BUTTON_EVERY)
    there = (number >= 0) & (sewn.neck - 0.018 - number * BUTTON_EVERY > low + 0.012) & (from_button < BUTTON * 1.25)
    rim = np.clip((from_button[there] - BUTTON) / (0.25 * BUTTON), 0, 1)[:, None]
    hole = 1 - 0.5 * (from_button[there] < 0.25 * BUTTON)[:, None]
    albedo[ahead[there]] = albedo[ahead[there]] * (0.45 * rim) + decode_srgb(sewn.button) * hole * (1 - rim)


def _shirt(albedo: np.ndarray, hit: Hit, sewn: Sewn) -> None:
    _placket(albedo, hit, sewn, sewn.hem - 0.05)
    cuffs = np.flatnonzero(np.abs(hit.rest[:, 0]) > BELOW_ELBOW)
    albedo[cuffs] *= _line(hit.edge[cuffs] - CUFF)[:, None]


def _polo(albedo: np.ndarray, hit: Hit, sewn: Sewn) -> None:
    _placket(albedo, hit, sewn, sewn.neck - 0.16)


def _hoodie(albedo: np.ndarray, hit: Hit, sewn: Sewn) -> None:
    x, z = np.abs(hit.uv[:, 0]), hit.uv[:, 1]
    ahead = hit.front & ~hit.back & (np.abs(hit.rest[:, 0]) < 0.22)
    low, high, slant = sewn.hem + 0.06, sewn.hem + 0.23, sewn.hem + 0.12
    side = 0.145 - 0.055 * np.clip((z - slant) / (high - slant), 0, 1)
    outline = np.minimum(side - x, np.minimum(high - z, z - low))
    pocket = np.flatnonzero(ahead & (np.abs(outline) < 0.012))
    albedo[pocket] *= _line(outline[pocket], 0.0024)[:, None] * _line(outline[pocket] - 0.007, 0.0012)[:, None]
    end = sewn.neck - 0.17
    string = np.abs(x - 0.035 - 0.006 * np.sin(26 * (z - sewn.neck)))
    strings = np.flatnonzero(ahead & (string < 0.0042) & (z > end) & (z < sewn.neck + 0.02))
    round_ = 1 - 0.45 * (string[strings] / 0.0042)[:, None] ** 2
    albedo[strings] = decode_srgb(sewn.button) * round_
    _ribs(albedo, hit, 0.05)


def _ribs(albedo: np.ndarray, hit: Hit, width: float) -> None:
    """A ribbed band along hem and cuffs."""
    banded = np.flatnonzero((hit.edge < width + 0.004) & ((hit.rest[:, 2] < 0.42) | (np.abs(hit.rest[:, 0]) > 0.3)))
    across = np.where(np.abs(hit.rest[banded, 0]) > 0.3, hit.rest[banded, 1], hit.uv[banded, 0])
    rib = 0.93 + 0.07 * np.sin(across * np.float32(2 * np.pi / 0.007))
    rib = np.where(hit.edge[banded] < width, rib, 1)
    albedo[banded] *= (rib * _line(hit.edge[banded] - width, 0.0022))[:, None]


Draw = Callable[[np.ndarray, Hit, Sewn], None]
DETAILS: dict[str, Draw] = {"shirt": _shirt, "open-shirt": _shirt, "polo": _polo, "hoodie": _hoodie}
