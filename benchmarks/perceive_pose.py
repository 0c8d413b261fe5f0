"""How well the course's pose estimator finds joints: on studio people that it has never seen, and on photographs.

    python benchmarks/perceive_pose.py --data data/wild data/benchmark --real ../shared/real --out runs/perceive-pose

For each studio data set PCK@0.1 of the test split (target 0.95), joint by joint, and of the hands. For photographs, a
folder in the layout of VITON-HD with OpenPose's keypoints, PCK@0.1 (target 0.80) with counts for each photograph: raw,
and with the hips moved to where OpenPose puts them, by a share that is fitted without the photograph that is measured.
Numbers go to benchmarks/results/perceive-pose.json; skeletons drawn over the photographs go to OUT, as photographs of
real people have no place among the results.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vtonlib.checkpoints import WEIGHTS_FOLDER, read_metadata, replacing
from vtonlib.data import open_dataset
from vtonlib.layouts.files import encode_keypoints
from vtonlib.perceive.keypoints import SPINE, torso_length
from vtonlib.perceive.pose import FILE, PoseEstimator, load_pose
from vtonlib.represent import draw_skeleton
from vtonlib.systems.pose_scores import hand_scores, photograph_scores, pose_scores

STUDIO_TARGET, REAL_TARGET = 0.95, 0.80


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Names of N people, what was estimated, what is true, and the seconds a picture (median)."""

    names: list[str]
    pose: Tensor
    hands: Tensor
    true_pose: Tensor
    true_hands: Tensor
    seconds: float


def estimate(
    estimator: PoseEstimator, root: Path, pairing: str, size: tuple[int, int] | None, limit: int | None
) -> Measured:
    """Estimate the pose of each person of a test split once."""
    dataset = open_dataset(root, split="test", pairing=pairing, size=size)
    first = {person: index for index, (person, *_) in reversed(list(enumerate(dataset.pairs)))}
    rows, times = [], []
    for index in sorted(first.values())[:limit]:
        sample = dataset[index]
        sample.require("pose", "hands")
        start = time.perf_counter()
        pose, hands = estimator(sample.person)
        times.append(time.perf_counter() - start)
        rows.append((sample.name, pose, hands, sample.pose, sample.hands))
    names, *tensors = zip(*rows, strict=True)
    pose, hands, true_pose, true_hands = (torch.stack(column) for column in tensors)
    return Measured(
        names=list(names), pose=pose, hands=hands, true_pose=true_pose, true_hands=true_hands,
        seconds=float(np.median(times)),
    )  # fmt: skip


def both_scores(measured: Measured) -> dict:
    """Body at 0.1 and 0.05 of the torso, by neck to mid-hip too, and hands at 0.1 and 0.05."""
    torso = torso_length(measured.true_pose)
    body = pose_scores(measured.pose, measured.true_pose)
    fine = pose_scores(measured.pose, measured.true_pose, share=0.05)
    spine = pose_scores(measured.pose, measured.true_pose, torso=torso_length(measured.true_pose, SPINE))
    return {
        "people": len(measured.names), "pck": body["pck"], "pck_0.05": fine["pck"], "pck_neck_to_mid_hip": spine["pck"],
        "body": body, "hands": hand_scores(measured.hands, measured.true_hands, torso),
        "hands_0.05": hand_scores(measured.hands, measured.true_hands, torso, share=0.05),
    }  # fmt: skip


def draw(root: Path, measured: Measured, out: Path) -> None:
    """Each photograph with the skeleton found and with OpenPose's, side by side, and the JSON of what was found."""
    dataset = open_dataset(root, split="test", pairing="unpaired", size=None)
    pictures = {sample.name: sample.person for sample in (dataset[index] for index in range(len(dataset)))}
    out.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(measured.names):
        pixels = ((pictures[name].permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
        drawn = []
        for pose, hands in ((measured.pose, measured.hands), (measured.true_pose, measured.true_hands)):
            bones = draw_skeleton(pose[index].numpy(), hands[index].numpy(), pixels.shape[:2])
            drawn.append(np.where(bones.max(-1, keepdims=True) > 40, bones, pixels))
        Image.fromarray(np.hstack(drawn)).save(out / f"{name}.png")
        found = encode_keypoints(measured.pose[index].numpy(), measured.hands[index].numpy())
        (out / f"{name}_keypoints.json").write_bytes(found)


def report(name: str, scores: dict, target: float) -> None:
    hands = scores["hands"]
    print(f"{name}: {scores['people']} people, PCK@0.1 {scores['pck']:.3f} (target {target})", end="")
    print("" if hands["pck"] is None else f", hands {hands['pck']:.3f}")
    for joint, count in scores["body"]["joints"].items():
        print(f"  {joint:<16} {count['hits']:>5} of {count['counted']:>5}")
    print(f"  said to be seen, but not: {scores['body']['false']} of {scores['body']['unseen']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="studio data sets")
    parser.add_argument("--real", type=Path, required=True, help="photographs, in the layout of VITON-HD")
    parser.add_argument("--out", type=Path, required=True, help="for pictures; not in the repository")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FOLDER / FILE)
    parser.add_argument("--threshold", type=float, help="instead of the estimator's own")
    parser.add_argument("--limit", type=int, help="at most so many people of each data set")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/perceive-pose.json"))
    arguments = parser.parse_args()
    options = {} if arguments.threshold is None else {"threshold": arguments.threshold}
    estimator = load_pose(arguments.weights, **options)
    results = {
        "weights": read_metadata(arguments.weights)["recipe"]["version"],
        "parameters": sum(each.numel() for each in estimator.network.parameters()),
        "threshold": estimator.threshold, "targets": {"studio": STUDIO_TARGET, "photographs": REAL_TARGET},
        "threads": torch.get_num_threads(), "studio": {},
    }  # fmt: skip
    for root in arguments.data:
        scores = both_scores(estimate(estimator, root, "paired", estimator.network.config.size, arguments.limit))
        results["studio"][root.name] = scores
        report(root.name, scores, STUDIO_TARGET)
    measured = estimate(estimator, arguments.real, "unpaired", None, None)
    results["photographs"] = {
        **photograph_scores(measured.names, measured.pose, measured.true_pose),
        "hands": both_scores(measured)["hands"], "seconds": round(measured.seconds, 3),
    }  # fmt: skip
    draw(arguments.real, measured, arguments.out)
    for title in ("raw", "hips moved"):
        scores = results["photographs"][title]
        print(f"photographs, {title}: PCK@0.1 {scores['pck']:.3f}, {scores['hits']} of {scores['counted']}")
        for name, count in scores["photographs"].items():
            print(f"  {name}: {count['hits']} of {count['counted']}; missed: {', '.join(scores['missed'][name])}")
    print(f"  hips by {results['photographs']['share']:.3f}; each without its own: {results['photographs']['shares']}")
    print(f"  {results['photographs']['seconds']} s a photograph of full size")
    with replacing(arguments.results) as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
