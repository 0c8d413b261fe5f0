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


@pytest.fixture
def folder(tmp_path):
    for name, content in {"warp": warp(), "tryon": tryon()}.items():
        (tmp_path / f"cp-vton-{name}.json").write_text(json.dumps(content))
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


def test_the_section_goes_between_its_own_markers(folder, tmp_path):
    section = report.results_section(folder)
    assert section == report.results_section(folder) and section.index("**The warp") < section.index("**The try-on")
    both = f"a\n{report.BEGIN}\n{report.END}\nb\n{report.RESULTS_BEGIN}\nstale words\n{report.RESULTS_END}\nc\n"
    path = tmp_path / "README.md"
    path.write_text(both)
    report.update_readme(path, results=folder)
    text = path.read_text()
    assert text.count(section) == 1 and "stale words" not in text and report.notebook_table() in text
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
    section = report.results_section()
    assert text == report.with_table(text, section, report.RESULTS_BEGIN, report.RESULTS_END), (
        "run python -m vtonlib.course table"
    )
