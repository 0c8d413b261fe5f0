"""The training loop: data order, schedules, average weights; a killed run ends where an undisturbed one does."""

import csv
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from vtonlib.checkpoints import read_tensors, save_weights
from vtonlib.training import (
    TrainConfig,
    batch_indices,
    config_from,
    ema_decay_at,
    learning_rate,
    picture_grid,
    resolve_device,
    save_picture,
    step_seed,
    train,
    update_ema,
)

POINTS = torch.randn(37, 6, generator=torch.Generator().manual_seed(5))


def network() -> nn.Module:
    """Batch statistics, dropout and a head: whatever could fail to come back after a kill."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))


def make_batch(indices, generator):
    points = POINTS[indices]
    return points + 0.1 * torch.randn(points.shape, generator=generator)


def loss(module, batch):
    output = module(batch)
    return {"fit": (output - batch[:, :2]).square().mean(), "size": 0.01 * output.abs().mean()}


def config(**changes) -> TrainConfig:
    values = {"steps": 24, "batch_size": 5, "lr": 1e-2, "schedule": "cosine", "warm_up": 3, "clip": 1.0, "log_every": 1}
    return TrainConfig(**{**values, "checkpoint_every": 5, "device": "cpu", "progress": False, **changes})


def run(out: Path, settings: TrainConfig | None = None, *, module=None, loss=loss, **other) -> nn.Module:
    module = module if module is not None else network()
    settings = settings or config()
    return train(settings, module=module, loss=loss, make_batch=make_batch, length=len(POINTS), out=out, **other)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def same_state(one: Path, other: Path) -> bool:
    (a, metadata_a), (b, metadata_b) = read_tensors(one), read_tensors(other)
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a) and metadata_a == metadata_b


def test_training_learns(tmp_path):
    run(tmp_path, config(steps=300))
    log = rows(tmp_path / "log.csv")
    assert len(log) == 300
    assert float(log[-1]["fit"]) < 0.4 * float(log[0]["fit"])
    assert math.isclose(float(log[7]["loss"]), float(log[7]["fit"]) + float(log[7]["size"]), rel_tol=1e-6)


class Interrupted(Exception):
    pass


def interrupt_after(steps: int):
    seen = 0

    def failing(module, batch):
        nonlocal seen
        seen += 1
        if seen > steps:
            raise Interrupted
        return loss(module, batch)

    return failing


def test_resuming_gives_the_same_weights_and_log(tmp_path):
    run(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tmp_path / "parts", loss=interrupt_after(13))  # the last checkpoint is that of step 10
    run(tmp_path / "parts")
    assert same_state(tmp_path / "whole" / "state.safetensors", tmp_path / "parts" / "state.safetensors")
    logs = [
        [{key: value for key, value in row.items() if key != "seconds"} for row in rows(tmp_path / name / "log.csv")]
        for name in ("whole", "parts")
    ]
    assert logs[0] == logs[1] and [int(row["step"]) for row in logs[0]] == list(range(1, 25))


def test_a_finished_run_is_not_repeated(tmp_path):
    first = run(tmp_path).state_dict()
    again = run(tmp_path, loss=interrupt_after(0)).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_resumed_run_depends_on_the_checkpoint(tmp_path):
    """The comparison above can fail: an optimiser that starts anew gives other weights."""
    from vtonlib.checkpoints import write_tensors

    run(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tmp_path / "parts", loss=interrupt_after(13))
    path = tmp_path / "parts" / "state.safetensors"
    tensors, metadata = read_tensors(path)
    zeroed = {name: torch.zeros_like(value) if "exp_avg" in name else value for name, value in tensors.items()}
    assert any(not torch.equal(zeroed[name], tensors[name]) for name in tensors)
    write_tensors(path, zeroed, metadata)
    run(tmp_path / "parts")
    assert not same_state(tmp_path / "whole" / "state.safetensors", path)


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
import torch
torch.set_num_threads(1)
import test_training
slow = test_training.make_batch
def make_batch(indices, generator):
    time.sleep({pause})
    return slow(indices, generator)
test_training.make_batch = make_batch
test_training.run(Path({out!r}), test_training.config(steps=60, checkpoint_every=4))
"""


def start(out: Path, pause: float) -> subprocess.Popen:
    tests = Path(__file__).resolve().parent
    code = KILLED.format(root=str(tests.parent), tests=str(tests), out=str(out), pause=pause)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
def test_a_process_that_is_really_killed_goes_on_to_the_same_weights(tmp_path):
    process = start(tmp_path / "killed", pause=0.05)
    log, deadline = tmp_path / "killed" / "log.csv", time.monotonic() + 120
    while not (log.exists() and len(rows(log)) >= 10) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.stderr.read().decode()
    done = len(rows(log))
    _, metadata = read_tensors(tmp_path / "killed" / "state.safetensors")
    assert 8 <= metadata["step"] <= done < 60
    for name in ("killed", "whole"):
        process = start(tmp_path / name, pause=0)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    assert same_state(tmp_path / "killed" / "state.safetensors", tmp_path / "whole" / "state.safetensors")
    assert [row["step"] for row in rows(log)] == [str(step) for step in range(1, 61)]


def test_a_state_of_another_run_is_refused_and_cadence_may_change(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match=r"state\.safetensors: belongs to another run \(lr 0\.01 -> 0\.02\)"):
        run(tmp_path, config(lr=2e-2))
    run(tmp_path, config(checkpoint_every=7, log_every=0))
    with pytest.raises(ValueError, match="does not fit this module"):
        run(tmp_path, module=nn.Sequential(nn.Linear(6, 2)))
    save_weights(tmp_path / "state.safetensors", network(), {})
    with pytest.raises(ValueError, match="expected a training state"):
        run(tmp_path)


def test_the_random_generators_of_the_caller_are_left_alone(tmp_path):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    run(tmp_path / "a", config(steps=3))
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(99)  # and have no influence
    run(tmp_path / "b", config(steps=3))
    assert same_state(tmp_path / "a" / "state.safetensors", tmp_path / "b" / "state.safetensors")


def test_the_seed_matters(tmp_path):
    one, other = run(tmp_path / "a"), run(tmp_path / "b", config(seed=1))
    assert not torch.equal(one[0].weight, other[0].weight)


def test_warm_start_begins_from_the_file(tmp_path):
    trained = run(tmp_path / "a")
    path = save_weights(tmp_path / "w.safetensors", trained, {}, half=False)
    average = run(tmp_path / "b", config(steps=0), warm_start=path)
    assert torch.equal(average[0].weight, trained[0].weight)
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        run(tmp_path / "c", warm_start=tmp_path / "none.safetensors")


def test_a_loss_that_is_not_finite_stops_at_its_step(tmp_path):
    def bad(module, batch):
        terms = loss(module, batch)
        return {**terms, "bad": terms["fit"] * (float("nan") if rows_seen(tmp_path) >= 4 else 0)}

    def rows_seen(out):
        return len(rows(out / "log.csv")) if (out / "log.csv").exists() else 0

    with pytest.raises(FloatingPointError, match=r"step 5: .*bad nan"):
        run(tmp_path, loss=bad)


def test_validation_is_called_and_written(tmp_path):
    seen = []

    def validate(module):
        assert not module.training and not torch.is_grad_enabled()
        seen.append(module[0].weight.clone())
        return {"score": float(len(seen))}, torch.full((3, 4, 6), 0.5)

    average = run(tmp_path, config(steps=10, validate_every=4), validate=validate)
    assert [(row["step"], row["score"]) for row in rows(tmp_path / "validation.csv")] == [
        ("4", "1.0"), ("8", "2.0"), ("10", "3.0"),
    ]  # fmt: skip
    assert torch.equal(seen[-1], average[0].weight) and not torch.equal(seen[0], seen[-1])
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["000004.png", "000008.png", "000010.png"]
    assert np.asarray(Image.open(tmp_path / "pictures" / names[0])).shape == (4, 6, 3)


def test_the_average_follows_its_formula(tmp_path):
    """Against a plain recurrence over the weights that each step left behind."""
    snapshots = []

    def recording(module, batch):
        snapshots.append(module[0].weight.detach().clone())
        return loss(module, batch)

    module = network()
    average = run(tmp_path, config(steps=6, ema_decay=0.3), module=module, loss=recording)
    snapshots.append(module[0].weight.detach().clone())
    expected = snapshots[0].double()
    for step, value in enumerate(snapshots[1:]):
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value.double()
    assert torch.allclose(average[0].weight.double(), expected, atol=1e-6)
    assert torch.equal(average[1].running_mean, module[1].running_mean)
    assert average[1].num_batches_tracked == 6


def test_ema_limits():
    assert ema_decay_at(0, 0.999) == 0.1 and ema_decay_at(10**6, 0.999) == 0.999
    one, other = network(), network()
    with torch.no_grad():
        one[0].weight.add_(1)
    update_ema(other, one, 0.0)
    assert torch.equal(one[0].weight, other[0].weight)


@pytest.mark.parametrize(("length", "batch_size"), [(7, 3), (5, 5), (3, 8), (1, 2), (64, 7)])
def test_every_epoch_holds_every_sample_once(length, batch_size):
    count = 3 * length + 3
    order = [i for step in range(count) for i in batch_indices(step, length=length, batch_size=batch_size, seed=4)]
    assert len(order) == count * batch_size
    epochs = [order[start : start + length] for start in range(0, len(order) - length + 1, length)]
    assert all(sorted(epoch) == list(range(length)) for epoch in epochs)
    if length > 10:
        assert epochs[0] != epochs[1]
        assert order != [
            i for step in range(count) for i in batch_indices(step, length=length, batch_size=batch_size, seed=5)
        ]


def test_an_empty_data_set_is_refused():
    with pytest.raises(ValueError, match="empty"):
        batch_indices(0, length=0, batch_size=2, seed=0)


def test_learning_rate():
    constant = config(steps=100, warm_up=0, schedule="constant", lr=0.5)
    assert {learning_rate(step, constant) for step in range(100)} == {0.5}
    linear = config(steps=100, warm_up=4, schedule="linear", decay_start=0.5, lr=1.0)
    rates = [learning_rate(step, linear) for step in range(101)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0] and rates[50] == 1.0
    assert math.isclose(rates[75], 0.5) and rates[100] == 0.0
    cosine = config(steps=100, warm_up=0, schedule="cosine", decay_start=0.0, lr=1.0)
    assert math.isclose(learning_rate(50, cosine), 0.5) and math.isclose(learning_rate(25, cosine), (1 + 0.5**0.5) / 2)


def test_step_seeds_differ():
    seeds = {step_seed(seed, step) for seed in range(5) for step in range(200)}
    assert len(seeds) == 1000 and all(0 <= seed < 2**63 for seed in seeds)


def test_configs_are_strict():
    values = {"steps": 3, "betas": [0.5, 0.9]}
    assert config_from(TrainConfig, values) == TrainConfig(steps=3, betas=(0.5, 0.9))
    with pytest.raises(ValueError, match=r"TrainConfig: unknown key learning_rate; expected some of steps, "):
        config_from(TrainConfig, {**values, "learning_rate": 1})
    with pytest.raises(ValueError, match="missing key steps"):
        config_from(TrainConfig, {})
    with pytest.raises(TypeError):
        TrainConfig(steps=3, learning_rate=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", -1), ("batch_size", 0), ("lr", 0.0), ("lr", math.inf), ("betas", (0.5, 1.0)), ("schedule", "step"),
     ("ema_decay", 1.0), ("clip", 0.0), ("decay_start", 1.5), ("warm_up", -1)],
)  # fmt: skip
def test_values_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"TrainConfig: {name} = "):
        TrainConfig(**{"steps": 1, name: value})


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="expected auto, cpu"):
        resolve_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no CUDA"):
            resolve_device("cuda")


def test_picture_grid(tmp_path):
    black, red = -torch.ones(3, 2, 3), torch.stack([torch.ones(2, 3), -torch.ones(2, 3), -torch.ones(2, 3)])
    sheet = picture_grid([[black, red], [-torch.ones(1, 2, 3)]], gap=1)
    assert sheet.shape == (3, 5, 7)
    assert torch.equal(sheet[:, :2, :3], torch.zeros(3, 2, 3)) and torch.equal(sheet[:, 2], torch.ones(3, 7))
    assert torch.equal(sheet[:, 0, 4], torch.tensor([1.0, 0, 0])) and torch.equal(sheet[:, 4, 4], torch.ones(3))
    save_picture(tmp_path / "sheet.png", sheet)
    levels = torch.from_numpy(np.asarray(Image.open(tmp_path / "sheet.png")).copy()).permute(2, 0, 1)
    assert torch.equal(levels.float() / 255, sheet)
    with pytest.raises(ValueError, match="one size"):
        picture_grid([[black], [torch.zeros(3, 2, 2)]])
    with pytest.raises(ValueError, match="none"):
        picture_grid([])


def test_the_progress_bar_is_on_stdout(tmp_path, capsys):
    run(tmp_path / "stage", config(steps=3, progress=True))
    captured = capsys.readouterr()
    assert "3/3" in captured.out and "stage" in captured.out and captured.err == ""
