"""From a photograph to its annotations: pose, human parsing, DensePose, garment masks, and all of them in one call.

    from vtonlib.perceive import annotate
    sample = annotate("me.jpg", "shirt.jpg")

The names below are loaded, with torch, when first asked for.
"""

from __future__ import annotations

from importlib import import_module

SIZE = (1024, 768)  # height and width of annotated pictures unless told otherwise: those of VITON-HD
_NAMES = {
    "Annotator": "annotator",
    "NobodyFound": "people",
    "PhotographWarning": "annotator",
    "annotate": "annotator",
    "load_densepose": "densepose",
    "load_garment_mask": "garment_mask",
    "load_parser": "parsing",
    "load_pose": "pose",
    "read_photo": "photo",
    "write_viton_hd": "write",
}

__all__ = sorted(_NAMES)


def __getattr__(name: str):
    if name in _NAMES:
        return getattr(import_module(f".{_NAMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
