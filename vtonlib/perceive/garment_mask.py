"""Preprocessing step 4: from the shop's picture of a garment to its mask.

What counts as garment is what VITON-HD's cloth masks count: the cloth, the neck label, and the inside of the back that
shows through the collar; not the hanger, the shadow, or the background that shows between a sleeve and the body.

Backends, all behind `garment_mask`:

- "unet" and "u2netp": two networks of 1.1 million parameters each, a U-Net (Ronneberger et al. 2015) and U2-NetP (Qin
  et al. 2020), trained on the studio's garments on white and on wild backgrounds (`systems.garment_mask_training`).
- "u2netp" and "u2net" with weights=PATH: the published networks for salient objects with their published weights.
- "rembg" (runs U2-Net by onnxruntime), "carvekit" (Tracer-B7: Lee et al. 2022, "TRACER", an EfficientNet-B7 with
  attention on edges and objects) and "carvekit-u2net": packages that don't come with the course. They fetch their own
  weights from the network, the first time.

None takes another's place: what can't be had is an error that says how to get it.

Convention: pictures are RGB in [-1, 1]; masks are 1 on the garment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtonlib.checkpoints import WEIGHTS_FOLDER, load_trained
from vtonlib.perceive.fitting import as_batch, fitted
from vtonlib.perceive.small_unet import SmallUNet, SmallUNetConfig
from vtonlib.perceive.u2net import (
    U2NETP,
    U2Net,
    is_course_file,
    load_u2net,
    published_colours,
    published_input,
    published_output,
)
from vtonlib.training import config_from

NETWORKS = ("unet", "u2netp")  # those that the course trains
BACKENDS = (*NETWORKS, "u2net", "rembg", "carvekit", "carvekit-u2net")
TRAIN = "python -m vtonlib train garment-mask --network {} --data data/wild data/benchmark --out runs/garment-mask-{}"
# A quarter of an hour on one thread each.
COMMANDS = {
    "unet": TRAIN.format("unet", "unet"),
    "u2netp": TRAIN.format("u2netp", "u2netp") + " --steps 400 130",
}
# The two packages: what to install, and where each looks for weights before it asks the network for them.
PACKAGES = {
    "rembg": ('pip install "rembg[cpu]"', "u2net.onnx in ~/.u2net or the folder that U2NET_HOME names"),
    "carvekit": ("pip install carvekit", "tracer_b7.pth in ~/.cache/carvekit/checkpoints"),
    "carvekit-u2net": ("pip install carvekit", "u2net.pth in ~/.cache/carvekit/checkpoints"),
}


@dataclass(frozen=True, kw_only=True)
class GarmentMaskConfig:
    """What a network of the course is built from, and the size that it works at.

    network: "unet" or "u2netp". size: height and width of the pictures that it sees, multiples of 16. widths,
    first_stride: of the U-Net, see `SmallUNetConfig`; U2-NetP has none to choose.
    Raises ValueError for another network or size.
    """

    network: str = "unet"
    size: tuple[int, int] = (256, 192)
    widths: tuple[int, ...] = (32, 48, 80, 112, 128)
    first_stride: int = 1

    def __post_init__(self) -> None:
        for name in ("size", "widths"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON gives lists back
        if self.network not in NETWORKS:
            raise ValueError(f"network: expected one of {', '.join(NETWORKS)}, got {self.network!r}")
        if len(self.size) != 2 or any(side % 16 or side < 32 for side in self.size):
            raise ValueError(f"GarmentMaskConfig: expected a size of two multiples of 16 from 32 on, got {self.size}")


def weights_file(network: str) -> str:
    """Name of the file with the course's weights of a network."""
    return f"garment-mask-{network}.safetensors"


def build_network(config: GarmentMaskConfig) -> nn.Module:
    """The network of a config, untrained, laid out in memory as a CPU likes it (channels last)."""
    if config.network == "u2netp":
        network = U2Net(U2NETP)
    else:
        network = SmallUNet(SmallUNetConfig(widths=config.widths, first_stride=config.first_stride))
    return network.to(memory_format=torch.channels_last)


def mask_logits(network: nn.Module, picture: Tensor) -> list[Tensor]:
    """Logits (B, 1, H, W) of a picture (B, 3, H, W) in [-1, 1] at the network's size; the first map is the answer.

    A U-Net gives one map. U2-Net gives seven, of which the others are for its training (Qin et al. 2020, section 3.3);
    it sees the picture in the colours of its published weights.
    """
    picture = picture.contiguous(memory_format=torch.channels_last)
    if isinstance(network, U2Net):
        return network.logits(published_colours(picture))
    return [network(picture)]


# ---- pictures of any size ------------------------------------------------------------------------------------------


def course_values(network: nn.Module, size: tuple[int, int], pictures: Tensor) -> Tensor:
    """Probabilities (B, 1, H, W) of a network of the course, which works at `size`, at the pictures' size.

    Logits are enlarged, not masks: where an outline runs between two pixels of the network's size is in their values,
    and a mask would have lost it.
    """
    inside, (left, top, right, bottom) = fitted(pictures, size, "border")
    logits = mask_logits(network, inside)[0][..., top:bottom, left:right]
    return torch.sigmoid(functional.interpolate(logits, pictures.shape[-2:], mode="bilinear", align_corners=False))


def one_piece(mask: Tensor, *, largest: bool = True, fill: bool = True) -> Tensor:
    """A mask (B, 1, H, W) in {0, 1} tidied: only the largest connected piece of each (8 neighbours), and no holes.

    largest, fill: leave out either. A hole is background that no path of 4 neighbours joins to the border; it is filled
    where it takes less than a 500th of the mask's area. A larger one may be real, such as the gap between a sleeve and
    the body: of six masks of VITON-HD one has a hole of a 100th; of 410 of the studio's, 32 have holes, of which the
    largest takes an 800th, and none is in two pieces. An empty mask stays empty. Raises ValueError for another shape.
    """
    import numpy as np
    from scipy import ndimage

    if mask.ndim != 4 or mask.shape[1] != 1:
        raise ValueError(f"one_piece: expected masks (B, 1, H, W), got {tuple(mask.shape)}")
    tidied = []
    for one in (mask[:, 0] > 0.5).cpu().numpy():
        if largest and one.any():
            pieces, _ = ndimage.label(one, np.ones((3, 3)))
            one = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
        if fill and one.any():
            holes, _ = ndimage.label(ndimage.binary_fill_holes(one) & ~one)
            sizes = np.bincount(holes.ravel())
            sizes[0] = 0
            small = (sizes > 0) & (sizes * 500 < one.sum())
            one = one | small[holes]
        tidied.append(torch.from_numpy(one))
    return torch.stack(tidied)[:, None].to(mask)


class GarmentMasker:
    """A backend that is loaded once, for any number of pictures of any size; see `load_garment_mask`.

    backend: its name. values: pictures (B, 3, H, W) in [-1, 1] -> values (B, 1, H, W) in [0, 1] at the same size.
    tidy: whether masks go through `one_piece`. batch_size: pictures at once.
    """

    def __init__(
        self, backend: str, values: Callable[[Tensor], Tensor], *, tidy: bool = True, batch_size: int = 8
    ) -> None:
        self.backend, self.values, self.tidy, self.batch_size = backend, values, tidy, batch_size

    @torch.no_grad()
    def probabilities(self, picture: Tensor) -> Tensor:
        """Values (B, 1, H, W) in [0, 1], float32, of a picture (3, H, W) or (B, 3, H, W) in [-1, 1], at its size and on
        its device. Raises ValueError for another shape or values out of range."""
        pictures = as_batch(picture)
        parts = pictures.to(torch.float32).split(1 if pictures[0].numel() > 2**21 else self.batch_size)
        return torch.cat([self.values(part) for part in parts]).to(pictures.device)

    def __call__(self, picture: Tensor) -> Tensor:
        """Masks (B, 1, H, W) in {0, 1}, float32; takes and raises what `probabilities` does."""
        mask = (self.probabilities(picture) > 0.5).to(torch.float32)
        return one_piece(mask) if self.tidy else mask


# ---- loading -------------------------------------------------------------------------------------------------------


def load_garment_mask(
    backend: str = "unet",
    weights: str | Path = "course",
    *,
    device: str | torch.device = "cpu",
    tidy: bool = True,
) -> GarmentMasker:
    """A backend ready for pictures.

    backend: one of BACKENDS. weights: "course", what comes with the library, or a file: of the course's training, or
    for "u2netp" and "u2net" the published .pth or a safetensors file with its names. A published network sees and
    answers as in its release (`published_input`, `published_output`). tidy: as `GarmentMasker` takes it.
    Raises ValueError for another backend, weights of another network, or weights for a package, which has its own;
    FileNotFoundError where the file isn't there, with the command that makes it; ImportError where a package isn't
    installed and OSError where it could not get its weights, both saying what to do.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
    if backend in PACKAGES:
        if weights != "course":
            raise ValueError(f"backend {backend!r} brings its own weights; leave weights out, got {str(weights)!r}")
        return GarmentMasker(backend, _package_values(backend, device), tidy=tidy)
    if backend == "u2net" and weights == "course":
        raise FileNotFoundError(
            "backend 'u2net': no weights for its 44 million parameters come with the course. Name the published file "
            "with weights='.../u2net.pth', or take backend 'u2netp' or 'unet'"
        )
    file = WEIGHTS_FOLDER / weights_file(backend) if weights == "course" else Path(weights)
    if backend != "unet" and file.is_file() and not is_course_file(file):
        network = load_u2net(file, backend, device=device)

        def published(pictures: Tensor) -> Tensor:
            maps = network(published_input(pictures.to(device)))
            return published_output(maps[0], tuple(pictures.shape[-2:]))

        return GarmentMasker(backend, published, tidy=tidy)

    def build(config: dict) -> nn.Module:
        return build_network(config_from(GarmentMaskConfig, config))

    command = f"{COMMANDS[backend]} --weights {file}" if backend in COMMANDS else None
    network, metadata = load_trained(file, build, system="perceive", stage=f"garment-mask-{backend}", command=command)
    network, size = network.to(device), tuple(metadata["config"]["size"])
    return GarmentMasker(backend, lambda pictures: course_values(network, size, pictures.to(device)), tidy=tidy)


def garment_mask(
    picture: Tensor,
    backend: str = "unet",
    weights: str | Path = "course",
    *,
    device: str | torch.device = "cpu",
    tidy: bool = True,
) -> Tensor:
    """The mask (B, 1, H, W) in {0, 1} of a garment's picture (3, H, W) or (B, 3, H, W) in [-1, 1], at its size.

    Loads the backend anew with each call: for many pictures keep what `load_garment_mask` gives. Takes and raises what
    `load_garment_mask` and `GarmentMasker` do.
    """
    return load_garment_mask(backend, weights, device=device, tidy=tidy)(picture)


def _package_values(backend: str, device: str | torch.device) -> Callable[[Tensor], Tensor]:
    """Ask a package for masks, one picture after the other; errors as `load_garment_mask` says."""
    install, place = PACKAGES[backend]
    try:
        if backend == "rembg":
            import rembg
        elif backend == "carvekit":
            from carvekit.ml.wrap.tracer_b7 import TracerUniversalB7 as Wrapped
        else:
            from carvekit.ml.wrap.u2net import U2NET as Wrapped
    except (ImportError, SystemExit) as error:  # rembg ends the program where onnxruntime is missing
        message = f"backend {backend!r} needs a package that does not come with the course: {install} ({error})"
        raise ImportError(message) from error
    try:
        if backend == "rembg":
            session = rembg.new_session("u2net")
            return _by_pictures(lambda image: rembg.remove(image, session=session, only_mask=True))
        wrapped = Wrapped(device=str(device), batch_size=1)
        return _by_pictures(lambda image: wrapped([image])[0])
    except Exception as error:  # what a failed download raises depends on the package's own packages
        raise OSError(
            f"backend {backend!r}: the package could not load its weights, which it fetches from the network the first "
            f"time. Without a network put {place} ({type(error).__name__}: {error})"
        ) from error


def _by_pictures(mask_of: Callable) -> Callable[[Tensor], Tensor]:
    """mask_of: a PIL picture -> its mask as a grey PIL picture of the same size."""
    import numpy as np
    from PIL import Image

    def values(pictures: Tensor) -> Tensor:
        levels = ((pictures + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        masks = [np.asarray(mask_of(Image.fromarray(one)).convert("L"), np.float32) / 255 for one in levels]
        return torch.from_numpy(np.stack(masks))[:, None]

    return values
