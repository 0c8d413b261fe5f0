"""The pieces that hair is made of: sheets over a grid, ribbons of loose strands, knots and tails.

Convention: a piece is (vertices (N,3), faces (F,3), uv (N,2), hang (N,)); u counts metres across the strands and v
metres along them from the root; hang is 0 where hair is fixed to the head and 1 where it hangs free.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .noise import fractal_noise


@dataclass(frozen=True)
class Piece:
    """Part of a head of hair, see the module's convention."""

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    hang: np.ndarray


def join(pieces: list[Piece]) -> Piece:
    """Several pieces as one."""
    starts = np.cumsum([0] + [len(piece.vertices) for piece in pieces])
    return Piece(
        np.concatenate([piece.vertices for piece in pieces]).astype(np.float32),
        np.concatenate([piece.faces + start for piece, start in zip(pieces, starts)]).astype(np.int32),
        np.concatenate([piece.uv for piece in pieces]).astype(np.float32),
        np.concatenate([piece.hang for piece in pieces]).astype(np.float32),
    )


def grid_faces(columns: int, rows: int, keep: np.ndarray | None = None) -> np.ndarray:
    """Triangles of a (columns, rows) grid of vertices; keep (columns-1, rows-1) says which cells are there.

    Outside is where columns turn right to left when rows go down (columns run over the left side of a head).
    """
    index = np.arange(columns * rows).reshape(columns, rows)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    cells = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2)
    if keep is not None:
        cells = cells[keep]
    return cells.reshape(-1, 3)


def ribbons(paths: np.ndarray, out: np.ndarray, width: np.ndarray, u: np.ndarray, v: np.ndarray, hang) -> Piece:
    """Flat strands along paths (N,K,3): `width` metres (N,) at the root, running to a point.

    out (N,K,3): unit directions that the ribbons face; u (N,), v (N,) coordinates of the roots; hang (N,K).
    """
    count, points = paths.shape[:2]
    along = np.gradient(paths, axis=1)
    across = np.cross(along, out)
    across /= np.maximum(np.linalg.norm(across, axis=2, keepdims=True), 1e-9)
    profile = 0.5 * np.sqrt(np.linspace(1, 0.01, points))
    half = across * (width[:, None] * profile)[..., None]
    vertices = np.stack([paths - half, paths + half], axis=1)  # (N, 2, K, 3): a grid of two columns a ribbon
    length = np.concatenate([np.zeros((count, 1)), np.cumsum(np.linalg.norm(np.diff(paths, axis=1), axis=2), 1)], 1)
    uv = np.empty((count, 2, points, 2))
    uv[..., 0] = u[:, None, None] + np.array([0.0, 0.004])[None, :, None]
    uv[..., 1] = (v[:, None] + length)[:, None]
    one = grid_faces(2, points)
    faces = one[None] + (np.arange(count) * 2 * points)[:, None, None]
    hang = np.repeat(np.broadcast_to(hang, (count, points))[:, None], 2, axis=1)
    return Piece(vertices.reshape(-1, 3), faces.reshape(-1, 3), uv.reshape(-1, 2), hang.ravel())


def knot(centre: np.ndarray, radii: np.ndarray, seed: int, size: int = 24) -> Piece:
    """A bun: an ellipsoid about `centre` with a twist of strands, fixed to the head."""
    turn, height = np.linspace(-np.pi, np.pi, size), np.linspace(0, np.pi, size)
    sphere = np.stack(
        [np.outer(np.sin(turn), np.sin(height)), -np.outer(np.cos(turn), np.sin(height)),
         np.broadcast_to(np.cos(height), (size, size))], axis=2,
    ).reshape(-1, 3)  # fmt: skip
    swirl = np.repeat(turn, size) + np.tile(height, size) * 1.5
    bumps = 0.10 * fractal_noise(4 * sphere, seed, 2) + 0.05 * np.sin(5 * swirl)
    uv = np.stack([swirl * 0.04, np.tile(height * 0.03, size) + 0.08], axis=1)
    return Piece(centre + sphere * (1 + bumps)[:, None] * radii, grid_faces(size, size), uv, np.zeros(size * size))


def tail(root: np.ndarray, length: float, radius: float, rng: np.random.Generator, braided: bool = False) -> Piece:
    """A ponytail from `root`: out to the back, down, thickest in the first third, frayed at the end; or a braid."""
    columns, rows = 25, 44 if braided else 20
    turn, s = np.linspace(-np.pi, np.pi, columns), np.linspace(0, 1, rows)
    sway = rng.normal(0, 0.012)
    centre = root + np.stack([sway * s**2, 0.05 * np.sin(np.pi * np.minimum(1.6 * s, 1)), -length * s**1.15], 1)
    width = radius * np.clip(0.45 + 6 * s, 0, 1) * np.clip(2.0 * (1 - s), 0.12, 1)
    folds = 1 + 0.16 * np.sin(7 * turn + rng.uniform(0, 6))[:, None] * np.minimum(3 * s, 1)
    if braided:
        width = 0.8 * radius * (0.72 + 0.28 * np.abs(np.sin(np.pi * s * length / 0.034))) * np.clip(9 * (1 - s), 0.1, 1)
        centre[:, 0] += 0.004 * np.sin(np.pi * s * length / 0.034)
    ring = np.stack([np.sin(turn), -0.8 * np.cos(turn), np.zeros(columns)], axis=1)
    vertices = centre[None] + ring[:, None] * (folds * width)[..., None]
    vertices[..., 2] -= 0.03 * length * rng.standard_normal(columns)[:, None] * s**4
    vertices[-1] = vertices[0]
    uv = np.stack(np.broadcast_arrays(turn[:, None] * 0.025, 0.08 + s * length), axis=-1)
    hang = np.broadcast_to(np.clip(1.2 * s - 0.1, 0, 1), (columns, rows))
    return Piece(vertices.reshape(-1, 3), grid_faces(columns, rows), uv.reshape(-1, 2), hang.ravel())


def ropes(paths: np.ndarray, radius: float, hang: np.ndarray, seed: int) -> Piece:
    """Round locks along paths (N,K,3), `radius` metres thick and knobbly; hang (N,K)."""
    count, points = paths.shape[:2]
    along = np.gradient(paths, axis=1)
    one = np.cross(along, (0.31, 0.23, 0.92))
    one /= np.maximum(np.linalg.norm(one, axis=2, keepdims=True), 1e-9)
    two = np.cross(along, one)
    two /= np.maximum(np.linalg.norm(two, axis=2, keepdims=True), 1e-9)
    turn = np.linspace(0, 2 * np.pi, 6)
    knobs = 1 + 0.25 * np.random.default_rng(seed).standard_normal((count, points))
    knobs[:, -1] = 0.3
    ring = np.cos(turn)[:, None, None] * one[:, None] + np.sin(turn)[:, None, None] * two[:, None]
    vertices = paths[:, None] + radius * knobs[:, None, :, None] * ring  # (N,6,K,3)
    length = np.concatenate([np.zeros((count, 1)), np.cumsum(np.linalg.norm(np.diff(paths, axis=1), axis=2), 1)], 1)
    across = 0.01 * turn[None, :, None] + 0.07 * np.arange(count)[:, None, None]
    uv = np.stack(np.broadcast_arrays(across, 0.05 + length[:, None]), axis=3)
    faces = grid_faces(6, points)[None, :, ::-1] + (np.arange(count) * 6 * points)[:, None, None]
    hang = np.repeat(hang[:, None], 6, axis=1)
    return Piece(vertices.reshape(-1, 3), faces.reshape(-1, 3), uv.reshape(-1, 2), hang.ravel())
