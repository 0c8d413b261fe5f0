"""How good an estimated pose is, joint by joint, and where OpenPose and the studio mean different places.

Photographs come with the keypoints of OpenPose. Its hips (8, 9, 12) lie higher than the centres of the joints that the
studio writes down. A raw score therefore counts a difference of convention as an error. `fit_hips` finds the share of
the way from the mid-hip to the neck that makes up for it, and `leave_one_out` measures with a share that was fitted on
the *other* photographs: nothing is fitted on what it is measured on.

Convention: keypoints are index coordinates (x, y); a confidence of 0 = not seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vtonlib.labels import BODY_25, BODY_25_INDEX
from vtonlib.perceive.keypoints import pck, torso_length
from vtonlib.perceive.pose import shift_hips

MOVED = tuple(BODY_25_INDEX[name] for name in ("mid-hip", "right-hip", "left-hip"))


def pose_scores(pose: Tensor, truth: Tensor, *, share: float = 0.1, torso: Tensor | None = None) -> dict:
    """PCK of poses against the truth, both (N,25,3), as numbers for JSON.

    "pck", "hits", "counted" of all joints together; "joints": name -> {"hits", "counted"} where any is counted;
    "false": joints said to be seen that are not, of "unseen" many. torso (N,): see `keypoints.pck`.
    A pck with nothing counted is None. Raises ValueError as `keypoints.pck` does.
    """
    hits, counted = pck(pose, truth, share=share, torso=torso)
    joints = {
        BODY_25[joint]: {"hits": int(hits[..., joint].sum()), "counted": int(counted[..., joint].sum())}
        for joint in range(25)
        if counted[..., joint].any()
    }
    unseen = truth[..., 2] <= 0
    extra = {"unseen": int(unseen.sum()), "false": int((unseen & (pose[..., 2] > 0)).sum())}
    return {**_sums(hits, counted), "joints": joints, **extra}


def hand_scores(hands: Tensor, truth: Tensor, torso: Tensor, *, share: float = 0.1) -> dict:
    """PCK of hands (N,2,21,3) by a share of the body's torso (N,): "pck", "hits", "counted", "unseen", "false"."""
    hits, counted = pck(hands, truth, share=share, torso=torso[:, None].expand(-1, 2))
    unseen = truth[..., 2] <= 0
    extra = {"unseen": int(unseen.sum()), "false": int((unseen & (hands[..., 2] > 0)).sum())}
    return {**_sums(hits, counted), **extra}


def _sums(hits: Tensor, counted: Tensor) -> dict:
    right, all_of_them = int(hits.sum()), int(counted.sum())
    return {"pck": right / all_of_them if all_of_them else None, "hits": right, "counted": all_of_them}


def fit_hips(pose: Tensor, truth: Tensor) -> float:
    """The share of the way from the estimated mid-hip to the neck by which hips have to move to lie where the truth has
    them: least squares over people and the three hips. pose, truth (N,25,3); positive means upwards, to the neck.

    The errors are taken in units of each person's own torso, so that a large picture weighs no more than a small one.
    Raises ValueError where nobody has a neck, a mid-hip and one of the hips in both.
    """
    neck, middle = (pose[:, BODY_25_INDEX[name]] for name in ("neck", "mid-hip"))
    torso = torso_length(truth)[:, None]
    way = (neck - middle)[:, None, :2] / torso[..., None]
    error = (truth - pose)[:, list(MOVED), :2] / torso[..., None]
    known = (pose[:, list(MOVED), 2] > 0) & (truth[:, list(MOVED), 2] > 0) & ~torso.isnan()
    known &= ((neck[:, 2] > 0) & (middle[:, 2] > 0))[:, None]
    if not known.any():
        raise ValueError("fit_hips: expected somebody with neck, mid-hip and hips in pose and truth, got nobody")
    along = (way * error).sum(-1)[known].sum()
    return float(along / (way * way).sum(-1).expand(known.shape)[known].sum())


def leave_one_out(pose: Tensor, truth: Tensor) -> tuple[Tensor, list[float]]:
    """Poses (N,25,3) with each person's hips moved by the share fitted on all the others, and these shares.

    Raises ValueError for fewer than two people, and as `fit_hips` does.
    """
    if len(pose) < 2:
        raise ValueError(f"leave_one_out: expected at least 2 people, got {len(pose)}")
    keep = ~torch.eye(len(pose), dtype=torch.bool)
    shares = [fit_hips(pose[others], truth[others]) for others in keep]
    return torch.stack([shift_hips(one, share) for one, share in zip(pose, shares, strict=True)]), shares


def photograph_scores(names: Sequence[str], pose: Tensor, truth: Tensor) -> dict:
    """What three photographs are worth: scores of each and of all, raw and with the hips of OpenPose.

    names: of the N photographs; pose, truth (N,25,3), pose with the studio's hips. Returns "raw" and "hips moved" (each
    left out of its own fit), as `pose_scores` gives them with "photographs": name -> hits and counted, and "missed":
    name -> joints; "shares": those fitted without each; "share": the one fitted on all, which is measured on nothing.
    """
    moved, shares = leave_one_out(pose, truth)
    result = {"share": fit_hips(pose, truth), "shares": dict(zip(names, shares, strict=True))}
    for title, guess in (("raw", pose), ("hips moved", moved)):
        hits, counted = pck(guess, truth)
        each, missed = {}, {}
        for name, hit, count in zip(names, hits, counted, strict=True):
            each[name] = {"hits": int(hit.sum()), "counted": int(count.sum())}
            missed[name] = [BODY_25[joint] for joint in (count & ~hit).nonzero().flatten().tolist()]
        result[title] = {**pose_scores(guess, truth), "photographs": each, "missed": missed}
    return result
