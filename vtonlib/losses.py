"""Training losses that several systems share. Each is a scalar tensor; pictures are in [-1, 1], masks in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vtonlib.warp import normalised_to_index


def l1_loss(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean absolute difference of (B, C, H, W), over the places of `mask` (B, 1, H, W) where given.

    With a mask it is a weighted mean over places and batch together, so an empty mask in one sample does no harm.
    Raises ValueError where shapes don't match or the mask is empty in the whole batch.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"l1_loss: expected equal shapes, got {tuple(prediction.shape)} and {tuple(target.shape)}")
    difference = (prediction - target).abs()
    if mask is None:
        return difference.mean()
    if mask.shape != (len(target), 1, *target.shape[2:]):
        raise ValueError(f"l1_loss: expected a mask {(len(target), 1, *target.shape[2:])}, got {tuple(mask.shape)}")
    mask = mask.to(difference.dtype)
    total = mask.sum()
    if total == 0:
        raise ValueError("l1_loss: the mask is empty, there is nothing to compare")
    return (difference * mask).sum() / (total * target.shape[1])


def gmm_loss(
    warped: Tensor,
    worn: Tensor,
    *,
    warped_mask: Tensor | None = None,
    worn_mask: Tensor | None = None,
    mask_weight: float = 0.0,
    hidden: Tensor | None = None,
) -> dict[str, Tensor]:
    """How far a warped garment is from the worn one; the terms are weighted, and their sum is the loss.

    warped, worn (B, 3, H, W) in [-1, 1]: the warped in-shop garment and the garment cut out of the photograph, both on
    white. Term "l1": their mean absolute difference. This alone is the paper's loss: Wang et al. 2018 (CP-VTON),
    equation 3.

    Not in the paper: term "mask", mask_weight times the same between their masks (B, 1, H, W), which also tells a white
    garment from the background; MG-VTON trains its matching module on this term alone. And hidden (B, 1, H, W), pixels
    where an arm or hair lies in front of the garment: the paper's target is white there and pushes the garment away
    from under the arm; here they don't count.

    Raises ValueError for a mask weight without both masks.
    """
    seen = None if hidden is None else 1 - hidden.to(worn.dtype)
    terms = {"l1": l1_loss(warped, worn, seen)}
    if mask_weight:
        if warped_mask is None or worn_mask is None:
            raise ValueError("gmm_loss: a mask_weight needs warped_mask and worn_mask")
        terms["mask"] = mask_weight * l1_loss(warped_mask, worn_mask, seen)
    return terms


def flow_loss(grid: Tensor, flow: Tensor, mask: Tensor, *, align_corners: bool) -> Tensor:
    """Mean distance in pixels between a sampling grid (B, H, W, 2) and the true flow (B, 2, H, W) over `mask`.

    Not in the papers, which have no true flow; the studio has. flow: index coordinates in an in-shop picture of the
    same size, NaN where unknown (not counted). mask (B, 1, H, W). 0 where no pixel is left.
    """
    target = flow.permute(0, 2, 3, 1)
    counted = (mask[:, 0] > 0.5) & target.isfinite().all(-1)
    points = normalised_to_index(grid, tuple(flow.shape[2:]), align_corners=align_corners)
    # The small number keeps the gradient of the root finite where a prediction is exact.
    distance = ((points[counted] - target[counted]).square().sum(-1) + 1e-12).sqrt()
    return distance.sum() / max(len(distance), 1)


def perceptual_loss(features: nn.Module, prediction: Tensor, target: Tensor) -> Tensor:
    """Distance of two pictures as a feature network sees them: the L1 distances of its maps, weighted and summed.

    features: see `vtonlib.features.load_features`; its `layer_weights` are used. Pictures (B, 3, H, W) in [-1, 1]. The
    target's maps take no gradient. Source: Johnson et al. 2016; Wang et al. 2018 (CP-VTON), equation 5.
    """
    with torch.no_grad():
        wanted = features(target)
    pairs = zip(features.layer_weights, features(prediction), wanted, strict=True)
    return sum(weight * (ours - theirs).abs().mean() for weight, ours, theirs in pairs)


MASK_LOSSES = ("paper", "released", "worn")


def mask_loss(
    composition_mask: Tensor, *, kind: str, warped_mask: Tensor | None = None, worn_mask: Tensor | None = None
) -> Tensor:
    """What holds a composition mask M (B, 1, H, W) in [0, 1]: mean absolute difference to a target.

    "paper": to 1, everywhere: |1 - M|. Wang et al. 2018 (CP-VTON), equation 6. "released": to the warped garment's mask
    `warped_mask`, which is what the authors' code does. "worn": to the garment that the photograph shows, `worn_mask`,
    as in CP-VTON+. (MG-VTON's multi-pose composition mask has the paper's form.)
    Raises ValueError for another kind or a missing mask.
    """
    targets = {"paper": torch.ones_like(composition_mask), "released": warped_mask, "worn": worn_mask}
    if kind not in targets:
        raise ValueError(f"mask_loss: kind: expected one of {', '.join(MASK_LOSSES)}, got {kind!r}")
    if targets[kind] is None:
        raise ValueError(f"mask_loss: kind {kind!r} needs {'warped_mask' if kind == 'released' else 'worn_mask'}")
    return l1_loss(composition_mask, targets[kind])


def class_weights(pixels: Tensor, cap: float) -> Tensor:
    """How much a pixel of each label counts in a cross-entropy: (K,) float32 from pixel counts (K,).

    The square root of the inverse frequency, such that the mean over all pixels is 1 before it is cut at `cap`; a label
    that never occurs gets `cap`. Without it a label of one pixel in a thousand (gloves, the back of a thigh) is never
    guessed; with the full inverse it would be guessed everywhere. Raises ValueError for no pixel.
    """
    total = pixels.sum()
    if total < 1:
        raise ValueError("class_weights: expected pixel counts, all are 0")
    share = pixels.double() / total
    weights = share.clamp(min=1e-12).rsqrt()
    return (weights / (weights * share).sum()).clamp(max=cap).float()
