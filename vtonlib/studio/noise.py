"""Smooth random fields over space: value noise, made anew from a hash wherever it is asked for, so nothing is stored.

Used for wrinkles, strands of hair, skin and weave. Lattice values are a hash of the integer coordinates and a seed
(multiply and xor-shift, after Wellons' "hash prospector" finaliser) and are blended with Perlin's 3t^2 - 2t^3
(K. Perlin, "An image synthesizer", 1985).

Convention: points are in lattice units (one random value per unit); scale metres before calling.
"""

from __future__ import annotations

import numpy as np

CHUNK = 4096  # points at a time: the 8 lattice corners of a chunk stay in the processor's cache
_AXIS_PRIMES = np.array([374761393, 668265263, 2147483647], np.uint32)
_SEED_PRIME = 974711


def value_noise(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """Noise (N,) float32 in [-1,1] at points (N,3), |coordinate| < 2^31; a different seed gives an unrelated field."""
    return _map_chunks(points, seed, _value)


def value_noise_gradient(points: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise (N,) float32 as `value_noise` and its exact gradient (N,3) with respect to the points (N,3)."""
    both = _map_chunks(points, seed, _value_and_gradient)
    return both[:, 0], both[:, 1:]


def fractal_noise(points: np.ndarray, seed: int = 0, octaves: int = 3) -> np.ndarray:
    """Sum of octaves (N,) float32: octave k has frequency 2^k, amplitude 2^-(k+1) and seed + k; lies in [-1,1]."""
    points = np.asarray(points, np.float32)
    total = 0.5 * value_noise(points, seed)
    for octave in range(1, octaves):
        total += 0.5 ** (octave + 1) * value_noise(points * np.float32(2**octave), seed + octave)
    return total


def _map_chunks(points: np.ndarray, seed: int, evaluate) -> np.ndarray:
    points = np.asarray(points, np.float32)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"noise: points must be (N,3), got {points.shape}")
    parts = [evaluate(points[start : start + CHUNK].T, seed) for start in range(0, max(len(points), 1), CHUNK)]
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _corners(cell: np.ndarray, seed: int) -> np.ndarray:
    """Lattice values (2,2,2,n) in [-1,1], axes x, y, z, of the cells whose lower corner is cell (3,n) int32."""
    base = cell.view(np.uint32) * _AXIS_PRIMES[:, None]
    x, y, z = np.stack([base, base + _AXIS_PRIMES[:, None]], axis=1)
    x = x + np.uint32(seed * _SEED_PRIME & 0xFFFFFFFF)
    bits = (x[:, None] + y)[:, :, None] + z
    bits ^= bits >> np.uint32(15)
    bits *= np.uint32(0x2C1B3C6D)
    bits ^= bits >> np.uint32(12)
    bits *= np.uint32(0x297A2D39)
    bits ^= bits >> np.uint32(15)
    values = bits.view(np.int32).astype(np.float32)
    values *= np.float32(2.0**-31)
    return values


def _cell_and_offset(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    floor = np.floor(points)
    return floor.astype(np.int32), points - floor


def _lerp(pair: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return pair[0] + (pair[1] - pair[0]) * weight


def _value(points: np.ndarray, seed: int) -> np.ndarray:
    cell, offset = _cell_and_offset(np.ascontiguousarray(points))
    weight = offset * offset * (3 - 2 * offset)
    plane = _lerp(_corners(cell, seed), weight[0])
    return _lerp(_lerp(plane, weight[1]), weight[2])


def _value_and_gradient(points: np.ndarray, seed: int) -> np.ndarray:
    cell, offset = _cell_and_offset(np.ascontiguousarray(points))
    weight = offset * offset * (3 - 2 * offset)
    slope = 6 * offset * (1 - offset)
    corners = _corners(cell, seed)
    plane, plane_dx = _lerp(corners, weight[0]), corners[1] - corners[0]
    line, line_dx, line_dy = _lerp(plane, weight[1]), _lerp(plane_dx, weight[1]), plane[1] - plane[0]
    both = np.empty((points.shape[1], 4), np.float32)
    both[:, 0] = _lerp(line, weight[2])
    both[:, 1] = _lerp(line_dx, weight[2]) * slope[0]
    both[:, 2] = _lerp(line_dy, weight[2]) * slope[1]
    both[:, 3] = (line[1] - line[0]) * slope[2]
    return both
