"""What the trainings of MG-VTON's generators share: triplets, two sizes, a critic, a look at those held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vtonlib.data import open_dataset
from vtonlib.sample import TryOnSample
from vtonlib.systems.cp_vton import plain
from vtonlib.systems.memory import Augmentation
from vtonlib.systems.mg_vton import SYSTEM, weights_name
from vtonlib.systems.mg_vton.triplets import TripletCache, augment_triplets, triplet_caches
from vtonlib.systems.runs import data_description, train_in, train_sizes
from vtonlib.training import Critic, TrainConfig, picture_grid, resolve_device, step_seed

WATCHED = 96  # triplets held out that are looked at, at most


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one stage does with triplets.

    module: what is trained. prepare(batch, generator): the stage's own batch of a collated batch of triplets. loss,
    critic: as `vtonlib.training.train` takes them. look(module, prepared): numbers by name, one a sample (B,), and for
    each sample a row of pictures (3,H,W) in [-1,1].
    """

    module: nn.Module
    prepare: Callable[[TryOnSample, torch.Generator], Any]
    loss: Callable[[nn.Module, Any], Any]
    look: Callable[[nn.Module, Any], tuple[dict[str, Tensor], list[tuple[Tensor, ...]]]]
    critic: Critic | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage's names, and how its work is set up: work(recipe, config of the size, device) -> `Work`.

    recipe: with `sizes`, `stages`, `network` (the config of the module) and `augmentation`. made_with: metadata of the
    frozen networks that it stands on.
    """

    name: str
    version: str
    work: Callable[[Any, TrainConfig, torch.device], Work]
    made_with: Callable[[Any], dict] = lambda recipe: {}


def validation(cache: TripletCache, work: Work, device: torch.device, *, rows: int = 4) -> Callable:
    """A callback for `train`: means of a stage's numbers over triplets held out, evenly spread, and its sheet."""
    chosen = torch.linspace(0, len(cache) - 1, min(WATCHED, len(cache))).round().long().tolist()

    def validate(module: nn.Module) -> tuple[dict[str, float], Tensor]:
        scores: dict[str, list[Tensor]] = {}
        sheet: list[tuple[Tensor, ...]] = []
        for first in range(0, len(chosen), 8):
            generator = torch.Generator().manual_seed(step_seed(0, first))
            batch = cache.batch(chosen[first : first + 8], device=device)
            numbers, pictures = work.look(module, work.prepare(batch, generator))
            for name, values in numbers.items():
                scores.setdefault(name, []).append(values.float().cpu())
            sheet += pictures
        means = {name: float(torch.cat(values).nanmean()) for name, values in scores.items()}
        spread = range(0, len(sheet), max(1, len(sheet) // rows))
        return means, picture_grid([sheet[index] for index in spread][:rows])

    return validate


def train_on_triplets(
    stage: Stage,
    data_root: str | Path,
    out: str | Path,
    *,
    recipe: Any,
    command: str,
    weights: str | Path | None = None,
    limit: int | None = None,
) -> Path:
    """Train a stage on the train split of a data set of triplets; returns the weights file (average, float16).

    Each size keeps its state in a folder of its own below `out`; called again, training goes on where it stopped.
    weights: where the result goes, by default in `out`; limit: at most so many triplets of the list.
    Raises ValueError as `triplet_caches` and `vtonlib.training.train` do.
    """
    out = Path(out)
    about = {
        "system": SYSTEM,
        "stage": stage.name,
        "config": plain(recipe.network),
        "recipe": {"version": stage.version, **asdict(recipe)},
        "data": data_description(open_dataset(data_root, split="train", pairing="paired"), limit),
        "made_with": stage.made_with(recipe),
    }

    def at_size(size: tuple[int, int], config: TrainConfig, start: Path | None) -> tuple[Path, dict[str, float]]:
        device = resolve_device(config.device)
        cache, held_out, _ = triplet_caches(data_root, size, limit, progress=config.progress)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            work = stage.work(recipe, config, device)
        strength: Augmentation = recipe.augmentation
        return train_in(
            out / f"{size[0]}x{size[1]}",
            config,
            {"system": SYSTEM, "stage": stage.name},
            module=work.module,
            loss=work.loss,
            critic=work.critic,
            make_batch=lambda indices, generator: work.prepare(
                augment_triplets(cache.batch(indices, device=device), strength, generator), generator
            ),
            length=len(cache),
            validate=validation(held_out, work, device),
            held_out=min(WATCHED, len(held_out)),
            warm_start=start,
        )

    target = Path(weights) if weights is not None else out / weights_name(stage.name)
    return train_sizes(recipe, out, target, about, command, at_size)


def check_recipe(recipe: Any, **weights: float) -> None:
    """Raise ValueError for another number of stages than sizes, a negative weight of a term, or no term at all."""
    name = type(recipe).__name__
    if len(recipe.sizes) != len(recipe.stages) or len(set(recipe.sizes)) != len(recipe.sizes):
        raise ValueError(f"{name}: expected a stage for each of different sizes, got {recipe.sizes}")
    if min(weights.values()) < 0 or not sum(weights.values()) > 0:
        raise ValueError(f"{name}: expected weights of 0 or more, one above 0, got {weights}")


def check_share(recipe: Any, field: str) -> None:
    """Raise ValueError for a field of a recipe that is no share from 0 to 1."""
    value = getattr(recipe, field)
    if not 0 <= value <= 1:
        raise ValueError(f"{type(recipe).__name__}: {field}: expected a share from 0 to 1, got {value}")
