"""The generator of pix2pixHD: a convolution, some halvings, residual blocks, as many doublings, a convolution.

Source: Wang et al. 2018 (pix2pixHD), section 3.2, its global generator, after Johnson et al. 2016. Dong et al. 2019
(MG-VTON) describe theirs so, with batch normalisation, three halvings and nine blocks; a block has three convolutions
in their text and two in pix2pixHD: `convs_per_block`.

A U-Net carries fine structure past its bottleneck, to the same place of the output. Here everything goes through the
blocks, which with three halvings work at an eighth of the size.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

NORMS = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}
ENLARGEMENTS = ("transposed", "bilinear")


@dataclass(frozen=True, kw_only=True)
class ResidualGeneratorConfig:
    """What a residual generator is built from. The defaults are MG-VTON's, read as pix2pixHD with three halvings.

    in_channels, out_channels: of its picture-like input and output. width: channels at full size; each of the
    `halvings` doubles them. blocks: residual blocks, convs_per_block: 3x3 convolutions in one.
    norm: "batch" or "instance", the latter without an affine part. stem: size of the first and of the last convolution.
    enlarge: "transposed" convolutions, as in pix2pixHD, or "bilinear" enlargement before a 3x3 convolution, as in the
    U-Net here, which leaves no checkerboard; both have the same number of parameters.
    Raises ValueError for a value out of its range.
    """

    in_channels: int
    out_channels: int
    width: int = 64
    halvings: int = 3
    blocks: int = 9
    convs_per_block: int = 2
    norm: str = "batch"
    stem: int = 7
    enlarge: str = "transposed"

    def __post_init__(self) -> None:
        for name in ("in_channels", "out_channels", "width", "halvings", "blocks", "convs_per_block"):
            if getattr(self, name) < 1:
                raise ValueError(f"ResidualGeneratorConfig: {name}: expected 1 or more, got {getattr(self, name)}")
        if self.stem < 1 or self.stem % 2 == 0:
            raise ValueError(f"ResidualGeneratorConfig: stem: expected an odd size, got {self.stem}")
        for name, known in (("norm", tuple(NORMS)), ("enlarge", ENLARGEMENTS)):
            if getattr(self, name) not in known:
                expected = ", ".join(known)
                raise ValueError(
                    f"ResidualGeneratorConfig: {name}: expected one of {expected}, got {getattr(self, name)!r}"
                )

    @property
    def bottleneck(self) -> int:
        """Channels of the residual blocks."""
        return self.width * 2**self.halvings

    @property
    def multiple(self) -> int:
        """Height and width of the input must be multiples of this."""
        return 2**self.halvings

    @property
    def smallest(self) -> int:
        """Height and width of the input must be at least this: padding by reflection needs something to reflect."""
        return max(2 * self.multiple, self.stem // 2 + 1)


class ResidualBlock(nn.Module):
    """x + f(x) on (B, channels, H, W), f being 3x3 convolutions, each with a norm, and a ReLU between two of them.

    None follows the sum, so that a block can take away from x as well as add to it.
    """

    def __init__(self, channels: int, config: ResidualGeneratorConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(config.convs_per_block):
            layers += [nn.ReLU(inplace=True)] if index else []
            layers += [nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")]
            layers += [NORMS[config.norm](channels)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.model(x)


def encoder_layers(in_channels: int, config: ResidualGeneratorConfig) -> nn.Sequential:
    """(B, in_channels, H, W) -> (B, bottleneck, H / multiple, W / multiple); `config.in_channels` is not looked at."""
    norm, width = NORMS[config.norm], config.width
    stem = nn.Conv2d(in_channels, width, config.stem, padding=config.stem // 2, padding_mode="reflect")
    layers = [stem, norm(width), nn.ReLU(inplace=True)]
    for _ in range(config.halvings):
        layers += [nn.Conv2d(width, 2 * width, 3, 2, 1), norm(2 * width), nn.ReLU(inplace=True)]
        width *= 2
    return nn.Sequential(*layers)


def block_layers(channels: int, config: ResidualGeneratorConfig) -> nn.Sequential:
    """The residual blocks: (B, channels, H, W) -> the same shape."""
    return nn.Sequential(*(ResidualBlock(channels, config) for _ in range(config.blocks)))


def decoder_layers(out_channels: int, config: ResidualGeneratorConfig) -> nn.Sequential:
    """(B, bottleneck, h, w) -> (B, out_channels, h * multiple, w * multiple), without an activation at the end."""
    norm, width = NORMS[config.norm], config.bottleneck
    layers: list[nn.Module] = []
    for _ in range(config.halvings):
        layers += [*doubling_layers(width, width // 2, config.enlarge), norm(width // 2), nn.ReLU(inplace=True)]
        width //= 2
    layers += [nn.Conv2d(width, out_channels, config.stem, padding=config.stem // 2, padding_mode="reflect")]
    return nn.Sequential(*layers)


def doubling_layers(channels: int, out: int, enlarge: str) -> list[nn.Module]:
    """One doubling of height and width, (B, channels, h, w) -> (B, out, 2 h, 2 w), as ENLARGEMENTS name it."""
    if enlarge == "transposed":
        return [nn.ConvTranspose2d(channels, out, 3, 2, 1, 1)]
    return [nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), nn.Conv2d(channels, out, 3, 1, 1)]


def initialise(module: nn.Module) -> None:
    """Draw all convolutions in `module` from N(0, 0.02) and the scales of batch norms from N(1, 0.02); shifts are 0.

    As in pix2pix and pix2pixHD. For whoever puts the parts above together differently.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)


class ResidualGenerator(nn.Module):
    """Encoder, residual blocks, decoder, without an activation at the end: the caller decides what its channels mean.

    The three parts are modules of their own, for systems that do something to the features between them.
    """

    def __init__(self, config: ResidualGeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder_layers(config.in_channels, config)
        self.blocks = block_layers(config.bottleneck, config)
        self.decoder = decoder_layers(config.out_channels, config)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W).

        Raises ValueError for other channels, or a size that is too small or can't be halved so often.
        """
        height, width = x.shape[-2:]
        multiple, smallest = self.config.multiple, self.config.smallest
        if x.ndim != 4 or x.shape[1] != self.config.in_channels:
            raise ValueError(f"ResidualGenerator: expected (B, {self.config.in_channels}, H, W), got {tuple(x.shape)}")
        if height % multiple or width % multiple or min(height, width) < smallest:
            raise ValueError(
                f"ResidualGenerator: height and width must be multiples of {multiple} and at least {smallest}, "
                f"got {height}x{width}"
            )
        return self.decoder(self.blocks(self.encoder(x)))
