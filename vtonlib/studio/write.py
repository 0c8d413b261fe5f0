"""Studio: draws people and garments from a seed and writes them as a data set.

Every sample is drawn from (seed, index) alone, never from what another process did before, so the files are the same
byte for byte whatever the number of processes (on one machine and one set of library versions). A sample counts as
written once its record `samples/NAME.json` exists, which is written last; an interrupted run goes on from there.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import sys
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RECIPE = "studio-1"  # change it whenever the same seed gives other pictures
LAYOUTS = ("viton-hd",)
TEST_SHARE = 4  # every fourth person, and with them every fourth garment, is in the test split


@dataclass(frozen=True)
class Job:
    """One person to be photographed: number `index` of a data set."""

    root: str
    seed: int
    index: int
    size: tuple[int, int]
    other: int | None  # the garment of the unpaired truth: index of its owner, None in the training split

    @property
    def name(self) -> str:
        return sample_name(self.index)

    @property
    def split(self) -> str:
        return split_of(self.index)

    @property
    def record(self) -> Path:
        return Path(self.root) / self.split / "samples" / f"{self.name}.json"


def sample_name(index: int) -> str:
    """Stem of a person's and their garment's files."""
    return f"{index:06d}_00"


def split_of(index: int) -> str:
    """train, or test for every fourth person."""
    return "test" if index % TEST_SHARE == TEST_SHARE - 1 else "train"


def unpaired_partners(seed: int, people: int) -> dict[int, int]:
    """For each test person another test person, whose garment they try on: one random cycle through all of them."""
    test = [index for index in range(people) if split_of(index) == "test"]
    if len(test) < 2:
        return {}
    order = np.random.default_rng([seed, 0x70616972]).permutation(test).tolist()
    return dict(zip(order, order[1:] + order[:1]))


def plan(seed: int, people: int, size: tuple[int, int], root: str | Path) -> list[Job]:
    """The jobs of a data set in order."""
    partners = unpaired_partners(seed, people)
    return [Job(str(root), seed, index, tuple(size), partners.get(index)) for index in range(people)]


class Studio:
    """The procedural data set.

    >>> Studio(seed=0).write("data/tutorial", people=240)  # doctest: +SKIP
    """

    def __init__(self, seed: int = 0):
        if not isinstance(seed, int) or seed < 0:
            raise ValueError(f"Studio: expected a seed of 0 or more, got {seed!r}")
        self.seed = seed

    def write(
        self,
        root: str | Path = "data/studio",
        people: int = 240,
        size: tuple[int, int] = (256, 192),
        layout: str = "viton-hd",
        *,
        processes: int | None = None,
        executor: Executor | None = None,
        progress: bool = True,
    ) -> Path:
        """Write `people` photographs with every annotation, a quarter of them as the test split; returns the root.

        size: height and width in pixels. processes: worker processes, by default one per core; 1 stays in this
        process. executor: any concurrent.futures.Executor instead. A folder that is complete already is left as it is;
        one that was begun is gone on with. Raises ValueError for a folder that holds another data set, naming what
        differs, and for arguments out of range. Call it under `if __name__ == "__main__":` in a script, as worker
        processes import the script anew.
        """
        if layout not in LAYOUTS:
            raise ValueError(f"layout: expected one of {', '.join(LAYOUTS)}, got {layout!r}")
        if people < 8:
            raise ValueError(f"people: expected at least 8 (two of them in the test split), got {people}")
        height, width = size
        if min(size) < 32 or height < width:
            raise ValueError(f"size: expected (height, width) of at least 32 pixels, upright, got {size}")
        root = Path(root)
        about = {
            "recipe": RECIPE, "seed": self.seed, "people": people, "size": [height, width], "layout": layout,
        }  # fmt: skip
        if _begin(root, about):
            return root
        jobs = plan(self.seed, people, size, root)
        _write_pairs(root, jobs)
        todo = [job for job in jobs if not job.record.exists()]
        _run(todo, len(jobs), processes, executor, progress)
        rows = [json.loads(job.record.read_text()) for job in jobs]
        _write_manifest(root / "manifest.csv", rows)
        rejected = sum(len(row["rejected"]) for row in rows)
        _write_json(root / "studio.json", {**about, "complete": True, "rejected": rejected})
        return root


def _begin(root: Path, about: dict) -> bool:
    """Check or create the folder's studio.json; True if the data set is complete."""
    path = root / "studio.json"
    if path.exists():
        found = json.loads(path.read_text())
        different = [f"{key}: {found.get(key)} there, {value} wanted" for key, value in about.items()
                     if found.get(key) != value]  # fmt: skip
        if different:
            raise ValueError(f"{root} holds another data set ({'; '.join(different)}); choose another folder")
        return bool(found["complete"])
    if root.exists() and any(root.iterdir()):
        raise ValueError(f"{root} is not empty and not a studio data set (no studio.json); choose another folder")
    root.mkdir(parents=True, exist_ok=True)
    _write_json(path, {**about, "complete": False})
    return False


def _write_pairs(root: Path, jobs: list[Job]) -> None:
    from ..layouts.viton_hd import write_pairs

    pairs = {"train_pairs.txt": [], "test_pairs.txt": [], "test_pairs_paired.txt": []}
    for job in jobs:
        person = f"{job.name}.jpg"
        if job.split == "train":
            pairs["train_pairs.txt"].append((person, person))
        else:
            pairs["test_pairs_paired.txt"].append((person, person))
            if job.other is not None:
                pairs["test_pairs.txt"].append((person, f"{sample_name(job.other)}.jpg"))
    for name, lines in pairs.items():
        write_pairs(root / name, lines)


def photograph(job: Job) -> int:
    """Photograph one person, write every file, and return how many photographs were taken (two with the truth)."""
    from ..layouts.viton_hd import write_sample
    from .session import shoot

    sample, attributes = shoot(job.seed, job.index, job.size, job.other)
    write_sample(Path(job.root) / job.split, sample)
    _write_json(job.record, {"name": job.name, "split": job.split, **attributes})
    return 1 if sample.unpaired is None else 2


def _run(todo: list[Job], total: int, processes: int | None, executor: Executor | None, progress: bool) -> None:
    from tqdm import tqdm

    done = total - len(todo)
    bar = tqdm(total=total, initial=done, desc="studio", unit="person", file=sys.stdout, disable=not progress)
    workers = processes or os.cpu_count() or 1
    with bar:
        if executor is None and (workers == 1 or len(todo) < 2):
            for job in todo:
                photograph(job)
                bar.update()
            return
        with _one_thread_each(), nullcontext(executor) if executor is not None else _pool(workers) as pool:
            futures = [pool.submit(photograph, job) for job in todo]
            try:
                for future in as_completed(futures):
                    future.result()
                    bar.update()
            except BaseException:
                for future in futures:
                    future.cancel()
                raise


def _pool(workers: int) -> Executor:
    # spawn: a forked child of a notebook kernel would inherit its threads' locks
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


@contextmanager
def _one_thread_each():
    """Worker processes already fill the cores: their numerical libraries get one thread each."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    temporary.replace(path)


def _write_manifest(path: Path, rows: list[dict]) -> None:
    """One line a person with every attribute that was drawn."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "rejected": " ".join(row["rejected"])})
    temporary.replace(path)
