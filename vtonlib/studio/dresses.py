"""Dresses: a top whose lower end goes into a skirt of the same cloth, as one garment with one mesh.

Convention: as in `garment`; vertices of the upper part come first, then those of the skirt.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.sparse as sp

from .body import vertex_normals
from .contact import Sheet, lie_on
from .cuts import WAIST, TopCut
from .drape import Cloth
from .garment import GarmentShape, landmarks

SEAM_OVERLAP = 0.008  # metres that the upper part is drawn below the skirt's upper edge
SEAM_GAP = 0.002  # metres that the skirt lies over the upper part


class DressShape:
    """Topology and canonical geometry of a dress; it can be used wherever a `GarmentShape` of a top can."""

    def __init__(self, cut: TopCut):
        self.cut, self.is_top, self.marks = cut, True, landmarks()
        self.upper, self.skirt = GarmentShape(cut), GarmentShape(cut.skirt)
        parts = (self.upper, self.skirt)
        count = len(self.upper.points)
        self.points, self.arm, self.along = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("points", "arm", "along")
        )
        self.arm[count:] = 0  # a skirt's vertices follow no arm
        self.cloth = Cloth(np.concatenate([self.upper.quads, self.skirt.quads + count]), len(self.points))
        self.to_render = sp.block_diag([part.to_render for part in parts], format="csr")
        self.rest, self.edge, self.body_vertex = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("rest", "edge", "body_vertex")
        )
        shown = (self.upper.rest[:, 2] > self.marks.hip + WAIST - SEAM_OVERLAP) | (self.upper.rest_arm > 0.5)
        drawn = shown[self.upper.faces].any(1)
        self.faces = np.concatenate([self.upper.faces[drawn], self.skirt.faces + len(self.upper.rest)])
        self.front = np.concatenate([self.upper.front[drawn], self.skirt.front])
        self.covered = self.upper.covered | self.skirt.covered
        self.front_ends = self.upper.front_ends[0], float(self.fabric[:, 1].min())

    @cached_property
    def pressed(self) -> np.ndarray:
        """Simulation vertices (N,3) pressed flat, the skirt hung at the waist of the upper part."""
        return np.concatenate([self.upper.pressed, self.skirt.pressed])

    @cached_property
    def fabric(self) -> np.ndarray:
        """Fabric coordinates (N,2) in metres of the render vertices."""
        return np.concatenate([self.upper.fabric, self.skirt.fabric])

    @cached_property
    def densepose(self) -> tuple[np.ndarray, np.ndarray]:
        """DensePose part (N,) and (u, v) (N,2) of the body below each vertex."""
        parts = zip(self.upper.densepose, self.skirt.densepose)
        return tuple(np.concatenate(both) for both in parts)

    def field(self, points: np.ndarray, arm: np.ndarray, along: np.ndarray) -> np.ndarray:
        """The cut field g (N,) of upper part and skirt together."""
        both = self.upper.field(points, arm, along), self.skirt.field(points, arm, along)
        return np.maximum(*both)

    def render_vertices(self, cloth: np.ndarray) -> np.ndarray:
        """Simulation vertices (n,3) -> render vertices (N,3)."""
        count = len(self.upper.points)
        return np.concatenate([self.upper.render_vertices(cloth[:count]), self.skirt.render_vertices(cloth[count:])])

    def fit(self, rest_body: np.ndarray, posed_body: np.ndarray, under: tuple | None = None, tucked: bool = True):
        """Drape on a person: body vertices (V,3) at rest and posed -> render vertices (N,3)."""
        upper = self.upper.fit(rest_body, posed_body, tucked=True)
        sheet = Sheet(upper, vertex_normals(upper, self.upper.faces), self.upper.edge)
        return np.concatenate([upper, lie_on(self.skirt.fit(rest_body, posed_body), sheet, SEAM_GAP)])
