"""U2-Net: a U-Net each of whose stages is a small U-Net itself, so that every stage sees far and near at once.

Source: Qin et al. 2020, "U2-Net: Going Deeper with Nested U-Structure for Salient Object Detection", section 3, figures
2 (the RSU block) and 5 (the network), table 1 (channels). Two sizes: "u2net" (44.0 million parameters) and the small
"u2netp" (1.13 million). Names in the state dict are those of the published weights, so these load as they are.

A salient object is whatever stands out. For try-on it is the garment of a shop picture, so U2-Net, or a descendant of
it, makes the garment masks of several data sets.

Convention: pictures are RGB in [-1, 1]; `published_input` makes of them what the published weights were trained on.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtonlib.checkpoints import load_weights, read_metadata

PUBLISHED_SIZE = (320, 320)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDES = 6


@dataclass(frozen=True, kw_only=True)
class U2NetConfig:
    """Channels of a U2-Net. Raises ValueError for another number of them.

    encoder: (mid, out) of the six stages on the way down; decoder: (mid, out) of stages 5d to 1d on the way up.
    """

    encoder: tuple[tuple[int, int], ...]
    decoder: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        for name, count in (("encoder", 6), ("decoder", 5)):
            pairs = tuple(tuple(pair) for pair in getattr(self, name))  # JSON gives lists back
            object.__setattr__(self, name, pairs)
            if len(pairs) != count or any(len(pair) != 2 or min(pair) < 1 for pair in pairs):
                raise ValueError(f"U2NetConfig: {name}: expected {count} pairs of positive channels, got {pairs}")


U2NET = U2NetConfig(
    encoder=((32, 64), (32, 128), (64, 256), (128, 512), (256, 512), (256, 512)),
    decoder=((256, 512), (128, 256), (64, 128), (32, 64), (16, 64)),
)
U2NETP = U2NetConfig(encoder=((16, 64),) * 6, decoder=((16, 64),) * 5)
CONFIGS = {"u2net": U2NET, "u2netp": U2NETP}


class ConvNormReLU(nn.Module):
    """3x3 convolution (dilated), batch normalisation, ReLU; the size stays."""

    def __init__(self, channels: int, out: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation)
        self.bn_s1 = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn_s1(self.conv_s1(x)), inplace=True)


def halved(x: Tensor) -> Tensor:
    """Maximum over 2x2 pixels, sizes rounded up."""
    return functional.max_pool2d(x, 2, 2, ceil_mode=True)


def resized_like(x: Tensor, other: Tensor) -> Tensor:
    """(B, C, h, w) bilinearly at the size of `other`, corners not aligned."""
    return functional.interpolate(x, other.shape[-2:], mode="bilinear", align_corners=False)


class RSU(nn.Module):
    """Residual U-block of a height L: a U-Net of L - 1 levels, added to the features that it was given.

    (B, channels, H, W) -> (B, out, H, W); mid: channels inside. The bottom is dilated by 2 instead of halved.
    dilated: the block RSU-4F, in which dilations 1, 2, 4, 8 take the place of all halvings, for maps that are small
    already. Source: section 3.1.
    """

    def __init__(self, height: int, channels: int, mid: int, out: int, *, dilated: bool = False) -> None:
        super().__init__()
        self.height, self.dilated = height, dilated
        dilations = [2**level for level in range(height)] if dilated else [1] * (height - 1) + [2]
        self.rebnconvin = ConvNormReLU(channels, out)
        for level, dilation in enumerate(dilations, start=1):
            self.add_module(f"rebnconv{level}", ConvNormReLU(out if level == 1 else mid, mid, dilation))
        for level in range(height - 1, 0, -1):
            dilation = dilations[level - 1] if dilated else 1
            self.add_module(f"rebnconv{level}d", ConvNormReLU(2 * mid, out if level == 1 else mid, dilation))

    def forward(self, x: Tensor) -> Tensor:
        given = y = self.rebnconvin(x)
        maps = []
        for level in range(1, self.height):
            y = getattr(self, f"rebnconv{level}")(y if level == 1 or self.dilated else halved(y))
            maps.append(y)
        y = getattr(self, f"rebnconv{self.height}")(y)
        for level in range(self.height - 1, 0, -1):
            skip = maps[level - 1]
            y = y if y.shape[-2:] == skip.shape[-2:] else resized_like(y, skip)
            y = getattr(self, f"rebnconv{level}d")(torch.cat([y, skip], 1))
        return y + given


class U2Net(nn.Module):
    """Six nested stages down, five up, a map from each of six depths, and their mixture.

    The module's call gives probabilities, as the published one; `logits` what comes before the sigmoid, which is what a
    loss should take.
    """

    def __init__(self, config: U2NetConfig = U2NETP) -> None:
        super().__init__()
        self.config = config
        heights, channels = (7, 6, 5, 4, 4, 4), 3
        for stage, (height, (mid, out)) in enumerate(zip(heights, config.encoder, strict=True), start=1):
            self.add_module(f"stage{stage}", RSU(height, channels, mid, out, dilated=stage >= 5))
            channels = out
        side_channels = [channels]
        for stage, (mid, out) in zip(range(5, 0, -1), config.decoder, strict=True):
            joined = channels + config.encoder[stage - 1][1]
            self.add_module(f"stage{stage}d", RSU(heights[stage - 1], joined, mid, out, dilated=stage == 5))
            channels = out
            side_channels.insert(0, out)
        for side, width in enumerate(side_channels, start=1):
            self.add_module(f"side{side}", nn.Conv2d(width, 1, 3, padding=1))
        self.outconv = nn.Conv2d(SIDES, 1, 1)

    def logits(self, picture: Tensor) -> list[Tensor]:
        """(B, 3, H, W), 32 pixels or more a side -> seven maps (B, 1, H, W): the mixture, then depths 1 to 6.

        The picture is what `published_colours` gives. Raises ValueError for another shape.
        """
        if picture.ndim != 4 or picture.shape[1] != 3 or min(picture.shape[2:]) < 32:
            raise ValueError(f"U2Net: expected (B, 3, H, W) with 32 pixels or more a side, got {tuple(picture.shape)}")
        maps, y = [], picture
        for stage in range(1, 7):
            y = getattr(self, f"stage{stage}")(y if stage == 1 else halved(y))
            maps.append(y)
        for stage in range(5, 0, -1):
            y = getattr(self, f"stage{stage}d")(torch.cat([resized_like(y, maps[stage - 1]), maps[stage - 1]], 1))
            maps[stage - 1] = y
        sides = [getattr(self, f"side{side}")(features) for side, features in enumerate(maps, start=1)]
        sides = [sides[0], *(resized_like(side, sides[0]) for side in sides[1:])]
        return [self.outconv(torch.cat(sides, 1)), *sides]

    def forward(self, picture: Tensor) -> list[Tensor]:
        """As `logits`, in [0, 1]."""
        return [torch.sigmoid(each) for each in self.logits(picture)]


def published_colours(picture: Tensor) -> Tensor:
    """A picture (B, 3, H, W) in [-1, 1] in the colours that the published weights were trained on.

    Each picture in [0, 1] is divided by its largest value (unless it is black), then ImageNet's mean is taken off and
    the result divided by its deviation. Raises ValueError for another shape.
    """
    if picture.ndim != 4 or picture.shape[1] != 3:
        raise ValueError(f"picture: expected (B, 3, H, W), got {tuple(picture.shape)}")
    levels = (picture + 1) / 2
    brightest = levels.amax((1, 2, 3), keepdim=True)
    levels = levels / torch.where(brightest > 1e-6, brightest, 1.0)
    return (levels - levels.new_tensor(IMAGENET_MEAN)[:, None, None]) / levels.new_tensor(IMAGENET_STD)[:, None, None]


def published_input(picture: Tensor) -> Tensor:
    """A picture (B, 3, H, W) in [-1, 1] as the published weights take it: (B, 3, 320, 320), see `published_colours`.

    As in the release the aspect is not kept: a tall picture is squashed. Reductions are antialiased.
    """
    squashed = functional.interpolate(picture, PUBLISHED_SIZE, mode="bilinear", align_corners=False, antialias=True)
    return published_colours(squashed.clamp(-1, 1))


def published_output(probabilities: Tensor, size: tuple[int, int]) -> Tensor:
    """The first map (B, 1, h, w) of the published network -> values (B, 1, H, W) in [0, 1] at the picture's size.

    As in the release the smallest value of each picture becomes 0 and the largest 1, so there is a salient object in
    every picture, be it empty. A constant map becomes 0.
    """
    low, high = probabilities.amin((1, 2, 3), keepdim=True), probabilities.amax((1, 2, 3), keepdim=True)
    spread = (probabilities - low) / torch.where(high > low, high - low, 1.0)
    return functional.interpolate(spread, size, mode="bilinear", align_corners=False)


def load_u2net(path: str | Path, name: str = "u2netp", *, device: str | torch.device = "cpu") -> U2Net:
    """A U2-Net with weights from a file, frozen and in eval mode.

    path: the release's u2net.pth or u2netp.pth (read by PyTorch's restricted loader, which runs no code), or
    safetensors with the same names. name: "u2net" or "u2netp".
    Raises FileNotFoundError; ValueError for another name, for a file that holds more than tensors, and for weights of
    another network, naming what is missing, unexpected or of another shape.
    """
    if name not in CONFIGS:
        raise ValueError(f"name: expected one of {', '.join(CONFIGS)}, got {name!r}")
    path, network = Path(path), U2Net(CONFIGS[name])
    if path.suffix == ".safetensors":
        load_weights(path, network)
    else:
        _load_state(path, network, name)
    return network.to(device).eval().requires_grad_(False)


def _load_state(path: Path, network: U2Net, name: str) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file; expected the published {name}.pth, or safetensors")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{path}: expected a state dict of tensors and nothing else ({error})") from error
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
        raise ValueError(f"{path}: expected a state dict of tensors, got {type(state).__name__}")
    state = {key.removeprefix("module."): value for key, value in state.items()}  # saved from several devices
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path}: does not fit {name}: {error}") from error


def is_course_file(path: str | Path) -> bool:
    """Whether a weights file was written by this project's training (its metadata says so), not by the release."""
    path = Path(path)
    return path.suffix == ".safetensors" and read_metadata(path).get("system") == "perceive"
