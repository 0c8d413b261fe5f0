"""Label tables: complete, without overlap, and their own inverse where they mirror."""

import pytest

from vtonlib import labels


def test_lip_has_twenty_labels_and_colours():
    assert len(labels.LIP) == len(set(labels.LIP)) == len(labels.LIP_PALETTE) == len(set(labels.LIP_PALETTE)) == 20
    assert labels.LIP_INDEX["neck"] == 10 and labels.LIP_INDEX["upper-clothes"] == 5


def test_groups_are_partitions():
    assert sorted(label for _, group in labels.GROUPS_13 for label in group) == list(range(20))
    assert sorted(label for _, group in labels.GROUPS_7 for label in group) == list(range(13))
    assert len(labels.GROUPS_13) == 13 and len(labels.GROUPS_7) == 7


def test_groups_say_what_their_names_say():
    thirteen = dict(labels.GROUPS_13)
    assert thirteen["upper"] == labels.TOP_LABELS
    assert set(thirteen["hair"] + thirteen["face"]) == set(labels.HEAD_LABELS)
    names = [name for name, _ in labels.GROUPS_13]
    seven = {name: [names[index] for index in group] for name, group in labels.GROUPS_7}
    for name in ("background", "upper", "hair", "left-arm", "right-arm", "noise"):
        assert seven[name] == [name]
    assert set(seven["paste"]) == set(names) - {"background", "upper", "hair", "left-arm", "right-arm", "noise"}


@pytest.mark.parametrize(
    "mirror, names", [(labels.LIP_MIRROR, labels.LIP), (labels.BODY_25_MIRROR, labels.BODY_25)], ids=["lip", "body"]
)
def test_mirrors_swap_left_and_right(mirror, names):
    assert len(mirror) == len(names)
    for index, name in enumerate(names):
        other = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert names[mirror[index]] == other
        assert mirror[mirror[index]] == index


def test_coco_18_keeps_the_names():
    coco = [labels.BODY_25[index] for index in labels.COCO_18_FROM_BODY_25]
    assert coco[:8] == list(labels.BODY_25[:8])
    assert coco[8:] == ["right-hip", "right-knee", "right-ankle", "left-hip", "left-knee", "left-ankle",
                        "right-eye", "left-eye", "right-ear", "left-ear"]  # fmt: skip


def test_limbs_are_trees():
    for limbs, joints in ((labels.BODY_25_LIMBS, 25), (labels.HAND_LIMBS, 21)):
        ends = [end for _, end in limbs]
        assert len(limbs) == joints - 1 == len(set(ends))
        reached = {1 if joints == 25 else 0}
        for _ in limbs:
            reached |= {end for start, end in limbs if start in reached}
        assert reached == set(range(joints))
    assert labels.HAND_LIMBS[:5] == ((0, 1), (1, 2), (2, 3), (3, 4), (0, 5))


def test_densepose_parts():
    assert len(labels.DENSEPOSE) == len(set(labels.DENSEPOSE)) == 25
    for name in labels.DENSEPOSE:
        assert name.replace("left", "right") in labels.DENSEPOSE


# The published list: sides from the data format of DensePose-COCO (2018_COCO_DensePose/data_format.md); 1 = back and
# 2 = front from the authors (detectron2 issue 513); halves of limbs and head as their example pictures show them.
PUBLISHED = {
    ("torso",): (1, 2), ("right", "hand"): (3,), ("left", "hand"): (4,), ("left", "foot"): (5,),
    ("right", "foot"): (6,), ("right", "thigh"): (7, 9), ("left", "thigh"): (8, 10), ("right", "calf"): (11, 13),
    ("left", "calf"): (12, 14), ("left", "upper-arm"): (15, 17), ("right", "upper-arm"): (16, 18),
    ("left", "forearm"): (19, 21), ("right", "forearm"): (20, 22), ("head",): (23, 24),
}  # fmt: skip
HALVES = {
    "back": (1, 7, 8, 11, 12, 17, 18), "front": (2, 9, 10, 13, 14, 15, 16), "inner": (19, 20), "outer": (21, 22),
    "head-right": (23,), "head-left": (24,),
}  # fmt: skip


def test_densepose_parts_are_the_published_ones():
    for words, numbers in PUBLISHED.items():
        for number in numbers:
            assert labels.DENSEPOSE[number].startswith("-".join(words)), number
    assert sorted(number for numbers in PUBLISHED.values() for number in numbers) == list(range(1, 25))
    for half, numbers in HALVES.items():
        assert {k for k, name in enumerate(labels.DENSEPOSE) if name.endswith(half)} == set(numbers)


def test_densepose_mirror_is_the_published_one():
    published = [0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23]
    assert list(labels.DENSEPOSE_MIRROR) == published
    swapped = [name.replace("left", "?").replace("right", "left").replace("?", "right") for name in labels.DENSEPOSE]
    assert [labels.DENSEPOSE[k] for k in labels.DENSEPOSE_MIRROR] == swapped
