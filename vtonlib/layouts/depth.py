"""Depth as a lossless PNG of 16-bit grey, in the unit that public RGB-D data sets use.

    stored = round(5000 * metres)        0 = nothing was hit

One step is 0.2 mm (error at most 0.1 mm); 13.1 m is the farthest.

Convention: depth is measured along the camera's view direction, not along the ray of the pixel.

Source: the depth files of the TUM RGB-D benchmark (Sturm et al. 2012) for the factor 5000.
"""

from __future__ import annotations

import numpy as np

STEPS = 5000  # a metre
FARTHEST = 65535 / STEPS


def encode_depth(depth: np.ndarray) -> np.ndarray:
    """Depth (H,W) float in metres, 0 where nothing is -> (H,W) uint16.

    Raises ValueError for another shape, NaN, negative depths and depths beyond 13.107 m. Depths below 0.2 mm that are
    not 0 are stored as 0.2 mm.
    """
    depth = np.asarray(depth)
    if depth.ndim != 2:
        raise ValueError(f"depth: expected shape (H, W), got {depth.shape}")
    if not ((depth >= 0) & (depth <= FARTHEST)).all():
        raise ValueError(f"depth: expected metres in [0, {FARTHEST}], got {np.min(depth):g} to {np.max(depth):g}")
    stored = np.rint(STEPS * depth.astype(np.float64))
    return np.maximum(stored, depth > 0).astype(np.uint16)


def decode_depth(stored: np.ndarray) -> np.ndarray:
    """(H,W) uint16 -> depth (H,W) float32 in metres, 0 where nothing is. Raises ValueError for another type."""
    stored = np.asarray(stored)
    if stored.ndim != 2 or stored.dtype != np.uint16:
        raise ValueError(f"expected (H, W) values of 16 bits, got {stored.dtype} of shape {stored.shape}")
    return (stored / STEPS).astype(np.float32)
