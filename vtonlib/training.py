"""One readable training loop: seeds, average weights, checkpoints, a log, pictures; a killed run goes on bit by bit.

Step s is a function of (seed, s) and of the state before it, and of nothing else: the batch is picked by index from a
permutation per epoch, the learning rate follows from s, and the random generators are seeded anew for each step. A
checkpoint therefore holds the tensors and the step, and a run that is killed and started again ends with the same
weights as one that was left alone (same machine, same number of threads).

The same loop trains a GAN: with a `Critic` every step is one of the network and then one of its critic.

Started by `torchrun --nproc_per_node 2`, the same loop trains in several processes, see `vtonlib.parallel`: each works
on its share of every batch, draws from (seed, s, rank) and takes the averaged step; process 0 alone validates and
writes. Their number belongs to a run as its learning rate does.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from vtonlib import parallel
from vtonlib.checkpoints import load_weights
from vtonlib.log import Log
from vtonlib.parallel import is_main_process, wait_for_everyone
from vtonlib.pictures import picture_grid as picture_grid  # here for those who write `validate`
from vtonlib.pictures import save_picture as save_picture
from vtonlib.training_state import Critic as Critic
from vtonlib.training_state import TrainConfig as TrainConfig
from vtonlib.training_state import TrainState as TrainState
from vtonlib.training_state import load_state as load_state
from vtonlib.training_state import save_state as save_state

Config = TypeVar("Config")


def config_from(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Build a config dataclass from a mapping such as a JSON file holds.

    Raises ValueError for an unknown key (listing the known ones) and for a missing one.
    """
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{kind.__name__}: unknown key {', '.join(unknown)}; expected some of {', '.join(known)}")
    missing = [
        name
        for name, field in known.items()
        if name not in values and field.default is MISSING and field.default_factory is MISSING
    ]
    if missing:
        raise ValueError(f"{kind.__name__}: missing key {', '.join(missing)}")
    return kind(**values)


def resolve_device(device: str | torch.device) -> torch.device:
    """The device of that name; "auto" is CUDA where there is one, else the CPU. Of several processes each has its card.

    Raises ValueError for an absent one, and as `parallel.own_device` does.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device {device!r}: expected auto, cpu, cuda or cuda:N") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r}: this machine has no CUDA device")
    return parallel.own_device(chosen)


def batch_indices(step: int, *, length: int, batch_size: int, seed: int) -> list[int]:
    """Indices of the samples of batch number `step` (from 0).

    Every epoch is a permutation drawn from (seed, epoch); batches are cut from their endless sequence, so one may
    reach over the end of an epoch, and none is dropped.
    Raises ValueError for an empty data set.
    """
    if length < 1:
        raise ValueError("batch_indices: the data set is empty")
    first, last = step * batch_size, (step + 1) * batch_size
    epochs = range(first // length, (last - 1) // length + 1)
    order = np.concatenate([np.random.default_rng([seed, epoch]).permutation(length) for epoch in epochs])
    offset = epochs[0] * length
    return order[first - offset : last - offset].tolist()


def learning_rate(step: int, config: TrainConfig) -> float:
    """The learning rate of step number `step` (from 0): a pure function, so that resuming needs no scheduler state."""
    rising = min(1.0, (step + 1) / config.warm_up) if config.warm_up else 1.0
    start = config.decay_start * config.steps
    if config.schedule == "constant" or step < start:
        return config.lr * rising
    share = (step - start) / max(config.steps - start, 1)
    falling = 1 - share if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * share))
    return config.lr * rising * falling


def ema_decay_at(step: int, decay: float) -> float:
    """Decay after step number `step` (from 0): min(decay, (1 + step) / (10 + step)), quick at first."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_ema(average: nn.Module, module: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * module for parameters; buffers (running statistics) are copied."""
    for mean, value in zip(average.parameters(), module.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)
    for mean, value in zip(average.buffers(), module.buffers(), strict=True):
        mean.copy_(value)


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """A seed for everything random in one step of one process, 63 bits drawn from (seed, step, rank).

    Process 0 draws what a single process draws.
    """
    entropy = [seed, step, rank] if rank else [seed, step]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


MakeBatch = Callable[[list[int], torch.Generator], Any]
Terms = dict[str, Tensor]
Loss = Callable[[nn.Module, Any], Terms | tuple[Terms, Any]]
Validate = Callable[[nn.Module], tuple[dict[str, float], Tensor | None]]


def train(
    config: TrainConfig,
    *,
    module: nn.Module,
    loss: Loss,
    make_batch: MakeBatch,
    length: int,
    out: str | Path,
    validate: Validate | None = None,
    warm_start: str | Path | None = None,
    critic: Critic | None = None,
) -> nn.Module:
    """Train `module` and return the running average of its weights, in eval mode.

    loss(module, batch) gives the terms by name, already weighted; their sum is minimised with Adam.
    make_batch(indices, generator) gives the batch of these sample indices, 0 <= index < length; what it draws must come
    from the (CPU) generator. The module is moved to the device; make_batch or loss move the batch there. Of several
    processes each is asked for its own part of the batch, and the loss has the same terms in all of them.
    validate(average) gives numbers, and a picture (3,H,W) in [0,1] or None; it is called every `validate_every` steps
    and at the end, in process 0 while the others wait.
    warm_start: a weights file to begin from, for instance that of the same network at half the size.
    critic: a network that judges this one. loss then gives (terms, made), made being what critic.loss takes: a tensor,
    or tuples and dicts of them. First the module makes its step, with the critic's parameters held still; then the
    critic makes one, on the same batch and the same `made`, without its graph. Its terms are not in the sum: they are
    logged as critic_NAME. It begins as it is given, also with a warm start.

    Written to `out`, by process 0: state.safetensors (from which a later call with the same config resumes), log.csv,
    validation.csv and pictures/STEP.png. Random generators of the caller are left as they were.
    Raises, in every process, FloatingPointError, naming the step and the terms, when a loss is no longer finite;
    TypeError where loss gives no pair though there is a critic, or one though there is none, and for another kind of
    made; ValueError where `out` holds the state of another run, or the batch can't be shared out among the processes.
    """
    from tqdm import tqdm

    parallel.share(range(config.batch_size))
    out, device, main = Path(out), resolve_device(config.device), is_main_process()
    parallel.start(device)
    if main:
        out.mkdir(parents=True, exist_ok=True)
    state = _start(config, module, device, out / "state.safetensors", warm_start, critic)
    log = Log(out / "log.csv", resumed_at=state.step) if main else None
    validation = Log(out / "validation.csv", resumed_at=state.step) if main else None
    cuda_devices = [device] if device.type == "cuda" else []
    started = time.monotonic()
    look = {"file": sys.stdout, "disable": not (config.progress and main), "desc": out.name, "unit": "step"}
    bar = tqdm(total=config.steps, initial=state.step, **look)
    with torch.random.fork_rng(devices=cuda_devices), bar:
        while state.step < config.steps:
            terms, judged = _step(state, config, loss, make_batch, length)
            done, last = state.step, state.step == config.steps
            looking = last or (config.validate_every and done % config.validate_every == 0)
            keeping = last or (config.checkpoint_every and done % config.checkpoint_every == 0)
            bar.update()
            if main and config.log_every and (done % config.log_every == 0 or last):
                values = {name: float(value) for name, value in terms.items()}
                total, seconds = sum(values.values()), round(time.monotonic() - started, 3)
                lr = learning_rate(done - 1, config)
                values |= {f"critic_{name}": float(value) for name, value in judged.items()}
                log.add({"step": done, "seconds": seconds, "lr": lr, "loss": total, **values})
                bar.set_postfix(loss=f"{total:.4f}")
            if main and looking and validate is not None:
                _validate(state, validate, validation, out / "pictures")
            if main and keeping:
                save_state(out / "state.safetensors", state, config)
            if looking or keeping:
                wait_for_everyone()
    return state.average.eval()


def _start(
    config: TrainConfig,
    module: nn.Module,
    device: torch.device,
    path: Path,
    warm_start: str | Path | None,
    critic: Critic | None,
) -> TrainState:
    module.to(device)
    resuming = path.exists()
    if warm_start is not None and not resuming:
        load_weights(warm_start, module)
    parallel.copy_from_main([*module.parameters(), *module.buffers()])
    average = copy.deepcopy(module).eval().requires_grad_(False)
    optimiser = torch.optim.Adam(module.parameters(), lr=config.lr, betas=config.betas)
    state = TrainState(module=module, average=average, optimiser=optimiser, critic=critic)
    if critic is not None:
        critic.module.to(device).requires_grad_(True)
        parallel.copy_from_main([*critic.module.parameters(), *critic.module.buffers()])
        own = critic.config_in(config)
        state.critic_optimiser = torch.optim.Adam(critic.module.parameters(), lr=own.lr, betas=own.betas)
    if resuming:
        load_state(path, state, config)
    steps = parallel.all_values(state.step, device)
    if len(set(steps)) > 1:
        raise ValueError(f"{path}: the processes are at steps {steps}; they must all see the same folder")
    return state


def _step(
    state: TrainState, config: TrainConfig, loss: Loss, make_batch: MakeBatch, length: int
) -> tuple[Terms, Terms]:
    """One optimiser step, and then one of the critic, if there is one.

    Returns the terms of both losses before it, means over all processes.
    """
    seed = step_seed(config.seed, state.step, parallel.rank())
    torch.manual_seed(seed)
    indices = batch_indices(state.step, length=length, batch_size=config.batch_size, seed=config.seed)
    batch = make_batch(parallel.share(indices), torch.Generator().manual_seed(seed))
    critic, judged = state.critic, {}
    state.module.train()
    with _held_still(critic):
        terms, made = _terms_and_made(loss(state.module, batch), critic)
        terms = _descend(state.module, state.optimiser, terms, state.step, config)
    update_ema(state.average, state.module, ema_decay_at(state.step, config.ema_decay))
    if critic is not None:
        own, judged = critic.config_in(config), critic.loss(critic.module, batch, detached(made))
        judged = _descend(critic.module, state.critic_optimiser, judged, state.step, own, of=" of the critic")
    state.step += 1
    return terms, judged


@contextmanager
def _held_still(critic: Critic | None) -> Iterator[None]:
    """For the step of the network that it judges: gradients go through the critic, and leave none with it."""
    if critic is None:
        yield
        return
    critic.module.train().requires_grad_(False)
    try:
        yield
    finally:
        critic.module.requires_grad_(True)


def _terms_and_made(found: Terms | tuple[Terms, Any], critic: Critic | None) -> tuple[Terms, Any]:
    kind = type(found).__name__
    if critic is None:
        if not isinstance(found, Mapping):
            raise TypeError(f"train: loss: without a critic expected terms by name, got {kind}")
        return found, None
    if not (isinstance(found, tuple) and len(found) == 2):
        raise TypeError(f"train: loss: with a critic expected (terms, made), got {kind}")
    return found


def detached(made: Any) -> Any:
    """The same values without their graph: of a tensor, or of tuples (also named ones) and dicts of them, nested.

    Raises TypeError for anything else.
    """
    if isinstance(made, Tensor):
        return made.detach()
    if isinstance(made, dict):
        return {name: detached(value) for name, value in made.items()}
    if isinstance(made, tuple):
        values = [detached(value) for value in made]
        return type(made)(*values) if hasattr(made, "_fields") else tuple(values)
    kind = type(made).__name__
    raise TypeError(f"train: made: expected a tensor, or tuples and dicts of tensors, for the critic, got {kind}")


def _descend(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    terms: Terms,
    step: int,
    config: TrainConfig,
    of: str = "",
) -> Terms:
    """One step of an optimiser down the sum of the terms; returns their means over all processes."""
    stacked = torch.stack([value.reshape(()) for value in terms.values()])
    total, means = stacked.sum(), parallel.average(stacked.detach())
    terms = dict(zip(terms, means, strict=True))
    if not torch.isfinite(means.sum()):  # of the mean, so that every process stops, whichever has met it
        values = ", ".join(f"{name} {float(value):g}" for name, value in terms.items())
        raise FloatingPointError(f"training step {step + 1}: the loss{of} is not finite ({values})")
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    parallel.average_gradients(module)
    if config.clip is not None:
        nn.utils.clip_grad_norm_(module.parameters(), config.clip)
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(step, config)
    optimiser.step()
    parallel.copy_from_main(module.buffers())
    return terms


def _validate(state: TrainState, validate: Validate, log: Log, folder: Path) -> None:
    with torch.no_grad():
        numbers, picture = validate(state.average.eval())
    log.add({"step": state.step, **numbers})
    if picture is not None:
        save_picture(folder / f"{state.step:06d}.png", picture)
