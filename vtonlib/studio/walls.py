"""Surfaces in metres: plaster, wallpaper, bricks, concrete, tiles, boards.

A finish is drawn once, then evaluated at any points of a plane: finish(x, z, pixel) gives linear colours (h,w,3);
pixel: size of a pixel there, in metres.
"""

from __future__ import annotations

import numpy as np

from .planes import Canvas, Mottle, cell_value, hsv, lines


def draw_wall_colour(rng: np.random.Generator) -> np.ndarray:
    """A linear colour as people paint rooms: mostly white, cream and grey, sometimes a strong one."""
    if rng.random() < 0.6:
        return hsv(rng.uniform(0.05, 0.15), rng.uniform(0.0, 0.18), rng.uniform(0.72, 0.97))
    return hsv(rng.random(), rng.uniform(0.05, 0.38), rng.uniform(0.35, 0.85))


def plaster(rng: np.random.Generator):
    """Painted plaster, nearly plain."""
    colour, strength, mottle = draw_wall_colour(rng), rng.uniform(0.0, 0.05), Mottle(rng, rng.uniform(0.1, 0.8), 3)
    return lambda x, z, pixel: colour * (1 + strength * mottle(x, z))[..., None]


def concrete(rng: np.random.Generator):
    """Cast concrete with stains and the joints of its panels."""
    value = rng.uniform(0.45, 0.75)
    colour, mottle = hsv(rng.uniform(0.05, 0.6), 0.05, value), Mottle(rng, 0.5, 5)
    wide, high, shift = rng.uniform(1.0, 2.4), rng.uniform(0.8, 2.4), rng.random()

    def finish(x, z, pixel):
        joints = np.maximum(
            lines(x / wide + shift, 0.012 / wide, pixel / wide), lines(z / high + shift, 0.012 / high, pixel / high)
        )
        return colour * ((1 + 0.16 * mottle(x, z)) * (1 - 0.5 * joints))[..., None]

    return finish


def bricks(rng: np.random.Generator):
    """Bricks in running bond; sometimes painted over."""
    painted = rng.random() < 0.3
    wide, high, seed = 0.22, 0.075, int(rng.integers(1 << 30))
    brick = (
        draw_wall_colour(rng)
        if painted
        else hsv(rng.uniform(0.02, 0.07), rng.uniform(0.35, 0.62), rng.uniform(0.32, 0.62))
    )
    mortar = brick * 0.85 if painted else hsv(0.09, 0.1, rng.uniform(0.5, 0.85))
    spread, mottle = (0.06 if painted else 0.45), Mottle(rng, 0.7, 5)

    def finish(x, z, pixel):
        row = np.floor(z / high)
        along = x / wide + 0.5 * (row % 2)
        tone = 1 + spread * (cell_value(np.floor(along), row, seed=seed) - 0.5) + 0.12 * mottle(x, z)
        joint = np.maximum(lines(along, 0.05, pixel / wide), lines(z / high, 0.15, pixel / high))[..., None]
        return (brick * tone[..., None]) * (1 - joint) + mortar * joint

    return finish


def stripes(rng: np.random.Generator):
    """Striped wallpaper."""
    one = draw_wall_colour(rng)
    two, wide = one * rng.uniform(0.7, 0.95) * (1 + rng.normal(0, 0.05, 3)), rng.uniform(0.06, 0.25)

    def finish(x, z, pixel):
        share = lines(x / (2 * wide), 0.5, pixel / (2 * wide))[..., None]
        return one + share * (two - one)

    return finish


def wallpaper(rng: np.random.Generator):
    """Wallpaper with a repeating leaf-like motif."""
    ground = draw_wall_colour(rng)
    motif = ground * rng.uniform(0.5, 0.9) * (1 + rng.normal(0, 0.1, 3))
    size, mottle = rng.uniform(0.15, 0.5), Mottle(rng, 0.05, 2)
    petals, bend = int(rng.integers(2, 6)), rng.uniform(0.4, 1.4)

    def finish(x, z, pixel):
        u, v = x / size, z / size
        u = u + 0.5 * (np.floor(v) % 2)
        u, v = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
        reach = np.hypot(u, v)
        leaf = 0.32 + 0.12 * np.cos(petals * np.arctan2(v, u) + bend * 6 * reach)
        share = np.clip((leaf - reach) * size / np.maximum(pixel, 0.004) + 0.5 + 0.3 * mottle(x, z), 0, 1)[..., None]
        return ground + share * (motif - ground)

    return finish


def tiles(rng: np.random.Generator):
    """Glazed tiles in a grid."""
    colour, wide, seed = draw_wall_colour(rng), rng.uniform(0.1, 0.3), int(rng.integers(1 << 30))
    high = wide * rng.choice([0.5, 1.0])
    joint_shade = rng.uniform(0.55, 1.15)

    def finish(x, z, pixel):
        tone = 0.94 + 0.12 * cell_value(np.floor(x / wide), np.floor(z / high), seed=seed)
        joint = np.maximum(lines(x / wide, 0.04, pixel / wide), lines(z / high, 0.04, pixel / high))
        return colour * (tone * (1 + (joint_shade - 1) * joint))[..., None]

    return finish


def boards(rng: np.random.Generator, wide: float | None = None, colour: np.ndarray | None = None):
    """Boards along z, each of another tone, with grain and joints."""
    wide, seed = wide or rng.uniform(0.08, 0.2), int(rng.integers(1 << 30))
    if colour is None:
        colour = hsv(rng.uniform(0.05, 0.1), rng.uniform(0.25, 0.6), rng.uniform(0.3, 0.85))
    grain, spread = Mottle(rng, 0.03, 3), rng.uniform(0.1, 0.45)

    def finish(x, z, pixel):
        board = np.floor(x / wide)
        end = z / 1.8 + 7 * cell_value(board, seed=seed + 1)
        tone = 1 + spread * (cell_value(board, np.floor(end), seed=seed) - 0.5) + 0.08 * grain(x, z * 0.08 + board)
        joint = np.maximum(lines(x / wide, 0.03, pixel / wide), 0.7 * lines(end, 0.002, pixel / 1.8))
        return colour * (tone * (1 - 0.55 * joint))[..., None]

    return finish


def carpet(rng: np.random.Generator):
    """Carpet or screed: one colour and some mottling."""
    colour = hsv(rng.random(), rng.uniform(0.02, 0.35), rng.uniform(0.25, 0.8))
    mottle = Mottle(rng, 0.12, 4)
    return lambda x, z, pixel: colour * (1 + 0.1 * mottle(x, z))[..., None]


def paint_masonry(canvas: Canvas, rng: np.random.Generator, distance: float) -> None:
    """A bare wall close behind the person, in bricks, concrete, tiles or boards, and the ground before it."""
    finish = (bricks, bricks, concrete, concrete, tiles, boards, plaster)[int(rng.integers(7))](rng)
    ground = (concrete, tiles, boards, carpet)[int(rng.integers(4))](rng)
    paint_wall_and_floor(canvas, distance, finish, ground)
    x, z = canvas.view.upright(distance)
    light = 1 + rng.normal(0, 0.12) * x + rng.normal(0, 0.08) * (z - 1.2)
    if rng.random() < 0.35:  # the edge of a shadow that something out of sight casts
        slope, edge = rng.normal(0, 0.8), rng.normal(0, 0.7)
        inside = np.clip((x + slope * (z - 1.2) - edge) / rng.uniform(0.03, 0.4) + 0.5, 0, 1)
        light = light * (1 - rng.uniform(0.25, 0.6) * inside)
    canvas.picture *= np.clip(light, 0.25, 1.8)[..., None].astype(np.float32)


def paint_wall_and_floor(canvas: Canvas, behind: float, wall, floor) -> None:
    """Fill a canvas with a wall that faces the camera and the floor before it, darker where the two meet."""
    view = canvas.view
    x, z = view.upright(behind)
    pixel = (view.distance + behind) * view.pixel
    foot = int(np.count_nonzero(z[:, 0] >= 0))  # rows of wall
    shade = 1 - 0.25 * np.exp(-np.abs(z) / 0.12)
    canvas.picture[:foot] = wall(x[:foot], np.broadcast_to(z, x.shape)[:foot], pixel) * shade[:foot, :, None]
    canvas.behind[:] = behind
    if foot < view.size[0]:
        x, y = view.floor()
        depth = np.clip(y[foot:] + view.distance, 0.1, None)
        coarse = depth**2 * view.pixel / view.height  # the floor is seen at a slant
        colour = floor(x[foot:], np.broadcast_to(y, x.shape)[foot:], np.maximum(coarse, depth * view.pixel))
        canvas.picture[foot:] = colour * shade[foot:, :, None]
        canvas.behind[foot:] = np.maximum(y[foot:], 0)
