"""vtonlib.course.report, results: from the JSON files of an evaluation to the README, and nothing typed by hand."""

from __future__ import annotations

import json

import pytest

from vtonlib.course import report
from vtonlib.course.__main__ import main
from vtonlib.course.profiles import PROJECT

ORIGIN = {
    "system": "cp-vton",
    "command": "python -m vtonlib evaluate --what all",
    "size": [256, 192],
    "data": {"split": "test", "studio": {"recipe": "studio-1", "seed": 1, "people": 1000}},
    "weights": {"gmm": {"recipe": "cp-vton-gmm/1", "command": "x"}, "tom": {"recipe": None, "command": None}},
}


def estimate(mean, count: int = 250) -> dict:
    return {"mean": mean, "low": mean, "high": mean, "count": count}


def warp(learned=(0.9, 4.0), oracle=(0.8, 2.0)) -> dict:
    numbers = lambda iou, flow: {  # noqa: E731
        "iou": estimate(iou), "iou_share": estimate(iou / oracle[0]), "flow_mean": estimate(flow),
        "flow_median": estimate(flow - 1), "folded": estimate(0.0125),
    }  # fmt: skip
    summary = {"learned": numbers(*learned), "shape-context": numbers(0.7, 9.0), "oracle": numbers(*oracle)}
    summary["identity"] = numbers(0.5, 38.0) | {"flow_median": estimate(None)}
    return {**ORIGIN, "failures": {"shape-context": 3}, "summary": summary}


def comparison(method: str, against: list[str], verdicts: dict[str, str]) -> list[dict]:
    """verdicts: region -> one letter for each of SSIM, PSNR, L1, perceptual: better, worse, open."""
    words = {"b": "better", "w": "worse", "o": "open"}
    return [
        {"pairing": "unpaired", "region": region, "number": number, "method": method, "verdict": words[letter],
         "against": dict.fromkeys(against, estimate(0.1))}
        for region, letters in verdicts.items()
        for number, letter in zip(("ssim", "psnr", "l1", "perceptual"), letters, strict=True)
    ]  # fmt: skip


def tryon() -> dict:
    numbers = lambda value: {  # noqa: E731
        "ssim": estimate(value), "psnr": estimate(20 * value), "l1": estimate(1 - value),
        "perceptual": estimate(value / 4), "at_ceiling": 0,
    }  # fmt: skip
    methods = {"untouched": 0.6, "paste": 0.5, "cp-vton": 0.8, "warp only": 0.7}
    region = {method: numbers(value) for method, value in methods.items()}
    baselines = ["untouched", "paste"]
    found = comparison("cp-vton", baselines, {"all": "bbbb", "garment": "boww", "rest": "wwww"})
    return {
        **ORIGIN,
        "features": "judge",
        "samples": {"unpaired": 250},
        "summary": {"unpaired": {"all": region, "garment": region, "rest": region}},
        "beats_baselines": found + comparison("warp only", baselines, {"all": "oooo"}),
        "against_other_systems": comparison("cp-vton", ["warp only"], {"garment": "bbbb"}),
    }


def perceive() -> dict[str, dict]:
    """A made-up result of each preprocessing step."""
    mask = lambda iou: {"iou": iou, "worst": iou - 0.05, "pictures": 6}  # noqa: E731
    row = {"pairing": "unpaired", "region": "garment", "number": "ssim", "given": estimate(0.5)}
    gain = {"mean": -0.02, "low": -0.03, "high": -0.01, "count": 60}
    return {
        "pose": {
            "targets": {"studio": 0.95, "photographs": 0.8},
            "studio": {"benchmark": {"pck": 0.99, "hands": {"pck": 0.9}}, "wild": {"pck": 0.96, "hands": {"pck": 0.8}}},
            "photographs": {"raw": {"hits": 3, "counted": 8}, "hips moved": {"hits": 6, "counted": 8, "pck": 0.75}},
        },
        "parsing": {
            "studio_target": 0.85, "real_target": 0.65, "real_accuracy_target": 0.9,
            "studio": {"benchmark": {"miou": 0.8, "accuracy": 0.95}},
            "photographs": {"photographs": 2, "miou": 0.7, "accuracy": 0.91,
                            "each": {"a": {"miou": 0.6}, "b": {"miou": 0.8}}},
        },
        "densepose": {"target": 0.8, "data": [{"name": "views", "miou": 0.6, "uv_where_right": {"error": 0.05}}]},
        "garment-mask": {
            "targets": {"studio": 0.97, "photographs": 0.95},
            "backends": {name: dict.fromkeys(("studio", "grounds", "photographs"), mask(0.9 + 0.01 * index))
                         for index, name in enumerate(("border", "unet", "u2netp"))},
        },
        "annotate": {
            "seconds": {"cores": 2, "limit": 2.0, "size": [1024, 768],
                        "median_seconds": {"12 megapixels": {"annotate": 1.234}}},
            "agreement": {"studio": {"people": 60, "summary": {
                "human_agnostic_iou": estimate(0.95), "parse_agnostic_equal": estimate(0.975)}}},
            "try_on": {"samples": 60, "rows": [
                {**row, "predicted": estimate(0.48), "in_favour_of_predicted": gain},
                {**row, "pairing": "paired", "predicted": estimate(0.1), "in_favour_of_predicted": gain},
            ]},
        },
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for name, content in {"warp": warp(), "tryon": tryon()}.items():
        (tmp_path / f"cp-vton-{name}.json").write_text(json.dumps(content))
    for name, content in perceive().items():
        (tmp_path / f"perceive-{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_the_warp_in_the_readme(folder):
    text = report.warp_results(report.read_results("warp", folder))
    assert text.splitlines() == [
        "**The warp.** 250 test people of the studio's 1000 with seed 1 (recipe studio-1) at 256x192; weights by gmm",
        "cp-vton-gmm/1, tom random; made by `python -m vtonlib evaluate --what all`.",
        "",
        "| warp | IoU | share of the oracle's IoU | flow error, mean | flow error, median | folded |",
        "|---|---|---|---|---|---|",
        "| learned (course checkpoint) | 0.900 | 1.12 | 4.0 | 3.0 | 1.2% |",
        "| VITON's shape contexts, to a predicted mask, failed on 3 | 0.700 | 0.87 | 9.0 | 8.0 | 1.2% |",
        "| oracle: the 5x5 spline nearest to the true flow | 0.800 | 1.00 | 2.0 | 1.0 | 1.2% |",
        "| no warp | 0.500 | 0.62 | 38.0 |  | 1.2% |",
        "",
        "The learned warp's IoU is 0.100 above the oracle's; its flow error is 2.0 times the oracle's.",
    ]
    worse = report.warp_results(warp(learned=(0.75, 3.0)))
    assert "IoU is 0.050 below the oracle's; its flow error is 1.5 times the oracle's." in worse


def test_the_try_on_in_the_readme(folder):
    lines = report.tryon_results(report.read_results("tryon", folder)).splitlines()
    assert lines[0].startswith("**The try-on.** 250 test people") and all(len(line) <= 120 for line in lines[:3])
    assert "network `judge`. Paired, the target" in " ".join(lines[:3])
    table = [line for line in lines if line.startswith("|")]
    assert table[0] == (
        "| unpaired, 250 samples | SSIM | PSNR | L1 | SSIM, garment "
        "| perceptual | perceptual, garment | perceptual, rest |"
    )
    assert table[2] == "| untouched | 0.600 | 12.0 | 0.400 | 0.600 | 0.150 | 0.150 | 0.150 |"
    assert table[4] == "| cp-vton | **0.800** | **16.0** | **0.200** | **0.800** | **0.200** | 0.200 | 0.200 |"
    assert table[5] == "| warp only | 0.700 | 14.0 | 0.300 | 0.700 | 0.175 | 0.175 | 0.175 |"


def test_claims_are_computed():
    found = tryon()
    assert report.claims(found["beats_baselines"]) == [
        "- cp-vton beside untouched and paste: better than each in all (every number), garment (SSIM); worse than at "
        "least one in garment (L1, perceptual), rest (every number); neither, by the 95% intervals of the differences, "
        "in garment (PSNR).",
        "- warp only beside untouched and paste: neither, by the 95% intervals of the differences, in all (every "
        "number).",
    ]
    assert report.claims(found["against_other_systems"]) == [
        "- cp-vton beside warp only: better than it in garment (every number)."
    ]


def test_the_annotations_in_the_readme(folder):
    lines = report.annotations_section(folder).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert table[:2] == ["| step, number | studio, test people | aim | photographs | aim |", "|---|---|---|---|---|"]
    assert table[2] == (
        "| 1 pose, body: PCK@0.1 | 0.990 (benchmark), 0.960 (wild) | 0.95 "
        "| 6 of 8 joints = 0.75; 3 with the hips where the studio has them | 0.80 |"
    )
    assert "| 2 parsing: mean IoU | 0.800 (benchmark) | 0.85 | 0.700 on 2 (0.60, 0.80) | 0.65 |" in table
    assert table[-1].startswith(
        "| 4 garment mask, U2-NetP: IoU | 0.920 (in the shop), 0.920 (on other grounds) | 0.97 |"
    )
    prose = " ".join(line for line in lines if not line.startswith("|"))
    assert "of 12 megapixels takes 1.23 s from the file to a sample of 1024x768 (2 cores; the aim is 2 s)" in prose
    assert "SSIM of the garment 0.480 against 0.500 (worse; -0.0300 to -0.0100 in favour of predicted)." in prose
    (folder / "perceive-densepose.json").unlink()
    with pytest.raises(ValueError, match=r"densepose\.json: no such file; `python benchmarks/perceive_densepose\.py"):
        report.annotations_section(folder)


def test_the_section_goes_between_its_own_markers(folder, tmp_path):
    section = report.results_section(folder)
    assert section == report.results_section(folder) and section.index("**The warp") < section.index("**The try-on")
    both = f"a\n{report.BEGIN}\n{report.END}\n{report.STEPS_BEGIN}\nstale table\n{report.STEPS_END}\nb\n"
    both += f"{report.RESULTS_BEGIN}\nstale words\n{report.RESULTS_END}\nc\n"
    path = tmp_path / "README.md"
    path.write_text(both)
    report.update_readme(path, results=folder)
    text = path.read_text()
    assert text.count(section) == 1 and "stale words" not in text and report.notebook_table() in text
    assert text.count(report.annotations_section(folder)) == 1 and "stale table" not in text
    assert text.startswith("a\n") and text.endswith(f"{report.RESULTS_END}\nc\n")
    report.update_readme(path, results=folder)
    assert path.read_text() == text


def test_a_missing_or_incomplete_result_is_named(folder, capsys, monkeypatch):
    path = folder / "cp-vton-tryon.json"
    path.write_text(json.dumps({key: value for key, value in tryon().items() if key not in ("data", "command")}))
    with pytest.raises(ValueError, match=r"cp-vton-tryon\.json: .*command, data is missing"):
        report.read_results("tryon", folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"tryon\.json: no such file; `python -m vtonlib evaluate .*--what try-on"):
        report.results_section(folder)
    monkeypatch.setattr(report, "update_readme", lambda: report.results_section(folder))
    assert main(["table"]) == 2 and "no such file" in capsys.readouterr().err


def test_readme_results_are_the_measured_ones():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    told = "run python -m vtonlib.course table"
    assert text == report.with_table(text, report.results_section(), report.RESULTS_BEGIN, report.RESULTS_END), told
    assert text == report.with_table(text, report.annotations_section(), report.STEPS_BEGIN, report.STEPS_END), told
