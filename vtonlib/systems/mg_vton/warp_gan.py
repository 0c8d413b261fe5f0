"""Stage 2 of MG-VTON: the person in the new pose, painted from the reference, the bent garment and the drawn parse.

Two encoders: one sees what lies where it will be (the bent garment, the joints, the drawn parse), the other the
reference without its top, still standing in the old pose. At the bottleneck the features of the second are warped by
an affine map and a thin-plate spline, estimated between the reference's parse and the drawn one, then both go on
together. Without the warp a convolution would have to carry trousers and face across the picture.
Source: Dong et al. 2019 (MG-VTON), section 3.2. Where exactly the features are warped the paper doesn't say; here after
the last halving, before the residual blocks, so at 32x24 for 256x192. That two encoders share out the 44 channels is a
reading too: warping features of the pose and of the drawn parse would spoil what already fits. The course's network
also warps and uses the features before the last halving: `WarpGANConfig.skips`.

Convention: pictures and maps are in [-1, 1], see `inputs`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from vtonlib.adversarial import discriminator_loss, feature_matching_loss, generator_loss
from vtonlib.losses import l1_loss, perceptual_loss
from vtonlib.nets import DiscriminatorConfig, MultiscaleDiscriminator, ResidualGeneratorConfig
from vtonlib.nets.residual_generator import (
    NORMS,
    block_layers,
    decoder_layers,
    doubling_layers,
    encoder_layers,
    initialise,
)
from vtonlib.systems.mg_vton.inputs import LABELS, POSE_CHANNELS
from vtonlib.warp import warp_image

FEATURE_WARPS = ("affine-tps", "affine", "none")


@dataclass(frozen=True, kw_only=True)
class WarpGANConfig:
    """What Warp-GAN is built from. The defaults are MG-VTON's, as far as the paper tells.

    feature_warp: what moves the reference's features: "affine-tps" (the paper's), "affine", or "none". guided: whether
    the drawn parse is seen, and the garment bent for it; without, and without a feature warp, this is the direct
    synthesis that the paper argues against: the garment comes as the shop shows it, and of the new pose only the joints
    are known. skips: whether the decoder gets both encoders' features at every size beside its own, those of the
    reference warped; not in the paper, whose bottleneck takes long to let through even the colour of a plain garment.
    The rest: see `ResidualGeneratorConfig` and `DiscriminatorConfig`.
    Raises ValueError for another feature_warp, or one without guidance, which nothing could estimate.
    """

    width: int = 64
    blocks: int = 9
    convs_per_block: int = 2
    norm: str = "batch"
    stem: int = 7
    enlarge: str = "transposed"
    feature_warp: str = "affine-tps"
    guided: bool = True
    skips: bool = False
    critic_width: int = 64
    critic_layers: int = 4
    critic_scales: int = 2

    def __post_init__(self) -> None:
        if self.feature_warp not in FEATURE_WARPS:
            expected = ", ".join(FEATURE_WARPS)
            raise ValueError(f"WarpGANConfig: feature_warp: expected one of {expected}, got {self.feature_warp!r}")
        if not self.guided and self.feature_warp != "none":
            raise ValueError(f"WarpGANConfig: feature_warp {self.feature_warp!r} needs guided=True: a drawn parse")

    @property
    def fitting_channels(self) -> int:
        """Of what lies in its place: the bent garment's colours, 18 joints, 20 labels (where guided)."""
        return 3 + POSE_CHANNELS + LABELS * int(self.guided)

    @property
    def generator(self) -> ResidualGeneratorConfig:
        """Widths and depth of both encoders, the blocks and the decoder."""
        return ResidualGeneratorConfig(
            in_channels=self.fitting_channels, out_channels=3, width=self.width, blocks=self.blocks,
            convs_per_block=self.convs_per_block, norm=self.norm, stem=self.stem, enlarge=self.enlarge,
        )  # fmt: skip

    @property
    def critic(self) -> DiscriminatorConfig:
        """The critic sees a picture beside the joints and the drawn parse."""
        return DiscriminatorConfig(
            in_channels=self.fitting_channels, width=self.critic_width, layers=self.critic_layers,
            scales=self.critic_scales,
        )  # fmt: skip


WARP_GAN_PAPER = WarpGANConfig()
WARP_GAN_COURSE = WarpGANConfig(
    width=16, blocks=4, norm="instance", stem=5, enlarge="bilinear", skips=True, critic_width=16, critic_layers=3
)


@dataclass(frozen=True, kw_only=True)
class WarpGANBatch:
    """What Warp-GAN sees, for B samples: 44 channels in all, and a grid.

    warped (B,3,H,W): the bent garment, white elsewhere; heatmaps (B,18,H,W): joints of the new pose; parse (B,20,H,W):
    the drawn parse, one channel a label (no channel for a network that isn't guided); reference (B,3,H,W): the
    photograph without its top; all in [-1,1].
    grid (B,H,W,2): where a pixel of the new pose looks up the reference, normalised (x, y), align_corners=False; None
    for none.
    """

    warped: Tensor
    heatmaps: Tensor
    parse: Tensor
    reference: Tensor
    grid: Tensor | None

    def __len__(self) -> int:
        return len(self.warped)


def levels(encoder: nn.Sequential, x: Tensor) -> list[Tensor]:
    """Features of an encoder of `encoder_layers` after its stem and after each halving, from large to small."""
    found = []
    for layer in encoder:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            found.append(x)
    return found


class SkipDecoder(nn.Module):
    """A decoder like `decoder_layers` that takes in two encoders' features after each doubling.

    (B, bottleneck, h, w) and for each size above, from large to small, features of both -> (B, out_channels, H, W).
    """

    def __init__(self, out_channels: int, config: ResidualGeneratorConfig) -> None:
        super().__init__()
        norm, self.steps = NORMS[config.norm], nn.ModuleList()
        for level in reversed(range(config.halvings)):
            width = config.width * 2**level
            up = [*doubling_layers(2 * width, width, config.enlarge), norm(width), nn.ReLU(inplace=True)]
            join = [nn.Conv2d(3 * width, width, 3, 1, 1), norm(width), nn.ReLU(inplace=True)]
            self.steps.append(nn.ModuleList([nn.Sequential(*up), nn.Sequential(*join)]))
        side = config.stem
        self.last = nn.Conv2d(config.width, out_channels, side, padding=side // 2, padding_mode="reflect")

    def forward(self, x: Tensor, there: list[Tensor], moved: list[Tensor]) -> Tensor:
        for (up, join), one, other in zip(self.steps, reversed(there), reversed(moved), strict=True):
            x = join(torch.cat([up(x), one, other], 1))
        return self.last(x)


class WarpGAN(nn.Module):
    """Stage 2: a `WarpGANBatch` -> the coarse picture (B,3,H,W) in [-1,1]."""

    def __init__(self, config: WarpGANConfig) -> None:
        super().__init__()
        self.config = config
        shape = config.generator
        self.fitting = encoder_layers(config.fitting_channels, shape)
        self.reference = encoder_layers(3, shape)
        self.merge = nn.Conv2d(2 * shape.bottleneck, shape.bottleneck, 1)
        self.blocks = block_layers(shape.bottleneck, shape)
        self.decoder = SkipDecoder(3, shape) if config.skips else decoder_layers(3, shape)
        initialise(self)

    def forward(self, batch: WarpGANBatch) -> Tensor:
        """Raises ValueError for a size that can't be halved three times, and for a missing grid."""
        height, width = batch.warped.shape[-2:]
        multiple = self.config.generator.multiple
        if height % multiple or width % multiple:
            raise ValueError(f"WarpGAN: height and width must be multiples of {multiple}, got {height}x{width}")
        if self.config.feature_warp != "none" and batch.grid is None:
            raise ValueError(f"WarpGAN: feature_warp {self.config.feature_warp!r} needs a grid, got None")
        there = levels(self.fitting, torch.cat([batch.warped, batch.heatmaps, batch.parse], 1))
        moved = [self._moved(features, batch.grid) for features in levels(self.reference, batch.reference)]
        features = self.blocks(self.merge(torch.cat([there[-1], moved[-1]], 1)))
        if self.config.skips:
            return torch.tanh(self.decoder(features, there[:-1], moved[:-1]))
        return torch.tanh(self.decoder(features))

    def _moved(self, features: Tensor, grid: Tensor | None) -> Tensor:
        """Features (B,C,h,w) of the reference, at any of the sizes, in their new places.

        A cell looks up the mean of the places that its pixels look up, which for an affine map is exact.
        """
        if self.config.feature_warp == "none":
            return features
        cell = grid.shape[1] // features.shape[-2]
        grid = avg_pool2d(grid.movedim(-1, 1), cell).movedim(1, -1)
        return warp_image(features, grid, padding="border", align_corners=False)


def warp_gan_critic(config: WarpGANConfig) -> MultiscaleDiscriminator:
    """The critic that goes with a Warp-GAN."""
    return MultiscaleDiscriminator(config.critic)


def warp_gan_terms(
    generator: nn.Module,
    critic: nn.Module | None,
    batch: WarpGANBatch,
    target: Tensor,
    features: nn.Module | None,
    *,
    adversarial: float = 1.0,
    perceptual: float = 1.0,
    matching: float = 1.0,
    l1: float = 1.0,
) -> tuple[dict[str, Tensor], Tensor]:
    """The generator's terms, weighted, and the picture it made. A weight of 0 leaves a term out.

    target (B,3,H,W) in [-1,1]: the photograph in the new pose. "adversarial" and "matching" (the distance of the
    critic's features of both pictures) need a critic, "perceptual" a feature network.
    Source: MG-VTON, section 3.2; its weights are not published, and the sum itself is missing from the source notes.
    """
    made, terms = generator(batch), {}
    if l1:
        terms["l1"] = l1 * l1_loss(made, target)
    if perceptual:
        terms["perceptual"] = perceptual * perceptual_loss(features, made, target)
    if critic is not None and (adversarial or matching):
        judged = critic(_judged(batch, made))
        if adversarial:
            terms["adversarial"] = adversarial * generator_loss(judged, "log")
        if matching:
            with torch.no_grad():
                real = critic(_judged(batch, target))
            terms["matching"] = matching * feature_matching_loss(real, judged)
    return terms, made


def warp_gan_critic_terms(critic: nn.Module, batch: WarpGANBatch, target: Tensor, made: Tensor) -> dict[str, Tensor]:
    """The critic's term: photographs against painted pictures, each beside joints and drawn parse."""
    return {"pictures": discriminator_loss(critic(_judged(batch, target)), critic(_judged(batch, made)), "log")}


def _judged(batch: WarpGANBatch, picture: Tensor) -> Tensor:
    return torch.cat([picture, batch.heatmaps, batch.parse], 1)
