"""Numbers that say how near a picture, a mask or a warp is to the truth: one value for each sample.

The protocol, the same for every system: pictures are RGB in [0, 1]; SSIM has a Gaussian window of 11x11 pixels with
sigma 1.5 and is taken for each channel (torchmetrics); PSNR and L1 are taken on the same pictures; a region is measured
by its mask from the truth. Values are kept for each sample, (B,), and averaged over samples afterwards, so that a large
garment counts no more than a small one. Where there is nothing to measure (an empty mask) the value is NaN, and whoever
averages leaves it out and says how many were left.

Convention: masks are 1 on the thing they are named after; above 0.5 is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

WINDOW_MARGIN = 5  # half of the 11x11 window: how far from the border it lies wholly inside


def _check_pictures(prediction: Tensor, target: Tensor) -> None:
    if prediction.ndim != 4 or prediction.shape != target.shape:
        raise ValueError(f"expected two pictures (B, C, H, W), got {tuple(prediction.shape)} and {tuple(target.shape)}")
    for name, picture in (("prediction", prediction), ("target", target)):
        low, high = picture.detach().aminmax()
        if not (low >= -1e-4 and high <= 1 + 1e-4):  # NaN fails too
            raise ValueError(f"{name}: expected values in [0, 1], got [{low.item():.3g}, {high.item():.3g}]")


def _mean_over(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of (B, C, H, W) over the channels and the places of the mask, (B, H, W) or (B, 1, H, W); NaN where empty."""
    if mask is None:
        return values.mean((1, 2, 3))
    places = values.mean(1)
    if mask.numel() != places.numel() or mask.shape[0] != places.shape[0] or mask.shape[-2:] != places.shape[-2:]:
        raise ValueError(f"mask: expected {tuple(places.shape)}, got {tuple(mask.shape)}")
    counted = (mask.reshape(places.shape) > 0.5).to(places.dtype)
    return (places * counted).sum((1, 2)) / counted.sum((1, 2))


def _ssim_map(prediction: Tensor, target: Tensor) -> Tensor:
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, full = structural_similarity_index_measure(
        prediction, target, gaussian_kernel=True, sigma=1.5, kernel_size=11, data_range=1.0,
        reduction="none", return_full_image=True,
    )  # fmt: skip
    return full


def ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (B,) of RGB pictures (B, C, H, W) in [0, 1]; 1 for equal ones.

    Averaged over the places where the window lies inside the picture. Source: Wang et al. 2004; Gaussian 11x11, sigma
    1.5, K1 = 0.01, K2 = 0.03. Raises ValueError for other ranges or shapes, or pictures below 11x11.
    """
    _check_pictures(prediction, target)
    if min(prediction.shape[2:]) < 2 * WINDOW_MARGIN + 1:
        raise ValueError(f"ssim: expected pictures of 11x11 or more, got {tuple(prediction.shape[2:])}")
    inside = slice(WINDOW_MARGIN, -WINDOW_MARGIN)
    return _mean_over(_ssim_map(prediction, target)[..., inside, inside], None)


def masked_ssim(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean (B,) of the map of `ssim` over `mask`, (B, H, W) or (B, 1, H, W); NaN where the mask is empty.

    Windows centred on the mask count; they look up to five pixels beyond it (the picture is mirrored at its border).
    """
    _check_pictures(prediction, target)
    return _mean_over(_ssim_map(prediction, target), mask)


def l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference (B,) of pictures (B, C, H, W) in [0, 1]. Raises ValueError as `ssim` does."""
    _check_pictures(prediction, target)
    return _mean_over((prediction - target).abs(), None)


def masked_l1(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """`l1` over the pixels of `mask`, (B, H, W) or (B, 1, H, W); NaN where it is empty."""
    _check_pictures(prediction, target)
    return _mean_over((prediction - target).abs(), mask)


def psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio (B,) in decibel, -10 log10 of the mean squared difference; infinite for equal ones.

    Pictures (B, C, H, W) in [0, 1]. Raises ValueError for other ranges or shapes.
    """
    _check_pictures(prediction, target)
    return -10 * _mean_over((prediction - target).square(), None).log10()


def masked_psnr(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """`psnr` over the pixels of `mask`, (B, H, W) or (B, 1, H, W); NaN where it is empty."""
    _check_pictures(prediction, target)
    return -10 * _mean_over((prediction - target).square(), mask).log10()


def region_numbers(
    prediction: Tensor, target: Tensor, regions: Mapping[str, Tensor | None]
) -> dict[str, dict[str, Tensor]]:
    """`ssim`, `psnr` and `l1` of several regions at once: region -> {"ssim", "psnr", "l1"} -> (B,).

    The maps behind the numbers are computed once, which is what takes the time. regions: masks (B, H, W) or (B, 1, H,
    W), measured as `masked_ssim`, `masked_psnr`, `masked_l1` do; None is the whole picture, as `ssim`, `psnr`, `l1` do.
    Raises ValueError as they do.
    """
    _check_pictures(prediction, target)
    if min(prediction.shape[2:]) < 2 * WINDOW_MARGIN + 1:
        raise ValueError(f"region_numbers: expected pictures of 11x11 or more, got {tuple(prediction.shape[2:])}")
    inside, difference = slice(WINDOW_MARGIN, -WINDOW_MARGIN), prediction - target
    similarity, distance, squared = _ssim_map(prediction, target), difference.abs(), difference.square()
    numbers = {}
    for name, mask in regions.items():
        numbers[name] = {
            "ssim": _mean_over(similarity[..., inside, inside] if mask is None else similarity, mask),
            "psnr": -10 * _mean_over(squared, mask).log10(),
            "l1": _mean_over(distance, mask),
        }
    return numbers


Features = Callable[[Tensor], Sequence[Tensor]]


def unit_features(picture: Tensor, features: Features) -> list[Tensor]:
    """What a feature network sees of a picture, each place's channel vector scaled to unit length.

    picture (B, 3, H, W) in [0, 1]; features: (B, 3, H, W) in [-1, 1] -> maps (B, C_l, h_l, w_l), shallow to deep. A
    vector of length 0 stays 0. Source: Zhang et al. 2018, section 3. Raises ValueError for another range, or for what
    is no list of maps.
    """
    _check_pictures(picture, picture)
    maps = list(features(picture * 2 - 1))
    if not maps or any(one.ndim != 4 or len(one) != len(picture) for one in maps):
        raise ValueError(f"features: expected maps ({len(picture)}, C, h, w), got {[tuple(one.shape) for one in maps]}")
    return [normalize(one, dim=1, eps=1e-10) for one in maps]


def unit_feature_maps(prediction: Sequence[Tensor], target: Sequence[Tensor]) -> list[Tensor]:
    """Squared distance (B, h_l, w_l) between two results of `unit_features`, a map for each layer."""
    return [(one - other).square().sum(1) for one, other in zip(prediction, target, strict=True)]


def unit_feature_mean(maps: Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
    """Mean (B,) of the maps of `unit_feature_maps` over their places, then over the layers.

    mask (B, H, W) or (B, 1, H, W) of the picture's size: reduced to the size of each layer by area, it says how much
    a place counts there. NaN for a sample whose mask is empty.
    """
    if mask is None:
        return torch.stack([one.mean((1, 2)) for one in maps]).mean(0)
    if len(mask) != len(maps[0]) or mask.numel() != len(mask) * mask.shape[-2] * mask.shape[-1]:
        raise ValueError(f"mask: expected ({len(maps[0])}, H, W), got {tuple(mask.shape)}")
    counted, layers = (mask.reshape(len(mask), 1, *mask.shape[-2:]) > 0.5).to(maps[0].dtype), []
    for one in maps:
        weight = interpolate(counted, tuple(one.shape[1:]), mode="area")[:, 0]
        layers.append((one * weight).sum((1, 2)) / weight.sum((1, 2)))
    return torch.stack(layers).mean(0)


def perceptual_distance(prediction: Tensor, target: Tensor, features: Features, mask: Tensor | None = None) -> Tensor:
    """How differently a feature network sees two pictures, (B,): 0 for equal ones, at most 4.

    prediction, target (B, 3, H, W) in [0, 1]; features: (B, 3, H, W) in [-1, 1] -> maps (B, C_l, h_l, w_l), shallow to
    deep, for example `vtonlib.features.load_features("judge")`. At each place the channel vector is scaled to unit
    length; the squared difference is summed over channels, averaged over places and then over layers. mask (B, H, W) or
    (B, 1, H, W): only there (see `unit_feature_mean`); what the network sees reaches beyond it. NaN where it is empty.

    Source: LPIPS (Zhang et al. 2018, equation 1) with the weights of all channels alike, as none are learned here; its
    values can't be put beside published ones. Raises ValueError for other ranges or shapes.
    """
    _check_pictures(prediction, target)
    maps = unit_feature_maps(unit_features(prediction, features), unit_features(target, features))
    return unit_feature_mean(maps, mask)


def iou(mask_a: Tensor, mask_b: Tensor, ignore: Tensor | None = None) -> Tensor:
    """Intersection over union (B,) of two masks (B, H, W) or (B, 1, H, W); NaN where both are empty.

    ignore: pixels that count neither way, for example where an arm hides the garment. Raises ValueError where shapes
    don't match.
    """
    masks = [mask_a, mask_b] if ignore is None else [mask_a, mask_b, ignore]
    flat = [mask.flatten(1) > 0.5 for mask in masks]
    if len({tuple(mask.shape) for mask in flat}) > 1 or len({tuple(mask.shape[-2:]) for mask in masks}) > 1:
        raise ValueError(f"iou: expected masks of one shape, got {[tuple(mask.shape) for mask in masks]}")
    one, other = flat[:2]
    counted = torch.ones_like(one) if ignore is None else ~flat[2]
    return (one & other & counted).sum(1) / ((one | other) & counted).sum(1)


def label_table(parse: Tensor, guess: Tensor, count: int, counted: Tensor | None = None) -> Tensor:
    """Pixels (count, count) int64 by true label (row) and guessed label (column).

    parse, guess: label maps of one shape with values from 0 to count - 1; counted: bool of that shape, the pixels that
    count. Tables of several pictures are added up. Raises ValueError for other shapes or values.
    """
    if parse.shape != guess.shape or (counted is not None and counted.shape != parse.shape):
        shapes = [tuple(each.shape) for each in (parse, guess, counted) if each is not None]
        raise ValueError(f"label_table: expected label maps of one shape, got {shapes}")
    parse, guess = (parse.flatten(), guess.flatten()) if counted is None else (parse[counted], guess[counted])
    for name, labels in (("parse", parse), ("guess", guess)):
        if len(labels) and (int(labels.min()) < 0 or int(labels.max()) >= count):
            found = f"{int(labels.min())} to {int(labels.max())}"
            raise ValueError(f"label_table: {name}: expected labels from 0 to {count - 1}, got {found}")
    return torch.bincount(parse.long() * count + guess.long(), minlength=count**2).reshape(count, count)


class LabelScores(NamedTuple):
    """What a table of labels says: accuracy, the share of pixels with the right label; mean_iou, the mean of iou over
    the labels that occur in the truth; iou, recall and precision (count,) float64 of each label, NaN where it doesn't
    occur (precision: where it wasn't guessed); pixels (count,) int64 of the truth."""

    accuracy: float
    mean_iou: float
    iou: Tensor
    recall: Tensor
    precision: Tensor
    pixels: Tensor


def label_scores(table: Tensor) -> LabelScores:
    """The usual numbers of semantic segmentation from a sum of `label_table`s; a mean over nothing is NaN.

    A label that is guessed but doesn't occur has no IoU of its own; it costs the labels that it was taken for.
    """
    hits, true, guessed = table.diagonal().double(), table.sum(1).double(), table.sum(0).double()
    iou = torch.where(true > 0, hits / (true + guessed - hits), torch.nan)
    return LabelScores(
        accuracy=float(hits.sum() / true.sum()),
        mean_iou=float(iou.nanmean()),
        iou=iou,
        recall=hits / true,
        precision=hits / guessed,
        pixels=table.sum(1),
    )


class FlowError(NamedTuple):
    """End-point error of a flow for each sample, (B,): mean and median in pixels, shares within 1, 3 and 5 pixels."""

    mean: Tensor
    median: Tensor
    within_1: Tensor
    within_3: Tensor
    within_5: Tensor


def flow_error(prediction: Tensor, target: Tensor, mask: Tensor) -> FlowError:
    """Distance between a flow and the true flow, both (B, 2, H, W) in index coordinates of the in-shop picture.

    mask (B, H, W) or (B, 1, H, W): the pixels that count; where the true flow is NaN they don't. NaN for a sample with
    no pixel left. The unit is a pixel of the in-shop picture, so state its size with the number.

    Raises ValueError where shapes don't match or the prediction isn't finite at a pixel that counts.
    """
    if prediction.shape != target.shape or mask.numel() != target[:, 0].numel() or len(mask) != len(target):
        raise ValueError(
            "flow_error: expected two flows (B, 2, H, W) and a mask (B, H, W), "
            f"got {tuple(prediction.shape)}, {tuple(target.shape)} and {tuple(mask.shape)}"
        )
    counted = (mask.reshape(target[:, 0].shape) > 0.5) & target.isfinite().all(1)
    error = (prediction - target).square().sum(1).sqrt()
    if not error[counted].isfinite().all():
        raise ValueError("flow_error: the predicted flow isn't finite at pixels that count")
    rows = []
    for one in (values[keep] for values, keep in zip(error, counted)):
        if len(one) == 0:
            rows.append(error.new_full((5,), torch.nan))
            continue
        ordered = one.sort().values
        median = (ordered[(len(one) - 1) // 2] + ordered[len(one) // 2]) / 2
        rows.append(torch.stack([one.mean(), median, *((one <= limit).to(one.dtype).mean() for limit in (1, 3, 5))]))
    return FlowError(*torch.stack(rows).unbind(1))
