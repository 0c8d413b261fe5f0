"""The parts that accessories are made of: tubes, lenses, studs, straps, and their shaders.

Convention: pieces as in `vtonlib.studio.hair_parts`, metres on the rest body; colours are sRGB.
"""

from __future__ import annotations

import numpy as np

from .body import RestBody, body_pack
from .hair_parts import Piece, grid_faces
from .lighting import decode_srgb
from .mesh import Hit, Shader, Surface
from .noise import value_noise
from .skin import Colour
from .vectors import unit


def piece(vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray | None = None) -> Piece:
    """A rigid piece of vertices (N,3), faces (F,3) and uv (N,2), zero if absent."""
    uv = np.zeros((len(vertices), 2)) if uv is None else uv
    return Piece(vertices, faces, uv, np.zeros(len(vertices)))


def tube(path: np.ndarray, radius: float, closed: bool = False, sides: int = 6) -> Piece:
    """A tube of `radius` metres along points (K,3); closed: the last point is joined to the first."""
    path = np.asarray(path, np.float64)
    if closed:
        path = np.concatenate([path, path[:1]])
        along = np.roll(path[:-1], -1, axis=0) - np.roll(path[:-1], 1, axis=0)
        along = np.concatenate([along, along[:1]])
    else:
        along = np.gradient(path, axis=0)
    along = unit(along)
    aside = np.cross(along, (0.31, 0.23, 0.92))
    one = unit(aside)
    two = np.cross(along, one)
    turn = np.linspace(0, 2 * np.pi, sides + 1)
    ring = np.cos(turn)[:, None, None] * one + np.sin(turn)[:, None, None] * two
    vertices = path[None] + radius * ring  # (sides+1, K, 3)
    faces = grid_faces(sides + 1, len(path))
    return piece(vertices.reshape(-1, 3), _outward(vertices.reshape(-1, 3), faces, np.tile(path, (sides + 1, 1))))


def _outward(vertices: np.ndarray, faces: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Faces turned so that most of them face away from the points `inside` (N,3) that belong to the vertices."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    away = (np.cross(b - a, c - a) * (a - inside[faces[:, 0]])).sum()
    return faces if away > 0 else faces[:, ::-1]


def lens(centre, across: float, down: float, power: float, count: int = 28) -> tuple[Piece, np.ndarray]:
    """A lens (superellipse of half width `across` and half height `down`) bent around the face, and its rim (count,3).

    centre: (x, y, z) of its middle; the outer edge bends back.
    """
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    cosine, sine = np.cos(turn), np.sin(turn)
    x = across * np.sign(cosine) * np.abs(cosine) ** (2 / power)
    z = down * np.sign(sine) * np.abs(sine) ** (2 / power)
    shares = np.array([1.0, 0.66, 0.33, 0.0])
    flat_x, flat_z = np.outer(shares, x), np.outer(shares, z)
    outward = np.clip(flat_x * np.sign(centre[0]), 0, None)
    y = 6 * outward**2 - 0.0015 * (1 - shares**2)[:, None]
    points = np.stack([flat_x, y, flat_z], axis=2) + np.asarray(centre)
    rim = points[0]
    closed = np.concatenate([points, points[:, :1]], axis=1)
    vertices = closed.reshape(-1, 3)
    faces = grid_faces(len(shares), count + 1)
    behind = vertices + np.array([0, 0.02, 0])
    return piece(vertices, _outward(vertices, faces, behind)), rim


def dome(centre: np.ndarray, radius: float) -> Piece:
    """A small ball."""
    turn, height = np.linspace(-np.pi, np.pi, 9), np.linspace(0, np.pi, 6)
    ball = np.stack([np.outer(np.sin(turn), np.sin(height)), -np.outer(np.cos(turn), np.sin(height)),
                     np.broadcast_to(np.cos(height), (9, 6))], axis=2).reshape(-1, 3)  # fmt: skip
    return piece(centre + radius * ball, grid_faces(9, 6))


def ring_on(rest: RestBody, side: str) -> tuple[Piece, Piece]:
    """A strap 1.6 cm wide around the wrist of side "L" or "R", and a dial on the back of the hand's side."""
    pack = body_pack()
    wrist, elbow = rest.head(f"wrist.{side}"), rest.head(f"lowerarm01.{side}")
    axis = unit((elbow - wrist)[None])[0]
    centre = wrist + 0.028 * axis
    arm = rest.vertices[pack.body_ids][pack.arm_weight[pack.body_ids] > 0.9]
    offset = arm - centre
    near = arm[(np.abs(offset @ axis) < 0.012) & (np.linalg.norm(offset, axis=1) < 0.06)]
    centre = near.mean(0)
    fingers = rest.head(f"finger2-1.{side}") - rest.head(f"finger5-1.{side}")
    sign = 1.0 if side == "L" else -1.0
    palm = unit((sign * np.cross(fingers, rest.head(f"finger3-1.{side}") - wrist))[None])[0]
    back = unit((palm - (palm @ axis) * axis)[None])[0]
    flat = np.cross(axis, back)
    turn = np.linspace(0, 2 * np.pi, 25)
    direction = np.cos(turn)[:, None] * back + np.sin(turn)[:, None] * flat
    reach = np.array([((near - centre) @ d).max() for d in direction]) + 0.0015
    widths = np.array([-0.008, -0.0075, 0.0075, 0.008])
    thick = np.array([-0.001, 0.0015, 0.0015, -0.001])
    strap = centre + direction[:, None] * (reach[:, None] + thick)[..., None] + widths[:, None] * axis
    vertices = strap.reshape(-1, 3)
    band = piece(vertices, _outward(vertices, grid_faces(25, 4), np.broadcast_to(centre, vertices.shape)))
    middle = centre + back * (reach[0] + 0.002)
    rings = np.array([[1.0, -0.002], [1.0, 0.003], [0.9, 0.004], [0.0, 0.004]])
    disc = 0.017 * rings[:, 0][None, :, None] * (np.cos(turn)[:, None] * axis + np.sin(turn)[:, None] * flat)[:, None]
    points = (middle + disc + rings[:, 1][None, :, None] * back).reshape(-1, 3)
    return band, piece(points, _outward(points, grid_faces(25, 4), np.broadcast_to(middle, points.shape)))


def glossy_shader(colour: Colour, metal: bool = False) -> Shader:
    """Plastic, glass or metal of one colour."""
    value = decode_srgb(colour)
    albedo, specular, roughness = (0.6 * value, 0.30, 0.30) if metal else (value, 0.05, 0.15)
    return lambda hit: Surface(
        albedo=np.broadcast_to(albedo, (len(hit), 3)).astype(np.float32), specular=specular, roughness=roughness
    )


def knit_shader(colour: Colour, seed: int, ribs: bool) -> Shader:
    """Cloth of a hat: uv counts metres around and down; ribs: knitted in ribs, else a fine weave."""
    base = decode_srgb(colour)

    def shade(hit: Hit) -> Surface:
        u, v = hit.uv.T
        fine = value_noise(np.stack([u * 500, v * 500, 0 * u], 1), seed)
        if not ribs:
            return Surface(albedo=base * (1 + 0.10 * fine)[:, None], specular=0.015, roughness=0.85)
        wave = np.sin(u * (2 * np.pi / 0.007))
        stitch = np.sin(v * (2 * np.pi / 0.005) + 2 * wave)
        shade_ = np.clip(0.86 + 0.20 * wave + 0.07 * stitch + 0.06 * fine, 0.4, 1.3)
        return Surface(albedo=base * shade_[:, None].astype(np.float32), specular=0.01, roughness=0.95, fuzz=0.25)

    return shade
