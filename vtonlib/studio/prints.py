"""Prints on cloth: lettering, emblems, pockets and pictures, drawn large and shrunk, for smooth edges.

Letters come from the scalable font inside Pillow, so no font file is needed.

Convention: a print is pasted into a texture (H,W,3) uint8 sRGB around the chest point, metres from left and top.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .dyes import Colour, Palette, contrast
from .motifs import SCENES, motif, scene

LETTERING = ("text", "boxed-text", "college", "lines", "caption")
PICTURES = ("flower", "leaf", "cat", "bird", "fish", "butterfly", "photo")
PRINTS = (*LETTERING, "circle", "star", "pocket", *PICTURES)
SUPERSAMPLING = 4  # prints are drawn this much larger and shrunk
WORDS = (
    "STUDIO", "PARIS", "TOKYO", "NORTH", "WAVE", "HELLO", "URBAN", "1987", "SUNDAY", "RIVER", "ATLAS", "NOVA",
    "OCEAN", "SOUTH", "CLUB", "ORIGINAL", "HARBOUR", "SUMMER", "WILD", "CANYON", "MILANO", "No. 5", "RHYTHM", "OSLO",
    "VELVET", "DREAM", "COAST", "FOREST", "1974", "SPIRIT", "MOON", "GARDEN", "BERLIN", "FUTURE", "ECHO", "LIMITED",
)  # fmt: skip
SMALL_WORDS = (
    "the", "sun", "of", "slow", "days", "and", "long", "nights", "by", "sea", "we", "dance", "under", "stars", "never",
    "lost", "always", "here", "good", "things", "take", "time", "made", "for", "walking", "est.", "handmade", "quality",
)  # fmt: skip


def _rgb(colour) -> tuple[int, int, int]:
    return tuple(int(255 * min(max(float(part), 0), 1) + 0.5) for part in colour)


def draw_print(
    image: Image.Image, style: str, plate: Colour | None, palette: Palette, chest, scale: float, rng, *,
    room: float = 1.0,
) -> None:  # fmt: skip
    """Draw a print, one of PRINTS, around the chest point, in place. plate: colour of a plate under it, or None; room:
    the most metres that it may be wide."""
    width = min(rng.uniform(0.17, 0.27), room)
    word = WORDS[rng.integers(len(WORDS))]
    x, y = chest
    if style == "pocket":
        width, x, y = 0.11, x + 0.085, y - 0.03  # on the person's left
    elif style == "caption":
        width *= 0.55
    elif style == "photo":
        width = min(width, 0.23)
    fine = 2 if style in PICTURES else SUPERSAMPLING  # pictures are soft and cost more
    side = max(round(1.5 * width * scale), 4) * fine
    layer = Image.new("RGBA", (side, side), (*_rgb(palette.ink), 0))
    brush = Brush(layer, width * scale * fine, palette, plate, word, rng)
    (brush.picture if style in PICTURES else getattr(brush, style.replace("-", "_")))(*[style] * (style in PICTURES))
    layer = layer.resize((side // fine,) * 2, Image.Resampling.BOX)
    corner = (round(x * scale - layer.width / 2), round(y * scale - layer.height / 2))
    image.paste(layer, corner, layer)


class Brush:
    """Draws one print in the middle of a square layer. width: of the print in the layer's pixels."""

    def __init__(self, layer, width: float, palette: Palette, plate: Colour | None, word: str, rng):
        self.layer, self.width, self.palette, self.word, self.rng = layer, width, palette, word, rng
        self.draw, self.middle = ImageDraw.Draw(layer), layer.width / 2
        self.ink, self.plate = (*_rgb(palette.ink), 255), plate and (*_rgb(plate), 255)

    def _fitted(self, word: str, width: float):
        """The font in which a word is `width` pixels wide."""
        return ImageFont.load_default(20 * width / max(ImageFont.load_default(20).getlength(word), 1))

    def _backed(self, left, top, right, bottom, outline=None) -> None:
        margin, line = 0.08 * self.width, max(round(0.03 * self.width), 1)
        if self.plate is not None or outline is not None:
            frame = [left - margin, top - margin, right + margin, bottom + margin]
            self.draw.rectangle(frame, fill=self.plate, outline=outline, width=line)

    def text(self, boxed: bool = False) -> None:
        """One big word."""
        font = self._fitted(self.word, self.width)
        place = (self.middle, self.middle)
        self._backed(*self.draw.textbbox(place, self.word, font=font, anchor="mm"), self.ink if boxed else None)
        self.draw.text(place, self.word, font=font, fill=self.ink, anchor="mm", stroke_width=0.01 * self.width,
                       stroke_fill=self.ink)  # fmt: skip

    def boxed_text(self) -> None:
        """One big word in a frame."""
        self.text(boxed=True)

    def college(self) -> None:
        """One to three letters or a short word, very bold, over a small line."""
        rng, width = self.rng, self.width
        word = "".join(chr(65 + int(letter)) for letter in rng.integers(0, 26, int(rng.integers(1, 4))))
        word = word if rng.random() < 0.5 else ("TEAM", "CITY", "WEST", "KING")[int(rng.integers(4))]
        font = self._fitted(word, min(0.32 * len(word), 1) * 0.9 * width)
        box = self.draw.textbbox((self.middle, self.middle), word, font=font, anchor="mm")
        below = self._fitted(self.word, 0.6 * width)
        line = self.draw.textbbox((self.middle, box[3] + 0.06 * width), self.word, font=below, anchor="mt")
        self._backed(min(box[0], line[0]), box[1], max(box[2], line[2]), line[3])
        stroke = 0.022 * width
        self.draw.text((self.middle, self.middle), word, font=font, fill=self.ink, anchor="mm", stroke_width=stroke,
                       stroke_fill=self.ink)  # fmt: skip
        self.draw.text((self.middle, box[3] + 0.06 * width), self.word, font=below, fill=self.ink, anchor="mt")

    def lines(self) -> None:
        """Three to five lines of small text, centred."""
        rng, count = self.rng, int(self.rng.integers(3, 6))
        text = []
        for _ in range(count):
            words = [SMALL_WORDS[n] for n in rng.integers(len(SMALL_WORDS), size=int(rng.integers(2, 4)))]
            text.append(" ".join(words))
        font = self._fitted(max(text, key=len), 0.95 * self.width)
        pitch = 1.25 * font.size
        top = self.middle - 0.5 * pitch * (count - 1)
        half = 0.5 * max(font.getlength(line) for line in text)
        self._backed(self.middle - half, top - 0.5 * pitch, self.middle + half, top + (count - 0.5) * pitch)
        for number, line in enumerate(text):
            self.draw.text((self.middle, top + number * pitch), line, font=font, fill=self.ink, anchor="mm",
                           stroke_width=0.02 * font.size, stroke_fill=self.ink)  # fmt: skip

    def caption(self) -> None:
        """A small word between two thin lines."""
        self.text()
        height = 0.5 * self._fitted(self.word, self.width).size + 0.05 * self.width
        for y in (self.middle - height, self.middle + height):
            self.draw.line([(self.middle - self.width / 2, y), (self.middle + self.width / 2, y)], self.ink,
                           max(round(0.02 * self.width), 1))  # fmt: skip

    def circle(self) -> None:
        """A round emblem with two mountains in a colour that shows on the ink."""
        middle, width = self.middle, self.width
        _disc(self.draw, middle, middle, 0.42 * width, self.ink)
        against = (1.0, 1.0, 1.0) if contrast(self.palette.ink, (1.0, 1.0, 1.0)) > 50 else (0.1, 0.1, 0.12)
        peaks = ((-0.3, 0.18), (-0.05, -0.2), (0.1, 0.0), (0.18, -0.1), (0.3, 0.18))
        self.draw.polygon([(middle + a * width, middle + b * width) for a, b in peaks], fill=(*_rgb(against), 255))

    def star(self) -> None:
        """A five-pointed star."""
        if self.plate is not None:
            _disc(self.draw, self.middle, self.middle, 0.5 * self.width, self.plate)
        radius = 0.42 * self.width * np.where(np.arange(10) % 2 == 0, 1, 0.42)
        angle = np.arange(10) * np.pi / 5
        points = np.stack([self.middle + radius * np.sin(angle), self.middle - radius * np.cos(angle)], axis=1)
        self.draw.polygon([tuple(point) for point in points.tolist()], fill=self.ink)

    def pocket(self) -> None:
        """A patch pocket: outline with a point below and a double seam on top."""
        middle, width = self.middle, self.width
        half, line = 0.45 * width, max(round(0.035 * width), 1)
        left, right, top, low = middle - half, middle + half, middle - half, middle + 0.35 * width
        outline = [(left, top), (right, top), (right, low), (middle, middle + 1.15 * half), (left, low), (left, top)]
        if self.plate is not None:
            self.draw.polygon(outline, fill=self.plate)
        self.draw.line(outline, fill=self.ink, width=line, joint="curve")
        self.draw.line([(left, top + 0.15 * width), (right, top + 0.15 * width)], fill=self.ink, width=line)

    def picture(self, style: str) -> None:
        """A motif or a framed landscape, now and then with a word below."""
        captioned, size = self.rng.random() < 0.5, round(0.92 * self.width)
        corner = round(self.middle - size / 2)
        font = self._fitted(self.word, 0.55 * self.width)
        low = self.middle + size / 2 + 0.05 * self.width
        if self.plate is not None:
            margin = 0.06 * self.width
            below = low + 1.1 * font.size if captioned else corner + size + margin
            self.draw.rectangle([corner - margin, corner - margin, corner + size + margin, below], fill=self.plate)
        picture = self._photo(size) if style == "photo" else motif(style, max(size, 4), self.rng)
        self.layer.alpha_composite(picture, (corner, corner))
        if captioned:
            self.draw.text((self.middle, low), self.word, font=font, fill=self.ink, anchor="mt")

    def _photo(self, size: int) -> Image.Image:
        """A landscape on a disc or in a frame."""
        name = SCENES[int(self.rng.integers(len(SCENES)))]
        land = scene(name, (max(size, 4), max(size, 4)), self.rng)
        picture = Image.fromarray((land * 255 + 0.5).astype(np.uint8)).convert("RGBA")
        mask = Image.new("L", picture.size)
        draw, edge = ImageDraw.Draw(mask), picture.width - 1
        if self.rng.random() < 0.5:
            draw.ellipse([0, 0, edge, edge], fill=255)
        else:
            draw.rectangle([0, 0.1 * edge, edge, 0.9 * edge], fill=255)
        picture.putalpha(mask)
        return picture


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill) -> None:
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill)


def scatter(
    image: Image.Image, stamps: list[Image.Image], spacing: float, scale: float, rng: np.random.Generator,
    share=None,
) -> None:  # fmt: skip
    """Paste stamps on a jittered grid, `spacing` metres apart, in place. share: y in [0,1] -> how many stay there."""
    rows, columns = (int(np.ceil(n / scale / spacing)) + 1 for n in (image.height, image.width))
    jitter, which = rng.uniform(-0.28, 0.28, (2, rows, columns)), rng.integers(len(stamps), size=(rows, columns))
    stays = rng.random((rows, columns))
    for row, column in np.ndindex(rows, columns):
        y, x = (row + jitter[0, row, column]) * spacing, (column + row % 2 / 2 + jitter[1, row, column]) * spacing
        if share is not None and stays[row, column] > share(y * scale / image.height):
            continue
        stamp = stamps[which[row, column]]
        image.paste(stamp, (round(x * scale - stamp.width / 2), round(y * scale - stamp.height / 2)), stamp)
