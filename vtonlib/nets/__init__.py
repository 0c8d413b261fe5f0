"""Building blocks that several systems share."""

from vtonlib.nets.unet import UNet, UNetConfig

__all__ = ["UNet", "UNetConfig"]
