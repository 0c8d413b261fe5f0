"""Data sets as networks take them: any layout in, `TryOnSample`s of one size out.

    dataset = open_dataset("data/tutorial", split="test", pairing="unpaired", size=(256, 192))
    sample = dataset[0]

Resizing is joint: picture, labels, keypoints and the true flow move together. A picture of another aspect is padded,
never squashed: the photograph by repeating its border, the garment in white, labels with background; the sample's
`padding` says by how much.

Convention: resizing by s maps an index coordinate x to (x + 0.5) * s - 0.5; sizes are (height, width).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .labels import BODY_25_MIRROR, LIP_MIRROR
from .layouts import recognise
from .sample import Garment, RawSample, Truth, TryOnSample, collate

__all__ = ["Fit", "Garment", "TryOnDataset", "TryOnSample", "collate", "mirror", "open_dataset", "sample_from_raw"]

# Flow vectors of neighbouring pixels further apart than this (in-shop pixels) lie on different pieces of cloth.
TORN = 4.0


def open_dataset(
    root: str | Path,
    split: str = "test",
    pairing: str = "paired",
    size: tuple[int, int] | None = (256, 192),
    layout: str | None = None,
) -> TryOnDataset:
    """Open a data set; its layout is recognised unless named.

    split: "train" or "test". pairing: "paired" gives everybody the own garment, "unpaired" the one of the pairs file.
    size: height and width of all samples; None keeps each photograph's own (garments are fitted to it).

    Raises FileNotFoundError for a folder, split or file that isn't there and ValueError for the other arguments, each
    naming what was expected and what came.
    """
    if size is not None and (len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size)):
        raise ValueError(f"size: expected (height, width) in whole pixels or None, got {size!r}")
    source = recognise(root, layout)(root, split)
    return TryOnDataset(source, source.names(pairing), size, pairing)


class TryOnDataset(torch.utils.data.Dataset):
    """A list of `TryOnSample`s read from a layout when asked for.

    `pairs` has the (person, garment) names; in the layout of MPV (person, garment, target), see `layouts/mpv.py`.
    """

    def __init__(self, source, pairs: list[tuple[str, ...]], size: tuple[int, int] | None, pairing: str):
        self.source, self.pairs, self.size, self.pairing = source, list(pairs), size, pairing

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> TryOnSample:
        return sample_from_raw(self.source.read(*self.pairs[index]), self.size)

    def __repr__(self) -> str:
        about = f"{self.source.layout} ({self.source.variant}), {self.source.split}, {self.pairing}"
        return f"TryOnDataset({len(self)} samples of {self.source.root}: {about}, size {self.size})"


# ---- fitting one size into another ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """How a picture of one size is put into another: enlarged or reduced to `inner`, then padded to `outer`.

    outer, inner: height and width; padding: left, top, right, bottom in pixels of the result; scale: of x and y (they
    differ by rounding to whole pixels only).
    """

    outer: tuple[int, int]
    inner: tuple[int, int]
    padding: tuple[int, int, int, int]
    scale: tuple[float, float]

    @classmethod
    def of(cls, size: tuple[int, int], outer: tuple[int, int]) -> Fit:
        """The largest picture of the same aspect that fits into `outer`, in the middle."""
        (height, width), factor = size, min(outer[0] / size[0], outer[1] / size[1])
        inner = tuple(max(1, min(room, round(side * factor))) for side, room in zip(size, outer))
        top, left = ((room - side) // 2 for side, room in zip(inner, outer))
        padding = (left, top, outer[1] - inner[1] - left, outer[0] - inner[0] - top)
        return cls(tuple(outer), inner, padding, (inner[1] / width, inner[0] / height))

    def _pad(self, pixels: np.ndarray, fill) -> np.ndarray:
        left, top, right, bottom = self.padding
        widths = ((top, bottom), (left, right)) + ((0, 0),) * (pixels.ndim - 2)
        if fill == "border":
            return np.pad(pixels, widths, mode="edge")
        return np.pad(pixels, widths, constant_values=fill)

    def picture(self, pixels: np.ndarray, fill: int | str) -> np.ndarray:
        """(h,w,3) or (h,w) uint8, antialiased; fill: the padding's value, or "border" to repeat the edge."""
        if pixels.shape[:2] != self.inner:
            resized = Image.fromarray(pixels).resize(self.inner[::-1], Image.Resampling.BILINEAR)
            pixels = np.asarray(resized)
        return self._pad(pixels, fill)

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """(h,w) bool; a pixel is 1 if at least half of it was."""
        return self.picture(np.where(mask, np.uint8(255), np.uint8(0)), 0) >= 128

    def _nearest(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        # whole numbers, as a rounding error would move a centre that lies between two pixels to the wrong one
        rows = (2 * np.arange(self.inner[0]) + 1) * size[0] // (2 * self.inner[0])
        columns = (2 * np.arange(self.inner[1]) + 1) * size[1] // (2 * self.inner[1])
        return rows[:, None], columns

    def labels(self, labels: np.ndarray, fill: int = 0) -> np.ndarray:
        """(h,w) or (h,w,c) of values that can't be mixed: each result pixel takes the one under its centre."""
        if labels.shape[:2] != self.inner:
            labels = labels[self._nearest(labels.shape[:2])]
        return self._pad(labels, fill)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Keypoints (...,3) x, y, confidence. A missing one, (0, 0), stays at (0, 0)."""
        moved = points.copy()
        moved[..., :2] = self.coordinates(points[..., :2])
        moved[(points[..., :2] == 0).all(axis=-1), :2] = 0
        return moved

    def coordinates(self, xy: np.ndarray) -> np.ndarray:
        """Index coordinates (...,2) of the picture -> of the result."""
        return ((xy.astype(np.float64) + 0.5) * self.scale - 0.5 + self.padding[:2]).astype(xy.dtype)

    def flow(self, flow: np.ndarray, shop: Fit) -> np.ndarray:
        """Flow (h,w,2) on this photograph into a shop picture that is fitted by `shop`, NaN where there is none.

        Whether there is a flow is decided by the pixel under the centre. Its value is interpolated between the four
        pixels around, where they lie on one piece of cloth.
        """
        if flow.shape[:2] != self.inner:
            flow = self._sample_flow(flow)
        return self._pad(shop.coordinates(flow.astype(np.float32)), np.nan)

    def _sample_flow(self, flow: np.ndarray) -> np.ndarray:
        height, width = flow.shape[:2]
        y = np.clip((np.arange(self.inner[0]) + 0.5) / self.scale[1] - 0.5, 0, height - 1)[:, None]
        x = np.clip((np.arange(self.inner[1]) + 0.5) / self.scale[0] - 0.5, 0, width - 1)
        top, left = np.floor(y).astype(int), np.floor(x).astype(int)
        bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
        corners = np.stack([flow[top, left], flow[top, right], flow[bottom, left], flow[bottom, right]])
        down, across = (y - top)[..., None], (x - left)[..., None]
        shares = ((1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across)
        between = sum(share * corner for share, corner in zip(shares, corners))
        nearest = flow[self._nearest(flow.shape[:2])]
        spread = corners.max(axis=0) - corners.min(axis=0)  # NaN where a corner has no flow
        whole = (spread <= TORN).all(axis=-1, keepdims=True) & ~np.isnan(nearest)
        return np.where(whole, between, nearest)


# ---- from the record on disk to the record for networks ------------------------------------------------------------


def sample_from_raw(raw: RawSample, size: tuple[int, int] | None = None) -> TryOnSample:
    """A sample as read or rendered (NumPy, its own size) -> tensors of `size`, or of the photograph's size if None."""
    size = raw.image.shape[:2] if size is None else tuple(size)
    fit = Fit.of(raw.image.shape[:2], size)
    densepose = None
    if raw.densepose is not None:
        densepose = _channels_first(fit.labels(raw.densepose)) * torch.tensor([1, 1 / 255, 1 / 255])[:, None, None]
    return TryOnSample(
        name=raw.name,
        person=_signed(fit.picture(raw.image, "border")),
        garment=_garment(raw, size),
        parse=None if raw.parse is None else torch.from_numpy(fit.labels(raw.parse).astype(np.int64)),
        pose=None if raw.pose is None else torch.from_numpy(fit.points(raw.pose)),
        hands=None if raw.hands is None else torch.from_numpy(fit.points(raw.hands)),
        skeleton=None if raw.skeleton is None else _signed(fit.picture(raw.skeleton, 0)),
        densepose=densepose,
        truth=_truth(raw, fit, size),
        padding=fit.padding,
    )


def _garment(raw: RawSample, size: tuple[int, int]) -> Garment | None:
    if raw.cloth is None:
        return None
    front = Fit.of(raw.cloth.shape[:2], size)
    fields = {"image": _signed(front.picture(raw.cloth, 255))}
    if raw.cloth_mask is not None:
        fields["mask"] = torch.from_numpy(front.mask(raw.cloth_mask)).float()[None]
    if raw.cloth_back is not None:
        back = Fit.of(raw.cloth_back.shape[:2], size)
        fields["back"] = _signed(back.picture(raw.cloth_back, 255))
        if raw.cloth_back_mask is not None:
            fields["back_mask"] = torch.from_numpy(back.mask(raw.cloth_back_mask)).float()[None]
    return Garment(name=raw.garment_name, **fields)


def _truth(raw: RawSample, fit: Fit, size: tuple[int, int]) -> Truth | None:
    fields = {}
    for name, shop in (("flow", "cloth"), ("flow_back", "cloth_back")):
        if getattr(raw, name) is not None:
            fields[name] = _fitted_flow(raw, name, shop, fit, size)
    if raw.hidden is not None:
        fields["hidden"] = torch.from_numpy(fit.labels(raw.hidden, False))
    if raw.depth is not None:
        # the pixel under the centre: a depth between a sleeve and the wall behind it is nowhere
        fields["depth"] = torch.from_numpy(fit.labels(raw.depth.astype(np.float32)))
    for name in ("unpaired", "new_pose"):
        if getattr(raw, name) is not None:
            fields[name] = sample_from_raw(getattr(raw, name), size)
    return Truth(**fields) if fields else None


def _fitted_flow(raw: RawSample, name: str, shop: str, fit: Fit, size: tuple[int, int]) -> Tensor:
    if getattr(raw, shop) is None:
        raise ValueError(f"sample {raw.name!r}: a flow needs the in-shop picture that it leads to, got {shop}=None")
    fitted = fit.flow(getattr(raw, name), Fit.of(getattr(raw, shop).shape[:2], size))
    return torch.from_numpy(np.ascontiguousarray(fitted.transpose(2, 0, 1)))


def _channels_first(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float()


def _signed(pixels: np.ndarray) -> Tensor:
    """(H,W,3) uint8 -> (3,H,W) float32 in [-1,1]."""
    return _channels_first(pixels) / 127.5 - 1


# ---- augmentation --------------------------------------------------------------------------------------------------


def mirror(sample: TryOnSample) -> TryOnSample:
    """The sample as a mirror shows it: left and right swapped in pictures, labels, keypoints, hands and the flow.

    The garment is mirrored too, so text on it runs backwards. The skeleton, whose colours tell left from right, and
    DensePose, whose charts are not each other's mirror images, are None in the result; `skeleton_picture` draws the
    first anew, `vtonlib.perceive.densepose.mirror_densepose` gives the second nearly exactly.
    Works on a sample and on a collated batch. Twice is the identity but for those two.
    """
    width = sample.size[1]
    swap = torch.tensor(LIP_MIRROR, device=sample.person.device)
    points = {"pose": sample.pose, "hands": sample.hands}
    if sample.pose is not None:
        points["pose"] = _mirror_points(sample.pose[..., list(BODY_25_MIRROR), :], width)
    if sample.hands is not None:
        points["hands"] = _mirror_points(sample.hands.flip(-3), width)
    return replace(
        sample,
        person=sample.person.flip(-1),
        garment=None if sample.garment is None else _mirror_garment(sample.garment),
        parse=None if sample.parse is None else swap[sample.parse.flip(-1)],
        **points,
        skeleton=None,
        densepose=None,
        truth=None if sample.truth is None else _mirror_truth(sample.truth),
        padding=_mirror_padding(sample.padding),
    )


def _mirror_points(points: Tensor, width: int) -> Tensor:
    """Points (...,3) at width - 1 - x; a missing one, (0, 0), stays where it is."""
    missing = (points[..., :2] == 0).all(dim=-1)
    x = torch.where(missing, points[..., 0], width - 1 - points[..., 0])
    return torch.cat([x[..., None], points[..., 1:]], dim=-1)


def _mirror_garment(garment: Garment) -> Garment:
    pictures = {name: getattr(garment, name) for name in ("image", "mask", "back", "back_mask")}
    return replace(garment, **{name: None if value is None else value.flip(-1) for name, value in pictures.items()})


def _mirror_truth(truth: Truth) -> Truth:
    return Truth(
        flow=_mirror_flow(truth.flow),
        flow_back=_mirror_flow(truth.flow_back),
        hidden=None if truth.hidden is None else truth.hidden.flip(-1),
        depth=None if truth.depth is None else truth.depth.flip(-1),
        unpaired=None if truth.unpaired is None else mirror(truth.unpaired),
        new_pose=None if truth.new_pose is None else mirror(truth.new_pose),
    )


def _mirror_flow(flow: Tensor | None) -> Tensor | None:
    """Both pictures are mirrored: the photograph that the flow lies on and the in-shop picture that it leads into."""
    if flow is None:
        return None
    x, y = flow.flip(-1).unbind(dim=-3)
    return torch.stack([flow.shape[-1] - 1 - x, y], dim=-3)


def _mirror_padding(padding):
    if isinstance(padding, list):
        return [_mirror_padding(one) for one in padding]
    left, top, right, bottom = padding
    return right, top, left, bottom
