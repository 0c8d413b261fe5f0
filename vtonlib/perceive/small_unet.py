"""A small U-Net for perceiving: one picture in, maps of the same size out, fast enough to be trained on a laptop.

Source: Ronneberger et al. 2015 for the shape (two convolutions a level, skips joined by concatenation). What differs is
chosen for speed: zero padding, so that sizes stay; batch normalisation (Ioffe and Szegedy 2015), which costs nothing
once trained; bilinear enlarging instead of transposed convolutions; and a first convolution that may halve the picture,
as the first level takes most of the time and tells the least. The head then gives each place of that level four values
for its four pixels (Shi et al. 2016, sub-pixel convolution), so edges stay as fine as the picture. At the bottom the
mean over the picture is added to every place (Liu et al. 2015, ParseNet): whether somebody is seen from behind can't be
told from a sleeve alone.

Convention: a level of half the size has its pixel i at 2 i + 0.5 of the level above (both index coordinates), so
halving pools 2x2 pixels or convolves 4x4, and enlarging is bilinear with align_corners=False; nothing is shifted.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, cat, nn, no_grad
from torch.nn.functional import interpolate, pixel_shuffle


@dataclass(frozen=True, kw_only=True)
class SmallUNetConfig:
    """What a small U-Net is built from.

    in_channels, out_channels: of its picture and of its maps. widths: channels of its levels, each at half the size of
    the one before. first_stride: 2 if the first level already has half the size of the picture, else 1.
    Raises ValueError for fewer than two widths or another stride.
    """

    in_channels: int = 3
    out_channels: int = 1
    widths: tuple[int, ...] = (32, 48, 80, 112, 128)
    first_stride: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # JSON gives a list back
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"SmallUNetConfig: expected two or more positive widths, got {self.widths}")
        if self.first_stride not in (1, 2):
            raise ValueError(f"SmallUNetConfig: expected first_stride 1 or 2, got {self.first_stride!r}")

    @property
    def multiple(self) -> int:
        """Height and width of the picture must be multiples of this."""
        return self.first_stride * 2 ** (len(self.widths) - 1)


def convolution(channels: int, width: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; a kernel of 3 keeps the size, one of 4 with stride 2 halves it."""
    layer = nn.Conv2d(channels, width, kernel, stride, 1, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(layer, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


class SmallUNet(nn.Module):
    """(B, in_channels, H, W) -> (B, out_channels, H, W), without an activation at the end."""

    def __init__(self, config: SmallUNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        kernel = 4 if config.first_stride == 2 else 3
        first = convolution(config.in_channels, widths[0], kernel=kernel, stride=config.first_stride)
        self.down = nn.ModuleList([nn.Sequential(first, convolution(widths[0], widths[0]))])
        for above, width in pairwise(widths):
            self.down.append(nn.Sequential(nn.MaxPool2d(2), convolution(above, width), convolution(width, width)))
        self.context = nn.Conv2d(widths[-1], widths[-1], 1)
        # up[k] joins level k + 1 to level k
        self.up = nn.ModuleList(convolution(above + width, above) for above, width in pairwise(widths))
        cell = config.first_stride**2
        self.head = nn.Conv2d(widths[0], config.out_channels * cell, 1)
        # The pixels of a cell begin alike, or outlines look like combs for long (Aitken et al. 2017).
        with no_grad():
            for values in (self.head.weight, self.head.bias):
                values.copy_(values[::cell].repeat_interleave(cell, 0))

    def features(self, x: Tensor) -> Tensor:
        """What the head reads: (B, widths[0], H / first_stride, W / first_stride).

        Raises ValueError for other channels, or a height or width that is no multiple of `config.multiple`.
        """
        if x.ndim != 4 or x.shape[1] != self.config.in_channels:
            raise ValueError(f"SmallUNet: expected (B, {self.config.in_channels}, H, W), got {tuple(x.shape)}")
        height, width = x.shape[-2:]
        if height % self.config.multiple or width % self.config.multiple:
            multiple = self.config.multiple
            raise ValueError(f"SmallUNet: height and width must be multiples of {multiple}, got {height}x{width}")
        levels = []
        for level in self.down:
            x = level(x)
            levels.append(x)
        x = x + self.context(x.mean((2, 3), keepdim=True))
        for skip, level in zip(reversed(levels[:-1]), reversed(self.up), strict=True):
            x = level(cat([skip, interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)], 1))
        return x

    def read(self, features: Tensor) -> Tensor:
        """The maps that the head reads off `features`: (B, out_channels, H, W)."""
        return pixel_shuffle(self.head(features), self.config.first_stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W); raises as `features` does."""
        return self.read(self.features(x))
