"""Pictures for the notebooks: one style, small files, alternative text on every one.

`show_images` puts pictures side by side on one canvas, `show_figure` shows a matplotlib figure; both take `alt`, a
sentence for who can't see the picture. It is stored in the output (metadata of the image, which nbconvert's HTML uses,
and its plain-text twin). The drawing helpers (`colour_parse`, `overlay`, `draw_pose`, ...) return uint8 RGB arrays that
`show_images` takes.

Convention: pictures are torch tensors (3,H,W), (1,H,W), (H,W) or NumPy arrays (H,W,3), (H,W); RGB; uint8 in 0..255
or floats in [0,1]. What lives in [-1,1] (`TryOnSample.person`, `Garment.image`) goes through `to_01` first: nothing is
guessed from the values.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vtonlib.labels import BODY_25_LIMBS, LIP, LIP_PALETTE

PAPER = (255, 255, 255)
INK = (51, 51, 51)
FRAME = (204, 204, 204)
# Okabe and Ito's palette: told apart by colour-blind readers too.
COLOURS = {
    "orange": (230, 159, 0), "sky": (86, 180, 233), "green": (0, 158, 115), "yellow": (240, 228, 66),
    "blue": (0, 114, 178), "red": (213, 94, 0), "pink": (204, 121, 167), "black": (0, 0, 0),
}  # fmt: skip
GAP = 8
SHORTEST_ALT = 12


def to_01(image):
    """From [-1,1] to [0,1]."""
    return (image + 1) / 2


def to_picture(image) -> np.ndarray:
    """Any picture of the convention above as (H,W,3) uint8 RGB. NaN becomes white.

    Raises ValueError for another shape and for floats outside [0,1] (by more than 1e-3).
    """
    if hasattr(image, "detach"):
        array = image.detach().cpu().numpy()
        array = np.moveaxis(array, 0, -1) if array.ndim == 3 else array
    else:
        array = np.asarray(image)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=-1)
    if array.ndim != 3 or array.shape[-1] != 3:
        raise ValueError(
            "expected a tensor (3,H,W), (1,H,W) or (H,W), or an array (H,W,3) or (H,W); "
            f"got {type(image).__name__} of shape {tuple(np.shape(image))}"
        )
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"expected uint8, bool or floats, got {array.dtype}: label maps go through colour_parse")
    low, high = np.nanmin(array, initial=0.0), np.nanmax(array, initial=1.0)
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(f"expected floats in [0, 1], got [{low:.3g}, {high:.3g}]: is to_01(image) missing?")
    return np.rint(np.nan_to_num(array, nan=1.0).clip(0, 1) * 255).astype(np.uint8)


def compose(
    rows: Sequence, titles: Sequence[str] | None = None, *, row_titles: Sequence[str] | None = None, height: int = 256
) -> Image.Image:
    """Rows of pictures on one white canvas.

    rows: one row of pictures, or a list of rows. titles: one a column; row_titles: one a row. height: of each picture
    on the canvas, in pixels; small pictures are enlarged without smoothing, so that a 6x4 toy shows its pixels.
    """
    rows = [list(row) for row in rows] if isinstance(rows[0], (list, tuple)) else [list(rows)]
    columns = max(map(len, rows))
    for name, given, expected in (("titles", titles, columns), ("row_titles", row_titles, len(rows))):
        if given is not None and len(given) != expected:
            raise ValueError(f"{name}: expected {expected}, got {len(given)}")
    pictures = [[_scaled(to_picture(image), height) for image in row] for row in rows]
    widths = [max(row[c].width for row in pictures if c < len(row)) for c in range(columns)]
    title_lines = [_wrap(title, width) for title, width in zip(titles, widths)] if titles else []
    top = 18 * max((len(lines) for lines in title_lines), default=0) + (4 if titles else 0)
    left = max((int(_font().getlength(title)) + GAP for title in row_titles), default=0) if row_titles else 0
    canvas = Image.new("RGB", (left + sum(widths) + GAP * (columns + 1), top + (height + GAP) * len(rows) + GAP), PAPER)
    draw = ImageDraw.Draw(canvas)
    starts = np.cumsum([left + GAP] + [width + GAP for width in widths])
    for c, lines in enumerate(title_lines):
        text = "\n".join(lines)
        draw.multiline_text((starts[c] + widths[c] / 2, 4), text, INK, _font(), anchor="ma", align="center")
    for r, row in enumerate(pictures):
        y = top + GAP + r * (height + GAP)
        if row_titles:
            draw.text((left, y + height / 2), row_titles[r], INK, _font(), anchor="rm")
        for c, picture in enumerate(row):
            canvas.paste(picture, (int(starts[c]), y))
            draw.rectangle((starts[c] - 1, y - 1, starts[c] + picture.width, y + picture.height), outline=FRAME)
    return canvas


def show_images(rows: Sequence, titles: Sequence[str] | None = None, *, alt: str, **layout) -> None:
    """Show rows of pictures (see `compose`, which takes `layout`) with alternative text."""
    show_picture(compose(rows, titles, **layout), alt=alt)


def show_picture(picture, *, alt: str, quality: int = 82) -> None:
    """Show one picture as JPEG at its own size, with alternative text."""
    canvas = picture if isinstance(picture, Image.Image) else Image.fromarray(to_picture(picture))
    stream = io.BytesIO()
    canvas.convert("RGB").save(stream, "JPEG", quality=quality, subsampling=0, optimize=True)
    _display("image/jpeg", stream.getvalue(), alt, canvas.size)


def jpeg_bytes(picture) -> bytes:
    """A Pillow image or (H,W,3) uint8 as the bytes of a JPEG file, for a widget that is drawn anew again and again."""
    stream = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.convert("RGB").save(stream, "JPEG", quality=85)
    return stream.getvalue()


def show_figure(figure, *, alt: str, dpi: int = 90) -> None:
    """Show a matplotlib figure as a PNG of few colours with alternative text, and close it."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, facecolor="white", bbox_inches="tight")
    picture = Image.open(stream).convert("RGB")
    small = io.BytesIO()
    picture.quantize(128, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    _display("image/png", small.getvalue(), alt, picture.size)
    figure.clear()


def new_figure(rows: int = 1, columns: int = 1, *, size: tuple[float, float] = (6.0, 3.0)):
    """An empty matplotlib figure in the course's style and its axes. size: (width, height) in inches.

    Made without pyplot, so that nothing is shown twice and nothing is kept alive.
    """
    import matplotlib
    from matplotlib.figure import Figure

    style = {
        "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3,
        "axes.prop_cycle": matplotlib.cycler(color=[np.divide(c, 255) for c in COLOURS.values()]),
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        return figure, figure.subplots(rows, columns)


def colour_parse(parse) -> np.ndarray:
    """(H,W) LIP-20 labels as (H,W,3) uint8 in the palette of the VITON-HD files.

    Raises ValueError for a label outside 0..19.
    """
    labels = _numpy(parse).astype(np.int64)
    if labels.ndim != 2 or labels.min() < 0 or labels.max() >= len(LIP):
        raise ValueError(f"expected labels 0..19 of shape (H,W), got {labels.min()}..{labels.max()}, {labels.shape}")
    return np.asarray(LIP_PALETTE, np.uint8)[labels]


def parse_legend(parse, *, height: int = 256) -> np.ndarray:
    """Names and colours of the labels that occur in a parse map, as a picture of that height."""
    present = np.unique(_numpy(parse)).astype(int)
    legend = Image.new("RGB", (150, height), PAPER)
    draw = ImageDraw.Draw(legend)
    step = min(20, height // max(len(present), 1))
    for line, label in enumerate(present):
        y = 2 + line * step
        draw.rectangle((4, y, 20, y + step - 4), fill=LIP_PALETTE[label], outline=FRAME)
        draw.text((28, y + (step - 4) / 2), f"{label} {LIP[label]}", INK, _font(), anchor="lm")
    return np.asarray(legend)


def overlay(image, mask, *, colour: str = "orange", alpha: float = 0.55) -> np.ndarray:
    """A picture with a mask laid over it. mask: (H,W) or (1,H,W) in [0,1], 1 on the thing. -> (H,W,3) uint8."""
    picture = to_picture(image).astype(np.float32)
    weight = alpha * _numpy(mask).reshape(picture.shape[:2]).astype(np.float32)[..., None]
    return np.rint(picture * (1 - weight) + weight * np.asarray(COLOURS[colour], np.float32)).astype(np.uint8)


def draw_pose(image, pose, *, radius: float | None = None) -> np.ndarray:
    """A picture with the BODY_25 limbs and points that are seen. pose: (25,3) x, y, confidence (0 = not seen).

    Convention: index coordinates, the centre of the first pixel is (0, 0).
    """
    canvas, points = Image.fromarray(to_picture(image)), _numpy(pose)
    radius = canvas.height / 100 if radius is None else radius
    draw = ImageDraw.Draw(canvas)
    colours = list(COLOURS.values())[:-1]
    for index, (a, b) in enumerate(BODY_25_LIMBS):
        if points[a, 2] > 0 and points[b, 2] > 0:
            ends = [tuple(points[a, :2]), tuple(points[b, :2])]
            draw.line(ends, fill=colours[index % len(colours)], width=max(1, round(radius)))
    _dots(draw, points[points[:, 2] > 0, :2], radius, COLOURS["black"])
    return np.asarray(canvas)


def draw_points(image, points, *, colour: str = "red", radius: float = 3.0) -> np.ndarray:
    """A picture with dots. points: (..., 2) index coordinates x, y; those that are not finite are left out."""
    canvas = Image.fromarray(to_picture(image))
    flat = _numpy(points).reshape(-1, 2)
    _dots(ImageDraw.Draw(canvas), flat[np.isfinite(flat).all(axis=1)], radius, COLOURS[colour])
    return np.asarray(canvas)


def draw_mesh(image, points, *, colour: str = "blue") -> np.ndarray:
    """A picture with a mesh of lines. points: (rows, columns, 2) index coordinates x, y of the mesh's nodes."""
    canvas, nodes = Image.fromarray(to_picture(image)), _numpy(points)
    draw = ImageDraw.Draw(canvas)
    for line in [*nodes, *nodes.swapaxes(0, 1)]:
        draw.line([tuple(map(float, point)) for point in line], fill=COLOURS[colour], width=1)
    return np.asarray(canvas)


def colour_flow(flow, size: tuple[int, int]) -> np.ndarray:
    """Colours of where each pixel comes from, one colour a place, so that equal colours correspond.

    flow: (2,H,W) or (H,W,2) index coordinates x, y in a picture of `size` = (height, width); NaN shows white. Red grows
    with x, green with y, blue falls with both. The identity flow coloured is the key to read it by.
    """
    array = _numpy(flow).astype(np.float32)
    x, y = (array[0], array[1]) if array.shape[0] == 2 else (array[..., 0], array[..., 1])
    u, v = x / max(size[1] - 1, 1), y / max(size[0] - 1, 1)
    colours = np.stack([u, v, 1 - (u + v) / 2], axis=-1).clip(0, 1)
    return to_picture(np.where(np.isnan(array.sum(0 if array.shape[0] == 2 else -1))[..., None], 1.0, colours))


def _display(kind: str, data: bytes, alt: str, size: tuple[int, int]) -> None:
    import base64

    from IPython.display import display

    if len(alt.strip()) < SHORTEST_ALT:
        raise ValueError(f"alt: expected a sentence that says what the picture shows, got {alt!r}")
    metadata = {kind: {"alt": alt, "width": size[0], "height": size[1]}}
    display({kind: base64.b64encode(data).decode(), "text/plain": alt}, metadata=metadata, raw=True)


def _dots(draw: ImageDraw.ImageDraw, points: np.ndarray, radius: float, colour: tuple[int, int, int]) -> None:
    for x, y in points.tolist():
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=PAPER)


def _scaled(picture: np.ndarray, height: int) -> Image.Image:
    image = Image.fromarray(picture)
    width = max(1, round(image.width * height / image.height))
    # Enlarging keeps the pixels visible; only reducing smooths.
    return image.resize((width, height), Image.Resampling.NEAREST if height >= image.height else Image.Resampling.BOX)


def _wrap(title: str, width: int) -> list[str]:
    """A title broken into lines that fit, at blanks only."""
    lines: list[str] = []
    for word in title.split():
        if lines and _font().getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


@lru_cache
def _font() -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 13)


def _numpy(values) -> np.ndarray:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
