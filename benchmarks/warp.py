"""Times the geometric matching module and the oracle: `python benchmarks/warp.py [--threads 2] [--batch 1]`.

Prints warm medians in milliseconds, of pictures at 256x192 and of pictures at 128x96 (the paper's network works at
256x192 whatever it is given, the course's at 128x96).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from vtonlib.warp import GMM, GMM_COURSE, GMM_PAPER, mask_oracle_tps, oracle_tps, pixel_indices, warp_image


def median_milliseconds(action: Callable[[], object], repeats: int) -> float:
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def training_step(module: GMM, agnostic: torch.Tensor, garment: torch.Tensor) -> None:
    module.zero_grad(set_to_none=True)
    warped = warp_image(garment, module(agnostic, garment).grid, align_corners=module.config.align_corners)
    warped.square().mean().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.threads} threads, batch {arguments.batch}, median of {arguments.repeats}, milliseconds")
    print(f"{'network':10} {'parameters':>12} {'pictures':>10} {'forward':>9} {'training step':>14}")
    for name, config in (("course", GMM_COURSE), ("paper", GMM_PAPER)):
        module = GMM(config)
        count = sum(parameter.numel() for parameter in module.parameters())
        for size in ((128, 96), (256, 192)):
            agnostic, garment = (torch.rand(arguments.batch, channels, *size) * 2 - 1 for channels in (22, 3))
            module.eval()
            with torch.inference_mode():
                forward = median_milliseconds(lambda: module(agnostic, garment), arguments.repeats)  # noqa: B023
            module.train()
            step = median_milliseconds(lambda: training_step(module, agnostic, garment), arguments.repeats)  # noqa: B023
            print(f"{name:10} {count:12,} {'x'.join(map(str, size)):>10} {forward:9.1f} {step:14.1f}")
    size = (256, 192)
    flow = (pixel_indices(size) * 0.9).permute(2, 0, 1).expand(arguments.batch, -1, -1, -1)
    mask = torch.zeros(arguments.batch, 1, *size)
    mask[..., 60:200, 50:150] = 1
    start = torch.zeros(arguments.batch, 50)
    print(f"oracle_tps at 256x192: {median_milliseconds(lambda: oracle_tps(flow, mask), 3):.1f}")
    print(f"mask_oracle_tps at 256x192: {median_milliseconds(lambda: mask_oracle_tps(start, mask, mask), 1):.1f}")


if __name__ == "__main__":
    main()
