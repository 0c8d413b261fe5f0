"""Every notebook keeps the rules, is in step with its source, and runs in the profile smoke."""

import os
import subprocess
import sys

import pytest

from vtonlib.course.build import NOTEBOOKS, out_of_step, read_source
from vtonlib.course.checks import BANDS, read_bands
from vtonlib.course.execute import quiet_kernels
from vtonlib.course.lint import lint_executed, lint_exercises, lint_style
from vtonlib.course.profiles import PROFILES, PROJECT

SOURCES = sorted((NOTEBOOKS / "src").glob("[0-9][0-9]_*.py"))
each_notebook = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def test_there_are_notebooks():
    assert SOURCES, "no notebook in notebooks/src"
    numbers = [path.stem[:2] for path in SOURCES]
    assert len(set(numbers)) == len(numbers), "two notebooks share a number"


def test_products_are_in_step_with_their_sources():
    assert out_of_step() == []


@each_notebook
def test_source_keeps_the_rules(source):
    notebook = read_source(source)
    assert lint_exercises(notebook) + lint_style(notebook, source.stem) == []


@each_notebook
def test_executed_notebook_keeps_the_rules(source):
    assert lint_executed(NOTEBOOKS / f"{source.stem}.ipynb") == []


@each_notebook
def test_bands_exist_for_every_profile(source):
    assert set(read_bands(BANDS)[source.stem[:2]]) == set(PROFILES)


@each_notebook
def test_notebook_runs_in_smoke(source, studio_root):
    """nbval: no cell fails; cells marked NBVAL_CHECK_OUTPUT print what is stored."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "300"]
    command += ["-q", "-p", "no:cacheprovider", "--rootdir", str(PROJECT), str(NOTEBOOKS / f"{source.stem}.ipynb")]
    with quiet_kernels():
        environment = {**os.environ, "VTON_PROFILE": "smoke", "MPLBACKEND": "agg"}
        told = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=900)
    assert told.returncode == 0, told.stdout[-6000:] + told.stderr[-2000:]
