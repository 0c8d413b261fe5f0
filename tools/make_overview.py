"""Make the README's overview picture: studio people, what is known about them, and what the course makes of them.

    python tools/make_overview.py --data data/tutorial --out notebooks/img/overview.jpg

One row a person: photograph, pose, parse, agnostic picture, the garment as the shop shows it, the garment warped onto
the person, the composition mask, the try-on, and the studio's own photograph of that person in that garment. The same
data, weights and people give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

from vtonlib.checkpoints import replacing
from vtonlib.course.show import colour_parse, compose, draw_pose, to_01
from vtonlib.data import TryOnSample, open_dataset
from vtonlib.represent import human_agnostic
from vtonlib.systems import load_system

# Of the tutorial's test people: a try-on that comes out well, and one that shows what is still missing.
PEOPLE = ("000215_00", "000179_00")
TITLES = (
    "photograph", "pose", "parse", "agnostic: the old top erased", "garment in the shop", "warped onto the person",
    "composition mask", "try-on", "ground truth",
)  # fmt: skip
SIZE = (256, 192)


def find(data: Path, names: list[str]) -> list[TryOnSample]:
    """The unpaired test samples of these people. Raises ValueError for a name that isn't there or has no truth."""
    dataset = open_dataset(data, split="test", pairing="unpaired", size=SIZE)
    index = {name: number for number, (name, _) in enumerate(dataset.pairs)}
    missing = [name for name in names if name not in index]
    if missing:
        raise ValueError(f"{data}: no test person {', '.join(missing)}; there is {', '.join(sorted(index)[:8])} ...")
    samples = [dataset[index[name]] for name in names]
    for sample in samples:
        if sample.truth is None or sample.truth.unpaired is None:
            raise ValueError(f"{data}: {sample.name} has no unpaired truth: expected a data set of the studio")
    return samples


def row(sample: TryOnSample, system) -> list:
    """The pictures of one person, in the order of TITLES."""
    result, photograph = system.try_on(sample), to_01(sample.person)
    return [
        photograph,
        draw_pose(photograph * 0.4 + 0.6, sample.pose),
        colour_parse(sample.parse),
        human_agnostic(sample),
        to_01(sample.garment.image),
        to_01(result.warped),
        result.composition_mask,
        to_01(result.tryon),
        to_01(sample.truth.unpaired.person),
    ]


def overview(data: Path, names: list[str], weights: str = "course") -> Image.Image:
    """The whole picture."""
    system = load_system("cp-vton", weights)
    return compose([row(sample, system) for sample in find(data, names)], TITLES, height=SIZE[0])


def main(words: list[str] | None = None) -> int:
    """Write the picture; returns the exit status: 0, or 2 after one line on what was wrong with the input."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("data/tutorial"), help="a studio data set")
    parser.add_argument("--out", type=Path, default=Path("notebooks/img/overview.jpg"))
    parser.add_argument("--people", nargs="+", default=list(PEOPLE), metavar="NAME", help="test people, one a row")
    parser.add_argument("--weights", default="course", help="course, or a .safetensors file")
    parser.add_argument("--quality", type=int, default=88, help="of the JPEG")
    asked = parser.parse_args(words)
    try:
        picture = overview(asked.data, asked.people, asked.weights)
        with replacing(asked.out) as temporary:
            picture.save(temporary, "JPEG", quality=asked.quality, subsampling=0, optimize=True)
    except (ValueError, OSError) as error:
        print(f"make_overview: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(f"{asked.out}: {picture.width}x{picture.height}, {asked.out.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
