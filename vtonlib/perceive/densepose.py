"""DensePose: where on the body's surface each pixel of a person lies. Preprocessing step 3.

A small U-Net gives for each pixel one of 25 labels (the background and 24 parts) and, for each part, how far along and
across it the pixel lies: U and V in [0, 1]. At a pixel only the U and V of the part that wins are read.
Source: Guler et al. 2018 (DensePose), section 3.1: classification into parts, then regression within the part. Trained
on the studio, so parts and the corners of U and V are those of the published charts, and the values between them are
not metric with theirs (see `vtonlib.studio.densepose`).

Convention: `densepose` (3,H,W) is part (0 = background), u, v in [0,1]. Where a part is known and the point on it is
not, as on hats, glasses and shoes, u = v = 0. Left and right are the person's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate, pad

from vtonlib.checkpoints import WEIGHTS_FOLDER, load_trained
from vtonlib.data import Fit
from vtonlib.labels import DENSEPOSE, DENSEPOSE_MIRROR
from vtonlib.perceive.fitting import as_batch
from vtonlib.perceive.small_unet import SmallUNet, SmallUNetConfig

PARTS = len(DENSEPOSE)  # with the background
FILE = "densepose.safetensors"
COMMAND = "python -m vtonlib train densepose --data data/wild data/benchmark data/views --out runs/densepose"
HEIGHT, WIDEST = 256, 512  # pixels that the estimator works at
FINEST = 1024  # longer side of the result up to which outlines are interpolated; beyond, pixels are repeated
STRIP = 1 << 16  # pixels of the result that are decoded at a time, which bounds the memory

# On the mirrored body these parts have their U, or V, run the other way; see `mirror_densepose`.
MIRRORED_U = (3, 4, 5, 6, 23, 24)  # hands, feet, head
MIRRORED_V = (1, 2)  # torso
CHEST = 2
CHEST_MIDDLE = 0.4786  # V of the middle line of the torso's front in the studio's chart, where others have 0.5


@dataclass(frozen=True, kw_only=True)
class DensePoseConfig:
    """widths: channels of the levels of the `SmallUNet`, the first at half the size of the picture."""

    widths: tuple[int, ...] = (32, 48, 80, 112, 128)

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # JSON gives a list back


class DensePoseMaps(NamedTuple):
    """parts (B,25,H,W): logits of the labels; u, v (B,24,H/2,W/2): of each part 1..24, meant for [0,1]."""

    parts: Tensor
    u: Tensor
    v: Tensor


class DensePoseNet(nn.Module):
    """Picture (B,3,H,W) in [-1,1] -> `DensePoseMaps`. H and W are multiples of `multiple`, else ValueError.

    U and V change slowly within a part, so half the size is enough for them; the outline of a part is as fine as the
    picture.
    """

    def __init__(self, config: DensePoseConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = SmallUNet(SmallUNetConfig(out_channels=PARTS, widths=config.widths, first_stride=2))
        self.surface = nn.Conv2d(config.widths[0], 2 * (PARTS - 1), 1)
        nn.init.constant_(self.surface.bias, 0.5)

    @property
    def multiple(self) -> int:
        """Height and width of the picture must be multiples of this."""
        return self.unet.config.multiple

    def forward(self, picture: Tensor) -> DensePoseMaps:
        # the order of bytes in which the CPU's convolutions are fastest; it changes no value
        features = self.unet.features(picture.contiguous(memory_format=torch.channels_last))
        u, v = self.surface(features).chunk(2, 1)
        return DensePoseMaps(self.unet.read(features), u, v)


def decode(maps: DensePoseMaps, size: tuple[int, int], box: tuple[float, float, float, float] | None = None) -> Tensor:
    """`DensePoseMaps` -> densepose (B,3,height,width): the part that wins, with its own U and V.

    size: height and width of the result. box: left, top, right, bottom of what is shown, as shares of the maps; all of
    them if None. Logits, U and V are interpolated before one of them wins, which keeps outlines smooth when enlarged.
    """
    left, top, right, bottom = box or (0.0, 0.0, 1.0, 1.0)
    height, width = size
    across = (torch.arange(width, device=maps.parts.device) + 0.5) / width * (right - left) + left
    down = (torch.arange(height, device=maps.parts.device) + 0.5) / height * (bottom - top) + top
    rows = max(1, STRIP // width)
    strips = [_decode_at(maps, across * 2 - 1, strip * 2 - 1) for strip in down.split(rows)]
    return torch.cat(strips, 2)


def _decode_at(maps: DensePoseMaps, x: Tensor, y: Tensor) -> Tensor:
    """Decode at the normalised coordinates (align_corners=False) x (W,) and y (h,): (B,3,h,W)."""
    grid = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))], -1)[None]
    grid = grid.to(maps.parts.dtype).expand(len(maps.parts), -1, -1, -1)
    part = grid_sample(maps.parts, grid, padding_mode="border", align_corners=False).argmax(1, keepdim=True)
    body = part > 0
    surface = [grid_sample(values, grid, padding_mode="border", align_corners=False) for values in (maps.u, maps.v)]
    own = [values.gather(1, (part - 1).clamp(min=0)).clamp(0, 1) * body for values in surface]
    return torch.cat([part.to(own[0].dtype), *own], 1)


class DensePoseEstimator:
    """Find the body's surface in photographs: `estimator(picture) -> densepose`.

    The network sees the picture 256 pixels high, or 512 wide where it would become wider than that; the aspect is
    kept, and what is missing to a multiple of 32 is padded by repeating the border. The result has the size of the
    picture. A picture in which it finds nobody is background everywhere.
    """

    def __init__(self, network: DensePoseNet, *, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, picture: Tensor) -> Tensor:
        """Picture (3,H,W) or (B,3,H,W) in [-1,1], any size -> densepose (3,H,W) or (B,3,H,W), on the picture's device.

        Raises ValueError for another shape or range.
        """
        batch = as_batch(picture).to(self.device, torch.float32)
        size = tuple(batch.shape[-2:])
        fit = Fit.of(size, working_size(size, self.network.multiple))
        left, top, right, bottom = fit.padding
        if fit.inner != size:
            batch = interpolate(batch, fit.inner, mode="bilinear", align_corners=False, antialias=True)
        maps = self.network(pad(batch, (left, right, top, bottom), mode="replicate"))
        height, width = fit.outer
        box = (left / width, top / height, 1 - right / width, 1 - bottom / height)
        shrink = min(1.0, FINEST / max(size))
        densepose = decode(maps, tuple(max(1, round(side * shrink)) for side in size), box)
        if shrink < 1:
            densepose = interpolate(densepose, size, mode="nearest-exact")
        densepose = densepose.to(picture.device)
        return densepose if picture.ndim == 4 else densepose[0]


def working_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Height and width at which a picture of `size` is looked at: multiples of `multiple` around its aspect."""
    scale = min(HEIGHT / size[0], WIDEST / size[1])
    return tuple(max(multiple, -(-round(side * scale) // multiple) * multiple) for side in size)


def load_densepose(weights: str | Path = "course", *, device: str | torch.device = "cpu") -> DensePoseEstimator:
    """The trained estimator. weights: "course", those that come with the course, or a file of `train_densepose`.

    Raises FileNotFoundError, with the command that makes it, for a file that isn't there; ValueError for another
    network's file.
    """
    from vtonlib.training import config_from

    path = WEIGHTS_FOLDER / FILE if weights == "course" else Path(weights)

    def build(config: dict) -> DensePoseNet:
        return DensePoseNet(config_from(DensePoseConfig, config))

    command = f"{COMMAND} --weights {path}"
    network, _ = load_trained(path, build, system="perceive", stage="densepose", command=command)
    return DensePoseEstimator(network, device=device)


# ---- what is done with a DensePose ---------------------------------------------------------------------------------


def check_densepose(densepose: Tensor) -> None:
    """Raise ValueError for what is no densepose (...,3,H,W): whole parts from 0 to 24, then u and v in [0,1]."""
    if densepose.ndim < 3 or densepose.shape[-3] != 3:
        raise ValueError(f"densepose: expected (3, H, W) with part, u, v, got {tuple(densepose.shape)}")
    part, surface = densepose[..., 0, :, :], densepose[..., 1:, :, :]
    if not ((part >= 0) & (part < PARTS) & (part == part.round())).all():
        raise ValueError(f"densepose: expected whole parts from 0 to {PARTS - 1} in the first channel")
    if not ((surface >= 0) & (surface <= 1)).all():
        raise ValueError("densepose: expected u and v in [0, 1] in the second and third channel")


def densepose_picture(densepose: Tensor) -> Tensor:
    """The parts in colours: densepose (...,3,H,W) -> RGB (...,3,H,W) in [0,1], black where nobody is.

    The colours are those of the folder image-densepose of the VITON-HD layout as the studio writes it; HR-VITON's
    networks take such a picture. U and V don't show in it. Raises ValueError as `check_densepose` does.
    """
    from vtonlib.layouts.viton_hd import DENSEPOSE_PALETTE

    check_densepose(densepose)
    palette = torch.from_numpy(DENSEPOSE_PALETTE).to(densepose.device, torch.float32) / 255
    return palette[densepose[..., 0, :, :].long()].movedim(-1, -3)


def iuv_array(densepose: Tensor) -> np.ndarray:
    """densepose (3,H,W) -> (H,W,3) uint8: part, u * 255, v * 255, as RawSample.densepose and the studio's PNG hold it.

    Convention: channels are I, U, V. The published *_IUV.png were written with OpenCV, which stores channels the other
    way round: read as RGB they are V, U, I. Raises ValueError as `check_densepose` does.
    """
    check_densepose(densepose)
    if densepose.ndim != 3:
        raise ValueError(f"iuv_array: expected one densepose (3, H, W), got {tuple(densepose.shape)}")
    levels = densepose * densepose.new_tensor([1.0, 255.0, 255.0])[:, None, None]
    return levels.round().to(torch.uint8).permute(1, 2, 0).cpu().contiguous().numpy()


def densepose_from_iuv(iuv: np.ndarray) -> Tensor:
    """(H,W,3) uint8 part, u * 255, v * 255 -> densepose (3,H,W) float32; the inverse of `iuv_array`, to 1/510 of u, v.

    Raises ValueError for another shape or kind of number, and for a part above 24 (channels the other way round?).
    """
    if iuv.ndim != 3 or iuv.shape[2] != 3 or iuv.dtype != np.uint8:
        raise ValueError(f"iuv: expected (H, W, 3) uint8, got {iuv.shape} {iuv.dtype}")
    if iuv[..., 0].max(initial=0) >= PARTS:
        found = iuv[..., 0].max()
        raise ValueError(f"iuv: expected parts up to {PARTS - 1} in the first channel, got {found}: is it V, U, I?")
    channels = torch.from_numpy(np.ascontiguousarray(iuv.transpose(2, 0, 1))).float()
    return channels / torch.tensor([1.0, 255.0, 255.0])[:, None, None]


def point_is_known(densepose: Tensor) -> Tensor:
    """(...,3,H,W) -> (...,H,W) bool: a part with its U and V. On hats, glasses and shoes, u = v = 0, it isn't known."""
    return (densepose[..., 0, :, :] > 0) & (densepose[..., 1:, :, :] != 0).any(-3)


def swap_sides(densepose: Tensor) -> Tensor:
    """What each pixel becomes on the mirrored body, without moving it: densepose (...,3,H,W) of the same shape.

    Left and right parts change names. On the torso, V, which runs across the body, becomes 1 - V; on hands, feet and
    head, where U goes around, it becomes 1 - U; on arms and legs nothing changes, as left and right charts are mirror
    images. The chart of the torso's front is not quite symmetrical in the studio: its V becomes 2 `CHEST_MIDDLE` - V,
    cut at 0 and 1. On the studio's body that is exact to 0.003 in U and V for 99 of 100 vertices; the others lie on the
    body's middle line, and count as right in both. A point that isn't known stays so.
    """
    part, u, v = densepose.unbind(-3)
    index, known = part.long(), point_is_known(densepose)
    one = {name: _is_one_of(index, parts) & known for name, parts in (("u", MIRRORED_U), ("v", MIRRORED_V))}
    across = (torch.where(index == CHEST, 2 * CHEST_MIDDLE, 1.0) - v).clamp(0, 1)
    swapped = torch.tensor(DENSEPOSE_MIRROR, device=densepose.device)[index].to(densepose.dtype)
    return torch.stack([swapped, torch.where(one["u"], 1 - u, u), torch.where(one["v"], across, v)], -3)


def _is_one_of(index: Tensor, parts: Sequence[int]) -> Tensor:
    table = torch.zeros(PARTS, dtype=torch.bool, device=index.device)
    table[list(parts)] = True
    return table[index]


def mirror_densepose(densepose: Tensor) -> Tensor:
    """The DensePose of the mirrored photograph: (...,3,H,W) flipped in x, with `swap_sides`.

    Twice is the identity, but where `swap_sides` cuts V or sends a point to u = v = 0. Raises ValueError as
    `check_densepose` does.
    """
    check_densepose(densepose)
    return swap_sides(densepose.flip(-1))
