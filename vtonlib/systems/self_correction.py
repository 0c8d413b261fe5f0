"""Self-correction: training a parser on labels that are partly wrong, and correcting the labels with it.

After a first training the net is trained on in cycles, each with a learning rate that starts high again and falls to 0.
Behind each cycle two running means take its result in: one of the weights ("model averaging"), and, predicted by that
mean net, one of the labels ("label refinement"), which the next cycle is trained on.

Source: Li et al. 2020, "Self-Correction for Human Parsing", section 3.2: online model aggregation, online label
refinement.

What it can do and what it can't follows from that. Errors that differ from person to person have no pattern that a net
could learn before it learns the right labels, so its predictions lack them. An error that everybody's labels share is a
pattern as good as any other. `vtonlib.systems.label_damage` makes errors of both kinds on purpose, and
benchmarks/self_correction.py measures what becomes of them.

Convention: labels are LIP-20 (10 = neck); soft labels are probabilities (N, 20, H, W), 0 for every label where nobody
knows (padding).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtonlib.labels import LIP, LIP_MIRROR
from vtonlib.perceive.parsing import IGNORED, EdgeParser, EdgeParserConfig
from vtonlib.systems.features_training import filmed, relight
from vtonlib.systems.memory import from_bytes, lookup_grid
from vtonlib.systems.parsing_data import ParsingAugmentation, draw_maps
from vtonlib.systems.parsing_training import ParsingRecipe, parser_terms
from vtonlib.systems.runs import small_stage
from vtonlib.training import TrainConfig, resolve_device, step_seed, train

# ---- the two means -------------------------------------------------------------------------------------------------


@torch.no_grad()
def averaged(average: nn.Module, module: nn.Module, cycle: int) -> nn.Module:
    """average <- m / (m + 1) * average + 1 / (m + 1) * module, in place, for cycle m = 1, 2, ...; returns `average`.

    So after cycle m it is the mean of m + 1 nets, the one that it began as among them. Buffers are copied: statistics
    of activations aren't those of the mean net, see `reestimate_batch_norm`. Source: section 3.2, model
    aggregation.
    Raises ValueError for a cycle below 1.
    """
    _check_cycle(cycle)
    for mean, value in zip(average.parameters(), module.parameters(), strict=True):
        mean.lerp_(value, 1 / (cycle + 1))
    for mean, value in zip(average.buffers(), module.buffers(), strict=True):
        mean.copy_(value)
    return average


def refined(labels: Tensor, prediction: Tensor, cycle: int) -> Tensor:
    """m / (m + 1) * labels + 1 / (m + 1) * prediction, both (..., 20, H, W) probabilities, for cycle m = 1, 2, ...

    Where nobody knows a label (all are 0) it stays so. Source: section 3.2, label refinement.
    Raises ValueError for shapes that differ, or a cycle below 1.
    """
    _check_cycle(cycle)
    if labels.shape != prediction.shape:
        raise ValueError(f"refined: expected one shape, got {tuple(labels.shape)} and {tuple(prediction.shape)}")
    known = labels.sum(-3, keepdim=True) > 0.5
    return torch.where(known, labels + (prediction.to(labels.dtype) - labels) / (cycle + 1), labels)


@torch.no_grad()
def reestimate_batch_norm(module: nn.Module, batches: Iterable[Tensor]) -> int:
    """Set the running mean and variance of every batch normalisation to the mean over these batches of pictures.

    The mean of several nets has other activations than any of them. Returns the number of layers, 0 if there is none
    to set; the module's mode stays as it was. Source: section 3.2 (re-estimation as in Izmailov et al. 2018, SWA).
    Raises ValueError for no batch.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    before, momenta = module.training, [layer.momentum for layer in layers]
    modes = [(part, part.training) for part in module.modules()]
    count = 0
    module.eval()  # dropout stays off
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean over what is shown
            layer.train()
        for batch in batches:
            module(batch)
            count += 1
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        module.train(before)
        for part, mode in modes:
            part.training = mode
    if not count:
        raise ValueError("reestimate_batch_norm: expected at least one batch of pictures, got none")
    return len(layers)


def _check_cycle(cycle: int) -> None:
    if cycle < 1:
        raise ValueError(f"cycle: expected 1 or more (the first training is cycle 0), got {cycle}")


def soft_labels(parse: Tensor) -> Tensor:
    """Labels (N, H, W), `IGNORED` allowed, as probabilities (N, 20, H, W) float16 of 0 and 1."""
    return torch.stack([parse == label for label in range(len(LIP))], 1).half()


def hard_labels(soft: Tensor) -> Tensor:
    """The likeliest label (N, H, W) int64, `IGNORED` where nobody knows."""
    return torch.where(soft.sum(1) > 0.5, soft.argmax(1), IGNORED)


# ---- training in cycles --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CorrectionRecipe:
    """How a parser is trained with self-correction: `first`, then `cycles` times `cycle` at one size.

    terms: the parser's loss, see `parser_terms`; augmentation: of the pictures. statistics: on so many batches the
    normalisation of a mean net is estimated.
    """

    size: tuple[int, int] = (96, 72)
    first: TrainConfig
    cycle: TrainConfig
    cycles: int = 4
    config: EdgeParserConfig = field(default_factory=EdgeParserConfig)
    terms: ParsingRecipe = field(default_factory=lambda: ParsingRecipe(sizes=(), stages=(), lovasz_pixels=8000))
    augmentation: ParsingAugmentation = field(
        default_factory=lambda: ParsingAugmentation(scale=(0.8, 1.3), rotation=8.0, close=0.0)
    )
    statistics: int = 20


def _cycle(steps: int, batch_size: int) -> TrainConfig:
    return TrainConfig(
        steps=steps, batch_size=batch_size, lr=1e-3, betas=(0.9, 0.999), schedule="cosine", decay_start=0.0,
        warm_up=min(20, steps), clip=1.0, ema_decay=0.99, checkpoint_every=0, progress=False,
    )  # fmt: skip


SMALL_PARSER = EdgeParserConfig(widths=(8, 8, 8, 8, 8), context=4, decoder=8, fine=8, edge=4)
RECIPES = {
    "smoke": CorrectionRecipe(
        size=(64, 48), first=small_stage(2, 4, progress=False), cycle=_cycle(2, 4), cycles=2, config=SMALL_PARSER,
        statistics=2,
    ),
    "laptop": CorrectionRecipe(first=small_stage(700, 12, progress=False), cycle=_cycle(175, 12)),
    "gpu": CorrectionRecipe(
        size=(256, 192), first=small_stage(8000, 32), cycle=replace(_cycle(1500, 32), progress=True), cycles=5
    ),
}  # fmt: skip


class Correction(NamedTuple):
    """Where a training stands after a cycle (0: the first training): the net of that cycle, the mean net, both in eval
    mode, and the soft labels (N,20,H,W) that the next cycle is trained on."""

    cycle: int
    net: nn.Module
    average: nn.Module
    labels: Tensor


def augment_soft(
    levels: Tensor, labels: Tensor, strength: ParsingAugmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Change pictures (B,3,H,W) of bytes and soft labels (B,20,H,W) at random, together -> floats of the same shapes.

    Labels are moved without being mixed; beyond the picture it is grey (0) and nobody knows.
    """
    size = tuple(levels.shape[-2:])
    mirror = torch.rand(len(levels), generator=generator) < strength.mirror
    grid = lookup_grid(draw_maps(mirror, size, strength, generator), size, levels.device)
    mirrored = labels[:, list(LIP_MIRROR)]
    labels = torch.where(mirror.to(labels.device)[:, None, None, None], mirrored, labels).float()
    labels = functional.grid_sample(labels, grid, mode="nearest", align_corners=False)
    pictures = functional.grid_sample(from_bytes(levels), grid, align_corners=False)
    pictures = filmed(relight(pictures, strength.light, generator), generator)
    return pictures * (labels.sum(1, keepdim=True) > 0.5), labels


@torch.no_grad()
def predicted(net: nn.Module, levels: Tensor, device: torch.device) -> Tensor:
    """Probabilities (N,20,H,W) float16, on the CPU, that a net in eval mode gives to pictures (N,3,H,W) of bytes."""
    parts = levels.split(32)
    return torch.cat([net(from_bytes(part.to(device)))[0].softmax(1).half().cpu() for part in parts])


def first_training(recipe: CorrectionRecipe, levels: Tensor, labels: Tensor, out: Path, *, seed: int) -> EdgeParser:
    """A new parser, trained on pictures (N,3,H,W) of bytes and soft labels (N,20,H,W) in the folder `out`.

    Called again with the same folder, this and `cycles` go on where they stopped. All labels weigh the same in the
    cross-entropy, as weights for rare ones would make the net's guesses, which become labels, too free with them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = EdgeParser(recipe.config)
    return _trained(recipe, replace(recipe.first, seed=seed), net, levels, labels, out)


def cycles(
    recipe: CorrectionRecipe,
    net: nn.Module,
    levels: Tensor,
    labels: Tensor,
    out: Path,
    *,
    refine: bool,
    seed: int,
) -> Iterator[Correction]:
    """Self-correction behind `first_training`: yields the state after cycle 0 (no training), 1, ... `recipe.cycles`.

    net: of `first_training`; it is left as it is. refine: whether the labels are corrected too; the nets of cycles
    without refinement don't depend on the mean net, so they show plain training and model averaging at once.
    Each cycle goes on from the net of the one before, not from the mean net.
    """
    device = resolve_device(recipe.cycle.device)
    net = copy.deepcopy(net).to(device)
    average = copy.deepcopy(net)
    yield _state(0, net, average, labels)
    for cycle in range(1, recipe.cycles + 1):
        config = replace(recipe.cycle, seed=1000 * cycle + seed)
        net = _trained(recipe, config, net, levels, labels, out / f"cycle-{cycle}")
        averaged(average, net, cycle)
        generator = torch.Generator().manual_seed(step_seed(seed, cycle))
        reestimate_batch_norm(average, _pictures(recipe, levels, labels, generator, device))
        if refine:
            prediction = predicted(average, levels, device)
            parts = zip(labels.split(64), prediction.split(64), strict=True)
            labels = torch.cat([refined(old.float(), new.float(), cycle).half() for old, new in parts])
        yield _state(cycle, net, average, labels)


def _state(cycle: int, net: nn.Module, average: nn.Module, labels: Tensor) -> Correction:
    """Copies, as both nets are changed in place by the next cycle."""
    return Correction(cycle, copy.deepcopy(net).eval(), copy.deepcopy(average).eval(), labels)


def _pictures(
    recipe: CorrectionRecipe, levels: Tensor, labels: Tensor, generator: torch.Generator, device: torch.device
) -> Iterator[Tensor]:
    """Augmented batches of pictures, as training sees them."""
    for _ in range(recipe.statistics):
        chosen = torch.randint(len(levels), (recipe.cycle.batch_size,), generator=generator)
        part = levels[chosen].to(device), labels[chosen].to(device)
        yield augment_soft(*part, recipe.augmentation, generator)[0]


def _trained(
    recipe: CorrectionRecipe, config: TrainConfig, net: nn.Module, levels: Tensor, labels: Tensor, out: Path
) -> nn.Module:
    """`train` on soft labels; returns the module itself in eval mode, as the paper averages its weights by cycles and
    not by steps."""
    device = resolve_device(config.device)

    def make_batch(indices: list[int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        part = levels[indices].to(device), labels[indices].to(device)
        return augment_soft(*part, recipe.augmentation, generator)

    def loss(module: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        pictures, soft = batch
        return parser_terms(module, pictures, hard_labels(soft), recipe.terms, soft=soft)

    train(config, module=net, loss=loss, make_batch=make_batch, length=len(levels), out=out)
    return net.eval()
