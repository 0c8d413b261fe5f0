"""How long the representations take: `python benchmarks/represent.py`. Bar: heatmaps of 16 poses in under 60 ms.

Prints the warm median of 20 calls with two threads, 16 samples at 256 x 192.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from vtonlib.represent import human_agnostic, parse_agnostic, person_representation, pose_heatmaps, skeleton_picture
from vtonlib.sample import TryOnSample

BATCH, SIZE, CALLS, BAR = 16, (256, 192), 20, 60.0


def median_milliseconds(call: Callable[[], object]) -> float:
    """Warm median time of a call."""
    for _ in range(3):
        call()
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def make_batch() -> TryOnSample:
    """16 random people: the time does not depend on what they look like."""
    generator = torch.Generator().manual_seed(0)
    height, width = SIZE
    scale = torch.tensor([width, height, 1.0])
    return TryOnSample(
        name="benchmark",
        person=torch.rand(BATCH, 3, *SIZE, generator=generator) * 2 - 1,
        parse=torch.randint(0, 20, (BATCH, *SIZE), generator=generator),
        pose=torch.rand(BATCH, 25, 3, generator=generator) * scale,
        hands=torch.rand(BATCH, 2, 21, 3, generator=generator) * scale,
    )


def main() -> None:
    torch.set_num_threads(2)
    batch = make_batch()
    for kind in ("disc", "square", "gaussian"):
        took = median_milliseconds(lambda kind=kind: pose_heatmaps(batch.pose, SIZE, kind))
        print(f"pose_heatmaps {kind:9} {took:7.1f} ms   bar {BAR:.0f} ms: {'kept' if took < BAR else 'MISSED'}")
    for function in (person_representation, parse_agnostic, human_agnostic, skeleton_picture):
        print(f"{function.__name__:23} {median_milliseconds(lambda function=function: function(batch)):7.1f} ms")


if __name__ == "__main__":
    main()
