"""VITON (Han et al., CVPR 2018), its warp: where will the garment be? Then bend the garment's outline to that.

VITON's first network guesses, from the person without garment and the garment, which pixels the garment will cover.
Matching points on the two outlines by shape contexts gives a thin-plate spline (`vtonlib.warp.shape_context_tps`);
nothing in that second step is learned. CP-VTON replaced both by one network, and compares with this.

Of VITON the course has this warp, as a baseline. The original's network paints a coarse picture as well; here it
only guesses the mask, which is all that the warp takes from it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtonlib.checkpoints import WEIGHTS_FOLDER, load_weights, read_metadata
from vtonlib.nets import UNet, UNetConfig
from vtonlib.systems.cp_vton_warp import GMMBatch

MASK_SIZE = (128, 96)
# Person representation 22 + garment 3, as in VITON's first stage; the widths are the course's.
MASK_COURSE = UNetConfig(in_channels=25, out_channels=1, widths=(16, 32, 64, 96, 96), last_norm=False)
MASK_FILE = "viton-mask.safetensors"


class MaskPredictor(nn.Module):
    """From the person representation and the garment to the pixels that the garment will cover.

    Works at 128x96, to which its inputs are reduced and from which the answer is enlarged.
    Source: Han et al. 2018, section 3.2 (the mask of the multi-task encoder-decoder).
    """

    def __init__(self, config: UNetConfig = MASK_COURSE) -> None:
        super().__init__()
        self.config = config
        self.unet = UNet(config)

    def forward(self, batch: GMMBatch) -> Tensor:
        """Logits (B, 1, 128, 96)."""
        inputs = torch.cat([batch.agnostic, batch.garment], 1)
        if inputs.shape[2:] != MASK_SIZE:
            inputs = functional.interpolate(inputs, MASK_SIZE, mode="bilinear", align_corners=False, antialias=True)
        return self.unet(inputs)

    @torch.no_grad()
    def predict(self, batch: GMMBatch) -> Tensor:
        """The mask (B, 1, H, W) in [0, 1] at the size of the batch."""
        size = tuple(batch.agnostic.shape[2:])
        return functional.interpolate(self(batch), size, mode="bilinear", align_corners=False).sigmoid()


def load_mask_predictor(
    weights: str | Path | None = "course", *, device: str | torch.device = "cpu", seed: int = 0
) -> MaskPredictor:
    """The mask predictor in eval mode without gradients.

    weights: "course", a file, or None for random ones drawn with `seed`. Raises FileNotFoundError and ValueError for a
    file that is not there, damaged or of another network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        predictor = MaskPredictor()
    if weights is not None:
        file = WEIGHTS_FOLDER / MASK_FILE if weights == "course" else Path(weights)
        metadata = read_metadata(file)
        for key, value in (("system", "viton"), ("stage", "mask")):
            if metadata.get(key, value) != value:
                raise ValueError(f"{file}: expected weights with {key} = {value}, got {metadata[key]}")
        load_weights(file, predictor)
    return predictor.to(device).eval().requires_grad_(False)
