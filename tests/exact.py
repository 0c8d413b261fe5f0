"""A sample whose true warp is known exactly, for tests of systems."""

from __future__ import annotations

import math

import numpy as np
import torch

from vtonlib.sample import Garment, Truth, TryOnSample
from vtonlib.warp import TPSGrid, grid_to_flow, warp_image

SIZE = (128, 96)


def waves(size, seed) -> torch.Tensor:
    """A smooth picture (3,H,W) in [-1,1]."""
    rng = np.random.default_rng(seed)
    y, x = torch.meshgrid(*(torch.linspace(0, 1, n) for n in size), indexing="ij")
    a, b, c = (torch.from_numpy(rng.uniform(0.5, 2, (3, 1, 1))).float() for _ in range(3))
    return 0.8 * torch.sin(2 * math.pi * (a * x + b * y + c))


def exact_sample(seed=0, size=SIZE, strength=0.12) -> tuple[TryOnSample, torch.Tensor]:
    """A person who wears a garment bent by a known spline, so that the truth is exact; and theta of that spline."""
    generator = torch.Generator().manual_seed(seed)
    theta = strength * (torch.rand(1, 50, generator=generator) * 2 - 1)
    grid = TPSGrid(align_corners=False, size=size)(theta)
    height, width = size
    mask = torch.zeros(1, 1, height, width)
    mask[..., height // 4 : -height // 4, width // 4 : -width // 4] = 1
    garment = torch.where(mask > 0, waves(size, seed), 1.0)
    worn = warp_image(mask, grid, padding="zeros", align_corners=False) > 0.5
    flow = torch.where(worn, grid_to_flow(grid, size, align_corners=False), torch.nan)
    parse = torch.zeros(size, dtype=torch.long)
    parse[: height // 6, width // 3 : -width // 3] = 13
    parse[worn[0, 0]] = 5
    hidden = torch.zeros(size, dtype=torch.bool)
    hidden[height // 2 : height // 2 + 6] = worn[0, 0, height // 2 : height // 2 + 6]
    parse[hidden] = 15
    pose = torch.zeros(25, 3)
    pose[:9] = torch.tensor([[width * (0.2 + 0.07 * i), height * (0.1 + 0.08 * i), 0.9] for i in range(9)])
    warped = warp_image(garment, grid, padding="border", align_corners=False)
    sample = TryOnSample(
        name=f"p{seed}",
        person=torch.where(worn[0], warped[0], -0.5),
        parse=parse,
        pose=pose,
        garment=Garment(name=f"g{seed}", image=garment[0], mask=mask[0]),
        truth=Truth(flow=flow[0], hidden=hidden),
    )
    return sample, theta
