"""Fabrics: what is woven, dyed and printed on a top, front and back, drawn flat.

A fabric has a ground colour, an accent for its pattern and an ink for its print. Accent and ink are drawn until they
stand out, by their `contrast`, from what they lie on. Everything depends on one seed; front and back share
colours and pattern but not the print. Openings of lace and eyelets are drawn as a second tone, not cut.

Convention: textures are (H,W,3) uint8 sRGB, row 0 on top, the back as seen from behind; lengths in metres; colours are
sRGB in [0,1].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from .dyes import DYES, Colour, Palette, contrast, draw_contrasting, draw_dye, draw_ground, lab
from .motifs import ANIMALS, SCENES, motif, scene
from .patterns import PATTERNS, bars, blend
from .prints import PRINTS, draw_print, scatter

__all__ = [
    "BUSY", "DYES", "FABRICS", "FABRIC_SHARE", "PRINTS", "SOLID", "Colour", "Palette", "contrast", "draw_contrasting",
    "draw_dye", "draw_palette", "fabric_textures", "lab",
]  # fmt: skip

# Kinds of fabric and how often each is worn.
_SHARES = {
    "plain": 26, "stripes": 7, "vertical-stripes": 4, "checks": 3, "dots": 4, "gradient": 2, "colour-block": 4,
    "melange": 5, "floral": 3, "weave": 5, "denim": 3, "knit": 6, "cable-knit": 3, "corduroy": 2, "satin": 5,
    "leather": 2, "lace": 2, "eyelet": 2, "tie-dye": 2, "camouflage": 2, "leopard": 2, "zebra": 1, "tartan": 4,
    "gingham": 2, "paisley": 2, "stars": 2, "flowers": 6, "leaves": 3, "animals": 2, "landscape": 1, "abstract": 2,
    "border": 3,
}  # fmt: skip
FABRICS = tuple(_SHARES)
FABRIC_SHARE = tuple(share / sum(_SHARES.values()) for share in _SHARES.values())
# One colour but for the yarn: a print is read on the ground alone.
SOLID = ("plain", "melange", "weave", "denim", "knit", "cable-knit", "corduroy", "satin", "leather")
SCATTERED = {"paisley": ("paisley",), "stars": ("star",), "flowers": ("flower", "flower", "leaf"), "leaves": ("leaf",),
             "animals": ANIMALS, "border": ("flower", "leaf")}  # fmt: skip
# A print needs a plate to be read on these.
BUSY = ("stripes", "vertical-stripes", "checks", "dots", "floral", "lace", "eyelet", "tie-dye", "camouflage",
        "leopard", "zebra", "tartan", "gingham", "landscape", "abstract", *SCATTERED)  # fmt: skip
# How often a fabric of a kind is printed.
PRINTED = {"plain": 0.5, "melange": 0.5, "gradient": 0.4, "colour-block": 0.4} | dict.fromkeys(SOLID[2:], 0.2)
PRINTED_BUSY = 0.08
ACCENT_CONTRAST, INK_CONTRAST = 20.0, 35.0  # least `contrast` of a pattern and of a print
# Share of each print: lettering, emblems, pictures.
_PRINT_SHARES = {"text": 4, "boxed-text": 2, "college": 3, "lines": 4, "caption": 3, "circle": 1, "star": 1,
                 "pocket": 2, "photo": 3}  # fmt: skip


def draw_palette(kind: str, rng: np.random.Generator) -> Palette:
    """Colours and prints of a fabric of this kind. Prints are common on calm fabrics, rare on busy ones."""
    ground = draw_ground(kind, rng)
    accent = draw_contrasting(rng, [ground], ACCENT_CONTRAST)
    if kind in SOLID:
        under = [ground]
    else:
        mixes = (0.0, 0.25, 0.5, 0.75, 1.0) if kind in ("gradient", "checks") else (0.0, 1.0)
        under = [tuple((1 - m) * a + m * b for a, b in zip(ground, accent)) for m in mixes]
    ink = draw_contrasting(rng, under, INK_CONTRAST)
    collar = draw_contrasting(rng, [ground], ACCENT_CONTRAST) if rng.random() < 0.25 else None
    share = PRINTED.get(kind, PRINTED_BUSY)
    printed = _draw_style(rng, PRINTS) if rng.random() < share else None
    others = [style for style in PRINTS if style not in (printed, "pocket")]
    back_print = _draw_style(rng, others) if rng.random() < 0.5 * share else None
    return Palette(ground, accent, ink, collar, printed, back_print)


def _draw_style(rng: np.random.Generator, styles) -> str:
    weight = np.array([_PRINT_SHARES.get(style, 1) for style in styles], float)
    return str(styles[int(rng.choice(len(styles), p=weight / weight.sum()))])


def fabric_textures(
    kind: str,
    rng: np.random.Generator,
    width: float,
    height: float,
    pixels_per_metre: float,
    *,
    chest: tuple[float, float] | None = None,
    prints: Sequence[str] = PRINTS,
    room: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, Palette]:
    """Front and back texture (H,W,3) uint8 of a top's cloth, `width` x `height` metres, and its colours.

    kind: one of FABRICS. chest: middle of the print, metres from the left and from the top of the front texture, and
    of the back print, mirrored; by default half-way across and 28 cm down. prints: the styles that the cut has a place
    for, any other of the palette's is left out; room: the most metres that a print may be wide. Raises ValueError for
    an unknown kind or an empty texture.
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
            _scatter_flowers(image, pixels_per_metre, palette, pattern, side)
        elif kind in SCATTERED:
            _scatter_motifs(kind, image, pixels_per_metre, palette, pattern, side)
        if style in prints:
            plate = palette.ground if kind in BUSY else None
            middle = (width - chest[0], chest[1]) if side == 1 else chest
            draw_print(image, style, plate, palette, middle, pixels_per_metre, np.random.default_rng(seed), room=room)
        sides.append(np.asarray(image))
    return sides[0], sides[1], palette


def _pattern(kind: str, size, scale: float, palette: Palette, rng: np.random.Generator, side: int) -> np.ndarray:
    """The woven or dyed pattern (H,W,3) float32 in [0,1], the same on both sides but for its random grain."""
    y = ((np.arange(size[0], dtype=np.float32) + 0.5) / np.float32(scale))[:, None]
    x = ((np.arange(size[1], dtype=np.float32) + 0.5) / np.float32(scale))[None]
    if side == 1:
        x = x[:, ::-1]  # seen from behind: the pattern goes on round the body
    colours = np.array([palette.ground, palette.accent, palette.ink], np.float32)
    if kind in PATTERNS:
        return PATTERNS[kind](x, y, scale, _own_colours(kind, colours, rng), rng)
    if kind == "landscape":
        return scene(
            SCENES[int(rng.integers(len(SCENES)))], size, np.random.default_rng([int(rng.integers(1 << 62)), side])
        )
    accent = 0.7 * colours[0] + 0.06 if kind == "melange" else colours[1]
    amount = _simple_pattern(kind, x, y, size, scale, rng, side)
    return blend(colours[0], accent, np.broadcast_to(np.asarray(amount, np.float32), size))


def _own_colours(kind: str, colours: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ground, accent, ink (3,3): animal furs are dark on light."""
    if kind == "leopard" or (kind == "zebra" and rng.random() < 0.6):
        light = colours[0] if kind == "leopard" else np.float32((0.93, 0.91, 0.87))
        return np.array([light, (0.12, 0.08, 0.06), colours[2]], np.float32)
    return colours


def _simple_pattern(kind: str, x, y, size, scale: float, rng: np.random.Generator, side: int) -> np.ndarray:
    """How much (broadcast to size) of the accent lies on the ground."""
    tall = size[0] / scale
    if kind in ("stripes", "vertical-stripes"):
        period, share = rng.choice([0.02, 0.035, 0.05, 0.08]), rng.uniform(0.25, 0.6)
        return bars(y if kind == "stripes" else x, period, share, scale)
    if kind == "checks":
        period = rng.choice([0.03, 0.05, 0.08])
        return 0.5 * bars(x, period, 0.5, scale) + 0.5 * bars(y, period, 0.5, scale)
    if kind == "dots":
        period = rng.choice([0.03, 0.045, 0.06])
        return _dots(x, y, period, period * rng.uniform(0.18, 0.32), scale)
    if kind == "gradient":
        return np.clip(y / tall * 1.3 - 0.15, 0, 1)
    if kind == "colour-block":
        return np.clip(0.5 + (rng.uniform(0.3, 0.6) * tall - y) * scale, 0, 1)
    if kind == "melange":
        grain = np.random.default_rng([int(rng.integers(1 << 62)), side]).standard_normal(size, dtype=np.float32)
        return 0.5 + 0.28 * grain
    if kind == "border":
        top = tall * rng.uniform(0.62, 0.74)
        lines = sum(np.clip(0.5 + (0.004 - np.abs(y - top + 0.012 * (k + 1))) * scale, 0, 1) for k in range(2))
        return np.clip(0.5 + (y - top) * scale, 0, 1) + lines
    return np.zeros((1, 1))  # plain; flowers and other motifs come later


def _dots(x: np.ndarray, y: np.ndarray, period: float, radius: float, scale: float) -> np.ndarray:
    """1 on dots, every other row shifted by half a period, one pixel soft."""
    shifted = x + (y / period).astype(np.int32) % 2 * (period / 2)
    distance = np.hypot((shifted / period) % 1 - 0.5, (y / period) % 1 - 0.5) * period
    return np.clip(0.5 + (radius - distance) * scale, 0, 1)


def _scatter_flowers(image: Image.Image, scale: float, palette: Palette, seed: int, side: int) -> None:
    """Small flowers in the accent's tones, in place."""
    rng = np.random.default_rng([seed, 2])
    stamps = []
    for _ in range(6):
        pixels = max(round(rng.uniform(0.022, 0.045) * scale), 3)
        colour = np.clip(np.array(palette.accent) + rng.normal(0, 0.06, 3), 0, 1)
        stamps.append(motif("flower", pixels, rng, colour))
    scatter(image, stamps, rng.uniform(0.045, 0.07), scale, np.random.default_rng([seed, side]))


def _scatter_motifs(kind: str, image: Image.Image, scale: float, palette: Palette, seed: int, side: int) -> None:
    """Motifs of the fabric's own kind, turned every way, in place; on a border they grow rarer upwards."""
    rng = np.random.default_rng([seed, 2])
    names, size = SCATTERED[kind], rng.uniform(0.035, 0.08) * (1.4 if kind in ("animals", "flowers", "border") else 1.0)
    colours = (palette.accent, palette.ink, None) if kind in ("flowers", "leaves", "paisley") else (None,)
    colours = (palette.accent, palette.accent, palette.ink) if kind == "stars" else colours
    stamps = []
    for number in range(8):
        pixels = max(round(size * rng.uniform(0.6, 1.1) * scale), 3)
        stamp = motif(names[number % len(names)], pixels, rng, colours[int(rng.integers(len(colours)))])
        turn = rng.uniform(-25, 25) if kind in ("animals", "stars") else rng.uniform(0, 360)
        stamps.append(stamp.rotate(float(turn), Image.Resampling.BICUBIC))
    share = (lambda place: np.clip(2.6 * place - 0.9, 0, 1)) if kind == "border" else None
    scatter(image, stamps, size * rng.uniform(0.75, 1.1), scale, np.random.default_rng([seed, side]), share)
