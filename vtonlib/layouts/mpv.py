"""The layout of MPV, the data set of MG-VTON (one person in several poses), read and written.

    ROOT/all_poseA_poseB_clothes.txt     a triplet a line, tab-separated: picture in pose A, picture in pose B, garment
                                         worn in both, "train" or "test"; a later edition has _0607 before the .txt
    ROOT/all/ID/                         in other copies: MPV_192_256/ID/
      ID-00@1=person_half_front.jpg        photograph number 1
      ID-00@0=cloth_front.jpg  ID-00@0=cloth_front_mask.jpg
    ROOT/all_parsing/ID/PICTURE.png      label indices
    ROOT/all_person_clothes_keypoints/ID/PICTURE_keypoints.json      in other copies: all_keypoints
    ROOT/all_densepose/ID/PICTURE_IUV.png
    and in the studio's data sets
    ROOT/studio.json                     the recipe
    ROOT/all/ID/ID-00@0=cloth_back.jpg  ...=cloth_back_mask.jpg
    ROOT/unpaired_poseA_poseB_clothes.txt    triplets with another person's garment
    ROOT/flow/  flow-back/  truth-hidden/  truth-depth/  truth-unpaired*/     see `truth_files.py`; STEM is ID/PICTURE

A triplet is what MG-VTON learns from: shown the person in pose A, the joints of pose B and the garment, it is to draw
the person in pose B wearing it. So a sample is the picture in pose A, and its `new_pose` the picture in pose B:

    paired      person = A in the own garment         new_pose = B in the own garment
    unpaired    person = A in the own garment         new_pose = B in the *other* garment, unpaired = A in it

`names` gives (person, garment, target), target being the picture in pose B. Names are those of files without folder and
ending; the folders come from the triplets files.

Convention: `_IUV.png` files hold v, u, part as red, green, blue, so that OpenCV, which reads blue first, finds I, U, V.
Convention: label 10 is neck in the studio's parse maps; in the public copy's, which are LIP's own, it is jumpsuits.

Sources: MG-VTON (Dong et al. 2019) for the triplets; the folders and the list are what public loaders of MPV read.
Needs NumPy and Pillow only.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from ..sample import RawSample
from .files import (
    DamagedFile,
    encode_jpeg,
    encode_keypoints,
    encode_mask_jpeg,
    encode_png,
    is_plain,
    read_keypoints,
    read_lines,
    read_mask,
    read_parse,
    require_file,
    write_bytes,
)
from .reader import Reader, check_pairing, tried_on
from .truth_files import (
    OWN_TRUTH,
    check_parts,
    check_sizes,
    encode_fields,
    encode_unpaired,
    read_fields,
    read_photograph,
    read_unpaired,
    write_files,
)

__all__ = ["MPV", "garment_name", "person_name", "write_sample", "write_triplets"]

TRIPLETS = ("all_poseA_poseB_clothes.txt", "all_poseA_poseB_clothes_0607.txt")
UNPAIRED_TRIPLETS = "unpaired_poseA_poseB_clothes.txt"
PICTURES = ("all", "MPV_192_256")
KEYPOINTS = ("all_person_clothes_keypoints", "all_keypoints")
PARSES, IUVS = "all_parsing", "all_densepose"
FRONT, BACK = "=cloth_front", "=cloth_back"
SPLITS = ("train", "test")


def person_name(person_id: str, number: int, view: str = "half_front") -> str:
    """Name of photograph `number` of a person; view: as MPV calls it, "half_front", "half_back", "whole_front", ..."""
    return f"{_plain_id(person_id)}-00@{number}=person_{view}"


def garment_name(person_id: str) -> str:
    """Name of the in-shop picture of what a person wears."""
    return f"{_plain_id(person_id)}-00@0{FRONT}"


def _plain_id(person_id: str) -> str:
    if not person_id or not is_plain(person_id) or set(person_id) & set("-@= \t"):
        raise ValueError(f"person_id: expected an id without -, @, =, blanks and slashes, got {person_id!r}")
    return person_id


def place_of(name: str) -> str:
    """Path of a file below its folder, without ending: "ID/ID-00@1=person_half_front" for the name without "ID/"."""
    person_id, dash, rest = name.partition("-")
    if not dash or "@" not in rest or "=" not in rest or not is_plain(name) or len(name.split()) != 1:
        raise ValueError(f"name: expected ID-XX@NUMBER=WHAT, as person_name and garment_name give it, got {name!r}")
    return f"{person_id}/{name}"


# ---- writing -------------------------------------------------------------------------------------------------------


def write_sample(root: Path, raw: RawSample) -> None:
    """Write every file of one photograph under ROOT, and those of its garment unless they are there.

    raw.name: `person_name(...)`; raw.garment_name: `garment_name(...)`; raw.unpaired: this photograph with another
    garment. Fields that are None have no files; a skeleton is not kept. The same sample gives the same bytes.

    Raises ValueError for other names, for sizes that don't fit, and for a `new_pose`: in this layout the picture in
    another pose is a sample of its own, and `write_triplets` says which belong together.
    """
    if raw.new_pose is not None:
        raise ValueError(f"sample {raw.name!r}: new_pose is a sample of its own in this layout; write it with its name")
    check_sizes(raw)
    stem = place_of(raw.name)
    files = encode_fields(raw, stem, {"parse": PARSES} | OWN_TRUTH) | encode_unpaired(raw, stem)
    if raw.pose is not None:
        files[f"{KEYPOINTS[0]}/{stem}_keypoints.json"] = encode_keypoints(raw.pose, raw.hands, coco=True)
    if raw.densepose is not None:
        files[f"{IUVS}/{stem}_IUV.png"] = encode_png(np.ascontiguousarray(raw.densepose[..., ::-1]))
    # The photograph comes last: a sample of an interrupted run is complete if it has one.
    files |= encode_fields(raw, stem, {"image": PICTURES[0]})
    garments = _garment_files(raw) | (_garment_files(raw.unpaired) if raw.unpaired else {})
    write_files(Path(root), files, keep=garments)


def _garment_files(raw: RawSample) -> dict[str, bytes]:
    front = f"{PICTURES[0]}/{place_of(raw.garment_name)}"
    if not front.endswith(FRONT):
        raise ValueError(f"sample {raw.name!r}: garment_name: expected a name ending in {FRONT}, got {front!r}")
    back = front.removesuffix(FRONT) + BACK
    files = {}
    for path, pixels, mask in ((front, raw.cloth, raw.cloth_mask), (back, raw.cloth_back, raw.cloth_back_mask)):
        if mask is not None:
            files[f"{path}_mask.jpg"] = encode_mask_jpeg(mask)
        if pixels is not None:
            files[f"{path}.jpg"] = encode_jpeg(pixels)
    return files


def write_triplets(root: Path, rows: Iterable[tuple[str, str, str, str]], *, unpaired: bool = False) -> None:
    """Write the triplets file: rows of the names of the picture in pose A, in pose B, of the garment, and the split.

    unpaired: write the file of the triplets whose garment is another person's. Raises ValueError for a name that is
    not of this layout and for another split than "train" and "test".
    """
    lines = []
    for pose_a, pose_b, garment, split in rows:
        if split not in SPLITS:
            raise ValueError(f"split: expected one of {SPLITS}, got {split!r}")
        lines.append("\t".join([*(f"{place_of(name)}.jpg" for name in (pose_a, pose_b, garment)), split]) + "\n")
    write_bytes(Path(root) / (UNPAIRED_TRIPLETS if unpaired else TRIPLETS[0]), "".join(lines).encode())


# ---- reading -------------------------------------------------------------------------------------------------------


def read_triplets(path: Path) -> list[tuple[str, str, str, str]]:
    """Rows of a triplets file: three paths below the folder of pictures, without ending, and the split.

    Raises FileNotFoundError, or DamagedFile naming the line that is not such a row.
    """
    rows = []
    for number, line in enumerate(read_lines(path), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 4 or words[3] not in SPLITS:
            raise DamagedFile(path, f"three pictures and train or test in line {number}", repr(line.strip()))
        if not all(is_plain(part) and part for word in words[:3] for part in word.split("/")):
            raise DamagedFile(path, f"plain file names in line {number}", repr(line.strip()))
        rows.append((*(word.removesuffix(".jpg") for word in words[:3]), words[3]))
    return rows


def _name(place: str) -> str:
    return place.rsplit("/", 1)[-1]


class MPV(Reader):
    """One split of a data set in the layout of MPV: the public one or the studio's.

    Raises FileNotFoundError if there is no list of triplets, or none of this split in it.
    """

    layout = "mpv"
    looked_for = "all_poseA_poseB_clothes.txt, and all/ or MPV_192_256/ beside it (MPV, studio)"

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether the folder holds this layout."""
        return any((Path(root) / name).is_file() for name in TRIPLETS)

    def __init__(self, root: Path, split: str = "test"):
        super().__init__(root, split, Path(root))
        self._list = next((self.root / name for name in TRIPLETS if (self.root / name).is_file()), None)
        if self._list is None:
            raise FileNotFoundError(f"{self.root / TRIPLETS[0]}: expected the list of triplets, got nothing there")
        self._rows = [row for row in read_triplets(self._list) if row[3] == split]
        if not self._rows:
            raise FileNotFoundError(f"{self._list}: expected triplets of split {split!r}, got none")

    @property
    def variant(self) -> str:
        """ "studio" or "public"."""
        return "public" if self.recipe is None else "studio"

    @cached_property
    def _unpaired_rows(self) -> list[tuple[str, str, str, str]]:
        path = self.root / UNPAIRED_TRIPLETS
        return [row for row in read_triplets(path) if row[3] == self.split] if path.is_file() else []

    @cached_property
    def _places(self) -> dict[str, str]:
        """Path below the folder of pictures for each name."""
        return {_name(place): place for row in (*self._rows, *self._unpaired_rows) for place in row[:3]}

    @cached_property
    def own_garments(self) -> dict[str, str]:
        """What is worn in each picture."""
        return {_name(place): _name(row[2]) for row in self._rows for place in row[:2]}

    @cached_property
    def _tries_on(self) -> dict[str, list[str]]:
        return tried_on([(_name(row[0]), _name(row[2])) for row in self._unpaired_rows])

    def names(self, pairing: str = "paired") -> list[tuple[str, str, str]]:
        """(person, garment, target) of all triplets in the order of the list; person and target are pictures A and B.

        "paired": the garment that both show; "unpaired": the triplets of the list with other people's garments.
        Raises ValueError for another pairing, FileNotFoundError naming the first picture that is missing.
        """
        check_pairing(pairing)
        if pairing == "unpaired":
            require_file(self.root / UNPAIRED_TRIPLETS)
        rows = self._rows if pairing == "paired" else self._unpaired_rows
        if not rows:
            raise FileNotFoundError(f"{self.root}: expected {pairing} samples of split {self.split!r}, got none")
        for place in dict.fromkeys(place for row in rows for place in row[:3]):
            self._photograph(place)
        return [(_name(pose_a), _name(garment), _name(pose_b)) for pose_a, pose_b, garment, _ in rows]

    def read(self, person: str, garment: str, target: str | None = None) -> RawSample:
        """The sample of a picture and a garment, own or another; target: the picture in another pose, for `new_pose`.

        With the own garment `new_pose` is the target with all its annotations, and `unpaired` the person in the garment
        of the list of unpaired triplets. With another garment both show that garment, where the data set has such
        pictures; flows and hidden are None then, as they belong to the own garment.
        Raises ValueError for a name that is in no triplet, FileNotFoundError or DamagedFile naming the file.
        """
        own = self.own_garments.get(person) == garment
        shop, sample = self.read_garment(garment), self._picture(person, own)
        fields = {"unpaired": None, "new_pose": None}
        for other in self._tries_on.get(person, [])[:1] if own else [garment]:
            fields["unpaired"] = self._worn(sample, other)
        if target is not None:
            shown = self._picture(target, own)
            fields["new_pose"] = RawSample(**shown, **shop) if own else self._worn(shown, garment)
        return RawSample(**sample, **shop, **fields)

    def read_garment(self, garment: str) -> dict:
        """The fields of a RawSample that belong to the garment: its name, pictures and masks.

        A public copy need not have masks, nor backs; the studio's masks must be there.
        """
        front = self._photograph(self._place(garment))
        fields, pictures = {"garment_name": garment}, {"cloth": front}
        if FRONT in front.name:
            pictures["cloth_back"] = front.with_name(front.name.replace(FRONT, BACK))
        for name, path in pictures.items():
            if path != front and not path.is_file():
                continue
            fields[name] = read_photograph(path)
            mask = path.with_name(f"{path.stem}_mask.jpg")
            if self.variant == "studio" or mask.is_file():
                fields[f"{name}_mask"] = read_mask(mask, fields[name].shape[:2])
        return fields

    def _place(self, name: str) -> str:
        if name not in self._places:
            raise ValueError(f"{name!r}: expected a name in {self._list.name}, split {self.split!r}")
        return self._places[name]

    def _photograph(self, place: str) -> Path:
        path = self.path(PICTURES, f"{place}.jpg")
        if path is None:
            raise FileNotFoundError(f"{self.root / PICTURES[0]}: expected the folder of pictures, got nothing there")
        return path

    def _picture(self, person: str, own: bool) -> dict:
        """The fields of one photograph; own: with those that belong to the garment shown."""
        place = self._place(person)
        image = read_photograph(self._photograph(place))
        size, fields = image.shape[:2], {"name": person, "image": image}
        if path := self.path((PARSES,), f"{place}.png"):
            fields["parse"] = read_parse(path, size)
        if path := self.path(KEYPOINTS, f"{place}_keypoints.json"):
            fields["pose"], fields["hands"] = read_keypoints(path, size, lenient=self.variant == "public")
        if path := self.path((IUVS,), f"{place}_IUV.png"):
            fields["densepose"] = check_parts(path, np.ascontiguousarray(read_photograph(path, size)[..., ::-1]))
        truth = OWN_TRUTH if own else {"depth": OWN_TRUTH["depth"]}
        return fields | read_fields(self.root, place, truth, size)

    def _worn(self, shown: dict, garment: str) -> RawSample | None:
        """The picture whose fields are given, with another garment; None if the data set has no such picture."""
        fields = read_unpaired(self.root, self._place(shown["name"]), garment, shown["image"].shape[:2])
        if fields is None:
            return None
        joints = {name: shown.get(name) for name in ("pose", "hands")}
        return RawSample(name=shown["name"], **joints, **fields, **self.read_garment(garment))
