"""Everything about one picture that is not the person: backdrop, lamps, camera, and what lens, sensor and file do.

Two looks. "studio": a catalogue photograph as in the public try-on data sets: even light, white, grey or beige paper, a
level camera, crop from above the crown to about mid-thigh. "wild": a photograph that anybody may take anywhere.

Convention: world coordinates in metres, z up; the person stands on the z axis and looks to -y. azimuth in degrees is
how far the photographer, with backdrop and lamps, has gone round the person: counter-clockwise seen from above, so that
at 90 the person's left side is seen. Pictures are (H,W,3) uint8 sRGB, row 0 on top.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from .backdrop import Backdrop, draw_backdrop, drawing_size, enlarge, paint_backdrop
from .camera import Camera
from .lamps import draw_studio_light, draw_wild_light, tint
from .lighting import Light, about_vertical, decode_srgb, encode_srgb, shoulder
from .mesh import Scene
from .render import render

LOOKS = ("studio", "wild")
NEAREST = 1.3  # metres from the camera to the person, at least: nearer, faces and hands are out of proportion
REFERENCE_ROWS = 256.0  # blur is in pixels of a picture this high


@dataclass(frozen=True)
class Framing:
    """Where the camera stands and what it frames.

    fov: vertical field of view in degrees; bottom: lower edge of the picture as a share of the height from feet (0) to
    crown (1); headroom: metres from crown to upper edge; tilt: degrees that the camera looks down; offset: metres that
    it stands to the right.
    """

    fov: float
    bottom: float
    headroom: float
    tilt: float
    offset: float


@dataclass(frozen=True)
class Photography:
    """How a picture is taken.

    look: one of LOOKS; lighting: name of the kind of light, for the manifest; backdrop_level: light on the backdrop,
    relative to the person; exposure: factor on all light; white_balance: gains of red, green, blue in linear light.
    Optics: grain, standard deviation in sRGB [0,1]; blur, standard deviation in pixels of a picture of 256 rows;
    vignette: light lost in the corners, [0,1]; jpeg: quality of the file, 100 for none.
    """

    look: str
    backdrop: Backdrop
    lighting: str
    light: Light
    backdrop_level: float
    exposure: float
    white_balance: tuple[float, float, float]
    framing: Framing
    grain: float
    blur: float
    vignette: float
    jpeg: int


def draw_photography(rng: np.random.Generator, look: str) -> Photography:
    """How a picture of a look, "studio" or "wild", is taken. Raises ValueError for any other look."""
    if look not in LOOKS:
        raise ValueError(f"draw_photography: look must be one of {', '.join(LOOKS)}, got {look!r}")
    return _draw_studio(rng) if look == "studio" else _draw_wild(rng)


def _clipped(rng: np.random.Generator, mean: float, spread: float, low: float, high: float) -> float:
    return float(np.clip(rng.normal(mean, spread), low, high))


def _draw_studio(rng: np.random.Generator) -> Photography:
    backdrop = draw_backdrop(rng, "studio")
    return Photography(
        look="studio",
        backdrop=backdrop,
        lighting="soft",
        light=draw_studio_light(rng),
        backdrop_level=float(rng.uniform(0.92, 1.08)),
        exposure=float(2 ** _clipped(rng, 0, 0.13, -0.3, 0.3)),
        white_balance=tint(_clipped(rng, 0, 0.045, -0.12, 0.12)),
        framing=Framing(
            fov=float(rng.uniform(14, 26)),
            bottom=_clipped(rng, 0.415, 0.045, 0.28, 0.53),
            headroom=_clipped(rng, 0.06, 0.03, 0.02, 0.15),
            tilt=_clipped(rng, 0, 2.0, -5, 5),
            offset=_clipped(rng, 0, 0.025, -0.07, 0.07),
        ),
        grain=float(rng.uniform(0.002, 0.008)),
        blur=float(rng.uniform(0.0, 0.45)),
        vignette=float(rng.uniform(0.0, 0.06)),
        jpeg=100,
    )


# How often wild pictures end where: share of the height from feet to crown at the lower edge.
WILD_CROPS = (
    (0.15, (0.56, 0.66)),
    (0.25, (0.45, 0.56)),
    (0.25, (0.33, 0.45)),
    (0.15, (0.18, 0.33)),
    (0.20, (-0.12, -0.02)),
)


def _draw_wild(rng: np.random.Generator) -> Photography:
    backdrop = draw_backdrop(rng, "wild")
    lighting, light = draw_wild_light(rng)
    bottom = WILD_CROPS[int(rng.choice(len(WILD_CROPS), p=[share for share, _ in WILD_CROPS]))][1]
    cast = np.mean([light.key_colour, light.ambient_colour], axis=0) ** -rng.uniform(0.3, 1.0)  # automatic balance
    return Photography(
        look="wild",
        backdrop=backdrop,
        lighting=lighting,
        light=light,
        backdrop_level=float(2 ** (rng.normal(0, 0.4) + (0.6 if lighting == "behind" else 0))),
        exposure=float(2 ** _clipped(rng, -0.08, 0.42, -1.1, 0.7)),
        white_balance=tuple(float(gain) for gain in cast * tint(_clipped(rng, 0, 0.15, -0.35, 0.35))),
        framing=Framing(
            fov=float(np.exp(rng.uniform(np.log(15), np.log(50)))),
            bottom=float(rng.uniform(*bottom)),
            headroom=float(rng.choice([rng.uniform(0.0, 0.15), rng.uniform(0.1, 0.45)], p=[0.65, 0.35])),
            tilt=_clipped(rng, 1.5, 7, -18, 22),
            offset=_clipped(rng, 0, 0.07, -0.18, 0.18),
        ),
        grain=float(np.exp(rng.uniform(np.log(0.003), np.log(0.035)))),
        blur=float(rng.uniform(0.0, 0.6) if rng.random() < 0.75 else rng.uniform(0.6, 1.3)),
        vignette=float(rng.uniform(0.0, 0.3)),
        jpeg=int(rng.integers(40, 96)),
    )


def camera_for(
    photography: Photography, crown: float, feet: float, size: tuple[int, int], azimuth: float = 0.0
) -> Camera:
    """The camera that frames a person whose top of the head and soles are at heights crown and feet (m).

    On the person's axis the picture reaches exactly from the lower edge to the upper one, whatever tilt and field of
    view; the field of view gets smaller than asked for only to keep the camera 1.3 m away. Hands may leave the picture.
    Raises ValueError if crown is not above feet.
    """
    if not crown > feet:
        raise ValueError(f"camera_for: crown must be above feet, got crown={crown}, feet={feet}")
    framing = photography.framing
    top = crown + framing.headroom
    bottom = feet + framing.bottom * (crown - feet)
    tilt, half = np.deg2rad(framing.tilt), np.deg2rad(framing.fov) / 2
    reach = (top - bottom) / NEAREST  # of the two tangents below, at most: solved for the half angle
    half = min(half, (np.arctan(reach / 2) + np.arcsin(reach * np.cos(2 * tilt) / np.hypot(2, reach))) / 2)
    distance = (top - bottom) / (np.tan(half - tilt) + np.tan(half + tilt))
    height = top - distance * np.tan(half - tilt)
    eye = (framing.offset, -float(distance), float(height))
    target = (framing.offset, 0.0, float(height - distance * np.tan(tilt)))
    fov = float(np.rad2deg(2 * half))
    return Camera(about_vertical(eye, azimuth), about_vertical(target, azimuth), size, fov=fov)


def light_for(photography: Photography, azimuth: float = 0.0) -> Light:
    """The lamps, which go round the person with the camera."""
    return photography.light.turned(azimuth) if azimuth else photography.light


def backdrop_for(
    photography: Photography, camera: Camera, feet: float = 0.0, mask: np.ndarray | None = None
) -> np.ndarray:
    """The background (H,W,3) float32, linear after the tone curve, as `render` takes it.

    feet: height (m) of the floor. mask (H,W) bool, where the person is: they throw a shadow on a wall close behind.
    """
    picture = paint_backdrop(photography.backdrop, camera, feet)
    if mask is not None:
        picture = picture * (1 - _wall_shadow(photography, camera, mask)[..., None])
    light = photography.light
    tint = np.mean([light.key_colour, light.ambient_colour], axis=0)
    level = np.float32(photography.exposure * photography.backdrop_level)
    return enlarge(shoulder(picture * (level * tint).astype(np.float32)), camera.size)


def _wall_shadow(photography: Photography, camera: Camera, mask: np.ndarray) -> np.ndarray:
    """Light (h,w) in [0,1] that the person takes from a wall, at the size at which backdrops are drawn.

    The silhouette that the camera sees, moved and blurred as the key light demands: close to the truth while camera and
    lamp are on the same side.
    """
    light, wall = photography.light, photography.backdrop
    rows, columns = drawing_size(camera.size, wall.blur)
    if wall.kind not in SHADOWED or light.key[1] > -0.5 or wall.distance > 2.0:
        return np.zeros((rows, columns), np.float32)
    y, x = np.arange(rows) * mask.shape[0] // rows, np.arange(columns) * mask.shape[1] // columns
    shadow = mask[np.ix_(y, x)].astype(np.float32)
    pixel = (np.hypot(camera.eye[0], camera.eye[1]) + wall.distance) * 2 * camera.scale / rows
    right = -light.key[0] / -light.key[1] * wall.distance / pixel
    down = (light.key[2] - 1.2) / -light.key[1] * wall.distance / pixel
    penumbra = (0.03 + light.key_radius / -light.key[1] * wall.distance) / pixel
    shadow = ndimage.shift(shadow, (down, right), order=1, mode="nearest")
    for _ in range(3):
        shadow = ndimage.uniform_filter(shadow, int(2 * penumbra + 0.5) | 1, mode="nearest")
    share = light.key_strength / (light.key_strength + light.fill_strength + light.ambient)
    return np.float32(0.95 * share) * shadow


SHADOWED = ("white", "grey", "beige", "plaster", "masonry", "coloured", "dark")


def develop(picture: np.ndarray, photography: Photography, seed: int) -> np.ndarray:
    """What lens, sensor and file make of a picture (H,W,3) uint8: white balance, blur, vignette, grain, JPEG.

    seed: of the grain, which belongs to pixels: where two pictures are the same, so are they after this, but for the
    reach of the blur and, if photography.jpeg is under 100, the 8 or 16 pixels of a JPEG block. Returns (H,W,3) uint8.
    Raises ValueError for another type or shape.
    """
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"develop: picture must be (H,W,3) uint8, got {picture.shape} {picture.dtype}")
    height, width = picture.shape[:2]
    levels = decode_srgb(np.arange(256) / 255)
    gains = np.asarray(photography.white_balance, np.float32)
    table = encode_srgb(np.minimum(levels[:, None] * gains, 1)).astype(np.float32)
    value = np.stack([table[picture[..., channel], channel] for channel in range(3)], axis=2)
    sigma = photography.blur * height / REFERENCE_ROWS
    if sigma > 0.15:
        value = ndimage.gaussian_filter(value, (sigma, sigma, 0), truncate=3.0, mode="nearest")
    if photography.vignette > 0:
        y, x = (np.arange(height) + 0.5) / height - 0.5, (np.arange(width) + 0.5) / width - 0.5
        loss = photography.vignette * 2 * (y[:, None] ** 2 + x**2)
        value *= ((1 - loss) ** (1 / 2.2))[..., None].astype(np.float32)
    grain = np.random.default_rng([seed, 2]).standard_normal(value.shape, dtype=np.float32)
    value += grain * np.float32(photography.grain)
    result = (np.clip(value, 0, 1) * 255 + 0.5).astype(np.uint8)
    return result if photography.jpeg >= 100 else _through_file(result, photography.jpeg)


def _through_file(picture: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=quality)
    return np.array(Image.open(file).convert("RGB"))


def take(
    scene: Scene,
    camera: Camera,
    photography: Photography,
    seed: int,
    azimuth: float = 0.0,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """The finished photograph (H,W,3) uint8 of a scene, whose lowest point stands on the floor.

    camera: of `camera_for(photography, ..., azimuth)`; seed: of shadows and grain; mask (H,W) bool: the silhouette that
    throws a shadow on a wall close behind.
    """
    background = backdrop_for(photography, camera, float(scene.vertices[:, 2].min()), mask)
    picture = render(
        scene, camera, light=light_for(photography, azimuth), background=background, seed=seed, noise=0.0,
        exposure=photography.exposure,
    )  # fmt: skip
    return develop(picture, photography, seed)


def photography_attributes(photography: Photography) -> dict:
    """How the picture was taken, as plain values for a manifest."""
    framing = {name: round(value, 3) for name, value in asdict(photography.framing).items()}
    optics = {name: round(getattr(photography, name), 4) for name in ("exposure", "grain", "blur", "vignette", "jpeg")}
    named = {"look": photography.look, "backdrop": photography.backdrop.kind, "lighting": photography.lighting}
    return named | framing | optics
