"""Grounds to lay cut-out garments on, and what a shop's camera and files do to a picture; all of it on whole batches.

Everything random comes from a (CPU) generator. Convention: pictures are (B, 3, H, W) RGB in [-1, 1], masks (B, 1, H, W)
with 1 on the garment.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

KINDS = ("plain", "patterned", "room")


def uniform(generator: torch.Generator, count: int, low: float, high: float, channels: int = 1) -> Tensor:
    """One number for each picture, or each of its channels: (count, channels, 1, 1) from low to high."""
    return low + (high - low) * torch.rand(count, channels, 1, 1, generator=generator)


def room_behind(person: Tensor, parse: Tensor) -> Tensor:
    """What is behind a person (3, H, W) with labels (H, W), at half the size: (3, H // 2, W // 2).

    Where the person is, and two pixels around, the mean of what is around takes the place, from means over ever larger
    squares.
    """
    seen = 1 - functional.max_pool2d((parse != 0).to(person.dtype)[None, None], 5, 1, 2)
    levels = [functional.avg_pool2d(torch.cat([person[None] * seen, seen], 1), 2)]
    while min(levels[-1].shape[-2:]) > 1:
        levels.append(functional.avg_pool2d(levels[-1], 2, ceil_mode=True))
    filled = levels[-1].mean((2, 3), keepdim=True)
    filled = filled[:, :3] / filled[:, 3:].clamp(min=1e-6)  # people who cover a whole picture leave grey
    for level in reversed(levels):
        filled = functional.interpolate(filled, level.shape[-2:], mode="bilinear", align_corners=False)
        filled = level[:, :3] + (1 - level[:, 3:]) * filled
    return filled[0].clamp(-1, 1)


def edge_filled(garment: Tensor, mask: Tensor) -> Tensor:
    """A garment whose colours go on a pixel beyond its outline, so that a cut-out has no seam of the old ground.

    Pixels at the outline take the mean of those within two pixels that have only garment around them; where a strap has
    none such, they stay.
    """
    inner = -functional.max_pool2d(-mask, 3, 1, 1)
    sums = functional.avg_pool2d(torch.cat([garment * inner, inner], 1), 5, 1, 2)
    near = sums[:, 3:] > 1e-6
    mean = sums[:, :3] / torch.where(near, sums[:, 3:], 1.0)
    return torch.where((inner > 0.5) | ~near, garment, mean)


def plain_ground(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """One colour, two times in three nearly white or light grey, that may grow lighter towards one side."""
    pale = uniform(generator, count, 0.55, 1.0) + uniform(generator, count, -0.03, 0.03, 3)
    colour = uniform(generator, count, -1.0, 1.0, 3)
    base = torch.where(uniform(generator, count, 0, 1) < 2 / 3, pale, colour)
    return (base + uniform(generator, count, 0, 0.25) * waves(count, size, generator, longest=4.0)).clamp(-1, 1)


def waves(count: int, size: tuple[int, int], generator: torch.Generator, *, longest: float) -> Tensor:
    """Sine waves (count, 1, H, W) in [-1, 1] in any direction, `longest` picture heights long to a fortieth of one."""
    y, x = torch.meshgrid(*(torch.arange(side) / size[0] for side in size), indexing="ij")
    angle = uniform(generator, count, 0, 2 * math.pi)
    length = longest * (1 / 40 / longest) ** uniform(generator, count, 0, 0.5 if longest > 1 else 1)
    phase = (x * angle.cos() + y * angle.sin()) / length
    return torch.sin(2 * math.pi * (phase + uniform(generator, count, 0, 1)))


def noise(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Random fields (count, 1, H, W) of standard deviation about 1, some cloudy and some rough."""
    rough, total, power = uniform(generator, count, 0.3, 1.0), 0.0, 0.0
    for octave in range(6):
        cells = [max(1, round(side / size[0] * 3 * 2**octave)) for side in size]
        field = torch.randn(count, 1, *cells, generator=generator)
        field = functional.interpolate(field, size, mode="bilinear", align_corners=False)
        total, power = total + rough**octave * field, power + rough ** (2 * octave) * 0.5
    return total / power.sqrt()


def patterned_ground(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Two colours mixed by noise and by waves, softly or sharply: clouds, stone, wood, stripes."""
    share = uniform(generator, count, 0, 1).round() * uniform(generator, count, 0.3, 3)
    mixture = noise(count, size, generator) + share * waves(count, size, generator, longest=0.4)
    mixture = torch.sigmoid(mixture * uniform(generator, count, 0.5, 8))
    one, other = (uniform(generator, count, -1, 1, 3) for _ in range(2))
    return one + (other - one) * mixture


def room_ground(rooms: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """A random part of each room (B, 3, h, w), 30 to 100 % of it across, mirrored or not."""
    count = len(rooms)
    scale = uniform(generator, count, 0.3, 1)[:, 0, 0, 0]
    shift = (1 - scale)[:, None] * (2 * torch.rand(count, 2, generator=generator) - 1)
    side = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale * side, scale, shift
    grid = functional.affine_grid(theta, [count, 3, *size], align_corners=False).to(rooms)
    return functional.grid_sample(rooms, grid, padding_mode="border", align_corners=False)


def with_rods(ground: Tensor, generator: torch.Generator) -> Tensor:
    """A third of the grounds with a straight line across, as of a hanger or a rail: it is no garment."""
    count, size = len(ground), ground.shape[-2:]
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, side) * side / size[0] for side in size), indexing="ij")
    angle, offset = uniform(generator, count, 0, 2 * math.pi), uniform(generator, count, -0.8, 0.8)
    distance = (x * angle.cos() + y * angle.sin() - offset).abs() * size[0] / 2
    thickness = size[0] / 256 * uniform(generator, count, 0.5, 3)
    rod = (thickness + 0.5 - distance).clamp(0, 1) * (uniform(generator, count, 0, 1) < 1 / 3)
    colour = uniform(generator, count, -1, 1, 3)
    return ground + rod.to(ground) * (colour.to(ground) - ground)


def backgrounds(rooms: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """A ground (B, 3, H, W) for each room (B, 3, h, w): one of KINDS at equal odds, a third of them with a rod."""
    count = len(rooms)
    kind = torch.randint(len(KINDS), (count, 1, 1, 1), generator=generator).to(rooms.device)
    plain = plain_ground(count, size, generator).to(rooms)
    patterned = patterned_ground(count, size, generator).to(rooms)
    ground = torch.where(kind == 0, plain, torch.where(kind == 1, patterned, room_ground(rooms, size, generator)))
    return with_rods(ground, generator)


def shaded(ground: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """The soft shadow of a garment on its ground, up to 35 % dark, a few pixels beside the garment."""
    count, size = len(ground), tuple(ground.shape[-2:])
    theta = torch.eye(2, 3).repeat(count, 1, 1)
    theta[:, :, 2] = (2 * torch.rand(count, 2, generator=generator) - 1) * 0.04
    grid = functional.affine_grid(theta, [count, 1, *size], align_corners=False).to(mask)
    shadow = functional.grid_sample(mask, grid, padding_mode="border", align_corners=False)
    radius = max(1, size[0] // 64)
    for _ in range(2):
        shadow = functional.avg_pool2d(shadow, 2 * radius + 1, 1, radius, count_include_pad=False)
    return (ground + 1) * (1 - uniform(generator, count, 0, 0.35).to(shadow) * shadow) - 1


def bleached(count: int, generator: torch.Generator) -> Tensor:
    """How much of each garment's distance from white is kept (count, 1, 1, 1): all of three in four, else 10 to 60 %.

    Pale cloth on a white ground is what masks fail on first.
    """
    pale = uniform(generator, count, 0, 1) < 0.25
    return torch.where(pale, uniform(generator, count, 0.1, 0.6), 1.0)


def cosines() -> Tensor:
    """The orthonormal discrete cosine transform of 8 values, (8, 8), a frequency a row."""
    place = torch.arange(8) + 0.5
    rows = torch.cos(math.pi / 8 * torch.arange(8)[:, None] * place) / 2
    rows[0] /= math.sqrt(2)
    return rows


def compressed(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the pictures with the errors of JPEG: cosine coefficients of 8x8 blocks, rounded to coarse steps.

    The steps grow with the frequency, as in JPEG's tables. They are taken of R, G and B, where JPEG takes brightness
    and colours. Height and width must be multiples of 8; raises ValueError otherwise.
    """
    count, _, height, width = pictures.shape
    if height % 8 or width % 8:
        raise ValueError(f"compressed: expected multiples of 8, got {height}x{width}")
    table, order = cosines().to(pictures), torch.arange(8)
    strength = uniform(generator, count, -5, 5).clamp(min=0)[..., None, None]
    steps = (strength * (1 + order[:, None] + order)[None, None, None, :, None, :] * 2 / 255).to(pictures)
    blocks = pictures.reshape(count, 3, height // 8, 8, width // 8, 8)
    values = torch.einsum("ui,bcyixj,vj->bcyuxv", table, blocks, table)
    rounded = torch.where(steps > 0, (values / steps.clamp(min=1e-6)).round() * steps, values)
    return torch.einsum("ui,bcyuxv,vj->bcyixj", table, rounded, table).reshape(pictures.shape).clamp(-1, 1)
