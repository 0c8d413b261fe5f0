"""Exact ground truth: what one more ray per pixel centre tells about a rendered photograph.

Everything here is read off the same geometry as the picture, so annotations have no error beyond the pixel grid.

Convention: results are index coordinates (first pixel centre at (0, 0)), as `vtonlib.sample` says; the camera's own
continuous coordinates are 0.5 larger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .camera import Camera
from .mesh import Mesh
from .render import Passes

if TYPE_CHECKING:
    from .wardrobe import ShopPicture

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


def garment_flows(worn: Passes, top: Mesh, shop: ShopPicture) -> dict[str, np.ndarray]:
    """The fields `flow` and `flow_back` of a record: from the worn top into both its in-shop pictures."""
    garment = worn.garment & (worn.parse == top.label[0])
    return {
        "flow": garment_flow(worn, garment, shop.passes, shop.camera, shop.positions),
        "flow_back": garment_flow(worn, garment, shop.back_passes, shop.back_camera, shop.positions),
    }


def garment_flow(
    worn: Passes, garment: np.ndarray, shop: Passes, shop_camera: Camera, shop_positions: np.ndarray
) -> np.ndarray:
    """Flow worn -> in-shop (H,W,2) float32 in index coordinates (x, y), NaN where the point does not show in the shop.

    garment (H,W) bool: pixels of the worn garment's own mesh (nothing else has its vertex numbers). shop, shop_camera:
    passes and camera of one in-shop picture, of front or back; shop_positions (V,3): where each vertex of that same
    mesh lies in it, in metres. A bit of cloth is one point of one triangle, so its place in the shop is exact whatever
    was done to the garment there. It shows if the in-shop picture has at that place the same side (front or back) and
    fabric coordinates within 3 cm. Raises ValueError if a pixel of `garment` names a vertex that the shop lacks.
    """
    height, width = garment.shape
    rows, columns = np.nonzero(garment)
    corner, weight = worn.corner[rows, columns], worn.weight[rows, columns]
    if len(rows) and not 0 <= corner.min() <= corner.max() < len(shop_positions):
        raise ValueError(
            f"garment: expected pixels of a mesh with the shop's {len(shop_positions)} vertices, "
            f"got vertices {corner.min()}..{corner.max()}"
        )
    points = np.einsum("ijk,ij->ik", shop_positions[corner].astype(np.float64), weight)
    xy = shop_camera.project(points)[0] - 0.5
    shop_height, shop_width = shop.mask.shape
    x = np.clip(np.round(xy[:, 0]), 0, shop_width - 1).astype(int)
    y = np.clip(np.round(xy[:, 1]), 0, shop_height - 1).astype(int)
    apart = np.abs(np.where(shop.mask[y, x, None], shop.uv[y, x], np.inf) - worn.uv[rows, columns]).sum(1)
    shows = shop.mask[y, x] & (shop.front[y, x] == worn.front[rows, columns]) & (apart < SAME_POINT)
    shows &= ~worn.back[rows, columns] & ~shop.back[y, x]
    flow = np.full((height, width, 2), np.nan, np.float32)
    flow[rows[shows], columns[shows]] = xy[shows]
    return flow
