"""The command line on a small data set: what it writes, and one clear line for everything that is wrong."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic import REAL, make_raw, needs_real

from vtonlib.__main__ import cropped, main, size_of
from vtonlib.checkpoints import read_metadata
from vtonlib.course.profiles import PROJECT
from vtonlib.data import open_dataset
from vtonlib.layouts import write_pairs, write_sample
from vtonlib.systems import load_system

SIZE = (128, 96)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for split, count in (("train", 4), ("test", 3)):
        names = [f"{split}{i}_00" for i in range(count)]
        for i, name in enumerate(names):
            write_sample(root / split, make_raw(name, size=SIZE, seed=10 * i))
        shifted = names[1:] + names[:1]
        write_pairs(root / f"{split}_pairs.txt", [(f"{a}.jpg", f"{b}.jpg") for a, b in zip(names, shifted)])
    return root


def run(*words) -> int:
    return main([str(word) for word in words])


def picture(path) -> np.ndarray:
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB")).astype(int)


def test_try_on_writes_every_pair_and_a_sheet(data, tmp_path, capsys):
    assert run("try-on", "--data", data, "--out", tmp_path, "--weights", "none", "--size", "128x96", "--rows", 2) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "sheet-000.png",
        "sheet-001.png",
        "test0_00_test1_00.png",
        "test1_00_test2_00.png",
        "test2_00_test0_00.png",
    ]
    assert picture(tmp_path / names[0]).shape == (2 * 132 - 4, 4 * 100 - 4, 3)
    assert picture(tmp_path / names[1]).shape == (128, 4 * 100 - 4, 3)
    assert "3 pictures" in capsys.readouterr().out
    raw = make_raw("test0_00", size=SIZE, seed=0)
    shown = picture(tmp_path / "test0_00_test1_00.png")
    assert np.abs(shown[raw.parse == 13] - raw.image[raw.parse == 13]).mean() < 4, "the face is the photograph's"
    dataset = open_dataset(data, split="test", pairing="unpaired", size=SIZE)
    expected = load_system("cp-vton", weights=None).try_on(dataset[0]).tryon
    levels = ((expected + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert np.abs(shown - levels).max() <= 1, "the file holds what the system gives for the first pair"


def test_try_on_limit_and_pairing(data, tmp_path):
    words = ("try-on", "--data", data, "--out", tmp_path, "--weights", "none", "--size", "128x96", "--limit", 1)
    assert run(*words, "--pairing", "paired", "--split", "train") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sheet-000.png", "train0_00_train0_00.png"]


def test_padding_is_cut_off():
    assert torch.equal(cropped(torch.arange(20).reshape(1, 4, 5), (1, 2, 0, 1)), torch.tensor([[[11, 12, 13, 14]]]))
    assert cropped(torch.zeros(3, 4, 5), (0, 0, 0, 0)).shape == (3, 4, 5)


def test_train_then_evaluate_then_try_on(data, tmp_path, capsys):
    words = ["train", "gmm", "--data", data, "--out", tmp_path / "run", "--profile", "smoke", "--device", "cpu"]
    assert run(*words, "--steps", 2, 1, "--flow-weight", 0.5) == 0
    weights = tmp_path / "run" / "cp-vton-gmm.safetensors"
    metadata = read_metadata(weights)
    assert metadata["command"].startswith(f"python -m vtonlib train gmm --data {data}")
    assert [stage["steps"] for stage in metadata["recipe"]["stages"]] == [2, 1]
    assert metadata["recipe"]["flow_weight"] == 0.5 and metadata["recipe"]["mask_weight"] == 1.0
    output = capsys.readouterr().out
    assert "2/2" in output and str(weights) in output

    words = ["--data", data, "--weights", weights, "--size", "128x96", "--device", "cpu"]
    assert run("evaluate", *words, "--out", tmp_path / "report") == 0
    output = capsys.readouterr().out
    assert "3 samples at 128x96" in output and "oracle" in output
    with (tmp_path / "report" / "cp-vton-warp.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 12
    report = json.loads((tmp_path / "report" / "cp-vton-warp.json").read_text())
    assert report["system"] == "cp-vton" and report["data"]["split"] == "test"
    assert report["weights"]["gmm"]["command"] == metadata["command"]
    assert report["command"].startswith(f"python -m vtonlib evaluate --data {data}")
    assert run("evaluate", *words, "--what", "try-on", "--pairing", "paired", "--out", tmp_path / "report") == 0
    report = json.loads((tmp_path / "report" / "cp-vton-tryon.json").read_text())
    assert report["samples"] == {"paired": 3} and set(report["summary"]["paired"]["all"]) == {
        "agnostic", "paste", "cp-vton"
    }  # fmt: skip
    assert run("try-on", *words, "--out", tmp_path / "pictures", "--limit", 1) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["try-on", "--data", "DATA/none", "--out", "OUT", "--weights", "none"], "none"),
        (
            ["try-on", "--data", "DATA", "--out", "OUT", "--weights", "w.safetensors"],
            "w.safetensors: no such weights file",
        ),
        (["try-on", "--data", "DATA", "--out", "OUT", "--system", "mg-vton"], "'mg-vton' is not built yet"),
        (["try-on", "--data", "DATA", "--out", "OUT", "--config", "paper"], "can't combine config='paper'"),
        (["evaluate", "--data", "DATA", "--weights", "none", "--device", "tpu9"], "device 'tpu9'"),
        (["train", "gmm", "--data", "DATA", "--out", "OUT", "--steps", "3"], "--steps: expected 2 numbers"),
        (["train", "gmm", "--data", "DATA", "--out", "OUT", "--limit", "1"], "at least 2 samples"),
        (["studio", "--out", "OUT", "--people", "3"], "people: expected at least 8"),
        (["studio", "--out", "OUT", "--layout", "tapestry"], "layout: expected one of"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(data, tmp_path, capsys, words, told):
    places = {"DATA": str(data), "OUT": str(tmp_path / "out")}
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1 and error.startswith(f"vtonlib {words[0]}: ")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["train"],
        ["try-on", "--out", "x"],
        ["evaluate", "--data", "x", "--size", "256"],
        ["evaluate", "--data", "x", "--size", "0x4"],
        ["evaluate", "--data", "x", "--limit", "0"],
        ["try-on", "--data", "x", "--out", "y", "--pairing", "both"],
        ["train", "gmm", "--data", "x", "--out", "y", "--flow-weight", "-1"],
        ["train", "gmm", "--data", "x", "--out", "y", "--mask-weight", "much"],
    ],
)
def test_wrong_arguments_are_told_by_the_parser(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2 and "usage: python -m vtonlib" in capsys.readouterr().err


def test_sizes():
    assert size_of("256x192") == (256, 192) and size_of("1024X768") == (1024, 768)


def test_a_damaged_data_set_is_named_without_a_traceback(data, tmp_path):
    """In a process of its own, as a user runs it."""
    import shutil

    root = tmp_path / "damaged"
    shutil.copytree(data, root)
    photograph = root / "test" / "image" / "test0_00.jpg"
    photograph.write_bytes(photograph.read_bytes()[:200])
    words = ["try-on", "--data", str(root), "--out", str(tmp_path / "out"), "--weights", "none", "--device", "cpu"]
    told = subprocess.run(
        [sys.executable, "-m", "vtonlib", *words], cwd=PROJECT, capture_output=True, text=True, timeout=120
    )
    assert told.returncode == 2 and "Traceback" not in told.stderr
    assert "test0_00.jpg" in told.stderr.splitlines()[-1]


@pytest.mark.real
@needs_real
def test_real_photographs(tmp_path):
    assert run("try-on", "--data", REAL, "--out", tmp_path, "--weights", "none", "--limit", 2) == 0
    results = [path for path in tmp_path.iterdir() if not path.name.startswith("sheet")]
    assert len(results) == 2 and all(picture(path).shape == (256, 192, 3) for path in results)
