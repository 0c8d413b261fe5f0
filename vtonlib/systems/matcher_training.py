"""Training the affine-then-TPS matcher on synthetic pairs, and measuring it on real ones.

The in-shop garments of a train split are warped at random; the matcher learns to name the warp. No photograph of a
person is seen. This is how geometric matching was trained before CP-VTON, which replaced the drawn parameters by the
picture of the worn garment (Wang et al. 2018, section 3.2). MG-VTON warps features with it.

Convention: as in `vtonlib.warp.matcher`: grids run from the target to the source; pictures are on white, in [-1,1].
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from vtonlib.checkpoints import WEIGHTS_FOLDER, load_weights, read_metadata, save_weights
from vtonlib.data import open_dataset
from vtonlib.metrics import flow_error, iou
from vtonlib.parallel import is_main_process, wait_for_everyone
from vtonlib.sample import TryOnSample, collate
from vtonlib.systems.cp_vton_warp import GMMBatch, gmm_batch
from vtonlib.systems.runs import belongs_to_run, data_description, hold_out
from vtonlib.training import TrainConfig, config_from, picture_grid, resolve_device, train
from vtonlib.warp import grid_to_flow, warp_image
from vtonlib.warp.matcher import (
    MATCHER_COURSE,
    AffineTPSMatcher,
    MatcherConfig,
    MatcherOutput,
    grid_between_conventions,
)
from vtonlib.warp.synthetic import (
    SyntheticPair,
    SyntheticStrengths,
    grid_distance,
    grid_loss,
    parameter_loss,
    synthetic_pair,
)

SYSTEM, STAGE = "matcher", "affine-tps"
RECIPE_VERSION = "matcher/1"
WEIGHTS_FILE = "matcher.safetensors"
REFRESHES = 32  # batches from which the statistics of the average weights are taken
LOSSES: dict[str, Callable[[MatcherOutput, SyntheticPair], dict[str, Tensor]]] = {
    "parameter": parameter_loss,
    "grid": grid_loss,
}


@dataclass(frozen=True, kw_only=True)
class MatcherRecipe:
    """How a matcher is trained: its config, one stage, the loss ("parameter": the source's; "grid": its successor's),
    how strong the drawn warps are, and the probability that a garment is mirrored first.

    Raises ValueError for another loss or probability.
    """

    config: MatcherConfig = MATCHER_COURSE
    stage: TrainConfig
    loss: Literal["parameter", "grid"] = "parameter"
    strengths: SyntheticStrengths = field(default_factory=SyntheticStrengths)
    mirror: float = 0.5

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"MatcherRecipe: loss must be one of {', '.join(LOSSES)}, got {self.loss!r}")
        if not 0 <= self.mirror <= 1:
            raise ValueError(f"MatcherRecipe: mirror must be from 0 to 1, got {self.mirror!r}")


def _stage(steps: int, batch_size: int, lr: float, **other) -> TrainConfig:
    shared = {"betas": (0.9, 0.999), "schedule": "cosine", "clip": 1.0, "decay_start": 0.5, **other}
    return TrainConfig(steps=steps, batch_size=batch_size, lr=lr, warm_up=min(50, steps), **shared)


RECIPES = {
    "smoke": MatcherRecipe(stage=_stage(4, 2, 1e-3)),
    "laptop": MatcherRecipe(stage=_stage(3000, 16, 2e-3, checkpoint_every=250, validate_every=500)),
    "gpu": MatcherRecipe(
        config=MatcherConfig(widths=(64, 128, 256, 512), regression_widths=(512, 256, 128, 64), size=(256, 192)),
        stage=_stage(40_000, 32, 1e-3, validate_every=2000),
    ),
}


class GarmentCache:
    """In-shop garments of one size in memory, on white: 4 bytes a pixel, so 37 MB for 750 at 128x96.

    Raises ValueError for no sample, and, naming the sample, for one without a garment or its mask.
    """

    def __init__(self, dataset: Sequence[TryOnSample], indices: Sequence[int], *, progress: bool = False) -> None:
        from tqdm import tqdm

        if not len(indices):
            raise ValueError("GarmentCache: expected at least one sample, got none")
        rows = []
        for index in tqdm(indices, file=sys.stdout, disable=not progress, desc="reading", unit="sample"):
            sample = dataset[index]
            sample.require("garment")
            levels = ((sample.garment.on_white() + 1) * 127.5).round().clamp(0, 255)
            rows.append(torch.cat([levels, sample.garment.mask]).to(torch.uint8))
        self._rows = torch.stack(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, indices: Sequence[int], *, device: str | torch.device = "cpu") -> tuple[Tensor, Tensor]:
        """Pictures (B,3,H,W) in [-1,1] and masks (B,1,H,W) in {0,1} on the device."""
        rows = self._rows[list(indices)].to(device=device, dtype=torch.float32)
        return rows[:, :3] / 127.5 - 1, rows[:, 3:]


def mirrored(pictures: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Pictures (B,C,H,W), each mirrored left to right with this probability."""
    chosen = torch.rand(len(pictures), generator=generator) < probability
    return torch.where(chosen.to(pictures.device)[:, None, None, None], pictures.flip(-1), pictures)


@torch.no_grad()
def refresh_statistics(matcher: AffineTPSMatcher, pairs: Iterable[SyntheticPair]) -> None:
    """Set the running statistics of every batch normalisation to their means over these pairs; leaves eval mode on.

    The average weights never ran in training mode, so their statistics are those of the last steps' weights. Where the
    learning rate is high the two are far enough apart to spoil the result. Source: Izmailov et al. 2018 (SWA), section
    3.2, have the same step.
    """
    layers = [layer for layer in matcher.modules() if isinstance(layer, nn.BatchNorm2d)]
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # PyTorch's word for the plain mean
    matcher.train()
    for pair in pairs:
        matcher(pair.source, pair.target)
    matcher.eval()
    for layer, momentum in zip(layers, before, strict=True):
        layer.momentum = momentum


@torch.no_grad()
def synthetic_error(
    matcher: AffineTPSMatcher,
    cache: GarmentCache,
    strengths: SyntheticStrengths,
    *,
    seed: int = 0,
    rounds: int = 4,
    rows: int = 4,
) -> tuple[dict[str, float], Tensor]:
    """Mean distance of estimated and true grid on synthetic pairs, each garment `rounds` times, the same in every call.

    In pixels at the cache's size: "identity" (no warp), "affine" (the first pass), "affine_tps" (both), over the
    garment in the target (occluded or not), and with "_picture" over the whole picture, white background included.
    The sheet shows in each row source, target, and the source warped by the first pass and by both.
    """
    device, errors, sheet = next(matcher.parameters()).device, [], []
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, rounds * len(cache), 16):
        indices = [index % len(cache) for index in range(start, min(start + 16, rounds * len(cache)))]
        pictures, masks = cache.batch(indices, device=device)
        pair = synthetic_pair(pictures, strengths, generator, tps_grid=matcher.tps_grid)
        output, size = matcher(pair.source, pair.target), tuple(pictures.shape[2:])
        mask = matcher.warp(masks, pair.grid, padding="zeros")
        identity = matcher.affine_grid(matcher.identity.expand(len(indices), -1, -1), size)
        grids = (identity, output.affine_grid, output.grid)
        distances = [grid_distance(grid, pair.grid, size, over) for over in (mask, None) for grid in grids]
        errors.append(torch.stack(distances))
        if len(sheet) < rows:
            warped = [matcher.warp(pictures, grid, padding="border") for grid in grids[1:]]
            sheet += zip(pair.source, pair.target, *warped, strict=True)
    names = [f"{name}{over}" for over in ("", "_picture") for name in ("identity", "affine", "affine_tps")]
    return dict(zip(names, torch.cat(errors, 1).nanmean(1).tolist(), strict=True)), picture_grid(sheet[:rows])


def train_matcher(
    data_root: str | Path,
    out: str | Path,
    *,
    recipe: MatcherRecipe,
    command: str,
    weights: str | Path | None = None,
    limit: int | None = None,
) -> Path:
    """Train a matcher on the in-shop garments of a train split; returns the weights file (average weights, float16).

    The state is kept in `out`; called again, training goes on where it stopped. recipe: see MatcherRecipe; command: the
    line that repeats this, for the metadata; weights: where the result goes, by default `out`/matcher.safetensors;
    limit: at most so many training samples.
    Raises ValueError as `vtonlib.data.open_dataset` and `vtonlib.training.train` do, and where `out` has another run.
    """
    out, device = Path(out), resolve_device(recipe.stage.device)
    target = Path(weights) if weights is not None else out / WEIGHTS_FILE
    dataset = open_dataset(data_root, split="train", pairing="paired", size=recipe.config.size)
    about = {
        "system": SYSTEM,
        "stage": STAGE,
        "config": asdict(recipe.config),
        "recipe": {"version": RECIPE_VERSION, **asdict(recipe)},
        "data": data_description(dataset, limit),
    }
    belongs_to_run(out / "run.json", about)
    trained_on, held_out = hold_out(len(dataset) if limit is None else min(limit, len(dataset)))
    cache = GarmentCache(dataset, trained_on, progress=recipe.stage.progress and is_main_process())
    others = GarmentCache(dataset, held_out)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.stage.seed)
        matcher = AffineTPSMatcher(recipe.config)

    def make_batch(indices: list[int], generator: torch.Generator) -> SyntheticPair:
        pictures = mirrored(cache.batch(indices, device=device)[0], recipe.mirror, generator)
        return synthetic_pair(pictures, recipe.strengths, generator, tps_grid=matcher.tps_grid)

    def validate(average: AffineTPSMatcher) -> tuple[dict[str, float], Tensor]:
        generator, size = torch.Generator().manual_seed(recipe.stage.seed), max(recipe.stage.batch_size, 2)
        batches = torch.randint(len(cache), (REFRESHES, size), generator=generator).tolist()
        refresh_statistics(average, (make_batch(indices, generator) for indices in batches))
        return synthetic_error(average, others, recipe.strengths)

    average = train(
        recipe.stage,
        module=matcher,
        loss=lambda module, pair: LOSSES[recipe.loss](module(pair.source, pair.target), pair),
        make_batch=make_batch,
        length=len(cache),
        out=out,
        validate=validate,
    )
    if is_main_process():
        scores, _ = validate(average)
        metrics = {
            f"held out, synthetic, {'x'.join(map(str, recipe.config.size))}": {**scores, "garments": len(others)}
        }
        save_weights(target, average, {**about, "command": command, "metrics": metrics})
    wait_for_everyone()
    return target


def load_matcher(weights: str | Path = "course", *, device: str | torch.device = "cpu") -> AffineTPSMatcher:
    """A trained matcher in eval mode. weights: "course" for the one that comes with vtonlib, or a weights file of
    `train_matcher`, whose metadata says the config. device: also "auto".

    Raises FileNotFoundError; ValueError for a file of another system or stage, without a config, or damaged.
    """
    file = WEIGHTS_FOLDER / WEIGHTS_FILE if weights == "course" else Path(weights)
    metadata = read_metadata(file)
    for key, value in {"system": SYSTEM, "stage": STAGE}.items():
        if metadata.get(key) != value:
            raise ValueError(f"{file}: expected weights with {key} = {value}, got {metadata.get(key)}")
    if "config" not in metadata:
        raise ValueError(f"{file}: the metadata has no config, so the network can't be built")
    matcher = AffineTPSMatcher(config_from(MatcherConfig, metadata["config"]))
    load_weights(file, matcher)
    return matcher.to(resolve_device(device)).eval()


def match_garment(matcher: AffineTPSMatcher, batch: GMMBatch) -> MatcherOutput:
    """Both maps from the worn garment's visible pixels on white, the answer's picture, to the in-shop garment.

    A try-on system has no such picture. It is the matcher's best case, for comparison with GMM, which sees the person
    without the garment.
    """
    return matcher(batch.garment, batch.worn)


def matcher_grid(matcher: AffineTPSMatcher, batch: GMMBatch) -> Tensor:
    """The grid (B,H,W,2) of `match_garment` at the worn picture's size, in the course's GMM's convention."""
    return _as_gmm(matcher, match_garment(matcher, batch).grid, batch)


def _as_gmm(matcher: AffineTPSMatcher, grid: Tensor, batch: GMMBatch) -> Tensor:
    size = tuple(batch.garment.shape[2:])
    return grid_between_conventions(grid, size, given=matcher.config.align_corners, wanted=False)


@torch.no_grad()
def measure_matcher(
    matcher: AffineTPSMatcher, dataset: Sequence[TryOnSample], *, batch_size: int = 8, limit: int | None = None
) -> dict[str, dict[str, float]]:
    """Means over paired samples with the true flow: "affine" (the first pass) and "affine_tps" (both), each with
    `iou`, `flow_mean`, `flow_median`, `within_3` as `vtonlib.evaluation.evaluate_warp` defines them, and `samples`.

    Raises ValueError for an empty data set, a matcher in training mode, and a sample without what is needed.
    """
    count = len(dataset) if limit is None else min(limit, len(dataset))
    if count < 1:
        raise ValueError("measure_matcher: the data set is empty")
    if matcher.training:
        raise ValueError("measure_matcher: the module is in training mode; call .eval() first")
    device, columns = next(matcher.parameters()).device, {"affine": [], "affine_tps": []}
    for first in range(0, count, batch_size):
        samples = collate([dataset[index] for index in range(first, min(first + batch_size, count))])
        batch = gmm_batch(samples, device=device)
        if batch.flow is None or batch.hidden is None:
            samples.require("truth")
            raise ValueError(f"measure_matcher: no true flow among {', '.join(samples.name)}")
        visible, output = batch.worn_mask * (1 - batch.hidden), match_garment(matcher, batch)
        for name, grid in (("affine", output.affine_grid), ("affine_tps", output.grid)):
            grid = _as_gmm(matcher, grid, batch)
            overlap = iou(
                warp_image(batch.garment_mask, grid, align_corners=False), batch.worn_mask, ignore=batch.hidden
            )
            flow = grid_to_flow(grid, tuple(batch.garment.shape[2:]), align_corners=False)
            errors = flow_error(flow, batch.flow, visible)
            columns[name].append(torch.stack([overlap, errors.mean, errors.median, errors.within_3]))
    means = {name: torch.cat(parts, 1).nanmean(1).tolist() for name, parts in columns.items()}
    numbers = ("iou", "flow_mean", "flow_median", "within_3")
    return {name: {**dict(zip(numbers, values, strict=True)), "samples": count} for name, values in means.items()}
