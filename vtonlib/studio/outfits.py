"""What people wear in the studio: seeded draws of tops and of everything worn with them.

Every draw is a frozen dataclass of plain values, so that it can be written into the manifest and a garment can be put
on another person.

Convention: colours are sRGB in [0,1]; one `numpy.random.Generator` a draw, seeded by the caller with integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bottom_shader import draw_bottom_fabric
from .cuts import BOTTOMS, DRESSES, JACKETS, TOPS, BottomCut, TopCut
from .fabric import FABRIC_SHARE, FABRICS

TROUSER_COLOURS = (
    (0.12, 0.16, 0.28), (0.20, 0.28, 0.42), (0.08, 0.08, 0.09), (0.55, 0.50, 0.42), (0.80, 0.78, 0.74),
    (0.30, 0.33, 0.28), (0.38, 0.26, 0.20), (0.62, 0.64, 0.67),
)  # fmt: skip
SHOE_COLOURS = ((0.9, 0.9, 0.9), (0.08, 0.08, 0.08), (0.35, 0.20, 0.12), (0.6, 0.1, 0.1))
JACKET_COLOURS = (
    (0.09, 0.09, 0.10), (0.16, 0.19, 0.28), (0.55, 0.50, 0.43), (0.36, 0.37, 0.39), (0.32, 0.35, 0.26),
    (0.40, 0.26, 0.18), (0.75, 0.72, 0.67), (0.45, 0.13, 0.16), (0.28, 0.36, 0.48),
)  # fmt: skip
SOCK_COLOURS = ((0.93, 0.93, 0.92), (0.12, 0.12, 0.13), (0.55, 0.56, 0.58), (0.20, 0.25, 0.42), (0.70, 0.25, 0.25))
DRESS_SHARE = 0.05  # of the tops
TUCKED_SHARE, JACKET_SHARE, SOCK_SHARE = 0.3, 0.07, 0.5  # of the outfits; of those with bare legs
# How often each bottom is drawn, in the order of BOTTOMS; men wear no skirts.
WOMENS_BOTTOMS = (0.26, 0.14, 0.12, 0.08, 0.08, 0.10, 0.10, 0.06, 0.06)
MENS_BOTTOMS = (0.50, 0.16, 0.18, 0.0, 0.0, 0.16, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class TopDesign:
    """One top: its cut, its fabric, and the seed of everything that is drawn on it."""

    cut: TopCut
    fabric: str
    seed: int


@dataclass(frozen=True)
class Outfit:
    """What a person wears besides the top.

    tucked: a top that is long and thin enough goes into the waistband. jacket: worn open over a top that it fits over,
    or None. sock: metres from the ankle up to the end of the socks, 0: none. *_fabric: kinds of
    `bottom_shader`; seed: of what they draw of their own.
    """

    bottom: BottomCut
    bottom_colour: tuple[float, float, float]
    shoe_colour: tuple[float, float, float]
    tucked: bool = False
    jacket: TopCut | None = None
    jacket_colour: tuple[float, float, float] = (0.2, 0.2, 0.22)
    sock: float = 0.0
    sock_colour: tuple[float, float, float] = (0.9, 0.9, 0.9)
    bottom_fabric: str = "plain"
    jacket_fabric: str = "plain"
    seed: int = 0


def choose(rng: np.random.Generator, options, share=None):
    """One of `options`, with probabilities `share` if given."""
    return options[int(rng.choice(len(options), p=share))]


def draw_top(rng: np.random.Generator) -> TopDesign:
    """A top of any cut in any fabric; one in twenty is a dress."""
    cut, fabric, seed = choose(rng, TOPS), choose(rng, FABRICS, FABRIC_SHARE), int(rng.integers(1 << 30))
    if rng.random() < DRESS_SHARE:
        cut = choose(rng, DRESSES)
    return TopDesign(cut, fabric, seed)


def is_womens(cut: TopCut) -> bool:
    """Whether women alone come with a top of this cut of their own: dresses, puffed, ruffled and bell sleeves."""
    return cut.skirt is not None or cut.gather in ("puff", "ruffle", "bell")


def draw_outfit(rng: np.random.Generator, female: bool) -> Outfit:
    """Trousers more often than anything else; now and then tucked in, with socks, or with an open jacket."""
    bottom = choose(rng, BOTTOMS, WOMENS_BOTTOMS if female else MENS_BOTTOMS)
    colour, shoes = choose(rng, TROUSER_COLOURS), choose(rng, SHOE_COLOURS)
    tucked, layered, socks = rng.random(3) < (TUCKED_SHARE, JACKET_SHARE, SOCK_SHARE)
    jacket, sock = choose(rng, JACKETS), float(rng.uniform(0.05, 0.20))
    return Outfit(
        bottom, colour, shoes, tucked=bool(tucked), jacket=jacket if layered else None,
        jacket_colour=choose(rng, JACKET_COLOURS), sock=sock if socks and bottom.bare_legs else 0.0,
        sock_colour=choose(rng, SOCK_COLOURS), bottom_fabric=draw_bottom_fabric(rng, bottom.skirt),
        jacket_fabric=choose(rng, ("plain", "leather"), (0.75, 0.25)), seed=int(rng.integers(1 << 30)),
    )  # fmt: skip
