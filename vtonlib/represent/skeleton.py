"""The coloured picture of body and hands that OpenPose draws and VITON-HD's networks take as input.

Drawn larger and reduced, so that thin bones are smooth at any size. The colours are a wheel of our own: every bone has
its hue, left and right differ. Networks trained on OpenPose's own pictures see other hues in pictures drawn here.

Convention: RGB, black background; joints are index coordinates (x, y). Needs NumPy and Pillow only.
"""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image, ImageDraw

from ..labels import BODY_25_LIMBS, HAND_LIMBS

# Strokes as a share of the picture's width: 9, 6 and 3 pixels at the 768 of VITON-HD.
LIMB_WIDTH, JOINT_RADIUS, FINGER_WIDTH = 9 / 768, 6 / 768, 3 / 768
LARGER = 4


def colour_wheel(count: int, brightness: float = 1.0) -> list[tuple[int, int, int]]:
    """`count` RGB colours (0..255) evenly round the hue circle."""
    wheel = (colorsys.hsv_to_rgb(index / count, 1.0, brightness) for index in range(count))
    return [tuple(round(255 * channel) for channel in colour) for colour in wheel]


LIMB_COLOURS = colour_wheel(len(BODY_25_LIMBS))
FINGER_COLOURS = colour_wheel(5, brightness=0.85)


def draw_skeleton(pose: np.ndarray, hands: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    """Body and hand bones in colour on black.

    pose (25,3) and hands (2,21,3) or None: x, y, confidence; size: height and width. Returns (H,W,3) uint8.
    A bone is drawn if both its ends have a confidence above 0, so bones that leave the picture are left out.

    Raises ValueError for wrong shapes and non-finite numbers.
    """
    pose = _checked("pose", pose, (25, 3))
    height, width = size
    picture = Image.new("RGB", (width * LARGER, height * LARGER))
    draw = ImageDraw.Draw(picture)
    _bones(draw, pose, BODY_25_LIMBS, LIMB_COLOURS, LIMB_WIDTH * width)
    for (_, end), colour in zip(BODY_25_LIMBS, LIMB_COLOURS):
        _joint(draw, pose[end], colour, JOINT_RADIUS * width)
    if hands is not None:
        colours = [FINGER_COLOURS[index // 4] for index in range(len(HAND_LIMBS))]
        for hand in _checked("hands", hands, (2, 21, 3)):
            _bones(draw, hand, HAND_LIMBS, colours, FINGER_WIDTH * width)
    return np.asarray(picture.reduce(LARGER))


def _checked(name: str, points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return points


def _bones(draw: ImageDraw.ImageDraw, points: np.ndarray, limbs, colours, width: float) -> None:
    for (start, end), colour in zip(limbs, colours):
        if points[start, 2] > 0 and points[end, 2] > 0:
            ends = (points[[start, end], :2] + 0.5) * LARGER - 0.5
            draw.line([tuple(xy) for xy in ends.tolist()], fill=colour, width=max(2, round(width * LARGER)))


def _joint(draw: ImageDraw.ImageDraw, point: np.ndarray, colour, radius: float) -> None:
    if point[2] > 0:
        x, y = ((point[:2] + 0.5) * LARGER - 0.5).tolist()
        radius = max(2.0, radius * LARGER)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
