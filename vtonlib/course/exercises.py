"""Exercises inside a notebook: what is blanked, what is hidden, and how many points outputs are worth.

The format is nbgrader's (cell metadata schema 3, region markers, grading rule), written anew here so that neither
students nor CI need nbgrader; a test compares both where nbgrader is installed.
Source: nbgrader documentation, "Developing assignments" and "Autograded answers"; `determine_grade` of version 0.9.
"""

from __future__ import annotations

import copy
import re

BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")


def grader(cell) -> dict:
    """The cell's nbgrader metadata, {} where it has none."""
    return cell.metadata.get("nbgrader", {})


def grade_id(cell) -> str:
    """The cell's grade_id, "" where it has none."""
    return grader(cell).get("grade_id", "")


def is_solution(cell) -> bool:
    """Whether the student writes this code cell."""
    return cell.cell_type == "code" and bool(grader(cell).get("solution")) and not grader(cell).get("grade")


def is_test(cell) -> bool:
    """Whether this code cell gives points."""
    return cell.cell_type == "code" and bool(grader(cell).get("grade")) and not grader(cell).get("solution")


def solution_of(test_id: str) -> str:
    """grade_id of the solution that a test belongs to: what stands before the first underscore."""
    return test_id.split("_", 1)[0]


def blank_source(source: str, where: str) -> str:
    """A solution cell's source with each solution region replaced by the stub at the region's indent.

    A cell without a region becomes the stub altogether, as nbgrader does it. where: named in errors.
    Raises ValueError for a region that is not closed, nested, or closed without being open.
    """
    return _replace_regions(source, BEGIN_SOLUTION, END_SOLUTION, STUB, where) or "\n".join(STUB)


def without_hidden_tests(source: str, where: str) -> str:
    """A test cell's source without its hidden tests. Raises ValueError as `blank_source` does."""
    found = _replace_regions(source, BEGIN_HIDDEN, END_HIDDEN, (), where)
    return source if found is None else found


def _replace_regions(source: str, begin: str, end: str, stub: tuple[str, ...], where: str) -> str | None:
    """The source with every begin..end region replaced by the stub's lines; None where there is no region."""
    lines, open_at, found = [], None, False
    for number, line in enumerate(source.split("\n"), start=1):
        if begin in line:
            if open_at:
                raise ValueError(f"{where}: {begin!r} in line {number}, but the one in line {open_at} is still open")
            open_at, found = number, True
            indent = re.match(r"\s*", line).group()
            lines += [indent + part for part in stub]
        elif end in line:
            if not open_at:
                raise ValueError(f"{where}: {end!r} in line {number} closes nothing")
            open_at = None
        elif not open_at:
            lines.append(line)
    if open_at:
        raise ValueError(f"{where}: {begin!r} in line {open_at} is never closed by {end!r}")
    return "\n".join(lines) if found else None


def blank(notebook, only: str | None = None):
    """A copy of the notebook with all solutions blanked, or only the one with that grade_id.

    Raises ValueError where `only` is not a solution of the notebook, or a region stands outside a solution cell.
    """
    result, done = copy.deepcopy(notebook), []
    for index, cell in enumerate(result.cells):
        if is_solution(cell):
            if only in (None, grade_id(cell)):
                cell.source = blank_source(cell.source, f"cell {index} ({grade_id(cell)})")
                done.append(grade_id(cell))
        elif cell.cell_type == "code" and BEGIN_SOLUTION in cell.source:
            raise ValueError(f"cell {index}: {BEGIN_SOLUTION!r} in a cell that is not marked as a solution")
    if only is not None and only not in done:
        raise ValueError(f"no solution cell has the grade_id {only!r}")
    return result


def replace_solution(notebook, name: str, source: str):
    """A copy of the notebook in which the solution cell `name` holds another source. ValueError for an unknown name."""
    result = copy.deepcopy(notebook)
    cells = [cell for cell in result.cells if is_solution(cell) and grade_id(cell) == name]
    if len(cells) != 1:
        raise ValueError(f"expected one solution cell with the grade_id {name!r}, got {len(cells)}")
    cells[0].source = source.rstrip("\n")
    return result


def hide_tests(notebook):
    """A copy of the notebook without its hidden tests."""
    result = copy.deepcopy(notebook)
    for index, cell in enumerate(result.cells):
        if cell.cell_type == "code":
            cell.source = without_hidden_tests(cell.source, f"cell {index} ({grade_id(cell)})")
    return result


def points(cell, outputs) -> float:
    """Points of a code test cell with these outputs, by nbgrader's rule.

    The first output that is an error, text on stderr or a result decides: an error or stderr gives 0; a result that
    reads as a number from 0 up gives that many points, any other result all. With none of them: all points.
    Raises ValueError for a number above the cell's points, as nbgrader does.
    """
    most = float(grader(cell)["points"])
    for output in outputs:
        if output["output_type"] == "error" or output.get("name") == "stderr":
            return 0.0
        if output["output_type"] == "execute_result":
            return _partial_points(output["data"]["text/plain"], most, grade_id(cell))
    return most


def _partial_points(text: str, most: float, where: str) -> float:
    try:
        partial = float(text)
    except ValueError:
        return most
    if partial > most:
        raise ValueError(f"{where}: the result {partial:g} is above the cell's {most:g} points")
    return partial if partial >= 0 else most
