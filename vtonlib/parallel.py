"""Several processes that train one network: each takes its share of every batch, and all keep the same weights.

`torchrun --nproc_per_node 2 -m vtonlib train ...` starts the processes and tells each by its environment how many they
are (WORLD_SIZE), which one it is (RANK) and which one on its machine (LOCAL_RANK). After the backward pass the
gradients are averaged, so every process takes the same step: that of the whole batch, as long as the loss is a mean
over samples. `DistributedDataParallel` does the same with a wrapper around the network; here the loss sees the network
itself and may call whatever method it likes.

Batch normalisation takes its statistics over the samples of one process, so two processes of 8 samples are not one of
16. The running statistics, and all other buffers, are those of process 0.

With one process nothing here does anything, and accelerate is not imported.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


def world_size() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    """The number of this process, from 0. Raises ValueError where there are several and none was given to this one."""
    if world_size() == 1:
        return 0
    if "RANK" not in os.environ:
        raise ValueError(f"WORLD_SIZE is {world_size()} but RANK is not set: start the processes with torchrun")
    return int(os.environ["RANK"])


def is_main_process() -> bool:
    """Whether this process is the one that writes files and shows progress: the only one, or number 0."""
    return rank() == 0


def launcher() -> list[str]:
    """The words that start as many processes as there are now: what stands before `-m vtonlib` in a command."""
    return ["python"] if world_size() == 1 else ["torchrun", "--nproc_per_node", str(world_size())]


def own_device(device: torch.device) -> torch.device:
    """The device of this process: a card of its own where `device` is CUDA and there are several processes.

    Raises ValueError for a numbered card, and where the machine has fewer cards than processes.
    """
    if world_size() == 1 or device.type != "cuda":
        return device
    local, cards = int(os.environ.get("LOCAL_RANK", rank())), torch.cuda.device_count()
    if device.index not in (None, local):
        raise ValueError(f"device {device}: each of {world_size()} processes has a card of its own; use auto or cuda")
    if local >= cards:
        raise ValueError(f"device cuda: process {local} needs a card of its own, and this machine has {cards}; use cpu")
    return torch.device("cuda", local)


def start(device: torch.device) -> None:
    """Let the processes meet: over gloo for the CPU, over NCCL for CUDA. Called again, it does nothing.

    Raises RuntimeError where they don't all come together, or had met for another kind of device.
    """
    if world_size() == 1:
        return
    from accelerate import PartialState

    first = not torch.distributed.is_initialized()
    state = PartialState(cpu=device.type == "cpu")
    if first and state.backend == "gloo":  # its threads, left alone, now and then abort a process that ends
        atexit.register(torch.distributed.destroy_process_group)
    if state.num_processes != world_size():  # accelerate is content with one where it finds no way to talk
        raise RuntimeError(f"{state.num_processes} of {world_size()} processes met on {device}; use cpu or cuda")
    if state.device.type != device.type:
        raise RuntimeError(f"the processes met on {state.device.type}, and can't change to {device.type}")


def wait_for_everyone() -> None:
    """Return when all processes are here: before one reads what process 0 writes. Raises as `average` does."""
    if world_size() > 1:
        _met().wait_for_everyone()


def _met():
    """accelerate's state, which makes itself anew, for one process, if it is asked before `start`."""
    if not torch.distributed.is_initialized():
        raise RuntimeError("the processes have not met yet: call vtonlib.parallel.start(device) first (train does)")
    from accelerate import PartialState

    return PartialState()


def share(batch: Sequence[int]) -> list[int]:
    """The part of a batch of sample indices that this process works on; parts are of one size.

    Raises ValueError for a batch that can't be cut so.
    """
    part, rest = divmod(len(batch), world_size())
    if rest:
        raise ValueError(f"batch_size {len(batch)}: expected a multiple of {world_size()}, the number of processes")
    return list(batch[rank() * part : (rank() + 1) * part])


def average(tensor: Tensor) -> Tensor:
    """The mean of a tensor over all processes, the same bits on each; the shapes must be the same.

    Raises RuntimeError before `start`.
    """
    if world_size() == 1:
        return tensor
    from accelerate.utils import reduce

    _met()
    return reduce(tensor, "mean")


def all_values(value: int, device: torch.device) -> list[int]:
    """The value of every process, in their order; `device` is the one they met on. Raises as `average` does."""
    if world_size() == 1:
        return [value]
    from accelerate.utils import gather

    _met()
    return gather(torch.tensor([value], device=device)).tolist()


@torch.no_grad()
def average_gradients(module: nn.Module) -> None:
    """Replace every gradient by its mean over all processes, in one exchange.

    Where only some processes have a gradient of a parameter, it is 0 for the others; where none has, it stays None.
    """
    if world_size() == 1:
        return
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not parameters:
        return
    present = torch.tensor([float(parameter.grad is not None) for parameter in parameters])
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = average(torch.cat([present.to(gradients[0]), *(gradient.reshape(-1) for gradient in gradients)]))
    present, *gradients = flat.split([len(parameters), *(parameter.numel() for parameter in parameters)])
    for parameter, some, gradient in zip(parameters, present.tolist(), gradients, strict=True):
        parameter.grad = gradient.reshape(parameter.shape).to(parameter) if some else None


@torch.no_grad()
def copy_from_main(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors, in place, by those of process 0; their shapes must be the same everywhere."""
    if world_size() == 1:
        return
    from accelerate.utils import broadcast

    _met()
    kinds: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault(tensor.dtype, []).append(tensor)
    for alike in kinds.values():  # one exchange for each kind of number, not for each tensor
        flat = broadcast(torch.cat([tensor.reshape(-1) for tensor in alike]))
        for tensor, values in zip(alike, flat.split([tensor.numel() for tensor in alike]), strict=True):
            tensor.copy_(values.reshape(tensor.shape))
