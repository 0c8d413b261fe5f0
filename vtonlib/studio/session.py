"""One studio session: draw a person, photograph them, look for defects, and hand over the records.

A person is drawn once, and from there on everything is built as often as it changes and no more: the model once, a
garment and its in-shop pictures once, a pose once, draped clothes once a pose and garment, and from those any number of
views are photographed. The random streams of a picture hang on (seed, index, what for, numbers) only. The garment of a
person is drawn without the attempt, as other people try it on too.

Convention: a view is the angle in degrees by which the person is turned to their left, seen from the camera: 0 front,
90 the person's right side, 180 back. It is the camera and its lamps that go round; the person stays where they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from ..layouts.mvg import ANGLES
from ..represent import draw_skeleton
from ..sample import RawSample
from . import truth
from .accessories import draw_accessories
from .body import body_keypoints, body_pack, hand_keypoints
from .camera import Camera
from .layers import worn_attributes
from .outfits import Outfit, draw_outfit, draw_top, is_womens
from .people import Staging, draw_identity, draw_staging
from .photography import Photography, camera_for, draw_photography, photography_attributes
from .photography import take as take_photograph
from .presentation import summary
from .quality import Defects, find_defects
from .render import Passes, passes, passes_alone
from .scene import Dressed, Model, Posed, dress, pose_model
from .wardrobe import ShopPicture, Top

PERSON, GARMENT, STAGING, OUTFIT, PHOTOGRAPHY, FRAMING, ACCESSORIES = range(7)  # random streams
MOST_POSES, MOST_PEOPLE = 8, 3  # attempts at a pose of one person, and at a person, before giving up
POSES_A_PERSON = 3  # in the layout mpv


def stream(seed: int, index: int, what: int, *numbers: int) -> np.random.Generator:
    """The random stream of one purpose of one person."""
    return np.random.default_rng([seed, index, what, *numbers])


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


@dataclass(frozen=True)
class Take:
    """One exposure: the dressed person, the camera, the true passes, and the defects found in them.

    view: see the module's convention; shadow (H,W) bool: what throws a shadow on the wall behind.
    """

    dressed: Dressed
    camera: Camera
    passes: Passes
    hidden: np.ndarray
    defects: Defects
    staging: Staging
    photography: Photography
    view: float
    shadow: np.ndarray

    def photograph(self) -> np.ndarray:
        """The picture (H,W,3) uint8."""
        return take_photograph(
            self.dressed.scene, self.camera, self.photography, self.staging.seed, -self.view, self.shadow
        )

    def record(self, name: str, garment_name: str, shop: ShopPicture | None = None, **others) -> RawSample:
        """The record of this exposure.

        shop: the garment's in-shop pictures, without which there is no flow; others: further fields of the record.
        """
        body = self.dressed.body
        found = truth.keypoints(body_keypoints(body), hand_keypoints(body), self.camera, self.passes)
        pose, hands = (np.round(points, 3) for points in found)  # as files hold them: the skeleton is drawn from these
        if shop is not None:
            others = shop_fields(shop) | truth.garment_flows(self.passes, self.dressed.top, shop) | others
        return RawSample(
            name=name, garment_name=garment_name, image=self.photograph(), parse=self.passes.parse, pose=pose,
            hands=hands, skeleton=draw_skeleton(pose, hands, self.camera.size), depth=self.passes.depth,
            densepose=truth.densepose_image(self.passes), hidden=self.hidden, **others,
        )  # fmt: skip


def shop_fields(shop: ShopPicture) -> dict[str, np.ndarray]:
    """The in-shop pictures as fields of a record."""
    return {"cloth": shop.front, "cloth_mask": shop.mask, "cloth_back": shop.back, "cloth_back_mask": shop.back_mask}


@dataclass(frozen=True)
class Sitting:
    """One person who came to be photographed, in one outfit, before one backdrop.

    size: (height, width) of the pictures; seed, index, attempt: of the data set, of the person in it, and which draw of
    that person this is: what the random streams of poses and framings hang on.
    """

    model: Model
    outfit: Outfit
    photography: Photography
    size: tuple[int, int]
    seed: int = 0
    index: int = 0
    attempt: int = 0

    @classmethod
    def draw(cls, seed: int, index: int, size: tuple[int, int], look: str = "studio", attempt: int = 0) -> Sitting:
        """The person, outfit and photography of number `index`; look: one of photography.LOOKS."""
        womens = is_womens(draw_top(stream(seed, index, GARMENT)).cut)  # who owns a dress is a woman
        identity = draw_identity(stream(seed, index, PERSON, attempt), True if womens else None)
        outfit = draw_outfit(stream(seed, index, OUTFIT, attempt), identity.female)
        if look == "studio":  # in a catalogue the garment on sale is worn on top
            outfit = replace(outfit, jacket=None)
        photography = draw_photography(stream(seed, index, PHOTOGRAPHY, attempt), look)
        accessories = draw_accessories(stream(seed, index, ACCESSORIES, attempt), identity, look)
        return cls(
            Model(identity, texture_size(size), accessories), outfit, photography, tuple(size), seed, index, attempt
        )

    def framed(self, number: int) -> Photography:
        """The person's light and backdrop, with the framing of their picture `number`."""
        if number == 0:
            return self.photography
        drawn = draw_photography(stream(self.seed, self.index, FRAMING, self.attempt, number), self.photography.look)
        return replace(self.photography, framing=drawn.framing)

    def expose(
        self,
        dressed: Dressed,
        staging: Staging,
        photography: Photography,
        view: float,
        shadow: np.ndarray | None = None,
    ) -> Take:
        """Set up the camera and look for defects; the picture itself is taken later."""
        crown, feet = _extent(dressed.body)
        camera = camera_for(photography, crown, feet, self.size, -view)
        seen = passes(dressed.scene, camera)
        alone = passes_alone(dressed.scene, camera, seen, dressed.meshes.index(dressed.top))
        hidden = alone.mask & (seen.parse != dressed.top.label[0])
        defects = find_defects(seen, alone, dressed.top, dressed.body, dressed.tucked_at)
        shadow = seen.mask if shadow is None else shadow
        return Take(dressed, camera, seen, hidden, defects, staging, photography, view, shadow)

    def stage(
        self, number: int, tops: Sequence[Top], rejected: list[str], *, views: Sequence[float] | None = None,
        others: Sequence[str] = (),
    ) -> list[list[Take]] | None:  # fmt: skip
        """Draw poses until no view of the person in any of the tops has a defect: takes by view, then by top.

        number: of the picture; views: the angles, by default the one that is drawn with the pose; others: poses that
        are not wanted again. Adds "pose:defect" to `rejected` for every pose that was discarded; None if all were.
        """
        for attempt in range(MOST_POSES):
            rng = stream(self.seed, self.index, STAGING, self.attempt, number, attempt)
            staging = draw_staging(rng, others=others)
            takes = self.pose(staging, tops, views, number)
            if isinstance(takes, list):
                return takes
            rejected.append(f"{staging.pose}:{takes}")
        return None

    def pose(
        self, staging: Staging, tops: Sequence[Top], views: Sequence[float] | None = None, number: int = 0
    ) -> list[list[Take]] | str:
        """All takes of one pose, by view and then by top, or the name of the first defect; arguments as `stage`."""
        views = [staging.yaw] if views is None else views
        posed: Posed = pose_model(self.model, staging)
        photography = self.framed(number)
        takes: list[list[Take]] = [[] for _ in views]
        for top in tops:
            dressed = dress(self.model, top, self.outfit, posed)
            for view, row in zip(views, takes):
                # the same shadow whatever is worn: the truth in another garment differs in the garment alone
                row.append(self.expose(dressed, staging, photography, view, row[0].shadow if row else None))
                if row[-1].defects.kind is not None:
                    return row[-1].defects.kind
        return takes


def _extent(body: np.ndarray) -> tuple[float, float]:
    """Height (m) of the top of the head, whatever the hands do, and of the lowest point of the body."""
    head = body_pack().head_weight > 0.5
    return float(body[head, 2].max()), float(body[body_pack().body_ids, 2].min())


@dataclass(frozen=True)
class Album:
    """All pictures of one person: the records, for each the attributes that were drawn, and "pose:defect" of every
    pose that was discarded."""

    samples: tuple[RawSample, ...]
    attributes: tuple[dict, ...]
    rejected: tuple[str, ...]

    @property
    def photographs(self) -> int:
        """How many photographs of the person were rendered, the truths among them."""
        pictures = [record for sample in self.samples for record in (sample, sample.unpaired, sample.new_pose)]
        return sum(record is not None for record in pictures)


def shoot(
    seed: int, index: int, size: tuple[int, int], other: int | None = None, *, layout: str = "viton-hd",
    look: str = "studio",
) -> Album:  # fmt: skip
    """Photograph person `index` of data set `seed` at size (height, width), with every annotation.

    other: index of the person whose garment is tried on for the unpaired truth; with it comes, where the layout has one
    pose, the truth in a new pose. layout: "viton-hd" (one picture), "mpv" (three poses) or "mvg" (five views).
    While the check finds a defect, the pose is drawn again, up to eight times, then the person, up to three times.
    Raises RuntimeError if no attempt was good enough, ValueError for another layout.
    """
    sitting, garments, tops, rows, rejected = staged(seed, index, size, other, layout=layout, look=look)
    return _album(sitting, layout, garments, tops, rows, rejected)


def staged(
    seed: int, index: int, size: tuple[int, int], other: int | None = None, *, layout: str = "viton-hd",
    look: str = "studio",
):  # fmt: skip
    """What `shoot` photographs: the sitting, the garments' owners and tops, the rows of takes, what was rejected."""
    if layout not in _SERIES:
        raise ValueError(f"layout: expected one of {', '.join(_SERIES)}, got {layout!r}")
    detail, rejected = texture_detail(size), []
    garments = [index] if other is None else [index, other]
    tops = [top_of(seed, owner, detail) for owner in garments]
    for attempt in range(MOST_PEOPLE):
        sitting = Sitting.draw(seed, index, size, look, attempt)
        rows = _SERIES[layout](sitting, tops, rejected)
        if rows is not None:
            return sitting, garments, tops, rows, rejected
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(Counter(rejected).items()))
    raise RuntimeError(f"person {index} of seed {seed}: every attempt was rejected ({reasons})")


@dataclass(frozen=True)
class _Row:
    """One picture of the series: the takes in each garment, and in a new pose in the own one."""

    number: int
    takes: list[Take]
    new_pose: Take | None = None


def _one_pose(sitting: Sitting, tops: list[Top], rejected: list[str], views=None) -> list[_Row] | None:
    """Every view of one pose, and with a second garment, which test people have, every view of a new pose."""
    shown = sitting.stage(0, tops, rejected, views=views)
    if shown is None or len(tops) == 1:
        return shown and [_Row(number, takes) for number, takes in enumerate(shown)]
    again = sitting.stage(1, tops[:1], rejected, views=views, others=[shown[0][0].staging.pose])
    return again and [_Row(number, takes, new[0]) for number, (takes, new) in enumerate(zip(shown, again))]


def _many_poses(sitting: Sitting, tops: list[Top], rejected: list[str]) -> list[_Row] | None:
    rows: list[_Row] = []
    for number in range(POSES_A_PERSON):
        views = sitting.stage(number, tops, rejected, others=[row.takes[0].staging.pose for row in rows])
        if views is None:
            return None
        rows.append(_Row(number, views[0]))
    return rows


_SERIES = {"viton-hd": _one_pose, "mpv": _many_poses, "mvg": partial(_one_pose, views=ANGLES)}


def _album(sitting: Sitting, layout: str, garments, tops, rows: list[_Row], rejected: list[str]) -> Album:
    from .write import garment_name, picture_name

    names = [garment_name(layout, owner) for owner in garments]
    shops = [top.shop(sitting.size) for top in tops]
    samples, attributes = [], []
    for row in rows:
        name = picture_name(layout, sitting.index, row.number)
        truths = {}
        if len(tops) == 2:
            truths["unpaired"] = row.takes[1].record(name, names[1], shops[1])
        if row.new_pose is not None:
            truths["new_pose"] = row.new_pose.record(name, names[0], shops[0])
        samples.append(row.takes[0].record(name, names[0], shops[0], **truths))
        attributes.append(_attributes(sitting, tops[0], row))
    return Album(tuple(samples), tuple(attributes), tuple(rejected))


def _attributes(sitting: Sitting, top: Top, row: _Row) -> dict:
    """What was drawn, as plain values for the manifest."""
    take, who, outfit, worn = row.takes[0], sitting.model.identity, sitting.outfit, sitting.model.accessories
    body = {name: round(getattr(who.phenotype, name), 3) for name in ("age", "weight", "muscle", "height")}
    return {
        "pose": take.staging.pose, "yaw": round(take.view, 2),
        "new_pose": row.new_pose.staging.pose if row.new_pose else "",
        **worn_attributes(top, outfit), "fabric": top.design.fabric, "bottom_fabric": outfit.bottom_fabric,
        "female": who.female, "skin_tone": round(who.tone, 2), **body,
        "smile": round(take.staging.expression.smile, 2), "beard": sitting.model.face.beard,
        "hair": who.hair_style, "hat": worn.hat, "glasses": worn.glasses,
        **summary(top.presentation), **photography_attributes(take.photography),
    }  # fmt: skip
