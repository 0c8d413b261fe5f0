"""Hair: styles as meshes on a person's rest head, the shader of strands, and how hair follows head and chest.

Hair is a sheet over the skull from the crown to the hairline, thick where the style wants it; long hair goes on from
the sheet's lower edge as curtains that hang down. Ribbons of loose strands break the outline, and the scalp is tinted
past the hairline (`Hairline.coverage`), so that hair does not end in a step.

Convention: metres, z up, the person faces -y. Directions from the head's centre are azimuth, degrees from the front
over the left, and polar angle, degrees from the crown down. Colours are sRGB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.spatial import cKDTree

from .body import RestBody, apply_transform, body_pack
from .hair_parts import Piece, grid_faces, join, knot, ribbons, ropes, tail
from .hair_shader import Flow, strand_shader
from .hair_style import STYLES, Hairline, HairStyle, draw_hairline, tinted_hairline
from .mesh import Hit, Surface
from .noise import fractal_noise
from .skin import Colour

RINGS, HANGING_ROWS = 26, 24
MAP_STEP = 2.0  # degrees of polar angle from one row of the pack's head maps to the next


@dataclass(frozen=True)
class Hair:
    """A head of hair on the rest body. rest (N,3) float32, faces (F,3), uv (N,2) metres across and along the strands,
    hang (N,) share that follows the chest, sheet: (columns, rows) of the first vertices, which form a grid."""

    style: str
    colour: Colour
    rest: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    hang: np.ndarray
    sheet: tuple[int, int]
    hairline: Hairline
    flow: Flow
    seed: int
    tips: Colour | None = None

    @cached_property
    def shader(self) -> Callable[[Hit], Surface]:
        """The shader of strands for this hair."""
        span = float(self.rest[:, 2].max()), float(np.quantile(self.rest[:, 2], 0.02))
        return strand_shader(self.colour, self.seed, self.flow, STYLES[self.style].curl, self.tips, span)


def build_hair(
    rest: RestBody, style: str, rng: np.random.Generator, *, length: float = 0.3, colour: Colour = (0.12, 0.08, 0.06),
    tips: Colour | None = None,
) -> Hair:  # fmt: skip
    """Hair of a style in STYLES on a person's rest head.

    length: metres that long hair hangs below the ears (tied: of the tail); tips: colour that long hair runs into.
    Raises ValueError for an unknown style.
    """
    if style not in STYLES:
        raise ValueError(f"build_hair: expected a style of {', '.join(STYLES)}, got {style!r}")
    look, seed = STYLES[style], int(rng.integers(1 << 16))
    centre = head_centre(rest)
    azimuth = np.linspace(-180, 180, 121)  # first and last column are the same place, at the back
    tucked = look.hanging and not look.fringe and not look.locks and rng.random() < 0.3
    curtain = np.abs(azimuth) > (86 if tucked else look.frame) if look.hanging else np.zeros(121, bool)
    limit = draw_hairline(look, azimuth, curtain, tucked, rng)
    parting = float(rng.choice([0.0, -0.32, 0.32]) + rng.normal(0, 0.05))
    sheet = _cap(rest, centre, look, azimuth, limit, curtain, parting, seed)
    if look.hanging:
        in_front = _side_in_front(length, tucked, azimuth, rng)
        sheet = _hang(sheet, centre, azimuth, curtain, length, look, rng, seed, in_front)
    along = np.concatenate([np.zeros((121, 1)), np.cumsum(np.linalg.norm(np.diff(sheet, axis=1), axis=2), 1)], axis=1)
    flow = _flow(look, centre, parting)
    uv = _combed_uv(sheet, along, centre, flow) if look.combed else _falling_uv(along, azimuth)
    pieces = [_sheet_piece(sheet, uv, curtain, look)]
    if look.layered:
        pieces.append(_layer(sheet, uv, curtain, centre, rng))
    if look.locks:
        pieces.append(_dreadlocks(sheet, curtain, centre, look, rng, seed))
    if look.count:
        pieces.append(_loose_strands(sheet, along, azimuth, centre, look, curtain, rng))
    if look.knot:
        pieces.append(_knot(look, centre, flow.pole, length, rng, seed))
    whole = join(pieces)
    line = tinted_hairline(sheet[:, RINGS - 1], centre, look, azimuth, curtain, colour)
    return Hair(
        style, colour, whole.vertices, whole.faces, whole.uv, whole.hang, sheet.shape[:2], line, flow, seed, tips
    )


def head_centre(rest: RestBody) -> np.ndarray:
    """(3,) the point of the head that hair grows away from."""
    return np.array([0.0, rest.head("head")[1] + 0.02, rest.head("eye.L")[2] + 0.012])


def head_points(rest: RestBody, name: str) -> np.ndarray:
    """(121,69,3) points of the head, "outer" or "skull" (without ears), azimuth -180..180 by polar angle 0..136."""
    faces, weights = body_pack().head_maps[name]
    points = (weights[..., None] * rest.vertices[body_pack().body_faces[faces]]).sum(2)
    order = np.arange(-60, 61) % 120
    points, holes = points[order].astype(np.float64), (faces < 0)[order]
    for column in np.flatnonzero(holes.any(1)):  # where an ear grows out: straight across
        bad = np.flatnonzero(holes[column])
        good = np.flatnonzero(~holes[column])
        points[column, bad] = np.stack([np.interp(bad, good, points[column, good, axis]) for axis in range(3)], axis=1)
    return points


def _cap(rest, centre, look: HairStyle, azimuth, limit, curtain, parting: float, seed: int) -> np.ndarray:
    """The sheet (121,RINGS,3) over the skull."""
    t = np.linspace(0, 1, RINGS)
    polar = limit[:, None] * t**0.9
    skin = _sample_rows(head_points(rest, "skull"), polar / MAP_STEP)
    outward = _unit(skin - centre)
    # thick hair is rounded off towards its edge over a longer way than thin hair
    combed = 0.25 if look.hanging and not look.fringe else 0.10
    rim = np.clip((1 - t) / np.clip(6 * look.thickness, combed, 0.35), 0, 1) ** (0.8 if look.hanging else 0.55)
    taper = np.where(curtain[:, None], 1.0, rim)
    side = np.clip((polar - 25) / 50, 0, 1) * np.clip((np.abs(azimuth)[:, None] - 15) / 45, 0, 1)
    thickness = look.thickness * (1 + (look.sides - 1) * side)
    thickness = thickness * (
        1 + look.front * np.exp(-((azimuth / 50) ** 2))[:, None] * np.exp(-(((t - 0.75) / 0.3) ** 2))
    )
    bumps = fractal_noise((9 if look.curl > 0.9 else 5) * outward.reshape(-1, 3), seed, 3).reshape(thickness.shape)
    thickness = thickness * (1 + look.lumps * bumps)
    if look.combed:
        thickness = thickness * (1 - 0.45 * _groove(outward, parting))
    if look.rows:  # braids to the scalp run from the forehead to the nape
        thickness = thickness * (0.4 + 0.6 * np.abs(np.sin(np.pi * outward[..., 0] / 0.20)))
    thickness = min(0.0015, 2 * look.thickness) + thickness * taper
    if look.hanging and not look.fringe:  # combed hair lies over the ears
        outer = _sample_rows(head_points(rest, "outer"), polar / MAP_STEP)
        thickness = np.maximum(thickness, np.where(curtain[:, None], _length(outer - skin) + 0.006, 0))
    return skin + outward * thickness[..., None]


def _groove(outward: np.ndarray, parting: float) -> np.ndarray:
    """Depth in [0,1] of the parting, a groove from the forehead to the crown at x = `parting` of unit directions."""
    x, y, z = np.moveaxis(outward, -1, 0)
    return np.exp(-(((x - parting) / 0.06) ** 2)) * np.clip(0.9 - 2 * y, 0, 1) * (z > 0.2)


def _sample_rows(grid: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Values between the rows of grid (C,R,3) at fractional rows `position` (C,N)."""
    position = np.clip(position, 0, grid.shape[1] - 1.001)
    low = position.astype(int)
    columns, share = np.arange(len(grid))[:, None], (position - low)[..., None]
    return grid[columns, low] * (1 - share) + grid[columns, low + 1] * share


def _hang(cap, centre, azimuth, curtain, length: float, look: HairStyle, rng, seed: int, in_front) -> np.ndarray:
    """The sheet with HANGING_ROWS more rows (121,RINGS+HANGING_ROWS,3): curtains that fall from the cap's edge.

    in_front (121,): share of a curtain that falls before the shoulder.
    """
    s = np.linspace(0, 1, HANGING_ROWS + 1)[1:]
    angle = np.deg2rad(azimuth)
    ends = uniform_filter1d(rng.normal(0, 0.10, 121), 5, mode="wrap") + rng.normal(0, 0.025, 121)
    ends[-1] = ends[0]
    # the front strands are the shortest, so that curtains end in a curve
    own_length = length * (1 + ends) * np.interp(np.abs(azimuth), [60, 90, 180], [0.80, 0.95, 1.0])
    drop = own_length[:, None] * s
    base = cap[:, -1]
    out = _unit((base - centre) * (1, 1, 0))
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(121)], axis=1)
    fold = fractal_noise(4.5 * ring, seed + 11, 3) + 0.35 * np.sin(11 * angle)
    grown = np.minimum(1, 0.3 + 1.2 * s)
    period = 0.085 - 0.035 * look.curl
    wave = look.curl * 0.013 * grown * np.sin(2 * np.pi * drop / period + 2.5 * fold[:, None])
    bulge = (look.volume - 0.012) * np.sin(np.pi * np.minimum(1, 0.25 + 0.85 * s))
    offset = bulge + 0.010 * fold[:, None] * np.minimum(1, 2 * s) + wave
    back = np.clip((drop - 0.08) / 0.14, 0, 1)
    back = back * back * (3 - 2 * back)  # below the chin, hair falls behind the shoulders
    rows = base[:, None] + out[:, None] * offset[..., None]
    rows[..., 2] -= drop
    front = in_front[:, None]
    rows[..., 1] += (1 - front) * back * (0.015 + 0.085 * np.abs(np.sin(angle))[:, None])
    rows[..., 0] *= 1 - 0.12 * (1 - front) * back
    # before the shoulder, a curtain spreads over the chest
    spread = np.clip((np.abs(azimuth) - look.frame) / 55, 0, 1)[:, None]
    rows[..., 0] += front * back * (np.sign(azimuth)[:, None] * (0.060 + 0.075 * spread) - rows[..., 0])
    rows[..., 1] += front * back * (-0.085 - 0.36 * np.clip(drop - 0.12, 0, 0.22) + 0.03 * spread - rows[..., 1])
    rows[..., 1] -= front * (0.006 * fold[:, None] + 0.5 * wave)
    rows = np.where(curtain[:, None, None], rows, base[:, None])
    sheet = np.concatenate([cap, rows], axis=1)
    for _ in range(4):  # round the edge where the cap turns into the curtain
        around = slice(RINGS - 5, RINGS + 5)
        mean = 0.5 * (sheet[:, RINGS - 6 : RINGS + 4] + sheet[:, RINGS - 4 : RINGS + 6])
        sheet[:, around] = np.where(curtain[:, None, None], 0.5 * (sheet[:, around] + mean), sheet[:, around])
    return sheet


def _side_in_front(length: float, tucked: bool, azimuth: np.ndarray, rng) -> np.ndarray:
    """Share (121,) of each curtain that falls before the shoulder: of none, one or both sides."""
    sides = np.array([(0, 0), (1, 0), (0, 1), (1, 1), (1, 1)][int(rng.integers(5))], float)
    until = rng.uniform(92, 118)
    share = np.where(azimuth > 0, sides[0], sides[1]) * np.clip((until - np.abs(azimuth)) / 6, 0, 1)
    return share * (length > 0.15) * (not tucked)


def _layer(sheet, uv, curtain, centre, rng) -> Piece:
    """A shorter layer (every second column) over the curtains, with ends of many lengths."""
    columns = np.arange(0, 121, 2)
    first, rows = RINGS - 7, 14
    last = RINGS + HANGING_ROWS * np.clip(rng.normal(0.58, 0.12, len(columns)), 0.3, 0.85)
    last[-1] = last[0]
    position = first + (last - first)[:, None] * np.linspace(0, 1, rows)
    points, coordinates = _sample_rows(sheet[columns], position), _sample_rows(uv[columns], position)
    out = _unit((points - centre) * (1, 1, 0.3))
    shape = np.sin(np.pi * np.linspace(0.0, 0.85, rows)) * rng.uniform(0.7, 1.3, len(columns))[:, None]
    points = points + out * (0.0105 * shape - 0.0015)[..., None]
    hang = np.clip((position - RINGS) / (HANGING_ROWS - 1), 0, 1) * curtain[columns][:, None]
    keep = np.repeat((curtain[columns][:-1] & curtain[columns][1:])[:, None], rows - 1, axis=1)
    coordinates = coordinates + (0.013, 0.0)
    faces = grid_faces(len(columns), rows, keep)
    return Piece(points.reshape(-1, 3), faces, coordinates.reshape(-1, 2), hang.ravel())


def _dreadlocks(sheet, curtain, centre, look: HairStyle, rng, seed: int) -> Piece:
    """Round locks along the columns of the curtains, from somewhere on the cap."""
    column = rng.choice(np.flatnonzero(curtain), look.locks)
    first = rng.uniform(3, RINGS - 2, look.locks)
    last = RINGS + HANGING_ROWS * rng.uniform(0.55, 0.99, look.locks)
    position = first[:, None] + (last - first)[:, None] * np.linspace(0, 1, 9)
    path = _sample_rows(sheet[column], position)
    out = _unit((path - centre) * (1, 1, 0.4))
    path = path + out * rng.uniform(-0.004, 0.014, look.locks)[:, None, None]
    path[..., :2] += 0.005 * rng.standard_normal(path.shape[:2] + (2,))
    return ropes(path, 0.0068, np.clip((position - RINGS) / (HANGING_ROWS - 1), 0, 1), seed)


def _falling_uv(along: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """uv (121,rows,2) of strands that fall from the crown to all sides."""
    return np.stack(np.broadcast_arrays((azimuth / 360 * 0.55)[:, None], along), axis=-1)


def _combed_uv(sheet: np.ndarray, along: np.ndarray, centre: np.ndarray, flow: Flow) -> np.ndarray:
    """uv (121,rows,2) of strands that run from the parting, or to the knot; curtains carry on what the cap begins."""
    axis = _unit(flow.pole - centre)
    sideways = _unit(np.cross(axis, (0.0, 0.0, 1.0)))
    direction = _unit(sheet[:, :RINGS] - centre)
    around = np.arctan2(direction @ sideways, direction @ np.cross(sideways, axis))
    away = np.arccos(np.clip(direction @ axis, -1, 1))
    cap = np.stack([0.09 * around, 0.10 * (np.pi - away if flow.towards else away)], axis=-1)
    curtains = np.repeat(cap[:, -1:], sheet.shape[1] - RINGS, axis=1)
    curtains[..., 1] += along[:, RINGS:] - along[:, RINGS - 1 : RINGS]
    return np.concatenate([cap, curtains], axis=1)


def _sheet_piece(sheet, uv, curtain, look: HairStyle) -> Piece:
    columns, rows = sheet.shape[:2]
    keep = np.ones((columns - 1, rows - 1), bool)
    keep[:, RINGS - 1 :] = (curtain[:-1] & curtain[1:])[:, None]
    if look.locks:
        keep[:, RINGS - 1 :] = False
    if rows > RINGS:  # where one column falls before and the next behind the shoulder, the sheet parts
        apart = np.linalg.norm(np.diff(sheet, axis=0), axis=2)[:, :-1]
        keep &= apart < 0.035
    hang = np.zeros((columns, rows))
    hang[:, RINGS:] = np.linspace(0, 1, rows - RINGS) * curtain[:, None] if rows > RINGS else 0
    return Piece(sheet.reshape(-1, 3), grid_faces(columns, rows, keep), uv.reshape(-1, 2), hang.ravel())


def _loose_strands(sheet, along, azimuth, centre, look: HairStyle, curtain, rng) -> Piece:
    """Ribbons that leave the sheet a little: over the edge of the hairline, off the crown, along curtains."""
    count, points = look.count, 5
    # where hair is combed back from the face, strands that fall from the crown would be a fringe
    columns = np.flatnonzero(np.abs(azimuth) > 64) if look.combed else np.arange(len(azimuth))
    column = rng.choice(columns, count)
    rows = np.where(curtain[column], sheet.shape[1] - 1, RINGS - 1)
    # towards the edge more often than not: that is where a smooth sheet shows
    row = rows * rng.uniform(0.1, 1.0, count) ** 0.6
    if look.sides < 0.2:  # shorn sides: long strands on top alone
        row = 0.45 * row
    reach = look.strands * rng.uniform(0.5, 1.2, count)
    spacing = along[column, rows] / np.maximum(rows, 1)
    step = reach / np.maximum(spacing, 1e-4) / (points - 1)
    position = row[:, None] + step[:, None] * np.arange(points)
    last = rows[:, None].astype(float)
    path = _sample_rows(sheet[column], np.minimum(position, last))
    edge = sheet[column, rows] - sheet[column, rows - 1]
    # past the edge strands go straight on, below curtains a little way only: on a chest they would be specks
    beyond = np.minimum(np.maximum(position - last, 0) * spacing[:, None], np.where(curtain[column], 0.008, 1)[:, None])
    path = path + _unit(edge)[:, None] * beyond[..., None]
    out = _unit(path - centre)
    lift = rng.uniform(0.05, 0.30, count)[:, None] * reach[:, None] * np.linspace(0, 1, points) ** 1.5
    sway = rng.normal(0, 0.15 + 0.3 * look.curl, count) * np.minimum(reach, 0.03)
    sway = sway[:, None] * np.linspace(0, 1, points) ** 2
    across = _unit(np.cross(out, np.gradient(path, axis=1)))
    path = path + out * (0.001 + np.minimum(lift, 0.008))[..., None] + across * sway[..., None]
    width = rng.uniform(0.003, 0.007, count) * (0.6 if look.hanging else 1)
    first = np.minimum(row, rows - 1).astype(int)
    hang = np.clip((position - RINGS) / max(HANGING_ROWS - 1, 1), 0, 1) * curtain[column][:, None]
    return ribbons(path, out, width, rng.uniform(0, 9, count), along[column, first], hang)


def _flow(look: HairStyle, centre: np.ndarray, parting: float) -> Flow:
    """Strands run to the knot, away from the front of the parting, or away from the crown."""
    if look.knot:
        return Flow(centre + ((0, 0.118, 0.03) if look.knot in ("tail", "braid") else (0, 0.115, 0.035)), towards=True)
    if look.combed:
        return Flow(centre + 0.12 * _unit(np.array([parting, -0.75, 0.70])), towards=False)
    return Flow(centre + (0, 0.02, 0.11), towards=False)


def _knot(look: HairStyle, centre, place, length: float, rng, seed: int) -> Piece:
    if look.knot in ("tail", "braid"):
        return tail(place - (0, 0.032, 0), length, 0.028, rng, braided=look.knot == "braid")
    if look.knot == "half":
        return knot(centre + np.array([0, 0.088, 0.062]), rng.uniform(0.5, 0.65) * np.array([0.05, 0.036, 0.04]), seed)
    high = rng.random() < 0.5
    place = centre + (np.array([0, 0.070, 0.108]) if high else np.array([0, 0.125, 0.02]))
    return knot(place, rng.uniform(0.9, 1.15) * np.array([0.044, 0.040, 0.040]), seed)


def pose_hair(
    hair: Hair,
    head: np.ndarray,
    chest: np.ndarray,
    obstacle_points: np.ndarray,
    obstacle_normals: np.ndarray,
    margin: float = 0.012,
) -> np.ndarray:
    """Posed vertices (N,3) of hair: it follows the head, hanging ends 60 % the chest, and lies on what is below.

    head, chest: (4,4) transforms of the bones "head" and "spine01"; obstacle_points, obstacle_normals (M,3): posed body
    and garment, with outward unit normals. Hair nearer than `margin` metres to an obstacle is pushed out.
    """
    posed = apply_transform(head, hair.rest).astype(np.float32)
    hanging = np.flatnonzero(hair.hang > 0)
    if not len(hanging):
        return posed
    share = 0.6 * np.clip(1.2 * hair.hang[hanging], 0, 1)[:, None]
    posed[hanging] += share * (apply_transform(chest, hair.rest[hanging]) - posed[hanging])
    low, high = posed[hanging].min(0) - 0.14, posed[hanging].max(0) + 0.14
    near = ((obstacle_points > low) & (obstacle_points < high)).all(1)
    if not near.any():
        return posed
    points, normals = obstacle_points[near], obstacle_normals[near]
    tree = cKDTree(points)
    before = posed.copy()
    for round_ in range(5):
        distance, nearest = tree.query(posed[hanging], distance_upper_bound=0.14)
        found = np.flatnonzero(np.isfinite(distance))
        rows, nearest = hanging[found], nearest[found]
        height = ((posed[rows] - points[nearest]) * normals[nearest]).sum(1)
        posed[rows] += np.maximum(margin - height, 0)[:, None] * normals[nearest]
        if round_ < 2:
            _smooth_push(hair, before, posed)
    return posed


def _smooth_push(hair: Hair, before: np.ndarray, posed: np.ndarray) -> None:
    """Spread the push over neighbouring strands of the sheet, in place: strands pushed alone would look like ropes."""
    columns, rows = hair.sheet
    if rows <= RINGS:
        return
    count = columns * rows
    push = (posed[:count] - before[:count]).reshape(columns, rows, 3)
    soft = uniform_filter1d(uniform_filter1d(push, 3, axis=0, mode="nearest"), 3, axis=1, mode="nearest")
    posed[:count] = before[:count] + np.where(np.abs(soft) > np.abs(push), soft, 0.5 * (soft + push)).reshape(-1, 3)


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1)


def _unit(vectors) -> np.ndarray:
    vectors = np.asarray(vectors)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
