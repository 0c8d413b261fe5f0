"""Hair, accessories, hands and stances: what is worn sits on the head, and hands and poses differ."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from vtonlib.labels import LIP_INDEX
from vtonlib.studio.accessories import (
    HAT_SHARE,
    HATS,
    Accessories,
    accessory_meshes,
    draw_accessories,
    press_hair,
    wear,
)
from vtonlib.studio.body import (
    Phenotype,
    body_keypoints,
    body_pack,
    forward_kinematics,
    hand_keypoints,
    rest_body,
    skin_vertices,
    vertex_normals,
)
from vtonlib.studio.hair import build_hair, head_centre
from vtonlib.studio.hair_style import STYLES
from vtonlib.studio.hands import HANDS, draw_hand
from vtonlib.studio.people import MENS_HAIR, POSE_SHARE, WOMENS_HAIR, draw_identity
from vtonlib.studio.pose import POSES, BodyPose, pose_rotations, sample_pose
from vtonlib.studio.stances import APOSE_ARM, reach

MOST_TRIANGLES = 15800  # 30 % more than the most that a head of hair had in the first recipe


@pytest.fixture(scope="module")
def woman():
    return rest_body(Phenotype(gender=1.0, cupsize=0.4))


def turned_head():
    """Bone transforms that only move everything by one rigid motion."""
    transforms = np.tile(np.eye(4), (104, 1, 1))
    transforms[:, :3, 3] = (0.1, 0.2, 0.3)
    return transforms


@pytest.mark.parametrize("style", STYLES)
def test_hair_stays_within_its_budget(style, woman):
    hair = build_hair(woman, style, np.random.default_rng(1), length=0.3)
    assert len(hair.faces) < MOST_TRIANGLES
    assert np.isfinite(hair.uv).all()


def test_shares_of_hair_and_poses_name_what_there_is_and_sum_to_one():
    for share, known in ((WOMENS_HAIR, STYLES), (MENS_HAIR, STYLES), (POSE_SHARE, POSES)):
        assert set(share) <= set(known) and sum(share.values()) == pytest.approx(1)
    assert set(STYLES) == set(WOMENS_HAIR) | set(MENS_HAIR)


def test_tips_colour_the_ends_and_not_the_roots(woman):
    from test_studio_body import hit_at

    hair = build_hair(woman, "long", np.random.default_rng(0), colour=(0.1, 0.1, 0.1), tips=(0.9, 0.1, 0.1))
    normals = vertex_normals(hair.rest, hair.faces)
    used = np.flatnonzero(np.linalg.norm(normals, axis=1) > 0.5)
    albedo = hair.shader(hit_at(hair.rest[used], normals[used], hair.uv[used])).albedo
    red = albedo[:, 0] / albedo[:, 1]
    height = hair.rest[used, 2]
    assert np.median(red[height > np.quantile(height, 0.9)]) < 1.2
    assert np.median(red[height < np.quantile(height, 0.1)]) > 10


def test_long_hair_falls_before_or_behind_the_shoulders(woman):
    def ahead(seed):
        hair = build_hair(woman, "layered", np.random.default_rng(seed), length=0.35)
        return hair.rest[hair.hang > 0.8, 1].min() < -0.08

    fell = [ahead(seed) for seed in range(16)]
    assert 0 < sum(fell) < 16


@pytest.mark.parametrize("hat", HATS)
def test_hair_under_a_hat_lies_inside_it(hat, woman):
    accessories = Accessories(hat=hat, seed=3)
    crown = wear(accessories, woman)[0].piece.vertices
    centre = head_centre(woman)

    def outside(hair):
        top = hair.rest[hair.rest[:, 2] > centre[2] + 0.05]
        distance, nearest = cKDTree(crown).query(top)
        beyond = np.linalg.norm(top - centre, axis=1) - np.linalg.norm(crown[nearest] - centre, axis=1)
        return np.mean((beyond > 0) & (distance < 0.03))

    loose = build_hair(woman, "wavy", np.random.default_rng(2), length=0.3)
    assert outside(press_hair(loose, accessories, woman)) < 0.02 < outside(loose)
    assert press_hair(loose, Accessories(), woman) is loose


def test_accessories_are_labelled_and_move_with_their_bones(woman):
    worn = wear(Accessories(glasses="square", dark=True, hat="cap", earrings=0.015, watch="left"), woman)
    still, moved = accessory_meshes(worn, np.tile(np.eye(4), (104, 1, 1))), accessory_meshes(worn, turned_head())
    labels = [int(mesh.label[0]) for mesh in still]
    assert labels == [LIP_INDEX[n] for n in ("sunglasses", "sunglasses", "hat", "face", "left-arm", "left-arm")]
    for before, after in zip(still, moved):
        assert np.allclose(after.vertices - before.vertices, (0.1, 0.2, 0.3), atol=1e-5)
    clear = wear(Accessories(glasses="round"), woman)
    assert [thing.label for thing in clear] == [LIP_INDEX["face"]]


@pytest.mark.parametrize("glasses", ["round", "square", "aviator"])
def test_glasses_sit_before_the_eyes(glasses, woman):
    lenses = wear(Accessories(glasses=glasses, dark=True), woman)[1].piece.vertices
    eyes = woman.vertices[body_pack().eye_ids].reshape(2, -1, 3).mean(1)
    for eye in eyes:
        apart = np.abs(lenses[:, [0, 2]] - eye[[0, 2]]).max(1)
        assert apart.min() < 0.012
    assert lenses[:, 1].max() < woman.vertices[body_pack().eye_ids, 1].min() + 0.006


def test_draws_of_accessories_follow_the_look():
    who = replace(draw_identity(np.random.default_rng(4)), hair_style="short")
    hats = {look: np.mean([bool(draw_accessories(np.random.default_rng(k), who, look).hat) for k in range(600)])
            for look in HAT_SHARE}  # fmt: skip
    assert hats["studio"] == pytest.approx(0.04, abs=0.03) and hats["wild"] == pytest.approx(0.12, abs=0.04)
    assert draw_accessories(np.random.default_rng(5), who) == draw_accessories(np.random.default_rng(5), who)
    with pytest.raises(ValueError, match="look must be one of studio, wild, got 'home'"):
        draw_accessories(np.random.default_rng(0), who, "home")
    with pytest.raises(ValueError, match=r"Accessories.hat: expected '' or one of beanie, .* got 'crown'"):
        Accessories(hat="crown")


def reaches(woman, name):
    """Distance (5,) from the wrist to each finger's tip of the left hand in a shape."""
    arm = replace(APOSE_ARM, shape=HANDS[name])
    rotations = pose_rotations(BodyPose(arm, arm), woman.heads)
    hand = hand_keypoints(skin_vertices(woman.vertices, forward_kinematics(woman.heads, rotations)))[0]
    return np.linalg.norm(hand[[4, 8, 12, 16, 20]] - hand[0], axis=1), hand


def test_hands_have_their_shapes(woman):
    flat, fist = reaches(woman, "flat")[0], reaches(woman, "fist")[0]
    assert np.all(fist[1:] < 0.75 * flat[1:])
    pointing = reaches(woman, "pointing")[0]
    assert pointing[1] > 0.93 * flat[1] and np.all(pointing[2:] < 0.78 * flat[2:])
    wide = [np.linalg.norm(reaches(woman, name)[1][8] - reaches(woman, name)[1][20]) for name in ("flat", "spread")]
    assert wide[1] > 1.3 * wide[0]
    assert draw_hand(np.random.default_rng(0)) != draw_hand(np.random.default_rng(1))
    with pytest.raises(ValueError, match="got 'claw'"):
        draw_hand(np.random.default_rng(0), ("claw",))


def test_reach_closes_the_triangle_of_the_arm():
    arm = reach((0.2, -0.2, 0.5), (1, 0, -1))
    assert np.allclose(np.add(arm.upper, arm.fore), np.subtract((0.2, -0.2, 0.5), (0.18, -0.02, 0.63)), atol=1e-6)
    assert np.linalg.norm(arm.upper) == pytest.approx(0.283) and np.linalg.norm(arm.fore) == pytest.approx(0.25)


def test_poses_differ_strongly(woman):
    """Wrists of drawn poses lie far apart, and near the body parts that the names say."""
    points = {}
    for kind in POSES:
        rotations = sample_pose(kind, woman, np.random.default_rng(6))
        points[kind] = body_keypoints(skin_vertices(woman.vertices, forward_kinematics(woman.heads, rotations)))
    wrists = np.array([p[[4, 7]].ravel() for p in points.values()])
    apart = np.linalg.norm(wrists[:, None] - wrists[None], axis=2)
    assert np.median(apart[np.triu_indices(len(wrists), 1)]) > 0.3
    nose = points["hand-in-hair"][0]
    assert np.linalg.norm(points["hand-in-hair"][[4, 7]] - nose, axis=1).min() < 0.28
    assert np.all(points["behind-back"][[4, 7], 1] > 0.05)
    assert np.abs(points["arms-out"][[4, 7], 0]).max() > 0.5
