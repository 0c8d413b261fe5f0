"""Annotated photographs as a data set in the layout of VITON-HD, which every system of the course can open.

    ROOT/test/image/NAME.jpg, image-parse-v3/, openpose_json/, ...     see `vtonlib.layouts.viton_hd`
    ROOT/test_pairs.txt                                                who tries on what

Everything of a sample is made in a hidden folder first and then moved to its place, the photograph last and the line of
the pairs file after it: an error on the way leaves nothing behind, and what is there was written whole.

A photograph of a user has no picture of the garment that is worn on it, so the set is unpaired: open it with
`open_dataset(ROOT, "test", pairing="unpaired")`. A padded sample is written with its padding, as the layout knows none.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import Tensor

from ..layouts.files import is_plain, read_pairs, require_file, write_pairs
from ..layouts.viton_hd import write_garment, write_sample
from ..sample import Garment, RawSample, TryOnSample

SPLITS = ("train", "test")
GARMENT_FOLDERS = ("cloth", "cloth-mask")


def write_viton_hd(sample: TryOnSample, root: str | Path, split: str = "test", *, overwrite: bool = False) -> Path:
    """Write a single sample (of `annotate`, not a batch), and its garment if it has one, below `root`; returns `root`.

    The same person may be written again with another garment: the same files stay, and a pair is added. Another person
    or garment of a name that is taken is refused unless `overwrite`.
    Raises FileExistsError for that, and where the new files would make what lies there unreadable; ValueError for an
    incomplete sample, a name that a pairs file can't hold, another split, and the folder of a studio data set.
    """
    root, raw = Path(root), raw_from_sample(sample)
    names = (raw.name,) if sample.garment is None else (raw.name, raw.garment_name)
    _check(root, split, names)
    with _staged(root) as stage:
        write_sample(stage, raw)
        _move(stage, root, split, raw.name, overwrite)
    if sample.garment is not None:
        add_pair(root, raw.name, raw.garment_name, split)
    return root


def write_viton_hd_garment(garment: Garment, root: str | Path, split: str = "test", *, overwrite: bool = False) -> Path:
    """Write a garment with its mask below `root`, without a person; raises as `write_viton_hd` does."""
    root, name = Path(root), garment.name
    _check(root, split, (name,))
    with _staged(root) as stage:
        write_garment(stage, RawSample(name=name, garment_name=name, image=_pixels(garment.image), **_cloth(garment)))
        _move(stage, root, split, name, overwrite)
    return root


def raw_from_sample(sample: TryOnSample) -> RawSample:
    """A sample as a layout stores it: pictures uint8, channels last; DensePose as part, u * 255, v * 255.

    Raises ValueError for a batch and, saying which step makes it, for a missing annotation.
    """
    if sample.person.ndim != 3:
        raise ValueError(f"sample: expected a single one with person (3, H, W), got {tuple(sample.person.shape)}")
    sample.require("parse", "pose", "hands", "densepose", "skeleton")
    part, uv = sample.densepose[:1], sample.densepose[1:] * 255
    surface = np.concatenate([_last(part), np.rint(_last(uv))], axis=2)
    return RawSample(
        name=sample.name,
        garment_name=sample.name if sample.garment is None else sample.garment.name,
        image=_pixels(sample.person),
        parse=sample.parse.cpu().numpy().astype(np.uint8),
        pose=sample.pose.cpu().numpy(),
        hands=sample.hands.cpu().numpy(),
        skeleton=_pixels(sample.skeleton),
        densepose=surface.clip(0, 255).astype(np.uint8),
        **({} if sample.garment is None else _cloth(sample.garment)),
    )


def _cloth(garment: Garment) -> dict[str, np.ndarray]:
    return {"cloth": _pixels(garment.image), "cloth_mask": garment.require_mask()[0].cpu().numpy() > 0.5}


def _last(values: Tensor) -> np.ndarray:
    """(C,H,W) -> (H,W,C)."""
    return np.ascontiguousarray(values.detach().cpu().float().numpy().transpose(1, 2, 0))


def _pixels(picture: Tensor) -> np.ndarray:
    """(3,H,W) in [-1,1] -> (H,W,3) uint8."""
    return np.rint((_last(picture) + 1) * 127.5).clip(0, 255).astype(np.uint8)


# ---- to its place --------------------------------------------------------------------------------------------------


def _check(root: Path, split: str, names: tuple[str, ...]) -> None:
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {SPLITS}, got {split!r}")
    for name in names:
        if len(name.split()) != 1 or name != name.strip() or not is_plain(name):
            raise ValueError(f"name: expected one without spaces and slashes that is not hidden, got {name!r}")
    if (root / "studio.json").exists():
        raise ValueError(
            f"{root}: expected a folder of photographs, got a data set of the studio, which stays as it is"
        )
    if root.exists() and not root.is_dir():
        raise ValueError(f"{root}: expected a folder, got a file")


@contextmanager
def _staged(root: Path) -> Iterator[Path]:
    """A hidden folder below `root`, on the same disk, that is gone afterwards; so is `root` if it was made in vain."""
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    root.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(dir=root, prefix=".annotate-"))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _move(stage: Path, root: Path, split: str, name: str, overwrite: bool) -> None:
    """Move the files below `stage` to ROOT/split, the photograph last; on an error take back those that are new."""
    files = sorted(path.relative_to(stage) for path in stage.rglob("*") if path.is_file())
    files.sort(key=lambda file: file.parts[0] == "image")
    split_dir, new = root / split, []
    _refuse_a_mixture(split_dir, {file.parts[0] for file in files})
    for file in files:
        there = split_dir / file
        if there.exists() and not overwrite and there.read_bytes() != (stage / file).read_bytes():
            raise FileExistsError(
                f"{there}: another {'garment' if file.parts[0] in GARMENT_FOLDERS else 'photograph'} of the name "
                f"{file.stem!r} is there; choose another name or folder, or allow to overwrite it"
            )
    first = not (split_dir / "image").exists()
    folders: list[Path] = []
    try:
        for file in files:
            there = split_dir / file
            folders += [folder for folder in (split_dir, there.parent) if not folder.exists()]
            there.parent.mkdir(parents=True, exist_ok=True)
            if not there.exists():
                new.append(there)
            os.replace(stage / file, there)
        paired = root / f"{split}_pairs_paired.txt"
        if first and not paired.exists():
            # without this file the layout takes a garment that is named like the person as the one that is worn
            write_pairs(paired, [])
    except BaseException:
        for there in new:
            there.unlink(missing_ok=True)
        for folder in reversed(folders):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise


def _refuse_a_mixture(split_dir: Path, folders: set[str]) -> None:
    """Raise FileExistsError where a new folder would make photographs or garments unreadable that have no files in it.

    The layout reads a missing folder as "this data set has none", and a missing file in a folder as damage.
    """
    for first, others in (("image", folders - set(GARMENT_FOLDERS)), ("cloth", folders & set(GARMENT_FOLDERS))):
        missing = sorted(folder for folder in others if not (split_dir / folder).is_dir())
        if (split_dir / first).is_dir() and any((split_dir / first).iterdir()) and missing:
            raise FileExistsError(
                f"{split_dir}: the pictures in {first} there have no {', '.join(missing)}; with some that have, they "
                "could not be opened any more: choose another folder"
            )


def add_pair(root: str | Path, person: str, garment: str, split: str = "test") -> None:
    """Add a line to ROOT/SPLIT_pairs.txt, unless it is there: this person tries on this garment, both written before.

    Raises FileNotFoundError for one that isn't there.
    """
    root = Path(root)
    require_file(root / split / "image" / f"{person}.jpg")
    require_file(root / split / "cloth" / f"{garment}.jpg")
    path = root / f"{split}_pairs.txt"
    pairs = read_pairs(path) if path.is_file() else []
    if (person, garment) not in pairs:
        write_pairs(path, [*pairs, (person, garment)])
