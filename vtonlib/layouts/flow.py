"""The true flow as a lossless PNG that every image library reads.

A flow has two numbers of 16 bits a pixel, and a PNG of mode "16-bit grey" is what Pillow, OpenCV and browsers agree on.
So x and y lie above each other in one grey picture of twice the height: rows 0..H-1 hold x, rows H..2H-1 hold y.

    stored = round(64 * coordinate) + 32        0 = this point does not show in the shop picture

Coordinates are kept to 1/64 pixel (error at most 1/128). They reach from -0.5 to 1023.5, the pixels of pictures up to
1024 large; the two ends themselves are stored 1/64 inside, as 0 is taken and 16 bits are over.

Convention: index coordinates (x, y) of the in-shop picture for each pixel of the photograph.
"""

from __future__ import annotations

import numpy as np

STEPS, OFFSET, LARGEST = 64, 32, 1023.5


def encode_flow(flow: np.ndarray) -> np.ndarray:
    """Flow (H,W,2) float with NaN where there is none -> (2H,W) uint16.

    Raises ValueError for another shape and for coordinates outside [-0.5, 1023.5].
    """
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[2] != 2:
        raise ValueError(f"flow: expected shape (H, W, 2), got {flow.shape}")
    known = ~np.isnan(flow).any(axis=2, keepdims=True)
    values = np.where(known, flow, 0).astype(np.float64)
    if (values < -0.5).any() or (values > LARGEST).any():
        raise ValueError(f"flow: expected coordinates in [-0.5, {LARGEST}], got {values.min():g} to {values.max():g}")
    stored = np.clip(np.rint(STEPS * values) + OFFSET, 1, 65535) * known
    return np.concatenate([stored[..., 0], stored[..., 1]]).astype(np.uint16)


def decode_flow(stored: np.ndarray) -> np.ndarray:
    """(2H,W) uint16 -> flow (H,W,2) float32, NaN where there is none.

    Raises ValueError for an odd height, another type, or a pixel that has only one of its two coordinates.
    """
    stored = np.asarray(stored)
    if stored.ndim != 2 or stored.shape[0] % 2 or stored.dtype != np.uint16:
        raise ValueError(f"expected (2H, W) values of 16 bits, got {stored.dtype} of shape {stored.shape}")
    pair = np.stack(np.split(stored, 2), axis=2)
    known = pair > 0
    if (known[..., 0] != known[..., 1]).any():
        raise ValueError("expected x and y of every known point, got only one of them")
    flow = (pair.astype(np.float32) - OFFSET) / STEPS
    flow[~known] = np.nan
    return flow
