"""One module for each format of data set on disk, reading and writing `RawSample`s.

A layout is a class with `layout` (its name), `looked_for` (one line for the error message), `recognises(root)`, and
instances `Layout(root, split)` with `names(pairing)` and `read(*name)` for each of these names: (person, garment), and
in `mpv` a third, the picture in another pose. A new one is added to `LAYOUTS`.

Writers: `write_sample` and `write_pairs` (viton-hd), `mpv.write_sample` and `mpv.write_triplets`, `mvg.write_views` and
`mvg.write_unpaired`.

Needs NumPy and Pillow only.
"""

from __future__ import annotations

from pathlib import Path

from . import mpv, mvg
from .depth import decode_depth, encode_depth
from .files import DamagedFile
from .flow import decode_flow, encode_flow
from .mpv import MPV
from .mvg import MVG
from .viton_hd import VitonHD, write_pairs, write_sample

__all__ = [
    "LAYOUTS",
    "MPV",
    "MVG",
    "DamagedFile",
    "VitonHD",
    "decode_depth",
    "decode_flow",
    "encode_depth",
    "encode_flow",
    "mpv",
    "mvg",
    "recognise",
    "write_pairs",
    "write_sample",
]

LAYOUTS = {kind.layout: kind for kind in (MVG, MPV, VitonHD)}  # the one that asks for most comes first


def recognise(root: Path | str, layout: str | None = None) -> type:
    """The layout class of the data set in a folder: the one named, or the first that recognises it.

    Raises ValueError for an unknown name, FileNotFoundError if there is no such folder or no layout recognises it,
    saying what was looked for and what is there.
    """
    root = Path(root)
    if layout is not None:
        if layout not in LAYOUTS:
            raise ValueError(f"layout: expected one of {sorted(LAYOUTS)}, got {layout!r}")
        return LAYOUTS[layout]
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root}: expected the folder of a data set, got {'a file' if root.exists() else 'nothing'}"
        )
    for kind in LAYOUTS.values():
        if kind.recognises(root):
            return kind
    there = ", ".join(sorted(path.name for path in root.iterdir())[:12]) or "nothing"
    wanted = "; ".join(f"{name}: {kind.looked_for}" for name, kind in LAYOUTS.items())
    raise FileNotFoundError(f"{root}: expected a data set ({wanted}), got a folder with {there}")
