"""The layout of VITON-HD, read and written.

    ROOT/test_pairs.txt                       PERSON.jpg GARMENT.jpg: who tries on what (unpaired)
    ROOT/test_pairs_paired.txt                who wears what; without it the own garment is named like the person
    ROOT/studio.json                          only the studio's: the recipe
    ROOT/{train,test}/
      image/NAME.jpg                          the photograph
      cloth/GARMENT.jpg  cloth-mask/GARMENT.jpg
      image-parse-v3/NAME.png                 label indices (palette PNG); in the demo release: image-parse
      openpose_json/NAME_keypoints.json       BODY_25 and hands; demo: openpose-json
      openpose_img/NAME_rendered.png          coloured skeleton; demo: openpose-img
      image-densepose/NAME.jpg                a coloured picture: parts can't be read back from it
      image-parse-agnostic-v3.2/NAME.png  agnostic-v3.2/NAME.jpg  agnostic-mask/NAME_mask.png
    and in the studio's data sets
      cloth-back/GARMENT.jpg  cloth-back-mask/GARMENT.jpg
      densepose-iuv/NAME.png                  lossless RGB: part, u * 255, v * 255
      flow/NAME.png                           true flow to the own garment's picture (see `flow.py`)
      truth-hidden/NAME.png                   255 where the worn top is behind something
      truth-unpaired/NAME--GARMENT.jpg        this person and pose in that garment, with
      truth-unpaired-{parse,flow,hidden}/NAME--GARMENT.png

What is missing as a folder is None in the sample; a file that is missing in a folder that is there is an error.
Needs NumPy and Pillow only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from ..labels import LIP_PALETTE
from ..represent import draw_human_agnostic, draw_parse_agnostic, draw_skeleton
from ..sample import RawSample
from .files import (
    DamagedFile,
    checked,
    encode_jpeg,
    encode_keypoints,
    encode_mask,
    encode_png,
    read_keypoints,
    read_mask,
    read_pairs,
    read_parse,
    read_picture,
    require_file,
    write_bytes,
    write_pairs,
)
from .flow import decode_flow, encode_flow

__all__ = ["VitonHD", "write_pairs", "write_sample"]

PAIRINGS = ("paired", "unpaired")
PARSE_FOLDERS = ("image-parse-v3", "image-parse")
JSON_FOLDERS = ("openpose_json", "openpose-json")
SKELETON_FOLDERS = ("openpose_img", "openpose-img")


def unpaired_name(person: str, garment: str) -> str:
    """Stem of the files that show `person` in `garment` (studio only)."""
    return f"{person}--{garment}"


def _densepose_palette() -> np.ndarray:
    """25 RGB colours, black for the background, then from dark blue over green to yellow."""
    anchors = np.array([(48, 42, 135), (15, 115, 220), (20, 170, 190), (130, 190, 125), (235, 190, 70), (248, 250, 20)])
    at = np.linspace(0, len(anchors) - 1, 24)
    ramp = np.stack([np.interp(at, np.arange(len(anchors)), anchors[:, channel]) for channel in range(3)], axis=1)
    return np.vstack([np.zeros((1, 3)), np.rint(ramp)]).astype(np.uint8)


DENSEPOSE_PALETTE = _densepose_palette()


# ---- writing -------------------------------------------------------------------------------------------------------


def write_sample(split_dir: Path, raw: RawSample) -> None:
    """Write every file of one sample under `split_dir` (ROOT/train or ROOT/test), with what is drawn from it.

    Fields that are None have no files. With parse and pose, the agnostics are drawn; with a pose and no skeleton, the
    skeleton. Of `unpaired` the photograph, parse, flow and hidden are written, and its garment unless it is there.
    The same sample gives the same bytes. Raises ValueError for fields whose sizes don't fit the photograph's.
    """
    split_dir = Path(split_dir)
    _check_sizes(raw)
    # The photograph comes last: a sample of an interrupted run is complete if it has one.
    for path, data in {**_person_files(raw), **_garment_files(raw), **_unpaired_files(split_dir, raw)}.items():
        write_bytes(split_dir / path, data)
    write_bytes(split_dir / "image" / f"{raw.name}.jpg", encode_jpeg(raw.image))


def _check_sizes(raw: RawSample) -> None:
    groups = (
        ("image", ("parse", "skeleton", "densepose", "flow", "hidden")),
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


def _person_files(raw: RawSample) -> dict[str, bytes]:
    name, files = raw.name, {}
    if raw.parse is not None:
        files[f"image-parse-v3/{name}.png"] = encode_png(raw.parse, LIP_PALETTE)
    if raw.pose is not None:
        files[f"openpose_json/{name}_keypoints.json"] = encode_keypoints(raw.pose, raw.hands)
    skeleton = raw.skeleton
    if skeleton is None and raw.pose is not None:
        skeleton = draw_skeleton(raw.pose, raw.hands, raw.image.shape[:2])
    if skeleton is not None:
        files[f"openpose_img/{name}_rendered.png"] = encode_png(skeleton)
    if raw.densepose is not None:
        files[f"densepose-iuv/{name}.png"] = encode_png(raw.densepose)
        files[f"image-densepose/{name}.jpg"] = encode_jpeg(DENSEPOSE_PALETTE[raw.densepose[..., 0]])
    if raw.parse is not None and raw.pose is not None:
        files |= _agnostic_files(raw)
    if raw.flow is not None:
        files[f"flow/{name}.png"] = encode_png(encode_flow(raw.flow))
    if raw.hidden is not None:
        files[f"truth-hidden/{name}.png"] = encode_png(encode_mask(raw.hidden))
    return files


def _agnostic_files(raw: RawSample) -> dict[str, bytes]:
    agnostic, mask = draw_human_agnostic(raw.image, raw.parse, raw.pose)
    parse_agnostic = draw_parse_agnostic(raw.parse, raw.pose)
    return {
        f"image-parse-agnostic-v3.2/{raw.name}.png": encode_png(parse_agnostic, LIP_PALETTE),
        f"agnostic-v3.2/{raw.name}.jpg": encode_jpeg(agnostic),
        f"agnostic-mask/{raw.name}_mask.png": encode_png(encode_mask(mask)),
    }


def _garment_files(raw: RawSample) -> dict[str, bytes]:
    name, files = raw.garment_name, {}
    for folder, pixels in (("cloth", raw.cloth), ("cloth-back", raw.cloth_back)):
        if pixels is not None:
            files[f"{folder}/{name}.jpg"] = encode_jpeg(pixels)
    for folder, mask in (("cloth-mask", raw.cloth_mask), ("cloth-back-mask", raw.cloth_back_mask)):
        if mask is not None:
            files[f"{folder}/{name}.jpg"] = encode_jpeg(encode_mask(mask))
    return files


def _unpaired_files(split_dir: Path, raw: RawSample) -> dict[str, bytes]:
    other = raw.unpaired
    if other is None:
        return {}
    if other.name != raw.name:
        raise ValueError(f"sample {raw.name!r}: unpaired is another person, {other.name!r}")
    _check_sizes(other)
    stem = unpaired_name(raw.name, other.garment_name)
    files = {f"truth-unpaired/{stem}.jpg": encode_jpeg(other.image)}
    if other.parse is not None:
        files[f"truth-unpaired-parse/{stem}.png"] = encode_png(other.parse, LIP_PALETTE)
    if other.flow is not None:
        files[f"truth-unpaired-flow/{stem}.png"] = encode_png(encode_flow(other.flow))
    if other.hidden is not None:
        files[f"truth-unpaired-hidden/{stem}.png"] = encode_png(encode_mask(other.hidden))
    garment = _garment_files(other)
    return files | {path: data for path, data in garment.items() if not (split_dir / path).exists()}


# ---- reading -------------------------------------------------------------------------------------------------------


class VitonHD:
    """One split of a data set in the layout of VITON-HD: demo release, full release, or the studio's.

    Raises FileNotFoundError if there is no such split, or if it has no photographs.
    """

    layout = "viton-hd"
    looked_for = "train/image or test/image with NAME.jpg, and cloth beside it (VITON-HD demo, full, studio)"

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether the folder holds this layout."""
        return any((Path(root) / split / "image").is_dir() and (Path(root) / split / "cloth").is_dir()
                   for split in ("train", "test"))  # fmt: skip

    def __init__(self, root: Path, split: str = "test"):
        self.root, self.split = Path(root), split
        self.folder = self.root / split
        if not (self.folder / "image").is_dir():
            raise FileNotFoundError(
                f"{self.folder / 'image'}: expected the photographs of split {split!r}, got no folder"
            )

    @cached_property
    def variant(self) -> str:
        """ "studio", "full" or "demo"."""
        if (self.root / "studio.json").is_file():
            return "studio"
        return "full" if (self.folder / PARSE_FOLDERS[0]).is_dir() else "demo"

    @cached_property
    def recipe(self) -> dict | None:
        """What `studio.json` says about how the data set was made; None for other data sets."""
        path = self.root / "studio.json"
        if self.variant != "studio":
            return None
        try:
            recipe = json.loads(path.read_bytes())
        except ValueError as error:
            raise DamagedFile(path, "a JSON file", str(error)) from error
        if not isinstance(recipe, dict):
            raise DamagedFile(path, "a JSON object", type(recipe).__name__)
        return recipe

    @cached_property
    def own_garments(self) -> dict[str, str]:
        """What each person wears: from the paired file if there is one, otherwise the garment of the same name."""
        path = self.root / f"{self.split}_pairs_paired.txt"
        if path.is_file():
            return dict(read_pairs(path))
        people = sorted(file.stem for file in (self.folder / "image").glob("[!.]*.jpg"))
        return {person: person for person in people}

    @cached_property
    def _tries_on(self) -> dict[str, list[str]]:
        """For each person the garments of the unpaired pairs file; empty if there is no such file."""
        path, tries = self.root / f"{self.split}_pairs.txt", {}
        for person, garment in read_pairs(path) if path.is_file() else ():
            tries.setdefault(person, []).append(garment)
        return tries

    def names(self, pairing: str = "paired") -> list[tuple[str, str]]:
        """Person and garment names of all pairs.

        "paired": everybody with the own garment; "unpaired": the lines of ROOT/<split>_pairs.txt.
        Raises ValueError for another pairing, FileNotFoundError naming the first photograph or garment that is missing.
        """
        if pairing not in PAIRINGS:
            raise ValueError(f"pairing: expected one of {PAIRINGS}, got {pairing!r}")
        if pairing == "paired":
            pairs = list(self.own_garments.items())
        else:
            pairs = read_pairs(self.root / f"{self.split}_pairs.txt")
        for person, garment in pairs:
            require_file(self.folder / "image" / f"{person}.jpg")
            try:
                require_file(self.folder / "cloth" / f"{garment}.jpg")
            except FileNotFoundError as error:
                raise FileNotFoundError(f"{error} (the garment of person {person!r}, {pairing})") from None
        if not pairs:
            raise FileNotFoundError(f"{self.folder}: expected {pairing} samples, got none")
        return pairs

    def read(self, person: str, garment: str) -> RawSample:
        """The sample of a person and a garment, own or another.

        Flow and hidden belong to the own garment and are None with another. `unpaired` is this person in `garment`, or,
        if that is the own one, in the garment of the pairs file, where the data set has that picture.
        Raises FileNotFoundError or DamagedFile naming the file.
        """
        image = read_picture(self.folder / "image" / f"{person}.jpg", modes=("RGB",))
        size, own = image.shape[:2], self.own_garments.get(person) == garment
        pose = hands = None
        if path := self._path(JSON_FOLDERS, f"{person}_keypoints.json"):
            pose, hands = read_keypoints(path, size)
        skeleton = self._path(SKELETON_FOLDERS, f"{person}_rendered.png")
        sample = {
            "name": person, "image": image, "pose": pose, "hands": hands,
            "parse": self._parse(PARSE_FOLDERS, person, size),
            "skeleton": read_picture(skeleton, modes=("RGB",), size=size) if skeleton else None,
            "densepose": self._densepose(person, size),
            **self.read_garment(garment),
        }  # fmt: skip
        if own:
            sample |= self._truth("flow", "truth-hidden", person, size)
        return RawSample(**sample, unpaired=self._unpaired(sample, own))

    def read_garment(self, garment: str) -> dict:
        """The fields of a RawSample that belong to the garment: its name, pictures and masks."""
        cloth = read_picture(self.folder / "cloth" / f"{garment}.jpg", modes=("RGB",))
        fields = {"garment_name": garment, "cloth": cloth}
        if path := self._path(("cloth-mask",), f"{garment}.jpg"):
            fields["cloth_mask"] = read_mask(path, cloth.shape[:2])
        if path := self._path(("cloth-back",), f"{garment}.jpg"):
            fields["cloth_back"] = back = read_picture(path, modes=("RGB",))
            if path := self._path(("cloth-back-mask",), f"{garment}.jpg"):
                fields["cloth_back_mask"] = read_mask(path, back.shape[:2])
        return fields

    def _path(self, folders: Sequence[str], file: str) -> Path | None:
        """The file in the first of the folders that exists; None if none does."""
        for folder in folders:
            if (self.folder / folder).is_dir():
                return require_file(self.folder / folder / file)
        return None

    def _parse(self, folders: Sequence[str], stem: str, size: tuple[int, int]) -> np.ndarray | None:
        path = self._path(folders, f"{stem}.png")
        return None if path is None else read_parse(path, size)

    def _densepose(self, person: str, size: tuple[int, int]) -> np.ndarray | None:
        path = self._path(("densepose-iuv",), f"{person}.png")
        if path is None:
            return None
        densepose = read_picture(path, modes=("RGB",), size=size)
        if densepose[..., 0].max(initial=0) > 24:
            raise DamagedFile(
                path, "DensePose parts 0..24 in the first channel", f"the value {densepose[..., 0].max()}"
            )
        return densepose

    def _truth(self, flow_folder: str, hidden_folder: str, stem: str, size: tuple[int, int]) -> dict:
        truth = {}
        if path := self._path((flow_folder,), f"{stem}.png"):
            stored = read_picture(path, modes=("I;16",), size=(2 * size[0], size[1]))
            truth["flow"] = checked(path, "a flow", decode_flow, stored)
        if path := self._path((hidden_folder,), f"{stem}.png"):
            truth["hidden"] = read_mask(path, size)
        return truth

    def _unpaired(self, sample: dict, own: bool) -> RawSample | None:
        person, size = sample["name"], sample["image"].shape[:2]
        garments = self._tries_on.get(person, []) if own else [sample["garment_name"]]
        for garment in garments:
            stem = unpaired_name(person, garment)
            path = self.folder / "truth-unpaired" / f"{stem}.jpg"
            if path.is_file():
                image = read_picture(path, modes=("RGB",), size=size)
                parse = self._parse(("truth-unpaired-parse",), stem, size)
                truth = self._truth("truth-unpaired-flow", "truth-unpaired-hidden", stem, size)
                return RawSample(name=person, image=image, parse=parse, pose=sample["pose"], hands=sample["hands"],
                                 skeleton=sample["skeleton"], **truth, **self.read_garment(garment))  # fmt: skip
        return None
