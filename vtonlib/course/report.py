"""What the README tells in numbers, written by code: the notebooks' run time and memory, and what the systems reach.

Times are kept in notebooks/timings.toml; results in benchmarks/results/*.json, as `python -m vtonlib evaluate` writes
them. What a result may claim is computed from it, never typed.
"""

from __future__ import annotations

import json
import textwrap
import tomllib
from pathlib import Path

from vtonlib.course.build import NOTEBOOKS, sources, write_text
from vtonlib.course.profiles import PROFILES, PROJECT
from vtonlib.course.report_perceive import perceive_results, read_perceive

TIMINGS = NOTEBOOKS / "timings.toml"
RESULTS = PROJECT / "benchmarks" / "results"
BEGIN, END = "<!-- notebooks: begin -->", "<!-- notebooks: end -->"
RESULTS_BEGIN, RESULTS_END = "<!-- results: begin -->", "<!-- results: end -->"
STEPS_BEGIN, STEPS_END = "<!-- annotations: begin -->", "<!-- annotations: end -->"

WARPS = {
    "learned": "learned (course checkpoint)",
    "matcher, worn picture": "matcher trained on synthetic warps, shown the worn picture",
    "shape-context": "VITON's shape contexts, to a predicted mask",
    "shape-context, true mask": "VITON's shape contexts, to the true mask",
    "oracle": "oracle: the 5x5 spline nearest to the true flow",
    "silhouette": "a 5x5 spline made for outline and flow",
    "affine": "the affine map nearest to the true flow",
    "identity": "no warp",
}
WARP_COLUMNS = {
    "IoU": ("iou", "{:.3f}"),
    "share of the oracle's IoU": ("iou_share", "{:.2f}"),
    "flow error, mean": ("flow_mean", "{:.1f}"),
    "flow error, median": ("flow_median", "{:.1f}"),
    "folded": ("folded", "{:.1%}"),
}
TRYON_NUMBERS = {
    "ssim": ("SSIM", "{:.3f}"),
    "psnr": ("PSNR", "{:.1f}"),
    "l1": ("L1", "{:.3f}"),
    "perceptual": ("perceptual", "{:.3f}"),
}
TRYON_COLUMNS = (
    ("all", "ssim"), ("all", "psnr"), ("all", "l1"), ("garment", "ssim"), ("all", "perceptual"),
    ("garment", "perceptual"), ("skin", "perceptual"), ("uncovered", "perceptual"), ("rest", "perceptual"),
)  # fmt: skip
TRYON_READING = (
    "Paired, the target is the photograph, and what a system takes over from it is right by itself; unpaired, the "
    "target is the same person rendered in the garment that was asked for. Regions are those of the target; "
    "`uncovered` is where the old top was and the new one is not. Bold: better than every baseline, the 95% interval "
    "of the difference above 0."
)


def read_timings(path: Path = TIMINGS) -> dict:
    """notebook -> profile -> {seconds, megabytes}; {} where nothing was measured yet."""
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def record(runs, profile: str, *, path: Path = TIMINGS) -> None:
    """Note the runs that succeeded (`execute.Run`) under their profile, keeping what is known of the others."""
    timings = read_timings(path)
    for item in runs:
        if not item.failure:
            numbers = {"seconds": round(item.seconds), "megabytes": round(item.megabytes, -1)}
            timings.setdefault(item.stem, {})[profile] = numbers
    lines = ["# Written by `python -m vtonlib.course run --record` (or --commit): wall time, peak resident memory."]
    for stem in sorted(timings):
        for name in sorted(timings[stem], key=list(PROFILES).index):
            numbers = timings[stem][name]
            lines += ["", f"[{stem}.{name}]", f"seconds = {numbers['seconds']:g}"]
            lines += [f"megabytes = {numbers['megabytes']:g}"]
    write_text(path, "\n".join(lines) + "\n")


def title(source: Path) -> str:
    """The notebook's title without its number: the first heading of the source. ValueError where there is none."""
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("# # "):
            return line.removeprefix("# # ").removeprefix(source.stem[:2]).strip(" :.")
    raise ValueError(f"{source.name}: expected a heading `# # NN Title`")


def notebook_table(*, notebooks: Path = NOTEBOOKS, timings: dict | None = None) -> str:
    """The README's map of the notebooks as Markdown: title, then time and peak memory of each measured profile."""
    timings = read_timings(notebooks / "timings.toml") if timings is None else timings
    measured = [name for name in PROFILES if any(name in of for of in timings.values())]
    lines = ["| # | notebook | " + "".join(f"{name} | " for name in measured) + "exercises |"]
    lines.append("|---|---|" + "---|" * (len(measured) + 1))
    for source in sources(folder=notebooks / "src"):
        cells = [_cell(timings.get(source.stem, {}).get(name)) for name in measured]
        link = f"[{title(source)}](notebooks/{source.stem}.ipynb)"
        exercises = f"[open](notebooks/exercises/{source.stem}.ipynb)"
        lines.append(f"| {source.stem[:2]} | {link} | " + "".join(f"{cell} | " for cell in cells) + f"{exercises} |")
    return "\n".join(lines)


def _cell(numbers: dict | None) -> str:
    return "not measured" if numbers is None else f"{numbers['seconds']:g} s, {numbers['megabytes']:g} MB"


def read_results(what: str, folder: Path = RESULTS) -> dict:
    """The result of CP-VTON's "warp" or "tryon". ValueError, naming the command, where it is missing or incomplete."""
    path = folder / f"cp-vton-{what}.json"
    if not path.is_file():
        told = {"warp": "warp --baselines", "tryon": "try-on --pairing both"}[what]
        command = f"python -m vtonlib evaluate --system cp-vton --data data/benchmark --what {told}"
        raise ValueError(f"{path}: no such file; `{command} --out benchmarks/results` makes it")
    results = json.loads(path.read_text(encoding="utf-8"))
    missing = [key for key in ("size", "summary", "system", "command", "data", "weights") if key not in results]
    if missing:
        raise ValueError(f"{path}: expected size, summary and where they come from, {', '.join(missing)} is missing")
    return results


def results_origin(results: dict, samples: int) -> str:
    """One sentence: how many people of which data set, at which size, with which weights, by which command."""
    studio, (height, width) = results["data"]["studio"], results["size"]
    people = f"{samples} {results['data']['split']} people"
    if studio is not None:
        people += f" of the studio's {studio['people']} with seed {studio['seed']} (recipe {studio['recipe']})"
    weights = ", ".join(f"{stage} {of['recipe'] or 'random'}" for stage, of in results["weights"].items())
    return f"{people} at {height}x{width}; weights by {weights}; made by `{results['command']}`."


def warp_results(results: dict) -> str:
    """A warp's result as Markdown: where it comes from, a table of means, the learned warp against the oracle."""
    summary, failures = results["summary"], results.get("failures", {})
    rows = []
    for method, numbers in summary.items():
        failed = f", failed on {failures[method]}" if failures.get(method) else ""
        cells = [_number(numbers.get(key), form) for key, form in WARP_COLUMNS.values()]
        rows.append([WARPS.get(method, method) + failed, *cells])
    lines = ["**The warp.** " + results_origin(results, summary["learned"]["iou"]["count"]), ""]
    lines += _markdown(["warp", *WARP_COLUMNS], rows)
    if "oracle" in summary:
        learned, oracle = summary["learned"], summary["oracle"]
        more = learned["iou"]["mean"] - oracle["iou"]["mean"]
        times = learned["flow_mean"]["mean"] / oracle["flow_mean"]["mean"]
        lines += ["", f"The learned warp's IoU is {abs(more):.3f} {'above' if more > 0 else 'below'} the oracle's; its "
                      f"flow error is {times:.1f} times the oracle's."]  # fmt: skip
    return "\n".join(_wrapped(lines))


def tryon_results(results: dict) -> str:
    """The result of try-on pictures as Markdown: for each pairing a table of means, and what may be claimed.

    Bold: better than every baseline, see `vtonlib.evaluation_tables.Comparison`.
    """
    samples = results["samples"]
    origin = results_origin(results, max(samples.values()))
    lines = [f"**The try-on.** {origin} Perceptual distance on the network `{results['features']}`. {TRYON_READING}"]
    for pairing, summary in results["summary"].items():
        comparisons = [one for one in results["beats_baselines"] if one["pairing"] == pairing]
        better = {(c["method"], c["region"], c["number"]) for c in comparisons if c["verdict"] == "better"}
        columns = [(region, number) for region, number in TRYON_COLUMNS if region in summary]
        heads = [TRYON_NUMBERS[number][0] + ("" if region == "all" else f", {region}") for region, number in columns]
        rows = []
        for method in summary["all"]:
            cells = [_number(summary[region][method][number], TRYON_NUMBERS[number][1]) for region, number in columns]
            bold = ["**" if (method, *column) in better else "" for column in columns]
            rows.append([method, *(f"{mark}{cell}{mark}" for cell, mark in zip(cells, bold, strict=True))])
        lines += ["", *_markdown([f"{pairing}, {samples[pairing]} samples", *heads], rows), ""]
        comparisons += [one for one in results["against_other_systems"] if one["pairing"] == pairing]
        lines += claims(comparisons)
    return "\n".join(_wrapped(lines))


def claims(comparisons: list[dict]) -> list[str]:
    """List items: for each method and what it is set against, where it is better, worse, or neither."""
    kinds: dict[tuple[str, tuple[str, ...]], dict[str, dict[str, list[str]]]] = {}
    for one in comparisons:
        found = kinds.setdefault((one["method"], tuple(one["against"])), {})
        found.setdefault(one["verdict"], {}).setdefault(one["region"], []).append(TRYON_NUMBERS[one["number"]][0])
    items = []
    for (method, others), found in kinds.items():
        several = len(others) > 1
        told = {
            "better": f"better than {'each' if several else 'it'} in",
            "worse": f"worse than {'at least one' if several else 'it'} in",
            "open": "neither, by the 95% intervals of the differences, in",
        }
        parts = []
        for verdict in (verdict for verdict in told if verdict in found):
            regions = [
                f"{region} ({', '.join(numbers) if len(numbers) < len(TRYON_NUMBERS) else 'every number'})"
                for region, numbers in found[verdict].items()
            ]
            parts.append(f"{told[verdict]} {', '.join(regions)}")
        items.append(f"- {method} beside {' and '.join(others)}: {'; '.join(parts)}.")
    return items


def _number(estimate: dict | None, form: str) -> str:
    return "" if estimate is None or estimate["mean"] is None else form.format(estimate["mean"])


def _markdown(heads: list[str], rows: list[list[str]]) -> list[str]:
    table = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(row) + " |" if row[0] != "---" else "|" + "---|" * len(row) for row in table]


def _wrapped(lines: list[str]) -> list[str]:
    """Prose broken at 120 characters; tables stay as they are."""
    kept = []
    for line in lines:
        fold = line and not line.startswith("|")
        indent = "  " if line.startswith("- ") else ""
        kept += textwrap.wrap(line, 120, subsequent_indent=indent, break_on_hyphens=False) if fold else [line]
    return kept


def results_section(folder: Path = RESULTS) -> str:
    """What stands between the README's markers for results. ValueError where a result is missing."""
    return f"{warp_results(read_results('warp', folder))}\n\n{tryon_results(read_results('tryon', folder))}"


def annotations_section(folder: Path = RESULTS) -> str:
    """What stands between the README's markers for annotations. ValueError where a result is missing."""
    return "\n".join(_wrapped(perceive_results(read_perceive(folder))))


def with_table(readme: str, table: str, begin: str = BEGIN, end: str = END) -> str:
    """The README's text with the table between its markers. ValueError unless each marker occurs once, in order."""
    if readme.count(begin) != 1 or readme.count(end) != 1 or readme.index(begin) > readme.index(end):
        raise ValueError(f"README.md: expected one {begin} before one {end}")
    head, rest = readme.split(begin)
    return f"{head}{begin}\n{table}\n{end}{rest.split(end)[1]}"


def update_readme(path: Path = PROJECT / "README.md", *, results: Path = RESULTS) -> None:
    """Write the table of the notebooks, the annotations' numbers and the results into the README."""
    text = with_table(path.read_text(encoding="utf-8"), notebook_table())
    text = with_table(text, annotations_section(results), STEPS_BEGIN, STEPS_END)
    write_text(path, with_table(text, results_section(results), RESULTS_BEGIN, RESULTS_END))
