"""The pose estimator: network, pictures of other sizes, augmentation, scores, training."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic import REAL, needs_real

from vtonlib.checkpoints import read_tensors, save_weights
from vtonlib.labels import BODY_25_INDEX, BODY_25_MIRROR
from vtonlib.layouts.files import read_keypoints
from vtonlib.perceive.pose import (
    FILE,
    OPENPOSE_HIPS,
    POINTS,
    POINTS_MIRROR,
    PoseConfig,
    PoseEstimator,
    PoseNet,
    fit_inside,
    heatmaps_of,
    load_pose,
    person_window,
    point_sigmas,
    settled,
    shift_hips,
)
from vtonlib.systems import pose_training
from vtonlib.systems.memory import Augmentation
from vtonlib.systems.pose_data import PoseAugmentation, PoseBatch, augment_pose, move_keypoints, pose_batch
from vtonlib.systems.pose_scores import fit_hips, leave_one_out, photograph_scores, pose_scores
from vtonlib.systems.pose_training import RECIPES, pose_terms, target_maps, train_pose
from vtonlib.training import config_from

SMALL = PoseConfig(size=(64, 48), stem=4, widths=(4, 8), blocks=(1, 0), head=8)
STILL = PoseAugmentation(
    geometry=Augmentation(mirror=0.0, shift=0.0, scale=0.0, rotation=0.0), light=0.0, plain=0.0, grey=0.0, patch=0.0
)


class Spotter(torch.nn.Module):
    """In the place of a trained network: every map's peak is where the picture is red, and no other place is."""

    def __init__(self, config):
        super().__init__()
        self.config, self.weight = config, torch.nn.Parameter(torch.zeros(1))

    def forward(self, picture):
        red = (picture[:, :1] - picture[:, 1:2]).clamp(min=0)
        cells = torch.nn.functional.avg_pool2d(red, 4).clamp(min=1e-6)
        absent = torch.full((len(picture), POINTS), -20.0)
        return cells.log().expand(-1, POINTS, -1, -1), torch.where(red.amax((1, 2, 3))[:, None] > 0.5, absent, 20.0)


def spot(size, x, y, radius):
    """A grey picture (3,h,w) with a soft red spot at (x, y)."""
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    soft = torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
    return torch.stack([soft, -soft, -soft])


@pytest.mark.parametrize("size, x, y", [((128, 96), 40.3, 70.6), ((100, 200), 130.2, 48.0), ((333, 111), 57.0, 210.3)])
@pytest.mark.parametrize("mirror", [False, True])
def test_points_come_back_in_the_picture_given(size, x, y, mirror):
    estimator = PoseEstimator(Spotter(SMALL), mirror=mirror, threshold=0.05)
    factor = max(size[0] / 64, size[1] / 48)  # pixels of the picture to one inside
    pose, hands = estimator(spot(size, x, y, 4 * factor))  # looked at twice, as the spot is small
    assert pose.shape == (25, 3) and hands.shape == (2, 21, 3)
    found = torch.cat([pose, hands.flatten(0, 1)])
    torch.testing.assert_close(found[:, :2], torch.tensor([x, y]).expand(POINTS, 2), atol=0.25 * factor, rtol=0)
    assert (found[:, 2] > 0.05).all() and (found[:, 2] <= 1).all()


def test_a_batch_and_a_single_picture_agree_and_nothing_found_is_zero():
    pictures = torch.stack([spot((64, 48), 20, 30, 6), torch.zeros(3, 64, 48)])
    estimator = PoseEstimator(Spotter(SMALL), threshold=0.05)
    pose, hands = estimator(pictures)
    assert pose.shape == (2, 25, 3) and hands.shape == (2, 2, 21, 3)
    torch.testing.assert_close(pose[0], estimator(pictures[0])[0])
    assert not pose[1].any() and not hands[1].any()


def test_points_of_a_spot_cut_by_the_border_lie_in_the_picture():
    pose, _ = PoseEstimator(Spotter(SMALL), threshold=0.01)(spot((64, 48), 47.8, -0.5, 5))
    assert (pose[:, :2] >= 0).all() and (pose[:, 0] <= 47).all()


@pytest.mark.parametrize(
    "picture, message",
    [
        (torch.zeros(1, 64, 48), "floats"),
        (torch.zeros(3, 64, 48, dtype=torch.uint8), "floats"),
        (torch.full((3, 64, 48), 200.0), "values in"),
        (torch.full((3, 64, 48), torch.nan), "values in"),
    ],
)
def test_a_picture_that_is_none_is_refused(picture, message):
    with pytest.raises(ValueError, match=f"picture: expected {message}"):
        PoseEstimator(Spotter(SMALL))(picture)


def test_estimator_and_config_refuse_what_they_do_not_know():
    for options in ({"hips": "coco"}, {"threshold": 2.0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            PoseEstimator(Spotter(SMALL), **options)
    for wrong in ({"size": (250, 192)}, {"widths": (8,), "blocks": (1, 1)}, {"body_sigma": 0.0}):
        with pytest.raises(ValueError, match="PoseConfig"):
            PoseConfig(**wrong)
    with pytest.raises(ValueError, match="unknown key"):
        config_from(PoseConfig, {"depth": 3})


def test_a_small_person_is_looked_at_again_and_a_large_one_is_not():
    pose = torch.zeros(25, 3)
    pose[:18, 0], pose[:18, 1], pose[:18, 2] = 300.0, torch.linspace(100, 180, 18), 0.9
    window = person_window(pose, (480, 640), (256, 192))
    assert window == (260, 80, 341, 201)  # 80 tall: 20 more on each side, and never narrower than half of the height
    pose[:18, 1] = torch.linspace(20, 460, 18)
    assert person_window(pose, (480, 200), (256, 192)) is None
    pose[3:, 2] = 0
    assert person_window(pose, (4800, 6400), (256, 192)) is None  # three joints are no person


def test_what_is_found_beyond_the_border_by_more_than_a_cell_is_not_seen():
    points = torch.tensor([[-3.0, 5.0, 0.9], [-5.0, 5.0, 0.9], [47.5, 60.0, 0.9], [20.0, 66.0, 0.9], [20.0, 20.0, 0.1]])
    kept = settled(points, (64, 48), 0.2, 4.0)
    expected = torch.tensor([[0.0, 5.0, 0.9], [0, 0, 0], [47.0, 60.0, 0.9], [20.0, 63.0, 0.9], [0, 0, 0]])
    torch.testing.assert_close(kept, expected)


def test_the_aspect_is_kept_and_the_rest_is_grey():
    inside, scale, offset = fit_inside(torch.ones(1, 3, 100, 200), (64, 48))
    assert inside.shape == (1, 3, 64, 48) and offset.tolist() == [0, 20]
    assert scale.tolist() == pytest.approx([0.24, 0.24])
    assert (inside[..., 20:44, :] > 0.999).all() and not inside[..., :20, :].any() and not inside[..., 44:, :].any()


def test_the_course_network_is_small_enough():
    network = PoseNet(PoseConfig())
    assert 2 * sum(tensor.numel() for tensor in network.state_dict().values()) < 2.5e6
    scores, absent = network.eval()(torch.zeros(1, 3, 256, 192))
    assert scores.shape == (1, 67, 64, 48) and absent.shape == (1, 67)
    assert network(torch.zeros(1, 3, 64, 36))[0].shape == (1, 67, 16, 9)  # sizes that halve badly
    with pytest.raises(ValueError, match="multiples of 4"):
        network(torch.zeros(1, 3, 66, 48))


def test_maps_of_the_target_itself_have_the_peak_1():
    config = PoseConfig()
    sigmas = point_sigmas(config)
    points = torch.tensor([97.5, 129.5, 1.0]).expand(1, POINTS, 3)  # the centre of a cell
    cells = target_maps(points, (64, 48), sigmas).clamp(min=1e-30).log().view(1, POINTS, 64, 48)
    maps = heatmaps_of(cells, torch.full((1, POINTS), -60.0), sigmas)
    torch.testing.assert_close(maps.amax((2, 3)), torch.ones(1, POINTS), atol=0.01, rtol=0)
    sure = heatmaps_of(cells, torch.full((1, POINTS), 60.0), sigmas)
    assert sure.max() < 1e-6  # "not in this picture" takes all of the probability


def test_the_loss_is_least_for_the_truth():
    """The entropy of the target is the floor of the cross-entropy; a point not seen costs nothing if said so."""

    class Fixed(torch.nn.Module):
        config = SMALL

        def forward(self, picture):
            return self.scores, self.absent

    points = torch.zeros(2, POINTS, 3)
    points[0] = torch.tensor([20.0, 33.0, 0.9])
    target = target_maps(points, (16, 12), point_sigmas(SMALL))
    assert target[0].sum(-1).allclose(torch.ones(POINTS)) and not target[1].any()
    network, batch = Fixed(), PoseBatch(picture=torch.zeros(2, 3, 64, 48), points=points)
    network.scores = target.clamp(min=1e-30).log().view(2, POINTS, 16, 12)
    network.absent = torch.tensor([-60.0, 60.0])[:, None].expand(2, POINTS)
    entropy = -(target[0] * target[0].clamp(min=1e-30).log()).sum(-1)
    terms = pose_terms(network, batch, 0.5)
    assert float(terms["body"]) == pytest.approx(float(entropy[:25].sum()) / 50, rel=1e-4)
    assert float(terms["hands"]) == pytest.approx(0.5 * float(entropy[25:].sum()) / 84, rel=1e-4)
    network.absent = -network.absent
    assert pose_terms(network, batch, 0.5)["body"] > 20


def moved_batch(strength, seed=0):
    """Spots, one a sample, with all points on the spot, before and after augmentation."""
    places = torch.tensor([[20.0, 30.0], [10.0, 50.0], [33.0, 12.0], [24.0, 40.0]])
    points = torch.cat([places, torch.ones(4, 1)], 1)[:, None].expand(4, POINTS, 3).clone()
    picture = torch.stack([spot((64, 48), x, y, 2.0) for x, y in places.tolist()])
    return augment_pose(PoseBatch(picture=picture, points=points), strength, torch.Generator().manual_seed(seed))


def test_points_move_as_the_picture_does():
    geometry = Augmentation(mirror=0.5, shift=0.1, scale=0.3, rotation=20.0)
    batch = moved_batch(replace(STILL, geometry=geometry))
    red = (batch.picture[:, 0] - batch.picture[:, 1]).clamp(min=0) ** 2
    weight = red / red.sum((1, 2), keepdim=True)
    x = (weight * torch.arange(48)).sum((1, 2))
    y = (weight * torch.arange(64)[:, None]).sum((1, 2))
    inside = batch.points[:, 0, 2] > 0
    assert inside.sum() >= 2
    torch.testing.assert_close(torch.stack([x, y], 1)[inside], batch.points[inside, 0, :2], atol=0.6, rtol=0)


def test_mirroring_exchanges_left_and_right():
    points = torch.rand(1, POINTS, 3, generator=torch.Generator().manual_seed(1)) * 40 + 1
    flip = torch.tensor([[[-1.0, 0.0, 47.0], [0.0, 1.0, 0.0]]])
    moved = move_keypoints(points, torch.tensor([True]), flip, (64, 48))
    wrist = BODY_25_INDEX["left-wrist"]
    assert moved[0, wrist, 0] == 47 - points[0, BODY_25_MIRROR[wrist], 0]
    torch.testing.assert_close(moved[0, 25:46, 1], points[0, 46:67, 1])  # the left hand was the right one
    assert sorted(POINTS_MIRROR) == list(range(POINTS))


def test_what_the_border_cuts_off_is_not_seen_and_does_not_come_back():
    points = torch.tensor([[[10.0, 10.0, 0.9], [47.4, 10.0, 0.9], [60.0, 10.0, 0.0]]]).repeat(1, 23, 1)[:, :POINTS]
    for across, expected in ((20.0, [0.9, 0, 0]), (-20.0, [0, 0.9, 0])):
        affine = torch.tensor([[[1.0, 0.0, across], [0.0, 1.0, 0.0]]])
        moved = move_keypoints(points, torch.tensor([False]), affine, (64, 48))
        assert moved[0, :3, 2].tolist() == pytest.approx(expected)


def test_augmentation_follows_its_generator_and_can_be_still():
    full = PoseAugmentation()
    one, again, other = moved_batch(full), moved_batch(full), moved_batch(full, seed=1)
    assert torch.equal(one.picture, again.picture) and not torch.equal(one.picture, other.picture)
    assert one.picture.abs().max() <= 1


def test_a_batch_at_half_the_size():
    levels = torch.randint(0, 256, (1, 3, 128, 96), dtype=torch.uint8)
    chosen = {"picture": levels, "points": torch.tensor([[[10.5, 20.5, 1.0]]])}
    half = pose_batch(chosen, (64, 48))
    assert half.picture.shape == (1, 3, 64, 48) and half.points[0, 0].tolist() == [5.0, 10.0, 1.0]
    with pytest.raises(ValueError, match="whole fraction"):
        pose_batch(chosen, (60, 48))


def hip_people():
    """Three people, and guesses whose hips lie a tenth of the spine too low."""
    generator = torch.Generator().manual_seed(2)
    guess = torch.rand(3, 25, 3, generator=generator) * 5 + 0.1
    guess[:, 1, :2] += torch.tensor([30.0, 10.0])
    for joint, x in ((8, 30.0), (9, 20.0), (12, 40.0)):
        guess[:, joint, :2] += torch.tensor([x, 60.0])
    guess[:, 5, :2] += torch.tensor([45.0, 12.0])
    return guess, shift_hips(guess, 0.1)


def test_the_shift_of_the_hips_is_found_again_without_the_one_measured():
    guess, truth = hip_people()
    assert fit_hips(guess, truth) == pytest.approx(0.1, abs=1e-5)
    truth[2] = shift_hips(guess[2:], 0.3)[0]  # the odd one out must not be fitted on itself
    moved, shares = leave_one_out(guess, truth)
    assert shares[2] == pytest.approx(0.1, abs=1e-5) and 0.1 < shares[0] < 0.3
    torch.testing.assert_close(moved[2], shift_hips(guess[2], 0.1), atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="at least 2"):
        leave_one_out(guess[:1], truth[:1])
    guess[..., 8, 2] = 0
    with pytest.raises(ValueError, match="nobody"):
        fit_hips(guess, truth)


def test_scores_name_what_was_missed():
    guess, truth = hip_people()
    guess[1, 4, 2] = 0.0  # a wrist not found
    truth[0, 19, 2] = 0.0  # a toe that is not there
    scores = photograph_scores(["a", "b", "c"], guess, truth)
    moved = scores["hips moved"]
    assert moved["missed"] == {"a": [], "b": ["right-wrist"], "c": []} and moved["counted"] == 74
    assert moved["photographs"]["b"] == {"hits": 24, "counted": 25}
    assert moved["pck"] == pytest.approx(73 / 74) and (moved["unseen"], moved["false"]) == (1, 1)
    assert scores["raw"]["hits"] < 73
    assert pose_scores(guess, torch.zeros_like(truth))["pck"] is None


def test_hips_stay_where_the_neck_is_not_seen():
    guess, _ = hip_people()
    guess[0, 1, 2] = 0
    moved = shift_hips(guess, 0.2)
    assert torch.equal(moved[0], guess[0])
    changed = (moved[1] != guess[1]).any(-1).nonzero().flatten().tolist()
    assert changed == [8, 9, 12] and (moved[1, 8, 1] < guess[1, 8, 1])


def small_recipe():
    config = replace(SMALL, size=(128, 96))
    return replace(RECIPES["smoke"], config=config)


def test_training_writes_weights_that_load_and_goes_on(studio_root, tmp_path, monkeypatch):
    recipe, run = small_recipe(), tmp_path / "run"
    options = {"recipe": recipe, "command": "train it", "limit": 6}
    whole = train_pose([studio_root, studio_root], tmp_path / "whole", weights=tmp_path / "w.safetensors", **options)

    inside = pose_training.pose_terms
    calls = []

    def dies(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return inside(*arguments)

    monkeypatch.setattr(pose_training, "pose_terms", dies)
    with pytest.raises(KeyboardInterrupt):
        train_pose([studio_root, studio_root], run, **options)
    monkeypatch.setattr(pose_training, "pose_terms", inside)
    resumed = train_pose([studio_root, studio_root], run, **options)
    first, metadata = read_tensors(whole)
    second, _ = read_tensors(resumed)
    assert resumed == run / FILE and all(torch.equal(first[name], second[name]) for name in first)
    assert (metadata["system"], metadata["stage"], metadata["command"]) == ("perceive", "pose", "train it")
    assert len(metadata["data"]) == 2 and set(metadata["metrics"]) == {"held out, 64x48", "held out, 128x96"}
    assert {"pck", "pck_hands", "held_out"} <= set(metadata["metrics"]["held out, 128x96"])

    estimator = load_pose(whole, hips="openpose")
    picture = spot((90, 70), 30, 40, 20)
    estimator.threshold, raw = 0.0, load_pose(whole, threshold=0.0)
    (pose, hands), (studio, _) = estimator(picture), raw(picture)
    assert pose.shape == (25, 3) and hands.shape == (2, 21, 3)
    torch.testing.assert_close(pose, shift_hips(studio, OPENPOSE_HIPS))
    with pytest.raises(ValueError, match="another run"):
        train_pose([studio_root], run, **options)


def test_loading_names_the_file_and_what_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.safetensors: no such weights file.*vtonlib train pose"):
        load_pose(tmp_path / "missing.safetensors")
    other = save_weights(
        tmp_path / "other.safetensors", torch.nn.Linear(2, 2), {"system": "perceive", "stage": "parse"}
    )
    with pytest.raises(ValueError, match=r"other\.safetensors.*'pose'"):
        load_pose(other)


def test_recipes_fit_their_sizes():
    assert json.loads(json.dumps(pose_training.plain_config(PoseConfig())))["size"] == [256, 192]
    with pytest.raises(ValueError, match="sizes for"):
        replace(RECIPES["smoke"], sizes=((128, 96),))
    with pytest.raises(ValueError, match="last size"):
        replace(RECIPES["smoke"], sizes=((128, 96), (64, 48)))


@pytest.mark.real
@needs_real
def test_real_photographs_agree_with_openpose():
    estimator, guesses, truths = load_pose(), [], []
    names = sorted(path.stem for path in (REAL / "test" / "image").glob("*.jpg"))
    for name in names:
        with Image.open(REAL / "test" / "image" / f"{name}.jpg") as photograph:
            pixels = np.asarray(photograph.convert("RGB"))
        file = REAL / "test" / "openpose-json" / f"{name}_keypoints.json"
        truths.append(torch.from_numpy(read_keypoints(file, pixels.shape[:2])[0]))
        picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 127.5 - 1
        guesses.append(estimator(picture)[0])
    guess, truth = torch.stack(guesses), torch.stack(truths)
    scores = photograph_scores(names, guess, truth)["hips moved"]  # each by what was fitted on the two others
    assert scores["counted"] >= 40 and scores["pck"] >= 0.80, scores
    moved = pose_scores(shift_hips(guess, OPENPOSE_HIPS), truth)  # what hips="openpose" gives
    assert moved["pck"] >= 0.80, moved
