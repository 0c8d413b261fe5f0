"""Exercises: blanking and grading as nbgrader does them, the proof itself, and the proof of every notebook."""

import pytest
from conftest import FIXTURES

from vtonlib.course import exercises, prove
from vtonlib.course.build import NOTEBOOKS, read_source
from vtonlib.course.profiles import PROJECT

SOURCE = FIXTURES / "course" / "src" / "90_fixture.py"
WRONG = FIXTURES / "course" / "wrong_answers"
REAL = sorted((NOTEBOOKS / "src").glob("[0-9][0-9]_*.py"))
FLIP_CELL = '# %% nbgrader={"schema_version": 3, "grade_id": "flip",'


def changed(tmp_path, *changes: tuple[str, str]):
    """The fixture's solved notebook with parts of its source replaced."""
    text = SOURCE.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / SOURCE.name
    path.write_text(text, encoding="utf-8")
    return read_source(path)


# --- blanking and grading ---------------------------------------------------------------------------------------------


def test_blanking_keeps_indent_and_what_stands_around():
    source = "def f(x):\n    ### BEGIN SOLUTION\n    y = x\n    ### END SOLUTION\n    # hint\n    return y"
    stub = "def f(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()\n    # hint\n    return y"
    assert exercises.blank_source(source, "cell") == stub
    assert exercises.blank_source("f = 1", "cell") == "# YOUR CODE HERE\nraise NotImplementedError()"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("### BEGIN SOLUTION\nx", "line 1 is never closed"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION", "line 1 is still open"),
        ("x\n### END SOLUTION", "line 2 closes nothing"),
    ],
)
def test_malformed_regions_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        exercises.blank_source(source, "cell 3 (flip)")


def test_one_exercise_is_blanked_alone():
    notebook = read_source(SOURCE)
    alone = exercises.blank(notebook, "flip")
    differing = [a for a, b in zip(alone.cells, notebook.cells) if a.source != b.source]
    assert [exercises.grade_id(cell) for cell in differing] == ["flip"]
    with pytest.raises(ValueError, match="no solution cell has the grade_id 'flop'"):
        exercises.blank(notebook, "flop")
    with pytest.raises(ValueError, match="flop"):
        exercises.replace_solution(notebook, "flop", "pass")
    notebook.cells[1].cell_type = "code"
    notebook.cells[1].source = "### BEGIN SOLUTION"
    with pytest.raises(ValueError, match="not marked as a solution"):
        exercises.blank(notebook)


def result(text):
    return {"output_type": "execute_result", "data": {"text/plain": text}, "metadata": {}, "execution_count": 1}


def stream(name):
    return {"output_type": "stream", "name": name, "text": "hello"}


ERROR = {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}
GRADES = [
    ([], 2),
    ([stream("stdout")], 2),
    ([stream("stderr")], 0),
    ([stream("stdout"), stream("stderr")], 0),
    ([ERROR], 0),
    ([ERROR, result("0.3")], 0),
    ([result("0.3"), ERROR], 0.3),
    ([result("-1")], 2),
    ([result("0.3")], 0.3),
    ([result("0.3"), result("1.5")], 0.3),
    ([result("False")], 2),
    ([result("array([1])"), result("1")], 2),
    ([stream("stdout"), result("2")], 2),
]


def graded_cell(outputs=()):
    import nbformat

    metadata = {"nbgrader": {"schema_version": 3, "grade_id": "a_b", "grade": True, "solution": False, "locked": True}}
    metadata["nbgrader"].update(points=2, task=False)
    return nbformat.v4.new_code_cell("x", metadata=metadata, outputs=list(map(nbformat.from_dict, outputs)))


@pytest.mark.parametrize(("outputs", "points"), GRADES)
def test_points_follow_nbgraders_rule(outputs, points):
    assert exercises.points(graded_cell(), outputs) == points


def test_points_above_the_maximum_are_refused():
    with pytest.raises(ValueError, match="a_b: the result 3 is above"):
        exercises.points(graded_cell(), [result("3.0")])


@pytest.mark.parametrize(("outputs", "points"), GRADES)
def test_points_agree_with_nbgrader(outputs, points):
    utils = pytest.importorskip("nbgrader.utils", reason="nbgrader is the instructors': make test-instructor")
    assert utils.determine_grade(graded_cell(outputs)) == (points, 2)


@pytest.mark.parametrize("source", [SOURCE, *REAL], ids=lambda path: path.stem)
def test_blanking_agrees_with_nbgrader(source):
    """nbgrader's own preprocessors make of our solved notebook what ours make of it."""
    preprocessors = pytest.importorskip("nbgrader.preprocessors", reason="nbgrader is the instructors'")
    notebook = read_source(source)
    theirs = notebook
    for step in ("LockCells", "ClearSolutions", "ClearHiddenTests", "CheckCellMetadata"):
        theirs, _ = getattr(preprocessors, step)().preprocess(theirs, {})
    from vtonlib.course.build import exercise_notebook

    ours = exercise_notebook(read_source(source))
    for our, their in zip(ours.cells, theirs.cells, strict=True):
        assert our.source.rstrip("\n") == their.source.rstrip("\n")
        assert our.metadata == their.metadata


# --- the proof --------------------------------------------------------------------------------------------------------


def test_fixture_is_proven():
    assert prove.prove_notebook(read_source(SOURCE), prove.wrong_answers("90", WRONG), folder=WRONG.parent) == []


def test_proof_runs_every_variant():
    runs = prove.variants(read_source(SOURCE), prove.wrong_answers("90", WRONG))
    assert [(run.kind, run.of) for run in runs] == [
        ("solved", ""), ("blank", ""), ("open", ""), ("only", "flip"), ("only", "symmetry"),
        ("wrong", "flip"), ("wrong", "symmetry"),
    ]  # fmt: skip
    assert all("no-proof" not in cell.metadata.get("tags", []) for cell in prove.executed_cells(runs[0].notebook))


PICK = "flip = pick(flip, np.fliplr, check_flip)"
TEST = 'with Check("flip: a 2x3 picture"):\n    check_flip(flip)\n'
SYMMETRY = "    return np.abs(image - flip(image)).mean()\n"
NEXT = 'with Check("symmetry: constant and unit matrix"):\n'
TRAPS = {
    "a test that does not touch the answer": (
        [("    check_symmetry(symmetry)\n\n# %%", "    assert callable(symmetry)\n\n# %%")],
        ["blank: symmetry_values gives 1 points", "symmetry left blank loses nothing"],
    ),
    "an exercise that needs the one before": ([(PICK, "mine = flip")], ["flip left blank also loses symmetry_values"]),
    "nobody is blocked": ([(PICK, "mine = flip(np.eye(2))")], ["blank, not graded: the cell `mine = flip(np.eye(2))`"]),
    "a warning in a graded cell": (
        [(TEST, TEST + "import warnings; warnings.warn('careful')\n")],
        ["solved: flip_values gives 0 of 2", "solved: the cell `def check_flip(f):`: stderr"],
    ),
    "a trailing number": ([(NEXT, "0.25 * 2\n" + NEXT), ("check_symmetry(symmetry)\n\n# %%", "pass\n0.5\n\n# %%")],
                          ["solved: symmetry_values gives 0.5 of 1"]),
    "a solution that is wrong": ([(SYMMETRY, "    return 7.0\n")], ["solved: symmetry_values gives 0 of 1"]),
    "a failing cell elsewhere": ([("settings = profile(PROFILE)", "settings = profile('x')")], ["ValueError"]),
    "C++ code that writes to stderr": (
        [(SYMMETRY, "    import os\n    os.write(2, b'NNPACK')\n" + SYMMETRY)],
        ["stderr: NNPACK"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_proof_finds(trap, tmp_path):
    changes, expected = TRAPS[trap]
    problems = prove.prove_notebook(changed(tmp_path, *changes))
    for words in expected:
        assert any(words in problem for problem in problems), problems


def test_proof_finds_answers_that_are_not_wrong(tmp_path):
    harmless, broken, stray = (tmp_path / f"90_flip_{name}.py" for name in ("harmless", "broken", "stray"))
    harmless.write_text("def flip(image):\n    return image[:, ::-1].copy()\n")
    broken.write_text("def flip(image:\n    return image\n")
    problems = prove.prove_notebook(read_source(SOURCE), {harmless: "flip", broken: "flip"}, folder=WRONG.parent)
    assert problems == [
        "wrong answer 90_flip_harmless.py loses nothing",
        "wrong answer 90_flip_broken.py: the solution cell itself fails",
    ]
    stray.write_text("x = 1")
    with pytest.raises(ValueError, match="flop"):
        prove.prove_notebook(read_source(SOURCE), {stray: "flop"})


def test_proof_gives_up_on_endless_cells(tmp_path):
    notebook = changed(tmp_path, (SYMMETRY, "    while True:\n        pass\n"))
    with pytest.raises(RuntimeError, match=r"longer than 3 s.*no-proof"):
        prove.execute([prove.Variant(kind="solved", notebook=notebook)], timeout=3)


def test_no_exercise_escapes_the_proof(tmp_path):
    notebook = changed(tmp_path, (FLIP_CELL, FLIP_CELL.replace("%% ", '%% tags=["no-proof"] ')))
    assert "flip is tagged no-proof" in prove.prove_notebook(notebook)


def test_wrong_answers_are_named_after_their_exercise(tmp_path):
    (tmp_path / "06_tps-kernel_no_log.py").write_text("")
    (tmp_path / "05_disc_swapped.py").write_text("")
    assert list(prove.wrong_answers("06", tmp_path).values()) == ["tps-kernel"]
    (tmp_path / "6_disc.py").write_text("")
    with pytest.raises(ValueError, match=r"6_disc\.py: expected NN_exercise_what\.py"):
        prove.wrong_answers("06", tmp_path)


def test_proof_is_repeated_when_anything_changed(monkeypatch, tmp_path, capsys):
    calls = []
    monkeypatch.setattr(prove, "BUILD", tmp_path)
    monkeypatch.setattr(prove, "sources", lambda select: [SOURCE])
    monkeypatch.setattr(prove, "prove_notebook", lambda *args: calls.append(args) or [])
    assert prove.prove(data=False) == prove.prove(data=False) == {"90_fixture": []}
    assert len(calls) == 1 and "proven before" in capsys.readouterr().out
    monkeypatch.setattr(prove, "content_key", lambda path: "another")
    prove.prove(data=False)
    assert len(calls) == 2
    monkeypatch.setattr(prove, "content_key", lambda path: "a third")
    monkeypatch.setattr(prove, "prove_notebook", lambda *args: ["no"])
    assert prove.prove(data=False) == {"90_fixture": ["no"]}
    assert prove.prove(data=False) == {"90_fixture": ["no"]}, "a failure is never remembered as proven"


# --- the notebooks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", REAL, ids=lambda path: path.stem)
def test_exercises_are_proven(source, studio_root):
    assert prove.prove(source.stem) == {source.stem: []}


@pytest.mark.parametrize("source", REAL, ids=lambda path: path.stem)
def test_every_exercise_has_a_wrong_answer(source):
    names = {exercises.grade_id(cell) for cell in read_source(source).cells if exercises.is_solution(cell)}
    assert set(prove.wrong_answers(source.stem[:2]).values()) == names


def test_wrong_answers_belong_to_a_notebook():
    numbers = {path.stem[:2] for path in REAL}
    strays = [p.name for p in (PROJECT / "tests" / "wrong_answers").glob("*.py") if p.stem[:2] not in numbers]
    assert not strays
