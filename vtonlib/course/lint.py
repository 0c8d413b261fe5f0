"""Rules that a notebook keeps: its exercises' metadata, its rhythm, and what its executed version may hold.

Each function returns complaints, one line each, [] where all is well. Every rule stands in notebooks/src/README.md;
those about graded cells come from traps of nbgrader (a trailing number is read as points, stderr costs all of them).
"""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

from vtonlib.course import exercises
from vtonlib.course.show import SHORTEST_ALT

CELLS = (45, 110)  # 45 to 80 are aimed at; only a chapter that needs it has more
PROSE = (0.50, 0.70)  # words of markdown cells / words of all cells; 0.55 to 0.65 is aimed at
MEDIAN_CODE_LINES = 8
MOST_CODE_LINES = 60
MOST_BYTES = 1_500_000
MOST_SILENT_CELLS = 3
FEWEST_EXERCISES = 3
KEYS = {"schema_version", "grade_id", "grade", "solution", "locked", "task"}
NOISE = ("sys.stderr", "tqdm", "warnings.warn")
MACHINE_PATH = re.compile(r"(?<![\w.:/])(?:/(?:home|root|tmp|Users|private|var)/\w|[A-Z]:\\Users)")


def parse(source: str) -> ast.Module:
    """The syntax tree of a cell, magics included. Raises SyntaxError."""
    from IPython.core.inputtransformer2 import TransformerManager

    return ast.parse(TransformerManager().transform_cell(source))


def lint_exercises(notebook) -> list[str]:
    """The metadata and the form of solutions and tests."""
    complaints, seen = [], set()
    for cell in notebook.cells:
        if exercises.grader(cell):
            name = exercises.grade_id(cell)
            missing = sorted(KEYS - set(exercises.grader(cell)))
            complaints += [f"{name}: nbgrader metadata lacks {', '.join(missing)}"] if missing else []
            complaints += [f"grade_id {name!r} occurs twice"] if name in seen else []
            seen.add(name)
        if "raises-exception" in cell.metadata.get("tags", []):
            complaints.append("a cell is tagged raises-exception: catch the error and print it")
        if exercises.is_test(cell):
            complaints += _lint_test(cell)
    solutions = [cell for cell in notebook.cells if exercises.is_solution(cell)]
    names = {exercises.grade_id(cell) for cell in solutions}
    for cell in notebook.cells:
        if exercises.is_test(cell) and exercises.solution_of(exercises.grade_id(cell)) not in names:
            complaints.append(
                f"{exercises.grade_id(cell)}: no solution {exercises.solution_of(exercises.grade_id(cell))}"
            )
    for cell in solutions:
        complaints += _lint_solution(cell, notebook)
    return complaints


def _lint_solution(cell, notebook) -> list[str]:
    name, complaints = exercises.grade_id(cell), []
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        complaints.append(f"grade_id {name!r}: expected lower-case letters, digits and hyphens")
    blank = parse(exercises.blank_source(cell.source, name)).body
    defined = [node.name for node in blank if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    if not defined or any(isinstance(node, ast.Raise) for node in blank):
        complaints.append(f"{name}: the solution region must lie inside a function, so that the blank defines it")
    position = notebook.cells.index(cell)
    below = notebook.cells[position + 1 :]
    tests = [c for c in below if exercises.is_test(c) and exercises.solution_of(exercises.grade_id(c)) == name]
    for function in defined:
        word = re.compile(rf"\b{function}\b")
        if not any(word.search(exercises.without_hidden_tests(test.source, name)) for test in tests):
            complaints.append(f"{name}: no visible test below names {function}")
        picked = re.compile(rf"\b{function} = pick\(\s*{function}\b")
        if not any(picked.search(c.source) for c in below if c.cell_type == "code"):
            complaints.append(f"{name}: expected `{function} = pick({function}, ..., ...)` below its tests")
    return complaints


def _lint_test(cell) -> list[str]:
    name, complaints = exercises.grade_id(cell), []
    if "_" not in name:
        complaints.append(f"test {name!r}: expected <solution>_<what>")
    if not exercises.grader(cell).get("points", 0) > 0:
        complaints.append(f"{name}: expected points above 0")
    if not exercises.grader(cell).get("locked"):
        complaints.append(f"{name}: expected locked to be true")
    for source in {cell.source, exercises.without_hidden_tests(cell.source, name)}:
        body = parse(source).body
        if not body or not (isinstance(body[-1], ast.Assert) or _is_check(body[-1])):
            complaints.append(f"{name}: must end with an assert or a `with Check(...)` block")
    complaints += [f"{name}: {word} in a test cell" for word in NOISE if word in cell.source]
    return complaints


def _is_check(node: ast.stmt) -> bool:
    if not isinstance(node, ast.With):
        return False
    calls = [item.context_expr for item in node.items]
    return any(isinstance(c, ast.Call) and isinstance(c.func, ast.Name) and c.func.id == "Check" for c in calls)


def lint_style(notebook, stem: str) -> list[str]:
    """Title, parameters, bands, length, share of prose, length of code cells, alternative text in markdown."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    prose = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    complaints = []
    if not notebook.cells or not notebook.cells[0].source.startswith(f"# {stem[:2]} "):
        complaints.append(f"the first cell must be the title `# {stem[:2]} ...`")
    parameters = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    if len(parameters) != 1 or "PROFILE = default_profile(" not in parameters[0].source:
        complaints.append("expected one cell tagged `parameters` with `PROFILE = default_profile(...)`")
    if not code or f'check_bands("{stem[:2]}"' not in code[-1].source:
        complaints.append(f'the last code cell must call check_bands("{stem[:2]}", measured, profile=PROFILE)')
    if not CELLS[0] <= len(notebook.cells) <= CELLS[1]:
        complaints.append(f"{len(notebook.cells)} cells, expected {CELLS[0]} to {CELLS[1]}")
    if not PROSE[0] <= prose_share(notebook) <= PROSE[1]:
        complaints.append(
            f"prose is {prose_share(notebook):.0%} of the words, expected {PROSE[0]:.0%} to {PROSE[1]:.0%}"
        )
    lengths = [len(cell.source.strip().splitlines()) for cell in code] or [0]
    if statistics.median(lengths) > MEDIAN_CODE_LINES:
        complaints.append(f"median code cell has {statistics.median(lengths):g} lines, expected <= {MEDIAN_CODE_LINES}")
    if max(lengths) > MOST_CODE_LINES:
        complaints.append(f"a code cell has {max(lengths)} lines, expected <= {MOST_CODE_LINES}")
    if sum(map(exercises.is_solution, code)) < FEWEST_EXERCISES:
        complaints.append(f"{sum(map(exercises.is_solution, code))} exercises, expected >= {FEWEST_EXERCISES}")
    complaints += _lint_text(prose, code)
    return complaints


def _lint_text(prose: list, code: list) -> list[str]:
    complaints = []
    for cell in prose:
        for alt in re.findall(r"!\[([^\]]*)\]\(", cell.source):
            complaints += [f"markdown picture without alternative text: {alt!r}"] if len(alt) < SHORTEST_ALT else []
        if re.search(r"<img(?![^>]*\balt=\"[^\"]{12})", cell.source):
            complaints.append("markdown <img> without alternative text")
    for cell in [*prose, *code]:
        if MACHINE_PATH.search(cell.source):
            complaints.append(f"a path of a machine: {MACHINE_PATH.search(cell.source).group()}")
    for cell, following in zip(code, [*code[1:], None]):
        shown_below = following is not None and "show_" in following.source
        if re.search(r"\b(interact(ive)?|drag_control_points)\(", cell.source) and not shown_below:
            complaints.append("a widget without a static figure in the code cell below (it is lost when executed)")
    return complaints


def prose_share(notebook) -> float:
    """Words of markdown cells as a share of the words of all cells; a word is what blanks separate."""
    words = {"markdown": 0, "code": 0, "raw": 0}
    for cell in notebook.cells:
        words[cell.cell_type] += len(cell.source.split())
    return words["markdown"] / max(sum(words.values()), 1)


def lint_executed(path: Path) -> list[str]:
    """An executed notebook: size, outputs there, no errors, nothing on stderr, alternative text, no machine's paths."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    complaints = []
    if path.stat().st_size > MOST_BYTES:
        complaints.append(f"{path.stat().st_size / 1e6:.2f} MB, expected <= {MOST_BYTES / 1e6:g} MB")
    if any(cell.execution_count is None for cell in code if cell.source.strip()):
        complaints.append("a code cell was not executed")
    silent = longest = 0
    for cell in code:
        silent = 0 if cell.outputs else silent + 1
        longest = max(longest, silent)
        if "NBVAL_CHECK_OUTPUT" in cell.source and not cell.outputs:
            complaints.append("a cell is marked NBVAL_CHECK_OUTPUT but has no stored output: nothing would be compared")
        for output in cell.outputs:
            complaints += _lint_output(output, cell.source.strip().split("\n")[0])
    if longest > MOST_SILENT_CELLS:
        complaints.append(f"{longest} code cells in a row show nothing, expected <= {MOST_SILENT_CELLS}")
    return complaints


def _lint_output(output, first_line: str) -> list[str]:
    where, complaints = f"output of `{first_line}`", []
    if output.output_type == "error":
        return [f"{where}: {output.ename}: {output.evalue}"]
    if output.output_type == "stream":
        complaints += [f"{where}: text on stderr"] if output.name == "stderr" else []
        texts = [output.text]
    else:
        for kind in output.data:
            if kind.startswith("image/") and len(output.metadata.get(kind, {}).get("alt", "")) < SHORTEST_ALT:
                complaints.append(f"{where}: a picture without alternative text: use vtonlib.course.show")
        texts = [text for kind, text in output.data.items() if kind.startswith("text/")]
    for text in texts:
        if MACHINE_PATH.search(text):
            complaints.append(f"{where}: a path of a machine: {MACHINE_PATH.search(text).group()}")
    return complaints
