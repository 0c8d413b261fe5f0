"""vtonlib.evaluation_new_pose: what a system is shown, what it is judged by, and systems of known quality."""

import csv
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from synthetic_poses import STEP, write_poses
from torch import nn

from vtonlib.data import open_dataset
from vtonlib.evaluation import bootstrap
from vtonlib.evaluation_new_pose import (
    NaiveNewPose,
    NewPoseEvaluation,
    evaluate_new_pose,
    judged_triplet,
    new_pose_case,
    new_pose_regions,
)
from vtonlib.evaluation_tables import NEW_POSE, NUMBERS
from vtonlib.labels import LIP
from vtonlib.metrics import label_scores, label_table, masked_l1
from vtonlib.systems import load_system

SIZE = (64, 64)
PEOPLE, POSES = 3, 3
IDS = [f"{person:06d}" for person in range(PEOPLE)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = write_poses(tmp_path_factory.mktemp("poses"), people=PEOPLE, poses=POSES, size=SIZE, split="test")
    lines = ["name,cut,sleeve,fabric,pose,skin_tone"]
    for number, (person, cut) in enumerate(zip(IDS, ("tank", "sweater", "t-shirt"), strict=True)):
        for pose, name in enumerate(("stand", "walk", "hips"), start=1):
            lines.append(f"{person}-00@{pose}=person_half_front,{cut},{0.9 * number},plain,{name},{number}.5")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def dataset(root):
    return open_dataset(root, pairing="unpaired", size=SIZE)


@pytest.fixture(scope="module")
def samples(dataset):
    return [dataset[index] for index in range(len(dataset))]


@pytest.fixture(scope="module")
def features():
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 8, 3, padding=1)
    return torch.no_grad()(lambda picture: [layer(picture).relu()])


class Knowing:
    """A system that has seen the answers: mixes `share` of grey into the right picture; its parse misses the hair."""

    def __init__(self, samples, share=0.0, parse=True):
        self.right = {(s.name, s.garment.name): s.truth.new_pose for s in samples}
        self.share, self.parse, self.seen = share, parse, []

    def try_on(self, batch, garment=None, pose=None):
        self.seen.append((batch, pose))
        right = [self.right[names] for names in zip(batch.name, batch.garment.name, strict=True)]
        parse = torch.stack([one.parse for one in right])
        return SimpleNamespace(
            tryon=(1 - self.share) * torch.stack([one.person for one in right]),
            parse=torch.where(parse == 2, 0, parse) if self.parse else None,
        )


# ---- what is judged --------------------------------------------------------------------------------------------------


def test_a_system_sees_the_reference_the_other_garment_and_the_new_joints(samples):
    one = samples[0]
    shown, wanted, stay = judged_triplet(one)
    assert shown.truth is None and torch.equal(shown.person, one.person) and shown.garment is one.garment
    assert one.garment.name == "000001-00@0=cloth_front" and one.name.startswith("000000")
    assert wanted.garment.name == stay.garment.name == shown.garment.name
    assert (shown.name, stay.name) == (one.name, one.name) and wanted.name == "000000-00@2=person_half_front"
    case = new_pose_case(samples[:2])
    assert torch.equal(case.wanted.pose[0], one.truth.new_pose.pose) and case.wanted.truth is None
    torch.testing.assert_close(case.target[0], one.truth.new_pose.person / 2 + 0.5)
    # the target is the still picture one step aside, so the oracle is right but for the step
    assert torch.equal(case.wanted.parse[0, :, STEP:], case.stay.parse[0, :, :-STEP])


def test_regions_of_a_parse_by_hand():
    parse = torch.tensor([[0, 13, 10, 2], [14, 5, 6, 15], [9, 7, 16, 18]])[None]
    masks = {name: mask[0, 0].int().tolist() for name, mask in new_pose_regions(parse).items()}
    assert masks == {
        "all": [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]],
        "garment": [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0]],
        "skin": [[0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]],
        "rest": [[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 1, 1]],
        "head": [[0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]],
        "lower": [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 1]],
    }


def test_what_cannot_be_judged_is_refused(root, samples):
    one = samples[0]
    own = open_dataset(root, pairing="paired", size=SIZE)[0]
    with pytest.raises(ValueError, match=r"truth\.unpaired: expected the sample's garment.*pairing='unpaired'"):
        judged_triplet(own)
    with pytest.raises(ValueError, match=r"no picture in another pose \(truth\.new_pose\)"):
        judged_triplet(replace(one, truth=None))
    with pytest.raises(ValueError, match=r"no truth\.unpaired with its parse"):
        judged_triplet(replace(one, truth=replace(one.truth, unpaired=None)))
    with pytest.raises(ValueError, match="has no pose: pose estimation"):
        judged_triplet(replace(one, pose=None))
    with pytest.raises(ValueError, match=r"padded by \(0, 4, 0, 4\)"):
        judged_triplet(replace(one, padding=(0, 4, 0, 4)))


# ---- whole evaluations -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result(samples, root, features):
    systems = {"good": Knowing(samples, 0.02), "poor": Knowing(samples, 0.9, parse=False)}
    return evaluate_new_pose(systems, root, size=SIZE, features=features, batch_size=4)


def test_methods_regions_and_rows(result):
    assert result.pairings == [NEW_POSE] and result.samples(NEW_POSE) == PEOPLE * POSES
    assert result.methods(NEW_POSE) == ["untouched", "stay", "good", "poor"]
    assert result.regions(NEW_POSE) == ["all", "garment", "skin", "head", "lower", "rest"]
    row = result.rows[0]
    expected = {
        "pairing": "new-pose", "name": "000000-00@1=person_half_front", "garment": "000001-00@0=cloth_front",
        "target": "000000-00@2=person_half_front", "person": "000000", "pose": "stand", "new_pose": "walk",
        "skin_tone": 0.5, "worn_sleeve": "none", "cut": "sweater", "sleeve": "short", "fabric": "plain",
    }  # fmt: skip
    assert {key: row[key] for key in expected} == expected
    torso = (679.5 - 299.5) / 1024 * 64  # neck to mid-hip of the standing figure; its mid-hip is a pixel aside
    assert row["moved"] == pytest.approx(STEP / torso, rel=0.05)


def test_the_numbers_are_those_of_the_pictures(result, samples):
    case = new_pose_case(samples)
    for method, picture in (("untouched", case.sample.person), ("stay", case.stay.person)):
        expected = masked_l1(picture / 2 + 0.5, case.target, case.regions["garment"])
        assert result.column(NEW_POSE, method, "garment", "l1") == pytest.approx(expected.tolist(), abs=1e-6)
    expected = 0.02 * masked_l1(case.target, torch.full_like(case.target, 0.5), case.regions["garment"])
    assert result.column(NEW_POSE, "good", "garment", "l1") == pytest.approx(expected.tolist(), abs=1e-6)


def test_verdicts(result):
    found = {(one.method, one.region, one.number): one.verdict for one in result.beats_baselines()}
    assert {found["good", region, number] for region in ("all", "garment") for number in NUMBERS} == {"better"}
    assert found["poor", "all", "ssim"] == "worse"
    first = result.against_other_systems()[0]
    assert first.method == "good" and list(first.against) == ["poor"]


def test_no_truth_reaches_a_system_and_the_pose_is_the_targets(samples, features):
    system = Knowing(samples)
    evaluate_new_pose({"system": system}, samples, features=features, limit=3, batch_size=2)
    assert [len(pose) for _, pose in system.seen] == [2, 1]
    for batch, pose in system.seen:
        assert batch.truth is None and not torch.equal(batch.pose, pose)
        right = {one.name: one.truth.new_pose.pose for one in samples}
        assert torch.equal(pose, torch.stack([right[name] for name in batch.name]))


def test_people_are_drawn_not_triplets():
    """Three triplets a person that are copies of each other tell no more than one."""
    rng = np.random.default_rng(0)
    values, rows = rng.uniform(0, 1, 20), []
    for person, value in enumerate(values):
        for triplet in range(3):
            names = {"name": f"{person}-{triplet}", "garment": "g", "target": "t", "person": str(person)}
            numbers = dict.fromkeys(NUMBERS, float(value))
            rows.append({"pairing": NEW_POSE, **names, "method": "untouched", "region": "all", **numbers})
    result = NewPoseEvaluation(rows=rows, size=SIZE, features="judge")
    estimate = result.summary()[NEW_POSE]["all"]["untouched"]["l1"]
    one_each = bootstrap(sorted(values, key=lambda value: str(list(values).index(value))))  # people sorted as text
    assert (estimate.mean, estimate.low, estimate.high) == pytest.approx((one_each.mean, one_each.low, one_each.high))
    assert estimate.count == 60
    naive = bootstrap(np.repeat(values, 3))
    assert estimate.high - estimate.low > 1.3 * (naive.high - naive.low), "about sqrt(3)"
    rows[0]["l1"] = math.nan
    values = result.column(NEW_POSE, "untouched", "all", "l1")
    estimate = result.estimate(NEW_POSE, values)
    assert estimate.count == 59 and estimate.mean == pytest.approx(np.nanmean(values))


# ---- parsing ---------------------------------------------------------------------------------------------------------


def test_parsing_is_measured_over_all_pixels_of_the_test_set(result, samples):
    table = sum(label_table(one.truth.new_pose.parse, one.parse, len(LIP)) for one in samples)
    scores, found = label_scores(table), result.parsing()
    assert list(found) == ["untouched", "stay", "good"], "poor has no parse"
    assert found["untouched"]["miou"].mean == pytest.approx(scores.mean_iou)
    assert found["untouched"]["accuracy"] == pytest.approx(scores.accuracy)
    good = found["good"]
    assert good["labels"]["hair"] == 0.0 and good["labels"]["pants"] == 1.0 and "hat" not in good["labels"]
    assert good["miou"].low <= good["miou"].mean <= good["miou"].high < 1 and good["miou"].count == 9
    with pytest.raises(ValueError, match="expected one of untouched, stay, good, got 'poor'"):
        result.mean_iou("poor")


def test_the_intervals_of_miou_are_those_of_people_drawn_one_by_one(result):
    """A few lines of loop: the tables of drawn people summed, scored by vtonlib.metrics."""
    tables = result.label_tables("untouched")
    by_person = [tables[3 * person : 3 * person + 3].sum(0) for person in range(PEOPLE)]
    picks = np.random.default_rng(0).integers(0, PEOPLE, (2000, PEOPLE))
    drawn = {tuple(sorted(pick)): None for pick in picks.tolist()}
    scores = {pick: label_scores(sum(by_person[person] for person in pick)).mean_iou for pick in drawn}
    low, high = np.percentile([scores[tuple(sorted(pick))] for pick in picks.tolist()], [2.5, 97.5])
    estimate = result.mean_iou("untouched")
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-9)


# ---- tables and files ------------------------------------------------------------------------------------------------


def test_break_downs_keep_their_own_parses(result, samples):
    parts = result.break_down("new_pose")
    assert {label: part["samples"] for label, part in parts.items()} == {"hips": 3, "stand": 3, "walk": 3}
    chosen = [one for one in samples if "@2=" in one.truth.new_pose.name]
    table = sum(label_table(one.truth.new_pose.parse, one.parse, len(LIP)) for one in chosen)
    assert parts["walk"]["miou"]["untouched"]["mean"] == pytest.approx(label_scores(table).mean_iou)
    rows = [row for row in result.rows if (row["new_pose"], row["method"], row["region"]) == ("walk", "stay", "all")]
    assert parts["walk"]["all"]["stay"]["l1"]["mean"] == pytest.approx(np.mean([row["l1"] for row in rows]))
    with pytest.raises(ValueError, match=r"expected attributes among .*moved.*got \('hat',\)"):
        result.break_down("hat")


def test_moves_that_cannot_be_measured_are_a_group_of_their_own(result):
    rows = [dict(row) for row in result.rows]
    keys = list(dict.fromkeys((row["name"], row["target"]) for row in rows))
    for row in rows:
        place = keys.index((row["name"], row["target"]))
        row["moved"] = math.nan if place == 0 else place / 10
    few = replace(result, rows=rows).by("moved")
    assert few["unknown"].samples(NEW_POSE) == 1 and len(few) == 9, "ten values or fewer stay as they are"
    many = []
    for copy in range(2):
        many += [{**row, "name": f"{row['name']}{copy}", "moved": row["moved"] + copy / 100} for row in rows]
    parts = NewPoseEvaluation(rows=many, size=SIZE, features="judge").by("moved")
    assert len(parts) == 4 and parts["unknown"].samples(NEW_POSE) == 2
    assert sum(part.samples(NEW_POSE) for part in parts.values()) == 18


def test_files_and_text(result, tmp_path):
    paths = result.write(tmp_path, {"by": {"new_pose": result.break_down("new_pose")}}, stem="new-pose")
    report = json.loads(paths[1].read_text())
    assert report["samples"] == {NEW_POSE: 9} and report["people"] == 3 and report["by"]["new_pose"]["walk"]["miou"]
    assert report["parsing"]["good"]["miou"]["mean"] == pytest.approx(result.mean_iou("good").mean, rel=1e-5)
    with paths[0].open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(result.rows) == 9 * 4 * 6
    text = result.table()
    assert text.startswith("new-pose: 9 samples at 64x64") and "hair 0.000" in text
    assert "samples" in result.table_by("new_pose", pairing=NEW_POSE, region="garment", number="l1")


def test_wrong_arguments_are_refused(samples, features, studio_root):
    with pytest.raises(ValueError, match="systems: stay is the name of a baseline"):
        evaluate_new_pose({"stay": None}, samples, features=features)
    with pytest.raises(ValueError, match="evaluation, new-pose: the data set is empty"):
        evaluate_new_pose({}, [], features=features)
    loud = SimpleNamespace(
        try_on=lambda batch, pose: SimpleNamespace(tryon=3 * torch.ones_like(batch.person), parse=None)
    )
    with pytest.raises(ValueError, match=r"loud, new-pose: prediction: expected values in \[0, 1\]"):
        evaluate_new_pose({"loud": loud}, samples, features=features, limit=1)
    with pytest.raises(ValueError, match=r"truth\.new_pose|pairing='unpaired'"):
        evaluate_new_pose({}, studio_root, size=(128, 96), features=features, limit=1)


# ---- CP-VTON used naively --------------------------------------------------------------------------------------------


def test_naive_shows_the_new_joints_and_nothing_else(samples):
    one, seen = samples[0], []
    inner = SimpleNamespace(name="inner", metadata={}, try_on=lambda sample, garment: seen.append((sample, garment)))
    naive, pose = NaiveNewPose(inner), samples[0].truth.new_pose.pose
    naive.try_on(one, samples[1].garment, pose=pose)
    naive.try_on(one)
    (changed, garment), (same, none) = seen
    assert garment is samples[1].garment and none is None and same is one
    assert torch.equal(changed.pose, pose) and changed.person is one.person and changed.parse is one.parse
    assert changed.truth is changed.hands is changed.skeleton is None
    assert (naive.name, naive.metadata) == ("inner", {})
    with pytest.raises(ValueError, match=r"pose: expected \(25, 3\) to go with the sample, got \(2, 25, 3\)"):
        naive.try_on(one, pose=pose.expand(2, -1, -1))


def test_naive_cp_vton_follows_the_joints_and_keeps_the_photograph(features, tmp_path):
    size = (128, 96)
    dataset = open_dataset(write_poses(tmp_path, people=2, poses=2, size=size, split="test"), "test", "unpaired", size)
    naive, samples = NaiveNewPose(load_system("cp-vton")), [dataset[0], dataset[1]]
    case = new_pose_case(samples)
    still = naive.try_on(case.sample)
    moved = naive.try_on(case.sample, pose=case.wanted.pose)
    torch.testing.assert_close(naive.try_on(case.sample, pose=case.sample.pose).tryon, still.tryon)
    assert not torch.allclose(moved.theta, still.theta, atol=1e-4), "the warp sees the new joints"
    face = (case.sample.parse == 13).unsqueeze(1).expand(-1, 3, -1, -1)
    assert torch.equal(moved.tryon[face], case.sample.person[face]), "the face stays where the reference has it"
    result = evaluate_new_pose({"cp-vton, naive": naive}, samples, features=features)
    assert result.methods(NEW_POSE)[-1] == "cp-vton, naive" and list(result.parses) == ["untouched", "stay"]
