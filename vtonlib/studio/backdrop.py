"""What is behind a person: paper and walls of a photo studio, rooms, streets, parks; out of focus as in a portrait.

Every backdrop is drawn for the camera that sees it, in metres, at no more than 256 rows whatever the photograph's size
(it is out of focus), so it costs the same at any size and looks the same at all of them.

Convention: linear RGB of the light that comes from the scene, 1 is white paper in full light; row 0 on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .camera import Camera
from .planes import Canvas, Mottle, View, hsv
from .rooms import paint_room
from .streets import paint_facade, paint_park, paint_street
from .walls import paint_masonry

ROWS, FEWEST_ROWS = 256, 96  # rows at which backdrops are drawn: the fewer, the more blurred they are
REFERENCE_ROWS = 256.0  # `Backdrop.blur` is in pixels of a picture this high


@dataclass(frozen=True)
class Backdrop:
    """kind: one of KINDS; seed: of all that is drawn; blur: standard deviation in pixels of a picture of 256 rows of
    what is far away; distance: metres from the person to the paper or wall (studio kinds, bricks, concrete)."""

    kind: str
    seed: int
    blur: float
    distance: float = 1.5


def _paint_paper(canvas: Canvas, rng: np.random.Generator, distance: float, colour: np.ndarray) -> None:
    """A seamless roll of paper, lit unevenly, that curves from wall to floor."""
    x, z = canvas.view.upright(distance)
    _, y = canvas.view.floor()
    x0, z0, reach = rng.uniform(-1.2, 1.2), rng.uniform(0.6, 2.2), rng.uniform(1.8, 4.0)
    fall_off = rng.uniform(0.02, 0.22)
    light = 1 + fall_off * (0.5 - np.minimum(((x - x0) ** 2 + (z - z0) ** 2) / reach**2, 1.6))
    light += rng.normal(0, 0.02) * x
    curve = np.clip(z / 0.35, 0, 1)
    light = light * (0.93 + 0.07 * curve) + (1 - curve) * rng.uniform(-0.06, 0.06)
    canvas.picture[:] = colour * light[..., None].astype(np.float32)
    canvas.behind[:] = np.where(z < 0, np.minimum(np.maximum(y, 0), distance), distance)


def _paint_white(canvas: Canvas, rng: np.random.Generator, distance: float) -> None:
    colour = rng.uniform(0.88, 1.6) * (1 + rng.normal(0, 0.006, 3))
    _paint_paper(canvas, rng, distance, colour)


def _paint_grey(canvas: Canvas, rng: np.random.Generator, distance: float) -> None:
    warm = rng.normal(0, 0.025)
    colour = rng.uniform(0.58, 0.95) * (1 + np.array([warm, 0.2 * warm, -warm]) + rng.normal(0, 0.005, 3))
    _paint_paper(canvas, rng, distance, colour)


def _paint_beige(canvas: Canvas, rng: np.random.Generator, distance: float) -> None:
    _paint_paper(canvas, rng, distance, hsv(rng.uniform(0.06, 0.13), rng.uniform(0.03, 0.12), rng.uniform(0.86, 0.98)))


def _paint_coloured(canvas: Canvas, rng: np.random.Generator, distance: float) -> None:
    _paint_paper(canvas, rng, distance, hsv(rng.random(), rng.uniform(0.15, 0.75), rng.uniform(0.3, 0.95)))


def _paint_dark(canvas: Canvas, rng: np.random.Generator, distance: float) -> None:
    _paint_paper(canvas, rng, distance, hsv(rng.random(), rng.uniform(0, 0.2), rng.uniform(0.12, 0.4)))


def _paint_plaster(canvas: Canvas, rng: np.random.Generator, distance: float) -> None:
    """Painted plaster with a visible brush, as the walls of many small studios."""
    _paint_grey(canvas, rng, distance) if rng.random() < 0.6 else _paint_beige(canvas, rng, distance)
    x, z = canvas.view.upright(distance)
    strength = rng.uniform(0.015, 0.06)
    canvas.picture *= (1 + strength * Mottle(rng, rng.uniform(0.15, 0.6), octaves=4)(x, z))[..., None]


def _paint_gradient(canvas: Canvas, rng: np.random.Generator, distance: float) -> None:
    """Two or three colours that run into one another, as a wall in coloured light or something far out of focus."""
    x, z = canvas.view.upright(3.0)
    canvas.picture[:] = hsv(rng.random(), rng.uniform(0.05, 0.6), rng.uniform(0.2, 0.95))
    for _ in range(int(rng.integers(2, 6))):
        colour = hsv(rng.random(), rng.uniform(0.05, 0.7), rng.uniform(0.15, 1.0))
        x0, z0, radius = rng.uniform(-1.5, 1.5), rng.uniform(0, 2.5), rng.uniform(0.5, 1.6)
        opacity = np.exp(-((x - x0) ** 2 + (z - z0) ** 2) / np.float32(radius**2))
        canvas.lay(opacity.astype(np.float32), colour, 3.0)


STUDIO_PAINTERS = {
    "white": _paint_white, "grey": _paint_grey, "beige": _paint_beige, "plaster": _paint_plaster,
}  # fmt: skip
WILD_PAINTERS = {
    "room": lambda canvas, rng, _: paint_room(canvas, rng), "street": lambda canvas, rng, _: paint_street(canvas, rng),
    "facade": lambda canvas, rng, _: paint_facade(canvas, rng), "park": lambda canvas, rng, _: paint_park(canvas, rng),
    "masonry": paint_masonry, "gradient": _paint_gradient, "coloured": _paint_coloured, "dark": _paint_dark,
}  # fmt: skip
PAINTERS = STUDIO_PAINTERS | WILD_PAINTERS
KINDS = tuple(PAINTERS)
# How often each kind is drawn in each look.
SHARES = {
    "studio": {"white": 0.36, "grey": 0.40, "beige": 0.12, "plaster": 0.12},
    "wild": {
        "room": 0.34, "street": 0.18, "facade": 0.09, "park": 0.13, "masonry": 0.10, "gradient": 0.05, "coloured": 0.03,
        "dark": 0.03, "white": 0.02, "plaster": 0.03,
    },
}  # fmt: skip


def draw_backdrop(rng: np.random.Generator, look: str) -> Backdrop:
    """A backdrop for a look, "studio" or "wild"."""
    share = SHARES[look]
    kind = tuple(share)[int(rng.choice(len(share), p=tuple(share.values())))]
    seed = int(rng.integers(1 << 30))
    distance = float(rng.uniform(0.12, 0.5) if rng.random() < 0.35 else rng.uniform(0.5, 2.5))
    sharpest = 0.5 if look == "studio" else 1.6 if kind == "park" else 0.6  # leaves in focus are not drawn well enough
    blur = float(np.exp(rng.uniform(np.log(sharpest), np.log(2.0 if look == "studio" else 6.0))))
    return Backdrop(kind, seed, blur, distance)


def paint_backdrop(backdrop: Backdrop, camera: Camera, floor: float = 0.0) -> np.ndarray:
    """The backdrop (h,w,3) float32, linear, not yet limited to 1, as `camera` sees it, at most 256 rows high.

    floor: height (m) of the floor the person stands on. Raises ValueError for an unknown kind or an orthographic
    camera.
    """
    if backdrop.kind not in PAINTERS:
        raise ValueError(f"paint_backdrop: kind must be one of {', '.join(KINDS)}, got {backdrop.kind!r}")
    view = View.of(camera, floor, drawing_size(camera.size, backdrop.blur))
    canvas = Canvas(view, (0.5, 0.5, 0.5))
    PAINTERS[backdrop.kind](canvas, np.random.default_rng([backdrop.seed, 0]), backdrop.distance)
    if backdrop.kind != "gradient":
        _shade_feet(canvas)
    return defocus(canvas, backdrop.blur * view.size[0] / REFERENCE_ROWS)


def drawing_size(size: tuple[int, int], blur: float) -> tuple[int, int]:
    """The size (height, width) at which the backdrop of a photograph of this size is drawn: enough for its blur."""
    height, width = size
    rows = min(height, int(np.clip(1.5 * ROWS / max(blur, 0.1), FEWEST_ROWS, ROWS)))
    return rows, max(1, round(width * rows / height))


def _shade_feet(canvas: Canvas) -> None:
    """The floor is darker where a person stands on it."""
    x, y = canvas.view.floor()
    shade = 0.55 * np.exp(-((x / 0.3) ** 2) - (y / 0.22) ** 2) * (np.abs(y) < 2)
    canvas.picture *= (1 - shade[..., None]).astype(np.float32)


def defocus(canvas: Canvas, blur: float) -> np.ndarray:
    """The picture of a canvas with far things blurred (standard deviation in pixels) and the nearest ones sharp."""
    if blur < 0.2:
        return canvas.picture
    blurred = np.empty_like(canvas.picture)
    for channel in range(3):  # a lens spreads light evenly: three box filters come near to that, and are quick
        plane = canvas.picture[..., channel]
        for _ in range(3):
            plane = ndimage.uniform_filter(plane, int(2 * blur + 0.5) | 1, mode="nearest")
        blurred[..., channel] = plane
    circle = canvas.behind / (canvas.behind + np.float32(canvas.view.distance))  # of confusion, as a share of its limit
    weight = np.clip(circle / 0.35, 0, 1)[..., None]
    return canvas.picture + weight * (blurred - canvas.picture)


def enlarge(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A drawn backdrop (h,w,3) at the size (height, width) of the photograph; smooth, as it is out of focus."""
    height, width = size
    if picture.shape[:2] == size:
        return picture
    y = np.clip((np.arange(height) + 0.5) * (picture.shape[0] / height) - 0.5, 0, picture.shape[0] - 1)
    x = np.clip((np.arange(width) + 0.5) * (picture.shape[1] / width) - 0.5, 0, picture.shape[1] - 1)
    return _stretch(_stretch(picture, y, 0), x, 1)


def _stretch(picture: np.ndarray, place: np.ndarray, axis: int) -> np.ndarray:
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, picture.shape[axis] - 1)
    weight = (place - low).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    first, second = picture.take(low, axis), picture.take(high, axis)
    return first + weight * (second - first)
