"""Measures try-on in a new pose: `python benchmarks/new_pose.py --data data/poses --out runs/new-pose`.

Every system is shown a reference photograph, another garment and the joints of another pose, and judged against the
rendered truth by `vtonlib.evaluation_new_pose`; one that can't change the pose is used naively (`NaiveNewPose`). The
table, with intervals and broken down by how far the pose moved, by the poses and by the garment, goes to
benchmarks/results/new-pose.json; all rows and sheet.png (reference, garment, target, systems, from the smallest move to
the largest) go to OUT.

A system may be followed by its weights: `--systems mg-vton=runs/mg-vton cp-vton`. The first is set against the others.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from vtonlib.checkpoints import replacing
from vtonlib.course.show import compose, to_01
from vtonlib.data import TryOnDataset, open_dataset
from vtonlib.evaluation_new_pose import NaiveNewPose, NewPoseEvaluation, evaluate_new_pose, new_pose_case
from vtonlib.evaluation_tables import NEW_POSE, provenance
from vtonlib.systems import AVAILABLE, load_system
from vtonlib.training import resolve_device

POSED = ("mg-vton",)  # systems that take a pose; the others are used naively
DEFAULT = ("mg-vton", "cp-vton")
BREAK_DOWNS = (("moved",), ("pose",), ("new_pose",), ("sleeve",), ("cut",), ("fabric",))


def load_systems(words: list[str], device: torch.device) -> dict[str, Any]:
    """NAME or NAME=WEIGHTS -> systems by the name that the table shows. Raises as `load_system` does."""
    systems = {}
    for word in words:
        name, _, weights = word.partition("=")
        system = load_system(name, weights or "course", device=device)
        shown = name if name in POSED else f"{name}, naive"
        systems[shown] = system if name in POSED else NaiveNewPose(system)
    return systems


def spread(result: NewPoseEvaluation, dataset: TryOnDataset, count: int) -> list[int]:
    """Indices of `count` samples, evenly spaced from the smallest move to the largest; unknown moves are left out."""
    moved = {}
    for row in result.rows:
        if row["moved"] == row["moved"]:
            moved[row["name"], row["garment"], row["target"]] = row["moved"]
    order = sorted(moved, key=moved.get)
    chosen = torch.linspace(0, len(order) - 1, min(count, len(order))).round().int().tolist()
    return [dataset.pairs.index(order[place]) for place in chosen]


@torch.no_grad()
def sheet(systems: Mapping[str, Any], dataset: TryOnDataset, indices: list[int]) -> Image.Image:
    """One row a sample: reference, garment, target, what each system made."""
    rows = []
    for index in indices:
        case = new_pose_case([dataset[index]])
        made = [system.try_on(case.sample, pose=case.wanted.pose).tryon for system in systems.values()]
        pictures = [case.sample.person, case.sample.garment.image, case.wanted.person, *made]
        rows.append([to_01(picture[0]).clamp(0, 1) for picture in pictures])
    return compose(rows, ["reference", "garment", "target", *systems], height=dataset.size[0])


def about(systems: Mapping[str, Any], dataset: TryOnDataset, result: NewPoseEvaluation, command: str) -> dict:
    """What the JSON says besides the numbers: where they come from, and the break-downs that the manifest allows."""
    origins = {name: provenance(system, dataset, command) for name, system in systems.items()}
    by = {
        " / ".join(attributes): result.break_down(*attributes)
        for attributes in BREAK_DOWNS
        if all(name in result.rows[0] for name in attributes)
    }
    weights = {name: origin["weights"] for name, origin in origins.items()}
    return {"command": command, "data": next(iter(origins.values()))["data"], "weights": weights, "by": by}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    there = [name for name in DEFAULT if name in AVAILABLE]
    parser.add_argument("--data", type=Path, required=True, help="a studio data set in the layout of MPV")
    parser.add_argument("--out", type=Path, required=True, help="folder for the rows and the sheet")
    parser.add_argument("--systems", nargs="+", default=there, metavar="NAME[=WEIGHTS]")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 192), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--limit", type=int, help="only the first so many triplets")
    parser.add_argument("--shown", type=int, default=6, help="rows of the sheet")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "new-pose.json")
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.data, split="test", pairing="unpaired", size=tuple(arguments.size))
    device = resolve_device(arguments.device)
    systems = load_systems(arguments.systems, device)
    result = evaluate_new_pose(
        systems, dataset, limit=arguments.limit, batch_size=arguments.batch_size, device=device, progress=True
    )
    print(result.table())
    print(result.table_by("moved", pairing=NEW_POSE, region="garment", number="l1"))
    command = shlex.join(["python", "benchmarks/new_pose.py", *sys.argv[1:]])
    _, report = result.write(arguments.out, about(systems, dataset, result, command), stem="new-pose")
    picture = sheet(systems, dataset, spread(result, dataset, arguments.shown))
    with replacing(arguments.out / "sheet.png") as temporary:
        picture.save(temporary)
    with replacing(arguments.results) as temporary:
        temporary.write_bytes(report.read_bytes())
    print("written:", arguments.results, arguments.out)


if __name__ == "__main__":
    main()
