"""Training the pose network (`vtonlib.perceive.pose`) on studio data sets: at 128x96 first, then on at 256x192.

For each keypoint the network has one probability for every cell of its map and one for "not in this picture". The loss
is the cross-entropy against what is true: a Gaussian around the place, or all of it on "not in this picture". A softmax
over all places is what Mask R-CNN has for keypoints (He et al. 2017, section 5); there the truth is a single cell, and
only keypoints that are seen have a loss. No map can get by with being empty everywhere, as one can under a squared
error. A keypoint that is hidden behind an arm is *in* the picture, and its place is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from vtonlib.parallel import is_main_process
from vtonlib.perceive.keypoints import pck, torso_length
from vtonlib.perceive.pose import (
    BODY,
    FILE,
    STRIDE,
    PoseConfig,
    PoseEstimator,
    PoseNet,
    log_probabilities,
    point_sigmas,
)
from vtonlib.systems.memory import PackedCache
from vtonlib.systems.pose_data import PoseAugmentation, PoseBatch, augment_pose, body_and_hands, pack_pose, pose_batch
from vtonlib.systems.runs import small_stage, train_in, train_sizes, train_splits
from vtonlib.training import TrainConfig, resolve_device

RECIPE_VERSION = "pose/1"


@dataclass(frozen=True, kw_only=True)
class PoseRecipe:
    """How the pose network is trained.

    sizes: (height, width) of each stage, the last the network's own, the others whole fractions of it; stages: how each
    is trained; each but the first starts from the average weights of the one before. hands_weight: of the loss of the
    hands' 42 points against that of the body's 25.
    Raises ValueError for different numbers of sizes and stages or another last size.
    """

    config: PoseConfig = field(default_factory=PoseConfig)
    sizes: tuple[tuple[int, int], ...] = ((128, 96), (256, 192))
    stages: tuple[TrainConfig, ...]
    hands_weight: float = 0.5
    augmentation: PoseAugmentation = field(default_factory=PoseAugmentation)

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.stages) or not self.sizes:
            raise ValueError(f"PoseRecipe: {len(self.sizes)} sizes for {len(self.stages)} stages")
        if tuple(self.sizes[-1]) != self.config.size:
            raise ValueError(f"PoseRecipe: the last size is {self.sizes[-1]}, the network's {self.config.size}")


def _stages(first: int, second: int, batch_size: int, **other) -> tuple[TrainConfig, TrainConfig]:
    """`first` steps at the small size, then `second` with half of the batch and gentler, from what was learnt."""
    later = small_stage(second, max(batch_size // 2, 2), **other)
    return small_stage(first, batch_size, **other), replace(later, lr=1.5e-3, decay_start=0.2)


# The laptop's steps take 0.135 and 0.25 seconds on one thread: 20 minutes together.
RECIPES = {
    "smoke": PoseRecipe(config=PoseConfig(size=(128, 96)), sizes=((64, 48), (128, 96)), stages=_stages(2, 2, 4)),
    "laptop": PoseRecipe(stages=_stages(3000, 3000, 16, validate_every=500)),
    "gpu": PoseRecipe(stages=_stages(8000, 20000, 64, validate_every=1000)),
}


def target_maps(points: Tensor, size: tuple[int, int], sigmas: Tensor) -> Tensor:
    """What the probabilities should be: (B,K,h*w) for points (B,K,3) in pixels of the picture; sums to 1 or 0.

    size: height and width of the maps, whose cells are 4 x 4 pixels; sigmas (K,), in cells. A point that is not seen
    (confidence 0) has zeros.
    """
    centre = (points[..., :2] + 0.5) / STRIDE - 0.5
    across, down = (
        torch.softmax(-((torch.arange(length, device=points.device) - centre[..., axis, None]) ** 2) / width, -1)
        for length, axis, width in ((size[1], 0, 2 * sigmas[:, None] ** 2), (size[0], 1, 2 * sigmas[:, None] ** 2))
    )
    seen = (points[..., 2] > 0).to(points.dtype)[..., None, None]
    return (down[..., :, None] * across[..., None, :] * seen).flatten(2)


def pose_terms(network: PoseNet, batch: PoseBatch, hands_weight: float) -> dict[str, Tensor]:
    """Cross-entropy, the mean over keypoints: "body" and, weighted, "hands"."""
    scores, absent = network(batch.picture)
    cells, nowhere = log_probabilities(scores, absent)
    target = target_maps(batch.points, tuple(scores.shape[-2:]), point_sigmas(network.config, scores.device))
    seen = batch.points[..., 2] > 0
    loss = torch.where(seen, -(target * cells).sum(-1), -nowhere)
    return {"body": loss[:, :BODY].mean(), "hands": hands_weight * loss[:, BODY:].mean()}


def validation(cache: PackedCache, size: tuple[int, int], device: torch.device) -> Callable:
    """A callback for `train`: on samples held out, at one size, PCK@0.1 of body and hands (by the torso), and of the
    joints that are seen and not seen the share that is found."""

    def validate(network: PoseNet) -> tuple[dict[str, float], None]:
        batch = pose_batch(cache.batch(range(len(cache)), device=device), size)
        estimator = PoseEstimator(network, mirror=False)
        points = torch.cat([estimator.in_size(part) for part in batch.picture.split(16)])
        (pose, hands), (true_pose, true_hands) = body_and_hands(points), body_and_hands(batch.points)
        torso = torso_length(true_pose)
        hits, counted = pck(pose, true_pose, torso=torso)
        hand_hits, hand_counted = pck(hands, true_hands, torso=torso[:, None].expand(-1, 2))
        seen, found = true_pose[..., 2] > 0, pose[..., 2] > 0
        return {
            "pck": _share(hits, counted),
            "pck_hands": _share(hand_hits, hand_counted),
            "found": _share(found & seen, seen),
            "found_unseen": _share(found & ~seen, ~seen),
        }, None

    return validate


def _share(some: Tensor, of: Tensor) -> float:
    """NaN-free: 0 where nothing was counted, as on a handful of close-ups without hips."""
    return float(some.sum() / of.sum().clamp(min=1))


def train_pose(
    data_root: Sequence[str | Path],
    out: str | Path,
    *,
    recipe: PoseRecipe,
    command: str,
    weights: str | Path | None = None,
    limit: int | None = None,
) -> Path:
    """Train the pose network on the train splits of one or more data sets; returns the weights file (float16).

    Called again with the same folder `out`, it goes on where it stopped. weights: where the file goes, by default
    `out`/pose.safetensors. limit: at most so many samples of each data set. Raises ValueError as `train_splits` and
    `vtonlib.training.train` do, and for samples without pose or hands.
    """
    out = Path(out)
    trained_on, watched, data = train_splits(data_root, recipe.config.size, limit)
    about = {
        "system": "perceive",
        "stage": "pose",
        "config": plain_config(recipe.config),
        "recipe": {"version": RECIPE_VERSION, **asdict(recipe)},
        "data": data,
    }
    progress = recipe.stages[0].progress and is_main_process()
    cache = PackedCache(trained_on, range(len(trained_on)), pack_pose, progress=progress)
    held_out = PackedCache(watched, range(len(watched)), pack_pose)

    def train_stage(size: tuple[int, int], config: TrainConfig, start: Path | None) -> tuple[Path, dict]:
        device = resolve_device(config.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = PoseNet(recipe.config)

        def make_batch(indices: list[int], generator: torch.Generator) -> PoseBatch:
            batch = pose_batch(cache.batch(indices, device=device), tuple(size))
            return augment_pose(batch, recipe.augmentation, generator)

        return train_in(
            out / f"{size[0]}x{size[1]}",
            config,
            {"system": "perceive", "stage": "pose"},
            module=network,
            loss=lambda module, batch: pose_terms(module, batch, recipe.hands_weight),
            make_batch=make_batch,
            length=len(cache),
            validate=validation(held_out, tuple(size), device),
            held_out=len(held_out),
            warm_start=start,
        )

    target = Path(weights) if weights is not None else out / FILE
    return train_sizes(recipe, out, target, about, command, train_stage)


def plain_config(config: PoseConfig) -> dict:
    """The config as JSON holds it."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}
