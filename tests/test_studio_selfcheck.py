"""The self-check passes a good data set and names what was planted in a bad one; the data card keeps step."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtonlib.__main__ import main
from vtonlib.labels import LIP_PALETTE
from vtonlib.layouts import decode_flow, encode_flow
from vtonlib.studio import Studio
from vtonlib.studio.card import card_text, composition, data_card, with_composition
from vtonlib.studio.selfcheck import check_data_set, count_rejected

SIZE = (128, 96)
NAME = "000000_00"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    root = tmp_path_factory.mktemp("selfcheck") / "good"
    return Studio(seed=3).write(root, people=8, size=SIZE, processes=1, progress=False)


@pytest.fixture
def copy(good, tmp_path):
    return Path(shutil.copytree(good, tmp_path / "copy"))


def failing(root: Path, again: int = 0) -> set[str]:
    return {check.name for check in check_data_set(root, again).checks if check.failures}


def edit_png(path: Path, change) -> None:
    picture = Image.open(path)
    pixels = change(np.array(picture))
    edited = Image.fromarray(pixels)
    if picture.mode == "P":
        edited.putpalette([channel for colour in LIP_PALETTE for channel in colour])
    edited.save(path)


def test_a_good_data_set_passes(good):
    result = check_data_set(good, again=1)
    assert result.failures == ()
    checks = {check.name: check for check in result.checks}
    assert checks["files can be read"].count == checks["manifest = records"].count == 8
    assert checks["same bytes"].count > 12
    assert 0 < checks["flow to the same fabric"].worst < 0.1
    assert "flow to the same fabric" in result.table() and "by reason" in result.table()


def test_command_prints_a_table_and_fails(copy, capsys):
    assert main(["studio", "--check", str(copy), "--again", "0"]) == 0
    assert "keypoints on DensePose" in capsys.readouterr().out
    (copy / "train" / "truth-depth" / f"{NAME}.png").unlink()
    assert main(["studio", "--check", str(copy), "--again", "0"]) == 1
    assert f"FAILED files can be read: {NAME}: FileNotFoundError" in capsys.readouterr().out
    assert main(["studio", "--check", str(copy / "train")]) == 2
    assert main(["studio"]) == 2


def move_keypoint(root: Path) -> None:
    path = root / "train" / "openpose_json" / f"{NAME}_keypoints.json"
    document = json.loads(path.read_text())
    points = document["people"][0]["pose_keypoints_2d"]
    visible = next(k for k in range(25) if points[3 * k + 2] > 0.9)
    points[3 * visible : 3 * visible + 2] = [3.0, 120.0]
    path.write_text(json.dumps(document))


def move_wrist(root: Path) -> None:
    path = root / "train" / "openpose_json" / f"{NAME}_keypoints.json"
    document = json.loads(path.read_text())
    document["people"][0]["hand_left_keypoints_2d"][0] += 2
    path.write_text(json.dumps(document))


def swap_arms(root: Path) -> None:
    swap = np.arange(20, dtype=np.uint8)
    swap[[14, 15, 16, 17, 13]] = [15, 14, 17, 16, 14]
    for path in (root / "train" / "image-parse-v3").iterdir():
        edit_png(path, lambda parse: swap[parse])


def shift_depth(root: Path) -> None:
    edit_png(root / "train" / "truth-depth" / f"{NAME}.png", lambda depth: np.roll(depth, 2, axis=1))


def fill_depth_with_steps(root: Path) -> None:
    def steps(depth):
        stairs = (np.indices(depth.shape).sum(0) // 3 % 2 * 1000).astype(depth.dtype)
        return np.where(depth > 0, depth + stairs, depth)

    edit_png(root / "train" / "truth-depth" / f"{NAME}.png", steps)


def hide_everything(root: Path) -> None:
    edit_png(root / "train" / "truth-hidden" / f"{NAME}.png", lambda hidden: np.full_like(hidden, 255))


def flip_flow(root: Path) -> None:
    def flip(stored):
        flow = decode_flow(stored)
        flow[..., 0] = SIZE[1] - 1 - flow[..., 0]
        return encode_flow(flow)

    for path in (root / "train" / "flow").iterdir():
        edit_png(path, flip)


def push_flow_out(root: Path) -> None:
    edit_png(root / "train" / "flow" / f"{NAME}.png",
             lambda stored: encode_flow(np.where(np.isnan(decode_flow(stored)), np.nan, 1.0)))  # fmt: skip


def forget_a_row(root: Path) -> None:
    lines = (root / "manifest.csv").read_text().splitlines()
    (root / "manifest.csv").write_text("\n".join(lines[:-1]) + "\n")


def lose_a_person(root: Path) -> None:
    (root / "samples" / "000000.json").unlink()


def miscount(root: Path) -> None:
    about = json.loads((root / "studio.json").read_text())
    (root / "studio.json").write_text(json.dumps({**about, "rejected": {"hole": 99}}))


def share_a_garment(root: Path) -> None:
    for kind in ("cloth", "cloth-mask"):
        shutil.copy(root / "train" / kind / f"{NAME}.jpg", root / "test" / kind)
    (root / "test_pairs.txt").write_text(f"000003_00.jpg {NAME}.jpg\n")


@pytest.mark.parametrize(
    "plant, check",
    [
        (move_keypoint, "keypoints on DensePose"), (move_keypoint, "keypoints on labels"),
        (move_wrist, "wrists of body and hands"), (swap_arms, "labels on DensePose"), (shift_depth, "silhouettes"),
        (fill_depth_with_steps, "depth steps without edge"), (hide_everything, "hidden"),
        (flip_flow, "flow turned over"), (push_flow_out, "flow off the garment"),
        (forget_a_row, "manifest = records"), (lose_a_person, "people"), (miscount, "counts"),
        (share_a_garment, "splits"),
    ],
    ids=lambda value: value.__name__ if callable(value) else value.replace(" ", "-"),
)  # fmt: skip
def test_a_planted_error_is_found(copy, plant, check):
    plant(copy)
    assert check in failing(copy)


def test_a_changed_file_and_a_shifted_flow_are_found_by_making_it_again(copy):
    def shift(stored):
        flow = decode_flow(stored)
        return encode_flow(np.clip(flow + np.float32(0.75), -0.5, SIZE[1] - 1))

    edit_png(copy / "train" / "flow" / f"{NAME}.png", shift)
    failures = check_data_set(copy, again=1).failures
    assert any(failure.startswith(f"same bytes: train/flow/{NAME}.png") for failure in failures)
    assert any(failure.startswith(f"flow to the same fabric: {NAME}") for failure in failures)


def test_rejected_poses_are_counted_by_reason_and_by_pose():
    by_reason, by_pose = count_rejected(["walk:limb", "raise:hole", "walk:hole", "walk:limb"])
    assert list(by_reason.items()) == [("hole", 2), ("limb", 2)]
    assert list(by_pose.items()) == [("raise", 1), ("walk", 3)]


def test_incomplete_and_foreign_folders_are_refused(copy, tmp_path):
    about = json.loads((copy / "studio.json").read_text())
    (copy / "studio.json").write_text(json.dumps({**about, "complete": False}))
    with pytest.raises(ValueError, match="complete"):
        check_data_set(copy)
    with pytest.raises(ValueError, match="complete"):
        data_card(copy)
    (copy / "studio.json").unlink()
    with pytest.raises(ValueError, match=r"studio\.json"):
        check_data_set(copy)
    with pytest.raises(FileNotFoundError):
        check_data_set(tmp_path / "nowhere")


def test_the_data_card_is_in_step_with_the_code(good):
    assert with_composition(card_text(), composition()) == card_text(), "run python -m vtonlib.studio.card"
    card = data_card(good)
    assert "people: 8" in card and "poses rejected, by reason" in card
    with pytest.raises(ValueError, match="one"):
        with_composition("no markers", "")
