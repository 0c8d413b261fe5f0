"""The measure of a warp: on a test split, against the truth and against the best spline there could be.

For each paired sample the warped garment is compared with the worn one. Pixels where the garment lies behind an arm, a
hand or hair (`truth.hidden`) count neither way. Methods side by side: `learned`; `oracle`, the 5x5 thin-plate spline
nearest to the true flow, a ceiling of every spline of that size for the flow's error; `silhouette` (on request), a
spline that fills the worn garment's outline while staying near the true flow, a ceiling for the overlap; `affine`, the
affine map nearest to the flow; and `identity`, no warp at all. What needs the true flow is left out without it.

VITON's warp is measured too where a `target_mask` is given, a function that predicts from what a user has where the
garment will be on the person: `shape-context` is fitted to that prediction, `shape-context, true mask` to the mask of
the worn garment, so that the two show what the prediction costs. A sample on which it fails (too few boundary points)
is a row of NaN with `failed`; means are over the others, and the table says how many there were.

Convention: masks are 1 on the garment; flow errors are in pixels of the in-shop picture at the evaluated size; L1 and
SSIM are on RGB in [0,1] over the visible pixels of the worn garment, the warped garment being on white; `tv` is the
total variation norm of that picture, which says nothing about the truth.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vtonlib.checkpoints import replacing
from vtonlib.metrics import flow_error, iou, masked_l1, masked_ssim
from vtonlib.sample import TryOnSample, collate
from vtonlib.systems.cp_vton import GMMBatch, gmm_batch
from vtonlib.warp import (
    GMM,
    TooFewBoundaryPoints,
    TPSGrid,
    flow_to_grid,
    fold_overs,
    grid_to_flow,
    mask_oracle_tps,
    oracle_tps,
    picture_total_variation,
    pixel_centres,
    shape_context_tps,
    warp_image,
)

METHODS = (
    "learned", "matcher, worn picture", "shape-context", "shape-context, true mask", "oracle", "silhouette", "affine",
    "identity",
)  # fmt: skip
SILHOUETTE_FLOW = 0.03  # weight of a pixel of flow error against a share of the worn area, see `mask_oracle_tps`
NUMBERS = ("iou", "flow_mean", "flow_median", "within_3", "l1", "ssim", "folded", "tv")
GridOf = Callable[[GMMBatch], Tensor]  # a warp as a grid (B,H,W,2) in the convention of the GMM that is measured
TargetMask = Callable[[GMMBatch], Tensor]  # predicts where the garment will be worn, (B,1,H,W) in [0,1]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean (or a ratio of means) over `count` samples, with its bootstrap 95% interval; NaN where there is none."""

    mean: float
    low: float
    high: float
    count: int


def bootstrap(values: Sequence[float], below: Sequence[float] | None = None, *, seed: int = 0) -> Estimate:
    """Mean of `values`, or its ratio to the mean of `below` over the same samples, with a percentile interval.

    2000 times as many samples as there are finite ones are drawn with replacement, both columns together.
    """
    columns = np.asarray([values, np.ones(len(values)) if below is None else below], dtype=np.float64)
    columns = columns[:, np.isfinite(columns).all(0)]
    count = columns.shape[1]
    if not count or columns[1].mean() == 0:
        return Estimate(mean=float("nan"), low=float("nan"), high=float("nan"), count=count)
    picks = np.random.default_rng(seed).integers(0, count, (2000, count))
    above, under = columns[:, picks].mean(-1)
    low, high = np.percentile(above / under, [2.5, 97.5])
    return Estimate(mean=float(columns[0].mean() / columns[1].mean()), low=float(low), high=float(high), count=count)


def best_affine(flow: Tensor, visible: Tensor, *, align_corners: bool = False) -> Tensor:
    """Grid (B,H,W,2) of the affine map with the least mean squared distance to a flow (B,2,H,W) on the visible pixels.

    visible (B,1,H,W). Raises ValueError for a sample with fewer than three visible pixels with a flow.
    """
    size = tuple(flow.shape[2:])
    centres = pixel_centres(size, align_corners=align_corners, dtype=torch.float64).flatten(0, 1)
    design = torch.cat([centres, torch.ones_like(centres[:, :1])], 1)
    targets = flow_to_grid(flow.cpu().double(), size, align_corners=align_corners).flatten(1, 2)
    counted = ((visible[:, 0] > 0.5) & flow.isfinite().all(1)).flatten(1).cpu()
    grids = []
    for number, (target, keep) in enumerate(zip(targets, counted, strict=True)):
        if int(keep.sum()) < 3:
            raise ValueError(f"best_affine: sample {number} has {int(keep.sum())} visible pixels with a flow, 3 needed")
        solution = torch.linalg.lstsq(design[keep], target[keep], driver="gelsd").solution
        grids.append((design @ solution).unflatten(0, size))
    return torch.stack(grids).to(flow)


def shape_context_grid(garment_mask: Tensor, target_mask: Tensor, *, align_corners: bool) -> Tensor:
    """`shape_context_tps` as a grid (B,H,W,2); NaN for a sample whose outlines have too few points."""
    grids = []
    for garment, target in zip(garment_mask.split(1), target_mask.split(1), strict=True):
        try:
            grids.append(shape_context_tps(garment, target, align_corners=align_corners).grid)
        except TooFewBoundaryPoints:
            grids.append(target.new_full((1, *target.shape[2:], 2), torch.nan))
    return torch.cat(grids)


def warp_grids(
    gmm: GMM,
    batch: GMMBatch,
    *,
    silhouette: bool = False,
    target_mask: TargetMask | None = None,
    matcher: GridOf | None = None,
) -> dict[str, Tensor]:
    """The grid (B,H,W,2) of every method that this batch allows, in the coordinate convention of the GMM.

    silhouette, target_mask, matcher: see `evaluate_warp`. A grid is NaN where its method failed on a sample.
    """
    align_corners, size = gmm.config.align_corners, tuple(batch.worn.shape[2:])
    identity = pixel_centres(size, align_corners=align_corners, device=batch.worn.device)
    grids = {
        "learned": gmm(batch.agnostic, batch.garment).grid,
        "identity": identity.expand(len(batch), -1, -1, -1),
    }
    if matcher is not None:
        grids["matcher, worn picture"] = matcher(batch)
    if target_mask is not None:
        for method, mask in (("shape-context", target_mask(batch)), ("shape-context, true mask", batch.worn_mask)):
            grids[method] = shape_context_grid(batch.garment_mask, mask, align_corners=align_corners)
    if batch.flow is not None:
        visible = visible_garment(batch)
        fit = {"grid_size": gmm.config.grid_size, "extent": gmm.config.extent, "align_corners": align_corners}
        grids["oracle"] = oracle_tps(batch.flow, visible, **fit).grid
        if silhouette:
            theta = mask_oracle_tps(
                oracle_tps(batch.flow, visible, slack=1.0, **fit).theta, batch.garment_mask, batch.worn_mask,
                hidden=batch.hidden, flow=batch.flow, flow_weight=SILHOUETTE_FLOW, **fit,
            )  # fmt: skip
            grids["silhouette"] = TPSGrid(**fit, size=size).to(theta)(theta)
        grids["affine"] = best_affine(batch.flow, visible, align_corners=align_corners)
    return {method: grids[method] for method in METHODS if method in grids}


def visible_garment(batch: GMMBatch) -> Tensor:
    """(B,1,H,W) in {0,1}: the worn garment, without what is behind something."""
    return batch.worn_mask if batch.hidden is None else batch.worn_mask * (1 - batch.hidden)


def measure_grid(grid: Tensor, batch: GMMBatch, *, align_corners: bool) -> dict[str, list[float]]:
    """All of NUMBERS for a warp of a batch, one value a sample; NaN where a number can't be had.

    A sample whose grid is not finite has no warp, so all of its numbers are NaN.
    """
    size, visible = tuple(batch.garment.shape[2:]), visible_garment(batch)
    failed = ~grid.isfinite().all((1, 2, 3))
    grid = torch.where(failed[:, None, None, None], 0.0, grid)
    mask = warp_image(batch.garment_mask, grid, padding="zeros", align_corners=align_corners)
    warped = warp_image(batch.garment, grid, padding="border", align_corners=align_corners)
    laid = mask > 0.5 if batch.hidden is None else (mask > 0.5) & (batch.hidden < 0.5)  # worn is white there as well
    shown = (torch.where(laid, warped, 1.0) / 2 + 0.5).clamp(0, 1)
    worn = (batch.worn / 2 + 0.5).clamp(0, 1)
    numbers = {
        "iou": iou(mask, batch.worn_mask, ignore=batch.hidden),
        "l1": masked_l1(shown, worn, visible),
        "ssim": masked_ssim(shown, worn, visible),
        "folded": fold_overs(grid, batch.worn_mask[:, 0]),
        "tv": picture_total_variation(shown),
    }
    if batch.flow is not None:
        errors = flow_error(grid_to_flow(grid, size, align_corners=align_corners), batch.flow, visible)
        numbers |= {"flow_mean": errors.mean, "flow_median": errors.median, "within_3": errors.within_3}
    nothing = torch.full((len(batch),), torch.nan, device=grid.device)
    return {name: torch.where(failed, torch.nan, numbers.get(name, nothing)).tolist() for name in NUMBERS}


@dataclass(frozen=True, kw_only=True)
class WarpEvaluation:
    """Numbers of a warp. rows: one dict for each sample and method, with `name`, `garment`, `method`, `failed` (there
    was no warp) and NUMBERS."""

    rows: list[dict]
    size: tuple[int, int]

    def column(self, method: str, number: str) -> list[float]:
        """One number of one method, sample by sample."""
        return [row[number] for row in self.rows if row["method"] == method]

    @property
    def methods(self) -> list[str]:
        """The methods that were measured, in the order of METHODS."""
        return [method for method in METHODS if any(row["method"] == method for row in self.rows)]

    @property
    def failures(self) -> dict[str, int]:
        """For each method that failed somewhere, on how many samples. Its means are over the others."""
        counts = {method: sum(row["failed"] for row in self.rows if row["method"] == method) for method in self.methods}
        return {method: count for method, count in counts.items() if count}

    def summary(self) -> dict[str, dict[str, Estimate]]:
        """For each method the mean of every number, and `iou_share`: its IoU as a share of the oracle's."""
        table = {
            method: {number: bootstrap(self.column(method, number)) for number in NUMBERS} for method in self.methods
        }
        for method, numbers in table.items():
            if "oracle" in table:
                numbers["iou_share"] = bootstrap(self.column(method, "iou"), self.column("oracle", "iou"))
        return table

    def table(self) -> str:
        """The summary as text, one line a method: mean and 95% interval."""
        summary = self.summary()
        names = list(next(iter(summary.values())))
        samples = len(self.column(self.methods[0], "iou"))
        lines = [f"{samples} samples at {self.size[0]}x{self.size[1]}; mean [bootstrap 95% interval]"]
        width = max(map(len, self.methods)) + 2
        lines.append("".join([f"{'method':<{width}}", *(f"{name:>34}" for name in names)]))
        for method, numbers in summary.items():
            cells = [f"{value.mean:.4g} [{value.low:.4g}, {value.high:.4g}]" for value in numbers.values()]
            lines.append("".join([f"{method:<{width}}", *(f"{cell:>34}" for cell in cells)]))
        for method, count in self.failures.items():
            lines.append(f"{method} failed on {count} of {samples} samples; its numbers are means over the others")
        return "\n".join(lines)

    def write(self, folder: str | Path, about: dict | None = None, *, stem: str = "warp") -> list[Path]:
        """Write STEM.csv (rows) and STEM.json (summary, and `about`: weights, data) into a folder, atomically."""
        folder = Path(folder)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        summary = {
            method: {
                name: {key: _finite(value) for key, value in asdict(estimate).items()}
                for name, estimate in numbers.items()
            }
            for method, numbers in self.summary().items()
        }
        report = {"size": list(self.size), "failures": self.failures, "summary": summary, **(about or {})}
        contents = {
            f"{stem}.csv": text.getvalue(),
            f"{stem}.json": json.dumps(report, indent=1, allow_nan=False) + "\n",
        }
        for name, content in contents.items():
            with replacing(folder / name) as temporary:
                temporary.write_text(content, encoding="utf-8", newline="")
        return [folder / name for name in contents]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


@torch.no_grad()
def evaluate_warp(
    gmm: GMM,
    dataset: Sequence[TryOnSample],
    *,
    batch_size: int = 8,
    limit: int | None = None,
    silhouette: bool = False,
    target_mask: TargetMask | None = None,
    matcher: GridOf | None = None,
    progress: bool = False,
) -> WarpEvaluation:
    """Measure a geometric matching module, in eval mode, on paired samples (see the module's docstring).

    dataset: what `open_dataset(root, split="test", pairing="paired")` gives; limit: only the first so many;
    silhouette: measure that ceiling too, which takes about half a second a sample;
    target_mask: measure VITON's shape-context warp too, from a batch's predicted mask (B,1,H,W) in [0,1] of the worn
    garment and from the true one, for example `load_mask_predictor(...).predict`; about half a second a sample too;
    matcher: measure a matcher of pictures too, which is shown what the person wears (so it is no rival, but a look at
    what training on synthetic warps gives): for example `lambda batch: matcher_grid(load_matcher(), batch)`.
    The module's device is used. Raises ValueError for an empty data set and for what a sample lacks.
    """
    import sys

    from tqdm import tqdm

    count = len(dataset) if limit is None else min(limit, len(dataset))
    if count < 1:
        raise ValueError("evaluate_warp: the data set is empty")
    if gmm.training:
        raise ValueError("evaluate_warp: the module is in training mode; call .eval() first")
    device = next(gmm.parameters()).device
    rows: list[dict] = []
    for first in tqdm(
        range(0, count, batch_size), file=sys.stdout, disable=not progress, desc="evaluate", unit="batch"
    ):
        samples = collate([dataset[index] for index in range(first, min(first + batch_size, count))])
        batch = gmm_batch(samples, device=device)
        grids = warp_grids(gmm, batch, silhouette=silhouette, target_mask=target_mask, matcher=matcher)
        for method, grid in grids.items():
            numbers = measure_grid(grid, batch, align_corners=gmm.config.align_corners)
            for index, (name, garment) in enumerate(zip(samples.name, samples.garment.name, strict=True)):
                values = {number: column[index] for number, column in numbers.items()}
                failed = not bool(grid[index].isfinite().all())
                rows.append({"name": name, "garment": garment, "method": method, "failed": failed, **values})
    return WarpEvaluation(rows=rows, size=samples.size)
