"""What is painted on a face: brows, lips, cheeks, freckles, moles, wrinkles, make-up and beards.

Convention: colours named in a Face are sRGB in [0,1]; pixels are linear RGB, float32. Places are given upright: `up`
from the line of the eyes and `side` (or `across`, signed) from the middle, in 1/1024 of the texture (about 0.8 mm).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from .lighting import decode_srgb

Colour = tuple[float, float, float]

EYE_ACROSS, BROW_UP, MOUTH_UP = 39.0, 20.0, -72.0
REDDENING = np.array([0.10, 0.75, 0.60], np.float32)  # how much of each channel blood takes away
LIPSTICKS = (
    (0.70, 0.28, 0.30), (0.62, 0.12, 0.16), (0.55, 0.20, 0.30), (0.72, 0.42, 0.38), (0.45, 0.12, 0.18),
    (0.80, 0.36, 0.42), (0.60, 0.32, 0.26), (0.36, 0.10, 0.14),
)  # fmt: skip
SHADOWS = (
    (0.42, 0.30, 0.24), (0.30, 0.22, 0.22), (0.50, 0.34, 0.36), (0.36, 0.36, 0.44), (0.55, 0.42, 0.30),
    (0.25, 0.18, 0.16),
)  # fmt: skip
# Where a beard grows: style -> (cheeks and jaw, chin, moustache), each an opacity.
BEARDS = {
    "none": (0.0, 0.0, 0.0), "stubble": (0.40, 0.45, 0.42), "short": (0.74, 0.86, 0.78), "full": (0.95, 0.97, 0.95),
    "goatee": (0.0, 0.92, 0.86), "moustache": (0.0, 0.0, 0.94), "designer": (0.45, 0.82, 0.70),
}  # fmt: skip
BEARD_SHARE = (0.42, 0.20, 0.12, 0.10, 0.06, 0.04, 0.06)
BEARD_RELIEF = {"short": 0.0035, "full": 0.0085, "goatee": 0.005, "moustache": 0.003, "designer": 0.002}  # metres


@dataclass(frozen=True, kw_only=True)
class Face:
    """How a face is painted. Colours sRGB; lengths in 1/1024 of the texture (about 0.8 mm); strengths in [0,1].

    brow_height above the usual place, brow_thickness at the inner end, brow_arch height of its bow, brow_tilt rise of
    the outer end, brow_length; brow_density; redness of cheeks and nose; eye_shade of the lids; mottling of all skin;
    freckles; moles: count; wrinkles; circles: darkness below the eyes; shadow: colour on the lids; liner: dark line
    along the lashes; rouge on the cheekbones; beard: a key of BEARDS, beard_density a factor, beard_low: how far the
    cheek's edge lies below the usual place; seed of everything random in the texture. Raises ValueError for a beard
    that is not a key.
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
    moles: int = 0
    wrinkles: float = 0.0
    circles: float = 0.3
    shadow: Colour = (0.4, 0.3, 0.27)
    liner: float = 0.0
    rouge: float = 0.0
    beard: str = "none"
    beard_density: float = 1.0
    beard_low: float = 0.0
    seed: int = 0

    def __post_init__(self):
        if self.beard not in BEARDS:
            raise ValueError(f"Face.beard: expected one of {', '.join(BEARDS)}, got {self.beard!r}")


def draw_face(
    rng: np.random.Generator, *, skin: Colour, hair: Colour, iris: Colour, female: bool, age: float = 0.66
) -> Face:
    """A face of the given colours (sRGB) with everything else at random. age: as in body.Phenotype, 0.6 to 0.9."""
    tone, light = np.array(skin), float(np.mean(skin))
    tone = np.clip(tone * (1 + rng.normal(0, (0.008, 0.012, 0.028))), 0, 0.97)  # rosy, olive, golden
    lips = tone * np.array([0.86, 0.62, 0.66]) ** rng.uniform(0.7, 1.3) * rng.uniform(0.92, 1.06, 3)
    made_up = female and rng.random() < 0.6
    if made_up and rng.random() < 0.75:
        lips = 0.35 * lips + 0.65 * np.array(LIPSTICKS[int(rng.integers(len(LIPSTICKS)))])
    beard = "none" if female else tuple(BEARDS)[int(rng.choice(len(BEARDS), p=BEARD_SHARE))]
    years = float(np.clip((age - 0.68) / 0.2, 0, 1))
    bushy = rng.uniform(0.75, 1.35)
    natural = hair[0] >= hair[1] >= hair[2] - 0.01  # brows are not dyed
    brow = np.array(hair if natural else (0.20, 0.15, 0.12)) * rng.uniform(0.55, 0.95)
    iris = _plain(np.array(iris) * rng.uniform(0.8, 1.25, 3))
    return Face(
        skin=_plain(tone), lips=_plain(lips), brow=_plain(brow), iris=iris,
        brow_height=float(rng.normal(0, 2.4)),
        brow_thickness=float(bushy * (rng.uniform(2.4, 4.4) if female else rng.uniform(3.4, 5.8))),
        brow_arch=float(rng.uniform(0.5, 6.5) if female else rng.uniform(-1.0, 3.5)),
        brow_tilt=float(rng.normal(-0.6, 1.6)),
        brow_length=float(rng.uniform(40, 58)),
        brow_density=float(rng.uniform(0.6, 1.0)),
        redness=float(rng.uniform(0.1, 1.0)),
        eye_shade=float(rng.uniform(0.4, 1.0) if made_up else rng.uniform(0.1, 0.4)),
        mottling=float(rng.uniform(0.2, 1.0)),
        freckles=float(rng.uniform(0.4, 1.0)) if light > 0.62 and rng.random() < 0.22 else 0.0,
        moles=int(rng.poisson(1.2)),
        wrinkles=float(np.clip(years * rng.uniform(0.6, 1.2), 0, 1)),
        circles=float(np.clip(rng.uniform(0.1, 0.7) + 0.4 * years, 0, 1)),
        shadow=SHADOWS[int(rng.integers(len(SHADOWS)))],
        liner=float(rng.uniform(0.3, 1.0)) if made_up else 0.0,
        rouge=float(rng.uniform(0.0, 0.7)) if made_up else 0.0,
        beard=beard,
        beard_density=float(rng.uniform(0.75, 1.05)),
        beard_low=float(rng.normal(4, 6)),
        seed=int(rng.integers(1 << 30)),
    )  # fmt: skip


def _plain(colour: np.ndarray) -> Colour:
    return tuple(float(x) for x in np.clip(colour, 0, 1))


def paint_face(
    skin: np.ndarray, face: Face, frame: tuple, masks: tuple, texels: float, rng: np.random.Generator
) -> np.ndarray:
    """The part of a skin texture with the face, (H,W,3) linear RGB, painted over.

    frame: across, up (H,W) of each texel; masks: of lids, lips and ears (H,W); texels: size of the texture / 512.
    """
    across, up = frame
    side = np.abs(across)
    grain = rng.random(up.shape, np.float32)
    hairs = gaussian_filter(rng.random(up.shape, np.float32), (0.45 * texels, 1.5 * texels)) - 0.5
    hairs = np.clip(0.5 + 0.28 * hairs / hairs.std(), 0, 1)
    lids, lips = gaussian_filter(masks[0], 1.2 * texels), np.clip(1.3 * gaussian_filter(masks[1], 0.6 * texels), 0, 1)
    skin = _blush(skin, face, side, up)
    skin = _around_eyes(skin, face, side, up, lids)
    skin = _spots(skin, face, across, up, grain, texels, rng)
    lines = 1 - 0.42 * face.wrinkles * _wrinkles(across, up)
    skin = skin * lines[..., None] ** np.array([0.8, 1.0, 1.05], np.float32)
    beard = beard_opacity(face, across, up, hairs, grain) * (1 - lips) * (1 - masks[2])
    skin = mix(skin, decode_srgb(face.brow) * (0.55 + 0.9 * hairs)[..., None], beard)
    skin = mix(skin, decode_srgb(face.lips), 0.85 * lips * (0.9 + 0.1 * grain))
    brows = _brows(face, side, up, texels, hairs)
    return mix(skin, decode_srgb(face.brow), brows).astype(np.float32)


def _blush(skin: np.ndarray, face: Face, side: np.ndarray, up: np.ndarray) -> np.ndarray:
    blobs = [(45, -36, 22, 20, 0.26), (0, -40, 12, 14, 0.20), (0, -104, 16, 12, 0.10)]
    blush = face.redness * sum(s * _blob(side - x, up - y, w, h) for x, y, w, h, s in blobs)
    blush = blush + 0.45 * face.rouge * _blob(side - 62, up + 30 + 0.3 * (62 - side), 24, 13)
    return skin * (1 - blush[..., None] * REDDENING)


def _around_eyes(skin: np.ndarray, face: Face, side: np.ndarray, up: np.ndarray, lids: np.ndarray) -> np.ndarray:
    """Circles below the eyes, colour on the lids, and a dark line along the lashes."""
    below = _blob(side - EYE_ACROSS + 6, up + 15, 20, 6)
    skin = skin * (1 - 0.34 * face.circles * below)[..., None] ** np.array([0.8, 1.0, 0.8], np.float32)
    lid = np.clip(lids * step(up - 1, 5) + 0.5 * _blob(side - EYE_ACROSS - 2, up - 9, 20, 5), 0, 1)
    skin = mix(skin, skin * decode_srgb(face.shadow) ** 0.5, 0.9 * face.eye_shade * lid)
    line = np.clip(1.4 * lids, 0, 1) * _blob(0, up - 3.5 - 0.004 * (side - EYE_ACROSS) ** 2, 1, 2.6)
    return mix(skin, np.float32(0.03), 0.7 * face.liner * line)


def _spots(skin, face: Face, across, up, grain, texels: float, rng: np.random.Generator) -> np.ndarray:
    """Freckles over nose and cheeks; moles anywhere but on the eyes and lips."""
    if face.freckles:
        spots = np.clip(gaussian_filter((grain > 0.992).astype(np.float32), 0.7 * texels) * 3.5, 0, 1)
        spots = spots * np.exp(-((across / 75) ** 4) - ((up + 30) / 28) ** 2)
        skin = skin * (1 - (0.6 * face.freckles * spots)[..., None] * np.array([0.35, 0.6, 0.8], np.float32))
    for _ in range(face.moles):
        x, y, radius = rng.choice((-1, 1)) * rng.uniform(12, 90), rng.uniform(-105, 60), rng.uniform(1.6, 2.8)
        if abs(y) > 28 and not (abs(x) < 40 and abs(y - MOUTH_UP) < 14):
            mole = _blob(across - x, up - y, radius, radius)
            skin = skin * (1 - 0.75 * mole[..., None] * np.array([0.7, 0.85, 0.9], np.float32))
    return skin


def _wrinkles(across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Strength in [0,1] of the lines that faces get: on the forehead, beside eyes, nose and mouth."""
    side, total = np.abs(across), np.zeros_like(up)

    def line(distance, width: float, along, first: float, last: float, soft: float) -> np.ndarray:
        return step(along - first, soft) * step(last - along, soft) * np.exp(-((distance / width) ** 2))

    for height in (38, 49, 60):
        wave = 2.0 * np.sin(across / 13 + height) - 0.0016 * side**2
        total += 0.7 * line(up - height - wave, 1.8, side, -1, 52, 24)
    total += 1.2 * line(side - 17 + 0.42 * (up + 42), 3.4, up, -84, -42, 10)
    total += 0.7 * line(side - 33 + 0.10 * (up + 84), 2.6, up, -108, -84, 10)
    total += 0.7 * line(up + 13 - 0.012 * (side - EYE_ACROSS) ** 2, 1.8, side, 22, 62, 12)
    total += 0.6 * line(side - 7, 1.8, up, 10, 28, 8)
    for slope in (-0.45, 0.0, 0.45):
        total += 0.8 * line(up + 2 - slope * (side - 66), 1.5, side, 70, 92, 8)
    return np.clip(total, 0, 1)


def _brows(face: Face, side: np.ndarray, up: np.ndarray, texels: float, hairs: np.ndarray) -> np.ndarray:
    """Opacity of the brows: a bow that thins outwards, of hairs rather than of one colour."""
    along = side - EYE_ACROSS  # outward from above the eye
    inner, outer = -0.45 * face.brow_length, 0.55 * face.brow_length
    bow = face.brow_arch * np.exp(-(((along - 6) / 22) ** 2)) - 0.14 * np.clip(along - 10, 0, None)
    middle = BROW_UP + face.brow_height + bow + face.brow_tilt * along / 30
    thickness = face.brow_thickness * np.clip(1 - 0.6 * (along - inner) / (outer - inner), 0.3, 1)
    thickness = np.maximum(thickness, 1.1 / texels)
    bow = np.exp(-1.2 * ((up - middle) / thickness) ** 2)
    ends = step(along - inner - 3, 14) * step(outer - along, 14)
    return np.clip(bow * ends * (0.85 + 0.6 * hairs) * 1.2, 0, 1) * face.brow_density


def beard_region(face: Face, across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Opacity in [0,1] of a beard by place alone: cheeks and jaw, chin, moustache, with bare places."""
    jaw, chin, moustache = BEARDS[face.beard]
    side = np.abs(across)
    cheek = np.interp(side, [0, 20, 34, 44, 80, 120, 150], [-90, -90, -88, -84, -70, -34, -8])
    sides = step(cheek - face.beard_low - up, 12) * step(up + 150, 26) * step(side - 30, 14)
    below = step(-82 - up, 8) * step(up + 146, 26) * step(38 - side, 10)
    lip = (
        step(33 - side + 0.25 * np.minimum(up + 72, 0), 12)
        * step(up + (96 if chin else 78), 14)
        * step(-51 - up - 0.3 * side, 7)
    )
    tuft = 0.8 * _blob(side - 15, up - MOUTH_UP + 17, 8, 5)  # bare beside the tuft below the lip
    return np.clip(np.maximum(np.maximum(jaw * sides, chin * below * (1 - tuft)), moustache * lip), 0, 1)


def beard_opacity(face: Face, across: np.ndarray, up: np.ndarray, hairs: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """Opacity of a beard's hairs: dots where it is short, strands where it is long, thinning out at its edge."""
    if face.beard == "none":
        return np.zeros_like(up)
    region = beard_region(face, across, up) * face.beard_density
    strands = step(region * 1.25 - 0.75 * (1 - hairs), 0.5)
    if face.beard == "stubble":
        return region * (0.55 + 0.9 * (grain > 0.5))
    return np.clip(1.3 * region, 0, 1) ** 0.5 * strands


def _blob(x, y, width: float, height: float) -> np.ndarray:
    return np.exp(-((x / width) ** 2) - (y / height) ** 2)


def step(distance: np.ndarray, width: float) -> np.ndarray:
    """0 to 1 over `width` about distance 0, smoothly."""
    t = np.clip(distance / width + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def mix(skin: np.ndarray, colour: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """`colour` over `skin` (...,3) with opacity (...,), clipped to [0,1]."""
    opacity = np.clip(opacity, 0, 1)[..., None]
    return skin * (1 - opacity) + colour * opacity
