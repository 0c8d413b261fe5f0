"""Collars and hoods: what stands or lies around the neckline of a top, as strips that follow its edge.

A strip has one column for each point of the neckline's edge, from the front over the person's left and the back to the
front again, and a few rows: from the edge up (the stand), over a fold and down on the outside (the leaf). Each column
is laid out in a frame of its own that the edge of the draped cloth gives, so that a collar needs no simulation.

Convention: metres; a column's frame is n (out of the cloth), t (along the edge), u (off the cloth, towards the neck).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree

from .body import triangles, vertex_normals
from .subdivide import compact

COLUMNS = 72
NEAR = 0.09  # metres from the neckline within which a trim can touch the cloth


@dataclass(frozen=True)
class Collar:
    """Shape of a strip, metres: height of the stand and length of the leaf at the back and at the front, how far the
    points spread, how thick the leaf bulges, and the gap between both ends at the front.

    flat in [0,1]: how much of the front lies open instead of standing.
    """

    stand: float
    leaf_back: float
    leaf_front: float
    spread: float = 0.014
    bulge: float = 0.004
    gap: float = 0.003
    flat: float = 0.0


COLLARS = {
    "shirt": Collar(0.030, 0.042, 0.076, spread=0.022),
    "open-shirt": Collar(0.026, 0.042, 0.064, flat=1.0, spread=0.02),
    "polo": Collar(0.022, 0.036, 0.060, spread=0.022),
    "hoodie": Collar(0.045, 0.21, 0.055, spread=0.004, bulge=0.026, gap=0.006),
    "bomber": Collar(0.036, 0.030, 0.030, spread=0.0, bulge=0.002),
    "jacket": Collar(0.022, 0.050, 0.075, spread=0.0, bulge=0.006, flat=1.0, gap=0.012),
}


class Trim:
    """The strip of one neckline. faces (F,3) count from 0; edge (M,) metres to its rim; anchor (M,): the vertex of the
    garment's render mesh that each of its vertices belongs to.

    collar: the shape; rest (N,3), faces of the render mesh; ring: indices of its vertices on the neckline's edge.
    """

    def __init__(self, collar: Collar, rest: np.ndarray, faces: np.ndarray, ring: np.ndarray):
        self.collar = collar
        centre = 0.5 * (rest[ring, 1].min() + rest[ring, 1].max())
        turn = np.arctan2(rest[ring, 0], centre - rest[ring, 1]) % (2 * np.pi)
        ring = ring[np.argsort(turn, kind="stable")]
        ahead = np.linalg.norm(np.roll(rest[ring], -1, 0) - rest[ring], axis=1)
        along = np.concatenate([[0], np.cumsum(ahead)])
        total = along[-2]  # not across the front, where the cloth may be open
        place = np.linspace(collar.gap, total - collar.gap, COLUMNS)
        before = np.clip(np.searchsorted(along, place, "right") - 1, 0, len(ring) - 1)
        share = (place - along[before]) / np.maximum(ahead[before], 1e-9)
        columns = np.concatenate([ring[before], ring[(before + 1) % len(ring)]])
        weights = np.concatenate([1 - share, share])
        self._ring = sp.csr_matrix((weights, (np.tile(np.arange(COLUMNS), 2), columns)), shape=(COLUMNS, len(rest)))
        self._front = np.exp(-((np.minimum(place, total - place) / 0.055) ** 2))[:, None].astype(np.float32)
        self._away = np.where(place < total / 2, 1, -1)[:, None].astype(np.float32)
        self._back = (0.5 - 0.5 * np.cos(2 * np.pi * place / total))[:, None].astype(np.float32)
        near = cKDTree(rest[ring]).query(rest, distance_upper_bound=NEAR + collar.leaf_back)[0]
        self._near = np.isfinite(near)
        self._near_faces, self._near_ids = compact(faces[self._near[faces].all(1)])
        rows = 6
        corner = (np.arange(rows - 1)[:, None] * COLUMNS + np.arange(COLUMNS - 1)).ravel()
        self.faces = triangles(np.stack([corner, corner + 1, corner + COLUMNS + 1, corner + COLUMNS], 1))[:, ::-1]
        self.anchor = np.tile(ring[before], rows)
        self.edge = np.repeat([0.05, 0.05, 0.05, 0.05, 0.022, 0.0], COLUMNS)
        self.edge[[k * COLUMNS + end for k in range(3, 6) for end in (0, COLUMNS - 1)]] = 0.0

    def vertices(self, cloth: np.ndarray) -> np.ndarray:
        """The strip's vertices (M,3) on the render vertices (N,3) of its garment."""
        normals = np.zeros_like(cloth)
        normals[self._near_ids] = vertex_normals(cloth[self._near_ids], self._near_faces)
        a, n = self._ring @ cloth, _round(_round(self._ring @ normals))
        t = _unit(_round(np.roll(a, -1, 0) - np.roll(a, 1, 0)))
        u = _unit(np.cross(n, t))
        n = _unit(np.cross(t, u))
        axis = _unit(np.cross(a, np.roll(a, -1, 0)).sum(0, keepdims=True))
        shape, front = self.collar, self._front
        standing = 1 - shape.flat * front
        away = a - a.mean(0)
        away = _unit(away - (away @ axis.T) * axis)
        leaf = shape.leaf_front + (shape.leaf_back - shape.leaf_front) * self._back ** (2 if shape.bulge > 0.01 else 1)
        up = _unit((0.65 * axis + 0.35 * u) * standing + 0.02 * u)
        rise = shape.stand * (0.12 + 0.88 * standing) * up
        bottom = a - 0.004 * u - 0.003 * n
        fold = a + rise
        over = fold + 0.007 * (away * standing + n * (1 - standing)) - 0.002 * up
        low = a - u * (leaf - shape.stand * standing) + 0.010 * n + self._away * t * shape.spread * front
        middle = 0.5 * (over + low) + shape.bulge * _unit(n + away)
        inside = bottom + 0.55 * rise - 0.001 * away
        low, middle = (self._on_cloth(points, cloth, normals) for points in (low, middle))
        return np.concatenate([bottom, inside, fold, over, middle, low]).astype(np.float32)

    def _on_cloth(self, points: np.ndarray, cloth: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Points (N,3) lifted to 4 mm above the cloth."""
        ids = self._near_ids
        nearest = ids[cKDTree(cloth[ids]).query(points)[1]]
        height = np.einsum("ij,ij->i", points - cloth[nearest], normals[nearest])
        return points + np.maximum(0.004 - height, 0)[:, None] * normals[nearest]


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _round(rows: np.ndarray) -> np.ndarray:
    """Rows averaged with their neighbours around the ring."""
    return (np.roll(rows, 1, 0) + 2 * rows + np.roll(rows, -1, 0)) / 4
