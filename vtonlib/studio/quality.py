"""Defects that a simulation leaves now and then, found in the true passes, so that such a sample is drawn again.

Three kinds are looked for: a hole in a garment, something worn or grown below that pokes through the garment, and a
limb that goes through one. Each is counted in pixels of the photograph, scaled to a picture of 256x192.

Convention: `alone` are the passes of a scene that holds the top and nothing else, seen by the same camera: what would
be seen of it if nothing were in front.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..labels import ARM_LABELS, LIP_INDEX
from .body import body_pack
from .mesh import Mesh
from .render import Passes

REFERENCE_PIXELS = 256 * 192
LIMITS = {"hole": 1.5, "poke": 1.5, "limb": 6.0}  # pixels at 256x192 that pass unnoticed
TOUCHING = 0.03  # metres in front of the cloth within which what belongs under it counts as poking through
THROUGH = 0.02  # metres behind the cloth around it from which a thing is seen through a hole and not in a fold
# Metres below the cloth, most of their thickness, from which hand and forearm count as inside it.
SUNK_HAND, SUNK_FOREARM = 0.02, 0.035
DEEPEST = 0.10  # metres: what is farther away (a hand beside the head) is not in the cloth at all
FEWEST = 8  # vertices of a sunk limb
BELOW_TOP = (9, 10, 12, 16, 17)  # labels that belong under a top where its outside faces the camera
OVER_COLLAR = (2, 10, 13)  # labels that may be seen through the opening of a collar
COLLAR_HEIGHT = 0.56  # metres on the canonical body from which cloth belongs to a collar
TOP = LIP_INDEX["upper-clothes"]


@dataclass(frozen=True)
class Defects:
    """Counts in pixels at 256x192: holes, poke-through of what lies below, limbs inside the garment."""

    hole: float
    poke: float
    limb: float

    @property
    def kind(self) -> str | None:
        """The name of the first defect above its limit, or None if the sample is good."""
        return next((name for name, limit in LIMITS.items() if getattr(self, name) > limit), None)


def find_defects(passes: Passes, alone: Passes, top: Mesh, body: np.ndarray, tucked_at: float = -np.inf) -> Defects:
    """Count the defects of the top in a photograph; see `holes`, `poking` and `sunk_limbs`.

    top: the draped mesh; body (V,3): posed body vertices in metres; tucked_at: see `poking`.
    """
    scale = REFERENCE_PIXELS / passes.mask.size
    sunk = sunk_limbs(passes, top, body, tucked_at)
    found = (holes(passes, alone), poking(passes, alone, tucked_at), sunk)
    return Defects(*(float(scale * pixels.sum()) for pixels in found))


def _is_top(passes: Passes, alone: Passes) -> np.ndarray:
    """Pixels (H,W) bool of the top, whatever its label (a dress has its own): `alone` knows no other."""
    return passes.parse == max(int(alone.parse.max()), 1)


def holes(passes: Passes, alone: Passes) -> np.ndarray:
    """Pixels (H,W) bool where the garment is torn: enclosed by the outside of one part of it (torso, left or right
    sleeve), and showing its inside or what lies behind. A gap between sleeve and torso touches two parts: no hole."""
    garment = _is_top(passes, alone) & ~passes.back
    pieces, count = ndimage.label(ndimage.binary_fill_holes(garment) & ~garment)
    part = np.where(garment, _part(passes), 0)
    torn = np.zeros_like(garment)
    for piece, place in enumerate(ndimage.find_objects(pieces, count), start=1):
        window = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in place)
        inside = pieces[window] == piece
        ring = ndimage.binary_dilation(inside, np.ones((3, 3))) & garment[window]
        depth = np.where(passes.mask[window], passes.depth[window], np.inf)
        behind = depth > np.median(depth[ring]) + THROUGH
        if len(np.unique(part[window][ring])) == 1:
            torn[window] |= inside & behind & ~(alone.mask[window] & ~alone.back[window])
    # the opening of a collar or hood: what belongs there shows, or the collar's inside
    in_collar = ndimage.binary_dilation(alone.back & (alone.rest[..., 2] > COLLAR_HEIGHT), iterations=2)
    return torn & ~np.isin(passes.parse, OVER_COLLAR) & ~in_collar


def _part(passes: Passes) -> np.ndarray:
    """1 torso, 2 left sleeve, 3 right sleeve: by the DensePose part that the cloth covers."""
    table = np.ones(25, np.int8)
    table[[15, 17, 19, 21, 4]], table[[16, 18, 20, 22, 3]] = 2, 3
    return table[passes.densepose]


def poking(passes: Passes, alone: Passes, tucked_at: float = -np.inf) -> np.ndarray:
    """Pixels (H,W) bool where trousers, skirt or skin show although the outside of the top covers that line of sight
    and the two are within 3 cm. Skin at the very rim of the neckline does not count, nor what covers the part of the
    top below the canonical height `tucked_at` (m): it is tucked in there."""
    covered = alone.mask & ~alone.back & ~_is_top(passes, alone)
    covered &= ~(alone.rest[..., 2] < tucked_at + 0.006)  # as cloth is seen past the waistband's very edge
    ahead = alone.depth - passes.depth
    found = covered & np.isin(passes.parse, BELOW_TOP) & (ahead < TOUCHING)
    inner = ndimage.binary_erosion(alone.mask & ~alone.back, iterations=2)
    return found & (inner | (passes.parse != LIP_INDEX["neck"]))


def sunk_limbs(passes: Passes, top: Mesh, body: np.ndarray, tucked_at: float = -np.inf) -> np.ndarray:
    """Pixels (H,W) bool of bare arm or hand that belong to a limb cut by the cloth of the torso.

    A vertex of hand or forearm is inside where it lies more than 20 or 35 mm below the tangent plane of the nearest
    torso cloth vertex, straight below it and no nearer than 3 cm to a hem. Where such a limb is seen, its pixels near
    the cloth count. Cloth below the canonical height `tucked_at` (m) is in the waistband, where no limb can cut it.
    """
    pack = body_pack()
    limb = np.flatnonzero((pack.arm_coordinate > 1.05) & (pack.arm_weight > 0.9))
    torso = np.flatnonzero(np.isin(top.densepose, (1, 2)) & (top.rest[:, 2] > tucked_at))
    distance, nearest = cKDTree(top.vertices[torso]).query(body[limb])
    nearest = torso[nearest]
    depth = np.einsum("ij,ij->i", top.vertices[nearest] - body[limb], top.normals[nearest])
    deepest = np.where(pack.arm_coordinate[limb] > 2, SUNK_HAND, SUNK_FOREARM)
    inside = limb[(depth > deepest) & (depth > 0.8 * distance) & (distance < DEEPEST) & (top.edge[nearest] > 0.03)]
    if len(inside) < FEWEST:
        return np.zeros_like(passes.mask)
    left = pack.canonical.vertices[inside, 0].mean() > 0
    arm = passes.parse == ARM_LABELS[0 if left else 1]
    beside = ndimage.binary_dilation(passes.parse == top.label[0], iterations=2)
    return arm & beside
