"""The geometric matching module: two encoders, a correlation volume, and a regressor of thin-plate spline offsets.

Source: Wang et al. 2018 (CP-VTON), section 3.2 and figure 3; VITON-HD (Choi et al. 2021), section 3.3, has the same
network with other inputs. The sizes and the names in the state dict are those of the published checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtonlib.warp.correlation import correlation_volume, feature_l2_norm
from vtonlib.warp.sampling import warp_image
from vtonlib.warp.tps import TPSGrid


@dataclass(frozen=True, kw_only=True)
class GMMConfig:
    """What a geometric matching module is built from. The defaults are CP-VTON's.

    agnostic_channels, garment_channels: of the two inputs. widths: channels after each stride-2 convolution of an
    encoder, so their number is the number of halvings. regression_widths: of the regressor's four convolutions.
    size: (height, width) the network works at; inputs are resized to it.
    grid_size, extent, align_corners: see `TPSGrid`.
    start_at_identity: begin with theta = 0 instead of PyTorch's default for the last layer (not in the papers).

    Raises ValueError where size can't be halved so often (once for each width, and twice in the regressor).
    """

    agnostic_channels: int = 22
    garment_channels: int = 3
    widths: tuple[int, ...] = (64, 128, 256, 512)
    regression_widths: tuple[int, int, int, int] = (512, 256, 128, 64)
    size: tuple[int, int] = (256, 192)
    grid_size: int = 5
    extent: float = 1.0
    align_corners: bool = True
    start_at_identity: bool = False

    def __post_init__(self) -> None:
        for name in ("widths", "regression_widths", "size"):  # JSON gives lists back
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.widths or len(self.regression_widths) != 4 or len(self.size) != 2:
            raise ValueError(f"GMMConfig: expected widths, four regression_widths and a size (H, W), got {self}")
        step = 2 ** (len(self.widths) + 2)
        if min(self.size) < step or any(side % step for side in self.size):
            raise ValueError(f"GMMConfig: size must be a multiple of {step} in height and width, got {self.size}")

    @property
    def feature_size(self) -> tuple[int, int]:
        """Height and width of the encoders' feature maps."""
        return self.size[0] >> len(self.widths), self.size[1] >> len(self.widths)


GMM_PAPER = GMMConfig()
GMM_PAPER_PLUS = GMMConfig(garment_channels=1)  # CP-VTON+ matches the garment's mask
# VITON-HD: parse of the garment 1 + skeleton picture 3 + agnostic 3; sample its grids with align_corners=False.
GMM_VITON_HD = GMMConfig(agnostic_channels=7, extent=0.9)
# Halved three times from 128x96, so the features are 16x12 as in the paper. align_corners=False makes theta mean the
# same at every size, which training at 128x96 and finishing at 256x192 needs.
GMM_COURSE = GMMConfig(
    widths=(32, 64, 128),
    regression_widths=(128, 64, 64, 32),
    size=(128, 96),
    align_corners=False,
    start_at_identity=True,
)


class GMMOutput(NamedTuple):
    """theta (B, 2 * grid_size^2) offsets in normalised units; grid (B, H, W, 2) normalised (x, y)."""

    theta: Tensor
    grid: Tensor


class FeatureExtraction(nn.Module):
    """Encoder: stride-2 4x4 convolutions, then two 3x3 ones; ReLU *before* batch norm, as in CP-VTON's release."""

    def __init__(self, *, in_channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in widths:
            layers += [nn.Conv2d(in_channels, channels, 4, 2, 1), nn.ReLU(inplace=True), nn.BatchNorm2d(channels)]
            in_channels = channels
        layers += [nn.Conv2d(in_channels, in_channels, 3, 1, 1), nn.ReLU(inplace=True), nn.BatchNorm2d(in_channels)]
        layers += [nn.Conv2d(in_channels, in_channels, 3, 1, 1), nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*layers)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1.0, 0.02)

    def forward(self, picture: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, widths[-1], H / 2^n, W / 2^n)."""
        return self.model(picture)


class FeatureRegression(nn.Module):
    """From the correlation volume to theta in (-1, 1): two stride-2 and two 3x3 convolutions, a linear layer, tanh."""

    def __init__(self, *, feature_size: tuple[int, int], widths: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        height, width = feature_size
        layers: list[nn.Module] = []
        in_channels = height * width
        for channels, kernel, stride in zip(widths, (4, 4, 3, 3), (2, 2, 1, 1)):
            convolution = nn.Conv2d(in_channels, channels, kernel, stride, 1)
            layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            in_channels = channels
        self.conv = nn.Sequential(*layers)
        self.linear = nn.Linear(in_channels * (height // 4) * (width // 4), outputs)

    def forward(self, correlation: Tensor) -> Tensor:
        """(B, h * w, h, w) -> (B, outputs)."""
        return torch.tanh(self.linear(self.conv(correlation).flatten(1)))


class GMM(nn.Module):
    """Geometric matching module: from a person without garment and a garment to a thin-plate spline.

    Inputs are in [-1, 1]: maps from `vtonlib.represent`, which are in [0, 1], are converted by x -> 2 x - 1 first.
    With GMM_PAPER it has CP-VTON's 19,057,650 parameters and 104 keys.
    """

    def __init__(self, config: GMMConfig) -> None:
        super().__init__()
        self.config = config
        self.extractionA = FeatureExtraction(in_channels=config.agnostic_channels, widths=config.widths)
        self.extractionB = FeatureExtraction(in_channels=config.garment_channels, widths=config.widths)
        self.regression = FeatureRegression(
            feature_size=config.feature_size, widths=config.regression_widths, outputs=2 * config.grid_size**2
        )
        self.tps_grid = TPSGrid(
            grid_size=config.grid_size, extent=config.extent, align_corners=config.align_corners, size=config.size
        )
        if config.start_at_identity:
            nn.init.zeros_(self.regression.linear.weight)
            nn.init.zeros_(self.regression.linear.bias)

    def forward(self, agnostic: Tensor, garment: Tensor, *, size: tuple[int, int] | None = None) -> GMMOutput:
        """agnostic (B, agnostic_channels, H, W) and garment (B, garment_channels, h, w), both in [-1, 1].

        size: (height, width) of the grid; the agnostic's where None.
        Raises ValueError for other channels, or a shape whose aspect is not that of `config.size`.
        """
        features_a = self.extractionA(self._resize(agnostic, self.config.agnostic_channels, "agnostic"))
        features_b = self.extractionB(self._resize(garment, self.config.garment_channels, "garment"))
        theta = self.regression(correlation_volume(feature_l2_norm(features_a), feature_l2_norm(features_b)))
        return GMMOutput(theta, self.tps_grid(theta, agnostic.shape[-2:] if size is None else size))

    def warp(self, image: Tensor, grid: Tensor, *, padding: Literal["zeros", "border"]) -> Tensor:
        """`warp_image` with the coordinate convention of this module's grids."""
        return warp_image(image, grid, padding=padding, align_corners=self.config.align_corners)

    def _resize(self, picture: Tensor, channels: int, name: str) -> Tensor:
        height, width = self.config.size
        if picture.ndim != 4 or picture.shape[1] != channels:
            raise ValueError(f"GMM: expected {name} (B, {channels}, H, W), got {tuple(picture.shape)}")
        aspect = picture.shape[3] / picture.shape[2]
        if abs(aspect * height / width - 1) > 0.02:  # rounding of odd sizes passes, a squashed picture does not
            raise ValueError(f"GMM: {name} must have the aspect of {height}x{width}, got {tuple(picture.shape[2:])}")
        if picture.shape[2:] == self.config.size:
            return picture
        return functional.interpolate(picture, self.config.size, mode="bilinear", align_corners=False, antialias=True)
