"""Building blocks that several systems share."""

from vtonlib.nets.discriminator import DiscriminatorConfig, MultiscaleDiscriminator, PatchDiscriminator
from vtonlib.nets.residual_generator import ResidualGenerator, ResidualGeneratorConfig
from vtonlib.nets.unet import UNet, UNetConfig

__all__ = [
    "DiscriminatorConfig",
    "MultiscaleDiscriminator",
    "PatchDiscriminator",
    "ResidualGenerator",
    "ResidualGeneratorConfig",
    "UNet",
    "UNetConfig",
]
