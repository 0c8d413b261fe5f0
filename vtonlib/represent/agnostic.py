"""Erasing the garment: person-agnostic parse maps and pictures, drawn from the body joints.

What a try-on network may see of a person must not give away what he or she wears, or it would learn to copy it. So the
label map loses the top, the neck and a generous band around both arms; the photograph is painted grey there.

Sources: VITON-HD (Choi et al. 2021, section 3.1 and appendix) and HR-VITON (Lee et al. 2022). Their constants are
pixels at a width of 768; here they scale with width / 768, so that at 768 the result is the papers' to the pixel.

Convention: joints are index coordinates (x, y) in the order BODY_25. A joint at exactly (0, 0) is missing, as in
OpenPose files, and every stroke that needs it is left out. A joint outside the picture is used: its strokes reach in.
Convention: masks are 1 (True) on what was erased.

This module needs NumPy and Pillow only (the studio's worker processes read it).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from ..labels import BODY_25_INDEX, HEAD_LABELS, LIP_INDEX, LOWER_LABELS, TOP_LABELS

PAPER_WIDTH = 768
GREY = 128
STYLES = ("viton-hd", "hr-viton")
# HR-VITON measures its strokes in r = shoulder width / 16; without both shoulders, r of a person of usual size.
USUAL_HR_RADIUS = 15

NECK, RIGHT_HIP, LEFT_HIP = (BODY_25_INDEX[name] for name in ("neck", "right-hip", "left-hip"))
RIGHT_ARM = tuple(BODY_25_INDEX[f"right-{joint}"] for joint in ("shoulder", "elbow", "wrist"))
LEFT_ARM = tuple(BODY_25_INDEX[f"left-{joint}"] for joint in ("shoulder", "elbow", "wrist"))
RIGHT_SHOULDER, LEFT_SHOULDER = RIGHT_ARM[0], LEFT_ARM[0]
FACE_LABELS = tuple(label for label in HEAD_LABELS if label in (LIP_INDEX["sunglasses"], LIP_INDEX["face"]))


class Strokes:
    """A black mask on which strokes between body joints are drawn in white; strokes with a missing joint are skipped.

    joints (K,2) float: index coordinates; size: height and width.
    """

    def __init__(self, joints: np.ndarray, size: tuple[int, int]):
        self.joints = joints
        self._image = Image.new("L", (size[1], size[0]), 0)
        self._draw = ImageDraw.Draw(self._image)

    def has(self, *indices: int) -> bool:
        return bool((self.joints[list(indices)] != 0).any(axis=1).all())

    def _points(self, indices) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in self.joints[list(indices)]]

    def line(self, start: int, end: int, width: float) -> None:
        if self.has(start, end):
            self._draw.line(self._points((start, end)), fill=255, width=max(1, round(width)))

    def ellipse(self, joint: int, radius_x: float, radius_y: float | None = None) -> None:
        if self.has(joint):
            (x, y), radius_y = self._points((joint,))[0], radius_x if radius_y is None else radius_y
            self._draw.ellipse((x - radius_x, y - radius_y, x + radius_x, y + radius_y), fill=255)

    def rectangle(self, joint: int, left: float, top: float, right: float, bottom: float) -> None:
        if self.has(joint):
            x, y = self._points((joint,))[0]
            self._draw.rectangle((x + left, y + top, x + right, y + bottom), fill=255)

    def polygon(self, *indices: int) -> None:
        if self.has(*indices):
            self._draw.polygon(self._points(indices), fill=255)

    @property
    def mask(self) -> np.ndarray:
        return np.asarray(self._image) > 0


def _joints(pose: np.ndarray) -> np.ndarray:
    pose = np.asarray(pose)
    if pose.shape != (25, 3):
        raise ValueError(f"pose: expected shape (25, 3), x, y, confidence in the order BODY_25, got {pose.shape}")
    if not np.isfinite(pose).all():
        raise ValueError("pose: expected finite numbers, got NaN or infinity")
    return pose[:, :2].astype(np.float64)


def _check_parse(parse: np.ndarray) -> np.ndarray:
    parse = np.asarray(parse)
    if parse.ndim != 2:
        raise ValueError(f"parse: expected label indices of shape (H, W), got shape {parse.shape}")
    return parse


def draw_parse_agnostic(parse: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Label map without the top, the neck and the arms; hands beyond the wrists stay.

    parse (H,W) uint8 LIP-20 (10 = neck); pose (25,3) x, y, confidence. Returns (H,W) uint8.

    Each arm is walked from the opposite shoulder over its own shoulder and elbow to the wrist: lines 100 wide, discs of
    radius 150 where they end and 40 at the wrist (at width 768); the arm's label becomes background under them. Then
    labels 5, 6, 7 (top) and 10 (neck) become background. A walk steps over missing joints.

    Raises ValueError for wrong shapes and non-finite joints. Source: VITON-HD, S_a.
    """
    parse, joints = _check_parse(parse), _joints(pose)
    scale, agnostic = parse.shape[1] / PAPER_WIDTH, parse.copy()
    walks = (("left-arm", (RIGHT_SHOULDER, *LEFT_ARM)), ("right-arm", (LEFT_SHOULDER, *RIGHT_ARM)))
    for label, walk in walks:
        strokes, previous = Strokes(joints, parse.shape), walk[0]
        for joint in walk[1:]:
            if not strokes.has(previous, joint):
                continue
            strokes.line(previous, joint, 100 * scale)
            strokes.ellipse(joint, (40 if joint == walk[-1] else 150) * scale)
            previous = joint
        agnostic[strokes.mask & (parse == LIP_INDEX[label])] = 0
    agnostic[np.isin(parse, (*TOP_LABELS, LIP_INDEX["neck"]))] = 0
    return agnostic


def draw_human_agnostic(
    image: np.ndarray, parse: np.ndarray, pose: np.ndarray, style: str = "viton-hd"
) -> tuple[np.ndarray, np.ndarray]:
    """Photograph with torso, neck and arms painted grey (128), and the mask of what was painted.

    image (H,W,3) uint8 RGB; parse (H,W) uint8 LIP-20; pose (25,3). Returns agnostic (H,W,3) uint8 and mask (H,W) bool.

    style "viton-hd" paints strokes of fixed width; "hr-viton" measures them by the shoulders and keeps the hands. Both
    keep face, sunglasses and everything below the top. Hair is not kept where a stroke crosses it.

    Raises ValueError for an unknown style, wrong shapes, non-finite joints.
    """
    if np.shape(image) != (*np.shape(parse), 3):
        raise ValueError(f"image: expected shape {(*np.shape(parse), 3)} to go with parse, got {np.shape(image)}")
    mask = erased(parse, pose, style)
    return np.where(mask[..., None], np.uint8(GREY), image), mask


def erased(parse: np.ndarray, pose: np.ndarray, style: str = "viton-hd", *, keep_lower: bool = True) -> np.ndarray:
    """Mask (H,W) bool of what `draw_human_agnostic` paints grey; arguments and errors as there.

    keep_lower: trousers, skirt, legs and shoes are never erased, as in the papers. That shows where the old top ended;
    without it the strokes over the hips hide the hem too (not in the papers).
    """
    if style not in STYLES:
        raise ValueError(f"style: expected one of {STYLES}, got {style!r}")
    parse, joints = _check_parse(parse), _joints(pose)
    joints = widen_hips(joints)
    mask = (_viton_hd_mask if style == "viton-hd" else _hr_viton_mask)(parse, joints)
    return mask & ~np.isin(parse, FACE_LABELS + LOWER_LABELS if keep_lower else FACE_LABELS)


def _present(joints: np.ndarray, *indices: int) -> bool:
    return bool((joints[list(indices)] != 0).any(axis=1).all())


def widen_hips(joints: np.ndarray) -> np.ndarray:
    """Hips moved about their middle until they are as far apart as the shoulders; unchanged where one is missing."""
    if not _present(joints, RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP):
        return joints
    hips, shoulders = joints[[RIGHT_HIP, LEFT_HIP]], joints[[RIGHT_SHOULDER, LEFT_SHOULDER]]
    apart = np.linalg.norm(hips[1] - hips[0])
    if apart == 0:
        return joints
    middle, wide = hips.mean(axis=0), joints.copy()
    wide[[RIGHT_HIP, LEFT_HIP]] = middle + (hips - middle) / apart * np.linalg.norm(shoulders[1] - shoulders[0])
    return wide


def _torso(strokes: Strokes, r: float) -> None:
    for hip in (RIGHT_HIP, LEFT_HIP):
        strokes.ellipse(hip, 3 * r, 6 * r)
    strokes.line(RIGHT_SHOULDER, RIGHT_HIP, 6 * r)
    strokes.line(LEFT_SHOULDER, LEFT_HIP, 6 * r)
    strokes.line(RIGHT_HIP, LEFT_HIP, 12 * r)
    strokes.polygon(RIGHT_SHOULDER, LEFT_SHOULDER, LEFT_HIP, RIGHT_HIP)


def _arm(strokes: Strokes, arm: tuple[int, ...], r: float) -> None:
    for start, end in pairwise(arm):
        if strokes.has(start, end):
            strokes.line(start, end, 10 * r)
            strokes.ellipse(end, 5 * r)


def _viton_hd_mask(parse: np.ndarray, joints: np.ndarray) -> np.ndarray:
    strokes, r = Strokes(joints, parse.shape), 20 * parse.shape[1] / PAPER_WIDTH
    strokes.line(RIGHT_SHOULDER, LEFT_SHOULDER, 10 * r)
    for arm in (RIGHT_ARM, LEFT_ARM):
        strokes.ellipse(arm[0], 5 * r)
        _arm(strokes, arm, r)
    _torso(strokes, r)
    strokes.rectangle(NECK, -7 * r, -7 * r, 7 * r, 7 * r)
    return strokes.mask


def _hr_viton_mask(parse: np.ndarray, joints: np.ndarray) -> np.ndarray:
    scale = parse.shape[1] / PAPER_WIDTH
    r = USUAL_HR_RADIUS * scale
    if _present(joints, RIGHT_SHOULDER, LEFT_SHOULDER):
        shoulders = np.linalg.norm(joints[LEFT_SHOULDER] - joints[RIGHT_SHOULDER])
        r = (int(shoulders / scale / 16) + 1) * scale
    strokes = Strokes(joints, parse.shape)
    _torso(strokes, r)
    strokes.rectangle(NECK, -5 * r, -9 * r, 5 * r, 0)
    strokes.line(RIGHT_SHOULDER, LEFT_SHOULDER, 12 * r)
    for arm in (RIGHT_ARM, LEFT_ARM):
        strokes.ellipse(arm[0], 5 * r, 6 * r)
        _arm(strokes, arm, r)
    return strokes.mask & ~_hands(parse, joints, r)


def _hands(parse: np.ndarray, joints: np.ndarray, r: float) -> np.ndarray:
    """Pixels labelled arm beyond the wrists: outside the strokes along the arm and a disc of 4 r at the wrist."""
    hands = np.zeros(parse.shape, bool)
    for label, arm in (("left-arm", LEFT_ARM), ("right-arm", RIGHT_ARM)):
        shoulder, elbow, wrist = arm
        strokes = Strokes(joints, parse.shape)
        strokes.ellipse(shoulder, 5 * r, 6 * r)
        strokes.line(shoulder, elbow, 10 * r)
        if strokes.has(shoulder, elbow):
            strokes.ellipse(elbow, 5 * r)
        if strokes.has(elbow, wrist):
            strokes.line(elbow, wrist, 10 * r)
            strokes.ellipse(wrist, 4 * r)
        hands |= (parse == LIP_INDEX[label]) & ~strokes.mask
    return hands
