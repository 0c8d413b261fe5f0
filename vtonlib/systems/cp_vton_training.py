"""Training CP-VTON's geometric matching module: at 128x96 first, then on at 256x192.

The paper's loss is the L1 distance between the warped garment and the worn garment on white. The course adds terms that
the paper does not have, and `GMMRecipe` names them; the recipe "paper" is without. The data set is kept in memory as
bytes, so that steps don't wait for files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from vtonlib.data import open_dataset
from vtonlib.losses import flow_loss, gmm_loss
from vtonlib.metrics import iou
from vtonlib.systems.cp_vton import CONFIGS, CPVTON, GMMBatch, gmm_batch, plain, warp_garment
from vtonlib.systems.memory import NO_AUGMENTATION, Augmentation, SampleCache, augment
from vtonlib.systems.runs import data_description, train_caches, train_in, train_sizes, two_stages
from vtonlib.training import TrainConfig, picture_grid, resolve_device
from vtonlib.warp import GMM

RECIPE_VERSION = "cp-vton-gmm/1"


@dataclass(frozen=True, kw_only=True)
class GMMRecipe:
    """How the course's GMM is trained.

    config: a key of `cp_vton.CONFIGS`. sizes: (height, width) of each stage; stages: how each is trained; each but the
    first starts from the average weights of the one before.
    Not in the paper: mask_weight, of the L1 distance of the masks; ignore_hidden, to leave out pixels where the garment
    is behind an arm or hair; flow_weight, of the distance to the true flow as a share of the picture's width. The last
    two need the studio's truth and do nothing where it is absent. Without the flow a small network learns to fill the
    silhouette and folds the cloth over inside it. augmentation: see `memory.Augmentation`.

    Raises ValueError for an unknown config, or different numbers of sizes and stages.
    """

    config: str = "course"
    sizes: tuple[tuple[int, int], ...] = ((128, 96), (256, 192))
    stages: tuple[TrainConfig, ...]
    mask_weight: float = 1.0
    ignore_hidden: bool = True
    flow_weight: float = 2.0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.stages):
            raise ValueError(f"GMMRecipe: {len(self.sizes)} sizes for {len(self.stages)} stages")
        if self.config not in CONFIGS:
            raise ValueError(f"GMMRecipe: config {self.config!r}: expected one of {', '.join(CONFIGS)}")


_stages = partial(two_stages, beta=0.9, slower=3)

RECIPES = {
    "smoke": GMMRecipe(stages=_stages(4, 2, 2, 1e-3)),
    "laptop": GMMRecipe(stages=_stages(4000, 500, 16, 1e-3, validate_every=500)),
    "gpu": GMMRecipe(stages=_stages(20000, 4000, 32, 1e-3, validate_every=2000)),
    "paper": GMMRecipe(
        config="paper",
        sizes=((256, 192),),
        stages=(TrainConfig(steps=200_000, batch_size=4, lr=1e-4, schedule="linear", validate_every=5000),),
        mask_weight=0.0,
        ignore_hidden=False,
        flow_weight=0.0,
        augmentation=NO_AUGMENTATION,
    ),
}


def gmm_terms(gmm: GMM, batch: GMMBatch, recipe: GMMRecipe) -> dict[str, Tensor]:
    """The terms of the loss that a recipe asks for, weighted: `l1` (the paper's), `mask` and `flow`."""
    warped, warped_mask, output = warp_garment(gmm, batch)
    terms = gmm_loss(
        warped,
        batch.worn,
        warped_mask=warped_mask,
        worn_mask=batch.worn_mask,
        mask_weight=recipe.mask_weight,
        hidden=batch.hidden if recipe.ignore_hidden else None,
    )
    if recipe.flow_weight:
        distance = flow_loss(output.grid, batch.flow, batch.worn_mask, align_corners=gmm.config.align_corners)
        terms["flow"] = recipe.flow_weight * distance / batch.flow.shape[-1]
    return terms


def validation(cache: SampleCache, device: torch.device, *, rows: int = 4) -> Callable:
    """A callback for `train`: mean IoU of the warped mask on samples held out, and a sheet garment | worn | warped."""

    def validate(gmm: GMM) -> tuple[dict[str, float], Tensor]:
        scores, sheet = [], []
        for first in range(0, len(cache), 16):
            batch = gmm_batch(cache.batch(range(first, min(first + 16, len(cache))), device=device), device=device)
            warped, warped_mask, _ = warp_garment(gmm, batch)
            scores.append(iou(warped_mask, batch.worn_mask, ignore=batch.hidden))
            sheet += zip(batch.garment, batch.worn, warped, strict=True)
        return {"iou": float(torch.cat(scores).nanmean())}, picture_grid(sheet[:rows])

    return validate


def train_gmm(
    data_root: str | Path,
    out: str | Path,
    *,
    recipe: GMMRecipe,
    command: str,
    weights: str | Path | None = None,
    limit: int | None = None,
) -> Path:
    """Train GMM on the train split of a data set and return the weights file (the average weights, float16).

    Each stage keeps its state in a folder of its own below `out`; called again, training goes on where it stopped.
    recipe: see GMMRecipe; command: the line that repeats this, for the metadata; weights: where the result goes, by
    default `out`/cp-vton-gmm.safetensors; limit: at most so many training samples.
    Raises ValueError as `vtonlib.data.open_dataset` and `vtonlib.training.train` do.
    """
    out = Path(out)
    target = Path(weights) if weights is not None else out / "cp-vton-gmm.safetensors"
    metadata = {
        "system": CPVTON.name,
        "stage": "gmm",
        "config": plain(CONFIGS[recipe.config]),
        "recipe": {"version": RECIPE_VERSION, **asdict(recipe)},
        "data": data_description(open_dataset(data_root, split="train", pairing="paired"), limit),
    }

    def at_size(size: tuple[int, int], config: TrainConfig, start: Path | None) -> tuple[Path, dict[str, float]]:
        return train_stage(data_root, out, size, config, recipe, warm_start=start, limit=limit)

    return train_sizes(recipe, out, target, metadata, command, at_size)


def train_stage(
    data_root: str | Path,
    out: Path,
    size: tuple[int, int],
    config: TrainConfig,
    recipe: GMMRecipe,
    *,
    warm_start: Path | None,
    limit: int | None,
) -> tuple[Path, dict[str, float]]:
    """Train at one size; returns a file with the average weights in full precision, and the validation numbers."""
    device = resolve_device(config.device)
    cache, held_out = train_caches(data_root, size, limit, progress=config.progress)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        gmm = GMM(CONFIGS[recipe.config])

    def make_batch(indices: list[int], generator: torch.Generator) -> GMMBatch:
        batch = augment(cache.batch(indices, device=device), recipe.augmentation, generator)
        return gmm_batch(batch, device=device)

    return train_in(
        out / f"{size[0]}x{size[1]}",
        config,
        {"system": CPVTON.name, "stage": "gmm"},
        module=gmm,
        loss=lambda module, batch: gmm_terms(module, batch, recipe),
        make_batch=make_batch,
        length=len(cache),
        validate=validation(held_out, device),
        held_out=len(held_out),
        warm_start=warm_start,
    )
