"""Pinhole and orthographic cameras: pixels to rays, points to pixels.

Convention: pixel coordinates (x, y) here are continuous: x to the right, y down, the first pixel covers [0,1] and its
centre is at 0.5. Index coordinates, used for keypoints and flows elsewhere, are smaller by 0.5. World: z is up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .vectors import unit


@dataclass(frozen=True)
class Camera:
    """A camera at `eye` that looks at `target` (metres); size = (height, width) in pixels; pixels are square.

    Exactly one of: fov, vertical field of view in degrees (perspective); half_height, half the height of the picture
    in metres (orthographic, parallel rays). Raises ValueError otherwise, or if the view is straight up or down.
    """

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    size: tuple[int, int]
    fov: float | None = None
    half_height: float | None = None

    def __post_init__(self):
        if (self.fov is None) == (self.half_height is None):
            raise ValueError(f"Camera: give fov or half_height, got fov={self.fov}, half_height={self.half_height}")
        if self.fov is not None and not 0 < self.fov < 180:
            raise ValueError(f"Camera: fov must be between 0 and 180 degrees, got {self.fov}")
        if self.half_height is not None and self.half_height <= 0:
            raise ValueError(f"Camera: half_height must be positive, got {self.half_height}")
        look = np.subtract(self.target, self.eye)
        if np.hypot(look[0], look[1]) < 1e-6 * max(abs(look[2]), 1e-6):
            raise ValueError(f"Camera: cannot look straight up or down, from {self.eye} to {self.target}")

    @cached_property
    def axes(self) -> np.ndarray:
        """Unit vectors (3,3): right, up, forward."""
        forward = np.subtract(self.target, self.eye, dtype=np.float64)
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(right, forward), forward])

    @property
    def scale(self) -> float:
        """Half the height of the picture: in metres (orthographic) or per metre of depth (perspective)."""
        return self.half_height if self.fov is None else float(np.tan(np.deg2rad(self.fov) / 2))

    def rays(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Origins (N,3) and unit directions (N,3), float32, of the rays through pixel coordinates x (N,), y (N,)."""
        height, width = self.size
        scale = np.float32(self.scale)
        across = (np.asarray(x, np.float32) * np.float32(2 / height) - np.float32(width / height)) * scale
        upward = (1 - np.asarray(y, np.float32) * np.float32(2 / height)) * scale
        base = self.eye if self.fov is None else self.axes[2]
        points = np.empty((len(across), 3), np.float32)
        for axis, (right, up, _) in enumerate(self.axes.astype(np.float32).T):
            points[:, axis] = np.float32(base[axis]) + across * right + upward * up
        if self.fov is None:
            return points, np.broadcast_to(self.axes[2].astype(np.float32), points.shape)
        return np.broadcast_to(np.asarray(self.eye, np.float32), points.shape), unit(points)

    def towards_eye(self, points: np.ndarray) -> np.ndarray:
        """Unit directions (N,3) float32 from points (N,3) back along the rays that see them."""
        if self.fov is None:
            return np.broadcast_to(-self.axes[2].astype(np.float32), points.shape)
        return unit(np.asarray(self.eye, np.float32) - points)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (...,3) -> pixel coordinates (...,2) and depth (...,): metres along the view direction; float64.

        A point at or behind a perspective camera's eye has no place in the picture: its coordinates are NaN.
        """
        height, width = self.size
        right, up, depth = np.moveaxis((np.asarray(points, np.float64) - self.eye) @ self.axes.T, -1, 0)
        unit = self.scale * (np.ones_like(depth) if self.fov is None else np.where(depth > 0, depth, np.nan))
        x = (right / unit * height + width) / 2
        y = (1 - up / unit) * height / 2
        return np.stack([x, y], axis=-1), depth
