"""What MG-VTON is trained on: a person in pose A, the same person in the same clothes in pose B, and the garment.

Source: Dong et al. 2019 (MG-VTON), section 4.1. There is no picture of another garment in another pose to learn from;
that what is asked for at last is never shown in training is why the clothes are taken off the reference.

Convention: a triplet is a collated `TryOnSample` that shows pose A, the *reference*; `truth.new_pose` shows pose B, the
*target*, with the same garment record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import torch
from torch import Tensor

from vtonlib.data import TryOnDataset, open_dataset, sample_from_raw
from vtonlib.parallel import is_main_process
from vtonlib.sample import TryOnSample
from vtonlib.systems.memory import Augmentation, SampleCache, draw_affine, moved_garment, moved_person
from vtonlib.systems.runs import data_description


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """The photographs of a data set of triplets, each with its own garment, read one by one.

    names: of the photograph and its garment. Works as a sequence of `TryOnSample`s.
    """

    dataset: TryOnDataset
    names: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> TryOnSample:
        return sample_from_raw(self.dataset.source.read(*self.names[index]), self.dataset.size)


class TripletCache:
    """Triplets in memory: every photograph once, and which of them go together.

    photographs: of people in their own garments; pairs (N,2): the indices of reference and target.
    About 13 bytes a pixel and photograph, see `SampleCache`. Raises ValueError for no pair.
    """

    def __init__(self, photographs: Photographs, pairs: Sequence[tuple[int, int]], *, progress: bool = False) -> None:
        if not len(pairs):
            raise ValueError("TripletCache: expected at least one pair of photographs, got none")
        self.pairs = torch.as_tensor(pairs)
        self._cache = SampleCache(photographs, range(len(photographs)), progress=progress)

    def __len__(self) -> int:
        return len(self.pairs)

    def batch(self, indices: Sequence[int], *, device: str | torch.device = "cpu") -> TryOnSample:
        """These triplets as one collated record on the device, see the module."""
        reference, target = self.pairs[list(indices)].T.tolist()
        shown, wanted = self._cache.batch(reference, device=device), self._cache.batch(target, device=device)
        return replace(shown, truth=replace(shown.truth, new_pose=wanted))


def poses_of_one_garment(names: Sequence[tuple[str, ...]]) -> tuple[list[tuple[str, str]], list[tuple[int, int]]]:
    """From triplets (A, garment, B): the photographs with their garments, in the order in which they come, and all
    ordered pairs of two photographs that show the same garment.

    A list of triplets has only some of these pairs; each is as good a pair to learn from.
    Raises ValueError for rows that are no triplets.
    """
    photographs: dict[tuple[str, str], int] = {}
    for row in names:
        if len(row) != 3:
            raise ValueError(f"triplets: expected (person, garment, target), got {row!r}; is the layout MPV's?")
        for name in (row[0], row[2]):
            photographs.setdefault((name, row[1]), len(photographs))
    by_garment: dict[str, list[int]] = {}
    for (_, garment), index in photographs.items():
        by_garment.setdefault(garment, []).append(index)
    return list(photographs), [pair for group in by_garment.values() for pair in permutations(group, 2)]


def triplet_caches(
    data_root: str | Path, size: tuple[int, int], limit: int | None, *, progress: bool
) -> tuple[TripletCache, TripletCache, dict[str, object]]:
    """The train split in memory: what is trained on, what is held out, and what the weights' metadata says of the data.

    Held out are the garments (in the studio: the people) of the last sixteenth, at least one.
    limit: at most so many triplets of the list. Raises ValueError for fewer than two garments, for a data set without
    triplets, and as `open_dataset` does.
    """
    dataset = open_dataset(data_root, split="train", pairing="paired", size=size)
    names, pairs = poses_of_one_garment(dataset.pairs[:limit])
    garments = list(dict.fromkeys(garment for _, garment in names))
    if len(garments) < 2:
        raise ValueError(f"{data_root}: training needs at least 2 garments (one is held out), got {len(garments)}")
    watched = set(garments[len(garments) - max(1, len(garments) // 16) :])
    caches = []
    for chosen in (False, True):
        kept = [index for index, (_, garment) in enumerate(names) if (garment in watched) == chosen]
        place = {index: position for position, index in enumerate(kept)}
        photographs = Photographs(dataset=dataset, names=tuple(names[index] for index in kept))
        of_these = [(place[first], place[second]) for first, second in pairs if first in place]
        caches.append(TripletCache(photographs, of_these, progress=progress and is_main_process() and not chosen))
    return caches[0], caches[1], data_description(dataset, limit)


def augment_triplets(batch: TryOnSample, strength: Augmentation, generator: torch.Generator) -> TryOnSample:
    """Change a batch of `TripletCache` at random: both photographs and the garment picture, each moved its own way.

    All three are mirrored, or none: a print that reads backwards must do so in the shop too.
    """
    mirror = torch.rand(len(batch.person), generator=generator) < strength.mirror
    size = batch.size
    maps = [draw_affine(mirror, size, strength, generator, rotate=rotate) for rotate in (True, True, False)]
    garment = moved_garment(batch.garment, maps[2][1])
    reference = moved_person(batch, mirror, maps[0], maps[2][0])
    target = moved_person(batch.truth.new_pose, mirror, maps[1], maps[2][0])
    target = replace(target, garment=garment)
    return replace(reference, garment=garment, truth=replace(reference.truth, new_pose=target))


def target_of(batch: TryOnSample) -> TryOnSample:
    """The target of a triplet. Raises ValueError, naming the sample, where it has none."""
    if batch.truth is None or batch.truth.new_pose is None:
        raise ValueError(
            f"sample {batch.name!r} has no picture in another pose (truth.new_pose): MPV's layout has them"
        )
    return batch.truth.new_pose


def moved_distance(pose: Tensor, other: Tensor) -> Tensor:
    """How far two poses (..., 25, 3) of one person are from each other, (...): in lengths of the torso.

    The mean distance over the joints that both show, of which mid-hip or neck is not moved out: turning on the spot
    moves shoulders, stepping aside moves all. The torso is the distance from neck to mid-hip in the first pose.
    NaN where no joint is seen in both, or the torso isn't.
    """
    both = (pose[..., 2] > 0) & (other[..., 2] > 0)
    distance = (pose[..., :2] - other[..., :2]).norm(dim=-1)
    mean = (distance * both).sum(-1) / both.sum(-1)
    seen = (pose[..., 1, 2] > 0) & (pose[..., 8, 2] > 0)
    torso = (pose[..., 1, :2] - pose[..., 8, :2]).norm(dim=-1)
    return torch.where(seen & (both.sum(-1) > 0), mean / torso, torch.nan)
