"""Pictures to be printed on cloth, drawn from nothing: flowers, leaves, animals, butterflies, landscapes.

A motif is a silhouette made of ellipses and curves, then shaded as if it were a swollen body under light, with noise
for fur and petals' veins, which looks far more like a photograph than flat colour does.

Convention: motifs are RGBA uint8 (S,S,4); scenes RGB float32 (H,W,3), sRGB in [0,1].
"""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt, gaussian_filter

from .patterns import blend, clouds

ANIMALS = ("cat", "bird", "fish", "butterfly")
SCENES = ("sunset", "mountains", "sea")


def _byte(colour) -> tuple[int, int, int]:
    return tuple(int(255 * min(max(float(part), 0), 1) + 0.5) for part in colour)


class Canvas:
    """A square to draw on in coordinates from -1 to 1, x to the right and y down."""

    def __init__(self, side: int):
        self.side = side
        self.image = Image.new("RGBA", (side, side))
        self.draw = ImageDraw.Draw(self.image)

    def points(self, places) -> list[tuple[float, float]]:
        return [tuple(point) for point in ((np.asarray(places, float) + 1) * self.side / 2).tolist()]

    def ellipse(self, x, y, a, b, colour, turn: float = 0.0) -> None:
        """An ellipse at (x, y) with half axes a, b, turned clockwise by `turn` radians."""
        angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        u, v = a * np.cos(angle), b * np.sin(angle)
        places = np.stack([x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], 1)
        self.polygon(places, colour)

    def polygon(self, places, colour) -> None:
        self.draw.polygon(self.points(places), fill=(*_byte(colour), 255))

    def line(self, places, colour, width: float) -> None:
        self.draw.line(self.points(places), (*_byte(colour), 255), max(round(width * self.side / 2), 1), joint="curve")


def swollen(image: Image.Image, rng: np.random.Generator, grain: float = 0.10) -> Image.Image:
    """The drawing lit from the upper left as a rounded body, with fine grain."""
    pixels = np.asarray(image).astype(np.float32)
    inside = pixels[..., 3] > 0
    side = len(pixels)
    bulge = np.minimum(distance_transform_edt(inside), 0.14 * side)
    detail = gaussian_filter(pixels[..., :3].mean(-1), 1) * (0.0006 * side)
    height = gaussian_filter(np.sqrt(bulge * (0.28 * side - bulge)) + detail, 0.012 * side + 0.6)
    down, right = np.gradient(height)
    light = (1 + 0.55 * down + 0.45 * right) / np.sqrt(1 + down**2 + right**2)
    tone = 0.55 + 0.48 * np.clip(light, 0, 1.35) + grain * clouds(inside.shape, side, 0.05, rng, 2)
    pixels[..., :3] = np.clip(pixels[..., :3] * tone[..., None], 0, 255)
    return Image.fromarray((pixels + 0.5).astype(np.uint8))


def _vary(colour, rng: np.random.Generator, spread: float = 0.06) -> np.ndarray:
    return np.clip(np.asarray(colour) + rng.normal(0, spread, 3), 0, 1)


def _bright(rng: np.random.Generator) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.45, 0.9), rng.uniform(0.65, 1.0))


def flower(side: int, rng: np.random.Generator, colour=None) -> Image.Image:
    """Two whorls of shaded petals around a dotted heart, with leaves."""
    canvas, colour = Canvas(side), _bright(rng) if colour is None else colour
    green = _vary((0.25, 0.45, 0.22), rng)
    for angle in rng.uniform(0, 2 * np.pi, int(rng.integers(0, 4))):
        canvas.ellipse(0.62 * np.cos(angle), 0.62 * np.sin(angle), 0.36, 0.14, green, angle)
    petals, turn = int(rng.integers(5, 9)), rng.uniform(0, 2 * np.pi)
    for ring, (out, length, tone) in enumerate(((0.46, 0.34, 0.85), (0.30, 0.25, 1.0))):
        for angle in turn + (np.arange(petals) + 0.5 * ring) * (2 * np.pi / petals):
            shade = _vary(np.asarray(colour) * tone, rng, 0.03)
            x, y = out * np.cos(angle), out * np.sin(angle)
            canvas.ellipse(x, y, length, 1.9 / petals * (0.75 if ring else 1), shade, angle)
            canvas.line([(0.15 * x, 0.15 * y), (1.4 * x, 1.4 * y)], 0.75 * shade, 0.02)
    heart = _vary((0.85, 0.65, 0.15), rng)
    canvas.ellipse(0, 0, 0.16, 0.16, heart)
    for angle in np.arange(7) * 0.9:
        canvas.ellipse(0.1 * np.cos(angle), 0.1 * np.sin(angle), 0.025, 0.025, 0.6 * heart)
    return swollen(canvas.image, rng)


def leaf(side: int, rng: np.random.Generator, colour=None) -> Image.Image:
    """A twig of leaves with veins."""
    canvas, colour = Canvas(side), _vary((0.28, 0.48, 0.25), rng, 0.1) if colour is None else colour
    bend = rng.uniform(-0.35, 0.35)
    t = np.linspace(-0.85, 0.85, 12)
    stem = np.stack([bend * (t * t - 0.5), t], 1)
    canvas.line(stem, 0.55 * np.asarray(colour), 0.035)
    for number, (x, y) in enumerate(stem[1::2]):
        for sign in (-1, 1):
            shade, turn = _vary(colour, rng, 0.04), sign * rng.uniform(0.3, 0.7)
            reach = 0.36 - 0.025 * number
            u, v = sign * np.cos(turn * sign) * reach, -np.sin(abs(turn)) * reach
            canvas.ellipse(x + u * 0.9, y + v * 0.9, reach, 0.12, shade, np.arctan2(v, u))
            canvas.line([(x, y), (x + 1.6 * u, y + 1.6 * v)], 0.7 * shade, 0.015)
    return swollen(canvas.image, rng)


def star(side: int, rng: np.random.Generator, colour=None) -> Image.Image:
    """A five-pointed star."""
    canvas = Canvas(side)
    radius, angle = 0.95 * np.where(np.arange(10) % 2 == 0, 1, 0.42), np.arange(10) * np.pi / 5 + rng.uniform(-0.3, 0.3)
    canvas.polygon(np.stack([radius * np.sin(angle), -radius * np.cos(angle)], 1), colour)
    return canvas.image


def paisley(side: int, rng: np.random.Generator, colour=None) -> Image.Image:
    """A bent drop in three outlines with a dotted border and a flower inside."""
    canvas, colour = Canvas(side), np.asarray(_bright(rng) if colour is None else colour)
    t = np.linspace(0, 2 * np.pi, 40)
    body = 0.5 * (1 + np.cos(t))  # 1 at the round end, 0 at the tip
    x, y = 0.62 * np.sin(t) * body**0.8 + 0.5 * (1 - body) ** 3, 1.5 * (body - 0.5)
    for size, tone in ((1.0, 1.0), (0.82, 0.55), (0.7, 1.25), (0.45, 0.75)):
        canvas.polygon(
            np.stack([size * x + 0.1 * (1 - size), size * (y - 0.25) + 0.25], 1), np.clip(tone * colour, 0, 1)
        )
    for k in range(0, 40, 2):
        canvas.ellipse(1.02 * x[k] * 0.92, 0.92 * (y[k] - 0.25) + 0.25, 0.03, 0.03, np.clip(1.5 * colour + 0.2, 0, 1))
    for angle in np.arange(6) * np.pi / 3:
        canvas.ellipse(0.02 + 0.14 * np.cos(angle), 0.34 + 0.14 * np.sin(angle), 0.1, 0.05, 1 - 0.5 * colour, angle)
    return canvas.image.rotate(float(rng.uniform(0, 360)), Image.Resampling.BICUBIC)


def cat(side: int, rng: np.random.Generator, colour=None) -> Image.Image:
    """A cat's face: ears, eyes with slit pupils, nose, whiskers, a striped brow."""
    canvas = Canvas(side)
    furs = ((0.85, 0.55, 0.28), (0.45, 0.43, 0.42), (0.2, 0.18, 0.18), (0.88, 0.82, 0.74), (0.55, 0.38, 0.25))
    fur = _vary(furs[int(rng.integers(len(furs)))], rng, 0.03)
    for sign in (-1, 1):
        canvas.polygon([(sign * 0.72, -0.92), (sign * 0.12, -0.5), (sign * 0.74, -0.1)], fur)
        canvas.polygon([(sign * 0.64, -0.76), (sign * 0.3, -0.48), (sign * 0.64, -0.28)], (0.82, 0.58, 0.55))
    canvas.ellipse(0, 0.08, 0.78, 0.66, fur)
    for x in (-0.22, 0, 0.22):
        canvas.line([(x, -0.5), (0.7 * x, -0.24)], 0.5 * fur, 0.06)
    canvas.ellipse(0, 0.40, 0.38, 0.27, np.clip(fur * 0.4 + 0.58, 0, 1))
    iris = colorsys.hsv_to_rgb(rng.uniform(0.1, 0.55), 0.7, 0.85)
    for sign in (-1, 1):
        canvas.ellipse(sign * 0.34, 0.02, 0.19, 0.16, (0.08, 0.07, 0.07))
        canvas.ellipse(sign * 0.34, 0.02, 0.16, 0.13, iris)
        canvas.ellipse(sign * 0.34, 0.02, 0.055, 0.13, (0.03, 0.03, 0.03))
        canvas.ellipse(sign * 0.34 - 0.05, -0.05, 0.035, 0.035, (1, 1, 1))
        for tilt in (-0.08, 0.02, 0.12):
            canvas.line([(sign * 0.25, 0.40), (sign * 0.95, 0.36 + tilt)], (0.93, 0.93, 0.93), 0.018)
    canvas.polygon([(-0.1, 0.24), (0.1, 0.24), (0, 0.34)], (0.80, 0.42, 0.45))
    canvas.line([(-0.15, 0.46), (0, 0.38), (0.15, 0.46)], 0.35 * fur, 0.03)
    return swollen(canvas.image, rng, grain=0.16)


def bird(side: int, rng: np.random.Generator, colour=None) -> Image.Image:
    """A songbird on a branch."""
    canvas, colour = Canvas(side), np.asarray(_bright(rng) if colour is None else colour)
    canvas.line([(-0.95, 0.72), (-0.2, 0.62), (0.95, 0.7)], (0.32, 0.22, 0.15), 0.09)
    canvas.polygon([(-0.25, 0.2), (-0.95, 0.45), (-0.88, 0.58), (-0.1, 0.45)], 0.5 * colour)
    canvas.ellipse(0.0, 0.15, 0.52, 0.36, colour, -0.5)
    canvas.ellipse(0.14, 0.28, 0.36, 0.24, np.clip(0.35 * colour + 0.6, 0, 1), -0.5)
    canvas.ellipse(0.38, -0.3, 0.27, 0.25, colour)
    canvas.polygon([(0.60, -0.38), (0.92, -0.26), (0.60, -0.2)], (0.90, 0.62, 0.15))
    canvas.ellipse(0.46, -0.34, 0.055, 0.055, (0.03, 0.03, 0.03))
    canvas.ellipse(0.44, -0.36, 0.018, 0.018, (1, 1, 1))
    for size in (1.0, 0.75, 0.5):
        canvas.ellipse(-0.1 - 0.12 * (1 - size), 0.15, 0.42 * size, 0.2 * size, (0.4 + 0.3 * (1 - size)) * colour, -0.3)
    for x in (0.05, 0.2):
        canvas.line([(x, 0.45), (x + 0.03, 0.66)], (0.25, 0.2, 0.18), 0.035)
    return swollen(canvas.image, rng)


def fish(side: int, rng: np.random.Generator, colour=None) -> Image.Image:
    """A fish with fins, bands and scales."""
    canvas, colour = Canvas(side), np.asarray(_bright(rng) if colour is None else colour)
    band = np.clip(1.15 - colour, 0.05, 1)
    canvas.polygon([(-0.45, 0), (-0.95, -0.45), (-0.8, 0), (-0.95, 0.45)], 0.75 * colour)
    canvas.polygon([(-0.2, -0.3), (0.05, -0.72), (0.4, -0.28)], 0.75 * colour)
    canvas.polygon([(-0.15, 0.3), (-0.1, 0.66), (0.2, 0.3)], 0.75 * colour)
    canvas.ellipse(0.12, 0, 0.68, 0.40, colour)
    for x, half in ((-0.2, 0.33), (0.12, 0.4)):
        canvas.ellipse(x, 0, 0.07, half, band)
    for row in range(-3, 4):
        for column in range(5):
            x, y = -0.38 + 0.15 * column + 0.07 * (row % 2), 0.09 * row
            if ((x - 0.12) / 0.62) ** 2 + (y / 0.34) ** 2 < 1:
                canvas.draw.arc([*canvas.points([(x - 0.06, y - 0.06)])[0], *canvas.points([(x + 0.06, y + 0.06)])[0]],
                                -70, 70, (*_byte(0.6 * colour), 255), max(side // 90, 1))  # fmt: skip
    canvas.ellipse(0.52, -0.08, 0.085, 0.085, (0.96, 0.96, 0.94))
    canvas.ellipse(0.54, -0.08, 0.045, 0.045, (0.03, 0.03, 0.03))
    canvas.line([(0.76, 0.08), (0.66, 0.12)], 0.35 * colour, 0.03)
    return swollen(canvas.image, rng)


def butterfly(side: int, rng: np.random.Generator, colour=None) -> Image.Image:
    """Four wings in nested tones with eyespots, a body and feelers."""
    canvas, colour = Canvas(side), np.asarray(_bright(rng) if colour is None else colour)
    dark, spot = 0.22 * colour, np.clip(1.1 - 0.8 * colour, 0, 1)
    for sign in (-1, 1):
        for x, y, a, b, turn in ((0.5, -0.32, 0.52, 0.34, -0.6), (0.38, 0.38, 0.38, 0.27, 0.75)):
            for size, tone in ((1.0, dark), (0.84, colour), (0.5, np.clip(1.3 * colour + 0.1, 0, 1))):
                canvas.ellipse(sign * x, y, size * a, size * b, tone, sign * turn)
            canvas.ellipse(sign * (x + 0.2 * a), y + 0.35 * np.sign(y) * b, 0.09, 0.09, dark)
            canvas.ellipse(sign * (x + 0.2 * a), y + 0.35 * np.sign(y) * b, 0.05, 0.05, spot)
            canvas.line([(sign * 0.05, 0.02), (sign * (x + 0.5 * a), 1.35 * y)], dark, 0.02)
        canvas.line([(0, -0.3), (sign * 0.12, -0.6), (sign * 0.24, -0.78)], dark, 0.025)
    canvas.ellipse(0, 0.05, 0.065, 0.42, 0.6 * dark)
    return swollen(canvas.image, rng, grain=0.06)


MOTIFS = {
    "flower": flower, "leaf": leaf, "star": star, "paisley": paisley, "cat": cat, "bird": bird, "fish": fish,
    "butterfly": butterfly,
}  # fmt: skip


def motif(name: str, side: int, rng: np.random.Generator, colour=None) -> Image.Image:
    """A motif `side` pixels across, drawn at twice the size. colour: sRGB, or None for one of its own."""
    return MOTIFS[name](2 * side, rng, colour).resize((side, side), Image.Resampling.BOX)


def scene(name: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A landscape (H,W,3) float32 in [0,1]: "sunset", "mountains" or "sea" (with a palm)."""
    height, width = size
    y, x = ((np.arange(n, dtype=np.float32) + 0.5) / height for n in size)
    y, x = y[:, None], x[None]
    skies = {
        "sunset": ((0.20, 0.16, 0.42), (0.98, 0.55, 0.25)), "mountains": ((0.35, 0.58, 0.85), (0.92, 0.90, 0.85)),
        "sea": ((0.25, 0.62, 0.88), (0.88, 0.95, 0.96)),
    }  # fmt: skip
    high, low = (_vary(colour, rng) for colour in skies[name])
    horizon = rng.uniform(0.5, 0.62)
    picture = blend(
        np.broadcast_to(high.astype(np.float32), (height, width, 3)), low, np.clip(y / horizon, 0, 1) + 0 * x
    )
    cloud = np.clip(1.6 * clouds(size, height, 0.22, rng, 4) - 0.15, 0, 1) * np.clip(1.1 - y / horizon, 0, 1)
    picture = blend(picture, np.clip(low + 0.12, 0, 1), 0.8 * cloud)
    sun_x, sun_y = width / height * rng.uniform(0.25, 0.75), horizon - rng.uniform(0.05, 0.3)
    distance = np.hypot(x - sun_x, y - sun_y)
    glow = np.exp(-((distance / 0.25) ** 2)) if name == "sunset" else 0 * distance
    picture = blend(picture, (1.0, 0.85, 0.55), np.clip(0.6 * glow + (0.09 - distance) * height * 0.5, 0, 1))
    far = low * 0.55 + np.array((0.12, 0.14, 0.25)) if name != "sea" else low * 0.6 + np.array((0.0, 0.1, 0.15))
    for layer in range(3 if name == "mountains" else 1):
        ridge = (
            horizon
            + 0.05 * layer
            - np.abs(clouds((1, width), height, 0.35 / (1 + layer), rng, 4)) * (0.34 - 0.08 * layer)
        )
        tone = far * (1 - 0.28 * layer)
        rough = 1 + 0.22 * clouds(size, height, 0.05, rng, 3)
        amount = np.clip(0.5 + (y - ridge) * height, 0, 1)
        picture = blend(picture, np.clip(tone * rough[..., None], 0, 1), amount)
        if name == "mountains" and layer == 0:
            picture = blend(picture, (0.97, 0.97, 0.99), amount * np.clip((horizon - 0.17 - y) * 12 + rough - 1, 0, 1))
    return np.clip(_foreground(picture, name, x, y, horizon, sun_x, rng), 0, 1)


def _foreground(picture, name, x, y, horizon, sun_x, rng) -> np.ndarray:
    """Water with ripples and the sun's path in it, or a meadow; a palm or firs in front."""
    height, width = picture.shape[:2]
    down = np.clip((y - horizon) / (1 - horizon), 0, 1)
    wave = clouds((height, max(width // 6, 2)), height, 0.025, rng)
    wave = np.asarray(Image.fromarray(wave).resize((width, height), Image.Resampling.BICUBIC))
    colour = {"sunset": (0.45, 0.22, 0.30), "mountains": (0.26, 0.42, 0.22), "sea": (0.06, 0.45, 0.58)}[name]
    tone = (0.75 + 0.3 * down + 0.22 * wave)[..., None] * _vary(colour, rng)
    picture = blend(picture, tone, np.clip((y - horizon - 0.04 * (name == "mountains")) * height, 0, 1) + 0 * x)
    if name != "mountains":
        path = np.exp(-(((x - sun_x) / (0.05 + 0.12 * down)) ** 2)) * (y > horizon) * np.clip(wave + 0.35, 0, 1)
        picture = blend(picture, (1.0, 0.88, 0.62), 0.8 * path)
    image = Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    at = width * rng.uniform(0.15, 0.85)
    if name == "mountains":
        for place in rng.uniform(0, width, 9):
            tall = height * rng.uniform(0.12, 0.26)
            foot = height * rng.uniform(0.85, 1.0)
            draw.polygon([(place, foot - tall), (place - 0.22 * tall, foot), (place + 0.22 * tall, foot)], (24, 52, 36))
    else:
        top = height * 0.34
        trunk = [(at, height), (at + 0.02 * height, 0.68 * height), (at + 0.06 * height, top)]
        draw.line(trunk, (40, 28, 24), max(round(0.025 * height), 1), joint="curve")
        for angle in np.linspace(-2.9, 0.1, 7) + rng.uniform(-0.1, 0.1, 7):
            t = np.linspace(0, 1, 7)
            u, v = 0.26 * t * np.cos(angle), 0.2 * t * np.sin(angle) + 0.16 * t * t
            spine = np.stack([trunk[2][0] + height * u, top + height * v], 1)
            lower = spine + [[0, 0.05 * height * s * (1 - s) * 4] for s in t.tolist()]
            draw.polygon([tuple(p) for p in (*spine.tolist(), *lower[::-1].tolist())], (28, 62, 38))
    return np.asarray(image).astype(np.float32) / 255
