"""Profiles, checks, pictures, and the machinery that builds, runs, lints and reports notebooks (on a small fixture)."""

import doctest
import json
import re
import shutil

import nbformat
import numpy as np
import pytest
import torch
from conftest import FIXTURES

from vtonlib.course import build, checks, exercises, lint, profiles, report, show
from vtonlib.course import execute as execution
from vtonlib.course.__main__ import main

COURSE = FIXTURES / "course"
SOURCE = COURSE / "src" / "90_fixture.py"


# --- profiles ---------------------------------------------------------------------------------------------------------


def test_profiles_have_the_sizes_of_the_plan():
    assert [(p.name, p.size, p.people, p.seed) for p in profiles.PROFILES.values()] == [
        ("smoke", (128, 96), 24, 0),
        ("laptop", (256, 192), 240, 0),
        ("gpu", (256, 192), 1000, 1),
    ]
    with pytest.raises(ValueError, match=r"unknown profile 'huge'.*smoke, laptop, gpu"):
        profiles.profile("huge")


def test_profile_is_chosen_in_order(monkeypatch):
    monkeypatch.delenv("VTON_PROFILE", raising=False)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    assert profiles.default_profile("laptop") == "laptop"
    monkeypatch.setenv("VTON_PROFILE", "gpu")
    assert profiles.default_profile("laptop") == "gpu"
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert profiles.default_profile("laptop") == "smoke"
    monkeypatch.delenv("NBGRADER_EXECUTION")
    monkeypatch.setenv("VTON_PROFILE", "hueg")
    with pytest.raises(ValueError, match="hueg"):
        profiles.default_profile("laptop")


def test_data_root_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("VTON_DATA", str(tmp_path))
    assert profiles.profile("laptop").root == tmp_path / "tutorial"
    monkeypatch.delenv("VTON_DATA")
    assert profiles.profile("gpu").root == profiles.PROJECT / "data" / "benchmark"
    monkeypatch.setenv("VTON_DATA", "data")  # relative to the shell's folder, or to the notebook's?
    with pytest.raises(ValueError, match="VTON_DATA: expected an absolute path, got 'data'"):
        profiles.profile("laptop").root  # noqa: B018


# --- checks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def in_the_room(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.delenv("VTON_STRICT", raising=False)


@pytest.mark.usefixtures("in_the_room")
def test_check_is_soft_in_the_room(capsys):
    with checks.Check("right") as right:
        assert True
    with checks.Check("wrong") as wrong:
        raise AssertionError("x and y swapped?")
    with checks.Check("open"):
        raise NotImplementedError
    with checks.Check("typo"):
        {}["key"]
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "✅ right",
        "❌ wrong: x and y swapped?",
        "❌ open: not written yet",
        "❌ typo: KeyError: 'key'",
    ]
    assert told.err == "" and right.passed and not wrong.passed


@pytest.mark.usefixtures("in_the_room")
def test_examples_in_docstrings_hold():
    assert doctest.testmod(checks) == (0, 1)


@pytest.mark.usefixtures("in_the_room")
def test_check_never_swallows_an_interrupt():
    with pytest.raises(KeyboardInterrupt), checks.Check("long"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("variable", [("NBGRADER_EXECUTION", "autograde"), ("VTON_STRICT", "1")])
def test_check_is_strict_while_grading(monkeypatch, variable):
    monkeypatch.setenv(*variable)
    with pytest.raises(AssertionError, match="no"), checks.Check("wrong"):
        raise AssertionError("no")


def test_pick_takes_mine_only_if_it_passes(capsys):
    def reference(x):
        return 2 * x

    def check(f):
        assert f(3) == 6

    def mine(x):
        return x + x

    assert checks.pick(mine, reference, check) is mine
    assert capsys.readouterr().out == ""
    for wrong in (lambda x: x, lambda x: 1 / 0, None):
        assert checks.pick(wrong, reference, check) is reference
        assert "reference" in capsys.readouterr().out


def test_compare_prints_one_line_of_evidence(capsys):
    checks.compare("grid", torch.tensor([1.0, torch.nan]), np.array([1.0, np.nan]))
    checks.compare("grid", np.array([1.0]), np.array([1.0 + 1e-7]))
    lines = capsys.readouterr().out.splitlines()
    assert "exact: yes" in lines[0] and "largest difference 0" in lines[0]
    assert "exact: no" in lines[1] and "yes" in lines[1] and "1e-07" in lines[1]


PICTURE = np.random.default_rng(0).random((3, 6, 4))
POINTS = np.random.default_rng(1).random((5, 2)) * 10


@pytest.mark.parametrize(
    ("ours", "reference", "question"),
    [
        (POINTS[:, ::-1], POINTS, "x and y swapped"),
        (PICTURE[:2][::-1], PICTURE[:2], "x and y swapped"),
        (PICTURE[:, ::-1], PICTURE, "upside down"),
        (PICTURE[:, :, ::-1], PICTURE, "mirrored"),
        (PICTURE[::-1], PICTURE, "RGB, not BGR"),
        (1 - PICTURE, PICTURE, "mask inverted"),
        (PICTURE * 2 - 1, PICTURE, r"range \[-1, 1\] where \[0, 1\]"),
        (PICTURE * 255, PICTURE, r"range \[0, 255\]"),
        (POINTS + 0.5, POINTS, "half a pixel too large"),
        (POINTS - 0.5, POINTS, "half a pixel too small"),
        (-POINTS, POINTS, "sign"),
        (PICTURE.swapaxes(1, 2), PICTURE, "height and width swapped"),
        (PICTURE + PICTURE**2, PICTURE, "Most at index"),
        (np.full(3, np.nan), np.zeros(3), "3 values are NaN, expected 0"),
    ],
)
def test_compare_names_the_usual_mistake(ours, reference, question):
    with pytest.raises(AssertionError, match=question):
        checks.compare("thing", ours, reference)


def test_bands_are_data(tmp_path, capsys):
    path = tmp_path / "bands.toml"
    path.write_text("[06.smoke]\niou = [0.8, 1.0]\nerror = [0, 2.5]\n")
    checks.check_bands("06", {"error": torch.tensor(1.5), "iou": 0.9}, profile="smoke", path=path)
    assert capsys.readouterr().out.count("✅") == 2
    with pytest.raises(AssertionError, match="outside the band: iou"):
        checks.check_bands("06", {"error": 1, "iou": 0.7}, profile="smoke", path=path)
    with pytest.raises(AssertionError, match="outside the band: iou"):
        checks.check_bands("06", {"error": 1, "iou": float("nan")}, profile="smoke", path=path)
    for measured, profile in (
        ({"iou": 0.9}, "smoke"),
        ({"iou": 0.9, "error": 1, "x": 0}, "smoke"),
        ({"iou": 1}, "gpu"),
    ):
        with pytest.raises(ValueError, match=r"iou = \["):
            checks.check_bands("06", measured, profile=profile, path=path)
    path.write_text("[06.smoke]\niou = [1.0, 0.8]\n")
    with pytest.raises(ValueError, match="low <= high"):
        checks.read_bands(path)


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_to_picture_understands_the_convention():
    rgb = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)
    tensor = torch.from_numpy(rgb).permute(2, 0, 1).float() / 255
    assert np.array_equal(show.to_picture(tensor), rgb)
    assert np.array_equal(show.to_picture(show.to_01(tensor * 2 - 1)), rgb)
    assert np.array_equal(show.to_picture(rgb), rgb)
    mask = rgb[..., 0] > 127
    for form in (mask, torch.from_numpy(mask), torch.from_numpy(mask)[None].float(), mask[..., None].astype(float)):
        assert np.array_equal(show.to_picture(form), np.repeat(mask[..., None] * np.uint8(255), 3, axis=-1))
    assert (show.to_picture(np.full((2, 2), np.nan)) == 255).all()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.full((3, 2, 2), -0.5), "to_01"),
        (np.full((2, 2), 3.0), r"\[0, 1\]"),
        (torch.zeros(2, 3, 4, 4), "shape"),
        (torch.zeros(20, 4, 4), "shape"),
        (np.zeros((3, 8, 8)), "shape"),
        (torch.zeros(4, 4, dtype=torch.int64), "colour_parse"),
    ],
)
def test_to_picture_refuses_what_it_would_have_to_guess(image, message):
    with pytest.raises(ValueError, match=message):
        show.to_picture(image)


def test_compose_places_pictures_and_titles():
    toy = np.zeros((6, 4, 3), np.uint8)
    toy[0, 0] = (255, 0, 0)
    canvas = np.asarray(show.compose([toy, toy], ["a", "b"], height=60))
    red = (canvas == (255, 0, 0)).all(-1)
    assert red.sum() == 2 * 10 * 10, "one pixel enlarged ten times, unsmoothed, in each picture"
    two = show.compose([[toy], [toy, toy]], row_titles=["first", "second"], height=60)
    assert two.height == 60 * 2 + 3 * show.GAP
    with pytest.raises(ValueError, match="titles: expected 2, got 1"):
        show.compose([toy, toy], ["a"])


def displayed(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, metadata, raw: shown.append((data, metadata)))
    return shown


def test_every_figure_carries_alternative_text(monkeypatch):
    shown, alt = displayed(monkeypatch), "A black square of six by four pixels."
    show.show_images([np.zeros((6, 4))], alt=alt)
    figure, axes = show.new_figure(size=(3, 2))
    axes.plot([0, 1])
    show.show_figure(figure, alt=alt)
    for (data, metadata), kind in zip(shown, ("image/jpeg", "image/png")):
        assert metadata[kind]["alt"] == data["text/plain"] == alt
        assert metadata[kind]["width"] > 0 and len(data[kind]) < 40_000
    with pytest.raises(ValueError, match="a sentence"):
        show.show_picture(np.zeros((6, 4)), alt="figure")


def test_parse_colours_are_the_palette():
    from vtonlib.labels import LIP_PALETTE

    parse = torch.arange(20).reshape(4, 5)
    assert np.array_equal(show.colour_parse(parse).reshape(-1, 3), LIP_PALETTE)
    with pytest.raises(ValueError, match=r"0\.\.19"):
        show.colour_parse(parse + 1)
    legend = show.parse_legend(parse, height=300)
    assert legend.shape == (300, 150, 3)
    assert {tuple(c) for c in legend.reshape(-1, 3)} >= set(LIP_PALETTE)


def test_drawings_land_on_index_coordinates():
    black = np.zeros((40, 30), np.uint8)
    dots = show.draw_points(black, torch.tensor([[10.0, 20.0], [float("nan"), 3.0]]), radius=2)
    ys, xs = np.nonzero(dots.any(-1))
    assert (xs.mean(), ys.mean()) == (10, 20)
    mask = np.zeros((40, 30))
    mask[5, 7] = 1
    assert np.argwhere(show.overlay(black, mask, alpha=1.0).any(-1)).tolist() == [[5, 7]]
    pose = np.zeros((25, 3), np.float32)
    pose[2], pose[3] = (5, 5, 0.9), (5, 15, 0.9)
    limb = show.draw_pose(black, pose, radius=1).any(-1)
    assert limb[7:14, 5].all() and not limb[25:].any(), "only what is seen is drawn"
    mesh = show.draw_mesh(black, np.stack(np.meshgrid([2.0, 12.0], [3.0, 13.0]), -1)).any(-1)
    assert mesh[3, 2:13].all() and mesh[3:14, 12].all() and not mesh[5:12, 4:11].any()


def test_flow_colours_say_where():
    ys, xs = np.mgrid[0:4, 0:3].astype(float)
    identity = np.stack([xs, ys])
    colours = show.colour_flow(identity, (4, 3))
    assert len({tuple(c) for c in colours.reshape(-1, 3)}) == 12, "each place has a colour of its own"
    assert np.array_equal(colours, show.colour_flow(torch.tensor(identity).permute(1, 2, 0), (4, 3)))
    identity[:, 1, 1] = np.nan
    assert show.colour_flow(identity, (4, 3))[1, 1].tolist() == [255, 255, 255]


# --- building ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def course(tmp_path):
    """A notebooks folder of its own that holds the fixture."""
    shutil.copytree(COURSE, tmp_path / "notebooks")
    return tmp_path / "notebooks"


def test_build_is_deterministic_and_in_step(course, tmp_path):
    (solved,) = build.build(notebooks=course, out=tmp_path / "build")
    exercise = course / "exercises" / "90_fixture.ipynb"
    first = (solved.read_bytes(), exercise.read_bytes())
    build.build("90", notebooks=course, out=tmp_path / "build")
    assert (solved.read_bytes(), exercise.read_bytes()) == first
    notebook = json.loads(first[1])
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids) and ids == [cell["id"] for cell in json.loads(first[0])["cells"]]
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"])
    assert "image[:, ::-1]" not in text and "HIDDEN" not in text and "flip twice" not in text
    assert text.count("# YOUR CODE HERE") == 2 and "90 A fixture" in text
    assert not any(cell.get("outputs") for cell in notebook["cells"])


def test_ids_survive_an_insertion(tmp_path):
    before = {cell.source: cell.id for cell in build.read_source(SOURCE).cells}
    changed = tmp_path / "90_fixture.py"
    changed.write_text(SOURCE.read_text().replace("# %%\nimport numpy", "# %%\nnew = 1\n\n# %%\nimport numpy"))
    after = {cell.source: cell.id for cell in build.read_source(changed).cells}
    assert after.pop("new = 1") not in before.values()
    assert after == before


def test_what_is_out_of_step_is_named(course, tmp_path):
    (solved,) = build.build(notebooks=course, out=tmp_path / "build")
    assert build.out_of_step(notebooks=course) == ["90_fixture.ipynb is missing: run it with --commit"]
    shutil.copy(solved, course / "90_fixture.ipynb")
    assert build.out_of_step(notebooks=course) == []
    source = course / "src" / "90_fixture.py"
    source.write_text(source.read_text().replace("Mirror a picture", "Turn a picture"))
    assert [line.split(":")[0] for line in build.out_of_step(notebooks=course)] == [
        "exercises/90_fixture.ipynb differs from its source",
        "90_fixture.ipynb, cell 4 differs from its source",
    ]
    shutil.copy(solved, course / "91_orphan.ipynb")
    assert "91_orphan.ipynb has no source" in build.out_of_step(notebooks=course)


def test_unknown_notebook_is_refused(capsys):
    with pytest.raises(ValueError, match=r"no notebook 77 in .*: there is 90_fixture"):
        build.sources("77", folder=COURSE / "src")
    assert main(["run", "--nb", "no-such-notebook"]) == 2
    assert capsys.readouterr().err.startswith("error: no notebook")


# --- executing --------------------------------------------------------------------------------------------------------


def test_run_reports_commits_and_records(course, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VTON_PROFILE", "gpu")  # the injected parameter wins over it
    (run,) = execution.run(profile="laptop", out=tmp_path / "out", notebooks=course, data=False, commit=True)
    told = capsys.readouterr().out
    assert run.failure == "" and run.seconds > 0 and run.megabytes > 20
    assert re.search(r"90_fixture \.\.\. ok in \d+ s", told) and "0 failed of 1" in told
    index = tmp_path / "out" / "html" / "index.html"
    assert str(index) in told and "90_fixture.html" in index.read_text()
    page = (index.parent / "90_fixture.html").read_text()
    assert re.search(r'alt="\s*The anti-diagonal', page), "alternative text reaches the page"

    committed = course / "90_fixture.ipynb"
    build.build(notebooks=course, out=tmp_path / "build")
    assert build.out_of_step(notebooks=course) == []
    assert lint.lint_executed(committed) == []
    notebook = nbformat.read(committed, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "steps in this profile: 120" in committed.read_text()
    assert "papermill" not in committed.read_text() and str(tmp_path) not in committed.read_text()

    report.record([run], "laptop", path=course / "timings.toml")
    table = report.notebook_table(notebooks=course)
    assert "| 90 | [A fixture: two exercises](notebooks/90_fixture.ipynb) |" in table
    assert f"{round(run.seconds)} s" in table and "smoke" not in table


def test_failed_notebook_is_named_with_its_cell(course, tmp_path, capsys):
    source = course / "src" / "90_fixture.py"
    source.write_text(
        source.read_text().replace('print("steps in this profile:"', '# a comment\n1 / 0\nprint("steps:"')
    )
    (run,) = execution.run(profile="smoke", out=tmp_path / "out", notebooks=course, data=False)
    assert run.failure == "cell 12 (`# a comment`): ZeroDivisionError: division by zero"
    cell = build.read_source(source).cells[12]
    assert cell.source.startswith("# a comment"), "the index counts the source's cells"
    told = capsys.readouterr().out
    assert "1 failed of 1" in told and f"FAILED 90_fixture: {run.failure}" in told
    assert "ZeroDivisionError" in (tmp_path / "out" / "html" / "index.html").read_text()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os._exit(1)", "the kernel died (out of memory?)"),
        ("import time; time.sleep(60)", "took longer than 3 s"),
    ],
)
def test_dead_and_endless_kernels_are_named(course, tmp_path, monkeypatch, code, message):
    monkeypatch.setitem(execution.CELL_TIMEOUT, "smoke", 3)
    source = course / "src" / "90_fixture.py"
    source.write_text(source.read_text().replace('print("steps in this profile:", settings.steps)', code))
    (run,) = execution.run(profile="smoke", out=tmp_path / "out", notebooks=course, data=False)
    assert run.failure == f"cell 12 (`{code}`): {message}"


def test_only_laptop_is_committed(course):
    with pytest.raises(ValueError, match="expects the profile laptop"):
        execution.run(profile="smoke", notebooks=course, data=False, commit=True)


def test_failing_command_exits_1(monkeypatch):
    failed = execution.Run(stem="06_warping", seconds=1, megabytes=1, failure="cell 3: no")
    monkeypatch.setattr(execution, "run", lambda *args, **options: [failed])
    assert main(["run", "--profile", "smoke"]) == 1


# --- lint -------------------------------------------------------------------------------------------------------------


def test_fixture_keeps_the_rules_of_exercises():
    assert lint.lint_exercises(build.read_source(SOURCE)) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"grade_id": "symmetry_values"', '"grade_id": "flip_values"', "occurs twice"),
        ('"grade_id": "flip_values"', '"grade_id": "flap_values"', "no solution flap"),
        ('"grade_id": "flip_values"', '"grade_id": "flipvalues"', "expected <solution>_<what>"),
        ('"points": 2, ', "", "expected points above 0"),
        (', "task": false}\ndef flip', "}\ndef flip", "metadata lacks task"),
        ("flip = pick(flip, np.fliplr, check_flip)", "flip = np.fliplr", "expected `flip = pick"),
        ("### END HIDDEN TESTS\n", "### END HIDDEN TESTS\n0.3\n", "must end with an assert"),
        ("    check_symmetry(symmetry)\n", "    check_symmetry(symmetry)\nsymmetry\n", "must end with an assert"),
        (
            "    check_flip(flip)\n",
            "    check_flip(flip)\nimport sys; print(1, file=sys.stderr)\n",
            "sys.stderr in a test",
        ),
        ("def symmetry(image):", "if True:\n  def symmetry(image):", "must lie inside a function"),
        ('tags=["no-proof"]', 'tags=["raises-exception"]', "raises-exception"),
    ],
)
def test_lint_finds_traps_in_exercises(tmp_path, old, new, complaint):
    text = SOURCE.read_text()
    assert old in text
    path = tmp_path / "90_fixture.py"
    path.write_text(text.replace(old, new, 1))
    assert any(complaint in line for line in lint.lint_exercises(build.read_source(path)))


def styled(markdown: int, code: int) -> nbformat.NotebookNode:
    """A notebook that keeps the rules of style when it has 30 and 20 of these cells."""
    new = nbformat.v4
    cells = [new.new_markdown_cell("# 06 Warping")]
    parameters = 'PROFILE = default_profile("laptop")'
    cells.append(new.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [new.new_markdown_cell("one two three four five six") for _ in range(markdown)]
    solution = {"nbgrader": {"solution": True, "grade": False, "grade_id": "x"}}
    cells += [new.new_code_cell("a = 1\nb = 2", metadata=solution if i < 3 else {}) for i in range(code)]
    cells.append(new.new_code_cell('check_bands("06", measured, profile=PROFILE)'))
    return new.new_notebook(cells=cells)


def test_style_accepts_the_rhythm_and_names_what_breaks_it():
    notebook = styled(30, 20)
    words = 3 + 6 * 30
    assert lint.prose_share(notebook) == words / (words + 3 + 6 * 20 + 3)
    assert lint.lint_style(notebook, "06_warping") == []
    for markdown, code, complaint in (
        (5, 50, "prose is"),
        (10, 10, "23 cells"),
        (70, 50, "123 cells"),
        (30, 2, "exercises"),
    ):
        assert any(complaint in line for line in lint.lint_style(styled(markdown, code), "06_warping")), complaint
    for change, complaint in (
        (lambda n: n.cells[0].update(source="# Warping"), "title"),
        (lambda n: n.cells[1].metadata.update(tags=[]), "parameters"),
        (lambda n: n.cells[-1].update(source="print(1)"), "check_bands"),
        (lambda n: n.cells[5].update(source="![](img/x.png)"), "without alternative text"),
        (lambda n: n.cells[5].update(source='<img src="img/x.png">'), "without alternative text"),
        (lambda n: n.cells[-2].update(source="\n".join(["a = 1"] * 61)), "61 lines"),
        (lambda n: n.cells[-2].update(source='open("/home/me/x")'), "path of a machine"),
        (lambda n: n.cells[-2].update(source="interact(f)"), "widget"),
        (lambda n: n.cells[-2].update(source="drag_control_points(picture)"), "widget"),
    ):
        broken = styled(30, 20)
        change(broken)
        assert any(complaint in line for line in lint.lint_style(broken, "06_warping")), complaint


def test_executed_lint_names_what_may_not_be_committed(tmp_path):
    new = nbformat.v4
    picture = {"image/png": "aGVsbG8="}
    outputs = {
        "": [new.new_output("stream", text="fine")],
        "without alternative text": [new.new_output("display_data", picture)],
        "ValueError: no": [new.new_output("error", ename="ValueError", evalue="no", traceback=[])],
        "text on stderr": [new.new_output("stream", name="stderr", text="careful")],
        "path of a machine": [new.new_output("execute_result", {"text/plain": "PosixPath('/home/me/data')"})],
    }
    for complaint, output in outputs.items():
        cell = new.new_code_cell("print(1)", execution_count=1, outputs=output)
        path = tmp_path / "06_x.ipynb"
        path.write_text(build.to_text(new.new_notebook(cells=[cell])))
        found = lint.lint_executed(path)
        assert len(found) == bool(complaint) and all(complaint in line for line in found), found
    silent = [new.new_code_cell("a = 1", execution_count=1) for _ in range(4)]
    silent.append(new.new_code_cell("# NBVAL_CHECK_OUTPUT\nprint(1)"))
    path.write_text(build.to_text(new.new_notebook(cells=silent)))
    found = "\n".join(lint.lint_executed(path))
    assert "not executed" in found and "NBVAL_CHECK_OUTPUT" in found and "5 code cells in a row" in found
    big = new.new_code_cell("1", execution_count=1, outputs=[new.new_output("stream", text="x" * 1_600_000)])
    path.write_text(build.to_text(new.new_notebook(cells=[big])))
    assert any("expected <= 1.5 MB" in line for line in lint.lint_executed(path))


# --- the README's table -----------------------------------------------------------------------------------------------


def test_table_goes_between_its_markers():
    readme = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    text = report.with_table(readme, "new")
    assert text == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    assert report.with_table(text, "new") == text
    with pytest.raises(ValueError, match="expected one"):
        report.with_table("no markers", "new")


def test_timings_of_other_profiles_are_kept(tmp_path):
    path = tmp_path / "timings.toml"
    good = execution.Run(stem="06_warping", seconds=41.6, megabytes=812.3)
    report.record([good], "laptop", path=path)
    report.record([execution.Run(stem="06_warping", seconds=8.2, megabytes=604)], "smoke", path=path)
    report.record([execution.Run(stem="06_warping", seconds=1, megabytes=1, failure="no")], "laptop", path=path)
    assert report.read_timings(path) == {
        "06_warping": {"laptop": {"seconds": 42, "megabytes": 810}, "smoke": {"seconds": 8, "megabytes": 600}}
    }


def test_grade_ids_are_read():
    cells = build.read_source(SOURCE).cells
    assert [exercises.grade_id(c) for c in cells if exercises.is_solution(c)] == ["flip", "symmetry"]
    assert [exercises.grade_id(c) for c in cells if exercises.is_test(c)] == ["flip_values", "symmetry_values"]


def test_bars_leave_no_trace_in_what_is_committed():
    from vtonlib.course.execute import as_on_screen

    assert as_on_screen("a\r 5%\r50%\r    \rdone\nmore\n") == "done\nmore\n"
    assert as_on_screen("\r  0%\r100%\r          \r") == ""
    assert as_on_screen("plain\n\ntext") == "plain\n\ntext"
