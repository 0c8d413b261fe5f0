"""Outdoors: a street that runs away from the camera, a row of houses across it, a park."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .planes import FAR, Canvas, Mottle, cell_value, hsv, lines
from .walls import bricks, concrete, paint_wall_and_floor, plaster, tiles


def _sky(canvas: Canvas, rng: np.random.Generator) -> None:
    """Blue, overcast or evening sky, brighter towards the horizon."""
    across, away, up = canvas.view.rays()
    elevation = np.clip(up / np.hypot(away, 0.3), 0, 1)
    kind = rng.random()
    if kind < 0.45:
        low, high = hsv(0.57, 0.08, 1.0) * 1.2, hsv(0.59, rng.uniform(0.25, 0.6), 0.95)
    elif kind < 0.8:
        low, high = hsv(0.6, 0.03, rng.uniform(0.85, 1.0)) * 1.2, hsv(0.6, 0.05, rng.uniform(0.75, 0.95))
    else:
        low, high = hsv(rng.uniform(0.03, 0.1), rng.uniform(0.3, 0.6), 1.0), hsv(0.62, 0.3, rng.uniform(0.5, 0.85))
    canvas.picture[:] = low + np.sqrt(elevation)[..., None] * (high - low) + 0 * across[..., None]


def paint_street(canvas: Canvas, rng: np.random.Generator) -> None:
    """Two rows of houses with pavements, cars, trees and lights between them."""
    straight = canvas.view
    canvas.view = replace(
        straight, shift=float(rng.choice([-1, 1]) * rng.uniform(0.0, 1.3) * straight.half_width(1.0) / 5)
    )
    _sky(canvas, rng)
    left, right = -float(rng.uniform(1.6, 6.0)), float(rng.uniform(1.6, 6.0))
    end = float(rng.uniform(25, 90))
    haze = canvas.picture[canvas.view.size[0] // 2].mean(0) * rng.uniform(0.6, 0.9)
    _ground(canvas, rng, left, right)
    for _ in range(4):  # what closes the street
        x = rng.uniform(left - 4, right)
        canvas.box(end, x, x + rng.uniform(4, 12), 0, rng.uniform(3, 14), haze * rng.uniform(0.6, 0.95))
    sunny = rng.uniform(0.55, 1.5)
    for side, tone in ((left, sunny), (right, 2.05 - sunny)):
        _houses(canvas, rng, side, tone, end, haze)
    things = [(float(y), int(kind)) for y, kind in zip(rng.uniform(3, 30, 9), rng.integers(0, 6, 9))]
    for y, kind in sorted(things, reverse=True):
        side = rng.choice([-1, 1])
        edge = -left if side < 0 else right
        if kind < 2:
            _car(canvas, rng, side * max(edge - rng.uniform(0.8, 2.0), 1.2), y)
        elif kind < 4:
            _tree(canvas, rng, side * max(edge - rng.uniform(0.3, 1.2), 1.0), y)
        elif kind < 5:
            _lamp_post(canvas, rng, side * max(edge - 0.6, 0.9), y)
        else:
            _passer_by(canvas, rng, side * rng.uniform(0.5, max(edge - 0.5, 0.8)), y)
    _lights(canvas, rng, int(rng.integers(0, 14)), left, right)
    canvas.view = straight


def _ground(canvas: Canvas, rng: np.random.Generator, left: float, right: float) -> None:
    """Carriageway and pavements in perspective."""
    x, y = canvas.view.floor()
    below = canvas.view.rays()[2] < -1e-3
    mottle, tone = Mottle(rng, 0.6, 3), rng.uniform(0.25, 0.6)
    asphalt, stone = hsv(0.6, 0.05, tone), hsv(0.1, rng.uniform(0, 0.12), min(tone + 0.2, 0.8))
    kerb = float(rng.uniform(0.5, 2.2))
    pavement = ((x < left + kerb) | (x > right - kerb)) if rng.random() < 0.7 else np.ones_like(x, bool)
    near = np.broadcast_to(y, x.shape)
    depth = np.maximum(near + canvas.view.distance, 0.3)
    slab = np.maximum(lines(x / 0.5, 0.03, depth * canvas.view.pixel / 0.5), lines(near / 0.5, 0.03, depth * 0.004))
    colour = np.where(pavement[..., None], stone * (1 - 0.3 * slab[..., None]), asphalt)
    colour = colour * (1 + 0.1 * mottle(x, near))[..., None]
    canvas.lay(np.broadcast_to(below, x.shape).astype(np.float32), colour, np.maximum(near, 0))


def _houses(canvas: Canvas, rng: np.random.Generator, side: float, tone: float, end: float, haze: np.ndarray) -> None:
    """The houses along one side of a street: each of another colour and height, with rows of windows."""
    y, z = canvas.view.side(side)
    wide, storey, seed = rng.uniform(6, 14), rng.uniform(2.9, 3.8), int(rng.integers(1 << 30))
    palette = np.stack([_stone(rng) for _ in range(8)]).astype(np.float32)
    house = np.floor(y / wide)
    tall = storey * (2 + np.floor(5 * cell_value(house, seed=seed)))
    shop = z < storey
    depth = y + canvas.view.distance
    soft = np.maximum(depth * depth * canvas.view.pixel / max(abs(side), 1.0), 0.02)
    colour = palette[(8 * cell_value(house, seed=seed + 1)).astype(int)]
    spacing = 1.6 + 1.2 * cell_value(house, seed=seed + 2)
    window = lines(y / spacing + 0.5, 0.45, soft / spacing) * lines(z / storey + 0.48, 0.5, 0.05)
    wide_pane = lines(y / (2 * spacing) + 0.5, 0.75, soft / spacing) * np.clip((storey * 0.8 - z) / 0.2, 0, 1)
    window = np.where(shop, wide_pane * np.clip((z - 0.4) / 0.2, 0, 1), window)
    lit = cell_value(np.floor(y / spacing), np.floor(z / storey), seed=seed + 3)
    share_lit = 0.08 if tone > 0.7 else 0.25
    glass = np.where((lit < share_lit)[..., None], (1.0, 0.7, 0.35), (0.09, 0.11, 0.14) + 0.3 * lit[..., None] * haze)
    colour = colour * tone + window[..., None] * (glass - colour * tone)
    colour = colour * (1 - 0.5 * lines(z / storey, 0.04, 0.03) * (1 - window))[..., None]
    far = np.clip(depth / (end * 1.3), 0, 1)[..., None] ** 1.3
    colour = colour + far * (haze - colour)
    opacity = ((z > 0) & (z < tall) & (y < end) & (y > 0.2 - canvas.view.distance)).astype(np.float32)
    canvas.lay(opacity, colour.astype(np.float32), np.clip(y, 0, FAR))


def _stone(rng: np.random.Generator) -> np.ndarray:
    return hsv(rng.uniform(0.02, 0.14), rng.uniform(0.03, 0.45), rng.uniform(0.4, 0.9))


def _car(canvas: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    """A car seen from its end: body, glass, wheels, lights."""
    paint = hsv(rng.random(), rng.choice([0.05, 0.1, 0.6]) * rng.random(), rng.uniform(0.08, 0.9) ** 1.3)
    canvas.box(y, x - 0.85, x + 0.85, 0.02, 0.3, (0.01, 0.01, 0.01), 0.1)
    canvas.box(y, x - 0.9, x + 0.9, 0.25, 0.95, lambda u, v: paint * (0.5 + 0.8 * v)[..., None], 0.15)
    canvas.box(y, x - 0.72, x + 0.72, 0.8, 1.45, paint * 0.8, 0.2)
    canvas.box(y, x - 0.64, x + 0.64, 0.92, 1.36, lambda u, v: (0.04 + 0.5 * v * v)[..., None] * np.ones(3), 0.15)
    light = np.array([1.4, 0.06, 0.04]) if rng.random() < 0.5 else np.array([2.0, 1.9, 1.6])
    for at in (x - 0.72, x + 0.72):
        canvas.blob(y, at, 0.68, 0.13, 0.09, light)


def _tree(canvas: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    """Trunk and crown."""
    high, wide = rng.uniform(2.2, 3.5), rng.uniform(1.0, 2.4)
    canvas.box(y, x - 0.12, x + 0.12, 0, high, hsv(0.07, 0.35, rng.uniform(0.15, 0.4)))
    leaves, mottle = _leaves(rng), Mottle(rng, 0.35, 3)
    canvas.blob(y, x, high + 0.6 * wide, wide, wide * 0.9, leaves, ragged=0.35, noise=mottle, soft=0.12)


def _leaves(rng: np.random.Generator, dark: float = 1.0):
    """Foliage: clumps lit from above, with gaps of shadow."""
    hue = rng.uniform(0.19, 0.3) if rng.random() < 0.9 else rng.uniform(0.06, 0.13)
    high, low = hsv(hue - 0.03, rng.uniform(0.2, 0.5), rng.uniform(0.45, 0.75)), hsv(hue, 0.4, rng.uniform(0.1, 0.25))
    mottle = Mottle(rng, 0.3, 4)
    return lambda x, z: dark * (low + np.clip(0.45 + 0.6 * mottle(x, z), 0, 1.2)[..., None] ** 1.5 * (high - low))


def _lamp_post(canvas: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    canvas.box(y, x - 0.05, x + 0.05, 0, 3.6, (0.03, 0.035, 0.04))
    canvas.blob(y, x, 3.7, 0.16, 0.2, (1.6, 1.4, 1.0))


def _passer_by(canvas: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    """Somebody far away: a coat and two legs. No head worth the name: it is no person to be labelled."""
    y = max(y, 18.0)
    coat, trousers = (
        hsv(rng.random(), rng.uniform(0, 0.6), rng.uniform(0.1, 0.8)),
        hsv(0.6, 0.3, rng.uniform(0.08, 0.4)),
    )
    canvas.box(y, x - 0.14, x + 0.14, 0, 0.9, trousers, 0.08)
    canvas.box(y, x - 0.23, x + 0.23, 0.75, 1.45, coat, 0.12)
    canvas.blob(y, x, 1.6, 0.1, 0.13, (0.2, 0.13, 0.09))


def _lights(canvas: Canvas, rng: np.random.Generator, count: int, left: float, right: float) -> None:
    """Far lamps, which defocus spreads into discs."""
    for _ in range(count):
        y = rng.uniform(10, 40)
        colour = hsv(rng.choice([0.0, 0.08, 0.11, 0.13]), rng.uniform(0.1, 0.6), 1.0) * rng.uniform(1, 5)
        size = rng.uniform(0.05, 0.16)
        canvas.blob(y, rng.uniform(left, right), rng.uniform(0.6, 4.0), size, size, colour)


def paint_facade(canvas: Canvas, rng: np.random.Generator) -> None:
    """The front of a house across a pavement: masonry, windows, a door or a shop window, a bush now and then."""
    behind = float(rng.uniform(1.5, 8.0))
    wall = (bricks, bricks, plaster, concrete, tiles)[int(rng.integers(5))](rng)
    ground = (concrete, tiles)[int(rng.integers(2))](rng)
    paint_wall_and_floor(canvas, behind, wall, ground)
    frame = hsv(rng.random(), rng.uniform(0, 0.5), rng.uniform(0.1, 0.95))
    wide, spacing, low = rng.uniform(0.9, 1.6), rng.uniform(2.2, 3.4), rng.uniform(0.5, 1.1)
    shop, start = rng.random() < 0.35, rng.uniform(-3, -1)
    if shop:
        wide, low = spacing - 0.4, 0.35
    glass, mottle = hsv(0.58, 0.2, rng.uniform(0.15, 0.5)), Mottle(rng, 0.5, 3)
    for storey in (0.0, 3.2):
        for k in range(-4, 8):
            x = start + k * spacing
            bottom, top = storey + (low if storey == 0 else 0.9), storey + 2.3
            canvas.box(behind, x - 0.1, x + wide + 0.1, bottom - 0.1, top + 0.1, frame)

            def pane(u, v, x=x):
                shine = np.clip(0.4 + 0.5 * mottle(u + x, v) + 0.3 * v, 0, 2)[..., None]
                bars = np.maximum(lines(u / wide * 2, 0.06, 0.03), lines(v / 1.6, 0.03, 0.02))[..., None]
                return glass * shine * (1 - bars) + frame * bars

            canvas.box(behind, x, x + wide, bottom, top, pane)
    if rng.random() < 0.5:
        x = start + spacing * int(rng.integers(0, 3)) - 0.9
        canvas.box(behind, x, x + 0.95, 0, 2.25, frame * 0.6)
        canvas.box(behind, x + 0.12, x + 0.83, 0.15, 2.1, hsv(rng.random(), 0.5, rng.uniform(0.15, 0.6)))
    for _ in range(int(rng.integers(0, 3))):
        size = rng.uniform(0.4, 0.9)
        canvas.blob(
            behind - 0.5, rng.uniform(-2, 2), size * 0.7, size, size, _leaves(rng), 0.35, Mottle(rng, 0.2, 3), 0.15
        )
    x, z = canvas.view.upright(behind)
    light = 1 + rng.normal(0, 0.08) * np.clip(x, -3, 3)
    if rng.random() < 0.4:
        edge, slope = rng.normal(0, 1.0), rng.normal(0, 0.6)
        light = light * (1 - rng.uniform(0.3, 0.65) * np.clip((x + slope * z - edge) / 0.08 + 0.5, 0, 1))
    canvas.picture *= np.clip(light, 0.2, 1.8)[..., None].astype(np.float32)


def paint_park(canvas: Canvas, rng: np.random.Generator) -> None:
    """Grass or a path, trees and bushes in several depths, and the sky between the leaves."""
    _sky(canvas, rng)
    x, y = canvas.view.floor()
    near = np.broadcast_to(y, x.shape)
    grass, mottle = hsv(rng.uniform(0.17, 0.27), rng.uniform(0.25, 0.5), rng.uniform(0.35, 0.6)), Mottle(rng, 0.5, 4)
    colour = grass * (1 + 0.35 * mottle(x, near))[..., None]
    if rng.random() < 0.5:
        path = np.clip((rng.uniform(0.8, 2.0) - np.abs(x - 0.3 * np.sin(near / 4))) / 0.1, 0, 1)[..., None]
        colour = colour + path * (
            hsv(0.09, 0.2, rng.uniform(0.5, 0.8)) * (1 + 0.1 * mottle(x, near))[..., None] - colour
        )
    below = np.broadcast_to(canvas.view.rays()[2] < -1e-3, x.shape)
    canvas.lay(below.astype(np.float32), colour, np.maximum(near, 0))
    depths = np.sort(rng.uniform(4, 30, int(rng.integers(5, 14))))[::-1]
    backs = _leaves(rng, 0.8)
    canvas.blob(35, 0, 3, 60, rng.uniform(4, 9), backs, 0.25, Mottle(rng, 4.0, 3), 0.04)
    for depth in depths:
        spread = (canvas.view.distance + depth) * canvas.view.scale
        at = float(rng.uniform(-1.2, 1.2) * spread)
        if rng.random() < 0.55:
            _tree(canvas, rng, at, float(depth))
        else:
            size = rng.uniform(0.6, 1.8)
            leaves = _leaves(rng)
            canvas.blob(float(depth), at, size * 0.6, size * 1.4, size, leaves, 0.35, Mottle(rng, 0.4, 3), 0.1)
    gaps = int(rng.integers(0, 18))
    for _ in range(gaps):  # the sky through the leaves
        depth, size = 20.0, rng.uniform(0.04, 0.15)
        at = rng.uniform(-1, 1) * (canvas.view.distance + depth) * canvas.view.scale
        canvas.blob(depth, at, rng.uniform(2.5, 7), size, size, np.array([1.0, 1.0, 0.85]) * rng.uniform(0.5, 1.6))
