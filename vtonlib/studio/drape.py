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

    def lengths(self, vertices: np.ndarray) -> np.ndarray:
        """Length of each constraint (E,)."""
        return np.linalg.norm(vertices[self.edges[:, 0]] - vertices[self.edges[:, 1]], axis=1)

    def project(self, vertices: np.ndarray, rest: np.ndarray) -> None:
        """Move `vertices` (N,3) in place, one pass over all constraints towards the lengths `rest` (E,)."""
        half = 0.5 * self.stiffness
        for part in self.colours:
            a, b = self.edges[part, 0], self.edges[part, 1]
            pa, pb = vertices[a], vertices[b]
            delta = pb - pa
            length = np.sqrt(np.einsum("ij,ij->i", delta, delta)) + 1e-9
            delta *= ((1 - rest[part] / length) * half[part])[:, None]
            vertices[a] = pa + delta
            vertices[b] = pb - delta


@dataclass(frozen=True)
class Obstacle:
    """What the cloth rests on: vertices (M,3), outward normals (M,3), and a class (M,) that cloth is matched with."""

    vertices: np.ndarray
    normals: np.ndarray
    group: np.ndarray


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
) -> np.ndarray:
    """Let the cloth hang on the obstacle; returns the draped vertices (N,3) float32.

    start (N,3): where the cloth begins (skinned with the body). rest (E,): rest lengths. group (N,): obstacle class of
    each vertex. margin (N,): distance kept from the obstacle. attraction (N,) in [0,1]: pull back to `start` at each
    step; without it the garment slides off the shoulders.
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
        for _ in range(settings.passes):
            cloth.project(position, rest)
        position += pull * (start - position)
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
