"""From one photograph to every annotation: the preprocessing steps of try-on in one call.

    sample = annotate("me.jpg", "shirt.jpg")                       # a TryOnSample of 1024x768
    annotator = Annotator.load()                                   # once, for many photographs
    annotated = annotator("me.jpg", garment)                       # .sample and .report

1. Find the person: parse and pose of the whole photograph, reduced (`people.py`).
2. Choose the picture: a window around the person in the aspect that is wanted, padded where the photograph ends, never
   squashed (`framing.py`). The parser looks at the window, and if the person turns out to be somewhere else in it, the
   window is moved. Other people are painted grey for the networks, never in the picture itself.
3. Annotate the picture: pose with hands, human parsing, DensePose, the skeleton, and of a garment its mask.

The agnostic pictures need no step of their own: `vtonlib.represent` draws them from these.

Convention: pictures are RGB; keypoints are index coordinates of the picture; the padding repeats the border of the
photograph, its labels are background, and no keypoint in it counts as seen.
"""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data import Fit
from ..represent import skeleton_picture
from ..sample import Garment, TryOnSample
from . import SIZE
from .framing import Window, frame, overlap, padded, resized, whole
from .people import Found, NobodyFound, body_warnings, cut_edges, find_person, missing_parts, people_warnings
from .photo import Photo, as_photo, name_of
from .report import Report

Picture = str | Path | np.ndarray | Tensor

LOOK = 448  # longer side in pixels of the picture in which the person is looked for
LOOKS = 2  # how often the window may be moved
SAME = 0.85  # overlap of two windows from which on they are taken as the same
LEAST_GARMENT = 0.01  # of the picture


class PhotographWarning(UserWarning):
    """Something in a photograph makes its annotations doubtful."""


@dataclass(frozen=True, kw_only=True)
class Annotated:
    """What an `Annotator` gives: the sample, and the report on how it came about."""

    sample: TryOnSample
    report: Report


@dataclass(frozen=True, kw_only=True)
class Annotator:
    """The networks of all steps, ready to annotate photographs.

    pose(picture) -> (pose (B,25,3), hands (B,2,21,3)); parser(picture) -> (B,H,W) LIP-20, given `pose` too if it has an
    argument of that name; densepose(picture) -> (B,3,H,W) part, u, v; masker(picture) -> (B,1,H,W) in [0,1], None where
    no garment will come. Each takes pictures (B,3,H,W) in [-1,1] of any size and answers at that size.
    size: height and width of the samples.
    """

    pose: Callable[[Tensor], tuple[Tensor, Tensor]]
    parser: Callable[..., Tensor]
    densepose: Callable[[Tensor], Tensor]
    masker: Callable[[Tensor], Tensor] | None = None
    size: tuple[int, int] = SIZE

    @classmethod
    def load(
        cls,
        *,
        size: tuple[int, int] = SIZE,
        device: str | torch.device = "cpu",
        backend: str | None = "unet",
        hips: str = "studio",
    ) -> Annotator:
        """The course's networks. backend: of the garment mask, see `load_garment_mask`; None leaves that step out.
        hips: "studio", where the course's systems expect them, or "openpose", for networks trained on its keypoints.

        Raises ValueError for an unknown backend or hips, and FileNotFoundError, saying which command makes it, for a
        weights file that is not there.
        """
        from ..training import resolve_device
        from .densepose import load_densepose
        from .parsing import load_parser
        from .pose import load_pose

        device = resolve_device(device)
        masker = None
        if backend is not None:
            from .garment_mask import load_garment_mask

            masker = load_garment_mask(backend=backend, device=device)
        networks = {"pose": load_pose(device=device, hips=hips), "parser": load_parser(device=device)}
        return cls(**networks, densepose=load_densepose(device=device), masker=masker, size=size)

    @torch.no_grad()
    def __call__(
        self,
        photo: Picture,
        garment: Picture | Garment | None = None,
        *,
        name: str | None = None,
        size: tuple[int, int] | None = None,
        crop: bool = True,
    ) -> Annotated:
        """Annotate one photograph; see `annotate` for the arguments and what is raised."""
        size, clock = _checked_size(self.size if size is None else size), Clock()
        with clock("read"):
            read = as_photo(photo)
        with clock("find"):
            found, window = self._choose(read.pixels, size, crop)
        picture = window.picture(read.pixels)
        others = window.mask(_grown(found.others, ~found.mask))
        fields = self._steps(picture, others, window, clock)
        sample = TryOnSample(
            name=name or name_of(photo, "photo"), person=_tensor(picture), padding=window.fit.padding, **fields
        )
        with clock("skeleton"):
            sample = replace(sample, skeleton=skeleton_picture(sample) * 2 - 1)
        report = _report(read, sample, found, window)
        if garment is not None:
            with clock("garment"):
                given = garment if isinstance(garment, Garment) else self.garment(garment, size=size)
            if tuple(given.image.shape[-2:]) != size or given.mask is None:
                raise ValueError(f"garment {given.name!r}: expected a picture of {size} and its mask")
            sample = replace(sample, garment=given)
        return Annotated(sample=sample, report=replace(report, seconds=clock.seconds))

    @torch.no_grad()
    def garment(self, picture: Picture, *, name: str | None = None, size: tuple[int, int] | None = None) -> Garment:
        """A garment as the shop shows it, with its mask, fitted into `size` on white.

        Raises what `as_photo` raises, and ValueError without a masker or where it finds nothing in the picture.
        """
        if self.masker is None:
            raise ValueError("garment: this annotator was made without a network for garment masks (masker=None)")
        size, name = _checked_size(self.size if size is None else size), name or name_of(picture, "garment")
        pixels = as_photo(picture, "garment").pixels
        fit = Fit.of(pixels.shape[:2], size)
        inside = resized(pixels, fit)
        mask = _expect("masker", self.masker(_tensor(inside)[None]), (1, 1, *fit.inner)) >= 0.5
        share = float(mask.float().mean())
        if share < LEAST_GARMENT:
            raise ValueError(f"garment {name!r}: expected a garment, found one in {100 * share:.2g} % of the picture")
        mask = padded(mask[0, 0].cpu().numpy(), fit, False)
        return Garment(name=name, image=_tensor(padded(inside, fit, 255)), mask=torch.from_numpy(mask).float()[None])

    def _choose(self, pixels: np.ndarray, size: tuple[int, int], crop: bool) -> tuple[Found, Window]:
        """The person in the whole photograph, and the window that becomes the picture."""
        photo = pixels.shape[:2]
        look = whole(photo, _look_size(photo))
        seen = _tensor(look.picture(pixels))[None]
        pose = self._pose(seen)[0]
        found = find_person(self._parse(seen, pose), pose)
        if not crop:
            return found, whole(photo, size)
        window = frame(look.back(found.box), photo, size)
        for _ in range(LOOKS):
            better = self._look_again(pixels, found, window, size)
            if better is None or overlap(better.box, window.box) >= SAME:
                break
            window = better
        return found, window

    def _look_again(self, pixels: np.ndarray, found: Found, window: Window, size: tuple[int, int]) -> Window | None:
        """The window that a closer look would choose; None if it is the whole photograph, or shows less of a person."""
        photo = pixels.shape[:2]
        if all(window.at_edge.values()):
            return None
        left, top, right, bottom = window.box
        look = Window.of(window.box, photo, _look_size((bottom - top, right - left)))
        hidden = look.mask(_grown(found.others, ~found.mask))
        seen = _tensor(np.where(hidden[..., None], np.uint8(128), look.picture(pixels)))[None]
        pose = self._pose(seen)[0]
        try:
            closer = find_person(np.where(hidden, 0, self._parse(seen, pose)), pose)
        except NobodyFound:
            return None  # the steps on the picture itself will say so
        return frame(look.back(closer.box), photo, size)

    def _steps(self, picture: np.ndarray, others: np.ndarray, window: Window, clock: Clock) -> dict[str, Tensor]:
        """The annotations of a picture (H,W,3) uint8; others (H,W) bool: what the networks are not shown."""
        left, top, right, bottom = window.inner
        inside = np.where(others[..., None], np.uint8(128), picture)[top:bottom, left:right]
        seen, hidden = _tensor(inside)[None], others[top:bottom, left:right]
        with clock("pose"):
            pose, hands = self._pose(seen)
        with clock("parse"):
            parse = np.where(hidden, 0, self._parse(seen, pose))
        with clock("densepose"):
            densepose = _expect("densepose", self.densepose(seen), (1, *seen.shape[1:]))[0].cpu().float()
        densepose = torch.where(torch.from_numpy(hidden), 0.0, densepose)
        padding = (left, picture.shape[1] - right, top, picture.shape[0] - bottom)
        moved = [_moved(points, left, top) for points in (pose, hands)]
        return {
            "pose": torch.from_numpy(moved[0]),
            "hands": torch.from_numpy(moved[1]),
            "parse": torch.from_numpy(padded(parse, window.fit, 0)),
            "densepose": torch.nn.functional.pad(densepose, padding),
        }

    def _pose(self, seen: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Pose (25,3) and hands (2,21,3) of one picture (1,3,H,W); what lies outside counts as not seen."""
        pose, hands = self.pose(seen)
        points = []
        for name, values, shape in (("pose", pose, (1, 25, 3)), ("hands", hands, (1, 2, 21, 3))):
            one = _expect(name, values, shape)[0].cpu().float().numpy().copy()
            if not np.isfinite(one).all():
                raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
            x, y = one[..., 0], one[..., 1]
            outside = (x < -0.5) | (y < -0.5) | (x > seen.shape[3] - 0.5) | (y > seen.shape[2] - 0.5)
            one[outside, 2] = 0
            points.append(one)
        return points[0], points[1]

    def _parse(self, seen: Tensor, pose: np.ndarray) -> np.ndarray:
        """Labels (H,W) int64 of one picture (1,3,H,W)."""
        told = {"pose": torch.from_numpy(pose)[None]} if _takes_pose(self.parser) else {}
        parse = _expect("parser", self.parser(seen, **told), (1, *seen.shape[2:]))[0].cpu().numpy()
        return parse.astype(np.int64)


class Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start


def annotate(
    photo: Picture,
    garment: Picture | Garment | None = None,
    *,
    size: tuple[int, int] = SIZE,
    annotator: Annotator | None = None,
    name: str | None = None,
    crop: bool = True,
    device: str | torch.device = "cpu",
    backend: str = "unet",
) -> TryOnSample:
    """One photograph, and a garment if there is one, as a `TryOnSample` with every annotation.

    photo, garment: path, array (H,W,3) uint8 RGB or tensor (3,H,W) in [-1,1], of any size; a garment may be a `Garment`
    of this size with its mask. size: height and width of the sample. annotator: loaded once for many photographs; its
    own size doesn't matter here. name: of the sample; by default of the file. crop: False takes the whole photograph,
    padded to the aspect, instead of a window around the person. device, backend: of the networks that are loaded
    without an annotator (backend: of the garment mask).

    Everything that makes the annotations doubtful (several people, a body that is cut off) is a `PhotographWarning`.
    Raises NobodyFound; DamagedFile or FileNotFoundError for a file that is no photograph; ValueError for other
    arguments; FileNotFoundError where weights are missing, saying which command makes them.
    """
    if annotator is None:
        annotator = Annotator.load(size=size, device=device, backend=None if _done(garment) else backend)
    annotated = annotator(photo, garment, name=name, size=size, crop=crop)
    for sentence in annotated.report.warnings:
        warnings.warn(f"{annotated.sample.name}: {sentence}", PhotographWarning, stacklevel=2)
    return annotated.sample


def _done(garment: Picture | Garment | None) -> bool:
    return garment is None or isinstance(garment, Garment)


def _report(read: Photo, sample: TryOnSample, found: Found, window: Window) -> Report:
    """The report of a sample, without its seconds. Raises NobodyFound if the picture shows nobody after all."""
    parse, pose = sample.parse.numpy(), sample.pose.numpy()
    person = find_person(parse, pose)
    missing, cut = missing_parts(parse, pose), cut_edges(person.mask, window.inner, window.at_edge)
    return Report(
        name=sample.name,
        photo=read.pixels.shape[:2],
        window=window.box,
        size=sample.size,
        padding=sample.padding,
        people=max(found.people, person.people),
        joints=int((pose[:, 2] > 0).sum()),
        hand_points=int((sample.hands[..., 2] > 0).sum()),
        missing=missing,
        cut=cut,
        notes=read.notes,
        warnings=(*people_warnings(found), *body_warnings(missing, cut)),
    )


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    if len(size) != 2 or not all(isinstance(side, int) and side >= 32 for side in size):
        raise ValueError(f"size: expected (height, width) in whole pixels from 32 on, got {size!r}")
    return tuple(size)


def _look_size(photo: tuple[int, int]) -> tuple[int, int]:
    """The photograph's size, its longer side LOOK at most."""
    scale = min(1.0, LOOK / max(photo))
    return tuple(max(1, round(side * scale)) for side in photo)


def _grown(mask: np.ndarray, within: np.ndarray) -> np.ndarray:
    """A mask and what is around it by a fiftieth of the picture, where `within` allows it."""
    if not mask.any():
        return mask
    from scipy import ndimage

    return ndimage.binary_dilation(mask, np.ones((3, 3), bool), iterations=max(1, max(mask.shape) // 50)) & within


def _moved(points: np.ndarray, left: int, top: int) -> np.ndarray:
    """Points (...,3) moved by the padding; a missing one, (0, 0), stays where it is."""
    there = (points[..., :2] != 0).any(-1, keepdims=True)
    return np.concatenate([points[..., :2] + there * np.float32([left, top]), points[..., 2:]], -1)


def _tensor(pixels: np.ndarray) -> Tensor:
    """(H,W,3) uint8 -> (3,H,W) float32 in [-1,1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 127.5 - 1


def _expect(name: str, value: Tensor, shape: tuple[int, ...]) -> Tensor:
    if tuple(value.shape) != shape:
        raise ValueError(f"{name}: expected a result of shape {shape}, got {tuple(value.shape)}")
    return value


def _takes_pose(parser: Callable[..., Tensor]) -> bool:
    return "pose" in inspect.signature(parser).parameters
