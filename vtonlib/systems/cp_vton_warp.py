"""The first half of CP-VTON: what its geometric matching module sees, and the warp of a garment with it.

Source: Wang et al. 2018 (CP-VTON), sections 3.1 and 3.2.

Convention: networks see pictures and maps in [-1,1], as CP-VTON defined them; `vtonlib.represent` gives [0,1], and the
step between lies here. The garment is on white. Unless told otherwise the warp looks up the garment with border padding
(white) and its mask with zeros, as the authors' code does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from vtonlib.represent import cloth_on_person, person_representation
from vtonlib.sample import TryOnSample
from vtonlib.warp import GMM, GMMOutput


@dataclass(frozen=True, kw_only=True)
class GMMBatch:
    """What the geometric matching module sees and what it is judged by, for B samples.

    agnostic (B,22,H,W) in [-1,1]: the person representation, channels as `represent.person_representation` orders
    them; garment (B,3,H,W) in [-1,1] on white; garment_mask (B,1,H,W) in {0,1}.
    worn (B,3,H,W) in [-1,1]: the worn garment's visible pixels on white, worn_mask (B,1,H,W) where they are: the
    target, for paired samples. hidden (B,1,H,W) in {0,1}: the worn garment is here but behind something; flow
    (B,2,H,W): the true warp, see `sample.Truth`; both None where the data set has no truth.
    """

    agnostic: Tensor
    garment: Tensor
    garment_mask: Tensor
    worn: Tensor
    worn_mask: Tensor
    hidden: Tensor | None = None
    flow: Tensor | None = None

    def __len__(self) -> int:
        return len(self.agnostic)


def gmm_batch(batch: TryOnSample, *, device: str | torch.device = "cpu") -> GMMBatch:
    """Turn a batch of samples (see `vtonlib.sample.collate`) into the inputs and targets of GMM.

    Raises ValueError, naming the sample, for what is missing: garment, its mask, parse or pose.
    """
    batch.require("garment", "parse", "pose")
    mask = batch.garment.require_mask().to(device)
    if batch.person.ndim != 4:
        raise ValueError(f"gmm_batch: expected person (B,3,H,W), got {tuple(batch.person.shape)}; see sample.collate")
    batch = replace(batch, **{name: getattr(batch, name).to(device) for name in ("person", "parse", "pose")})
    worn, worn_mask = cloth_on_person(batch.person, batch.parse)
    hidden = batch.truth.hidden if batch.truth is not None else None
    flow = batch.truth.flow if batch.truth is not None else None
    return GMMBatch(
        agnostic=person_representation(batch) * 2 - 1,
        garment=batch.garment.on_white().to(device),
        garment_mask=mask,
        worn=worn * 2 - 1,
        worn_mask=worn_mask,
        hidden=None if hidden is None else hidden.unsqueeze(1).to(mask),
        flow=None if flow is None else flow.to(device),
    )


def warp_garment(
    gmm: GMM,
    batch: GMMBatch,
    *,
    garment_padding: Literal["zeros", "border"] = "border",
    mask_padding: Literal["zeros", "border"] = "zeros",
) -> tuple[Tensor, Tensor, GMMOutput]:
    """Run GMM and warp: garment (B,3,H,W) in [-1,1], its mask (B,1,H,W) in [0,1], and GMM's output (theta, grid).

    garment_padding, mask_padding: what lies beyond the border of the shop's picture, see `warp_image`. The defaults are
    CP-VTON's; VITON-HD reads both with "border".
    """
    output = gmm(batch.agnostic, batch.garment)
    warped = gmm.warp(batch.garment, output.grid, padding=garment_padding)
    warped_mask = gmm.warp(batch.garment_mask, output.grid, padding=mask_padding)
    return warped, warped_mask, output


def main_piece(mask: Tensor) -> Tensor:
    """The largest connected piece (8 neighbours) of a mask (..., 1, H, W), 0 elsewhere.

    A spline knows nothing beyond its control points: extrapolated into a corner of the picture it may bring back a
    second piece of the garment, which nobody wears.
    """
    import numpy as np
    from scipy import ndimage

    kept = mask.clone()
    for plane in kept.flatten(0, -3):
        pieces, count = ndimage.label((plane > 0).cpu().numpy(), np.ones((3, 3)))
        if count > 1:
            largest = np.bincount(pieces.ravel())[1:].argmax() + 1
            plane[torch.from_numpy(pieces != largest).to(plane.device)] = 0
    return kept
