"""Training against a critic: one step by hand, who may move when, what is kept, two processes, and a GAN that learns.

Under torchrun this file is the script that the two processes run.
"""

import csv
import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from vtonlib import parallel
from vtonlib.adversarial import discriminator_loss, generator_loss
from vtonlib.checkpoints import read_tensors, save_weights, write_tensors
from vtonlib.training import Critic, TrainConfig, batch_indices, detached, learning_rate, train

POINTS = torch.randn(37, 4, generator=torch.Generator().manual_seed(5))


def seeded(seed: int, *layers) -> nn.Module:
    """A network of these layers (called to make them), the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(*(layer() for layer in layers))


def network() -> nn.Module:
    return seeded(3 + parallel.rank(), lambda: nn.Linear(4, 8), nn.Tanh, lambda: nn.Linear(8, 4))


def judge() -> nn.Module:
    return seeded(7 + parallel.rank(), lambda: nn.Linear(4, 8), nn.Tanh, lambda: nn.Linear(8, 1))


def noisy_network() -> nn.Module:
    """Batch statistics and dropout, as in `test_training`: whatever could fail to come back after a kill."""
    return seeded(
        3, lambda: nn.Linear(4, 8), lambda: nn.BatchNorm1d(8), nn.Tanh, lambda: nn.Dropout(0.3), lambda: nn.Linear(8, 4)
    )


def noisy_judge() -> nn.Module:
    """Dropout, and the vectors of a spectral norm, which every forward pass moves."""
    return seeded(7, lambda: spectral_norm(nn.Linear(4, 8)), nn.Tanh, lambda: nn.Dropout(0.3), lambda: nn.Linear(8, 1))


def logits(module: nn.Module, points: torch.Tensor):
    """A vector's judgement in the shape that the adversarial losses take: one scale, no layer but the logits."""
    return [[module(points).reshape(-1, 1, 1, 1)]]


def critic_terms(module, batch, made):
    return {"points": discriminator_loss(logits(module, batch), logits(module, made), "log")}


def make_batch(indices, generator):
    return POINTS[indices]


def config(**changes) -> TrainConfig:
    values = {"steps": 24, "batch_size": 6, "lr": 1e-2, "schedule": "cosine", "warm_up": 3, "clip": 0.5, "log_every": 1}
    return TrainConfig(**{**values, "checkpoint_every": 5, "device": "cpu", "progress": False, **changes})


class Interrupted(Exception):
    pass


def run(
    out: Path,
    settings: TrainConfig | None = None,
    *,
    module: nn.Module | None = None,
    critic: nn.Module | None = None,
    terms=critic_terms,
    at_step=lambda count: None,
    lr: float | None = 3e-2,
    betas: tuple[float, float] | None = (0.0, 0.9),
    **other,
) -> tuple[nn.Module, nn.Module, nn.Module]:
    """The average, the module and the critic after training. at_step(count) is called in the critic's turn."""
    module, critic = module or network(), critic or judge()
    count = 0

    def loss(module, batch):
        made = module(batch)
        adversarial = generator_loss(logits(critic, made), "log")
        return {"adversarial": adversarial, "near": 0.1 * (made - batch).abs().mean()}, made

    def judging(module, batch, made):
        nonlocal count
        count += 1
        at_step(count)
        return terms(module, batch, made)

    given = {"loss": loss, "critic": Critic(module=critic, loss=judging, lr=lr, betas=betas), **other}
    average = train(
        settings or config(), module=module, make_batch=make_batch, length=len(POINTS), out=out, **given
    )  # fmt: skip
    return average, module, critic


def alone(out: Path, settings: TrainConfig) -> nn.Module:
    """Training without a critic."""

    def loss(module, batch):
        return {"size": module(batch).square().mean()}

    return train(settings, module=network(), loss=loss, make_batch=make_batch, length=len(POINTS), out=out)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def same_state(one: Path, other: Path) -> bool:
    (a, metadata_a), (b, metadata_b) = (read_tensors(folder / "state.safetensors") for folder in (one, other))
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a) and metadata_a == metadata_b


def same(one: nn.Module, other: nn.Module, tolerance: float = 0.0) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=tolerance) for a, b in pairs)


# ---- one step ------------------------------------------------------------------------------------------------------


def test_the_steps_written_out(tmp_path):
    """Two plain Adams, one after the other, on the same batches and on the same `made`."""
    settings = config(steps=6)
    _, module, critic = run(tmp_path, settings)
    ours, theirs = network(), judge()
    first = torch.optim.Adam(ours.parameters(), lr=1.0, betas=settings.betas)
    second = torch.optim.Adam(theirs.parameters(), lr=1.0, betas=(0.0, 0.9))
    for step in range(6):
        batch = POINTS[batch_indices(step, length=len(POINTS), batch_size=6, seed=0)]
        made = ours(batch)
        first.zero_grad()
        (generator_loss(logits(theirs, made), "log") + 0.1 * (made - batch).abs().mean()).backward()
        nn.utils.clip_grad_norm_(ours.parameters(), 0.5)
        first.param_groups[0]["lr"] = learning_rate(step, settings)
        first.step()
        second.zero_grad()
        critic_terms(theirs, batch, made.detach())["points"].backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        second.param_groups[0]["lr"] = 3 * learning_rate(step, settings)
        second.step()
    assert same(module, ours, 1e-6) and same(critic, theirs, 1e-6)
    assert not same(module, network(), 1e-2) and not same(critic, judge(), 1e-2)


def test_lr_and_betas_are_those_of_the_run_unless_given(tmp_path):
    settings = config(steps=4)
    _, _, default = run(tmp_path / "a", settings, lr=None, betas=None)
    _, _, given = run(tmp_path / "b", settings, lr=settings.lr, betas=settings.betas)
    _, _, other = run(tmp_path / "c", settings, lr=settings.lr, betas=(0.9, 0.9))
    assert same(default, given) and not same(default, other, 1e-4)


def test_nobody_moves_out_of_turn(tmp_path):
    """In the step of the module the critic takes no gradient and stays as it is; then it is the other way round."""
    module, critic, seen = network(), judge(), []

    def grads(net):
        return [None if p.grad is None else p.grad.clone() for p in net.parameters()]

    def weights(net):
        return torch.cat([p.detach().flatten().clone() for p in net.parameters()])

    def loss(module, batch):
        assert critic.training and not any(p.requires_grad for p in critic.parameters())
        made = module(batch)
        seen.append(("module", weights(module), weights(critic), grads(critic)))
        return {"adversarial": generator_loss(logits(critic, made), "log")}, {"made": made, "twice": (made, 2 * made)}

    def terms(judging, batch, made):
        assert judging is critic and all(p.requires_grad for p in critic.parameters())
        assert not made["made"].requires_grad and made["twice"][1].grad_fn is None
        seen.append(("critic", weights(module), weights(critic), grads(critic)))
        return critic_terms(judging, batch, made["made"])

    run(tmp_path, config(steps=3), module=module, critic=critic, loss=loss, terms=terms)
    assert [turn for turn, *_ in seen] == ["module", "critic"] * 3
    assert seen[0][3] == seen[1][3] == [None] * 4, "nothing from the module's first step"
    for before, after in pairwise(seen):
        moved, stayed = (1, 2) if before[0] == "module" else (2, 1)
        assert not torch.equal(before[moved], after[moved]), "the adversarial term alone moves the module"
        assert torch.equal(before[stayed], after[stayed])
    for before, after in ((seen[2], seen[3]), (seen[4], seen[5])):
        assert all(torch.equal(a, b) for a, b in zip(before[3], after[3], strict=True))
    assert all(p.requires_grad for p in critic.parameters())


def test_the_critic_is_free_again_when_a_step_fails(tmp_path):
    critic = judge()

    def failing(module, batch):
        raise Interrupted

    with pytest.raises(Interrupted):
        run(tmp_path, critic=critic, loss=failing)
    assert all(parameter.requires_grad for parameter in critic.parameters())


class Made(NamedTuple):
    picture: torch.Tensor
    masks: tuple[torch.Tensor, ...]


def test_made_may_be_nested():
    leaf = torch.ones(2, requires_grad=True)
    found = detached({"a": Made(2 * leaf, (3 * leaf, leaf)), "b": ()})
    assert isinstance(found["a"], Made) and found["b"] == () and isinstance(found["a"].masks, tuple)
    for tensor, factor in zip((found["a"].picture, *found["a"].masks), (2, 3, 1), strict=True):
        assert not tensor.requires_grad and torch.equal(tensor, factor * torch.ones(2))
    with pytest.raises(TypeError, match=r"made: expected a tensor, or tuples and dicts of tensors, .* got list"):
        detached({"a": [leaf]})


# ---- what is kept --------------------------------------------------------------------------------------------------


def noisy(out: Path, **other):
    return run(out, module=noisy_network(), critic=noisy_judge(), **other)


def raise_at_13(count: int) -> None:
    if count == 13:
        raise Interrupted


def die_at_13(count: int) -> None:
    if count == 13:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    noisy(out)
    return out


def test_an_interrupted_run_goes_on_to_the_same_bits(whole, tmp_path):
    with pytest.raises(Interrupted):
        noisy(tmp_path, at_step=raise_at_13)  # between the two steps; the last checkpoint is that of step 10
    assert read_tensors(tmp_path / "state.safetensors")[1]["step"] == 10
    noisy(tmp_path)
    assert same_state(whole, tmp_path)
    assert rows(whole / "log.csv") == rows(tmp_path / "log.csv")


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
def test_a_process_that_is_really_killed_goes_on_to_the_same_bits(whole, tmp_path):
    tests = Path(__file__).resolve().parent
    code = f"import sys; sys.path[:0] = [{str(tests.parent)!r}, {str(tests)!r}]\n"
    code += "import test_training_critic as test; from pathlib import Path\n"
    code += f"test.noisy(Path({str(tmp_path)!r}), at_step=test.die_at_13)"
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    noisy(tmp_path)
    assert same_state(whole, tmp_path)


@pytest.mark.parametrize("part", ["critic/0.parametrizations.weight.0._v", "critic_optimiser/0/exp_avg_sq"])
def test_a_resumed_run_depends_on_all_that_is_kept_of_the_critic(whole, tmp_path, part):
    """The comparisons above can fail."""
    with pytest.raises(Interrupted):
        noisy(tmp_path, at_step=raise_at_13)
    path = tmp_path / "state.safetensors"
    tensors, metadata = read_tensors(path)
    write_tensors(path, {**tensors, part: tensors[part].flip(0) + 1}, metadata)
    noisy(tmp_path)
    assert not same_state(whole, tmp_path)


def test_what_the_state_holds(whole, tmp_path):
    tensors, metadata = read_tensors(whole / "state.safetensors")
    kinds = {name.partition("/")[0] for name in tensors}
    assert kinds == {"module", "average", "optimiser", "critic", "critic_optimiser"}
    assert {name for name in tensors if name.startswith("critic/")} == {
        f"critic/{n}" for n in noisy_judge().state_dict()
    }
    assert metadata["critic"] == {"lr": 3e-2, "betas": [0.0, 0.9]}
    alone(tmp_path, config(steps=2))
    tensors, metadata = read_tensors(tmp_path / "state.safetensors")
    assert {name.partition("/")[0] for name in tensors} == {"module", "average", "optimiser"}
    assert set(metadata) == {"step", "config", "parameter_groups"}, "without a critic nothing is added"


def test_the_log(whole):
    log = rows(whole / "log.csv")
    assert list(log[0]) == ["step", "lr", "loss", "adversarial", "near", "critic_points"] and len(log) == 24
    for row in log:
        assert float(row["loss"]) == pytest.approx(float(row["adversarial"]) + float(row["near"]))
        assert float(row["critic_points"]) > 0


def test_another_critic_is_another_run(tmp_path):
    run(tmp_path, config(steps=2))
    settings = config(steps=2)
    with pytest.raises(ValueError, match=r"another run \(critic \{.*'lr': 0\.03\} -> \{.*'lr': 0\.02\}\)"):
        run(tmp_path, settings, lr=2e-2)
    with pytest.raises(ValueError, match=r"another run \(critic \{.*\} -> None\)"):
        alone(tmp_path, settings)
    alone(tmp_path / "alone", settings)
    with pytest.raises(ValueError, match=r"another run \(critic None -> \{"):
        run(tmp_path / "alone", settings)
    with pytest.raises(ValueError, match="does not fit this critic"):
        run(tmp_path, settings, critic=seeded(0, lambda: nn.Linear(4, 1)))


def test_a_warm_start_is_of_the_module_alone(tmp_path):
    start = seeded(99, lambda: nn.Linear(4, 8), nn.Tanh, lambda: nn.Linear(8, 4))
    path = save_weights(tmp_path / "start.safetensors", start, {}, half=False)
    _, module, critic = run(tmp_path / "run", config(steps=0), warm_start=path)
    assert same(module, start) and same(critic, judge())


# ---- what is refused -----------------------------------------------------------------------------------------------


def test_a_critic_whose_loss_is_not_finite_stops_the_run(tmp_path):
    def terms(module, batch, made):
        found = critic_terms(module, batch, made)
        bad = float("nan") if len(rows(tmp_path / "log.csv")) == 3 else 0.0
        return {**found, "bad": bad * found["points"]}

    (tmp_path / "log.csv").touch()
    with pytest.raises(
        FloatingPointError, match=r"training step 4: the loss of the critic is not finite \(points .*bad nan"
    ):
        run(tmp_path, terms=terms)


def test_what_a_loss_gives_is_looked_at(tmp_path):
    with pytest.raises(TypeError, match=r"with a critic expected \(terms, made\), got dict"):
        run(tmp_path, loss=lambda module, batch: {"a": module(batch).mean(), "b": module(batch).mean()})
    with pytest.raises(TypeError, match="without a critic expected terms by name, got tuple"):
        train(
            config(), module=network(), loss=lambda module, batch: ({"a": module(batch).mean()}, batch),
            make_batch=make_batch, length=len(POINTS), out=tmp_path,
        )  # fmt: skip
    with pytest.raises(TypeError, match="made: expected a tensor, or tuples and dicts of tensors"):
        run(tmp_path, loss=lambda module, batch: ({"a": module(batch).mean()}, [batch]))


@pytest.mark.parametrize(("name", "value"), [("lr", 0.0), ("lr", float("inf")), ("betas", (0.5, 1.0))])
def test_values_a_critic_can_not_have(name, value):
    with pytest.raises(ValueError, match=f"Critic: {name} = .* is out of range"):
        Critic(module=judge(), loss=critic_terms, **{name: value})
    with pytest.raises(TypeError):
        Critic(module=judge(), loss=critic_terms, learning_rate=1)


# ---- two processes -------------------------------------------------------------------------------------------------


def weights(net: nn.Module) -> dict[str, list]:
    return {name: value.tolist() for name, value in net.state_dict().items()}


def worker(results: Path, out: Path) -> None:
    """What each of the processes runs. A loss of the critic that is bad in one must stop both."""

    def bad_in_one(module, batch, made):
        return {"points": critic_terms(module, batch, made)["points"] * (float("nan") if parallel.rank() else 1.0)}

    _, module, critic = run(out / "whole")
    try:
        run(out / "bad", terms=bad_in_one)
    except FloatingPointError as error:
        told = str(error)
    found = {"module": weights(module), "critic": weights(critic), "told": told}
    (results / f"{parallel.rank()}.json").write_text(json.dumps(found))


def test_two_processes_train_the_critic_that_one_does(tmp_path):
    from test_parallel import torchrun

    results = tmp_path / "results"
    results.mkdir()
    done = torchrun(__file__, results, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((results / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second, "they began with other weights, and have seen other halves of each batch"
    assert first["told"].startswith("training step 1: the loss of the critic is not finite (points nan")
    _, module, critic = run(tmp_path / "one")
    for name, net in (("module", module), ("critic", critic)):
        for key, value in weights(net).items():
            assert torch.allclose(torch.tensor(value), torch.tensor(first[name][key]), rtol=0, atol=1e-5)
    logs = [rows(folder / "log.csv") for folder in (tmp_path / "one", tmp_path / "out" / "whole")]
    for one, two in zip(*logs, strict=True):
        assert float(one["critic_points"]) == pytest.approx(float(two["critic_points"]), abs=1e-4)


# ---- a GAN ---------------------------------------------------------------------------------------------------------


class Shift(nn.Module):
    """The smallest generator: noise, moved and stretched."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(-1.0))

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return 0.5 * noise + self.mean


def test_a_gan_finds_the_mean_of_a_gaussian(tmp_path):
    """It never sees the mean, only what a critic of single numbers has learnt."""
    critic = seeded(1, lambda: nn.Linear(1, 16), nn.Tanh, lambda: nn.Linear(16, 1))

    def loss(module, batch):
        made = module(torch.randn_like(batch))
        return {"adversarial": generator_loss(logits(critic, made), "log")}, made

    average = train(
        config(steps=400, batch_size=64, lr=2e-2, clip=None, log_every=0, checkpoint_every=0, ema_decay=0.98),
        module=Shift(),
        loss=loss,
        make_batch=lambda indices, generator: 2 + 0.5 * torch.randn(len(indices), 1, generator=generator),
        length=64,
        out=tmp_path,
        critic=Critic(module=critic, loss=critic_terms, lr=2e-2),
    )
    assert average.mean.item() == pytest.approx(2.0, abs=0.1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    worker(Path(sys.argv[1]), Path(sys.argv[2]))
