"""What MG-VTON's networks see: maps of the reference, of the new pose, and of the parse drawn for it.

Source: Dong et al. 2019 (MG-VTON), section 3 and figure 2.

Convention: inside the networks everything is in [-1, 1], masks and maps too; `vtonlib.represent` gives [0, 1], and the
step between lies here. Parse maps are LIP-20 with 10 = neck. Poses are BODY_25 in pixels of the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vtonlib.labels import LIP, TOP_LABELS
from vtonlib.represent import body_shape, label_mask, one_hot, pose_heatmaps
from vtonlib.represent.heatmaps import RADII
from vtonlib.sample import TryOnSample

HAIR_LABELS = (1, 2)  # a hat lies where hair would, and stays as hair does
FACE_LABELS = (4, 13)
POSE_CHANNELS, LABELS = 18, len(LIP)


def target_heatmaps(pose: Tensor, size: tuple[int, int]) -> Tensor:
    """Discs of radius 4 (in a picture 256 high; they scale with it) around COCO-18 joints: (B,25,3) -> (B,18,H,W).

    In {-1, 1}. Source: MG-VTON, section 3.
    """
    return pose_heatmaps(pose, size, kind="disc", radius=RADII["disc"] * size[0] / 256) * 2 - 1


def without_clothes(person: Tensor, parse: Tensor) -> Tensor:
    """The reference with grey (0) where it shows the top: person (B,3,H,W) in [-1,1] and parse (B,H,W) -> (B,3,H,W).

    Source: MG-VTON, section 3.2, I_w/o_clothes. Trousers and shoes stay: they are to be seen in the result.
    """
    return torch.where(label_mask(parse, TOP_LABELS), 0.0, person)


def signed_one_hot(parse: Tensor) -> Tensor:
    """All 20 labels as channels in {-1, 1}: (B,H,W) -> (B,20,H,W)."""
    return one_hot(parse, groups=LIP) * 2 - 1


def batch_pose(pose: Tensor, sample: TryOnSample) -> Tensor:
    """The pose on the sample's device. Raises ValueError for another shape than (B,25,3) for a batch of B."""
    expected = (len(sample.person), 25, 3)
    if tuple(pose.shape) != expected:
        raise ValueError(f"pose: expected {expected} to go with the samples, got {tuple(pose.shape)}")
    return pose.to(sample.person)


def parsing_inputs(sample: TryOnSample, pose: Tensor, kept: tuple[tuple[int, ...], ...]) -> Tensor:
    """What the conditional parsing network sees, for a batch: (B, len(kept) + 22, H, W) in [-1,1].

    Channels: a mask for each tuple of labels in `kept`, taken from the reference's parse (the paper's: hair, then
    face); its body shape; 18 joints of the new pose (B,25,3); the garment, RGB on white. With the paper's two masks
    these are the paper's 24 channels. Source: MG-VTON, section 3.1.
    Raises ValueError, naming the sample, for a missing garment, mask or parse.
    """
    sample.require("garment", "parse")
    pose = batch_pose(pose, sample)
    masks = torch.cat([label_mask(sample.parse, labels) for labels in kept], 1).to(sample.person.dtype)
    maps = torch.cat([masks, body_shape(sample.parse)], 1) * 2 - 1
    return torch.cat([maps, target_heatmaps(pose, sample.size), sample.garment.on_white()], 1)
