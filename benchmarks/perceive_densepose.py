"""How well is the body's surface found? DensePose on studio people that were never seen, and pictures of photographs.

    python benchmarks/perceive_densepose.py --data data/benchmark data/wild --real ../shared/real --out runs/densepose

For the test split of each studio data set: intersection over union of each part, pooled over all pixels of all people;
its mean over the parts that occur (target 0.80), over those with at least a pixel in 2000, and weighted by how often
they occur; how many pixels got the part of the other side, or of the other half of a limb or the torso; and the mean
error of U and V, where the part is right and everywhere, beside what one gets by always saying the mean of the part.
It goes to benchmarks/results/perceive-densepose.json. Photographs have no true DensePose: only pictures of them go to
OUT, as real people have no place among the results.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from vtonlib.checkpoints import WEIGHTS_FOLDER, read_metadata, replacing
from vtonlib.data import TryOnDataset, open_dataset
from vtonlib.labels import DENSEPOSE, DENSEPOSE_MIRROR
from vtonlib.metrics import label_scores, label_table
from vtonlib.perceive.densepose import (
    FILE,
    DensePoseEstimator,
    densepose_picture,
    load_densepose,
    point_is_known,
)
from vtonlib.pictures import picture_grid, save_picture

SIZE, PHOTO_SIZE = (256, 192), (512, 384)
TARGET = 0.80
COMMON = 1 / 2000  # share of all pixels from which on a part counts as common
HALVES = {"front": "back", "back": "front", "inner": "outer", "outer": "inner"}


def other_half(name: str) -> int:
    """The part on the other half of the torso or of a limb; the part itself where there are no halves."""
    limb, _, half = name.rpartition("-")
    return DENSEPOSE.index(f"{limb}-{HALVES[half]}" if half in HALVES else name)


OTHER_HALF = tuple(other_half(name) for name in DENSEPOSE)


def first_of_each(dataset: TryOnDataset) -> list[int]:
    """Indices of the samples, each person once."""
    return sorted({pair[0]: index for index, pair in reversed(list(enumerate(dataset.pairs)))}.values())


def known_by_part(densepose: Tensor) -> tuple[Tensor, Tensor]:
    """Of one densepose (3,H,W): part (N,) int64 and u, v (N,2) of the pixels where they are known."""
    known = point_is_known(densepose)
    return densepose[0][known].round().long(), densepose[1:, known].T.double()


def part_means(dataset: TryOnDataset, limit: int) -> Tensor:
    """Mean u and v (25,2) of each part over some people: what one would say without looking."""
    sums, counts = torch.zeros(25, 2, dtype=torch.float64), torch.zeros(25, 1, dtype=torch.float64)
    for index in first_of_each(dataset)[:limit]:
        part, surface = known_by_part(dataset[index].densepose)
        sums.index_add_(0, part, surface)
        counts += torch.bincount(part, minlength=25)[:, None]
    return torch.where(counts > 0, sums / counts.clamp(min=1), 0.5)


def surface_sums(truth: Tensor, guess: Tensor, means: Tensor) -> Tensor:
    """(2,3) float64, where the part is right and everywhere: sum of |du| + |dv| over the pixels with known u and v,
    the same for the mean of the true part, and how many pixels. What is taken for background says u = v = 0."""
    part, surface = known_by_part(truth)
    known = point_is_known(truth)
    error = (guess[1:, known].T.double() - surface).abs().sum(1)
    baseline = (means[part] - surface).abs().sum(1)
    right = (guess[0][known].round().long() == part).double()
    everywhere = torch.ones_like(right)
    return torch.stack([torch.stack([(error * w).sum(), (baseline * w).sum(), w.sum()]) for w in (right, everywhere)])


def measure(estimator: DensePoseEstimator, root: Path, limit: int | None) -> tuple[dict, list]:
    """The numbers of the test split of a data set, and rows of pictures of its first people."""
    dataset = open_dataset(root, split="test", pairing="paired", size=SIZE)
    means = part_means(open_dataset(root, split="train", pairing="paired", size=SIZE), 200)
    table, sums, rows = torch.zeros(25, 25, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.float64), []
    chosen = first_of_each(dataset)[:limit]
    for index in chosen:
        sample = dataset[index]
        left, top, right, bottom = sample.padding
        inner = (..., slice(top, SIZE[0] - bottom), slice(left, SIZE[1] - right))
        truth, guess = sample.densepose[inner], estimator(sample.person[inner])
        table += label_table(truth[0].round().long(), guess[0].round().long(), 25)
        sums += surface_sums(truth, guess, means)
        if len(rows) < 8:
            rows.append([sample.person[inner], *pictures_of(truth), *pictures_of(guess)])
    about = {"name": dataset.source.root.name, "data": dataset.source.recipe, "people": len(chosen)}
    return {**about, **part_numbers(table), **surface_numbers(sums)}, rows


def part_numbers(table: Tensor) -> dict:
    """Of a table of pixels (25,25) by true and guessed part; the background is not among the means."""
    scores = label_scores(table)
    occurs, body = scores.pixels > 0, scores.pixels.double()
    occurs[0], body[0] = False, 0
    common = occurs & (scores.pixels > COMMON * scores.pixels.sum())
    index = torch.arange(25)
    crossed = {name: float(table[index, list(other)][[i for i in range(1, 25) if other[i] != i]].sum() / body.sum())
               for name, other in (("other_side", DENSEPOSE_MIRROR), ("other_half", OTHER_HALF))}  # fmt: skip
    return {
        "miou": float(scores.iou[occurs].mean()),
        "parts": int(occurs.sum()),
        "miou_common": float(scores.iou[common].mean()),
        "common_parts": int(common.sum()),
        "miou_weighted": float((scores.iou[occurs] * body[occurs]).sum() / body.sum()),
        "accuracy": scores.accuracy,
        "background_iou": float(scores.iou[0]),
        **crossed,
        "by_part": {DENSEPOSE[k]: {"iou": float(scores.iou[k]), "recall": float(scores.recall[k]),
                                   "precision": float(scores.precision[k].nan_to_num(0.0)),
                                   "pixels": int(scores.pixels[k])}
                    for k in range(1, 25) if occurs[k]},
    }  # fmt: skip


def surface_numbers(sums: Tensor) -> dict:
    """Mean absolute errors from `surface_sums`, each the mean of U's and V's."""
    numbers = {}
    for name, (error, baseline, pixels) in zip(("uv_where_right", "uv_everywhere"), sums.tolist(), strict=True):
        values = {"error": error / (2 * pixels), "mean_of_part": baseline / (2 * pixels)} if pixels else {}
        numbers[name] = {**values, "pixels": int(pixels)}
    return numbers


def pictures_of(densepose: Tensor) -> list[Tensor]:
    """Parts in colours, u and v in grey, in [-1,1]."""
    u, v = densepose[1:2].expand(3, -1, -1), densepose[2:].expand(3, -1, -1)
    return [densepose_picture(densepose) * 2 - 1, u * 2 - 1, v * 2 - 1]


def photographs(estimator: DensePoseEstimator, root: Path, path: Path) -> int:
    """Draw what is found in photographs; returns how many."""
    dataset, rows = open_dataset(root, split="test", pairing="unpaired", size=PHOTO_SIZE), []
    for index in first_of_each(dataset):
        person = dataset[index].person
        found = pictures_of(estimator(person))
        rows.append([person, *found, torch.where(found[0] > -1, (found[0] + person) / 2, person)])
    save_picture(path, picture_grid(rows))
    return len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="studio data sets: their test splits")
    parser.add_argument("--real", type=Path, help="photographs, in the layout of VITON-HD")
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures")
    parser.add_argument("--weights", default="course", help="a weights file; by default the one of the course")
    parser.add_argument("--limit", type=int, help="at most so many people of each data set")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/perceive-densepose.json"))
    arguments = parser.parse_args()
    estimator = load_densepose(arguments.weights)
    metadata = read_metadata(WEIGHTS_FOLDER / FILE if arguments.weights == "course" else arguments.weights)
    results = {
        "target": TARGET,
        "parameters": sum(weight.numel() for weight in estimator.network.parameters()),
        "size": list(SIZE),
        "weights": {"recipe": metadata["recipe"]["version"], "command": metadata["command"]},
        "data": [],
    }
    for root in arguments.data:
        numbers, rows = measure(estimator, root, arguments.limit)
        results["data"].append(numbers)
        save_picture(arguments.out / f"{root.name}.png", picture_grid(rows))
        surface = numbers["uv_where_right"]
        print(f"{root}: {numbers['people']} people, mean IoU of {numbers['parts']} parts {numbers['miou']:.3f}, "
              f"of the {numbers['common_parts']} common ones {numbers['miou_common']:.3f}, weighted "
              f"{numbers['miou_weighted']:.3f}; U, V off by {surface['error']:.3f} where the part is right "
              f"(its mean: {surface['mean_of_part']:.3f})")  # fmt: skip
        for name, part in numbers["by_part"].items():
            print(f"  {name:<22} IoU {part['iou']:.3f}  recall {part['recall']:.3f}  precision {part['precision']:.3f}"
                  f"  {part['pixels']} pixels")  # fmt: skip
    if arguments.real is not None:
        count = photographs(estimator, arguments.real, arguments.out / "photographs.png")
        print(f"{count} photographs: look at {arguments.out / 'photographs.png'}")
    with replacing(arguments.results) as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
