"""How good are the garment masks? Two networks of the course, packages where they are installed, and a threshold.

    python benchmarks/perceive_garment_mask.py --data data/wild data/benchmark --real ../shared/real --out runs/masks

Intersection over union with the true mask, at the size of the files: of the garments of the test splits as the shop
shows them, of the same garments cut out and laid on other grounds (`systems.garment_mask_scenes`), and of real shop
pictures, each by itself. Every number is given as the network says it and after `one_piece`. Targets: 0.97 in the
studio, 0.95 on photographs. "border" is no network: whatever differs by more than 16 levels of 255 from the median
colour of the picture's border.

Numbers go to benchmarks/results/perceive-garment-mask.json; pictures beside masks go to OUT, as photographs of a data
set have no place among the results. A package that is not installed or has no weights is listed with the reason.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vtonlib.checkpoints import replacing
from vtonlib.data import open_dataset
from vtonlib.metrics import iou
from vtonlib.perceive.garment_mask import BACKENDS, GarmentMasker, load_garment_mask, one_piece
from vtonlib.systems.garment_mask_training import RECIPES, pack, shop_scenes
from vtonlib.systems.memory import PackedCache
from vtonlib.training import picture_grid, save_picture

TARGETS = {"studio": 0.97, "photographs": 0.95}
THRESHOLD = 2 * 16 / 255  # of 16 levels, as pictures are in [-1, 1]
SIZE = (256, 192)


def border_values(pictures: Tensor) -> Tensor:
    """1 where a picture (B, 3, H, W) differs from the median colour of its border in any channel, else 0."""
    sides = (pictures[:, :, 0], pictures[:, :, -1], pictures[:, :, :, 0], pictures[:, :, :, -1])
    ground = torch.cat(sides, -1).median(-1).values[..., None, None]
    return ((pictures - ground).abs().amax(1, keepdim=True) > THRESHOLD).to(pictures)


def available(out: dict) -> dict[str, GarmentMasker]:
    """Every backend that can be loaded here, and the border; why another can't goes to `out`."""
    found = {"border": GarmentMasker("border", border_values)}
    for backend in BACKENDS:
        try:
            found[backend] = load_garment_mask(backend)
        except (ImportError, FileNotFoundError, RuntimeError) as error:
            out[backend] = {"left_out": str(error)}
    return found


def first_of_each(dataset) -> list[int]:
    """Indices of the samples in which a garment comes for the first time."""
    first: dict[str, int] = {}
    for index, pair in enumerate(dataset.pairs):
        first.setdefault(pair[1], index)
    return sorted(first.values())


def studio_pictures(roots: Sequence[Path], limit: int | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Garments of the test splits and their masks, then scenes with the same garments and their masks."""
    plain, masks, scenes, scene_masks = [], [], [], []
    recipe = replace(RECIPES["laptop"], own_ground=0.0)
    for number, root in enumerate(roots):
        dataset = open_dataset(root, split="test", pairing="paired", size=SIZE)
        cache = PackedCache(dataset, first_of_each(dataset)[:limit], pack)
        rows = cache.batch(range(len(cache)))
        plain.append(rows["garment"].to(torch.float32) / 127.5 - 1)
        masks.append(rows["mask"].to(torch.float32))
        scene = shop_scenes(rows, SIZE, recipe, torch.Generator().manual_seed(number))
        scenes.append(scene.picture)
        scene_masks.append((scene.mask > 0.5).to(torch.float32))
    return torch.cat(plain), torch.cat(masks), torch.cat(scenes), torch.cat(scene_masks)


def measured(masker: GarmentMasker, pictures: Sequence[Tensor], masks: Sequence[Tensor]) -> tuple[dict, list[Tensor]]:
    """Mean IoU, tidied and not, their worst, and seconds a picture; and the tidied masks."""
    raw, tidy, guesses, started = [], [], [], time.perf_counter()
    values = [(masker.probabilities(picture) > 0.5).to(torch.float32) for picture in pictures]
    seconds = (time.perf_counter() - started) / len(values)
    for value, mask in zip(values, masks, strict=True):
        guesses.append(one_piece(value))
        raw.append(float(iou(value, mask[None])))
        tidy.append(float(iou(guesses[-1], mask[None])))
    numbers = {
        "pictures": len(raw), "iou": sum(tidy) / len(tidy), "worst": min(tidy), "untidied_iou": sum(raw) / len(raw),
        "untidied_worst": min(raw), "seconds": round(seconds, 3),
    }  # fmt: skip
    return {**numbers, "each": tidy}, guesses


def sheet(path: Path, pictures: Sequence[Tensor], guesses: Sequence[Tensor], masks: Sequence[Tensor]) -> None:
    """Picture, what the backend cut out of it on magenta, and where it errs: red too much, blue too little."""
    magenta, rows = torch.tensor([1.0, -1.0, 1.0])[:, None, None], []
    for picture, guess, mask in zip(pictures, guesses, masks, strict=True):
        cut_out = guess[0] * picture + (1 - guess[0]) * magenta
        error = torch.cat([2 * guess[0] * (1 - mask) - 1, -torch.ones_like(mask), 2 * mask * (1 - guess[0]) - 1])
        rows.append([picture, cut_out, error])
    save_picture(path, picture_grid(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="studio data sets, of which the test split")
    parser.add_argument("--real", type=Path, help="shop pictures with masks in the layout of VITON-HD")
    parser.add_argument("--out", type=Path, default=Path("runs/garment-mask-pictures"))
    parser.add_argument("--limit", type=int, help="at most so many garments of each data set")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/perceive-garment-mask.json"))
    arguments = parser.parse_args()
    results: dict = {"targets": TARGETS, "size": list(SIZE), "backends": {}}
    maskers = available(results["backends"])
    plain, masks, scenes, scene_masks = studio_pictures(arguments.data, arguments.limit)
    sets = {"studio": (list(plain), list(masks)), "grounds": (list(scenes), list(scene_masks))}
    names = []
    if arguments.real is not None:
        dataset = open_dataset(arguments.real, split="test", pairing="unpaired", size=None)
        garments = [dataset[index].garment for index in first_of_each(dataset)]
        names = [garment.name for garment in garments]
        sets["photographs"] = ([garment.image for garment in garments], [garment.mask for garment in garments])
    for backend, masker in maskers.items():
        entry = results["backends"][backend] = {}
        for kind, (pictures, truth) in sets.items():
            entry[kind], guesses = measured(masker, pictures, truth)
            each = entry[kind].pop("each")
            shown = sorted(range(len(each)), key=each.__getitem__)[:6]  # the worst
            chosen = [[values[index] for index in shown] for values in (pictures, guesses, truth)]
            sheet(arguments.out / f"{backend}-{kind}.png", *chosen)
            print(f"{backend:<8} {kind:<12} " + "  ".join(f"{key} {value:.3f}" for key, value in entry[kind].items()))
            if kind == "photographs":
                entry[kind]["each"] = dict(zip(names, each, strict=True))
                for name, value in entry[kind]["each"].items():
                    print(f"           {name:<14} {value:.3f}")
    results["data"] = [open_dataset(root, split="test", size=SIZE).source.recipe for root in arguments.data]
    with replacing(arguments.results) as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
