"""Rooms: a wall with skirting board, door, window or pictures, furniture, plants and lamps before it, and a floor."""

from __future__ import annotations

import numpy as np

from .planes import Canvas, Mottle, cell_value, hsv, lines
from .walls import boards, bricks, carpet, concrete, paint_wall_and_floor, plaster, stripes, tiles, wallpaper

WALLS = (plaster, plaster, plaster, plaster, stripes, wallpaper, wallpaper, bricks, tiles, boards)
FLOORS = (boards, boards, boards, carpet, carpet, tiles, concrete)
WOOD = ((0.07, 0.5, 0.35), (0.08, 0.45, 0.6), (0.1, 0.3, 0.8), (0.06, 0.1, 0.93), (0.6, 0.05, 0.12))  # HSV


def paint_room(canvas: Canvas, rng: np.random.Generator) -> None:
    """A room seen straight on; the far wall is 1 to 4.5 m behind the person."""
    behind = float(rng.uniform(1.0, 4.5))
    wall = WALLS[int(rng.integers(len(WALLS)))](rng)
    paint_wall_and_floor(canvas, behind, wall, FLOORS[int(rng.integers(len(FLOORS)))](rng))
    trim = hsv(0.1, rng.uniform(0, 0.1), rng.uniform(0.8, 0.98)) if rng.random() < 0.7 else _wood(rng)
    if rng.random() < 0.25:
        _panelling(canvas, rng, behind, trim)
    skirting = rng.uniform(0.06, 0.16)
    canvas.box(behind, -40, 40, 0, skirting, trim)
    canvas.box(behind, -40, 40, skirting, skirting + 0.012, trim * 0.5)
    _side_walls(canvas, rng, behind)
    half = canvas.view.half_width(behind)
    count = int(rng.integers(2, 6))
    for place in rng.permutation(count):
        thing = FURNITURE[int(rng.integers(len(FURNITURE)))]
        x = -half - 0.7 + (place + rng.uniform(0, 0.8)) / count * (2 * half + 0.8)
        thing(canvas, rng, behind, float(x), trim)
    _light_room(canvas, rng, behind)


def _wood(rng: np.random.Generator) -> np.ndarray:
    hue, saturation, value = WOOD[int(rng.integers(len(WOOD)))]
    return hsv(hue, saturation, value * rng.uniform(0.85, 1.05))


def _panelling(canvas, rng, behind, trim) -> None:
    """Wooden panels up to the height of the hip."""
    height, wide = rng.uniform(0.8, 1.3), rng.uniform(0.4, 0.9)

    def panels(x, z):
        frame = np.abs(x / wide - np.round(x / wide)) * wide
        inside = np.minimum(frame - 0.08, np.minimum(z - 0.22, height - 0.12 - z))
        return trim * (1 - 0.35 * np.exp(-((inside / 0.015) ** 2)))[..., None]

    canvas.box(behind, -40, 40, 0, height, panels)
    canvas.box(behind, -40, 40, height, height + 0.03, trim * 1.05)
    canvas.box(behind, -40, 40, height - 0.02, height, trim * 0.6)


def _side_walls(canvas: Canvas, rng: np.random.Generator, behind: float) -> None:
    """A corner of the room, now and then: the wall to one side, darker or lighter than the one ahead."""
    if rng.random() < 0.6:
        return
    at = float(rng.choice([-1, 1]) * rng.uniform(0.9, 2.2))
    y, z = canvas.view.side(at)
    corner = (y < behind) & (z > 0)
    x, _ = canvas.view.upright(behind)
    tone = rng.uniform(0.55, 0.85) if rng.random() < 0.7 else rng.uniform(1.05, 1.2)
    shade = tone * (1 - 0.25 * np.exp(-np.maximum(behind - y, 0) / 0.3))
    plain = canvas.picture[: max(1, canvas.view.size[0] // 2)].mean((0, 1))
    opacity = corner & (np.sign(at) * (x - at) > 0)
    canvas.lay(opacity.astype(np.float32), plain * shade[..., None], np.clip(y, 0, behind))


def _picture(canvas, rng, behind, x, trim) -> None:
    """Framed pictures: an abstract thing or a landscape behind glass."""
    for _ in range(int(rng.integers(1, 4))):
        wide, high = rng.uniform(0.25, 0.8), rng.uniform(0.25, 0.9)
        low = rng.uniform(1.1, 1.6)
        frame, mat = _wood(rng), rng.uniform(0.0, 0.08)
        mottle, hue = Mottle(rng, 0.5 * wide, 2), rng.random()
        one, two = hsv(hue, rng.uniform(0, 0.7), rng.uniform(0.2, 1)), hsv(hue + rng.uniform(0, 0.5), 0.4, rng.random())

        def motif(u, v, one=one, two=two, mottle=mottle):
            return one + np.clip(0.5 + mottle(u, v), 0, 1)[..., None] * (two - one)

        _drop_shadow(canvas, behind, x, x + wide, low, low + high)
        canvas.box(behind, x, x + wide, low, low + high, frame)
        canvas.box(behind, x + 0.025, x + wide - 0.025, low + 0.025, low + high - 0.025, (0.8, 0.8, 0.78))
        inset = 0.025 + mat
        canvas.box(behind, x + inset, x + wide - inset, low + inset, low + high - inset, motif)
        x += wide + rng.uniform(0.08, 0.25)


def _drop_shadow(canvas, behind, left, right, bottom, top, strength=0.45) -> None:
    """Soft shadow of a thing on the wall behind it."""
    x, z = canvas.view.upright(behind)
    away = np.maximum(np.maximum(left - x, x - right - 0.04), np.maximum(bottom - 0.06 - z, z - top))
    canvas.picture *= (1 - strength * np.clip(1 - np.maximum(away, 0) / 0.12, 0, 1) ** 2)[..., None]


def _window(canvas, rng, behind, x, trim) -> None:
    """A window with the sky and something green outside, bars, and curtains now and then."""
    wide, low, high = rng.uniform(0.8, 1.8), rng.uniform(0.3, 1.0), rng.uniform(2.0, 2.5)
    bright, green = rng.uniform(1.2, 3.5), rng.uniform(0.2, 1.2)
    sky = hsv(0.58, rng.uniform(0, 0.25), 1.0) * bright
    tree = hsv(rng.uniform(0.17, 0.3), rng.uniform(0.1, 0.35), rng.uniform(0.35, 0.65)) * bright * 0.7
    mottle = Mottle(rng, 0.22, 4)

    def outside(u, v):
        share = np.clip((green - v + 0.5 * mottle(u, v)) / 0.5, 0, 1)[..., None]
        return sky + share * (tree * (1 + 0.5 * mottle(v, u))[..., None] - sky)

    canvas.box(behind, x - 0.07, x + wide + 0.07, low - 0.07, high + 0.07, trim)
    canvas.box(behind, x, x + wide, low, high, outside)
    for bar in range(1, 1 + int(rng.integers(1, 4))):
        canvas.box(behind, x + wide * bar / 3 - 0.02, x + wide * bar / 3 + 0.02, low, high, trim * 0.8)
    level = low + (high - low) * rng.uniform(0.4, 0.75)
    canvas.box(behind, x, x + wide, level - 0.02, level + 0.02, trim * 0.8)
    canvas.box(behind, x - 0.12, x + wide + 0.12, low - 0.11, low - 0.06, trim * 1.1)
    canvas.glow(behind, x + wide / 2, (low + high) / 2, 1.2, np.array([0.3, 0.32, 0.36]) * bright / 2)
    if rng.random() < 0.6:
        _curtains(canvas, rng, behind, x, x + wide, high + 0.15)


def _curtains(canvas, rng, behind, left, right, top) -> None:
    colour, period = hsv(rng.random(), rng.uniform(0, 0.4), rng.uniform(0.4, 0.95)), rng.uniform(0.06, 0.14)
    bottom, wide = (0.02 if rng.random() < 0.7 else 0.6), rng.uniform(0.25, 0.5)

    def folds(u, v):
        return colour * (0.8 + 0.25 * np.sin(2 * np.pi * u / period + 0.8 * np.sin(9 * u)))[..., None]

    for start in (left - 0.2, right + 0.2 - wide):
        canvas.box(behind - 0.1, start, start + wide, bottom, top, folds)


def _door(canvas, rng, behind, x, trim) -> None:
    """A door with panels, or an opening into a darker room."""
    colour, wide, high = (trim if rng.random() < 0.6 else _wood(rng)), rng.uniform(0.75, 1.0), rng.uniform(2.0, 2.2)
    canvas.box(behind, x - 0.09, x + wide + 0.09, 0, high + 0.09, trim * 0.97)
    canvas.box(behind, x - 0.012, x + wide + 0.012, 0, high + 0.012, trim * 0.4)
    if rng.random() < 0.3:
        depth = rng.uniform(0.15, 0.6)
        canvas.box(behind, x, x + wide, 0, high, lambda u, v: trim * (depth * (0.4 + 0.3 * v))[..., None])
        return
    canvas.box(behind, x, x + wide, 0, high, colour * 0.95)
    for low, top in ((0.2, 0.8), (1.0, high - 0.15)):
        canvas.box(behind, x + 0.12, x + wide - 0.12, low, top, colour * 0.65)
        canvas.box(behind, x + 0.14, x + wide - 0.13, low + 0.02, top - 0.01, colour * 0.98)
    canvas.blob(behind, x + 0.07, 1.02, 0.03, 0.03, (0.4, 0.35, 0.25))


def _shelf(canvas, rng, behind, x, trim) -> None:
    """A bookcase full of books."""
    wide, high, step = rng.uniform(0.7, 1.6), rng.uniform(1.0, 2.2), rng.uniform(0.28, 0.4)
    wood, seed = _wood(rng), int(rng.integers(1 << 30))
    saturation = rng.uniform(0.1, 0.6)
    palette = np.stack([hsv(rng.random(), saturation * rng.random(), rng.uniform(0.15, 0.95)) for _ in range(12)])
    palette = palette.astype(np.float32)

    def books(u, v):
        row, along = np.floor(v / step), u / 0.035
        book = np.floor(along + 0.35 * np.sin(along))
        tone = cell_value(book, row, seed=seed)
        tall = step * (0.6 + 0.3 * cell_value(book, row, seed=seed + 1))
        above = (v - row * step > tall) | (cell_value(np.floor(u / 0.25), row, seed=seed + 2) < 0.25)
        colour = np.where(above[..., None], wood * 0.35, palette[(tone * 12).astype(int)])
        plank = lines(v / step, 0.09, 0.02)[..., None]
        return colour * (1 - plank) + wood * plank

    _drop_shadow(canvas, behind, x, x + wide, 0, high)
    canvas.box(behind - 0.3, x, x + wide, 0, high, wood)
    canvas.box(behind - 0.3, x + 0.03, x + wide - 0.03, 0.08, high - 0.03, books)


def _sideboard(canvas, rng, behind, x, trim) -> None:
    """A chest of drawers with a few things on top."""
    wide, high, wood = rng.uniform(0.7, 1.7), rng.uniform(0.6, 0.95), _wood(rng)
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    _drop_shadow(canvas, behind, x, x + wide, 0, high)

    def drawers(u, v):
        gap = np.maximum(lines(u / wide * columns, 0.02, 0.02), lines(v / high * rows, 0.03, 0.03))
        return wood * ((0.85 + 0.15 * v / high) * (1 - 0.6 * gap))[..., None]

    canvas.box(behind - 0.4, x, x + wide, 0.12, high, drawers)
    canvas.box(behind - 0.4, x - 0.02, x + wide + 0.02, high, high + 0.03, wood * 1.15)
    canvas.box(behind - 0.4, x + 0.03, x + 0.08, 0, 0.12, wood * 0.5)
    canvas.box(behind - 0.4, x + wide - 0.08, x + wide - 0.03, 0, 0.12, wood * 0.5)
    for _ in range(int(rng.integers(0, 4))):
        at, size = x + rng.uniform(0.1, wide - 0.1), rng.uniform(0.05, 0.14)
        colour = hsv(rng.random(), rng.uniform(0, 0.6), rng.uniform(0.2, 0.9))
        canvas.box(behind - 0.3, at - size / 2, at + size / 2, high + 0.03, high + 0.03 + 2 * size, colour, 0.3 * size)
    if rng.random() < 0.4:
        _lamp(canvas, rng, behind - 0.3, x + rng.uniform(0.15, wide - 0.15), high + 0.03)


def _sofa(canvas, rng, behind, x, trim) -> None:
    wide = rng.uniform(1.3, 2.2)
    colour = hsv(rng.random(), rng.uniform(0.02, 0.55), rng.uniform(0.2, 0.85))
    _drop_shadow(canvas, behind, x, x + wide, 0, 0.8)
    near = max(behind - 0.7, 0.5)
    canvas.box(near + 0.5, x, x + wide, 0.1, 0.85, colour * 0.85, 0.08)
    for k in range(2):
        left = x + 0.18 + k * (wide - 0.36) / 2
        canvas.box(near + 0.2, left, left + (wide - 0.36) / 2 - 0.02, 0.4, 0.78, colour * (0.95 + 0.1 * k), 0.08)
    canvas.box(near, x, x + wide, 0.08, 0.42, colour * 0.75, 0.05)
    for left in (x, x + wide - 0.2):
        canvas.box(near, left, left + 0.2, 0.08, 0.6, colour * 0.9, 0.08)
    cushion = hsv(rng.random(), rng.uniform(0.1, 0.7), rng.uniform(0.3, 0.95))
    left = x + rng.uniform(0.2, wide - 0.6)
    canvas.box(near + 0.1, left, left + 0.4, 0.42, 0.75, cushion, 0.1)


def _plant(canvas, rng, behind, x, trim) -> None:
    """A plant in a pot: leaves on stalks that lean away from the middle."""
    near, high, pot = behind - 0.35, rng.uniform(0.6, 1.9), rng.uniform(0.15, 0.35)
    earth = hsv(rng.uniform(0.02, 0.1), rng.uniform(0, 0.6), rng.uniform(0.3, 0.9))
    canvas.box(near, x - pot / 2, x + pot / 2, 0, pot, lambda u, v: earth * (0.7 + 0.4 * u / pot)[..., None], 0.04)
    green = rng.uniform(0.22, 0.35)
    wide, long = rng.uniform(0.25, 0.5), rng.uniform(0.08, 0.18)
    stalk = hsv(0.15, 0.3, rng.uniform(0.15, 0.4))
    canvas.box(near, x - 0.02, x + 0.02, pot, pot + 0.6 * high, stalk)
    for _ in range(int(rng.integers(14, 34))):
        turn, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
        leaf = hsv(green + rng.normal(0, 0.015), rng.uniform(0.3, 0.6), rng.uniform(0.12, 0.5))
        at, up = x + wide * reach * np.cos(turn), pot + 0.5 * high + 0.45 * high * reach * np.sin(turn)
        canvas.blob(near, at, up, long * rng.uniform(0.3, 0.8), long * rng.uniform(0.5, 1.0), leaf)


def _lamp(canvas, rng, behind, x, floor=0.0) -> None:
    """A lamp that is switched on: shade, foot and the glow around."""
    high = 0.35 if floor > 0 else rng.uniform(1.2, 1.7)
    warm = hsv(rng.uniform(0.07, 0.12), rng.uniform(0.15, 0.5), 1.0)
    canvas.box(behind, x - 0.012, x + 0.012, floor, floor + high, (0.05, 0.05, 0.05))
    canvas.box(behind, x - 0.1, x + 0.1, floor, floor + 0.02, (0.05, 0.05, 0.05))
    canvas.glow(behind, x, floor + high, rng.uniform(0.35, 0.8), warm * rng.uniform(0.6, 1.6))
    canvas.box(behind, x - 0.17, x + 0.17, floor + high - 0.1, floor + high + 0.16, warm * rng.uniform(1.2, 2.5), 0.03)


def _floor_lamp(canvas, rng, behind, x, trim) -> None:
    _lamp(canvas, rng, behind - 0.3, x)


FURNITURE = (
    _picture, _picture, _picture, _window, _window, _window, _door, _shelf, _sideboard, _sideboard, _sofa, _plant,
    _plant, _floor_lamp,
)  # fmt: skip


def _light_room(canvas: Canvas, rng: np.random.Generator, behind: float) -> None:
    """Uneven light over the whole room, and now and then the sun through a window on the wall."""
    x, z = canvas.view.upright(behind)
    light = 0.95 + rng.normal(0, 0.16) * np.clip(x / 1.5, -1.5, 1.5) + rng.normal(0, 0.1) * np.clip(z - 1.2, -1.5, 1.5)
    if rng.random() < 0.15:
        slope, at, wide = rng.normal(0, 0.5), rng.normal(0, 0.8), rng.uniform(0.4, 1.2)
        across, soft = x + slope * z - at, rng.uniform(0.03, 0.15)
        pane = np.clip((wide / 2 - np.abs(across)) / soft + 0.5, 0, 1) * np.clip((z - 0.4) / soft, 0, 1)
        light = light + rng.uniform(0.3, 0.9) * pane * np.clip((2.2 - z) / soft, 0, 1)
    canvas.picture *= np.clip(light, 0.3, 2.2)[..., None].astype(np.float32)
