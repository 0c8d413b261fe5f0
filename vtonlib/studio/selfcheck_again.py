"""A few people of a data set made again: the same bytes, and a flow that leads to the fabric that is worn there.

The fabric coordinate (metres on the pressed garment) of a worn pixel comes from the ray of the photograph; the one at
the end of its flow from the rays of the in-shop picture. Both are known only here, while the person is in the studio.

Convention: index coordinates (x, y); errors in pixels of the in-shop picture.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np

from ..layouts import recognise
from ..sample import RawSample
from . import session, write
from .render import Passes
from .selfcheck import Check, Tally, read_own
from .wardrobe import ShopPicture

LEAST = 30  # points that can be judged
MOST_ERROR = 0.5  # pixels, median over a sample's flow
TORN = 4.0  # in-shop pixels of fabric between the four pixels around a point, beyond which they are not one cloth


def check_again(root: Path, about: dict, people: int) -> list[Check]:
    """The checks of `people` persons, evenly spread over the data set."""
    same, flow, warp = Tally("same bytes"), Tally("flow to the same fabric", MOST_ERROR), Tally("warped picture")
    jobs = write.plan(about["seed"], about["people"], tuple(about["size"]), root, about["layout"],
                      about.get("look", "studio"))  # fmt: skip
    for number in np.unique(np.linspace(0, len(jobs) - 1, people).round().astype(int)):
        job = jobs[number]
        for name, complaint in _compare_files(job):
            same.note(name, None, complaint)
        for name, sample, passes, shop in _retaken(job):
            for field, side in (("flow", "front"), ("flow_back", "back")):
                error = fabric_error(getattr(sample, field), passes, shop, side)
                if error is not None:
                    flow.note(name, float(np.median(error)), field)
            difference = warped_difference(sample)
            if difference is not None:
                warp.note(name, difference)
    return [tally.done() for tally in (same, flow, warp)]


def _compare_files(job: write.Job):
    """(name, complaint) of every file of a person, made again in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        again = write.Job(**{**vars(job), "root": folder})
        write.photograph(again)
        for path in sorted(Path(folder).rglob("*")):
            if not path.is_file():
                continue
            name = path.relative_to(folder)
            there = Path(job.root) / name
            if not there.is_file():
                yield name.as_posix(), "missing"
                continue
            digests = [hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in (there, path)]
            yield name.as_posix(), "" if digests[0] == digests[1] else f"{digests[0]} there, {digests[1]} made again"


def _retaken(job: write.Job):
    """(name, sample from disk, passes of the photograph, in-shop pictures) of every picture of a person."""
    _, _, tops, rows, _ = session.staged(job.seed, job.index, job.size, job.other, layout=job.layout, look=job.look)
    shop, source = tops[0].shop(job.size), recognise(job.root)(job.root, job.split)
    for row in rows:
        name = write.picture_name(job.layout, job.index, row.number)
        try:
            sample = read_own(source, name)
        except (OSError, ValueError, KeyError):
            continue  # reported by the check that reads all files
        yield name, sample, row.takes[0].passes, shop


def fabric_error(flow: np.ndarray | None, worn: Passes, shop: ShopPicture, side: str) -> np.ndarray | None:
    """(n,) distances between the worn fabric coordinate and the in-shop one at the end of the flow, in in-shop pixels.

    side: "front" or "back", the picture that the flow leads to. Points whose end lies on an edge of the in-shop cloth
    are left out, as nothing can be interpolated there. None if the flow is None or fewer than 30 points are left; one
    infinite distance if most points lead past the cloth or some start where no cloth is worn.
    """
    if flow is None:
        return None
    seen = shop.passes if side == "front" else shop.back_passes
    rows, columns = np.nonzero(~np.isnan(flow).any(axis=2))
    fabric, whole = _bilinear(seen.uv, flow[rows, columns])
    error = np.sqrt(((fabric - worn.uv[rows, columns]) ** 2).sum(1)) / _metres_per_pixel(seen)
    if (len(rows) >= LEAST and whole.mean() < 0.5) or np.isnan(error[whole]).any():
        return np.full(1, np.inf)  # it leads past the cloth, or starts off it
    return error[whole] if whole.sum() >= LEAST else None


def _bilinear(values: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (h,w,c) at index coordinates (n,2), and whether the four pixels around are one cloth (n,) bool."""
    height, width = values.shape[:2]
    x, y = np.clip(xy[:, 0], 0, width - 1.001), np.clip(xy[:, 1], 0, height - 1.001)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    corners = np.stack([values[top + down, left + right] for down in (0, 1) for right in (0, 1)])
    across, down = (x - left)[:, None], (y - top)[:, None]
    shares = ((1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across)
    spread = np.abs(corners.max(0) - corners.min(0)).max(1)
    scale = np.nanmedian(spread)
    return sum(share * corner for share, corner in zip(shares, corners)), spread < TORN * scale


def _metres_per_pixel(seen: Passes) -> float:
    """Median length of fabric between horizontally neighbouring pixels of an in-shop picture."""
    step = seen.uv[:, 1:] - seen.uv[:, :-1]
    return float(np.nanmedian(np.sqrt((step**2).sum(2))))


def warped_difference(sample: RawSample) -> float | None:
    """Median difference in grey levels between the worn garment and the in-shop picture warped by the true flow, after
    the means of the colours were made equal: what light and creases change. None without a flow."""
    if sample.flow is None or sample.cloth is None:
        return None
    rows, columns = np.nonzero(~np.isnan(sample.flow).any(axis=2))
    if len(rows) < LEAST:
        return None
    worn = sample.image[rows, columns].astype(np.float64)
    shop = _bilinear(sample.cloth.astype(np.float64), sample.flow[rows, columns])[0]
    return float(np.median(np.abs((worn - worn.mean(0)) - (shop - shop.mean(0))).mean(1)))
