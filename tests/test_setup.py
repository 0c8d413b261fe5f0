"""The set-up: lock, environment file, licences, README, make and CI entry points agree with each other."""

import os
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vtonlib
from vtonlib.course import report
from vtonlib.course.profiles import PROJECT

sys.path.insert(0, str(PROJECT / "tools"))
import bootstrap

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
REQUIRED = PYPROJECT["project"]["dependencies"]
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
LOCKS = {
    "requirements.lock": REQUIRED + EXTRAS["dev"],
    "requirements-instructor.lock": REQUIRED + EXTRAS["dev"] + EXTRAS["instructor"],
}


def locked(text: str) -> list[tuple[str, str, int]]:
    """(name, version, number of hashes) of each entry of a lock."""
    entries = []
    for block in re.split(r"\n(?=\S)", text):
        match = re.match(r"([A-Za-z0-9_.-]+)==([^\s;\\]+)", block)
        if match:
            entries.append((canonicalize_name(match[1]), match[2], block.count("--hash=sha256:")))
    return entries


@pytest.mark.parametrize("name", LOCKS)
def test_lock_is_complete_hashed_and_names_no_host(name):
    text = (PROJECT / name).read_text(encoding="utf-8")
    entries = locked(text)
    assert len(entries) == sum(not line.startswith((" ", "#")) for line in text.splitlines() if line), "odd lines"
    assert all(hashes > 0 for _, _, hashes in entries)
    assert not re.search(r"://|@ |--(extra-)?index|--find-links|file:", text)
    versions: dict[str, list[str]] = {}
    for package, version, _ in entries:
        versions.setdefault(package, []).append(version)
    for line in LOCKS[name]:
        requirement = Requirement(line)
        found = versions.get(canonicalize_name(requirement.name))
        assert found, f"{requirement.name} is not in {name}: run make lock"
        assert any(requirement.specifier.contains(version) for version in found), f"{line}: {name} has {found}"


def test_student_environment_is_free_of_nbgrader():
    names = {name for name, _, _ in locked((PROJECT / "requirements.lock").read_text(encoding="utf-8"))}
    assert "nbgrader" not in names
    assert not any("nbgrader" in line for line in REQUIRED + EXTRAS["dev"])


def test_environment_yml_is_in_step_with_pyproject():
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text(encoding="utf-8"))
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert f"python{PYPROJECT['project']['requires-python']}" in conda
    assert sorted(pip) == sorted([*REQUIRED, *EXTRAS["dev"], "-e ."])


@pytest.mark.parametrize(("version", "usable"), [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)])
def test_bootstrap_names_another_python(version, usable):
    message = bootstrap.refusal(version)
    assert (message == "") is usable
    assert usable or ("PYTHON=python3.12" in message and "3.11, 3.12 or 3.13" in message)
    bounds = Requirement(f"x{PYPROJECT['project']['requires-python']}").specifier
    assert bounds.contains("{}.{}".format(*version)) is usable


def test_make_help_lists_the_commands():
    told = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for target in ("course", "test", "test-instructor", "lab", "lock", "clean"):
        assert re.search(rf"^{target} +\w", told, re.MULTILINE), f"make help does not explain {target}:\n{told}"


def test_make_passes_its_options_on():
    command = ["make", "--dry-run", "--assume-old=.venv/.ready", "course", "NB=07", "PROFILE=smoke"]
    told = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert "vtonlib.course run --profile smoke --nb 07" in told


def test_ci_runs_make_test_without_input():
    script = PROJECT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text(encoding="utf-8")
    assert "exec make test </dev/null" in text and "set -euo pipefail" in text and "CI=true" in text


def test_licences_are_named():
    assert PYPROJECT["project"]["license"] == "MIT"
    for name, words in {"LICENSE": "MIT License", "LICENSE-PROSE": "creativecommons.org/licenses/by/4.0"}.items():
        assert words in (PROJECT / name).read_text(encoding="utf-8")


def test_readme_table_is_the_measured_one():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert text == report.with_table(text, report.notebook_table()), "run python -m vtonlib.course table"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(name):
    text = (PROJECT / name).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert links
    missing = [link for link in links if not (PROJECT / link).exists()]
    assert not missing, f"{name} points to what is not there: {missing}"


def test_citation_is_complete_and_of_this_version():
    cited = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert all(cited[key] for key in ("title", "message", "authors", "abstract", "keywords"))
    assert cited["authors"] == [{"name": "the vtonlib authors"}]
    assert str(cited["version"]) == PYPROJECT["project"]["version"] == vtonlib.__version__
    assert cited["license"] == PYPROJECT["project"]["license"]


def test_citation_names_every_paper_once():
    papers = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))["references"]
    assert [paper["abbreviation"] for paper in papers] == [
        "CAGAN", "VITON", "CP-VTON", "DensePose", "MG-VTON", "OpenPose", "O-VITON", "SCHP", "U2-Net", "VITON-HD",
        "MV-VTON",
    ]  # fmt: skip
    assert [paper["year"] for paper in papers] == sorted(paper["year"] for paper in papers)
    for paper in papers:
        where = {"conference-paper": lambda one: one["conference"]["name"], "article": lambda one: one["journal"]}
        assert paper["title"] and where[paper["type"]](paper)
        assert all(set(author) == {"family-names", "given-names"} for author in paper["authors"])


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_named_files_are_there(name):
    """Paths of this repository that stand in backticks."""
    text = (PROJECT / name).read_text(encoding="utf-8")
    folders = "vtonlib|tests|notebooks|benchmarks|data_download|tools"
    paths = re.findall(rf"`((?:{folders})/[\w./-]+)`", text)
    missing = [path for path in paths if not (PROJECT / path).exists() and "NN" not in path and "MODULE" not in path]
    assert paths and not missing, f"{name} names what is not there: {missing}"
