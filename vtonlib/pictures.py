"""Pictures for people to look at: several on one sheet, and a sheet in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from vtonlib.checkpoints import replacing


def picture_grid(rows: Sequence[Sequence[Tensor]], *, gap: int = 4) -> Tensor:
    """Put pictures side by side: rows of (3,H,W) or (1,H,W) tensors in [-1,1] -> one (3,H',W') picture in [0,1].

    All pictures have one size; a short row is filled up with white, and so are the gaps.
    Raises ValueError for no picture or for different sizes.
    """
    pictures = [picture for row in rows for picture in row]
    sizes = sorted({tuple(picture.shape[-2:]) for picture in pictures})
    if len(sizes) != 1:
        raise ValueError(f"picture_grid: expected pictures of one size, got {sizes or 'none'}")
    (height, width), columns = sizes[0], max(len(row) for row in rows)
    sheet = torch.ones(3, len(rows) * (height + gap) - gap, columns * (width + gap) - gap)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            sheet[:, top : top + height, left : left + width] = picture.detach().float().cpu() / 2 + 0.5
    return sheet.clamp(0, 1)


def save_picture(path: str | Path, picture: Tensor) -> Path:
    """Write a (3,H,W) or (1,H,W) picture in [0,1] as a file of the kind that the suffix names, atomically."""
    from PIL import Image

    levels = picture.detach().float().cpu().clamp(0, 1).mul(255).round().to(torch.uint8).expand(3, -1, -1)
    with replacing(path) as temporary:
        Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy()).save(temporary)
    return Path(path)
