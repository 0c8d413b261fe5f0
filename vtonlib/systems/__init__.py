"""The try-on systems of the course, all with one face: `load_system(name).try_on(sample) -> TryOn`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vtonlib.systems.base import TryOn
from vtonlib.systems.cp_vton import CPVTON, load_cp_vton

__all__ = ["AVAILABLE", "CPVTON", "KNOWN", "TryOn", "load_system"]

KNOWN = ("cagan", "viton", "cp-vton", "cp-vton-plus", "mg-vton", "viton-hd", "o-viton", "mv-vton")
AVAILABLE: dict[str, Callable[..., Any]] = {"cp-vton": load_cp_vton}

LEGAL = """\
config="course" with weights="course" (the checkpoint that comes with vtonlib)
config="course" with weights=PATH (a .safetensors file that you trained)
config="course" with weights=None (random weights)
config="paper" with weights="official" and path=FOLDER (the authors' published weights)
config="paper" with weights=None (random weights)"""


def load_system(
    name: str,
    weights: str | Path | None = "course",
    config: str = "course",
    device: str | torch.device = "cpu",
    *,
    path: str | Path | None = None,
    seed: int = 0,
):
    """Build a try-on system, ready to use (eval mode, no gradients).

    name: one of AVAILABLE. weights: "course", "official", the path of a weights file, or None for random ones drawn
    with `seed`. config: "course" for networks that run on a laptop, "paper" for the sizes of the paper. path: the
    folder of official weights. device: also "auto".
    Returns an object with `try_on(sample, garment=None, pose=None) -> TryOn` and `stages`, the networks by name.
    Raises ValueError for an unknown name and for a combination that is not among LEGAL; FileNotFoundError for weights
    that are not there.
    """
    from vtonlib.training import resolve_device

    if name not in AVAILABLE:
        state = "is not built yet" if name in KNOWN else "is unknown"
        raise ValueError(f"system {name!r} {state}: available are {', '.join(AVAILABLE)}")
    check_combination(weights, config, path)
    return AVAILABLE[name](weights=weights, config=config, device=resolve_device(device), path=path, seed=seed)


def check_combination(weights: str | Path | None, config: str, path: str | Path | None) -> None:
    """Raise ValueError, with the list of what is legal, unless these arguments of `load_system` go together."""
    official = weights == "official"
    legal = {"course": not official and path is None, "paper": weights is None and path is None}
    legal["paper"] = legal["paper"] or (official and path is not None)
    if not legal.get(config, False):
        got = f"config={config!r}, weights={None if weights is None else str(weights)!r}, path={path!r}"
        raise ValueError(f"load_system can't combine {got}; it can:\n{LEGAL}")
