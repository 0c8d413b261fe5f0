"""Training the two networks that make a garment's mask (see `vtonlib.perceive.garment_mask`), on the studio alone.

A shop's picture is nearly solved by "what isn't white"; what a network has to learn is the rest: pale cloth on white,
shadows, other whites, and any picture that isn't a shop's. So a part of the garments stays on the studio's own ground,
and the rest is cut out and laid on others (`garment_mask_scenes`): plain ones with a soft shadow, patterned ones, and
the rooms and streets behind the studio's people. Garments are moved, turned, lit and bleached, and pictures filmed and
compressed as a shop's JPEG is.

The loss is binary cross-entropy, heavier near the outline, and one minus a soft intersection over union.

Convention: pictures are RGB in [-1, 1]; masks are 1 on the garment, and between 0 and 1 where an outline crosses a
pixel. Such soft targets teach a network to say where between two pixels an outline runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtonlib.metrics import iou
from vtonlib.parallel import is_main_process
from vtonlib.perceive.garment_mask import GarmentMaskConfig, build_network, course_values, mask_logits, weights_file
from vtonlib.sample import TryOnSample
from vtonlib.systems.features_training import filmed, relight
from vtonlib.systems.garment_mask_scenes import backgrounds, bleached, compressed, edge_filled, room_behind, shaded
from vtonlib.systems.memory import Augmentation, PackedCache, draw_affine, from_bytes, lookup_grid, to_bytes
from vtonlib.systems.runs import train_in, train_sizes, train_splits, two_stages
from vtonlib.training import TrainConfig, picture_grid, resolve_device

RECIPE_VERSION = "garment-mask/1"


@dataclass(frozen=True, kw_only=True)
class GarmentMaskRecipe:
    """How a network is trained: at one size after the other; the last is the one that it works at.

    network: "unet" or "u2netp". A step of U2-NetP takes three to four times as long as one of the U-Net, for which the
    numbers of steps are meant; `vtonlib.perceive.garment_mask.COMMANDS` has those that take U2-NetP the same time.
    read_size: of the garments in memory, from which pictures of any size are made.
    own_ground: share of the garments that stay where the studio laid them. light: largest change of brightness and
    contrast of a picture (share). outline: how much more pixels near the outline count. overlap: weight of the soft
    intersection over union. Raises ValueError for sizes that are not different or not of the aspect of read_size.
    """

    network: str = "unet"
    sizes: tuple[tuple[int, int], ...] = ((128, 96), (256, 192))
    stages: tuple[TrainConfig, ...]
    read_size: tuple[int, int] = (256, 192)
    own_ground: float = 0.35
    light: float = 0.25
    outline: float = 2.0
    overlap: float = 1.0
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(mirror=0.5, shift=0.12, scale=0.35, rotation=12.0)
    )

    def __post_init__(self) -> None:
        height, width = self.read_size
        if len(set(self.sizes)) < len(self.sizes) or any(size[0] * width != size[1] * height for size in self.sizes):
            raise ValueError(f"sizes: expected different ones of the aspect of {self.read_size}, got {self.sizes}")


def _stages(first: int, second: int, batch_size: int, **other) -> tuple[TrainConfig, TrainConfig]:
    return two_stages(first, second, batch_size, 2e-3, beta=0.9, slower=2, ema_decay=0.98, **other)


RECIPES = {
    "smoke": GarmentMaskRecipe(stages=_stages(2, 1, 2), sizes=((64, 48), (128, 96)), read_size=(128, 96)),
    "laptop": GarmentMaskRecipe(stages=_stages(1000, 350, 8, validate_every=250, checkpoint_every=50)),
    "gpu": GarmentMaskRecipe(stages=_stages(6000, 4000, 32, validate_every=1000)),
}


class MaskBatch(NamedTuple):
    """picture (B, 3, H, W) in [-1, 1] and mask (B, 1, H, W) in [0, 1] at the size that a network is trained at."""

    picture: Tensor
    mask: Tensor


def pack(sample: TryOnSample) -> dict[str, Tensor]:
    """What training needs of a sample: garment, its mask, and the room behind the person at half the size.

    Raises ValueError for a sample without garment, mask or parse.
    """
    sample.require("garment", "parse")
    if sample.garment.mask is None:
        raise ValueError(f"garment {sample.garment.name!r} has no mask to learn from")
    return {
        "garment": to_bytes(sample.garment.image),
        "mask": sample.garment.mask.to(torch.uint8),
        "room": to_bytes(room_behind(sample.person, sample.parse)),
    }


def reduced(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with antialiasing; pictures of that size are returned as they are."""
    if tuple(pictures.shape[-2:]) == tuple(size):
        return pictures
    return functional.interpolate(pictures, size, mode="bilinear", align_corners=False, antialias=True)


def shop_scenes(
    rows: dict[str, Tensor], size: tuple[int, int], recipe: GarmentMaskRecipe, generator: torch.Generator
) -> MaskBatch:
    """Garments of a cache at random places, on their own ground or another, lit and filmed at random.

    Where a border is uncovered, picture and mask go on as they are at the border: a garment that the picture cuts off
    is cut off all the same.
    """
    garment, mask = from_bytes(rows["garment"]), rows["mask"].to(torch.float32)
    count, read_size = len(garment), tuple(garment.shape[-2:])
    mirror = torch.rand(count, generator=generator) < recipe.augmentation.mirror
    _, inverse = draw_affine(mirror, read_size, recipe.augmentation, generator, rotate=True)
    grid = lookup_grid(inverse, read_size, garment.device)
    layers = torch.cat([garment, edge_filled(garment, mask), mask], 1)
    layers = functional.grid_sample(layers, grid, padding_mode="border", align_corners=False)
    own, cut_out, mask = reduced(layers, size).clamp(-1, 1).split((3, 3, 1), 1)
    kept = bleached(count, generator).to(own)
    own, cut_out = 1 - kept * (1 - own), 1 - kept * (1 - cut_out)
    ground = shaded(backgrounds(from_bytes(rows["room"]), size, generator), mask, generator)
    stays = (torch.rand(count, 1, 1, 1, generator=generator) < recipe.own_ground).to(own.device)
    picture = torch.where(stays, own, mask * cut_out + (1 - mask) * ground)
    for _ in range(2):  # twice belongs to the recipe's version 1, which the shipped weights were made with
        picture = filmed(relight(picture, recipe.light, generator), generator)
    return MaskBatch(compressed(picture, generator), mask)


def mask_terms(network: nn.Module, batch: MaskBatch, recipe: GarmentMaskRecipe) -> dict[str, Tensor]:
    """The loss: "mask", cross-entropy, the mean over a network's maps (Qin et al. 2020, equations 1 and 2, with all
    weights 1 and divided by their number), and "overlap", one minus the soft IoU of the first map.

    Within two pixels of the outline an error counts 1 + outline times. The soft IoU is the one that is largest where
    prediction and soft target agree: (|p| + |t| - |p - t|) / (|p| + |t| + |p - t|), Wang, Ning and
    Blaschko 2023, "Jaccard Metric Losses: Optimizing the Jaccard Index with Soft Labels".
    """
    near = functional.max_pool2d(batch.mask, 5, 1, 2) + functional.max_pool2d(-batch.mask, 5, 1, 2)
    weight = 1 + recipe.outline * near
    maps = mask_logits(network, batch.picture)
    losses = [functional.binary_cross_entropy_with_logits(each, batch.mask, weight) for each in maps]
    guess = torch.sigmoid(maps[0])
    total, apart = (guess + batch.mask).sum((1, 2, 3)), (guess - batch.mask).abs().sum((1, 2, 3))
    overlap = (total - apart) / (total + apart).clamp(min=1e-6)
    return {"mask": torch.stack(losses).mean(), "overlap": recipe.overlap * (1 - overlap.mean())}


def validation(cache: PackedCache, size: tuple[int, int], recipe: GarmentMaskRecipe, device: torch.device) -> Callable:
    """A callback for `train`: mean IoU on garments held out, at the size of the files, on their own ground ("iou") and
    at random places on random grounds ("iou_wild", at the network's size), and a sheet picture | mask of those."""
    rows = cache.batch(range(len(cache)), device=device)
    wild = shop_scenes(rows, size, replace(recipe, own_ground=0.0), torch.Generator().manual_seed(0))

    def validate(network: nn.Module) -> tuple[dict[str, float], Tensor]:
        plain = torch.cat([course_values(network, size, part) for part in from_bytes(rows["garment"]).split(8)])
        guess = torch.cat([course_values(network, size, part) for part in wild.picture.split(8)])
        sheet = picture_grid([list(pair) for pair in zip(wild.picture[:6], (guess * 2 - 1).expand(-1, 3, -1, -1)[:6])])
        return {
            "iou": float(iou(plain, rows["mask"]).nanmean()),
            "iou_wild": float(iou(guess, wild.mask).nanmean()),
        }, sheet

    return validate


def train_garment_mask(
    data_root: Sequence[str | Path],
    out: str | Path,
    *,
    recipe: GarmentMaskRecipe,
    command: str,
    weights: str | Path | None = None,
    limit: int | None = None,
) -> Path:
    """Train a network on the train splits of data sets and return the weights file (float16).

    Called again with the same folder `out`, it goes on where it stopped. weights: where the file goes, by default
    `out`/garment-mask-NETWORK.safetensors. limit: at most so many samples of each data set.
    Raises ValueError for an unknown network, and as `train_splits` and `vtonlib.training.train` do.
    """
    out, device = Path(out), resolve_device(recipe.stages[0].device)
    config = GarmentMaskConfig(network=recipe.network, size=recipe.sizes[-1])
    kept, watched, data = train_splits(data_root, recipe.read_size, limit)
    about = {
        "system": "perceive",
        "stage": f"garment-mask-{recipe.network}",
        "config": asdict(config),
        "recipe": {"version": RECIPE_VERSION, **asdict(recipe)},
        "data": data,
    }
    progress = recipe.stages[0].progress and is_main_process()
    cache = PackedCache(kept, range(len(kept)), pack, progress=progress)
    held_out = PackedCache(watched, range(len(watched)), pack)

    def train_stage(size: tuple[int, int], stage: TrainConfig, start: Path | None) -> tuple[Path, dict[str, float]]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stage.seed)
            network = build_network(config)
        return train_in(
            out / f"{size[0]}x{size[1]}",
            stage,
            {"system": "perceive", "stage": about["stage"]},
            module=network,
            loss=lambda module, batch: mask_terms(module, batch, recipe),
            make_batch=lambda chosen, generator: shop_scenes(
                cache.batch(chosen, device=device), size, recipe, generator
            ),
            length=len(cache),
            validate=validation(held_out, size, recipe, device),
            held_out=len(held_out),
            warm_start=start,
        )

    target = Path(weights) if weights is not None else out / weights_file(recipe.network)
    return train_sizes(recipe, out, target, about, command, train_stage)
