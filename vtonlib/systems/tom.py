"""CP-VTON's try-on module: a U-Net that paints a person and says where the warped garment shows.

    rendered, M = U-Net(person without garment, warped garment)        tryon = M * warped + (1 - M) * rendered

Source: Wang et al. 2018 (CP-VTON), section 3.3, equations 4 and 5. What the network may know of the person differs
between the paper, its successor CP-VTON+ and the course; `TOMConfig.kept` says which.

Convention: pictures and maps are in [-1, 1] inside the network; M is 1 where the warped garment shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from vtonlib.labels import ARM_LABELS, HEAD_LABELS, LIP_INDEX, TOP_LABELS
from vtonlib.nets import UNet, UNetConfig
from vtonlib.represent import human_agnostic_mask, person_representation
from vtonlib.represent.person import label_mask
from vtonlib.sample import TryOnSample
from vtonlib.systems.cp_vton_warp import main_piece

SKIN_LABELS = (*ARM_LABELS, LIP_INDEX["neck"])
# Labels whose pixels the network is shown. CP-VTON: the head. CP-VTON+: also trousers, skirt and legs.
KEPT_LABELS = {"head": HEAD_LABELS, "head-and-lower": (*HEAD_LABELS, 9, 12, 16, 17)}
KEPT = (*KEPT_LABELS, "agnostic")


@dataclass(frozen=True, kw_only=True)
class TOMConfig:
    """What a try-on module is built from. The defaults are CP-VTON's: 25 channels in, 21,349,252 parameters.

    widths: see `UNetConfig`. last_norm: the instance normalisation on its four outputs, see `vtonlib.nets.UNet`.
    kept: what the network sees of the photograph: "head" (CP-VTON), "head-and-lower" (CP-VTON+), or "agnostic": all but
    torso, neck and arms (see `kept_pixels`), with the mask of it as one more channel. With "agnostic" the result takes
    these pixels from the photograph, so a network of this kind need not learn to copy. garment_mask: the warped
    garment's mask is one more channel (CP-VTON+).
    Raises ValueError for another `kept`.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 512, 512)
    kept: str = "head"
    garment_mask: bool = False
    last_norm: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # JSON gives a list back
        if self.kept not in KEPT:
            raise ValueError(f"TOMConfig: kept: expected one of {', '.join(KEPT)}, got {self.kept!r}")

    @property
    def in_channels(self) -> int:
        """18 joints, body shape, 3 kept colours, 3 of the garment; and the masks that the config adds."""
        return 25 + int(self.kept == "agnostic") + int(self.garment_mask)


TOM_PAPER = TOMConfig()
TOM_PAPER_PLUS = TOMConfig(kept="head-and-lower", garment_mask=True)
# Five halvings, so that 128x96 can be trained on; no normalisation at the end, so that the mask may be empty.
TOM_COURSE = TOMConfig(widths=(32, 64, 128, 160, 160), kept="agnostic", garment_mask=True, last_norm=False)


@dataclass(frozen=True, kw_only=True)
class TOMBatch:
    """What the try-on module sees and what it is judged by, for B samples.

    agnostic (B,C,H,W) in [-1,1]: the person without garment, C = config.in_channels less the garment's 3 (and its
    mask); kept (B,1,H,W) in {0,1}: pixels that the result takes from the photograph (0 everywhere unless `kept` is
    "agnostic"); skin (B,1,H,W) in {0,1}: where the photograph takes the place of what the network painted, see
    `visible_skin` (0 everywhere while it is trained); warped (B,3,H,W) in [-1,1] and warped_mask (B,1,H,W) in [0,1];
    person (B,3,H,W) in [-1,1]: the photograph, which for paired samples is the target; worn_mask (B,1,H,W) in {0,1}:
    the garment that it shows.
    """

    agnostic: Tensor
    kept: Tensor
    skin: Tensor
    warped: Tensor
    warped_mask: Tensor
    person: Tensor
    worn_mask: Tensor

    def __len__(self) -> int:
        return len(self.person)


@dataclass(frozen=True, kw_only=True)
class TOMOutput:
    """rendered (B,3,H,W) in [-1,1]: what the network painted; composition_mask (B,1,H,W) in [0,1]; tryon (B,3,H,W)."""

    rendered: Tensor
    composition_mask: Tensor
    tryon: Tensor


def kept_pixels(sample: TryOnSample) -> Tensor:
    """Where the photograph of a sample, or of a batch, can stay as it is: (...,1,H,W) in {0,1}.

    Everything but HR-VITON's strokes over torso, neck and arms, which here hide the old hem as well; hat, hair, face
    and sunglasses stay, as in CP-VTON's reserved regions. No pixel of the old top stays.
    """
    outside = human_agnostic_mask(sample, "hr-viton", keep_lower=False) < 0.5
    kept = (outside | label_mask(sample.parse, HEAD_LABELS)) & ~label_mask(sample.parse, TOP_LABELS)
    return kept.to(sample.person.dtype)


def visible_skin(parse: Tensor) -> Tensor:
    """Where a photograph shows arms or neck, a pixel away from anything else: parse (...,H,W) -> (...,1,H,W) in {0,1}.

    The network does not see them, as their outline gives the old sleeves away, so it paints arms anew even where they
    were bare. Once it has said where the new garment lies, they can be had from the photograph. The pixel less is for
    the rim, whose colours are mixed with those of the old sleeve. Not in the paper.
    """
    other = 1 - label_mask(parse, SKIN_LABELS).float()
    return 1 - max_pool2d(other.reshape(-1, 1, *parse.shape[-2:]), 3, 1, 1).reshape(other.shape)


def tom_agnostic(sample: TryOnSample, config: TOMConfig) -> tuple[Tensor, Tensor]:
    """The person as the try-on module sees it, and what it keeps: see `TOMBatch`. sample: a collated batch."""
    representation = person_representation(sample) * 2 - 1  # 18 joints, body shape, head
    maps, none = representation[:, :19], torch.zeros_like(representation[:, :1])
    if config.kept == "agnostic":
        kept = kept_pixels(sample)
        return torch.cat([maps, torch.where(kept > 0.5, sample.person, 0.0), kept * 2 - 1], 1), kept
    shown = label_mask(sample.parse, KEPT_LABELS[config.kept])
    return torch.cat([maps, torch.where(shown, sample.person, -1.0)], 1), none


def tom_batch(
    batch: TryOnSample,
    warped: Tensor,
    warped_mask: Tensor,
    config: TOMConfig,
    *,
    keep_skin: bool = False,
    device: str | torch.device = "cpu",
) -> TOMBatch:
    """The try-on module's inputs and target, from a collated batch and its warped garments (see `warp_garment`).

    Of a warped mask only the main piece is kept. keep_skin: see `visible_skin`; not for training, where every arm would
    be taken from the photograph and none be learned. Raises ValueError, naming the sample, for a missing parse or pose.
    """
    batch.require("parse", "pose")
    batch = replace(batch, **{name: getattr(batch, name).to(device) for name in ("person", "parse", "pose")})
    agnostic, kept = tom_agnostic(batch, config)
    return TOMBatch(
        agnostic=agnostic,
        kept=kept,
        skin=visible_skin(batch.parse).to(batch.person.dtype) if keep_skin else torch.zeros_like(kept),
        warped=warped,
        warped_mask=main_piece(warped_mask),
        person=batch.person,
        worn_mask=label_mask(batch.parse, TOP_LABELS).to(batch.person.dtype),
    )


def compose(rendered: Tensor, warped: Tensor, composition_mask: Tensor) -> Tensor:
    """M * warped + (1 - M) * rendered. Source: CP-VTON, equation 4. Pictures (..., 3, H, W), M (..., 1, H, W)."""
    return composition_mask * warped + (1 - composition_mask) * rendered


class TOM(nn.Module):
    """The try-on module. With `TOM_PAPER` it has CP-VTON's 21,349,252 parameters and the release's 24 names."""

    def __init__(self, config: TOMConfig) -> None:
        super().__init__()
        self.config = config
        unet = UNetConfig(
            in_channels=config.in_channels, out_channels=4, widths=config.widths, last_norm=config.last_norm
        )
        self.unet = UNet(unet)

    def forward(self, batch: TOMBatch) -> TOMOutput:
        """Paint and compose; kept pixels, and skin beneath, are the photograph's. Raises ValueError as `UNet` does."""
        masks = [batch.warped_mask * 2 - 1] if self.config.garment_mask else []
        raw = self.unet(torch.cat([batch.agnostic, batch.warped, *masks], 1))
        rendered, composition_mask = torch.tanh(raw[:, :3]), torch.sigmoid(raw[:, 3:])
        beneath = batch.skin * batch.person + (1 - batch.skin) * rendered
        composed = compose(beneath, batch.warped, composition_mask)
        tryon = batch.kept * batch.person + (1 - batch.kept) * composed
        return TOMOutput(rendered=rendered, composition_mask=composition_mask, tryon=tryon)


IN_FRONT = (*HEAD_LABELS, *ARM_LABELS, LIP_INDEX["glove"])  # what no garment of the upper body covers
GREY = 128 / 255 * 2 - 1  # the agnostic picture's neutral grey


def composite(person: Tensor, parse: Tensor, warped: Tensor, warped_mask: Tensor) -> tuple[Tensor, Tensor]:
    """What a try-on is without a try-on module: the warped garment laid on the photograph, from the parse alone.

    1. The photograph. 2. Where it shows a top (labels 5, 6, 7): neutral grey. 3. Where warped_mask > 0.5: the warped
    garment, unless the photograph shows something that lies in front of a top: head (1, 2, 4, 13), arms and hands (14,
    15), gloves (3). So it covers neck, scarf, trousers, skirt and background, as a top of another cut does.

    person, warped (..., 3, H, W) in [-1,1]; parse (..., H, W); warped_mask (..., 1, H, W) in [0,1].
    Returns the picture and composition_mask (..., 1, H, W) in {0,1}: where the warped garment was laid.
    """
    laid = (warped_mask > 0.5) & ~label_mask(parse, IN_FRONT)
    undressed = torch.where(label_mask(parse, TOP_LABELS), GREY, person)
    return torch.where(laid, warped, undressed), laid.to(person.dtype)
