"""One word fixes the size of everything: `smoke` (CI, seconds), `laptop` (the default), `gpu` (the papers' widths).

The word is found in this order: a parameter injected by papermill, the environment variable VTON_PROFILE, the default
that stands in the notebook's parameters cell. Graded runs (NBGRADER_EXECUTION is set) take `smoke`, as nbgrader allows
each cell half a minute.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a notebook may take for granted about the size of its work.

    size: (height, width) of every picture; people, seed, data_set: the studio set (its folder's name below the data
    root); samples: test samples that are looked at or averaged over; steps, batch_size: a short training in a notebook;
    config, weights: what `vtonlib.systems.load_system` is given.
    """

    name: str
    size: tuple[int, int]
    people: int
    seed: int
    data_set: str
    samples: int
    steps: int
    batch_size: int
    config: str
    weights: str | None

    @property
    def root(self) -> Path:
        """Folder of this profile's studio data set."""
        return data_root() / self.data_set


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="smoke", size=(128, 96), people=24, seed=0, data_set="smoke",
            samples=4, steps=4, batch_size=2, config="course", weights="course",
        ),
        Profile(
            name="laptop", size=(256, 192), people=240, seed=0, data_set="tutorial",
            samples=24, steps=120, batch_size=8, config="course", weights="course",
        ),
        Profile(
            name="gpu", size=(256, 192), people=1000, seed=1, data_set="benchmark",
            samples=250, steps=4000, batch_size=16, config="course", weights="course",
        ),
    )
}  # fmt: skip


def data_root() -> Path:
    """Folder that holds the data sets: VTON_DATA where it is set, else `data/` of the project.

    Raises ValueError for a relative VTON_DATA: a notebook works in another folder than the shell that it was set in.
    """
    chosen = Path(os.environ.get("VTON_DATA") or PROJECT / "data")
    if not chosen.is_absolute():
        raise ValueError(f"VTON_DATA: expected an absolute path, got {str(chosen)!r}")
    return chosen


def profile(name: str) -> Profile:
    """The profile of that name.

    Raises ValueError for an unknown name, listing the known ones.
    """
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}: expected one of {', '.join(PROFILES)}")
    return PROFILES[name]


def default_profile(name: str) -> str:
    """Name for a parameters cell: `smoke` while grading, else VTON_PROFILE, else `name`.

    Papermill writes its injected parameter below the parameters cell, so that one wins over this.
    Raises ValueError where the chosen name is not a profile.
    """
    chosen = "smoke" if os.environ.get("NBGRADER_EXECUTION") else os.environ.get("VTON_PROFILE") or name
    return profile(chosen).name


def ensure_data(chosen: Profile, *, processes: int | None = None) -> Path:
    """Write the profile's studio data set unless it is complete, and return its folder.

    Writing shows a progress bar and goes on where an interrupted run stopped (see `vtonlib.studio.Studio.write`).
    processes: worker processes, None for one per core.
    """
    from vtonlib.studio import Studio

    Studio(seed=chosen.seed).write(
        chosen.root, people=chosen.people, size=chosen.size, layout="viton-hd", processes=processes
    )
    return chosen.root
