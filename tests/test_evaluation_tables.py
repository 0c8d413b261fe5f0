"""vtonlib.evaluation_tables: made-up numbers in, means, verdicts, break-downs and files out."""

from __future__ import annotations

import csv
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from vtonlib.evaluation_tables import NUMBERS, PSNR_CEILING, TryOnEvaluation, provenance

SAMPLES = 40


def evaluation(*, systems: dict[str, float], pairing: str = "unpaired", attributes=lambda index: {}) -> TryOnEvaluation:
    """Rows with noise that all methods of a sample share; systems: name -> how much better than `untouched`."""
    rng, rows = np.random.default_rng(0), []
    baselines = {"paired": {"agnostic": 0.0, "paste": -0.1}, "unpaired": {"untouched": 0.0, "paste": -0.1}}[pairing]
    for index in range(SAMPLES):
        shared = rng.uniform(0.3, 0.5)
        for method, gain in {**baselines, **systems}.items():
            for region in ("all", "garment"):
                quality = shared + gain + rng.normal(0, 0.01)
                values = {"ssim": quality, "psnr": 20 * quality, "l1": 1 - quality, "perceptual": 2 - quality}
                who = {"pairing": pairing, "name": f"p{index}", "garment": f"g{index}", **attributes(index)}
                rows.append({**who, "method": method, "region": region, **values})
    return TryOnEvaluation(rows=rows, size=(256, 192), features="judge")


def test_summary_is_the_mean_and_samples_are_counted():
    result = evaluation(systems={"cp-vton": 0.1})
    assert result.methods("unpaired") == ["untouched", "paste", "cp-vton"]
    assert result.regions("unpaired") == ["all", "garment"] and result.samples("unpaired") == SAMPLES
    summary = result.summary()["unpaired"]["garment"]
    for method in result.methods("unpaired"):
        for number in NUMBERS:
            values = [r[number] for r in result.rows if r["method"] == method and r["region"] == "garment"]
            estimate = summary[method][number]
            assert estimate.mean == pytest.approx(np.mean(values)) and estimate.count == SAMPLES
            assert estimate.low < estimate.mean < estimate.high
    assert result.column("unpaired", "paste", "all", "l1") == [
        r["l1"] for r in result.rows if r["method"] == "paste" and r["region"] == "all"
    ]


def test_verdicts_follow_the_difference_within_samples():
    # The spread between samples (0.2) is far larger than the gains; pairs tell them apart all the same.
    result = evaluation(systems={"better": 0.02, "same": 0.0, "worse": -0.02})
    verdicts = {(one.method, one.number): one.verdict for one in result.beats_baselines() if one.region == "all"}
    for number in NUMBERS:  # in favour, whichever way the number points
        assert verdicts["better", number] == "better" and verdicts["worse", number] == "worse"
    assert verdicts["same", "ssim"] == "open"  # not told apart from untouched, though better than paste
    one = next(one for one in result.compare("better", ["paste", "same"], "unpaired") if one.number == "l1")
    mine, other = (np.array(result.column("unpaired", name, "all", "l1")) for name in ("better", "paste"))
    assert one.against["paste"].mean == pytest.approx((other - mine).mean())
    assert list(one.against) == ["paste", "same"] and one.against["paste"].low > 0


def test_worse_than_one_is_worse():
    result = evaluation(systems={"between": -0.05})
    found = [one for one in result.beats_baselines() if one.region == "garment"]
    assert all(one.against["paste"].low > 0 and one.against["untouched"].high < 0 for one in found)
    assert [one.verdict for one in found] == ["worse"] * 4


def test_the_first_system_is_set_against_the_others():
    result = evaluation(systems={"cp-vton": 0.1, "warp only": 0.05})
    found = result.against_other_systems()
    assert len(found) == 2 * 4 and {(one.method, *one.against, one.verdict) for one in found} == {
        ("cp-vton", "warp only", "better")
    }
    assert evaluation(systems={"cp-vton": 0.1}).against_other_systems() == []
    assert evaluation(systems={}).beats_baselines() == evaluation(systems={}).against_other_systems() == []


def test_what_is_missing_in_a_sample_is_left_out_and_counted():
    result = evaluation(systems={"cp-vton": 0.1})
    empty = [row for row in result.rows if row["name"] in ("p0", "p1") and row["region"] == "garment"]
    for row in empty:
        row.update(dict.fromkeys(NUMBERS, math.nan))
    estimate = result.summary()["unpaired"]["garment"]["cp-vton"]["l1"]
    assert estimate.count == SAMPLES - 2 and math.isfinite(estimate.mean)
    assert result.samples("unpaired") == SAMPLES
    comparison = next(one for one in result.beats_baselines() if one.region == "garment")
    assert comparison.against["paste"].count == SAMPLES - 2


def test_samples_at_the_ceiling_of_psnr_are_counted():
    result = evaluation(systems={"cp-vton": 0.1})
    for row in result.rows[::3]:
        row["psnr"] = float(np.float32(PSNR_CEILING))
    for method in result.methods("unpaired"):
        values = result.column("unpaired", method, "all", "psnr")
        assert result.at_ceiling("unpaired", method, "all") == sum(value > 58 for value in values)


def test_the_table_has_a_line_for_each_region_and_method():
    result = evaluation(systems={"cp-vton": 0.1, "poor": -0.5})
    lines = result.table().splitlines()
    assert lines[0].startswith(f"unpaired: {SAMPLES} samples at 256x192")
    assert [line.split()[:2] for line in lines[2:10]] == [
        [region, method] for region in ("all", "garment") for method in ("untouched", "paste", "cp-vton", "poor")
    ]
    assert lines[4].count("] +") == 4 and lines[5].count("] -") == 4 and lines[2].count("] +") == 0
    mean = result.summary()["unpaired"]["all"]["cp-vton"]["ssim"].mean
    assert lines[4].split()[2] == f"{mean:.4g}" and "'judge'" in lines[-1]


def test_break_downs():
    kinds = ("walk", "stand", "hips", "walk")
    attributes = lambda index: {"pose": kinds[index % 4], "skin_tone": index / 10, "sleeve": "long"}  # noqa: E731
    result = evaluation(systems={}, attributes=attributes)
    assert {label: part.samples("unpaired") for label, part in result.by("pose").items()} == {
        "hips": SAMPLES / 4, "stand": SAMPLES / 4, "walk": SAMPLES / 2,
    }  # fmt: skip
    assert list(result.by("pose", "sleeve")) == ["hips / long", "stand / long", "walk / long"]
    thirds = {label: part.samples("unpaired") for label, part in result.by("skin_tone").items()}
    assert thirds == {"0 to 1.3": 14, "1.4 to 2.6": 13, "2.7 to 3.9": 13}
    values = [r["l1"] for r in result.rows if (r["pose"], r["method"], r["region"]) == ("hips", "paste", "all")]
    text = result.table_by("pose", pairing="unpaired", region="all", number="l1").splitlines()
    assert text[0].split() == ["pose", "samples", "untouched", "paste"] and len(text) == 4
    assert text[1].split()[:2] == ["hips", "10"] and f"{np.mean(values):.4g} [" in text[1]
    with pytest.raises(ValueError, match=r"expected attributes among pairing, name, garment, pose.*got \('hat',\)"):
        result.by("hat")


def test_the_report_can_be_read_again(tmp_path):
    result = evaluation(systems={"cp-vton": 0.1, "warp only": 0.0})
    result.rows[0]["l1"] = math.nan
    paths = result.write(tmp_path / "new", {"system": "cp-vton"}, stem="cp-vton-tryon")
    assert [path.name for path in paths] == ["cp-vton-tryon.csv", "cp-vton-tryon.json"]
    with paths[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result.rows) and float(rows[5]["ssim"]) == result.rows[5]["ssim"]
    report = json.loads(paths[1].read_text())
    assert report["size"] == [256, 192] and report["samples"] == {"unpaired": SAMPLES}
    assert report["features"] == "judge" and report["system"] == "cp-vton"
    summary, stored = result.summary()["unpaired"]["all"]["cp-vton"], report["summary"]["unpaired"]["all"]["cp-vton"]
    assert stored["l1"]["mean"] == pytest.approx(summary["l1"].mean, rel=1e-5) and stored["at_ceiling"] == 0
    assert len(report["beats_baselines"]) == 2 * 2 * 4 and len(report["against_other_systems"]) == 2 * 4
    first = report["beats_baselines"][0]
    assert first["verdict"] == "better" and set(first["against"]) == {"untouched", "paste"}
    assert report["summary"]["unpaired"]["all"]["untouched"]["l1"]["count"] == SAMPLES - 1
    assert paths[1].read_bytes() == result.write(tmp_path / "again", {"system": "cp-vton"})[1].read_bytes()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["cp-vton-tryon.csv", "cp-vton-tryon.json"]


def test_provenance():
    system = SimpleNamespace(
        name="cp-vton",
        metadata={"gmm": {"recipe": {"version": "cp-vton-gmm/1"}, "command": "train it", "config": {}}, "tom": {}},
    )
    studio = {"recipe": "studio-1", "seed": 1, "people": 1000}
    dataset = SimpleNamespace(source=SimpleNamespace(split="test", recipe=studio))
    assert provenance(system, dataset, "measure it") == {
        "system": "cp-vton",
        "command": "measure it",
        "data": {"split": "test", "studio": studio},
        "weights": {
            "gmm": {"recipe": "cp-vton-gmm/1", "command": "train it"},
            "tom": {"recipe": None, "command": None},
        },
    }
