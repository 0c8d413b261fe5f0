"""A small cloth simulation: position-based dynamics with graph-coloured constraints (Mueller et al. 2007).

Each edge of the cloth is a distance constraint. Edges are coloured so that no two of one colour share a vertex; a
colour is then projected in one vectorised step. Contact is with the nearest body vertex's tangent plane; sleeves look
for arm vertices only and the rest for torso vertices only, so that an arm close to the body can't push the shirt in.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

from .subdivide import quad_edges

STRETCH, SHEAR, BEND = 1.0, 0.5, 0.12
LAYER_GAP, LAYER_REACH = 0.004, 0.04  # metres between two layers of cloth, and within which they are looked for


def constraint_edges(quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance constraints of a quad mesh: edges (stretch), diagonals (shear), vertices two apart (bend).

    Returns edges (E,2) and stiffness (E,) in [0,1].
    """
    stretch, side_edge, count = quad_edges(quads)
    shear = np.unique(np.sort(np.concatenate([quads[:, [0, 2]], quads[:, [1, 3]]]), axis=1), axis=0)
    # two quads beside one edge: their vertices next to each end of it are two apart along the strip
    order = np.argsort(side_edge, kind="stable")
    start = np.concatenate([[0], np.cumsum(count)[:-1]])[count == 2]
    faces, sides = order % len(quads), order // len(quads)
    a, b = start, start + 1
    same_way = quads[faces[a], sides[a]] == quads[faces[b], sides[b]]
    near_a, far_a = quads[faces[a], (sides[a] + 3) % 4], quads[faces[a], (sides[a] + 2) % 4]
    near_b, far_b = quads[faces[b], (sides[b] + 3) % 4], quads[faces[b], (sides[b] + 2) % 4]
    pairs = np.stack([near_a, np.where(same_way, near_b, far_b), far_a, np.where(same_way, far_b, near_b)], 1)
    bend = np.unique(np.sort(pairs.reshape(-1, 2), axis=1), axis=0)
    stiffness = np.repeat([STRETCH, SHEAR, BEND], [len(stretch), len(shear), len(bend)]).astype(np.float32)
    return np.concatenate([stretch, shear, bend]), stiffness


def colour_edges(edges: np.ndarray, count: int) -> np.ndarray:
    """Greedy edge colouring: colour (E,) such that edges of one colour share no vertex."""
    used = [0] * count  # bit c of used[v]: an edge of colour c touches v
    colours = np.empty(len(edges), np.int64)
    for index, (a, b) in enumerate(edges.tolist()):
        taken = used[a] | used[b]
        free = ~taken & (taken + 1)  # the lowest bit not taken
        colours[index] = free.bit_length() - 1
        used[a] |= free
        used[b] |= free
    return colours


class Cloth:
    """Distance constraints over `count` vertices, sorted by colour."""

    def __init__(self, quads: np.ndarray, count: int):
        edges, stiffness = constraint_edges(quads)
        colours = colour_edges(edges, count)
        order = np.argsort(colours, kind="stable")
        self.edges, self.stiffness = edges[order], stiffness[order]
        bounds = np.concatenate([[0], np.cumsum(np.bincount(colours))])
        self.colours = [slice(a, b) for a, b in pairwise(bounds)]
        self._ends = [np.ascontiguousarray(self.edges[part].T) for part in self.colours]

    def lengths(self, vertices: np.ndarray) -> np.ndarray:
        """Length of each constraint (E,)."""
        return np.linalg.norm(vertices[self.edges[:, 0]] - vertices[self.edges[:, 1]], axis=1)

    def project(self, vertices: np.ndarray, rest: np.ndarray) -> None:
        """Move `vertices` (N,3) in place, one pass over all constraints towards the lengths `rest` (E,)."""
        # rows of four floats are moved about as one complex number each, several times faster than row by row
        padded = np.zeros((len(vertices), 4), np.float32)
        padded[:, :3] = vertices
        cells, half = padded.view(np.complex128)[:, 0], 0.5 * self.stiffness
        wanted = half * rest
        for part, ends in zip(self.colours, self._ends):
            both = cells.take(ends)
            a, b = both.view(np.float32).reshape(2, -1, 4)
            delta = b - a
            x, y, z = delta[:, 0], delta[:, 1], delta[:, 2]
            share = x * x
            share += y * y
            share += z * z
            np.sqrt(share, out=share)
            share += np.float32(1e-9)
            np.divide(wanted[part], share, out=share)
            np.subtract(half[part], share, out=share)
            for axis in (x, y, z):
                axis *= share
            a += delta
            b -= delta
            cells[ends] = both
        vertices[:] = padded[:, :3]


@dataclass(frozen=True)
class Obstacle:
    """What the cloth rests on: vertices (M,3), outward normals (M,3), and a class (M,) that cloth is matched with.

    ceiling (M,) metres: the most that cloth may stand off each vertex, because an arm lies over it; None: no limit.
    """

    vertices: np.ndarray
    normals: np.ndarray
    group: np.ndarray
    ceiling: np.ndarray | None = None


@dataclass(frozen=True)
class DrapeSettings:
    """Steps of the simulation and their constants; lengths in metres, per step."""

    steps: int = 18
    passes: int = 3
    gravity: float = 0.0011
    damping: float = 0.85
    friction: float = 0.3
    search_every: int = 4
    top_speed: float = 0.01


def drape(
    cloth: Cloth,
    start: np.ndarray,
    rest: np.ndarray,
    obstacle: Obstacle,
    *,
    group: np.ndarray,
    margin: np.ndarray,
    attraction: np.ndarray,
    settings: DrapeSettings = DrapeSettings(),
    sleeve: np.ndarray | None = None,
) -> np.ndarray:
    """Let the cloth hang on the obstacle; returns the draped vertices (N,3) float32.

    start (N,3): where the cloth begins (skinned with the body). rest (E,): rest lengths. group (N,): obstacle class of
    each vertex. margin (N,): distance kept from the obstacle. attraction (N,) in [0,1]: pull back to `start` at each
    step; without it the garment slides off the shoulders. sleeve (N,) bool: cloth that keeps off the cloth of group 0
    (and the other way round), whatever side of the body it has swung to.
    """
    start = start.astype(np.float32)
    position, velocity, rest = start.copy(), np.zeros_like(start), rest.astype(np.float32)
    trees = [(np.flatnonzero(group == g), np.flatnonzero(obstacle.group == g)) for g in np.unique(group)]
    trees = [(own, other, cKDTree(obstacle.vertices[other])) for own, other in trees if len(own) and len(other)]
    nearest = np.zeros(len(start), np.int64)
    pull = attraction.astype(np.float32)[:, None]
    for step in range(settings.steps):
        before = position.copy()
        position += settings.damping * velocity
        position[:, 2] -= settings.gravity
        if step % settings.search_every == 0:
            for own, other, tree in trees:
                nearest[own] = other[tree.query(position[own])[1]]
            point, normal = obstacle.vertices[nearest], obstacle.normals[nearest]
            limit = None if obstacle.ceiling is None else obstacle.ceiling[nearest]
            touch = None if sleeve is None else _layer_pairs(position, sleeve, group == 0)
        for _ in range(settings.passes):
            cloth.project(position, rest)
        position += pull * (start - position)
        if touch is not None:
            _part_layers(position, normal, *touch)
        if limit is not None:
            high = np.einsum("ij,ij->i", position - point, normal) - limit
            pressed = np.flatnonzero(high > 0)
            position[pressed] -= high[pressed, None] * normal[pressed]
        depth = margin - np.einsum("ij,ij->i", position - point, normal)
        touching = depth > 0
        position[touching] += depth[touching, None] * normal[touching]
        moved = position - before
        sliding = moved - np.einsum("ij,ij->i", moved, normal)[:, None] * normal
        position[touching] -= settings.friction * sliding[touching]
        velocity = position - before
        speed = np.linalg.norm(velocity, axis=1, keepdims=True)
        velocity *= np.minimum(1, settings.top_speed / np.maximum(speed, 1e-9))
    return position


def _layer_pairs(position: np.ndarray, sleeve: np.ndarray, torso: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Sleeve vertices and the torso vertex nearest to each, where they are close enough to touch."""
    own, other = np.flatnonzero(sleeve), np.flatnonzero(torso)
    if not len(own) or not len(other):
        return None
    distance, nearest = cKDTree(position[other]).query(position[own], distance_upper_bound=LAYER_REACH)
    near = np.isfinite(distance)
    return own[near], other[nearest[near]]


def _part_layers(position: np.ndarray, normal: np.ndarray, over: np.ndarray, under: np.ndarray) -> None:
    """Move pairs of vertices apart along the normal of the lower one, half each, in place."""
    apart = np.einsum("ij,ij->i", position[over] - position[under], normal[under])
    push = 0.5 * np.maximum(LAYER_GAP - apart, 0)[:, None] * normal[under]
    position[over] += push
    position[under] -= push
