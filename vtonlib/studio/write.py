"""Studio: draws people and garments from a seed and writes them as a data set.

Every sample is drawn from (seed, index) alone, never from what another process did before, so the files are the same
byte for byte whatever the number of processes (on one machine and one set of library versions). A sample counts as
written once its record `samples/INDEX.json` exists, which is written last; an interrupted run goes on from there.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import sys
from collections import Counter
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RECIPE = "studio-2"  # change it whenever the same seed gives other pictures
LAYOUTS = ("viton-hd", "mpv", "mvg")
TEST_SHARE = 4  # every fourth person, and with them every fourth garment, is in the test split


@dataclass(frozen=True)
class Job:
    """One person to be photographed: number `index` of a data set."""

    root: str
    seed: int
    index: int
    size: tuple[int, int]
    layout: str
    look: str
    other: int | None  # the garment of the unpaired truth: index of its owner, None in the training split

    @property
    def split(self) -> str:
        return split_of(self.index)

    @property
    def record(self) -> Path:
        return Path(self.root) / "samples" / f"{self.index:06d}.json"


def picture_name(layout: str, index: int, number: int = 0) -> str:
    """Stem of the files of a person's picture `number` (0, 1, ...: poses of mpv, views of mvg)."""
    from ..layouts import mpv, mvg

    if layout == "mpv":
        return mpv.person_name(f"{index:06d}", number + 1)
    return mvg.view_name(f"{index:06d}", number) if layout == "mvg" else f"{index:06d}_00"


def garment_name(layout: str, index: int) -> str:
    """Stem of the files of the garment that belongs to person `index`."""
    from ..layouts import mpv

    if layout == "mpv":
        return mpv.garment_name(f"{index:06d}")
    return f"{index:06d}" if layout == "mvg" else f"{index:06d}_00"


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


def plan(
    seed: int, people: int, size: tuple[int, int], root: str | Path, layout: str = "viton-hd", look: str = "studio"
) -> list[Job]:
    """The jobs of a data set in order."""
    partners = unpaired_partners(seed, people)
    return [Job(str(root), seed, index, tuple(size), layout, look, partners.get(index)) for index in range(people)]


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
        look: str = "studio",
        processes: int | None = None,
        executor: Executor | None = None,
        progress: bool = True,
    ) -> Path:
        """Write the pictures of `people` persons with every annotation, a quarter of them as test split; the root.

        size: height and width in pixels. layout: "viton-hd", one picture a person; "mpv", three poses; "mvg", five
        views of one pose. look: "studio", light and walls of a catalogue; "wild", light, places and cameras of all
        kinds. processes: worker processes, by default one per core; 1 stays in this process. executor: any
        concurrent.futures.Executor instead, which must see the same file system. A folder that is complete already is
        left as it is; one that was begun is gone on with. Raises ValueError for a folder that holds another data set,
        naming what differs, and for arguments out of range. Call it under `if __name__ == "__main__":` in a script, as
        worker processes import the script anew.
        """
        from .photography import LOOKS

        for name, value, known in (("layout", layout, LAYOUTS), ("look", look, LOOKS)):
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
        if people < 8:
            raise ValueError(f"people: expected at least 8 (two of them in the test split), got {people}")
        height, width = size
        if min(size) < 32 or height < width:
            raise ValueError(f"size: expected (height, width) of at least 32 pixels, upright, got {size}")
        root = Path(root).absolute()  # workers elsewhere have another working directory
        about = {
            "recipe": RECIPE, "seed": self.seed, "people": people, "size": [height, width], "layout": layout,
            "look": look,
        }  # fmt: skip
        if _begin(root, about):
            return root
        jobs = plan(self.seed, people, size, root, layout, look)
        _LISTS[layout](root, jobs)
        todo = [job for job in jobs if not job.record.exists()]
        _run(todo, len(jobs), processes, executor, progress)
        _finish(root, about, [json.loads(job.record.read_text()) for job in jobs])
        return root


def _begin(root: Path, about: dict) -> bool:
    """Check or create the folder's studio.json; True if the data set is complete."""
    path = root / "studio.json"
    if path.exists():
        found = json.loads(path.read_text())
        different = [f"{key}: {found.get(key)} there, {value} wanted" for key, value in about.items()
                     if found.get(key) != value]  # fmt: skip
        if different:
            raise ValueError(f"{root} holds another data set ({'; '.join(different)}); delete it or choose another")
        return bool(found["complete"])
    if root.exists() and any(root.iterdir()):
        raise ValueError(f"{root} is not empty and not a studio data set (no studio.json); choose another folder")
    root.mkdir(parents=True, exist_ok=True)
    _write_json(path, {**about, "complete": False})
    return False


def _finish(root: Path, about: dict, records: list[dict]) -> None:
    """Write the manifest and close the data set: how many photographs, and how many poses were rejected and why."""
    _write_manifest(root / "manifest.csv", [row for record in records for row in record["pictures"]])
    reasons = Counter(entry.split(":")[1] for record in records for entry in record["rejected"])
    counts = {
        "photographs": sum(record["photographs"] for record in records),
        "rejected": dict(sorted(reasons.items())),
    }
    _write_json(root / "studio.json", {**about, "complete": True, **counts})


# ---- who wears what, by layout -------------------------------------------------------------------------------------


def _list_viton_hd(root: Path, jobs: list[Job]) -> None:
    from ..layouts.viton_hd import write_pairs

    pairs = {"train_pairs.txt": [], "test_pairs.txt": [], "test_pairs_paired.txt": []}
    for job in jobs:
        person = f"{picture_name(job.layout, job.index)}.jpg"
        if job.split == "train":
            pairs["train_pairs.txt"].append((person, person))
        else:
            pairs["test_pairs_paired.txt"].append((person, person))
            if job.other is not None:
                pairs["test_pairs.txt"].append((person, f"{garment_name(job.layout, job.other)}.jpg"))
    for name, lines in pairs.items():
        write_pairs(root / name, lines)


def _list_mpv(root: Path, jobs: list[Job]) -> None:
    """Every pose of a person is the start once and the goal once."""
    from ..layouts import mpv
    from .session import POSES_A_PERSON

    rows = {False: [], True: []}
    for job in jobs:
        names = [picture_name("mpv", job.index, number) for number in range(POSES_A_PERSON)]
        for unpaired, owner in ((False, job.index), (True, job.other)):
            if owner is not None:
                garment = garment_name("mpv", owner)
                rows[unpaired] += [(a, b, garment, job.split) for a, b in zip(names, names[1:] + names[:1])]
    for unpaired, lines in rows.items():
        mpv.write_triplets(root, lines, unpaired=unpaired)


def _list_mvg(root: Path, jobs: list[Job]) -> None:
    from ..layouts import mvg

    mvg.write_unpaired(root, [(f"{job.index:06d}", f"{job.other:06d}") for job in jobs if job.other is not None])


_LISTS = {"viton-hd": _list_viton_hd, "mpv": _list_mpv, "mvg": _list_mvg}


# ---- photographing -------------------------------------------------------------------------------------------------


def photograph(job: Job) -> int:
    """Photograph one person, write every file, and return how many photographs were taken (with the truths)."""
    from ..layouts import mpv, mvg, viton_hd
    from .session import shoot

    album = shoot(job.seed, job.index, job.size, job.other, layout=job.layout, look=job.look)
    if job.layout == "mvg":
        mvg.write_views(Path(job.root) / job.split, list(album.samples))
    for sample in album.samples if job.layout != "mvg" else ():
        if job.layout == "mpv":
            mpv.write_sample(Path(job.root), sample)
        else:
            viton_hd.write_sample(Path(job.root) / job.split, sample)
    rows = [
        {"name": sample.name, "split": job.split, **drawn} for sample, drawn in zip(album.samples, album.attributes)
    ]
    record = {"photographs": album.photographs, "rejected": list(album.rejected), "pictures": rows}
    _write_json(job.record, record)
    return album.photographs


def _run(todo: list[Job], total: int, processes: int | None, executor: Executor | None, progress: bool) -> None:
    from tqdm import tqdm

    done = total - len(todo)
    bar = tqdm(total=total, initial=done, desc="studio", unit="person", file=sys.stdout, disable=not progress)
    workers = processes or os.cpu_count() or 1
    with bar:
        if executor is None and (workers == 1 or len(todo) < 2):
            for job in todo:
                with _naming(job):
                    photograph(job)
                bar.update()
            return
        with _one_thread_each(), nullcontext(executor) if executor is not None else _pool(workers) as pool:
            futures = {pool.submit(photograph, job): job for job in todo}
            try:
                for future in as_completed(futures):
                    with _naming(futures[future]):
                        future.result()
                    bar.update()
            except BaseException:
                for future in futures:
                    future.cancel()
                raise


@contextmanager
def _naming(job: Job):
    """Errors say whose pictures they came from."""
    who = f"person {job.index} of seed {job.seed}"
    try:
        yield
    except Exception as error:
        if who in str(error):
            raise
        raise RuntimeError(f"{who}: {type(error).__name__}: {error}") from error


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
    """One line a photograph with every attribute that was drawn."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)
