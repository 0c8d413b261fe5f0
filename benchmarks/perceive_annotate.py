"""What it costs to annotate a photograph by networks: seconds, and what a try-on loses against given annotations.

    python benchmarks/perceive_annotate.py --data data/benchmark --real ../shared/real --try-on

Seconds: of every step for each photograph below --real, annotated at 1024x768 with a garment and written to disk, and
for the same photograph enlarged to 12 megapixels and stored as a JPEG. The first photograph is annotated once before.

Agreement, on test people of --data at 256x192 and on the photographs of --real: the mask of the human-agnostic picture
made from predicted annotations against the one made from given ones (intersection over union), and the share of pixels
on which the parse-agnostic maps agree; means with bootstrap 95% intervals, and the photographs one by one. Who is not
found is counted and left out.

--try-on: CP-VTON on the same test people with given and with predicted annotations (parse, pose, garment mask), judged
by `vtonlib.evaluation_tryon` against the same truth; the differences, sample by sample, with their intervals: below 0
the predicted annotations are worse.

The result goes to benchmarks/results/perceive-annotate.json; no picture is written but to a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vtonlib.checkpoints import replacing
from vtonlib.data import open_dataset
from vtonlib.evaluation import bootstrap
from vtonlib.metrics import iou
from vtonlib.perceive import SIZE, Annotator, NobodyFound, write_viton_hd
from vtonlib.represent import human_agnostic_mask, parse_agnostic
from vtonlib.sample import TryOnSample, collate

SMALL = (256, 192)
TWELVE = (4000, 3000)  # height and width of a photograph from a phone
LIMIT_SECONDS = 2.0


def different_people(dataset, limit: int | None) -> list[TryOnSample]:
    """The first sample of each person."""
    first = {pair[0]: index for index, pair in reversed(list(enumerate(dataset.pairs)))}
    return [dataset[index] for index in sorted(first.values())[:limit]]


def annotated(annotator: Annotator, sample: TryOnSample) -> TryOnSample | None:
    """The sample with predicted instead of given annotations, on the same picture and garment; None: nobody found."""
    try:
        predicted = annotator(sample.person, name=sample.name, size=sample.size, crop=False).sample
    except NobodyFound as error:
        print(f"{sample.name}: {error}")
        return None
    garment = sample.garment
    if garment is not None and annotator.masker is not None:
        garment = replace(garment, mask=annotator.masker(garment.image[None])[0].float())
    fields = {name: getattr(predicted, name) for name in ("parse", "pose", "hands", "densepose", "skeleton")}
    return replace(sample, garment=garment, **fields)


def agreement(given: TryOnSample, predicted: TryOnSample) -> dict[str, float]:
    """How far the agnostics of two samples of one picture agree."""
    masks = [human_agnostic_mask(sample) for sample in (given, predicted)]
    maps = [parse_agnostic(sample) for sample in (given, predicted)]
    return {
        "human_agnostic_iou": float(iou(*masks)),
        "parse_agnostic_equal": float((maps[0] == maps[1]).float().mean()),
        "parse_equal": float((given.parse == predicted.parse).float().mean()),
    }


def summarised(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means with intervals of all numbers of the rows."""
    numbers = [name for name, value in rows[0].items() if isinstance(value, float)]
    return {name: asdict(bootstrap([row[name] for row in rows])) for name in numbers}


# ---- seconds -------------------------------------------------------------------------------------------------------


def timed(annotator: Annotator, photo: Path, garment: Path) -> dict[str, float]:
    """Seconds of every step of one photograph, with writing."""
    result = annotator(photo, garment)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_viton_hd(result.sample, folder)
        written = time.perf_counter() - start
    return {**result.report.seconds, "write": written, "annotate": result.report.total}


def seconds(annotator: Annotator, real: Path) -> dict[str, Any]:
    """Medians of `timed` over the photographs, as they are and enlarged to 12 megapixels."""
    photos, garments = (sorted((real / "test" / folder).glob("*.jpg")) for folder in ("image", "cloth"))
    timed(annotator, photos[0], garments[0])
    rows: dict[str, list[dict[str, float]]] = {"1024x768": [], "12 megapixels": []}
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.jpg"
        for photo, garment in zip(photos, garments, strict=False):
            rows["1024x768"].append(timed(annotator, photo, garment))
            with Image.open(photo) as picture:
                picture.resize(TWELVE[::-1], Image.Resampling.BICUBIC).save(large, quality=92)
            rows["12 megapixels"].append(timed(annotator, large, garment))
    medians = {size: {step: float(np.median([row[step] for row in of])) for step in of[0]} for size, of in rows.items()}
    return {
        "threads": torch.get_num_threads(), "cores": os.cpu_count(), "size": list(SIZE), "photographs": len(photos),
        "limit": LIMIT_SECONDS, "median_seconds": medians,
    }  # fmt: skip


# ---- CP-VTON on both -----------------------------------------------------------------------------------------------


class OnAnnotations:
    """A try-on system that is shown predicted annotations in the place of those of the batch.

    lookup: person's name -> sample with predicted annotations. The garment stays the batch's, its mask predicted.
    """

    def __init__(self, system: Any, lookup: dict[str, TryOnSample], masks: dict[str, Tensor]) -> None:
        self.system, self.lookup, self.masks = system, lookup, masks

    def try_on(self, batch: TryOnSample) -> Any:
        """Dress a collated batch."""
        predicted = collate([replace(self.lookup[name], truth=None, garment=None) for name in batch.name])
        mask = torch.stack([self.masks[name] for name in batch.garment.name]).to(batch.garment.image)
        return self.system.try_on(replace(predicted, garment=replace(batch.garment, mask=mask)))


def garment_masks(annotator: Annotator, samples: Sequence[TryOnSample]) -> dict[str, Tensor]:
    """Predicted masks (1,H,W) of all garments that the samples wear or try on, by name."""
    garments = {}
    for sample in samples:
        garments[sample.garment.name] = sample.garment.image
        if sample.truth is not None and sample.truth.unpaired is not None:
            other = sample.truth.unpaired.garment
            garments[other.name] = other.image
    return {name: annotator.masker(image[None])[0].float() for name, image in garments.items()}


def try_on(annotator: Annotator, given: list[TryOnSample], predicted: list[TryOnSample]) -> dict[str, Any]:
    """CP-VTON with given and with predicted annotations: numbers, and predicted against given."""
    from vtonlib.evaluation_tryon import evaluate_tryon
    from vtonlib.systems import load_system

    system = load_system("cp-vton")
    systems = {
        "given": system,
        "predicted": OnAnnotations(system, {one.name: one for one in predicted}, garment_masks(annotator, given)),
    }
    evaluation = evaluate_tryon(systems, given, pairing="both", size=SMALL, progress=True)
    print(evaluation.table())
    rows = []
    for one in [c for pairing in evaluation.pairings for c in evaluation.compare("predicted", ["given"], pairing)]:
        numbers = {
            name: asdict(bootstrap(evaluation.column(one.pairing, name, one.region, one.number))) for name in systems
        }
        rows.append({
            "pairing": one.pairing, "region": one.region, "number": one.number, **numbers,
            "in_favour_of_predicted": asdict(one.against["given"]),
        })  # fmt: skip
    return {"samples": len(given), "system": "cp-vton", "rows": rows}


def told(results: dict[str, Any]) -> str:
    """The main numbers as text."""
    lines = []
    for size, steps in results.get("seconds", {}).get("median_seconds", {}).items():
        lines.append(f"{size}: " + ", ".join(f"{step} {value:.2f}" for step, value in steps.items()) + " s")
    for name, of in results["agreement"].items():
        for number, estimate in of["summary"].items():
            interval = f"{estimate['mean']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
            lines.append(f"{name}, {of['people']} people, {of['not_found']} not found: {number} {interval}")
    for row in results.get("try_on", {}).get("rows", []):
        difference = row["in_favour_of_predicted"]
        lines.append(
            f"cp-vton, {row['pairing']}, {row['region']}, {row['number']}: given {row['given']['mean']:.4f}, predicted "
            f"{row['predicted']['mean']:.4f}, difference {difference['mean']:.4f} [{difference['low']:.4f}, "
            f"{difference['high']:.4f}]"
        )
    return "\n".join(lines)


def plain(value: Any) -> Any:
    """As JSON holds it: six digits, and null for what is not finite."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a studio data set")
    parser.add_argument("--real", type=Path, help="photographs with parse and pose, in the layout of VITON-HD")
    parser.add_argument("--limit", type=int, default=100, help="how many test people")
    parser.add_argument("--try-on", action="store_true", help="measure CP-VTON on both annotations")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/perceive-annotate.json"))
    arguments = parser.parse_args()
    annotator = Annotator.load(device=arguments.device)
    dataset = open_dataset(arguments.data, split="test", pairing="paired", size=SMALL)
    sources = {"studio": different_people(dataset, arguments.limit)}
    results: dict[str, Any] = {"command": shlex.join(["python", *sys.argv]), "data": dataset.source.recipe}
    if arguments.real is not None:
        results["seconds"] = seconds(annotator, arguments.real)
        real = open_dataset(arguments.real, split="test", pairing="unpaired", size=SMALL)
        sources["photographs"] = different_people(real, None)
    results["agreement"] = {}
    pairs = {name: [(one, annotated(annotator, one)) for one in samples] for name, samples in sources.items()}
    for name, of in pairs.items():
        found = [(given, predicted) for given, predicted in of if predicted is not None]
        rows = [{"name": given.name, **agreement(given, predicted)} for given, predicted in found]
        results["agreement"][name] = {
            "people": len(of), "not_found": len(of) - len(found), "summary": summarised(rows),
        }  # fmt: skip
        if name == "photographs":
            results["agreement"][name]["each"] = rows
    if arguments.try_on:
        given, predicted = zip(*(pair for pair in pairs["studio"] if pair[1] is not None), strict=True)
        results["try_on"] = try_on(annotator, list(given), list(predicted))
    print(told(results))
    with replacing(arguments.results) as temporary:
        temporary.write_text(json.dumps(plain(results), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
