"""Single files of a layout: flow, depth and keypoints come back, and what is damaged is refused by name."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import make_raw

from vtonlib.layouts import DamagedFile, decode_depth, decode_flow, encode_depth, encode_flow
from vtonlib.layouts.files import encode_keypoints, read_keypoints

# ---- flow ----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_flow_round_trip(seed, height, width):
    rng = np.random.default_rng(seed)
    flow = rng.uniform(-0.5, 1023.5, (height, width, 2)).astype(np.float32)
    flow[rng.random((height, width)) < 0.3] = np.nan
    stored = encode_flow(flow)
    assert stored.shape == (2 * height, width) and stored.dtype == np.uint16
    got = decode_flow(stored)
    np.testing.assert_allclose(got, flow, atol=1 / 64, rtol=0)
    inner = (flow > 0) & (flow < 1023)
    assert np.abs(got - flow)[inner].max(initial=0) <= 1 / 128
    np.testing.assert_array_equal(encode_flow(got), stored)


def test_flow_extremes_and_refusals():
    ends = np.float32([[[-0.5, 1023.5], [0, 1023]]])
    assert encode_flow(ends).tolist() == [[1, 32], [65535, 65504]]
    np.testing.assert_allclose(decode_flow(encode_flow(ends)), ends, atol=1 / 64)
    half_known = np.float32([[[np.nan, 3.0]]])
    assert not encode_flow(half_known).any()
    for flow in (np.zeros((3, 4)), np.float32([[[-0.6, 0]]]), np.float32([[[0, 1024]]]), np.float32([[[np.inf, 0]]])):
        with pytest.raises(ValueError, match="flow: expected"):
            encode_flow(flow)
    for stored in (np.zeros((3, 4), np.uint16), np.zeros((2, 4), np.uint8), np.uint16([[0], [5]])):
        with pytest.raises(ValueError, match="expected"):
            decode_flow(stored)


# ---- depth ---------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_depth_round_trip(seed, height, width):
    rng = np.random.default_rng(seed)
    depth = rng.uniform(1e-6, 13.107, (height, width)).astype(np.float32)
    depth[rng.random((height, width)) < 0.3] = 0
    stored = encode_depth(depth)
    got = decode_depth(stored)
    assert stored.dtype == np.uint16 and got.dtype == np.float32
    np.testing.assert_array_equal(got == 0, depth == 0)
    np.testing.assert_allclose(got[depth > 2e-4], depth[depth > 2e-4], atol=1.01e-4, rtol=0)
    np.testing.assert_array_equal(encode_depth(got), stored)


def test_depth_refusals():
    assert encode_depth(np.float32([[0, 1, 13.107]])).tolist() == [[0, 5000, 65535]]
    for depth in (np.zeros(3), np.float32([[-0.1]]), np.float32([[13.2]]), np.float32([[np.nan]])):
        with pytest.raises(ValueError, match="depth: expected"):
            encode_depth(depth)
    for stored in (np.zeros((3, 4), np.uint8), np.zeros(4, np.uint16)):
        with pytest.raises(ValueError, match="expected"):
            decode_depth(stored)


# ---- keypoints -----------------------------------------------------------------------------------------------------


def write_json(path, pose=None, **person):
    pose = [10.0, 20.0, 0.5] * 25 if pose is None else pose
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": pose, **person}]}))
    return path


def test_points_outside_keep_their_coordinates_and_are_not_seen(tmp_path):
    values = [10.0, 20.0, 0.9] * 25
    values[3:6], values[6:9], values[9:12] = [12.0, 70.0, 0.8], [-0.4, 63.4, 1.2], [0, 0, 0]
    pose, hands = read_keypoints(write_json(tmp_path / "k.json", values), (64, 48))
    np.testing.assert_array_equal(pose[1], np.float32([12, 70, 0]))
    np.testing.assert_array_equal(pose[2], np.float32([-0.4, 63.4, 1.2]))
    assert not pose[3].any() and pose[0, 2] == np.float32(0.9) and hands is None


def test_the_18_points_of_openpose_1_are_read(tmp_path):
    values = np.arange(54, dtype=float).reshape(18, 3) % [47, 63, 1] + [0.5, 0.5, 0.25]
    path = tmp_path / "k.json"
    path.write_text(json.dumps({"version": 1.0, "people": [{"pose_keypoints": values.ravel().tolist()}]}))
    pose, hands = read_keypoints(path, (64, 48))
    assert hands is None and not pose[19:].any()
    np.testing.assert_allclose(pose[[0, 1, 7, 9, 18]], values[[0, 1, 7, 8, 17]])
    np.testing.assert_allclose(pose[8, :2], (values[8, :2] + values[11, :2]) / 2)
    path.write_text(json.dumps({"people": [{"pose_keypoints": [0.0] * 54}]}))
    assert not read_keypoints(path, (64, 48))[0].any()  # no hips, no middle
    path.write_text(json.dumps({"people": [{"pose_keypoints": [1.0] * 53}]}))
    with pytest.raises(DamagedFile, match='18 x 3 numbers under "pose_keypoints", got 53 values'):
        read_keypoints(path, (64, 48))


def test_lenient_reading_takes_the_first_or_nobody(tmp_path):
    path = tmp_path / "k.json"
    people = [{"pose_keypoints_2d": [float(who), 5.0, 0.5] * 25} for who in (3, 7)]
    path.write_text(json.dumps({"people": people}))
    assert (read_keypoints(path, (64, 48), lenient=True)[0][:, 0] == 3).all()
    path.write_text(json.dumps({"people": []}))
    pose, hands = read_keypoints(path, (64, 48), lenient=True)
    assert pose.shape == (25, 3) and not pose.any() and hands is None


def test_both_pose_formats_are_written(tmp_path):
    pose = make_raw().pose
    (tmp_path / "k.json").write_bytes(encode_keypoints(pose, None, coco=True))
    person = json.loads((tmp_path / "k.json").read_text())["people"][0]
    assert len(person["pose_keypoints"]) == 54 and len(person["pose_keypoints_2d"]) == 75
    np.testing.assert_allclose(np.reshape(person["pose_keypoints"], (18, 3))[8], pose[9], atol=6e-4)
    np.testing.assert_allclose(read_keypoints(tmp_path / "k.json", (64, 48))[0], pose, atol=6e-4)


def test_one_hand_may_be_missing(tmp_path):
    path = write_json(tmp_path / "k.json", hand_right_keypoints_2d=[1.0, 2.0, 0.5] * 21, hand_left_keypoints_2d=[],
                      face_keypoints_2d=["ignored"])  # fmt: skip
    hands = read_keypoints(path, (64, 48))[1]
    assert not hands[0].any() and (hands[1] == np.float32([1, 2, 0.5])).all()


BROKEN = {
    "no JSON": "{",
    "a list": "[]",
    'list "people"': '{"people": 3}',
    "0 people": '{"people": []}',
    "2 people": '{"people": [{}, {}]}',
    "JSON object": '{"people": [7]}',
    "BODY_25": '{"people": [{}]}',
    "got 3 values": '{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}',
    "got str": '{"people": [{"pose_keypoints_2d": "1"}]}',
}


@pytest.mark.parametrize("message", [key for key in BROKEN if key != "a list"])
def test_broken_json_is_refused(tmp_path, message):
    path = tmp_path / "000001_00_keypoints.json"
    path.write_text(BROKEN[message])
    with pytest.raises(DamagedFile, match=message) as caught:
        read_keypoints(path, (64, 48))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "value, message",
    [(float("nan"), "finite"), (float("inf"), "finite"), (481.0, "in or near"), (-500, "in or near"), ("1", "numbers"),
     (True, "numbers"), (None, "numbers"), (10**400, "endless")],
)  # fmt: skip
def test_keypoints_that_are_no_place_are_refused(tmp_path, value, message):
    values = [10.0, 20.0, 0.9] * 25
    values[6] = value
    with pytest.raises(DamagedFile, match=message):
        read_keypoints(write_json(tmp_path / "k.json", values), (64, 48))
    hand = [10.0, 20.0, 0.9] * 21
    hand[6] = value
    with pytest.raises(DamagedFile, match=message):
        read_keypoints(write_json(tmp_path / "k.json", hand_left_keypoints_2d=hand), (64, 48))


def test_a_negative_confidence_is_refused(tmp_path):
    with pytest.raises(DamagedFile, match="confidences of 0 or more"):
        read_keypoints(write_json(tmp_path / "k.json", [10.0, 20.0, -0.1] * 25), (64, 48))


json_value = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
numbers = st.lists(st.floats() | st.floats(0, 48), min_size=74, max_size=76)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(json_value | st.fixed_dictionaries({"people": st.lists(
    st.fixed_dictionaries({"pose_keypoints_2d": numbers | json_value}, optional={"hand_left_keypoints_2d": json_value}),
    max_size=2)}))  # fmt: skip
def test_any_json_is_read_or_refused(tmp_path, document):
    path = tmp_path / "k.json"
    path.write_text(json.dumps(document))
    try:
        pose, hands = read_keypoints(path, (64, 48))
        assert pose.shape == (25, 3) and np.isfinite(pose).all() and (pose[:, 2] >= 0).all()
        assert hands is None or hands.shape == (2, 21, 3)
    except DamagedFile as error:
        assert str(path) in str(error)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_keypoints_round_trip(tmp_path, seed, with_hands):
    rng = np.random.default_rng(seed)
    pose = rng.uniform(0, [47, 63, 1], (25, 3)).astype(np.float32)
    hands = rng.uniform(0, [47, 63, 1], (2, 21, 3)).astype(np.float32) if with_hands else None
    path = tmp_path / "k.json"
    path.write_bytes(encode_keypoints(pose, hands))
    got_pose, got_hands = read_keypoints(path, (64, 48))
    np.testing.assert_allclose(got_pose, pose, atol=6e-4)
    assert got_hands is None if hands is None else np.abs(got_hands - hands).max() < 6e-4
