"""Photographs as they come: turned, transparent, grey, deep, huge, animated, broken, or no photographs at all."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from vtonlib.layouts.files import DamagedFile
from vtonlib.perceive.photo import LARGEST, SMALLEST, WORKING, as_photo, name_of, open_photo, read_photo

# A picture stored turned so that the EXIF orientation turns it back: what is done to it for each value of the tag.
STORED = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def quarters(height=64, width=48) -> np.ndarray:
    """Four corners of four colours, so that every turn and mirror image differs."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = 220, 40, 40
    pixels[: height // 2, width // 2 :] = 40, 200, 60
    pixels[height // 2 :, : width // 2] = 50, 60, 210
    return pixels


def tagged(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


# ---- orientation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_is_turned_upright(tmp_path, kind, orientation):
    stored = Image.fromarray(quarters())
    if STORED[orientation] is not None:
        stored = stored.transpose(STORED[orientation])
    options = {"quality": 100, "subsampling": 0} if kind == "jpg" else {"lossless": True} if kind == "webp" else {}
    stored.save(tmp_path / f"a.{kind}", exif=tagged(orientation), **options)
    photo = open_photo(tmp_path / f"a.{kind}")
    assert photo.pixels.shape == (64, 48, 3) and photo.full_size == (64, 48) and photo.notes == ()
    assert np.abs(photo.pixels.astype(int) - quarters()).mean() < 2


def test_an_orientation_that_means_nothing_is_said(tmp_path):
    Image.fromarray(quarters()).save(tmp_path / "a.png", exif=tagged(17))
    photo = open_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, quarters())
    assert "17" in photo.notes[0]


# ---- colours -------------------------------------------------------------------------------------------------------


def test_transparent_parts_are_white(tmp_path):
    pixels = np.dstack([quarters(), np.full((64, 48), 255, np.uint8)])
    pixels[:32, :, 3], pixels[32:, 24:, 3] = 0, 51
    Image.fromarray(pixels).save(tmp_path / "a.png")
    photo = open_photo(tmp_path / "a.png")
    assert (photo.pixels[:32] == 255).all() and (photo.pixels[32:, :24] == (50, 60, 210)).all()
    assert (photo.pixels[32:, 24:] == 204).all()  # black, a fifth of it
    assert "white" in photo.notes[0]


def test_a_transparent_colour_of_a_palette_is_white(tmp_path):
    picture = Image.new("P", (48, 64), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.paste(0, (0, 0, 48, 32))
    picture.save(tmp_path / "a.png", transparency=0)
    pixels = read_photo(tmp_path / "a.png")
    assert (pixels[:32] == 255).all() and (pixels[32:] == (10, 20, 30)).all()


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bits_become_eight(tmp_path, kind):
    values = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(64, 48)
    Image.fromarray(values).save(tmp_path / f"a.{kind}")
    pixels = read_photo(tmp_path / f"a.{kind}")
    assert pixels.shape == (64, 48, 3) and (pixels[..., 0] == pixels[..., 2]).all()
    assert np.abs(pixels[..., 0].astype(float) - values / 257).max() <= 0.5


@pytest.mark.parametrize(("mode", "colour", "expected"), [
    ("L", 77, (77, 77, 77)), ("1", 1, (255, 255, 255)), ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
    ("LA", (9, 255), (9, 9, 9)),
])  # fmt: skip
def test_other_modes_become_rgb(tmp_path, mode, colour, expected):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new(mode, (48, 64), colour).save(path)
    photo = open_photo(path)
    assert photo.notes == () and (photo.pixels == expected).all() and photo.pixels.shape == (64, 48, 3)


def test_values_without_a_scale_are_refused(tmp_path):
    Image.new("F", (48, 64), 0.5).save(tmp_path / "a.tif")
    with pytest.raises(DamagedFile, match=r"8 or 16 bits.*mode F"):
        read_photo(tmp_path / "a.tif")


def test_a_colour_profile_is_used(tmp_path):
    """In CIE XYZ white is not (1, 1, 1), so numbers that are taken as they lie would be others."""
    xyz = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(quarters()).save(tmp_path / "srgb.png", icc_profile=srgb)
    np.testing.assert_array_equal(read_photo(tmp_path / "srgb.png"), quarters())
    Image.fromarray(quarters()).save(tmp_path / "xyz.png", icc_profile=xyz)
    assert "XYZ" in open_photo(tmp_path / "xyz.png").notes[0]
    Image.fromarray(quarters()).save(tmp_path / "broken.png", icc_profile=b"no profile")
    photo = open_photo(tmp_path / "broken.png")
    assert "taken as sRGB" in photo.notes[0] and (photo.pixels == quarters()).all()


def test_a_profile_of_another_screen_changes_the_numbers(tmp_path):
    """sRGB with its red and blue primaries exchanged: the same numbers are then other colours."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = {
        bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * struct.unpack(">I", profile[128:132])[0], 12)
    }
    red, blue = entries[b"rXYZ"] + 4, entries[b"bXYZ"] + 4
    profile[red : red + 8], profile[blue : blue + 8] = profile[blue : blue + 8], profile[red : red + 8]
    named = bytes(profile).replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be")).replace(b"sRGB", b"test")
    Image.new("RGB", (48, 64), (200, 20, 20)).save(tmp_path / "a.png", icc_profile=named)
    red, _, blue = read_photo(tmp_path / "a.png")[0, 0]
    assert blue > 150 > red


# ---- size ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_fifty_megapixels_are_reduced(tmp_path, kind):
    big = Image.new("RGB", (8660, 5774), (200, 200, 200))
    big.paste((30, 60, 90), (0, 0, 4330, 5774))
    big.save(tmp_path / f"a.{kind}", exif=tagged(6), **({"compress_level": 1} if kind == "png" else {}))
    photo = open_photo(tmp_path / f"a.{kind}")
    assert photo.full_size == (8660, 5774) and photo.pixels.shape == (WORKING, 2731, 3)
    assert "8660 x 5774" in photo.notes[0]
    assert np.abs(photo.pixels[:2040].astype(int) - (30, 60, 90)).max() < 4  # the left half, turned to the top
    assert np.abs(photo.pixels[2056:].astype(int) - 200).max() < 4


def png_of_size(height: int, width: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [12_500, 30_000])  # above our limit; above Pillow's own
def test_a_decompression_bomb_is_refused_before_decoding(tmp_path, side):
    assert side**2 > LARGEST
    (tmp_path / "a.png").write_bytes(png_of_size(side, side))
    with pytest.raises(DamagedFile, match=r"a\.png: expected at most 150 megapixels"):
        read_photo(tmp_path / "a.png")


def test_a_few_pixels_are_no_photograph(tmp_path):
    Image.new("RGB", (200, SMALLEST - 1)).save(tmp_path / "a.png")
    with pytest.raises(DamagedFile, match="at least 32 pixels"):
        read_photo(tmp_path / "a.png")


# ---- no photograph -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
def test_animations_are_refused_and_still_ones_read(tmp_path, kind):
    one, other = Image.fromarray(quarters()), Image.fromarray(quarters()[::-1])
    one.save(tmp_path / f"still.{kind}")
    assert read_photo(tmp_path / f"still.{kind}").shape == (64, 48, 3)
    one.save(tmp_path / f"moves.{kind}", save_all=True, append_images=[other])
    with pytest.raises(DamagedFile, match=f"moves.{kind}: expected one picture, got .* 2 pictures, an animation"):
        read_photo(tmp_path / f"moves.{kind}")


def test_pages_are_refused_and_the_first_of_a_camera_is_read(tmp_path):
    one, other = Image.fromarray(quarters()), Image.fromarray(quarters()[::-1])
    one.save(tmp_path / "pages.tif", save_all=True, append_images=[other])
    with pytest.raises(DamagedFile, match="2 pages"):
        read_photo(tmp_path / "pages.tif")
    one.save(tmp_path / "camera.jpg", "MPO", save_all=True, append_images=[other], quality=100)
    assert np.abs(read_photo(tmp_path / "camera.jpg").astype(int) - quarters()).mean() < 4


@pytest.mark.parametrize(("content", "said"), [
    (b"", "an empty file"), ("Liebe Grüße\n".encode() * 100, "a text file"), (b"%PDF-1.7 ...", "a PDF document"),
    (b"\0\0\0\x18ftypheic" + bytes(100), "HEIC"), (b"\0\0\0\x18ftypisom" + bytes(100), "a film"),
    (bytes(range(256)), "no format that is known"),
])  # fmt: skip
def test_what_is_no_picture_is_called_by_its_name(tmp_path, content, said):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DamagedFile, match=rf"a\.jpg: expected a photograph .*, got .*{said}"):
        read_photo(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "bmp", "tif", "gif"])
def test_truncated_files_are_named(tmp_path, kind):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper()))
    whole = buffer.getvalue()
    (tmp_path / f"a.{kind}").write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.raises(DamagedFile, match=rf"a\.{kind}: expected"):
        read_photo(tmp_path / f"a.{kind}")


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nix"):
        read_photo(tmp_path / "nix.jpg")
    with pytest.raises(FileNotFoundError, match="a folder"):
        read_photo(tmp_path)


# ---- arrays and tensors --------------------------------------------------------------------------------------------


def test_arrays_and_tensors_are_photographs_too(tmp_path):
    tensor = torch.from_numpy(quarters().transpose(2, 0, 1).copy()).float() / 127.5 - 1
    np.testing.assert_array_equal(as_photo(tensor).pixels, quarters())
    np.testing.assert_array_equal(as_photo(quarters()).pixels, quarters())
    Image.fromarray(quarters()).save(tmp_path / "a.png")
    np.testing.assert_array_equal(as_photo(str(tmp_path / "a.png")).pixels, quarters())


@pytest.mark.parametrize(("wrong", "error", "said"), [
    (quarters() / 255.0, ValueError, "uint8"), (quarters()[..., 0], ValueError, r"\(H, W, 3\)"),
    (torch.full((3, 64, 48), 255.0), ValueError, "255"), (torch.full((3, 64, 48), torch.nan), ValueError, "nan"),
    (torch.zeros(1, 3, 64, 48), ValueError, r"\(3, H, W\)"), (torch.zeros(3, 8, 48), ValueError, "32 pixels"),
    (3, TypeError, "int"),
])  # fmt: skip
def test_other_values_are_refused(wrong, error, said):
    with pytest.raises(error, match=f"photo: .*{said}"):
        as_photo(wrong)


def test_names_can_stand_in_a_pairs_file():
    assert name_of("a/My  holiday.photo.jpg", "x") == "My_holiday.photo" and name_of(quarters(), "x") == "x"
