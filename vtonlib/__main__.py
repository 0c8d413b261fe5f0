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


# What can be trained: stage -> the module with RECIPES and the function, that function, what else it is told.
TRAINABLE = {
    "gmm": ("vtonlib.systems.cp_vton_training", "train_gmm"),
    "tom": ("vtonlib.systems.tom_training", "train_tom"),
    "viton-mask": ("vtonlib.systems.viton_training", "train_mask"),
    "matcher": ("vtonlib.systems.matcher_training", "train_matcher"),
    "features": ("vtonlib.systems.features_training", "train_features"),
}
# Fields of a recipe that have an argument of their own; None leaves the recipe's value.
RECIPE_CHOICES = (
    "mask_weight",
    "flow_weight",
    "l1_weight",
    "perceptual_weight",
    "mask_loss",
    "features",
    "kept",
    "size",
)


def train(arguments: argparse.Namespace) -> None:
    """Train one network; started again with the same folder, it goes on where it stopped.

    `torchrun --nproc_per_node 2 -m vtonlib train ...` shares every batch between two processes.
    """
    from dataclasses import fields, replace
    from importlib import import_module

    from vtonlib.parallel import is_main_process, launcher

    module = import_module(TRAINABLE[arguments.stage][0])
    recipe = module.RECIPES[arguments.profile]
    known = {field.name for field in fields(recipe)}
    given = {name: getattr(arguments, name, None) for name in RECIPE_CHOICES}
    changes = {name: value for name, value in given.items() if value is not None and name in known}
    if "stages" in known:
        changes["stages"] = trained_stages(recipe.stages, arguments)
    else:
        changes["stage"] = trained_stages((recipe.stage,), arguments)[0]
    named = {"name": arguments.name} if arguments.stage == "features" else {}
    path = getattr(module, TRAINABLE[arguments.stage][1])(
        data_root=arguments.data,
        out=arguments.out,
        recipe=replace(recipe, **changes),
        command=shlex.join([*launcher(), "-m", "vtonlib", *arguments.words]),
        weights=arguments.weights,
        limit=arguments.limit,
        **named,
    )
    if is_main_process():
        print(f"weights: {path} ({path.stat().st_size / 2**20:.2f} MB)")


def trained_stages(stages, arguments: argparse.Namespace) -> tuple:
    """The recipe's stages with the device, seed and steps of the command line."""
    from dataclasses import replace

    stages = tuple(replace(stage, device=arguments.device, seed=arguments.seed) for stage in stages)
    if arguments.steps is None:
        return stages
    if len(arguments.steps) != len(stages):
        raise ValueError(f"--steps: expected {len(stages)} numbers, one a stage, got {len(arguments.steps)}")
    return tuple(replace(stage, steps=steps) for stage, steps in zip(stages, arguments.steps, strict=True))


def evaluate(arguments: argparse.Namespace) -> None:
    """Print the table of a system and, with --out, write SYSTEM-warp.json or SYSTEM-tryon.json, and all rows as CSV.

    warp: the geometric matching module, on paired samples, beside no warp, the best affine map, the oracle and, where
    the data set allows it, VITON's shape contexts and a matcher. try-on: the pictures, beside the baselines.
    """
    from vtonlib.data import open_dataset
    from vtonlib.evaluation_tables import provenance
    from vtonlib.systems import load_system

    system = load_system(arguments.system, arguments.weights, arguments.config, arguments.device)
    dataset = open_dataset(arguments.data, split=arguments.split, pairing="paired", size=arguments.size)
    result = (evaluated_warp if arguments.what == "warp" else evaluated_tryon)(system, dataset, arguments)
    print(result.table())
    if arguments.out is not None:
        command = shlex.join(["python", "-m", "vtonlib", *arguments.words])
        stem = f"{arguments.system}-{arguments.what.replace('-', '')}"
        print("written:", *result.write(arguments.out, provenance(system, dataset, command), stem=stem))


def evaluated_warp(system, dataset, arguments: argparse.Namespace):
    """`evaluate --what warp`."""
    from vtonlib.evaluation import evaluate_warp
    from vtonlib.systems.matcher_training import load_matcher, matcher_grid
    from vtonlib.systems.viton import load_mask_predictor

    others = {}
    if arguments.baselines:
        device = system.device
        matcher = load_matcher(device=device)
        others = {
            "target_mask": load_mask_predictor(device=device).predict,
            "matcher": lambda batch: matcher_grid(matcher, batch),
        }
    return evaluate_warp(
        system.stages["gmm"], dataset, limit=arguments.limit, silhouette=arguments.silhouette, progress=True, **others
    )


def evaluated_tryon(system, dataset, arguments: argparse.Namespace):
    """`evaluate --what try-on`; a system whose warp can be laid on by the parse alone is measured so, too."""
    from vtonlib.evaluation_tryon import evaluate_tryon

    systems = {system.name: system}
    if "tom" in system.stages:
        systems["warp only"] = system.without_tom()
    return evaluate_tryon(
        systems, dataset.source.root, pairing=arguments.pairing, split=arguments.split, size=arguments.size,
        limit=arguments.limit, device=system.device, progress=True,
    )  # fmt: skip


def studio(arguments: argparse.Namespace) -> int:
    """Write a studio data set (started again, it goes on where it stopped), or check one: exit status 1 if it fails."""
    if arguments.check is not None:
        return check_studio(arguments)
    if arguments.card is not None:
        from vtonlib.studio.card import data_card

        print(data_card(arguments.card))
        return 0
    if arguments.out is None:
        raise ValueError("expected --out with the folder to be written, or --check or --card with a data set")
    from vtonlib.studio import Studio

    Studio(seed=arguments.seed).write(
        arguments.out,
        people=arguments.people,
        size=arguments.size,
        layout=arguments.layout,
        look=arguments.look,
        processes=arguments.processes,
    )
    return 0


def check_studio(arguments: argparse.Namespace) -> int:
    """`studio --check`: print the table of checks and what failed."""
    from vtonlib.studio.selfcheck import check_data_set

    result = check_data_set(arguments.check, arguments.again, progress=True)
    print(result.table())
    return 1 if result.failures else 0


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

    command = commands.add_parser("train", help="train one network of a system")
    _train(command.add_subparsers(dest="stage", required=True, metavar="STAGE"))

    command = commands.add_parser("evaluate", help="measure a system against the truth", description=evaluate.__doc__)
    _system(command)
    command.add_argument("--data", type=Path, required=True, help="folder of a data set with paired samples")
    command.add_argument("--what", choices=("warp", "try-on"), default="warp")
    command.add_argument("--out", type=Path, help="folder for the results")
    command.add_argument("--pairing", choices=("paired", "unpaired", "both"), default="both", help="of try-on")
    command.add_argument("--silhouette", action="store_true", help="of warp: the best spline for the outline (slow)")
    command.add_argument("--baselines", action="store_true", help="of warp: shape contexts and the matcher (slow)")
    _samples(command)
    command.set_defaults(run=evaluate)

    command = commands.add_parser("studio", help="write a studio data set", description=studio.__doc__)
    command.add_argument("--out", type=Path, help="folder of the data set that is to be written")
    command.add_argument("--check", type=Path, metavar="ROOT", help="check a written data set instead")
    command.add_argument("--again", type=int, default=3, help="of --check: how many people are made again")
    command.add_argument("--card", type=Path, metavar="ROOT", help="print the data card with this data set's numbers")
    command.add_argument("--people", type=positive, default=240)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--size", type=size_of, default=(256, 192), metavar="HxW")
    command.add_argument("--layout", default="viton-hd", help="viton-hd, mpv (three poses) or mvg (five views)")
    command.add_argument("--look", default="studio", help="studio (a catalogue's) or wild (any light, place, camera)")
    command.add_argument("--processes", type=positive, help="worker processes, by default one a core")
    command.set_defaults(run=studio)
    return top


def _train(stages) -> None:
    """The arguments of `train STAGE`."""

    def add(name: str, about: str, profiles: tuple[str, ...] = ("smoke", "laptop", "gpu")) -> argparse.ArgumentParser:
        command = stages.add_parser(name, help=about, description=f"Train {about}. {train.__doc__}")
        command.add_argument("--data", type=Path, required=True, help="folder of a data set with a train split")
        command.add_argument(
            "--out", type=Path, required=True, help="folder of the run: states, logs, pictures, weights"
        )
        command.add_argument("--profile", choices=profiles, default="laptop")
        command.add_argument("--steps", type=positive, nargs="+", help="steps of each stage instead of the profile's")
        command.add_argument("--limit", type=positive, help="use only the first so many samples")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
        command.add_argument("--weights", type=Path, help="where the weights go; by default a file in OUT")
        command.set_defaults(run=train)
        return command

    command = add("gmm", "CP-VTON's geometric matching module", ("smoke", "laptop", "gpu", "paper"))
    command.add_argument("--mask-weight", type=not_negative, help="of the masks' distance; 0 = as in the paper")
    command.add_argument(
        "--flow-weight", type=not_negative, help="of the distance to the true flow; 0 = as in the paper"
    )
    command = add("tom", "CP-VTON's try-on module", ("smoke", "laptop", "gpu", "paper"))
    command.add_argument("--l1-weight", type=not_negative)
    command.add_argument("--perceptual-weight", type=not_negative)
    command.add_argument("--mask-weight", type=not_negative)
    command.add_argument(
        "--mask-loss", choices=("paper", "released", "worn"), help="what the composition mask is held to"
    )
    command.add_argument("--features", choices=("course", "vgg19"), help="network of the perceptual loss")
    add("viton-mask", "the garment mask that VITON's shape contexts aim at, from the person representation")
    add("matcher", "affine-then-TPS matching on synthetic transformations")
    command = add("features", "a feature network: course (for losses) or judge (for measuring)")
    command.add_argument("--name", choices=("course", "judge"), required=True)


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
    """Run a command; the exit status: 0, 1 for a failed check, or 2 after one line on what was wrong with the input."""
    words = list(sys.argv[1:] if words is None else words)
    arguments = parser().parse_args(words)
    arguments.words = words
    try:
        status = arguments.run(arguments)
    except (ValueError, OSError, NotImplementedError) as error:
        print(f"vtonlib {arguments.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return status or 0


if __name__ == "__main__":
    sys.exit(main())
