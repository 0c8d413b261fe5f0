"""The layout of MVG, the data set of MV-VTON (one person from five sides), read and written.

    ROOT/unpaired.txt                    PERSON GARMENT, two ids a line: who tries on whose garment
    ROOT/{train,test}/
      image-wo-bg/ID_k/                  exactly three pictures, background taken off; in the order of their names:
                                         the person from the front, in the target view, from the back
      cloth/ID_k/  cloth-mask/ID_k/      the first and the last: the garment's front and back in the shop
      skeletons/ID_k/                    coloured skeletons of the three pictures
      inpaint_mask/ID_k/                 255 on what is to be painted anew
      warp_feat/ID_k.jpg                 the person with the garment erased and the warped garment pasted
      warp_feat_unpair/ID_k.jpg          the same with the garment of unpaired.txt (test split)
    and in the studio's data sets, with STEM = ID_0 ... ID_4, one for each view
      image_ori/ID_k/                    the photographs with their background, each once
      parse/STEM.png  openpose_json/STEM_keypoints.json  densepose-iuv/STEM.png
      flow/  flow-back/  truth-hidden/  truth-depth/  truth-unpaired*/  truth-new-pose*/     see `truth_files.py`

Five views make three folders: k = 1, 2, 3 is the target at 45, 90, 135 degrees, the pictures are numbered by view from
1.jpg (0 degrees, front) to 5.jpg (180 degrees, back), so that ID_1 has 1.jpg, 2.jpg, 5.jpg, ID_2 has 1.jpg, 3.jpg,
5.jpg, ID_3 has 1.jpg, 4.jpg, 5.jpg. MV-VTON's loader takes the middle one as the person and k as the order of the view:
1 takes the garment's front, 3 its back, 2 what the skeleton says.

Here a sample is named ID_k: in the public data set the three folders, in the studio's also ID_0 and ID_4, the views
from the front and the back. Its `image` is the picture without background (in the studio's: on white), as MV-VTON is
defined on it. A garment is named by the id of its person.

The studio warps the garment of `warp_feat` by the true flow, so it shows what a perfect warp would give, outline
included: a system that is to be measured puts its own there. A skeleton of the in-shop pictures doesn't exist; as in
MVG, the skeletons that go with the garment are those of its person from the front and the back.

Convention: a view is the angle in degrees by which the person is turned away from the camera. The studio's are turned
to their left: 90 degrees shows the right side, the face towards the right edge of the picture.

Sources: MV-VTON (Wang et al. 2024) for views and garments; the folders are what its published loader reads. That the
numbers 1 to 5 stand for the views from front to back is inferred from that loader, not documented.
Needs NumPy and Pillow only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ..labels import TOP_LABELS
from ..represent import draw_human_agnostic, draw_skeleton
from ..sample import RawSample
from .files import (
    PLAIN_QUALITY,
    DamagedFile,
    encode_jpeg,
    encode_mask_jpeg,
    is_plain,
    read_lines,
    read_mask,
    write_bytes,
)
from .reader import Reader, check_pairing, tried_on
from .truth_files import (
    OWN_TRUTH,
    check_sizes,
    encode_fields,
    encode_new_pose,
    encode_unpaired,
    read_fields,
    read_new_pose,
    read_photograph,
    read_unpaired,
    write_files,
)

__all__ = ["ANGLES", "MVG", "view_name", "write_unpaired", "write_views"]

ANGLES = (0, 45, 90, 135, 180)  # degrees of the view k = 0 ... 4; 0 is the front
TARGETS = (1, 2, 3)  # the views that have a folder of their own
PERSON = {"parse": "parse", "pose": "openpose_json", "densepose": "densepose-iuv"}
NEEDED = ("parse", "pose", "cloth", "cloth_mask", "cloth_back", "cloth_back_mask")
GREY = 128


def view_name(person_id: str, view: int) -> str:
    """Name of a person's sample; view: its index in `ANGLES`."""
    if not person_id or not is_plain(person_id) or set(person_id) & set("_ \t"):
        raise ValueError(f"person_id: expected an id without _, blanks and slashes, got {person_id!r}")
    if view not in range(len(ANGLES)):
        raise ValueError(f"view: expected 0 to {len(ANGLES) - 1}, got {view!r}")
    return f"{person_id}_{view}"


def _folder_of(person_id: str, view: int) -> str:
    """The folder that a view's picture is in: its own, or that of the nearest target view."""
    return f"{person_id}_{min(max(view, TARGETS[0]), TARGETS[-1])}"


# ---- writing -------------------------------------------------------------------------------------------------------


def write_views(split_dir: Path, views: Sequence[RawSample]) -> None:
    """Write every file of one person under `split_dir` (ROOT/train or ROOT/test).

    views: the samples at the five `ANGLES` in this order, named `view_name(id, 0 ... 4)`, garment_name the person's id;
    each with parse, pose, and the garment's front and back with masks. `unpaired` shows the same view in another
    garment, whose garment_name is that person's id; its files are written with that person, not here. `new_pose` is in
    the same view. The same samples give the same bytes. Raises ValueError for anything else, naming it.
    """
    person_id = _check_views(views)
    files = {}
    for raw in views:
        files |= encode_fields(raw, raw.name, PERSON | OWN_TRUTH)
        files |= encode_unpaired(replace(raw, unpaired=_cut_out(raw.unpaired)), raw.name)
        files |= encode_new_pose(replace(raw, new_pose=_cut_out(raw.new_pose)), raw.name)
    erased = [_inpaint_mask(raw) for raw in views]
    pictures = [_pictures(raw, mask) for raw, mask in zip(views, erased)]
    for target in TARGETS:
        folder = f"{person_id}_{target}"
        for view in (0, target, len(ANGLES) - 1):
            files |= {f"{kind}/{folder}/{view + 1}.jpg": data for kind, data in pictures[view].items()}
        files |= _garment_files(views[0], folder)
        files |= _warped_files(views[target], erased[target], folder)
    # The photographs come last: a person of an interrupted run is complete if all five are there.
    for view, raw in enumerate(views):
        files[f"image_ori/{_folder_of(person_id, view)}/{view + 1}.jpg"] = encode_jpeg(raw.image)
    write_files(Path(split_dir), files)


def _check_views(views: Sequence[RawSample]) -> str:
    """The person's id."""
    if len(views) != len(ANGLES):
        raise ValueError(f"views: expected {len(ANGLES)} samples, at {ANGLES} degrees, got {len(views)}")
    person_id = views[0].garment_name
    for view, raw in enumerate(views):
        expected = (view_name(person_id, view), person_id)
        if (raw.name, raw.garment_name) != expected:
            raise ValueError(f"views: expected sample {view} to be {expected}, got {(raw.name, raw.garment_name)}")
        missing = [name for name in NEEDED if getattr(raw, name) is None]
        if missing:
            raise ValueError(f"sample {raw.name!r}: this layout needs {', '.join(missing)}")
        check_sizes(raw)
    return person_id


def _cut_out(raw: RawSample | None) -> RawSample | None:
    """The record with its picture on white."""
    if raw is None or raw.parse is None:
        return raw
    return replace(raw, image=np.where((raw.parse > 0)[..., None], raw.image, np.uint8(255)))


def _inpaint_mask(raw: RawSample) -> np.ndarray:
    """(H,W) bool: what VITON-HD erases and all that is left of the top."""
    return draw_human_agnostic(raw.image, raw.parse, raw.pose)[1] | np.isin(raw.parse, TOP_LABELS)


def _pictures(raw: RawSample, erased: np.ndarray) -> dict[str, bytes]:
    skeleton = raw.skeleton
    if skeleton is None:
        skeleton = draw_skeleton(raw.pose, raw.hands, raw.image.shape[:2])
    return {
        "image-wo-bg": encode_jpeg(_cut_out(raw).image),
        "skeletons": encode_jpeg(skeleton, PLAIN_QUALITY),
        "inpaint_mask": encode_mask_jpeg(erased),
    }


def _garment_files(raw: RawSample, folder: str) -> dict[str, bytes]:
    return {
        f"cloth/{folder}/1.jpg": encode_jpeg(raw.cloth),
        f"cloth/{folder}/{len(ANGLES)}.jpg": encode_jpeg(raw.cloth_back),
        f"cloth-mask/{folder}/1.jpg": encode_mask_jpeg(raw.cloth_mask),
        f"cloth-mask/{folder}/{len(ANGLES)}.jpg": encode_mask_jpeg(raw.cloth_back_mask),
    }


def _warped_files(raw: RawSample, erased: np.ndarray, folder: str) -> dict[str, bytes]:
    agnostic = np.where(erased[..., None], np.uint8(GREY), _cut_out(raw).image)
    files = {f"warp_feat/{folder}.jpg": encode_jpeg(_paste_garment(agnostic, raw))}
    if raw.unpaired is not None:
        files[f"warp_feat_unpair/{folder}.jpg"] = encode_jpeg(_paste_garment(agnostic, raw.unpaired))
    return files


def _paste_garment(picture: np.ndarray, raw: RawSample) -> np.ndarray:
    """The picture (H,W,3) with the garment of `raw` pasted where the true flows say that it shows."""
    picture = picture.copy()
    for shop, flow in ((raw.cloth, raw.flow), (raw.cloth_back, raw.flow_back)):
        if shop is None or flow is None:
            continue
        shows = ~np.isnan(flow).any(axis=2)
        picture[shows] = _bilinear(shop, flow[shows])
    return picture


def _bilinear(pixels: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Colours (N,3) uint8 of a picture (h,w,3) at index coordinates (N,2), which are clipped to it."""
    last = np.array(pixels.shape[1::-1]) - 1
    xy = np.clip(xy, 0, last)
    corner = np.minimum(np.floor(xy).astype(int), np.maximum(last - 1, 0))
    (x, y), (across, down) = corner.T, (xy - corner).T[..., None]
    right, below = np.minimum(x + 1, last[0]), np.minimum(y + 1, last[1])
    upper = pixels[y, x] * (1 - across) + pixels[y, right] * across
    lower = pixels[below, x] * (1 - across) + pixels[below, right] * across
    return np.rint(upper * (1 - down) + lower * down).astype(np.uint8)


def write_unpaired(root: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Write unpaired.txt: ids of the person and of the person whose garment is tried on."""
    lines = [" ".join(view_name(name, 0).removesuffix("_0") for name in pair) + "\n" for pair in pairs]
    write_bytes(Path(root) / "unpaired.txt", "".join(lines).encode())


# ---- reading -------------------------------------------------------------------------------------------------------


class MVG(Reader):
    """One split of a data set in the layout of MVG: the public one or the studio's.

    Raises FileNotFoundError if there is no such split.
    """

    layout = "mvg"
    looked_for = "train/image-wo-bg or test/image-wo-bg with ID_k/*.jpg (MVG, studio)"

    @staticmethod
    def recognises(root: Path) -> bool:
        """Whether the folder holds this layout."""
        return any((Path(root) / split / "image-wo-bg").is_dir() for split in ("train", "test"))

    def __init__(self, root: Path, split: str = "test"):
        super().__init__(root, split, Path(root) / split)
        if not (self.folder / "image-wo-bg").is_dir():
            raise FileNotFoundError(
                f"{self.folder / 'image-wo-bg'}: expected the pictures of split {split!r}, got no folder"
            )

    @property
    def variant(self) -> str:
        """ "studio" or "public"."""
        return "public" if self.recipe is None else "studio"

    @cached_property
    def _samples(self) -> list[str]:
        names = sorted(path.name for path in (self.folder / "image-wo-bg").iterdir() if path.is_dir())
        for name in names:
            self._split_name(name)
        if self.variant == "studio":
            people = dict.fromkeys(self._split_name(name)[0] for name in names)
            names = [view_name(person, view) for person in people for view in range(len(ANGLES))]
        return names

    @cached_property
    def _tries_on(self) -> dict[str, list[str]]:
        path = self.root / "unpaired.txt"
        return tried_on(read_unpaired_pairs(path)) if path.is_file() else {}

    def _split_name(self, name: str) -> tuple[str, int]:
        person, dash, view = name.partition("_")
        if not (person and dash and view.isdecimal() and int(view) < len(ANGLES)):
            raise DamagedFile(self.folder / "image-wo-bg" / name, "a folder named ID_k, k = 1, 2 or 3", repr(name))
        return person, int(view)

    def names(self, pairing: str = "paired") -> list[tuple[str, str]]:
        """Sample names ID_k and the garment's id, in order.

        "paired": all views with the own garment; "unpaired": the views of the people in unpaired.txt.
        Raises ValueError for another pairing, FileNotFoundError if there are none or a garment's pictures are missing.
        """
        check_pairing(pairing)
        if pairing == "paired":
            pairs = [(name, self._split_name(name)[0]) for name in self._samples]
        else:
            read_lines(self.root / "unpaired.txt")
            people = [(name, self._split_name(name)[0]) for name in self._samples]
            pairs = [(name, garment) for name, person in people for garment in self._tries_on.get(person, [])]
        if not pairs:
            raise FileNotFoundError(f"{self.folder}: expected {pairing} samples, got none")
        for name, garment in pairs:
            view = self._split_name(name)[1]
            if not (self.folder / "cloth" / _folder_of(garment, view)).is_dir():
                folder = self.folder / "cloth" / _folder_of(garment, view)
                raise FileNotFoundError(f"{folder}: expected the garment of {name!r} ({pairing}), got no folder")
        return pairs

    def read(self, name: str, garment: str) -> RawSample:
        """The sample of a view ID_k and a garment, own or another.

        Flows, hidden and `new_pose` belong to the own garment and are None with another. `unpaired` is this view with
        `garment`, or, if that is the own one, with the garment of unpaired.txt, where the data set has that picture.
        Raises FileNotFoundError or DamagedFile naming the file.
        """
        person, view = self._split_name(name)
        folder, own = _folder_of(person, view), person == garment
        file = self._three(folder)[{0: 0, len(ANGLES) - 1: 2}.get(view, 1)]
        image = read_photograph(self.folder / "image-wo-bg" / folder / file)
        size, fields = image.shape[:2], {}
        if path := self.path(("skeletons",), f"{folder}/{file}"):
            fields["skeleton"] = read_photograph(path, size)
        fields |= read_fields(self.folder, name, PERSON, size)
        fields |= read_fields(self.folder, name, OWN_TRUTH if own else {"depth": OWN_TRUTH["depth"]}, size)
        sample = RawSample(name=name, image=image, **fields, **self.read_garment(garment, view))
        new_pose = read_new_pose(self.folder, name, sample) if own else None
        return replace(sample, unpaired=self._unpaired(sample, person, view), new_pose=new_pose)

    def _three(self, folder: str) -> list[str]:
        """Names of the pictures of a folder: front, target, back."""
        path = self.folder / "image-wo-bg" / folder
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: expected a folder of three pictures, got nothing there")
        names = sorted(file.name for file in path.iterdir() if not file.name.startswith("."))
        if len(names) != 3:
            raise DamagedFile(path, "three pictures: front, target, back", f"{len(names)}: {', '.join(names)}")
        return names

    def read_garment(self, garment: str, view: int = TARGETS[0]) -> dict:
        """The fields of a RawSample that belong to a person's garment, from the folder that goes with a view."""
        folder = _folder_of(garment, view)
        front, _, back = self._three(folder)
        fields = {"garment_name": garment}
        for name, file in (("cloth", front), ("cloth_back", back)):
            fields[name] = read_photograph(self.folder / "cloth" / folder / file)
            if path := self.path(("cloth-mask",), f"{folder}/{file}"):
                fields[f"{name}_mask"] = read_mask(path, fields[name].shape[:2])
        return fields

    def _unpaired(self, sample: RawSample, person: str, view: int) -> RawSample | None:
        own = sample.garment_name == person
        for garment in self._tries_on.get(person, []) if own else [sample.garment_name]:
            fields = read_unpaired(self.folder, sample.name, garment, sample.image.shape[:2])
            if fields is not None:
                return RawSample(name=sample.name, pose=sample.pose, hands=sample.hands, skeleton=sample.skeleton,
                                 **fields, **self.read_garment(garment, view))  # fmt: skip
        return None


def read_unpaired_pairs(path: Path) -> list[tuple[str, str]]:
    """Person and garment ids of unpaired.txt. Raises FileNotFoundError, or DamagedFile naming the line."""
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        ids = line.split()
        if not ids:
            continue
        if len(ids) != 2 or not all(is_plain(name) and "_" not in name for name in ids):
            raise DamagedFile(path, f"two ids, person and garment, in line {number}", repr(line.strip()))
        pairs.append((ids[0], ids[1]))
    return pairs
