"""From a sample to what networks take: pure functions that give maps in [0, 1].

The drawing half (`draw_*`, `erased`) needs NumPy and Pillow only; the other half works on tensors and is loaded, with
torch, when first asked for.
"""

from __future__ import annotations

from importlib import import_module

from .agnostic import draw_human_agnostic, draw_parse_agnostic, erased
from .skeleton import draw_skeleton

_WITH_TORCH = {
    "pose_heatmaps": "heatmaps",
    "body_shape": "person",
    "cloth_on_person": "person",
    "human_agnostic": "person",
    "human_agnostic_mask": "person",
    "label_mask": "person",
    "one_hot": "person",
    "parse_agnostic": "person",
    "person_representation": "person",
    "reserved_regions": "person",
    "skeleton_picture": "person",
}

__all__ = ["draw_human_agnostic", "draw_parse_agnostic", "draw_skeleton", "erased", *sorted(_WITH_TORCH)]


def __getattr__(name: str):
    if name in _WITH_TORCH:
        return getattr(import_module(f".{_WITH_TORCH[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
