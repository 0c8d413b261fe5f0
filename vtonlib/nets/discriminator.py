"""The multi-scale discriminator of pix2pixHD: judges a picture patch by patch, at full size, half, and so on.

Source: Isola et al. 2017 (pix2pix), section 3.2.2, for judging patches; Wang et al. 2018 (pix2pixHD), section 3.2, for
the scales and for looking at the layers between. MG-VTON's halves four times; HR-VITON's has spectral norm.

With three halvings a logit of the fine scale sees a patch of 70x70 pixels, one of the next scale twice that.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from vtonlib.nets.residual_generator import NORMS, initialise


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """What a multi-scale discriminator is built from. The defaults are pix2pixHD's.

    in_channels: of the judged picture and whatever is put beside it. width: channels after the first halving; they
    double layer by layer up to 8 * width. layers: halvings, one convolution each; two more follow that don't halve.
    scales: networks of this kind, each on a picture of half the size. norm: "instance" (without an affine part),
    "batch" or "none". spectral: every convolution divided by its largest singular value. kernel: size of all.
    Raises ValueError for a value out of its range.
    """

    in_channels: int
    width: int = 64
    layers: int = 3
    scales: int = 2
    norm: str = "instance"
    spectral: bool = False
    kernel: int = 4

    def __post_init__(self) -> None:
        for name, least in (("in_channels", 1), ("width", 1), ("layers", 1), ("scales", 1), ("kernel", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"DiscriminatorConfig: {name}: expected {least} or more, got {getattr(self, name)}")
        if self.norm not in (*NORMS, "none"):
            expected = ", ".join((*NORMS, "none"))
            raise ValueError(f"DiscriminatorConfig: norm: expected one of {expected}, got {self.norm!r}")

    @property
    def smallest(self) -> int:
        """Height and width of the input must be at least this: every halving, also those between scales, halves."""
        return 2 ** (self.layers + self.scales - 1)


class PatchDiscriminator(nn.Module):
    """One scale: (B, in_channels, H, W) -> the maps of its layers + 2 layers, the last being logits (B, 1, h, w).

    Every layer is a convolution, a norm (not in the first) and a LeakyReLU; the last is a convolution alone.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        widths = [config.width * min(2**index, 8) for index in range(config.layers + 1)]
        strides = [2] * config.layers + [1]
        layers, channels = nn.ModuleList(), config.in_channels
        for index, (width, stride) in enumerate(zip(widths, strides, strict=True)):
            parts = [_convolution(channels, width, stride, config)]
            if index and config.norm != "none":
                parts.append(NORMS[config.norm](width))
            layers.append(nn.Sequential(*parts, nn.LeakyReLU(0.2, inplace=True)))
            channels = width
        layers.append(_convolution(channels, 1, 1, config))
        for norm in layers.modules():
            if isinstance(norm, nn.BatchNorm2d):
                initialise(norm)
        self.layers = layers

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps


def _convolution(channels: int, out: int, stride: int, config: DiscriminatorConfig) -> nn.Module:
    layer = nn.Conv2d(channels, out, config.kernel, stride, config.kernel // 2)
    initialise(layer)  # before the spectral norm: afterwards its weight is computed, and drawing it would do nothing
    return spectral_norm(layer) if config.spectral else layer


class MultiscaleDiscriminator(nn.Module):
    """Several `PatchDiscriminator`s with weights of their own, on a picture and its halves.

    The result has one entry a scale, from fine to coarse (pix2pixHD's release numbers them the other way round), and
    each entry is a list of maps whose last one is the logits; see `vtonlib.adversarial` for the losses.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.scales = nn.ModuleList(PatchDiscriminator(config) for _ in range(config.scales))
        self.halve = nn.AvgPool2d(3, 2, 1, count_include_pad=False)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """(B, in_channels, H, W) -> maps by scale and layer.

        Raises ValueError for other channels or a size that is too small.
        """
        height, width = x.shape[-2:]
        if x.ndim != 4 or x.shape[1] != self.config.in_channels:
            raise ValueError(
                f"MultiscaleDiscriminator: expected (B, {self.config.in_channels}, H, W), got {tuple(x.shape)}"
            )
        if min(height, width) < self.config.smallest:
            raise ValueError(
                f"MultiscaleDiscriminator: height and width must be at least {self.config.smallest}, "
                f"got {height}x{width}"
            )
        judged = []
        for index, scale in enumerate(self.scales):
            x = self.halve(x) if index else x
            judged.append(scale(x))
        return judged
