"""The measure of a try-on picture: on a test split, against the photograph or the rendered truth, region by region.

*Paired*: everybody is dressed in the garment of the photograph, and the target is the photograph. What a system takes
from the photograph (face, trousers, perhaps hands) it then has for free. *Unpaired*: another garment, and the target is
`truth.unpaired`, the same person rendered in it; only the studio has that. What is asked for is measured there.

Regions, from the parse of the target: `all`; `garment` (labels 5, 6, 7: the garment tried on, where it is visible);
`skin` (arms 14, 15 and neck 10); `rest` (everything else: head, hair, trousers, background). These three share out the
picture. Unpaired there is also `uncovered`, which cuts across them: the photograph shows the old top here, the target
something else.

Numbers, one a sample: SSIM, PSNR, L1 and the perceptual distance of `vtonlib.metrics`. PSNR is infinite where two
regions are equal, and such a sample would swallow the mean or, left out, punish whoever made it. So PSNR ends at
PSNR_CEILING, the error that rounding to eight bits makes by itself, and it is counted how many samples are there.

Baselines, which see no more than a system does. Paired: `agnostic`, the picture with the top erased, and `paste`, the
garment as the shop shows it, laid on that picture by its mask. Unpaired: `untouched`, the photograph itself, and
`paste` on the photograph. No system is shown `sample.truth`.

Convention: pictures are RGB in [0, 1] when measured; masks are 1 on the region.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vtonlib.evaluation_tables import BASELINES, NUMBERS, PAIRINGS, PSNR_CEILING, TryOnEvaluation
from vtonlib.labels import ARM_LABELS, LIP_INDEX, TOP_LABELS
from vtonlib.metrics import Features, region_numbers, unit_feature_maps, unit_feature_mean, unit_features
from vtonlib.represent import human_agnostic, label_mask
from vtonlib.sample import TryOnSample, collate

SKIN_LABELS = (*ARM_LABELS, LIP_INDEX["neck"])


@dataclass(frozen=True, kw_only=True)
class Case:
    """A batch of try-ons to be judged.

    sample: what a system sees, collated: person, parse, pose, the garment to try on, no truth; target (B,3,H,W) in
    [0,1]: the picture that would be right; regions: masks (B,1,H,W) bool by name.
    """

    sample: TryOnSample
    target: Tensor
    regions: dict[str, Tensor]


def regions(target_parse: Tensor, photograph_parse: Tensor | None = None) -> dict[str, Tensor]:
    """Masks (B,1,H,W) bool of the regions (see the module) from the parse (B,H,W) of the target.

    photograph_parse (B,H,W): of the photograph in another garment, which adds `uncovered`.
    """
    garment, skin = label_mask(target_parse, TOP_LABELS), label_mask(target_parse, SKIN_LABELS)
    masks = {"all": torch.ones_like(garment), "garment": garment, "skin": skin}
    if photograph_parse is not None:
        masks["uncovered"] = label_mask(photograph_parse, TOP_LABELS) & ~garment
    masks["rest"] = ~(garment | skin)
    return masks


def judged(sample: TryOnSample, pairing: str) -> tuple[TryOnSample, TryOnSample]:
    """One sample as a system may see it, and the sample that is the target.

    pairing "paired": the sample and itself, so it must be in its own garment. "unpaired": the sample with the garment
    of `truth.unpaired`, whichever garment it came with, and `truth.unpaired`.
    Raises ValueError, naming the sample, for what is missing, a padded picture, or another garment than the pairing's.
    """
    sample.require("garment", "parse")
    other = None if sample.truth is None else sample.truth.unpaired
    swapped = other is not None and other.garment.name == sample.garment.name
    if any(sample.padding):
        raise ValueError(f"sample {sample.name!r} is padded by {sample.padding}: open the data set in its own aspect")
    if pairing == "paired":
        if swapped:
            raise ValueError(f"sample {sample.name!r}: expected the own garment (paired), got {sample.garment.name!r}")
        return replace(sample, truth=None), sample
    if other is None or other.parse is None:
        raise ValueError(
            f"sample {sample.name!r} has no picture in another garment, with its parse, to judge an unpaired try-on by "
            "(truth.unpaired): only the test split of a data set written by vtonlib.studio.Studio has"
        )
    return replace(sample, garment=other.garment, truth=None), other


def tryon_case(samples: Sequence[TryOnSample], pairing: str, *, device: str | torch.device = "cpu") -> Case:
    """A batch to be judged from single samples; target and regions are on `device`. Raises as `judged` does."""
    pairs = [judged(sample, pairing) for sample in samples]
    shown = collate([sample for sample, _ in pairs])
    target = torch.stack([target.person for _, target in pairs]).to(device)
    parse = torch.stack([target.parse for _, target in pairs])
    masks = regions(parse, shown.parse if pairing == "unpaired" else None)
    return Case(
        sample=shown,
        target=(target / 2 + 0.5).clamp(0, 1),
        regions={name: mask.to(device) for name, mask in masks.items()},
    )


def baseline(name: str, sample: TryOnSample, pairing: str) -> Tensor:
    """The picture (B,3,H,W) in [-1,1] of a baseline (see the module) for a batch.

    Raises ValueError for a name that is not among BASELINES of the pairing, and for what the sample lacks.
    """
    if name not in BASELINES[pairing]:
        raise ValueError(f"baseline: expected one of {BASELINES[pairing]} for {pairing} samples, got {name!r}")
    below = human_agnostic(sample) * 2 - 1 if pairing == "paired" else sample.person
    if name != "paste":
        return below
    return torch.where(sample.garment.require_mask() > 0.5, sample.garment.image, below)


def measure_picture(
    tryon: Tensor, case: Case, features: Features, seen: Sequence[Tensor] | None = None
) -> dict[str, dict[str, Tensor]]:
    """NUMBERS of a try-on (B,3,H,W) in [-1,1] on the device of the case: region -> number -> (B,); NaN if empty.

    seen: `unit_features` of the target, where they are known. Raises ValueError for values out of range.
    """
    picture = tryon / 2 + 0.5
    masks = {name: None if name == "all" else mask for name, mask in case.regions.items()}
    numbers = region_numbers(picture, case.target, masks)
    seen = unit_features(case.target, features) if seen is None else seen
    maps = unit_feature_maps(unit_features(picture.clamp(0, 1), features), seen)
    for name, of in numbers.items():
        of["psnr"] = of["psnr"].clamp(max=PSNR_CEILING)
        of["perceptual"] = unit_feature_mean(maps, masks[name])
    return numbers


def manifest_attributes(root: str | Path) -> Callable[..., dict]:
    """A function (person, garment, target=None) -> attributes of the try-on, from the manifest.csv of a studio set.

    pose, skin_tone and worn_sleeve (of the photograph) of the person; new_pose, that of the photograph `target`, where
    there is one; cut, sleeve and fabric of the garment, which is named after the person who wears it: by its name in
    the layout of VITON-HD, by its id, up to the dash, in MPV's. Without a manifest there are no attributes. The
    function raises ValueError for a name that the manifest lacks.
    """
    path = Path(root) / "manifest.csv"
    if not path.is_file():
        return lambda *names: {}
    with path.open(encoding="utf-8", newline="") as file:
        drawn = {row["name"]: row for row in csv.DictReader(file)}
    wearers: dict[str, dict] = {}
    for name, row in drawn.items():
        wearers.setdefault(person_id(name), row)  # all photographs of a person show the same garment

    def line(rows: dict[str, dict], key: str, name: str) -> dict:
        if key not in rows:
            raise ValueError(f"{path}: expected a line for {name!r}, got none")
        return rows[key]

    def attributes(person: str, garment: str, target: str | None = None) -> dict:
        wearer, shop = line(drawn, person, person), line(wearers, person_id(garment), garment)
        return {
            "pose": wearer["pose"],
            **({} if target is None else {"new_pose": line(drawn, target, target)["pose"]}),
            "skin_tone": float(wearer["skin_tone"]),
            "worn_sleeve": _sleeve(wearer),
            "cut": shop["cut"],
            "sleeve": _sleeve(shop),
            "fabric": shop["fabric"],
        }

    return attributes


def person_id(name: str) -> str:
    """Who is in a photograph, or wears a garment, of this name: "000003" of MPV's 000003-00@1=person_half_front."""
    return name.partition("-")[0]


def _sleeve(row: Mapping[str, str]) -> str:
    """none, short (to the elbow at most) or long: the manifest gives sleeves in arm coordinates, 1 being the elbow."""
    length = float(row["sleeve"])
    return "none" if length == 0 else "long" if length > 1 else "short"


@torch.no_grad()
def evaluate_tryon(
    systems: Mapping[str, Any],
    dataset: str | Path | Sequence[TryOnSample],
    *,
    pairing: str = "both",
    split: str = "test",
    size: tuple[int, int] = (256, 192),
    features: str | Features = "judge",
    batch_size: int = 8,
    limit: int | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> TryOnEvaluation:
    """Judge the pictures of systems, and of the baselines, by the protocol of this module.

    systems: name -> object with `try_on(batch) -> TryOn`; may be empty. dataset: the folder of a data set, of which
    `split` is opened at `size`, or samples. pairing: "paired", "unpaired" or "both" (of samples in their own garment).
    features: a name for `vtonlib.features.load_features`, or a feature network on `device`, where all numbers are
    taken. limit: only the first so many samples.

    Raises ValueError for an unknown pairing, a system named like a baseline, an empty data set, what a sample lacks
    (see `judged`), and a try-on out of range.
    """
    pairings = PAIRINGS if pairing == "both" else (pairing,)
    if not set(pairings) <= set(PAIRINGS):
        raise ValueError(f"pairing: expected paired, unpaired or both, got {pairing!r}")
    taken = {name for names in BASELINES.values() for name in names} & set(systems)
    if taken:
        raise ValueError(f"systems: {', '.join(sorted(taken))} is the name of a baseline; choose another")
    network, name = feature_network(features, device)
    rows: list[dict] = []
    for kind in pairings:
        samples, attributes = opened(dataset, kind, split, size)
        for batch in batches(samples, limit, batch_size, progress, kind):
            case = tryon_case(batch, kind, device=device)
            rows += _judge(case, kind, systems, network, attributes)
    return TryOnEvaluation(rows=rows, size=case.sample.size, features=name)


def feature_network(features: str | Features, device: str | torch.device) -> tuple[Features, str]:
    """A feature network and its name, from either. Raises ValueError for an unknown name."""
    if not isinstance(features, str):
        return features, getattr(features, "name", type(features).__name__)
    from vtonlib.features import load_features

    return load_features(features, device=device), features


def opened(
    dataset: str | Path | Sequence[TryOnSample], pairing: str, split: str, size: tuple[int, int]
) -> tuple[Sequence[TryOnSample], Callable[..., dict]]:
    """The samples of a data set's folder, or those given, and their `manifest_attributes`."""
    if isinstance(dataset, (str, Path)):
        from vtonlib.data import open_dataset

        dataset = open_dataset(dataset, split=split, pairing=pairing, size=size)
    return dataset, manifest_attributes(dataset.source.root) if hasattr(dataset, "source") else lambda *names: {}


def batches(
    samples: Sequence[TryOnSample], limit: int | None, batch_size: int, progress: bool, pairing: str
) -> Iterator[list[TryOnSample]]:
    """The samples, at most the first `limit`, `batch_size` at a time. Raises ValueError where there are none."""
    from tqdm import tqdm

    count = len(samples) if limit is None else min(limit, len(samples))
    if count < 1:
        raise ValueError(f"evaluation, {pairing}: the data set is empty")
    starts = range(0, count, batch_size)
    for first in tqdm(starts, file=sys.stdout, disable=not progress, desc=f"evaluate, {pairing}", unit="batch"):
        yield [samples[index] for index in range(first, min(first + batch_size, count))]


def _judge(case: Case, pairing: str, systems: Mapping[str, Any], network: Features, attributes: Callable) -> list[dict]:
    """Rows of one batch: the baselines, then the systems."""
    sample = case.sample
    pictures: dict[str, Callable[[], Tensor]] = {
        name: lambda name=name: baseline(name, sample, pairing) for name in BASELINES[pairing]
    }
    pictures |= {name: lambda system=system: system.try_on(sample).tryon for name, system in systems.items()}
    who = [
        {"pairing": pairing, "name": person, "garment": garment, **attributes(person, garment)}
        for person, garment in zip(sample.name, sample.garment.name, strict=True)
    ]
    return picture_rows(case, pictures, who, network)


def picture_rows(
    case: Case, pictures: Mapping[str, Callable[[], Tensor]], who: Sequence[dict], network: Features
) -> list[dict]:
    """Rows of one batch: NUMBERS of every method's picture in every region, beside what `who` says of each sample.

    pictures: method -> function that makes the picture (B,3,H,W) in [-1,1]; called one after the other.
    Raises ValueError, naming method and pairing, as `measure_picture` and the functions do.
    """
    seen, rows = unit_features(case.target, network), []
    for method, picture in pictures.items():
        try:
            numbers = measure_picture(picture().to(case.target), case, network, seen)
        except ValueError as error:
            raise ValueError(f"{method}, {who[0]['pairing']}: {error}") from error
        for region, of in numbers.items():
            columns = {number: of[number].tolist() for number in NUMBERS}
            rows += [
                {**one, "method": method, "region": region, **{n: columns[n][index] for n in NUMBERS}}
                for index, one in enumerate(who)
            ]
    return rows
