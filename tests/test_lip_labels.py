"""LIP's labels as VITON-HD's: the neck below the chin, and what becomes of jumpsuits."""

import numpy as np
import pytest
import torch
from synthetic import REAL, needs_real
from torch import Tensor

from vtonlib.data import open_dataset
from vtonlib.labels import BODY_25_INDEX
from vtonlib.perceive.lip_labels import CHIN, lip_from_viton_hd, viton_hd_from_lip

FACE, NECK, UPPER, DRESS, PANTS, JUMPSUITS = 13, 10, 5, 6, 9, 10


def pose_of(**points: tuple[float, float]) -> Tensor:
    """(25,3) with these points (x, y) only; - in a name is written _."""
    pose = torch.zeros(25, 3)
    for name, point in points.items():
        pose[BODY_25_INDEX[name.replace("_", "-")]] = torch.tensor([*point, 0.9])
    return pose


def test_the_neck_is_the_skin_below_the_chin():
    parse = torch.full((60, 20), FACE)
    parse[:, 0] = 2
    found = viton_hd_from_lip(parse, pose_of(nose=(10, 10), neck=(10, 50)))
    chin = 10 + CHIN * 40  # between rows 25 and 26
    expected = torch.where(torch.arange(60)[:, None] > chin, NECK, FACE).expand(60, 20).clone()
    expected[:, 0] = 2  # hair stays hair
    assert torch.equal(found, expected) and found.dtype == torch.int64


def test_the_cut_turns_with_the_head():
    parse = torch.full((41, 41), FACE)
    upright = viton_hd_from_lip(parse, pose_of(nose=(20, 10), neck=(20, 30)))
    lying = viton_hd_from_lip(parse, pose_of(nose=(10, 20), neck=(30, 20)))
    assert torch.equal(lying, upright.T)
    tilted = viton_hd_from_lip(parse, pose_of(nose=(10, 10), neck=(30, 30)))
    assert torch.equal(tilted, tilted.T) and tilted[6, 30] == NECK
    assert tilted[5, 30] == FACE  # x + y is 20 at the nose, 60 at the neck, and 35.2 at the chin


def test_without_nose_or_neck_skin_stays_face():
    parse = torch.full((40, 30), FACE)
    for pose in (None, pose_of(neck=(15, 30)), pose_of(nose=(15, 5)), torch.zeros(25, 3)):
        assert torch.equal(viton_hd_from_lip(parse, pose), parse)


def test_jumpsuits_are_cut_at_the_hip():
    parse = torch.full((50, 20), JUMPSUITS)
    found = viton_hd_from_lip(parse, pose_of(neck=(10, 5), mid_hip=(10, 30)))
    assert (found[:31] == UPPER).all() and (found[31:] == PANTS).all()
    assert torch.equal(viton_hd_from_lip(parse, pose_of(mid_hip=(10, 30))), found)  # upright where the neck isn't known
    below = viton_hd_from_lip(parse, pose_of(neck=(10, 5), mid_hip=(10, 80)))  # the hip lies below the picture
    assert (below == UPPER).all()


@pytest.mark.parametrize("pose", [None, pose_of(nose=(10, 3), neck=(10, 5))])
def test_jumpsuits_of_an_unknown_hip_are_a_dress(pose):
    assert (viton_hd_from_lip(torch.full((50, 20), JUMPSUITS), pose) == DRESS).all()


def test_other_labels_are_kept_and_a_batch_is_a_batch():
    generator = torch.Generator().manual_seed(0)
    parse = torch.randint(20, (3, 24, 18), generator=generator)
    poses = torch.stack([
        pose_of(nose=(9, 4), neck=(9, 12), mid_hip=(9, 20)), torch.zeros(25, 3), pose_of(nose=(4, 4), neck=(9, 9)),
    ])  # fmt: skip
    found = viton_hd_from_lip(parse, poses)
    assert torch.equal(found, torch.stack([viton_hd_from_lip(*pair) for pair in zip(parse, poses, strict=True)]))
    others = ~torch.isin(parse, torch.tensor([FACE, JUMPSUITS]))
    assert torch.equal(found[others], parse[others])
    assert not (found[1] == NECK).any()


def test_the_way_back_makes_the_neck_face():
    parse = torch.arange(20).view(4, 5).to(torch.uint8)
    back = lip_from_viton_hd(parse)
    assert back.dtype == torch.int64 and back[2, 0] == FACE
    kept = parse != NECK
    assert torch.equal(back[kept], parse[kept].long())


def test_errors_name_what_came():
    parse = torch.zeros(4, 5, dtype=torch.int64)
    with pytest.raises(ValueError, match="expected integers"):
        viton_hd_from_lip(parse.float())
    with pytest.raises(ValueError, match="got 0 to 20"):
        viton_hd_from_lip(parse + torch.tensor([0, 20, 0, 0, 0]))
    with pytest.raises(ValueError, match=r"expected \(25, 3\) .* got \(18, 3\)"):
        viton_hd_from_lip(parse, torch.zeros(18, 3))
    with pytest.raises(ValueError, match=r"got \(5,\)"):
        lip_from_viton_hd(parse[0])


@pytest.mark.real
@needs_real
def test_the_neck_of_photographs_is_found_again():
    """What LIP would call face in VITON-HD's own maps, cut with OpenPose's points: the neck that was drawn there."""
    dataset = open_dataset(REAL, split="test", pairing="unpaired", size=(1024, 768))
    people = {dataset.pairs[index][0]: index for index in range(len(dataset))}
    found = {}
    for name, index in people.items():
        sample = dataset[index]
        neck = viton_hd_from_lip(lip_from_viton_hd(sample.parse), sample.pose) == NECK
        true = sample.parse == NECK
        found[name] = float((neck & true).sum() / (neck | true).sum())
    assert len(found) == 3 and min(found.values()) > 0.9, found
    assert np.mean(list(found.values())) > 0.92
