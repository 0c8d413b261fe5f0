"""From a scene to a photograph and its passes: deferred shading of what each camera sample hits.

First one ray a sample finds what is seen (`trace`), then each mesh's shader is asked for colour and gloss of all its
points at once, then shadow and occlusion rays are cast and smoothed, then light is added up. Nothing is traced twice
and nothing is noisy but shadows. `passes` does the same trace with one sample in the middle of every pixel, so that
annotations and photograph agree by construction.

Convention: (H,W,...) arrays, row 0 on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import Camera
from .lighting import STUDIO_LIGHT, Light, Material, encode_srgb, light_up, shoulder
from .mesh import Hit, Scene
from .raycast import sample_window
from .shadows import SampleNoise, smooth, visibility
from .vectors import cross, dot, unit

SAMPLES_AT_ONCE = 400_000  # samples that are shaded together: bounds memory


@dataclass(frozen=True)
class Trace:
    """The n samples of a camera's grid that hit something, and what they hit.

    window: rows and columns of the sample grid that were traced; cell (n,): place in the window, row by row; face (n,);
    corner (n,3) vertices; weight (n,3); position, normal, view, rest (n,3); edge (n,); back (n,) bool; mesh (n,).
    """

    window: tuple[int, int, int, int]
    cell: np.ndarray
    face: np.ndarray
    corner: np.ndarray
    weight: np.ndarray
    position: np.ndarray
    normal: np.ndarray
    view: np.ndarray
    rest: np.ndarray
    edge: np.ndarray
    back: np.ndarray
    mesh: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the window."""
        top, bottom, left, right = self.window
        return bottom - top, right - left

    def grid(self, values: np.ndarray, fill) -> np.ndarray:
        """Spread values (n,...) over the window; `fill` where nothing was hit."""
        full = np.full((self.shape[0] * self.shape[1], *values.shape[1:]), fill, values.dtype)
        full[self.cell] = values
        return full.reshape(*self.shape, *values.shape[1:])


def trace(scene: Scene, camera: Camera, samples: int, window: tuple[int, int, int, int] | None = None) -> Trace:
    """What a camera sees with samples x samples regular samples a pixel, sorted by mesh.

    window: the rows and columns of the sample grid to look at (default: all that may see anything, `pixel_window`).
    """
    window = pixel_window(scene, camera, samples) if window is None else window
    return _trace_of(scene, camera, window, *scene.tracer.visible(camera, samples, window))


def _trace_of(scene: Scene, camera: Camera, window: tuple, face: np.ndarray, u: np.ndarray, v: np.ndarray) -> Trace:
    """The trace of a window whose samples see these faces (N,), -1 for none, with barycentric u, v (N,)."""
    cell = np.flatnonzero(face >= 0)
    mesh = scene.mesh_index.take(face.take(cell))
    order = np.argsort(mesh, kind="stable")  # the points of a mesh side by side: shaders work on slices
    cell, mesh = cell.take(order), mesh.take(order)
    face, u, v = face.take(cell), u.take(cell), v.take(cell)
    corner, weight = scene.faces.take(face, axis=0), np.stack([1 - u - v, u, v], axis=1)
    attributes = interpolate(scene.attributes, corner, weight)
    position = np.ascontiguousarray(attributes[:, :3])
    view = camera.towards_eye(position)
    normal, back = _towards(scene, face, unit(attributes[:, 3:6]), view)
    return Trace(
        window, cell, face, corner, weight, position, normal, view,
        np.ascontiguousarray(attributes[:, 6:9]), attributes[:, 9].copy(), back, mesh,
    )  # fmt: skip


def _towards(scene: Scene, face: np.ndarray, normal: np.ndarray, view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (n,3) on the side that is seen, and whether (n,) that is the inside of the surface.

    Side is a matter of the flat face. Near an outline the interpolated normal of a face that is seen may look away from
    the eye: it is laid at right angles to the view; were it turned round, outlines would be lit from within.
    """
    along = dot(normal, view)
    back = along < 0
    away = np.flatnonzero(back)
    a, b, c = (scene.vertices.take(corner, axis=0) for corner in scene.faces.take(face.take(away), axis=0).T)
    flat = cross(b - a, c - a)
    grazing = away[(dot(flat, normal[away]) > 0) == (dot(flat, view[away]) > 0)]
    back[grazing] = False
    normal[grazing] = unit(normal[grazing] - along[grazing, None] * view[grazing])
    normal *= np.where(back, np.float32(-1), np.float32(1))[:, None]
    return normal, back


def pixel_window(scene: Scene, camera: Camera, samples: int) -> tuple[int, int, int, int]:
    """Rows and columns (top, bottom, left, right) of the sample grid that may see the scene, in whole pixels."""
    top, bottom, left, right = sample_window(scene.vertices, camera, samples)
    return (top // samples * samples, -(-bottom // samples) * samples,
            left // samples * samples, -(-right // samples) * samples)  # fmt: skip


def interpolate(table: np.ndarray, corner: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Values (n,C) of a vertex table (V,C) at hits: corner (n,3) vertex numbers, weight (n,3)."""
    value = table.take(corner[:, 0], axis=0)
    value *= weight[:, :1]
    for k in (1, 2):
        other = table.take(corner[:, k], axis=0)
        other *= weight[:, k, None]
        value += other
    return value


def texture_coordinates(scene: Scene, seen: Trace) -> np.ndarray:
    """Texture coordinates (n,2) of all hits."""
    corners, weight = scene.face_uv.reshape(-1, 6).take(seen.face, axis=0), seen.weight
    return np.stack([dot(corners[:, axis::2], weight) for axis in range(2)], axis=1)


def _materials(scene: Scene, seen: Trace) -> Material:
    n = len(seen.cell)
    material = Material(
        np.empty((n, 3), np.float32), *(np.empty(n, np.float32) for _ in range(4)), seen.normal.copy(),
        np.zeros(n, bool), np.zeros((n, 3), np.float32),
    )  # fmt: skip
    uv, front = texture_coordinates(scene, seen), scene.front[seen.face]
    ends = np.searchsorted(seen.mesh, np.arange(len(scene.meshes) + 1))
    for mesh, start, end in zip(scene.meshes, ends, ends[1:]):
        if start == end:
            continue
        points = slice(start, end)
        hit = Hit(
            seen.position[points], seen.normal[points], seen.view[points], seen.rest[points], uv[points],
            seen.edge[points], front[points], seen.back[points],
        )  # fmt: skip
        surface = mesh.shader(hit)
        for name in ("albedo", "specular", "roughness", "wrap", "fuzz"):
            getattr(material, name)[points] = getattr(surface, name)
        if surface.normal is not None:
            material.normal[points] = surface.normal
        if surface.tangent is not None:
            material.tangent[points], material.strand[points] = surface.tangent, True
    return material


def render(
    scene: Scene,
    camera: Camera,
    *,
    light: Light = STUDIO_LIGHT,
    background: np.ndarray | tuple[float, float, float] = (0.86, 0.86, 0.86),
    seed: int = 0,
    samples: int = 2,
    ao_rays: int = 4,
    noise: float = 0.006,
    exposure: float = 1.0,
) -> np.ndarray:
    """A photograph (H,W,3) uint8 sRGB of a scene.

    background: linear colour, one or (H,W,3), shown as it is. seed: of shadows and grain; the same seed gives the same
    bytes. samples: to a pixel's side. ao_rays: ambient occlusion rays a pixel, a multiple of samples^2. noise: standard
    deviation of the grain in sRGB. exposure: factor on the light that the scene reflects. Raises ValueError for a bad
    ao_rays.
    """
    if samples < 1 or ao_rays < 1 or ao_rays % samples**2:
        raise ValueError(f"render: ao_rays must be a multiple of samples^2 = {samples**2}, got {ao_rays}")
    height, width = camera.size
    picture = np.broadcast_to(np.asarray(background, np.float32), (height, width, 3)).copy()
    for window, core in _bands(pixel_window(scene, camera, samples), samples, _smoothing_levels(camera)):
        seen = trace(scene, camera, samples, window)
        if len(seen.cell):
            _paint(picture, scene, camera, seen, core, light, samples, ao_rays, exposure, seed)
    grain = np.random.default_rng([seed, 1]).standard_normal(picture.shape, dtype=np.float32) * np.float32(noise)
    return (np.clip(encode_srgb(np.clip(picture, 0, 1)) + grain, 0, 1) * 255 + 0.5).astype(np.uint8)


def _smoothing_levels(camera: Camera) -> int:
    """Levels of `smooth`: about the same width in the picture at any size."""
    return 3 + int(np.log2(max(camera.size[0] / 256, 1)))


def _bands(window: tuple[int, int, int, int], samples: int, levels: int):
    """Split a window of the sample grid into bands of rows, which bounds memory: each with the rows it needs around
    it for smoothing, and its own rows (first, last) counted from the top of the band."""
    top, bottom, left, right = window
    around = -(-(2**levels - 1) // samples) * samples
    rows = max(SAMPLES_AT_ONCE // max(right - left, 1), 4 * around) // samples * samples
    for first in range(top, bottom, max(rows, samples)):
        last = min(first + rows, bottom)
        start = max(first - around, top)
        yield (start, min(last + around, bottom), left, right), (first - start, last - start)


def _paint(picture, scene, camera, seen, core, light, samples, ao_rays, exposure, seed) -> None:
    """Draw the hits of a band over the background, in place; tone curve per sample, so that bright edges stay
    smooth."""
    material = _materials(scene, seen)
    raw = visibility(scene, seen, light, samples, ao_rays, SampleNoise(seen, seed))
    depth = (seen.position - np.asarray(camera.eye, np.float32)) @ camera.axes[2].astype(np.float32)
    smoothed = smooth(
        _planes(seen, raw), seen.grid(seen.mesh, -1), seen.grid(depth, 0), _planes(seen, seen.normal),
        _smoothing_levels(camera),
    )  # fmt: skip
    openness = smoothed.reshape(2, -1).take(seen.cell, axis=1).T
    colour = shoulder(light_up(seen.position, seen.view, material, openness, light) * np.float32(exposure))
    top, _, left, right = (edge // samples for edge in seen.window)
    first, last = (top + row // samples for row in core)
    part = np.zeros((seen.shape[0] * seen.shape[1], 3), np.float32)
    empty = np.ones(len(part), bool)
    part[seen.cell], empty[seen.cell] = colour, False
    part = part.reshape(*seen.shape, 3)[core[0] : core[1]]
    empty = empty.reshape(seen.shape)[core[0] : core[1]]
    corners = [
        (slice(row, None, samples), slice(column, None, samples)) for row, column in np.ndindex(samples, samples)
    ]
    behind = sum(empty[corner].astype(np.float32) for corner in corners)
    total = sum(part[corner] for corner in corners)
    total += behind[..., None] * picture[first:last, left:right]
    picture[first:last, left:right] = total / np.float32(samples**2)


def _planes(seen: Trace, values: np.ndarray) -> np.ndarray:
    """Values (n,C) of the hits spread over the window, channel by channel (C,h,w); 0 where nothing was hit."""
    return np.stack([seen.grid(column, 0) for column in values.T])


@dataclass(frozen=True)
class Passes:
    """Exact annotations (H,W,...) at the pixel centres of a camera's picture.

    mask bool: anything is seen; parse u8: LIP-20, 0 where nothing is; mesh i16: number of the mesh in the scene and
    face i32: of the face, -1 where nothing is; depth f32: metres along the view direction, 0 where nothing is;
    densepose u8: part 0-24; front, back bool: the face belongs to the front of a garment, the inside of the surface is
    seen; densepose_uv and uv (H,W,2), rest and normal (H,W,3) f32, NaN where nothing is; garment bool: the mesh is a
    top; corner i32 and weight f32 (H,W,3): the face's vertices, numbered in their own mesh, and their barycentric
    weights, -1 and 0 where nothing is.
    """

    mask: np.ndarray
    parse: np.ndarray
    mesh: np.ndarray
    face: np.ndarray
    depth: np.ndarray
    densepose: np.ndarray
    densepose_uv: np.ndarray
    uv: np.ndarray
    rest: np.ndarray
    normal: np.ndarray
    front: np.ndarray
    back: np.ndarray
    garment: np.ndarray
    corner: np.ndarray
    weight: np.ndarray


def passes(scene: Scene, camera: Camera) -> Passes:
    """The annotations of `render(scene, camera)`: one ray through every pixel centre."""
    return _annotate(scene, camera, trace(scene, camera, 1))


def passes_alone(scene: Scene, camera: Camera, seen: Passes, number: int) -> Passes:
    """What would be seen of mesh `number` of the scene if nothing were in front of it; seen: passes(scene, camera).

    Where another mesh is seen, rays go on behind it. Mesh and face are still numbered as in the scene.
    """
    whole = (0, camera.size[0], 0, camera.size[1])
    own = seen.mesh == number
    face = np.where(own, seen.face, np.int32(-1)).ravel()
    u, v = seen.weight[..., 1].ravel(), seen.weight[..., 2].ravel()
    mesh, first = scene.meshes[number], int(np.searchsorted(scene.mesh_index, number))
    top, bottom, left, right = sample_window(mesh.vertices, camera, 1)
    hidden = np.zeros(camera.size, bool)
    hidden[top:bottom, left:right] = (seen.mask & ~own)[top:bottom, left:right]
    row, column = np.nonzero(hidden)
    cell = row * camera.size[1] + column
    origin, direction = camera.rays(column + np.float32(0.5), row + np.float32(0.5))
    start = seen.depth[row, column] / (direction @ camera.axes[2].astype(np.float32))
    behind = scene.tracer.behind(origin, direction, start, (first, first + len(mesh.faces)))
    face[cell], u[cell], v[cell] = behind
    return _annotate(scene, camera, _trace_of(scene, camera, whole, face, u, v))


def _annotate(scene: Scene, camera: Camera, seen: Trace) -> Passes:
    top, _, left, _ = seen.window
    row, column = np.divmod(seen.cell, max(seen.shape[1], 1))
    row, column = row + top, column + left

    def spread(values: np.ndarray, fill) -> np.ndarray:
        full = np.full((*camera.size, *values.shape[1:]), fill, values.dtype)
        full[row, column] = values
        return full

    depth = (seen.position - np.asarray(camera.eye, np.float32)) @ camera.axes[2].astype(np.float32)
    part, part_uv = _densepose(scene, seen)
    return Passes(
        mask=spread(np.ones(len(row), bool), False),
        parse=spread(scene.label[seen.face], 0),
        mesh=spread(seen.mesh, -1),
        face=spread(seen.face, -1),
        depth=spread(depth, 0),
        densepose=spread(part, 0),
        densepose_uv=spread(part_uv, np.nan),
        uv=spread(texture_coordinates(scene, seen), np.nan),
        rest=spread(seen.rest, np.nan),
        normal=spread(seen.normal, np.nan),
        front=spread(scene.front[seen.face], False),
        back=spread(seen.back, False),
        garment=spread(np.array([mesh.garment for mesh in scene.meshes])[seen.mesh], False),
        corner=spread(seen.corner - scene.first_vertex[seen.mesh, None], -1),
        weight=spread(seen.weight, 0),
    )


def _densepose(scene: Scene, seen: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Part (n,) with the largest share at each hit, and (u, v) (n,2) averaged over the corners of that part."""
    parts, weight = scene.densepose[seen.corner], seen.weight
    share = np.stack([dot(weight, parts == parts[:, k, None]) for k in range(3)], axis=1)
    part = np.take_along_axis(parts, share.argmax(1)[:, None], axis=1)
    weight = weight * (parts == part)
    weight /= (weight[:, 0] + weight[:, 1] + weight[:, 2])[:, None]
    return part[:, 0], interpolate(scene.densepose_uv, seen.corner, weight)
