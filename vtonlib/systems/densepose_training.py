"""Training the DensePose network of `vtonlib.perceive.densepose` on studio data sets.

Parts: weighted cross-entropy and a soft IoU. Most people face the camera, so the backs of torso, thighs and calves are
slivers at an outline, a pixel in a thousand or in ten thousand, and yet count as much as the chest in the mean IoU.
U and V: the absolute difference at the part that is true, as in Guler et al. 2018, section 3.1 (who take its smooth
version). Where the point isn't known (hats, glasses, shoes) the part is learned, and U and V aren't.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from vtonlib.losses import class_weights
from vtonlib.metrics import label_scores, label_table
from vtonlib.parallel import is_main_process
from vtonlib.perceive.densepose import (
    FILE,
    PARTS,
    DensePoseConfig,
    DensePoseMaps,
    DensePoseNet,
    decode,
    densepose_picture,
    point_is_known,
    swap_sides,
)
from vtonlib.sample import TryOnSample
from vtonlib.systems.features_training import recoloured
from vtonlib.systems.memory import Augmentation, PackedCache, draw_affine, from_bytes, lookup_grid, to_bytes
from vtonlib.systems.runs import train_in, train_sizes, train_splits, two_stages
from vtonlib.training import TrainConfig, picture_grid, resolve_device

RECIPE_VERSION = "densepose/1"
IGNORED = 255  # in the parts of a `SurfaceBatch`: nobody knows what is here


@dataclass(frozen=True, kw_only=True)
class DensePoseRecipe:
    """How a DensePose network is trained: at one size after the other.

    weight_cap: largest weight of a part in the cross-entropy, see `vtonlib.losses.class_weights`. overlap, surface:
    weights of the soft IoU and of U, V beside it. light, saturation: largest change of brightness and contrast, of the
    strength of colours. Raises ValueError for another number of stages than sizes, or a size that comes twice.
    """

    sizes: tuple[tuple[int, int], ...] = ((128, 96), (256, 192))
    stages: tuple[TrainConfig, ...]
    config: DensePoseConfig = field(default_factory=DensePoseConfig)
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(shift=0.1, scale=0.3, rotation=8.0))
    light: float = 0.35
    saturation: float = 0.4
    weight_cap: float = 4.0
    overlap: float = 1.0
    surface: float = 4.0

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.stages) or len(set(self.sizes)) != len(self.sizes):
            raise ValueError(f"DensePoseRecipe: expected a stage for each of different sizes, got {self.sizes}")


def _stages(first: int, second: int, batch_size: int, **other) -> tuple[TrainConfig, TrainConfig]:
    return two_stages(first, second, batch_size, 3e-3, beta=0.9, slower=2, ema_decay=0.99, **other)


RECIPES = {
    "smoke": DensePoseRecipe(
        sizes=((32, 32), (64, 64)), stages=_stages(2, 2, 4), config=DensePoseConfig(widths=(8, 8, 8, 8, 8))
    ),
    "laptop": DensePoseRecipe(stages=_stages(3200, 1700, 16, validate_every=400)),
    "gpu": DensePoseRecipe(stages=_stages(12000, 16000, 32, validate_every=2000)),
}


class SurfaceBatch(NamedTuple):
    """picture (B,3,H,W) in [-1,1]; part (B,H,W) int64 with `IGNORED`; surface (B,2,H,W): u, v; known (B,H,W) bool:
    where u and v count."""

    picture: Tensor
    part: Tensor
    surface: Tensor
    known: Tensor


# ---- the loss ------------------------------------------------------------------------------------------------------


def soft_overlap(log_probabilities: Tensor, part: Tensor) -> Tensor:
    """1 - IoU with probabilities in the place of guesses, the mean over the parts that occur in the batch; a scalar.

    log_probabilities (B,K,H,W); part (B,H,W) int64 with `IGNORED`. The IoU of a part is taken over the whole batch, as
    the part is too small, or absent, in a single picture. Source: Rahman and Wang 2016, equation 3. 0 if no pixel
    counts.
    """
    counted = part != IGNORED
    labels = torch.where(counted, part, 0)
    probabilities = log_probabilities.exp() * counted[:, None]
    own = probabilities.gather(1, labels[:, None])[:, 0]
    empty = own.new_zeros(log_probabilities.shape[1])
    hits = empty.index_add(0, labels.flatten(), own.flatten())
    true = empty.index_add(0, labels.flatten(), counted.flatten().to(own.dtype))
    present = true > 0
    overlap = hits / (true + probabilities.sum((0, 2, 3)) - hits).clamp(min=1e-6)
    return ((1 - overlap) * present).sum() / present.sum().clamp(min=1)


def surface_loss(maps: DensePoseMaps, batch: SurfaceBatch) -> Tensor:
    """Mean absolute difference of U and V at the true part, over the pixels where they are known; a scalar.

    U and V have half the size: each of their values is compared with the four pixels that it stands for.
    """
    part = functional.pixel_unshuffle(batch.part[:, None], 2)
    known = functional.pixel_unshuffle(batch.known[:, None].to(maps.u.dtype), 2)
    index = torch.where(known > 0, part - 1, 0)
    total = 0.0
    for values, truth in ((maps.u, batch.surface[:, :1]), (maps.v, batch.surface[:, 1:])):
        difference = (values.gather(1, index) - functional.pixel_unshuffle(truth, 2)).abs()
        total = total + (difference * known).sum()
    return total / (2 * known.sum()).clamp(min=1)


def densepose_terms(
    net: DensePoseNet, batch: SurfaceBatch, recipe: DensePoseRecipe, weights: Tensor | None = None
) -> dict[str, Tensor]:
    """The loss: "part" (cross-entropy with the weights (25,) of `class_weights`), "overlap" and "surface"."""
    maps = net(batch.picture)
    scores = maps.parts.log_softmax(1)
    part = functional.nll_loss(scores, batch.part, weights, ignore_index=IGNORED, reduction="sum")
    counted = (batch.part != IGNORED).sum().clamp(min=1)
    return {
        "part": part / counted,
        "overlap": recipe.overlap * soft_overlap(scores, batch.part),
        "surface": recipe.surface * surface_loss(maps, batch),
    }


# ---- the data ------------------------------------------------------------------------------------------------------


def pack(sample: TryOnSample) -> dict[str, Tensor]:
    """What the network is trained on, as bytes: person (3,H,W), and part, u * 255, v * 255, counted (4,H,W); padding
    doesn't count."""
    sample.require("densepose")
    (height, width), (left, top, right, bottom) = sample.size, sample.padding
    counted = torch.zeros(1, height, width)
    counted[:, top : height - bottom, left : width - right] = 1
    levels = sample.densepose * torch.tensor([1.0, 255.0, 255.0])[:, None, None]
    return {
        "person": to_bytes(sample.person),
        "surface": torch.cat([levels, counted]).round().to(torch.uint8),
    }


def unpacked(batch: dict[str, Tensor]) -> SurfaceBatch:
    """A batch of a cache of `pack` as it is, unchanged."""
    return _surface_batch(from_bytes(batch["person"]), batch["surface"].float())


def _surface_batch(picture: Tensor, layers: Tensor) -> SurfaceBatch:
    """layers (B,4,H,W) float32: part, u * 255, v * 255, counted."""
    densepose = layers[:, :3] / layers.new_tensor([1.0, 255.0, 255.0])[:, None, None]
    counted = layers[:, 3] > 0.5
    part = torch.where(counted, densepose[:, 0].round().long(), IGNORED)
    return SurfaceBatch(picture, part, densepose[:, 1:], counted & point_is_known(densepose))


def augment(batch: dict[str, Tensor], recipe: DensePoseRecipe, generator: torch.Generator) -> SurfaceBatch:
    """Change a batch of a cache of `pack` at random.

    Beyond the picture its border is repeated, as the estimator pads, and nothing counts there.
    """
    picture, layers, strength = from_bytes(batch["person"]), batch["surface"].float(), recipe.augmentation
    size, device = tuple(picture.shape[-2:]), picture.device
    mirror = torch.rand(len(picture), generator=generator) < strength.mirror
    _, inverse = draw_affine(mirror, size, strength, generator, rotate=True)
    grid = lookup_grid(inverse, size, device)
    levels = layers.new_tensor([1.0, 255.0, 255.0])[:, None, None]
    swapped = torch.cat([swap_sides(layers[:, :3] / levels) * levels, layers[:, 3:]], 1)
    layers = torch.where(mirror.to(device)[:, None, None, None], swapped, layers)
    layers = functional.grid_sample(layers, grid, mode="nearest", align_corners=False)
    picture = functional.grid_sample(picture, grid, padding_mode="border", align_corners=False)
    return _surface_batch(recoloured(picture, recipe.saturation, recipe.light, generator), layers)


def part_pixels(cache: PackedCache) -> Tensor:
    """How many pixels of a cache of `pack` have each part, (25,) int64."""
    total = torch.zeros(PARTS, dtype=torch.int64)
    for first in range(0, len(cache), 64):
        surface = cache.batch(range(first, min(first + 64, len(cache))))["surface"]
        total += torch.bincount(surface[:, 0][surface[:, 3] > 0].flatten(), minlength=PARTS)
    return total


# ---- the training --------------------------------------------------------------------------------------------------


def surface_errors(guess: Tensor, batch: SurfaceBatch) -> Tensor:
    """Sums over pixels with known U, V: (4,) float64, |du| + |dv| where the part is right, how many, and of all.

    guess: densepose (B,3,H,W). Where it is background, U and V are 0.
    """
    right = batch.known & (guess[:, 0].round().long() == batch.part)
    error = (guess[:, 1:] - batch.surface).abs().sum(1).double()
    sums = [(error * where).sum() for where in (right, batch.known)]
    return torch.stack([sums[0], right.sum().double(), sums[1], batch.known.sum().double()])


def validation(cache: PackedCache, device: torch.device) -> Callable:
    """A callback for `train`: on samples held out, pixel accuracy, mean IoU of the parts that occur (background is
    one) and the mean error of U and V where the part is right; and a sheet person | truth | guess of four."""

    def validate(net: DensePoseNet) -> tuple[dict[str, float], Tensor]:
        table, sums, rows = torch.zeros(PARTS, PARTS, dtype=torch.int64), torch.zeros(4, dtype=torch.float64), []
        for first in range(0, len(cache), 8):
            batch = unpacked(cache.batch(range(first, min(first + 8, len(cache))), device=device))
            guess = decode(net(batch.picture), tuple(batch.part.shape[-2:]))
            counted = batch.part != IGNORED
            table += label_table(batch.part, guess[:, 0].long(), PARTS, counted).cpu()
            sums += surface_errors(guess, batch).cpu()
            if len(rows) < 4:
                truth = torch.cat([torch.where(counted, batch.part, 0)[:, None].float(), batch.surface], 1)
                shown = (batch.picture, densepose_picture(truth) * 2 - 1, densepose_picture(guess) * 2 - 1)
                rows += zip(*(each.cpu() for each in shown), strict=True)
        scores = label_scores(table)
        error = float(sums[0] / (2 * sums[1]).clamp(min=1))
        return {"accuracy": scores.accuracy, "miou": scores.mean_iou, "uv_error": error}, picture_grid(rows[:4])

    return validate


def train_densepose(
    data_root: Sequence[str | Path],
    out: str | Path,
    *,
    recipe: DensePoseRecipe,
    command: str,
    weights: str | Path | None = None,
    limit: int | None = None,
) -> Path:
    """Train a DensePose network on the train splits of data sets and return the weights file (float16).

    Called again with the same folder `out`, it goes on where it stopped. weights: where the file goes, by default
    `out`/densepose.safetensors; limit: at most so many samples of each data set. Raises ValueError as `train_splits`
    and `vtonlib.training.train` do, and for samples without a DensePose.
    """
    out, device = Path(out), resolve_device(recipe.stages[0].device)
    *_, data = train_splits(data_root, recipe.sizes[-1], limit)
    about = {
        "system": "perceive",
        "stage": "densepose",
        "config": {"widths": list(recipe.config.widths)},
        "recipe": {"version": RECIPE_VERSION, **asdict(recipe)},
        "data": data,
    }
    target = Path(weights) if weights is not None else out / FILE

    def train_stage(size: tuple[int, int], config: TrainConfig, start: Path | None):
        trained_on, held_out, _ = train_splits(data_root, size, limit)
        progress = config.progress and is_main_process()
        cache = PackedCache(trained_on, range(len(trained_on)), pack, progress=progress)
        watched = PackedCache(held_out, range(len(held_out)), pack)
        counts = class_weights(part_pixels(cache), recipe.weight_cap).to(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            net = DensePoseNet(recipe.config)
        return train_in(
            out / f"{size[0]}x{size[1]}",
            config,
            {"system": "perceive", "stage": "densepose"},
            module=net,
            loss=lambda module, batch: densepose_terms(module, batch, recipe, counts),
            make_batch=lambda indices, generator: augment(cache.batch(indices, device=device), recipe, generator),
            length=len(cache),
            validate=validation(watched, device),
            held_out=len(held_out),
            warm_start=start,
        )

    return train_sizes(recipe, out, target, about, command, train_stage)
