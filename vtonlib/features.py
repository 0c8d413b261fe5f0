"""Feature networks: what a perceptual loss or a perceptual distance looks at instead of pixels.

A picture goes in, five maps come out, from edges and colours at full size to parts of a body at a sixteenth. Two small
networks come with the course, trained on the studio alone; both see the same pictures and care about other things:

- "course": the encoder of a human parser. It is the one that *trains* systems (Johnson et al. 2016, perceptual losses).
- "judge": trained to find the in-shop picture of a worn garment among others, and the joints of the body. It *measures*
  them. A system is never measured with the network that trained it.

"vgg19" is what the papers use. Its weights (trained on ImageNet) don't come with the course; who has the file names it.
Which one is used is always said, and nothing takes another's place.

Convention: pictures are RGB in [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vtonlib.checkpoints import WEIGHTS_FOLDER, load_weights, read_metadata

NAMES = ("course", "judge", "vgg19")
VGG19_FILE = "vgg19-dcbb9e9d.pth"
# Wang et al. 2018, equation 4, leaves the weights open; these are those of CP-VTON's release (and of pix2pixHD).
VGG19_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
VGG19_CUTS = (2, 7, 12, 21, 30)  # after relu1_1, relu2_1, relu3_1, relu4_1, relu5_1


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """What a course feature network is built from.

    widths: channels of its five stages, the first at full size, each further one at half the size of the one before.
    batch_norm: normalise after each convolution. slope: of the leaky ReLU below 0.
    Raises ValueError for another number of widths.
    """

    widths: tuple[int, ...] = (16, 32, 64, 96, 128)
    batch_norm: bool = True
    slope: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # JSON gives a list back
        if len(self.widths) != 5:
            raise ValueError(f"FeatureConfig: expected five widths, got {self.widths}")


CONFIGS = {
    "course": FeatureConfig(),
    "judge": FeatureConfig(widths=(24, 40, 56, 80, 112), batch_norm=False, slope=0.1),
}


class FeatureNet(nn.Module):
    """Five stages of 3x3 convolutions; gives the map after each.

    `scales` (5,) divides each map, so that its mean absolute value over the studio's pictures is 1 and the layers of a
    loss weigh the same; `layer_weights` are then all 1/5.
    """

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        self.stages = nn.ModuleList()
        channels = 3
        for number, width in enumerate(config.widths):
            layers = self._convolution(channels, width, stride=2 if number else 1)
            layers += self._convolution(width, width, stride=1) if number else []
            self.stages.append(nn.Sequential(*layers))
            channels = width
        self.register_buffer("scales", torch.ones(5))
        self.layer_weights = (0.2,) * 5

    def _convolution(self, channels: int, width: int, *, stride: int) -> list[nn.Module]:
        norm = [nn.BatchNorm2d(width)] if self.config.batch_norm else []
        slope = self.config.slope
        activation = nn.LeakyReLU(slope) if slope else nn.ReLU()
        convolution = nn.Conv2d(channels, width, 3, stride, 1, padding_mode="replicate", bias=not norm)
        nn.init.kaiming_normal_(convolution.weight, a=slope)
        return [convolution, *norm, activation]

    def forward(self, picture: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] -> five maps (B, C_l, H / 2^l, W / 2^l), l = 0..4, sizes rounded up."""
        maps = []
        for stage in self.stages:
            picture = stage(picture)
            maps.append(picture)
        return [features / scale for features, scale in zip(maps, self.scales, strict=True)]


class VGG19Features(nn.Module):
    """The five layers of VGG19 that CP-VTON compares: relu1_1 ... relu5_1.

    The picture is given in [-1, 1] *without* ImageNet's mean and deviation, as CP-VTON's release (and pix2pixHD's) does
    it; the network was trained with them, so this is a habit of the field rather than a choice.
    """

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import vgg19

        layers = vgg19(weights=None).features
        starts = (0, *VGG19_CUTS[:-1])
        self.stages = nn.ModuleList(layers[start:end] for start, end in zip(starts, VGG19_CUTS, strict=True))
        self.layer_weights = VGG19_WEIGHTS

    def forward(self, picture: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] -> five maps with 64, 128, 256, 512, 512 channels, each half the size."""
        maps = []
        for stage in self.stages:
            picture = stage(picture)
            maps.append(picture)
        return maps


def load_features(
    name: str, *, path: str | Path | None = None, device: str | torch.device = "cpu"
) -> FeatureNet | VGG19Features:
    """A trained feature network, frozen and in eval mode.

    name: "course", "judge" or "vgg19" (see the module). path: another weights file for it; for "vgg19" the file
    vgg19-dcbb9e9d.pth of torchvision (looked for in torch's hub folder where None; nothing is downloaded).
    Raises ValueError for an unknown name or a file of another network, FileNotFoundError for weights that aren't there.
    """
    if name not in NAMES:
        raise ValueError(f"features: expected one of {', '.join(NAMES)}, got {name!r}")
    network = _load_vgg19(path) if name == "vgg19" else _load_course(name, path)
    return network.to(device).eval().requires_grad_(False)


def _load_course(name: str, path: str | Path | None) -> FeatureNet:
    file = WEIGHTS_FOLDER / f"features-{name}.safetensors" if path is None else Path(path)
    metadata = read_metadata(file)
    if metadata.get("stage", name) != name:
        raise ValueError(f"{file}: expected the feature network {name!r}, got {metadata['stage']!r}")
    network = FeatureNet(CONFIGS[name])
    load_weights(file, network)
    return network


def _load_vgg19(path: str | Path | None) -> VGG19Features:
    file = Path(torch.hub.get_dir()) / "checkpoints" / VGG19_FILE if path is None else Path(path)
    if not file.is_file():
        raise FileNotFoundError(
            f'{file}: no such file. features="vgg19" needs torchvision\'s ImageNet weights {VGG19_FILE}, which do not '
            'come with the course: put the file there, name it with path=..., or use features="course"'
        )
    network = VGG19Features()
    state = torch.load(file, map_location="cpu", weights_only=True)
    own = {
        f"features.{key}": tensor
        for stage in network.stages
        for key, tensor in stage.state_dict(keep_vars=True).items()
    }
    missing = sorted(name for name in own if name not in state or state[name].shape != own[name].shape)
    if missing:
        raise ValueError(f"{file}: expected VGG19's weights, missing or of another shape: {missing[:4]}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])
    return network
