"""How well the course's parser labels people: of the studio, and on photographs.

    python benchmarks/perceive_parsing.py --data data/wild data/benchmark --real ../shared/real \\
        --pair ../shared/real/schp/demo.jpg ../shared/real/schp/demo_lip.png --out runs/parsing-sheets

Per label and on average over the labels that occur: intersection over union, and the share of pixels with the right
label. The studio's people are those of the test split, which no training has seen; with a manifest they are also
counted by skin tone, body shape, pose and more, each group by itself, as an average hides who is served worse. The
photographs are a folder in the layout of VITON-HD and single pairs of a photograph and a label map; every one is listed
with its pixels, as few photographs decide little. Numbers go to benchmarks/results/perceive-parsing.json; pictures of
person, labels and guess go to OUT, as photographs of real people have no place among the results.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from vtonlib.checkpoints import WEIGHTS_FOLDER, read_metadata, replacing
from vtonlib.data import open_dataset
from vtonlib.labels import LIP
from vtonlib.metrics import label_scores, label_table
from vtonlib.perceive.parsing import HumanParser, label_colours, load_parser
from vtonlib.pictures import picture_grid, save_picture
from vtonlib.sample import TryOnSample

STUDIO_TARGET, REAL_FLOOR, REAL_TARGET, REAL_ACCURACY = 0.85, 0.55, 0.65, 0.90
SHEET = (384, 288)  # size of one picture on a sheet
# Attributes of the manifest that are numbers: the borders between groups. Body shape is anny's weight and height, 0 to
# 1; skin tone is the studio's scale, 0 lightest.
BORDERS = {"skin_tone": (2.0, 4.0), "weight": (0.33, 0.67), "height": (0.33, 0.67), "yaw": (-15.0, 15.0)}
# Groups are compared by labels that nearly everybody has: over all that occur, a group with nobody in gloves would win.
COMMON = [LIP.index(name) for name in ("background", "hair", "upper-clothes", "pants", "neck", "face", "left-arm",
                                       "right-arm")]  # fmt: skip
NAMED = ("pose", "female", "look", "backdrop", "lighting", "cut", "jacket", "hat", "glasses")


def table_of(parse: Tensor, guess: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
    """Pixels (20, 20) by true and guessed label of one picture (H, W), without its padding."""
    left, top, right, bottom = padding
    inner = (slice(top, parse.shape[0] - bottom), slice(left, parse.shape[1] - right))
    return label_table(parse[inner], guess[inner], len(LIP))


def numbers(table: Tensor) -> dict:
    """mean IoU over labels that occur, pixel accuracy, and per label that occurs IoU, recall, precision and pixels."""
    scores = label_scores(table)
    labels = {
        LIP[k]: {
            "iou": round(float(scores.iou[k]), 4),
            "recall": round(float(scores.recall[k]), 4),
            "precision": round(float(scores.precision[k].nan_to_num(0.0)), 4),  # never guessed: 0
            "pixels": int(scores.pixels[k]),
        }
        for k in range(len(LIP))
        if scores.pixels[k]
    }
    return {"miou": round(scores.mean_iou, 4), "accuracy": round(scores.accuracy, 4), "labels": labels}


def interval(tables: Sequence[Tensor], draws: int = 1000) -> list[float]:
    """Where 95 % of the `common_miou` lie of as many people drawn from these with replacement (the bootstrap)."""
    chosen = torch.randint(len(tables), (draws, len(tables)), generator=torch.Generator().manual_seed(0))
    times = torch.zeros(draws, len(tables), dtype=torch.float64).scatter_add_(
        1, chosen, torch.ones(chosen.shape).double()
    )
    drawn = (times @ torch.stack(list(tables)).flatten(1).double()).unflatten(1, tables[0].shape)
    hits, true = drawn.diagonal(dim1=1, dim2=2), drawn.sum(2)
    iou = torch.where(true > 0, hits / (true + drawn.sum(1) - hits), torch.nan)
    limits = iou[:, COMMON].nanmean(1).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    return [round(limit, 4) for limit in limits.tolist()]


def group_numbers(tables: Sequence[Tensor]) -> dict:
    """Of a group of people: how many, mean IoU over the labels of COMMON that occur with its 95 % interval, accuracy,
    the least accurate."""
    scores = label_scores(sum(tables))
    return {
        "people": len(tables),
        "common_miou": round(float(scores.iou[COMMON].nanmean()), 4),
        "common_miou_interval": interval(tables),
        "accuracy": round(scores.accuracy, 4),
        "lowest_accuracy": round(min(label_scores(table).accuracy for table in tables), 4),
    }


def measured(parser: HumanParser, samples: Sequence[TryOnSample], indices: Sequence[int]) -> tuple[list, list]:
    """The table of each sample, and person | labels | guess of the first eight for a sheet."""
    tables, rows = [], []
    for index in indices:
        sample = samples[index]
        guess = parser(sample.person)[0]
        tables.append(table_of(sample.parse, guess, sample.padding))
        if len(rows) < 8:
            rows.append([_shown(each) for each in (sample.person, label_colours(sample.parse), label_colours(guess))])
    return tables, rows


def _shown(picture: Tensor) -> Tensor:
    """Fitted into `SHEET`, white beside it."""
    factor = min(SHEET[0] / picture.shape[1], SHEET[1] / picture.shape[2])
    size = [max(1, min(room, round(side * factor))) for side, room in zip(picture.shape[1:], SHEET, strict=True)]
    small = functional.interpolate(picture[None], size, mode="area")[0]
    return functional.pad(small, (0, SHEET[1] - size[1], 0, SHEET[0] - size[0]), value=1.0)


def group_of(row: dict[str, str], attribute: str) -> str:
    """The group that a line of the manifest belongs to, in words."""
    if attribute in NAMED:
        return row[attribute] or "none"
    value, borders = float(row[attribute]), BORDERS[attribute]
    place = sum(value >= border for border in borders)
    ends = ["", *(f"{border:g}" for border in borders), ""]
    return f"{ends[place]} to {ends[place + 1]}".strip()  # "to 2", "2 to 4", "4 to"


def breakdown(root: Path, names: Sequence[str], tables: Sequence[Tensor]) -> dict:
    """Attribute -> group -> `group_numbers`, by the manifest; empty for a set without one."""
    path = root / "manifest.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        lines = {row["name"]: row for row in csv.DictReader(file)}
    result: dict[str, dict] = {}
    for attribute in (*BORDERS, *NAMED):
        groups: dict[str, list[Tensor]] = {}
        for name, table in zip(names, tables, strict=True):
            if name not in lines:
                raise ValueError(f"{path}: expected a line for {name!r}, got none")
            groups.setdefault(group_of(lines[name], attribute), []).append(table)
        result[attribute] = {group: group_numbers(of) for group, of in sorted(groups.items())}
    return result


def studio_results(parser: HumanParser, root: Path, limit: int | None, out: Path | None) -> dict:
    """The test split of one studio data set at its own size: on the whole, and by groups."""
    dataset = open_dataset(root, split="test", pairing="paired", size=None)
    indices = range(len(dataset) if limit is None else min(limit, len(dataset)))
    tables, rows = measured(parser, dataset, indices)
    if out is not None:
        save_picture(out / f"studio-{root.name}.png", picture_grid(rows))
    people = [dataset.pairs[index][0] for index in indices]
    return {"people": len(tables), **numbers(sum(tables)), "groups": breakdown(root, people, tables)}


def photograph_results(parser: HumanParser, root: Path, out: Path | None) -> dict:
    """Photographs in the layout of VITON-HD, each at its own size once: every one, and all together."""
    dataset = open_dataset(root, split="test", pairing="unpaired", size=None)
    first = {person: index for index, (person, *_) in reversed(list(enumerate(dataset.pairs)))}
    indices = sorted(first.values())
    tables, rows = measured(parser, dataset, indices)
    if out is not None:
        save_picture(out / "photographs.png", picture_grid(rows))
    each = {dataset.pairs[index][0]: numbers(table) for index, table in zip(indices, tables, strict=True)}
    mean = float(np.mean([one["miou"] for one in each.values()]))
    return {"photographs": len(tables), **numbers(sum(tables)), "mean_of_each": round(mean, 4), "each": each}


def pair_results(parser: HumanParser, photo: Path, labels: Path, out: Path | None) -> dict:
    """One photograph and its labels, an 8-bit picture of LIP numbers of the same size."""
    picture = torch.from_numpy(np.array(Image.open(photo).convert("RGB"))).permute(2, 0, 1).float() / 127.5 - 1
    with Image.open(labels) as file:
        if file.mode not in ("P", "L"):
            raise ValueError(f"{labels}: expected label numbers (mode P or L), got mode {file.mode}")
        parse = torch.from_numpy(np.array(file)).long()
    if parse.shape != picture.shape[1:]:
        raise ValueError(
            f"{labels}: expected the photograph's size {tuple(picture.shape[1:])}, got {tuple(parse.shape)}"
        )
    sample = TryOnSample(name=photo.stem, person=picture, parse=parse)
    tables, rows = measured(parser, [sample], [0])
    if out is not None:
        save_picture(out / f"pair-{photo.stem}.png", picture_grid(rows))
    return numbers(tables[0])


def report(results: dict, say: Callable[[str], None] = print) -> None:
    """The numbers to read: every set and photograph, then the labels of the photographs."""
    for name, one in results["studio"].items():
        say(f"studio {name}: {one['people']} people, mean IoU {one['miou']:.3f}, accuracy {one['accuracy']:.3f}")
    real = results.get("photographs")
    if real is not None:
        for name, one in real["each"].items():
            say(f"  {name}: mean IoU {one['miou']:.3f}, accuracy {one['accuracy']:.3f}")
        say(f"photographs: {real['photographs']}, mean IoU {real['miou']:.3f}, accuracy {real['accuracy']:.3f}")
        for label, entry in real["labels"].items():
            say(f"  {label:<16} IoU {entry['iou']:.3f}  recall {entry['recall']:.3f}  pixels {entry['pixels']}")
    for name, one in results.get("pairs", {}).items():
        say(f"pair {name}: mean IoU {one['miou']:.3f}, accuracy {one['accuracy']:.3f}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, nargs="+", required=True, help="studio data sets")
    options.add_argument("--real", type=Path, help="photographs with labels, in the layout of VITON-HD")
    options.add_argument("--pair", type=Path, nargs=2, action="append", default=[], metavar=("PHOTO", "LABELS"))
    options.add_argument("--weights", default="course", help="a weights file; by default the course's own")
    options.add_argument("--flip", action="store_true", help="average with the mirror image")
    options.add_argument("--limit", type=int, help="at most so many studio people of each set")
    options.add_argument("--out", type=Path, help="folder for sheets of pictures; none are drawn without it")
    options.add_argument("--results", type=Path, default=Path("benchmarks/results/perceive-parsing.json"))
    given = options.parse_args()
    parser = load_parser(given.weights, flip=given.flip)
    file = WEIGHTS_FOLDER / "parsing.safetensors" if given.weights == "course" else Path(given.weights)
    metadata = read_metadata(file)
    results = {
        "parameters": sum(weight.numel() for weight in parser.net.parameters()), "size": list(parser.size),
        "flip": given.flip, "recipe": metadata["recipe"]["version"], "command": metadata["command"],
        "studio_target": STUDIO_TARGET, "real_floor": REAL_FLOOR, "real_target": REAL_TARGET,
        "real_accuracy_target": REAL_ACCURACY,
        "studio": {root.name: studio_results(parser, root, given.limit, given.out) for root in given.data},
    }  # fmt: skip
    if given.real is not None:
        results["photographs"] = photograph_results(parser, given.real, given.out)
    if given.pair:
        results["pairs"] = {photo.stem: pair_results(parser, photo, labels, given.out) for photo, labels in given.pair}
    report(results)
    with replacing(given.results) as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
