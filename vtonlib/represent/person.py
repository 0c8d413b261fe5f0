"""What a network sees of the person: body shape, reserved regions, heatmaps, agnostics.

All maps are in [0, 1], whatever range a system was defined on; it converts at its own door. Every function takes a
sample or, where it says (...), tensors with any leading dimensions; those that take a sample take a collated batch too.

Sources: VITON (Han et al. 2018, section 3.1) and CP-VTON (Wang et al. 2018, section 3.1) for the 22 channels, VITON-HD
for the agnostics. Convention: masks are 1 on the thing they are named after; RGB; sizes are (height, width).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..labels import GROUPS_13, HEAD_LABELS, LIP, TOP_LABELS
from ..sample import TryOnSample
from .agnostic import GREY, draw_parse_agnostic, erased
from .heatmaps import RADII, pose_heatmaps
from .skeleton import draw_skeleton

COARSE = (16, 12)


def label_mask(parse: Tensor, labels: tuple[int, ...]) -> Tensor:
    """parse (...,H,W) -> bool (...,1,H,W): pixels with one of the labels."""
    return torch.isin(parse, torch.tensor(labels, device=parse.device, dtype=parse.dtype)).unsqueeze(-3)


def body_shape(parse: Tensor, coarse: tuple[int, int] = COARSE) -> Tensor:
    """Silhouette of the whole person, blurred until it no longer tells the cut of the clothes.

    parse (...,H,W) LIP-20 -> (...,1,H,W) float32 in [0,1]: everything but background, reduced to `coarse` (16 x 12)
    with antialiasing (every pixel counts, as Pillow does it) and enlarged again, both bilinear. CP-VTON, section 3.1.
    """
    if parse.ndim < 2:
        raise ValueError(f"parse: expected shape (..., H, W), got {tuple(parse.shape)}")
    size = parse.shape[-2:]
    silhouette = (parse > 0).to(torch.float32).reshape(-1, 1, *size)
    small = F.interpolate(silhouette, coarse, mode="bilinear", align_corners=False, antialias=True)
    shape = F.interpolate(small, size, mode="bilinear", align_corners=False)
    return shape.reshape(*parse.shape[:-2], 1, *size)


def reserved_regions(person: Tensor, parse: Tensor) -> Tensor:
    """What the try-on must keep as it is: hat, hair, sunglasses, face.

    person (...,3,H,W) in [-1,1], parse (...,H,W) -> (...,3,H,W) in [0,1], black elsewhere. CP-VTON, section 3.1.
    """
    _same_size("person", person, parse)
    return (person + 1) / 2 * label_mask(parse, HEAD_LABELS)


def cloth_on_person(person: Tensor, parse: Tensor) -> tuple[Tensor, Tensor]:
    """The worn top cut out: what the geometric matching of CP-VTON is trained to bring the garment to.

    person (...,3,H,W) in [-1,1], parse (...,H,W) -> picture (...,3,H,W) in [0,1], white elsewhere, and its mask
    (...,1,H,W) in {0,1}. The top is labels 5, 6, 7 (upper-clothes, dress, coat).
    """
    _same_size("person", person, parse)
    mask = label_mask(parse, TOP_LABELS)
    return torch.where(mask, (person + 1) / 2, 1.0), mask.to(person.dtype)


def person_representation(sample: TryOnSample) -> Tensor:
    """The clothing-agnostic person representation of CP-VTON, (...,22,H,W) in [0,1].

    Channels: 0-17 heatmaps (squares, order COCO-18), 18 body shape, 19-21 reserved regions (RGB, black elsewhere).
    Squares are 11 x 11 pixels in a picture of 256 x 192, as the paper has them, and scale with the height of others:
    a network that was trained on small pictures then sees the same thing in large ones.
    Raises ValueError saying which preprocessing step is missing.
    """
    sample.require("pose", "parse")
    radius = RADII["square"] * sample.size[0] / 256
    heatmaps = pose_heatmaps(sample.pose, sample.size, kind="square", radius=radius)
    shape = body_shape(sample.parse)
    return torch.cat([heatmaps, shape, reserved_regions(sample.person, sample.parse)], dim=-3)


def one_hot(parse: Tensor, groups: tuple = GROUPS_13) -> Tensor:
    """Label indices as channels.

    parse (...,H,W) -> (...,len(groups),H,W) float32 in {0,1}. groups: (name, labels) pairs like GROUPS_13 (VITON-HD's
    20 -> 13, background first, neck in it); groups=LIP gives all 20 labels. A label in no group is 0 everywhere.
    Raises ValueError for a label that no parse has.
    """
    if groups is LIP:
        groups = tuple((name, (index,)) for index, name in enumerate(LIP))
    if parse.numel() and not 0 <= int(parse.min()) <= int(parse.max()) < len(LIP):
        raise ValueError(f"parse: expected labels 0..19, got {int(parse.min())} to {int(parse.max())}")
    table = torch.zeros(len(LIP), len(groups), device=parse.device)
    for channel, (_, labels) in enumerate(groups):
        table[list(labels), channel] = 1
    return table[parse.long()].movedim(-1, -3)


def parse_agnostic(sample: TryOnSample) -> Tensor:
    """Label map without top, neck and arms, (...,H,W) int64 LIP-20: see `draw_parse_agnostic`.

    `one_hot` makes VITON-HD's 13 channels of it. Drawn picture by picture on the CPU.
    """
    sample.require("pose", "parse")
    return _draw_each(draw_parse_agnostic, sample.parse.to(torch.uint8), sample.pose).to(torch.int64)


def human_agnostic(sample: TryOnSample, style: str = "viton-hd") -> Tensor:
    """Photograph with torso, neck and arms grey, (...,3,H,W) in [0,1]: see `draw_human_agnostic`.

    style: "viton-hd" or "hr-viton". Raises ValueError for another style or what the sample lacks.
    """
    mask = human_agnostic_mask(sample, style)
    return torch.where(mask.bool(), GREY / 255, (sample.person + 1) / 2)


def human_agnostic_mask(sample: TryOnSample, style: str = "viton-hd", *, keep_lower: bool = True) -> Tensor:
    """What `human_agnostic` paints grey, (...,1,H,W) in {0,1}; keep_lower: see `erased`."""
    sample.require("pose", "parse")

    def draw(parse: np.ndarray, pose: np.ndarray) -> np.ndarray:
        return erased(parse, pose, style, keep_lower=keep_lower)

    return _draw_each(draw, sample.parse.to(torch.uint8), sample.pose).unsqueeze(-3).to(sample.person.dtype)


def skeleton_picture(sample: TryOnSample) -> Tensor:
    """Coloured skeleton drawn from the pose, and from the hands if there are any, (...,3,H,W) in [0,1].

    Drawn anew even where the sample has a `skeleton` of its own, whose colours may be others.
    """
    sample.require("pose")
    size, inputs = sample.size, [sample.pose] + ([] if sample.hands is None else [sample.hands])
    picture = _draw_each(lambda pose, hands=None: draw_skeleton(pose, hands, size), *inputs, trailing=(2, 3))
    return picture.movedim(-1, -3).to(sample.person.dtype) / 255


def _draw_each(draw, first: Tensor, second: Tensor | None = None, trailing: tuple[int, int] = (2, 2)) -> Tensor:
    """`draw(first[, second])` in NumPy for every item of the leading dimensions; `trailing`: dimensions of one item."""
    leading = first.shape[: first.ndim - trailing[0]]
    columns = [first.reshape(-1, *first.shape[len(leading) :])]
    if second is not None:
        columns.append(second.reshape(-1, *second.shape[second.ndim - trailing[1] :]))
    items = zip(*(column.detach().cpu().numpy() for column in columns))
    drawn = np.stack([draw(*item) for item in items])
    return torch.from_numpy(drawn).reshape(*leading, *drawn.shape[1:]).to(first.device)


def _same_size(name: str, picture: Tensor, parse: Tensor) -> None:
    expected = (*parse.shape[:-2], 3, *parse.shape[-2:])
    if tuple(picture.shape) != expected:
        raise ValueError(f"{name}: expected shape {expected} to go with parse, got {tuple(picture.shape)}")
