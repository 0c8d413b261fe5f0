"""Leaves the try-on module's losses out, one at a time: `python benchmarks/tom_ablation.py --data data/benchmark`.

Each variant of `VARIANTS` is trained from the same start on the same batches at 128x96, few steps (a quarter of an hour
on one core for all), and judged on the first test people by `vtonlib.evaluation_tryon`, paired and unpaired. One seed:
a difference in the third digit means nothing. The table goes to benchmarks/results/tom-ablation.json, which notebook 07
shows. Started again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from vtonlib.checkpoints import load_weights, replacing
from vtonlib.data import collate, open_dataset
from vtonlib.evaluation_tryon import evaluate_tryon
from vtonlib.systems.cp_vton import CPVTON
from vtonlib.systems.tom import TOM, TOM_COURSE
from vtonlib.systems.tom_training import RECIPES, TOMRecipe, load_gmm, train_tom
from vtonlib.training import TrainConfig

SIZE = (128, 96)
SHOWN = ("ssim", "l1", "perceptual")
# Changes of the course's recipe: all three terms, the composition mask held to the worn garment.
VARIANTS: dict[str, dict] = {
    "course": {},
    "without L1": {"l1_weight": 0.0},
    "without perceptual": {"perceptual_weight": 0.0},
    "without mask": {"mask_weight": 0.0},
    "mask: paper": {"mask_loss": "paper"},
    "mask: released": {"mask_loss": "released"},
    "last norm": {"tom_config": replace(TOM_COURSE, last_norm=True)},
    "CP-VTON's inputs": {"tom_config": replace(TOM_COURSE, kept="head", garment_mask=False)},
    "CP-VTON+'s inputs": {"tom_config": replace(TOM_COURSE, kept="head-and-lower")},
}


def recipe_of(changes: dict, steps: int) -> TOMRecipe:
    """The course's recipe at one small size, changed."""
    stage = TrainConfig(
        steps=steps, batch_size=4, lr=1e-3, betas=(0.5, 0.999), schedule="cosine", decay_start=0.3, warm_up=30,
        clip=1.0, ema_decay=0.98, progress=False,
    )  # fmt: skip
    return replace(RECIPES["laptop"], sizes=(SIZE,), stages=(stage,), **changes)


def mask_numbers(system: CPVTON, dataset, limit: int) -> dict[str, float]:
    """Mean of the composition mask on the worn garment's visible pixels, and on the rest of the picture."""
    inside, outside = [], []
    for first in range(0, limit, 8):
        batch = collate([dataset[index] for index in range(first, min(first + 8, limit))])
        mask = system.try_on(batch).composition_mask
        worn = torch.isin(batch.parse, torch.tensor([5, 6, 7])).unsqueeze(1)
        inside.append(mask[worn])
        outside.append(mask[~worn])
    return {"mask_inside": float(torch.cat(inside).mean()), "mask_outside": float(torch.cat(outside).mean())}


def judge(path: Path, recipe: TOMRecipe, data: Path, limit: int) -> dict:
    """The numbers of one trained variant."""
    tom = TOM(recipe.network)
    load_weights(path, tom)
    gmm, _ = load_gmm(None, recipe.config, torch.device("cpu"))
    # What the module itself paints: skin that the photograph shows would hide the differences.
    system = CPVTON(gmm=gmm, tom=tom, device=torch.device("cpu"), keep_skin=False)
    result = evaluate_tryon({"variant": system}, data, size=SIZE, limit=limit)
    chosen = [row for row in result.rows if row["method"] == "variant"]
    numbers = {}
    for pairing in ("paired", "unpaired"):
        for region in ("all", "garment", "skin", "rest"):
            rows = [row for row in chosen if row["pairing"] == pairing and row["region"] == region]
            for number in SHOWN:
                values = torch.tensor([row[number] for row in rows], dtype=torch.float64)
                numbers[f"{pairing}/{region}/{number}"] = round(float(values.nanmean()), 5)
    return numbers | mask_numbers(system, open_dataset(data, size=SIZE), limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the benchmark set")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--limit", type=int, default=100, help="test people to judge on")
    parser.add_argument("--runs", type=Path, default=Path("runs/tom-ablation"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "tom-ablation.json")
    arguments = parser.parse_args()
    table = {}
    for name, changes in VARIANTS.items():
        recipe = recipe_of(changes, arguments.steps)
        folder = arguments.runs / "".join(letter if letter.isalnum() else "-" for letter in name)
        path = train_tom(arguments.data, folder, recipe=recipe, command="benchmarks/tom_ablation.py")
        table[name] = judge(path, recipe, arguments.data, arguments.limit)
        print(
            f"{name:20}",
            {key: value for key, value in table[name].items() if "/all/" in key or "mask" in key},
            flush=True,
        )
    about = {"size": list(SIZE), "steps": arguments.steps, "people": arguments.limit, "seed": 0, "variants": table}
    with replacing(arguments.out) as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(f"written: {arguments.out}")


if __name__ == "__main__":
    main()
