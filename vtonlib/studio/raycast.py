"""What rays hit: with Embree where its wheel exists, else with NumPy alone.

Both tracers answer the same three questions about one triangle mesh: what a camera sees, what arbitrary rays hit first,
and whether anything is in the way. `EmbreeTracer` traces rays for all three. `NumpyTracer` rasterises the camera's
view into a z-buffer (E. Catmull 1974) and walks a grid of triangles for the other two; it is far slower.

Convention: barycentric weights of a hit are (1-u-v, u, v) for the corners of its face; face -1 means nothing is hit.
Camera samples lie on a grid, `samples` to a pixel's side: sample k has the pixel coordinate (k + 0.5) / samples.
"""

from __future__ import annotations

import logging
from functools import cached_property, lru_cache

import numpy as np

from .camera import Camera
from .vectors import cross, dot

BACKENDS = ("auto", "embree", "numpy")
GRID_CELLS = 96  # cubes along the longest side of the NumPy grid
MOST_SURFACES = 32  # that a ray is followed through
STEP_ON = 1e-5  # metres behind a surface from which such a ray goes on
RAYS_AT_ONCE = 8192  # rays that walk the NumPy grid together: bounds its memory
PROPOSALS_AT_ONCE = 1 << 19  # samples that faces propose themselves to together, in the z-buffer
_log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def _automatic_backend() -> str:
    """The backend that "auto" means on this machine; says so once a process."""
    try:
        import embreex  # noqa: F401
    except ImportError:
        _log.warning("studio: no embreex here, rays are cast with NumPy (the same passes, slower)")
        return "numpy"
    _log.info("studio: rays are cast with Embree")
    return "embree"


def make_tracer(vertices: np.ndarray, faces: np.ndarray, backend: str = "auto") -> EmbreeTracer | NumpyTracer:
    """A tracer over vertices (V,3) float32 and faces (F,3) int32.

    backend: "embree", "numpy", or "auto" for Embree where it is installed (logged once). Raises ValueError for another
    name and ImportError for "embree" where the package embreex is missing.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    chosen = _automatic_backend() if backend == "auto" else backend
    return (EmbreeTracer if chosen == "embree" else NumpyTracer)(vertices, faces)


def sample_window(vertices: np.ndarray, camera: Camera, samples: int) -> tuple[int, int, int, int]:
    """Rows and columns (top, bottom, left, right; end exclusive) of the sample grid that may see any vertex."""
    height, width = camera.size[0] * samples, camera.size[1] * samples
    low, high = vertices.min(0), vertices.max(0)
    # whatever lies in the bounding box is seen inside the outline of its eight corners
    box = np.stack(np.meshgrid(*zip(low, high)), axis=-1).reshape(-1, 3)
    xy, _ = camera.project(box)
    if np.isnan(xy).any():
        return 0, height, 0, width  # part of the mesh is beside or behind the eye: no bounding rectangle
    (left, top), (right, bottom) = np.floor(xy.min(0) * samples), np.ceil(xy.max(0) * samples)
    rows = np.clip([top, bottom], 0, height).astype(int)
    columns = np.clip([left, right], 0, width).astype(int)
    return int(rows[0]), int(rows[1]), int(columns[0]), int(columns[1])


def window_centres(window: tuple[int, int, int, int], samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates x, y (N,) float32 of the samples of a window, row by row."""
    top, bottom, left, right = window
    y = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5)) / np.float32(samples)
    x = (np.arange(left, right, dtype=np.float32) + np.float32(0.5)) / np.float32(samples)
    grid_x, grid_y = np.broadcast_to(x, (len(y), len(x))), np.broadcast_to(y[:, None], (len(y), len(x)))
    return grid_x.ravel(), grid_y.ravel()


class EmbreeTracer:
    """Rays through Intel Embree (package embreex)."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray):
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self.vertices = vertices
        self._scene = EmbreeScene(robust=True)  # watertight: no ray slips through between two faces
        TriangleMesh(self._scene, np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.int32))

    def intersect(self, origins: np.ndarray, directions: np.ndarray):
        """First hits of rays (N,3), (N,3): face (N,) int32, u, v, distance (N,) float32 (in lengths of direction)."""
        if len(origins) == 0:
            return _no_hits(0)
        origins, directions = _contiguous(origins, directions)
        hit = self._scene.run(origins, directions, query="INTERSECT", output=True)
        return hit["primID"], hit["u"], hit["v"], hit["tfar"]

    def occluded(self, origins: np.ndarray, directions: np.ndarray, distance: np.ndarray | float) -> np.ndarray:
        """Whether (N,) anything lies within `distance` ((N,) or scalar) along rays (N,3), (N,3)."""
        if len(origins) == 0:
            return np.zeros(0, bool)
        origins, directions = _contiguous(origins, directions)
        far = np.array(np.broadcast_to(np.asarray(distance, np.float32), len(origins)))
        return self._scene.run(origins, directions, dists=far, query="OCCLUDED") >= 0

    def behind(self, origins: np.ndarray, directions: np.ndarray, start: np.ndarray, faces: tuple[int, int]):
        """First hits beyond start (N,) along rays (N,3), (N,3) among faces (first, last + 1), through all others:
        face, u, v (N,), face -1 if none."""
        return _go_through(self.intersect, origins, directions, start, faces)

    def visible(self, camera: Camera, samples: int, window: tuple[int, int, int, int]):
        """face, u, v (N,) at the samples of a window of the camera's grid, row by row (`sample_window`)."""
        return self.intersect(*camera.rays(*window_centres(window, samples)))[:3]


class NumpyTracer:
    """The same answers from NumPy: a z-buffer for cameras, a grid of triangles for other rays."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray):
        self.vertices, self.faces = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)

    @cached_property
    def _grid(self) -> TriangleGrid:
        return TriangleGrid(self.vertices, self.faces)

    def intersect(self, origins: np.ndarray, directions: np.ndarray):
        """As `EmbreeTracer.intersect`."""
        return self._march(origins, directions, np.inf, any_hit=False)

    def occluded(self, origins: np.ndarray, directions: np.ndarray, distance: np.ndarray | float) -> np.ndarray:
        """As `EmbreeTracer.occluded`."""
        return self._march(origins, directions, distance, any_hit=True)[0] >= 0

    def behind(self, origins: np.ndarray, directions: np.ndarray, start: np.ndarray, faces: tuple[int, int]):
        """As `EmbreeTracer.behind`."""
        return _go_through(self.intersect, origins, directions, start, faces)

    def visible(self, camera: Camera, samples: int, window: tuple[int, int, int, int]):
        """As `EmbreeTracer.visible`, by rasterising every face into a z-buffer."""
        return rasterise(self.vertices, self.faces, camera, samples, window)

    def _march(self, origins: np.ndarray, directions: np.ndarray, far: np.ndarray | float, any_hit: bool):
        origins, directions = _contiguous(origins, directions)
        far = np.broadcast_to(np.asarray(far, np.float32), len(origins))
        starts = range(0, max(len(origins), 1), RAYS_AT_ONCE)
        parts = [slice(start, start + RAYS_AT_ONCE) for start in starts]
        hits = [self._grid.march(origins[part], directions[part], far[part], any_hit) for part in parts]
        return tuple(np.concatenate(values) for values in zip(*hits))


def _go_through(intersect, origins: np.ndarray, directions: np.ndarray, start: np.ndarray, faces: tuple[int, int]):
    """Follow rays from hit to hit until they meet one of the faces (first, last + 1), or nothing any more."""
    face, u, v, _ = _no_hits(len(origins))
    alive, distance = np.arange(len(origins)), np.asarray(start, np.float32)
    for _ in range(MOST_SURFACES):
        if not len(alive):
            break
        distance = distance + np.float32(STEP_ON)
        ahead = directions[alive]
        hit, hit_u, hit_v, further = intersect(origins[alive] + ahead * distance[:, None], ahead)
        found = (hit >= faces[0]) & (hit < faces[1])
        rows = alive[found]
        face[rows], u[rows], v[rows] = hit[found], hit_u[found], hit_v[found]
        on = (hit >= 0) & ~found
        alive, distance = alive[on], (distance + further)[on]
    return face, u, v


class TriangleGrid:
    """A grid of cubes over the scene, each with the list of triangles whose bounding box touches it.

    Rays walk from cube to cube (Amanatides and Woo, "A fast voxel traversal algorithm", 1987), all of them at once.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray):
        corners = vertices[faces]
        first = corners[:, 0]
        self._triangles = first, corners[:, 1] - first, corners[:, 2] - first
        lowest, highest = corners.min((0, 1)), corners.max((0, 1))
        self._edge = np.float32(max((highest - lowest).max() / GRID_CELLS, 1e-6))
        self._low = lowest - np.float32(0.01) * self._edge
        self._shape = np.maximum(np.ceil((highest - self._low) / self._edge + 0.01), 1).astype(np.int64)
        # a little wider than the triangle, as rays and triangles are rounded differently
        from_cell = self._cell(corners.min(1) - np.float32(1e-3) * self._edge)
        extent = self._cell(corners.max(1) + np.float32(1e-3) * self._edge) - from_cell + 1
        face, place = _enumerate(extent.prod(1))
        x, rest = np.divmod(place, extent[face, 1] * extent[face, 2])
        y, z = np.divmod(rest, extent[face, 2])
        cell = self._flat(from_cell[face] + np.stack([x, y, z], axis=1))
        self._content = face[np.argsort(cell, kind="stable")]
        self._start = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=self._shape.prod()))])

    def _cell(self, points: np.ndarray) -> np.ndarray:
        return np.clip(np.floor((points - self._low) / self._edge).astype(np.int64), 0, self._shape - 1)

    def _flat(self, cell: np.ndarray) -> np.ndarray:
        return (cell[:, 0] * self._shape[1] + cell[:, 1]) * self._shape[2] + cell[:, 2]

    def march(self, origins: np.ndarray, directions: np.ndarray, far: np.ndarray, any_hit: bool):
        """First hits of rays nearer than far (N,), or any such hit: face, u, v, distance (N,); face -1 if none."""
        face, u, v, _ = _no_hits(len(origins))
        nearest = far.copy()
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1 / directions
            one, two = ((bound - origins) * inverse for bound in (self._low, self._low + self._shape * self._edge))
            enter, leave = np.fmax(np.fmin(one, two).max(1), 0), np.fmax(one, two).min(1)
            alive = np.flatnonzero((enter <= leave) & (enter < far))
            cell = self._cell(origins + directions * np.where(np.isfinite(enter), enter, 0)[:, None])
            step = np.where(directions < 0, -1, 1)
            # distance at which the ray leaves its cube along each axis, and from one cube to the next
            border = (self._low + (cell + (step > 0)) * self._edge - origins) * inverse
            border = np.where(directions == 0, np.inf, border).astype(np.float32)
            stride = (self._edge * np.abs(inverse)).astype(np.float32)
        while len(alive):
            flat = self._flat(cell[alive])
            which, place = _enumerate(self._start[flat + 1] - self._start[flat])
            ray, candidate = alive[which], self._content[self._start[flat][which] + place]
            t, s, r, inside = _ray_triangle(
                origins[ray], directions[ray], *(part[candidate] for part in self._triangles)
            )
            inside &= t < nearest[ray]
            ray, candidate, t, s, r = (values[inside] for values in (ray, candidate, t, s, r))
            order = np.lexsort((t, ray))[::-1]  # written last: the nearest
            face[ray[order]], nearest[ray[order]] = candidate[order], t[order]
            u[ray[order]], v[ray[order]] = s[order], r[order]
            axis = border[alive].argmin(1)
            on = nearest[alive] > border[alive, axis]
            if any_hit:
                on &= face[alive] < 0
            alive, axis = alive[on], axis[on]
            cell[alive, axis] += step[alive, axis]
            border[alive, axis] += stride[alive, axis]
            inside = (cell[alive, axis] >= 0) & (cell[alive, axis] < self._shape[axis])
            alive = alive[inside]
        return face, u, v, np.where(face >= 0, nearest, np.inf)


def _enumerate(count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For counts (N,): the owner and the running number of each of sum(count) items."""
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)


def _ray_triangle(origin, direction, corner, edge_1, edge_2):
    """Moller and Trumbore 1997, row by row: distance, u, v, and whether it is a hit in front of the origin."""
    p = cross(direction, edge_2)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / dot(edge_1, p)
        s = origin - corner
        u = dot(s, p) * scale
        q = cross(s, edge_1)
        v = dot(direction, q) * scale
        distance = dot(edge_2, q) * scale
        inside = (u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 0)
    return distance, u, v, inside


def rasterise(vertices: np.ndarray, faces: np.ndarray, camera: Camera, samples: int, window: tuple[int, int, int, int]):
    """Z-buffer: the nearest face at each sample of a window, row by row: face, u, v (N,) as `EmbreeTracer.visible`.

    Every face proposes itself to all samples in its bounding rectangle; among proposals inside the face the nearest
    wins, at equal depth the lower face number. Weights are perspective-correct. Faces that reach behind a perspective
    camera are not drawn.
    """
    top, bottom, left, right = window
    shape = (bottom - top, right - left)
    face, u, v, _ = _no_hits(shape[0] * shape[1])
    if face.size == 0:
        return face, u, v
    xy, depth = camera.project(vertices)
    corner = (xy * samples - 0.5 - (left, top))[faces]  # sample centres are now integers
    usable = np.isfinite(corner).all((1, 2))
    low = np.clip(np.ceil(np.where(usable[:, None], corner.min(1), 0)), 0, None).astype(np.int64)
    high = np.clip(np.floor(np.where(usable[:, None], corner.max(1), -1)), -1, (shape[1] - 1, shape[0] - 1)).astype(
        np.int64
    )
    extent = np.maximum(high - low + 1, 0) * usable[:, None]
    count = extent.prod(1)
    nearest = np.full(face.size, np.inf)
    for part in _split_by_count(count, PROPOSALS_AT_ONCE):
        owner, place = _enumerate(count[part])
        index = part[owner]
        x, y = low[index, 0] + place % extent[index, 0], low[index, 1] + place // extent[index, 0]
        weight = _screen_weights(corner[index], x, y)
        inside = (weight >= 0).all(1)
        index, cell, weight = index[inside], (y * shape[1] + x)[inside], weight[inside]
        z = depth[faces[index]]
        if camera.fov is not None:
            weight = weight / z
            weight /= weight.sum(1, keepdims=True)
        z = (weight * z).sum(1)
        order = np.lexsort((index, z, cell))
        first = order[np.concatenate([[True], np.diff(cell[order]) > 0])] if len(order) else order
        first = first[z[first] < nearest[cell[first]]]
        nearest[cell[first]], face[cell[first]] = z[first], index[first]
        u[cell[first]], v[cell[first]] = weight[first, 1], weight[first, 2]
    return face, u, v


def _screen_weights(corner: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Barycentric weights (N,3) of points x, y (N,) in triangles (N,3,2) of the picture plane; NaN if degenerate."""
    one, two = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    dx, dy = x - corner[:, 0, 0], y - corner[:, 0, 1]
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = (dx * two[:, 1] - dy * two[:, 0]) / area
        v = (one[:, 0] * dy - one[:, 1] * dx) / area
        return np.stack([1 - u - v, u, v], axis=1)


def _split_by_count(count: np.ndarray, most: int) -> list[np.ndarray]:
    """Indices of the faces that propose anything, in pieces of about `most` proposals."""
    index = np.flatnonzero(count)
    if len(index) == 0:
        return []
    total = np.cumsum(count[index])
    return np.split(index, np.searchsorted(total, np.arange(most, total[-1], most)))


def _no_hits(count: int):
    missing = np.full(count, -1, np.int32)
    return missing, np.zeros(count, np.float32), np.zeros(count, np.float32), np.full(count, np.inf, np.float32)


def _contiguous(*arrays: np.ndarray) -> list[np.ndarray]:
    return [np.ascontiguousarray(array, np.float32) for array in arrays]
