"""Fields on the canonical body, shared by every person: how much arm, which DensePose part, which label of bare skin.

Convention: metres; z up, the person faces -y, the person's left is +x. Left and right are the person's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..labels import LIP_INDEX
from .densepose import densepose_fields

ARM_BONES = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
LEG_BONES = ("upperleg", "lowerleg", "foot", "toe")
HEAD_BONES = ("head", "eye")


@dataclass(frozen=True)
class BodyFields:
    """Per-vertex fields (V rows) of the canonical body.

    canonical_normals (V,3). Skin weights summed over bones, in [0,1]: arm_weight (upper arm to fingers), head_weight
    (with the uppermost neck bone), neck_weight, leg_weight, foot_weight. arm_coordinate: 0 at the shoulder, 1 elbow, 2
    wrist, along the bones. dominant_bone: number of the bone with the largest weight. densepose_part uint8 1..24
    (labels.DENSEPOSE); densepose_uv (V,2) in [0,1]. skin_label (F,) uint8: LIP label of the bare skin of a body face.
    """

    canonical_normals: np.ndarray
    arm_weight: np.ndarray
    head_weight: np.ndarray
    neck_weight: np.ndarray
    leg_weight: np.ndarray
    foot_weight: np.ndarray
    arm_coordinate: np.ndarray
    dominant_bone: np.ndarray
    densepose_part: np.ndarray
    densepose_uv: np.ndarray
    skin_label: np.ndarray


def body_fields(
    vertices: np.ndarray,
    normals: np.ndarray,
    heads: np.ndarray,
    bone_names: tuple[str, ...],
    skin_weights: sp.csr_matrix,
    body_faces: np.ndarray,
) -> BodyFields:
    """All fields from the canonical vertices (V,3), their normals, bone heads (104,3) and skin weights (V,104)."""
    head = dict(zip(bone_names, heads))
    dominant = np.asarray(skin_weights.argmax(axis=1)).ravel()
    left = (vertices[:, 0] > 0).astype(int)
    part, part_uv = densepose_fields(vertices, head, bone_names, skin_weights)

    def weight(*prefixes: str) -> np.ndarray:
        bones = [index for index, name in enumerate(bone_names) if name.startswith(prefixes)]
        return np.asarray(skin_weights[:, bones].sum(axis=1), np.float32).ravel()

    return BodyFields(
        canonical_normals=normals,
        arm_weight=weight(*ARM_BONES),
        head_weight=weight(*HEAD_BONES, "neck03"),
        neck_weight=weight("neck"),
        leg_weight=weight(*LEG_BONES),
        foot_weight=weight("foot", "toe"),
        arm_coordinate=_arm_coordinate(vertices, head),
        dominant_bone=dominant,
        densepose_part=part,
        densepose_uv=part_uv,
        skin_label=_skin_label(_region_table(bone_names, _SKIN, _NECK)[dominant, left][body_faces]),
    )


def _arm_coordinate(vertices: np.ndarray, head: Mapping[str, np.ndarray]) -> np.ndarray:
    coordinate = np.zeros(len(vertices), np.float32)
    for side, mine in (("L", vertices[:, 0] > 0), ("R", vertices[:, 0] <= 0)):
        shoulder, elbow, wrist = (head[f"{bone}.{side}"] for bone in ("upperarm01", "lowerarm01", "wrist"))
        upper, fore, points = elbow - shoulder, wrist - elbow, vertices[mine]
        along_upper = (points - shoulder) @ upper / (upper @ upper)
        along_fore = 1 + (points - elbow) @ fore / (fore @ fore)
        coordinate[mine] = np.where(along_upper < 1, along_upper, np.maximum(along_fore, 1))
    return coordinate


# LIP labels of bare skin: (right, left).
_FACE, _NECK = (LIP_INDEX["face"],) * 2, (LIP_INDEX["neck"],) * 2
_SKIN = {
    HEAD_BONES: _FACE,
    ARM_BONES: (LIP_INDEX["right-arm"], LIP_INDEX["left-arm"]),
    LEG_BONES: (LIP_INDEX["right-leg"], LIP_INDEX["left-leg"]),
}


def _region_table(bone_names: tuple[str, ...], regions: Mapping, default: tuple) -> np.ndarray:
    """(104, n) table: for each bone the row of the region that it belongs to."""
    rows = [next((row for names, row in regions.items() if bone.startswith(names)), default) for bone in bone_names]
    return np.array(rows)


def _skin_label(corner: np.ndarray) -> np.ndarray:
    """(F,) label of faces from their corners' (F,3). One that reaches from head to neck is neck: the chin's edge."""
    face = corner == LIP_INDEX["face"]
    return np.where(face.any(1) & ~face.all(1), LIP_INDEX["neck"], corner[:, 0]).astype(np.uint8)
