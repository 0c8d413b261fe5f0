"""Light on surfaces, and from light to pixel values.

Sources: Cook and Torrance 1982 with the distribution of Trowbridge and Reitz 1975 and Fresnel after Schlick 1994
(highlights); Kajiya and Kay 1989 (hair); wrapped diffuse light for skin after S. Green, GPU Gems chapter 16, 2004.

Convention: linear RGB until `encode_srgb`; lights stand in the world, and are turned with the camera that goes round a
person: counter-clockwise seen from above for positive degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .vectors import dot, unit

SCATTER = np.array([1.0, 0.45, 0.3], np.float32)  # how far red, green and blue travel under skin, relative to `wrap`
SHADOW_TINT = np.array([0.8, 1.0, 1.1], np.float32)  # exponents: shadows on skin are reddish
OCCLUSION_TINT = np.array([0.85, 1.1, 1.2], np.float32)
BOUNCE = 0.15  # share of the light from around that comes round every corner: no fold is black
SHOULDER = 0.6  # linear value above which highlights are compressed


@dataclass(frozen=True)
class Light:
    """A key light (a soft sphere that casts shadows), a fill light (a point without shadow) and light from all around.

    key, fill, back: positions in metres; key_radius: metres (standard deviation of points on the lamp); *_strength and
    ambient: strengths; rim: brightness of fibres at grazing angles; *_colour: linear RGB tints. overhead: how much more
    of the ambient light comes from above, 0 to 0.5. The back light casts no shadow and is off at strength 0.
    """

    key: tuple[float, float, float] = (-1.6, -3.2, 2.4)
    key_radius: float = 0.7
    key_strength: float = 1.05
    fill: tuple[float, float, float] = (2.2, -2.4, 0.9)
    fill_strength: float = 0.28
    ambient: float = 0.46
    rim: float = 0.25
    key_colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    fill_colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ambient_colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    overhead: float = 0.14
    back: tuple[float, float, float] = (1.2, 2.6, 2.2)
    back_strength: float = 0.0
    back_colour: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def turned(self, degrees: float = 180.0) -> Light:
        """The same lamps turned about the vertical through the origin; half round for a picture taken from behind."""
        lamps = {name: about_vertical(getattr(self, name), degrees) for name in ("key", "fill", "back")}
        return replace(self, **lamps)


def about_vertical(point: tuple[float, float, float], degrees: float) -> tuple[float, float, float]:
    """A point turned about the z axis, counter-clockwise seen from above; quarter turns are exact."""
    x, y, z = point
    quarters, rest = divmod(degrees, 90)
    for _ in range(int(quarters) % 4):
        x, y = -y, x
    if rest:
        cos, sin = float(np.cos(np.deg2rad(rest))), float(np.sin(np.deg2rad(rest)))
        x, y = x * cos - y * sin, x * sin + y * cos
    return (x, y, z)


STUDIO_LIGHT = Light()
SHOP_LIGHT = Light(
    key=(-1.2, -3.0, 2.6), key_strength=0.95, fill=(2.0, -2.4, 0.6), fill_strength=0.3, ambient=0.62
)  # fmt: skip
SHOP_BACKGROUND = (0.93, 0.93, 0.93)  # linear; 0.97 in sRGB: almost white


@dataclass(frozen=True)
class Material:
    """Surfaces of n points in arrays, whatever mesh they belong to; as `mesh.Surface`, but nothing is a scalar.

    strand (n,) bool: which points have a tangent (n,3).
    """

    albedo: np.ndarray
    specular: np.ndarray
    roughness: np.ndarray
    wrap: np.ndarray
    fuzz: np.ndarray
    normal: np.ndarray
    strand: np.ndarray
    tangent: np.ndarray


def light_up(
    position: np.ndarray, view: np.ndarray, material: Material, visibility: np.ndarray, light: Light
) -> np.ndarray:
    """Linear colour (n,3) of points at position (n,3), seen from direction view (n,3).

    visibility (n,2): of the key light, and openness to light from around, both in [0,1].
    """
    shadow, openness = visibility[:, 0], BOUNCE + (1 - BOUNCE) * visibility[:, 1]
    key = unit(np.asarray(light.key, np.float32) - position)
    fill = unit(np.asarray(light.fill, np.float32) - position)
    key_cos, fill_cos = dot(material.normal, key), dot(material.normal, fill)
    upward = np.float32(light.ambient) * (np.float32(1 - light.overhead) + light.overhead * material.normal[:, 2])
    # cloth and hair: grey shadows; skin: colour bleeds into shadow
    around = light.fill_strength * np.clip(fill_cos, 0, 1) * openness
    received = _coloured(light.key_strength * np.clip(key_cos, 0, 1) * shadow, light.key_colour)
    received += _coloured(around, light.fill_colour)
    received += _coloured(upward * openness, light.ambient_colour)
    skin = np.flatnonzero(material.wrap > 0)
    if len(skin):
        bleed = material.wrap[skin, None] * SCATTER
        key_part = np.clip((key_cos[skin, None] + bleed) / (1 + bleed), 0, 1) * shadow[skin, None] ** SHADOW_TINT
        fill_part = np.clip((fill_cos[skin, None] + bleed) / (1 + bleed), 0, 1) * openness[skin, None]
        ambient = upward[skin, None] * openness[skin, None] ** OCCLUSION_TINT
        received[skin] = (
            _tint(light.key_colour, light.key_strength) * key_part
            + _tint(light.fill_colour, light.fill_strength) * fill_part
            + _tint(light.ambient_colour) * ambient
        )
    facing = np.clip(dot(material.normal, view), 0, 1)
    gloss = _coloured(light.key_strength * _highlight(view, material, key, key_cos, facing) * shadow, light.key_colour)
    gloss += _coloured(light.fill_strength * _highlight(view, material, fill, fill_cos, facing), light.fill_colour)
    if light.back_strength > 0:
        back = unit(np.asarray(light.back, np.float32) - position)
        back_cos = dot(material.normal, back)
        received += _coloured(light.back_strength * np.clip(back_cos, 0, 1) * openness, light.back_colour)
        shine = np.minimum(_highlight(view, material, back, back_cos, facing), 1)
        gloss += _coloured(light.back_strength * shine, light.back_colour)
    rim = material.fuzz * (1 - facing) ** 3 * openness * np.float32(4 * light.rim)
    rim = _coloured(rim, light.ambient_colour)
    return material.albedo * received + gloss + (material.albedo * np.float32(0.6) + np.float32(0.1)) * rim


def _tint(colour: tuple[float, float, float], strength: float = 1.0) -> np.ndarray:
    return np.asarray(colour, np.float32) * np.float32(strength)


def _coloured(strength: np.ndarray, colour: tuple[float, float, float]) -> np.ndarray:
    """(n,3) light of one colour from its strength (n,)."""
    return strength[:, None] * _tint(colour)


def _highlight(view: np.ndarray, material: Material, towards: np.ndarray, cosine: np.ndarray, facing: np.ndarray):
    """Specular reflection (n,) of a light in direction `towards` (n,3)."""
    half = unit(towards + view)
    normal_half = np.clip(dot(material.normal, half), 0, 1)
    alpha = np.maximum(material.roughness**2, 0.02) ** 2
    spread = alpha / (np.float32(np.pi) * (normal_half * normal_half * (alpha - 1) + 1) ** 2)
    fresnel = material.specular + (1 - material.specular) * (1 - np.clip(dot(half, view), 0, 1)) ** 5
    highlight = spread * fresnel * np.clip(cosine, 0, 1) * 0.25 / np.maximum(facing, 0.1)
    strand = np.flatnonzero(material.strand)
    if len(strand):
        along = dot(material.tangent[strand], half[strand])
        sheen = np.clip(1 - along * along, 0, 1) ** 30  # the 60th power of the sine
        highlight[strand] = 3 * material.specular[strand] * sheen * np.clip(cosine[strand] + 0.3, 0, 1)
    return highlight


def shoulder(linear: np.ndarray) -> np.ndarray:
    """Soft tone curve: identity up to SHOULDER, then an exponential approach to 1 with the same slope at the joint."""
    rest = np.float32(1 - SHOULDER)
    above = np.float32(SHOULDER) + rest * (1 - np.exp((SHOULDER - np.maximum(linear, SHOULDER)) / rest))
    return np.where(linear < SHOULDER, linear, above)


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light in [0,1] -> sRGB in [0,1] (IEC 61966-2-1)."""
    linear = np.asarray(linear)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def decode_srgb(encoded) -> np.ndarray:
    """sRGB in [0,1] -> linear light in [0,1], float32: the inverse of `encode_srgb`."""
    encoded = np.asarray(encoded, np.float32)
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(np.float32)
