"""Weights and training states on disk: safetensors with JSON beside the tensors, never a pickle.

A weights file holds one network, in half precision unless told otherwise, and says in its metadata what it is, which
recipe and data made it, and the command that makes it again. Everything is written to a temporary name first, so that
a file that exists is whole.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

METADATA_KEY = "vtonlib"  # one JSON string: safetensors writes several keys in random order, and bytes should repeat
WEIGHTS_FOLDER = Path(__file__).resolve().parent / "weights"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; on success it takes the place of `path`, on an error it goes.

    Whoever is killed in between leaves the old file as it was. The name keeps the suffix, for writers that look at it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=f".part{path.suffix}")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        permissions = 0o666 & ~_umask()  # mkstemp makes files that only their owner can read
        temporary.chmod(permissions)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> Path:
    """Write named tensors and JSON metadata to one safetensors file, atomically; the same input gives the same bytes.

    Raises ValueError where the metadata is not JSON.
    """
    try:
        text = json.dumps(dict(metadata), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: metadata must be plain JSON (finite numbers, strings, lists): {error}") from error
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        save_file(plain, str(temporary), metadata={METADATA_KEY: text})
    return Path(path)


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote: tensors by name in the precision of the file, and the metadata.

    A safetensors file from elsewhere has empty metadata.
    Raises FileNotFoundError; ValueError for a pickled (`.pth`) or damaged file.
    """
    with _opened(path) as file:
        metadata = _metadata(path, file)
        try:
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118, not a dict
        except (SafetensorError, RuntimeError, ValueError) as error:
            raise ValueError(f"{path}: the file is damaged: {error}") from error


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of a weights or state file; raises as `read_tensors` does."""
    with _opened(path) as file:
        return _metadata(path, file)


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    with path.open("rb") as file:
        start = file.read(9)
    # Safetensors begins with the length of its header, any 8 bytes, and the header with a brace.
    if start[8:] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
        raise ValueError(
            f"{path}: this is a pickled PyTorch file, and unpickling can run any code; expected safetensors. Convert "
            "it with save_weights(new_path, torch.load(path, weights_only=True), {})"
        )
    try:
        opened = safe_open(str(path), framework="pt")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: the file is damaged or no safetensors file: {error}") from error
    with opened as file:
        yield file


def _metadata(path: str | Path, file: Any) -> dict[str, Any]:
    text = (file.metadata() or {}).get(METADATA_KEY, "{}")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: the metadata is not JSON: {error}") from error


def save_weights(
    path: str | Path, weights: nn.Module | Mapping[str, Tensor], metadata: Mapping[str, Any], *, half: bool = True
) -> Path:
    """Write a network's weights.

    weights: a module or a state dict. metadata: JSON; the course's own files name `system`, `stage`, `config`,
    `recipe`, `data`, `command` and `metrics`. half: floats become float16; integers and booleans stay as they are.
    Raises ValueError, naming the tensor, for a value that is not finite or too large for float16.
    """
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    stored = {}
    for name, tensor in state.items():
        stored[name] = tensor.detach().half() if half and tensor.is_floating_point() else tensor.detach()
        if not torch.isfinite(stored[name]).all():
            worst = float(tensor.detach().abs().max())
            raise ValueError(f"{path}: {name} holds a value that can't be stored as {stored[name].dtype}: {worst}")
    return write_tensors(path, stored, metadata)


def load_weights(path: str | Path, module: nn.Module, *, strict: bool = True) -> dict[str, Any]:
    """Copy the weights of a file into `module` (its own precision and device are kept) and return the metadata.

    strict: every name must be in both; otherwise names missing on either side are passed over. A wrong shape is always
    an error, and on an error the module is left as it was.
    Raises FileNotFoundError; ValueError naming the file and every missing, unexpected or wrongly shaped tensor.
    """
    tensors, metadata = read_tensors(path)
    own = module.state_dict()
    missing = [name for name in own if name not in tensors]
    unexpected = [name for name in tensors if name not in own]
    shapes = [
        f"{name} {tuple(tensors[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    faults = [("wrong shape", shapes)]
    if strict:
        faults = [("missing", missing), ("unexpected", unexpected), *faults]
    if any(names for _, names in faults):
        listed = "; ".join(f"{fault}: {_shortened(names)}" for fault, names in faults if names)
        raise ValueError(f"{path}: does not fit {type(module).__name__}: {listed}")
    with torch.no_grad():
        for name, tensor in own.items():
            if name in tensors:
                tensor.copy_(tensors[name])
    return metadata


def load_trained(
    path: str | Path,
    build: Callable[[dict[str, Any]], nn.Module],
    *,
    system: str,
    stage: str,
    command: str | None = None,
) -> tuple[nn.Module, dict[str, Any]]:
    """A trained network of the course, in eval mode and without gradients, and the metadata of its file.

    build(config): the network from the config, a mapping, that the file states. system, stage: whose the file must be.
    command: the line that makes the file, for the message where it isn't there.
    Raises FileNotFoundError; ValueError, naming the file, for one of another system or stage, without a config, damaged
    or with other tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file" + (f"; it is made by: {command}" if command else ""))
    metadata = read_metadata(path)
    found = (metadata.get("system"), metadata.get("stage"))
    if found != (system, stage) or "config" not in metadata:
        raise ValueError(
            f"{path}: expected weights of system {system!r}, stage {stage!r}, got {found[0]!r}, {found[1]!r}"
        )
    module = build(metadata["config"])
    load_weights(path, module)
    return module.eval().requires_grad_(False), metadata


def _shortened(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
