"""A data set kept in memory, and its random changes: what feeds the training of a system.

Files are read once, pictures are kept as bytes, and a batch is cut out by indices, so a training step never waits for
the disk. Augmentation works on whole batches and moves pictures, labels, keypoints and the true flow together.

Convention: affine maps act on index coordinates (x, y) of pictures.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from vtonlib.labels import BODY_25_MIRROR, LIP_MIRROR
from vtonlib.sample import Garment, Truth, TryOnSample
from vtonlib.warp import index_to_normalised, pixel_indices


class PackedCache:
    """What `pack` keeps of samples of one size, in memory: small tensors (bytes rather than floats) and names.

    pack(sample) gives a dict with the same keys for all, tensors of one shape a key or anything else, such as names.
    Raises ValueError for no sample.
    """

    def __init__(
        self,
        dataset: Sequence[TryOnSample],
        indices: Sequence[int],
        pack: Callable[[TryOnSample], dict],
        *,
        progress: bool = False,
    ) -> None:
        from tqdm import tqdm

        if not len(indices):
            raise ValueError("a cache needs at least one sample, got none")
        bar = tqdm(indices, file=sys.stdout, disable=not progress, desc="reading", unit="sample")
        rows = [pack(dataset[index]) for index in bar]
        self._count, self._columns = len(rows), {}
        for key, first in rows[0].items():
            column = [row[key] for row in rows]
            self._columns[key] = torch.stack(column) if torch.is_tensor(first) else column

    def __len__(self) -> int:
        return self._count

    def batch(self, indices: Sequence[int], *, device: str | torch.device = "cpu") -> dict:
        """Of these samples, key -> tensor (B, ...) on the device, or a list."""
        chosen = list(indices)
        return {
            key: column[chosen].to(device) if torch.is_tensor(column) else [column[index] for index in chosen]
            for key, column in self._columns.items()
        }


class SampleCache:
    """Paired samples of one size in memory; about 13 bytes a pixel, so 480 MB for 750 samples at 256x192.

    Kept is what the warp needs: person, parse, pose, garment with mask, and of the truth hidden and flow.
    Raises ValueError for no sample, and for what a sample lacks.
    """

    def __init__(self, dataset: Sequence[TryOnSample], indices: Sequence[int], *, progress: bool = False) -> None:
        self._packed = PackedCache(dataset, indices, _pack, progress=progress)

    def __len__(self) -> int:
        return len(self._packed)

    def batch(self, indices: Sequence[int], *, device: str | torch.device = "cpu") -> TryOnSample:
        """These samples as one collated record on the device. Where there is no truth, hidden is 0 and flow NaN."""
        chosen = self._packed.batch(indices, device=device)
        names = chosen["name"]
        return TryOnSample(
            name=[person for person, _ in names],
            person=from_bytes(chosen["person"]),
            parse=chosen["parse"].long(),
            pose=chosen["pose"],
            garment=Garment(
                name=[garment for _, garment in names],
                image=from_bytes(chosen["garment"]),
                mask=chosen["garment_mask"].to(torch.float32),
            ),
            truth=Truth(hidden=chosen["hidden"], flow=chosen["flow"].to(torch.float32)),
            padding=[(0, 0, 0, 0)] * len(names),
        )


def _pack(sample: TryOnSample) -> dict:
    sample.require("garment", "parse", "pose")
    mask = sample.garment.require_mask()
    truth = sample.truth or Truth()
    no_flow = torch.full((2, *sample.size), torch.nan)
    return {
        "name": (sample.name, sample.garment.name),
        "person": to_bytes(sample.person),
        "parse": sample.parse.to(torch.uint8),
        "pose": sample.pose,
        "garment": to_bytes(sample.garment.image),
        "garment_mask": mask.to(torch.uint8),
        "hidden": torch.zeros_like(sample.parse, dtype=torch.bool) if truth.hidden is None else truth.hidden,
        "flow": (no_flow if truth.flow is None else truth.flow).half(),  # off by less than 0.07 pixels up to 256
    }


def to_bytes(picture: Tensor) -> Tensor:
    """A picture in [-1, 1] as levels 0 to 255, uint8."""
    return ((picture + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_bytes(levels: Tensor) -> Tensor:
    """Levels 0 to 255 as a picture in [-1, 1], float32."""
    return levels.to(torch.float32) / 127.5 - 1


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of a training sample, drawn anew each time.

    mirror: probability that person and garment are both mirrored. shift (share of the picture's width) and scale
    (natural logarithm): largest change of the person's picture and, drawn separately, of the garment's. rotation:
    largest turn of the person's picture in degrees.
    """

    mirror: float = 0.5
    shift: float = 0.04
    scale: float = 0.06
    rotation: float = 3.0


NO_AUGMENTATION = Augmentation(mirror=0.0, shift=0.0, scale=0.0, rotation=0.0)


def draw_affine(
    mirror: Tensor, size: tuple[int, int], strength: Augmentation, generator: torch.Generator, *, rotate: bool
) -> tuple[Tensor, Tensor]:
    """Draw one similarity map of a picture onto itself for each entry of mirror (B,) bool, which says who is mirrored.

    Returns forward (B,2,3), where a point of the old picture goes, and its inverse, both on index coordinates.
    """
    (height, width), draws = size, torch.rand(4, len(mirror), generator=generator, dtype=torch.float64) * 2 - 1
    angle = draws[0] * math.radians(strength.rotation) * rotate
    scale = torch.exp(draws[1] * strength.scale)
    sign = 1 - 2 * mirror.to(torch.float64)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    linear = torch.stack([torch.stack([cosine * sign, -sine], -1), torch.stack([sine * sign, cosine], -1)], -2)
    centre = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=torch.float64)
    shift = draws[2:].T * strength.shift * width
    forward = torch.cat([linear, (centre + shift - linear @ centre)[..., None]], -1)
    back = torch.linalg.inv(linear)
    return forward, torch.cat([back, -(back @ forward[..., 2:])], -1)


def move_points(points: Tensor, affine: Tensor) -> Tensor:
    """Apply affine maps (B,2,3) to points (B,N,2)."""
    return points @ affine[..., :2].mT + affine[..., 2].unsqueeze(1)


def lookup_grid(inverse: Tensor, size: tuple[int, int], device: str | torch.device) -> Tensor:
    """Sampling grid (B,H,W,2), align_corners=False, of pictures of one size that are moved by maps with this inverse.

    inverse (B,2,3): for a point of the moved picture where it comes from, on index coordinates, as `draw_affine` gives.
    """
    points = pixel_indices(size, dtype=inverse.dtype).flatten(0, 1).expand(len(inverse), -1, -1)
    grid = index_to_normalised(move_points(points, inverse), size, align_corners=False)
    return grid.unflatten(1, size).to(device=device, dtype=torch.float32)


def augment(batch: TryOnSample, strength: Augmentation, generator: torch.Generator) -> TryOnSample:
    """Change a batch of `SampleCache` at random: the person one way, the garment picture another way.

    Where a border is uncovered the person's picture and labels are continued, as people go on beyond the picture too,
    and the garment's is white.
    """
    mirror = torch.rand(len(batch.person), generator=generator) < strength.mirror
    person_map = draw_affine(mirror, batch.size, strength, generator, rotate=True)
    garment_map = draw_affine(mirror, batch.size, strength, generator, rotate=False)
    moved = moved_person(batch, mirror, person_map, garment_map[0])
    return replace(moved, garment=moved_garment(batch.garment, garment_map[1]))


def moved_person(
    batch: TryOnSample, mirror: Tensor, affine: tuple[Tensor, Tensor], garment_forward: Tensor
) -> TryOnSample:
    """The person's side of a batch of `SampleCache` (picture, parse, pose, truth) moved by `draw_affine`'s maps.

    mirror (B,) bool: who is mirrored; garment_forward (B,2,3): where the garment picture's points go, for the flow.
    """
    size, device = batch.size, batch.person.device
    forward, inverse = affine
    grid, mirror = lookup_grid(inverse, size, device), mirror.to(device)
    swapped = torch.tensor(LIP_MIRROR, device=device)[batch.parse]
    parse = torch.where(mirror[:, None, None], swapped, batch.parse)
    layers = torch.stack([parse, batch.truth.hidden.long()], 1).float()
    layers = grid_sample(layers, grid, mode="nearest", padding_mode="border", align_corners=False)
    flow = _moved_flow(batch.truth.flow, grid, garment_forward.to(device=device, dtype=torch.float32))
    return replace(
        batch,
        person=grid_sample(batch.person, grid, padding_mode="border", align_corners=False),
        parse=layers[:, 0].round().long(),
        pose=_moved_pose(batch.pose, mirror, forward.to(batch.pose)),
        truth=Truth(hidden=layers[:, 1] > 0.5, flow=flow),
    )


def moved_garment(garment: Garment, inverse: Tensor) -> Garment:
    """In-shop pictures and masks of a batch moved by maps with this inverse (B,2,3), white beyond their border."""
    grid = lookup_grid(inverse, tuple(garment.image.shape[-2:]), garment.image.device)
    image = 1 - grid_sample(1 - garment.image, grid, align_corners=False)  # zeros beyond: white
    mask = grid_sample(garment.mask, grid, align_corners=False)
    return replace(garment, image=image, mask=(mask > 0.5).to(mask.dtype))


def _moved_pose(pose: Tensor, mirror: Tensor, forward: Tensor) -> Tensor:
    pose = torch.where(mirror[:, None, None], pose[:, list(BODY_25_MIRROR)], pose)
    missing = (pose[..., :2] == 0).all(-1, keepdim=True)  # (0, 0) means no point, and stays
    points = torch.where(missing, 0.0, move_points(pose[..., :2], forward))
    return torch.cat([points, pose[..., 2:]], -1)


def _moved_flow(flow: Tensor, grid: Tensor, garment_forward: Tensor) -> Tensor:
    """Look up the flow (B,2,H,W) where the person's pixels come from, and send its values where the garment's go."""
    known = flow.isfinite().all(1, keepdim=True)
    layers = torch.cat([torch.where(known, flow, 0.0), known.to(flow.dtype)], 1)
    layers = grid_sample(layers, grid, align_corners=False)
    moved = move_points(layers[:, :2].flatten(2).mT, garment_forward).mT.unflatten(2, flow.shape[2:])
    return torch.where(layers[:, 2:] > 0.999, moved, torch.nan)  # all four neighbours known
