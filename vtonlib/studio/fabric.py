"""Fabrics: what is woven, dyed and printed on a top, front and back, drawn flat.

A fabric has a ground colour, an accent for its pattern and an ink for its print. Accent and ink are drawn until they
stand out, by their `contrast`, from what they lie on. Everything depends on one seed; front and back share
colours and pattern but not the print.

Convention: textures are (H,W,3) uint8 sRGB, row 0 on top, the back as seen from behind; lengths in metres; colours are
sRGB in [0,1].
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .lighting import decode_srgb

FABRICS = (
    "plain", "stripes", "vertical-stripes", "checks", "dots", "gradient", "colour-block", "melange", "floral",
)  # fmt: skip
BUSY = ("stripes", "vertical-stripes", "checks", "dots", "floral")  # a print needs a plate to be read on these
PRINTS = ("text", "boxed-text", "circle", "star", "pocket")
WORDS = ("STUDIO", "PARIS", "TOKYO", "NORTH", "WAVE", "HELLO", "URBAN", "1987", "SUNDAY", "RIVER", "ATLAS", "NOVA")
ACCENT_CONTRAST, INK_CONTRAST = 20.0, 35.0  # least `contrast` of a pattern and of a print
SUPERSAMPLING = 4  # prints are drawn this much larger and shrunk, for smooth edges
# Colours that clothes are sold in; each draw varies them a little.
DYES = (
    (0.95, 0.95, 0.94), (0.90, 0.86, 0.78), (0.09, 0.09, 0.10), (0.25, 0.26, 0.28), (0.58, 0.59, 0.61),
    (0.11, 0.15, 0.30), (0.17, 0.32, 0.62), (0.58, 0.74, 0.88), (0.76, 0.13, 0.16), (0.42, 0.10, 0.17),
    (0.90, 0.55, 0.63), (0.78, 0.60, 0.58), (0.82, 0.72, 0.58), (0.66, 0.46, 0.28), (0.36, 0.24, 0.17),
    (0.38, 0.40, 0.24), (0.14, 0.42, 0.27), (0.63, 0.83, 0.72), (0.10, 0.43, 0.47), (0.82, 0.63, 0.18),
    (0.95, 0.84, 0.35), (0.90, 0.45, 0.20), (0.72, 0.65, 0.85), (0.40, 0.22, 0.52),
)  # fmt: skip

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Palette:
    """Colours of a fabric and its prints. collar: colour of a contrasting hem; None stands for no collar, no print."""

    ground: Colour
    accent: Colour
    ink: Colour
    collar: Colour | None
    print: str | None
    back_print: str | None


def lab(colour) -> np.ndarray:
    """CIE Lab (...,3) of sRGB colours (...,3) in [0,1], white point D65 (IEC 61966-2-1, CIE 15)."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = decode_srgb(colour).astype(np.float64) @ to_xyz.T / to_xyz.sum(1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def contrast(one, other) -> np.ndarray:
    """How well sRGB colours stand apart: distance in Lab with both chroma axes counting half; black to white is 100.

    Fine print is read by lightness: hue is blurred by the eye and by a JPEG's coarser chroma.
    """
    return np.linalg.norm((lab(one) - lab(other)) * (1, 0.5, 0.5), axis=-1)


def draw_dye(rng: np.random.Generator) -> Colour:
    """A garment colour: one of DYES varied a little, or now and then any colour at all."""
    if rng.random() < 0.25:
        return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.15, 0.75), rng.uniform(0.25, 0.9))
    dye = np.array(DYES[rng.integers(len(DYES))]) + rng.normal(0, 0.025, 3)
    return tuple(np.clip(dye, 0.04, 0.97).tolist())


def draw_contrasting(rng: np.random.Generator, against: list[Colour], least: float) -> Colour:
    """A garment colour whose contrast with all of `against` is at least `least`; the best dye if none turns up."""
    for _ in range(40):
        colour = draw_dye(rng)
        if contrast(colour, against).min() >= least:
            return colour
    distance = contrast(np.array(DYES)[:, None], np.array(against)[None]).min(1)
    return DYES[int(distance.argmax())]


def draw_palette(kind: str, rng: np.random.Generator) -> Palette:
    """Colours and prints of a fabric of this kind. Prints are common on calm fabrics, rare on busy ones."""
    ground = draw_dye(rng)
    accent = draw_contrasting(rng, [ground], ACCENT_CONTRAST)
    if kind in ("plain", "melange"):
        under = [ground]
    else:
        mixes = (0.0, 0.25, 0.5, 0.75, 1.0) if kind in ("gradient", "checks") else (0.0, 1.0)
        under = [tuple((1 - m) * a + m * b for a, b in zip(ground, accent)) for m in mixes]
    ink = draw_contrasting(rng, under, INK_CONTRAST)
    collar = draw_contrasting(rng, [ground], ACCENT_CONTRAST) if rng.random() < 0.25 else None
    share = 0.25 if kind in BUSY else 0.65
    printed = str(rng.choice(PRINTS)) if rng.random() < share else None
    others = [style for style in PRINTS if style not in (printed, "pocket")]
    back_print = str(rng.choice(others)) if rng.random() < 0.5 * share else None
    return Palette(ground, accent, ink, collar, printed, back_print)


def fabric_textures(
    kind: str,
    rng: np.random.Generator,
    width: float,
    height: float,
    pixels_per_metre: float,
    *,
    chest: tuple[float, float] | None = None,
) -> tuple[np.ndarray, np.ndarray, Palette]:
    """Front and back texture (H,W,3) uint8 of a top's cloth, `width` x `height` metres, and its colours.

    kind: one of FABRICS. chest: middle of the print, metres from the left and from the top of the front texture, and
    of the back print, mirrored; by default half-way across and 28 cm down. Raises ValueError for an unknown kind or an
    empty texture.
    """
    if kind not in FABRICS:
        raise ValueError(f"fabric: kind must be one of {', '.join(FABRICS)}, got {kind!r}")
    size = (round(height * pixels_per_metre), round(width * pixels_per_metre))
    if min(size) < 1:
        raise ValueError(f"fabric: {width} x {height} m at {pixels_per_metre} pixels per metre has no pixels")
    chest = (width / 2, 0.28) if chest is None else chest
    # one stream each, so that a change in one of them leaves the others as they were
    colours, pattern, front_rng, back_rng = (int(seed) for seed in rng.integers(1 << 62, size=4))
    palette = draw_palette(kind, np.random.default_rng(colours))
    sides = []
    for side, style, seed in ((0, palette.print, front_rng), (1, palette.back_print, back_rng)):
        base = _pattern(kind, size, pixels_per_metre, palette, np.random.default_rng(pattern), side)
        image = Image.fromarray((np.clip(base, 0, 1) * 255 + 0.5).astype(np.uint8))
        if kind == "floral":
            _scatter_flowers(image, pixels_per_metre, palette, np.random.default_rng([pattern, side]))
        if style is not None:
            plate = palette.ground if kind in BUSY else None
            middle = (width - chest[0], chest[1]) if side == 1 else chest
            _print(image, style, plate, palette, middle, pixels_per_metre, np.random.default_rng(seed))
        sides.append(np.asarray(image))
    return sides[0], sides[1], palette


def _pattern(kind: str, size, scale: float, palette: Palette, rng: np.random.Generator, side: int) -> np.ndarray:
    """The woven or dyed pattern (H,W,3) float32 in [0,1], the same on both sides but for its random grain."""
    y = ((np.arange(size[0], dtype=np.float32) + 0.5) / np.float32(scale))[:, None]
    x = ((np.arange(size[1], dtype=np.float32) + 0.5) / np.float32(scale))[None]
    if side == 1:
        x = x[:, ::-1]  # seen from behind: the pattern goes on round the body
    ground, accent = np.array(palette.ground, np.float32), np.array(palette.accent, np.float32)
    if kind in ("stripes", "vertical-stripes"):
        period, share = rng.choice([0.02, 0.035, 0.05, 0.08]), rng.uniform(0.25, 0.6)
        amount = _bars(y if kind == "stripes" else x, period, share, scale)
    elif kind == "checks":
        period = rng.choice([0.03, 0.05, 0.08])
        amount = 0.5 * _bars(x, period, 0.5, scale) + 0.5 * _bars(y, period, 0.5, scale)
    elif kind == "dots":
        period = rng.choice([0.03, 0.045, 0.06])
        amount = _dots(x, y, period, period * rng.uniform(0.18, 0.32), scale)
    elif kind == "gradient":
        amount = np.clip(y / (size[0] / scale) * 1.3 - 0.15, 0, 1)
    elif kind == "colour-block":
        amount = np.clip(0.5 + (rng.uniform(0.3, 0.6) * size[0] / scale - y) * scale, 0, 1)
    elif kind == "melange":
        grain = np.random.default_rng([int(rng.integers(1 << 62)), side]).standard_normal(size, dtype=np.float32)
        amount, accent = 0.5 + 0.28 * grain, 0.7 * ground + 0.06
    else:  # plain; floral gets its flowers later
        amount = np.zeros((1, 1))
    amount = np.broadcast_to(np.asarray(amount, np.float32), size)[..., None]
    return ground + (accent - ground) * amount


def _bars(place: np.ndarray, period: float, share: float, scale: float) -> np.ndarray:
    """1 on bars that take `share` of each period, 0 between, one pixel soft."""
    distance = np.abs((place / period) % 1 - 0.5) * period
    return np.clip(0.5 + (share * period / 2 - distance) * scale, 0, 1)


def _dots(x: np.ndarray, y: np.ndarray, period: float, radius: float, scale: float) -> np.ndarray:
    """1 on dots, every other row shifted by half a period, one pixel soft."""
    shifted = x + (y / period).astype(np.int32) % 2 * (period / 2)
    distance = np.hypot((shifted / period) % 1 - 0.5, (y / period) % 1 - 0.5) * period
    return np.clip(0.5 + (radius - distance) * scale, 0, 1)


def _rgb(colour) -> tuple[int, int, int]:
    return tuple(int(255 * min(max(float(part), 0), 1) + 0.5) for part in colour)


def _scatter_flowers(image: Image.Image, scale: float, palette: Palette, rng: np.random.Generator) -> None:
    """Five-petalled flowers of 12 kinds, about 200 to the square metre, in place."""
    stamps = []
    for _ in range(12):
        radius = rng.uniform(0.008, 0.02) * scale * SUPERSAMPLING
        side = int(3.4 * radius) + 1
        stamp = Image.new("RGBA", (side, side))
        draw, middle, turn = ImageDraw.Draw(stamp), side / 2, rng.uniform(0, 2 * np.pi)
        petal = _rgb(np.array(palette.accent) + rng.normal(0, 0.06, 3))
        for angle in turn + np.arange(5) * (2 * np.pi / 5):
            _disc(draw, middle + radius * np.cos(angle), middle + radius * np.sin(angle), 0.6 * radius, petal)
        _disc(draw, middle, middle, 0.45 * radius, _rgb(palette.ink))
        small = max(side // SUPERSAMPLING, 2)
        stamps.append(stamp.resize((small, small), Image.Resampling.BOX))
    count = int(200 * image.width * image.height / scale**2)
    for left, top, which in zip(
        rng.integers(-10, image.width, count).tolist(), rng.integers(-10, image.height, count).tolist(),
        rng.integers(len(stamps), size=count).tolist(),
    ):  # fmt: skip
        image.paste(stamps[which], (left, top), stamps[which])


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill) -> None:
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill)


def _print(image, style: str, plate: Colour | None, palette: Palette, chest, scale: float, rng) -> None:
    """Draw a print around the chest point, in place. plate: colour of a plate under it, or None."""
    width = rng.uniform(0.17, 0.27)
    word = WORDS[rng.integers(len(WORDS))]
    x, y = chest
    if style == "pocket":
        width, x, y = 0.11, x + 0.085, y - 0.03  # on the person's left
    # drawn on a square, large; black where nothing is, alpha says where
    side = max(round(1.5 * width * scale), 4) * SUPERSAMPLING
    layer = Image.new("RGBA", (side, side), (*_rgb(palette.ink), 0))
    draw, ink = ImageDraw.Draw(layer), (*_rgb(palette.ink), 255)
    _DRAW[style](draw, side / 2, width * scale * SUPERSAMPLING, ink, plate and (*_rgb(plate), 255), palette, word)
    layer = layer.resize((side // SUPERSAMPLING,) * 2, Image.Resampling.BOX)
    corner = (round(x * scale - layer.width / 2), round(y * scale - layer.height / 2))
    image.paste(layer, corner, layer)


def _draw_text(draw, middle, width, ink, plate, palette, word, boxed=False) -> None:
    font = ImageFont.load_default(20)
    font = ImageFont.load_default(20 * width / font.getlength(word))
    left, top, right, bottom = draw.textbbox((middle, middle), word, font=font, anchor="mm")
    margin, line = 0.08 * width, max(round(0.03 * width), 1)
    frame = [left - margin, top - margin, right + margin, bottom + margin]
    if plate is not None or boxed:
        draw.rectangle(frame, fill=plate, outline=ink if boxed else None, width=line)
    draw.text((middle, middle), word, font=font, fill=ink, anchor="mm", stroke_width=0.01 * width, stroke_fill=ink)


def _draw_boxed_text(draw, middle, width, ink, plate, palette, word) -> None:
    _draw_text(draw, middle, width, ink, plate, palette, word, boxed=True)


def _draw_circle(draw, middle, width, ink, plate, palette, word) -> None:
    """A round emblem with two mountains in a colour that shows on the ink."""
    _disc(draw, middle, middle, 0.42 * width, ink)
    against = (1.0, 1.0, 1.0) if contrast(palette.ink, (1.0, 1.0, 1.0)) > 50 else (0.1, 0.1, 0.12)
    peaks = ((-0.3, 0.18), (-0.05, -0.2), (0.1, 0.0), (0.18, -0.1), (0.3, 0.18))
    draw.polygon([(middle + a * width, middle + b * width) for a, b in peaks], fill=(*_rgb(against), 255))


def _draw_star(draw, middle, width, ink, plate, palette, word) -> None:
    if plate is not None:
        _disc(draw, middle, middle, 0.5 * width, plate)
    radius = 0.42 * width * np.where(np.arange(10) % 2 == 0, 1, 0.42)
    angle = np.arange(10) * np.pi / 5
    points = np.stack([middle + radius * np.sin(angle), middle - radius * np.cos(angle)], axis=1)
    draw.polygon([tuple(point) for point in points.tolist()], fill=ink)


def _draw_pocket(draw, middle, width, ink, plate, palette, word) -> None:
    """A patch pocket: outline with a point below and a double seam on top."""
    half, line = 0.45 * width, max(round(0.035 * width), 1)
    left, right, top, low = middle - half, middle + half, middle - half, middle + 0.35 * width
    outline = [(left, top), (right, top), (right, low), (middle, middle + 1.15 * half), (left, low), (left, top)]
    if plate is not None:
        draw.polygon(outline, fill=plate)
    draw.line(outline, fill=ink, width=line, joint="curve")
    draw.line([(left, top + 0.15 * width), (right, top + 0.15 * width)], fill=ink, width=line)


_DRAW = {
    "text": _draw_text, "boxed-text": _draw_boxed_text, "circle": _draw_circle, "star": _draw_star,
    "pocket": _draw_pocket,
}  # fmt: skip
