"""Patterns that are woven, dyed or printed all over a cloth: colour as a function of the place on it.

Each pattern is `pattern(x, y, scale, colours, rng) -> (H,W,3)`: x (1,W) and y (H,1) in metres, y down from the top of
the cloth; scale in pixels per metre; colours: ground, accent and ink, (3,3) float32. Edges are one pixel soft. Random
fields come from lattices in metres (`clouds`), so that a finer texture shows the same pattern.

Convention: colours are sRGB in [0,1], float32.
"""

from __future__ import annotations

import numpy as np
from PIL import Image


def bars(place: np.ndarray, period: float, share: float, scale: float) -> np.ndarray:
    """1 on bars that take `share` of each period, 0 between, one pixel soft."""
    distance = np.abs((place / period) % 1 - 0.5) * period
    return np.clip(0.5 + (share * period / 2 - distance) * scale, 0, 1)


def clouds(size: tuple[int, int], scale: float, cell: float, rng: np.random.Generator, octaves: int = 1) -> np.ndarray:
    """A smooth random field (H,W) float32, about [-1,1], one random value every `cell` metres; octaves halve it."""
    total = np.zeros(size, np.float32)
    for octave in range(octaves):
        step = cell / 2**octave * scale  # pixels
        rows, columns = (int(np.ceil(n / step)) + 4 for n in size)
        lattice = Image.fromarray(rng.uniform(-1, 1, (rows, columns)).astype(np.float32))
        box = (1.5, 1.5, 1.5 + size[1] / step, 1.5 + size[0] / step)
        field = lattice.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box)
        total += np.float32(0.5**octave) * np.asarray(field)
    return total / np.float32(sum(0.5**k for k in range(octaves)))


def step(field: np.ndarray, level: float, cell: float, scale: float) -> np.ndarray:
    """0 below the level of a field, 1 above it, about one pixel soft; cell: metres over which the field changes."""
    return np.clip(0.5 + (field - np.float32(level)) * np.float32(0.5 * cell * scale), 0, 1)


def blend(below: np.ndarray, colour, amount: np.ndarray) -> np.ndarray:
    """`below` (...,3) with `colour` over it by `amount` (H,W)."""
    return below + (np.asarray(colour, np.float32) - below) * np.asarray(amount, np.float32)[..., None]


def _plain(x, y, colours) -> np.ndarray:
    return np.broadcast_to(colours[0], (y.shape[0], x.shape[1], 3))


def tartan(x, y, scale, colours, rng) -> np.ndarray:
    """Stripes of one sett in warp and weft; where they cross the twill shows both yarns."""
    ground, accent, ink = colours
    palette = [ground, accent, ground, ink, 0.35 * ground, accent]
    count = int(rng.integers(5, 8))
    width = rng.choice([0.004, 0.006, 0.012, 0.02, 0.03], count)
    which = rng.integers(1, len(palette), count)
    which[::2] = 0

    def yarns(place):
        ends = np.cumsum(width)
        fold = np.abs(place % (2 * ends[-1]) - ends[-1])  # a sett is woven forwards, then backwards
        return np.array(palette, np.float32)[which[np.minimum(np.searchsorted(ends, fold), count - 1)]]

    warp, weft = yarns(x[0])[None], yarns(y[:, 0])[:, None]
    twill = 0.5 + 0.28 * np.sin(2 * np.pi / 0.0065 * (x + y))
    return warp + (weft - warp) * twill[..., None].astype(np.float32)


def gingham(x, y, scale, colours, rng) -> np.ndarray:
    """Checks of white and one colour, with the crossings full and the rest half."""
    period = rng.choice([0.014, 0.02, 0.03])
    amount = 0.5 * bars(x, period, 0.5, scale) + 0.5 * bars(y, period, 0.5, scale)
    amount = amount * (1 + 0.05 * np.sin(2 * np.pi / 0.006 * (x - y)))
    return blend(_plain(x, y, colours), colours[1], amount)


def tie_dye(x, y, scale, colours, rng) -> np.ndarray:
    """Rings or a spiral around a knot, in three bleeding colours."""
    size = (y.shape[0], x.shape[1])
    dx = x - x.mean() - rng.uniform(-0.05, 0.05)
    dy = y - rng.uniform(0.25, 0.45)
    radius = np.hypot(dx, dy) + 0.025 * clouds(size, scale, 0.05, rng, 3)
    arms = int(rng.integers(0, 4))
    phase = radius / rng.uniform(0.10, 0.2) + arms * np.arctan2(dy, dx) / (2 * np.pi)
    phase = (phase + 0.10 * clouds(size, scale, 0.012, rng, 2)) % 1
    one, two = (np.clip(2.2 * np.cos(2 * np.pi * (phase - at)) - 0.4, 0, 1) for at in (0.0, 0.45))
    cloth = blend(blend(_plain(x, y, colours), colours[1], one), colours[2], two)
    return np.clip(cloth + 0.05 * clouds(size, scale, 0.02, rng, 2)[..., None], 0, 1)


def camouflage(x, y, scale, colours, rng) -> np.ndarray:
    """Blots of four related colours, each over the last."""
    size = (y.shape[0], x.shape[1])
    ground, accent, ink = colours
    cell = rng.uniform(0.05, 0.09)
    cloth = _plain(x, y, colours)
    for colour, level in ((accent, 0.08), (0.6 * ground + 0.1 * accent, 0.16), (0.55 * accent + 0.1 * ink, 0.28)):
        cloth = blend(cloth, colour, step(clouds(size, scale, cell, rng, 3), level, cell / 2, scale))
    return cloth


def zebra(x, y, scale, colours, rng) -> np.ndarray:
    """Wandering stripes that thin out and fork."""
    size = (y.shape[0], x.shape[1])
    period = rng.uniform(0.035, 0.06)
    wave = y / period + 1.3 * clouds(size, scale, 0.12, rng, 2) + 0.35 * np.abs(x - x.mean()) / period
    field = np.sin(2 * np.pi * wave) + 0.7 * clouds(size, scale, 0.06, rng)
    return blend(_plain(x, y, colours), colours[1], step(field, 0.25, period / 4, scale))


def leopard(x, y, scale, colours, rng) -> np.ndarray:
    """Broken rosettes: a ring in dark ink around a patch that is a little darker than the ground."""
    size = (y.shape[0], x.shape[1])
    period = rng.uniform(0.035, 0.05)
    grid_x, grid_y = (
        x / period + 0.25 * clouds(size, scale, 0.05, rng),
        y / period + 0.25 * clouds(size, scale, 0.05, rng),
    )
    grid_x = grid_x + np.floor(grid_y) % 2 * 0.5
    radius = np.hypot(grid_x % 1 - 0.5, grid_y % 1 - 0.5) + 0.10 * clouds(size, scale, 0.018, rng, 2)
    gap = step(clouds(size, scale, 0.016, rng), -0.35, 0.016, scale)
    ring = np.clip(0.5 + (0.11 - np.abs(radius - 0.27)) * period * scale, 0, 1) * gap
    patch = np.clip(0.5 + (0.25 - radius) * period * scale, 0, 1)
    cloth = blend(_plain(x, y, colours), 0.72 * colours[0], patch)
    return blend(cloth, colours[1], ring)


def lace(x, y, scale, colours, rng) -> np.ndarray:
    """A net with a lining below: holes are a second tone, no openings. Solid medallions stand in the net."""
    ground, lining = colours[0], colours[1]
    mesh = 0.0085
    a, b = ((x + s * y) / mesh for s in (1, -1))
    thread = np.minimum(np.abs(a % 1 - 0.5), np.abs(b % 1 - 0.5)) * mesh
    hole = 0.75 * np.clip(0.5 + (thread - 0.0016) * scale, 0, 1)
    period = rng.uniform(0.07, 0.10)
    row = np.floor(y / period)
    u, v = (x / period + row % 2 / 2) % 1 - 0.5, (y / period) % 1 - 0.5
    angle, radius = np.arctan2(v, u), np.hypot(u, v)
    petals = int(rng.integers(5, 9))
    outline = 0.30 + 0.09 * np.cos(petals * angle)
    solid = np.clip(0.5 + (outline - radius) * period * scale, 0, 1)
    vein = np.clip(0.5 + (0.013 - np.abs(radius - 0.7 * outline)) * period * scale, 0, 1)
    amount = hole * (1 - solid) + 0.8 * vein
    rim = np.clip(0.5 + (0.02 - np.abs(radius - outline)) * period * scale, 0, 1)
    return blend(blend(_plain(x, y, colours), lining, np.clip(amount, 0, 1)), 0.85 * ground + 0.1, rim)


def eyelet(x, y, scale, colours, rng) -> np.ndarray:
    """Embroidered rosettes of holes over a lining: holes are a darker tone inside a light rim, no openings."""
    ground, lining = colours[0], 0.6 * colours[1] + 0.1
    period = rng.uniform(0.05, 0.075)
    row = np.floor(y / period)
    u, v = ((x / period + row % 2 / 2) % 1 - 0.5) * period, ((y / period) % 1 - 0.5) * period
    angle, radius = np.arctan2(v, u), np.hypot(u, v)
    turn = (angle / (np.pi / 3)) % 1 - 0.5
    ring = 0.013
    distance = np.minimum(np.hypot(radius - ring, ring * turn * np.pi / 3), radius + 0.0005)
    hole = np.clip(0.5 + (0.0036 - distance) * scale, 0, 1)
    rim = np.clip(0.5 + (0.0016 - np.abs(distance - 0.0052)) * scale, 0, 1)
    return blend(blend(_plain(x, y, colours), 0.8 * ground + 0.2, 0.8 * rim), lining, hole)


def abstract(x, y, scale, colours, rng) -> np.ndarray:
    """Broad fields and brush strokes of paint."""
    size = (y.shape[0], x.shape[1])
    ground, accent, ink = colours
    cloth = _plain(x, y, colours)
    for _ in range(int(rng.integers(4, 7))):
        share = rng.dirichlet([0.6, 0.8, 0.6]).astype(np.float32)
        colour = np.clip(share[0] * ground + share[1] * accent + share[2] * ink + rng.normal(0, 0.12, 3), 0, 1)
        angle, at = rng.uniform(0, np.pi), rng.uniform(-0.3, 0.3)
        across = (x - x.mean()) * np.cos(angle) + (y - 0.35) * np.sin(angle) - at
        along = (y - 0.35) * np.cos(angle) - (x - x.mean()) * np.sin(angle)
        across = across + 0.05 * clouds(size, scale, 0.15, rng, 2)
        bristle = clouds((size[0], size[1]), scale, 0.01, rng) * 0.35
        width = rng.uniform(0.02, 0.09)
        stroke = np.clip(0.5 + (width - np.abs(across)) * scale * 0.3, 0, 1)
        stroke = stroke * np.clip((rng.uniform(0.1, 0.35) - np.abs(along)) * 30 + bristle, 0, 1)
        cloth = blend(cloth, colour, stroke * np.clip(0.9 + bristle, 0, 1))
    return cloth


def denim(x, y, scale, colours, rng) -> np.ndarray:
    """Twill of blue and white yarn: slanting lines, thick and thin yarns, worn patches."""
    size = (y.shape[0], x.shape[1])
    yarn = clouds((1, size[1]), scale, 0.004, rng) + 0.5 * clouds((size[0], 1), scale, 0.006, rng)
    twill = 0.6 * np.sin(2 * np.pi / 0.007 * (x + 0.6 * y))
    worn = np.clip(0.9 * clouds(size, scale, 0.22, rng, 2), 0, 1)
    amount = np.clip(0.06 + 0.05 * yarn + 0.05 * twill + 0.3 * worn, 0, 1)
    return blend(_plain(x, y, colours), (0.86, 0.88, 0.90), amount)


def weave(x, y, scale, colours, rng) -> np.ndarray:
    """Linen: yarns of uneven strength in both directions."""
    size = (y.shape[0], x.shape[1])
    yarn = clouds((1, size[1]), scale, 0.003, rng) + clouds((size[0], 1), scale, 0.003, rng)
    slub = np.clip(clouds((size[0], max(size[1] // 12, 1)), scale, 0.005, rng) - 0.45, 0, 1)
    slub = np.repeat(slub, 12, axis=1)[:, : size[1]]
    slub = np.pad(slub, ((0, 0), (0, size[1] - slub.shape[1])), mode="edge")
    return np.clip(_plain(x, y, colours) * (1 + 0.06 * yarn - 0.25 * slub)[..., None], 0, 1)


PATTERNS = {
    "tartan": tartan, "gingham": gingham, "tie-dye": tie_dye, "camouflage": camouflage, "zebra": zebra,
    "leopard": leopard, "lace": lace, "eyelet": eyelet, "abstract": abstract, "denim": denim, "weave": weave,
}  # fmt: skip
