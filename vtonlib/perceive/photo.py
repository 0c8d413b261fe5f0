"""Any photograph as RGB pixels the right way up, or a clear answer why not.

A file from a phone, a scanner or a shop is not yet an array: it may lie on its side with a note on how to turn it
(EXIF), be transparent, grey, in print colours, 16 bits deep, in the colours of another screen, or 50 megapixels large.
`read_photo` settles all of that once, so that nothing after it has to think of it.

- The orientation of the EXIF data is applied, all eight.
- What is transparent is laid on white, as shops show garments.
- A colour profile is converted to sRGB by Pillow's LittleCMS. Where Pillow was built without it, or where the profile
  can't be read, the numbers are taken as sRGB, and `Photo.notes` says so.
- A picture whose longer side is above WORKING (4096 pixels) is reduced to that; a JPEG is already decoded smaller,
  which saves the time and memory of 50 megapixels. More than LARGEST (150 megapixels) is refused before decoding.
- Of several pictures in a file the first is read only where the format means it so (MPO, the 3D format of cameras).
  Animations and documents of several pages are refused: which picture is meant, their owner must say.

Needs NumPy and Pillow only. Convention: RGB, (H,W,3) uint8, first row at the top.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..layouts.files import DamagedFile, require_file

WORKING = 4096  # longer side in pixels
LARGEST = 150_000_000  # pixels
SMALLEST = 32  # shorter side in pixels
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM")
SUFFIXES = (
    ".jpg", ".jpeg", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".avif", ".jp2",
    ".ppm", ".pgm", ".heic", ".heif",
)  # fmt: skip
EXPECTED = "a photograph (JPEG, PNG, WebP, BMP, TIFF, AVIF)"
ORIENTATION = 0x0112  # the EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
# First bytes of files that are taken for photographs now and then.
KNOWN = {
    b"%PDF": "a PDF document", b"PK\x03\x04": "a ZIP archive", b"\x1a\x45\xdf\xa3": "a film", b"RIFF": "a film",
    b"8BPS": "a Photoshop document", b"<svg": "a drawing (SVG)",
}  # fmt: skip
TRANSPARENT = ("RGBA", "RGBa", "LA", "La", "PA")


@dataclass(frozen=True, kw_only=True)
class Photo:
    """pixels (H,W,3) uint8 RGB; full_size: height and width of the file's picture the right way up, before it was
    reduced; notes: what was done that the owner may want to know, each a sentence."""

    pixels: np.ndarray
    full_size: tuple[int, int]
    notes: tuple[str, ...] = ()


def read_photo(path: str | Path) -> np.ndarray:
    """The pixels (H,W,3) uint8 RGB of a photograph, the right way up; see `open_photo`."""
    return open_photo(path).pixels


def open_photo(path: str | Path) -> Photo:
    """Read a photograph by the rules of this module.

    Raises FileNotFoundError; DamagedFile, naming the file, what was expected and what came, for what is no picture, a
    truncated or damaged one, an animation, fewer than SMALLEST pixels on a side, more than LARGEST pixels in all.
    """
    path = require_file(Path(path))
    try:
        with warnings.catch_warnings():
            # Pillow warns from 89 megapixels on; the limit here is our own, and checked before decoding.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=_readable()) as picture:
                return _photo(path, picture)
    except DamagedFile:
        raise
    except Image.UnidentifiedImageError:
        raise DamagedFile(path, EXPECTED, what_it_is(path)) from None
    except Image.DecompressionBombError as error:
        raise DamagedFile(path, f"at most {LARGEST // 10**6} megapixels", str(error)) from error
    except (OSError, SyntaxError, EOFError, ValueError) as error:
        raise DamagedFile(path, "a whole picture", f"a damaged one: {error or type(error).__name__}") from error


def _readable() -> list[str]:
    """FORMATS, as far as this Pillow has them."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _photo(path: Path, picture: Image.Image) -> Photo:
    width, height = picture.size
    if width * height > LARGEST:
        got = f"{height} x {width} = {width * height / 1e6:.0f} megapixels"
        raise DamagedFile(path, f"at most {LARGEST // 10**6} megapixels (height x width)", got)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":
        what = "pages" if picture.format == "TIFF" else "pictures, an animation: save the one that is meant"
        raise DamagedFile(path, "one picture", f"a {picture.format} of {frames} {what}")
    full_width, full_height = picture.size
    small = _shrunk(path, picture)
    # TIFF is turned while it is loaded, and has lost the tag by then; so the tag is asked for after loading
    orientation = picture.getexif().get(ORIENTATION, 1)
    if _was_turned(picture, full_width, full_height):
        full_width, full_height = full_height, full_width
    rgb, notes = _to_rgb(path, small, picture.info.get("icc_profile"))
    if orientation in TURNS:
        rgb = rgb.transpose(TURNS[orientation])
        if orientation >= 5:
            full_width, full_height = full_height, full_width
    elif orientation != 1:
        notes.append(f"its EXIF orientation {orientation!r} means nothing: read as it lies")
    if min(rgb.size) < SMALLEST:
        raise DamagedFile(path, f"at least {SMALLEST} pixels on each side", f"{rgb.height} x {rgb.width}")
    if (rgb.height, rgb.width) != (full_height, full_width):
        notes.insert(0, f"reduced from {full_height} x {full_width} to {rgb.height} x {rgb.width} pixels")
    return Photo(pixels=np.asarray(rgb), full_size=(full_height, full_width), notes=tuple(notes))


def _was_turned(picture: Image.Image, width: int, height: int) -> bool:
    """Whether a loaded picture lies the other way round than its file said: TIFF only."""
    return picture.format == "TIFF" and (picture.size[0] > picture.size[1]) != (width > height)


def _shrunk(path: Path, picture: Image.Image) -> Image.Image:
    """The loaded picture in 8 bits, its longer side at most WORKING pixels."""
    width, height = picture.size
    scale = min(1.0, WORKING / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if scale < 1:
        picture.draft(None, size)  # JPEG: decoded at 1/2, 1/4 or 1/8, never below `size`; others do nothing
    picture.load()
    size = size[::-1] if _was_turned(picture, width, height) else size
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = _eight_bits(path, picture)
    if max(picture.size) <= WORKING:
        return picture
    if picture.mode in ("1", "P", "PA"):  # indices can't be averaged
        picture = picture.convert("RGBA" if _is_transparent(picture) else "RGB")
    return picture.resize(size, Image.Resampling.BOX)


def _is_transparent(picture: Image.Image) -> bool:
    return picture.mode in TRANSPARENT or "transparency" in picture.info


def _to_rgb(path: Path, picture: Image.Image, profile: bytes | None) -> tuple[Image.Image, list[str]]:
    """The picture in mode RGB and sRGB, and notes."""
    alpha = None
    if _is_transparent(picture):
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
        picture = picture.convert("RGB")
    elif picture.mode in ("1", "P"):
        picture = picture.convert("RGB")
    elif picture.mode not in ("RGB", "L", "CMYK", "YCbCr", "RGBX"):
        raise DamagedFile(path, "colours in RGB, CMYK, YCbCr or grey", f"the mode {picture.mode}")
    rgb, notes = _to_srgb(picture, profile)
    if alpha is not None and alpha.getextrema()[0] < 255:
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
        notes.append("its transparent parts were laid on white")
    return rgb, notes


def _eight_bits(path: Path, picture: Image.Image) -> Image.Image:
    """Grey of 16 bits (mode I;16, or I with such values) as grey of 8; DamagedFile for values without a scale."""
    values = np.asarray(picture)
    if picture.mode == "F" or values.min() < 0 or values.max() > 65535:
        got = f"values from {values.min()} to {values.max()} in mode {picture.mode}"
        raise DamagedFile(path, "grey values of 8 or 16 bits", got)
    # 65535 -> 255 and rounded, not cut: 257 steps of the one are a step of the other
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _to_srgb(picture: Image.Image, profile: bytes | None) -> tuple[Image.Image, list[str]]:
    if profile is None:
        return picture.convert("RGB"), []
    try:
        from PIL import ImageCms

        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
    except (ImportError, OSError, ValueError) as error:  # PyCMSError is no OSError, but this constructor raises one
        return picture.convert("RGB"), [f"its colour profile can't be used ({error}): taken as sRGB"]
    if space != {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}.get(picture.mode):
        return picture.convert("RGB"), [f"its colour profile is for {space}, not {picture.mode}: taken as sRGB"]
    if "sRGB" in (source.profile.profile_description or ""):
        return picture.convert("RGB"), []
    try:
        converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError as error:
        return picture.convert("RGB"), [f"its colour profile can't be used ({error}): taken as sRGB"]
    return converted, []


def what_it_is(path: Path) -> str:
    """In words, what a file that no picture format recognises is, by its first bytes."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "an empty file"
    if start[4:8] == b"ftyp":
        if start[8:12] in (b"heic", b"heix", b"mif1", b"hevc", b"heim"):
            return "a HEIC picture, which Pillow can't read: export it as JPEG"
        return "a film"
    for magic, name in KNOWN.items():
        if start.startswith(magic):
            return name
    try:
        start[: len(start) - 4 or None].decode("utf-8")  # the last character may be cut in two
    except UnicodeDecodeError:
        return "a file of no format that is known here"
    return "a file of no format that is known here" if b"\0" in start else "a text file"


def as_photo(photo: str | Path | np.ndarray | object, name: str = "photo") -> Photo:
    """A photograph given as a path, an array (H,W,3) uint8 RGB, or a tensor (3,H,W) float in [-1,1].

    name: of the argument, for the errors. Raises as `open_photo` does, TypeError for another type, ValueError for
    another shape or range.
    """
    if isinstance(photo, (str, Path)):
        return open_photo(photo)
    if isinstance(photo, np.ndarray):
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
            raise ValueError(f"{name}: expected an array (H, W, 3) uint8, got {photo.shape} {photo.dtype}")
        pixels = photo
    else:
        pixels = _from_tensor(photo, name)
    if min(pixels.shape[:2]) < SMALLEST:
        raise ValueError(f"{name}: expected at least {SMALLEST} pixels on each side, got {pixels.shape[:2]}")
    if pixels.shape[0] * pixels.shape[1] > LARGEST:
        raise ValueError(f"{name}: expected at most {LARGEST // 10**6} megapixels, got {pixels.shape[:2]}")
    return Photo(pixels=pixels, full_size=pixels.shape[:2])


def _from_tensor(photo: object, name: str) -> np.ndarray:
    import torch

    if not isinstance(photo, torch.Tensor):
        raise TypeError(f"{name}: expected a path, an array or a tensor, got {type(photo).__name__}")
    if photo.ndim != 3 or photo.shape[0] != 3 or not photo.is_floating_point():
        raise ValueError(f"{name}: expected a float tensor (3, H, W), got {tuple(photo.shape)} {photo.dtype}")
    low, high = (float(value) for value in photo.detach().aminmax())
    if not (low >= -1.001 and high <= 1.001):  # NaN fails too
        raise ValueError(f"{name}: expected values in [-1, 1], got [{low:.3g}, {high:.3g}]")
    levels = ((photo.detach().cpu().float() + 1) * 127.5).round().clamp(0, 255)
    return np.ascontiguousarray(levels.to(torch.uint8).permute(1, 2, 0).numpy())


def name_of(picture: object, otherwise: str) -> str:
    """A name for the files of a picture: the stem of its path, spaces as underscores."""
    if not isinstance(picture, (str, Path)):
        return otherwise
    return "_".join(Path(picture).stem.split()).lstrip(".") or otherwise
