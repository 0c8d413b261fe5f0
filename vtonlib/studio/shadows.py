"""What keeps light from a point: shadow and occlusion rays, the random numbers that aim them, and their smoothing.

One shadow ray and few occlusion rays a sample are noisy; neighbours on the same surface are averaged, edges are kept.

Source: Dammertz et al. 2010 (edge-avoiding a-trous filter).

Convention: (n,...) arrays hold the hits of a `render.Trace`; grids are rows by columns of samples, row 0 on top.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from .lighting import Light
from .mesh import Scene
from .vectors import cosine_directions, dot

if TYPE_CHECKING:
    from .render import Trace

RAY_START = 0.002  # metres that shadow rays start off the surface, so that they do not hit where they come from
OCCLUSION_REACH = 0.35  # metres within which a neighbouring surface takes ambient light away
NOISE_TILE = 256  # samples; a table of random numbers this wide and high is laid over the grid again and again


def visibility(scene: Scene, seen: Trace, light: Light, samples: int, ao_rays: int, noise: SampleNoise) -> np.ndarray:
    """Raw key-light visibility and ambient openness (n,2) in [0,1], one shadow ray and a few others a sample.

    The occlusion rays of a pixel are stratified over its samples; `smooth` brings them together.
    """
    n = len(seen.cell)
    start = seen.position + seen.normal * np.float32(RAY_START)
    result = np.ones((n, 2), np.float32)
    lamp = noise.lamp() * np.float32(light.key_radius)
    towards = lamp + np.asarray(light.key, np.float32) - start
    distance = np.sqrt(dot(towards, towards))
    towards /= distance[:, None]
    lit = np.flatnonzero(dot(seen.normal, towards) > -0.2)  # the others face away and get no key light anyway
    result[lit, 0] = ~scene.tracer.occluded(start[lit], towards[lit], distance[lit])
    per_sample = ao_rays // samples**2
    row, column = np.divmod(seen.cell, seen.shape[1])
    stratum = (row % samples * samples + column % samples).astype(np.float32)
    opened = np.zeros(n, np.float32)
    for k in range(per_sample):
        turn, jitter = noise.direction(k).T
        height = (k * samples**2 + stratum + jitter) / np.float32(ao_rays)
        opened += ~scene.tracer.occluded(start, cosine_directions(seen.normal, turn, height), OCCLUSION_REACH)
    result[:, 1] = opened / per_sample
    return result


class SampleNoise:
    """Random numbers that belong to places of the sample grid, whatever is hit there: where two scenes look the same,
    so do their photographs, to the grain. The seed says where the table begins."""

    def __init__(self, seen: Trace, seed: int):
        top, _, left, _ = seen.window
        row, column = np.divmod(seen.cell, max(seen.shape[1], 1))
        down, right = np.random.default_rng([seed, 0]).integers(NOISE_TILE, size=2)
        self._place = (row + (top + down)) % NOISE_TILE * NOISE_TILE + (column + (left + right)) % NOISE_TILE

    def lamp(self) -> np.ndarray:
        """(n,3) standard normal numbers."""
        return _noise_tile("lamp", 0).take(self._place, axis=0)

    def direction(self, number: int) -> np.ndarray:
        """(n,2) numbers in [0,1), others for each `number`."""
        return _noise_tile("direction", number).take(self._place, axis=0)


@lru_cache(maxsize=16)
def _noise_tile(kind: str, number: int) -> np.ndarray:
    if kind == "lamp":
        return np.random.default_rng([number, 2]).standard_normal((NOISE_TILE**2, 3), dtype=np.float32)
    return np.random.default_rng([number, 3]).random((NOISE_TILE**2, 2), dtype=np.float32)


def smooth(values: np.ndarray, mesh: np.ndarray, depth: np.ndarray, normal: np.ndarray, levels: int) -> np.ndarray:
    """Edge-avoiding a-trous filter (Dammertz et al. 2010) of values (C,H,W): 3 taps down, then 3 across, 1, 2, 4...
    apart.

    Only neighbours on the same mesh (H,W), within 4 cm of depth (H,W) and with normals (3,H,W) less than 32 degrees
    apart are averaged; mesh -1 (nothing) is left alone.
    """
    for level in range(levels):
        for down, right in ((2**level, 0), (0, 2**level)):
            here, there = _shifted(down, right, mesh.shape)
            apart = depth[here] - depth[there]
            alike = np.abs(apart, out=apart) < 0.04
            alike &= mesh[here] == mesh[there]
            cosine = normal[0][here] * normal[0][there]
            for axis in (1, 2):
                cosine += np.multiply(normal[axis][here], normal[axis][there], out=apart)
            alike &= cosine > 0.85
            weight = np.multiply(alike, np.float32(0.25), out=cosine)
            share, total = np.full(mesh.shape, 0.5, np.float32), values * np.float32(0.5)
            share[here] += weight
            share[there] += weight
            for channel, sums in zip(values, total):
                sums[here] += np.multiply(weight, channel[there], out=apart)
                sums[there] += np.multiply(weight, channel[here], out=apart)
            total /= share
            values = total
    return values


def _shifted(down: int, right: int, shape: tuple[int, int]):
    """Index pairs (here, there) of all places whose neighbour `down`, `right` (0 or more) lies in a grid."""
    height, width = shape
    return (slice(0, max(height - down, 0)), slice(0, max(width - right, 0))), (slice(down, None), slice(right, None))
