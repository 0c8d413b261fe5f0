"""A small data set of triplets in MPV's layout: blocky people who step aside from one photograph to the next."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from synthetic import make_raw

from vtonlib.layouts import mpv
from vtonlib.layouts.files import write_bytes
from vtonlib.sample import RawSample

STEP = 4  # pixels to the right from one photograph to the next


def _aside(raw: RawSample, by: int) -> dict:
    """The fields of a photograph moved to the right by `by` pixels, background coming in on the left."""
    moved = {}
    for name, fill in (("image", 128), ("parse", 0), ("densepose", 0), ("flow", np.nan), ("flow_back", np.nan),
                       ("hidden", False), ("depth", 0)):  # fmt: skip
        field = getattr(raw, name)
        if field is not None:
            moved[name] = np.roll(field, by, axis=1)
            moved[name][:, :by] = fill
    if raw.pose is not None:
        moved["pose"] = raw.pose + np.float32([by, 0, 0]) * (raw.pose[:, 2:] > 0)
    return moved


def photograph(person: int, number: int, people: int, size: tuple[int, int]) -> RawSample:
    """Picture `number` (from 1) of a person, and the same in the next person's garment."""

    def shop(owner: int) -> dict:
        raw = make_raw("x", size=size, seed=100 + owner)
        pictures = {name: getattr(raw, name) for name in ("cloth", "cloth_mask", "cloth_back", "cloth_back_mask")}
        return {"garment_name": mpv.garment_name(f"{owner:06d}"), **pictures}

    name, by = mpv.person_name(f"{person:06d}", number), STEP * (number - 1)
    raw = make_raw(name, mpv.garment_name(f"{person:06d}"), size=size, seed=person)
    worn = replace(raw.unpaired, **_aside(raw.unpaired, by), **shop((person + 1) % people))
    return replace(raw, **_aside(raw, by), **shop(person), unpaired=worn, new_pose=None)


def write_poses(root: Path, *, people: int = 3, poses: int = 3, size=(64, 64), split: str = "train") -> Path:
    """Write a data set whose triplets go around: pose 1 to 2, 2 to 3, 3 to 1, as the studio lists them."""
    rows, other = [], []
    for person in range(people):
        names = [mpv.person_name(f"{person:06d}", number + 1) for number in range(poses)]
        for number in range(poses):
            mpv.write_sample(root, photograph(person, number + 1, people, size))
            shown = (names[number], names[(number + 1) % poses])
            rows.append((*shown, mpv.garment_name(f"{person:06d}"), split))
            other.append((*shown, mpv.garment_name(f"{(person + 1) % people:06d}"), split))
    mpv.write_triplets(root, rows)
    mpv.write_triplets(root, other, unpaired=True)
    write_bytes(root / "studio.json", b'{"recipe": "test"}\n')
    return root
