"""Checks of one sample by its own files: each annotation against another that was made in another way.

A measure takes a `RawSample` and gives (value, which part of the sample), or None where the sample lacks what it needs.
The value is a share in [0,1] or a number of pixels at a width of 192, and must not be above the limit.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..labels import BODY_25, LIP, TOP_LABELS
from ..sample import RawSample
from .truth import KEYPOINT_PARTS, VISIBLE

ROUNDING = 1.5  # pixels that a keypoint may lie off its part: it was found with the ray of the nearest pixel centre
TORN = 4.0  # in-shop pixels between neighbours of a flow that lie on different pieces of cloth
JUMP = 0.06  # metres of depth between neighbouring pixels that make an edge

# DensePose parts that may lie below a label of bare skin, hair or shoe. A bare shoulder is arm to LIP and torso to
# DensePose.
_PARTS_OF_LABEL = {
    "hair": (1, 2, 23, 24), "face": (23, 24), "neck": (1, 2, 23, 24, 15, 16, 17, 18),
    "left-arm": (1, 2, 4, 15, 17, 19, 21), "right-arm": (1, 2, 3, 16, 18, 20, 22),
    "left-leg": (5, 8, 10, 12, 14), "right-leg": (6, 7, 9, 11, 13), "left-shoe": (5, 12, 14), "right-shoe": (6, 11, 13),
}  # fmt: skip
# Labels on which a visible keypoint may lie, by the beginning of its name.
_HEAD, _CLOTHES = (1, 2, 4, 13), (*TOP_LABELS, 9, 10, 11, 12)
_KEYPOINT_LABELS = {
    "nose": _HEAD, "left-eye": _HEAD, "right-eye": _HEAD, "left-ear": (*_HEAD, 10), "right-ear": (*_HEAD, 10),
    "neck": (*_HEAD, *_CLOTHES), "mid-hip": _CLOTHES,
    **{f"{side}-{joint}": (*_CLOTHES, 3, arm) for side, arm in (("left", 14), ("right", 15))
       for joint in ("shoulder", "elbow", "wrist")},
    **{f"{side}-{joint}": (*_CLOTHES, 8, leg, shoe) for side, leg, shoe in (("left", 16, 18), ("right", 17, 19))
       for joint in ("hip", "knee", "ankle", "big-toe", "small-toe", "heel")},
}  # fmt: skip


def _visible(sample: RawSample):
    """(name, x, y, number) of the keypoints that are said to be seen."""
    for number, (x, y, confidence) in enumerate(sample.pose):
        if confidence >= VISIBLE - 0.01:
            yield BODY_25[number], float(x), float(y), number


def _distance(allowed: np.ndarray, x: float, y: float) -> float:
    """Pixels at a width of 192 from (x, y) to the nearest allowed pixel (H,W) bool; infinite if there is none."""
    rows, columns = np.nonzero(allowed)
    if len(rows) == 0:
        return float("inf")
    # to the pixel's square, not its centre
    return float(np.hypot(np.maximum(np.abs(columns - x) - 0.5, 0), np.maximum(np.abs(rows - y) - 0.5, 0)).min()
                 * 192 / allowed.shape[1])  # fmt: skip


def keypoints_on_parts(sample: RawSample):
    """Farthest distance of a visible keypoint from the DensePose parts that it belongs to."""
    if sample.pose is None or sample.densepose is None:
        return None
    part = sample.densepose[..., 0]
    found = [(_distance(np.isin(part, KEYPOINT_PARTS[k]), x, y), name) for name, x, y, k in _visible(sample)]
    return max(found, default=(0.0, ""))


def keypoints_on_labels(sample: RawSample):
    """Farthest distance of a visible keypoint from the labels that it may lie on: a wrist on its arm or on cloth."""
    if sample.pose is None or sample.parse is None:
        return None
    found = [(_distance(np.isin(sample.parse, _KEYPOINT_LABELS[name]), x, y), name)
             for name, x, y, _ in _visible(sample)]  # fmt: skip
    return max(found, default=(0.0, ""))


def skeletons_agree(sample: RawSample):
    """Wrists of body and hands, which are the same joints: largest distance in pixels at a width of 192."""
    if sample.pose is None or sample.hands is None:
        return None
    pairs = (("left-wrist", 0), ("right-wrist", 1))
    found = [(float(np.abs(sample.pose[BODY_25.index(name), :2] - sample.hands[hand, 0, :2]).max()), name)
             for name, hand in pairs]  # fmt: skip
    value, name = max(found)
    return value * 192 / sample.image.shape[1], name


def labels_on_parts(sample: RawSample):
    """Largest share of a label's pixels (of 30 or more) that lie on a DensePose part of something else."""
    if sample.parse is None or sample.densepose is None:
        return None
    part, found = sample.densepose[..., 0], []
    for name, parts in _PARTS_OF_LABEL.items():
        here = sample.parse == LIP.index(name)
        if here.sum() >= 30:
            found.append((float(1 - np.isin(part[here], parts).mean()), name))
    return max(found, default=(0.0, ""))


def silhouettes_differ(sample: RawSample):
    """Share of the person's pixels on which parse, DensePose and depth do not agree that somebody is there."""
    if sample.parse is None:
        return None
    masks = {"DensePose": None if sample.densepose is None else sample.densepose[..., 0] > 0,
             "depth": None if sample.depth is None else sample.depth > 0}  # fmt: skip
    person = sample.parse > 0
    found = [(float((mask != person).sum() / max(person.sum(), 1)), name)
             for name, mask in masks.items() if mask is not None]  # fmt: skip
    return max(found, default=None)


def depth_edges_unlabelled(sample: RawSample):
    """Share of steps in depth between the person and what is behind that lie inside one label and one part."""
    if sample.parse is None or sample.depth is None or sample.densepose is None:
        return None
    both = sample.parse.astype(int) * 32 + sample.densepose[..., 0]
    changed = ndimage.maximum_filter(both, 3) != ndimage.minimum_filter(both, 3)
    inside = 0
    steps = 0
    for axis in (0, 1):
        a, b = np.moveaxis(sample.depth, axis, 0)[:-1], np.moveaxis(sample.depth, axis, 0)[1:]
        step = np.abs(a - b) > JUMP
        steps += step.sum()
        inside += (step & ~np.moveaxis(changed, axis, 0)[:-1]).sum()
    return float(inside / max(steps, 1)), ""


def hidden_wrong(sample: RawSample):
    """Share of the pixels said to hide the top that show the top itself or nobody."""
    if sample.hidden is None or sample.parse is None:
        return None
    top = _top_label(sample)
    wrong = sample.hidden & ((sample.parse == top) | (sample.parse == 0))
    return float(wrong.sum() / max(sample.hidden.sum(), 1)), ""


def _top_label(sample: RawSample) -> int:
    """The label of the top: where the flow is known, else the most frequent of the labels of tops."""
    seen = sample.parse if sample.flow is None else sample.parse[~np.isnan(sample.flow).any(2)]
    counts = np.bincount(seen.ravel(), minlength=20)[list(TOP_LABELS)]
    return TOP_LABELS[int(counts.argmax())]


def flow_off_garment(sample: RawSample):
    """Share of the flow's pixels that start elsewhere than on a top, or lead more than a pixel past the garment."""
    found = []
    for name, flow, mask in (("flow", sample.flow, sample.cloth_mask),
                             ("flow_back", sample.flow_back, sample.cloth_back_mask)):  # fmt: skip
        if flow is None or mask is None or sample.parse is None:
            continue
        rows, columns = np.nonzero(~np.isnan(flow).any(axis=2))
        if len(rows) == 0:
            continue
        start = np.isin(sample.parse[rows, columns], TOP_LABELS)
        x, y = np.rint(flow[rows, columns]).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
        near = ndimage.binary_dilation(mask, np.ones((3, 3)))
        lands = near[np.clip(y, 0, mask.shape[0] - 1), np.clip(x, 0, mask.shape[1] - 1)]
        found.append((float(1 - (start & inside & lands).mean()), name))
    return max(found, default=None)


def flow_mirrored(sample: RawSample):
    """Share of small squares of pixels that the flows turn over: cloth seen from outside keeps its orientation."""
    turned = squares = 0
    for flow in (sample.flow, sample.flow_back):
        if flow is not None:
            right, down = flow[:-1, 1:] - flow[:-1, :-1], flow[1:, :-1] - flow[:-1, :-1]
            turn = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
            whole = (np.abs(right).max(2) < TORN) & (np.abs(down).max(2) < TORN)  # NaN and torn squares are not whole
            turned, squares = turned + (turn[whole] < 0).sum(), squares + whole.sum()
    return (float(turned / squares), "") if squares >= 30 else None


# check -> (limit, measure)
SAMPLE_CHECKS = {
    "keypoints on DensePose": (ROUNDING, keypoints_on_parts),
    "keypoints on labels": (ROUNDING + 1, keypoints_on_labels),
    "wrists of body and hands": (0.01, skeletons_agree),
    "labels on DensePose": (0.02, labels_on_parts),
    "silhouettes": (0.0, silhouettes_differ),
    "depth steps without edge": (0.10, depth_edges_unlabelled),
    "hidden": (0.0, hidden_wrong),
    "flow off the garment": (0.01, flow_off_garment),
    "flow turned over": (0.10, flow_mirrored),
}
