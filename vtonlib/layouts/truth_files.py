"""The files of a picture that every layout shares: its annotations one by one, and pictures that only the studio has.

A field of a `RawSample` is one PNG (its keypoints one JSON file) in a folder of its own; `FIELDS` says how each is
encoded and read. Which folder holds which field is the layout's matter, given as a table {field: folder}.

In the studio's data sets all layouts have

    flow/STEM.png  flow-back/STEM.png       true flow to the front and the back picture of the own garment (`flow.py`)
    truth-hidden/STEM.png                   255 where the worn garment is behind something
    truth-depth/STEM.png                    metres * 5000 (`depth.py`)
    truth-unpaired/STEM--GARMENT.jpg        this person, pose and view in that garment, with
    truth-unpaired-{parse,flow,flow-back,hidden}/STEM--GARMENT.png
    truth-new-pose/STEM.jpg                 this person and the own garment in another pose, with
    truth-new-pose-{parse,iuv}/STEM.png  truth-new-pose-keypoints/STEM_keypoints.json

The last two may have pictures of some people only; who has one has its annotations too.

Convention: a mask is 255 on the thing that its folder is named after.

Needs NumPy and Pillow only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..labels import LIP_PALETTE
from ..sample import RawSample
from .depth import decode_depth, encode_depth
from .files import (
    DamagedFile,
    checked,
    encode_jpeg,
    encode_keypoints,
    encode_mask,
    encode_png,
    read_keypoints,
    read_mask,
    read_parse,
    read_picture,
    require_file,
    write_bytes,
)
from .flow import decode_flow, encode_flow

OWN_TRUTH = {"flow": "flow", "flow_back": "flow-back", "hidden": "truth-hidden", "depth": "truth-depth"}
UNPAIRED = {
    "image": "truth-unpaired", "parse": "truth-unpaired-parse", "flow": "truth-unpaired-flow",
    "flow_back": "truth-unpaired-flow-back", "hidden": "truth-unpaired-hidden",
}  # fmt: skip

NEW_POSE = {
    "image": "truth-new-pose", "parse": "truth-new-pose-parse", "pose": "truth-new-pose-keypoints",
    "densepose": "truth-new-pose-iuv",
}  # fmt: skip
GARMENT = ("garment_name", "cloth", "cloth_mask", "cloth_back", "cloth_back_mask")


def unpaired_name(person: str, garment: str) -> str:
    """Stem of the files that show `person` in `garment` (studio only)."""
    return f"{person}--{garment}"


# ---- how each field is kept ----------------------------------------------------------------------------------------


def read_flow(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Flow (H,W,2) float32 of a picture of height and width `size`."""
    return checked(path, "a flow", decode_flow, read_picture(path, modes=("I;16",), size=(2 * size[0], size[1])))


def read_depth(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Depth (H,W) float32 in metres."""
    return checked(path, "a depth", decode_depth, read_picture(path, modes=("I;16",), size=size))


def read_photograph(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """(H,W,3) uint8 RGB."""
    return read_picture(path, modes=("RGB",), size=size)


def check_parts(path: Path, densepose: np.ndarray) -> np.ndarray:
    """The same DensePose picture; DamagedFile for a part above 24 in the first channel."""
    if densepose[..., 0].max(initial=0) > 24:
        raise DamagedFile(path, "DensePose parts 0..24 in the first channel", f"the value {densepose[..., 0].max()}")
    return densepose


def read_densepose(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(H,W,3) uint8: part, u * 255, v * 255."""
    return check_parts(path, read_photograph(path, size))


class Kind(NamedTuple):
    """How a field is kept in a file: what follows the stem, encode(value) -> bytes, read(path, size) -> value."""

    end: str
    encode: Callable[[np.ndarray], bytes]
    read: Callable[[Path, tuple[int, int]], np.ndarray]


FIELDS = {
    "image": Kind(".jpg", encode_jpeg, read_photograph),
    "parse": Kind(".png", lambda parse: encode_png(parse, LIP_PALETTE), read_parse),
    "densepose": Kind(".png", encode_png, read_densepose),
    "flow": Kind(".png", lambda flow: encode_png(encode_flow(flow)), read_flow),
    "flow_back": Kind(".png", lambda flow: encode_png(encode_flow(flow)), read_flow),
    "hidden": Kind(".png", lambda hidden: encode_png(encode_mask(hidden)), read_mask),
    "depth": Kind(".png", lambda depth: encode_png(encode_depth(depth)), read_depth),
}


def encode_fields(raw: RawSample, stem: str, folders: dict[str, str]) -> dict[str, bytes]:
    """Files {path: content} of the fields in `folders` ({field: folder}) that the record has; hands go with "pose"."""
    files = {}
    for field, folder in folders.items():
        value = getattr(raw, field)
        if value is None:
            continue
        if field == "pose":
            files[f"{folder}/{stem}_keypoints.json"] = encode_keypoints(value, raw.hands)
        else:
            files[f"{folder}/{stem}{FIELDS[field].end}"] = FIELDS[field].encode(value)
    return files


def read_fields(root: Path, stem: str, folders: dict[str, str], size: tuple[int, int]) -> dict:
    """The fields in `folders` whose folder is there; "pose" brings the hands.

    size: height and width that each must have. Raises FileNotFoundError or DamagedFile naming the file.
    """
    fields = {}
    for field, folder in folders.items():
        if not (root / folder).is_dir():
            continue
        if field == "pose":
            path = require_file(root / folder / f"{stem}_keypoints.json")
            fields["pose"], fields["hands"] = read_keypoints(path, size)
        else:
            fields[field] = FIELDS[field].read(root / folder / f"{stem}{FIELDS[field].end}", size)
    return fields


# ---- whole records -------------------------------------------------------------------------------------------------


def check_sizes(raw: RawSample) -> None:
    """Raise ValueError if fields of a record have other sizes than their picture, or if a label is no LIP label."""
    groups = (
        ("image", ("parse", "skeleton", "densepose", "flow", "flow_back", "hidden", "depth")),
        ("cloth", ("cloth_mask",)),
        ("cloth_back", ("cloth_back_mask",)),
    )
    for picture, others in groups:
        for name in others:
            value, expected = getattr(raw, name), getattr(raw, picture)
            if value is None:
                continue
            if expected is None or value.shape[:2] != expected.shape[:2]:
                size = "no such picture" if expected is None else expected.shape[:2]
                raise ValueError(f"sample {raw.name!r}: {name} is {value.shape[:2]}, but {picture} is {size}")
    if raw.parse is not None and raw.parse.max(initial=0) > 19:
        raise ValueError(f"sample {raw.name!r}: parse: expected LIP labels 0..19, got {raw.parse.max()}")


def encode_unpaired(raw: RawSample, stem: str) -> dict[str, bytes]:
    """Files of `raw.unpaired`, without its garment; stem: of the person's files.

    Raises ValueError if it shows another person.
    """
    other = raw.unpaired
    if other is None:
        return {}
    if other.name != raw.name:
        raise ValueError(f"sample {raw.name!r}: unpaired is another person, {other.name!r}")
    check_sizes(other)
    return encode_fields(other, unpaired_name(stem, other.garment_name), UNPAIRED)


def read_unpaired(root: Path, stem: str, garment: str, size: tuple[int, int]) -> dict | None:
    """The fields of a person's picture in another garment; None if the data set has no such picture."""
    stem = unpaired_name(stem, garment)
    if not (root / UNPAIRED["image"] / f"{stem}.jpg").is_file():
        return None
    return read_fields(root, stem, UNPAIRED, size)


def encode_new_pose(raw: RawSample, stem: str) -> dict[str, bytes]:
    """Files of `raw.new_pose`, without its garment. Raises ValueError for another person or garment."""
    other = raw.new_pose
    if other is None:
        return {}
    if (other.name, other.garment_name) != (raw.name, raw.garment_name):
        raise ValueError(
            f"sample {raw.name!r} in {raw.garment_name!r}: new_pose is {other.name!r} in {other.garment_name!r}"
        )
    check_sizes(other)
    return encode_fields(other, stem, NEW_POSE)


def read_new_pose(root: Path, stem: str, sample: RawSample) -> RawSample | None:
    """The sample's person and garment in another pose; None if the data set has no such picture."""
    if not (root / NEW_POSE["image"] / f"{stem}.jpg").is_file():
        return None
    fields = read_fields(root, stem, NEW_POSE, sample.image.shape[:2])
    return RawSample(name=sample.name, **fields, **{name: getattr(sample, name) for name in GARMENT})


def write_files(root: Path, files: dict[str, bytes], *, keep: dict[str, bytes] | None = None) -> None:
    """Write {path: content} under a folder in order; those in `keep` only where there is no such file yet."""
    for path, data in (keep or {}).items():
        if not (root / path).exists():
            write_bytes(root / path, data)
    for path, data in files.items():
        write_bytes(root / path, data)
