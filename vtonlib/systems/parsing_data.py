"""What feeds the training of the human parser: pictures and labels in memory, who comes how often, random changes.

Photographs of try-on show people from the head to the thighs, large and cut off by the border; others show them small,
in other light, with another camera. Labels that few people wear (a dress, a hat) are learned as late as they are seen,
so in the last stage those people come more often.

Convention: labels are LIP-20 with 10 = neck, `IGNORED` where nobody knows; pictures are RGB in [-1, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vtonlib.labels import LIP, LIP_MIRROR
from vtonlib.perceive.parsing import IGNORED
from vtonlib.sample import TryOnSample
from vtonlib.systems.features_training import recoloured
from vtonlib.systems.memory import PackedCache, lookup_grid, to_bytes

PRESENT = 1e-3  # share of a picture's pixels from which on a label counts as worn


@dataclass(frozen=True, kw_only=True)
class ParsingAugmentation:
    """Random changes of a training picture.

    mirror: probability. scale: smallest and largest, drawn evenly in the logarithm; what is larger than the frame is
    cut at a random place, what is smaller is put at a random place on grey. shift: share of the width by which it is
    moved beyond that. rotation: largest turn in degrees. close: share of pictures of which only an upper corner is
    seen, `close_scale` times as large and mostly without anybody, so that walls and trees are not taken for people.
    light, saturation: largest change of brightness and contrast, of the strength of colours.
    """

    mirror: float = 0.5
    scale: tuple[float, float] = (0.6, 1.8)
    shift: float = 0.04
    rotation: float = 12.0
    close: float = 0.05
    close_scale: float = 3.0
    light: float = 0.35
    saturation: float = 0.4

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", tuple(self.scale))  # JSON gives a list


def pack(sample: TryOnSample) -> dict[str, Tensor]:
    """What a parser is trained on, as bytes: person (3, H, W) and parse (H, W), `IGNORED` on padding."""
    sample.require("parse")
    (height, width), (left, top, right, bottom) = sample.size, sample.padding
    parse = torch.full((height, width), IGNORED, dtype=torch.uint8)
    inner = (slice(top, height - bottom), slice(left, width - right))
    parse[inner] = sample.parse[inner].to(torch.uint8)
    return {"person": to_bytes(sample.person), "parse": parse}


def draw_maps(
    mirror: Tensor, size: tuple[int, int], strength: ParsingAugmentation, generator: torch.Generator
) -> Tensor:
    """Where each point of a changed picture comes from: maps (B, 2, 3) on index coordinates, see
    `ParsingAugmentation`. mirror (B,) bool says who is mirrored."""
    count, frame = len(mirror), torch.tensor([size[1], size[0]], dtype=torch.float64)
    draws = torch.rand(8, count, generator=generator, dtype=torch.float64)
    close = draws[0] < strength.close
    low, high = (math.log(value) for value in strength.scale)
    scale = torch.where(close, strength.close_scale, torch.exp(low + draws[1] * (high - low)))
    angle = (2 * draws[2] - 1) * math.radians(strength.rotation) * ~close
    place = 2 * draws[3:5].T - 1
    corner = torch.stack([place[:, 0].sign(), torch.ones(count, dtype=torch.float64)], -1)
    place = torch.where(close[:, None], corner, place)
    shift = place * (scale - 1).abs()[:, None] / 2 * frame + (2 * draws[5:7].T - 1) * strength.shift * size[1]
    sign = 1 - 2 * mirror.to(torch.float64)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    linear = torch.stack([torch.stack([cosine * sign, -sine], -1), torch.stack([sine * sign, cosine], -1)], -2)
    centre = (frame - 1) / 2
    back = torch.linalg.inv(linear)
    return torch.cat([back, (centre - (back @ (centre + shift)[..., None])[..., 0])[..., None]], -1)


def augment(
    pictures: Tensor, parse: Tensor, strength: ParsingAugmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Change pictures (B, 3, H, W) and labels (B, H, W) at random, together. Beyond the picture is grey (0), and its
    labels are `IGNORED`: it looks as what `vtonlib.perceive.fitting.fitted` pads."""
    size, device = tuple(parse.shape[-2:]), pictures.device
    mirror = torch.rand(len(parse), generator=generator) < strength.mirror
    grid = lookup_grid(draw_maps(mirror, size, strength, generator), size, device)
    swap = torch.arange(IGNORED + 1)
    swap[: len(LIP)] = torch.tensor(LIP_MIRROR)
    parse = torch.where(mirror.to(device)[:, None, None], swap.to(device)[parse], parse)
    labels = (parse - IGNORED)[:, None].float()  # 0 is what grid_sample finds beyond the picture
    labels = functional.grid_sample(labels, grid, mode="nearest", align_corners=False)
    known = functional.grid_sample(pictures, grid, align_corners=False)
    parse = labels[:, 0].round().long() + IGNORED
    known = recoloured(known, strength.saturation, strength.light, generator)
    return torch.where((parse == IGNORED)[:, None], 0.0, known), parse


def label_pixels(cache: PackedCache) -> Tensor:
    """How many pixels of a cache of `pack` have each label, (20,) int64."""
    parts = (range(first, min(first + 64, len(cache))) for first in range(0, len(cache), 64))
    return sum(cache.batch(part)["parse"].flatten().bincount(minlength=256) for part in parts)[: len(LIP)]


def repeats(cache: PackedCache, share: float) -> Tensor:
    """How often each sample of a cache of `pack` comes in an epoch, (N,) int64 from 1 on.

    share: a label that fewer people wear than this is rare; a person with it comes sqrt(share / how many wear it) times
    as often, rounded, by the rarest label worn. 0: everybody comes once.
    Source: Gupta et al. 2019 (LVIS), section 3.2, repeat factor sampling.
    """
    rows = []
    for index in range(len(cache)):
        parse = cache.batch([index])["parse"]
        counts = torch.bincount(parse.flatten().long(), minlength=len(LIP))[: len(LIP)]
        rows.append(counts > PRESENT * parse.numel())
    worn = torch.stack(rows)
    often = worn.double().mean(0)
    factor = torch.where(often > 0, share / often.clamp(min=1e-9), 0.0).sqrt().clamp(min=1)
    return torch.where(worn, factor, 1.0).amax(1).round().long()
