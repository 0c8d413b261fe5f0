"""Hats: a crown that follows the skull down to an edge, and a cuff, visor or brim along the edge.

Convention: metres on the rest body; azimuth, degrees from the front over the left (-180..180), and polar angle, degrees
from the crown of the head down, about `hair.head_centre`. uv counts metres around and down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from .body import RestBody
from .hair import head_centre, head_points
from .hair_parts import Piece, grid_faces

COLUMNS, ROWS = 121, 18  # as the head maps: one column every 3 degrees, the first and last are the same place


@dataclass(frozen=True)
class Hat:
    """edge: polar angle that the crown reaches at front, side and back; gap: metres between skull and crown; peak:
    metres that the crown rises above the head; square: how much the crown's wall stands upright, 0 to 1; cuff: metres
    of thickness of a turned-up edge; brim: metres of brim all round, visor: metres of it at the front alone; droop:
    metres that the brim's rim hangs below its root; knitted: in ribs."""

    edge: tuple[float, float, float]
    gap: float = 0.009
    peak: float = 0.0
    square: float = 0.0
    cuff: float = 0.0
    brim: float = 0.0
    visor: float = 0.0
    droop: float = 0.0
    knitted: bool = False


HATS = {
    "beanie": Hat((60, 92, 112), gap=0.009, peak=0.012, cuff=0.006, knitted=True),
    "slouch-beanie": Hat((58, 92, 114), gap=0.011, peak=0.035, cuff=0.004, knitted=True),
    "cap": Hat((60, 80, 98), gap=0.012, peak=0.010, square=0.25, visor=0.075, droop=0.022),
    "sun-hat": Hat((58, 76, 90), gap=0.012, peak=0.016, square=0.55, brim=0.105, droop=0.030),
    "fedora": Hat((58, 76, 88), gap=0.012, peak=0.030, square=0.8, brim=0.060, droop=0.004),
    "bucket": Hat((58, 76, 90), gap=0.013, peak=0.016, square=0.75, brim=0.055, droop=0.034),
}


def hat_edge(name: str, azimuth: np.ndarray, seed: int) -> np.ndarray:
    """Polar angle (N,) of the edge of a hat in HATS at azimuths (N,); a seed pulls the hat 3 degrees up or down."""
    front, side, back = HATS[name].edge
    shift = 3 * (np.random.default_rng([seed, 7]).random() * 2 - 1)
    turn = np.deg2rad(np.asarray(azimuth))
    mean, swing = (front + back) / 2, (front - back) / 2
    return mean + swing * np.cos(turn) + (side - mean) * np.sin(turn) ** 2 + shift


def hat_pieces(name: str, rest: RestBody, seed: int) -> list[Piece]:
    """Crown and, as the hat has one, brim or visor on a person's rest head. Raises KeyError for a name not in HATS."""
    hat, azimuth = HATS[name], np.linspace(-180, 180, COLUMNS)
    crown = _crown(hat, hat_edge(name, azimuth, seed), rest, seed)
    pieces = [_piece(crown)]
    if hat.cuff:
        pieces.append(_piece(_cuff(hat, crown, head_centre(rest))))
    if hat.brim or hat.visor:
        pieces.append(_piece(_brim(hat, crown[:, -1], azimuth, head_centre(rest), seed), both=True))
    return pieces


def _crown(hat: Hat, edge: np.ndarray, rest: RestBody, seed: int) -> np.ndarray:
    """Points (COLUMNS,ROWS,3) of the crown from the top of the head down to the edge."""
    centre, rng = head_centre(rest), np.random.default_rng([seed, 8])
    t = np.linspace(0, 1, ROWS)
    polar = np.deg2rad(edge[:, None] * t)
    azimuth = np.deg2rad(np.linspace(-180, 180, COLUMNS))[:, None]
    out = np.stack([np.sin(azimuth) * np.sin(polar), -np.cos(azimuth) * np.sin(polar),
                    np.broadcast_to(np.cos(polar), (COLUMNS, ROWS))], axis=2)  # fmt: skip
    far = np.linalg.norm(head_points(rest, "skull") - centre, axis=2)
    far = gaussian_filter(far[:-1], (3, 3), mode=("wrap", "nearest"))[np.arange(COLUMNS) % (COLUMNS - 1)]
    row = np.clip(np.degrees(polar) / 2, 0, far.shape[1] - 1.001)
    low, column = row.astype(int), np.arange(COLUMNS)[:, None]
    radius = far[column, low] * (1 - row + low) + far[column, low + 1] * (row - low) + hat.gap
    points = centre + out * radius[..., None]
    # an upright wall: halfway down, the crown is as wide as at its edge
    wide = np.linalg.norm((points - centre)[:, -1:, :2], axis=2)
    here = np.linalg.norm((points - centre)[..., :2], axis=2)
    wished = np.maximum(here, wide * np.minimum(1, 1.5 * t) ** 0.6 * 0.97)
    grow = 1 + hat.square * (wished / np.maximum(here, 1e-6) - 1) * (t > 0)
    points[..., :2] = centre[:2] + (points - centre)[..., :2] * grow[..., None]
    points[..., 2] += hat.peak * (1 - t**2)
    points[..., 1] += 0.6 * hat.peak * (1 - t) ** 1 * hat.knitted  # a knitted top leans back
    fold = 0.0025 * np.sin(5 * azimuth + rng.uniform(0, 6)) * np.sin(np.pi * t) * hat.knitted
    return points + out * fold[..., None]


def _cuff(hat: Hat, crown: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """A turned-up edge (COLUMNS,5,3): a second layer over the lowest quarter of the crown."""
    lowest = crown[:, [-5, -5, -4, -2, -1, -1]]
    out = lowest - centre
    out /= np.linalg.norm(out, axis=2, keepdims=True)
    thickness = np.array([0.0, 0.9, 1.0, 1.0, 0.9, -0.4]) * hat.cuff
    return lowest + out * thickness[None, :, None]


def _brim(hat: Hat, root: np.ndarray, azimuth: np.ndarray, centre: np.ndarray, seed: int) -> np.ndarray:
    """Points (COLUMNS or fewer,8,3) from the crown's edge outwards."""
    angle, rng = np.deg2rad(azimuth), np.random.default_rng([seed, 9])
    s = np.linspace(0, 1, 8)
    out = np.stack([np.sin(angle), -np.cos(angle), 0 * angle], axis=1)
    if hat.visor:
        keep = np.abs(azimuth) <= 63
        root, out, angle = root[keep], out[keep], angle[keep]
        width = hat.visor * np.cos(np.deg2rad(azimuth[keep]) * 90 / 66) ** 0.55
        out = np.stack([0.35 * out[:, 0], -np.ones(len(out)), 0 * angle], axis=1)
        fall = hat.droop * (0.35 + 0.9 * np.abs(np.sin(angle)))
    else:
        width = hat.brim * (1 + 0.08 * np.sin(2 * angle + rng.uniform(0, 6)))
        fall = hat.droop * (0.8 + 0.5 * np.sin(2 * angle + rng.uniform(0, 6)) * rng.uniform(0.3, 1))
    points = root[:, None] + out[:, None] * (width[:, None] * s)[..., None]
    points[..., 2] -= fall[:, None] * s**1.3
    points[:, 0] += 0.003 * (centre - root) / np.linalg.norm(centre - root, axis=1, keepdims=True)
    return points


def _piece(grid: np.ndarray, both: bool = False) -> Piece:
    """A grid (C,R,3) as a piece; both: with a lower side 2 mm below, closed at the rim."""
    if both:
        grid = np.concatenate([grid, grid[:, ::-1] - (0, 0, 0.002)], axis=1)
    columns, rows = grid.shape[:2]
    down = np.concatenate([np.zeros((columns, 1)), np.cumsum(np.linalg.norm(np.diff(grid, axis=1), axis=2), 1)], axis=1)
    around = np.broadcast_to(np.linspace(-0.28, 0.28, columns)[:, None], down.shape)
    uv = np.stack([around, down], axis=2).reshape(-1, 2)
    return Piece(grid.reshape(-1, 3), grid_faces(columns, rows), uv, np.zeros(columns * rows))
