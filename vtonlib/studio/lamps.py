"""How people are lit: draws of lamps for the even light of a photo studio, and for sun, windows, bulbs and flashes.

Convention: lamps are placed for a camera at -y that looks at a person on the z axis; linear RGB.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .lighting import Light

CHEST = 1.2  # metres over the floor that lamps are pointed at
FRONTAL_LIGHT = 1.35  # light on a person at the exposure that a photographer sets, averaged over three directions


def tint(warmth: float) -> tuple[float, float, float]:
    """Colour of light of equal strength: warmth 1 is about a light bulb, -1 open shade, 0 daylight."""
    colour = np.exp([0.32 * warmth, 0.0, -0.5 * warmth])
    return tuple(float(value) for value in colour / (colour @ [0.3, 0.6, 0.1]))


def lamp_at(side: float, elevation: float, distance: float) -> tuple[float, float, float]:
    """A lamp in a direction seen from the person's chest: side in degrees to the right of the camera, elevation up."""
    side, elevation = np.deg2rad([side, elevation])
    level = distance * np.cos(elevation)
    return float(level * np.sin(side)), float(-level * np.cos(side)), float(CHEST + distance * np.sin(elevation))


def exposed(light: Light, target: float = FRONTAL_LIGHT) -> Light:
    """The same light at the strength for which a photographer sets the camera: an average over three directions."""
    total = 0.0
    for side, share in ((0.0, 0.5), (-50.0, 0.25), (50.0, 0.25)):
        normal = np.array(lamp_at(side, 0, 1)) - [0, 0, CHEST]
        for lamp, strength in ((light.key, light.key_strength), (light.fill, light.fill_strength)):
            towards = np.subtract(lamp, (0, 0, CHEST))
            total += share * strength * max(float(normal @ towards) / float(np.linalg.norm(towards)), 0.0)
    factor = target / (total + light.ambient * (1 - light.overhead))
    names = ("key_strength", "fill_strength", "ambient")
    return replace(light, **{name: getattr(light, name) * factor for name in names})


def draw_studio_light(rng: np.random.Generator) -> Light:
    """A large soft lamp in front, a weaker one on the other side, white walls, now and then a light from behind."""
    side = float(np.clip(rng.normal(0, 28), -60, 60))
    light = Light(
        key=lamp_at(side, rng.uniform(12, 45), rng.uniform(3.0, 4.5)),
        key_radius=float(np.exp(rng.uniform(np.log(0.08), np.log(1.1)))),
        key_strength=float(rng.uniform(0.6, 1.2)),
        fill=lamp_at(-np.sign(side) * rng.uniform(25, 60), rng.uniform(-5, 20), 3.2),
        fill_strength=float(rng.uniform(0.15, 0.5)),
        ambient=float(rng.uniform(0.4, 0.75)),
        rim=float(rng.uniform(0.15, 0.35)),
        back=lamp_at(rng.choice([-1, 1]) * rng.uniform(120, 160), rng.uniform(15, 40), 3.0),
        back_strength=float(rng.uniform(0.2, 0.6)) if rng.random() < 0.3 else 0.0,
    )
    return exposed(light)


@dataclass(frozen=True)
class Lighting:
    """A kind of light in wild pictures: ranges to draw from.

    share: how often; side, elevation (degrees), distance, radius (m) and strength of the key light; fill: strength;
    ambient: strength; overhead: how much more of it comes from above; key_warmth, warmth: colours of key and ambient
    light (see `tint`); behind: how often there is a light from behind too.
    """

    share: float
    side: tuple[float, float]
    elevation: tuple[float, float]
    distance: float
    radius: tuple[float, float]
    strength: tuple[float, float]
    fill: float
    ambient: tuple[float, float]
    overhead: float
    key_warmth: tuple[float, float]
    warmth: tuple[float, float]
    behind: float


WILD_LIGHTS = {
    "sun": Lighting(
        0.20, side=(-110, 110), elevation=(20, 65), distance=12.0, radius=(0.1, 0.6), strength=(1.2, 2.4), fill=0.1,
        ambient=(0.3, 0.7), overhead=0.35, key_warmth=(0.0, 0.5), warmth=(-0.5, 0.0), behind=0.2,
    ),
    "overcast": Lighting(
        0.20, side=(-60, 60), elevation=(40, 75), distance=6.0, radius=(1.5, 2.5), strength=(0.3, 0.8), fill=0.05,
        ambient=(0.6, 1.0), overhead=0.4, key_warmth=(-0.3, 0.1), warmth=(-0.4, 0.1), behind=0.1,
    ),
    "window": Lighting(
        0.22, side=(-100, 100), elevation=(0, 30), distance=3.0, radius=(0.4, 1.0), strength=(0.8, 1.6), fill=0.15,
        ambient=(0.2, 0.55), overhead=0.1, key_warmth=(-0.5, 0.2), warmth=(-0.1, 0.7), behind=0.2,
    ),
    "lamps": Lighting(
        0.14, side=(-80, 80), elevation=(25, 80), distance=2.6, radius=(0.1, 0.5), strength=(0.6, 1.4), fill=0.35,
        ambient=(0.25, 0.6), overhead=0.2, key_warmth=(0.3, 1.2), warmth=(0.2, 1.0), behind=0.4,
    ),
    "flash": Lighting(
        0.10, side=(-12, 12), elevation=(2, 20), distance=2.5, radius=(0.02, 0.1), strength=(1.2, 1.9), fill=0.05,
        ambient=(0.15, 0.4), overhead=0.1, key_warmth=(-0.2, 0.1), warmth=(-0.2, 0.9), behind=0.1,
    ),
    "behind": Lighting(
        0.14, side=(-70, 70), elevation=(10, 50), distance=5.0, radius=(0.5, 1.5), strength=(0.2, 0.6), fill=0.1,
        ambient=(0.5, 0.9), overhead=0.25, key_warmth=(-0.4, 0.4), warmth=(-0.4, 0.3), behind=1.0,
    ),
}  # fmt: skip


def draw_wild_light(rng: np.random.Generator) -> tuple[str, Light]:
    """The name of a kind of light in WILD_LIGHTS, and the lamps."""
    names = tuple(WILD_LIGHTS)
    name = names[int(rng.choice(len(names), p=[kind.share for kind in WILD_LIGHTS.values()]))]
    kind = WILD_LIGHTS[name]
    side = rng.uniform(*kind.side)
    light = Light(
        key=lamp_at(side, rng.uniform(*kind.elevation), kind.distance),
        key_radius=float(rng.uniform(*kind.radius)),
        key_strength=float(rng.uniform(*kind.strength)),
        fill=lamp_at(-np.sign(side) * rng.uniform(20, 90), rng.uniform(-10, 30), 3.0),
        fill_strength=float(kind.fill * rng.uniform(0.3, 1.5)),
        ambient=float(rng.uniform(*kind.ambient)),
        rim=float(rng.uniform(0.1, 0.35)),
        key_colour=tint(rng.uniform(*kind.key_warmth)),
        fill_colour=tint(rng.uniform(*kind.key_warmth)),
        ambient_colour=tint(rng.uniform(*kind.warmth)),
        overhead=float(kind.overhead * rng.uniform(0.4, 1.2)),
        back=lamp_at(rng.choice([-1, 1]) * rng.uniform(110, 170), rng.uniform(10, 55), 4.0),
        back_strength=float(rng.uniform(0.6, 2.2)) if rng.random() < kind.behind else 0.0,
        back_colour=tint(rng.uniform(-0.4, 0.9)),
    )
    return name, exposed(light)
