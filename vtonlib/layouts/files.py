"""Reading and writing single files of a data set: checked on the way in, whole on the way out.

A file that can't be what its folder says is refused with a `DamagedFile` that names it, what was expected, what came.
A file is written under a temporary name and renamed, so that an interrupted run leaves no half file.

Needs NumPy and Pillow only.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ..labels import BODY_25_INDEX, COCO_18_FROM_BODY_25

JPEG_QUALITY = 95
PLAIN_QUALITY = 85  # of masks and drawings: flat areas; a mask comes back exactly
OPENPOSE_VERSION = 1.3
ABSURD = 10  # a keypoint this many pictures away is a damaged file, not a hand below the edge
HAND_KEYS = ("hand_left_keypoints_2d", "hand_right_keypoints_2d")


class DamagedFile(ValueError):
    """A file that does not hold what it should: `path`, `expected`, `got`."""

    def __init__(self, path: Path, expected: str, got: str):
        super().__init__(f"{path}: expected {expected}, got {got}")
        self.path, self.expected, self.got = Path(path), expected, got


def require_file(path: Path) -> Path:
    """The path; FileNotFoundError naming it if there is no such file."""
    if not path.is_file():
        near = "a folder of that name" if path.is_dir() else "nothing there"
        raise FileNotFoundError(f"{path}: expected a file, got {near}")
    return path


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file: under a temporary name beside it first, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


# ---- pictures ------------------------------------------------------------------------------------------------------


def read_picture(path: Path, *, modes: tuple[str, ...], size: tuple[int, int] | None = None) -> np.ndarray:
    """Pixels of a JPEG or PNG as stored: (H,W,3) for RGB, (H,W) for L, P (the indices, not the colours) and I;16.

    modes: the Pillow modes that are allowed; size: the height and width it must have, if any.
    Raises FileNotFoundError, or DamagedFile for another mode or size and for a file that can't be decoded to its end.
    """
    require_file(path)
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as picture:
            if picture.mode not in modes:
                raise DamagedFile(path, f"a picture of mode {' or '.join(modes)}", f"mode {picture.mode}")
            height_width = picture.size[::-1]
            if size is not None and height_width != tuple(size):
                raise DamagedFile(
                    path, f"{size[0]} x {size[1]} pixels (height x width)", "{} x {}".format(*height_width)
                )
            picture.load()
            return np.array(picture)
    except (OSError, SyntaxError, Image.DecompressionBombError, EOFError) as error:
        raise DamagedFile(path, "a whole JPEG or PNG", str(error) or type(error).__name__) from error
    except ValueError as error:
        if isinstance(error, DamagedFile):
            raise
        raise DamagedFile(path, "a whole JPEG or PNG", str(error)) from error


def read_parse(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Label indices (H,W) uint8 in 0..19 of a palette PNG (or a grey one that holds the indices)."""
    parse = read_picture(path, modes=("P", "L"), size=size)
    if parse.max(initial=0) > 19:
        raise DamagedFile(path, "LIP labels 0..19", f"the value {parse.max()}")
    return parse


def read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Mask (H,W) bool of a grey picture, JPEG ringing taken off: 1 from the value 128 on."""
    return read_picture(path, modes=("L",), size=size) >= 128


def encode_jpeg(pixels: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """(H,W,3) or (H,W) uint8 as a JPEG without colour subsampling."""
    return _encode(Image.fromarray(pixels), "JPEG", quality=quality, subsampling=0, optimize=True)


def encode_mask_jpeg(mask: np.ndarray) -> bytes:
    """(H,W) bool as a grey JPEG, 255 where it is True."""
    return encode_jpeg(encode_mask(mask), PLAIN_QUALITY)


def encode_png(pixels: np.ndarray, palette: tuple[tuple[int, int, int], ...] | None = None) -> bytes:
    """(H,W,3) uint8, (H,W) uint8 or uint16 as a PNG; with a palette, (H,W) uint8 are indices into it."""
    picture = Image.fromarray(pixels)
    if palette is not None:
        picture.putpalette([channel for colour in palette for channel in colour])
    return _encode(picture, "PNG", compress_level=6)


def _encode(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def encode_mask(mask: np.ndarray) -> np.ndarray:
    """bool -> uint8 0 and 255."""
    return np.where(mask, np.uint8(255), np.uint8(0))


# ---- keypoints -----------------------------------------------------------------------------------------------------


def encode_keypoints(pose: np.ndarray, hands: np.ndarray | None, *, coco: bool = False) -> bytes:
    """OpenPose JSON 1.3 with BODY_25 and, if given, both hands; coordinates to 1/1000 of a pixel.

    pose (25,3), hands (2,21,3) or None; coco: add "pose_keypoints", the 18 points of OpenPose 1.0.
    Raises ValueError for other shapes and for NaN and infinity.
    """
    for name, points, shape in (("pose", pose, (25, 3)), ("hands", hands, (2, 21, 3))):
        if points is not None and (np.shape(points) != shape or not np.isfinite(points).all()):
            raise ValueError(
                f"{name}: expected finite numbers of shape {shape}, got shape {np.shape(points)}: {points}"
            )

    def flat(points: np.ndarray | None) -> list[float]:
        return [] if points is None else [round(float(value), 3) for value in np.asarray(points).reshape(-1)]

    left, right = (None, None) if hands is None else hands
    person = {
        "person_id": [-1],
        "pose_keypoints_2d": flat(pose),
        "face_keypoints_2d": [],
        "hand_left_keypoints_2d": flat(left),
        "hand_right_keypoints_2d": flat(right),
        "pose_keypoints_3d": [],
        "face_keypoints_3d": [],
        "hand_left_keypoints_3d": [],
        "hand_right_keypoints_3d": [],
    }
    if coco:
        person["pose_keypoints"] = flat(np.asarray(pose)[list(COCO_18_FROM_BODY_25)])
    return (json.dumps({"version": OPENPOSE_VERSION, "people": [person]}) + "\n").encode()


def read_keypoints(path: Path, size: tuple[int, int], *, lenient: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
    """Pose (25,3) and hands (2,21,3) (None if there are none) float32 of an OpenPose JSON file of one person.

    size: height and width of the photograph. A point outside it keeps its coordinates and gets the confidence 0. A
    missing point is (0, 0, 0). One missing hand is all zeros. Face keypoints are not read. Files of OpenPose 1.0 have
    the 18 points of COCO under "pose_keypoints"; the middle of their hips is added, the feet are missing.
    lenient: of several people the first is taken, and where OpenPose found nobody all points are missing.

    Raises FileNotFoundError, or DamagedFile: not JSON, no person or several, a wrong number of values, values that are
    not finite numbers, a negative confidence, a point more than ten pictures away.
    """
    require_file(path)
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedFile(path, "an OpenPose JSON file", f"no JSON ({error})") from error
    people = document.get("people") if isinstance(document, dict) else None
    if not isinstance(people, list):
        raise DamagedFile(path, 'an OpenPose JSON file with a list "people"', _kind(people, document))
    if lenient and not people:
        return np.zeros((25, 3), np.float32), None
    if len(people) != 1 and not lenient:
        raise DamagedFile(path, "one person", f"{len(people)} people")
    if not isinstance(people[0], dict):
        raise DamagedFile(path, "a person as a JSON object", _kind(people[0]))
    pose = _points(path, people[0], "pose_keypoints_2d", 25, size)
    if pose is None:
        pose = _from_coco(_points(path, people[0], "pose_keypoints", 18, size))
    if pose is None:
        raise DamagedFile(path, 'BODY_25 keypoints under "pose_keypoints_2d"', "none")
    hands = [_points(path, people[0], key, 21, size) for key in HAND_KEYS]
    if all(hand is None for hand in hands):
        return pose, None
    return pose, np.stack([np.zeros((21, 3), np.float32) if hand is None else hand for hand in hands])


def _from_coco(points: np.ndarray | None) -> np.ndarray | None:
    """COCO-18 points (18,3) -> BODY_25 (25,3) with the middle of the hips where both are there, and without feet."""
    if points is None:
        return None
    pose = np.zeros((25, 3), np.float32)
    pose[list(COCO_18_FROM_BODY_25)] = points
    hips = pose[[BODY_25_INDEX["right-hip"], BODY_25_INDEX["left-hip"]]]
    if (hips[:, :2] != 0).any(axis=1).all():
        pose[BODY_25_INDEX["mid-hip"]] = [*hips[:, :2].mean(axis=0), hips[:, 2].min()]
    return pose


def _kind(*values) -> str:
    return " in ".join("nothing" if value is None else type(value).__name__ for value in values)


def _points(path: Path, person: dict, key: str, count: int, size: tuple[int, int]) -> np.ndarray | None:
    values = person.get(key)
    if values is None or values == []:
        return None
    if not isinstance(values, list) or len(values) != 3 * count:
        got = f"{len(values)} values" if isinstance(values, list) else _kind(values)
        raise DamagedFile(path, f'{count} x 3 numbers under "{key}"', got)
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise DamagedFile(path, f'numbers under "{key}"', "other values among them")
    try:
        points = np.array(values, np.float64).reshape(count, 3)
    except OverflowError:
        raise DamagedFile(path, f'coordinates in or near the picture under "{key}"', "an endless integer") from None
    if not np.isfinite(points).all():
        raise DamagedFile(path, f'finite numbers under "{key}"', "NaN or infinity")
    height, width = size
    x, y, confidence = points.T
    if (np.abs(x) > ABSURD * width).any() or (np.abs(y) > ABSURD * height).any():
        farthest = points[np.argmax(np.maximum(np.abs(x) / width, np.abs(y) / height)), :2]
        raise DamagedFile(
            path, f"keypoints in or near the picture of {height} x {width}", f"{farthest.tolist()} in {key}"
        )
    if (confidence < 0).any():
        raise DamagedFile(path, f'confidences of 0 or more under "{key}"', f"{confidence.min()}")
    outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    points[outside, 2] = 0
    return points.astype(np.float32)


# ---- pairs ---------------------------------------------------------------------------------------------------------


def write_pairs(path: Path, pairs: list[tuple[str, str]]) -> None:
    """Write a pairs file, one line `PERSON.jpg GARMENT.jpg` a pair.

    pairs: person and garment names, with or without `.jpg`. Raises ValueError for a name that a line can't hold.
    """
    for pair in pairs:
        for name in pair:
            if len(name.split()) != 1 or name != name.strip() or not is_plain(name):
                raise ValueError(f"pairs: expected names without spaces and slashes, got {name!r}")
    lines = (f"{_stem(person)}.jpg {_stem(garment)}.jpg\n" for person, garment in pairs)
    write_bytes(Path(path), "".join(lines).encode())


def is_plain(name: str) -> bool:
    """Whether a name can be that of a file in a folder: no slashes, not hidden."""
    return not (set(name) & set("/\\")) and not name.startswith(".")


def _stem(name: str) -> str:
    return name.removesuffix(".jpg").removesuffix(".png")


def read_lines(path: Path) -> list[str]:
    """The lines of a text file. Raises FileNotFoundError, or DamagedFile if it is not UTF-8."""
    require_file(path)
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DamagedFile(path, "a text file in UTF-8", str(error)) from error


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Person and garment names (without extension) of a pairs file, in its order; blank lines are skipped.

    Raises FileNotFoundError, or DamagedFile naming the line that does not hold two names.
    """
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        names = line.split()
        if not names:
            continue
        if len(names) != 2:
            raise DamagedFile(
                path, f"two names, person and garment, in line {number}", f"{len(names)}: {line.strip()!r}"
            )
        for name in names:
            if not is_plain(name):
                raise DamagedFile(path, f"plain file names in line {number}", repr(name))
        pairs.append((_stem(names[0]), _stem(names[1])))
    return pairs


def checked(path: Path, what: str, read: Callable, *arguments):
    """`read(path, ...)`, its complaint naming the file (for decoders that see values, not files)."""
    try:
        return read(*arguments)
    except ValueError as error:
        raise DamagedFile(path, what, str(error)) from error
