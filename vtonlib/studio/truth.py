"""Exact ground truth: what one more ray per pixel centre tells about a rendered photograph.

Everything here is read off the same geometry as the picture, so annotations have no error beyond the pixel grid.

Convention: results are index coordinates (first pixel centre at (0, 0)), as `vtonlib.sample` says; the camera's own
continuous coordinates are 0.5 larger.
"""

from __future__ import annotations

import numpy as np

from .camera import Camera
from .render import Passes

VISIBLE, OCCLUDED, OUTSIDE = 0.95, 0.35, 0.0  # confidences written for a keypoint
# How far (m) in front of a joint its own body surface may be: joints lie inside the body, finger joints hardly.
DEEP, FACE_DEEP, FINGER_DEEP = 0.12, 0.05, 0.02
SAME_POINT = 0.03  # m of fabric between a worn point and the in-shop point under its flow

# DensePose parts that may be seen where a BODY_25 keypoint is visible (limb parts carry over to the clothes on them).
_HEAD, _TORSO = (23, 24), (1, 2)
_RIGHT_ARM, _LEFT_ARM = (16, 18, 20, 22), (15, 17, 19, 21)
_RIGHT_LEG, _LEFT_LEG = (7, 9, 11, 13), (8, 10, 12, 14)
KEYPOINT_PARTS = (
    _HEAD, _TORSO + _HEAD, _TORSO + _RIGHT_ARM, _RIGHT_ARM, (*_RIGHT_ARM, 3), _TORSO + _LEFT_ARM, _LEFT_ARM,
    (*_LEFT_ARM, 4), _TORSO + _RIGHT_LEG + _LEFT_LEG, _TORSO + _RIGHT_LEG, _RIGHT_LEG, (*_RIGHT_LEG, 6),
    _TORSO + _LEFT_LEG, _LEFT_LEG, (*_LEFT_LEG, 5), _HEAD, _HEAD, _HEAD, _HEAD, (5,), (5,), (5,), (6,), (6,), (6,),
)  # fmt: skip


def project_keypoints(points: np.ndarray, camera: Camera, passes: Passes, parts: list, deep: np.ndarray) -> np.ndarray:
    """Project joints and say whether they are seen.

    points (K,3) metres; parts: for each the DensePose parts that count as its own; deep (K,) metres. Returns (K,3)
    float32: x, y in index coordinates and confidence: 0.95 visible, 0.35 hidden behind something, 0 outside.
    """
    xy, depth = camera.project(points)
    xy = xy - 0.5
    height, width = passes.mask.shape
    column, row = np.round(xy).astype(int).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = np.clip(column, 0, width - 1), np.clip(row, 0, height - 1)
    behind = depth - passes.depth[row, column]
    allowed = np.zeros((len(points), 25), bool)
    for index, own in enumerate(parts):
        allowed[index, list(own)] = True
    own_part = allowed[np.arange(len(points)), passes.densepose[row, column]]
    visible = inside & passes.mask[row, column] & own_part & (behind < deep) & (behind > -0.05)
    confidence = np.where(visible, VISIBLE, np.where(inside, OCCLUDED, OUTSIDE))
    return np.concatenate([xy, confidence[:, None]], axis=1).astype(np.float32)


def keypoints(body: np.ndarray, hands: np.ndarray, camera: Camera, passes: Passes) -> tuple[np.ndarray, np.ndarray]:
    """BODY_25 joints (25,3) and hand joints (2,21,3), both in metres -> pose (25,3) and hands (2,21,3), see above."""
    deep = np.full(25, DEEP)
    deep[[0, 15, 16]] = FACE_DEEP
    pose = project_keypoints(body, camera, passes, list(KEYPOINT_PARTS), deep)
    parts = [(4,)] * 21 + [(3,)] * 21
    for wrist, forearm in ((0, _LEFT_ARM), (21, _RIGHT_ARM)):
        parts[wrist] += forearm
    fingers = project_keypoints(hands.reshape(42, 3), camera, passes, parts, np.full(42, FINGER_DEEP))
    return pose, fingers.reshape(2, 21, 3)


def densepose_image(passes: Passes) -> np.ndarray:
    """Part index, U and V (times 255) as (H,W,3) uint8."""
    uv = np.where(passes.mask[..., None], passes.densepose_uv, 0)
    return np.dstack([passes.densepose, np.round(255 * np.clip(uv, 0, 1)).astype(np.uint8)]).astype(np.uint8)


def garment_flow(worn: Passes, garment: np.ndarray, shop: Passes, shop_camera: Camera) -> np.ndarray:
    """Flow worn -> in-shop (H,W,2) float32 in index coordinates (x, y), NaN where the point does not show in the shop.

    garment (H,W) bool: pixels of the worn garment. A point shows if the in-shop picture has, at the place where the
    fabric coordinates project to, the same side (front or back) and fabric coordinates within 3 cm.
    """
    height, width = garment.shape
    rows, columns = np.nonzero(garment)
    fabric = worn.uv[rows, columns]
    points = np.stack([fabric[:, 0], np.zeros(len(rows), fabric.dtype), fabric[:, 1]], 1)
    xy = shop_camera.project(points)[0] - 0.5
    shop_height, shop_width = shop.mask.shape
    x = np.clip(np.round(xy[:, 0]), 0, shop_width - 1).astype(int)
    y = np.clip(np.round(xy[:, 1]), 0, shop_height - 1).astype(int)
    apart = np.abs(np.where(shop.mask[y, x, None], shop.uv[y, x], np.inf) - fabric).sum(1)
    shows = shop.mask[y, x] & (shop.front[y, x] == worn.front[rows, columns]) & (apart < SAME_POINT)
    shows &= ~worn.back[rows, columns]
    flow = np.full((height, width, 2), np.nan, np.float32)
    flow[rows[shows], columns[shows]] = xy[shows]
    return flow
