"""How fast the studio is: photographs a second with all passes and files, the first picture, memory a worker.

    python benchmarks/studio.py [--people 60] [--processes 2] [--size 256x192]

Only photographs of people are counted, the unpaired truth of the test split among them; the two in-shop pictures that
each person needs besides are in the time but not in the count. The bars: 1.5 photographs a second at 256x192 on two
cores, the first picture within 15 s, 400 MB a worker.
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

FIRST = "from vtonlib.studio.session import shoot; shoot(0, 0, {size})"


def first_picture(size: tuple[int, int]) -> float:
    """Seconds from starting Python to the first photograph with every annotation."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", FIRST.format(size=size)], check=True)
    return time.perf_counter() - start


def main() -> None:
    from vtonlib.studio import Studio

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--size", default="256x192", help="HEIGHTxWIDTH")
    arguments = parser.parse_args()
    size = tuple(int(part) for part in arguments.size.split("x"))
    print(f"first picture          {first_picture(size):6.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        root = Studio(0).write(
            Path(folder) / "set", arguments.people, size, processes=arguments.processes, progress=False
        )
        seconds = time.perf_counter() - start
        photographs = len(list(root.glob("*/image/*"))) + len(list(root.glob("test/truth-unpaired/*")))
        rejected = json.loads((root / "studio.json").read_text())["rejected"]
        megabytes = sum(file.stat().st_size for file in root.rglob("*") if file.is_file()) / 1e6
    who = resource.RUSAGE_SELF if arguments.processes == 1 else resource.RUSAGE_CHILDREN
    print(f"photographs            {photographs:6d}   of {arguments.people} people, {arguments.processes} processes")
    print(f"rate                   {photographs / seconds:6.2f} photographs a second ({seconds:.1f} s, start included)")
    print(
        f"rejected and redrawn   {rejected:6d}   {100 * rejected / (arguments.people + rejected):.1f} % of all attempts"
    )
    print(f"size                   {megabytes / arguments.people:6.2f} MB a person")
    print(f"memory, largest worker {resource.getrusage(who).ru_maxrss / 1024:6.0f} MB")


if __name__ == "__main__":
    main()
