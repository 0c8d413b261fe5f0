"""Mesh operations that garments are cut with: compacting, Catmull-Clark subdivision, clipping along a scalar field.

Each returns its new vertices as a sparse matrix over the old ones, so that a whole chain of operations is one product:
any posed coarse mesh becomes the finished garment by `matrix @ vertices`.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def compact(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Renumber the vertices that `faces` uses as 0..n-1; returns the new faces and the old index of each vertex."""
    ids, renumbered = np.unique(faces, return_inverse=True)
    return renumbered.reshape(faces.shape), ids


def quad_edges(quads: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unique edges (E,2) of quads, the edge index of each side (4Q, sides of side 0 first) and faces per edge (E,)."""
    sides = np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)])
    edges, inverse, count = np.unique(np.sort(sides, axis=1), axis=0, return_inverse=True, return_counts=True)
    return edges, inverse.ravel(), count


def largest_column(matrix: sp.csr_matrix) -> np.ndarray:
    """Column (N,) of the largest entry of each row of a matrix of weights, every row of which has a positive one."""
    count, rows = np.diff(matrix.indptr), np.arange(matrix.shape[0])
    largest = np.maximum.reduceat(matrix.data, matrix.indptr[:-1])
    places = np.flatnonzero(matrix.data == np.repeat(largest, count))
    return matrix.indices[places[np.searchsorted(np.repeat(rows, count)[places], rows)]]


def _averages(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int], weight: float) -> sp.csr_matrix:
    return sp.csr_matrix((np.full(rows.size, weight), (rows.ravel(), columns.ravel())), shape=shape)


def catmull_clark(quads: np.ndarray, count: int) -> tuple[sp.csr_matrix, np.ndarray]:
    """One Catmull-Clark step (Catmull and Clark 1978) on a quad mesh with boundary.

    quads (Q,4) over `count` vertices. Returns the sparse matrix (n,count) that makes the new vertices (old vertices
    first, then edge points, then face points) and the new quads (4Q,4).
    """
    faces = len(quads)
    edges, side_edge, faces_per_edge = quad_edges(quads)
    boundary = faces_per_edge == 1
    side_face = np.tile(np.arange(faces), 4)
    face_points = _averages(np.repeat(np.arange(faces), 4), quads, (faces, count), 0.25)
    midpoints = _averages(np.repeat(np.arange(len(edges)), 2), edges, (len(edges), count), 0.5)
    edge_faces = _averages(side_edge, side_face, (len(edges), faces), 1.0)
    edge_points = sp.diags(np.where(boundary, 1.0, 0.5)) @ midpoints
    edge_points = edge_points + sp.diags(np.where(boundary, 0.0, 0.25)) @ (edge_faces @ face_points)

    vertex_faces = _averages(quads, np.repeat(np.arange(faces), 4), (count, faces), 1.0)
    vertex_edges = _averages(edges, np.repeat(np.arange(len(edges)), 2), (count, len(edges)), 1.0)
    valence = np.maximum(np.asarray(vertex_faces.sum(1)).ravel(), 1)
    edge_valence = np.maximum(np.asarray(vertex_edges.sum(1)).ravel(), 1)
    inner = sp.diags(1 / valence**2) @ (vertex_faces @ face_points)
    inner = inner + sp.diags(2 / (valence * edge_valence)) @ (vertex_edges @ midpoints)
    inner = inner + sp.diags((valence - 3) / valence)
    rim_edges = vertex_edges @ sp.diags(boundary.astype(float))
    rim_valence = np.asarray(rim_edges.sum(1)).ravel()
    rim = sp.diags(0.5 / np.maximum(rim_valence, 1)) @ (rim_edges @ midpoints) + 0.5 * sp.identity(count)
    on_rim = rim_valence > 0
    moved = sp.diags((~on_rim).astype(float)) @ inner + sp.diags(on_rim.astype(float)) @ rim

    matrix = sp.vstack([moved, edge_points, face_points]).tocsr()
    edge_index = count + side_edge.reshape(4, faces).T
    face_index = count + len(edges) + np.arange(faces)
    corners = [np.stack([quads[:, k], edge_index[:, k], face_index, edge_index[:, k - 1]], 1) for k in range(4)]
    return matrix, np.concatenate(corners)


def clip_triangles(faces: np.ndarray, field: np.ndarray) -> tuple[np.ndarray, sp.csr_matrix]:
    """Cut a triangle mesh where the vertex field (N,) is zero and keep the part with field >= 0.

    Returns the new triangles and the sparse matrix that makes their vertices from the old ones. Orientation is kept.
    """
    inside = field >= 0
    kept = inside[faces].sum(1)
    cut = faces[(kept == 1) | (kept == 2)]
    # turn each cut triangle so that its odd vertex (alone on its side of the cut) comes first
    odd = np.where(inside[cut].sum(1) == 1, inside[cut].argmax(1), (~inside[cut]).argmax(1))
    cut = np.take_along_axis(cut, (odd[:, None] + np.arange(3)) % 3, axis=1)
    crossings = np.sort(np.concatenate([cut[:, [0, 1]], cut[:, [0, 2]]]), axis=1)
    edges, inverse = np.unique(crossings, axis=0, return_inverse=True)
    fraction = field[edges[:, 0]] / (field[edges[:, 0]] - field[edges[:, 1]])
    first, second = len(field) + inverse.ravel().reshape(2, -1)
    alone = inside[cut[:, 0]]
    one = np.stack([cut[:, 0], first, second], 1)[alone]
    two_a = np.stack([first, cut[:, 1], cut[:, 2]], 1)[~alone]
    two_b = np.stack([first, cut[:, 2], second], 1)[~alone]
    result, ids = compact(np.concatenate([faces[kept == 3], one, two_a, two_b]))
    rows = np.repeat(np.arange(len(edges)), 2)
    weights = np.stack([1 - fraction, fraction], 1).ravel()
    new = sp.csr_matrix((weights, (rows, edges.ravel())), shape=(len(edges), len(field)))
    return result, sp.vstack([sp.identity(len(field), format="csr"), new]).tocsr()[ids]
