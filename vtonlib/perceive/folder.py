"""Many photographs at once, and the command `python -m vtonlib annotate`.

A photograph that can't be annotated is named with the reason, and the others go on. Torch is loaded when the work
begins, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import SIZE
from .people import NobodyFound
from .photo import SUFFIXES, name_of
from .report import Report

if TYPE_CHECKING:
    from ..sample import Garment
    from .annotator import Annotator


@dataclass(frozen=True, kw_only=True)
class Summary:
    """reports: of the photographs that were written; failures: (file, what is wrong with it) of all others, garments
    among them; garments: names of those that were written."""

    reports: tuple[Report, ...]
    failures: tuple[tuple[Path, str], ...]
    garments: tuple[str, ...]

    @property
    def status(self) -> int:
        """Exit status: 0 if everything was annotated, otherwise 1."""
        return 1 if self.failures else 0

    def text(self) -> str:
        """How much was done, how long a photograph took, and what failed."""
        count = len(self.reports)
        lines = [f"{count} photographs annotated, {len(self.garments)} garments, {len(self.failures)} files failed"]
        doubtful = [report.name for report in self.reports if report.warnings]
        if count:
            lines[0] += f"; {sum(report.total for report in self.reports) / count:.2f} s a photograph"
        if doubtful:
            lines.append(f"with warnings: {', '.join(doubtful)}")
        lines += [f"failed: {reason}" for _, reason in self.failures]
        return "\n".join(lines)


def photographs(paths: Sequence[str | Path]) -> tuple[list[Path], list[Path]]:
    """The files that are meant by files and folders, in order and each once; and what folders hold besides.

    Of a folder all files are meant whose name ends like a picture's (SUFFIXES), not those of folders in it; hidden ones
    are passed over. A file that is named itself is always meant.
    Raises FileNotFoundError for a path that is not there, ValueError for folders without any picture.
    """
    files: list[Path] = []
    besides: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"{path}: expected a photograph or a folder of photographs, got nothing there")
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        pictures = [file for file in inside if file.suffix.lower() in SUFFIXES]
        if not pictures:
            raise ValueError(f"{path}: expected photographs (names such as .jpg), got {len(inside)} other files")
        files += pictures
        besides += [file for file in inside if file not in pictures]
    return list(dict.fromkeys(files)), besides


def named(files: Sequence[Path]) -> list[tuple[str, Path]]:
    """A name for each file, its stem; where two would have the same, the suffix and then a number make them differ."""
    taken: dict[str, Path] = {}
    for file in files:
        name = stem = name_of(file, "photo")
        if name in taken:
            name = stem = f"{stem}_{file.suffix.lower().lstrip('.')}"
        count = 2
        while name in taken:
            name, count = f"{stem}_{count}", count + 1
        taken[name] = file
    return list(taken.items())


def annotate_all(
    photos: Sequence[Path],
    root: str | Path,
    annotator: Annotator,
    *,
    garments: Sequence[Path] = (),
    split: str = "test",
    crop: bool = True,
    overwrite: bool = False,
    tell: Callable[[str], None] = print,
) -> Summary:
    """Annotate photographs and garments and write them below `root` in the layout of VITON-HD.

    Every person is paired with every garment. One bad file doesn't stop the others. tell: is given a text for each
    file when it is done.
    """
    failures: list[tuple[Path, str]] = []

    def attempt(file: Path, do: Callable[[], object]) -> object | None:
        try:
            return do()
        except NobodyFound as error:
            reason = f"{file}: {error}"
        except (ValueError, OSError) as error:
            reason = str(error) if str(file) in str(error) else f"{file}: {error}"
        failures.append((file, " ".join(reason.split())))
        tell(f"failed: {failures[-1][1]}")
        return None

    shop: list[Garment] = []
    for name, file in named(garments):
        garment = attempt(file, lambda name=name, file=file: _garment(file, name, root, annotator, split, overwrite))
        if garment is not None:
            shop.append(garment)
            tell(f"{garment.name}: garment, {100 * float(garment.mask.mean()):.0f} % of its picture")
    reports = []
    for name, file in named(photos):
        report = attempt(file, lambda name=name, file=file: _person(
            file, name, root, annotator, shop, split=split, crop=crop, overwrite=overwrite))  # fmt: skip
        if report is not None:
            reports.append(report)
            tell(report.text())
    return Summary(reports=tuple(reports), failures=tuple(failures), garments=tuple(garment.name for garment in shop))


def _garment(file: Path, name: str, root, annotator: Annotator, split: str, overwrite: bool) -> Garment:
    from .write import write_viton_hd_garment

    garment = annotator.garment(file, name=name)
    write_viton_hd_garment(garment, root, split, overwrite=overwrite)
    return garment


def _person(file: Path, name: str, root, annotator: Annotator, shop: list[Garment], *, crop: bool, **how) -> Report:
    from .write import add_pair, write_viton_hd

    annotated = annotator(file, name=name, crop=crop)
    write_viton_hd(annotated.sample, root, **how)
    for garment in shop:
        add_pair(root, name, garment.name, how["split"])
    return annotated.report


# ---- the command ---------------------------------------------------------------------------------------------------


def add_annotate_arguments(command: argparse.ArgumentParser, size_of: Callable[[str], tuple[int, int]]) -> None:
    """The arguments of `annotate`; size_of reads "1024x768"."""
    command.add_argument("photos", type=Path, nargs="+", metavar="PHOTO", help="photographs, or folders of them")
    command.add_argument("--out", type=Path, required=True, help="folder of the data set that is written (VITON-HD)")
    command.add_argument("--garment", type=Path, nargs="+", default=[], help="garment pictures, or folders of them")
    command.add_argument("--size", type=size_of, default=SIZE, metavar="HxW", help="of the samples, 1024x768")
    command.add_argument("--split", choices=("train", "test"), default="test")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    command.add_argument("--backend", default="unet", help="of the garment mask")
    command.add_argument(
        "--hips",
        choices=("studio", "openpose"),
        default="studio",
        help="openpose: for networks that were trained on it",
    )
    command.add_argument("--whole", action="store_true", help="keep the whole photograph instead of cropping it")
    command.add_argument("--overwrite", action="store_true", help="replace other pictures of the same name")
    command.set_defaults(run=annotate_command)


def annotate_command(arguments: argparse.Namespace) -> int:
    """Annotate photographs (pose, parse, DensePose, garment masks) and write them in the layout of VITON-HD.

    Exit status 1 if a file failed; the others are written nevertheless.
    """
    photos, besides = photographs(arguments.photos)
    garments, other = photographs(arguments.garment)
    for file in (*besides, *other):
        print(f"passed over, no picture by its name: {file}")
    from .annotator import Annotator

    backend = arguments.backend if garments else None
    try:
        annotator = Annotator.load(size=arguments.size, device=arguments.device, backend=backend, hips=arguments.hips)
    except ImportError as error:  # an optional backend that isn't installed
        raise ValueError(f"--backend {backend}: {error}") from error
    summary = annotate_all(
        photos, arguments.out, annotator, garments=garments, split=arguments.split, crop=not arguments.whole,
        overwrite=arguments.overwrite,
    )  # fmt: skip
    print(summary.text(), file=sys.stderr if summary.failures else sys.stdout)
    return summary.status
