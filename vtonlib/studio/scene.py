"""A person in clothes: body, hair, top, bottom and shoes, posed and draped, as meshes for the renderer.

What depends on the person alone (shape, skin, hair) is built once and used again in other garments and poses; what
depends on the garment alone is in `wardrobe`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from ..labels import LIP_INDEX
from .body import (
    RestBody,
    body_pack,
    forward_kinematics,
    rest_body,
    rotation,
    skin_vertices,
    triangles,
    vertex_normals,
)
from .cloth_shader import flat_shader
from .garment import garment_shape
from .hair import Hair, build_hair, pose_hair
from .mesh import Mesh, Scene
from .people import Identity, Outfit, Staging
from .pose import sample_pose
from .skin import draw_face, lash_shader, skin_shader, skin_texture
from .subdivide import catmull_clark, compact
from .wardrobe import Top

TUCKED = 0.015  # metres inside the top's field from which what is worn below need not be drawn


class Model:
    """A person without clothes, ready to be posed any number of times."""

    def __init__(self, identity: Identity, texture_size: int = 512):
        self.identity, self.texture_size = identity, texture_size
        self.rest: RestBody = rest_body(identity.phenotype)

    @cached_property
    def hair(self) -> Hair:
        """Hair on the rest head."""
        who = self.identity
        return build_hair(
            self.rest, who.hair_style, np.random.default_rng([who.seed, 1]), length=who.hair_length,
            colour=who.hair_colour,
        )  # fmt: skip

    @cached_property
    def skin(self):
        """The shader of skin and eyes."""
        who = self.identity
        rng = np.random.default_rng([who.seed, 2])
        face = draw_face(rng, skin=who.skin, hair=who.hair_colour, iris=who.iris, female=who.female)
        return skin_shader(skin_texture(face, self.texture_size), face, self.rest, self.hair.hairline)


@dataclass(frozen=True)
class Dressed:
    """A posed person in clothes: the meshes, the posed body vertices (V,3), and which mesh is the top."""

    meshes: tuple[Mesh, ...]
    body: np.ndarray
    top: Mesh

    @cached_property
    def scene(self) -> Scene:
        return Scene(self.meshes)

    @cached_property
    def top_alone(self) -> Scene:
        """The top and nothing else: what would be seen of it if nothing were in front."""
        return Scene((self.top,))


def dress(model: Model, top: Top, outfit: Outfit, staging: Staging) -> Dressed:
    """Pose the model, drape the clothes, and return the meshes."""
    rotations = sample_pose(staging.pose, model.rest, np.random.default_rng(staging.pose_seed))
    rotations["root"] = rotation([0, 0, np.deg2rad(staging.yaw)])
    transforms = forward_kinematics(model.rest.heads, rotations)
    body = skin_vertices(model.rest.vertices, transforms)

    below = garment_shape(outfit.bottom).fit(model.rest.vertices, body)
    normals = vertex_normals(below, garment_shape(outfit.bottom).faces)
    worn = _top_mesh(model, top, body, under=(below[::2], normals[::2]))
    bottom = _bottom_mesh(top, outfit, tuck(below, worn))
    hidden = top.shape.covered | garment_shape(outfit.bottom).covered | (body_pack().foot_weight > 0.8)
    hair = _hair_mesh(model, transforms, worn, body)
    meshes = (_body_mesh(model, body, hidden), worn, bottom, _shoe_mesh(outfit, body), _lash_mesh(body), hair)
    return Dressed(meshes, body, worn)


def _top_mesh(model: Model, top: Top, body: np.ndarray, under: tuple) -> Mesh:
    shape, pack = top.shape, body_pack()
    return Mesh(
        shape.fit(model.rest.vertices, body, under=under), shape.faces, top.shader, LIP_INDEX["upper-clothes"],
        rest=shape.rest, uv=shape.fabric, edge=shape.edge, front=shape.front, garment=True,
        densepose=pack.densepose_part[shape.body_vertex], densepose_uv=pack.densepose_uv[shape.body_vertex],
    )  # fmt: skip


def tuck(below: np.ndarray, worn: Mesh) -> np.ndarray:
    """Vertices (N,3) of trousers or skirt, moved below the top where the simulation left them outside of it.

    A vertex whose nearest cloth vertex lies within 3 cm and not at the hem goes 4 mm under that vertex's tangent plane.
    """
    distance, nearest = cKDTree(worn.vertices).query(below, distance_upper_bound=0.03)
    near = np.flatnonzero(np.isfinite(distance))
    near = near[worn.edge[nearest[near]] > 0.006]
    point, normal = worn.vertices[nearest[near]], worn.normals[nearest[near]]
    height = np.einsum("ij,ij->i", below[near] - point, normal) + 0.004
    tucked = below.copy()
    tucked[near] -= np.maximum(height, 0)[:, None] * normal
    return tucked


def _bottom_mesh(top: Top, outfit: Outfit, vertices: np.ndarray) -> Mesh:
    """Trousers or skirt; what lies safely under the top is left out, so that it can't poke through."""
    shape, pack = garment_shape(outfit.bottom), body_pack()
    none = np.zeros(len(shape.rest))
    under_top = (top.shape.field(shape.rest, none, none) > TUCKED)[shape.faces].all(1)
    part = pack.densepose_part[shape.body_vertex]
    shader = flat_shader(outfit.bottom_colour, roughness=0.85, hem=True)
    return Mesh(
        vertices, shape.faces[~under_top], shader, outfit.bottom.label,
        normals=vertex_normals(vertices, shape.faces), rest=shape.rest, edge=shape.edge,
        densepose=part, densepose_uv=pack.densepose_uv[shape.body_vertex],
    )  # fmt: skip


def _shoe_mesh(outfit: Outfit, body: np.ndarray) -> Mesh:
    """Shoes: the feet of the body suit, 7 mm thicker."""
    pack = body_pack()
    quads, ids = compact(pack.tights_quads[(pack.foot_weight[pack.tights_quads] > 0.5).all(1)])
    matrix, fine = catmull_clark(quads, len(ids))
    faces = triangles(fine)
    vertices = matrix @ body[ids]
    vertices = vertices + 0.007 * vertex_normals(vertices, faces)
    rest = matrix @ pack.canonical.vertices[ids]
    left = rest[:, 0] > 0
    label = np.where(left[faces[:, 0]], LIP_INDEX["left-shoe"], LIP_INDEX["right-shoe"])
    shader = flat_shader(outfit.shoe_colour, roughness=0.5, specular=0.04)
    return Mesh(vertices, faces, shader, label, rest=rest, densepose=np.where(left, 5, 6))


def _body_mesh(model: Model, body: np.ndarray, hidden: np.ndarray) -> Mesh:
    pack = body_pack()
    drawn = ~hidden[pack.body_faces].all(1)
    return Mesh(
        body, pack.body_faces[drawn], model.skin, pack.skin_label[drawn],
        normals=vertex_normals(body, pack.body_faces), rest=model.rest.vertices, face_uv=pack.body_face_uv[drawn],
        densepose=pack.densepose_part, densepose_uv=pack.densepose_uv,
    )  # fmt: skip


def _lash_mesh(body: np.ndarray) -> Mesh:
    pack = body_pack()
    faces, ids = compact(pack.lash_faces)
    return Mesh(
        body[ids], faces, lash_shader(), LIP_INDEX["face"], densepose=pack.densepose_part[ids],
        densepose_uv=pack.densepose_uv[ids],
    )  # fmt: skip


def _hair_mesh(model: Model, transforms: np.ndarray, top: Mesh, body: np.ndarray) -> Mesh:
    """Hair follows the head and, where it is long, the chest; it lies on the shoulders and the top, not in them."""
    pack, hair = body_pack(), model.hair
    head, chest = (transforms[pack.bone_index[bone]] for bone in ("head", "spine01"))
    suit_faces = triangles(pack.tights_quads)
    ids = pack.tights_ids
    suit_normals = vertex_normals(body, suit_faces)
    vertices = pose_hair(
        hair, head, chest, np.concatenate([body[ids], top.vertices]), np.concatenate([suit_normals[ids], top.normals])
    )
    side = np.where(hair.rest[:, 0] > 0, 24, 23)
    return Mesh(vertices, hair.faces, hair.shader, LIP_INDEX["hair"], rest=hair.rest, uv=hair.uv, densepose=side)
