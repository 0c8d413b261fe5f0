"""Losses between a generator and its discriminator. Each is a scalar tensor.

All take what a `vtonlib.nets.MultiscaleDiscriminator` gives: one entry a scale, each a list of maps (B, C, h, w) of
which the last holds the logits (B, 1, h, w), one for each patch; positive means real. A loss is the mean over patches,
samples and scales. pix2pixHD sums over scales; with the mean the weight of a term means the same for any number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

ADVERSARIAL = ("log", "least-squares", "hinge")
Judged = Sequence[Sequence[Tensor]]


def generator_loss(judged: Judged, kind: str) -> Tensor:
    """How far the discriminator is from taking what was made for real.

    judged: its result for what the generator made. With D = sigmoid(logit), "log" is -log D = softplus(-logit);
    "least-squares" is (logit - 1)^2; "hinge" is -logit.

    Papers (Goodfellow et al. 2014, and MG-VTON) write one game for both, min over G and max over D of
    log D(real) + log(1 - D(made)), and so would have G minimise log(1 - D). Its slope in the logit is -D: where the
    discriminator is sure, as it is at first, D is 0 and G learns nothing. The slope of -log D is D - 1, which is near
    -1 there. Both push to the same side and rest at the same place; this non-saturating form is the one of
    Goodfellow's own section 3. "least-squares" is of Mao et al. 2017, in pix2pixHD; "hinge" of Lim and Ye 2017.
    Raises ValueError for another kind, or for no scale.
    """
    forms = {
        "log": lambda logits: softplus(-logits),
        "least-squares": lambda logits: (logits - 1).square(),
        "hinge": lambda logits: -logits,
    }
    return _mean_over_scales(judged, _form(forms, kind, "generator_loss"), "generator_loss")


def discriminator_loss(real: Judged, fake: Judged, kind: str) -> Tensor:
    """How far the discriminator is from telling real from made: 0.5 * (loss on real + loss on fake).

    real, fake: its results for photographs and for what the generator made, which the caller detaches. Half the sum, as
    in pix2pixHD; Adam takes the same step for any constant factor, so it is the limit of the gradient that sees it.
    "log": -log D(real) and -log(1 - D(fake)), so that logits of 0, no idea, cost log 2; "least-squares": the squared
    distances of logits to 1 and to 0; "hinge": relu(1 - logit) and relu(1 + logit), nothing to gain beyond 1.
    Raises ValueError for another kind, for no scale, or different numbers of scales.
    """
    forms = {
        "log": (lambda logits: softplus(-logits), softplus),
        "least-squares": (lambda logits: (logits - 1).square(), torch.square),
        "hinge": (lambda logits: relu(1 - logits), lambda logits: relu(1 + logits)),
    }
    name = "discriminator_loss"
    on_real, on_fake = _form(forms, kind, name)
    _same_number(real, fake, f"{name}: scales")
    return 0.5 * (_mean_over_scales(real, on_real, name) + _mean_over_scales(fake, on_fake, name))


def feature_matching_loss(real: Judged, fake: Judged) -> Tensor:
    """Mean absolute difference between the discriminator's maps of a photograph and of what was made in its place.

    The mean over scales and over layers, without the logits; the maps of `real` take no gradient. It asks for the same
    structure at the same places, so both must show the same thing. Source: pix2pixHD, section 3.2.
    Raises ValueError for different numbers of scales or layers, other shapes, or nothing but logits.
    """
    _same_number(real, fake, "feature_matching_loss: scales")
    distances = []
    for ours, theirs in zip(fake, real, strict=True):
        _same_number(theirs, ours, "feature_matching_loss: layers")
        for made, wanted in zip(ours[:-1], theirs[:-1], strict=True):
            if made.shape != wanted.shape:
                shapes = f"{tuple(wanted.shape)} and {tuple(made.shape)}"
                raise ValueError(f"feature_matching_loss: expected maps of equal shapes, got {shapes}")
            distances.append((made - wanted.detach()).abs().mean())
    if not distances:
        raise ValueError("feature_matching_loss: expected maps before the logits, got none")
    return torch.stack(distances).mean()


def _form(forms: dict, kind: str, name: str):
    if kind not in forms:
        raise ValueError(f"{name}: kind: expected one of {', '.join(ADVERSARIAL)}, got {kind!r}")
    return forms[kind]


def _mean_over_scales(judged: Judged, form: Callable[[Tensor], Tensor], name: str) -> Tensor:
    if not judged:
        raise ValueError(f"{name}: expected the maps of at least one scale, got none")
    return torch.stack([form(maps[-1]).mean() for maps in judged]).mean()


def _same_number(real: Sequence, fake: Sequence, name: str) -> None:
    if len(real) != len(fake):
        raise ValueError(f"{name}: expected as many for real and fake, got {len(real)} and {len(fake)}")
