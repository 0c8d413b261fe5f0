"""CP-VTON (Wang et al., ECCV 2018): a learned thin-plate-spline warp (GMM), then a try-on module.

So far the warp only: where the try-on module will blend, `composite` lays the warped garment on the photograph by means
of the parse. What was covered by the old top and is not covered by the new one stays grey: it waits for a network that
can paint skin.

Convention: networks see pictures and maps in [-1,1], as CP-VTON defined them; `vtonlib.represent` gives [0,1], and the
step between lies here. The garment is on white. The warp looks up the garment with border padding (white) and its mask
with zeros, as the authors' code does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from vtonlib.checkpoints import WEIGHTS_FOLDER, load_weights, read_metadata
from vtonlib.labels import ARM_LABELS, HEAD_LABELS, LIP_INDEX, TOP_LABELS
from vtonlib.represent import cloth_on_person, person_representation
from vtonlib.represent.person import label_mask
from vtonlib.sample import Garment, TryOnSample, collate
from vtonlib.systems.base import TryOn
from vtonlib.warp import GMM, GMM_COURSE, GMM_PAPER, GMMConfig, GMMOutput

CONFIGS: dict[str, GMMConfig] = {"course": GMM_COURSE, "paper": GMM_PAPER}
GREY = 128 / 255 * 2 - 1  # the agnostic picture's neutral grey
IN_FRONT = (*HEAD_LABELS, *ARM_LABELS, LIP_INDEX["glove"])  # what no garment of the upper body covers


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
    if batch.garment.mask is None:
        raise ValueError(f"garment {batch.garment.name!r} has no mask: garment masking makes it (step 4, notebook 04)")
    if batch.person.ndim != 4:
        raise ValueError(f"gmm_batch: expected person (B,3,H,W), got {tuple(batch.person.shape)}; see sample.collate")
    image, mask = batch.garment.image.to(device), batch.garment.mask.to(device)
    batch = replace(batch, **{name: getattr(batch, name).to(device) for name in ("person", "parse", "pose")})
    worn, worn_mask = cloth_on_person(batch.person, batch.parse)
    hidden = batch.truth.hidden if batch.truth is not None else None
    flow = batch.truth.flow if batch.truth is not None else None
    return GMMBatch(
        agnostic=person_representation(batch) * 2 - 1,
        garment=image * mask + (1 - mask),
        garment_mask=mask,
        worn=worn * 2 - 1,
        worn_mask=worn_mask,
        hidden=None if hidden is None else hidden.unsqueeze(1).to(mask),
        flow=None if flow is None else flow.to(device),
    )


def warp_garment(gmm: GMM, batch: GMMBatch) -> tuple[Tensor, Tensor, GMMOutput]:
    """Run GMM and warp: garment (B,3,H,W) in [-1,1], its mask (B,1,H,W) in [0,1], and GMM's output (theta, grid)."""
    output = gmm(batch.agnostic, batch.garment)
    warped = gmm.warp(batch.garment, output.grid, padding="border")
    warped_mask = gmm.warp(batch.garment_mask, output.grid, padding="zeros")
    return warped, warped_mask, output


def composite(person: Tensor, parse: Tensor, warped: Tensor, warped_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Lay the warped garment on the photograph, layer by layer, from the parse alone.

    1. The photograph. 2. Where it shows a top (labels 5, 6, 7): neutral grey. 3. Where warped_mask > 0.5: the warped
    garment, unless the photograph shows something that lies in front of a top: head (1, 2, 4, 13), arms and hands (14,
    15), gloves (3). So it covers neck, scarf, trousers, skirt and background, as a top of another cut does.

    person, warped (..., 3, H, W) in [-1,1]; parse (..., H, W); warped_mask (..., 1, H, W) in [0,1].
    Returns the picture and composition_mask (..., 1, H, W) in {0,1}: where the warped garment was laid.
    """
    laid = (warped_mask > 0.5) & ~label_mask(parse, IN_FRONT)
    undressed = torch.where(label_mask(parse, TOP_LABELS), GREY, person)
    return torch.where(laid, warped, undressed), laid.to(person.dtype)


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


class CPVTON:
    """The CP-VTON system: `stages["gmm"]` warps, `composite` stands in for the try-on module.

    Works at the size of the sample it is given; the paper's networks want 256x192.
    """

    name = "cp-vton"

    def __init__(self, *, gmm: GMM, device: torch.device, metadata: dict | None = None) -> None:
        self.stages: dict[str, nn.Module] = {"gmm": gmm.to(device).eval()}
        self.device = device
        self.metadata = {"gmm": metadata or {}}

    @torch.no_grad()
    def try_on(self, sample: TryOnSample, garment: Garment | None = None, pose: Tensor | None = None) -> TryOn:
        """Dress the person of `sample`, or of a collated batch, in its own garment record or in `garment`.

        The result is on the device of the sample. `parse`, `coarse` and `misaligned` are None: CP-VTON predicts no
        parse, and the try-on module comes with the next stage.
        Raises ValueError for a pose (the system can't change it) and for what the sample lacks.
        """
        if pose is not None:
            raise ValueError("cp-vton keeps the pose of the photograph: try_on takes no pose; mg-vton will")
        if garment is not None:
            sample = replace(sample, garment=garment, truth=None)
        single = sample.person.ndim == 3
        batch = collate([sample]) if single else sample
        prepared = gmm_batch(batch, device=self.device)
        gmm = self.stages["gmm"]
        warped, warped_mask, output = warp_garment(gmm, prepared)
        person, parse = batch.person.to(self.device), batch.parse.to(self.device)
        tryon, composition_mask = composite(person, parse, warped, main_piece(warped_mask))
        fields = {
            "tryon": tryon,
            "warped": warped,
            "warped_mask": warped_mask,
            "composition_mask": composition_mask,
            "theta": output.theta,
            "grid": output.grid,
        }
        home = sample.person.device
        return TryOn(**{key: (value[0] if single else value).to(home) for key, value in fields.items()})


def load_cp_vton(
    *, weights: str | Path | None, config: str, device: torch.device, path: str | Path | None, seed: int
) -> CPVTON:
    """Build CP-VTON; the arguments are those of `vtonlib.systems.load_system`, which has checked their combination.

    Raises NotImplementedError for official weights, FileNotFoundError and ValueError for a weights file that is not
    there, damaged or of another network.
    """
    if weights == "official":
        raise NotImplementedError(
            f"cp-vton: the authors' weights in {path} can't be imported yet; use weights='course', a path or None"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        gmm = GMM(CONFIGS[config])
    if weights is None:
        return CPVTON(gmm=gmm, device=device)
    file = WEIGHTS_FOLDER / "cp-vton-gmm.safetensors" if weights == "course" else Path(weights)
    check_belongs(read_metadata(file), file, gmm.config)
    return CPVTON(gmm=gmm, device=device, metadata=load_weights(file, gmm))


def check_belongs(metadata: dict, file: Path, config: GMMConfig) -> None:
    """Raise ValueError where a weights file says that it is of another system, stage or config than CP-VTON's GMM.

    A file without metadata passes: then names and shapes decide.
    """
    expected = {"system": CPVTON.name, "stage": "gmm", "config": plain(config)}
    for key, value in expected.items():
        if key in metadata and metadata[key] != value:
            raise ValueError(f"{file}: expected weights with {key} = {value}, got {metadata[key]}")


def plain(config: GMMConfig) -> dict:
    """The config as JSON gives it back: tuples are lists."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}
