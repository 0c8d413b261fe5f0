"""Contact beyond what the drape does: layers of cloth in their order, and arms that lie on the cloth of the torso."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial import cKDTree

from .body import body_pack

UNDER_GAP = 0.004  # metres that what is worn below lies under the cloth above
AT_HEM = 0.006  # metres from a hem within which cloth moves nothing
ARM_REACH = 0.07  # metres within which an arm over the torso presses on its cloth
SKIN_ROOM, SLEEVE_ROOM = 0.005, 0.010  # metres between arm and torso cloth; more where a sleeve is between
LEAST_ROOM, SUNK = 0.005, 0.01  # metres: cloth keeps so much of its height; arms deeper in the body press nothing


@dataclass(frozen=True)
class Sheet:
    """A layer of cloth (a `mesh.Mesh` does as well): vertices and unit normals (N,3), edge (N,) metres to the hem."""

    vertices: np.ndarray
    normals: np.ndarray
    edge: np.ndarray


def _height(points: np.ndarray, cloth: Sheet, reach: float = 0.03) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (N,3) near the cloth, away from its hems: their indices, heights over it, and the cloth's normals."""
    distance, nearest = cKDTree(cloth.vertices).query(points, distance_upper_bound=reach)
    near = np.flatnonzero(np.isfinite(distance))
    near = near[cloth.edge[nearest[near]] > AT_HEM]
    normal = cloth.normals[nearest[near]]
    return near, np.einsum("ij,ij->i", points[near] - cloth.vertices[nearest[near]], normal), normal


def lie_under(below: np.ndarray, cloth: Sheet) -> np.ndarray:
    """Vertices (N,3) of what is worn below, moved 4 mm under the cloth where they were outside of it."""
    near, height, normal = _height(below, cloth)
    moved = below.copy()
    moved[near] -= np.maximum(height + UNDER_GAP, 0)[:, None] * normal
    return moved


def lie_on(over: np.ndarray, cloth: Sheet, gap: float) -> np.ndarray:
    """Vertices (N,3) of what is worn outside, moved `gap` metres above the cloth where they were nearer or inside."""
    near, height, normal = _height(over, cloth)
    moved = over.copy()
    moved[near] += np.maximum(gap - height, 0)[:, None] * normal
    return moved


def arm_ceiling(
    suit: np.ndarray, normals: np.ndarray, torso: np.ndarray, body: np.ndarray, sleeve: float
) -> np.ndarray:
    """The most (M,) metres that cloth may stand off each suit vertex: it passes below an arm lying on it.

    suit, normals (M,3): the posed body suit; torso (M,) bool: where it matters (elsewhere the answer is inf); body
    (V,3): posed body vertices; sleeve: arm coordinate down to which the arm wears a sleeve.
    """
    arm, torso = _arm_ids(), np.flatnonzero(torso)
    room = np.full(len(suit), np.inf, np.float32)
    distance, nearest = cKDTree(body[arm]).query(suit[torso], k=4, distance_upper_bound=ARM_REACH)
    close = np.flatnonzero(np.isfinite(distance[:, 0]))
    if len(close) == 0:
        return room
    nearest = np.minimum(nearest[close], len(arm) - 1)
    offset = body[arm[nearest]] - suit[torso[close], None]
    height = np.einsum("ijk,ik->ij", offset, normals[torso[close]])
    beside = np.sqrt(np.maximum(distance[close] ** 2 - height**2, 0))
    height = height + np.maximum(beside - 0.012, 0)  # what lies beside the arm may rise towards its height
    gap = np.where(body_pack().arm_coordinate[arm[nearest]] < sleeve, SLEEVE_ROOM, SKIN_ROOM)
    height = np.where(np.isfinite(distance[close]) & (height > -SUNK), height - gap, np.inf).min(1)
    room[torso[close]] = np.maximum(height, LEAST_ROOM)
    return room


@lru_cache(maxsize=1)
def _arm_ids() -> np.ndarray:
    """Skin vertices of the arms from above the elbow down: what may lie on the torso."""
    pack = body_pack()
    skin = pack.body_ids
    return skin[(pack.arm_weight[skin] > 0.9) & (pack.arm_coordinate[skin] > 0.6)]
