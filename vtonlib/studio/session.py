"""One studio session: draw a person, photograph them, look for defects, and hand over the record.

The random streams of a sample hang on (seed, index, what for, attempt) only. The garment of a person is drawn without
the attempt, as other people try it on too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..represent import draw_skeleton
from ..sample import RawSample
from . import truth
from .body import body_keypoints, body_pack, hand_keypoints
from .camera import Camera
from .people import Identity, Outfit, Staging, draw_identity, draw_outfit, draw_staging, draw_top
from .quality import TOP, Defects, find_defects
from .render import Passes, passes, render, studio_background
from .scene import Dressed, Model, dress
from .wardrobe import Top

PERSON, GARMENT, STAGING, OUTFIT = range(4)  # random streams
MOST_ATTEMPTS = 8
FIELD_OF_VIEW = 18.0  # degrees, vertical
CROP = 1.04  # metres from 5 cm above the crown down to mid-thigh
NOISE = 0.006


def stream(seed: int, index: int, what: int, attempt: int = 0) -> np.random.Generator:
    """The random stream of one purpose of one sample."""
    return np.random.default_rng([seed, index, what, attempt])


@lru_cache(maxsize=4)
def top_of(seed: int, index: int, pixels_per_metre: int) -> Top:
    """The garment that belongs to person `index`."""
    return Top(draw_top(stream(seed, index, GARMENT)), pixels_per_metre)


def texture_detail(size: tuple[int, int]) -> int:
    """Pixels of fabric per metre that a picture of this size can show."""
    return 400 if size[0] <= 256 else 900


def texture_size(size: tuple[int, int]) -> int:
    """Side of the skin texture for a picture of this size."""
    return 512 if size[0] <= 256 else 1024 if size[0] <= 512 else 2048


def camera_for(crown: float, size: tuple[int, int]) -> Camera:
    """A three-quarter portrait hanging from 5 cm above the crown (m), so that a raised arm shrinks nobody."""
    middle = crown + 0.05 - CROP / 2
    distance = CROP / 2 / np.tan(np.deg2rad(FIELD_OF_VIEW / 2))
    return Camera(eye=(0, -distance, middle), target=(0, 0, middle), size=size, fov=FIELD_OF_VIEW)


@dataclass(frozen=True)
class Take:
    """One exposure: the dressed person, the camera, the true passes, and the defects found in them."""

    dressed: Dressed
    camera: Camera
    passes: Passes
    hidden: np.ndarray
    defects: Defects
    staging: Staging

    def photograph(self) -> np.ndarray:
        """The picture (H,W,3) uint8 before a grey wall."""
        wall = studio_background(self.camera.size, np.random.default_rng([self.staging.seed, 0]))
        return render(self.dressed.scene, self.camera, background=wall, seed=self.staging.seed, noise=NOISE)

    def record(self, name: str, garment_name: str, shop=None, unpaired: RawSample | None = None) -> RawSample:
        """The record of this exposure. shop: the garment's in-shop pictures, without which there is no flow."""
        pose, hands = truth.keypoints(
            body_keypoints(self.dressed.body), hand_keypoints(self.dressed.body), self.camera, self.passes
        )
        pictures = {}
        if shop is not None:
            flow = truth.garment_flow(self.passes, self.passes.parse == TOP, shop.passes, shop.camera)
            pictures = {
                "cloth": shop.front, "cloth_mask": shop.mask, "cloth_back": shop.back,
                "cloth_back_mask": shop.back_mask, "flow": flow, "hidden": self.hidden,
            }  # fmt: skip
        return RawSample(
            name=name, garment_name=garment_name, image=self.photograph(), parse=self.passes.parse, pose=pose,
            hands=hands, skeleton=draw_skeleton(pose, hands, self.camera.size),
            densepose=truth.densepose_image(self.passes), unpaired=unpaired, **pictures,
        )  # fmt: skip


def expose(model: Model, top: Top, outfit: Outfit, staging: Staging, size: tuple[int, int]) -> Take:
    """Dress and pose the model before the camera and look for defects; the picture itself is taken later."""
    dressed = dress(model, top, outfit, staging)
    camera = camera_for(_crown(dressed.body), size)
    seen, alone = passes(dressed.scene, camera), passes(dressed.top_alone, camera)
    hidden = alone.mask & (seen.parse != TOP)
    return Take(dressed, camera, seen, hidden, find_defects(seen, alone, dressed.top, dressed.body), staging)


def _crown(body: np.ndarray) -> float:
    """Height (m) of the top of the head, whatever the hands do."""
    head = body_pack().head_weight > 0.5
    return float(body[head, 2].max())


def shoot(seed: int, index: int, size: tuple[int, int], other: int | None = None) -> tuple[RawSample, dict]:
    """Photograph person `index` of data set `seed` at size (height, width), with every annotation.

    other: index of the person whose garment is tried on for the unpaired truth. Draws person and pose again, up to
    eight times, while the check finds a defect; returns the sample and the attributes that were drawn. Raises
    RuntimeError if no attempt was good enough.
    """
    from .write import sample_name

    detail = texture_detail(size)
    worn = top_of(seed, index, detail)
    tried = None if other is None else top_of(seed, other, detail)
    rejected = []
    for attempt in range(MOST_ATTEMPTS):
        identity = draw_identity(stream(seed, index, PERSON, attempt))
        outfit = draw_outfit(stream(seed, index, OUTFIT, attempt), identity.female)
        staging = draw_staging(stream(seed, index, STAGING, attempt))
        model = Model(identity, texture_size(size))
        take, take_other = expose(model, worn, outfit, staging, size), None
        defect = take.defects.kind
        if defect is None and tried is not None:
            take_other = expose(model, tried, outfit, staging, size)
            defect = take_other.defects.kind
        if defect is None:
            break
        rejected.append(f"{staging.pose}:{defect}")
    else:
        raise RuntimeError(f"{sample_name(index)}: all {MOST_ATTEMPTS} attempts were rejected ({', '.join(rejected)})")
    shop = worn.shop(size)
    unpaired = None
    if take_other is not None:
        unpaired = take_other.record(sample_name(index), sample_name(other))
    sample = take.record(sample_name(index), sample_name(index), shop, unpaired)
    return sample, _attributes(identity, worn, outfit, staging, rejected)


def _attributes(identity: Identity, top: Top, outfit: Outfit, staging: Staging, rejected: list[str]) -> dict:
    """What was drawn, as plain values for the manifest."""
    return {
        "cut": top.design.cut.name, "fabric": top.design.fabric, "bottom": outfit.bottom.name, "pose": staging.pose,
        "yaw": round(staging.yaw, 2), "female": identity.female, "skin_tone": round(identity.tone, 2),
        "weight": round(identity.phenotype.weight, 3), "hair": identity.hair_style, "rejected": rejected,
    }  # fmt: skip
