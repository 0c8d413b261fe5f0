"""Imports run one way, and what the studio's worker processes read stays free of torch."""

import ast
import subprocess
import sys

import pytest

from vtonlib.course.profiles import PROJECT

# Lower rooms know nothing of higher ones. Modules of one line don't know each other.
ORDER = (
    ("labels",),
    ("sample",),
    ("represent",),
    ("layouts",),
    ("poses",),
    ("data",),
    ("studio", "warp", "nets", "metrics", "checkpoints"),
    ("parallel", "pictures", "log"),
    ("training_state",),
    ("losses", "training", "features", "adversarial"),
    ("perceive",),
    ("systems",),
    ("evaluation",),
    ("evaluation_tables",),
    ("evaluation_tryon", "preferences"),
    ("human_study", "evaluation_new_pose"),
    ("course", "train_command"),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
# The studio is a data set: only what is run by a user opens it.
MAY_IMPORT_STUDIO = {"studio", "course", "__main__"}
MODULES = sorted((PROJECT / "vtonlib").rglob("*.py"))


def imported_rooms(path, package: tuple[str, ...]):
    """Top-level names below vtonlib that a module imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join(package[: len(package) - node.level + 1])
            names = [f"{base}.{node.module}" if node.module else f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "vtonlib":
            names = [f"vtonlib.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("vtonlib."))


def room_of(path) -> str:
    return path.relative_to(PROJECT / "vtonlib").with_suffix("").parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_imports_run_one_way(path):
    room = room_of(path)
    if room == "__init__":
        assert not list(imported_rooms(path, ("vtonlib",))), "vtonlib itself stays empty, so that any room opens alone"
        return
    assert room in RANK, f"{room} has no place in the order of the rooms"
    parts = path.relative_to(PROJECT).with_suffix("").parts
    package = parts[:-1]
    for other in set(imported_rooms(path, package)) - {room}:
        assert RANK[other] < RANK[room], f"{room} imports {other}"
        assert other != "studio" or room in MAY_IMPORT_STUDIO, f"{room} imports the studio"


@pytest.mark.parametrize("module", ["vtonlib.labels", "vtonlib.sample", "vtonlib.layouts", "vtonlib.studio"])
def test_worker_processes_stay_light(module):
    code = f"import sys, {module}; print([m for m in ('torch', 'torchvision', 'matplotlib') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert told.stdout.strip() == "[]"


def test_course_opens_without_torch():
    code = "import sys, vtonlib.course; print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert told.stdout.strip() == "False"
