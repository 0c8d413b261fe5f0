"""Leaves MG-VTON's parts out, one at a time: `python benchmarks/mg_vton_ablation.py --data data/poses --stage parsing`.

Each variant is trained with three seeds at 128x96, few steps, on the same batches a seed, and judged on the same test
triplets: new pose, new garment, against the rendered truth. What a number means beside the spread of the three is for
the reader to see, so all three are kept. Stage "parsing": each of the three losses left out, and more of the reference
shown. Stage "warp-gan": each loss, the feature warp, the guidance by the drawn parse; judged by region, and by how far
the pose moved. Stage "refinement": the mask's target, and no render at all: the coarse picture, and the garment pasted.
Later stages stand on the course's weights of those before. The table goes to
benchmarks/results/mg-vton-ablation-STAGE.json. Started again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from vtonlib.checkpoints import replacing
from vtonlib.data import collate, open_dataset
from vtonlib.evaluation_tryon import SKIN_LABELS
from vtonlib.features import load_features
from vtonlib.labels import HEAD_LABELS, LIP, LOWER_LABELS, TOP_LABELS
from vtonlib.metrics import label_scores, label_table, masked_l1, perceptual_distance, ssim
from vtonlib.represent import label_mask
from vtonlib.systems.mg_vton import conditional_parsing_training, refinement_training, warp_gan_training
from vtonlib.systems.mg_vton.conditional_parsing import PAPER_MASKS
from vtonlib.systems.mg_vton.networks import load_frozen, load_network
from vtonlib.systems.mg_vton.synthesis import dress, painter_batch, refinement_batch
from vtonlib.systems.mg_vton.triplets import moved_distance
from vtonlib.training import TrainConfig

SIZE, SEEDS, CPU = (128, 96), (0, 1, 2), torch.device("cpu")
REGIONS = {"garment": TOP_LABELS, "skin": SKIN_LABELS, "head": HEAD_LABELS, "lower": LOWER_LABELS}


def _changed(module, name: str, **changes):
    return {name: replace(getattr(module.RECIPES["laptop"], name), **changes)}


VARIANTS: dict[str, dict[str, dict]] = {
    "parsing": {
        "course": {},
        "without adversarial": {"adversarial_weight": 0.0},
        "without L1": {"l1_weight": 0.0},
        "without softmax": {"softmax_weight": 0.0},
        "weights of the paper": {"adversarial_weight": 1.0},
        "trousers shown": _changed(conditional_parsing_training, "network", kept=(*PAPER_MASKS, (9,), (12,))),
    },
    "warp-gan": {
        "course": {},
        "affine only": _changed(warp_gan_training, "network", feature_warp="affine"),
        "no feature warp": _changed(warp_gan_training, "network", feature_warp="none"),
        "direct synthesis": _changed(warp_gan_training, "network", feature_warp="none", guided=False),
        "without adversarial": {"adversarial_weight": 0.0},
        "without matching": {"matching_weight": 0.0},
        "without perceptual": {"perceptual_weight": 0.0},
        "without L1": {"l1_weight": 0.0},
    },
    "refinement": {
        "course": {},
        "mask: paper": {"mask_loss": "paper"},
        "without mask": {"mask_weight": 0.0},
        "without perceptual": {"perceptual_weight": 0.0},
    },
}
MODULES = {
    "parsing": (conditional_parsing_training, conditional_parsing_training.train_conditional_parsing),
    "warp-gan": (warp_gan_training, warp_gan_training.train_warp_gan),
    "refinement": (refinement_training, refinement_training.train_refinement),
}


def recipe_of(stage: str, changes: dict, steps: int, seed: int):
    """The course's recipe of a stage at one small size, changed."""
    config = TrainConfig(
        steps=steps, batch_size=8, lr=1e-3, betas=(0.5, 0.999), schedule="cosine", decay_start=0.3, warm_up=20,
        clip=1.0, ema_decay=0.98, progress=False, seed=seed,
    )  # fmt: skip
    return replace(MODULES[stage][0].RECIPES["laptop"], sizes=(SIZE,), stages=(config,), **changes)


def test_batches(data: Path, limit: int):
    """Batches (sample, target, pose) of the test triplets: new garment, new pose."""
    dataset = open_dataset(data, split="test", pairing="unpaired", size=SIZE)
    for first in range(0, min(limit, len(dataset)), 8):
        batch = collate([dataset[index] for index in range(first, min(first + 8, limit, len(dataset)))])
        target = batch.truth.new_pose
        yield replace(batch, truth=None), target, target.pose


def parsing_numbers(network: nn.Module, data: Path, limit: int) -> dict[str, float]:
    """Accuracy and mean IoU of drawn parses over the test triplets, and how often trousers or skirt are right."""
    table = torch.zeros(len(LIP), len(LIP), dtype=torch.int64)
    for sample, target, pose in test_batches(data, limit):
        table += label_table(target.parse, network.draw(sample, pose), len(LIP))
    scores = label_scores(table)
    below = table[[9, 12]][:, [9, 12]]
    numbers = {"accuracy": scores.accuracy, "miou": scores.mean_iou}
    return numbers | {"trousers or skirt": float(below.diagonal().sum() / below.sum())}


@torch.no_grad()
def picture_numbers(
    paint: Callable[..., Tensor], frozen: dict[str, nn.Module], data: Path, limit: int
) -> dict[str, float]:
    """SSIM, perceptual distance and L1 by region of what `paint` makes, and of the half of poses that moved most."""
    rows: dict[str, list[Tensor]] = {}
    judge = load_features("judge")
    for sample, target, pose in test_batches(data, limit):
        parse = frozen["parsing"].draw(sample, pose)
        made = paint(sample, pose, parse, dress(frozen["gmm"], sample, parse)) / 2 + 0.5
        made, wanted = made.clamp(0, 1), target.person / 2 + 0.5
        numbers = {"ssim": ssim(made, wanted), "perceptual": perceptual_distance(made, wanted, judge)}
        for name, labels in REGIONS.items():
            numbers[f"L1 {name}"] = masked_l1(made, wanted, label_mask(target.parse, labels).float())
        numbers["moved"] = moved_distance(sample.pose, pose)
        for name, values in numbers.items():
            rows.setdefault(name, []).append(values)
    columns = {name: torch.cat(values) for name, values in rows.items()}
    far = columns.pop("moved") >= torch.cat(rows["moved"]).nanmedian()
    means = {name: float(values.nanmean()) for name, values in columns.items()}
    return means | {f"{name}, far": float(values[far].nanmean()) for name, values in columns.items()}


def judge_stage(stage: str, network: nn.Module, data: Path, limit: int) -> dict[str, float]:
    """The numbers of one trained network of a stage."""
    if stage == "parsing":
        return parsing_numbers(network, data, limit)
    frozen = load_frozen(("parsing", "gmm", "matcher", *(("warp-gan",) if stage == "refinement" else ())), None, CPU)

    def coarse(painter: nn.Module, *given) -> tuple[Tensor, Tensor]:
        seen = painter_batch(painter, frozen["matcher"], *given)
        return painter(seen), seen.heatmaps

    def refined(*given) -> Tensor:
        picture, heatmaps = coarse(frozen["warp-gan"], *given)
        return network(refinement_batch(given[-1], picture, heatmaps))[0]

    paint = refined if stage == "refinement" else lambda *given: coarse(network, *given)[0]
    return picture_numbers(paint, frozen, data, limit)


def without_render(data: Path, limit: int) -> dict[str, dict]:
    """What the refinement is measured against: the coarse picture as it is, and the bent garment pasted on it."""
    frozen = load_frozen(("parsing", "gmm", "matcher", "warp-gan"), None, CPU)

    def coarse(*given) -> Tensor:
        return frozen["warp-gan"](painter_batch(frozen["warp-gan"], frozen["matcher"], *given))

    def pasted(sample, pose, parse, dressed) -> Tensor:
        picture = coarse(sample, pose, parse, dressed)
        return torch.where(dressed.warped_mask > 0.5, dressed.warped, picture)

    methods = {"no render": coarse, "pasted": pasted}
    return {name: {"0": picture_numbers(paint, frozen, data, limit)} for name, paint in methods.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the benchmark set of triplets")
    parser.add_argument("--stage", choices=tuple(VARIANTS), required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--limit", type=int, default=120, help="test triplets to judge on")
    parser.add_argument("--runs", type=Path, default=Path("runs/mg-vton-ablation"))
    parser.add_argument("--out", type=Path, help="by default the file in benchmarks/results")
    arguments = parser.parse_args()
    stage, table = arguments.stage, {}
    for name, changes in VARIANTS[stage].items():
        for seed in SEEDS:
            recipe = recipe_of(stage, changes, arguments.steps, seed)
            folder = arguments.runs / stage / "".join(x if x.isalnum() else "-" for x in name) / str(seed)
            train = MODULES[stage][1]
            train(arguments.data, folder, recipe=recipe, command="benchmarks/mg_vton_ablation.py")
            network, _ = load_network(stage, folder, CPU)
            numbers = judge_stage(stage, network, arguments.data, arguments.limit)
            table.setdefault(name, {})[str(seed)] = {key: round(value, 5) for key, value in numbers.items()}
            print(f"{name:22} seed {seed}", table[name][str(seed)], flush=True)
    if stage == "refinement":
        table |= without_render(arguments.data, arguments.limit)
    about = {"size": list(SIZE), "steps": arguments.steps, "triplets": arguments.limit, "variants": table}
    out = arguments.out or Path(__file__).parent / "results" / f"mg-vton-ablation-{stage}.json"
    with replacing(out) as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(f"written: {out}")


if __name__ == "__main__":
    main()
