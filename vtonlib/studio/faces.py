"""How faces differ and how they move: linear shapes added to a rest body about the head.

The body model alone gives one face for each age, sex and ancestry. `data/face.npz` (CC0 shape targets of MakeHuman,
made by `tools/build_face_pack.py`) holds axes of identity (nose, jaw, eyes, lips, ears, skull: IDENTITY_AXES) and of
expression (smile, brows, lids). Both are displacements of the vertices of `body.npz`, so keypoints, hair and whatever
else hangs on those vertices follows.

Convention: metres in the rest pose, z up, the person faces -y and has their left at +x. Weights have no unit: +-1 is
what an artist made as the extreme of a shape.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files

import numpy as np

from .body import Phenotype, RestBody, body_pack, rotation

PACK_SHA256 = "69e71ac092ddf6f0ecbc6edb3f9951b6bc9ee83ff128b49c8446697740d16186"
# Shapes of the whole head, of which a face has one: they need no opposite and are drawn from 0 up.
OUTLINES = tuple(
    f"head-{name}" for name in ("oval", "round", "rectangular", "square", "triangular", "invertedtriangular", "diamond")
)
# Standard deviation of an axis's weight where it is not USUAL: large shapes of the skull move far for little.
USUAL = 0.34
SPREAD = {
    "head-scale-horiz": 0.16, "head-scale-vert": 0.13, "head-scale-depth": 0.25, "head-back-scale-depth": 0.12,
    "head-age": 0.25, "head-angle-out": 0.08, "forehead-nubian": 0.05, "forehead-scale-vert": 0.09,
    "forehead-trans-forward": 0.18, "eyebrows-trans-forward": 0.22, "eyebrows-angle-up": 0.25, "nose-scale-vert": 0.28,
    "nose-scale-depth": 0.24, "nose-point-up": 0.24, "mouth-trans-up": 0.16, "mouth-trans-forward": 0.16,
    "mouth-angles-up": 0.2, "chin-height": 0.17, "chin-prominent": 0.2, "chin-prognathism": 0.18, "chin-bones": 0.24,
    "chin-jaw-drop": 0.25, "ears-scale": 0.2, "ears-wing": 0.25, "ears-trans-up": 0.08, "eyes-corner1-up": 0.25,
}  # fmt: skip
# What the body model's faces lack on average: their lids hang low and their mouths are narrow.
MEAN = {"eyes-scale": 0.25, "eyes-height2": 0.25, "mouth-scale-horiz": 0.2, "mouth-angles-up": 0.12}
BEHIND_LIPS = 0.002  # metres that teeth are set back, so that they never come through closed lips
LIMIT = 0.95  # the largest weight of an axis


@dataclass(frozen=True, kw_only=True)
class Expression:
    """What a face does in one picture. Weights in [0,1], 0 at rest; gaze in degrees, to the person's left and up.

    Raises ValueError for a weight outside [0,1] or a gaze beyond 35 degrees.
    """

    smile: float = 0.0
    stretch: float = 0.0
    open: float = 0.0
    part: float = 0.0
    sulk: float = 0.0
    purse: float = 0.0
    press: float = 0.0
    brows_up: float = 0.0
    brows_inner_up: float = 0.0
    brows_down: float = 0.0
    lids_closed: float = 0.0
    squint: float = 0.0
    lids_wide: float = 0.0
    gaze_left: float = 0.0
    gaze_up: float = 0.0

    def __post_init__(self):
        for field in fields(self):
            value, gaze = getattr(self, field.name), field.name.startswith("gaze")
            low, high = (-35, 35) if gaze else (0, 1)
            if not low <= value <= high:
                raise ValueError(f"Expression.{field.name}: expected {low} to {high}, got {value}")

    @property
    def opens_lips(self) -> bool:
        """Whether teeth may be seen."""
        return self.open > 0 or self.part > 0


NEUTRAL = Expression()


@dataclass(frozen=True)
class FacePack:
    """Shapes of M vertices: vertices (M,) numbers in body.npz; identity (A,M,3) and expression (E,M,3) float32 metres
    at weight 1, with their names. Upper teeth: places (T,3) and triangles, and the body vertices about the mouth,
    anchors (N,) with their anchor_places (N,3), in the same frame, that the teeth go with."""

    vertices: np.ndarray
    identity: np.ndarray
    identity_names: tuple[str, ...]
    expression: np.ndarray
    expression_names: tuple[str, ...]
    teeth: np.ndarray
    teeth_faces: np.ndarray
    anchors: np.ndarray
    anchor_places: np.ndarray


@lru_cache(maxsize=1)
def face_pack() -> FacePack:
    """The pack shipped with the package, read once. Raises ValueError if the file's SHA-256 is not the recorded one."""
    content = (files(__package__) / "data" / "face.npz").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != PACK_SHA256:
        raise ValueError(f"vtonlib/studio/data/face.npz: expected SHA-256 {PACK_SHA256}, got {digest}")
    with np.load(io.BytesIO(content), allow_pickle=False) as raw:
        return FacePack(
            raw["vertices"].astype(np.int64),
            raw["identity"].astype(np.float32),
            tuple(raw["identity_names"].tolist()),
            raw["expression"].astype(np.float32),
            tuple(raw["expression_names"].tolist()),
            raw["teeth"],
            raw["teeth_faces"].astype(np.int32),
            raw["teeth_anchors"].astype(np.int64),
            raw["teeth_anchor_places"],
        )


def draw_face_shape(rng: np.random.Generator, phenotype: Phenotype) -> tuple[float, ...]:
    """Weights of a face, in the order of face_pack().identity_names.

    Every axis is drawn on its own; a full face and a double chin go with the body's weight, sagging with age.
    """
    pack = face_pack()
    mean, spread = (np.array([table.get(name, usual) for name in pack.identity_names])
                    for table, usual in ((MEAN, 0.0), (SPREAD, USUAL)))  # fmt: skip
    weights = np.clip(rng.normal(mean, spread), -LIMIT, LIMIT)
    index = {name: number for number, name in enumerate(pack.identity_names)}
    weights[[index[name] for name in OUTLINES]] = 0
    outline = OUTLINES[int(rng.integers(len(OUTLINES)))]
    weights[index[outline]] = rng.uniform(0, 0.5)
    heavy, old = phenotype.weight - 0.5, (phenotype.age - 0.66) / 0.2
    weights[index["head-fat"]] = np.clip(0.6 * weights[index["head-fat"]] + 0.8 * heavy, -0.5, 0.9)
    weights[index["head-age"]] = np.clip(0.6 * weights[index["head-age"]] + 0.6 * old, -0.4, 0.9)
    weights[index["neck-double"]] = np.clip(rng.normal(0.9 * heavy, 0.15), 0, 0.8)
    weights[index["eyes-bag"]] = np.clip(0.5 * weights[index["eyes-bag"]] + 0.4 * old, -0.5, LIMIT)
    return tuple(float(value) for value in weights)


def shaped(rest: RestBody, weights: tuple[float, ...]) -> RestBody:
    """A rest body with a face of its own; () leaves it as it is.

    Raises ValueError if the number of weights is not the pack's number of identity axes.
    """
    if len(weights) == 0:
        return rest
    pack = face_pack()
    if len(weights) != len(pack.identity):
        raise ValueError(f"shaped: expected {len(pack.identity)} weights of a face, got {len(weights)}")
    moved = rest.vertices.copy()
    moved[pack.vertices] += np.einsum("a,amx->mx", np.asarray(weights, np.float32), pack.identity)
    return RestBody(moved, rest.heads)


def express(rest: RestBody, expression: Expression) -> RestBody:
    """A rest body that makes a face: lips, brows and lids moved, eyeballs turned towards the gaze.

    Its vertices alone change; shaders go on painting by the positions of `rest`, so that irises turn with the eyes.
    """
    if expression == NEUTRAL:
        return rest
    pack, moved = face_pack(), rest.vertices.copy()
    weights = np.array([getattr(expression, name) for name in pack.expression_names], np.float32)
    active = np.flatnonzero(weights)
    if len(active):
        moved[pack.vertices] += np.einsum("a,amx->mx", weights[active], pack.expression[active])
    turn = rotation([0, 0, np.deg2rad(expression.gaze_left)]) @ rotation([-np.deg2rad(expression.gaze_up), 0, 0])
    for eye in np.split(body_pack().eye_ids, 2):
        eyeball = moved[eye]
        centre = (eyeball.max(0) + eyeball.min(0)) / 2
        moved[eye] = centre + (eyeball - centre) @ turn.T.astype(np.float32)
    return RestBody(moved, rest.heads)


def place_teeth(rest: RestBody) -> np.ndarray:
    """The upper teeth (T,3) in a rest body: moved by the affine map that best takes the region of the mouth there."""
    pack = face_pack()
    places = np.column_stack([pack.anchor_places, np.ones(len(pack.anchors))])
    affine = np.linalg.lstsq(places, rest.vertices[pack.anchors].astype(np.float64), rcond=None)[0]
    teeth = np.column_stack([pack.teeth, np.ones(len(pack.teeth))]) @ affine
    return (teeth + (0, BEHIND_LIPS, 0)).astype(np.float32)


def draw_expression(rng: np.random.Generator) -> Expression:
    """A face before a camera: calm, smiling or, more seldom, of another mood; eyes mostly on the camera."""
    kind = float(rng.random())
    strength = float(rng.uniform(0.3, 1.0))
    blink, brows = float(rng.random()), float(rng.normal(0, 0.35))
    gaze = rng.normal(0, (9, 4) if rng.random() < 0.35 else (2, 1.5))
    mood = {}
    if kind < 0.25:  # lips closed
        mood = {"smile": 0.55 * strength, "squint": 0.3 * strength}
    elif kind < 0.42:  # teeth
        mood = {"smile": 0.4 + 0.4 * strength, "part": 0.3 * strength, "squint": 0.4 * strength}
        mood["open"] = 0.12 * strength
    elif kind < 0.50:
        mood = {"sulk": 0.6 * strength, "brows_down": 0.5 * strength}
    elif kind < 0.57:
        mood = {"part": 0.35 * strength}
    elif kind < 0.63:
        mood = {"purse": 0.35 * strength} if strength > 0.65 else {"press": 0.8 * strength}
    if brows > 0.25:
        mood["brows_up"] = min(brows, 1.0)
    elif brows < -0.35:
        mood["brows_down"] = min(-brows, 0.8)
    if blink < 0.02:
        mood |= {"lids_closed": 1.0, "squint": 0.0}
    elif blink < 0.10:
        mood |= {"lids_closed": 0.2, "squint": 0.0}
    left, up = np.clip(gaze, -22, 22)
    return Expression(**mood, gaze_left=float(left), gaze_up=float(np.clip(up, -10, 10)))
