"""Skin and face: a texture painted in the body's texture space, and the shader that lays it on skin and eyes.

Faces of one body model easily look like one family, so a face has its own brows, lips, cheeks, freckles, stubble and
eyes (`Face`, drawn by `draw_face`); its geometry comes from the phenotype.

Convention: colours named in a Face are sRGB in [0,1]; textures and albedo are linear RGB, float32. A texture's row 0
is v = 1. In the texture the face lies on its side: up is towards smaller u. `_face_frame` gives coordinates in which a
face is upright: `up` from the line of the eyes and `across` from the middle, in 1/1024 of the texture (about 0.8 mm).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from .body import RestBody, body_pack
from .lighting import decode_srgb
from .mesh import Hit, Surface

if TYPE_CHECKING:
    from .hair_style import Hairline

Colour = tuple[float, float, float]

# Where the face lies in the texture, in 1/1024: the line of the eyes, the middle, and the box that is painted.
EYE_LINE, MIDDLE = 858.0, 529.0
FACE_BOX = (336, 720, 640, 1024)  # first and last row, first and last column
EYE_ACROSS, BROW_UP, MOUTH_UP = 39.0, 20.0, -72.0
EYEBALL_BOX = (0.755, 0.818, 0.928, 0.960)  # u from, u to, v from, v to of the texture of both eyeballs
REDDENING = np.array([0.10, 0.75, 0.60], np.float32)  # how much of each channel blood takes away
LIPSTICKS = ((0.70, 0.28, 0.30), (0.62, 0.12, 0.16), (0.55, 0.20, 0.30), (0.72, 0.42, 0.38), (0.45, 0.12, 0.18))


@dataclass(frozen=True, kw_only=True)
class Face:
    """How a face is painted. Colours sRGB; lengths in 1/1024 of the texture (about 0.8 mm); strengths in [0,1].

    brow_height above the usual place, brow_thickness at the inner end, brow_arch height of its bow, brow_tilt rise of
    the outer end, brow_length; brow_density; redness of cheeks and nose; eye_shade of the lids; mottling of all skin;
    freckles; stubble; seed of everything random in the texture.
    """

    skin: Colour
    lips: Colour
    brow: Colour
    iris: Colour
    brow_height: float = 0.0
    brow_thickness: float = 4.2
    brow_arch: float = 4.0
    brow_tilt: float = 0.0
    brow_length: float = 50.0
    brow_density: float = 0.85
    redness: float = 0.5
    eye_shade: float = 0.4
    mottling: float = 0.5
    freckles: float = 0.0
    stubble: float = 0.0
    seed: int = 0


def draw_face(rng: np.random.Generator, *, skin: Colour, hair: Colour, iris: Colour, female: bool) -> Face:
    """A face of the given colours (sRGB) with everything else at random."""
    tone, light = np.array(skin), float(np.mean(skin))
    lips = tone * (0.84, 0.56, 0.56) * rng.uniform(0.94, 1.06, 3)
    if female and rng.random() < 0.45:
        lips = 0.35 * lips + 0.65 * np.array(LIPSTICKS[int(rng.integers(len(LIPSTICKS)))])
    stubble = 0.0 if female or rng.random() < 0.45 else rng.uniform(0.25, 1.0)
    return Face(
        skin=skin,
        lips=tuple(float(x) for x in np.clip(lips, 0, 1)),
        brow=tuple(float(x) for x in np.array(hair) * rng.uniform(0.6, 0.9)),
        iris=iris,
        brow_height=float(rng.normal(0, 2.0)),
        brow_thickness=float(rng.uniform(2.6, 4.2) if female else rng.uniform(3.6, 5.8)),
        brow_arch=float(rng.uniform(1.5, 5.0) if female else rng.uniform(0.0, 3.0)),
        brow_tilt=float(rng.normal(-0.6, 1.2)),
        brow_length=float(rng.uniform(44, 56)),
        brow_density=float(rng.uniform(0.6, 0.95)),
        redness=float(rng.uniform(0.2, 1.0)),
        eye_shade=float(rng.uniform(0.3, 0.9) if female else rng.uniform(0.1, 0.45)),
        mottling=float(rng.uniform(0.2, 1.0)),
        freckles=float(rng.uniform(0.4, 1.0)) if light > 0.68 and rng.random() < 0.25 else 0.0,
        stubble=float(stubble),
        seed=int(rng.integers(1 << 30)),
    )


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
    texture[box] = _paint_face(texture[box], face, size, box, rng)
    return np.clip(texture, 0, 1)


def _mottling(face: Face, size: int, rng: np.random.Generator) -> np.ndarray:
    """A factor about 1 that makes skin uneven: soft blotches and fine pores."""
    noise = rng.standard_normal((2, size // 4, size // 4), np.float32)
    blotches = zoom(gaussian_filter(noise[0], size / 340), 4, order=1, grid_mode=True, mode="grid-wrap")
    pores = gaussian_filter(rng.standard_normal((size, size), np.float32), 0.8 * size / 512)
    return np.clip(1 + face.mottling * (0.12 * blotches + 0.045 * pores), 0.5, 1.5)


def _paint_face(skin: np.ndarray, face: Face, size: int, box: tuple, rng: np.random.Generator) -> np.ndarray:
    across, up = _face_frame(size)
    side = np.abs(across)
    grain = rng.random(up.shape, np.float32)
    blush = sum(
        strength * np.exp(-(((side - x) / width) ** 2) - ((up - y) / height) ** 2)
        for x, y, width, height, strength in ((45, -36, 22, 20, 0.26), (0, -40, 12, 14, 0.20), (0, -104, 16, 12, 0.10))
    )
    lids = gaussian_filter(_mask("eyelids", size)[box], 1.2 * size / 512)
    shade = np.exp(-(((side - EYE_ACROSS + 6) / 20) ** 2) - ((up + 15) / 6) ** 2)  # below the eyes
    skin = skin * (1 - (blush * face.redness)[..., None] * REDDENING)
    skin = skin * (1 - (lids * 0.55 * face.eye_shade + 0.10 * shade)[..., None] * np.array([0.6, 0.75, 0.65]))
    spots = gaussian_filter((grain > 0.992).astype(np.float32), 0.7 * size / 512) * 3.5
    spots = np.clip(spots, 0, 1) * np.exp(-((side / 75) ** 4) - ((up + 30) / 28) ** 2)
    skin = skin * (1 - (0.6 * face.freckles * spots)[..., None] * np.array([0.35, 0.6, 0.8]))
    lips = gaussian_filter(_mask("lips", size)[box], 0.6 * size / 512)
    lips = np.clip(1.3 * lips, 0, 1)
    skin = _mix(skin, decode_srgb(face.brow), _stubble(across, up, lips, grain) * 0.55 * face.stubble)
    skin = _mix(skin, decode_srgb(face.lips), 0.85 * lips * (0.9 + 0.1 * grain))
    return _mix(skin, decode_srgb(face.brow), _brows(face, side, up, size, rng)).astype(np.float32)


def _brows(face: Face, side: np.ndarray, up: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Opacity of the brows: a bow that thins outwards, of hairs rather than of one colour."""
    along = side - EYE_ACROSS  # outward from above the eye
    inner, outer = -0.45 * face.brow_length, 0.55 * face.brow_length
    bow = face.brow_arch * np.exp(-(((along - 6) / 22) ** 2)) - 0.14 * np.clip(along - 10, 0, None)
    middle = BROW_UP + face.brow_height + bow + face.brow_tilt * along / 30
    thickness = face.brow_thickness * np.clip(1 - 0.6 * (along - inner) / (outer - inner), 0.3, 1)
    bow = np.exp(-1.2 * ((up - middle) / np.maximum(thickness, 0.9)) ** 2)
    ends = _step(along - inner, 4) * _step(outer - along, 6)
    hairs = gaussian_filter(rng.random(up.shape, np.float32), (0.4, 1.2) if size <= 512 else (0.6, 2.0))
    return np.clip(bow * ends * (0.4 + 1.1 * hairs) * 1.15, 0, 1) * face.brow_density


def _stubble(across: np.ndarray, up: np.ndarray, lips: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """Opacity of short hairs on moustache, chin and jaw, with the bare places that a real beard has."""
    side = np.abs(across)
    limit = np.interp(side, [0, 20, 34, 44, 80, 120, 150], [-53, -53, -62, -84, -70, -36, -10])
    region = _step(limit - up, 9) * _step(up + 150, 20)
    bare = np.exp(-(((side - 13) / 9) ** 2) - ((up - MOUTH_UP + 17) / 5) ** 2)  # beside the tuft below the lip
    return np.clip(region - 0.7 * bare - 1.5 * lips, 0, 1) * (0.55 + 0.9 * (grain > 0.55))


def _step(distance: np.ndarray, width: float) -> np.ndarray:
    """0 to 1 over `width` about distance 0."""
    t = np.clip(distance / width + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def _mix(skin: np.ndarray, colour: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    opacity = np.clip(opacity, 0, 1)[..., None]
    return skin * (1 - opacity) + colour * opacity


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
            albedo = _mix(albedo, decode_srgb(hairline.colour), hairline.coverage(hit.rest))
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


def _eye_colour(points: np.ndarray, centres: np.ndarray, iris: np.ndarray) -> np.ndarray:
    """Linear colour (N,3) of points on the eyeballs by the angle to straight ahead: pupil, iris, dark rim, white."""
    offset = points - centres[(points[:, 0] < 0).astype(int)]
    offset = offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-9)
    angle = np.degrees(np.arccos(np.clip(-offset[:, 1], -1, 1)))[:, None]
    inner = iris * (0.6 + 0.6 * np.clip((angle - 11) / 14, 0, 1))
    colour = np.where(angle < 25, inner, np.where(angle < 28, 0.25 * iris, decode_srgb((0.88, 0.85, 0.82))))
    colour = np.where(angle < 11, 0.01, colour)
    lid_shadow = 0.45 * _step(offset[:, 2:] - 0.22, 0.5)  # the upper lid and its lashes keep light away
    return (colour * (1 - lid_shadow)).astype(np.float32)
