"""What a training run is, and what is kept of it on disk, so that a killed one goes on: config, critic, state.

A state file holds everything that a step depends on, in full precision: the weights, their average, what Adam has
gathered, and the same of a critic where there is one; its metadata holds the step and the config.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vtonlib import parallel
from vtonlib.checkpoints import read_tensors, write_tensors

SCHEDULES = ("constant", "linear", "cosine")
FREE_TO_CHANGE = ("checkpoint_every", "validate_every", "log_every", "device", "progress")  # none changes a weight


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How one stage is trained.

    steps: optimiser steps; batch_size: samples a step, of all processes together; lr: the learning
    rate of Adam, betas its two decay rates.
    schedule: what lr does from step decay_start * steps on: stay "constant", or fall to 0 as "linear" or "cosine".
    warm_up: steps over which lr first rises from 0. clip: largest norm of the gradient, None for no limit.
    ema_decay: decay of the running average of the weights, see `ema_decay_at`.
    seed: of data order, augmentation and dropout. device: "auto" takes CUDA where there is one, else the CPU.
    checkpoint_every, validate_every, log_every: steps between two; 0 = only at the end (log: never).

    Raises ValueError for a value out of its range.
    """

    steps: int
    batch_size: int = 4
    lr: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: str = "constant"
    decay_start: float = 0.5
    warm_up: int = 0
    clip: float | None = None
    ema_decay: float = 0.999
    seed: int = 0
    checkpoint_every: int = 500
    validate_every: int = 0
    log_every: int = 10
    device: str = "auto"
    progress: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))  # JSON gives a list
        ranges = {
            "steps": self.steps >= 0,
            "batch_size": self.batch_size >= 1,
            "lr": _is_rate(self.lr),
            "betas": _are_betas(self.betas),
            "schedule": self.schedule in SCHEDULES,
            "decay_start": 0 <= self.decay_start <= 1,
            "warm_up": self.warm_up >= 0,
            "clip": self.clip is None or self.clip > 0,
            "ema_decay": 0 <= self.ema_decay < 1,
            "checkpoint_every": self.checkpoint_every >= 0,
            "validate_every": self.validate_every >= 0,
            "log_every": self.log_every >= 0,
        }
        _refuse_what_does_not_fit(self, ranges)


def _is_rate(lr: float) -> bool:
    return lr > 0 and math.isfinite(lr)


def _are_betas(betas: tuple[float, ...]) -> bool:
    return len(betas) == 2 and all(0 <= beta < 1 for beta in betas)


def _refuse_what_does_not_fit(config: Any, ranges: dict[str, bool]) -> None:
    for name, fits in ranges.items():
        if not fits:
            raise ValueError(f"{type(config).__name__}: {name} = {getattr(config, name)!r} is out of range")


CriticLoss = Callable[[nn.Module, Any, Any], dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Critic:
    """A second network that is trained beside the first, against what that one makes: the discriminator of a GAN.

    module: the network; all its parameters are trained. loss(module, batch, made) gives its terms by name, already
    weighted; made: what the generator made of this batch, without a graph.
    lr, betas: of its own Adam, None for those of the run; schedule, warm-up and clip are the run's.
    Raises ValueError for a value out of its range.
    """

    module: nn.Module
    loss: CriticLoss
    lr: float | None = None
    betas: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        ranges = {
            "lr": self.lr is None or _is_rate(self.lr),
            "betas": self.betas is None or _are_betas(self.betas),
        }
        _refuse_what_does_not_fit(self, ranges)

    def config_in(self, config: TrainConfig) -> TrainConfig:
        """The config of a run with the critic's own lr and betas."""
        own = {"lr": self.lr, "betas": self.betas}
        return replace(config, **{name: value for name, value in own.items() if value is not None})


@dataclass(kw_only=True)
class TrainState:
    """What changes during training: the module, its running average, the optimiser and the number of steps done.

    critic, critic_optimiser: both or none; of a critic no average is kept.
    """

    module: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    critic: Critic | None = None
    critic_optimiser: torch.optim.Optimizer | None = None


def save_state(path: str | Path, state: TrainState, config: TrainConfig) -> Path:
    """Write a training state to one safetensors file, atomically and in full precision."""
    tensors = {f"module/{name}": tensor for name, tensor in state.module.state_dict().items()}
    tensors |= {f"average/{name}": tensor for name, tensor in state.average.state_dict().items()}
    gathered, groups = _optimiser_tensors(state.optimiser)
    tensors |= {f"optimiser/{name}": tensor for name, tensor in gathered.items()}
    metadata = {"step": state.step, "config": asdict(config), "parameter_groups": groups}
    if state.critic is not None:
        tensors |= {f"critic/{name}": tensor for name, tensor in state.critic.module.state_dict().items()}
        gathered, metadata["critic_parameter_groups"] = _optimiser_tensors(state.critic_optimiser)
        tensors |= {f"critic_optimiser/{name}": tensor for name, tensor in gathered.items()}
        metadata["critic"] = _critic_settings(state.critic, config)
    if parallel.world_size() > 1:
        metadata["processes"] = parallel.world_size()
    return write_tensors(path, tensors, metadata)


def load_state(path: str | Path, state: TrainState, config: TrainConfig) -> None:
    """Read a training state back into `state`.

    Raises ValueError where the file was written under another config, with another critic or none, or by another number
    of processes (naming the difference), or for other tensors.
    """
    tensors, metadata = read_tensors(path)
    if not {"step", "config", "parameter_groups"} <= set(metadata):
        raise ValueError(f"{path}: expected a training state, got a file without step, config and parameter_groups")
    before = {**metadata["config"], "processes": metadata.get("processes", 1), "critic": metadata.get("critic")}
    now = {**asdict(config), "processes": parallel.world_size(), "critic": _critic_settings(state.critic, config)}
    now = json.loads(json.dumps(now))  # as the file has it: lists for tuples
    changed = [name for name in now if name not in FREE_TO_CHANGE and before.get(name) != now[name]]
    if changed:
        differences = ", ".join(f"{name} {before.get(name)!r} -> {now[name]!r}" for name in changed)
        raise ValueError(f"{path}: belongs to another run ({differences}); choose another folder or remove this one")
    names = ("module", "average", "optimiser", "critic", "critic_optimiser")
    parts: dict[str, dict[str, Tensor]] = {name: {} for name in names}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = tensor
    try:
        state.module.load_state_dict(parts["module"])
        state.average.load_state_dict(parts["average"])
        _fill_optimiser(state.optimiser, parts["optimiser"], metadata["parameter_groups"])
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: does not fit this module: {error}") from error
    if state.critic is not None:
        try:
            state.critic.module.load_state_dict(parts["critic"])
            _fill_optimiser(state.critic_optimiser, parts["critic_optimiser"], metadata["critic_parameter_groups"])
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{path}: does not fit this critic: {error}") from error
    state.step = metadata["step"]


def _critic_settings(critic: Critic | None, config: TrainConfig) -> dict[str, Any] | None:
    """What of a critic belongs to a run, as its config does."""
    if critic is None:
        return None
    own = critic.config_in(config)
    return {"betas": own.betas, "lr": own.lr}


def _optimiser_tensors(optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """What an optimiser has gathered, by INDEX/NAME, and its parameter groups."""
    found = optimiser.state_dict()
    tensors = {f"{index}/{name}": value for index, values in found["state"].items() for name, value in values.items()}
    return tensors, found["param_groups"]


def _fill_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], groups: list[dict[str, Any]]) -> None:
    """The way back from `_optimiser_tensors`."""
    values: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition("/")
        values.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": values, "param_groups": groups})
