"""Noise, cameras, ray casting and shading, against closed forms, brute force and each other."""

import logging
import sys

import numpy as np
import pytest

from vtonlib.studio import raycast
from vtonlib.studio.camera import Camera
from vtonlib.studio.lighting import BOUNCE, Light, decode_srgb, encode_srgb, shoulder
from vtonlib.studio.mesh import Mesh, Scene, Surface
from vtonlib.studio.noise import CHUNK, fractal_noise, value_noise, value_noise_gradient
from vtonlib.studio.raycast import NumpyTracer, make_tracer, sample_window
from vtonlib.studio.render import passes, render, trace
from vtonlib.studio.shadows import OCCLUSION_REACH, smooth
from vtonlib.studio.vectors import cosine_directions, cross, dot, unit

try:
    import embreex  # noqa: F401

    HAS_EMBREE = True
except ImportError:
    HAS_EMBREE = False
needs_embree = pytest.mark.skipif(not HAS_EMBREE, reason="no embreex wheel on this machine")
BACKENDS = [pytest.param("embree", marks=needs_embree), "numpy"]

PERSPECTIVE = Camera((0.3, -3.0, 0.4), (0, 0, 0.1), (48, 36), fov=30.0)
ORTHOGRAPHIC = Camera((0.3, -3.0, 0.4), (0, 0, 0.1), (48, 36), half_height=0.8)


def matt(albedo):
    """A shader without gloss."""

    def shade(hit):
        return Surface(np.tile(np.asarray(albedo, np.float32), (len(hit), 1)), specular=0.0, roughness=1.0)

    return shade


def quad(corners, shader=None, label=5, **more):
    """Two triangles from four corners, counter-clockwise."""
    return Mesh(np.asarray(corners, float), [[0, 1, 2], [0, 2, 3]], shader or matt((0.5, 0.5, 0.5)), label, **more)


def uneven_wall(size):
    """A background (H,W,3), linear, that is nowhere the same."""
    height, width = size
    return np.linspace(0.3, 0.8, height * width * 3, dtype=np.float32).reshape(height, width, 3)


def facing(y, half=0.5, **more):
    """An upright square at depth y that faces a camera at -y; uv is its (x, z)."""
    corners = np.array([[-half, y, -half], [half, y, -half], [half, y, half], [-half, y, half]])
    return quad(corners, uv=corners[:, [0, 2]], **more)


def bumpy_ball(rings=40, sectors=60, radius=0.6):
    """A closed ball with dents."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, sectors, endpoint=False))
    reach = radius * (1 + 0.15 * np.sin(5 * around) * np.sin(polar) ** 2)
    x, y, z = np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)
    vertices = (np.stack([x, y, z], -1) * reach[..., None]).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(sectors), np.arange(rings - 1), indexing="ij")
    a, b = i * rings + j, (i + 1) % sectors * rings + j
    faces = np.stack([[a, a + 1, b + 1], [a, b + 1, b]], -1).reshape(3, -1).T
    return vertices.astype(np.float32), faces.astype(np.int32)


def triangle_soup(count=60, seed=0):
    """Random triangles in the unit ball."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-0.6, 0.6, (count, 1, 3))
    corners = centre + rng.normal(0, 0.25, (count, 3, 3))
    return corners.reshape(-1, 3).astype(np.float32), np.arange(3 * count, dtype=np.int32).reshape(-1, 3)


def brute_force(vertices, faces, origins, directions):
    """Every ray against every triangle by solving o + t d = a + u e1 + v e2 in float64."""
    a, b, c = (vertices[faces[:, k]].astype(float) for k in range(3))
    nearest, distance = np.full(len(origins), -1), np.full(len(origins), np.inf)
    weights = np.zeros((len(origins), 2))
    for ray, (origin, direction) in enumerate(zip(origins.astype(float), directions.astype(float))):
        matrix = np.stack([b - a, c - a, np.broadcast_to(-direction, a.shape)], axis=-1)
        u, v, t = np.linalg.solve(matrix, (origin - a)[..., None])[..., 0].T
        t = np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0), t, np.inf)
        if np.isfinite(t.min()):
            nearest[ray], distance[ray] = t.argmin(), t.min()
            weights[ray] = u[t.argmin()], v[t.argmin()]
    return nearest, weights, distance


# ---- noise and vectors


def test_noise_fills_its_range_evenly_and_seeds_are_unrelated():
    points = np.random.default_rng(0).uniform(-50, 50, (40_000, 3)).astype(np.float32)
    one, two = value_noise(points, 1), value_noise(points, 2)
    assert one.dtype == np.float32 and np.abs(one).max() <= 1
    assert abs(one.mean()) < 0.01
    # independent uniform corners (variance 1/3) times the mean of sum of squared weights, (26/35)^3, exactly
    assert one.var() == pytest.approx((26 / 35) ** 3 / 3, rel=0.03)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.02
    assert np.abs(fractal_noise(points, 1, octaves=3)).max() <= 1


def test_noise_is_continuous_and_its_gradient_is_exact():
    points = np.random.default_rng(1).uniform(-3, 3, (2000, 3)).astype(np.float32)
    value, gradient = value_noise_gradient(points, 5)
    np.testing.assert_array_equal(value, value_noise(points, 5))
    step = np.float32(1 / 256)
    for axis in range(3):
        move = np.eye(3, dtype=np.float32)[axis] * step
        ahead, behind = value_noise(points + move, 5), value_noise(points - move, 5)
        assert np.abs(ahead - value).max() <= 3.01 * step  # steepest slope of 3t^2 - 2t^3 is 1.5, corners differ by 2
        np.testing.assert_allclose((ahead - behind) / (2 * step), gradient[:, axis], atol=0.05)


def test_noise_at_a_point_does_not_depend_on_the_other_points():
    points = np.random.default_rng(2).uniform(-3, 3, (2 * CHUNK + 3, 3)).astype(np.float32)
    together = value_noise(points, 9)
    assert value_noise(points[-1:], 9)[0] == together[-1]
    assert value_noise(points[:0], 9).shape == (0,)
    with pytest.raises(ValueError, match=r"\(N,3\)"):
        value_noise(points.T, 9)


def test_cosine_directions_are_cosine_distributed():
    rng = np.random.default_rng(0)
    normal = np.repeat(unit(rng.normal(size=(4, 3)).astype(np.float32)), 20_000, axis=0)
    direction = cosine_directions(normal, rng.random(len(normal), np.float32), rng.random(len(normal), np.float32))
    cosine = dot(direction, normal)
    np.testing.assert_allclose(dot(direction, direction), 1, atol=1e-4)
    assert cosine.min() >= -1e-4
    assert cosine.mean() == pytest.approx(2 / 3, abs=0.005)
    assert (cosine**2).mean() == pytest.approx(1 / 2, abs=0.005)
    sideways = direction - cosine[:, None] * normal
    assert np.abs(sideways.reshape(4, -1, 3).mean(1)).max() < 0.01


def test_vector_helpers():
    a, b = np.random.default_rng(0).normal(size=(2, 50, 3))
    np.testing.assert_allclose(cross(a, b), np.cross(a, b))
    np.testing.assert_array_equal(unit(np.zeros((1, 3), np.float32)), 0)


# ---- camera


@pytest.mark.parametrize("camera", [PERSPECTIVE, ORTHOGRAPHIC], ids=["perspective", "orthographic"])
def test_projecting_a_point_of_a_ray_gives_its_pixel_back(camera):
    rng = np.random.default_rng(0)
    x, y, distance = rng.uniform(0, 36, 200), rng.uniform(0, 48, 200), rng.uniform(0.5, 6, 200)
    origin, direction = camera.rays(x, y)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=1), 1, atol=1e-6)
    points = origin + direction * distance[:, None]
    xy, depth = camera.project(points)
    np.testing.assert_allclose(xy, np.stack([x, y], 1), atol=1e-3)
    np.testing.assert_allclose(depth, (points - camera.eye) @ camera.axes[2], atol=1e-5)
    np.testing.assert_allclose(camera.towards_eye(points.astype(np.float32)), -direction, atol=1e-5)


def test_camera_sees_what_its_field_of_view_says():
    camera = Camera((0, -2, 0), (0, 0, 0), (40, 20), fov=90.0)
    xy, depth = camera.project([[0, 0, 2], [0, 0, -2], [1, 0, 0], [0, -3, 0]])
    np.testing.assert_allclose(xy[:3], [[10, 0], [10, 40], [20, 20]], atol=1e-9)  # up is up, +x is to the right
    np.testing.assert_allclose(depth, [2, 2, 2, -1])
    assert np.isnan(xy[3]).all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({}, "fov or half_height"),
        ({"fov": 20.0, "half_height": 1.0}, "fov or half_height"),
        ({"fov": 180.0}, "between 0 and 180"),
        ({"half_height": 0.0}, "positive"),
        ({"fov": 20.0, "target": (0, -2, 5)}, "straight up"),
    ],
)
def test_camera_refuses_nonsense(change, message):
    with pytest.raises(ValueError, match=message):
        Camera(**{"eye": (0, -2, 0), "target": (0, 0, 0), "size": (4, 4), **change})


# ---- ray casting


@pytest.mark.parametrize("backend", BACKENDS)
def test_rays_hit_what_brute_force_says(backend):
    vertices, faces = triangle_soup()
    tracer = make_tracer(vertices, faces, backend)
    rng = np.random.default_rng(3)
    origins = rng.uniform(-1.5, 1.5, (400, 3)).astype(np.float32)
    directions = unit(rng.uniform(-0.4, 0.4, (400, 3)).astype(np.float32) - origins)
    face, weights, distance = brute_force(vertices, faces, origins, directions)
    found, u, v, t = tracer.intersect(origins, directions)
    assert 100 < (face >= 0).sum() < 400
    np.testing.assert_array_equal(found, face)
    hit = face >= 0
    np.testing.assert_allclose(t[hit], distance[hit], atol=1e-4)
    np.testing.assert_allclose(np.stack([u, v], 1)[hit], weights[hit], atol=1e-3)
    for reach in (0.5, 1.2):
        clear = np.abs(distance - reach) > 1e-3
        np.testing.assert_array_equal(tracer.occluded(origins, directions, reach)[clear], (distance < reach)[clear])
    assert tracer.occluded(origins[:0], directions[:0], 1.0).shape == (0,)


@pytest.mark.parametrize("camera", [PERSPECTIVE, ORTHOGRAPHIC], ids=["perspective", "orthographic"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_camera_sees_what_brute_force_says(backend, camera):
    vertices, faces = triangle_soup(30, seed=1)
    scene = Scene([Mesh(vertices, faces, matt((1, 1, 1)), 5, uv=vertices[:, :2])], backend=backend)
    seen = passes(scene, camera)
    x, y = np.meshgrid(np.arange(36) + 0.5, np.arange(48) + 0.5)
    origins, directions = camera.rays(x.ravel(), y.ravel())
    face, _, distance = brute_force(vertices, faces, origins, directions)
    agree = seen.face.ravel() == face
    assert agree.mean() > 0.999 and 0.2 < (face >= 0).mean() < 0.9
    good = agree & (face >= 0)
    points = origins[good] + directions[good] * distance[good, None]
    np.testing.assert_allclose(seen.rest.reshape(-1, 3)[good], points, atol=1e-4)
    np.testing.assert_allclose(seen.uv.reshape(-1, 2)[good], points[:, :2], atol=1e-4)
    np.testing.assert_allclose(seen.depth.ravel()[good], (points - camera.eye) @ camera.axes[2], atol=1e-4)
    np.testing.assert_array_equal(seen.mask, seen.face >= 0)


@needs_embree
@pytest.mark.parametrize("camera", [PERSPECTIVE, ORTHOGRAPHIC], ids=["perspective", "orthographic"])
def test_z_buffer_and_embree_agree(camera):
    vertices, faces = bumpy_ball()
    window = sample_window(vertices, camera, 4)
    one, two = (make_tracer(vertices, faces, backend).visible(camera, 4, window) for backend in ("embree", "numpy"))
    same = one[0] == two[0]
    assert same.mean() >= 0.999
    np.testing.assert_allclose(one[1][same], two[1][same], atol=5e-3)
    np.testing.assert_allclose(one[2][same], two[2][same], atol=5e-3)
    for here, there in zip(one[0][~same], two[0][~same]):  # what differs lies on an edge that both faces share
        assert here < 0 or there < 0 or len(set(faces[here]) & set(faces[there])) >= 1


@needs_embree
def test_both_backends_give_the_same_photograph_but_for_a_few_edges():
    vertices, faces = bumpy_ball(24, 36)
    floor = quad([[-2, -2, -0.7], [2, -2, -0.7], [2, 2, -0.7], [-2, 2, -0.7]], matt((0.8, 0.5, 0.3)))
    camera = Camera((0.3, -3.0, 0.6), (0, 0, 0), (32, 24), fov=30.0)
    one, two = (
        render(Scene([Mesh(vertices, faces, matt((0.3, 0.5, 0.7)), 5), floor], backend=b), camera, seed=4).astype(int)
        for b in ("embree", "numpy")
    )
    assert (np.abs(one - two).max(-1) > 2).mean() < 0.01


def test_the_z_buffer_splits_large_scenes_without_changing_the_picture(monkeypatch):
    vertices, faces = bumpy_ball(20, 30)
    window = sample_window(vertices, PERSPECTIVE, 2)
    whole = raycast.rasterise(vertices, faces, PERSPECTIVE, 2, window)
    monkeypatch.setattr(raycast, "PROPOSALS_AT_ONCE", 500)
    for a, b in zip(whole, raycast.rasterise(vertices, faces, PERSPECTIVE, 2, window)):
        np.testing.assert_array_equal(a, b)


def test_backend_is_chosen_in_the_open(monkeypatch, caplog):
    vertices, faces = triangle_soup(4)
    with pytest.raises(ValueError, match=r"auto, embree, numpy.*'cuda'"):
        make_tracer(vertices, faces, "cuda")
    for name in ("embreex", "embreex.mesh_construction", "embreex.rtcore_scene"):
        monkeypatch.setitem(sys.modules, name, None)
    raycast._automatic_backend.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert all(isinstance(make_tracer(vertices, faces), NumpyTracer) for _ in range(3))
    assert len(caplog.records) == 1 and "NumPy" in caplog.text
    with pytest.raises(ImportError):
        make_tracer(vertices, faces, "embree")
    raycast._automatic_backend.cache_clear()


# ---- scenes and passes


@pytest.mark.parametrize(
    "field, value",
    [("normals", np.zeros((3, 3))), ("face_uv", np.zeros((1, 3, 2))), ("densepose", np.zeros(7)), ("label", [1, 2, 3])],
)
def test_mesh_names_the_field_that_has_the_wrong_shape(field, value):
    arguments = {"label": 5, field: value}
    with pytest.raises(ValueError, match=rf"Mesh: {field} must have shape"):
        Mesh(np.eye(4, 3), [[0, 1, 2], [1, 2, 3]], matt((1, 1, 1)), **arguments)


def test_mesh_refuses_faces_without_vertices_and_scene_refuses_nothing():
    with pytest.raises(ValueError, match=r"vertices 0\.\.4, there are 4"):
        Mesh(np.eye(4, 3), [[0, 1, 4]], matt((1, 1, 1)), 5)
    with pytest.raises(ValueError, match="at least one mesh"):
        Scene([])


@pytest.mark.parametrize("backend", BACKENDS)
def test_passes_of_two_squares_are_the_closed_form(backend):
    near = facing(-0.5, half=0.25, label=14, densepose=[19, 19, 21, 21], densepose_uv=np.full((4, 2), 0.5))
    far = facing(0.0, half=0.5, label=5, front=[False, False], densepose=[2] * 4)
    far_from_behind = Mesh(far.vertices, far.faces[:, ::-1], far.shader, 5, uv=far.face_uv[0, :1].repeat(4, 0))
    camera = Camera((0, -3, 0), (0, 0, 0), (40, 40), half_height=1.0)
    seen = passes(Scene([near, far], backend), camera)
    place = np.abs((np.arange(40) + 0.5) / 20 - 1)
    reach = np.maximum(place[:, None], place[None])
    np.testing.assert_array_equal(seen.parse, np.where(reach < 0.25, 14, np.where(reach < 0.5, 5, 0)))
    np.testing.assert_array_equal(seen.mesh, np.where(reach < 0.25, 0, np.where(reach < 0.5, 1, -1)))
    np.testing.assert_allclose(seen.depth, np.where(reach < 0.25, 2.5, np.where(reach < 0.5, 3.0, 0)), atol=1e-5)
    x, z = np.meshgrid((np.arange(40) + 0.5) / 20 - 1, 1 - (np.arange(40) + 0.5) / 20)
    np.testing.assert_allclose(seen.uv[seen.mask], np.stack([x, z], -1)[seen.mask], atol=1e-5)
    assert np.isnan(seen.uv[~seen.mask]).all() and np.isnan(seen.rest[~seen.mask]).all()
    np.testing.assert_array_equal(seen.front, reach < 0.25)
    assert not seen.back.any()
    inner = reach < 0.25
    np.testing.assert_array_equal(seen.densepose[inner], np.where(z > 0, 21, 19)[inner])
    np.testing.assert_allclose(seen.densepose_uv[inner], 0.5, atol=1e-6)
    turned = passes(Scene([far_from_behind], backend), camera)
    assert turned.back[turned.mask].all()
    np.testing.assert_allclose(turned.normal[turned.mask], [[0, -1, 0]] * int(turned.mask.sum()), atol=1e-6)


def test_densepose_coordinates_do_not_mix_parts():
    mesh = facing(0.0, densepose=[15, 15, 17, 17], densepose_uv=[[0.9, 0.2], [0.9, 0.2], [0.1, 0.8], [0.1, 0.8]])
    seen = passes(Scene([mesh]), Camera((0, -3, 0), (0, 0, 0), (20, 20), half_height=0.6))
    assert set(np.unique(seen.densepose)) == {0, 15, 17}
    np.testing.assert_allclose(seen.densepose_uv[seen.densepose == 15], [[0.9, 0.2]] * 128, atol=1e-5)
    np.testing.assert_allclose(seen.densepose_uv[seen.densepose == 17], [[0.1, 0.8]] * 128, atol=1e-5)


def test_nothing_in_view_is_an_empty_picture():
    scene = Scene([facing(0.0)])
    away = Camera((0, -3, 0), (0, -6, 0), (8, 6), fov=30.0)
    assert not passes(scene, away).mask.any()
    beside = Camera((50, -3, 0), (50, 0, 0), (8, 6), fov=30.0)
    assert not passes(scene, beside).mask.any()
    assert (render(scene, beside, background=(1, 1, 1), noise=0) == 255).all()


def test_window_covers_every_hit():
    vertices, faces = bumpy_ball(20, 30)
    scene = Scene([Mesh(vertices, faces, matt((1, 1, 1)), 5)])
    everywhere = scene.tracer.visible(PERSPECTIVE, 2, (0, 96, 0, 72))[0]
    seen = trace(scene, PERSPECTIVE, 2)
    assert len(seen.cell) == (everywhere >= 0).sum() > 500


# ---- light and pictures


def test_srgb_round_trip_and_known_values():
    levels = np.arange(256) / 255
    np.testing.assert_allclose(encode_srgb(decode_srgb(levels)), levels, atol=1e-5)
    np.testing.assert_allclose(encode_srgb(np.array([0, 0.0031308, 0.214041, 1])), [0, 0.04045, 0.5, 1], atol=1e-4)


def test_shoulder_is_smooth_rising_and_below_one():
    x = np.linspace(0, 5, 20_001)
    y = shoulder(x)
    np.testing.assert_array_equal(y[x < 0.6], x[x < 0.6])
    slope = np.diff(y) / np.diff(x)
    assert (slope > 0).all() and y.max() < 1
    assert np.abs(np.diff(slope)).max() < 1e-3  # no kink at the joint


def test_a_matt_wall_has_the_colour_that_lambert_says():
    light = Light(key=(0, -20, 0), key_radius=1e-4, key_strength=0.5, fill_strength=0.0, ambient=0.0)
    wall = facing(0.0, half=0.3, shader=matt((0.4, 0.6, 0.8)))
    camera = Camera((0, -3, 0), (0, 0, 0), (16, 16), half_height=0.2)
    picture = render(Scene([wall]), camera, light=light, noise=0)
    np.testing.assert_allclose(
        picture / 255, np.broadcast_to(encode_srgb(np.array([0.2, 0.3, 0.4])), (16, 16, 3)), atol=0.004
    )
    oblique = Light(key=(20, -20, 0), key_radius=1e-4, key_strength=0.5, fill_strength=0.0, ambient=0.0)
    picture = render(Scene([wall]), camera, light=oblique, noise=0)
    expected = encode_srgb(np.array([0.2, 0.3, 0.4]) / np.sqrt(2))
    np.testing.assert_allclose(picture[8, 8] / 255, expected, atol=0.006)


def test_a_plate_throws_a_shadow_and_both_sides_of_cloth_are_lit():
    light = Light(key=(0, -20, 20), key_radius=1e-4, key_strength=0.5, fill_strength=0.0, ambient=0.0)
    wall = facing(0.0, half=1.0)
    # a bar above the camera's line of sight: its shadow falls 0.4 m lower, as the light comes from 45 degrees above
    bar = quad([[-1, -0.4, 0.3], [1, -0.4, 0.3], [1, -0.4, 0.5], [-1, -0.4, 0.5]], matt((1, 1, 1)))
    camera = Camera((0, -3, 0), (0, 0, 0), (80, 20), half_height=0.8)
    picture = render(Scene([wall, bar]), camera, light=light, noise=0)[:, 10, 0] / 255
    z = 0.8 - (np.arange(80) + 0.5) / 50
    shadow, lit = np.abs(z) < 0.035, (z < -0.2) | (z > 0.6)  # away from the smoothed rim of the shadow
    assert (picture[shadow] < 0.02).all()
    np.testing.assert_allclose(picture[lit], encode_srgb(np.array(0.5 * 0.5 / np.sqrt(2))), atol=0.01)


def test_a_corner_is_as_open_as_the_closed_form_says():
    light = Light(key_strength=0.0, fill_strength=0.0, ambient=0.5, rim=0.0)
    wall = facing(0.0, half=2.0, shader=matt((0.5, 0.5, 0.5)))
    side = quad([[0, -4, -2], [0, 0, -2], [0, 0, 2], [0, -4, 2]], matt((0, 0, 0)))
    camera = Camera((-0.2, -3, 0), (-0.2, 0, 0), (60, 60), half_height=0.2)
    picture = decode_srgb(render(Scene([wall, side]), camera, light=light, noise=0, ao_rays=256)[..., 0] / 255)
    # cosine-weighted directions fill a unit disc evenly; the other wall takes the part beyond distance / reach
    share = (0.4 - (np.arange(60) + 0.5) * (0.4 / 60)) / OCCLUSION_REACH
    share = np.minimum(share, 1)
    openness = 0.5 + (share * np.sqrt(1 - share**2) + np.arcsin(share)) / np.pi
    expected = 0.5 * 0.5 * 0.86 * (BOUNCE + (1 - BOUNCE) * openness)
    np.testing.assert_allclose(picture.mean(0)[:-4], expected[:-4], rtol=0.02)  # the last are smoothed one-sidedly


def test_same_seed_same_bytes():
    vertices, faces = bumpy_ball(20, 30)
    scene = Scene([Mesh(vertices, faces, matt((0.3, 0.5, 0.7)), 5)])
    wall = uneven_wall(PERSPECTIVE.size)
    one = render(scene, PERSPECTIVE, background=wall, seed=1)
    again = render(Scene(scene.meshes), PERSPECTIVE, background=wall, seed=1)
    assert one.tobytes() == again.tobytes() and one.shape == (48, 36, 3) and one.dtype == np.uint8
    assert one.tobytes() != render(scene, PERSPECTIVE, background=wall, seed=2).tobytes()


def test_background_is_shown_as_it_is_and_edges_are_smooth():
    wall = uneven_wall((48, 36))
    scene = Scene([facing(0.0, half=0.3)])
    picture = render(scene, PERSPECTIVE, background=wall, noise=0)
    empty = ~passes(scene, PERSPECTIVE).mask
    empty[1:] &= empty[:-1]
    empty[:-1] &= empty[1:]
    empty[:, 1:] &= empty[:, :-1]
    empty[:, :-1] &= empty[:, 1:]
    np.testing.assert_allclose(picture[empty] / 255, encode_srgb(wall)[empty], atol=0.003)
    edge = Camera((0.01, -3, 0), (0.01, 0, 0), (8, 8), half_height=0.08)  # the square's edge crosses pixels
    half_white = render(Scene([facing(0.0, half=0.037)]), edge, background=(0, 0, 0), noise=0)
    assert len(np.unique(half_white[4, :, 0])) >= 3


def test_grain_has_the_strength_that_is_asked_for():
    scene = Scene([facing(0.0, half=0.01)])
    plain = render(scene, ORTHOGRAPHIC, background=(0.2, 0.2, 0.2), noise=0.02)[:10] / 255
    assert plain.std() == pytest.approx(0.02, rel=0.08)


def test_occlusion_rays_must_fill_the_samples():
    with pytest.raises(ValueError, match=r"multiple of samples\^2 = 4, got 6"):
        render(Scene([facing(0.0)]), PERSPECTIVE, ao_rays=6)


def test_smoothing_keeps_edges_and_removes_noise():
    rng = np.random.default_rng(0)
    mesh = np.zeros((40, 40), np.int16)
    mesh[:, 20:] = 1
    depth, normal = np.ones((40, 40), np.float32), np.zeros((3, 40, 40), np.float32)
    normal[2] = 1
    steps = np.where(mesh == 0, 0.2, 0.9).astype(np.float32)[None]
    np.testing.assert_allclose(smooth(steps, mesh, depth, normal, 3), steps, atol=1e-6)
    noisy = steps + rng.normal(0, 0.1, steps.shape).astype(np.float32)
    calm = smooth(noisy, mesh, depth, normal, 3)
    # one level of 1/4, 1/8, 1/16 taps leaves 9/64 of the variance of white noise
    inner = (0, slice(4, -4), slice(4, 16))
    assert smooth(noisy, mesh, depth, normal, 1)[inner].std() == pytest.approx(0.1 * np.sqrt(9 / 64), rel=0.2)
    assert (calm - steps)[inner].std() < 0.02
    assert np.abs(calm[0, :, 19] - 0.2).max() < 0.15 and np.abs(calm[0, :, 20] - 0.9).max() < 0.15
    step = depth.copy()
    step[:20] += 0.1
    jump = np.where(step > 1.05, 1.0, 0.0).astype(np.float32)[None]
    np.testing.assert_allclose(smooth(jump, np.zeros_like(mesh), step, normal, 2), jump, atol=1e-6)
