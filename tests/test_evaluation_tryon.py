"""vtonlib.evaluation_tryon: regions and baselines pixel by pixel, and systems whose quality is known beforehand."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from synthetic import make_raw
from torch import nn

from vtonlib import metrics
from vtonlib.data import open_dataset, sample_from_raw
from vtonlib.evaluation_tables import BASELINES, NUMBERS, PSNR_CEILING
from vtonlib.evaluation_tryon import (
    baseline,
    evaluate_tryon,
    judged,
    manifest_attributes,
    measure_picture,
    regions,
    tryon_case,
)
from vtonlib.layouts import write_pairs, write_sample
from vtonlib.represent import human_agnostic

SIZE = (64, 48)


def made(number: int = 0):
    """A raw sample whose picture in the other garment has another parse: sleeves over the arms, and a higher hem."""
    raw = make_raw(f"p{number}_00", size=SIZE, seed=10 * number)
    parse = raw.parse.copy()
    parse[raw.parse == 15] = 5  # one arm is covered by a sleeve
    hem = np.nonzero((raw.parse == 5).any(1))[0][-6:]
    parse[hem] = np.where(raw.parse[hem] == 5, 9, parse[hem])  # and trousers show where the old top ended
    return dataclasses.replace(raw, unpaired=dataclasses.replace(raw.unpaired, parse=parse))


def sample(number: int = 0):
    return sample_from_raw(made(number))


@pytest.fixture(scope="module")
def features():
    """Two layers with random weights: what a feature network is to this module."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2, padding=1)

    @torch.no_grad()
    def network(picture):
        maps = [first(picture).relu()]
        return [*maps, second(maps[0]).relu()]

    return network


class Knowing:
    """A system that has seen the answers: mixes `share` of the picture `wrong` into the right one."""

    def __init__(self, samples, pairing, share=0.0, wrong=0.0):
        self.right = {s.name: (s if pairing == "paired" else s.truth.unpaired).person for s in samples}
        self.share, self.wrong, self.seen = share, wrong, []

    def try_on(self, batch):
        self.seen.append(batch)
        right = torch.stack([self.right[name] for name in batch.name])
        return SimpleNamespace(tryon=(1 - self.share) * right + self.share * self.wrong)


# ---- what is judged ------------------------------------------------------------------------------------------------


def test_regions_of_a_parse_by_hand():
    target = torch.tensor([[0, 13, 10, 2], [14, 5, 6, 15], [9, 7, 9, 3]])[None]
    before = torch.tensor([[0, 13, 5, 2], [5, 5, 5, 15], [5, 9, 9, 3]])[None]
    masks = {name: mask[0, 0].int().tolist() for name, mask in regions(target, before).items()}
    assert masks == {
        "all": [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]],
        "garment": [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0]],
        "skin": [[0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]],
        "uncovered": [[0, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]],
        "rest": [[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 1, 1]],
    }
    assert "uncovered" not in regions(target)


def test_garment_skin_and_rest_share_out_the_picture():
    parse = torch.randint(0, 20, (3, 16, 12), generator=torch.Generator().manual_seed(0))
    masks = regions(parse)
    total = sum(masks[name].int() for name in ("garment", "skin", "rest"))
    assert (total == 1).all() and masks["all"].all()


def test_a_system_is_shown_the_garment_of_the_pairing_and_no_truth():
    one = sample()
    shown, target = judged(one, "paired")
    assert shown.truth is None and shown.garment is one.garment and target is one
    shown, target = judged(one, "unpaired")
    assert shown.truth is None and shown.garment is one.truth.unpaired.garment and target is one.truth.unpaired
    assert torch.equal(shown.person, one.person)
    swapped = replace(one, garment=one.truth.unpaired.garment)  # as a data set opened "unpaired" gives it
    again, target = judged(swapped, "unpaired")
    assert again.garment is shown.garment and target is one.truth.unpaired


def test_what_cannot_be_judged_is_refused():
    one = sample()
    with pytest.raises(ValueError, match=r"'p0_00': expected the own garment \(paired\), got 'other_00'"):
        judged(replace(one, garment=one.truth.unpaired.garment), "paired")
    with pytest.raises(ValueError, match=r"'p0_00' has no picture in another garment.*vtonlib\.studio\.Studio"):
        judged(replace(one, truth=None), "unpaired")
    with pytest.raises(ValueError, match="has no parse: human parsing"):
        judged(replace(one, parse=None), "paired")
    with pytest.raises(ValueError, match=r"padded by \(0, 4, 0, 4\)"):
        judged(replace(one, padding=(0, 4, 0, 4)), "paired")


def test_baselines_pixel_by_pixel():
    one = sample()
    for pairing, below in (("paired", "agnostic"), ("unpaired", "untouched")):
        case = tryon_case([one], pairing)
        garment = one.garment if pairing == "paired" else one.truth.unpaired.garment
        lower = one.person if pairing == "unpaired" else human_agnostic(one) * 2 - 1
        expected = lower.clone()
        for y in range(SIZE[0]):
            for x in range(SIZE[1]):
                if garment.mask[0, y, x] > 0.5:
                    expected[:, y, x] = garment.image[:, y, x]
        assert torch.equal(baseline("paste", case.sample, pairing)[0], expected)
        assert torch.equal(baseline(below, case.sample, pairing)[0], lower)
    with pytest.raises(ValueError, match=r"expected one of \('agnostic', 'paste'\) for paired samples"):
        baseline("untouched", case.sample, "paired")
    bare = replace(case.sample, garment=replace(case.sample.garment, mask=None))
    with pytest.raises(ValueError, match="has no mask"):
        baseline("paste", bare, "unpaired")


# ---- the numbers ---------------------------------------------------------------------------------------------------


def test_the_target_itself_is_perfect_in_every_region(features):
    case = tryon_case([sample(0), sample(1)], "unpaired")
    numbers = measure_picture(case.target * 2 - 1, case, features)
    assert list(numbers) == ["all", "garment", "skin", "uncovered", "rest"]
    for of in numbers.values():
        assert torch.allclose(of["ssim"], torch.ones(2)) and (of["l1"] < 1e-6).all()
        assert (of["perceptual"] < 1e-6).all() and (of["psnr"] == PSNR_CEILING).all()


def test_each_number_is_that_of_vtonlib_metrics(features):
    case = tryon_case([sample(0), sample(1)], "unpaired")
    tryon = baseline("paste", case.sample, "unpaired")
    numbers, picture = measure_picture(tryon, case, features), tryon / 2 + 0.5
    for region, mask in case.regions.items():
        distance = metrics.perceptual_distance(picture, case.target, features, None if region == "all" else mask)
        torch.testing.assert_close(numbers[region]["perceptual"], distance)
        for number in ("ssim", "psnr", "l1"):
            whole, masked = getattr(metrics, number), getattr(metrics, f"masked_{number}")
            expected = whole(picture, case.target) if region == "all" else masked(picture, case.target, mask)
            torch.testing.assert_close(numbers[region][number], expected)


def test_psnr_ends_where_eight_bits_end(features):
    case = tryon_case([sample()], "paired")
    case = replace(case, target=torch.full_like(case.target, 0.5))
    for error, expected in ((0.1, 20.0), (0.01, 40.0), (1 / 255 / math.sqrt(12), PSNR_CEILING), (1e-5, PSNR_CEILING)):
        numbers = measure_picture(torch.full_like(case.target, 2 * error), case, features)
        assert float(numbers["garment"]["psnr"]) == pytest.approx(expected, abs=1e-3)
        assert float(numbers["garment"]["l1"]) == pytest.approx(error, abs=1e-6)
    assert pytest.approx(58.92, abs=0.01) == PSNR_CEILING


def test_an_empty_region_is_nan(features):
    one = sample()
    case = tryon_case([replace(one, parse=torch.where(one.parse == 10, 0, one.parse).clamp(max=13))], "paired")
    numbers = measure_picture(one.person[None], case, features)
    assert all(math.isnan(float(numbers["skin"][number])) for number in NUMBERS)


# ---- whole evaluations ---------------------------------------------------------------------------------------------


def test_a_better_picture_beats_a_worse_one_and_the_baselines(features):
    samples = [sample(number) for number in range(6)]
    systems = {
        "good": Knowing(samples, "unpaired", share=0.05),
        "bad": Knowing(samples, "unpaired", share=0.9, wrong=-1.0),
    }
    result = evaluate_tryon(systems, samples, pairing="unpaired", features=features, batch_size=4)
    assert result.pairings == ["unpaired"] and result.samples("unpaired") == 6 and result.size == SIZE
    assert result.methods("unpaired") == ["untouched", "paste", "good", "bad"]
    assert all(batch.truth is None for batch in systems["good"].seen)
    verdicts = {(one.method, one.region, one.number): one.verdict for one in result.beats_baselines()}
    assert len(verdicts) == 2 * 5 * 4
    assert {verdict for (method, _, _), verdict in verdicts.items() if method == "good"} == {"better"}
    assert verdicts["bad", "all", "l1"] == verdicts["bad", "all", "psnr"] == "worse"
    assert all(one.verdict == "better" for one in result.against_other_systems())
    summary = result.summary()["unpaired"]["garment"]
    for method in ("paste", "good"):
        for number in NUMBERS:
            values = [
                row[number] for row in result.rows
                if row["method"] == method and row["region"] == "garment"
            ]  # fmt: skip
            assert len(values) == 6 and summary[method][number].mean == pytest.approx(np.mean(values))
    # a share of 5% mixed with grey: the difference is 5% of the distance to grey
    case = tryon_case(samples, "unpaired")
    expected = 0.05 * metrics.masked_l1(case.target, torch.full_like(case.target, 0.5), case.regions["garment"])
    assert summary["good"]["l1"].mean == pytest.approx(float(expected.mean()), abs=1e-5)


def test_the_untouched_photograph_is_no_paired_baseline_because_it_is_the_answer(features):
    samples = [sample(number) for number in range(2)]
    copyist = SimpleNamespace(try_on=lambda batch: SimpleNamespace(tryon=batch.person))
    result = evaluate_tryon({"copyist": copyist}, samples, features=features)
    assert result.pairings == ["paired", "unpaired"]
    assert result.methods("paired") == ["agnostic", "paste", "copyist"]
    assert result.at_ceiling("paired", "copyist", "all") == 2
    for region in result.regions("unpaired"):  # unpaired it is found out: it is the baseline `untouched`
        for number in NUMBERS:
            mine = result.column("unpaired", "copyist", region, number)
            assert mine == result.column("unpaired", "untouched", region, number)
    unpaired = [one for one in result.beats_baselines() if one.pairing == "unpaired"]
    assert all(one.verdict != "better" for one in unpaired)


def test_batches_make_no_difference_and_limit_is_kept(features):
    samples = [sample(number) for number in range(3)]
    single, together = (evaluate_tryon({}, samples, features=features, batch_size=size) for size in (1, 3))
    key = lambda row: (row["pairing"], row["name"], row["method"], row["region"])  # noqa: E731
    for one, other in zip(sorted(single.rows, key=key), sorted(together.rows, key=key), strict=True):
        assert key(one) == key(other)
        assert [one[n] for n in NUMBERS] == pytest.approx([other[n] for n in NUMBERS], abs=1e-4)
    assert evaluate_tryon({}, samples, features=features, limit=2).samples("paired") == 2


def test_wrong_arguments_are_refused(features):
    samples = [sample()]
    with pytest.raises(ValueError, match="pairing: expected paired, unpaired or both, got 'pared'"):
        evaluate_tryon({}, samples, features=features, pairing="pared")
    with pytest.raises(ValueError, match="systems: paste is the name of a baseline"):
        evaluate_tryon({"paste": None}, samples, features=features)
    with pytest.raises(ValueError, match="the data set is empty"):
        evaluate_tryon({}, [], features=features)
    loud = SimpleNamespace(try_on=lambda batch: SimpleNamespace(tryon=3 * torch.ones_like(batch.person)))
    with pytest.raises(ValueError, match=r"loud, paired: prediction: expected values in \[0, 1\], got \[2, 2\]"):
        evaluate_tryon({"loud": loud}, samples, features=features)
    with pytest.raises(ValueError, match="expected one of course, judge, vgg19"):
        evaluate_tryon({}, samples, features="alexnet")


# ---- data sets on disk ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three people in the layout of VITON-HD with the studio's truth, and a manifest."""
    root = tmp_path_factory.mktemp("data")
    raws = [made(number) for number in range(3)]
    others = raws[1:] + raws[:1]
    for raw, other in zip(raws, others, strict=True):
        garment = {"garment_name": other.garment_name, "cloth": other.cloth, "cloth_mask": other.cloth_mask}
        back = {"cloth_back": other.cloth_back, "cloth_back_mask": other.cloth_back_mask}
        worn = dataclasses.replace(raw.unpaired, **garment, **back)
        write_sample(root / "test", dataclasses.replace(raw, unpaired=worn))
    names = [f"{raw.name}.jpg" for raw in raws]
    write_pairs(root / "test_pairs_paired.txt", list(zip(names, names)))
    write_pairs(root / "test_pairs.txt", list(zip(names, names[1:] + names[:1])))
    people = ("p0_00,tank,0,plain,walk,1.5", "p1_00,sweater,1.9,check,stand,2.5", "p2_00,t-shirt,0.62,plain,walk,3.5")
    (root / "manifest.csv").write_text("\n".join(["name,cut,sleeve,fabric,pose,skin_tone", *people]) + "\n")
    return root


def test_a_folder_is_opened_for_each_pairing(root, features):
    result = evaluate_tryon({}, root, size=SIZE, features=features)
    worn = {row["name"]: row["garment"] for row in result.rows if row["pairing"] == "paired"}
    tried = {row["name"]: row["garment"] for row in result.rows if row["pairing"] == "unpaired"}
    assert worn == {name: name for name in ("p0_00", "p1_00", "p2_00")}
    assert tried == {"p0_00": "p1_00", "p1_00": "p2_00", "p2_00": "p0_00"}
    paired = evaluate_tryon({}, open_dataset(root, size=SIZE), features=features)
    assert paired.rows == result.rows, "the paired data set carries the unpaired truth"
    swapped = open_dataset(root, pairing="unpaired", size=SIZE)
    alone = evaluate_tryon({}, swapped, pairing="unpaired", features=features)
    assert alone.rows == [row for row in result.rows if row["pairing"] == "unpaired"]
    with pytest.raises(ValueError, match="expected the own garment"):
        evaluate_tryon({}, swapped, pairing="paired", features=features)


def test_attributes_come_from_the_manifest(root, features):
    result = evaluate_tryon({}, root, size=SIZE, features=features, pairing="unpaired")
    row = next(row for row in result.rows if row["name"] == "p0_00")
    assert {key: row[key] for key in ("pose", "skin_tone", "worn_sleeve", "cut", "sleeve", "fabric")} == {
        "pose": "walk", "skin_tone": 1.5, "worn_sleeve": "none", "cut": "sweater", "sleeve": "long", "fabric": "check",
    }  # fmt: skip
    assert {label: part.samples("unpaired") for label, part in result.by("pose").items()} == {"stand": 1, "walk": 2}
    assert manifest_attributes(root / "test")("anybody", "anything") == {}
    with pytest.raises(ValueError, match=r"manifest\.csv: expected a line for 'p9_00'"):
        manifest_attributes(root)("p0_00", "p9_00")


def test_the_studios_own_data_set(studio_root, features):
    """Doing nothing is near the rendered truth in the rest, and far from it in the garment."""
    result = evaluate_tryon({}, studio_root, size=(128, 96), features=features, pairing="unpaired")
    summary = result.summary()["unpaired"]
    assert list(summary) == ["all", "garment", "skin", "uncovered", "rest"]
    assert summary["rest"]["untouched"]["l1"].mean < 0.25 * summary["garment"]["untouched"]["l1"].mean
    assert summary["rest"]["untouched"]["ssim"].mean > summary["rest"]["paste"]["ssim"].mean
    assert set(result.methods("unpaired")) == set(BASELINES["unpaired"])
