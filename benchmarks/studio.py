"""How fast the studio is, against its bars: photographs a second with all passes and files, first picture, memory.

    python benchmarks/studio.py [--layout viton-hd|mpv|mvg|all] [--look studio|wild] [--size 256x192] [--people 60]
                                [--processes 2]

Photographs of people are counted, the truths (other garment, new pose) among them; the in-shop pictures that they need
are in the time but not in the count. At 256x192 on two cores the bars are 3 photographs a second for mpv and mvg and 2
for viton-hd, the targets 4 and 3; the first picture within 15 s; 500 MB a worker. At 1024x768 a photograph should take
less than 12 s. The memory is that of the largest worker of the run so far.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARS = {"viton-hd": (2.0, 3.0), "mpv": (3.0, 4.0), "mvg": (3.0, 4.0)}  # photographs a second: bar, target
MEMORY_BAR = 500  # MB a worker
FIRST_BAR, LARGE_BAR = 15.0, 12.0  # seconds: the first picture; one photograph of 1024x768
FIRST = "from vtonlib.studio.session import shoot; shoot(0, 0, {size})"


def first_picture(size: tuple[int, int]) -> float:
    """Seconds from starting Python to the first photograph with every annotation."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", FIRST.format(size=size)], check=True)
    return time.perf_counter() - start


def measure(layout: str, look: str, size: tuple[int, int], people: int, processes: int) -> dict:
    """Write a data set into a folder of its own: seconds, photographs, rejected poses, MB on disk and in memory."""
    from vtonlib.studio import Studio

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        root = Studio(0).write(
            Path(folder) / "set", people, size, layout, look=look, processes=processes, progress=False
        )
        seconds = time.perf_counter() - start
        about = json.loads((root / "studio.json").read_text())
        disk = sum(file.stat().st_size for file in root.rglob("*") if file.is_file()) / 1e6
    who = resource.RUSAGE_SELF if processes == 1 else resource.RUSAGE_CHILDREN
    per_megabyte = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return {
        "seconds": seconds, "photographs": about["photographs"], "rejected": sum(about["rejected"].values()),
        "disk": disk, "memory": resource.getrusage(who).ru_maxrss / per_megabyte,
    }  # fmt: skip


def verdict(value: float, bar: float, *, at_least: bool) -> str:
    """The bar, and whether it is held."""
    held = value >= bar if at_least else value <= bar
    return f"   {'held' if held else 'MISSED'} (bar: {'at least' if at_least else 'at most'} {bar:g})"


def report(layout: str, size: tuple[int, int], people: int, processes: int, found: dict) -> None:
    """Print one layout's numbers beside its bars, which are those of 256x192 and 1024x768 on two cores."""
    rate, each = found["photographs"] / found["seconds"], found["seconds"] / found["photographs"]
    bar, target = BARS[layout]
    goal = verdict(rate, bar, at_least=True) + f", target {target:g}" if size == (256, 192) else ""
    if size == (1024, 768):
        goal = verdict(each, LARGE_BAR, at_least=False)
    attempts = found["photographs"] + found["rejected"]
    print(f"{layout}: {found['photographs']} photographs of {people} people, {processes} processes")
    print(f"  rate      {rate:7.2f} photographs a second, {each:.2f} s each, start included{goal}")
    print(f"  memory    {found['memory']:7.0f} MB{verdict(found['memory'], MEMORY_BAR, at_least=False)}")
    print(f"  rejected  {found['rejected']:7d} poses, {100 * found['rejected'] / attempts:.1f} % of all")
    print(f"  on disk   {found['disk'] / people:7.2f} MB a person")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layout", choices=[*BARS, "all"], default="all")
    parser.add_argument("--look", choices=["studio", "wild"], default="studio")
    parser.add_argument("--size", default="256x192", help="HEIGHTxWIDTH")
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    size = tuple(int(part) for part in arguments.size.split("x"))
    seconds = first_picture(size)
    goal = verdict(seconds, FIRST_BAR, at_least=False) if size == (256, 192) else ""
    print(f"first picture after {seconds:.1f} s{goal}")
    for layout in BARS if arguments.layout == "all" else [arguments.layout]:
        found = measure(layout, arguments.look, size, arguments.people, arguments.processes)
        report(layout, size, arguments.people, arguments.processes, found)


if __name__ == "__main__":
    main()
