"""A person in clothes: body, hair, top, bottom and shoes, posed and draped, as meshes for the renderer.

What depends on the person alone (shape, skin, hair) is built once and used again in other garments and poses; what
depends on the garment alone is in `wardrobe`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..labels import LIP_INDEX
from .accessories import NOTHING, Accessories, Worn, accessory_meshes, press_hair, wear
from .body import (
    RestBody,
    apply_transform,
    body_pack,
    forward_kinematics,
    rest_body,
    skin_vertices,
    triangles,
    vertex_normals,
)
from .densepose import cloth_densepose
from .face_paint import draw_face
from .faces import express, face_pack, place_teeth, shaped
from .hair import Hair, build_hair, pose_hair
from .layers import put_on
from .mesh import Mesh, Scene
from .outfits import Outfit
from .people import Identity, Staging
from .pose import sample_pose
from .skin import grow_beard, lash_shader, skin_shader, skin_texture, teeth_shader
from .subdivide import compact
from .wardrobe import Top


class Model:
    """A person without clothes, ready to be posed any number of times."""

    def __init__(self, identity: Identity, texture_size: int = 512, accessories: Accessories = NOTHING):
        self.identity, self.texture_size, self.accessories = identity, texture_size, accessories
        self.face = draw_face(
            np.random.default_rng([identity.seed, 2]), skin=identity.skin, hair=identity.hair_colour,
            iris=identity.iris, female=identity.female, age=identity.phenotype.age,
        )  # fmt: skip
        self.rest: RestBody = grow_beard(shaped(rest_body(identity.phenotype), identity.face), self.face)

    @cached_property
    def hair(self) -> Hair:
        """Hair on the rest head."""
        who = self.identity
        hair = build_hair(
            self.rest, who.hair_style, np.random.default_rng([who.seed, 1]), length=who.hair_length,
            colour=who.hair_colour, tips=who.hair_tips,
        )  # fmt: skip
        return press_hair(hair, self.accessories, self.rest)

    @cached_property
    def worn(self) -> tuple[Worn, ...]:
        """Glasses, hat and the like on the rest body."""
        return wear(self.accessories, self.rest)

    @cached_property
    def teeth(self) -> np.ndarray:
        """Upper teeth (T,3) in the rest head."""
        return place_teeth(self.rest)

    @cached_property
    def skin(self):
        """The shader of skin and eyes."""
        return skin_shader(skin_texture(self.face, self.texture_size), self.face, self.rest, self.hair.hairline)


@dataclass(frozen=True)
class Dressed:
    """A posed person in clothes: the meshes, the posed body vertices (V,3), and which mesh is the top.

    tucked_at: see `layers.Clothes`.
    """

    meshes: tuple[Mesh, ...]
    body: np.ndarray
    top: Mesh
    tucked_at: float = -np.inf

    @cached_property
    def scene(self) -> Scene:
        return Scene(self.meshes)


@dataclass(frozen=True)
class Posed:
    """A model in a pose, facing -y: the transform of each bone, the body vertices (V,3), and whether the lips part."""

    transforms: np.ndarray
    body: np.ndarray
    lips_apart: bool = False


def pose_model(model: Model, staging: Staging) -> Posed:
    """Bend the model into the pose and expression of a staging. Its yaw is the camera's, which goes round instead."""
    rotations = sample_pose(staging.pose, model.rest, np.random.default_rng(staging.pose_seed))
    transforms = forward_kinematics(model.rest.heads, rotations)
    body = skin_vertices(express(model.rest, staging.expression).vertices, transforms)
    return Posed(transforms, body, staging.expression.opens_lips)


def dress(model: Model, top: Top, outfit: Outfit, posed: Posed) -> Dressed:
    """Drape the clothes over the posed model and return the meshes."""
    transforms, body = posed.transforms, posed.body
    clothes = put_on(model.rest.vertices, body, top, outfit)
    hair = _hair_mesh(model, transforms, clothes.top, body)
    bare = _body_mesh(model, body, clothes.hidden)
    meshes = (
        bare,
        clothes.top,
        *clothes.others,
        _lash_mesh(body),
        *([_teeth_mesh(model, transforms)] if posed.lips_apart else []),  # closed lips are not quite tight
        hair,
        *accessory_meshes(model.worn, transforms),
    )
    return Dressed(meshes, body, clothes.top, clothes.tucked_at)


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


def _teeth_mesh(model: Model, transforms: np.ndarray) -> Mesh:
    """The upper teeth, which open lips show."""
    head, pack = transforms[body_pack().bone_index["head"]], face_pack()
    side = np.where(pack.teeth[:, 0] > 0, 24, 23)
    return Mesh(
        apply_transform(head, model.teeth), pack.teeth_faces, teeth_shader(), LIP_INDEX["face"], rest=pack.teeth,
        densepose=side,
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
    crown = np.full(len(hair.rest), pack.densepose_part.argmax())  # any vertex of the head
    part, part_uv = cloth_densepose(hair.rest, crown)
    return Mesh(
        vertices, hair.faces, hair.shader, LIP_INDEX["hair"], rest=hair.rest, uv=hair.uv, densepose=part,
        densepose_uv=part_uv,
    )  # fmt: skip
