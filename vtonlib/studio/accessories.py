"""What people wear on head and wrists: glasses, hats, earrings, watches.

`wear` builds the things once a person, on the rest body; `accessory_meshes` moves them with the bones that they sit on.
Hair under a hat is pressed to the skull (`press_hair`). Nothing drawn is transparent: clear glasses are rims alone.

Labels (LIP-20): hats 1, sunglasses 4. Rims of clear glasses count as face (13): they cover a pixel or two, the label
is named after sunglasses, and VITON-HD merges both into its group "face". Earrings are face, watches arm.

Convention: metres on the rest body, z up, the person faces -y; azimuth and polar angle as in `vtonlib.studio.hair`.
Colours are sRGB.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..labels import ARM_LABELS, LIP_INDEX
from .accessory_parts import dome, glossy_shader, knit_shader, lens, ring_on, tube
from .body import RestBody, apply_transform, body_pack
from .hair import Hair, head_centre, head_points
from .hair_parts import Piece, join
from .hats import HATS, hat_edge, hat_pieces
from .mesh import Mesh, Shader
from .people import Identity
from .skin import Colour

GLASSES = ("round", "square", "aviator")
# Share of people who wear them, by look.
GLASSES_SHARE, HAT_SHARE = {"studio": 0.06, "wild": 0.15}, {"studio": 0.04, "wild": 0.12}
SUNGLASSES_SHARE = {"studio": 0.25, "wild": 0.5}  # of those with glasses
FRAME_COLOURS = ((0.05, 0.05, 0.05), (0.25, 0.14, 0.07), (0.70, 0.58, 0.30), (0.60, 0.60, 0.62), (0.40, 0.08, 0.10))
HAT_COLOURS = (
    (0.07, 0.07, 0.08), (0.13, 0.17, 0.30), (0.55, 0.52, 0.48), (0.85, 0.82, 0.75), (0.45, 0.10, 0.12),
    (0.60, 0.42, 0.15), (0.22, 0.30, 0.22), (0.75, 0.60, 0.42), (0.80, 0.55, 0.60),
)  # fmt: skip
METALS = ((0.80, 0.66, 0.30), (0.75, 0.75, 0.77))
PRESSED = 0.005  # metres that hair under a hat keeps
RELEASED = 14.0  # degrees below the hat's edge over which hair regains its volume


@dataclass(frozen=True)
class Accessories:
    """What one person wears. glasses: "" or one of GLASSES; dark: they are sunglasses; hat: "" or one of HATS;
    earrings: radius in metres, 0 none; watch: "", "left" or "right"; seed: of a hat's own shape."""

    glasses: str = ""
    dark: bool = False
    frame: Colour = FRAME_COLOURS[0]
    hat: str = ""
    hat_colour: Colour = HAT_COLOURS[0]
    earrings: float = 0.0
    watch: str = ""
    metal: Colour = METALS[0]
    seed: int = 0

    def __post_init__(self):
        for name, options in (("glasses", GLASSES), ("hat", tuple(HATS)), ("watch", ("left", "right"))):
            value = getattr(self, name)
            if value and value not in options:
                raise ValueError(f"Accessories.{name}: expected '' or one of {', '.join(options)}, got {value!r}")


NOTHING = Accessories()


@dataclass(frozen=True)
class Worn:
    """One thing on the rest body: its piece, shader, label, and the bone that it moves with."""

    piece: Piece
    shader: Shader
    label: int
    bone: str


def draw_accessories(rng: np.random.Generator, identity: Identity, look: str = "studio") -> Accessories:
    """What a person wears, by the shares of a look ("studio" or "wild"). Raises ValueError for another look."""
    if look not in HAT_SHARE:
        raise ValueError(f"draw_accessories: look must be one of {', '.join(HAT_SHARE)}, got {look!r}")
    chance = rng.random(5)
    big = identity.hair_style in ("afro", "bun", "curly")  # no hat fits over these
    hat = _pick(rng, tuple(HATS))
    return Accessories(
        glasses=_pick(rng, GLASSES) if chance[0] < GLASSES_SHARE[look] else "",
        dark=bool(chance[1] < SUNGLASSES_SHARE[look]),
        frame=_pick(rng, FRAME_COLOURS),
        hat=hat if chance[2] < HAT_SHARE[look] and not big else "",
        hat_colour=_pick(rng, HAT_COLOURS),
        earrings=float(_pick(rng, (0.003, 0.004, 0.011, 0.018))) if identity.female and chance[3] < 0.35 else 0.0,
        watch=_pick(rng, ("left", "left", "right")) if chance[4] < 0.15 else "",
        metal=_pick(rng, METALS),
        seed=int(rng.integers(1 << 16)),
    )


def _pick(rng: np.random.Generator, options):
    return options[int(rng.integers(len(options)))]


def wear(accessories: Accessories, rest: RestBody) -> tuple[Worn, ...]:
    """The things on a person's rest body, to be built once a person."""
    things = []
    if accessories.glasses:
        things += _glasses(accessories, rest)
    if accessories.hat:
        pieces = hat_pieces(accessories.hat, rest, accessories.seed)
        knitted = HATS[accessories.hat].knitted
        shader = knit_shader(accessories.hat_colour, accessories.seed, ribs=knitted)
        things.append(Worn(join(pieces), shader, LIP_INDEX["hat"], "head"))
    if accessories.earrings:
        things.append(
            Worn(
                _earrings(rest, accessories.earrings),
                glossy_shader(accessories.metal, metal=True),
                LIP_INDEX["face"],
                "head",
            )
        )
    if accessories.watch:
        things += _watch(accessories, rest)
    return tuple(things)


def accessory_meshes(worn: tuple[Worn, ...], transforms: np.ndarray) -> list[Mesh]:
    """Meshes of what is worn (`wear`), moved by the bone transforms (104,4,4) of a pose."""
    pack, meshes = body_pack(), []
    for thing in worn:
        piece = thing.piece
        side = piece.vertices[:, 0] > 0
        part = np.where(side, 24, 23) if thing.bone == "head" else np.where(side, 21, 22)
        meshes.append(Mesh(
            apply_transform(transforms[pack.bone_index[thing.bone]], piece.vertices), piece.faces, thing.shader,
            thing.label, rest=piece.vertices, uv=piece.uv, densepose=part,
        ))  # fmt: skip
    return meshes


def press_hair(hair: Hair, accessories: Accessories, rest: RestBody) -> Hair:
    """The hair as it lies under the hat, if there is one: pressed to the skull, with its volume back below the edge."""
    if not accessories.hat:
        return hair
    centre, points = head_centre(rest), head_points(rest, "skull")
    offset = hair.rest - centre
    radius = np.linalg.norm(offset, axis=1)
    azimuth = np.degrees(np.arctan2(offset[:, 0], -offset[:, 1]))
    polar = np.degrees(np.arccos(np.clip(offset[:, 2] / np.maximum(radius, 1e-6), -1, 1)))
    row, column = np.clip(np.round(polar / 2), 0, 68).astype(int), np.round((azimuth + 180) / 3).astype(int) % 120
    skull = np.linalg.norm(points - centre, axis=2)[column, row]
    under = np.clip((hat_edge(accessories.hat, azimuth, accessories.seed) + RELEASED - polar) / RELEASED, 0, 1)
    fixed = hair.hang < 0.05
    pressed = np.minimum(radius, skull + PRESSED + 0.08 * (radius - skull) * (radius < skull + 0.03))
    radius_new = np.where(fixed, radius + under * (pressed - radius), radius)
    moved = (centre + offset * (radius_new / np.maximum(radius, 1e-6))[:, None]).astype(np.float32)
    return replace(hair, rest=moved)


def _glasses(accessories: Accessories, rest: RestBody) -> list[Worn]:
    """Rims, bridge and temples, and dark lenses if they are sunglasses."""
    eyes = rest.vertices[body_pack().eye_ids].reshape(2, -1, 3)
    middle = (eyes.max(1) + eyes.min(1)).mean(0) / 2
    head = rest.vertices[body_pack().body_ids][body_pack().head_weight[body_pack().body_ids] > 0.5]
    level = head[np.abs(head[:, 2] - middle[2]) < 0.008]
    bridge = level[np.abs(level[:, 0]) < 0.008, 1].min()
    front = min(bridge - 0.001, eyes[..., 1].min() - 0.013)
    temple = level[(level[:, 1] > middle[1] + 0.02) & (level[:, 1] < middle[1] + 0.07)]
    half_head = float(np.abs(temple[:, 0]).max())
    size = {"round": (0.0235, 0.0225, 2.0), "square": (0.0270, 0.0190, 3.4), "aviator": (0.0275, 0.0235, 2.5)}
    across, down, power = size[accessories.glasses]
    if accessories.dark:
        across, down = 1.08 * across, 1.12 * down
    radius = 0.0021 if accessories.glasses == "square" or accessories.dark else 0.0014
    x_eye = max(0.5 * float(np.ptp(eyes.mean(1)[:, 0])), across + 0.008)
    lenses, frame = [], []
    for sign in (1, -1):
        glass, rim = lens((sign * x_eye, front, middle[2] - 0.003), across, down, power)
        lenses.append(glass)
        frame.append(tube(rim, radius, closed=True))
        hinge = np.array(
            [sign * (x_eye + across), front + 6 * (x_eye + across - x_eye) ** 2 + 0.002, middle[2] + 0.006]
        )
        corner = np.array([sign * (half_head + 0.004), hinge[1] + 0.012, hinge[2]])
        ear = np.array([sign * (half_head + 0.004), middle[1] + 0.088, middle[2] + 0.004])
        hook = ear + (sign * -0.004, 0.018, -0.016)
        frame.append(tube(np.array([hinge, corner, ear, hook]), 1.1 * radius))
    inner = x_eye - across
    steps = np.linspace(-1, 1, 7)
    arch = np.stack([inner * steps, np.full(7, front - 0.001), middle[2] + 0.003 + 0.003 * (1 - steps**2)], axis=1)
    frame.append(tube(arch, radius))
    label = LIP_INDEX["sunglasses" if accessories.dark else "face"]
    metal = accessories.frame in FRAME_COLOURS[2:4]
    things = [Worn(join(frame), glossy_shader(accessories.frame, metal=metal), label, "head")]
    if accessories.dark:
        things.append(Worn(join(lenses), glossy_shader((0.09, 0.08, 0.08)), label, "head"))
    return things


def _earrings(rest: RestBody, radius: float) -> Piece:
    """A stud or a hoop at each ear lobe."""
    pack = body_pack()
    head = rest.vertices[pack.body_ids][pack.head_weight[pack.body_ids] > 0.5]
    eye = rest.vertices[pack.eye_ids].mean(0)
    pieces = []
    for sign in (1, -1):
        ear = head[
            (sign * head[:, 0] > 0.055) & (np.abs(head[:, 2] - eye[2] + 0.045) < 0.012) & (head[:, 1] > eye[1] + 0.06)
        ]
        lobe = ear[(sign * ear[:, 0]).argmax()] + (sign * 0.001, -0.002, 0)
        if radius < 0.006:
            pieces.append(dome(lobe, radius))
        else:
            turn = np.linspace(0, 2 * np.pi, 17)[:-1]
            hoop = lobe + radius * np.stack([0.15 * sign * np.sin(turn), np.sin(turn), np.cos(turn) - 1], axis=1)
            pieces.append(tube(hoop, 0.0012, closed=True))
    return join(pieces)


def _watch(accessories: Accessories, rest: RestBody) -> list[Worn]:
    """A strap around the wrist and a dial on its back."""
    side = "L" if accessories.watch == "left" else "R"
    label = ARM_LABELS[0 if side == "L" else 1]
    strap, dial = ring_on(rest, side)
    dark = glossy_shader((0.10, 0.08, 0.07) if accessories.seed % 2 else accessories.metal)
    bone = f"lowerarm02.{side}"
    return [Worn(strap, dark, label, bone), Worn(dial, glossy_shader(accessories.metal, metal=True), label, bone)]
