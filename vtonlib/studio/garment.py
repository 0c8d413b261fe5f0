"""From a cut to cloth: the mesh of a garment, how it is fitted to a body and how it is pressed flat.

The recipe: take the quads of the body suit where there may be cloth, subdivide once (about 1.2 cm edges) for the
simulation, subdivide tops once more and clip along the cut field for rendering. Both meshes are fixed matrices over the
body suit, so topology, texture coordinates and distance to the hem never change between people and poses.

Convention: fabric coordinates are the (x, z) of the pressed garment in metres: what the in-shop picture shows is the
same mapping that the worn garment is textured with, so the true flow between both pictures is exact.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np
import scipy.sparse as sp

from .body import body_pack, triangles, vertex_normals
from .contact import arm_ceiling
from .cuts import (
    FAR,
    WAIST,
    BottomCut,
    Landmarks,
    TopCut,
    bottom_ease,
    bottom_field,
    neck_field,
    top_ease,
    top_field,
)
from .densepose import cloth_densepose
from .drape import Cloth, DrapeSettings, Obstacle, drape
from .noise import value_noise
from .subdivide import catmull_clark, clip_triangles, compact, largest_column, quad_edges
from .trims import COLLARS, Trim

EXCESS = 0.05  # how much longer the cloth is than the body suit: what makes wrinkles
PRESS_STEPS = 160
UNDER_BAND = 0.003  # metres between skin and a top in the waistband
PINCH = 0.04  # metres above the waistband over which a tucked top narrows to it
COAT = 7  # label of what is worn over a top


@lru_cache(maxsize=1)
def landmarks() -> Landmarks:
    """Bone heads of the canonical body by name."""
    pack = body_pack()
    return Landmarks({name: pack.canonical.heads[index] for name, index in pack.bone_index.items()})


class GarmentShape:
    """Topology and canonical geometry of one cut; built once a process and cut (about half a second).

    quads, to_cloth: simulation mesh and the matrix that makes it from body vertices. faces, to_render: render mesh and
    the matrix that makes it from simulation vertices. rest (N,3), fabric (N,2), edge (N,), body_vertex (N,): canonical
    position, fabric coordinates, distance to the hem and nearest body vertex of the render vertices; front (F,) bool.
    """

    def __init__(self, cut: TopCut | BottomCut):
        pack = body_pack()
        self.cut, self.is_top, self.marks = cut, isinstance(cut, TopCut), landmarks()
        body = pack.canonical.vertices
        quads, ids = self._source_quads()
        matrix, fine = catmull_clark(quads, len(ids))
        self.suit_quads, self.suit_matrix = fine, matrix @ _pick(ids, len(body))
        points = self.suit_matrix @ body
        arm, along = self.suit_matrix @ pack.arm_weight, self.suit_matrix @ pack.arm_coordinate
        g = self.field(points, arm, along)
        self.quads, self.suit_ids = compact(fine[(g[fine] >= -0.004).any(1)])
        self.to_cloth = self.suit_matrix[self.suit_ids]
        self.points, self.arm, self.along = points[self.suit_ids], arm[self.suit_ids], along[self.suit_ids]
        self.suit_group = (arm > 0.5).astype(np.int8)
        self.suit_faces = triangles(fine)
        self.ease = self._ease()[:, None].astype(np.float32)
        self.cloth = Cloth(self.quads, len(self.points))
        self._smoothing = self._laplacian()
        self._make_render_mesh(g[self.suit_ids])

    def _source_quads(self) -> tuple[np.ndarray, np.ndarray]:
        pack = body_pack()
        body = pack.canonical.vertices
        if self.is_top:
            wanted = body[:, 2] > self.marks.hip + self.cut.hem - 0.08
        elif self.cut.skirt:
            wanted = np.ones(len(body), bool)
        else:
            wanted = (pack.arm_weight < 0.3) & (body[:, 2] < self.marks.hip + 0.22)
        quads = pack.tights_quads if self.is_top or not self.cut.skirt else pack.skirt_quads
        return compact(quads[wanted[quads].all(1)])

    def field(self, points: np.ndarray, arm: np.ndarray, along: np.ndarray) -> np.ndarray:
        """The cut field g (N,) at canonical points (N,3), given arm weight and arm coordinate there."""
        if self.is_top:
            return top_field(self.cut, points, arm, along, self.marks)
        return bottom_field(self.cut, points, self.marks)

    def _ease(self) -> np.ndarray:
        if self.is_top:
            return top_ease(self.cut, self.points, self.arm, self.along, self.marks)
        return bottom_ease(self.cut, self.points, self.marks)

    def _make_render_mesh(self, g: np.ndarray) -> None:
        matrix, quads = sp.identity(len(self.points), format="csr"), self.quads
        if self.is_top:
            matrix, quads = catmull_clark(quads, len(self.points))
        self.faces, clip = clip_triangles(triangles(quads), matrix @ g)
        to_render = (clip @ matrix).tocsr()
        self.to_render = to_render.astype(np.float32)
        self.rest, self.edge = to_render @ self.points, to_render @ g
        # hands over labels of the body: the body vertex with the largest share in each render vertex
        share = (to_render @ self.to_cloth).tocsr()
        self.body_vertex = largest_column(share)
        self.rest_arm = body_pack().arm_weight[self.body_vertex]
        normals = vertex_normals(self.rest, self.faces)
        self.front = normals[self.faces].mean(1)[:, 1] < 0
        self.trim = None
        self.rim = np.zeros(0, int)  # vertices on the neckline's edge
        if self.is_top and self.cut.neckline.width > 0:
            line = neck_field(self.cut.neckline, self.rest, self.marks)
            self.rim = np.flatnonzero((np.abs(self.edge) < 1e-6) & (np.abs(line) < 2e-3))
        if self.is_top and self.cut.style in COLLARS:
            self._add_trim(Trim(COLLARS[self.cut.style], self.rest, self.faces, self.rim))

    def _add_trim(self, trim: Trim) -> None:
        """Append a collar or hood to the render mesh."""
        more = trim.vertices(self.rest)
        count, front = len(self.rest), more[:, 1] < self.rest[self.rim, 1].mean()
        self.trim, self.faces = trim, np.concatenate([self.faces, trim.faces + count])
        self.rest, self.edge = np.concatenate([self.rest, more]), np.concatenate([self.edge, trim.edge])
        self.front = np.concatenate([self.front, front[trim.faces].all(1)])
        self.body_vertex = np.concatenate([self.body_vertex, self.body_vertex[trim.anchor]])
        self.rest_arm = np.concatenate([self.rest_arm, self.rest_arm[trim.anchor]])

    def render_vertices(self, cloth: np.ndarray) -> np.ndarray:
        """Simulation vertices (n,3) -> render vertices (N,3), those of a collar or hood last."""
        vertices = self.to_render @ cloth
        return vertices if self.trim is None else np.concatenate([vertices, self.trim.vertices(vertices)])

    @cached_property
    def densepose(self) -> tuple[np.ndarray, np.ndarray]:
        """DensePose part (N,) and (u, v) (N,2) of the body below each vertex."""
        return cloth_densepose(self.rest, self.body_vertex)

    @cached_property
    def pressed(self) -> np.ndarray:
        """Simulation vertices (N,3) pressed flat: y shrinks to nothing while the edges keep their lengths."""
        start = self._offset(body_pack().canonical.vertices)[0]
        level = self._smooth(start, 60, self._torso_only(lower=0.03, over=0.08))
        position = np.stack([start[:, 0], level[:, 1], start[:, 2]], 1).astype(np.float32)
        rest = self.cloth.lengths(position).astype(np.float32)
        position[:, 1] -= position[:, 1].mean()
        for _ in range(PRESS_STEPS):
            position[:, 1] *= 0.965
            self.cloth.project(position, rest)
        return position

    @cached_property
    def fabric(self) -> np.ndarray:
        """Fabric coordinates (N,2) in metres of the render vertices."""
        depth = 0.22 * (self.points[:, 1] - self.points[:, 1].mean())  # what a collar needs to know its sides by
        cloth = np.stack([self.pressed[:, 0], depth, self.pressed[:, 2]], 1).astype(np.float32)
        return self.render_vertices(cloth)[:, [0, 2]]

    @cached_property
    def front_ends(self) -> tuple[float, float]:
        """Heights (m, fabric coordinates) of the neckline and the hem in the middle of the front."""
        base = self.fabric[: self.to_render.shape[0]]
        middle = base[np.abs(base[:, 0]) < 0.02, 1]
        return float(base[self.rim, 1].min() if len(self.rim) else middle.max()), float(middle.min())

    @cached_property
    def covered(self) -> np.ndarray:
        """Body vertices (V,) that lie safely under the cloth and need not be drawn."""
        pack = body_pack()
        body = pack.canonical.vertices
        if self.is_top:
            g = self.field(body, pack.arm_weight, pack.arm_coordinate)
            return (g > 0.025) & (pack.head_weight < 0.2)
        z, hip = body[:, 2], self.marks.hip
        hem = self.marks.heads[self.cut.hem[0]][2] + self.cut.hem[1]
        if self.cut.skirt:
            return (z < hip + 0.06) & (z > hem + 0.05) & (pack.arm_weight < 0.5)
        return (z < hip + 0.07) & (z > hem + 0.03) & (pack.arm_weight < 0.5)

    def _torso_only(self, lower: float, over: float) -> np.ndarray:
        low = np.clip((self.marks.shoulder[2] + lower - self.points[:, 2]) / over, 0, 1)
        return (low * np.clip((0.6 - self.arm) / 0.3, 0, 1))[:, None]

    def _laplacian(self) -> sp.csr_matrix:
        """Averages each vertex's neighbours; vertices on the rim look along the rim only."""
        edges, _, count = quad_edges(self.quads)
        n, rim = len(self.points), count == 1
        on_rim = np.zeros(n, bool)
        on_rim[edges[rim].ravel()] = True
        useful = edges[rim | (on_rim[edges].sum(1) < 2)]
        rows, columns = np.concatenate([useful, useful[:, ::-1]]).T
        weight = np.where(on_rim[rows] & ~on_rim[columns], 0.0, 1.0)
        matrix = sp.csr_matrix((weight, (rows, columns)), shape=(n, n))
        return (sp.diags(1 / np.maximum(np.asarray(matrix.sum(1)).ravel(), 1)) @ matrix).astype(np.float32)

    def _smooth(self, position: np.ndarray, rounds: int = 20, weight: np.ndarray | None = None) -> np.ndarray:
        """Bridge hollows (waist, buttocks) that cloth would not follow, below the chest or the hips only."""
        if weight is None:
            z = self.points[:, 2]
            if self.is_top:
                weight = (np.clip((0.50 - z) / 0.12, 0, 1) * (self.arm < 0.5))[:, None]
            else:
                weight = 0.6 * np.clip((self.marks.hip + 0.02 - z) / 0.1, 0, 1)[:, None]
        weight = (0.6 * weight).astype(np.float32)
        for _ in range(rounds):
            position = position + weight * (self._smoothing @ position - position)
        return position

    def _offset(self, body: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The suit moved outwards by the ease; also all suit vertices and their normals (obstacle)."""
        suit = (self.suit_matrix @ body).astype(np.float32)
        normals = vertex_normals(suit, self.suit_faces)
        return self._smooth(suit[self.suit_ids] + normals[self.suit_ids] * self.ease), suit, normals

    @cached_property
    def _canonical_lengths(self) -> np.ndarray:
        return self.cloth.lengths(self._offset(body_pack().canonical.vertices)[0])

    def _rest_lengths(self, rest_body: np.ndarray) -> np.ndarray:
        """The garment's own lengths, scaled to the person by at most 6 %, or prints stretch over the chest."""
        own = self.cloth.lengths(self._offset(rest_body)[0])
        if not self.is_top:
            return own
        ratio = own / np.maximum(self._canonical_lengths, 1e-6)
        middle = np.median(ratio)
        return self._canonical_lengths * np.clip(ratio, 0.94 * middle, 1.06 * middle)

    def _attraction(self) -> np.ndarray:
        """Pull (N,) towards the skinned position: firm at collar, shoulder seam and waistband, loose elsewhere."""
        z = self.points[:, 2]
        if not self.is_top:
            return np.where(z > self.marks.hip + 0.05, 0.9, 0.05)
        shoulder = np.clip((z - (self.marks.shoulder[2] - 0.10)) / 0.12, 0, 1)
        pull = shoulder * np.where(self.arm > 0.5, 0.35, 1) * 0.35
        line = self.cut.neckline
        collar = np.where(z > self.marks.neck[2] - 0.02, 0, FAR)
        if line.width > 0:
            collar = neck_field(line, self.points, self.marks)
        return np.maximum(np.maximum(pull, np.where(collar < 0.02, 0.9, 0)), 0.004)

    def fit(
        self,
        rest_body: np.ndarray,
        posed_body: np.ndarray,
        under: tuple | None = None,
        tucked: bool = False,
    ) -> np.ndarray:
        """Drape on a person: body vertices (V,3) at rest and posed -> render vertices (N,3).

        under: (vertices, normals, class: 1 sleeve, 0 other) of what is worn below and must stay inside. tucked: a top
        goes into the waistband: it lies close to the body from there down.
        """
        start, suit, normals = self._offset(posed_body)
        steps = 18 if self.is_top else self.cut.settle
        if not self.is_top and self.cut.skirt:
            start = self._pressed_in(start, suit, normals, posed_body)
            steps = 0
        if steps == 0:
            return self.render_vertices(start)
        attraction = self._attraction()
        if tucked:
            above = self.points[:, 2] - self.marks.hip - WAIST
            inside = np.clip((PINCH - above) / (PINCH + 0.008), 0, 1) * (self.arm < 0.5)
            inside = inside**2 * (3 - 2 * inside)
            held = np.clip(1 - above / (5 * PINCH), 0, 1) * (self.arm < 0.5)  # or the slack falls into a frill
            close = suit[self.suit_ids] + normals[self.suit_ids] * np.float32(UNDER_BAND)
            start = (start + inside[:, None] * (close - start)).astype(np.float32)
            attraction = np.maximum(attraction, np.maximum(0.9 * inside**2, 0.07 * held))
        slack = 1 - np.clip(3 * attraction, 0, 1)
        rest = self._rest_lengths(rest_body)
        if self.is_top:
            first = self.cloth.edges[:, 0]
            noise = 0.6 + 0.4 * value_noise((14 * self.points[first]).astype(np.float32), 5)
            excess = 0.4 * EXCESS if tucked else EXCESS
            rest = rest * (1 + excess * noise * slack[first])
            start = start + normals[self.suit_ids] * (
                0.004 * value_noise((40 * self.points).astype(np.float32), 9) * slack
            )[:, None].astype(np.float32)
        margin = np.full(len(start), 0.002 if tucked else 0.004, np.float32)
        group = self.suit_group
        ceiling = self._ceiling(suit, normals, posed_body) if self.is_top else None
        if under is not None:
            low = (self.points[:, 2] < self.marks.hip + max(0.12, self.cut.hem + 0.04)) & (self.arm < 0.5)
            margin[low | (self.cut.label == COAT)] = 0.007
            suit, normals = np.concatenate([suit, under[0]]), np.concatenate([normals, under[1]])
            group = np.concatenate([group, under[2]])
            if ceiling is not None:
                ceiling = np.concatenate([ceiling, np.full(len(under[0]), np.inf, np.float32)])
        if tucked:  # what is gathered into the waistband lies flat
            first = self.cloth.edges[:, 0]
            gathered = np.minimum(rest, 1.03 * self.cloth.lengths(start))
            rest = rest + np.minimum(2 * held, 1)[first] * (gathered - rest)
        settings = DrapeSettings() if self.is_top else replace(DrapeSettings(), steps=steps, gravity=0.0006)
        draped = drape(
            self.cloth, start, rest, Obstacle(suit, normals, group, ceiling),
            group=(self.arm > 0.5).astype(np.int8), margin=margin, attraction=attraction, settings=settings,
            sleeve=(self.arm > 0.5) & (self.along > 0.45) if self.is_top else None,
        )  # fmt: skip
        return self.render_vertices(draped)

    def _pressed_in(self, start: np.ndarray, suit: np.ndarray, normals: np.ndarray, body: np.ndarray) -> np.ndarray:
        """A skirt (n,3) that stands off the body less where a hand lies on it."""
        normal = normals[self.suit_ids]
        off = np.einsum("ij,ij->i", start - suit[self.suit_ids], normal)
        excess = np.maximum(off - self._ceiling(suit, normals, body)[self.suit_ids], 0)
        for _ in range(4):  # dents are round
            excess = np.maximum(excess, self._smoothing @ excess)
        return start - (excess[:, None] * normal).astype(np.float32)

    def _ceiling(self, suit: np.ndarray, normals: np.ndarray, body: np.ndarray) -> np.ndarray:
        return arm_ceiling(suit, normals, self.suit_group == 0, body, self.cut.sleeve if self.is_top else 0.0)


def _pick(ids: np.ndarray, count: int) -> sp.csr_matrix:
    return sp.csr_matrix((np.ones(len(ids)), (np.arange(len(ids)), ids)), shape=(len(ids), count))


@lru_cache(maxsize=20)
def garment_shape(cut: TopCut | BottomCut) -> GarmentShape:
    """The shape of a cut, built once a process."""
    if isinstance(cut, TopCut) and cut.skirt is not None:
        from .dresses import DressShape  # made of two garments, so it is built on this module

        return DressShape(cut)
    return GarmentShape(cut)
