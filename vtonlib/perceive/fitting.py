"""Pictures of any size at the one size that a network works at.

Convention: boxes are left, top, right, bottom in whole pixels, the last two just outside.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

PADDINGS = ("grey", "border")


def as_batch(picture: Tensor) -> Tensor:
    """A picture (3, H, W) or (B, 3, H, W) in [-1, 1] as a batch. Raises ValueError for another shape or range."""
    pictures = picture[None] if picture.ndim == 3 else picture
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.numel() or not pictures.is_floating_point():
        got = f"{picture.dtype} {tuple(picture.shape)}"
        raise ValueError(f"picture: expected floats (3, H, W) or (B, 3, H, W), got {got}")
    low, high = float(pictures.min()), float(pictures.max())
    if not (low >= -1.001 and high <= 1.001):
        raise ValueError(f"picture: expected values in [-1, 1], got {low:g} to {high:g}")
    return pictures


def fitted(picture: Tensor, size: tuple[int, int], padding: str = "grey") -> tuple[Tensor, tuple[int, int, int, int]]:
    """Pictures (B, 3, H, W) in [-1, 1] enlarged or reduced (antialiased) to fit into `size`, in its middle.

    The aspect is kept. padding: "grey", 0, which is also what convolutions see beyond the border; or "border", the
    outermost pixels repeated, as the white of a shop's picture goes on.
    Returns (B, 3, *size) and the box of the picture in it. Raises ValueError for another padding.
    """
    if padding not in PADDINGS:
        raise ValueError(f"padding: expected one of {', '.join(PADDINGS)}, got {padding!r}")
    height, width = picture.shape[-2:]
    factor = min(size[0] / height, size[1] / width)
    inner = tuple(max(1, min(room, round(side * factor))) for side, room in zip((height, width), size, strict=True))
    if (height, width) != inner:
        picture = functional.interpolate(picture, inner, mode="bilinear", align_corners=False, antialias=True)
    top, left = ((room - side) // 2 for side, room in zip(inner, size, strict=True))
    right, bottom = left + inner[1], top + inner[0]
    how = "replicate" if padding == "border" else "constant"
    return functional.pad(picture, (left, size[1] - right, top, size[0] - bottom), mode=how), (left, top, right, bottom)
