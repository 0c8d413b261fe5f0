"""The U-Net of CP-VTON's try-on module, in any width and depth; also what the course's small networks are made of.

Source: Isola et al. 2017 (pix2pix) for the shape, Wang et al. 2018 (CP-VTON), section 3.3, for its use in try-on. As in
CP-VTON's release the decoder enlarges bilinearly before a 3x3 convolution instead of using transposed convolutions,
whose checkerboards would lie on skin and cloth alike. At the paper's size the state dict has the release's 24 names.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, cat, nn


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """What a U-Net is built from.

    in_channels, out_channels: of its picture-like input and output. widths: channels after each halving, so their
    number is the depth; skips join equal resolutions. last_norm: instance normalisation of the output channels
    themselves, as in CP-VTON's release (see `UNet`). Raises ValueError for fewer than two widths.
    """

    in_channels: int
    out_channels: int
    widths: tuple[int, ...] = (64, 128, 256, 512, 512, 512)
    last_norm: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # JSON gives a list back
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"UNetConfig: expected two or more positive widths, got {self.widths}")

    @property
    def multiple(self) -> int:
        """Height and width of the input must be multiples of this."""
        return 2 ** len(self.widths)


class UNetLevel(nn.Module):
    """One halving of a U-Net with everything below it and the way back up: (B, C, H, W) -> (B, C', H, W).

    The outermost level gives `out_channels`; every other gives its input beside its own result, which is the skip
    connection. The LeakyReLU works in place, as in the release: what a skip carries is already activated.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], *, out: int, outermost: bool, last_norm: bool) -> None:
        super().__init__()
        self.outermost = outermost
        width, deeper = widths[0], widths[1:]
        down: list[nn.Module] = [] if outermost else [nn.LeakyReLU(0.2, inplace=True)]
        down.append(nn.Conv2d(channels, width, 4, 2, 1))
        if not outermost and deeper:
            down.append(nn.InstanceNorm2d(width))
        if deeper:
            down.append(UNetLevel(width, deeper, out=width, outermost=False, last_norm=True))
        up: list[nn.Module] = [
            nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Conv2d(2 * width if deeper else width, out, 3, 1, 1),
        ]
        if last_norm:
            up.append(nn.InstanceNorm2d(out))
        self.model = nn.Sequential(*down, *up)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else cat([x, self.model(x)], 1)


class UNet(nn.Module):
    """A U-Net without an activation at its end: the caller decides what its channels mean.

    With `last_norm` every output channel has mean 0 and variance 1 over the picture, whatever the weights: there is no
    affine part behind the normalisation. For a mask behind a sigmoid that means: it can never be 0 everywhere, nor 1
    everywhere, and how much of the picture lies above one half is decided by the shape of the values alone.
    Weights are drawn from N(0, 0.02), biases are 0, as in pix2pix.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.model = UNetLevel(
            config.in_channels, config.widths, out=config.out_channels, outermost=True, last_norm=config.last_norm
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W).

        Raises ValueError for other channels, or a size that can't be halved so often.
        """
        height, width = x.shape[-2:]
        if x.ndim != 4 or x.shape[1] != self.config.in_channels:
            raise ValueError(f"UNet: expected (B, {self.config.in_channels}, H, W), got {tuple(x.shape)}")
        if height % self.config.multiple or width % self.config.multiple:
            raise ValueError(
                f"UNet: height and width must be multiples of {self.config.multiple}, got {height}x{width}"
            )
        return self.model(x)
