"""CP-VTON (Wang et al., ECCV 2018): a learned thin-plate-spline warp (GMM), then a try-on module (TOM).

The halves are in `cp_vton_warp` and `tom`; here they become a system. Without a try-on module the warped garment is
laid on the photograph by means of the parse (`tom.composite`), which is a baseline and what a GMM file alone gives.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vtonlib.checkpoints import WEIGHTS_FOLDER, load_weights, read_metadata
from vtonlib.sample import Garment, TryOnSample, collate
from vtonlib.systems.base import TryOn
from vtonlib.systems.cp_vton_warp import GMMBatch, gmm_batch, main_piece, warp_garment
from vtonlib.systems.tom import (
    GREY,
    TOM,
    TOM_COURSE,
    TOM_PAPER,
    TOMConfig,
    composite,
    tom_batch,
)
from vtonlib.warp import GMM, GMM_COURSE, GMM_PAPER, GMMConfig

__all__ = [
    "CONFIGS", "CPVTON", "GREY", "TOM_CONFIGS", "GMMBatch", "composite", "gmm_batch", "load_cp_vton", "main_piece",
    "plain", "warp_garment",
]  # fmt: skip

CONFIGS: dict[str, GMMConfig] = {"course": GMM_COURSE, "paper": GMM_PAPER}
TOM_CONFIGS: dict[str, TOMConfig] = {"course": TOM_COURSE, "paper": TOM_PAPER}
FILES = {"gmm": "cp-vton-gmm.safetensors", "tom": "cp-vton-tom.safetensors"}


class CPVTON:
    """The CP-VTON system: `stages["gmm"]` warps, `stages["tom"]` paints and composes.

    tom None: there is no such stage, and `composite` lays the warped garment on the photograph. keep_skin: beneath the
    garment, skin that the photograph shows is taken from there (see `tom.visible_skin`), for a module whose `kept` is
    "agnostic"; those of the papers paint all skin.
    metadata: of the weights files, by stage. Works at the size of the sample it is given, which the networks must be
    able to halve (multiples of 32 for the course's, of 64 for the paper's, whose size is 256x192).
    """

    name = "cp-vton"

    def __init__(
        self,
        *,
        gmm: GMM,
        tom: TOM | None = None,
        device: torch.device,
        metadata: dict[str, dict] | None = None,
        keep_skin: bool = True,
    ) -> None:
        self.stages: dict[str, nn.Module] = {"gmm": gmm.to(device).eval()}
        if tom is not None:
            self.stages["tom"] = tom.to(device).eval()
        self.device = device
        self.keep_skin = keep_skin and tom is not None and tom.config.kept == "agnostic"
        self.metadata = {stage: (metadata or {}).get(stage, {}) for stage in self.stages}

    def without_tom(self) -> CPVTON:
        """The same warp with `composite` in the place of the try-on module."""
        return CPVTON(gmm=self.stages["gmm"], device=self.device, metadata=self.metadata)

    @torch.no_grad()
    def try_on(self, sample: TryOnSample, garment: Garment | None = None, pose: Tensor | None = None) -> TryOn:
        """Dress the person of `sample`, or of a collated batch, in its own garment record or in `garment`.

        The result is on the device of the sample. `coarse` is what the try-on module painted before composition (None
        without one); `parse` and `misaligned` are None: CP-VTON predicts neither.
        Raises ValueError for a pose (the system can't change it) and for what the sample lacks.
        """
        if pose is not None:
            raise ValueError("cp-vton keeps the pose of the photograph: try_on takes no pose; mg-vton will")
        if garment is not None:
            sample = replace(sample, garment=garment, truth=None)
        single = sample.person.ndim == 3
        batch = collate([sample]) if single else sample
        warped, warped_mask, output = warp_garment(self.stages["gmm"], gmm_batch(batch, device=self.device))
        fields: dict[str, Any] = {"warped": warped, "warped_mask": warped_mask, **output._asdict()}
        fields |= self._synthesise(batch, warped, warped_mask)
        home = sample.person.device
        return TryOn(**{key: (value[0] if single else value).to(home) for key, value in fields.items()})

    def _synthesise(self, batch: TryOnSample, warped: Tensor, warped_mask: Tensor) -> dict[str, Tensor]:
        if "tom" not in self.stages:
            person, parse = batch.person.to(self.device), batch.parse.to(self.device)
            tryon, composition_mask = composite(person, parse, warped, main_piece(warped_mask))
            return {"tryon": tryon, "composition_mask": composition_mask}
        tom = self.stages["tom"]
        painted = tom(tom_batch(batch, warped, warped_mask, tom.config, keep_skin=self.keep_skin, device=self.device))
        return {
            "tryon": painted.tryon,
            "coarse": painted.rendered,
            "composition_mask": painted.composition_mask,
        }


def load_cp_vton(
    *, weights: str | Path | None, config: str, device: torch.device, path: str | Path | None, seed: int
) -> CPVTON:
    """Build CP-VTON; the arguments are those of `vtonlib.systems.load_system`, which has checked their combination.

    weights as a path: a folder with both files (their names as in `FILES`), or a GMM's file alone, which gives a system
    without try-on module.
    Raises NotImplementedError for official weights, FileNotFoundError and ValueError for a weights file that is not
    there, damaged or of another network.
    """
    if weights == "official":
        raise NotImplementedError(
            f"cp-vton: the authors' weights in {path} can't be imported yet; use weights='course', a path or None"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks: dict[str, nn.Module] = {"gmm": GMM(CONFIGS[config]), "tom": TOM(TOM_CONFIGS[config])}
    if weights is None:
        return CPVTON(**networks, device=device)
    files = stage_files(weights)
    networks = {stage: networks[stage] for stage in files}
    metadata = {}
    for stage, file in files.items():
        check_belongs(read_metadata(file), file, stage, networks[stage].config)
        metadata[stage] = load_weights(file, networks[stage])
    return CPVTON(**networks, device=device, metadata=metadata)


def stage_files(weights: str | Path) -> dict[str, Path]:
    """Which file holds which stage: of the course ("course"), of a folder, or of a GMM's file alone."""
    folder = WEIGHTS_FOLDER if weights == "course" else Path(weights)
    if folder.is_dir():
        return {stage: folder / name for stage, name in FILES.items()}
    if read_metadata(folder).get("stage") == "tom":
        raise ValueError(f"{folder}: a try-on module needs its GMM: name a folder with {' and '.join(FILES.values())}")
    return {"gmm": folder}


def check_belongs(metadata: dict, file: Path, stage: str, config: GMMConfig | TOMConfig) -> None:
    """Raise ValueError where a weights file says that it is of another system, stage or config than expected.

    A file without metadata passes: then names and shapes decide.
    """
    expected = {"system": CPVTON.name, "stage": stage, "config": plain(config)}
    for key, value in expected.items():
        if key in metadata and metadata[key] != value:
            raise ValueError(f"{file}: expected weights with {key} = {value}, got {metadata[key]}")


def plain(config: GMMConfig | TOMConfig) -> dict:
    """The config as JSON gives it back: tuples are lists."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}
