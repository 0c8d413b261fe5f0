"""The data card (`DATA_CARD.md`): its text is written by hand, its numbers by code.

python -m vtonlib studio --card ROOT      the card with the numbers of a written data set
python -m vtonlib.studio.card             writes what is drawn how often into the card itself
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import numpy as np

from .selfcheck import count_rejected

BEGIN, END = "<!-- composition: begin -->", "<!-- composition: end -->"
DRAWN = 2000  # people and garments drawn for the table
BINS = {
    "skin tone (0 lightest, 6 darkest)": (0, 1, 2, 3, 4, 5, 6),
    "age (0.67 young adult, 1 = 90 years)": (0.6, 0.67, 0.75, 0.83, 0.9),
    "weight (0 thin, 1 heavy)": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "height (0 small, 1 tall)": (0.0, 0.35, 0.5, 0.65, 1.0),
}


def composition(count: int = DRAWN) -> str:
    """A Markdown table of what the studio draws: shares among `count` people and garments of fixed seeds."""
    from .outfits import draw_outfit, draw_top
    from .people import draw_identity, draw_staging

    def streams(what: int) -> Iterable[np.random.Generator]:
        return (np.random.default_rng([0x63617264, what, index]) for index in range(count))

    people = [draw_identity(rng) for rng in streams(0)]
    tops, poses = [draw_top(rng) for rng in streams(1)], [draw_staging(rng).pose for rng in streams(2)]
    bottoms = [draw_outfit(rng, who.female).bottom.name for rng, who in zip(streams(3), people)]
    numbers = [[who.tone for who in people], *([getattr(who.phenotype, name) for who in people]
               for name in ("age", "weight", "height"))]  # fmt: skip
    rows = {"sex of the body shape": _shares("female" if who.female else "male" for who in people)}
    rows |= {name: _binned(values, BINS[name]) for name, values in zip(BINS, numbers)}
    rows |= {
        "hair": _shares(who.hair_style for who in people), "top": _shares(top.cut.name for top in tops),
        "fabric": _shares(top.fabric for top in tops), "bottom": _shares(bottoms), "pose": _shares(poses),
    }  # fmt: skip
    return "\n".join(["| drawn | shares |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items())])


def _shares(values: Iterable[str]) -> str:
    counts = Counter(values)
    total = sum(counts.values())
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {100 * count / total:.0f}%" for name, count in order)


def _binned(values: list[float], edges: tuple[float, ...]) -> str:
    counts = np.histogram(values, edges)[0]
    return ", ".join(f"{low:g}-{high:g}: {100 * count / len(values):.0f}%"
                     for low, high, count in zip(edges, edges[1:], counts))  # fmt: skip


def with_composition(card: str, table: str) -> str:
    """The card's text with the table between its markers. Raises ValueError unless each marker occurs once."""
    if card.count(BEGIN) != 1 or card.count(END) != 1:
        raise ValueError(f"DATA_CARD.md: expected one {BEGIN} and one {END}")
    return f"{card.split(BEGIN)[0]}{BEGIN}\n{table}\n{END}{card.split(END)[1]}"


def card_text() -> str:
    """The card as shipped."""
    return (files(__package__) / "DATA_CARD.md").read_text(encoding="utf-8")


def data_card(root: str | Path) -> str:
    """The card, followed by the numbers of a complete data set: what was drawn, how many poses were rejected and why.

    Raises ValueError if the folder is not a complete data set of the studio.
    """
    root = Path(root)
    if not (root / "studio.json").is_file():
        raise ValueError(f"{root}: expected a data set of the studio, with studio.json, got none")
    about = json.loads((root / "studio.json").read_text())
    if not about.get("complete"):
        raise ValueError(f"{root}: expected a complete data set; write it with the same arguments again to go on")
    records = [json.loads(path.read_text()) for path in sorted((root / "samples").glob("*.json"))]
    by_reason, by_pose = count_rejected([entry for record in records for entry in record["rejected"]])
    with (root / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept, size = len(rows), sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    lines = ["", "## This data set", ""]
    lines += [f"- {name}: {value}" for name, value in about.items() if name not in ("complete", "rejected")]
    lines += [f"- photographs in the manifest: {kept} ({Counter(row['split'] for row in rows)['test']} of them test)"]
    lines += [f"- size: {size / 2**20:.1f} MB, {size / 2**10 / max(kept, 1):.0f} KB a photograph"]
    for title, counts in (("reason", by_reason), ("pose", by_pose)):
        text = ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
        lines.append(f"- poses rejected, by {title}: {text}")
    for column in ("pose", "cut", "fabric", "bottom", "hair", "female"):
        if column in rows[0]:
            lines.append(f"- {column}: {_shares(row[column] for row in rows)}")
    return card_text() + "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = Path(__file__).with_name("DATA_CARD.md")
    path.write_text(with_composition(path.read_text(encoding="utf-8"), composition()), encoding="utf-8")
