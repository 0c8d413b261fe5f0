"""The pose to change by hand: what turns, what is undone and saved, what the sliders do, what is drawn."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic import standing_pose

from vtonlib.course.pose_widget import DIMMED, PoseEditor, draw_over, edit_pose, pose_strip
from vtonlib.labels import BODY_25_INDEX
from vtonlib.poses import load_pose, move_joint, rotate_limb

SIZE = (128, 96)
PHOTOGRAPH = torch.full((3, *SIZE), 0.8)


@pytest.fixture
def pose() -> torch.Tensor:
    pose = torch.from_numpy(standing_pose(SIZE))
    pose[BODY_25_INDEX["left-ear"]] = 0
    return pose


@pytest.fixture
def editor(pose) -> PoseEditor:
    return PoseEditor(PHOTOGRAPH, pose, height=256)


def test_turning_moving_and_taking_back(editor, pose):
    editor.point("right-elbow", -90)  # straight up
    turned = rotate_limb(pose, "right-elbow", -90 - PoseEditor(PHOTOGRAPH, pose).angle("right-elbow"))
    torch.testing.assert_close(editor.pose[:, :2], turned[:, :2])
    assert editor.angle("right-elbow") == pytest.approx(-90, abs=1e-3)
    editor.move("left-wrist", 70.0, 30.0)
    assert editor.place("left-wrist") == (70.0, 30.0)
    torch.testing.assert_close(editor.pose[:, :2], move_joint(turned, "left-wrist", 70, 30)[:, :2])
    editor.undo()
    torch.testing.assert_close(editor.pose[:, :2], turned[:, :2])
    editor.undo()
    assert torch.equal(editor.pose[:, :2], pose[:, :2])
    editor.undo()  # nothing left to undo
    assert torch.equal(editor.pose[:, :2], pose[:, :2])


def test_a_sliders_whole_way_is_one_thing_to_undo(editor, pose):
    for degrees in (80, 60, 40):
        editor.point("right-elbow", degrees)
    editor.point("left-elbow", 20)
    editor.undo()
    assert editor.angle("right-elbow") == pytest.approx(40, abs=1e-3)
    editor.undo()
    assert torch.equal(editor.pose[:, :2], pose[:, :2])
    editor.point("right-elbow", 0)
    editor.reset()
    editor.undo()
    assert torch.equal(editor.pose[:, :2], pose[:, :2])


def test_a_hand_from_below_the_edge_is_seen_once_it_is_raised(pose):
    pose[4] = torch.tensor([25.0, 140.0, 0.0])
    editor = PoseEditor(PHOTOGRAPH, pose)
    assert editor.pose[4].tolist() == [25, 140, 0]
    editor.point("right-wrist", -45)
    assert editor.pose[4, 2] == 1 and editor.pose[4, 1] < editor.pose[3, 1]
    assert pose[4, 2] == 0, "the pose that was given is not changed"


def test_a_joint_hidden_within_the_picture_stays_hidden(pose):
    pose[4, 2] = 0
    editor = PoseEditor(PHOTOGRAPH, pose)
    editor.point("right-wrist", 0)
    assert editor.pose[4, 2] == 0


def test_joints_to_choose_from(editor):
    assert editor.joints[0] == "neck" and "left-ear" not in editor.joints and "right-wrist" in editor.joints
    alone = torch.zeros(25, 3)
    alone[4] = torch.tensor([20.0, 20.0, 1.0])
    with pytest.raises(ValueError, match="expected a limb whose ends are both known"):
        PoseEditor(PHOTOGRAPH, alone)


def test_what_leaves_the_picture_altogether_is_refused_and_changes_nothing(editor, pose):
    with pytest.raises(ValueError, match="got none"):
        editor.move("neck", 300.0, 64.0)
    assert torch.equal(editor.pose[:, :2], pose[:, :2])


def test_a_saved_pose_is_the_one_shown(editor, tmp_path):
    editor.point("right-elbow", -45)
    torch.testing.assert_close(load_pose(editor.save(tmp_path / "p.json"), SIZE), editor.pose, atol=6e-4, rtol=0)


def test_the_drawing_lies_on_the_joints_of_the_enlarged_photograph(editor, pose):
    picture, scale = draw_over(PHOTOGRAPH, pose, height=256)
    assert picture.shape == (256, 192, 3) and scale == 2
    assert picture[0, 0].tolist() == [round(204 * DIMMED)] * 3, "no bone here: the dimmed photograph"
    x, y = ((pose[3, :2] + 0.5) * 2 - 0.5).round().int().tolist()
    assert np.ptp(picture[y, x].astype(int)) > 100, "the elbow is in full colour"
    dotted = editor.picture("right-elbow")
    assert dotted[y, x].tolist() == [230, 159, 0], "the chosen joint is orange"


def test_the_still_twin(pose):
    poses = [pose, rotate_limb(pose, "right-elbow", 60), rotate_limb(pose, "left-elbow", -60)]
    strip = pose_strip(PHOTOGRAPH, poses, ["as it was", "right arm", "left arm"], height=128)
    assert strip.width >= 3 * 96 and strip.height >= 128
    panels = [np.asarray(pose_strip(PHOTOGRAPH, [one], height=128)).astype(int) for one in poses]
    assert min(np.abs(one - panels[0]).max() for one in panels[1:]) > 100


# ---- the sliders -----------------------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch):
    boxes = []
    monkeypatch.setattr("IPython.display.display", boxes.append)
    return boxes


def test_sliders_change_the_pose_and_follow_it(pose, shown, tmp_path):
    editor = edit_pose(PHOTOGRAPH, pose, height=256, path=tmp_path / "pose.json")
    image, controls = shown[0].children
    joint, angle, x, y, row, saving, said = controls.children
    undo, again = row.children
    save, path = saving.children
    first = image.value
    assert Image.open(io.BytesIO(first)).size == (192, 256)
    assert joint.value == "right-elbow" and angle.value == pytest.approx(editor.angle("right-elbow"))
    assert angle.continuous_update
    angle.value = -60
    assert editor.angle("right-elbow") == pytest.approx(-60, abs=1e-3) and image.value != first
    assert (x.value, y.value) == pytest.approx(editor.place("right-elbow"))
    before = editor.pose
    joint.value = "left-wrist"
    assert torch.equal(editor.pose, before), "choosing a joint changes nothing"
    x.value = 80
    assert editor.place("left-wrist")[0] == 80 and editor.place("left-wrist")[1] == pytest.approx(float(before[7, 1]))
    joint.value = "neck"
    assert angle.disabled
    undo.click()
    undo.click()
    assert torch.equal(editor.pose[:, :2], pose[:, :2])
    joint.value, angle.value = "right-elbow", 10
    save.click()
    assert said.value == f"written: {path.value}"
    torch.testing.assert_close(load_pose(path.value, SIZE), editor.pose, atol=6e-4, rtol=0)
    again.click()
    assert image.value == first and torch.equal(editor.pose[:, :2], pose[:, :2])


def test_what_goes_wrong_is_said_and_the_pose_stays(pose, shown, tmp_path):
    (tmp_path / "file").write_text("")
    editor = edit_pose(PHOTOGRAPH, pose, path=tmp_path / "file" / "pose.json")
    joint, _, x, _, _, saving, said = shown[0].children[1].children
    joint.value = "neck"
    start = x.value
    x.value = x.max  # the limit of the slider leaves the shoulders half a picture outside
    assert "expected a joint seen within" in said.value and x.value == start
    assert torch.equal(editor.pose[:, :2], pose[:, :2])
    saving.children[0].click()
    assert "file" in said.value and "written" not in said.value


def test_a_try_on_follows_each_change(pose, shown):
    asked = []

    def try_on(pose):
        asked.append(pose)
        return torch.full((3, *SIZE), min(1.0, 0.2 * len(asked)))

    editor = edit_pose(PHOTOGRAPH, pose, try_on=try_on, height=256)
    _, tryon, controls = shown[0].children
    joint, angle, *_ = controls.children
    assert len(asked) == 1 and not angle.continuous_update, "a try-on takes its time: only where a slider is let go"
    first = tryon.value
    joint.value = "left-elbow"
    assert len(asked) == 1
    angle.value = 30
    assert len(asked) == 2 and torch.equal(asked[1], editor.pose) and tryon.value != first
