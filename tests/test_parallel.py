"""Two processes train as one does. This file is a test module and, under torchrun, the script that they run."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn

from vtonlib import parallel
from vtonlib.checkpoints import read_metadata, read_tensors
from vtonlib.course.profiles import PROJECT
from vtonlib.training import TrainConfig, resolve_device, step_seed, train

STEPS, BATCH = 8, 6
POINTS = torch.randn(37, 6, generator=torch.Generator().manual_seed(5))


class Interrupted(Exception):
    pass


def network() -> nn.Module:
    """No batch statistics and no dropout, so that half a batch twice is the whole batch; other weights in process 1."""
    with torch.random.fork_rng():
        torch.manual_seed(3 + parallel.rank())
        return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))


def normed_network() -> nn.Module:
    """Its running mean is the mean of the last batch alone."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, momentum=1.0), nn.Linear(4, 2))


def config(**changes) -> TrainConfig:
    values = {"steps": STEPS, "batch_size": BATCH, "lr": 1e-2, "schedule": "cosine", "clip": 0.5, "log_every": 1}
    values |= {"betas": (0.9, 0.999), "checkpoint_every": 4, "validate_every": 3, "device": "cpu", "progress": False}
    return TrainConfig(**{**values, **changes})


def fit(module, batch):
    return {"fit": (module(batch) - batch[:, :2]).square().mean()}


class Run:
    """One call of `train` in this process: what it was asked for and what came out, as JSON."""

    def __init__(self, out: Path, settings: TrainConfig | None = None, *, module=None, loss=fit) -> None:
        self.seen, self.drawn, self.validated = [], [], []
        self.module = module if module is not None else network()
        average = train(
            settings or config(),
            module=self.module,
            loss=loss,
            make_batch=self.make_batch,
            length=len(POINTS),
            out=out,
            validate=self.validate,
        )
        self.average = {name: value.tolist() for name, value in average.state_dict().items()}
        self.weights = {name: value.tolist() for name, value in self.module.state_dict().items()}

    def make_batch(self, indices, generator):
        self.seen.append(indices)
        self.drawn.append([torch.rand(1, generator=generator).item(), torch.rand(1).item()])
        return POINTS[indices]

    def validate(self, module):
        self.validated.append(1)
        return {"score": float(len(self.validated))}, torch.zeros(3, 4, 6)


def told(function) -> str:
    """The error that a call ends with."""
    try:
        function()
    except (ValueError, FloatingPointError, Interrupted) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def failing(step: int, error=None, rank: int | None = None):
    """`fit`, but at step `step` (from 1) an error, or a loss that is not a number, in one process or in all."""
    count = 0

    def loss(module, batch):
        nonlocal count
        count += 1
        terms = fit(module, batch)
        if count == step and rank in (None, parallel.rank()):
            if error is not None:
                raise error
            terms["fit"] = terms["fit"] * float("nan")
        return terms

    return loss


def partial_gradients() -> list:
    """Gradients after averaging: one that both have, one that only process 1 has, one that nobody has."""
    module = nn.ParameterList([nn.Parameter(torch.zeros(2)) for _ in range(3)])
    module[0].grad = torch.tensor([1.0, 2.0]) + parallel.rank()
    if parallel.rank() == 1:
        module[1].grad = torch.tensor([4.0, 8.0])
    parallel.average_gradients(module)
    return [None if parameter.grad is None else parameter.grad.tolist() for parameter in module]


def scenarios(out: Path) -> dict:
    """All that two processes are asked to do."""
    rank = parallel.rank()
    met_too_early = []
    try:
        parallel.wait_for_everyone()
    except RuntimeError as error:
        met_too_early.append(str(error))
    whole = Run(out / "whole")
    interrupted = told(lambda: Run(out / "parts", loss=failing(7, Interrupted("here"))))
    resumed = Run(out / "parts")
    again = Run(out / "parts")
    normed = Run(out / "normed", config(steps=1), module=normed_network())
    return {
        "world": [parallel.world_size(), torch.distributed.get_world_size(), torch.distributed.get_rank()],
        "backend": torch.distributed.get_backend(),
        "early": met_too_early,
        "seen": whole.seen,
        "drawn": whole.drawn,
        "validated": len(whole.validated),
        "average": whole.average,
        "weights": whole.weights,
        "interrupted": interrupted,
        "resumed": [len(resumed.seen), resumed.average, resumed.weights],
        "again": [len(again.seen), again.average],
        "normed": normed.average,
        "normed_seen": normed.seen,
        "nan": told(lambda: Run(out / "nan", loss=failing(3, rank=1))),
        "odd": told(lambda: Run(out / "odd", config(batch_size=5))),
        "apart": told(lambda: Run(out / ("whole" if rank == 0 else "elsewhere"))),
        "gradients": partial_gradients(),
    }


def worker(results: Path, out: Path) -> None:
    """What each process runs: it notes which files it opened for writing below `out`. At the end process 1 dies."""
    written = []

    def hook(event, arguments):
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            written.append(str(arguments[0]))

    sys.addaudithook(hook)
    found = scenarios(out)
    found["written"] = [path for path in written if path.startswith(str(out))]
    (results / f"{parallel.rank()}.json").write_text(json.dumps(found))
    Run(out / "dies", loss=failing(2, Interrupted("only here"), rank=1))


def torchrun(*words, processes: int = 2) -> subprocess.CompletedProcess:
    """Start processes that meet on the loopback only."""
    here = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}
    if sys.platform == "linux":
        here["GLOO_SOCKET_IFNAME"] = "lo"
    with tempfile.TemporaryDirectory() as logs:  # torchrun would leave one behind
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--standalone"]
        command += ["--local-addr", "127.0.0.1", "--log-dir", logs, *(str(word) for word in words)]
        return subprocess.run(
            command, env={**os.environ, **here}, cwd=PROJECT, capture_output=True, text=True, timeout=240
        )


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """How the two processes ended, the folder with their reports, and the folder they worked in."""
    results, out = tmp_path_factory.mktemp("results"), tmp_path_factory.mktemp("out")
    return torchrun(__file__, results, out), results, out


@pytest.fixture(scope="module")
def two(launched):
    """What both processes report, and the folder they worked in."""
    done, results, out = launched
    assert sorted(path.name for path in results.iterdir()) == ["0.json", "1.json"], done.stderr
    return [json.loads((results / f"{rank}.json").read_text()) for rank in range(2)], out


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("one"))


def distance(one: dict, other: dict) -> float:
    assert set(one) == set(other)
    return max(float((torch.tensor(one[name]) - torch.tensor(other[name])).abs().max()) for name in one)


def test_there_are_two_processes(two):
    """A launcher that silently starts one would pass all other comparisons."""
    assert [found["world"] for found in two[0]] == [[2, 2, 0], [2, 2, 1]]
    assert {found["backend"] for found in two[0]} == {"gloo"}
    assert all("have not met yet" in found["early"][0] for found in two[0])


def test_the_weights_are_those_of_one_process(two, one):
    (first, second), _ = two
    assert first["weights"] == second["weights"] and first["average"] == second["average"]
    assert distance(first["weights"], one.weights) < 1e-6
    assert distance(first["average"], one.average) < 1e-6
    start = {name: value.tolist() for name, value in network().state_dict().items()}
    assert distance(start, one.weights) > 1e-2, "training moved the weights"


def test_each_sees_its_half_of_every_batch(two, one):
    (first, second), _ = two
    assert all(len(indices) == BATCH // 2 for indices in [*first["seen"], *second["seen"]])
    assert [a + b for a, b in zip(first["seen"], second["seen"], strict=True)] == one.seen


def test_process_0_draws_what_one_process_draws_and_process_1_does_not(two, one):
    (first, second), _ = two
    assert first["drawn"] == one.drawn
    values = [value for found in (first, second) for row in found["drawn"] for value in row]
    assert len(set(values)) == 2 * STEPS * 2 / 2, "a step's two generators start alike, everything else differs"
    assert step_seed(4, 9, 0) == step_seed(4, 9) != step_seed(4, 9, 1)


def test_only_process_0_writes_and_validates(two):
    (first, second), out = two
    assert second["written"] == [] and second["validated"] == 0
    assert first["validated"] == 3 and any("state" in path for path in first["written"])
    names = sorted(str(path.relative_to(out / "whole")) for path in (out / "whole").rglob("*") if path.is_file())
    pictures = [f"pictures/{step:06d}.png" for step in (3, 6, 8)]
    assert names == ["log.csv", *pictures, "state.safetensors", "validation.csv"]
    assert len((out / "whole" / "log.csv").read_text().splitlines()) == 1 + STEPS


def test_the_log_holds_the_mean_over_both(two, tmp_path):
    Run(tmp_path)
    of_one, of_two = (
        [float(line.split(",")[3]) for line in (folder / "log.csv").read_text().splitlines()[1:]]
        for folder in (tmp_path, two[1] / "whole")
    )
    assert of_two == pytest.approx(of_one, abs=1e-5)


def test_resuming_gives_the_same(two):
    (first, second), out = two
    for found in (first, second):
        assert found["interrupted"] == "Interrupted: here"
        assert found["resumed"] == [4, found["average"], found["weights"]], "from step 4 on, to the same bits"
        assert found["again"] == [0, found["average"]]
    whole, parts = (read_tensors(out / name / "state.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[0][name], parts[0][name]) for name in whole[0])
    assert whole[1] == parts[1] and whole[1]["processes"] == 2


def test_another_number_of_processes_is_another_run(two, one):
    with pytest.raises(ValueError, match=r"belongs to another run \(processes 2 -> 1\)"):
        Run(two[1] / "whole")


def test_buffers_are_those_of_process_0(two):
    (first, second), _ = two
    with torch.no_grad():
        means = [normed_network()[0](POINTS[found["normed_seen"][0]]).mean(0) for found in (first, second)]
    for found in (first, second):
        mean = torch.tensor(found["normed"]["1.running_mean"])
        assert torch.allclose(mean, means[0], atol=1e-6) and not torch.allclose(mean, means[1], atol=1e-2)
    assert first["normed"] == second["normed"] and first["normed"]["1.num_batches_tracked"] == 1


def test_a_loss_that_is_not_finite_in_one_stops_both(two):
    expected = "FloatingPointError: training step 3: the loss is not finite (fit nan)"
    assert [found["nan"] for found in two[0]] == [expected, expected]


def test_what_can_not_be_shared_is_refused_in_both(two):
    for found in two[0]:
        assert found["odd"] == "ValueError: batch_size 5: expected a multiple of 2, the number of processes"
        assert "the processes are at steps [8, 0]; they must all see the same folder" in found["apart"]
    assert not (two[1] / "odd").exists()


def test_gradients_that_one_lacks_count_as_0(two):
    assert [found["gradients"] for found in two[0]] == 2 * [[[1.5, 2.5], [2.0, 4.0], None]]


def test_a_process_that_dies_ends_all(launched):
    """The other one waits in an exchange; torchrun ends it, within the time that `torchrun` above allows."""
    done, _, out = launched
    assert done.returncode != 0 and "Interrupted: only here" in done.stderr
    assert len((out / "dies" / "log.csv").read_text().splitlines()) == 2, "the heading and step 1"


def test_the_geometric_matching_module_in_two_processes(studio_root, tmp_path):
    words = ["train", "gmm", "--data", studio_root, "--out", tmp_path, "--profile", "smoke", "--device", "cpu"]
    done = torchrun("-m", "vtonlib", *words)
    assert done.returncode == 0, done.stderr
    weights = tmp_path / "cp-vton-gmm.safetensors"
    assert done.stdout.count(f"weights: {weights}") == 1
    metadata = read_metadata(weights)
    assert metadata["command"].startswith("torchrun --nproc_per_node 2 -m vtonlib train gmm --data")
    assert metadata["metrics"]["held out, 256x192"]["held_out"] == 1
    for folder, steps in (("128x96", 4), ("256x192", 2)):
        about = read_metadata(tmp_path / folder / "state.safetensors")
        assert about["processes"] == 2 and about["step"] == steps and about["config"]["batch_size"] == 2
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]


@pytest.fixture
def second_of_two(monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)


def test_one_process_needs_no_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert (parallel.world_size(), parallel.rank(), parallel.is_main_process()) == (1, 0, True)
    assert parallel.launcher() == ["python"] and parallel.share([4, 2, 9]) == [4, 2, 9]
    tensor = torch.ones(2)
    assert parallel.average(tensor) is tensor and parallel.all_values(7, tensor.device) == [7]
    parallel.start(torch.device("cpu"))
    parallel.wait_for_everyone()
    assert not torch.distributed.is_initialized()


def test_one_process_does_not_import_accelerate(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.partition(".")[0] == "accelerate"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "accelerate", None)  # an import is an error now
    assert len(Run(tmp_path, config(steps=2)).seen) == 2
    with pytest.raises(ImportError):
        import accelerate  # noqa: F401


def test_the_environment_says_who_this_is(second_of_two, monkeypatch):
    assert (parallel.world_size(), parallel.rank(), parallel.is_main_process()) == (2, 1, False)
    assert parallel.launcher() == ["torchrun", "--nproc_per_node", "2"]
    assert parallel.share([4, 2, 9, 7]) == [9, 7]
    with pytest.raises(ValueError, match="batch_size 3: expected a multiple of 2"):
        parallel.share([4, 2, 9])
    monkeypatch.delenv("RANK")
    with pytest.raises(ValueError, match="WORLD_SIZE is 2 but RANK is not set"):
        parallel.is_main_process()


def test_each_process_has_a_card_of_its_own(second_of_two, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda") == resolve_device("auto") == torch.device("cuda", 1)
    assert resolve_device(resolve_device("auto")) == torch.device("cuda", 1)
    assert resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="device cuda:0: each of 2 processes has a card of its own"):
        resolve_device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="process 1 needs a card of its own, and this machine has 1"):
        resolve_device("auto")


if __name__ == "__main__":
    torch.set_num_threads(1)
    worker(Path(sys.argv[1]), Path(sys.argv[2]))
