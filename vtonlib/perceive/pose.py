"""Preprocessing step 1: from a photograph to 25 joints of the body and 21 points of each hand.

`PoseNet` is a small network in the shape of an hourglass (Newell et al. 2016): it looks at ever coarser maps, so that a
wrist is judged by the whole body, and goes back up to maps of a quarter of the size, one a keypoint. Each map is a
*probability*: that the keypoint lies in this cell, all cells and the answer "not in this picture" adding up to 1. So a
map knows how sure it is, and a point that is not there has an empty map without any weighting of losses.

Weights come from the studio alone (`vtonlib.systems.pose_training`). OpenPose's JSON is written and read by
`vtonlib.layouts.files.encode_keypoints` and `read_keypoints`; skeletons are drawn by `vtonlib.represent.draw_skeleton`.

Convention: pictures are RGB in [-1, 1]; keypoints are index coordinates (x, y) of the picture given, left and right the
person's own, confidence 0 = not seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtonlib.checkpoints import WEIGHTS_FOLDER, load_trained
from vtonlib.labels import BODY_25, BODY_25_INDEX, BODY_25_MIRROR
from vtonlib.perceive.fitting import as_batch, fitted
from vtonlib.perceive.keypoints import blur, decode_heatmaps
from vtonlib.training import config_from

FILE = "pose.safetensors"
BODY, HAND = len(BODY_25), 21
POINTS = BODY + 2 * HAND  # of all maps: the body, the left hand, the right hand
# What each map becomes in the mirror image: left and right change places.
POINTS_MIRROR = (*BODY_25_MIRROR, *range(BODY + HAND, POINTS), *range(BODY, BODY + HAND))
STRIDE = 4
HIPS = ("studio", "openpose")
# OpenPose puts hips (8, 9, 12) higher than the studio, which has the centres of the joints: by this share of the way
# from the mid-hip to the neck. Measured on three photographs, which is few: fitted on two of them it is 0.14 to 0.20;
# see `vtonlib.systems.pose_scores.fit_hips` and benchmarks/results/perceive-pose.json.
OPENPOSE_HIPS = 0.184
THRESHOLD = 0.1
WORTHWHILE = 1.3  # a second look has to show the person this much larger


@dataclass(frozen=True, kw_only=True)
class PoseConfig:
    """What a pose network is built from, and the size that it works at.

    size: height and width of the pictures that it sees, multiples of 4. stem: channels at half the size. widths:
    channels at a quarter, an eighth, and so on; blocks: residual blocks of each. head: channels on the way back up.
    body_sigma, hand_sigma: standard deviation of the Gaussians that it learns, in cells of a map (4 pixels).
    Raises ValueError for a size that is no multiple of 4 or numbers that don't fit together.
    """

    size: tuple[int, int] = (256, 192)
    stem: int = 24
    widths: tuple[int, ...] = (48, 80, 112, 128)
    blocks: tuple[int, ...] = (1, 1, 1, 1)
    head: int = 64
    body_sigma: float = 1.5
    hand_sigma: float = 1.0

    def __post_init__(self) -> None:
        for name in ("size", "widths", "blocks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON gives a list back
        if len(self.size) != 2 or any(side % STRIDE or side < 32 for side in self.size):
            raise ValueError(f"PoseConfig: expected a size of two multiples of {STRIDE} from 32 on, got {self.size}")
        if len(self.widths) != len(self.blocks) or len(self.widths) < 2 or min(*self.widths, self.stem, self.head) < 1:
            raise ValueError(f"PoseConfig: expected as many blocks as widths, got {self.blocks} and {self.widths}")
        if min(self.blocks) < 0 or not (self.body_sigma > 0 and self.hand_sigma > 0):
            raise ValueError(f"PoseConfig: blocks and sigmas out of range: {self}")


def convolution(channels: int, out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; at stride 1 the size stays."""
    layer = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """x + two 3x3 convolutions (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.body = nn.Sequential(convolution(width, width), last, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.body(x))


class PoseNet(nn.Module):
    """Pictures (B,3,H,W) in [-1,1], H and W multiples of 4 -> scores (B,67,H/4,W/4) and absence (B,67), both logits.

    Channels: 25 joints of the body, 21 points of the left hand, 21 of the right. `heatmaps_of` makes maps of them.
    """

    def __init__(self, config: PoseConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = convolution(3, config.stem, kernel=5, stride=2)
        self.stages = nn.ModuleList()
        channels = config.stem
        for width, blocks in zip(config.widths, config.blocks, strict=True):
            residuals = [Residual(width) for _ in range(blocks)]
            self.stages.append(nn.Sequential(convolution(channels, width, stride=2), *residuals))
            channels = width
        self.sides = nn.ModuleList(nn.Conv2d(width, config.head, 1) for width in config.widths)
        self.mixes = nn.ModuleList(convolution(config.head, config.head) for _ in config.widths)
        self.maps = nn.Conv2d(config.head, POINTS, 1)
        self.absent = nn.Linear(channels, POINTS)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        if picture.ndim != 4 or picture.shape[1] != 3 or any(side % STRIDE for side in picture.shape[2:]):
            expected = f"picture: expected (B, 3, H, W) with multiples of {STRIDE}"
            raise ValueError(f"{expected}, got {tuple(picture.shape)}")
        maps, x = [], self.stem(picture)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        absent = self.absent(x.mean((2, 3)))
        x = self.mixes[-1](self.sides[-1](x))
        for features, side, mix in reversed(list(zip(maps, self.sides, self.mixes, strict=True))[:-1]):
            x = functional.interpolate(x, features.shape[-2:], mode="nearest")
            x = mix(x + side(features))
        return self.maps(x), absent


def point_sigmas(config: PoseConfig, device: torch.device | str = "cpu") -> Tensor:
    """Standard deviation (67,) of each keypoint's Gaussian, in cells."""
    return torch.tensor([config.body_sigma] * BODY + [config.hand_sigma] * 2 * HAND, device=device)


def log_probabilities(scores: Tensor, absent: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B,K,h,w) and (B,K) -> logarithms of the probabilities of each cell (B,K,h*w), and of absence (B,K)."""
    together = torch.cat([scores.flatten(2), absent.unsqueeze(2)], 2).log_softmax(2)
    return together[..., :-1], together[..., -1]


def heatmaps_of(scores: Tensor, absent: Tensor, sigmas: Tensor) -> Tensor:
    """Probability maps (B,K,h,w) in units of a perfect peak: a Gaussian of the standard deviation sigmas (K,) that
    stands for probability 1 is 1 high. A keypoint that may be in two places has two lower peaks."""
    cells, _ = log_probabilities(scores, absent)
    return cells.exp().view_as(scores) * (2 * math.pi * sigmas**2).view(1, -1, 1, 1)


def shift_hips(pose: Tensor, share: float) -> Tensor:
    """Poses (...,25,3) with mid-hip, right and left hip moved by `share` of the way from the mid-hip to the neck.

    Hips stay where they are if neck or mid-hip is not seen, for then there is no way to measure.
    """
    neck, middle = pose[..., BODY_25_INDEX["neck"], :], pose[..., BODY_25_INDEX["mid-hip"], :]
    known = ((neck[..., 2] > 0) & (middle[..., 2] > 0))[..., None]
    step = torch.where(known, share * (neck - middle)[..., :2], 0.0)
    moved = pose.clone()
    for joint in (BODY_25_INDEX[name] for name in ("mid-hip", "right-hip", "left-hip")):
        moved[..., joint, :2] += torch.where(pose[..., joint, 2:] > 0, step, 0.0)
    return moved


class PoseEstimator:
    """Finds the keypoints of one person in a picture of any size.

    network: a `PoseNet`; its own device is used. hips: "studio", the centres of the joints, which it was trained on, or
    "openpose", where OpenPose has them: `OPENPOSE_HIPS` higher. threshold: a keypoint with a confidence below it is not
    seen. mirror: look at the mirror image too and take the mean of both maps; takes twice as long. again: where the
    person turns out small, look a second time at that part of the picture only (see `person_window`).
    Raises ValueError for an unknown hips or a threshold outside [0, 1].
    """

    def __init__(
        self,
        network: PoseNet,
        *,
        hips: str = "studio",
        threshold: float = THRESHOLD,
        mirror: bool = True,
        again: bool = True,
    ) -> None:
        if hips not in HIPS:
            raise ValueError(f"hips: expected one of {', '.join(HIPS)}, got {hips!r}")
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold: expected a number in [0, 1], got {threshold}")
        self.network, self.hips, self.threshold = network.eval(), hips, threshold
        self.mirror, self.again = mirror, again

    @torch.no_grad()
    def __call__(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Picture (3,H,W) or pictures (B,3,H,W) in [-1,1] -> pose (25,3) and hands (2,21,3), left first, or with B.

        Works at the network's size: the picture is reduced (or enlarged) with its aspect kept, and grey fills the rest.
        Results are index coordinates of the picture given and lie within it; confidence in (0, 1], or (0, 0, 0) for
        what is not seen. It is the height of the peak against that of a perfect one.
        Raises ValueError for another shape, and for values that are not finite or far outside [-1, 1].
        """
        pictures = as_batch(picture).to(next(self.network.parameters()).device)
        points = self._look(pictures)
        if self.again:
            for index, first in enumerate(points.clone()):
                window = person_window(first[:BODY], tuple(pictures.shape[-2:]), self.network.config.size)
                if window is not None:
                    left, top, right, bottom = window
                    second = self._look(pictures[index : index + 1, :, top:bottom, left:right])[0]
                    start = second.new_tensor([left, top, 0.0])
                    points[index] = torch.where(second[:, 2:] > 0, second + start, 0.0)
        pose, hands = points[:, :BODY], points[:, BODY:].unflatten(1, (2, HAND))
        if self.hips == "openpose":
            pose = shift_hips(pose, OPENPOSE_HIPS)
        return (pose, hands) if picture.ndim == 4 else (pose[0], hands[0])

    def _look(self, pictures: Tensor) -> Tensor:
        """Points (B,67,3) of pictures (B,3,H,W) of any size, in their pixels."""
        inside, scale, offset = fit_inside(pictures, self.network.config.size)
        points = self.in_size(inside, threshold=0.0)
        xy = (points[..., :2] - offset + 0.5) / scale - 0.5
        size, cell = tuple(pictures.shape[-2:]), STRIDE / float(scale.min())
        return settled(torch.cat([xy, points[..., 2:]], -1), size, self.threshold, cell)

    @torch.no_grad()
    def in_size(self, pictures: Tensor, threshold: float | None = None) -> Tensor:
        """Points (B,67,3) of pictures (B,3,H,W) as they are, multiples of 4 high and wide, in their pixels.

        threshold: instead of the estimator's own.
        """
        points = self._points(self.heatmaps(pictures))
        xy = points[..., :2] * STRIDE + (STRIDE - 1) / 2
        threshold = self.threshold if threshold is None else threshold
        return settled(torch.cat([xy, points[..., 2:]], -1), tuple(pictures.shape[-2:]), threshold, STRIDE)

    @torch.no_grad()
    def heatmaps(self, pictures: Tensor) -> Tensor:
        """Maps (B,67,h,w) of pictures (B,3,H,W) at the network's size, see `heatmaps_of`."""
        sigmas = point_sigmas(self.network.config, pictures.device)
        maps = heatmaps_of(*self.network(pictures), sigmas)
        if not self.mirror:
            return maps
        other = heatmaps_of(*self.network(pictures.flip(-1)), sigmas)
        return (maps + other.flip(-1)[:, list(POINTS_MIRROR)]) / 2

    def _points(self, maps: Tensor) -> Tensor:
        """Points (B,67,3) in cells of the maps, with confidence at most 1."""
        config, found = self.network.config, []
        for part, sigma in ((maps[:, :BODY], config.body_sigma), (maps[:, BODY:], config.hand_sigma)):
            # Blurred by its own width a perfect peak is half as high.
            points, peak = decode_heatmaps(2 * blur(part, sigma))
            found.append(torch.cat([points, peak.clamp(max=1.0).unsqueeze(-1)], -1))
        return torch.cat(found, 1)


def settled(points: Tensor, size: tuple[int, int], threshold: float, reach: float) -> Tensor:
    """Points (...,3) inside a picture of this size, and (0, 0, 0) for what is not seen: where the confidence is below
    the threshold, or the point lies more than `reach` pixels beyond the border.

    A point less far beyond belongs to a joint that was learnt as seen, and is put on the border's pixel.
    """
    last = torch.tensor([size[1] - 1, size[0] - 1], device=points.device, dtype=points.dtype)
    xy = torch.minimum(points[..., :2].clamp(min=0), last)
    near = ((xy - points[..., :2]).abs() <= reach).all(-1, keepdim=True)
    seen = (points[..., 2:] >= max(threshold, 1e-6)) & near
    return torch.where(seen, torch.cat([xy, points[..., 2:]], -1), 0.0)


def person_window(pose: Tensor, size: tuple[int, int], inside: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The part of a picture that a person fills: left, top, right, bottom in whole pixels, right and bottom excluded.

    pose (25,3) in a picture of `size`; inside: the size at which the network sees it. None where fewer than 4 joints
    are seen, or where that part would be seen less than `WORTHWHILE` times as large as in the whole picture. Around the
    joints a quarter of their longer extent is added on each side, for the hair, the hands and errors.
    """
    found = pose[pose[:, 2] > 0, :2]
    if len(found) < 4:
        return None
    low, high = found.amin(0), found.amax(0)
    extent = max(float((high - low).max()), max(size) / 8)  # all joints in one place is no person to look at closely
    middle, half = (low + high) / 2, torch.clamp(high - low, min=extent / 2) / 2 + extent / 4
    left, top = (math.floor(value) for value in (middle - half).clamp(min=0).tolist())
    right, bottom = (math.ceil(value) + 1 for value in (middle + half).tolist())
    right, bottom = min(right, size[1]), min(bottom, size[0])
    whole = min(inside[0] / size[0], inside[1] / size[1])
    gain = min(inside[0] / (bottom - top), inside[1] / (right - left)) / whole
    return (left, top, right, bottom) if gain >= WORTHWHILE else None


def fit_inside(pictures: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (B,3,H,W) resized into `size` with their aspect kept, centred, grey (0) around.

    Returns them (B,3,height,width), and scale and offset (2,) as x, y: the point x of the picture given is now at
    (x + 0.5) * scale - 0.5 + offset.
    """
    height, width = pictures.shape[-2:]
    inside, (left, top, right, bottom) = fitted(pictures, size)
    scale = pictures.new_tensor([(right - left) / width, (bottom - top) / height])
    return inside, scale, pictures.new_tensor([left, top])


def load_pose(weights: str | Path = "course", device: str | torch.device = "cpu", **options) -> PoseEstimator:
    """A trained pose estimator. weights: "course" or a weights file; options: those of `PoseEstimator`.

    Raises FileNotFoundError where there is no such file, saying which command makes it, and ValueError for the weights
    of another network.
    """
    file = WEIGHTS_FOLDER / FILE if weights == "course" else Path(weights)
    command = f"python -m vtonlib train pose --data data/wild data/benchmark --out runs/pose --weights {file}"

    def build(config: dict) -> PoseNet:
        return PoseNet(config_from(PoseConfig, config))

    network, _ = load_trained(file, build, system="perceive", stage="pose", command=command)
    return PoseEstimator(network.to(device), **options)
