"""What the trainings of all networks share: the folder of a run, the samples held out, the files that come of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import ConcatDataset, Subset

from vtonlib.checkpoints import read_tensors, replacing, save_weights
from vtonlib.data import TryOnDataset, open_dataset
from vtonlib.parallel import is_main_process, wait_for_everyone
from vtonlib.sample import TryOnSample
from vtonlib.systems.memory import SampleCache
from vtonlib.training import TrainConfig, train


def belongs_to_run(path: Path, about: dict) -> None:
    """Write down what a folder's run is about, or raise ValueError, naming what differs, if it holds another run.

    Of several processes only the main one looks and writes.
    """
    if not is_main_process():
        return
    text = json.dumps(about, indent=1, sort_keys=True)
    if path.is_file():
        before, now = json.loads(path.read_text(encoding="utf-8")), json.loads(text)
        changed = [key for key in now if before.get(key) != now[key]]
        if changed:
            raise ValueError(f"{path}: the folder holds another run ({', '.join(changed)} differ); choose another one")
        return
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def hold_out(count: int) -> tuple[list[int], list[int]]:
    """Indices to train on and indices to watch the training by: the last sixteenth, at least 1, of a train split.

    The test split stays unseen. Raises ValueError for fewer than two samples.
    """
    if count < 2:
        raise ValueError(f"training needs at least 2 samples (one is held out), got {count}")
    kept = count - max(1, count // 16)
    return list(range(kept)), list(range(kept, count))


def data_description(dataset: TryOnDataset, limit: int | None) -> dict[str, object]:
    """What the weights' metadata says about the data: layout, samples used, and the studio's recipe if it made them."""
    used = len(dataset) if limit is None else min(limit, len(dataset))
    return {"layout": dataset.source.layout, "samples": used, "studio": getattr(dataset.source, "recipe", None)}


def train_caches(
    data_root: str | Path, size: tuple[int, int], limit: int | None, *, progress: bool
) -> tuple[SampleCache, SampleCache]:
    """The train split of a data set in memory at one size: what is trained on, and what is held out.

    limit: at most so many samples. Raises ValueError as `open_dataset`, `hold_out` and `SampleCache` do.
    """
    dataset = open_dataset(data_root, split="train", pairing="paired", size=size)
    trained_on, held_out = hold_out(len(dataset) if limit is None else min(limit, len(dataset)))
    cache = SampleCache(dataset, trained_on, progress=progress and is_main_process())
    return cache, SampleCache(dataset, held_out)


def train_splits(
    roots: Sequence[str | Path], size: tuple[int, int], limit: int | None
) -> tuple[Sequence[TryOnSample], Sequence[TryOnSample], list[dict[str, object]]]:
    """The train splits of several data sets behind one another: what is trained on, what is held out, and what the
    weights' metadata says about each.

    limit: at most so many samples of each. Raises ValueError for no data set, and as `open_dataset` and `hold_out` do.
    """
    if not roots:
        raise ValueError("expected at least one data set to train on, got none")
    kept, watched, about = [], [], []
    for root in roots:
        dataset = open_dataset(root, split="train", pairing="paired", size=size)
        trained_on, held_out = hold_out(len(dataset) if limit is None else min(limit, len(dataset)))
        kept.append(Subset(dataset, trained_on))
        watched.append(Subset(dataset, held_out))
        about.append(data_description(dataset, limit))
    return ConcatDataset(kept), ConcatDataset(watched), about


def small_stage(steps: int, batch_size: int, **other) -> TrainConfig:
    """How the course trains its small helpers at one size: the feature networks, the mask predictor."""
    return TrainConfig(
        steps=steps, batch_size=batch_size, lr=2e-3, betas=(0.9, 0.999), schedule="cosine", decay_start=0.3,
        warm_up=min(50, steps), clip=1.0, ema_decay=0.99, **other,
    )  # fmt: skip


def two_stages(
    first: int, second: int, batch_size: int, lr: float, *, beta: float, slower: int, **other
) -> tuple[TrainConfig, TrainConfig]:
    """How the course trains the stages of a system: `first` steps at a small size, then `second` at a larger one, with
    half the batch and a learning rate `slower` times as small. beta: the first decay rate of Adam."""
    shared = {"betas": (beta, 0.999), "schedule": "cosine", "clip": 1.0, **other}
    return (
        TrainConfig(steps=first, batch_size=batch_size, lr=lr, decay_start=0.5, warm_up=min(50, first), **shared),
        TrainConfig(steps=second, batch_size=max(batch_size // 2, 2), lr=lr / slower, decay_start=0.0, **shared),
    )


def train_sizes(recipe, out: Path, target: Path, about: dict, command: str, train_stage: Callable) -> Path:
    """Train a network at one size after the other and publish the last average; returns `target`.

    recipe: with `sizes` and `stages`; train_stage(size, config, warm_start) -> what `train_in` returns; about: what the
    run is, for `belongs_to_run` and the metadata, which gets the command and the numbers of every size too.
    """
    belongs_to_run(out / "run.json", about)
    start, metrics = None, {}
    for size, config in zip(recipe.sizes, recipe.stages, strict=True):
        start, metrics[f"held out, {size[0]}x{size[1]}"] = train_stage(size, config, start)
    return publish(start, target, {**about, "command": command, "metrics": metrics})


def train_in(
    folder: Path, config: TrainConfig, about: Mapping[str, Any], *, module: nn.Module, validate, held_out: int, **how
) -> tuple[Path, dict[str, float]]:
    """Run `vtonlib.training.train` in a folder; returns a file with the average weights, and the validation numbers.

    The file, average.safetensors in full precision, is what a next stage begins from. validate: as `train` takes it;
    held_out: how many samples it looks at, for the numbers; how: the other arguments of `train`.
    Of several processes the main one validates and writes, and the others wait.
    """
    average = train(config, module=module, out=folder, validate=validate, **how)
    path, scores = folder / "average.safetensors", {}
    if is_main_process():
        save_weights(path, average, about, half=False)
        with torch.no_grad():
            scores, _ = validate(average)
    wait_for_everyone()
    return path, {**scores, "held_out": held_out}


def publish(source: Path, target: Path, metadata: Mapping[str, Any]) -> Path:
    """Write the weights of `source`, a file of `train_in`, to `target` in float16 with metadata; returns `target`."""
    if is_main_process():
        average, _ = read_tensors(source)
        save_weights(target, average, metadata)
    wait_for_everyone()
    return target
