"""Drawing on upright planes, floor and side walls in metres, as a camera sees them: what backgrounds are made of.

A background is far simpler than a person: flat things that stand behind one another. Each pixel is sent to the plane
in question, and shapes are drawn there with edges one pixel soft.

Convention: metres; x to the right of the picture, y away from the camera with the person's axis at 0, z up with the
floor at 0. Arrays (H,W,...), row 0 on top; colours are linear RGB.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from .camera import Camera
from .lighting import decode_srgb

FAR = 400.0  # metres: the distance of what has none


@dataclass(frozen=True)
class View:
    """A camera before a backdrop: pitch in radians (positive looks down), scale: half the picture's height per metre of
    depth, height of the eye over the floor, distance of the eye from the person's axis, offset of the eye to the right,
    all in metres; size (height, width) in pixels; shift: metres per metre of depth that what is behind the person moves
    to the left, as if the camera were turned."""

    pitch: float
    scale: float
    height: float
    distance: float
    offset: float
    size: tuple[int, int]
    shift: float = 0.0

    @classmethod
    def of(cls, camera: Camera, floor: float, size: tuple[int, int] | None = None) -> View:
        """How a perspective camera stands towards the vertical through the origin; floor: its height (m).

        Raises ValueError for an orthographic camera, which sees no vanishing point.
        """
        if camera.fov is None:
            raise ValueError("View: camera must be a perspective one (fov), got an orthographic one")
        right, _, forward = camera.axes
        level = forward[:2] / np.hypot(*forward[:2])
        eye = np.asarray(camera.eye, float)
        distance = max(-float(level @ eye[:2]), 0.1)
        pitch = float(-np.arcsin(np.clip(forward[2], -1, 1)))
        return cls(
            pitch, camera.scale, max(float(eye[2]) - floor, 0.05), distance, float(right @ eye), size or camera.size
        )

    @property
    def pixel(self) -> float:
        """Size of a pixel per metre of depth."""
        return 2 * self.scale / self.size[0]

    def rays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Directions: to the right (1,W), away (H,1), up (H,1), about in metres per metre of depth."""
        height, width = self.size
        up = ((1 - (np.arange(height, dtype=np.float32) + 0.5) * (2 / height)) * self.scale)[:, None]
        across = ((np.arange(width, dtype=np.float32) + 0.5) * (2 / height) - width / height) * self.scale + self.shift
        cos, sin = np.float32(np.cos(self.pitch)), np.float32(np.sin(self.pitch))
        return across[None].astype(np.float32), cos + up * sin, up * cos - sin

    def half_width(self, behind: float) -> float:
        """Half the width (m) of what is seen of a plane behind the person."""
        return (self.distance + behind) * self.scale * self.size[1] / self.size[0]

    def upright(self, behind: float) -> tuple[np.ndarray, np.ndarray]:
        """x (H,W) and z (H,1) on the plane that faces the camera, `behind` metres behind the person."""
        across, away, up = self.rays()
        reach = np.float32(self.distance + behind) / away
        return self.offset + reach * across, self.height + reach * up

    def floor(self) -> tuple[np.ndarray, np.ndarray]:
        """x (H,W) and y (H,1) on the floor; y is at most FAR, also above the horizon."""
        across, away, up = self.rays()
        reach = np.where(up < -1e-4, self.height / np.maximum(-up, 1e-4), FAR)
        return self.offset + reach * across, np.clip(reach * away - self.distance, -FAR, FAR)

    def side(self, x: float) -> tuple[np.ndarray, np.ndarray]:
        """y (H,W) and z (H,W) on the side wall at x; y is FAR for pixels that look the other way."""
        across, away, up = self.rays()
        aside = np.float32(x - self.offset)
        reach = np.where(across * np.sign(aside) > 1e-4, np.abs(aside) / np.maximum(np.abs(across), 1e-4), FAR)
        return np.minimum(reach * away - self.distance, FAR), self.height + reach * up


class Canvas:
    """A picture (H,W,3) that things are laid upon, and how far behind the person each pixel lies (H,W), in metres."""

    def __init__(self, view: View, colour, behind: float = FAR):
        self.view = view
        self.picture = np.empty((*view.size, 3), np.float32)
        self.picture[:] = colour
        self.behind = np.full(view.size, behind, np.float32)

    def lay(self, opacity: np.ndarray, colour, behind, window=np.s_[:, :]) -> None:
        """Cover a window of the picture by a colour, one or (h,w,3), with opacity (h,w) in [0,1]."""
        part, depth = self.picture[window], self.behind[window]
        part += opacity[..., None] * (np.asarray(colour, np.float32) - part)
        depth += opacity * (behind - depth)

    def box(self, behind: float, left: float, right: float, bottom: float, top: float, colour, round_: float = 0.0):
        """An upright rectangle in metres with corners of radius round_. colour: one, or a function of x, z (m) from the
        left lower corner that gives (h,w,3)."""
        x, z = self.view.upright(behind)
        soft = np.float32((self.view.distance + behind) * self.view.pixel)
        rows, columns = (z[:, 0] > bottom - soft) & (z[:, 0] < top + soft), (x > left - soft) & (x < right + soft)
        window = _window(rows, (columns & rows[:, None]).any(0))
        if window is None:
            return
        x, z = x[window], z[window[0]]
        outside_x = np.abs(x - (left + right) / 2) - ((right - left) / 2 - round_)
        outside_z = np.abs(z - (bottom + top) / 2) - ((top - bottom) / 2 - round_)
        if round_ > 0:
            outside = np.hypot(np.maximum(outside_x, 0), np.maximum(outside_z, 0)) - round_
            opacity = np.clip(0.5 - outside / soft, 0, 1)
        else:
            opacity = np.clip(0.5 - outside_x / soft, 0, 1) * np.clip(0.5 - outside_z / soft, 0, 1)
        if callable(colour):
            colour = colour(x - left, np.broadcast_to(z - bottom, x.shape))
        self.lay(opacity, colour, behind, window)

    def blob(self, behind, x0, z0, radius_x, radius_z, colour, ragged=0.0, noise: Mottle | None = None, soft=None):
        """An upright ellipse about (x0, z0), cut off at the floor.

        ragged: how far noise eats into its rim, as a share of the radius; colour: one, or a function of x, z (m) in the
        world that gives (h,w,3); soft: width of its rim, a share of the
        radius.
        """
        x, z = self.view.upright(behind)
        rows = (np.abs(z[:, 0] - z0) < radius_z * (1 + ragged)) & (z[:, 0] > 0)
        columns = ((np.abs(x - x0) < radius_x * (1 + ragged)) & rows[:, None]).any(0)
        window = _window(rows, columns)
        if window is None:
            return
        x, z = x[window], np.broadcast_to(z[window[0]], x[window].shape)
        away = np.hypot((x - x0) / radius_x, (z - z0) / radius_z)
        if noise is not None:
            away = away + ragged * noise(x, z)
        rim = soft or (self.view.distance + behind) * self.view.pixel / min(radius_x, radius_z)
        opacity = np.clip((1 - away) / np.float32(rim) + 0.5, 0, 1).astype(np.float32)
        self.lay(opacity, colour(x, z) if callable(colour) else colour, behind, window)

    def glow(self, behind: float, x0: float, z0: float, radius: float, colour) -> None:
        """Add light that falls off about a point of an upright plane."""
        x, z = self.view.upright(behind)
        fall_off = 1 / (1 + ((x - x0) ** 2 + (z - z0) ** 2) / np.float32(radius**2)) ** 2
        self.picture += self.picture * (fall_off[..., None] * np.asarray(colour, np.float32))


def _window(rows: np.ndarray, columns: np.ndarray) -> tuple[slice, slice] | None:
    """The smallest rectangle of rows and columns that holds all that are True; None if there are none."""
    rows, columns = np.flatnonzero(rows), np.flatnonzero(columns)
    if len(rows) == 0 or len(columns) == 0:
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


class Mottle:
    """Smooth repeating noise over a plane, about -1 to 1: octaves of a random table, `scale` metres a cell."""

    def __init__(self, rng: np.random.Generator, scale: float, octaves: int = 2):
        self._table = rng.uniform(-1, 1, (64, 64)).astype(np.float32)
        self._scale, self._octaves = scale, octaves

    def __call__(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        total = np.zeros(np.broadcast_shapes(x.shape, z.shape), np.float32)
        for octave in range(self._octaves):
            step = np.float32(2**octave / self._scale)
            total += np.float32(0.7**octave) * self._look_up(x * step + 17.3 * octave, z * step + 5.1 * octave)
        return total

    def _look_up(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        column, row = np.floor(x).astype(np.int32), np.floor(z).astype(np.int32)
        across, up = x - column, z - row
        across, up = across * across * (3 - 2 * across), up * up * (3 - 2 * up)
        left, right, low, high = column & 63, (column + 1) & 63, row & 63, (row + 1) & 63
        bottom = self._table[low, left] * (1 - across) + self._table[low, right] * across
        top = self._table[high, left] * (1 - across) + self._table[high, right] * across
        return (bottom + (top - bottom) * up).astype(np.float32)


def cell_value(*cells: np.ndarray, seed: int) -> np.ndarray:
    """A random number in [0,1) for every whole-numbered cell, float32: boards, bricks, windows that differ."""
    bits = np.full(np.broadcast_shapes(*(cell.shape for cell in cells)), seed & 0xFFFFFFFF, np.uint32)
    for cell, prime in zip(cells, (374761393, 668265263, 2147483647)):
        bits += np.asarray(cell).astype(np.int64).astype(np.uint32) * np.uint32(prime)
        bits ^= bits >> np.uint32(15)
        bits *= np.uint32(0x2C1B3C6D)
    bits ^= bits >> np.uint32(12)
    return (bits >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def lines(value: np.ndarray, width: float, soft: np.ndarray | float) -> np.ndarray:
    """1 on lines of this width at whole numbers of `value`, 0 between; soft: width of a pixel in the same unit. Lines
    thinner than a pixel fade instead of flickering."""
    away = np.abs(value - np.round(value))
    return np.clip((width / 2 - away) / np.maximum(soft, 1e-6) + 0.5, 0, 1) * np.minimum(
        1, width / np.maximum(soft, 1e-6)
    )


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """A linear colour (3,) from hue (0 red, 1/3 green), saturation and value in sRGB, all in [0,1]."""
    return decode_srgb(colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1)))
