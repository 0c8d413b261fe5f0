"""What does self-correction repair? A parser trained on labels that were damaged on purpose, judged by the true ones.

    python benchmarks/self_correction.py --data data/wild data/benchmark --seeds 3 --out runs/self-correction

The train splits' labels are damaged in five ways, four of them person by person and one alike for everybody (see
vtonlib/systems/label_damage.py). The same net is then trained in the same number of steps, with the same restarts of
the learning rate, on

  clean      the true labels
  damaged    the damaged ones (the net of the last cycle)
  averaging  the damaged ones (the mean of the nets of all cycles)
  refining   the damaged ones, corrected after each cycle with the mean net's predictions (the mean net; and the last)

and judged by mean IoU on people of the test splits, who nobody trained on and whose labels are true. Of the training
labels it is counted after each cycle how many of the damaged pixels are right now, by kind of damage, and how many of
the undamaged ones are wrong; beside that, what one gets by taking the net's own predictions for labels outright. All
of this for each seed (it draws damage, weights and order); the summary has mean and standard deviation over seeds.

Numbers go to benchmarks/results/self-correction.json, a sheet of person | true | damaged | refined labels to OUT.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean, stdev

import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, Subset

from vtonlib.checkpoints import replacing
from vtonlib.data import open_dataset
from vtonlib.labels import LIP
from vtonlib.metrics import label_scores, label_table
from vtonlib.perceive.parsing import IGNORED, label_colours
from vtonlib.pictures import picture_grid, save_picture
from vtonlib.systems.label_damage import KINDS, Damage, damage_labels, label_repair
from vtonlib.systems.memory import PackedCache, from_bytes
from vtonlib.systems.parsing_data import pack
from vtonlib.systems.runs import belongs_to_run, train_splits
from vtonlib.systems.self_correction import (
    RECIPES,
    Correction,
    CorrectionRecipe,
    cycles,
    first_training,
    hard_labels,
    predicted,
    soft_labels,
)
from vtonlib.training import resolve_device


def in_memory(dataset: Sequence) -> tuple[Tensor, Tensor]:
    """Pictures (N,3,H,W) as bytes and labels (N,H,W) int64 of a data set."""
    cache = PackedCache(dataset, range(len(dataset)), pack, progress=True)
    batch = cache.batch(range(len(cache)))
    return batch["person"], batch["parse"].long()


def test_people(roots: list[Path], size: tuple[int, int], limit: int | None) -> ConcatDataset:
    """Each person of the test splits once."""
    kept = []
    for root in roots:
        dataset = open_dataset(root, split="test", pairing="paired", size=size)
        first = {person: index for index, (person, _) in reversed(list(enumerate(dataset.pairs)))}
        kept.append(Subset(dataset, sorted(first.values())[:limit]))
    return ConcatDataset(kept)


def score(net: nn.Module, levels: Tensor, parse: Tensor, device: torch.device) -> dict[str, float]:
    """Mean IoU and pixel accuracy of a net on pictures with true labels."""
    guess = predicted(net, levels, device).argmax(1)
    scores = label_scores(label_table(parse, guess, len(LIP), parse != IGNORED))
    return {"miou": scores.mean_iou, "accuracy": scores.accuracy}


def quality(parse: Tensor, kind: Tensor, labels: Tensor) -> dict[str, object]:
    """`label_repair`, with the mean IoU of the labels themselves against the true ones."""
    known = parse != IGNORED
    table = label_table(parse, torch.where(known, labels, 0), len(LIP), known)
    return {"miou": label_scores(table).mean_iou, **label_repair(parse, kind, labels)}


class Experiment:
    """The data, in memory, and one seed after the other."""

    def __init__(self, roots: list[Path], recipe: CorrectionRecipe, damage: Damage, limit: int) -> None:
        self.recipe, self.damage, self.device = recipe, damage, resolve_device(recipe.first.device)
        trained_on, _, self.about = train_splits(roots, recipe.size, limit)
        self.levels, self.parse = in_memory(trained_on)
        self.test = in_memory(test_people(roots, recipe.size, limit // 2))

    def run(self, seed: int, out: Path) -> tuple[dict, list[Correction], Tensor]:
        """Numbers of one seed; the last state of "refining", and the damaged labels, for the picture."""
        damaged, kind = damage_labels(self.parse, torch.Generator().manual_seed(seed), self.damage)
        result = {"seed": seed, "labels": {"damaged": quality(self.parse, kind, damaged)}, "nets": {}}
        result["cycles"] = {"damaged": [], "refining": []}
        for name, labels in (("clean", self.parse), ("damaged", damaged)):
            soft = soft_labels(labels)
            net = first_training(self.recipe, self.levels, soft, out / name / "first", seed=seed)
            arms = ((name, False),) if name == "clean" else ((name, False), ("refining", True))
            for arm, refine in arms:
                folder = out / arm
                for state in cycles(self.recipe, net, self.levels, soft, folder, refine=refine, seed=seed):
                    if arm in result["cycles"]:
                        result["cycles"][arm].append(self.after_cycle(state, kind))
                nets = {"last": state.net, "mean": state.average}
                result["nets"][arm] = {key: score(each, *self.test, self.device) for key, each in nets.items()}
                if arm in result["cycles"]:
                    guess = predicted(state.average, self.levels, self.device).argmax(1)
                    result["labels"][f"{arm}: predicted outright"] = quality(self.parse, kind, guess)
        result["labels"]["refined"] = quality(self.parse, kind, hard_labels(state.labels))
        return result, state, damaged

    def after_cycle(self, state: Correction, kind: Tensor) -> dict:
        """What a cycle made of labels and net."""
        repair = label_repair(self.parse, kind, hard_labels(state.labels))
        nets = {"last": state.net, "mean": state.average}
        miou = {f"{key}_miou": score(each, *self.test, self.device)["miou"] for key, each in nets.items()}
        return {"cycle": state.cycle, **miou, **repair}

    def sheet(self, state: Correction, damaged: Tensor, path: Path, rows: int = 8) -> None:
        """Person, true, damaged and refined labels of the people whose labels were damaged most."""
        worst = (damaged != self.parse).flatten(1).sum(1).argsort(descending=True)
        chosen = worst[:: max(1, len(worst) // (2 * rows))][:rows]
        maps = (self.parse, damaged, hard_labels(state.labels))
        columns = [label_colours(torch.where(each == IGNORED, 0, each)[chosen]) for each in maps]
        lines = zip(from_bytes(self.levels[chosen]), *columns, strict=True)
        sheet = picture_grid(list(lines))
        save_picture(path, sheet.repeat_interleave(2, 1).repeat_interleave(2, 2))


def spread(values: list[float | None]) -> dict[str, float] | None:
    """Mean and standard deviation over seeds; None where there is nothing to measure."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return None
    return {"mean": fmean(numbers), "deviation": stdev(numbers) if len(numbers) > 1 else 0.0}


def summary(seeds: list[dict]) -> dict:
    """Mean and deviation over seeds of what counts."""
    arms = {
        "clean": ("clean", "last"), "clean, averaging": ("clean", "mean"), "damaged": ("damaged", "last"),
        "averaging": ("damaged", "mean"), "refining": ("refining", "mean"), "refining, last net": ("refining", "last"),
    }  # fmt: skip
    miou = {name: spread([each["nets"][arm][net]["miou"] for each in seeds]) for name, (arm, net) in arms.items()}
    labels = {}
    for name in seeds[0]["labels"]:
        found = [each["labels"][name] for each in seeds]
        entry = {key: spread([one[key] for one in found]) for key in ("miou", "wrong_after", "broken", "repaired")}
        entry["kinds"] = {kind: spread([one["kinds"][kind]["repaired"] for one in found]) for kind in KINDS[1:]}
        labels[name] = entry
    kinds = {kind: spread([s["labels"]["damaged"]["kinds"][kind]["pixels"] for s in seeds]) for kind in KINDS[1:]}
    return {"held_out_miou": miou, "damaged_pixels": kinds, "training_labels": labels}


def show(numbers: dict) -> None:
    def text(entry: dict | None) -> str:
        return "-" if entry is None else f"{entry['mean']:.4f} +- {entry['deviation']:.4f}"

    print("mean IoU on held-out people, true labels")
    for name, entry in numbers["held_out_miou"].items():
        print(f"  {name:<22} {text(entry)}")
    print("training labels")
    for name, entry in numbers["training_labels"].items():
        print(f"  {name}: mIoU {text(entry['miou'])}  wrong {text(entry['wrong_after'])}  "
              f"newly broken {text(entry['broken'])}  repaired {text(entry['repaired'])}")  # fmt: skip
        if name != "damaged":
            print("    repaired: " + ", ".join(f"{kind} {text(each)}" for kind, each in entry["kinds"].items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="studio data sets: labels known to be true")
    parser.add_argument("--out", type=Path, default=Path("runs/self-correction"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--profile", choices=sorted(RECIPES), default="laptop")
    parser.add_argument(
        "--limit", type=int, default=300, help="at most so many samples of each data set, and half as many test people"
    )
    parser.add_argument("--first", type=int, help="steps of the first training, in place of the profile's")
    parser.add_argument("--cycle", type=int, help="steps of a cycle, in place of the profile's")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/self-correction.json"))
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error(f"--seeds: expected 1 or more, got {arguments.seeds}")
    recipe, damage = RECIPES[arguments.profile], Damage()
    for name in ("first", "cycle"):
        steps = getattr(arguments, name)
        if steps is not None:
            stage = getattr(recipe, name)
            recipe = replace(recipe, **{name: replace(stage, steps=steps, warm_up=min(stage.warm_up, steps))})
    experiment = Experiment(arguments.data, recipe, damage, arguments.limit)
    about = {"recipe": asdict(recipe), "damage": asdict(damage), "data": experiment.about}
    belongs_to_run(arguments.out / "run.json", about)
    seeds = []
    for seed in range(arguments.seeds):
        numbers, state, damaged = experiment.run(seed, arguments.out / f"seed-{seed}")
        seeds.append(numbers)
        experiment.sheet(state, damaged, arguments.out / f"labels-{seed}.png")
        print(f"seed {seed} done: " + json.dumps({arm: nets["mean"] for arm, nets in numbers["nets"].items()}))
    results = {
        "summary": summary(seeds), "seeds": seeds, "trained_on": len(experiment.levels),
        "held_out": len(experiment.test[0]), **about,
    }  # fmt: skip
    show(results["summary"])
    with replacing(arguments.results) as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
