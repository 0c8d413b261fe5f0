"""vtonlib.poses: files there and back, poses brought to another person, limbs that turn."""

import math

import numpy as np
import pytest
import torch
from synthetic import standing_pose

from vtonlib.labels import BODY_25, BODY_25_INDEX, BODY_25_LIMBS, COCO_18_FROM_BODY_25
from vtonlib.layouts import DamagedFile
from vtonlib.layouts.files import encode_keypoints
from vtonlib.poses import (
    check_pose,
    descendants,
    fit_pose,
    limb_angle,
    load_pose,
    move_joint,
    rotate_limb,
    save_pose,
)

SIZE = (256, 192)


@pytest.fixture
def pose() -> torch.Tensor:
    pose = torch.from_numpy(standing_pose(SIZE))
    pose[BODY_25_INDEX["left-ear"]] = 0  # missing
    return pose


def of(pose, joint):
    return pose[BODY_25_INDEX[joint]]


def lengths(pose):
    return torch.stack([(pose[start, :2] - pose[end, :2]).norm() for start, end in BODY_25_LIMBS])


# ---- files -----------------------------------------------------------------------------------------------------------


def test_a_saved_pose_is_read_again(pose, tmp_path):
    path = save_pose(tmp_path / "new" / "pose.json", pose)
    torch.testing.assert_close(load_pose(path, SIZE), pose, atol=6e-4, rtol=0)
    assert load_pose(str(path)).dtype == torch.float32


def test_joints_outside_the_photograph_are_not_seen(pose, tmp_path):
    pose[4] = torch.tensor([100.0, 300.0, 0.9])  # below the edge
    pose[7] = torch.tensor([-3.0, 100.0, 0.9])
    path = save_pose(tmp_path / "pose.json", pose)
    read = load_pose(path, SIZE)
    assert read[4].tolist() == [100, 300, 0] and read[7].tolist() == [-3, 100, 0]
    unknown = load_pose(path)
    assert unknown[4, 2] == pytest.approx(0.9) and unknown[7, 2] == 0, "left of the edge is outside of any picture"


def test_the_18_points_of_coco(pose, tmp_path):
    path = tmp_path / "old.json"
    text = encode_keypoints(pose.numpy(), None, coco=True).decode()
    path.write_text(text.replace("pose_keypoints_2d", "unused"))
    read = load_pose(path, SIZE)
    both = list(COCO_18_FROM_BODY_25)
    torch.testing.assert_close(read[both], pose[both], atol=6e-4, rtol=0)
    torch.testing.assert_close(of(read, "mid-hip")[:2], (of(pose, "right-hip") + of(pose, "left-hip"))[:2] / 2,
                               atol=1e-3, rtol=0)  # fmt: skip
    assert (read[19:] == 0).all(), "COCO has no feet"


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nobody\.json"):
        load_pose(tmp_path / "nobody.json")
    (tmp_path / "two.json").write_text('{"people": [{}, {}]}')
    with pytest.raises(DamagedFile, match=r"two\.json: expected one person, got 2 people"):
        load_pose(tmp_path / "two.json", SIZE)
    with pytest.raises(ValueError, match=r"pose: expected floats of shape \(25, 3\), got torch.float32 \(18, 3\)"):
        save_pose(tmp_path / "short.json", torch.zeros(18, 3))
    with pytest.raises(ValueError, match="NaN or infinity"):
        save_pose(tmp_path / "nan.json", torch.full((25, 3), math.nan))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two.json"]


# ---- what a picture shows --------------------------------------------------------------------------------------------


def test_check_pose_hides_what_lies_outside(pose):
    pose[4], pose[7] = torch.tensor([191.4, 255.4, 0.9]), torch.tensor([191.6, 100.0, 0.9])
    checked = check_pose(pose, SIZE)
    assert torch.equal(checked[:, :2], pose[:, :2])
    assert checked[4, 2] == pytest.approx(0.9) and checked[7, 2] == 0
    others = [joint for joint in range(25) if joint != 7]
    assert torch.equal(checked[others], pose[others])
    assert torch.equal(check_pose(checked, SIZE), checked)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pose: pose[:18], r"expected floats of shape \(25, 3\)"),
        (lambda pose: pose.long(), r"expected floats of shape \(25, 3\), got torch.int64"),
        (lambda pose: pose * math.inf, "expected finite numbers"),
        (lambda pose: pose * torch.tensor([1, 1, -1]), r"expected confidences of 0 or more, got -0\.9"),
        (lambda pose: pose + torch.tensor([2000.0, 0, 0]), "expected joints in or near a picture of 256 x 192, got"),
        (lambda pose: pose + torch.tensor([300.0, 0, 0]), "expected a joint seen within 256 x 192, got none"),
    ],
)
def test_check_pose_refuses(pose, change, message):
    with pytest.raises(ValueError, match=message):
        check_pose(change(pose), SIZE)


# ---- somebody else's pose --------------------------------------------------------------------------------------------


def test_a_pose_scaled_and_moved_comes_back(pose):
    """Whatever the size and place of a pose, fitting it to the pose itself undoes them; what is missing stays so."""
    known = pose[:, :2].abs().sum(1) > 0
    for scale, shift in ((0.25, (400.0, -30.0)), (3.0, (-50.0, 700.0))):
        other = pose.clone()
        other[known, :2] = pose[known, :2] * scale + torch.tensor(shift)
        fitted = fit_pose(other, pose)
        torch.testing.assert_close(fitted, pose, atol=2e-3, rtol=0)
        assert fitted[BODY_25_INDEX["left-ear"]].tolist() == [0, 0, 0]


def test_torso_and_neck_match_and_angles_stay(pose):
    dancer = rotate_limb(rotate_limb(pose, "right-elbow", 100), "left-wrist", -70)
    dancer[:, :2] = torch.where(dancer[:, :2] != 0, dancer[:, :2] * 2.5 + 11, 0)
    fitted = fit_pose(dancer, pose)
    torch.testing.assert_close(of(fitted, "neck"), of(pose, "neck"))
    torch.testing.assert_close(lengths(fitted)[0], lengths(pose)[0])  # neck to mid-hip
    for joint in ("right-elbow", "left-wrist", "mid-hip"):
        assert limb_angle(fitted, joint) == pytest.approx(limb_angle(dancer, joint), abs=1e-3)
    assert torch.equal(fitted[:, 2], dancer[:, 2])


def test_the_torso_comes_before_the_shoulders_and_the_neck_before_their_middle(pose):
    other = pose.clone()
    other[2, 0] -= 20  # shoulders twice as wide, torso as it was
    torch.testing.assert_close(fit_pose(other, pose), other)
    hipless, wide = pose.clone(), pose.clone()
    hipless[8, 2] = 0
    wide[:, :2] *= 3  # the torso, too, but the reference doesn't show it
    wide[1, :2] += torch.tensor([6.0, 9.0])  # the neck isn't between the shoulders
    fitted = fit_pose(wide, hipless)
    torch.testing.assert_close((fitted[2] - fitted[5])[:2].norm(), (pose[2] - pose[5])[:2].norm())
    torch.testing.assert_close(fitted[1, :2], pose[1, :2])
    hipless[1, 2] = 0
    fitted = fit_pose(wide, hipless)
    torch.testing.assert_close(fitted[[2, 5], :2], pose[[2, 5], :2])
    torch.testing.assert_close(fitted[1, :2], pose[1, :2] + torch.tensor([2.0, 3.0]))


def test_nothing_to_measure_by_is_an_error(pose):
    head = pose.clone()
    head[1:15, 2] = 0
    head[19:, 2] = 0
    with pytest.raises(ValueError, match=r"neck and mid-hip, or both shoulders.*the pose shows nose, right-eye"):
        fit_pose(head, pose)
    with pytest.raises(ValueError, match="the reference shows no joint"):
        fit_pose(pose, torch.zeros(25, 3))
    flat = pose.clone()
    flat[8, :2] = flat[1, :2]
    flat[2, :2] = flat[5, :2]
    with pytest.raises(ValueError, match="a pixel or more apart"):
        fit_pose(flat, pose)
    with pytest.raises(ValueError, match="reference: expected floats of shape"):
        fit_pose(pose, pose[None])


# ---- limbs -----------------------------------------------------------------------------------------------------------


def test_the_body_is_a_tree_that_hangs_on_the_neck():
    assert descendants("neck") == list(range(25))
    names = lambda joint: {BODY_25[index] for index in descendants(joint)}  # noqa: E731
    assert names("right-elbow") == {"right-elbow", "right-wrist"} and names("left-wrist") == {"left-wrist"}
    assert names("nose") == {"nose", "right-eye", "left-eye", "right-ear", "left-ear"}
    assert names("left-ankle") == {"left-ankle", "left-big-toe", "left-small-toe", "left-heel"}
    assert sum(len(descendants(BODY_25[end])) for start, end in BODY_25_LIMBS if start == 1) == 24


def test_a_quarter_turn_by_hand(pose):
    pose[2], pose[3], pose[4] = (torch.tensor([*xy, 0.9]) for xy in ((50.0, 80.0), (50.0, 110.0), (40.0, 140.0)))
    turned = rotate_limb(pose, "right-elbow", 90)  # clockwise in the picture: hanging down becomes pointing left
    torch.testing.assert_close(turned[3, :2], torch.tensor([20.0, 80.0]))
    torch.testing.assert_close(turned[4, :2], torch.tensor([-10.0, 70.0]))
    others = [joint for joint in range(25) if joint not in (3, 4)]
    assert torch.equal(turned[others], pose[others]) and torch.equal(turned[:, 2], pose[:, 2])
    assert limb_angle(pose, "right-elbow") == pytest.approx(90) and abs(limb_angle(turned, "right-elbow")) == 180


@pytest.mark.parametrize("joint", ["right-elbow", "left-wrist", "mid-hip", "nose", "right-knee"])
def test_turning_keeps_lengths_and_can_be_undone(pose, joint):
    turned = rotate_limb(pose, joint, 37)
    missing = torch.tensor([BODY_25_INDEX["left-ear"] in limb for limb in BODY_25_LIMBS])
    torch.testing.assert_close(lengths(turned)[~missing], lengths(pose)[~missing], atol=1e-3, rtol=0)
    assert (limb_angle(turned, joint) - limb_angle(pose, joint)) % 360 == pytest.approx(37, abs=1e-3)
    torch.testing.assert_close(rotate_limb(turned, joint, -37), pose, atol=1e-3, rtol=0)
    torch.testing.assert_close(rotate_limb(rotate_limb(pose, joint, 20), joint, 17), turned, atol=1e-3, rtol=0)
    assert turned[BODY_25_INDEX["left-ear"]].tolist() == [0, 0, 0]


def test_the_order_of_turns_does_not_matter(pose):
    one = rotate_limb(rotate_limb(pose, "left-elbow", 50), "left-wrist", -80)
    torch.testing.assert_close(rotate_limb(rotate_limb(pose, "left-wrist", -80), "left-elbow", 50), one)


def test_a_moved_joint_takes_along_what_hangs_on_it(pose):
    moved = move_joint(pose, "right-elbow", 10.0, 20.0)
    assert moved[3, :2].tolist() == [10, 20]
    torch.testing.assert_close(moved[4, :2] - moved[3, :2], pose[4, :2] - pose[3, :2])
    assert np.array_equal((moved != pose).any(1).nonzero().flatten(), [3, 4])
    whole = move_joint(pose, "neck", *(pose[1, :2] + 5).tolist())
    there = pose[:, :2].abs().sum(1) > 0
    torch.testing.assert_close(whole[there, :2], pose[there, :2] + 5)
    assert whole[~there].tolist() == [[0, 0, 0]]


def test_limbs_that_cannot_be_turned(pose):
    with pytest.raises(ValueError, match=r"joint: expected one of nose, neck.*got 'elbow'"):
        rotate_limb(pose, "elbow", 10)
    with pytest.raises(ValueError, match="got 'neck', on which everything hangs"):
        rotate_limb(pose, "neck", 10)
    with pytest.raises(ValueError, match="'left-ear' is missing in this pose"):
        rotate_limb(pose, "left-ear", 10)
    pose[3] = 0
    with pytest.raises(ValueError, match="'right-elbow' is missing"):
        rotate_limb(pose, "right-wrist", 10)
    with pytest.raises(ValueError, match=r"right-wrist at \(0, 0\) would be a missing joint"):
        move_joint(pose, "right-wrist", 0, 0)
