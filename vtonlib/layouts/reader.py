"""What the readers of all layouts have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from .files import DamagedFile, require_file

PAIRINGS = ("paired", "unpaired")


class Reader:
    """One split of a data set on disk: `root` as given to the constructor, and `folder`, which holds its pictures."""

    def __init__(self, root: Path | str, split: str, folder: Path):
        self.root, self.split, self.folder = Path(root), split, folder

    @cached_property
    def recipe(self) -> dict | None:
        """What `studio.json` says about how the data set was made; None for other data sets.

        Raises DamagedFile if that file is not a JSON object.
        """
        path = self.root / "studio.json"
        if not path.is_file():
            return None
        try:
            recipe = json.loads(path.read_bytes())
        except ValueError as error:
            raise DamagedFile(path, "a JSON file", str(error)) from error
        if not isinstance(recipe, dict):
            raise DamagedFile(path, "a JSON object", type(recipe).__name__)
        return recipe

    def path(self, folders: Iterable[str], file: str) -> Path | None:
        """The file in the first of the folders that exists; None if none does, an error if the file is not in it."""
        for folder in folders:
            if (self.folder / folder).is_dir():
                return require_file(self.folder / folder / file)
        return None


def check_pairing(pairing: str) -> None:
    """Raise ValueError for anything but "paired" and "unpaired"."""
    if pairing not in PAIRINGS:
        raise ValueError(f"pairing: expected one of {PAIRINGS}, got {pairing!r}")


def tried_on(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """For each person the garments of a pairs file, in its order."""
    garments: dict[str, list[str]] = {}
    for person, garment in pairs:
        garments.setdefault(person, []).append(garment)
    return garments
