"""What every try-on system gives back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TryOn:
    """The outcome of a try-on; None where a system has no such thing. A batch adds a leading dimension everywhere.

    tryon (3,H,W) in [-1,1]: the synthesised picture; warped (3,H,W) in [-1,1]: the garment bent onto the person;
    warped_mask (1,H,W) in [0,1]: where it lies; parse (H,W) int64 LIP-20: the parse that the system predicted;
    coarse (3,H,W) in [-1,1]: the picture before composition; composition_mask (1,H,W) in [0,1]: how much of the warped
    garment is used (1 = all); misaligned (1,H,W) in [0,1]: where the garment should be and the warp does not reach.
    theta (50,): the offsets of the thin-plate spline; grid (H,W,2): where each pixel looks up the garment, in
    normalised coordinates (x, y), both for systems that warp with a spline.
    """

    tryon: Tensor
    warped: Tensor | None = None
    warped_mask: Tensor | None = None
    parse: Tensor | None = None
    coarse: Tensor | None = None
    composition_mask: Tensor | None = None
    misaligned: Tensor | None = None
    theta: Tensor | None = None
    grid: Tensor | None = None
