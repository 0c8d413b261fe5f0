"""Human parsing: from a photograph to one of 20 labels for every pixel (preprocessing step 2).

The network is a small relative of CE2P (Ruan et al. 2019, "Devil in the Details", section 3), on which SCHP (Li et al.
2020, section 3.1) builds, with its three ideas: a context module that pools the whole picture (PSP, Zhao et al. 2017,
section 3.2), a decoder that returns to fine maps, and a branch that looks for the edges between labels, whose features
are fused into the labels. A ResNet-101 has 66.7 million parameters there; here 1.2 million have to do.

Convention: labels are LIP-20 with 10 = neck (see `vtonlib.labels`), left and right are the person's own. Pictures are
RGB in [-1, 1]. A picture of another shape than the network's is padded with 0 (grey), never squashed; 0 is also what
convolutions see beyond the border, so padding is a border and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtonlib.checkpoints import WEIGHTS_FOLDER, load_trained
from vtonlib.labels import LIP, LIP_MIRROR, LIP_PALETTE
from vtonlib.perceive.fitting import as_batch, fitted
from vtonlib.training import config_from

SIZE = (256, 192)
IGNORED = 255  # in a parse map: nobody knows, or the pixel lies beyond the photograph
COMMAND = "python -m vtonlib train parsing --data data/wild data/benchmark --out runs/parsing --weights {file}"


@dataclass(frozen=True, kw_only=True)
class EdgeParserConfig:
    """What an `EdgeParser` is built from.

    widths: channels of the encoder's five stages, at 1/2, 1/4, ... 1/32 of the picture's size. bins: grids of the
    context module, in cells a side; context: channels of each. decoder: channels at 1/32 to 1/4, fine: at 1/2.
    edge: channels of the edge branch. labels: how many.
    Raises ValueError for another number of widths, or a value below 1.
    """

    widths: tuple[int, ...] = (24, 48, 96, 128, 112)
    bins: tuple[int, ...] = (1, 2, 3, 6)
    context: int = 28
    decoder: int = 64
    fine: int = 32
    edge: int = 16
    labels: int = len(LIP)

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # JSON gives lists back
        object.__setattr__(self, "bins", tuple(self.bins))
        if len(self.widths) != 5:
            raise ValueError(f"EdgeParserConfig: expected five widths, got {self.widths}")
        sizes = (*self.widths, *self.bins, self.context, self.decoder, self.fine, self.edge, self.labels)
        if min(sizes) < 1:
            raise ValueError(f"EdgeParserConfig: expected whole numbers from 1, got {sizes}")


def edges_of(parse: Tensor) -> Tensor:
    """Where labels meet: (B, H, W) int64 -> (B, H, W) bool, true on both sides of every boundary.

    A pixel is on an edge if one of its four neighbours has another label; pixels that are `IGNORED` make no edge, and
    neither does the border of the picture. Source: CE2P, section 3.3, whose edges are drawn from the labels as well.
    Raises ValueError for another shape.
    """
    if parse.ndim != 3:
        raise ValueError(f"edges_of: expected label maps (B, H, W), got {tuple(parse.shape)}")
    edges = torch.zeros_like(parse, dtype=torch.bool)
    for axis in (1, 2):
        count = parse.shape[axis] - 1
        if count < 1:
            continue
        one, other = parse.narrow(axis, 0, count), parse.narrow(axis, 1, count)
        differ = (one != other) & (one != IGNORED) & (other != IGNORED)
        edges.narrow(axis, 0, count).logical_or_(differ)
        edges.narrow(axis, 1, count).logical_or_(differ)
    return edges


def label_colours(parse: Tensor) -> Tensor:
    """Labels (..., H, W) in the colours of the VITON-HD files, (..., 3, H, W) float32 in [-1, 1]."""
    palette = torch.tensor(LIP_PALETTE, device=parse.device, dtype=torch.float32) / 127.5 - 1
    return palette[parse].movedim(-1, -3)


# ---- the network ---------------------------------------------------------------------------------------------------


def convolution(channels: int, width: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    layer = nn.Conv2d(channels, width, size, stride, size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(layer, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))
        nn.init.zeros_(self.second[1].weight)  # begins as the identity, which trains faster (Goyal et al. 2017)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return functional.relu(x + self.second(self.first(x)))


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, (B, C, H, W) to another height and width; pixel centres at halves (align_corners=False)."""
    return x if x.shape[-2:] == size else functional.interpolate(x, size, mode="bilinear", align_corners=False)


class Context(nn.Module):
    """Pyramid pooling: means over grids of 1x1 to 6x6 cells, spread over the map again beside the map itself.

    Whether an arm is a left or a right one can't be seen on the arm: it takes the face, the feet and the torso.
    Source: Zhao et al. 2017, section 3.2.
    """

    def __init__(self, channels: int, bins: tuple[int, ...], width: int, out: int) -> None:
        super().__init__()
        self.bins = bins
        # without normalisation: at 1x1 there is one value a picture, and a batch of one could not be normalised
        self.sides = nn.ModuleList(nn.Conv2d(channels, width, 1) for _ in bins)
        self.mix = convolution(channels + width * len(bins), out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out, H, W)."""
        size = tuple(x.shape[-2:])
        pooled = [
            resized(functional.relu(side(functional.adaptive_avg_pool2d(x, cells))), size)
            for cells, side in zip(self.bins, self.sides, strict=True)
        ]
        return self.mix(torch.cat([x, *pooled], 1))


class Join(nn.Module):
    """One step of the decoder: a coarse map enlarged, plus what the encoder saw at the finer size, mixed."""

    def __init__(self, coarse: int, skip: int, width: int) -> None:
        super().__init__()
        self.coarse = nn.Identity() if coarse == width else nn.Conv2d(coarse, width, 1)
        self.skip = nn.Conv2d(skip, width, 1)
        self.mix = convolution(width, width)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """(B, C, h, w), (B, D, H, W) -> (B, width, H, W)."""
        return self.mix(resized(self.coarse(coarse), tuple(skip.shape[-2:])) + self.skip(skip))


class EdgeParser(nn.Module):
    """Encoder, context, decoder and edge branch (see the module); labels and edges are predicted at half the size."""

    def __init__(self, config: EdgeParserConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EdgeParserConfig()
        widths, decoder = config.widths, config.decoder
        stages = [nn.Sequential(convolution(3, widths[0], stride=2), convolution(widths[0], widths[0]))]
        for before, width in pairwise(widths):
            stages.append(nn.Sequential(convolution(before, width, stride=2), Residual(width)))
        self.stages = nn.ModuleList(stages)
        self.context = Context(widths[4], config.bins, config.context, decoder)
        self.joins = nn.ModuleList(Join(decoder, width, decoder) for width in reversed(widths[1:4]))
        self.fine = Join(decoder, widths[0], config.fine)
        self.edge_sides = nn.ModuleList(nn.Conv2d(width, config.edge, 1) for width in widths[:3])
        self.edge_mix = convolution(config.edge, config.edge)
        self.edge = nn.Conv2d(config.edge, 1, 1)
        self.fusion = convolution(config.fine + config.edge, config.fine, 1)
        self.labels = nn.Conv2d(config.fine, config.labels, 1)

    def half_size(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, labels, h, w) and edge logits (B, 1, h, w) of pictures (B, 3, H, W), h = H / 2 rounded up.

        Raises ValueError for another shape.
        """
        if picture.ndim != 4 or picture.shape[1] != 3:
            raise ValueError(f"EdgeParser: expected pictures (B, 3, H, W), got {tuple(picture.shape)}")
        maps, x = [], picture.contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        x = self.context(x)
        for join, skip in zip(self.joins, reversed(maps[1:4]), strict=True):
            x = join(x, skip)
        x = self.fine(x, maps[0])
        size = tuple(maps[0].shape[-2:])
        sides = [resized(side(skip), size) for side, skip in zip(self.edge_sides, maps[:3], strict=True)]
        edges = self.edge_mix(sum(sides))
        return self.labels(self.fusion(torch.cat([x, edges], 1))), self.edge(edges)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in [-1, 1] -> logits (B, labels, H, W) and edge logits (B, 1, H, W), enlarged bilinearly.

        Raises ValueError as `half_size` does.
        """
        size = tuple(picture.shape[-2:])
        logits, edges = self.half_size(picture)
        return resized(logits, size), resized(edges, size)


# ---- from pictures of any size -------------------------------------------------------------------------------------


def largest(probabilities: Tensor, size: tuple[int, int], *, values: int = 2**25) -> Tensor:
    """The label with the largest probability, (B, K, h, w) enlarged bilinearly to (B, H, W) int64.

    It works on strips of rows with at most `values` numbers: of 50 megapixels 20 probabilities each would be 4 GB.
    """
    rows, (height, width) = probabilities.shape[2], size
    y = (torch.arange(height, device=probabilities.device) + 0.5) * (rows / height) - 0.5
    y = y.clamp(0, rows - 1)
    top = y.long()
    bottom, share = (top + 1).clamp(max=rows - 1), (y - top)[:, None]
    strip, parts = max(1, values // (probabilities.shape[0] * probabilities.shape[1] * width)), []
    for first in range(0, height, strip):
        here = slice(first, first + strip)
        between = probabilities[:, :, top[here]].lerp(probabilities[:, :, bottom[here]], share[here])
        parts.append(resized(between, (between.shape[2], width)).argmax(1))
    return torch.cat(parts, 1)


class HumanParser:
    """A trained parser for pictures of any size.

    net: an `EdgeParser`, or another module that gives (logits, ...) for (B, 3, H, W); it is used in eval mode.
    size: height and width that it works at. flip: the mean of the picture and its mirror image, which takes twice as
    long and is a little better. batch_size: pictures at once.
    """

    def __init__(
        self, net: nn.Module, *, size: tuple[int, int] = SIZE, flip: bool = False, batch_size: int = 8
    ) -> None:
        self.net, self.size, self.flip, self.batch_size = net.eval(), tuple(size), flip, batch_size

    @torch.no_grad()
    def probabilities(self, picture: Tensor) -> Tensor:
        """Probabilities (B, labels, H, W) float32 that sum to 1 over the labels, of a picture (3, H, W) or (B, 3, H, W)
        in [-1, 1], at its size and on its device. Twenty numbers a pixel are 1 GB at 12 megapixels; who needs labels
        only calls the parser, which works in strips.

        Raises ValueError for another shape or values out of range.
        """
        pictures = as_batch(picture)
        size = tuple(pictures.shape[-2:])
        parts = [resized(self._inside(part), size) for part in pictures.split(self.batch_size)]
        return torch.cat(parts).to(pictures.device)

    @torch.no_grad()
    def __call__(self, picture: Tensor) -> Tensor:
        """Labels (B, H, W) int64 of a picture (3, H, W) or (B, 3, H, W) in [-1, 1], at its size and on its device.

        Probabilities are enlarged and the largest taken, so outlines are smooth: labels themselves can't be mixed.
        Raises ValueError as `probabilities` does.
        """
        pictures = as_batch(picture)
        size = tuple(pictures.shape[-2:])
        parts = [largest(self._inside(part), size) for part in pictures.split(self.batch_size)]
        return torch.cat(parts).to(pictures.device)

    def _inside(self, pictures: Tensor) -> Tensor:
        """Probabilities of pictures as the net sees them, without the padding."""
        device = next(self.net.parameters()).device
        inside, (left, top, right, bottom) = fitted(pictures.to(device=device, dtype=torch.float32), self.size)
        probabilities = self._seen(inside)
        if self.flip:
            swap = torch.tensor(LIP_MIRROR, device=device)
            mirrored = self._seen(inside.flip(-1)).flip(-1)
            probabilities = (probabilities + mirrored[:, swap]) / 2
        return probabilities[:, :, top:bottom, left:right]

    def _seen(self, inside: Tensor) -> Tensor:
        return self.net(inside)[0].softmax(1)


def load_parser(
    weights: str | Path = "course", *, device: str | torch.device = "cpu", flip: bool = False
) -> HumanParser:
    """A trained parser, frozen and in eval mode. weights: "course", what comes with the library, or a file.

    Raises FileNotFoundError, with the command that makes it, where the file isn't there; ValueError for the weights of
    another network.
    """
    file = WEIGHTS_FOLDER / "parsing.safetensors" if weights == "course" else Path(weights)

    def build(config: dict) -> EdgeParser:
        return EdgeParser(config_from(EdgeParserConfig, config))

    net, metadata = load_trained(file, build, system="perceive", stage="parsing", command=COMMAND.format(file=file))
    return HumanParser(net.to(device), size=tuple(metadata.get("size", SIZE)), flip=flip)
