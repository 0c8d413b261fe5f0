"""Training the human parser of `vtonlib.perceive.parsing` on studio data sets.

The loss is that of SCHP (Li et al. 2020, section 3.1): cross-entropy and Lovasz-softmax for the labels, a weighted
binary cross-entropy for the edges between them. Left out is its consistency term, which compares the edges of the
guessed labels with the guessed edges. The changes of a training picture are those in which photographs differ from
renders: people nearer and further away, cut off by the border, tilted, in other light, through another camera.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtonlib.labels import LIP
from vtonlib.losses import class_weights
from vtonlib.metrics import label_scores, label_table
from vtonlib.parallel import is_main_process
from vtonlib.perceive.parsing import IGNORED, SIZE, EdgeParser, EdgeParserConfig, edges_of, label_colours
from vtonlib.systems.memory import PackedCache, from_bytes
from vtonlib.systems.parsing_data import ParsingAugmentation, augment, label_pixels, pack, repeats
from vtonlib.systems.runs import train_in, train_sizes, train_splits, two_stages
from vtonlib.training import TrainConfig, picture_grid, resolve_device

RECIPE_VERSION = "parsing/2"
PARSING_FILE = "parsing.safetensors"


@dataclass(frozen=True, kw_only=True)
class ParsingRecipe:
    """How a parser is trained: at one size after the other.

    weight_cap: largest class weight, see `vtonlib.losses.class_weights`. cross_entropy, lovasz, edge: weights of the
    terms. lovasz_pixels: on so many pixels of a batch, about, Lovasz-softmax is taken; it sorts them for every label.
    rare: for each stage the share of people below which a label is rare, see `parsing_data.repeats`; () for none.
    Raises ValueError for another number of stages than sizes, or a size that comes twice.
    """

    sizes: tuple[tuple[int, int], ...] = ((128, 96), SIZE)
    stages: tuple[TrainConfig, ...]
    config: EdgeParserConfig = field(default_factory=EdgeParserConfig)
    augmentation: ParsingAugmentation = field(default_factory=ParsingAugmentation)
    weight_cap: float = 4.0
    cross_entropy: float = 1.0
    lovasz: float = 0.5
    edge: float = 1.0
    lovasz_pixels: int = 20_000
    rare: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rare", tuple(self.rare))  # JSON gives a list
        counts = {len(self.sizes), len(self.stages), len(self.rare or self.stages)}
        if len(counts) > 1 or len(set(self.sizes)) != len(self.sizes):
            raise ValueError(f"ParsingRecipe: expected a stage for each of different sizes, got {self.sizes}")


def _stages(first: int, second: int, batch_size: int, **other) -> tuple[TrainConfig, TrainConfig]:
    return two_stages(first, second, batch_size, 2e-3, beta=0.9, slower=2, ema_decay=0.99, **other)


RECIPES = {
    "smoke": ParsingRecipe(
        sizes=((32, 24), (64, 48)), stages=_stages(2, 2, 4),
        config=EdgeParserConfig(widths=(8, 8, 8, 8, 8), context=4, decoder=8, fine=8, edge=4),
    ),
    "laptop": ParsingRecipe(stages=_stages(3600, 4500, 12, validate_every=600), rare=(0.0, 0.25)),
    "gpu": ParsingRecipe(stages=_stages(12000, 16000, 32, validate_every=2000), rare=(0.0, 0.25)),
}  # fmt: skip


# ---- the loss ------------------------------------------------------------------------------------------------------


def lovasz_gradient(truth: Tensor) -> Tensor:
    """By how much the Jaccard loss 1 - IoU grows when the pixels are got wrong one after the other.

    truth (..., N) in {0, 1}, ordered by falling error. Source: Berman et al. 2018, algorithm 1.
    """
    positives = truth.sum(-1, keepdim=True)
    missed = positives - truth.cumsum(-1)  # right pixels of the label left when so many are wrong
    union = positives + (1 - truth).cumsum(-1)
    jaccard = 1 - missed / union
    return torch.diff(jaccard, dim=-1, prepend=torch.zeros_like(jaccard[..., :1]))


def lovasz_softmax(probabilities: Tensor, labels: Tensor) -> Tensor:
    """A loss that is the mean of 1 - IoU where the guesses are certain, and in between piecewise linear; a scalar.

    probabilities (N, K); labels (N,) int64, `IGNORED` ones don't count. The mean is over the labels that occur; 0 if
    none does. Source: Berman et al. 2018, section 3.2, equations 8, 9 and 11 ("present" classes, a batch at once).
    """
    counted = labels != IGNORED
    probabilities, labels = probabilities[counted], labels[counted]
    present = labels.unique()
    if not len(present):
        return probabilities.sum() * 0.0
    truth = (labels == present[:, None]).to(probabilities.dtype)
    errors, order = (truth - probabilities[:, present].T).abs().sort(dim=1, descending=True)
    return (errors * lovasz_gradient(truth.gather(1, order))).sum(1).mean()


def edge_loss(logits: Tensor, parse: Tensor) -> Tensor:
    """Binary cross-entropy of edge logits (B, 1, H, W) against the edges of parse (B, H, W); a scalar.

    Edges are few: each side weighs as much as the other has pixels, as in CE2P. `IGNORED` pixels don't count.
    """
    edges, counted = edges_of(parse), parse != IGNORED
    share = edges.sum() / counted.sum().clamp(min=1)
    weight = torch.where(edges, 1 - share, share) * counted
    loss = functional.binary_cross_entropy_with_logits(logits[:, 0], edges.to(logits.dtype), weight, reduction="sum")
    return loss / counted.sum().clamp(min=1)


def label_loss(logits: Tensor, parse: Tensor, weights: Tensor | None, soft: Tensor | None = None) -> Tensor:
    """Weighted cross-entropy of logits (B, K, H, W), the mean over pixels that count; a scalar.

    parse (B, H, W) int64 with `IGNORED`; weights (K,) or None; soft (B, K, H, W): probabilities as targets in place of
    the labels, each with the weight of its label.
    """
    weights = (torch.ones(logits.shape[1]) if weights is None else weights).to(logits)
    counted = parse != IGNORED
    if soft is None:
        total = functional.cross_entropy(logits, parse, weights, ignore_index=IGNORED, reduction="sum")
    else:
        weighted = soft * weights[:, None, None] * counted[:, None]
        total = -(weighted * logits.log_softmax(1)).sum()
    return total / counted.sum().clamp(min=1)


def parser_terms(
    net: nn.Module,
    pictures: Tensor,
    parse: Tensor,
    recipe: ParsingRecipe,
    *,
    weights: Tensor | None = None,
    soft: Tensor | None = None,
) -> dict[str, Tensor]:
    """The loss of a parser: "parse" (cross-entropy), "lovasz" and "edge", weighted as the recipe says.

    net: (B, 3, H, W) -> logits (B, K, H, W), edge logits (B, 1, H, W). parse (B, H, W) int64 with `IGNORED`; weights:
    of `class_weights`. soft (B, K, H, W): probabilities that take the place of the labels in the cross-entropy, for
    self-correction; edges and Lovasz-softmax, which need one label a pixel, are still taken from `parse` (pass
    `soft.argmax(1)`, or labels with `IGNORED` where nothing should be learned).
    Raises ValueError for shapes that don't match.
    """
    if parse.shape != (len(pictures), *pictures.shape[-2:]):
        raise ValueError(f"parse: expected labels for pictures {tuple(pictures.shape)}, got {tuple(parse.shape)}")
    logits, edges = net(pictures)
    if soft is not None and soft.shape != logits.shape:
        raise ValueError(f"soft: expected probabilities {tuple(logits.shape)}, got {tuple(soft.shape)}")
    step = max(1, math.ceil(math.sqrt(parse.numel() / recipe.lovasz_pixels)))
    some = (slice(None), slice(step // 2, None, step), slice(step // 2, None, step))  # augmentation moves the grid
    sampled = logits.permute(0, 2, 3, 1)[some].softmax(-1).flatten(0, 2)
    return {
        "parse": recipe.cross_entropy * label_loss(logits, parse, weights, soft),
        "lovasz": recipe.lovasz * lovasz_softmax(sampled, parse[some].flatten()),
        "edge": recipe.edge * edge_loss(edges, parse),
    }


# ---- the training --------------------------------------------------------------------------------------------------


def validation(cache: PackedCache, device: torch.device) -> Callable:
    """A callback for `train`: pixel accuracy and mean IoU over labels that occur on samples held out, and a sheet
    person | labels | guess of four of them."""

    def validate(net: nn.Module) -> tuple[dict[str, float], Tensor]:
        table, rows = torch.zeros(len(LIP), len(LIP), dtype=torch.int64), []
        for first in range(0, len(cache), 8):
            batch = cache.batch(range(first, min(first + 8, len(cache))), device=device)
            pictures, parse = from_bytes(batch["person"]), batch["parse"].long()
            guess = net(pictures)[0].argmax(1)
            known = parse != IGNORED
            table += label_table(parse, guess, len(LIP), known).cpu()
            if len(rows) < 4:
                shown = torch.where(known, parse, 0)
                rows += zip(pictures.cpu(), label_colours(shown).cpu(), label_colours(guess).cpu(), strict=True)
        scores = label_scores(table)
        return {"accuracy": scores.accuracy, "miou": scores.mean_iou}, picture_grid(rows[:4])

    return validate


def train_parsing(
    data_root: Sequence[str | Path],
    out: str | Path,
    *,
    recipe: ParsingRecipe,
    command: str,
    weights: str | Path | None = None,
    limit: int | None = None,
) -> Path:
    """Train a parser on the train splits of data sets and return the weights file (float16).

    Called again with the same folder `out`, it goes on where it stopped. weights: where the file goes, by default
    `out`/parsing.safetensors; limit: at most so many samples of each data set. Raises ValueError as `train_splits` and
    `vtonlib.training.train` do, and for samples without a parse.
    """
    out, device = Path(out), resolve_device(recipe.stages[0].device)
    *_, data = train_splits(data_root, recipe.sizes[-1], limit)
    about = {
        "system": "perceive",
        "stage": "parsing",
        "config": asdict(recipe.config),
        "size": list(recipe.sizes[-1]),
        "recipe": {"version": RECIPE_VERSION, **asdict(recipe)},
        "data": data,
    }
    target = Path(weights) if weights is not None else out / PARSING_FILE

    def train_stage(size: tuple[int, int], config: TrainConfig, start: Path | None):
        trained_on, held_out, _ = train_splits(data_root, size, limit)
        progress = config.progress and is_main_process()
        cache = PackedCache(trained_on, range(len(trained_on)), pack, progress=progress)
        watched = PackedCache(held_out, range(len(held_out)), pack)
        rare = recipe.rare[recipe.sizes.index(size)] if recipe.rare else 0.0
        order = torch.repeat_interleave(torch.arange(len(cache)), repeats(cache, rare))
        # Of the pixels as they are, not as they are shown: counted after the repetition, dresses were guessed better on
        # the studio (IoU 0.39 for 0.30) and everything worse on photographs (mean IoU 0.74 for 0.80).
        counts = class_weights(label_pixels(cache), recipe.weight_cap).to(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            net = EdgeParser(recipe.config)

        def make_batch(indices: list[int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
            batch = cache.batch(order[indices].tolist(), device=device)
            return augment(from_bytes(batch["person"]), batch["parse"].long(), recipe.augmentation, generator)

        return train_in(
            out / f"{size[0]}x{size[1]}",
            config,
            {"system": "perceive", "stage": "parsing"},
            module=net,
            loss=lambda module, batch: parser_terms(module, *batch, recipe, weights=counts),
            make_batch=make_batch,
            length=len(order),
            validate=validation(watched, device),
            held_out=len(held_out),
            warm_start=start,
        )

    return train_sizes(recipe, out, target, about, command, train_stage)
