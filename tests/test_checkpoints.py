"""Weights files: round trips, precision, and clear errors for everything that can be wrong with one."""

import os
import pickle
import stat

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vtonlib.checkpoints import (
    load_weights,
    read_metadata,
    read_tensors,
    replacing,
    save_weights,
    write_tensors,
)


def network(seed: int = 0, width: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Linear(5, 2))


def test_round_trip_in_full_precision_is_exact(tmp_path):
    source, target = network(0), network(1)
    source(torch.randn(2, 3, 7, 7))  # moves the running statistics
    metadata = {"system": "cp-vton", "recipe": {"lr": 0.1, "sizes": [[128, 96]]}, "metrics": {}}
    save_weights(tmp_path / "a.safetensors", source, metadata, half=False)
    assert load_weights(tmp_path / "a.safetensors", target) == metadata
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name


def test_half_precision_is_rounded_floats_and_untouched_integers(tmp_path):
    source, target = network(0), network(1)
    source[1].num_batches_tracked.fill_(70_001)  # more than float16 can hold
    path = save_weights(tmp_path / "a.safetensors", source, {})
    stored, _ = read_tensors(path)
    assert stored["0.weight"].dtype == torch.float16
    assert stored["1.num_batches_tracked"].dtype == torch.int64
    load_weights(path, target)
    assert target[0].weight.dtype == torch.float32
    assert torch.equal(target[0].weight, source[0].weight.half().float())
    assert int(target[1].num_batches_tracked) == 70_001


def test_half_the_bytes(tmp_path):
    module = nn.Linear(200, 200)
    small = save_weights(tmp_path / "half.safetensors", module, {}).stat().st_size
    large = save_weights(tmp_path / "full.safetensors", module, {}, half=False).stat().st_size
    assert small < 0.52 * large


def test_the_same_input_gives_the_same_bytes(tmp_path):
    metadata = {name: index for index, name in enumerate("zyxwvutsr")}
    files = [save_weights(tmp_path / f"{i}.safetensors", network(), metadata) for i in range(2)]
    files.append(save_weights(tmp_path / "2.safetensors", network(), dict(reversed(metadata.items()))))
    assert files[0].read_bytes() == files[1].read_bytes() == files[2].read_bytes()


@pytest.mark.parametrize("value", [1e6, float("nan"), float("inf")])
def test_a_value_that_half_precision_cannot_hold_is_refused_by_name(tmp_path, value):
    module = network()
    module[0].bias.data[1] = value
    with pytest.raises(ValueError, match=r"a\.safetensors: 0\.bias"):
        save_weights(tmp_path / "a.safetensors", module, {})
    assert list(tmp_path.iterdir()) == []


def test_metadata_that_is_not_json_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        save_weights(tmp_path / "a.safetensors", network(), {"path": tmp_path})
    with pytest.raises(ValueError, match="JSON"):
        save_weights(tmp_path / "a.safetensors", network(), {"iou": float("nan")})


def test_names_and_shapes_that_do_not_fit_are_listed_and_nothing_is_loaded(tmp_path):
    state = network(0).state_dict()
    state["extra.weight"] = torch.zeros(1)
    del state["2.bias"]
    state["0.weight"] = torch.zeros(9, 3, 3, 3)
    path = save_weights(tmp_path / "a.safetensors", state, {})
    target = network(1)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(ValueError) as caught:
        load_weights(path, target)
    message = str(caught.value)
    for part in ("a.safetensors", "missing: 2.bias", "unexpected: extra.weight", "(9, 3, 3, 3), expected (4, 3, 3, 3)"):
        assert part in message
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())
    with pytest.raises(ValueError, match="wrong shape"):
        load_weights(path, target, strict=False)


def test_not_strict_passes_over_names(tmp_path):
    state = network(0).state_dict()
    state["extra.weight"] = torch.zeros(1)
    del state["2.bias"]
    target = network(1)
    bias = target[2].bias.clone()
    load_weights(save_weights(tmp_path / "a.safetensors", state, {}, half=False), target, strict=False)
    assert torch.equal(target[0].weight, state["0.weight"]) and torch.equal(target[2].bias, bias)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        load_weights(tmp_path / "none.safetensors", network())


class Trap:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_pickles_are_refused_whatever_their_name_and_never_run(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(Trap(tmp_path / "trap")))
    with pytest.raises(ValueError, match="pickled"):
        load_weights(tmp_path / name, network())
    torch.save(network().state_dict(), tmp_path / name)
    with pytest.raises(ValueError, match="pickled"):
        read_metadata(tmp_path / name)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("start", [b"\x80\x02", b"\x80\x04", b"PK"])
def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path, start):
    """The file begins with that length: one of 32 has a first byte that a pickle would have."""
    path, length = tmp_path / "a.safetensors", int.from_bytes(start, "little")
    write_tensors(path, {"a": torch.ones(2)}, {"filler": ""})
    missing = length - int.from_bytes(path.read_bytes()[:8], "little")
    write_tensors(path, {"a": torch.ones(2)}, {"filler": "x" * missing})
    assert path.read_bytes().startswith(start)
    assert read_metadata(path)["filler"].startswith("x") and torch.equal(read_tensors(path)[0]["a"], torch.ones(2))


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_truncated_file_is_an_error_that_names_it(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damage") / "a.safetensors"
    save_weights(path, nn.Linear(3, 2), {"system": "cp-vton"})
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match=r"a\.safetensors"):
        load_weights(path, nn.Linear(3, 2))


def test_metadata_from_elsewhere(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "other.safetensors", metadata={"format": "pt"})
    assert read_metadata(tmp_path / "other.safetensors") == {}
    save_file({"a": torch.ones(2)}, tmp_path / "broken.safetensors", metadata={"vtonlib": "{"})
    with pytest.raises(ValueError, match=r"broken\.safetensors: the metadata is not JSON"):
        read_metadata(tmp_path / "broken.safetensors")


def test_replacing_keeps_the_old_file_on_an_error_and_leaves_no_litter(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    with replacing(path) as temporary:
        assert temporary.suffix == ".txt" and not path.exists()
        temporary.write_text("old")
    with pytest.raises(KeyError), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyError
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="permissions are a POSIX matter")
def test_replacing_respects_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_views_and_shared_tensors_can_be_written(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    write_tensors(tmp_path / "a.safetensors", {"a": base.T, "b": base[1:], "c": base}, {})
    tensors, _ = read_tensors(tmp_path / "a.safetensors")
    assert torch.equal(tensors["a"], base.T) and torch.equal(tensors["b"], base[1:]) and torch.equal(tensors["c"], base)
