"""What all tests share: where the studio's small data set is kept, and the fixture that writes it once."""

import hashlib
import os

import pytest

from vtonlib.course.profiles import PROJECT, ensure_data, profile

FIXTURES = PROJECT / "tests" / "fixtures"


def studio_version() -> str:
    """A hash of everything that the studio's files depend on, so that changed code never meets old data."""
    state = hashlib.sha256()
    for name in ("labels.py", "sample.py", "represent", "layouts", "studio"):
        path = PROJECT / "vtonlib" / name
        for file in sorted(path.rglob("*.*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                state.update(file.name.encode() + file.read_bytes())
    return state.hexdigest()[:12]


# Also for notebooks and proofs that run in processes of their own: they inherit it, and share the data set.
os.environ.setdefault("VTON_DATA", str(PROJECT / "build" / "test-data" / studio_version()))


@pytest.fixture(scope="session")
def studio_root():
    """Root of the smoke profile's studio set (24 people, 128x96), written on first use and kept below build/."""
    return ensure_data(profile("smoke"))


@pytest.fixture(scope="session")
def poses_root(tmp_path_factory):
    """Root of a small set of triplets in MPV's layout (3 people, 3 poses, 64x64), see `synthetic_poses`."""
    from synthetic_poses import write_poses

    return write_poses(tmp_path_factory.mktemp("poses"))
