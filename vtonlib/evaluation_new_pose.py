"""The measure of a try-on in a new pose: the reference photograph, another garment and another pose are given.

Samples are MPV triplets opened with pairing="unpaired" (see `vtonlib.layouts.mpv`): the reference shows a person in
pose A in the own garment; the target, `truth.new_pose`, is the same person rendered in pose B in the *other* garment.
A system is an object with `try_on(batch, pose=...) -> TryOn`. It sees the reference, the other garment and the
target's joints, and no truth.

Regions, from the parse of the target: `all`; `garment`, `skin` and `rest`, which share out the picture as in
`vtonlib.evaluation_tryon`; and two parts of the rest, `head` (hat, hair, face, sunglasses) and `lower` (trousers,
skirt, legs, shoes). Numbers are the same as there; L1 in the region `garment` is the error of the garment.

Baselines: `untouched`, the reference itself, and `stay`, `truth.unpaired`: the right garment, rendered, in the old
pose. The second is an oracle: the flawless try-on that leaves the pose as it was. Where the pose has moved, a blur may
be nearer to the target than a sharp picture in the wrong place, in PSNR and L1 above all; so beating it is no proof.

Parsing: a `TryOn.parse` is compared with the target's parse. Of every label that occurs in the test set the IoU over
all its pixels is taken, and the mean of these is mIoU. For the baselines it is the parse of the picture that they show.

Intervals: a person has several triplets, which are no independent samples. So people are drawn with replacement, with
all of their triplets, and not single triplets.

Convention: pictures are RGB in [0, 1] when measured; masks are 1 on the region; poses are BODY_25 in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vtonlib.evaluation import Estimate, bootstrap
from vtonlib.evaluation_tables import BASELINES, NEW_POSE, TryOnEvaluation
from vtonlib.evaluation_tryon import Case, batches, feature_network, opened, person_id, picture_rows, regions
from vtonlib.labels import HEAD_LABELS, LIP, LOWER_LABELS
from vtonlib.metrics import Features, label_scores, label_table
from vtonlib.represent import label_mask
from vtonlib.sample import Garment, TryOnSample, collate
from vtonlib.systems.base import TryOn
from vtonlib.systems.mg_vton.triplets import moved_distance, target_of

DRAWS = 2000  # of the bootstrap, as in `vtonlib.evaluation.bootstrap`


class NaiveNewPose:
    """A system that keeps the pose, used naively for a new one: the new joints take the place of the photograph's.

    Everything else stays that of the reference, and the two contradict each other. Of CP-VTON that means: the heatmaps
    of the 18 joints show pose B, and so do the strokes along torso and arms that say what the course's try-on module
    erases and paints. Body shape, head, parse and every pixel that is kept (trousers, background, skin beneath the
    garment) show pose A, and the arms of pose A stay wherever no stroke of pose B happens to cover them.
    Nothing was trained for that; it is what one gets for free from a system that was made for one pose.

    name and metadata are the system's, for `vtonlib.evaluation_tables.provenance`.
    """

    def __init__(self, system: Any) -> None:
        self.system, self.name, self.metadata = system, system.name, system.metadata

    def try_on(self, sample: TryOnSample, garment: Garment | None = None, pose: Tensor | None = None) -> TryOn:
        """Dress a sample, or a collated batch, with the joints of `pose`, (25,3) or (B,25,3); None: its own.

        Hands, skeleton and truth, which belong to the old joints, are left out of what the system sees.
        Raises ValueError for a pose of another shape, and as the system does.
        """
        if pose is not None:
            expected = (*sample.person.shape[:-3], 25, 3)
            if tuple(pose.shape) != expected:
                raise ValueError(f"pose: expected {expected} to go with the sample, got {tuple(pose.shape)}")
            sample = replace(sample, pose=pose.to(sample.person), hands=None, skeleton=None, truth=None)
        return self.system.try_on(sample, garment)


@dataclass(frozen=True, kw_only=True)
class NewPoseCase(Case):
    """A batch of try-ons in a new pose to be judged, see `Case`; regions are those of the module.

    wanted: the target record, collated: its pose (B,25,3) is the one asked for, its parse (B,H,W) the right one.
    stay: this person in the other garment and the old pose, collated, with its parse.
    """

    wanted: TryOnSample
    stay: TryOnSample


def judged_triplet(sample: TryOnSample) -> tuple[TryOnSample, TryOnSample, TryOnSample]:
    """One sample as a system may see it, the target in the new pose, and the same garment in the old pose.

    Raises ValueError, naming the sample, for what is missing, a padded picture, or a sample in its own garment.
    """
    sample.require("garment", "parse", "pose")
    if any(sample.padding):
        raise ValueError(f"sample {sample.name!r} is padded by {sample.padding}: open the data set in its own aspect")
    wanted, stay = target_of(sample), sample.truth.unpaired
    for where, record in (("new_pose", wanted), ("unpaired", stay)):
        if record is None or record.parse is None:
            raise ValueError(
                f"sample {sample.name!r} has no truth.{where} with its parse to judge a try-on in a new pose by: only "
                "the test split of a data set written by vtonlib.studio.Studio in the layout of MPV has"
            )
        if record.garment.name != sample.garment.name:
            raise ValueError(
                f"sample {sample.name!r}: truth.{where}: expected the sample's garment {sample.garment.name!r}, got "
                f"{record.garment.name!r}; open the data set with pairing='unpaired'"
            )
    wanted.require("pose")
    return replace(sample, truth=None), replace(wanted, truth=None), replace(stay, truth=None)


def new_pose_case(samples: Sequence[TryOnSample], *, device: str | torch.device = "cpu") -> NewPoseCase:
    """A batch to be judged; target and regions are on `device`. Raises ValueError as `judged_triplet` does."""
    shown, wanted, stay = (collate(list(records)) for records in zip(*map(judged_triplet, samples), strict=True))
    masks = new_pose_regions(wanted.parse)
    return NewPoseCase(
        sample=shown,
        target=(wanted.person.to(device) / 2 + 0.5).clamp(0, 1),
        regions={name: mask.to(device) for name, mask in masks.items()},
        wanted=wanted,
        stay=stay,
    )


def new_pose_regions(target_parse: Tensor) -> dict[str, Tensor]:
    """Masks (B,1,H,W) bool of the regions (see the module) from the parse (B,H,W) of the target."""
    parts = {"head": label_mask(target_parse, HEAD_LABELS), "lower": label_mask(target_parse, LOWER_LABELS)}
    return {**regions(target_parse), **parts}


@dataclass(frozen=True, kw_only=True)
class NewPoseEvaluation(TryOnEvaluation):
    """Numbers of try-on pictures in a new pose. Its one pairing is "new-pose".

    rows: as in `TryOnEvaluation`; each has `target` (name of the photograph in the new pose), `person`, and `moved`
    (how far the pose moved, see `moved_distance`; NaN where the torso isn't seen) too.
    parses: method -> (name, garment, target) of a sample -> table (20,20) of its pixels, see
    `vtonlib.metrics.label_table`; only methods that predict a parse are in it.
    """

    parses: dict[str, dict[tuple[str, str, str], Tensor]] = field(default_factory=dict)

    def _samples(self) -> list[dict]:
        """One row of each sample, in the order of `column`."""
        return self._groups[NEW_POSE, self.methods(NEW_POSE)[0], "all"]

    def _people(self) -> np.ndarray:
        """For each sample the number of its person, from 0."""
        return np.unique([row["person"] for row in self._samples()], return_inverse=True)[1]

    def estimate(self, pairing: str, values: Sequence[float]) -> Estimate:
        """Mean of one number a sample; of the interval see the module. count: finite samples."""
        values, people = np.asarray(values, np.float64), self._people()
        finite = np.isfinite(values)
        sums = np.bincount(people[finite], values[finite])
        counts = np.bincount(people[finite])
        there = counts > 0
        return replace(bootstrap(sums[there], counts[there]), count=int(finite.sum()))

    def label_tables(self, method: str) -> Tensor:
        """The tables (N,20,20) of a method, sample by sample. Raises ValueError for one that predicts no parse."""
        if method not in self.parses:
            raise ValueError(f"label_tables: expected one of {', '.join(self.parses)}, got {method!r}")
        return torch.stack([self.parses[method][sample_key(row)] for row in self._samples()])

    def mean_iou(self, method: str) -> Estimate:
        """mIoU of a method's parse (see the module) with its bootstrap 95% interval."""
        tables = self.label_tables(method).double().flatten(1).numpy()
        people = self._people()
        by_person = np.stack([tables[people == one].sum(0) for one in range(people.max() + 1)])
        count = len(by_person)
        picks = np.random.default_rng(0).integers(0, count, (DRAWS, count))
        weights = np.stack([np.bincount(pick, minlength=count) for pick in picks])
        drawn = _mean_iou(torch.from_numpy(weights @ by_person).unflatten(1, (len(LIP), len(LIP))))
        low, high = np.percentile(drawn.numpy(), [2.5, 97.5])
        mean = label_scores(self.label_tables(method).sum(0)).mean_iou
        return Estimate(mean=mean, low=float(low), high=float(high), count=len(tables))

    def parsing(self) -> dict[str, dict]:
        """method -> miou (an Estimate), accuracy, and the IoU of each label that occurs."""
        found = {}
        for method in self.parses:
            scores = label_scores(self.label_tables(method).sum(0))
            labels = {LIP[label]: float(scores.iou[label]) for label in range(len(LIP)) if scores.pixels[label]}
            found[method] = {"miou": self.mean_iou(method), "accuracy": scores.accuracy, "labels": labels}
        return found

    def table(self) -> str:
        """The summary as text, and the parsing below it."""
        lines = [super().table(), "", "parsing: mIoU [bootstrap 95% interval], accuracy, IoU of each label"]
        for method, found in self.parsing().items():
            miou, labels = found["miou"], "  ".join(f"{name} {value:.3f}" for name, value in found["labels"].items())
            interval = f"{miou.mean:.3f} [{miou.low:.3f}, {miou.high:.3f}]"
            lines.append(f"{method:<16}  {interval}  {found['accuracy']:.3f}  {labels}")
        return "\n".join(lines)

    def break_down(self, *attributes: str, of: Sequence[str] = ("all", "garment")) -> dict[str, dict]:
        """For JSON: value of the attributes (see `by`) -> samples, region -> method -> number -> estimate, and miou.

        of: the regions. Raises ValueError as `by` does.
        """
        parts = {}
        for label, part in self.by(*attributes).items():
            summary = part.summary()[NEW_POSE]
            numbers = {
                region: {
                    method: {number: asdict(value) for number, value in columns.items()}
                    for method, columns in summary[region].items()
                }
                for region in of
            }
            miou = {method: asdict(part.mean_iou(method)) for method in part.parses}
            parts[label] = {"samples": part.samples(NEW_POSE), **numbers, "miou": miou}
        return parts

    def report(self) -> dict:
        """What `write` puts into the JSON file: that of `TryOnEvaluation`, how many people, and the parsing."""
        parsing = {method: {**found, "miou": asdict(found["miou"])} for method, found in self.parsing().items()}
        return {**super().report(), "people": int(self._people().max()) + 1, "parsing": parsing}


def sample_key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """The names in a row that tell a triplet from all others."""
    return row["name"], row["garment"], row["target"]


def _mean_iou(tables: Tensor) -> Tensor:
    """`label_scores(table).mean_iou` of each of many tables (N,20,20) float64: (N,)."""
    hits, true, guessed = tables.diagonal(dim1=1, dim2=2), tables.sum(2), tables.sum(1)
    return torch.where(true > 0, hits / (true + guessed - hits), torch.nan).nanmean(1)


@torch.no_grad()
def evaluate_new_pose(
    systems: Mapping[str, Any],
    dataset: str | Path | Sequence[TryOnSample],
    *,
    split: str = "test",
    size: tuple[int, int] = (256, 192),
    features: str | Features = "judge",
    limit: int | None = None,
    batch_size: int = 8,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> NewPoseEvaluation:
    """Judge the pictures of systems, and of the baselines, by the protocol of this module.

    systems: name -> object with `try_on(batch, pose=...) -> TryOn` (see `NaiveNewPose` for those without a pose); may
    be empty. dataset: the folder of a data set in the layout of MPV, of which `split` is opened at `size`, or unpaired
    samples. features, limit, device: see `vtonlib.evaluation_tryon.evaluate_tryon`.

    Raises ValueError for a system named like a baseline, an empty data set, one without triplets, what a sample lacks
    (see `judged_triplet`), and a try-on out of range.
    """
    taken = set(BASELINES[NEW_POSE]) & set(systems)
    if taken:
        raise ValueError(f"systems: {', '.join(sorted(taken))} is the name of a baseline; choose another")
    network, name = feature_network(features, device)
    samples, attributes = opened(dataset, "unpaired", split, size)
    rows: list[dict] = []
    parses: dict[str, dict] = {}
    for batch in batches(samples, limit, batch_size, progress, NEW_POSE):
        case = new_pose_case(batch, device=device)
        rows += _judge(case, systems, network, attributes, parses)
    return NewPoseEvaluation(rows=rows, size=case.sample.size, features=name, parses=parses)


def _judge(
    case: NewPoseCase, systems: Mapping[str, Any], network: Features, attributes: Callable, parses: dict[str, dict]
) -> list[dict]:
    """Rows of one batch: the baselines, then the systems; their tables of labels are added to `parses`."""
    sample, wanted, who = case.sample, case.wanted, _about(case, attributes)

    def shown(method: str, tryon: Tensor, parse: Tensor | None) -> Tensor:
        if parse is not None:
            pairs = zip(who, wanted.parse, parse.cpu(), strict=True)
            tables = {sample_key(one): label_table(right, guess, len(LIP)) for one, right, guess in pairs}
            parses.setdefault(method, {}).update(tables)
        return tryon

    def made(method: str) -> Tensor:
        outcome = systems[method].try_on(sample, pose=wanted.pose)
        return shown(method, outcome.tryon, outcome.parse)

    pictures: dict[str, Callable[[], Tensor]] = {
        "untouched": lambda: shown("untouched", sample.person, sample.parse),
        "stay": lambda: shown("stay", case.stay.person, case.stay.parse),
    }
    pictures |= {method: lambda method=method: made(method) for method in systems}
    return picture_rows(case, pictures, who, network)


def _about(case: NewPoseCase, attributes: Callable) -> list[dict]:
    """What the rows of a batch say of its samples."""
    sample, wanted = case.sample, case.wanted
    names = zip(sample.name, sample.garment.name, wanted.name, strict=True)
    return [
        {
            "pairing": NEW_POSE, "name": name, "garment": garment, "target": target, "person": person_id(name),
            "moved": round(moved, 4), **attributes(name, garment, target),
        }
        for (name, garment, target), moved in zip(names, moved_distance(sample.pose, wanted.pose).tolist(), strict=True)
    ]  # fmt: skip
