"""Measured run time and memory of each notebook: kept in notebooks/timings.toml, printed into the README."""

from __future__ import annotations

import tomllib
from pathlib import Path

from vtonlib.course.build import NOTEBOOKS, sources, write_text
from vtonlib.course.profiles import PROFILES, PROJECT

TIMINGS = NOTEBOOKS / "timings.toml"
BEGIN, END = "<!-- notebooks: begin -->", "<!-- notebooks: end -->"


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


def with_table(readme: str, table: str) -> str:
    """The README's text with the table between its markers. ValueError unless each marker occurs once, in order."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(BEGIN) > readme.index(END):
        raise ValueError(f"README.md: expected one {BEGIN} before one {END}")
    head, rest = readme.split(BEGIN)
    return f"{head}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def update_readme(path: Path = PROJECT / "README.md") -> None:
    """Write the table of the notebooks into the README."""
    write_text(path, with_table(path.read_text(encoding="utf-8"), notebook_table()))
