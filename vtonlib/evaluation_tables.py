"""Numbers of try-on pictures as tables: means with their intervals, comparisons, break-downs, files.

What is measured, and how, say `vtonlib.evaluation_tryon` and `vtonlib.evaluation_new_pose`, which fill these tables.

Convention: a difference is in favour of the method that is named first: above 0 it is the better one, whether the
number is one that should be high (SSIM, PSNR) or low (L1, perceptual distance).
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vtonlib.checkpoints import replacing
from vtonlib.evaluation import Estimate, bootstrap

PAIRINGS = ("paired", "unpaired")
NEW_POSE = "new-pose"  # the pairing of another garment in another pose, see `vtonlib.evaluation_new_pose`
REGIONS = ("all", "garment", "skin", "uncovered", "head", "lower", "rest")
NUMBERS = ("ssim", "psnr", "l1", "perceptual")
HIGHER_IS_BETTER = {"ssim": True, "psnr": True, "l1": False, "perceptual": False}
BASELINES = {"paired": ("agnostic", "paste"), "unpaired": ("untouched", "paste"), NEW_POSE: ("untouched", "stay")}
PSNR_CEILING = 10 * math.log10(12 * 255**2)  # 58.9 dB: rounding to steps of 1/255 has a mean squared error of step^2/12
MOST_GROUPS = 10  # an attribute of numbers with more values than this is cut into thirds
MARKS = {"better": "+", "worse": "-"}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One number of one method against others, over the same samples.

    against: for each other method the mean difference in favour of `method` (above 0: this one is better) with its
    bootstrap 95% interval.
    """

    pairing: str
    region: str
    number: str
    method: str
    against: dict[str, Estimate]

    @property
    def verdict(self) -> str:
        """ "better" than every one (all intervals above 0), "worse" than at least one (below 0), or "open"."""
        if all(estimate.low > 0 for estimate in self.against.values()):
            return "better"
        return "worse" if any(estimate.high < 0 for estimate in self.against.values()) else "open"


@dataclass(frozen=True, kw_only=True)
class TryOnEvaluation:
    """Numbers of try-on pictures.

    rows: one dict for each pairing, sample, method and region, with these four, `garment`, the attributes that the data
    set's manifest has, and NUMBERS. features: name of the network behind the perceptual distance.
    """

    rows: list[dict]
    size: tuple[int, int]
    features: str

    @cached_property
    def _groups(self) -> dict[tuple[str, str, str], list[dict]]:
        groups = defaultdict(list)
        for row in self.rows:
            groups[row["pairing"], row["method"], row["region"]].append(row)
        return dict(groups)

    @property
    def pairings(self) -> list[str]:
        """The pairings that were measured."""
        return [pairing for pairing in (*PAIRINGS, NEW_POSE) if any(key[0] == pairing for key in self._groups)]

    def methods(self, pairing: str) -> list[str]:
        """Baselines, then the systems in the order they were given."""
        return list(dict.fromkeys(method for kind, method, _ in self._groups if kind == pairing))

    def regions(self, pairing: str) -> list[str]:
        """The regions of a pairing, in the order of REGIONS."""
        return [region for region in REGIONS if any(key[::2] == (pairing, region) for key in self._groups)]

    def column(self, pairing: str, method: str, region: str, number: str) -> list[float]:
        """One number of one method in one region, sample by sample; NaN where the region is empty."""
        return [row[number] for row in self._groups[pairing, method, region]]

    def samples(self, pairing: str) -> int:
        """How many samples were judged."""
        return len(self._groups[pairing, self.methods(pairing)[0], "all"])

    def at_ceiling(self, pairing: str, method: str, region: str) -> int:
        """In how many samples the region is equal to the target's, as far as PSNR can tell (see the module)."""
        least = PSNR_CEILING - 1e-4  # single precision
        return sum(value >= least for value in self.column(pairing, method, region, "psnr"))

    def estimate(self, pairing: str, values: Sequence[float]) -> Estimate:
        """Mean of one number a sample, in the order of `column`, with its interval."""
        return bootstrap(values)

    def summary(self) -> dict[str, dict[str, dict[str, dict[str, Estimate]]]]:
        """pairing -> region -> method -> number -> mean with its bootstrap 95% interval."""
        return {
            pairing: {
                region: {
                    method: {
                        number: self.estimate(pairing, self.column(pairing, method, region, number))
                        for number in NUMBERS
                    }
                    for method in self.methods(pairing)
                }
                for region in self.regions(pairing)
            }
            for pairing in self.pairings
        }  # fmt: skip

    def compare(self, method: str, others: Sequence[str], pairing: str) -> list[Comparison]:
        """A method against others, for every region and number of a pairing, sample by sample."""
        comparisons = []
        for region in self.regions(pairing):
            for number in NUMBERS:
                mine = np.asarray(self.column(pairing, method, region, number))
                sign = 1 if HIGHER_IS_BETTER[number] else -1
                against = {
                    other: self.estimate(pairing, sign * (mine - self.column(pairing, other, region, number)))
                    for other in others
                }
                comparisons.append(
                    Comparison(pairing=pairing, region=region, number=number, method=method, against=against)
                )
        return comparisons

    def beats_baselines(self) -> list[Comparison]:
        """Every system against the baselines of each pairing: what may be claimed, and what may not."""
        return [
            comparison
            for pairing in self.pairings
            for method in self.methods(pairing)
            if method not in BASELINES[pairing]
            for comparison in self.compare(method, BASELINES[pairing], pairing)
        ]

    def against_other_systems(self) -> list[Comparison]:
        """The first system against each further one, for example against the same one without a stage."""
        comparisons = []
        for pairing in self.pairings:
            first, *others = [name for name in self.methods(pairing) if name not in BASELINES[pairing]] or [None]
            comparisons += [one for other in others for one in self.compare(first, [other], pairing)]
        return comparisons

    def table(self) -> str:
        """The summary as text: a block for each pairing, a line for each region and method."""
        summary = self.summary()
        marks = {(c.pairing, c.region, c.method, c.number): MARKS.get(c.verdict, " ") for c in self.beats_baselines()}
        lines = []
        for pairing, by_region in summary.items():
            size = f"{self.size[0]}x{self.size[1]}"
            lines.append(f"{pairing}: {self.samples(pairing)} samples at {size}; mean [bootstrap 95% interval]")
            lines.append(_line(["region", "method"], [f"{number}  " for number in NUMBERS]) + "  equal")
            for region, by_method in by_region.items():
                for method, numbers in by_method.items():
                    cells = [
                        f"{_cell(numbers[number])} {marks.get((pairing, region, method, number), ' ')}"
                        for number in NUMBERS
                    ]
                    lines.append(f"{_line([region, method], cells)}  {self.at_ceiling(pairing, method, region):>5}")
            lines.append("")
        lines.append("+ better than every baseline, - worse than one (95% interval of the difference)")
        lines.append(f"perceptual: on the feature network {self.features!r}; equal: samples at the ceiling of PSNR")
        return "\n".join(lines)

    def by(self, *attributes: str) -> dict[str, TryOnEvaluation]:
        """The evaluation cut up by attributes of the rows: value (several are joined with " / ") -> evaluation.

        Numbers with more than MOST_GROUPS values are cut into thirds of the rows; NaN is "unknown". Raises ValueError
        for no attribute or one that rows lack, naming those there are.
        """
        there = [name for name in self.rows[0] if name not in NUMBERS]
        if not attributes or any(name not in there for name in attributes):
            raise ValueError(f"by: expected attributes among {', '.join(there)}, got {attributes}")
        labels = zip(*(_labels([row[name] for row in self.rows]) for name in attributes), strict=True)
        groups = defaultdict(list)
        for row, label in zip(self.rows, labels, strict=True):
            groups[" / ".join(label)].append(row)
        return {label: replace(self, rows=groups[label]) for label in sorted(groups)}

    def table_by(self, *attributes: str, pairing: str, region: str, number: str) -> str:
        """One number as text, a line for each value of the attributes, a column for each method."""
        methods = self.methods(pairing)
        lines = [_line([" / ".join(attributes), "samples"], methods)]
        for label, part in self.by(*attributes).items():
            if pairing in part.pairings:
                columns = [part.column(pairing, method, region, number) for method in methods]
                cells = [_cell(part.estimate(pairing, column)) for column in columns]
                lines.append(_line([label, str(part.samples(pairing))], cells))
        return "\n".join(lines)

    def write(self, folder: str | Path, about: dict | None = None, *, stem: str = "tryon") -> list[Path]:
        """Write STEM.csv (rows) and STEM.json (`report`, and `about`: see `provenance`) into a folder, atomically."""
        folder = Path(folder)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        report = json.dumps(_plain({**self.report(), **(about or {})}), indent=1, allow_nan=False) + "\n"
        contents = {f"{stem}.csv": text.getvalue(), f"{stem}.json": report}
        for name, content in contents.items():
            with replacing(folder / name) as temporary:
                temporary.write_text(content, encoding="utf-8", newline="")
        return [folder / name for name in contents]

    def report(self) -> dict:
        """What `write` puts into the JSON file: size, features, samples, summary, and the comparisons."""
        summary = {
            pairing: {
                region: {
                    method: {**{number: asdict(value) for number, value in numbers.items()},
                             "at_ceiling": self.at_ceiling(pairing, method, region)}
                    for method, numbers in by_method.items()
                }
                for region, by_method in by_region.items()
            }
            for pairing, by_region in self.summary().items()
        }  # fmt: skip
        return {
            "size": list(self.size),
            "features": self.features,
            "samples": {pairing: self.samples(pairing) for pairing in self.pairings},
            "summary": summary,
            "beats_baselines": [{**asdict(one), "verdict": one.verdict} for one in self.beats_baselines()],
            "against_other_systems": [{**asdict(one), "verdict": one.verdict} for one in self.against_other_systems()],
        }


def provenance(system: Any, dataset: Any, command: str) -> dict:
    """What a committed result says about where it comes from: `about` for `write`, here and in `vtonlib.evaluation`.

    system: with `name` and `metadata` (stage -> metadata of its weights file); dataset: from `open_dataset`; command:
    the words that make the result again. -> system, command, data (split, and the recipe of a studio set), weights
    (stage -> its recipe's version and the command that trained it; None where the weights don't say).
    """
    weights = {}
    for stage, metadata in system.metadata.items():
        recipe = metadata.get("recipe") or {}
        weights[stage] = {"recipe": recipe.get("version"), "command": metadata.get("command")}
    data = {"split": dataset.source.split, "studio": getattr(dataset.source, "recipe", None)}
    return {"system": system.name, "command": command, "data": data, "weights": weights}


def _line(heads: Sequence[str], cells: Sequence[str]) -> str:
    return "  ".join([*(f"{head:<16}" for head in heads), *(f"{cell:>28}" for cell in cells)])


def _cell(estimate: Estimate) -> str:
    return f"{estimate.mean:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"


def _plain(value: Any) -> Any:
    """As JSON can hold it: NaN is null; six digits of a float, which is more than is known."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _labels(values: list) -> list[str]:
    """Each value as text, NaN as "unknown"; thirds of many numbers as "low to high"."""
    if not all(isinstance(value, float) for value in values):
        return [str(value) for value in values]
    numbers = np.asarray(values)
    known = np.isfinite(numbers)
    if len(np.unique(numbers[known])) <= MOST_GROUPS:
        return [str(value) if there else "unknown" for value, there in zip(values, known, strict=True)]
    thirds = np.searchsorted(np.quantile(numbers[known], [1 / 3, 2 / 3]), numbers)
    ends = {third: numbers[known & (thirds == third)] for third in np.unique(thirds[known])}
    names = {third: f"{within.min():g} to {within.max():g}" for third, within in ends.items()}
    return [names[third] if there else "unknown" for third, there in zip(thirds, known, strict=True)]
