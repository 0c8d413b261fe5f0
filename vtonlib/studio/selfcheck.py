"""Is a written data set what it says it is? Every annotation held against another one, and a few people made again.

    python -m vtonlib studio --check ROOT

Three groups of checks. Of the set: every photograph of the manifest can be read, splits share no garment, counts agree.
Of every sample, from its files alone: keypoints lie on the right part of the body, labels agree with DensePose and
depth, the flow leads into the garment and is not mirrored. Of a few people, made again from (seed, index): all files
have the same bytes, and the flow on disk leads to the fabric that is worn there; the worn fabric coordinate comes from
the photograph's rays, the in-shop one from the shop picture's, so that the two agree only if the flow is right.

Convention: a share is of pixels, in [0,1]; lengths are in pixels of the data set's own size, limits scale with width.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..layouts import recognise
from .selfcheck_samples import SAMPLE_CHECKS

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Check:
    """One check: how often it was made, the sum of what was measured, what failed and how.

    worst: the largest value found, None where nothing is measured. failures: "NAME: what is wrong".
    """

    name: str
    count: int
    worst: float | None = None
    limit: float | None = None
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class SelfCheck:
    """The result: root of the data set, what `studio.json` says, the checks in order, rejected poses by reason.

    rejected_by_pose: pose -> number. What was rejected is not in the data set; it is counted, not a failure.
    """

    root: Path
    about: dict
    checks: tuple[Check, ...]
    rejected: dict[str, int]
    rejected_by_pose: dict[str, int]

    @property
    def failures(self) -> tuple[str, ...]:
        """ "CHECK: NAME: what is wrong" of everything that failed."""
        return tuple(f"{check.name}: {failure}" for check in self.checks for failure in check.failures)

    def table(self, most: int = 20) -> str:
        """The checks as text, and the first `most` failures of each."""
        lines = [f"{'check':28}{'made':>8}{'failed':>8}{'worst':>10}{'limit':>10}"]
        for check in self.checks:
            numbers = ["" if value is None else f"{value:.3g}" for value in (check.worst, check.limit)]
            lines.append(f"{check.name:28}{check.count:8}{len(check.failures):8}{numbers[0]:>10}{numbers[1]:>10}")
        for title, counts in (("reason", self.rejected), ("pose", self.rejected_by_pose)):
            text = ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
            lines.append(f"poses rejected while it was made, by {title}: {text}")
        for check in self.checks:
            lines += [f"FAILED {check.name}: {failure}" for failure in check.failures[:most]]
            if len(check.failures) > most:
                lines.append(f"FAILED {check.name}: {len(check.failures) - most} more")
        return "\n".join(lines)


@dataclass
class Tally:
    """A check while it is being made."""

    name: str
    limit: float | None = None
    count: int = 0
    worst: float | None = None
    failures: list[str] = field(default_factory=list)

    def note(self, name: str, value: float | None, complaint: str = "") -> None:
        """Count one check of `name`: a measured value, to be held against the limit, or a complaint ("" if none)."""
        self.count += 1
        if value is not None:
            self.worst = value if self.worst is None else max(self.worst, value)
            if self.limit is not None and not value <= self.limit:
                complaint = f"{value:.3g} is above {self.limit:.3g}" + (f" ({complaint})" if complaint else "")
            else:
                complaint = ""
        if complaint:
            self.failures.append(f"{name}: {complaint}")

    def done(self) -> Check:
        return Check(self.name, self.count, self.worst, self.limit, tuple(self.failures))


def check_data_set(root: str | Path, again: int = 3, progress: bool = False) -> SelfCheck:
    """Check a complete studio data set in any of its layouts; `again` people, evenly spread, are made again.

    Raises FileNotFoundError if the folder is no data set, ValueError if it is not the studio's or not complete.
    """
    root = Path(root)
    path = root / "studio.json"
    if not path.is_file():
        recognise(root)  # says what is wrong with a folder that is no data set at all
        raise ValueError(f"{root}: expected a data set of the studio, with studio.json, got another one")
    about = json.loads(path.read_text())
    if not about.get("complete"):
        raise ValueError(f"{root}: expected a complete data set; write it with the same arguments again to go on")
    records = [json.loads(file.read_text()) for file in sorted((root / "samples").glob("*.json"))]
    rejected = [entry for record in records for entry in record["rejected"]]
    by_reason, by_pose = count_rejected(rejected)
    checks = [*_check_set(root, about, records, by_reason), *_check_samples(root, progress)]
    if again:
        from .selfcheck_again import check_again

        checks += check_again(root, about, again)
    return SelfCheck(root, about, tuple(checks), by_reason, by_pose)


def count_rejected(entries: list[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Counts by reason and by pose, sorted by name, of "pose:reason" entries."""
    pairs = [entry.split(":", 1) for entry in entries]
    by_pose, by_reason = (Counter(pair[place] for pair in pairs) for place in (0, 1))
    return dict(sorted(by_reason.items())), dict(sorted(by_pose.items()))


def _check_set(root: Path, about: dict, records: list[dict], by_reason: dict) -> list[Check]:
    """Manifest, records, studio.json and splits against each other and against the files."""
    manifest, people, counted, splits = Tally("manifest = records"), Tally("people"), Tally("counts"), Tally("splits")
    pictures = {row["name"]: row["split"] for record in records for row in record["pictures"]}
    with (root / "manifest.csv").open(newline="") as file:
        listed = {row["name"]: row["split"] for row in csv.DictReader(file)}
    for name in sorted(pictures.keys() | listed.keys()):
        wrong = f"{listed.get(name)} in manifest.csv, {pictures.get(name)} in its record"
        manifest.note(name, None, wrong if pictures.get(name) != listed.get(name) else "")
    found = len(records)
    people.note("studio.json", None, f"{about['people']} people, {found} records" if found != about["people"] else "")
    photographs = sum(record["photographs"] for record in records)
    for name, value in (("photographs", photographs), ("rejected", by_reason)):
        wrong = f"{name}: {about.get(name)} in studio.json, {value} in the records"
        counted.note("studio.json", None, wrong if about.get(name) != value else "")
    owners: dict[str, set[str]] = {}
    for split in SPLITS:
        for _, garment in _pairs(root, split, "paired") + _pairs(root, split, "unpaired"):
            owners.setdefault(garment, set()).add(split)
    for garment, used in sorted(owners.items()):
        splits.note(garment, None, f"garment in {' and '.join(sorted(used))}" if len(used) > 1 else "")
    return [tally.done() for tally in (manifest, people, counted, splits)]


def _pairs(root: Path, split: str, pairing: str) -> list[tuple[str, str]]:
    """(person, garment) names of a split; empty where the layout has no such list."""
    try:
        return [tuple(pair[:2]) for pair in recognise(root)(root, split).names(pairing)]
    except (FileNotFoundError, ValueError):
        return []  # a missing photograph is reported where every one is read


def _samples(root: Path) -> Iterator[tuple[str, object]]:
    """(name, sample) of every photograph of the manifest; an error instead of a sample that can't be read."""
    with (root / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    layouts = {split: recognise(root)(root, split) for split in {row["split"] for row in rows}}
    for row in rows:
        source = layouts[row["split"]]
        try:
            yield row["name"], read_own(source, row["name"])
        except (OSError, ValueError, KeyError) as error:
            yield row["name"], error


def read_own(source, name: str):
    """The sample of a photograph with the garment that it shows, from a layout's reader. Raises what reading raises."""
    garments = getattr(source, "own_garments", None) or {
        person: garment for person, garment, *_ in source.names("paired")
    }
    return source.read(name, garments[name])


def _check_samples(root: Path, progress: bool) -> list[Check]:
    from tqdm import tqdm

    readable = Tally("files can be read")
    tallies = {name: Tally(name, limit) for name, (limit, _) in SAMPLE_CHECKS.items()}
    for name, sample in tqdm(_samples(root), desc="check", unit="sample", disable=not progress):
        broken = isinstance(sample, Exception)
        readable.note(name, None, f"{type(sample).__name__}: {sample}" if broken else "")
        if broken:
            continue
        for which, (_, measure) in SAMPLE_CHECKS.items():
            found = measure(sample)
            if found is not None:
                tallies[which].note(name, *found)
    return [readable.done(), *(tally.done() for tally in tallies.values())]
