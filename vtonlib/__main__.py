"""The command line: `python -m vtonlib studio | annotate | train | evaluate | try-on`; each has --help."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from vtonlib.perceive.folder import add_annotate_arguments, annotate_command
from vtonlib.train_command import add_train_arguments, positive


def size_of(text: str) -> tuple[int, int]:
    """ "256x192" -> (256, 192): height and width."""
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH such as 256x192, got {text!r}") from None
    if min(height, width) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive height and width, got {text!r}")
    return height, width


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

    command = commands.add_parser(
        "annotate", help="from photographs to all annotations, as a data set", description=annotate_command.__doc__
    )
    add_annotate_arguments(command, size_of)

    command = commands.add_parser("train", help="train one network of a system")
    add_train_arguments(command.add_subparsers(dest="stage", required=True, metavar="STAGE"))

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
