"""Does what is learnt in the studio hold for photographs? A small parser, trained on the studio alone, on real people.

    python benchmarks/transfer.py --data data/wild --real ../shared/real --out runs/transfer

The parser is a U-Net of 2.1 million parameters at 128x96, trained from scratch on the train split of one or more studio
data sets. It is then shown photographs with LIP labels that it has never seen: a folder in the layout of VITON-HD. The
table gives intersection over union for every label that occurs there, their mean (floor 0.50, target 0.60), and the
same on studio people of the test split. It goes to benchmarks/results/transfer.json; pictures of photograph, labels and
guess go to OUT, as photographs of real people have no place among the results.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from vtonlib.checkpoints import replacing
from vtonlib.data import TryOnDataset, open_dataset
from vtonlib.labels import LIP, LIP_PALETTE
from vtonlib.metrics import label_scores, label_table
from vtonlib.nets.unet import UNet, UNetConfig
from vtonlib.sample import TryOnSample
from vtonlib.systems.features_training import filmed, relight
from vtonlib.systems.memory import Augmentation, SampleCache, augment
from vtonlib.systems.runs import small_stage
from vtonlib.training import train

SIZE = (128, 96)
CONFIG = UNetConfig(in_channels=3, out_channels=len(LIP), widths=(32, 64, 128, 192, 192), last_norm=False)
FLOOR, TARGET = 0.50, 0.60
AUGMENTATION = Augmentation(mirror=0.5, shift=0.08, scale=0.20, rotation=6.0)
LIGHT = 0.3  # largest change of brightness and contrast


class Mixed(torch.utils.data.ConcatDataset):
    """Train splits of several data sets behind one another."""

    def __init__(self, roots: list[Path], limit: int | None) -> None:
        datasets = [open_dataset(root, split="train", pairing="paired", size=SIZE) for root in roots]
        super().__init__([torch.utils.data.Subset(d, range(min(len(d), limit or len(d)))) for d in datasets])


def train_parser(roots: list[Path], out: Path, steps: int, batch_size: int, limit: int | None) -> nn.Module:
    """The parser, trained on the train splits of the data sets; a run that was interrupted goes on."""
    mixed = Mixed(roots, limit)
    cache = SampleCache(mixed, range(len(mixed)), progress=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parser = UNet(CONFIG)

    def make_batch(indices: list[int], generator: torch.Generator) -> TryOnSample:
        batch = augment(cache.batch(indices), AUGMENTATION, generator)
        return replace(batch, person=filmed(relight(batch.person, LIGHT, generator), generator))

    return train(
        small_stage(steps, batch_size),
        module=parser,
        loss=lambda module, batch: {"parse": functional.cross_entropy(module(batch.person), batch.parse)},
        make_batch=make_batch,
        length=len(cache),
        out=out,
    )


@torch.no_grad()
def confusion(parser: nn.Module, dataset: TryOnDataset, limit: int | None = None) -> tuple[Tensor, list]:
    """Pixels (20,20) by true and guessed label, and for each sample (person, parse, guess)."""
    table, rows = torch.zeros(len(LIP), len(LIP), dtype=torch.int64), []
    first = {person: index for index, (person, _) in reversed(list(enumerate(dataset.pairs)))}  # each person once
    for index in sorted(first.values())[:limit]:
        sample = dataset[index]
        guess = parser(sample.person[None]).argmax(1)[0]
        left, top, right, bottom = sample.padding
        inner = (slice(top, SIZE[0] - bottom), slice(left, SIZE[1] - right))
        table += label_table(sample.parse[inner], guess[inner], len(LIP))
        rows.append((sample.person, sample.parse, guess))
    return table, rows


def summary(table: Tensor) -> dict:
    """Mean IoU over the labels that occur, pixel accuracy, and the numbers of each label (precision 0: not guessed)."""
    scores = label_scores(table)
    labels = {
        LIP[k]: {"iou": float(scores.iou[k]), "recall": float(scores.recall[k]),
                 "precision": float(scores.precision[k].nan_to_num(0.0))}
        for k in range(len(LIP)) if scores.pixels[k]
    }  # fmt: skip
    return {"miou": scores.mean_iou, "accuracy": scores.accuracy, "labels": labels}


def sheet(rows: list, path: Path, enlarge: int = 3) -> None:
    """Photograph, true labels and guess of each sample beside one another, one sample a line."""
    lines, palette = [], np.array(LIP_PALETTE, np.uint8)
    for person, parse, guess in rows:
        picture = ((person.permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)
        lines.append(np.hstack([picture, palette[parse.numpy()], palette[guess.numpy()]]))
    whole = Image.fromarray(np.vstack(lines))
    path.parent.mkdir(parents=True, exist_ok=True)
    whole.resize((whole.width * enlarge, whole.height * enlarge), Image.Resampling.NEAREST).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="studio data sets to train on")
    parser.add_argument("--real", type=Path, required=True, help="photographs with labels, in the layout of VITON-HD")
    parser.add_argument("--out", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--limit", type=int, help="at most so many samples of each data set")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/transfer.json"))
    arguments = parser.parse_args()
    net = train_parser(arguments.data, arguments.out, arguments.steps, arguments.batch_size, arguments.limit).eval()
    results = {
        "parameters": sum(weight.numel() for weight in net.parameters()), "size": list(SIZE), "steps": arguments.steps,
        "batch_size": arguments.batch_size, "floor": FLOOR, "target": TARGET,
    }  # fmt: skip
    for name, root, limit in (("studio", arguments.data[0], 120), ("photographs", arguments.real, None)):
        dataset = open_dataset(root, split="test", pairing="paired" if name == "studio" else "unpaired", size=SIZE)
        table, rows = confusion(net, dataset, limit)
        results[name] = {"samples": len(rows), **summary(table)}
        sheet(rows[:8], arguments.out / f"{name}.png")
    for name in ("studio", "photographs"):
        print(f"{name}: {results[name]['samples']} samples, mean IoU {results[name]['miou']:.3f}")
    for label, entry in results["photographs"]["labels"].items():
        print(f"  {label:<16} IoU {entry['iou']:.3f}  recall {entry['recall']:.3f}  precision {entry['precision']:.3f}")
    results["data"] = [open_dataset(root, split="train", size=SIZE).source.recipe for root in arguments.data]
    with replacing(arguments.results) as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
