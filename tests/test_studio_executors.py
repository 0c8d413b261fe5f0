"""The studio over other engines: any executor gives the same bytes, and a worker that fails leaves a set to go on with.

Run with `distributed` installed (the extra `cluster`), a Dask cluster on this machine is among the engines.
"""

from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest

from vtonlib.studio import Studio, write

PEOPLE, SIZE = 8, (48, 36)


def contents(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    root = Studio(2).write(tmp_path_factory.mktemp("one") / "set", PEOPLE, SIZE, processes=1, progress=False)
    return contents(root)


class AtOnce(Executor):
    """Does every job as soon as it is handed in, and goes down at job number `fails_at`."""

    def __init__(self, fails_at: int | None = None):
        self.fails_at, self.done = fails_at, 0

    def submit(self, function, /, *arguments, **options):
        future = Future()
        if self.done == self.fails_at:
            future.set_exception(OSError("worker lost"))
        elif not self.fails_at or self.done < self.fails_at:
            future.set_result(function(*arguments, **options))
        self.done += 1  # jobs after the failure stay pending, as on a worker that is gone
        return future


def test_two_threads_write_the_same_bytes(expected, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        root = Studio(2).write(tmp_path / "set", PEOPLE, SIZE, executor=pool, progress=False)
        assert pool.submit(sum, [1, 2]).result(timeout=10) == 3  # left open
    found = contents(root)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []


def test_a_worker_that_fails_is_named_and_the_rest_is_done_later(expected, tmp_path):
    root = tmp_path / "set"
    with pytest.raises(RuntimeError, match="person 3") as caught:
        Studio(2).write(root, PEOPLE, SIZE, executor=AtOnce(fails_at=3), progress=False)
    assert "worker lost" in str(caught.value)
    before = contents(root)
    assert '"complete": false' in before["studio.json"].decode()
    records = sorted(name for name in before if name.startswith("samples/"))
    assert records == [f"samples/{index:06d}.json" for index in range(3)]  # those that were done, and whole
    lists_and_state = {name for name in before if name.endswith(".txt") or name == "studio.json"}
    assert all(before[name] == expected[name] for name in before.keys() - lists_and_state)
    Studio(2).write(root, PEOPLE, SIZE, executor=AtOnce(), progress=False)
    assert contents(root) == expected


def test_a_sample_that_fails_is_named(tmp_path, monkeypatch):
    def photograph(job):
        raise OSError("disk full")

    monkeypatch.setattr(write, "photograph", photograph)
    with pytest.raises(RuntimeError, match=r"person 0.*disk full"):
        Studio(2).write(tmp_path / "set", PEOPLE, SIZE, processes=1, progress=False)


def test_a_dask_cluster_writes_the_same_bytes(expected, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs the extra `cluster` (pip install -e .[cluster])")
    local = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path / "dask")
    )
    with local as cluster, distributed.Client(cluster) as client:
        root = Studio(2).write(tmp_path / "set", PEOPLE, SIZE, executor=client.get_executor(), progress=False)
    found = contents(root)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
