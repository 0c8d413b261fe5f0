"""Which part of a photograph becomes the picture: a window around the person, in the aspect that is wanted.

Convention: boxes are left, top, right, bottom in whole pixels, the last two just outside; sizes are (height, width).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..data import Fit

Box = tuple[int, int, int, int]

MARGIN = 0.06  # around the person, of the longer side of the box
CUT = 0.01  # rather than pad, this much of the person's box may be cut off
FILLED = 0.6  # of the height: a photograph of the wanted aspect that a person fills so far is left as it is


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a photograph and how it is put into the picture.

    box: in the photograph; photo: its height and width; fit: how the part is enlarged or reduced, and padded.
    """

    box: Box
    photo: tuple[int, int]
    fit: Fit

    @classmethod
    def of(cls, box: Box, photo: tuple[int, int], size: tuple[int, int]) -> Window:
        """The window with a box that lies inside the photograph, for pictures of `size`."""
        left, top, right, bottom = box
        return cls(box=box, photo=photo, fit=Fit.of((bottom - top, right - left), size))

    @property
    def inner(self) -> Box:
        """Where in the picture the photograph is; the rest is padding."""
        left, top, right, bottom = self.fit.padding
        return left, top, self.fit.outer[1] - right, self.fit.outer[0] - bottom

    @property
    def at_edge(self) -> dict[str, bool]:
        """For each side, whether the window ends where the photograph does."""
        left, top, right, bottom = self.box
        return {"left": left == 0, "top": top == 0, "right": right == self.photo[1], "bottom": bottom == self.photo[0]}

    def picture(self, pixels: np.ndarray) -> np.ndarray:
        """The photograph (H,W,3) uint8 -> the picture (h,w,3) uint8, antialiased, its padding repeating the border."""
        left, top, right, bottom = self.box
        return self.fit.picture(np.ascontiguousarray(pixels[top:bottom, left:right]), "border")

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """A mask (h,w) bool of the whole photograph, at any size -> of the picture (H,W) bool."""
        scale = mask.shape[1] / self.photo[1], mask.shape[0] / self.photo[0]
        box = tuple(side * scale[index % 2] for index, side in enumerate(self.box))
        levels = Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0)))
        part = levels.resize(self.fit.inner[::-1], Image.Resampling.BILINEAR, box=box)
        return padded(np.asarray(part) >= 128, self.fit, False)

    def back(self, box: Box) -> Box:
        """A box in the picture -> in the photograph, rounded outwards and cut at the photograph's edges."""
        (left, top), (across, down) = self.fit.padding[:2], self.fit.scale
        xs = [self.box[0] + (x - left) / across for x in box[::2]]
        ys = [self.box[1] + (y - top) / down for y in box[1::2]]
        return clipped((math.floor(xs[0]), math.floor(ys[0]), math.ceil(xs[1]), math.ceil(ys[1])), self.photo)


def clipped(box: Box, photo: tuple[int, int]) -> Box:
    """The part of a box that lies in the photograph; at least one pixel."""
    left, top = min(max(0, box[0]), photo[1] - 1), min(max(0, box[1]), photo[0] - 1)
    return left, top, max(left + 1, min(photo[1], box[2])), max(top + 1, min(photo[0], box[3]))


def whole(photo: tuple[int, int], size: tuple[int, int]) -> Window:
    """The window that is the whole photograph."""
    return Window.of((0, 0, photo[1], photo[0]), photo, size)


def frame(person: Box, photo: tuple[int, int], size: tuple[int, int]) -> Window:
    """The window around a person (a box in the photograph) for pictures of `size`.

    It has the aspect of `size` and a margin around the person; near an edge it is moved inwards. Where the photograph
    is too narrow or too low for it, the window is narrower or lower, and the picture is padded, never squashed. A
    photograph that has the aspect already and is filled by the person is left as it is.
    """
    height, width = photo
    if (person[3] - person[1]) >= FILLED * height and not any(Fit.of(photo, size).padding):
        return whole(photo, size)
    margin = round(MARGIN * max(person[2] - person[0], person[3] - person[1]))
    grown = clipped((person[0] - margin, person[1] - margin, person[2] + margin, person[3] + margin), photo)
    unit = _unit(size)
    wanted, least = (max((box[3] - box[1]) / unit[0], (box[2] - box[0]) / unit[1]) for box in (grown, person))
    room = math.floor(min(height / unit[0], width / unit[1]))
    # in whole units the aspect is exact, so that no line of padding is left by rounding
    count = math.ceil(wanted)
    if count > room and least <= room * (1 + CUT):
        count = room
    extent = min(height, round(count * unit[0])), min(width, round(count * unit[1]))
    top = _placed((grown[1] + grown[3]) / 2, extent[0], height)
    left = _placed((grown[0] + grown[2]) / 2, extent[1], width)
    return Window.of((left, top, left + extent[1], top + extent[0]), photo, size)


def _unit(size: tuple[int, int]) -> tuple[float, float]:
    """The smallest height and width of whole pixels with the aspect, (4, 3) for 1024x768; fractions for odd sizes."""
    divisor = math.gcd(*size)
    unit = size[0] / divisor, size[1] / divisor
    return unit if max(unit) <= 16 else (size[0] / max(size), size[1] / max(size))


def _placed(centre: float, extent: int, room: int) -> int:
    """Where a stretch about a centre begins, moved into the room."""
    return min(max(0, round(centre - extent / 2)), room - extent)


def resized(pixels: np.ndarray, fit: Fit) -> np.ndarray:
    """(h,w,3) uint8 -> fit.inner, antialiased and not padded."""
    return Fit(fit.inner, fit.inner, (0, 0, 0, 0), fit.scale).picture(pixels, 0)


def padded(values: np.ndarray, fit: Fit, fill: int | bool) -> np.ndarray:
    """(h,w) or (h,w,c) of the size fit.inner -> fit.outer, `fill` around it."""
    left, top, right, bottom = fit.padding
    widths = ((top, bottom), (left, right), *((0, 0),) * (values.ndim - 2))
    return np.pad(values, widths, constant_values=fill)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0, width) * max(0, height)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return common / (areas - common)
