"""The proof of a notebook's exercises.

(a) Solved: every test gives its full points, and no cell an error or anything on stderr.
(b) Blank: every test gives zero.
(c) Each exercise alone left blank loses points of its own tests, and only of those.
(d) Each stored wrong answer runs, and loses points of its exercise.
(e) Blank and not graded: every cell runs, so that nobody is blocked.

Everything runs in the smoke profile, in one process a notebook. Cells tagged `no-proof` are left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from vtonlib.course import exercises
from vtonlib.course.build import BUILD, NOTEBOOKS, number, read_source, sources, to_text, write_text
from vtonlib.course.profiles import PROJECT, ensure_data, profile

WRONG_ANSWERS = PROJECT / "tests" / "wrong_answers"
SKIPPED_TAGS = {"no-proof"}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One run of a notebook: kind is "solved", "blank", "open", "only" or "wrong"; of: the exercise it is about."""

    kind: str
    notebook: object
    of: str = ""
    name: str = ""


def wrong_answers(notebook: str, folder: Path = WRONG_ANSWERS) -> dict[Path, str]:
    """File -> grade_id of the stored wrong answers of a notebook ("06"). ValueError for a file named otherwise."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        match = re.fullmatch(r"(\d\d)_([a-z0-9-]+)_(\w+)", path.stem)
        if not match:
            raise ValueError(f"{path.name}: expected NN_exercise_what.py, the exercise's name with hyphens only")
        if match[1] == notebook:
            found[path] = match[2]
    return found


def variants(notebook, wrong: dict[Path, str]) -> list[Variant]:
    """All runs that the proof needs."""
    names = [exercises.grade_id(cell) for cell in notebook.cells if exercises.is_solution(cell)]
    blank = exercises.blank(notebook)
    every = [
        Variant(kind="solved", notebook=notebook),
        Variant(kind="blank", notebook=blank),
        Variant(kind="open", notebook=exercises.hide_tests(blank)),
    ]
    every += [Variant(kind="only", of=name, notebook=exercises.blank(notebook, name)) for name in names]
    for path, name in wrong.items():
        changed = exercises.replace_solution(notebook, name, path.read_text(encoding="utf-8"))
        every.append(Variant(kind="wrong", of=name, name=path.name, notebook=changed))
    return every


def executed_cells(notebook) -> list:
    """The code cells that the proof runs."""
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and not SKIPPED_TAGS & set(cell.metadata.get("tags", []))
    ]


def execute(runs: list[Variant], *, folder: Path = NOTEBOOKS, timeout: float = 900) -> list[list[list[dict]]]:
    """Outputs of every executed cell of every variant, from one fresh process in the smoke profile.

    folder: where the cells run, as in JupyterLab that of the notebooks.
    Raises RuntimeError where that process fails or takes longer than `timeout` seconds.
    """
    jobs = [
        {"strict": run.kind != "open", "cells": [cell.source for cell in executed_cells(run.notebook)]} for run in runs
    ]
    environment = {**os.environ, "VTON_PROFILE": "smoke", "MPLBACKEND": "agg"}
    environment.pop("VTON_STRICT", None)
    with tempfile.TemporaryDirectory() as exchange:
        asked, answered = Path(exchange, "runs.json"), Path(exchange, "results.json")
        asked.write_text(json.dumps(jobs), encoding="utf-8")
        environment["IPYTHONDIR"] = exchange  # no configuration of the user's own
        command = [sys.executable, "-m", "vtonlib.course.worker", str(asked), str(answered)]
        try:
            subprocess.run(command, cwd=folder, env=environment, timeout=timeout, check=True, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"the proof took longer than {timeout} s: tag slow cells `no-proof`") from error
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"the process that runs the cells ended with {error.returncode}") from error
        return json.loads(answered.read_text(encoding="utf-8"))


def judge(run: Variant, outputs: list[list[dict]]) -> list[str]:
    """What the outputs of one variant say against the proof, [] where they don't."""
    cells = list(zip(executed_cells(run.notebook), outputs))
    tests = {exercises.grade_id(c): (exercises.points(c, o), c.metadata.nbgrader.points) for c, o in cells
             if exercises.is_test(c)}  # fmt: skip
    lost = {name for name, (got, most) in tests.items() if got < most}
    own = {name for name in tests if exercises.solution_of(name) == run.of}
    if run.kind == "solved":
        problems = [f"solved: {name} gives {tests[name][0]:g} of {tests[name][1]:g}" for name in sorted(lost)]
        return problems + [f"solved: {line}" for line in _failures(cells)]
    if run.kind == "open":
        return [f"blank, not graded: {line}" for line in _failures(cells)]
    if run.kind == "blank":
        return [f"blank: {name} gives {got:g} points" for name, (got, _) in sorted(tests.items()) if got > 0]
    if run.kind == "wrong":
        broken = [c for c, o in cells if exercises.grade_id(c) == run.of and _failure(o)]
        problems = [f"wrong answer {run.name}: the solution cell itself fails"] if broken else []
        return problems if lost & own else [*problems, f"wrong answer {run.name} loses nothing"]
    problems = [] if lost & own else [f"{run.of} left blank loses nothing"]
    others = sorted(lost - own)
    return [*problems, f"{run.of} left blank also loses {', '.join(others)}"] if others else problems


def _failure(outputs: list[dict]) -> str:
    for output in outputs:
        if output["output_type"] == "error":
            return f"{output['ename']}: {output['evalue']}"
        if output.get("name") == "stderr":
            return f"stderr: {output['text'].strip()[:200]}"
    return ""


def _failures(cells) -> list[str]:
    found = ((cell.source.strip().splitlines()[0], _failure(outputs)) for cell, outputs in cells)
    return [f"the cell `{line}`: {failure}" for line, failure in found if failure]


def prove_notebook(notebook, wrong: dict[Path, str] | None = None, *, folder: Path = NOTEBOOKS) -> list[str]:
    """Every way in which the exercises of a solved notebook fail the proof, [] where it is proven.

    wrong: file -> grade_id of stored wrong answers. Raises ValueError for a malformed notebook or an answer to an
    exercise that doesn't exist.
    """
    runs = variants(notebook, wrong or {})
    names = [exercises.grade_id(cell) for cell in notebook.cells if exercises.is_solution(cell)]
    proven = {exercises.grade_id(cell) for cell in executed_cells(notebook)}
    problems = [f"{name} is tagged no-proof" for name in names if name not in proven]
    for run, outputs in zip(runs, execute(runs, folder=folder)):
        problems += judge(run, outputs)
    return problems


def content_key(path: Path) -> str:
    """A hash of all that the proof of a notebook depends on: source, wrong answers, library, weights, lock."""
    state = hashlib.sha256(to_text(read_source(path)).encode())
    files = [*wrong_answers(number(path)), *sorted((PROJECT / "vtonlib").rglob("*.py")), PROJECT / "requirements.lock"]
    for file in [*files, *sorted((PROJECT / "vtonlib" / "weights").glob("*.safetensors"))]:
        state.update(f"{file.relative_to(PROJECT)}\n".encode() + file.read_bytes())
    return state.hexdigest()


def prove(select: str | None = None, *, cache: bool = True, data: bool = True) -> dict[str, list[str]]:
    """Prove notebooks, printing a line each. -> problems by notebook.

    cache: skip what was proven before and has not changed since (kept in build/proof). data: write the smoke data set
    first where it is missing.
    """
    if data:
        ensure_data(profile("smoke"))
    result = {}
    for path in sources(select):
        start, noted = time.perf_counter(), BUILD / "proof" / f"{path.stem}.txt"
        key = content_key(path)
        if cache and noted.exists() and noted.read_text(encoding="utf-8") == key:
            print(f"{path.stem}: proven before, nothing changed since")
            result[path.stem] = []
            continue
        notebook = read_source(path)
        problems = result[path.stem] = prove_notebook(notebook, wrong_answers(number(path)))
        if not problems:
            write_text(noted, key)
        count = sum(map(exercises.is_solution, notebook.cells))
        verdict = "proven" if not problems else "NOT PROVEN"
        print(
            f"{path.stem}: {count} exercises {verdict} in {time.perf_counter() - start:.0f} s", *problems, sep="\n  - "
        )
    return result
