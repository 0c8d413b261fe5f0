"""Stage 1 of MG-VTON: the parse of a person in a new pose and a new garment, drawn by a conditional GAN.

The generator sees who it is (masks of hair and face, a body shape too coarse to tell the old cut), where the joints are
to be, and the garment; it says for every pixel which of 20 labels it has. The critic sees the same maps beside a parse,
and says patch by patch whether that parse was drawn or real.
Source: Dong et al. 2019 (MG-VTON), section 3.1; the losses of its one equation are `parsing_terms`.

Convention: maps are in [-1, 1] for the generator, see `inputs`; parses are shown to the critic as probabilities in
[0, 1], a real one being 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtonlib.adversarial import discriminator_loss, generator_loss
from vtonlib.labels import LIP
from vtonlib.nets import DiscriminatorConfig, MultiscaleDiscriminator, ResidualGenerator, ResidualGeneratorConfig
from vtonlib.represent import one_hot
from vtonlib.sample import TryOnSample
from vtonlib.systems.mg_vton.inputs import FACE_LABELS, HAIR_LABELS, LABELS, parsing_inputs

PAPER_MASKS = (HAIR_LABELS, FACE_LABELS)


@dataclass(frozen=True, kw_only=True)
class ConditionalParsingConfig:
    """What the conditional parsing network is built from. The defaults are MG-VTON's: 24 channels in, 20 labels out.

    kept: labels of the reference that the network is shown as a mask, one mask for each tuple. width, blocks,
    convs_per_block, norm, stem, enlarge: see `ResidualGeneratorConfig`. critic_width, critic_layers, critic_scales: of
    its critic, see `DiscriminatorConfig`; MG-VTON's halves a picture four times.
    size: (height, width) at which the generator works, whatever the size of the maps; its logits are enlarged again.
    None: at the size of the maps, as in the paper. A small generator sees too little of a large picture: trained at
    128x96 and then at 256x192 it lost hands and forearms.
    """

    kept: tuple[tuple[int, ...], ...] = PAPER_MASKS
    width: int = 64
    blocks: int = 9
    convs_per_block: int = 2
    norm: str = "batch"
    stem: int = 7
    enlarge: str = "transposed"
    critic_width: int = 64
    critic_layers: int = 4
    critic_scales: int = 2
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", tuple(tuple(labels) for labels in self.kept))  # JSON gives lists
        object.__setattr__(self, "size", None if self.size is None else tuple(self.size))
        if not all(labels and set(labels) <= set(range(len(LIP))) for labels in self.kept):
            raise ValueError(f"ConditionalParsingConfig: kept: expected tuples of labels 0 to 19, got {self.kept}")

    @property
    def in_channels(self) -> int:
        """Masks, body shape, 18 joints, the garment's 3 colours."""
        return len(self.kept) + 1 + 18 + 3

    @property
    def generator(self) -> ResidualGeneratorConfig:
        """The generator's own config."""
        return ResidualGeneratorConfig(
            in_channels=self.in_channels, out_channels=LABELS, width=self.width, blocks=self.blocks,
            convs_per_block=self.convs_per_block, norm=self.norm, stem=self.stem, enlarge=self.enlarge,
        )  # fmt: skip

    @property
    def critic(self) -> DiscriminatorConfig:
        """The critic's: it sees the maps and a parse."""
        return DiscriminatorConfig(
            in_channels=self.in_channels + LABELS, width=self.critic_width, layers=self.critic_layers,
            scales=self.critic_scales,
        )  # fmt: skip


PARSING_PAPER = ConditionalParsingConfig()
# Instance normalisation: what batches of 8 keep as running statistics lags behind a network that learns quickly.
PARSING_COURSE = ConditionalParsingConfig(
    width=16, blocks=6, norm="instance", stem=5, enlarge="bilinear", critic_width=16, critic_layers=3, size=(128, 96)
)


class ConditionalParser(nn.Module):
    """Stage 1: maps of `parsing_inputs` (B, C, H, W) -> logits of the 20 labels (B, 20, H, W)."""

    def __init__(self, config: ConditionalParsingConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = ResidualGenerator(config.generator)

    def forward(self, maps: Tensor) -> Tensor:
        size, whole = self.config.size, tuple(maps.shape[-2:])
        if size is None or size == whole:
            return self.generator(maps)
        small = functional.interpolate(maps, size, mode="bilinear", align_corners=False, antialias=True)
        return functional.interpolate(self.generator(small), whole, mode="bilinear", align_corners=False)

    def inputs(self, sample: TryOnSample, pose: Tensor) -> Tensor:
        """`parsing_inputs` with the masks of this network's config."""
        return parsing_inputs(sample, pose, self.config.kept)

    @torch.no_grad()
    def draw(self, sample: TryOnSample, pose: Tensor) -> Tensor:
        """The likeliest parse (B,H,W) int64 of a batch of references in the pose (B,25,3), in the samples' garments."""
        return self(self.inputs(sample, pose)).argmax(1)


def parsing_critic(config: ConditionalParsingConfig) -> MultiscaleDiscriminator:
    """The critic that goes with a conditional parsing network."""
    return MultiscaleDiscriminator(config.critic)


@dataclass(frozen=True, kw_only=True)
class ParsingBatch:
    """maps (B,C,H,W) in [-1,1]: what the generator sees; parse (B,H,W) int64: what it should draw."""

    maps: Tensor
    parse: Tensor


def parsing_terms(
    generator: nn.Module,
    critic: nn.Module | None,
    batch: ParsingBatch,
    *,
    adversarial: float = 1.0,
    l1: float = 1.0,
    softmax: float = 1.0,
) -> tuple[dict[str, Tensor], Tensor]:
    """The generator's terms, weighted, and what it made: probabilities (B,20,H,W). A weight of 0 leaves a term out.

    "softmax": the mean cross-entropy of a pixel. "l1": the mean over pixels of sum_k |S_k - G_k|, between 0 and 2, for
    probabilities: with p the probability of the true label it is 2 (1 - p), so its gradient does not grow where the
    network is sure and wrong, as that of the cross-entropy does. "adversarial": the log form, see
    `vtonlib.adversarial.generator_loss`; not asked for without a critic.
    Source: MG-VTON, section 3.1, where every weight is 1 for want of others.
    """
    logits = generator(batch.maps)
    made, terms = logits.softmax(1), {}
    if softmax:
        terms["softmax"] = softmax * functional.cross_entropy(logits, batch.parse)
    if l1:
        terms["l1"] = l1 * (made - one_hot(batch.parse, groups=LIP)).abs().sum(1).mean()
    if adversarial and critic is not None:
        terms["adversarial"] = adversarial * generator_loss(critic(torch.cat([batch.maps, made], 1)), "log")
    return terms, made


def parsing_critic_terms(critic: nn.Module, batch: ParsingBatch, made: Tensor) -> dict[str, Tensor]:
    """The critic's term: real parses against drawn ones, each beside the maps that they were drawn from."""
    real = critic(torch.cat([batch.maps, one_hot(batch.parse, groups=LIP)], 1))
    drawn = critic(torch.cat([batch.maps, made], 1))
    return {"parses": discriminator_loss(real, drawn, "log")}
