"""The records that a picture is made of: meshes, the scene they form, points hit by rays, and surfaces to be lit.

A shader is any callable `shader(hit: Hit) -> Surface`: it is handed all the points of its mesh that one picture sees
and answers with their colour and gloss. Light and shadow are not its business (`render` does both).

Convention: metres, z up, the person faces -y and has their left at +x. Faces are counter-clockwise seen from outside.
Colours of a Surface are linear RGB in [0,1], not sRGB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .body import vertex_normals


@dataclass(frozen=True)
class Hit:
    """N points of one mesh that are seen: float32 arrays, except the two booleans.

    position, normal (unit, towards the camera), view (unit, towards the camera), rest (position on the undeformed
    mesh): (N,3); uv (N,2); edge (N,) metres to the hem; front (N,): the face belongs to the front of a garment;
    back (N,): the inside of the surface is seen.
    """

    position: np.ndarray
    normal: np.ndarray
    view: np.ndarray
    rest: np.ndarray
    uv: np.ndarray
    edge: np.ndarray
    front: np.ndarray
    back: np.ndarray

    def __len__(self) -> int:
        return len(self.position)


@dataclass(frozen=True)
class Surface:
    """How N points reflect light. albedo (N,3) linear RGB; the others are scalars or (N,) arrays.

    specular: reflectance at normal incidence; roughness in (0,1]; wrap in [0,1]: how far diffuse light reaches past the
    terminator (skin); fuzz in [0,1]: bright rim of fibrous cloth. normal (N,3): bumped unit normals instead of the
    mesh's; tangent (N,3): unit direction of strands, which turns the highlight into one of hair.
    """

    albedo: np.ndarray
    specular: np.ndarray | float = 0.02
    roughness: np.ndarray | float = 0.6
    wrap: np.ndarray | float = 0.0
    fuzz: np.ndarray | float = 0.0
    normal: np.ndarray | None = None
    tangent: np.ndarray | None = None


Shader = Callable[[Hit], Surface]


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh with everything that pictures and passes need; arrays are converted to the types given here.

    vertices (V,3) f32; faces (F,3) i32; shader; label: LIP-20 index, one or (F,) u8; normals (V,3), computed if absent;
    rest (V,3), the vertices if absent; uv (V,2) or, for textures with seams, face_uv (F,3,2); edge (V,) metres to the
    hem; densepose (V,) u8 part; densepose_uv (V,2) in [0,1]; front (F,) bool. What is absent is 0 (front: True).
    garment: the mesh is a top (whose flow into the in-shop picture is wanted).

    Raises ValueError naming the field whose shape is wrong.
    """

    vertices: np.ndarray
    faces: np.ndarray
    shader: Shader
    label: int | np.ndarray
    normals: np.ndarray | None = None
    rest: np.ndarray | None = None
    uv: np.ndarray | None = None
    face_uv: np.ndarray | None = None
    edge: np.ndarray | None = None
    densepose: np.ndarray | None = None
    densepose_uv: np.ndarray | None = None
    front: np.ndarray | None = None
    garment: bool = False

    def __post_init__(self):
        vertices = self._convert("vertices", self.vertices, np.float32, (None, 3))
        faces = self._convert("faces", self.faces, np.int32, (None, 3))
        if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
            raise ValueError(f"Mesh: faces name vertices {faces.min()}..{faces.max()}, there are {len(vertices)}")
        v, f = len(vertices), len(faces)
        label = np.full(f, self.label) if np.ndim(self.label) == 0 else self.label
        self._convert("label", label, np.uint8, (f,))
        self._convert(
            "normals", vertex_normals(vertices, faces) if self.normals is None else self.normals, np.float32, (v, 3)
        )
        self._convert("rest", vertices if self.rest is None else self.rest, np.float32, (v, 3))
        if self.face_uv is None:
            uv = self._convert("uv", np.zeros((v, 2)) if self.uv is None else self.uv, np.float32, (v, 2))
            object.__setattr__(self, "face_uv", uv[faces])
        self._convert("face_uv", self.face_uv, np.float32, (f, 3, 2))
        self._convert("edge", np.zeros(v) if self.edge is None else self.edge, np.float32, (v,))
        self._convert("densepose", np.zeros(v) if self.densepose is None else self.densepose, np.uint8, (v,))
        self._convert(
            "densepose_uv", np.zeros((v, 2)) if self.densepose_uv is None else self.densepose_uv, np.float32, (v, 2)
        )
        self._convert("front", np.ones(f, bool) if self.front is None else self.front, bool, (f,))

    def _convert(self, name: str, value, dtype, shape: tuple) -> np.ndarray:
        array = np.ascontiguousarray(value, dtype)
        if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape)):
            wanted = "(" + ",".join("N" if n is None else str(n) for n in shape) + ")"
            raise ValueError(f"Mesh: {name} must have shape {wanted}, got {array.shape}")
        object.__setattr__(self, name, array)
        return array


class Scene:
    """Meshes joined into one: vertex tables (V,...), face tables (F,...), the number of each face's mesh, and of each
    mesh's first vertex."""

    def __init__(self, meshes: Sequence[Mesh], backend: str = "auto"):
        if not meshes:
            raise ValueError("Scene: at least one mesh is needed, got none")
        self.meshes, self.backend = tuple(meshes), backend
        starts = np.cumsum([0] + [len(mesh.vertices) for mesh in self.meshes])
        self.first_vertex = starts[:-1].astype(np.int32)
        self.faces = np.concatenate([mesh.faces + np.int32(start) for mesh, start in zip(self.meshes, starts)])
        self.vertices, self.densepose = self._join("vertices"), self._join("densepose")
        self.densepose_uv, self.face_uv = self._join("densepose_uv"), self._join("face_uv")
        self.label, self.front = self._join("label"), self._join("front")
        counts = [len(mesh.faces) for mesh in self.meshes]
        self.mesh_index = np.repeat(np.arange(len(counts), dtype=np.int16), counts)

    def _join(self, name: str) -> np.ndarray:
        return np.concatenate([getattr(mesh, name) for mesh in self.meshes])

    @cached_property
    def attributes(self) -> np.ndarray:
        """position, normal, rest, edge (V,10) side by side, so that one gather a corner fetches them all."""
        edge = self._join("edge")[:, None]
        return np.concatenate([self.vertices, self._join("normals"), self._join("rest"), edge], axis=1)

    @cached_property
    def tracer(self):
        """The ray caster over all faces, built on first use (`raycast.make_tracer`)."""
        from .raycast import make_tracer

        return make_tracer(self.vertices, self.faces, backend=self.backend)
