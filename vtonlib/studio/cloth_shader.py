"""What cloth looks like from near: printed textures, hems, creases, and plain cloth for trousers and shoes.

Creases are a bump of the normal, a field over the garment's rest position. The field's seed belongs to the picture, not
to the garment: a worn garment and its in-shop picture must not share creases, or a network could match those.

Convention: textures are (H,W,3) uint8 sRGB with row 0 at the top; fabric coordinates (x, z) are metres, x to the
person's left. Seen from the front x runs to the right; the back texture is drawn as seen from behind, so x runs to the
left.
"""

from __future__ import annotations

import numpy as np

from .lighting import decode_srgb
from .mesh import Hit, Shader, Surface
from .noise import value_noise, value_noise_gradient
from .vectors import dot, unit

STITCH, STITCH_WIDTH, COLLAR = 0.018, 0.0022, 0.017  # metres from the hem: seam, its width, width of a collar band
EDGE_SHADE = 0.003  # metres over which the cut edge is darker
RIDGE = 0.1  # rounding of a crease's crest, in units of the noise
_LINEAR = decode_srgb(np.arange(256) / 255)


def linear_texture(texture: np.ndarray) -> np.ndarray:
    """(H,W,3) uint8 sRGB -> float32 linear. Raises ValueError for anything else."""
    if texture.dtype != np.uint8 or texture.ndim != 3 or texture.shape[2] != 3:
        raise ValueError(f"texture: expected (H,W,3) uint8, got {texture.shape} {texture.dtype}")
    return _LINEAR[texture]


def sample_texture(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bilinear values (N,C) of a texture (H,W,C) at u (N,) to the right, v (N,) down, in [0,1]; clamped at the rim."""
    height, width = texture.shape[:2]
    x = np.clip(u * np.float32(width) - np.float32(0.5), 0, width - 1)
    y = np.clip(v * np.float32(height) - np.float32(0.5), 0, height - 1)
    column, row = x.astype(np.int32), y.astype(np.int32)
    x, y = (x - column)[:, None].astype(np.float32), (y - row)[:, None].astype(np.float32)
    right, below = np.minimum(column + 1, width - 1), np.minimum(row + 1, height - 1)
    flat = texture.reshape(height * width, -1)
    row, below = row * width, below * width
    upper, lower = np.take(flat, row + column, 0), np.take(flat, below + column, 0)
    upper += (np.take(flat, row + right, 0) - upper) * x
    lower += (np.take(flat, below + right, 0) - lower) * x
    return upper + (lower - upper) * y


def crease_normal(hit: Hit, strength: float, scale: float, seed: int) -> np.ndarray:
    """Unit normals (N,3) bent by creases: ridged noise, drawn out along z, warped, stronger in some places.

    strength: 0.1-0.3 subtle, 0.7 visibly creased; scale: creases per metre. The gradient is taken in rest space and
    used in the world, which turns creases on a bent sleeve but keeps their look.
    """
    place = hit.rest * np.array([scale, scale, 0.55 * scale], np.float32)
    for axis in range(3):
        place[:, axis] += 0.8 * value_noise(hit.rest * np.float32(7), seed + 1 + axis)
    value, slope = value_noise_gradient(place, seed)
    _, swell = value_noise_gradient(place * np.float32(0.45), seed + 7)
    size = np.sqrt(value * value + np.float32(RIDGE**2))  # |value| with a round foot
    slope *= (-2.4 * np.maximum(1 - size, 0) * value / size)[:, None]
    slope += np.float32(0.5 * 0.45) * swell
    slope -= dot(slope, hit.normal)[:, None] * hit.normal
    amount = np.clip(0.35 + 0.9 * value_noise(hit.rest * np.float32(6), seed + 4), 0.08, 1)
    return unit(hit.normal - (np.float32(strength) * amount)[:, None] * slope)


def relief_normal(normal: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Unit normals (N,3) bent by slopes dh/dx, dh/dz (N,2) of the cloth's own relief, x and z taken as in the shop."""
    bend = np.stack([slope[:, 0], np.zeros(len(slope), np.float32), slope[:, 1]], axis=1)
    bend -= dot(bend, normal)[:, None] * normal
    return unit(normal - bend)


def hem_shade(edge: np.ndarray) -> np.ndarray:
    """Factor (N,) on the albedo at distance edge (N,) from the hem: a line of stitches and a darker cut edge."""
    stitch = 1 - 0.30 * np.exp(-(((edge - STITCH) / STITCH_WIDTH) ** 2))
    return stitch * (1 - 0.35 * np.exp(-((edge / EDGE_SHADE) ** 2)))


def cloth_shader(
    front: np.ndarray,
    back: np.ndarray,
    extent: tuple[float, float, float, float],
    *,
    bump: float = 0.25,
    bump_scale: float = 38.0,
    seed: int = 0,
    collar: tuple[float, float, float] | None = None,
    specular: float = 0.015,
    roughness: float = 0.8,
    fuzz: float = 0.5,
    inside: float = 0.55,
    relief: np.ndarray | None = None,
) -> Shader:
    """Printed cloth of a top.

    front, back: (H,W,3) uint8 sRGB; extent: (left, right, bottom, top) of both in fabric coordinates, metres. bump,
    bump_scale, seed: see `crease_normal`. collar: sRGB in [0,1] of a 17 mm band along every hem. inside: how bright the
    inside of the cloth is compared with the outside. relief (H,W,2): slopes dh/dx, dh/dz of knit, cord or grain over
    the same extent, seen from the front. The mesh's `edge` must hold the distance to the hem.
    """
    left, right, bottom, top = (np.float32(value) for value in extent)
    if not (left < right and bottom < top):
        raise ValueError(f"cloth_shader: extent must be (left < right, bottom < top), got {extent}")
    front, back = linear_texture(front), linear_texture(back)
    band = None if collar is None else decode_srgb(collar)

    def shade(hit: Hit) -> Surface:
        u, v = (hit.uv[:, 0] - left) / (right - left), (top - hit.uv[:, 1]) / (top - bottom)
        albedo = np.empty((len(hit), 3), np.float32)
        ahead, behind = np.flatnonzero(hit.front), np.flatnonzero(~hit.front)
        albedo[ahead] = sample_texture(front, u[ahead], v[ahead])
        albedo[behind] = sample_texture(back, 1 - u[behind], v[behind])
        if band is not None:
            albedo[hit.edge < COLLAR] = band
        albedo *= (hem_shade(hit.edge) * np.where(hit.back, np.float32(inside), 1))[:, None]
        normal = crease_normal(hit, bump, bump_scale, seed) if bump > 0 else None
        if relief is not None:
            normal = relief_normal(hit.normal if normal is None else normal, sample_texture(relief, u, v))
        return Surface(albedo, specular=specular, roughness=roughness, fuzz=fuzz, normal=normal)

    return shade


def flat_shader(
    colour: tuple[float, float, float],
    *,
    specular: float = 0.02,
    roughness: float = 0.7,
    fuzz: float = 0.3,
    weave: float = 0.1,
    bump: float = 0.15,
    hem: bool = False,
    seed: int = 0,
) -> Shader:
    """Cloth or leather of one colour (sRGB in [0,1]) for trousers, skirts and shoes.

    weave: contrast of fine upright streaks, as of twill or denim, and of broad worn patches; bump: creases; hem: draw
    the seam and the cut edge (the mesh's `edge` must then hold the distance to the hem).
    """
    linear = decode_srgb(colour)

    def shade(hit: Hit) -> Surface:
        tone = np.ones(len(hit), np.float32)
        if weave > 0:
            tone += np.float32(weave) * value_noise(hit.rest * np.array([420, 420, 60], np.float32), seed + 11)
            tone += np.float32(1.2 * weave) * value_noise(hit.rest * np.array([9, 9, 5], np.float32), seed + 12)
        tone *= np.where(hit.back, np.float32(0.55), 1)
        if hem:
            tone *= hem_shade(hit.edge)
        normal = crease_normal(hit, bump, 24.0, seed) if bump > 0 else None
        return Surface(linear * tone[:, None], specular=specular, roughness=roughness, fuzz=fuzz, normal=normal)

    return shade
