"""The command line: `python -m vtonlib studio | train | evaluate | try-on`; each has --help."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path


def size_of(text: str) -> tuple[int, int]:
    """ "256x192" -> (256, 192): height and width."""
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH such as 256x192, got {text!r}") from None
    if min(height, width) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive height and width, got {text!r}")
    return height, width


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def not_negative(text: str) -> float:
    """A finite number of 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of 0 or more, got {text!r}")
    return value


def weights_of(text: str) -> str | None:
    """ "none" stands for random weights; everything else is what `load_system` takes."""
    return None if text == "none" else text


def try_on(arguments: argparse.Namespace) -> None:
    """Write OUT/PERSON_GARMENT.png for every pair, and contact sheets OUT/sheet-NN.png."""
    from tqdm import tqdm

    from vtonlib.data import open_dataset
    from vtonlib.systems import load_system
    from vtonlib.training import picture_grid, save_picture

    system = load_system(arguments.system, arguments.weights, arguments.config, arguments.device)
    dataset = open_dataset(arguments.data, split=arguments.split, pairing=arguments.pairing, size=arguments.size)
    count = len(dataset) if arguments.limit is None else min(arguments.limit, len(dataset))
    rows = []
    for index in tqdm(range(count), file=sys.stdout, desc="try-on", unit="picture"):
        sample = dataset[index]
        result = system.try_on(sample)
        name = f"{sample.name}_{sample.garment.name}"
        save_picture(arguments.out / f"{name}.png", cropped(result.tryon, sample.padding) / 2 + 0.5)
        rows.append([sample.person, sample.garment.image, result.warped, result.tryon])
        if len(rows) == arguments.rows or index == count - 1:
            save_picture(arguments.out / f"sheet-{index // arguments.rows:03d}.png", picture_grid(rows))
            rows = []
    print(f"{count} pictures in {arguments.out}; on the sheets: person, garment, warped, try-on")


def cropped(picture, padding: tuple[int, int, int, int]):
    """A (C,H,W) picture without its padding (left, top, right, bottom)."""
    left, top, right, bottom = padding
    height, width = picture.shape[-2:]
    return picture[..., top : height - bottom, left : width - right]


def train_gmm(arguments: argparse.Namespace) -> None:
    """Train the geometric matching module of CP-VTON; started again, it goes on where it stopped."""
    from dataclasses import replace

    from vtonlib.systems.cp_vton_training import RECIPES, train_gmm

    recipe = RECIPES[arguments.profile]
    changes = {"device": arguments.device, "seed": arguments.seed}
    stages = [replace(stage, **changes) for stage in recipe.stages]
    if arguments.steps is not None:
        if len(arguments.steps) != len(stages):
            raise ValueError(f"--steps: expected {len(stages)} numbers, one a stage, got {len(arguments.steps)}")
        stages = [replace(stage, steps=steps) for stage, steps in zip(stages, arguments.steps, strict=True)]
    weights = {"mask_weight": arguments.mask_weight, "flow_weight": arguments.flow_weight}
    weights = {name: value for name, value in weights.items() if value is not None}
    path = train_gmm(
        arguments.data,
        arguments.out,
        recipe=replace(recipe, stages=tuple(stages), **weights),
        command=shlex.join(["python", "-m", "vtonlib", *arguments.words]),
        weights=arguments.weights,
        limit=arguments.limit,
    )
    print(f"weights: {path} ({path.stat().st_size / 2**20:.2f} MB)")


def evaluate(arguments: argparse.Namespace) -> None:
    """Print the table of the warp on paired samples and, with --out, write it."""
    from vtonlib.data import open_dataset
    from vtonlib.evaluation import evaluate_warp
    from vtonlib.systems import load_system

    system = load_system(arguments.system, arguments.weights, arguments.config, arguments.device)
    dataset = open_dataset(arguments.data, split=arguments.split, pairing="paired", size=arguments.size)
    result = evaluate_warp(
        system.stages["gmm"], dataset, limit=arguments.limit, silhouette=arguments.silhouette, progress=True
    )
    print(result.table())
    if arguments.out is not None:
        about = {
            "data": {"split": arguments.split, "studio": getattr(dataset.source, "recipe", None)},
            "weights": {key: value for key, value in system.metadata["gmm"].items() if key != "recipe"},
        }
        print("written:", *result.write(arguments.out, about))


def studio(arguments: argparse.Namespace) -> None:
    """Write a studio data set; started again, it goes on where it stopped."""
    from vtonlib.studio import Studio

    Studio(seed=arguments.seed).write(
        arguments.out,
        people=arguments.people,
        size=arguments.size,
        layout=arguments.layout,
        processes=arguments.processes,
    )


def parser() -> argparse.ArgumentParser:
    """The arguments of all commands."""
    top = argparse.ArgumentParser(
        prog="python -m vtonlib", description="Image-based virtual try-on, the course's library."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("try-on", help="dress people of a data set in garments", description=try_on.__doc__)
    _system(command)
    command.add_argument("--data", type=Path, required=True, help="folder of a data set")
    command.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    command.add_argument("--pairing", choices=("unpaired", "paired"), default="unpaired")
    command.add_argument("--rows", type=positive, default=18, help="rows on a contact sheet")
    _samples(command)
    command.set_defaults(run=try_on)

    command = commands.add_parser("train", help="train a stage of a system")
    stages = command.add_subparsers(dest="stage", required=True, metavar="STAGE")
    command = stages.add_parser("gmm", help="CP-VTON's geometric matching module", description=train_gmm.__doc__)
    command.add_argument("--data", type=Path, required=True, help="folder of a data set with a train split")
    command.add_argument("--out", type=Path, required=True, help="folder of the run: states, logs, pictures, weights")
    command.add_argument("--profile", choices=("smoke", "laptop", "gpu", "paper"), default="laptop")
    command.add_argument("--steps", type=positive, nargs="+", help="steps of each stage instead of the profile's")
    command.add_argument("--mask-weight", type=not_negative, help="of the masks' distance; 0 = as in the paper")
    command.add_argument(
        "--flow-weight", type=not_negative, help="of the distance to the true flow; 0 = as in the paper"
    )
    command.add_argument("--limit", type=positive, help="use only the first so many samples")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    command.add_argument("--weights", type=Path, help="where the weights go; default OUT/cp-vton-gmm.safetensors")
    command.set_defaults(run=train_gmm)

    command = commands.add_parser("evaluate", help="measure a warp against the truth", description=evaluate.__doc__)
    _system(command)
    command.add_argument("--data", type=Path, required=True, help="folder of a data set with paired samples")
    command.add_argument("--out", type=Path, help="folder for warp.csv and warp.json")
    command.add_argument("--silhouette", action="store_true", help="also the best spline for the outline (slow)")
    _samples(command)
    command.set_defaults(run=evaluate)

    command = commands.add_parser("studio", help="write a studio data set", description=studio.__doc__)
    command.add_argument("--out", type=Path, required=True, help="folder of the data set")
    command.add_argument("--people", type=positive, default=240)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--size", type=size_of, default=(256, 192), metavar="HxW")
    command.add_argument("--layout", default="viton-hd")
    command.add_argument("--processes", type=positive, help="worker processes, by default one a core")
    command.set_defaults(run=studio)
    return top


def _system(command: argparse.ArgumentParser) -> None:
    command.add_argument("--system", default="cp-vton", help="name of the system")
    command.add_argument("--weights", type=weights_of, default="course", help="course, none or a .safetensors file")
    command.add_argument("--config", choices=("course", "paper"), default="course")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def _samples(command: argparse.ArgumentParser) -> None:
    command.add_argument("--split", choices=("train", "test"), default="test")
    command.add_argument("--size", type=size_of, default=(256, 192), metavar="HxW", help="height and width of the work")
    command.add_argument("--limit", type=positive, help="only the first so many samples")


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, or 2 after one line on what was wrong with the input."""
    words = list(sys.argv[1:] if words is None else words)
    arguments = parser().parse_args(words)
    arguments.words = words
    try:
        arguments.run(arguments)
    except (ValueError, OSError, NotImplementedError) as error:
        print(f"vtonlib {arguments.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
