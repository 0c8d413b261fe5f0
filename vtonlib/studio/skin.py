"""Skin and face: a texture painted in the body's texture space, and the shader that lays it on skin and eyes.

What is painted on the face itself is in `face_paint`; its geometry comes from the phenotype and from `faces`.

Convention: textures and albedo are linear RGB, float32. A texture's row 0
is v = 1. In the texture the face lies on its side: up is towards smaller u. `_face_frame` gives coordinates in which a
face is upright: `up` from the line of the eyes and `across` from the middle, in 1/1024 of the texture (about 0.8 mm).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from .body import RestBody, body_pack, vertex_normals
from .face_paint import BEARD_RELIEF, REDDENING, Colour, Face, beard_region, mix, paint_face, step
from .lighting import decode_srgb
from .mesh import Hit, Surface

if TYPE_CHECKING:
    from .hair_style import Hairline

# Where the face lies in the texture, in 1/1024: the line of the eyes, the middle, and the box that is painted.
EYE_LINE, MIDDLE = 858.0, 529.0
FACE_BOX = (336, 720, 640, 1024)  # first and last row, first and last column
EYEBALL_BOX = (0.755, 0.818, 0.928, 0.960)  # u from, u to, v from, v to of the texture of both eyeballs


def skin_texture(face: Face, size: int = 512) -> np.ndarray:
    """The (size,size,3) texture of a face and its body, linear RGB. size: at least 128, a multiple of 64."""
    if size < 128 or size % 64:
        raise ValueError(f"skin_texture: size must be a multiple of 64 from 128, got {size}")
    rng = np.random.default_rng(face.seed)
    texture = decode_srgb(face.skin) * _mottling(face, size, rng)[..., None] ** np.array([0.5, 1.0, 1.1], np.float32)
    nails = _mask("nails", size)[..., None]
    texture *= 1 + nails * np.array([0.25, 0.12, 0.15], np.float32)
    texture *= 1 - 0.25 * _mask("ears", size)[..., None] * face.redness * REDDENING
    box = tuple(slice(first * size // 1024, last * size // 1024) for first, last in (FACE_BOX[:2], FACE_BOX[2:]))
    masks = [_mask(name, size)[box] for name in ("eyelids", "lips", "ears")]
    texture[box] = paint_face(texture[box], face, _face_frame(size), masks, size / 512, rng)
    return np.clip(texture, 0, 1)


def grow_beard(rest: RestBody, face: Face) -> RestBody:
    """The rest body with its jaw, chin and lip thickened by a beard (`BEARD_RELIEF`); itself if there is none."""
    relief = BEARD_RELIEF.get(face.beard, 0.0)
    if not relief:
        return rest
    ids, uv, bare, faces = _face_vertices()
    across, up = (1 - uv[:, 1]) * 1024 - MIDDLE, EYE_LINE - uv[:, 0] * 1024
    thickness = relief * beard_region(face, across, up) * (1 - bare)
    moved, normals = rest.vertices.copy(), vertex_normals(rest.vertices, faces)[ids]
    moved[ids] += (thickness[:, None] * (normals + np.float32([0, 0, -0.5]))).astype(np.float32)
    return RestBody(moved, rest.heads)


@lru_cache(maxsize=1)
def _face_vertices() -> tuple[np.ndarray, ...]:
    """Vertices (N,) that the painted box of the texture lies on, their uv (N,2), the mask of lips and ears there (N,),
    and the faces (F,3) of the head."""
    pack = body_pack()
    faces, uv = pack.body_faces.reshape(-1), pack.body_face_uv.reshape(-1, 2)
    ids, first = np.unique(faces, return_index=True)
    uv = uv[first]
    row, column = (1 - uv[:, 1]) * 1024, uv[:, 0] * 1024
    inside = (row > FACE_BOX[0]) & (row < FACE_BOX[1]) & (column > FACE_BOX[2]) & (column < FACE_BOX[3])
    inside &= ids < pack.eye_ids[0]
    on_head = pack.body_faces[(pack.head_weight[pack.body_faces] > 0).any(1)]
    bare = gaussian_filter(_mask("lips", 512) + _mask("ears", 512), 2.0)[..., None]
    return ids[inside], uv[inside], np.clip(2 * sample_texture(bare, uv[inside])[:, 0], 0, 1), on_head


def _mottling(face: Face, size: int, rng: np.random.Generator) -> np.ndarray:
    """A factor about 1 that makes skin uneven: soft blotches and fine pores."""
    noise = rng.standard_normal((2, size // 4, size // 4), np.float32)
    blotches = zoom(gaussian_filter(noise[0], size / 340), 4, order=1, grid_mode=True, mode="grid-wrap")
    pores = gaussian_filter(rng.standard_normal((size, size), np.float32), 0.8 * size / 512)
    return np.clip(1 + face.mottling * (0.12 * blotches + 0.045 * pores), 0.5, 1.5)


@lru_cache(maxsize=2)
def _face_frame(size: int) -> tuple[np.ndarray, np.ndarray]:
    """across, up of each texel of FACE_BOX, in 1/1024; across is positive on the person's right."""
    rows, columns = (
        (np.arange(first * size // 1024, last * size // 1024, dtype=np.float32) + 0.5) * (1024 / size)
        for first, last in (FACE_BOX[:2], FACE_BOX[2:])
    )
    across, up = np.meshgrid(rows - MIDDLE, EYE_LINE - columns, indexing="ij")
    return across, up


@lru_cache(maxsize=16)
def _mask(name: str, size: int) -> np.ndarray:
    """A texture mask of the pack at another size, float32 in [0,1]."""
    mask = body_pack().masks[name]
    if size == len(mask):
        return mask
    return np.clip(zoom(mask, size / len(mask), order=1, grid_mode=True, mode="nearest"), 0, 1)


def sample_texture(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear values (N,C) of a texture (H,W,C) at uv (N,2) in [0,1], v up; clamped at the borders."""
    height, width, channels = texture.shape
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1.001).astype(np.float32)
    y = np.clip((1 - uv[:, 1]) * height - 0.5, 0, height - 1.001).astype(np.float32)
    column, row = x.astype(np.int32), y.astype(np.int32)
    right, below = (x - column)[:, None], (y - row)[:, None]
    flat, first = texture.reshape(-1, channels), row * width + column
    top = flat[first] * (1 - right) + flat[first + 1] * right
    bottom = flat[first + width] * (1 - right) + flat[first + width + 1] * right
    return top * (1 - below) + bottom * below


def skin_shader(
    texture: np.ndarray, face: Face, rest: RestBody, hairline: Hairline | None = None
) -> Callable[[Hit], Surface]:
    """The shader of a person's body mesh (skin and eyes; uv = the pack's body_face_uv, rest = rest vertices).

    texture: from skin_texture; hairline: tints the scalp under thin hair.
    """
    painted = np.dstack([texture, _mask("lips", len(texture)), _mask("nails", len(texture))]).astype(np.float32)
    eyes = rest.vertices[body_pack().eye_ids].reshape(2, -1, 3)
    centres = (eyes.max(1) + eyes.min(1)) / 2

    def shade(hit: Hit) -> Surface:
        sample = sample_texture(painted, hit.uv)
        albedo = sample[:, :3]
        roughness = 0.52 - 0.15 * sample[:, 3] - 0.18 * sample[:, 4]
        specular, wrap = np.full(len(albedo), 0.028, np.float32), np.full(len(albedo), 0.22, np.float32)
        if hairline is not None:
            albedo = mix(albedo, decode_srgb(hairline.colour), hairline.coverage(hit.rest))
        u, v = hit.uv.T
        eye = np.flatnonzero((u > EYEBALL_BOX[0]) & (u < EYEBALL_BOX[1]) & (v > EYEBALL_BOX[2]) & (v < EYEBALL_BOX[3]))
        if len(eye):
            albedo[eye] = _eye_colour(hit.rest[eye], centres, decode_srgb(face.iris))
            specular[eye], roughness[eye], wrap[eye] = 0.04, 0.18, 0.05
        return Surface(albedo=albedo, specular=specular, roughness=roughness, wrap=wrap)

    return shade


def lash_shader(colour: Colour = (0.16, 0.11, 0.09)) -> Callable[[Hit], Surface]:
    """Eyelashes: one dark colour (sRGB), dull."""
    value = decode_srgb(colour)
    return lambda hit: Surface(albedo=np.broadcast_to(value, (len(hit), 3)), specular=0.02, roughness=0.7)


def teeth_shader() -> Callable[[Hit], Surface]:
    """Upper teeth under gums, by place: in `faces.face_pack` the teeth's edge lies at z = 0.660 m, the gums above."""
    enamel, gum = decode_srgb((0.90, 0.87, 0.81)), decode_srgb((0.66, 0.36, 0.36))

    def shade(hit: Hit) -> Surface:
        across, height = hit.rest[:, 0] / 0.0078, hit.rest[:, 2]
        gap = np.abs(across - np.round(across)) * (1 + 6 * np.clip(height - 0.664, 0, 1) / 0.01)
        albedo = enamel * (0.75 + 0.25 * step(gap - 0.05, 0.08))[:, None]
        albedo *= np.clip(1.2 - 12 * np.abs(hit.rest[:, :1]), 0.4, 1)  # the corners of the mouth are dark
        return Surface(
            albedo=mix(1.5 * albedo, gum, step(height - 0.676, 0.003)), specular=0.05, roughness=0.3, wrap=0.9
        )

    return shade


def _eye_colour(points: np.ndarray, centres: np.ndarray, iris: np.ndarray) -> np.ndarray:
    """Linear colour (N,3) of points on the eyeballs by the angle to straight ahead: pupil, iris, dark rim, white."""
    offset = points - centres[(points[:, 0] < 0).astype(int)]
    offset = offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-9)
    angle = np.degrees(np.arccos(np.clip(-offset[:, 1], -1, 1)))[:, None]
    inner = iris * (0.6 + 0.6 * np.clip((angle - 11) / 14, 0, 1))
    colour = np.where(angle < 25, inner, np.where(angle < 28, 0.25 * iris, decode_srgb((0.88, 0.85, 0.82))))
    colour = np.where(angle < 11, 0.01, colour)
    lid_shadow = 0.45 * step(offset[:, 2:] - 0.22, 0.5)  # the upper lid and its lashes keep light away
    return (colour * (1 - lid_shadow)).astype(np.float32)
