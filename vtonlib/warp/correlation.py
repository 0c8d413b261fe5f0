"""Comparing every place of one feature map with every place of another.

Source: Rocco et al. 2017, "Convolutional neural network architecture for geometric matching", section 3.2; used by
CP-VTON's geometric matching module. CP-VTON does not normalise the volume again, as Rocco et al. do.
"""

from __future__ import annotations

from torch import Tensor


def feature_l2_norm(features: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Scale the channel vector at every place of `features` (B, C, H, W) to length 1 (0 stays 0).

    epsilon is added to the squared length, as in CP-VTON.
    """
    return features * (features.square().sum(1, keepdim=True) + epsilon).rsqrt()


def correlation_volume(features_a: Tensor, features_b: Tensor) -> Tensor:
    """Scalar products of all places of A (B, C, h, w) with all places of B (B, C, H, W): (B, h * w, H, W).

    Convention: channel k = x * h + y is the place (x, y) of A, column by column; the spatial place is B's.
    Raises ValueError where batch or channels differ.
    """
    if features_a.shape[:2] != features_b.shape[:2]:
        raise ValueError(
            "correlation_volume: expected the same batch and channels, "
            f"got {tuple(features_a.shape)} and {tuple(features_b.shape)}"
        )
    columns_a = features_a.transpose(2, 3).flatten(2)
    volume = columns_a.transpose(1, 2) @ features_b.flatten(2)
    return volume.unflatten(2, features_b.shape[2:])
