"""Matching two pictures by an affine map and a thin-plate spline: what CP-VTON's GMM descends from.

Source: Rocco et al. 2017, "Convolutional neural network architecture for geometric matching". One encoder sees both
pictures; a first pass regresses an affine map from the correlation of the features, the source is warped by it, and a
second pass regresses a spline for what is left. MG-VTON (Dong et al. 2019, section 3.2) warps its features so, by the
map between two parses. Differences: Rocco et al. take the features from a VGG-16 that was trained on ImageNet, have a
spline of 3x3 control points in the first paper, and train the two passes apart.

Convention: grids run from the picture that is *made* (target) to the picture that is *read* (source): target(p) =
source(grid(p)). The second pass sees source(affine(q)), so the whole map is grid(p) = affine(tps(p)): the spline acts
on the point first. `align_corners` is the config's, see `vtonlib.warp.sampling`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtonlib.warp.correlation import correlation_volume, feature_l2_norm
from vtonlib.warp.gmm import FeatureExtraction, FeatureRegression
from vtonlib.warp.sampling import index_to_normalised, normalised_to_index, pixel_centres, warp_image
from vtonlib.warp.tps import TPSGrid


@dataclass(frozen=True, kw_only=True)
class MatcherConfig:
    """What a matcher is built from. The defaults have Rocco et al.'s parts at a laptop's widths.

    in_channels: of both pictures: 3 for RGB, 20 for parse maps. widths: channels after each stride-2 convolution of the
    encoder, so their number is the number of halvings. regression_widths: of each regressor's four convolutions.
    size: (height, width) the network works at; inputs are resized to it. grid_size, align_corners: see `TPSGrid`. With
    align_corners=False both maps mean the same at every size, so features of any size can be warped by them.
    normalise_correlation: ReLU, then the vector of all source places scaled to length 1 at each target place, as Rocco
    et al. have it; CP-VTON takes the volume as it is.
    padding: what the second pass sees beyond the border of the source, "border" or "zeros".
    start_at_identity: begin with both maps the identity instead of PyTorch's default for the last layers.

    Raises ValueError where size can't be halved so often (once for each width, and twice in the regressors).
    """

    in_channels: int = 3
    widths: tuple[int, ...] = (16, 32, 64)
    regression_widths: tuple[int, int, int, int] = (128, 64, 64, 32)
    size: tuple[int, int] = (128, 96)
    grid_size: int = 5
    align_corners: bool = False
    normalise_correlation: bool = True
    padding: Literal["border", "zeros"] = "border"
    start_at_identity: bool = True

    def __post_init__(self) -> None:
        for name in ("widths", "regression_widths", "size"):  # JSON gives lists back
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.widths or len(self.regression_widths) != 4 or len(self.size) != 2:
            raise ValueError(f"MatcherConfig: expected widths, four regression_widths and a size (H, W), got {self}")
        step = 2 ** (len(self.widths) + 2)
        if min(self.size) < step or any(side % step for side in self.size):
            raise ValueError(f"MatcherConfig: size must be a multiple of {step} in height and width, got {self.size}")
        if self.padding not in ("border", "zeros"):
            raise ValueError(f"MatcherConfig: padding must be 'border' or 'zeros', got {self.padding!r}")

    @property
    def feature_size(self) -> tuple[int, int]:
        """Height and width of the encoder's feature maps."""
        return self.size[0] >> len(self.widths), self.size[1] >> len(self.widths)


# Trained for 500 steps from scratch, on pairs of the studio's garments, the volume as it is was the better one with
# either loss (4.8 pixels of error against 5.2, and 4.7 against 5.0); Rocco et al. start from the features of VGG-16.
MATCHER_COURSE = MatcherConfig(normalise_correlation=False)


class MatcherOutput(NamedTuple):
    """affine (B, 2, 3) and theta (B, 2 * grid_size^2) of the two passes; affine_grid and grid, both (B, H, W, 2): the
    sampling grid of the first pass alone, and of both. All in normalised (x, y)."""

    affine: Tensor
    theta: Tensor
    affine_grid: Tensor
    grid: Tensor


def apply_affine(affine: Tensor, points: Tensor) -> Tensor:
    """Map points (B, ..., 2) by affine maps (B, 2, 3): q = affine[:, :, :2] p + affine[:, :, 2]."""
    flat = points.flatten(1, -2)
    return (flat @ affine[..., :2].mT + affine[..., 2].unsqueeze(1)).view_as(points)


def invert_affine(affine: Tensor) -> Tensor:
    """The maps (B, 2, 3) that undo affine maps (B, 2, 3). Raises torch.linalg.LinAlgError where there is none."""
    linear = torch.linalg.inv(affine[..., :2])
    return torch.cat([linear, -(linear @ affine[..., 2:])], -1)


def compose_grids(outer: Tensor, inner: Tensor, *, align_corners: bool) -> Tensor:
    """The grid p -> outer(inner(p)), (B, H, W, 2), for maps of which only the grids are known.

    inner (B, H, W, 2): from the target into a picture between; outer (B, h, w, 2): from every pixel of that picture on
    into the source. outer is interpolated bilinearly, and beyond the border its outermost cells go on as they are, so
    that an affine outer is met exactly everywhere (repeating the border's value, as a picture's padding does, would
    stop it there). Where the outer map is known as a formula, applying that to inner is exact and cheaper; the matcher
    does so. Raises ValueError for other shapes, or an outer grid of less than 2x2.
    """
    if outer.ndim != 4 or inner.ndim != 4 or len(outer) != len(inner) or {outer.shape[-1], inner.shape[-1]} != {2}:
        raise ValueError(
            "compose_grids: expected outer (B, h, w, 2) and inner (B, H, W, 2) with the same B, "
            f"got {tuple(outer.shape)} and {tuple(inner.shape)}"
        )
    height, width = outer.shape[1:3]
    if min(height, width) < 2:
        raise ValueError(f"compose_grids: outer must be 2x2 or more, got {height}x{width}")
    index = normalised_to_index(inner, (height, width), align_corners=align_corners).flatten(1, 2)
    corner = index.detach().floor().clamp(min=0).minimum(index.new_tensor([width - 2, height - 2]))
    across, down = (index - corner).split(1, -1)  # below 0 or above 1 beyond the border
    first = (corner[..., 1] * width + corner[..., 0]).long()
    flat = outer.flatten(1, 2)
    upper_left, upper_right, lower_left, lower_right = (
        flat.gather(1, (first + step)[..., None].expand(-1, -1, 2)) for step in (0, 1, width, width + 1)
    )
    upper = upper_left + across * (upper_right - upper_left)
    lower = lower_left + across * (lower_right - lower_left)
    return (upper + down * (lower - upper)).view_as(inner)


def grid_between_conventions(grid: Tensor, size: tuple[int, int], *, given: bool, wanted: bool) -> Tensor:
    """A sampling grid into a picture of `size` made with align_corners=given, as align_corners=wanted would have it."""
    if given == wanted:
        return grid
    return index_to_normalised(normalised_to_index(grid, size, align_corners=given), size, align_corners=wanted)


class AffineTPSMatcher(nn.Module):
    """From two pictures to the map that reads one so that it looks like the other, see the module's docstring.

    Affine parameters are what the regressor's linear layer gives, added to the identity, as in Rocco et al. GMM's tanh
    would hold every entry within 1 of the identity and flatten the gradient long before: a garment that is worn at half
    its size in the shop is at that bound already. The spline's offsets do go through tanh, as in CP-VTON: they
    are what the affine map leaves, and 1 is half a picture.
    """

    def __init__(self, config: MatcherConfig) -> None:
        super().__init__()
        self.config = config
        self.extraction = FeatureExtraction(in_channels=config.in_channels, widths=config.widths)
        shared = {"feature_size": config.feature_size, "widths": config.regression_widths}
        self.affine_regression = FeatureRegression(**shared, outputs=6)
        self.tps_regression = FeatureRegression(**shared, outputs=2 * config.grid_size**2)
        self.tps_grid = TPSGrid(grid_size=config.grid_size, align_corners=config.align_corners, size=config.size)
        self.register_buffer("identity", torch.eye(2, 3), persistent=False)
        if config.start_at_identity:
            for regression in (self.affine_regression, self.tps_regression):
                nn.init.zeros_(regression.linear.weight)
                nn.init.zeros_(regression.linear.bias)

    def forward(self, source: Tensor, target: Tensor, *, size: tuple[int, int] | None = None) -> MatcherOutput:
        """source, target (B, in_channels, H, W), values of any range (the same in both): one map a pair.

        size: (height, width) of the grids; the target's where None.
        The picture that the second pass sees passes no gradient on to the first; `grid` does, through the affine map.
        Raises ValueError for other channels, or a shape whose aspect is not that of `config.size`.
        """
        size = tuple(target.shape[-2:]) if size is None else tuple(size)
        source, target = self._resize(source, "source"), self._resize(target, "target")
        features_source, features_target = self.extraction(torch.cat([source, target])).chunk(2)
        raw = self.affine_regression.conv(self._correlation(features_source, features_target)).flatten(1)
        affine = self.identity + self.affine_regression.linear(raw).unflatten(1, (2, 3))
        moved = self.warp(source, self.affine_grid(affine.detach(), self.config.size), padding=self.config.padding)
        theta = self.tps_regression(self._correlation(self.extraction(moved), features_target))
        return MatcherOutput(affine, theta, self.affine_grid(affine, size), self.grid(affine, theta, size))

    def affine_grid(self, affine: Tensor, size: tuple[int, int]) -> Tensor:
        """Sampling grid (B, height, width, 2) of affine maps (B, 2, 3) at a size: that of bottleneck features, say."""
        like = {"dtype": affine.dtype, "device": affine.device}
        centres = pixel_centres(size, align_corners=self.config.align_corners, **like)
        return apply_affine(affine, centres.expand(len(affine), -1, -1, -1))

    def grid(self, affine: Tensor, theta: Tensor, size: tuple[int, int]) -> Tensor:
        """Sampling grid (B, height, width, 2) of affine(tps(p)), exact beyond the border too, at any size."""
        return apply_affine(affine, self.tps_grid(theta, size))

    def warp(self, image: Tensor, grid: Tensor, *, padding: Literal["zeros", "border"]) -> Tensor:
        """`warp_image` with the coordinate convention of this module's grids."""
        return warp_image(image, grid, padding=padding, align_corners=self.config.align_corners)

    def warp_features(
        self, features: Tensor, output: MatcherOutput, *, padding: Literal["zeros", "border"] = "zeros"
    ) -> Tensor:
        """Warp features (B, C, h, w) of the source by both maps, at their own size: (B, C, h, w) in the target's place.

        Source: MG-VTON, section 3.2, the bottleneck of Warp-GAN. Raises ValueError for another batch size.
        """
        return self.warp(features, self.grid(output.affine, output.theta, tuple(features.shape[2:])), padding=padding)

    def _correlation(self, features_source: Tensor, features_target: Tensor) -> Tensor:
        """(B, h * w of the source, h, w of the target)."""
        volume = correlation_volume(feature_l2_norm(features_source), feature_l2_norm(features_target))
        return feature_l2_norm(volume.relu()) if self.config.normalise_correlation else volume

    def _resize(self, picture: Tensor, name: str) -> Tensor:
        height, width = self.config.size
        if picture.ndim != 4 or picture.shape[1] != self.config.in_channels:
            expected = f"(B, {self.config.in_channels}, H, W)"
            raise ValueError(f"AffineTPSMatcher: expected {name} {expected}, got {tuple(picture.shape)}")
        aspect = picture.shape[3] / picture.shape[2]
        if abs(aspect * height / width - 1) > 0.02:  # rounding of odd sizes passes, a squashed picture does not
            got = tuple(picture.shape[2:])
            raise ValueError(f"AffineTPSMatcher: {name} must have the aspect of {height}x{width}, got {got}")
        if picture.shape[2:] == self.config.size:
            return picture
        return functional.interpolate(picture, self.config.size, mode="bilinear", align_corners=False, antialias=True)
