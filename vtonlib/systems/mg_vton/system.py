"""MG-VTON as a system: a person, a garment and a pose in, a picture out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from vtonlib.checkpoints import WEIGHTS_FOLDER
from vtonlib.sample import Garment, TryOnSample, collate
from vtonlib.systems.base import TryOn
from vtonlib.systems.mg_vton import SYSTEM
from vtonlib.systems.mg_vton.inputs import batch_pose
from vtonlib.systems.mg_vton.networks import NETWORKS, load_network, new_network
from vtonlib.systems.mg_vton.synthesis import dress, painter_batch, refinement_batch


class MGVTON:
    """The system: `stages` are "parsing", "gmm", "matcher", "warp-gan" and "refinement", as they run.

    metadata: of the weights files, by stage. Works at the size of the samples, which must be a multiple of 8; trained
    for 256x192.
    """

    name = SYSTEM

    def __init__(self, stages: dict[str, nn.Module], *, device: torch.device, metadata: dict[str, dict]) -> None:
        self.stages = {name: stages[name].to(device).eval().requires_grad_(False) for name in NETWORKS}
        self.device = device
        self.metadata = {name: metadata.get(name, {}) for name in NETWORKS}

    @torch.no_grad()
    def try_on(self, sample: TryOnSample, garment: Garment | None = None, pose: Tensor | None = None) -> TryOn:
        """Draw the person of `sample`, or of a collated batch, in a garment and a pose.

        garment: in place of the sample's own record. pose (25,3), or (B,25,3) for a batch: BODY_25 in pixels of the
        picture, confidence 0 for joints that aren't to be seen; None: the sample's own. See `vtonlib.poses` for poses
        of other people. The result is on the sample's device; `parse` is what stage 1 drew.
        Raises ValueError for a pose of another shape and for what the sample lacks.
        """
        if garment is not None:
            sample = replace(sample, garment=garment)
        if pose is None:
            sample.require("pose")
            pose = sample.pose
        single = sample.person.ndim == 3
        batch = collate([replace(sample, truth=None)]) if single else sample
        batch = moved_to(batch, self.device)
        fields = self._synthesise(batch, batch_pose(pose[None] if single and pose.ndim == 2 else pose, batch))
        home = sample.person.device
        return TryOn(**{key: (value[0] if single else value).to(home) for key, value in fields.items()})

    def _synthesise(self, sample: TryOnSample, pose: Tensor) -> dict[str, Tensor]:
        painter = self.stages["warp-gan"]
        parse = self.stages["parsing"].draw(sample, pose)
        dressed = dress(self.stages["gmm"], sample, parse)
        seen = painter_batch(painter, self.stages["matcher"], sample, pose, parse, dressed)
        coarse = painter(seen)
        tryon, composition_mask = self.stages["refinement"](refinement_batch(dressed, coarse, seen.heatmaps))
        return {
            "tryon": tryon,
            "warped": dressed.warped,
            "warped_mask": dressed.warped_mask,
            "parse": parse,
            "coarse": coarse,
            "composition_mask": composition_mask,
            "theta": dressed.output.theta,
            "grid": dressed.output.grid,
        }


def moved_to(sample: TryOnSample, device: torch.device) -> TryOnSample:
    """Photograph, parse and garment of a sample on a device, without its truth. Raises ValueError for what it lacks."""
    sample.require("garment", "parse")
    garment = sample.garment
    mask = None if garment.mask is None else garment.mask.to(device)
    return replace(
        sample,
        person=sample.person.to(device),
        parse=sample.parse.to(device),
        garment=replace(garment, image=garment.image.to(device), mask=mask),
        truth=None,
    )


def load_mg_vton(
    *, weights: str | Path | None, config: str, device: torch.device, path: str | Path | None, seed: int
) -> MGVTON:
    """Build MG-VTON; the arguments are those of `vtonlib.systems.load_system`, which has checked their combination.

    weights as a path: a folder with all five files, named as in `networks.NETWORKS`. There are no official weights.
    Raises ValueError for official weights and for a path that is no folder, and as `load_network` does.
    """
    if weights == "official":
        raise ValueError(f"mg-vton: its authors published no weights ({path}); use weights='course', a folder or None")
    if weights is None:
        return MGVTON({stage: new_network(stage, config, seed) for stage in NETWORKS}, device=device, metadata={})
    folder = WEIGHTS_FOLDER if weights == "course" else Path(weights)
    if not Path(folder).is_dir():
        files = ", ".join(network.file for network in NETWORKS.values())
        raise ValueError(f"{folder}: mg-vton needs a folder with {files}")
    loaded = {stage: load_network(stage, folder, device) for stage in NETWORKS}
    metadata = {stage: about for stage, (_, about) in loaded.items()}
    return MGVTON({stage: module for stage, (module, _) in loaded.items()}, device=device, metadata=metadata)
