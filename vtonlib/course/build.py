"""From `notebooks/src/NN_name.py` to the solved notebook and to the exercises, byte for byte the same each time."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from vtonlib.course import exercises
from vtonlib.course.profiles import PROJECT

NOTEBOOKS = PROJECT / "notebooks"
BUILD = PROJECT / "build"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def sources(select: str | None = None, *, folder: Path = NOTEBOOKS / "src") -> list[Path]:
    """The notebooks' sources in order, or those whose number or name starts with `select` ("06" or "06_warping").

    Raises ValueError where nothing matches.
    """
    found = sorted(folder.glob("[0-9][0-9]_*.py"))
    chosen = [path for path in found if path.stem.startswith(select or "")]
    if not chosen:
        names = ", ".join(path.stem for path in found) or "none"
        raise ValueError(f"no notebook {select or ''} in {folder}: there is {names}")
    return chosen


def number(path: Path) -> str:
    """The two digits that a notebook's name starts with."""
    return path.stem[:2]


def read_source(path: Path):
    """The solved notebook of a source: no outputs, no execution counts, cell ids that depend on the cells alone."""
    import jupytext

    notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")
    notebook.metadata = type(notebook.metadata)(kernelspec=KERNEL, language_info={"name": "python"})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        count = seen[cell.source] = seen.get(cell.source, -1) + 1
        cell.id = hashlib.sha256(f"{cell.cell_type}\n{count}\n{cell.source}".encode()).hexdigest()[:12]
        cell.metadata.pop("lines_to_next_cell", None)
    return notebook


def exercise_notebook(solved):
    """What a student gets: solutions blanked, hidden tests gone, tests not editable, solutions not deletable."""
    notebook = exercises.hide_tests(exercises.blank(solved))
    for cell in notebook.cells:
        if exercises.grader(cell):
            cell.metadata["deletable"] = False
        if exercises.grader(cell).get("locked"):
            cell.metadata["editable"] = False
    return notebook


def to_text(notebook) -> str:
    """The notebook as the text of an .ipynb file. Raises nbformat's ValidationError for a malformed one."""
    import nbformat

    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it, so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    temporary.replace(path)


def build(select: str | None = None, *, notebooks: Path = NOTEBOOKS, out: Path = BUILD) -> list[Path]:
    """Write the solved notebooks to `out`/solved and the exercises to `notebooks`/exercises. -> the solved ones."""
    written = []
    for path in sources(select, folder=notebooks / "src"):
        solved = read_source(path)
        written.append(out / "solved" / f"{path.stem}.ipynb")
        write_text(written[-1], to_text(solved))
        write_text(notebooks / "exercises" / f"{path.stem}.ipynb", to_text(exercise_notebook(solved)))
    return written


def out_of_step(*, notebooks: Path = NOTEBOOKS) -> list[str]:
    """What in the committed products differs from the sources: one line each, [] where all is in step."""
    complaints, stems = [], set()
    for path in sources(folder=notebooks / "src"):
        stems.add(path.stem)
        solved = read_source(path)
        exercise = notebooks / "exercises" / f"{path.stem}.ipynb"
        if not exercise.exists() or exercise.read_text(encoding="utf-8") != to_text(exercise_notebook(solved)):
            complaints.append(f"exercises/{path.stem}.ipynb differs from its source: run the build")
        complaints += _executed_differs(notebooks / f"{path.stem}.ipynb", solved)
    for folder in (notebooks, notebooks / "exercises"):
        for path in sorted(folder.glob("*.ipynb")):
            if path.stem not in stems:
                complaints.append(f"{path.relative_to(notebooks)} has no source")
    return complaints


def _executed_differs(path: Path, solved) -> list[str]:
    import nbformat

    if not path.exists():
        return [f"{path.name} is missing: run it with --commit"]
    executed = nbformat.read(path, as_version=4)
    if len(executed.cells) != len(solved.cells):
        return [f"{path.name} has {len(executed.cells)} cells, its source {len(solved.cells)}: run it with --commit"]
    for index, (theirs, ours) in enumerate(zip(executed.cells, solved.cells)):
        if _identity(theirs) != _identity(ours):
            return [f"{path.name}, cell {index} differs from its source: run it with --commit"]
    return []


def _identity(cell) -> tuple:
    """What an executed cell shares with its source."""
    return cell.cell_type, cell.source, cell.get("id"), cell.metadata.get("tags", []), exercises.grader(cell)
