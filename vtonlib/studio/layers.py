"""Layers of clothes on a posed body: what is draped first, what lies over what, and which parts need not be drawn.

A top hangs over the bottom, or is tucked into its waistband; a jacket lies over the top, which then is drawn under it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..labels import LIP_INDEX
from .body import body_pack, triangles, vertex_normals
from .bottom_shader import bottom_shader
from .cloth_shader import flat_shader
from .contact import lie_on, lie_under
from .cuts import WAIST
from .garment import GarmentShape, garment_shape
from .mesh import Mesh
from .outfits import Outfit
from .subdivide import catmull_clark, clip_triangles, compact
from .wardrobe import Top

TUCKED = 0.015  # metres inside the top's field from which what is worn below need not be drawn
BAND_OVERLAP = 0.010  # metres that a tucked top is drawn below the upper edge of the waistband


@dataclass(frozen=True)
class Clothes:
    """What was put on: the top, the other meshes, and which body vertices (V,) need not be drawn.

    tucked_at: height (m, on the canonical body) below which the top is in the waistband; -inf where it hangs over.
    """

    top: Mesh
    others: tuple[Mesh, ...]
    hidden: np.ndarray
    tucked_at: float = -np.inf


def put_on(rest_body: np.ndarray, body: np.ndarray, top: Top, outfit: Outfit) -> Clothes:
    """Drape all clothes on body vertices (V,3), at rest and posed."""
    if top.design.cut.skirt is not None:
        return _put_on_dress(rest_body, body, top, outfit)
    tucked = outfit.tucked and can_tuck(top)
    shape = garment_shape(outfit.bottom)
    below = shape.fit(rest_body, body)
    normals = vertex_normals(below, shape.faces)
    under = None if tucked else (below[::2], normals[::2], np.zeros(len(below[::2]), np.int8))
    vertices = top.shape.fit(rest_body, body, under=under, tucked=tucked)
    band = top.shape.marks.hip + WAIST if tucked else -np.inf
    others = []
    if outfit.jacket is not None and can_layer(top):
        jacket = _jacket_mesh(outfit, rest_body, body, top, vertices, below)
        vertices, below = lie_under(vertices, jacket), lie_under(below, jacket)
        others.append(jacket)
    worn = _top_mesh(top, vertices, band - BAND_OVERLAP)
    if tucked:
        bottom = _bottom_mesh(shape, outfit, lie_on(below, worn, 0.003), np.zeros(len(shape.faces), bool))
    else:
        bottom = _bottom_mesh(shape, outfit, lie_under(below, worn), _under_top(top, shape))
    hidden = top.shape.covered | shape.covered | (body_pack().foot_weight > 0.8)
    if outfit.sock > 0:
        others.append(_sock_mesh(outfit, body))
    return Clothes(worn, (bottom, _shoe_mesh(outfit, body), *others), hidden, float(band))


def _put_on_dress(rest_body: np.ndarray, body: np.ndarray, top: Top, outfit: Outfit) -> Clothes:
    """A dress, worn without the outfit's trousers or skirt."""
    worn = _top_mesh(top, top.shape.fit(rest_body, body), -np.inf)
    others = [_shoe_mesh(outfit, body)] + ([_sock_mesh(outfit, body)] if outfit.sock > 0 else [])
    return Clothes(worn, tuple(others), top.shape.covered | (body_pack().foot_weight > 0.8))


def can_tuck(top: Top) -> bool:
    """Whether the top reaches well below the waistband and is not too bulky to go into it."""
    cut = top.design.cut
    return cut.hem < WAIST - 0.06 and cut.loose + cut.flare < 0.045 and cut.tucks


def worn_attributes(top: Top, outfit: Outfit) -> dict:
    """What is really worn, as plain values for a manifest: a dress hides the bottom, not every top can be tucked in or
    go under a jacket."""
    cut, dress = top.design.cut, top.design.cut.skirt is not None
    jacket = outfit.jacket.name if outfit.jacket is not None and can_layer(top) else ""
    return {
        "cut": cut.name, "sleeve": cut.sleeve, "sleeve_kind": cut.gather, "style": cut.style,
        "tucked": outfit.tucked and can_tuck(top) and not dress, "jacket": jacket,
        "bottom": "" if dress else outfit.bottom.name, "socks": outfit.sock > 0,
    }  # fmt: skip


def _top_mesh(top: Top, vertices: np.ndarray, lowest: float) -> Mesh:
    """The worn top, without what lies below the canonical height `lowest` on the torso."""
    shape, pack = top.shape, body_pack()
    part, part_uv = shape.densepose
    drawn = ((shape.rest[:, 2] > lowest) | (pack.arm_weight[shape.body_vertex] > 0.5))[shape.faces].any(1)
    return Mesh(
        vertices, shape.faces[drawn], top.shader, top.design.cut.label, normals=vertex_normals(vertices, shape.faces),
        rest=shape.rest, uv=shape.fabric, edge=shape.edge, front=shape.front[drawn], garment=True, densepose=part,
        densepose_uv=part_uv,
    )  # fmt: skip


def can_layer(top: Top) -> bool:
    """Whether a jacket goes over the top: no hood, no wide sleeves."""
    cut = top.design.cut
    return cut.label == LIP_INDEX["upper-clothes"] and cut.style != "hoodie" and cut.gather in ("plain", "cuff")


def _jacket_mesh(
    outfit: Outfit, rest_body: np.ndarray, body: np.ndarray, top: Top, worn: np.ndarray, below: np.ndarray
) -> Mesh:
    """An open jacket or cardigan over the draped render vertices of top (`worn`) and bottom (`below`)."""
    shape, pack = garment_shape(outfit.jacket), body_pack()
    normals = np.concatenate(
        [vertex_normals(worn, top.shape.faces), vertex_normals(below, garment_shape(outfit.bottom).faces)]
    )
    sleeve = np.zeros(len(normals), np.int8)
    sleeve[: len(worn)] = pack.arm_weight[top.shape.body_vertex] > 0.5
    under = (np.concatenate([worn, below])[::3], normals[::3], sleeve[::3])
    shader = bottom_shader(outfit.jacket_fabric, outfit.jacket_colour)
    return Mesh(
        shape.fit(rest_body, body, under=under), shape.faces, shader, outfit.jacket.label, rest=shape.rest,
        edge=shape.edge, densepose=shape.densepose[0], densepose_uv=shape.densepose[1],
    )  # fmt: skip


def _under_top(top: Top, shape: GarmentShape) -> np.ndarray:
    """Faces (F,) bool of trousers or skirt that lie safely under the top."""
    none = np.zeros(len(shape.rest))
    return (top.shape.field(shape.rest, none, none) > TUCKED)[shape.faces].all(1)


def _bottom_mesh(shape: GarmentShape, outfit: Outfit, vertices: np.ndarray, left_out: np.ndarray) -> Mesh:
    """Trousers or skirt; what lies safely under the top is left out, so that it can't poke through."""
    fabric, colour, legs = outfit.bottom_fabric, outfit.bottom_colour, not outfit.bottom.skirt
    shader = bottom_shader(fabric, colour, outfit.seed, legs=legs)
    return Mesh(
        vertices, shape.faces[~left_out], shader, outfit.bottom.label,
        normals=vertex_normals(vertices, shape.faces), rest=shape.rest, edge=shape.edge,
        densepose=shape.densepose[0],
        densepose_uv=shape.densepose[1],
    )  # fmt: skip


@lru_cache(maxsize=1)
def _calf_shape() -> tuple:
    """As `_shoe_shape`, for feet and lower legs, with the height (N,) of each vertex above the ankle on the
    canonical body."""
    pack = body_pack()
    ankle = pack.canonical.heads[pack.bone_index["foot.L"]][2]
    low = pack.canonical.vertices[:, 2] < ankle + 0.36
    quads, ids = compact(pack.tights_quads[low[pack.tights_quads].all(1)])
    matrix, fine = catmull_clark(quads, len(ids))
    return matrix, triangles(fine), ids, matrix @ pack.canonical.vertices[ids][:, 2] - ankle


def _sock_mesh(outfit: Outfit, body: np.ndarray) -> Mesh:
    """Socks: the body suit from the feet to their height, 3.5 mm thicker."""
    pack = body_pack()
    matrix, faces, ids, height = _calf_shape()
    vertices = matrix @ body[ids]
    vertices = vertices + 0.0035 * vertex_normals(vertices, faces)
    clipped, clip = clip_triangles(faces, outfit.sock - height)
    nearest = np.asarray((clip @ matrix).tocsr().argmax(1)).ravel()
    return Mesh(
        clip @ vertices, clipped, flat_shader(outfit.sock_colour, fuzz=0.6, weave=0.06), LIP_INDEX["socks"],
        rest=clip @ (matrix @ pack.canonical.vertices[ids]), edge=clip @ (outfit.sock - height),
        densepose=pack.densepose_part[ids[nearest]], densepose_uv=pack.densepose_uv[ids[nearest]],
    )  # fmt: skip


@lru_cache(maxsize=1)
def _shoe_shape() -> tuple:
    """The matrix that makes shoe vertices from body vertices ids (N,), the faces, and ids: the same for everybody."""
    pack = body_pack()
    quads, ids = compact(pack.tights_quads[(pack.foot_weight[pack.tights_quads] > 0.5).all(1)])
    matrix, fine = catmull_clark(quads, len(ids))
    return matrix, triangles(fine), ids


def _shoe_mesh(outfit: Outfit, body: np.ndarray) -> Mesh:
    """Shoes: the feet of the body suit, 7 mm thicker."""
    matrix, faces, ids = _shoe_shape()
    vertices = matrix @ body[ids]
    vertices = vertices + 0.007 * vertex_normals(vertices, faces)
    rest = matrix @ body_pack().canonical.vertices[ids]
    left = rest[:, 0] > 0
    label = np.where(left[faces[:, 0]], LIP_INDEX["left-shoe"], LIP_INDEX["right-shoe"])
    shader = flat_shader(outfit.shoe_colour, roughness=0.5, specular=0.04)
    return Mesh(vertices, faces, shader, label, rest=rest, densepose=np.where(left, 5, 6))
