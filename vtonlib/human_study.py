"""A human study as papers on try-on report them: two pictures side by side, blind, which is better?

    make_study("study", "key.json", title=..., question=..., pictures=..., shown=..., raters=20, trials=30)
    rating = Rating("study", rater=7)          # what `vtonlib.course.study_widget` puts on the page
    judgements = read_answers("returned", "key.json")

The instructor makes one folder and hands it out; a key that says which picture is whose stays behind. In the folder
pictures have random names, so that nobody can read a method off a file name, and all pictures of an item one size.
Every rater has a number, and by it a plan: each pair of methods about equally often, each as often on the left as on
the right, some trials twice with the sides exchanged. Answers are kept in one CSV file a rater, rewritten as a whole
after every click; the class sends these files back.
Source: Dong et al. 2019 (MG-VTON), section 4.5, and Han et al. 2018 (VITON), section 4.4, for the form of the question.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from vtonlib.checkpoints import replacing
from vtonlib.layouts.files import encode_png
from vtonlib.preferences import CHOICES, Judgement

STUDY, PICTURES = "study.json", "pictures"
COLUMNS = ("study", "rater", "trial", "item", "left", "right", "repeated", "choice", "seconds")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One question: the item, the names of the two pictures, whether it was asked before with the sides exchanged."""

    item: str
    left: str
    right: str
    repeated: bool = False


# ---- the plan --------------------------------------------------------------------------------------------------------


def plan(
    methods: Sequence[str], items: Sequence[str], rater: int, *, trials: int, repeats: int, seed: int
) -> list[Trial]:
    """The questions of one rater, with methods as names: `trials` different ones, then `repeats` of them again.

    Each pair of methods comes equally often, give or take one, and each of a pair as often on the left, give or take
    one; which pairs come once more turns with the rater's number. No question (item and pair) comes twice but the
    repeated ones. The same arguments give the same plan.
    Raises ValueError for fewer than two methods, no item, more trials than questions, or more repeats than trials.
    """
    pairs = list(combinations(methods, 2))
    if len(set(methods)) != len(methods) or not pairs or not items:
        raise ValueError(
            f"plan: expected two or more different methods and an item, got {methods!r}, {len(items)} items"
        )
    if not 1 <= trials <= len(pairs) * len(items) or not 0 <= repeats <= trials:
        most = len(pairs) * len(items)
        raise ValueError(f"plan: expected 1 to {most} trials and at most as many repeats, got {trials} and {repeats}")
    rng = np.random.default_rng([seed, rater])
    asked = [pairs[(rater + number) % len(pairs)] for number in range(trials)]
    orders = {pair: rng.permutation(len(items)) for pair in pairs}
    flips, seen, questions = {pair: int(rng.integers(2)) for pair in pairs}, dict.fromkeys(pairs, 0), []
    for pair in asked:
        item = items[int(orders[pair][seen[pair]])]
        left, right = pair if (seen[pair] + flips[pair]) % 2 else pair[::-1]
        seen[pair] += 1
        questions.append(Trial(item=item, left=left, right=right))
    questions = [questions[index] for index in rng.permutation(trials)]
    # The first ones again: as far as can be from where they were.
    again = [Trial(item=one.item, left=one.right, right=one.left, repeated=True) for one in questions[:repeats]]
    return questions + again


# ---- making a study --------------------------------------------------------------------------------------------------


def make_study(
    folder: str | Path,
    key: str | Path,
    *,
    title: str,
    question: str,
    pictures: Mapping[str, Mapping[str, np.ndarray]],
    shown: Mapping[str, Sequence[np.ndarray]] | None = None,
    raters: int,
    trials: int,
    repeats: int = 3,
    seed: int | None = None,
) -> Path:
    """Write the folder that is handed out and the key that is not; returns the folder.

    pictures: item -> method -> (H,W,3) uint8, the same methods and, in an item, the same size everywhere. shown: item
    -> pictures that are shown above both, person and garment say. raters: how many plans; trials, repeats: see `plan`.
    seed: of names and plans; None draws one, which only the key then holds: with the seed and this library anybody
    could make the names again.
    Raises ValueError for what doesn't fit, and FileExistsError for a folder or key that is there already.
    """
    folder, key = Path(folder), Path(key)
    for path in (folder, key):
        if path.exists():
            raise FileExistsError(f"{path}: is there already; a study is never written over another")
    methods = sorted(next(iter(pictures.values()), {}))
    for item, of in pictures.items():
        if sorted(of) != methods:
            raise ValueError(f"pictures: item {item!r}: expected the methods {methods}, got {sorted(of)}")
        sizes = {np.shape(picture) for picture in of.values()}
        if len(sizes) > 1:
            raise ValueError(f"pictures: item {item!r}: the methods could be told by their sizes: {sorted(sizes)}")
    seed = int.from_bytes(os.urandom(6)) if seed is None else seed
    rng = np.random.default_rng([seed, 2**31])
    number_of = {item: f"item-{index + 1:03d}" for index, item in enumerate(pictures)}
    files, names = {}, {}
    for item, of in pictures.items():
        for method in methods:
            names[item, method] = _random_name(rng)
            files[names[item, method]] = _png(of[method])
    above = {}
    for item, several in (shown or {}).items():
        if item not in number_of:
            raise ValueError(f"shown: expected items of pictures, got {item!r}")
        above[number_of[item]] = [_random_name(rng) for _ in several]
        files |= dict(zip(above[number_of[item]], map(_png, several), strict=True))
    plans = [
        [
            Trial(item=number_of[one.item], left=names[one.item, one.left], right=names[one.item, one.right],
                  repeated=one.repeated)
            for one in plan(methods, list(pictures), rater, trials=trials, repeats=repeats, seed=seed)
        ]
        for rater in range(raters)
    ]  # fmt: skip
    about = {"title": title, "question": question, "shown": above, "plans": [[asdict(t) for t in p] for p in plans]}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(files):
        digest.update(files[name])
    identity = digest.hexdigest()[:16]
    (folder / PICTURES).mkdir(parents=True)
    for name in sorted(files):
        (folder / PICTURES / f"{name}.png").write_bytes(files[name])
    owners = {name: {"item": item, "method": method} for (item, method), name in names.items()}
    _write_json(key, {"study": identity, "title": title, "seed": seed, "pictures": owners})
    _write_json(folder / STUDY, {"study": identity, **about})  # last: a folder with it is complete
    return folder


def _random_name(rng: np.random.Generator) -> str:
    return rng.bytes(6).hex()


def _png(picture: np.ndarray) -> bytes:
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"pictures: expected (H, W, 3) uint8, got {picture.dtype} {picture.shape}")
    return encode_png(picture)


def _write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _read_json(path: Path, *keys: str) -> dict:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; `make_study` writes it")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected a JSON file, got {error}") from error
    if not isinstance(content, dict) or not set(keys) <= set(content):
        raise ValueError(f"{path}: expected a study's JSON with {', '.join(keys)}")
    return content


# ---- rating ----------------------------------------------------------------------------------------------------------


class Rating:
    """One rater's way through a study: the question at hand, an answer, one step back; all kept in a file.

    folder: as handed out; rater: the number, from 1 on; answers: the file, by default rater-NN.csv in the folder. With
    a file that is there already, it goes on where the rater stopped.
    Raises FileNotFoundError; ValueError for a number that has no plan, and for a file of another study or rater, or a
    damaged one, naming the line.
    """

    def __init__(self, folder: str | Path, rater: int, answers: str | Path | None = None) -> None:
        self.folder = Path(folder)
        study = _read_json(self.folder / STUDY, "study", "title", "question", "shown", "plans")
        self.study, self.title, self.question = study["study"], study["title"], study["question"]
        if not 1 <= rater <= len(study["plans"]):
            raise ValueError(f"rater: expected a number from 1 to {len(study['plans'])}, got {rater}")
        self.rater = rater
        self.trials = [Trial(**trial) for trial in study["plans"][rater - 1]]
        self._shown = study["shown"]
        self.path = self.folder / f"rater-{rater:02d}.csv" if answers is None else Path(answers)
        self.rows: list[dict] = read_rows(self.path) if self.path.exists() else []
        self._check_rows()

    def _check_rows(self) -> None:
        for number, (row, trial) in enumerate(zip(self.rows, self.trials, strict=False)):
            expected = self._row(number, trial)
            for name, value in expected.items():
                if row[name] != value:
                    raise ValueError(f"{self.path}, line {number + 2}: expected {name} {value!r}, got {row[name]!r}")
        if len(self.rows) > len(self.trials):
            raise ValueError(f"{self.path}: expected at most {len(self.trials)} answers, got {len(self.rows)}")

    def _row(self, number: int, trial: Trial) -> dict:
        row = {"study": self.study, "rater": str(self.rater), "trial": str(number + 1)}
        return row | {
            "item": trial.item,
            "left": trial.left,
            "right": trial.right,
            "repeated": str(int(trial.repeated)),
        }

    @property
    def current(self) -> Trial | None:
        """The question at hand; None at the end."""
        return self.trials[len(self.rows)] if len(self.rows) < len(self.trials) else None

    def picture(self, name: str) -> bytes:
        """A picture of the study as the bytes of its PNG file."""
        return (self.folder / PICTURES / f"{name}.png").read_bytes()

    def shown(self, trial: Trial) -> list[str]:
        """Names of the pictures that are shown above a question's two."""
        return self._shown.get(trial.item, [])

    def answer(self, choice: str, seconds: float = 0.0) -> None:
        """Answer the question at hand and save. Raises ValueError for another choice, or at the end."""
        if self.current is None:
            raise ValueError("this rater has answered all questions")
        if choice not in CHOICES:
            raise ValueError(f"choice: expected one of {', '.join(CHOICES)}, got {choice!r}")
        row = self._row(len(self.rows), self.current) | {"choice": choice, "seconds": f"{seconds:.1f}"}
        self._save([*self.rows, row])

    def undo(self) -> None:
        """Take the last answer back and save; nothing happens where there is none."""
        self._save(self.rows[:-1])

    def _save(self, rows: list[dict]) -> None:
        stream = io.StringIO()
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with replacing(self.path) as temporary:
            temporary.write_text(stream.getvalue(), encoding="utf-8")
        self.rows = rows  # after the file: what is shown as answered is on disk


def read_rows(path: Path) -> list[dict]:
    """The rows of a rater's file. Raises ValueError naming the file and the line that is damaged."""
    lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    if not lines or tuple(lines[0]) != COLUMNS:
        raise ValueError(
            f"{path}, line 1: expected the columns {', '.join(COLUMNS)}, got {lines[0] if lines else None}"
        )
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        row = dict(zip(COLUMNS, line, strict=False))
        if len(line) != len(COLUMNS) or row["choice"] not in CHOICES or row["repeated"] not in ("0", "1"):
            raise ValueError(f"{path}, line {number}: expected {len(COLUMNS)} values with a choice, got {line}")
        rows.append(row)
    return rows


def read_answers(folder: str | Path, key: str | Path) -> list[Judgement]:
    """All answers of a folder of raters' files (*.csv), by the names of items and methods that the key holds.

    Raises FileNotFoundError where there is no file; ValueError for a file of another study, two files of one rater, a
    picture that isn't in the key, and a damaged line.
    """
    known = _read_json(Path(key), "study", "pictures")
    paths = sorted(Path(folder).glob("*.csv"))
    if not paths:
        raise FileNotFoundError(f"{folder}: expected raters' files (*.csv), got none")
    judgements, raters = [], {}
    for path in paths:
        for number, row in enumerate(read_rows(path), start=2):
            where = f"{path}, line {number}"
            if row["study"] != known["study"]:
                raise ValueError(f"{where}: expected answers to study {known['study']}, got {row['study']!r}")
            if raters.setdefault(row["rater"], path) != path:
                raise ValueError(f"{where}: rater {row['rater']} has answered in {raters[row['rater']]} too")
            owners = [known["pictures"].get(row[side]) for side in ("left", "right")]
            if None in owners:
                raise ValueError(f"{where}: a picture that the key doesn't know: {row['left']}, {row['right']}")
            judgements.append(
                Judgement(
                    rater=row["rater"], item=owners[0]["item"], left=owners[0]["method"], right=owners[1]["method"],
                    choice=row["choice"], repeated=row["repeated"] == "1",
                )
            )  # fmt: skip
    return judgements
