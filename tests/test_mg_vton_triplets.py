"""Triplets in memory, and what MG-VTON's networks see of them."""

from dataclasses import replace

import pytest
import torch
from synthetic_poses import STEP

from vtonlib.data import open_dataset
from vtonlib.represent import body_shape, label_mask, pose_heatmaps
from vtonlib.sample import collate
from vtonlib.systems.memory import NO_AUGMENTATION, Augmentation
from vtonlib.systems.mg_vton.inputs import (
    parsing_inputs,
    signed_one_hot,
    target_heatmaps,
    without_clothes,
)
from vtonlib.systems.mg_vton.triplets import (
    augment_triplets,
    moved_distance,
    poses_of_one_garment,
    target_of,
    triplet_caches,
)

SIZE = (64, 64)
PAPER_MASKS = ((1, 2), (4, 13))


@pytest.fixture(scope="module")
def caches(poses_root):
    return triplet_caches(poses_root, SIZE, None, progress=False)


@pytest.fixture(scope="module")
def batch(caches):
    return caches[0].batch(range(4))


def test_every_ordered_pair_of_two_poses_is_a_triplet(caches):
    """Three photographs give six pairs, of which the list has three; the last of three people is held out."""
    trained_on, held_out, about = caches
    assert (len(trained_on), len(held_out)) == (12, 6)
    assert about["layout"] == "mpv" and about["samples"] == 9
    names = {name for index in range(6) for name in held_out.batch([index]).name}
    assert names == {f"000002-00@{number}=person_half_front" for number in (1, 2, 3)}
    assert not names & {name for index in range(12) for name in trained_on.batch([index]).name}


def test_reference_and_target_are_the_same_person_one_step_aside(poses_root, caches):
    trained_on = caches[0]
    sample = open_dataset(poses_root, split="train", size=SIZE)[0]
    first = next(
        index for index in range(12)
        if (trained_on.batch([index]).name, target_of(trained_on.batch([index])).name)
        == ([sample.name], [sample.truth.new_pose.name])
    )  # fmt: skip
    batch = trained_on.batch([first])
    assert torch.allclose(batch.person[0], sample.person, atol=1 / 255)
    assert torch.equal(target_of(batch).parse[0], sample.truth.new_pose.parse)
    assert torch.equal(target_of(batch).parse[..., STEP:], batch.parse[..., :-STEP])
    seen = batch.pose[0, :, 2] > 0
    assert torch.allclose(target_of(batch).pose[0, seen, 0] - batch.pose[0, seen, 0], torch.tensor(float(STEP)))
    assert target_of(batch).garment.name == batch.garment.name == ["000000-00@0=cloth_front"]


def test_lists_that_are_no_triplets():
    with pytest.raises(ValueError, match="expected \\(person, garment, target\\), got \\('a', 'g'\\)"):
        poses_of_one_garment([("a", "g")])
    photographs, pairs = poses_of_one_garment([("a", "g", "b"), ("c", "h", "d"), ("b", "g", "a")])
    assert photographs == [("a", "g"), ("b", "g"), ("c", "h"), ("d", "h")]
    assert sorted(pairs) == [(0, 1), (1, 0), (2, 3), (3, 2)]


def test_data_sets_that_do_not_do(poses_root, studio_root):
    with pytest.raises(ValueError, match="is the layout MPV's"):
        triplet_caches(studio_root, (128, 96), None, progress=False)
    with pytest.raises(ValueError, match="at least 2 garments"):
        triplet_caches(poses_root, SIZE, 3, progress=False)


# ---- random changes --------------------------------------------------------------------------------------------------


def test_no_change_changes_nothing(batch):
    same = augment_triplets(batch, NO_AUGMENTATION, torch.Generator().manual_seed(0))
    for one, other in ((same, batch), (target_of(same), target_of(batch))):
        assert torch.allclose(one.person, other.person, atol=1e-5) and torch.equal(one.parse, other.parse)
        assert torch.allclose(one.pose, other.pose, atol=1e-4)
        assert torch.allclose(one.garment.image, other.garment.image, atol=1e-5)


def test_a_mirror_shows_all_three_mirrored(batch):
    strength = Augmentation(mirror=1.0, shift=0.0, scale=0.0, rotation=0.0)
    mirrored = augment_triplets(batch, strength, torch.Generator().manual_seed(0))
    for one, other in ((mirrored, batch), (target_of(mirrored), target_of(batch))):
        assert torch.allclose(one.person, other.person.flip(-1), atol=1e-4)
        assert torch.allclose(one.garment.image, other.garment.image.flip(-1), atol=1e-4)
        left, right = (label_mask(each.parse, (label,)) for each, label in ((one, 14), (other, 15)))
        assert torch.equal(left, right.flip(-1)) and left.any()


def test_reference_and_target_move_apart_and_the_flow_still_leads_to_the_garment(batch):
    """Both photographs are moved their own way; a worn pixel still has the colour of the place its flow leads to."""
    strength = Augmentation(mirror=0.0, shift=0.1, scale=0.0, rotation=0.0)
    moved = augment_triplets(batch, strength, torch.Generator().manual_seed(0))
    seen = batch.pose[..., 2] > 0
    shifts = [((one.pose - other.pose)[..., 0] * seen).sum(1) / seen.sum(1)
              for one, other in ((moved, batch), (target_of(moved), target_of(batch)))]  # fmt: skip
    assert (shifts[0] - shifts[1]).abs().min() > 0.1
    flow, before = target_of(moved).truth.flow, target_of(batch).truth.flow
    assert flow.isfinite().any() and not torch.allclose(flow.nan_to_num(), before.nan_to_num(), atol=0.5)


# ---- what the networks see -------------------------------------------------------------------------------------------


def test_the_papers_24_channels_in_their_order(batch):
    pose = target_of(batch).pose
    maps = parsing_inputs(batch, pose, PAPER_MASKS)
    assert maps.shape == (4, 24, *SIZE) and maps.abs().max() < 1.0001
    assert torch.equal(maps[:, 0] > 0, (batch.parse == 1) | (batch.parse == 2))
    assert torch.equal(maps[:, 1] > 0, (batch.parse == 4) | (batch.parse == 13))
    assert torch.allclose(maps[:, 2:3], body_shape(batch.parse) * 2 - 1)
    assert torch.equal(maps[:, 3:21], pose_heatmaps(pose, SIZE, kind="disc", radius=1.0) * 2 - 1)
    assert torch.equal(maps[:, 21:], batch.garment.on_white())
    outside = (batch.garment.mask == 0).expand(-1, 3, -1, -1)
    assert (maps[:, 21:][outside] == 1).all()


def test_the_reference_loses_its_top_and_nothing_else(batch):
    picture = without_clothes(batch.person, batch.parse)
    top = label_mask(batch.parse, (5, 6, 7)).expand(-1, 3, -1, -1)
    assert (picture[top] == 0).all() and torch.equal(picture[~top], batch.person[~top]) and top.any()


def test_maps_are_signed_and_scale_with_the_picture(batch):
    labels = signed_one_hot(batch.parse)
    assert labels.shape == (4, 20, *SIZE) and torch.equal(labels.argmax(1), batch.parse)
    assert set(labels.unique().tolist()) == {-1.0, 1.0}
    pose = torch.zeros(1, 25, 3)
    pose[0, 0] = torch.tensor([96.0, 128.0, 1.0])
    full = target_heatmaps(pose, (256, 192))
    assert int((full[0, 0] > 0).sum()) == 49, "a disc of radius 4 has 49 pixels"


def test_what_is_missing_is_named(poses_root, batch):
    sample = open_dataset(poses_root, split="train", size=SIZE)[0]
    with pytest.raises(ValueError, match="pose: expected \\(4, 25, 3\\)"):
        parsing_inputs(batch, batch.pose[:2], PAPER_MASKS)
    single = collate([replace(sample, truth=None)])
    with pytest.raises(ValueError, match=r"truth\.new_pose"):
        target_of(single)
    with pytest.raises(ValueError, match="has no mask"):
        replace(single.garment, mask=None).on_white()


def test_how_far_a_pose_moved():
    """Neck at (0, 0), mid-hip at (0, 10): the torso is 10 long, so a wrist 5 aside is 0.5 away, and counts 1 of 3."""
    pose = torch.zeros(25, 3)
    pose[1], pose[8], pose[4] = torch.tensor([0.0, 0, 1]), torch.tensor([0.0, 10, 1]), torch.tensor([3.0, 3, 1])
    other = pose.clone()
    other[4, 0] += 5
    assert float(moved_distance(pose, other)) == pytest.approx(0.5 / 3)
    other[4, 2] = 0
    assert float(moved_distance(pose, other)) == 0.0, "a joint that only one shows doesn't count"
    assert moved_distance(pose, torch.zeros(25, 3)).isnan()
    pose[8, 2] = 0
    assert moved_distance(torch.stack([pose, pose]), torch.stack([other, other])).isnan().all()
