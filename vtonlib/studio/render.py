"""From a scene to a photograph and its passes: deferred shading of what each camera sample hits.

First one ray a sample finds what is seen (`trace`), then each mesh's shader is asked for colour and gloss of all its
points at once, then shadow and occlusion rays are cast and smoothed, then light is added up. Nothing is traced twice
and nothing is noisy but shadows. `passes` does the same trace with one sample in the middle of every pixel, so that
annotations and photograph agree by construction.

Source: Dammertz et al. 2010 (edge-avoiding a-trous filter).

Convention: (H,W,...) arrays, row 0 on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import Camera
from .lighting import STUDIO_LIGHT, Light, Material, encode_srgb, light_up, shoulder
from .mesh import Hit, Scene
from .raycast import sample_window
from .vectors import cosine_directions, dot, unit

OCCLUSION_REACH = 0.35  # metres within which a neighbouring surface takes ambient light away
RAY_START = 0.002  # metres that shadow rays start off the surface, so that they do not hit where they come from


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


def trace(scene: Scene, camera: Camera, samples: int) -> Trace:
    """What a camera sees with samples x samples regular samples a pixel."""
    top, bottom, left, right = sample_window(scene.vertices, camera, samples)
    window = (top // samples * samples, -(-bottom // samples) * samples,
              left // samples * samples, -(-right // samples) * samples)  # fmt: skip
    face, u, v = scene.tracer.visible(camera, samples, window)
    cell = np.flatnonzero(face >= 0)
    face, u, v = face[cell], u[cell], v[cell]
    corner, weight = scene.faces[face], np.stack([1 - u - v, u, v], axis=1)
    attributes = interpolate(scene.attributes, corner, weight)
    position = np.ascontiguousarray(attributes[:, :3])
    view = camera.towards_eye(position)
    normal = unit(attributes[:, 3:6])
    back = dot(normal, view) < 0
    normal *= np.where(back, np.float32(-1), np.float32(1))[:, None]
    return Trace(
        window, cell, face, corner, weight, position, normal, view,
        np.ascontiguousarray(attributes[:, 6:9]), attributes[:, 9].copy(), back, scene.mesh_index[face],
    )  # fmt: skip


def interpolate(table: np.ndarray, corner: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Values (n,C) of a vertex table (V,C) at hits: corner (n,3) vertex numbers, weight (n,3)."""
    value = table[corner[:, 0]] * weight[:, :1]
    value += table[corner[:, 1]] * weight[:, 1:2]
    value += table[corner[:, 2]] * weight[:, 2:]
    return value


def texture_coordinates(scene: Scene, seen: Trace) -> np.ndarray:
    """Texture coordinates (n,2) of all hits."""
    corners, weight = scene.face_uv[seen.face], seen.weight[:, :, None]
    return corners[:, 0] * weight[:, 0] + corners[:, 1] * weight[:, 1] + corners[:, 2] * weight[:, 2]


def _materials(scene: Scene, seen: Trace) -> Material:
    n = len(seen.cell)
    material = Material(
        np.empty((n, 3), np.float32), *(np.empty(n, np.float32) for _ in range(4)), seen.normal.copy(),
        np.zeros(n, bool), np.zeros((n, 3), np.float32),
    )  # fmt: skip
    uv, front = texture_coordinates(scene, seen), scene.front[seen.face]
    for number, mesh in enumerate(scene.meshes):
        points = np.flatnonzero(seen.mesh == number)
        if len(points) == 0:
            continue
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


def _visibility(scene: Scene, seen: Trace, light: Light, samples: int, ao_rays: int, noise: _SampleNoise) -> np.ndarray:
    """Raw key-light visibility and ambient openness (n,2) in [0,1], one shadow ray and a few others a sample.

    The occlusion rays of a pixel are stratified over its samples; `smooth` brings them together.
    """
    n = len(seen.cell)
    start = seen.position + seen.normal * np.float32(RAY_START)
    result = np.ones((n, 2), np.float32)
    lamp = noise.normal(3) * np.float32(light.key_radius)
    towards = lamp + np.asarray(light.key, np.float32) - start
    distance = np.sqrt(dot(towards, towards))
    towards /= distance[:, None]
    lit = np.flatnonzero(dot(seen.normal, towards) > -0.2)  # the others face away and get no key light anyway
    result[lit, 0] = ~scene.tracer.occluded(start[lit], towards[lit], distance[lit])
    per_sample = ao_rays // samples**2
    row, column = np.divmod(seen.cell, seen.shape[1])
    stratum = (row % samples * samples + column % samples).astype(np.float32)
    opened = np.zeros(n, np.float32)
    for k in range(per_sample):
        turn, jitter = noise.uniform(2).T
        height = (k * samples**2 + stratum + jitter) / np.float32(ao_rays)
        opened += ~scene.tracer.occluded(start, cosine_directions(seen.normal, turn, height), OCCLUSION_REACH)
    result[:, 1] = opened / per_sample
    return result


class _SampleNoise:
    """Random numbers that belong to places of the sample grid, whatever is hit there: where two scenes look the same,
    so do their photographs, to the grain."""

    def __init__(self, seen: Trace, camera: Camera, samples: int, seed: int):
        top, _, left, _ = seen.window
        row, column = np.divmod(seen.cell, max(seen.shape[1], 1))
        self._grid = (camera.size[0] * samples, camera.size[1] * samples)
        self._place = (row + top) * self._grid[1] + column + left
        self._rng = np.random.default_rng([seed, 0])

    def normal(self, count: int) -> np.ndarray:
        """(n,count) standard normal numbers."""
        return self._rng.standard_normal((self._grid[0] * self._grid[1], count), dtype=np.float32)[self._place]

    def uniform(self, count: int) -> np.ndarray:
        """(n,count) numbers in [0,1)."""
        return self._rng.random((self._grid[0] * self._grid[1], count), dtype=np.float32)[self._place]


def smooth(values: np.ndarray, mesh: np.ndarray, depth: np.ndarray, normal: np.ndarray, levels: int) -> np.ndarray:
    """Edge-avoiding a-trous filter (Dammertz et al. 2010) of values (H,W,C) with 3x3 taps, 1, 2, 4... apart.

    Only neighbours on the same mesh (H,W), within 4 cm of depth (H,W) and with normals (H,W,3) less than 32 degrees
    apart are averaged; mesh -1 (nothing) is left alone.
    """
    for level in range(levels):
        step = 2**level
        total, share = values * np.float32(0.25), np.full(mesh.shape, 0.25, np.float32)
        for down, right, tap in ((0, step, 0.125), (step, 0, 0.125), (step, step, 0.0625), (step, -step, 0.0625)):
            here, there = _shifted(down, right, mesh.shape)
            alike = (mesh[here] == mesh[there]) & (np.abs(depth[here] - depth[there]) < 0.04)
            a, b = normal[here], normal[there]
            alike &= a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2] > 0.85
            weight = alike * np.float32(tap)
            share[here] += weight
            share[there] += weight
            for channel in range(values.shape[2]):
                total[*here, channel] += weight * values[*there, channel]
                total[*there, channel] += weight * values[*here, channel]
        values = total / share[..., None]
    return values


def _shifted(down: int, right: int, shape: tuple[int, int]):
    """Index pairs (here, there) of all places whose neighbour `down`, `right` lies in a grid of this shape."""
    height, width = shape
    rows, below = slice(0, max(height - down, 0)), slice(down, None)
    columns, beside = slice(0, max(width - right, 0)), slice(right, None)
    if right < 0:
        columns, beside = slice(-right, None), slice(0, max(width + right, 0))
    return (rows, columns), (below, beside)


def studio_background(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A lit grey wall (H,W,3), linear: brightness 0.62-0.9 before the tone curve, tinted, darker in the corners."""
    height, width = size
    brightness, tint = rng.uniform(0.62, 0.9), 1 + rng.normal(0, 0.02, 3)
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    fall_off = 1.02 - 0.18 * ((x[None] - 0.45) ** 2 + (y[:, None] - 0.4) ** 2)
    return shoulder((brightness * fall_off[..., None] * tint).astype(np.float32))


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
    seen = trace(scene, camera, samples)
    if len(seen.cell):
        _paint(picture, scene, camera, seen, light, samples, ao_rays, exposure, seed)
    grain = np.random.default_rng([seed, 1]).standard_normal(picture.shape, dtype=np.float32) * np.float32(noise)
    return (np.clip(encode_srgb(np.clip(picture, 0, 1)) + grain, 0, 1) * 255 + 0.5).astype(np.uint8)


def _paint(picture, scene, camera, seen, light, samples, ao_rays, exposure, seed) -> None:
    """Draw the hits over the background, in place; tone curve per sample, so that bright edges stay smooth."""
    material = _materials(scene, seen)
    raw = _visibility(scene, seen, light, samples, ao_rays, _SampleNoise(seen, camera, samples, seed))
    depth = (seen.position - np.asarray(camera.eye, np.float32)) @ camera.axes[2].astype(np.float32)
    levels = 3 + int(np.log2(max(camera.size[0] / 256, 1)))  # about the same width in the picture at any size
    smoothed = smooth(
        seen.grid(raw, 0), seen.grid(seen.mesh, -1), seen.grid(depth, 0), seen.grid(seen.normal, 0), levels
    )
    visibility = smoothed.reshape(-1, 2)[seen.cell]
    colour = shoulder(light_up(seen.position, seen.view, material, visibility, light) * np.float32(exposure))
    top, bottom, left, right = (edge // samples for edge in seen.window)
    part = picture[top:bottom, left:right].repeat(samples, 0).repeat(samples, 1).reshape(-1, 3)
    part[seen.cell] = colour
    part = part.reshape(bottom - top, samples, right - left, samples, 3)
    total = sum(part[:, row, :, column] for row in range(samples) for column in range(samples))
    picture[top:bottom, left:right] = total / np.float32(samples**2)


@dataclass(frozen=True)
class Passes:
    """Exact annotations (H,W,...) at the pixel centres of a camera's picture.

    mask bool: anything is seen; parse u8: LIP-20, 0 where nothing is; mesh i16: number of the mesh in the scene and
    face i32: of the face, -1 where nothing is; depth f32: metres along the view direction, 0 where nothing is;
    densepose u8: part 0-24; front, back bool: the face belongs to the front of a garment, the inside of the surface is
    seen; densepose_uv and uv (H,W,2), rest and normal (H,W,3) f32, NaN where nothing is.
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


def passes(scene: Scene, camera: Camera) -> Passes:
    """The annotations of `render(scene, camera)`: one ray through every pixel centre."""
    seen = trace(scene, camera, 1)
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
    )


def _densepose(scene: Scene, seen: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Part (n,) with the largest share at each hit, and (u, v) (n,2) averaged over the corners of that part."""
    parts, weight = scene.densepose[seen.corner], seen.weight
    share = np.stack([dot(weight, parts == parts[:, k, None]) for k in range(3)], axis=1)
    part = np.take_along_axis(parts, share.argmax(1)[:, None], axis=1)
    weight = weight * (parts == part)
    weight /= (weight[:, 0] + weight[:, 1] + weight[:, 2])[:, None]
    return part[:, 0], interpolate(scene.densepose_uv, seen.corner, weight)
