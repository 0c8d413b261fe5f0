"""Training the network that guesses where the garment will be (see `viton`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from vtonlib.data import open_dataset
from vtonlib.metrics import iou
from vtonlib.systems.cp_vton import plain
from vtonlib.systems.cp_vton_warp import GMMBatch, gmm_batch
from vtonlib.systems.memory import Augmentation, SampleCache, augment
from vtonlib.systems.runs import belongs_to_run, data_description, publish, small_stage, train_caches, train_in
from vtonlib.systems.viton import MASK_COURSE, MASK_FILE, MASK_SIZE, MaskPredictor
from vtonlib.training import TrainConfig, picture_grid, resolve_device

RECIPE_VERSION = "viton-mask/1"


@dataclass(frozen=True, kw_only=True)
class MaskRecipe:
    """How the mask predictor is trained. Pixels where the worn garment is behind something (studio only) don't count:
    the outline that is asked for is the garment's, not that of what an arm leaves of it."""

    stage: TrainConfig
    augmentation: Augmentation = field(default_factory=Augmentation)


RECIPES = {
    "smoke": MaskRecipe(stage=small_stage(2, 2)),
    "laptop": MaskRecipe(stage=small_stage(600, 16, validate_every=200)),
    "gpu": MaskRecipe(stage=small_stage(4000, 32, validate_every=1000)),
}


def mask_terms(predictor: MaskPredictor, batch: GMMBatch) -> dict[str, Tensor]:
    """Binary cross-entropy at every pixel where the garment is not hidden. batch: at `MASK_SIZE`."""
    loss = functional.binary_cross_entropy_with_logits(predictor(batch), batch.worn_mask, reduction="none")
    counted = torch.ones_like(loss) if batch.hidden is None else 1 - batch.hidden
    return {"mask": (loss * counted).sum() / counted.sum()}


def validation(cache: SampleCache, device: torch.device) -> Callable:
    """A callback for `train`: mean IoU on samples held out, and a sheet garment | worn | prediction."""

    def validate(predictor: MaskPredictor) -> tuple[dict[str, float], Tensor]:
        batch = gmm_batch(cache.batch(range(len(cache)), device=device), device=device)
        guess = predictor.predict(batch)
        rows = list(zip(batch.garment, batch.worn, guess * 2 - 1, strict=True))[:4]
        return {"iou": float(iou(guess, batch.worn_mask, ignore=batch.hidden).nanmean())}, picture_grid(rows)

    return validate


def train_mask(
    data_root: str | Path,
    out: str | Path,
    *,
    recipe: MaskRecipe,
    command: str,
    weights: str | Path | None = None,
    limit: int | None = None,
) -> Path:
    """Train the mask predictor on a data set's train split and return the weights file (float16).

    Called again with the same folder `out`, it goes on where it stopped. weights: where the file goes, by default
    `out`/viton-mask.safetensors. Raises ValueError as `open_dataset` and `vtonlib.training.train` do.
    """
    out, device = Path(out), resolve_device(recipe.stage.device)
    dataset = open_dataset(data_root, split="train", pairing="paired", size=MASK_SIZE)
    about = {
        "system": "viton",
        "stage": "mask",
        "config": plain(MASK_COURSE),
        "recipe": {"version": RECIPE_VERSION, **asdict(recipe)},
        "data": data_description(dataset, limit),
    }
    belongs_to_run(out / "run.json", about)
    cache, held_out = train_caches(data_root, MASK_SIZE, limit, progress=recipe.stage.progress)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.stage.seed)
        predictor = MaskPredictor()

    def make_batch(indices: list[int], generator: torch.Generator) -> GMMBatch:
        return gmm_batch(augment(cache.batch(indices, device=device), recipe.augmentation, generator), device=device)

    path, scores = train_in(
        out,
        recipe.stage,
        {"system": "viton", "stage": "mask"},
        module=predictor,
        loss=mask_terms,
        make_batch=make_batch,
        length=len(cache),
        validate=validation(held_out, device),
        held_out=len(held_out),
    )
    target = Path(weights) if weights is not None else out / MASK_FILE
    return publish(path, target, {**about, "command": command, "metrics": scores})
