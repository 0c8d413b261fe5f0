"""How a shop presents a garment: on an invisible mannequin or laid flat, its sleeves hanging, how large, on what.

A presentation moves the pressed garment's vertices and nothing else. What belongs together on the person and in the
shop is known by triangle and weights (`truth.garment_flow`), so the true flow stays exact whatever is done here.

Convention: metres; x to the wearer's left, z up, the front of the garment faces -y. Angles are degrees; a positive turn
is counter-clockwise in the picture of the front.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter, shift

from .garment import GarmentShape
from .lighting import SHOP_LIGHT, Light, encode_srgb

STYLES = ("ghost", "flat")
GROUNDS = ((0.93, 0.93, 0.93), (0.99, 0.99, 0.99), (0.90, 0.885, 0.86), (0.80, 0.80, 0.81))  # linear
GROUND_SHARE = (0.5, 0.2, 0.15, 0.15)
CONSTANT_HALF = 0.50  # metres: half the height of a picture in which garments keep their sizes
SETTLE = 25  # rounds in which the cloth around the shoulder gets its lengths back after a sleeve was moved


@dataclass(frozen=True)
class Presentation:
    """One garment's way to be shown, the same from front and back.

    style: one of STYLES; depth: share of the garment's depth that is left; turn, sleeves: degrees that the whole is
    turned and that sleeves hang lower than in the pressed pose; ground: linear RGB; fitted: the garment fills the
    picture, or else metres are of one size in all pictures (where it fits); shadow: strength of the shadow on the
    ground in [0,1].
    """

    style: str
    depth: float
    turn: float
    sleeves: float
    ground: tuple[float, float, float]
    fitted: bool
    shadow: float
    light: Light


def draw_presentation(rng: np.random.Generator) -> Presentation:
    """Two garments in three stand as on a mannequin, the others lie."""
    flat = bool(rng.random() < 0.35)
    ground = GROUNDS[int(rng.choice(len(GROUNDS), p=GROUND_SHARE))]
    light = replace(
        SHOP_LIGHT,
        key=(float(rng.uniform(-2.2, 1.2)), -3.0, float(rng.uniform(2.0, 3.2))),
        key_strength=float(rng.uniform(0.85, 1.0)),
        ambient=float(rng.uniform(0.56, 0.68)),
    )
    return Presentation(
        style="flat" if flat else "ghost",
        depth=float(rng.uniform(0.10, 0.22) if flat else rng.uniform(0.22, 0.5)),
        turn=float(rng.uniform(-6, 6)) if flat else 0.0,
        sleeves=0.0 if flat and rng.random() < 0.35 else float(rng.uniform(22, 38)),
        ground=ground,
        fitted=bool(rng.random() < 0.6),
        shadow=float(rng.uniform(0.15, 0.4)) if flat else 0.0,
        light=light,
    )


def present(shape: GarmentShape, way: Presentation) -> np.ndarray:
    """Render vertices (N,3) float32 of a garment in its presentation, about the origin's vertical plane."""
    depth = way.depth * (shape.points[:, 1] - shape.points[:, 1].mean())
    points = np.stack([shape.pressed[:, 0], depth, shape.pressed[:, 2]], 1).astype(np.float32)
    if way.sleeves and shape.is_top and shape.cut.sleeve > 0:
        points = _hang_sleeves(shape, points, way.sleeves)
    vertices = shape.render_vertices(points)
    middle = (vertices.min(0) + vertices.max(0)) / 2
    return (_turned(vertices - middle, np.full(len(vertices), way.turn)) + middle).astype(np.float32)


def _turned(points: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Points (N,3) turned by degrees (N,) in the x-z plane about the origin, counter-clockwise seen from the front."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    x, z = points[:, 0], points[:, 2]
    return np.stack([cos * x - sin * z, points[:, 1], sin * x + cos * z], 1)


def _hang_sleeves(shape: GarmentShape, points: np.ndarray, degrees: float) -> np.ndarray:
    """Turn the sleeves of points (N,3) down about the shoulders, a little more than the torso forward of it.

    The turn grows with the arm's weight, and the cloth in between settles: its edges get their lengths back.
    """
    share = np.clip((shape.arm - 0.1) / 0.8, 0, 1)
    share = share * share * (3 - 2 * share)
    side = np.sign(points[:, 0])
    pivot = np.stack([side * (shape.marks.shoulder[0] - 0.01), 0 * side, 0 * side + shape.marks.shoulder[2]], 1)
    hung = _turned(points - pivot, -side * degrees * share) + pivot
    hung[:, 1] -= 0.02 * share  # in front of the torso where both overlap
    hung = hung.astype(np.float32)
    lengths = shape.cloth.lengths(points).astype(np.float32)
    for _ in range(SETTLE):
        shape.cloth.project(hung, lengths)
    return hung


def shop_ground(way: Presentation, mask: np.ndarray) -> np.ndarray:
    """The ground (h,w,3) float32, linear, with the soft shadow of what covers mask (h,w)."""
    ground = np.broadcast_to(np.float32(way.ground), (*mask.shape, 3))
    if way.shadow == 0:
        return ground
    reach = mask.shape[0] / 256
    cast = gaussian_filter(mask.astype(np.float32), 3.0 * reach)
    right = -np.sign(way.light.key[0]) * 2.0 * reach
    cast = shift(cast, (2.5 * reach, right), order=1, mode="nearest")
    return (ground * (1 - np.float32(way.shadow) * np.clip(cast, 0, 1))[..., None]).astype(np.float32)


def summary(way: Presentation) -> dict:
    """Plain values for a manifest."""
    level = float(encode_srgb(np.mean(way.ground)))
    return {"shop_style": way.style, "shop_fitted": way.fitted, "shop_ground": round(level, 3)}
