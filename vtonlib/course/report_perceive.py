"""What the README tells of the preprocessing steps in numbers: read from benchmarks/results/perceive-*.json.

Aims are named beside the numbers, reached or not; photographs are few, so they are given with their counts.
"""

from __future__ import annotations

import json
from pathlib import Path

FILES = ("pose", "parsing", "densepose", "garment-mask", "annotate")
COMMANDS = {
    "pose": "--data data/benchmark data/wild --real PHOTOGRAPHS",
    "parsing": "--data data/benchmark data/wild --real PHOTOGRAPHS",
    "densepose": "--data data/benchmark data/wild data/views",
    "garment-mask": "--data data/benchmark data/wild --real PHOTOGRAPHS",
    "annotate": "--data data/benchmark --real PHOTOGRAPHS --try-on",
}
MASKS = {"border": "distance from the border's colour", "unet": "U-Net", "u2netp": "U2-NetP"}


def read_perceive(folder: Path) -> dict[str, dict]:
    """Step -> what its benchmark found. ValueError, naming the command, where a file is missing."""
    found = {}
    for name in FILES:
        path = folder / f"perceive-{name}.json"
        if not path.is_file():
            command = f"python benchmarks/perceive_{name.replace('-', '_')}.py {COMMANDS[name]}"
            raise ValueError(f"{path}: no such file; `{command}` makes it")
        found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def perceive_results(found: dict[str, dict]) -> list[str]:
    """The README's lines: a table of the steps, then the agnostics and CP-VTON on predicted annotations."""
    rows = [*_pose(found["pose"]), *_parsing(found["parsing"]), *_densepose(found["densepose"])]
    rows += _masks(found["garment-mask"])
    heads = ["step, number", "studio, test people", "aim", "photographs", "aim"]
    table = [heads, *rows]
    lines = ["| " + " | ".join(row) + " |" for row in table]
    lines.insert(1, "|" + "---|" * len(heads))
    return [*lines, "", *_annotate(found["annotate"])]


def _each(values: dict[str, float], form: str = "{:.3f}") -> str:
    return ", ".join(f"{form.format(value)} ({name})" for name, value in values.items())


def _pose(found: dict) -> list[list[str]]:
    photographs, aims = found["photographs"], found["targets"]
    raw, moved = photographs["raw"], photographs["hips moved"]
    body = {name: of["pck"] for name, of in found["studio"].items()}
    hands = {name: of["hands"]["pck"] for name, of in found["studio"].items()}
    told = f"{moved['hits']} of {moved['counted']} joints = {moved['pck']:.2f}; "
    told += f"{raw['hits']} with the hips where the studio has them"
    return [
        ["1 pose, body: PCK@0.1", _each(body), f"{aims['studio']:.2f}", told, f"{aims['photographs']:.2f}"],
        ["1 pose, hands: PCK@0.1", _each(hands), "", "", ""],
    ]


def _parsing(found: dict) -> list[list[str]]:
    photographs = found["photographs"]
    studio = {name: of["miou"] for name, of in found["studio"].items()}
    accuracy = {name: of["accuracy"] for name, of in found["studio"].items()}
    each = ", ".join(f"{of['miou']:.2f}" for of in photographs["each"].values())
    return [
        ["2 parsing: mean IoU", _each(studio), f"{found['studio_target']:.2f}",
         f"{photographs['miou']:.3f} on {photographs['photographs']} ({each})", f"{found['real_target']:.2f}"],
        ["2 parsing: pixel accuracy", _each(accuracy), "", f"{photographs['accuracy']:.3f}",
         f"{found['real_accuracy_target']:.2f}"],
    ]  # fmt: skip


def _densepose(found: dict) -> list[list[str]]:
    names = [of["name"] for of in found["data"]]
    parts = {name: of["miou"] for name, of in zip(names, found["data"], strict=True)}
    surface = {name: of["uv_where_right"]["error"] for name, of in zip(names, found["data"], strict=True)}
    return [
        ["3 DensePose: mean IoU of the parts", _each(parts), f"{found['target']:.2f}", "no truth", ""],
        ["3 DensePose: mean error of U and V", _each(surface), "", "no truth", ""],
    ]


def _masks(found: dict) -> list[list[str]]:
    rows, aims = [], found["targets"]
    for backend, about in MASKS.items():
        of = found["backends"][backend]
        studio, photographs = of["studio"], of["photographs"]
        rows.append([
            f"4 garment mask, {about}: IoU",
            f"{studio['iou']:.3f} (in the shop), {of['grounds']['iou']:.3f} (on other grounds)",
            f"{aims['studio']:.2f}",
            f"{photographs['iou']:.3f} on {photographs['pictures']}, the worst {photographs['worst']:.3f}",
            f"{aims['photographs']:.2f}",
        ])  # fmt: skip
    return rows


def _annotate(found: dict) -> list[str]:
    seconds, studio = found["seconds"], found["agreement"]["studio"]
    size, medians = next(iter(seconds["median_seconds"].items()))
    summary, (height, width) = studio["summary"], seconds["size"]
    lines = [
        f"A photograph of {size} takes {medians['annotate']:.2f} s from the file to a sample of {height}x{width} "
        f"({seconds['cores']} cores; the aim is {seconds['limit']:g} s). On {studio['people']} test people the area "
        f"that the human-agnostic picture hides agrees with that from the true annotations to an IoU of "
        f"{summary['human_agnostic_iou']['mean']:.3f}, and {summary['parse_agnostic_equal']['mean']:.1%} of the values "
        "of the parse-agnostic map are the same."
    ]  # fmt: skip
    if "try_on" in found:
        lines += ["", _on_predicted(found["try_on"])]
    return lines


def _on_predicted(found: dict) -> str:
    """CP-VTON's numbers on given and on predicted annotations, unpaired."""
    told, names = [], {"ssim": "SSIM", "perceptual": "perceptual distance"}
    for row in found["rows"]:
        of = (row["pairing"], row["region"], row["number"])
        if of not in {
            ("unpaired", region, number) for region in ("all", "garment") for number in ("ssim", "perceptual")
        }:
            continue
        gain = row["in_favour_of_predicted"]
        verdict = "better" if gain["low"] > 0 else "worse" if gain["high"] < 0 else "no clear difference"
        name = names[row["number"]]
        told.append(
            f"{name}{'' if row['region'] == 'all' else ' of the garment'} {row['predicted']['mean']:.3f} against "
            f"{row['given']['mean']:.3f} ({verdict}; {gain['low']:+.4f} to {gain['high']:+.4f} in favour of predicted)"
        )
    start = f"CP-VTON on predicted annotations against given ones, unpaired, {found['samples']} people"
    return f"{start}: {'; '.join(told)}."
