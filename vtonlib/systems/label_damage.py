"""Labels damaged on purpose, so that it can be measured what a training on wrong labels makes of them.

Annotators swap left and right, take a label for another one, leave small parts out and draw outlines badly. Here each
of these is done to a share of the people, and it is kept where, so a training on the result can be judged by the true
labels: `label_repair` says how much of the damage is gone, by kind, and what was broken that had been right.
One error is made in everybody's labels alike. A net has no way to tell it from the truth.

Convention: labels are LIP-20 (10 = neck), `IGNORED` where nobody knows (padding). Left and right are the person's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from vtonlib.labels import LIP_INDEX
from vtonlib.perceive.parsing import IGNORED

KINDS = ("none", "sides", "confused", "missing", "outline", "systematic")
SIDES = ((14, 15), (16, 17), (18, 19))  # arms, legs, shoes
CONFUSED = ((5, 7), (7, 5), (6, 5), (9, 12), (12, 9), (2, 1), (10, 13), (14, 3), (15, 3))  # (label, taken for)
SMALL = tuple(LIP_INDEX[name] for name in ("hat", "glove", "sunglasses", "socks", "neck", "scarf")) + (18, 19)
HAIR = LIP_INDEX["hair"]


@dataclass(frozen=True, kw_only=True)
class Damage:
    """How often, and how far, labels are damaged; shares are of people.

    sides: left and right swapped, each of arms, legs and shoes in half of these people. confused: one label is taken
    for another, such as a skirt for trousers. missing: one small part was not drawn, and has the label around it.
    outline: outlines wander by `wander` (standard deviation, share of the width). grown: in *everybody's* labels the
    hair is larger by this share of the width: the systematic error.
    Raises ValueError for a share out of [0, 1].
    """

    sides: float = 0.3
    confused: float = 0.3
    missing: float = 0.3
    outline: float = 0.5
    wander: float = 0.02
    grown: float = 0.015

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"Damage: {name}: expected a share from 0 to 1, got {value}")


class Damaged(NamedTuple):
    """parse (N,H,W) int64 with errors; kind (N,H,W) int64, index into `KINDS` of what made the error, 0 where the label
    is right."""

    parse: Tensor
    kind: Tensor


def damage_labels(parse: Tensor, generator: torch.Generator, damage: Damage = Damage()) -> Damaged:
    """Labels (N,H,W) int64 with the errors of hurried annotators, drawn for each person from the generator (CPU).

    Raises ValueError for another shape.
    """
    if parse.ndim != 3 or parse.is_floating_point():
        raise ValueError(f"damage_labels: expected labels (N, H, W) int64, got {tuple(parse.shape)} {parse.dtype}")
    count, result, kind = len(parse), parse.clone(), torch.zeros_like(parse)
    hit = torch.rand(4, count, generator=generator) < torch.tensor(
        [[damage.sides], [damage.confused], [damage.missing], [damage.outline]]
    )
    changes = {
        "sides": lambda each: _swap_sides(each, generator),
        "confused": lambda each: _confuse(each, generator),
        "missing": lambda each: _drop_small(each, generator),
        "outline": lambda each: _wander(each, damage.wander, generator),
    }
    for (name, change), chosen in zip(changes.items(), hit, strict=True):
        before = result.clone()
        for index in chosen.nonzero()[:, 0].tolist():
            result[index] = change(result[index])
        kind[result != before] = KINDS.index(name)
    before = result.clone()
    reach = round(damage.grown * parse.shape[2])
    result[dilated(result == HAIR, reach) & (result != IGNORED)] = HAIR
    kind[result != before] = KINDS.index("systematic")
    result[parse == IGNORED] = IGNORED
    return Damaged(result, torch.where(result == parse, 0, kind))


def dilated(mask: Tensor, reach: int) -> Tensor:
    """A mask (..., H, W) bool and everything within `reach` pixels of it in rows and columns."""
    if reach < 1:
        return mask
    shape = mask.shape
    mask = mask.reshape(-1, 1, *shape[-2:]).float()
    return (functional.max_pool2d(mask, 2 * reach + 1, 1, reach) > 0.5).reshape(shape)


def _pick(choices: Sequence, generator: torch.Generator):
    return choices[int(torch.randint(len(choices), (), generator=generator))]


def _swap_sides(parse: Tensor, generator: torch.Generator) -> Tensor:
    table = torch.arange(IGNORED + 1)
    swapped = torch.rand(len(SIDES), generator=generator) < 0.5
    for (left, right), swap in zip(SIDES, swapped.tolist(), strict=True):
        if swap:
            table[left], table[right] = right, left
    return table[parse]


def _confuse(parse: Tensor, generator: torch.Generator) -> Tensor:
    present = set(parse.unique().tolist())
    possible = [pair for pair in CONFUSED if pair[0] in present]
    if not possible:
        return parse
    label, taken_for = _pick(possible, generator)
    return torch.where(parse == label, taken_for, parse)


def _drop_small(parse: Tensor, generator: torch.Generator) -> Tensor:
    possible = [label for label in SMALL if (parse == label).any()]
    if not possible:
        return parse
    mask = parse == _pick(possible, generator)
    around = parse[dilated(mask, 1) & ~mask & (parse != IGNORED)]
    return torch.where(mask, int(around.mode().values), parse) if len(around) else parse


def _wander(parse: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Look labels up at places moved by a smooth random field."""
    height, width = parse.shape
    field = torch.randn(1, 2, 9, 7, generator=generator)
    field = functional.interpolate(field, (height, width), mode="bicubic", align_corners=True)[0]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x = (x + strength * width * field[0]).round().long().clamp(0, width - 1)
    y = (y + strength * width * field[1]).round().long().clamp(0, height - 1)
    return torch.where(parse[y, x] == IGNORED, parse, parse[y, x])


def label_repair(parse: Tensor, kind: Tensor, labels: Tensor) -> dict[str, object]:
    """How much of the damage some labels lack, and what else they got wrong.

    parse: the true labels, kind: of `damage_labels`, labels: what is judged, all (N,H,W); `IGNORED` pixels of parse
    don't count. Returns wrong_before and wrong_after (shares of all pixels), broken (share of pixels without damage
    that are wrong now), repaired (share of the damaged ones that are right now), and of each kind its `pixels` (share
    of all) and what was `repaired` of them, None where nothing was damaged so.
    """
    known = parse != IGNORED
    right, kind = (labels == parse)[known], kind[known]
    kinds = {}
    for number, name in enumerate(KINDS[1:], start=1):
        of_kind = kind == number
        repaired = float(right[of_kind].double().mean()) if of_kind.any() else None
        kinds[name] = {"pixels": float(of_kind.double().mean()), "repaired": repaired}
    damaged = kind > 0
    return {
        "wrong_before": float(damaged.double().mean()),
        "wrong_after": float((~right).double().mean()),
        "broken": float((~right)[~damaged].double().mean()),
        "repaired": float(right[damaged].double().mean()) if damaged.any() else None,
        "kinds": kinds,
    }
