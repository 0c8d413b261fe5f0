"""A-CE2P, the parser of SCHP, at its published size: what takes the published weights.

A ResNet-101 sees a picture of 473x473. Pyramid pooling gives it context, a decoder joins that with fine features and
labels each place ("parsing"), a second branch finds the borders between labels ("edge"), and a last small piece labels
once more from the features of both ("fused"), which is the answer. 66,723,928 parameters and 603 names in the state
dict, those of the published checkpoints, so a file of theirs is taken as it is.

Sources: Ruan et al. 2019 (CE2P) for the network, Li et al. 2020 (SCHP, Self-Correction for Human Parsing), section 3.1,
for A-CE2P. Two habits of the release are kept, as its weights mean nothing without them: the scale of a normalisation
is |weight| + 1e-5, whatever the sign of the weight (its in-place activated batch normalisation); and resizing inside
the network, and back to the picture, puts corner pixels onto corner pixels.

Convention: pictures are RGB in [-1, 1] at the door; the network itself sees blue, green, red. Parse maps are VITON-HD's
(10 = neck) unless a name says LIP (10 = jumpsuits), see `vtonlib.perceive.lip_labels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtonlib.checkpoints import read_tensors
from vtonlib.labels import LIP
from vtonlib.perceive.lip_labels import viton_hd_from_lip

PARAMETERS, NAMES = 66_723_928, 603
MEAN_BGR, DEVIATION_BGR = (0.406, 0.456, 0.485), (0.225, 0.224, 0.229)  # ImageNet's, blue first
POOLED_SIDES = (1, 2, 3, 6)


@dataclass(frozen=True, kw_only=True)
class ACE2PConfig:
    """What an A-CE2P network is built from; the defaults are the published one's for LIP.

    labels: of the parse map. blocks: bottlenecks in each of the four layers. width: channels of a bottleneck in the
    first layer, which all other widths are multiples of. side: height and width of the square it sees.
    Raises ValueError for a width that is no multiple of 4, or other than four layers.
    """

    labels: int = len(LIP)
    blocks: tuple[int, ...] = (3, 4, 23, 3)
    width: int = 64
    side: int = 473

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))  # JSON gives a list back
        if len(self.blocks) != 4 or min(self.blocks) < 1:
            raise ValueError(f"ACE2PConfig: expected four numbers of blocks, each at least 1, got {self.blocks}")
        if self.width < 4 or self.width % 4:
            raise ValueError(f"ACE2PConfig: width: expected a multiple of 4, got {self.width}")


class Parsing(NamedTuple):
    """Logits at a quarter of the size (119 for 473): parsing and fused (B, labels, h, w), edge (B, 2, h, w)."""

    parsing: Tensor
    fused: Tensor
    edge: Tensor


class ActivatedNorm(nn.Module):
    """Batch normalisation with the scale |weight| + eps, and a leaky ReLU of this slope behind it (1: none).

    It keeps no count of batches, as the published state dict has none.
    Source: Rota Bulo et al. 2018 (in-place activated batch normalisation), which needs an invertible scale.
    """

    def __init__(self, channels: int, *, slope: float = 0.01, eps: float = 1e-5) -> None:
        super().__init__()
        self.slope, self.eps = slope, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> the same shape."""
        scale = self.weight.abs() + self.eps
        x = functional.batch_norm(
            x, self.running_mean, self.running_var, scale, self.bias, training=self.training, eps=self.eps
        )
        return x if self.slope == 1 else functional.leaky_relu(x, self.slope)


def convolution(channels: int, out: int, side: int = 1, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size (at stride 1)."""
    return nn.Conv2d(channels, out, side, stride, dilation * (side // 2), dilation, bias=False)


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) -> (B, C, *size), bilinear, corner pixels onto corner pixels."""
    return functional.interpolate(x, size, mode="bilinear", align_corners=True)


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions: (B, C, H, W) -> (B, 4 * planes, H / stride, W / stride)."""

    def __init__(self, channels: int, planes: int, *, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = convolution(channels, planes)
        self.bn1 = ActivatedNorm(planes, slope=1)
        self.conv2 = convolution(planes, planes, 3, stride=stride, dilation=dilation)
        self.bn2 = ActivatedNorm(planes, slope=1)
        self.conv3 = convolution(planes, 4 * planes)
        self.bn3 = ActivatedNorm(4 * planes, slope=1)
        self.downsample = None
        if stride != 1 or channels != 4 * planes:
            shortcut = convolution(channels, 4 * planes, stride=stride)
            self.downsample = nn.Sequential(shortcut, ActivatedNorm(4 * planes, slope=1))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


def layer(channels: int, planes: int, blocks: int, *, stride: int, dilation: int = 1) -> nn.Sequential:
    """`blocks` bottlenecks behind one another; the first one has the stride."""
    rest = [Bottleneck(4 * planes, planes, stride=1, dilation=dilation) for _ in range(blocks - 1)]
    return nn.Sequential(Bottleneck(channels, planes, stride=stride, dilation=dilation), *rest)


class Context(nn.Module):
    """Pyramid pooling: the mean over 1, 2x2, 3x3 and 6x6 fields beside each place's own features.

    (B, channels, h, w) -> (B, out, h, w). Source: Zhao et al. 2017 (PSPNet), section 3.2.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(side), convolution(channels, out), ActivatedNorm(out))
            for side in POOLED_SIDES
        )
        joined = channels + len(POOLED_SIDES) * out
        self.bottleneck = nn.Sequential(convolution(joined, out, 3), ActivatedNorm(out))

    def forward(self, x: Tensor) -> Tensor:
        size = tuple(x.shape[-2:])
        return self.bottleneck(torch.cat([*(resized(stage(x), size) for stage in self.stages), x], 1))


class Decoder(nn.Module):
    """Context (B, 8w, h, w) and fine features (B, 4w, H, W) -> logits (B, labels, H, W), features (B, 4w, H, W)."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        wide, narrow = 4 * width, 3 * width // 4
        self.conv1 = nn.Sequential(convolution(8 * width, wide), ActivatedNorm(wide))
        self.conv2 = nn.Sequential(convolution(4 * width, narrow), ActivatedNorm(narrow))
        self.conv3 = nn.Sequential(
            convolution(wide + narrow, wide), ActivatedNorm(wide), convolution(wide, wide), ActivatedNorm(wide)
        )
        self.conv4 = nn.Conv2d(wide, labels, 1)

    def forward(self, context: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        coarse = resized(self.conv1(context), tuple(fine.shape[-2:]))
        features = self.conv3(torch.cat([coarse, self.conv2(fine)], 1))
        return self.conv4(features), features


class Edge(nn.Module):
    """Features of three layers -> logits (B, 2, H, W) of "border between labels", and features (B, 12w, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        wide = 4 * width
        self.conv1 = nn.Sequential(convolution(4 * width, wide), ActivatedNorm(wide))
        self.conv2 = nn.Sequential(convolution(8 * width, wide), ActivatedNorm(wide))
        self.conv3 = nn.Sequential(convolution(16 * width, wide), ActivatedNorm(wide))
        self.conv4 = nn.Conv2d(wide, 2, 3, padding=1)
        self.conv5 = nn.Conv2d(6, 2, 1)

    def forward(self, first: Tensor, second: Tensor, third: Tensor) -> tuple[Tensor, Tensor]:
        size = tuple(first.shape[-2:])
        features = [self.conv1(first), self.conv2(second), self.conv3(third)]
        edges = torch.cat([resized(self.conv4(each), size) for each in features], 1)
        return self.conv5(edges), torch.cat([resized(each, size) for each in features], 1)


class ACE2P(nn.Module):
    """The network. Its part names, "fushion" among them, are those of the published state dict."""

    def __init__(self, config: ACE2PConfig = ACE2PConfig()) -> None:
        super().__init__()
        self.config = config
        width, blocks = config.width, config.blocks
        self.conv1, self.bn1 = convolution(3, width, 3, stride=2), ActivatedNorm(width, slope=1)
        self.conv2, self.bn2 = convolution(width, width, 3), ActivatedNorm(width, slope=1)
        self.conv3, self.bn3 = convolution(width, 2 * width, 3), ActivatedNorm(2 * width, slope=1)
        self.layer1 = layer(2 * width, width, blocks[0], stride=1)
        self.layer2 = layer(4 * width, 2 * width, blocks[1], stride=2)
        self.layer3 = layer(8 * width, 4 * width, blocks[2], stride=2)
        self.layer4 = layer(16 * width, 8 * width, blocks[3], stride=1, dilation=2)
        self.context_encoding = Context(32 * width, 8 * width)
        self.edge = Edge(width)
        self.decoder = Decoder(width, config.labels)
        self.fushion = nn.Sequential(
            convolution(16 * width, 4 * width),
            ActivatedNorm(4 * width),
            nn.Dropout2d(0.1),
            nn.Conv2d(4 * width, config.labels, 1),
        )

    def forward(self, x: Tensor) -> Parsing:
        """(B, 3, H, W), blue, green, red as `schp_input` gives them, -> logits at a quarter of the size.

        Raises ValueError for another shape.
        """
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"ACE2P: expected pictures (B, 3, H, W), got {tuple(x.shape)}")
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = functional.relu(norm(conv(x)))
        first = self.layer1(functional.max_pool2d(x, 3, 2, 1))
        second = self.layer2(first)
        third = self.layer3(second)
        context = self.context_encoding(self.layer4(third))
        parsing, features = self.decoder(context, first)
        edge, edge_features = self.edge(first, second, third)
        return Parsing(parsing, self.fushion(torch.cat([features, edge_features], 1)), edge)


def _square_grid(size: tuple[int, int], target: tuple[int, int], like: Tensor) -> Tensor:
    """Grid (B, *target, 2), align_corners=True, for looking up points of `target` in a picture of `size`.

    Both pictures share their centre, and the longer side of one spans that of the other, corner pixel to corner pixel.
    """
    longest, span = max(target) - 1, max(size) - 1
    axes = [
        torch.linspace(-(n - 1), n - 1, n, dtype=like.dtype, device=like.device) * (span / (longest * (m - 1)))
        for n, m in zip(target, size)
    ]
    y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y], -1).expand(len(like), -1, -1, -1)


def schp_input(picture: Tensor, side: int = 473) -> Tensor:
    """What the published networks see: (B,3,H,W) RGB in [-1,1] -> (B,3,side,side), blue, green, red, normalised.

    The longer side fills the square, the shorter one lies in its middle between black bars; lookup is bilinear without
    smoothing, as in the release.
    """
    levels = (picture.flip(1) + 1) / 2  # black is 0 and so is what lies outside
    grid = _square_grid(tuple(picture.shape[-2:]), (side, side), picture)
    square = functional.grid_sample(levels, grid, align_corners=True)
    mean, deviation = (square.new_tensor(values).view(3, 1, 1) for values in (MEAN_BGR, DEVIATION_BGR))
    return (square - mean) / deviation


def logits_on_picture(logits: Tensor, size: tuple[int, int], side: int = 473) -> Tensor:
    """Logits of the square (B,C,h,w) -> (B,C,*size): enlarged to the square, then taken back to the picture's place."""
    whole = resized(logits, (side, side))
    grid = _square_grid((side, side), size, logits)
    return functional.grid_sample(whole, grid, padding_mode="border", align_corners=True)


class SCHPParser:
    """Human parsing with a published SCHP network, behind the same face as the course's own parser.

    A picture keeps its aspect, see `schp_input`."""

    def __init__(self, net: ACE2P) -> None:
        self.net = net.eval()

    @torch.no_grad()
    def probabilities(self, picture: Tensor) -> Tensor:
        """(B,3,H,W) or (3,H,W) in [-1,1], any size from 2x2, -> (B,20,H,W) float32, over LIP's labels.

        Raises ValueError for another shape.
        """
        batch = picture[None] if picture.ndim == 3 else picture
        if batch.ndim != 4 or batch.shape[1] != 3 or min(batch.shape[-2:]) < 2:
            raise ValueError(f"SCHPParser: expected a picture (3, H, W) or (B, 3, H, W), got {tuple(picture.shape)}")
        side, device = self.net.config.side, next(self.net.parameters()).device
        fused = self.net(schp_input(batch.to(device, torch.float32), side)).fused
        return logits_on_picture(fused, tuple(batch.shape[-2:]), side).softmax(1)

    def lip(self, picture: Tensor) -> Tensor:
        """The parse map (B,H,W) int64 in LIP's own labels (10 = jumpsuits; the neck is face)."""
        return self.probabilities(picture).argmax(1)

    def __call__(self, picture: Tensor, pose: Tensor | None = None) -> Tensor:
        """The parse map (B,H,W) int64 in VITON-HD's labels, see `viton_hd_from_lip`, which needs the pose (B,25,3) or
        (25,3) in pixels of the picture: without it the neck stays face."""
        parse = self.lip(picture)
        if pose is not None and pose.ndim == 2:
            pose = pose[None]
        return viton_hd_from_lip(parse, None if pose is None else pose.to(parse.device))


def load_schp(
    path: str | Path, *, config: ACE2PConfig = ACE2PConfig(), device: str | torch.device = "cpu"
) -> SCHPParser:
    """The parser with the weights of a published checkpoint, such as exp-schp-201908261155-lip.pth (20 labels).

    path: the file as published (only tensors are read out of it, with PyTorch's restricted unpickler, which runs
    nothing of the file's), or safetensors with the same names, which opens faster:
    `save_weights(new, load_schp(old).net, {}, half=False)`. It does not come with the course; nothing is downloaded.
    Raises FileNotFoundError; ValueError for a file that holds anything but tensors, and naming what is missing,
    unexpected or of another shape.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file. SCHP's weights do not come with the course: get exp-schp-201908261155-lip.pth from "
            "the authors' page (see data_download) and name it here, or use the course's own parser"
        )
    state = _published_state(path)
    with torch.device("meta"):
        net = ACE2P(config)
    own = net.state_dict()
    faults = {
        "missing": [name for name in own if name not in state],
        "unexpected": [name for name in state if name not in own],
        "wrong shape": [
            f"{name} {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
            for name in own if name in state and state[name].shape != own[name].shape
        ],
    }  # fmt: skip
    if any(faults.values()):
        listed = "; ".join(f"{len(names)} {fault}: {', '.join(names[:4])}" for fault, names in faults.items() if names)
        raise ValueError(f"{path}: does not fit A-CE2P with {config.labels} labels: {listed}")
    net.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return SCHPParser(net.to(device).requires_grad_(False))


def _published_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name, without the "module." of a network that was trained on several cards."""
    import pickle

    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{":
        state, _ = read_tensors(path)
    else:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ValueError(f"{path}: expected a checkpoint of tensors alone, can't read it: {reason}") from error
        state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state or not all(torch.is_tensor(tensor) for tensor in state.values()):
        raise ValueError(f"{path}: expected tensors by name, or a dict with them under 'state_dict'")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}
