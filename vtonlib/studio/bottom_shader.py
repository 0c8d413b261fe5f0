"""Cloth of trousers and skirts: denim with its seams and pockets, corduroy, leather, prints, or plain.

Everything is a function of the place on the undeformed garment, so it costs no texture (prints have one) and moves with
the cloth. Positions are those of the canonical body, whose landmarks are the same for everyone.

Convention: rest coordinates in metres, x to the wearer's left, z up, the front faces -y; colours sRGB in [0,1] outside,
linear inside.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .cloth_shader import cloth_shader, crease_normal, flat_shader, hem_shade, relief_normal
from .dyes import Colour, draw_ground
from .fabric import fabric_textures
from .lighting import decode_srgb
from .mesh import Hit, Shader, Surface
from .noise import value_noise

PRINTS = ("tartan", "flowers", "leopard", "stripes", "dots", "leaves", "checks", "camouflage")
BOTTOM_FABRICS = ("plain", "denim", "corduroy", "leather", *PRINTS)
# The middle of a leg at heights (m) from the ankle up to the waist: |x| and y.
LEG_HEIGHT, LEG_X, LEG_Y = (-0.74, -0.29, 0.145, 0.25), (0.19, 0.15, 0.112, 0.10), (-0.01, -0.04, -0.006, -0.006)
KNEE, CROTCH, BAND, WAIST_TOP = -0.29, 0.055, 0.205, 0.245  # heights (m)
THREAD, PALE = decode_srgb((0.82, 0.52, 0.20)), decode_srgb((0.80, 0.85, 0.90))
STITCH = 0.0016  # half the width (m) of a row of stitches


def draw_bottom_fabric(rng: np.random.Generator, skirt: bool) -> str:
    """A fabric for trousers (nearly always plain or denim) or for a skirt (one in six is printed)."""
    share = (0.56, 0.12, 0.07, 0.07) if skirt else (0.48, 0.40, 0.05, 0.04)
    rest = (1 - sum(share)) / len(PRINTS)
    return BOTTOM_FABRICS[int(rng.choice(len(BOTTOM_FABRICS), p=(*share, *[rest] * len(PRINTS))))]


@lru_cache(maxsize=8)
def bottom_shader(fabric: str, colour: Colour, seed: int = 0, *, legs: bool = True) -> Shader:
    """The shader of trousers (legs) or a skirt; its mesh must hold the distance to the hem in `edge`.

    fabric: one of BOTTOM_FABRICS; colour: sRGB of plain cloth, corduroy and leather (denim and prints draw their own
    from the seed). Raises ValueError for another fabric.
    """
    if fabric not in BOTTOM_FABRICS:
        raise ValueError(f"bottom_shader: fabric must be one of {', '.join(BOTTOM_FABRICS)}, got {fabric!r}")
    rng = np.random.default_rng([seed, 5])
    if fabric == "plain":
        return flat_shader(colour, roughness=0.85, hem=True)
    if fabric == "leather":
        return flat_shader(colour, specular=0.05, roughness=0.42, fuzz=0.0, weave=0.04, bump=0.2, hem=True)
    if fabric == "denim":
        return _denim(draw_ground("denim", rng), float(rng.uniform(0.15, 0.6)), legs, seed)
    if fabric == "corduroy":
        return _corduroy(colour, float(rng.uniform(0.006, 0.010)), seed)
    return _printed(fabric, rng)


def _printed(kind: str, rng: np.random.Generator) -> Shader:
    """A printed cloth laid on from the front and from behind."""
    front, back, _ = fabric_textures(kind, rng, 1.2, 1.2, 300, prints=())
    shade = cloth_shader(front, back, (-0.6, 0.6, -0.85, 0.35), bump=0.12)

    def at_rest(hit: Hit) -> Surface:
        centre = _leg(hit.rest)[1]
        flat = Hit(
            hit.position, hit.normal, hit.view, hit.rest, np.ascontiguousarray(hit.rest[:, [0, 2]]), hit.edge,
            hit.rest[:, 1] < centre, hit.back,
        )  # fmt: skip
        return shade(flat)

    return at_rest


def _leg(rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """|x| and y (N,) of the middle of the leg at the height of each point."""
    z = rest[:, 2]
    return tuple(np.interp(z, LEG_HEIGHT, values).astype(np.float32) for values in (LEG_X, LEG_Y))


def _corduroy(colour: Colour, period: float, seed: int) -> Shader:
    """Wales that run down the leg."""
    linear = decode_srgb(colour)

    def shade(hit: Hit) -> Surface:
        x, y = _leg(hit.rest)
        around = 0.085 * np.arctan2(np.abs(hit.rest[:, 0]) - x, hit.rest[:, 1] - y)
        phase = np.pi * around / np.float32(period)
        tone = (0.62 + 0.45 * np.abs(np.sin(phase))) * hem_shade(hit.edge) * np.where(hit.back, np.float32(0.55), 1)
        slope = np.stack([0.35 * np.sin(2 * phase) * np.sign(hit.rest[:, 0]), 0 * phase], 1).astype(np.float32)
        normal = relief_normal(crease_normal(hit, 0.15, 24.0, seed), slope)
        return Surface(linear * tone[:, None].astype(np.float32), 0.01, roughness=0.9, fuzz=0.8, normal=normal)

    return shade


def _denim(colour: Colour, wear: float, legs: bool, seed: int) -> Shader:
    """Blue twill, paler where it is worn, with orange stitching, seams, fly, pockets, waistband and button."""
    linear, bright = decode_srgb(colour), np.float32(np.clip(2.2 * max(colour), 0.3, 1))
    pale, thread = PALE * bright, THREAD * (0.3 + 0.7 * bright)

    def shade(hit: Hit) -> Surface:
        yarn = value_noise(hit.rest * np.float32([420, 420, 50]), seed + 11)
        slant = hit.rest * np.float32([300, 300, 0]) + hit.rest[:, 2:] * np.float32([260, 260, 0])
        yarn = 0.6 * yarn + 0.4 * value_noise(slant, seed + 12)
        worn = np.clip(wear * _worn(hit.rest, seed) + 0.05 + 0.09 * yarn, 0, 0.9)
        albedo = linear + (pale - linear) * worn[:, None]
        groove, stitches = _seams(hit, legs)
        albedo *= (1 - 0.45 * groove)[:, None]
        albedo += (thread - albedo) * (0.75 * stitches)[:, None]
        albedo *= (hem_shade(hit.edge) * np.where(hit.back, np.float32(0.6), 1))[:, None]
        button = _button(hit)
        albedo += (np.float32(0.35) - albedo) * button[:, None]
        normal = crease_normal(hit, 0.22, 24.0, seed)
        return Surface(albedo.astype(np.float32), 0.012 + 0.25 * button, roughness=0.85, fuzz=0.2, normal=normal)

    return shade


def _worn(rest: np.ndarray, seed: int) -> np.ndarray:
    """Where denim is paler (N,), about [0,1]: thighs and knees in front, the seat, creases at the hip."""
    x, y = _leg(rest)
    z, aside = rest[:, 2], (np.abs(rest[:, 0]) - x) / 0.055
    front = np.clip((y - rest[:, 1]) / 0.04 + 0.2, 0, 1)
    thigh = np.exp(-(aside**2)) * np.clip((0.08 - z) / 0.1, 0, 1) * np.clip((z - KNEE + 0.12) / 0.15, 0, 1)
    knee = np.exp(-(aside**2) - ((z - KNEE) / 0.07) ** 2)
    seat = np.exp(-(((np.abs(rest[:, 0]) - 0.085) / 0.05) ** 2) - ((z - 0.04) / 0.07) ** 2) * (1 - front)
    slope = z + 0.45 * np.abs(rest[:, 0])
    whisker = np.clip(np.sin(2 * np.pi * slope / 0.028), 0, 1) * np.exp(-(((z - 0.10) / 0.035) ** 2)) * front
    patches = value_noise(rest * np.float32([9, 9, 5]), seed + 13)
    return front * (0.8 * thigh + 0.5 * knee) + 0.6 * seat + 0.35 * whisker + 0.15 * patches


def _row(distance: np.ndarray) -> np.ndarray:
    """A row of stitches where the distance (N,) in metres is 0."""
    return np.exp(-((distance / STITCH) ** 2))


def _seams(hit: Hit, legs: bool) -> tuple[np.ndarray, np.ndarray]:
    """Grooves and rows of stitches (N,), each in [0,1]."""
    x, y, z = hit.rest.T
    middle, depth = _leg(hit.rest)
    front, wide = y < depth, np.abs(x)
    seamed = (wide > middle) | ((z < CROTCH) & legs)
    across = np.where(seamed, y - depth, 1.0)
    below_band = z < BAND
    groove = _row(across / 1.2)
    stitches = np.maximum(_row(across - 0.006), _row(across - 0.012)) * (wide < middle)  # the inner seam is felled
    middle_seam = below_band & (z > CROTCH - 0.03)
    groove = np.maximum(groove, _row(x) * middle_seam)
    stitches = np.maximum(stitches, _row(x - 0.006) * middle_seam)
    fly = 0.034 * np.sqrt(np.clip((z - 0.085) / 0.03, 0, 1))
    stitches = np.maximum(
        stitches, np.maximum(_row(x - fly), _row(x - fly + 0.006)) * (front & below_band & (z > 0.085))
    )
    mouth = np.hypot(wide - 0.175, z - 0.215)
    pocket = front & below_band & (wide > 0.07)
    stitches = np.maximum(stitches, np.maximum(_row(mouth - 0.085), _row(mouth - 0.092)) * pocket)
    groove = np.maximum(groove, _row((mouth - 0.081) / 1.3) * pocket)
    stitches = np.maximum(stitches, _patch_pocket(wide, z) * ~front)
    band = np.minimum(np.abs(z - BAND - 0.004), np.abs(z - WAIST_TOP + 0.005))
    stitches = np.maximum(stitches, _row(band))
    groove = np.maximum(groove, _row((z - BAND) / 1.5))
    loops = np.abs(wide - np.where(front, 0.085, 0.045))
    groove = np.maximum(groove, 0.6 * _row((loops - 0.006) / 1.2) * (z > BAND - 0.005))
    return groove, np.maximum(stitches, 0.8 * _row(hit.edge - 0.018) * (z < 0))


def _patch_pocket(wide: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Double rows along the rim of a back pocket that ends in a point."""
    aside = np.abs(wide - 0.085)
    inside = np.minimum(np.minimum(0.062 - aside, 0.155 - z), z - 0.005 - 0.25 * (0.062 - aside) + 0.0155)
    return np.maximum(_row(inside), _row(inside - 0.006))


def _button(hit: Hit) -> np.ndarray:
    """1 on the metal button of the waistband."""
    x, y, z = hit.rest.T
    return ((np.hypot(x, z - 0.226) < 0.009) & (y < 0)).astype(np.float32)
