"""Small made-up samples for the tests of everything that reads, writes or draws them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vtonlib.sample import RawSample

REAL = Path(__file__).resolve().parents[1] / ".." / "shared" / "real"
needs_real = pytest.mark.skipif(not (REAL / "test").is_dir(), reason=f"the real photographs are not at {REAL}")

# A standing person at 768 x 1024, x and y of BODY_25.
STANDING = np.array([
    (384, 160), (384, 300), (270, 310), (230, 480), (200, 650), (500, 305), (545, 470), (560, 660), (385, 680),
    (320, 685), (310, 900), (305, 1010), (450, 682), (455, 905), (460, 1015), (365, 140), (405, 142), (335, 155),
    (430, 158), (470, 1030), (480, 1028), (450, 1025), (300, 1030), (290, 1028), (310, 1025),
], np.float32)  # fmt: skip


def standing_pose(size: tuple[int, int]) -> np.ndarray:
    """(25,3) for a picture of any size; points below the edge have the confidence 0."""
    xy = (STANDING + 0.5) * np.float32([size[1] / 768, size[0] / 1024]) - 0.5
    inside = xy[:, 1] <= size[0] - 0.5
    return np.concatenate([xy, np.where(inside, 0.9, 0)[:, None]], axis=1).astype(np.float32)


def blocky_parse(size: tuple[int, int]) -> np.ndarray:
    """(H,W) uint8: every label that matters, in blocks about where a body has them."""
    height, width = size
    blocks = (  # label, then left, top, right, bottom as shares of the picture
        (9, .33, .64, .67, 1), (5, .3, .27, .72, .66), (15, .22, .4, .32, .7), (14, .68, .4, .78, .7),
        (10, .44, .22, .56, .3), (13, .42, .08, .58, .23), (2, .4, .04, .6, .1), (4, .44, .12, .56, .14),
        (12, .4, .9, .5, 1),
    )  # fmt: skip
    parse = np.zeros(size, np.uint8)
    for label, left, top, right, bottom in blocks:
        parse[int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = label
    return parse


def smooth_picture(size: tuple[int, int], seed: int) -> np.ndarray:
    """(H,W,3) uint8 of slow waves, which JPEG keeps to a few grey levels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : size[0] * 1j, 0 : 1 : size[1] * 1j][..., None]
    waves = np.sin(2 * np.pi * (x * rng.uniform(0.5, 2, 3) + y * rng.uniform(0.5, 2, 3) + rng.uniform(0, 1, 3)))
    return (127.5 + 110 * waves).astype(np.uint8)


def make_raw(name="000001_00", garment_name=None, size=(64, 48), seed=0, truth=True, shop_size=None) -> RawSample:
    """A complete sample as the studio gives it; truth=False leaves out what only the studio knows."""
    rng = np.random.default_rng(seed)
    garment_name, shop_size = garment_name or name, shop_size or size
    (height, width), parse = size, blocky_parse(size)
    hands = np.dstack([rng.uniform(0, width - 1, (2, 21)), rng.uniform(0, height - 1, (2, 21)), np.full((2, 21), 0.5)])
    shop_mask = np.zeros(shop_size, bool)
    shop_mask[shop_size[0] // 5 : -shop_size[0] // 5, shop_size[1] // 5 : -shop_size[1] // 5] = True
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    flow = np.stack([x * 0.9 + 1.5, y * 0.8 + 2.25], axis=2) * np.float32([shop_size[1] / width, shop_size[0] / height])
    flow[parse != 5] = np.nan
    person = {"pose": standing_pose(size), "hands": hands.astype(np.float32)}
    flow_back = np.where(y[..., None] < height * 0.4, flow * 0.5 + 3, np.nan).astype(np.float32)
    depth = np.where(parse > 0, 3 + 0.1 * np.sin(x / 5) + 0.001 * y, 0).astype(np.float32)
    densepose = np.dstack([parse, rng.integers(0, 256, (*size, 2))]).astype(np.uint8)
    other = RawSample(
        name=name, garment_name="other_00", image=smooth_picture(size, seed + 50), parse=parse, **person,
        cloth=smooth_picture(shop_size, seed + 51), cloth_mask=shop_mask,
        cloth_back=smooth_picture(shop_size, seed + 52), cloth_back_mask=shop_mask,
    ) if truth else None  # fmt: skip
    turned = RawSample(
        name=name, garment_name=garment_name, image=smooth_picture(size, seed + 60), parse=parse[:, ::-1].copy(),
        pose=person["pose"] + np.float32([1, 0, 0]), hands=person["hands"], densepose=densepose[:, ::-1].copy(),
        cloth=smooth_picture(shop_size, seed + 1), cloth_mask=shop_mask,
        cloth_back=smooth_picture(shop_size, seed + 2), cloth_back_mask=shop_mask,
    ) if truth else None  # fmt: skip
    return RawSample(
        name=name, garment_name=garment_name, image=smooth_picture(size, seed), parse=parse, **person,
        cloth=smooth_picture(shop_size, seed + 1), cloth_mask=shop_mask,
        densepose=densepose if truth else None,
        cloth_back=smooth_picture(shop_size, seed + 2) if truth else None,
        cloth_back_mask=shop_mask if truth else None,
        flow=flow if truth else None, flow_back=flow_back if truth else None,
        hidden=(parse == 14) if truth else None, depth=depth if truth else None, unpaired=other, new_pose=turned,
    )  # fmt: skip
