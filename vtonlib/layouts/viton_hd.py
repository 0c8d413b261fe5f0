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
      flow/  flow-back/  truth-hidden/  truth-depth/  truth-unpaired*/  truth-new-pose*/     see `truth_files.py`

What is missing as a folder is None in the sample; a file that is missing in a folder that is there is an error.
Needs NumPy and Pillow only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ..labels import LIP_PALETTE
from ..represent import draw_human_agnostic, draw_parse_agnostic, draw_skeleton
from ..sample import RawSample
from .files import (
    PLAIN_QUALITY,
    encode_jpeg,
    encode_mask,
    encode_mask_jpeg,
    encode_png,
    read_keypoints,
    read_mask,
    read_pairs,
    read_parse,
    read_picture,
    require_file,
    write_pairs,
)
from .reader import Reader, check_pairing, tried_on
from .truth_files import (
    OWN_TRUTH,
    check_sizes,
    encode_fields,
    encode_new_pose,
    encode_unpaired,
    read_densepose,
    read_fields,
    read_new_pose,
    read_unpaired,
    unpaired_name,
    write_files,
)

__all__ = ["VitonHD", "unpaired_name", "write_garment", "write_pairs", "write_sample"]

PARSE_FOLDERS = ("image-parse-v3", "image-parse")
JSON_FOLDERS = ("openpose_json", "openpose-json")
SKELETON_FOLDERS = ("openpose_img", "openpose-img")
PERSON = {"parse": "image-parse-v3", "pose": "openpose_json", "densepose": "densepose-iuv"}


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
    skeleton. Of `unpaired` the photograph, parse, flows and hidden are written, and its garment unless it is there; of
    `new_pose` the photograph, parse, keypoints and DensePose.
    The same sample gives the same bytes. Raises ValueError for fields whose sizes don't fit the photograph's, and for
    an `unpaired` or `new_pose` of somebody else.
    """
    check_sizes(raw)
    files = {**_person_files(raw), **_garment_files(raw), **encode_unpaired(raw, raw.name)}
    files |= encode_new_pose(raw, raw.name)
    # The photograph comes last: a sample of an interrupted run is complete if it has one.
    files |= encode_fields(raw, raw.name, {"image": "image"})
    write_files(Path(split_dir), files, keep=_garment_files(raw.unpaired) if raw.unpaired else None)


def write_garment(split_dir: Path, raw: RawSample) -> None:
    """Write the garment of a sample, cloth and cloth-mask (and the back's), where there is no person to it.

    A garment that is there already is written anew. Raises ValueError for a sample without a garment picture.
    """
    if raw.cloth is None:
        raise ValueError(f"garment {raw.garment_name!r}: expected a picture of it (cloth), got none")
    write_files(Path(split_dir), _garment_files(raw))


def _person_files(raw: RawSample) -> dict[str, bytes]:
    name, files = raw.name, encode_fields(raw, raw.name, PERSON | OWN_TRUTH)
    skeleton = raw.skeleton
    if skeleton is None and raw.pose is not None:
        skeleton = draw_skeleton(raw.pose, raw.hands, raw.image.shape[:2])
    if skeleton is not None:
        files[f"openpose_img/{name}_rendered.png"] = encode_png(skeleton)
    if raw.densepose is not None:
        files[f"image-densepose/{name}.jpg"] = encode_jpeg(DENSEPOSE_PALETTE[raw.densepose[..., 0]], PLAIN_QUALITY)
    if raw.parse is not None and raw.pose is not None:
        files |= _agnostic_files(raw)
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
            files[f"{folder}/{name}.jpg"] = encode_mask_jpeg(mask)
    return files


# ---- reading -------------------------------------------------------------------------------------------------------


class VitonHD(Reader):
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
        super().__init__(root, split, Path(root) / split)
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
        path = self.root / f"{self.split}_pairs.txt"
        return tried_on(read_pairs(path) if path.is_file() else ())

    def names(self, pairing: str = "paired") -> list[tuple[str, str]]:
        """Person and garment names of all pairs.

        "paired": everybody with the own garment; "unpaired": the lines of ROOT/<split>_pairs.txt.
        Raises ValueError for another pairing, FileNotFoundError naming the first photograph or garment that is missing.
        """
        check_pairing(pairing)
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

        Flows, hidden and `new_pose` belong to the own garment and are None with another. `unpaired` is this person in
        `garment`, or, if that is the own one, in the garment of the pairs file, where the data set has that picture.
        Raises FileNotFoundError or DamagedFile naming the file.
        """
        image = read_picture(self.folder / "image" / f"{person}.jpg", modes=("RGB",))
        size, own = image.shape[:2], self.own_garments.get(person) == garment
        fields = self._person(person, size) | self.read_garment(garment)
        # the depth is the photograph's, whatever is tried on
        fields |= read_fields(self.folder, person, OWN_TRUTH if own else {"depth": OWN_TRUTH["depth"]}, size)
        sample = RawSample(name=person, image=image, **fields)
        new_pose = read_new_pose(self.folder, person, sample) if own else None
        return replace(sample, unpaired=self._unpaired(sample, own), new_pose=new_pose)

    def _person(self, person: str, size: tuple[int, int]) -> dict:
        fields = {}
        if path := self.path(JSON_FOLDERS, f"{person}_keypoints.json"):
            fields["pose"], fields["hands"] = read_keypoints(path, size)
        if path := self.path(PARSE_FOLDERS, f"{person}.png"):
            fields["parse"] = read_parse(path, size)
        if path := self.path(SKELETON_FOLDERS, f"{person}_rendered.png"):
            fields["skeleton"] = read_picture(path, modes=("RGB",), size=size)
        if path := self.path((PERSON["densepose"],), f"{person}.png"):
            fields["densepose"] = read_densepose(path, size)
        return fields

    def read_garment(self, garment: str) -> dict:
        """The fields of a RawSample that belong to the garment: its name, pictures and masks."""
        cloth = read_picture(self.folder / "cloth" / f"{garment}.jpg", modes=("RGB",))
        fields = {"garment_name": garment, "cloth": cloth}
        if path := self.path(("cloth-mask",), f"{garment}.jpg"):
            fields["cloth_mask"] = read_mask(path, cloth.shape[:2])
        if path := self.path(("cloth-back",), f"{garment}.jpg"):
            fields["cloth_back"] = back = read_picture(path, modes=("RGB",))
            if path := self.path(("cloth-back-mask",), f"{garment}.jpg"):
                fields["cloth_back_mask"] = read_mask(path, back.shape[:2])
        return fields

    def _unpaired(self, sample: RawSample, own: bool) -> RawSample | None:
        garments: Sequence[str] = self._tries_on.get(sample.name, []) if own else [sample.garment_name]
        for garment in garments:
            fields = read_unpaired(self.folder, sample.name, garment, sample.image.shape[:2])
            if fields is not None:
                return RawSample(name=sample.name, pose=sample.pose, hands=sample.hands, skeleton=sample.skeleton,
                                 **fields, **self.read_garment(garment))  # fmt: skip
        return None
