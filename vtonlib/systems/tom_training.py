"""Training CP-VTON's try-on module on warps of a finished GMM: at 128x96 first, then on at 256x192.

The paper's loss has three terms, L1, perceptual and mask, all of weight 1 (Wang et al. 2018, equations 5 and 6).
`TOMRecipe` names what the course does otherwise; the recipe "paper" does as the paper does. As everywhere in CP-VTON a
person is asked to put on what he or she already wears: that is the only answer a photograph knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from vtonlib.checkpoints import WEIGHTS_FOLDER, load_weights, read_metadata
from vtonlib.data import open_dataset
from vtonlib.features import load_features
from vtonlib.losses import MASK_LOSSES, l1_loss, mask_loss, perceptual_loss
from vtonlib.metrics import l1, masked_l1, ssim
from vtonlib.systems.cp_vton import CONFIGS, CPVTON, FILES, TOM_CONFIGS, check_belongs, plain
from vtonlib.systems.cp_vton_warp import gmm_batch, warp_garment
from vtonlib.systems.memory import NO_AUGMENTATION, Augmentation, SampleCache, augment
from vtonlib.systems.runs import data_description, train_caches, train_in, train_sizes, two_stages
from vtonlib.systems.tom import TOM, TOMBatch, TOMConfig, tom_batch
from vtonlib.training import TrainConfig, picture_grid, resolve_device
from vtonlib.warp import GMM

RECIPE_VERSION = "cp-vton-tom/1"


@dataclass(frozen=True, kw_only=True)
class TOMRecipe:
    """How a try-on module is trained.

    config: a key of `cp_vton.TOM_CONFIGS` and of `CONFIGS`, or see `tom_config`. sizes: (height, width) of each stage;
    stages: how each is trained; each but the first starts from the average weights of the one before.
    l1_weight, perceptual_weight, mask_weight: of the three terms; 0 leaves one out. mask_loss: see `losses.mask_loss`.
    features: network of the perceptual term, "course" or "vgg19". augmentation: see `memory.Augmentation`.
    tom_config: takes the place of the config's try-on module (None: the config's).

    Raises ValueError for an unknown config or mask loss, no term at all, or different numbers of sizes and stages.
    """

    config: str = "course"
    sizes: tuple[tuple[int, int], ...] = ((128, 96), (256, 192))
    stages: tuple[TrainConfig, ...]
    l1_weight: float = 1.0
    perceptual_weight: float = 1.0
    mask_weight: float = 1.0
    mask_loss: str = "worn"
    features: str = "course"
    augmentation: Augmentation = field(default_factory=Augmentation)
    tom_config: TOMConfig | None = None

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.stages):
            raise ValueError(f"TOMRecipe: {len(self.sizes)} sizes for {len(self.stages)} stages")
        if self.config not in CONFIGS:
            raise ValueError(f"TOMRecipe: config {self.config!r}: expected one of {', '.join(CONFIGS)}")
        if self.mask_loss not in MASK_LOSSES:
            raise ValueError(f"TOMRecipe: mask_loss {self.mask_loss!r}: expected one of {', '.join(MASK_LOSSES)}")
        if not self.l1_weight + self.perceptual_weight + self.mask_weight > 0:
            raise ValueError("TOMRecipe: all weights are 0, there is nothing to learn from")

    @property
    def network(self) -> TOMConfig:
        """The try-on module to train."""
        return self.tom_config or TOM_CONFIGS[self.config]


_stages = partial(two_stages, beta=0.5, slower=2)

RECIPES = {
    "smoke": TOMRecipe(stages=_stages(2, 1, 2, 5e-4)),
    "laptop": TOMRecipe(stages=_stages(3000, 800, 8, 8e-4, validate_every=500, ema_decay=0.995)),
    "gpu": TOMRecipe(stages=_stages(20000, 20000, 16, 5e-4, validate_every=2000)),
    "paper": TOMRecipe(
        config="paper",
        sizes=((256, 192),),
        stages=(TrainConfig(steps=200_000, batch_size=4, lr=1e-4, schedule="linear", validate_every=5000),),
        mask_loss="paper",
        features="vgg19",
        augmentation=NO_AUGMENTATION,
    ),
}


def tom_terms(tom: TOM, batch: TOMBatch, features: nn.Module | None, recipe: TOMRecipe) -> dict[str, Tensor]:
    """The terms of the loss that a recipe asks for, weighted: `l1`, `perceptual`, `mask`; weight 0 leaves one out."""
    output, terms = tom(batch), {}
    if recipe.l1_weight:
        terms["l1"] = recipe.l1_weight * l1_loss(output.tryon, batch.person)
    if recipe.perceptual_weight:
        terms["perceptual"] = recipe.perceptual_weight * perceptual_loss(features, output.tryon, batch.person)
    if recipe.mask_weight:
        held_to = {"warped_mask": batch.warped_mask, "worn_mask": batch.worn_mask}
        terms["mask"] = recipe.mask_weight * mask_loss(output.composition_mask, kind=recipe.mask_loss, **held_to)
    return terms


def prepared(samples, gmm: GMM, config: TOMConfig, device: torch.device) -> TOMBatch:
    """The try-on module's batch of a collated batch, its garments warped by a trained GMM (no gradient there)."""
    with torch.no_grad():
        warped, warped_mask, _ = warp_garment(gmm, gmm_batch(samples, device=device))
        return tom_batch(samples, warped, warped_mask, config, device=device)


def validation(cache: SampleCache, gmm: GMM, config: TOMConfig, device: torch.device, *, rows: int = 4) -> Callable:
    """A callback for `train`, on samples held out: L1 (all, and on the worn garment), SSIM, mean of the composition
    mask; and a sheet of warped | rendered | composition mask | try-on | photograph."""

    def validate(tom: TOM) -> tuple[dict[str, float], Tensor]:
        scores, sheet = [], []
        for first in range(0, len(cache), 16):
            samples = cache.batch(range(first, min(first + 16, len(cache))), device=device)
            batch = prepared(samples, gmm, config, device)
            output = tom(batch)
            tryon, person = (output.tryon / 2 + 0.5).clamp(0, 1), batch.person / 2 + 0.5
            numbers = (l1(tryon, person), masked_l1(tryon, person, batch.worn_mask), ssim(tryon, person))
            scores.append(torch.stack([*numbers, output.composition_mask.mean((1, 2, 3))]))
            mask = output.composition_mask * 2 - 1
            sheet += zip(batch.warped, output.rendered, mask, output.tryon, batch.person, strict=True)
        names = ("l1", "l1_garment", "ssim", "mask_mean")
        means = torch.cat(scores, 1).nanmean(1).tolist()
        return dict(zip(names, means, strict=True)), picture_grid(sheet[:rows])

    return validate


def load_gmm(weights: str | Path | None, config: str, device: torch.device) -> tuple[GMM, dict]:
    """A trained GMM, frozen, and what its file says: the course's for None, else a file."""
    file = WEIGHTS_FOLDER / FILES["gmm"] if weights is None else Path(weights)
    gmm = GMM(CONFIGS[config])
    check_belongs(read_metadata(file), file, "gmm", gmm.config)
    metadata = load_weights(file, gmm)
    return gmm.to(device).eval().requires_grad_(False), metadata


def train_tom(
    data_root: str | Path,
    out: str | Path,
    *,
    recipe: TOMRecipe,
    command: str,
    weights: str | Path | None = None,
    limit: int | None = None,
    gmm_weights: str | Path | None = None,
) -> Path:
    """Train a try-on module on the train split of a data set; returns the weights file (average weights, float16).

    Each stage keeps its state in a folder of its own below `out`; called again, training goes on where it stopped.
    weights: where the result goes, by default `out`/cp-vton-tom.safetensors; limit: at most so many samples;
    gmm_weights: the file of the GMM that warps, by default the course's.
    Raises ValueError as `vtonlib.data.open_dataset` and `vtonlib.training.train` do.
    """
    out = Path(out)
    target = Path(weights) if weights is not None else out / FILES["tom"]
    gmm, about_gmm = load_gmm(gmm_weights, recipe.config, resolve_device(recipe.stages[0].device))
    metadata = {
        "system": CPVTON.name,
        "stage": "tom",
        "config": plain(recipe.network),
        "recipe": {"version": RECIPE_VERSION, **asdict(recipe)},
        "data": data_description(open_dataset(data_root, split="train", pairing="paired"), limit),
        "gmm": {key: about_gmm.get(key) for key in ("command", "recipe")},
    }

    def at_size(size: tuple[int, int], config: TrainConfig, start: Path | None) -> tuple[Path, dict[str, float]]:
        return train_stage(data_root, out, size, config, recipe, gmm, warm_start=start, limit=limit)

    return train_sizes(recipe, out, target, metadata, command, at_size)


def train_stage(
    data_root: str | Path,
    out: Path,
    size: tuple[int, int],
    config: TrainConfig,
    recipe: TOMRecipe,
    gmm: GMM,
    *,
    warm_start: Path | None,
    limit: int | None,
) -> tuple[Path, dict[str, float]]:
    """Train at one size; returns a file with the average weights in full precision, and the validation numbers."""
    device = resolve_device(config.device)
    cache, held_out = train_caches(data_root, size, limit, progress=config.progress)
    features = load_features(recipe.features, device=device) if recipe.perceptual_weight else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        tom = TOM(recipe.network)

    def make_batch(indices: list[int], generator: torch.Generator) -> TOMBatch:
        samples = augment(cache.batch(indices, device=device), recipe.augmentation, generator)
        return prepared(samples, gmm, recipe.network, device)

    return train_in(
        out / f"{size[0]}x{size[1]}",
        config,
        {"system": CPVTON.name, "stage": "tom"},
        module=tom,
        loss=lambda module, batch: tom_terms(module, batch, features, recipe),
        make_batch=make_batch,
        length=len(cache),
        validate=validation(held_out, gmm, recipe.network, device),
        held_out=len(held_out),
        warm_start=warm_start,
    )
