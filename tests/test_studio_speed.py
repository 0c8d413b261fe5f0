"""What was made fast gives what the slow way gives: cloth, skinning, passes of one mesh alone, pictures in bands."""

import numpy as np
import pytest

from vtonlib.studio import render as rendering
from vtonlib.studio.body import CANONICAL_PHENOTYPE, body_pack, forward_kinematics, rest_body, rotation, skin_vertices
from vtonlib.studio.camera import Camera
from vtonlib.studio.drape import Cloth
from vtonlib.studio.mesh import Mesh, Scene, Surface
from vtonlib.studio.render import passes, passes_alone, render

CAMERA = Camera(eye=(0, -3, 0), target=(0, 0, 0), size=(96, 72), fov=30.0)


def grey(hit):
    return Surface(np.full((len(hit), 3), 0.5, np.float32))


def card(y, x=0.0, half=0.5):
    """An upright square in front of the camera, at depth y and shifted by x."""
    corners = [[x - half, y, -half], [x + half, y, -half], [x + half, y, half], [x - half, y, half]]
    return Mesh(np.array(corners), [[0, 1, 2], [0, 2, 3]], grey, 5, uv=np.array(corners)[:, [0, 2]])


def test_one_pass_over_the_cloth_is_the_textbook_one():
    side = 6
    index = np.arange(side * side).reshape(side, side)
    quads = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], -1).reshape(-1, 4)
    cloth, rng = Cloth(quads, side * side), np.random.default_rng(0)
    start = rng.normal(size=(side * side, 3)).astype(np.float32)
    rest = rng.uniform(0.1, 0.3, len(cloth.edges)).astype(np.float32)
    wanted, found = start.astype(np.float64), start.copy()
    for (a, b), stiffness, length in zip(cloth.edges, cloth.stiffness, rest):  # one constraint after the other
        delta = wanted[b] - wanted[a]
        move = 0.5 * stiffness * (1 - length / np.linalg.norm(delta)) * delta
        wanted[a], wanted[b] = wanted[a] + move, wanted[b] - move
    cloth.project(found, rest)
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    assert np.abs(found - start).max() > 0.1


def test_skinning_some_vertices_is_skinning_all_of_them():
    rest, ids = rest_body(CANONICAL_PHENOTYPE), body_pack().body_ids[::7]
    transforms = forward_kinematics(
        rest.heads, {"upperarm01.L": rotation([0, 0.6, 0.2]), "head": rotation([0.3, 0, 0])}
    )
    whole = skin_vertices(rest.vertices, transforms)
    np.testing.assert_array_equal(skin_vertices(rest.vertices, transforms, ids), whole[ids])
    assert np.abs(whole - rest.vertices).max() > 0.1


@pytest.mark.parametrize("backend", ["embree", "numpy"])
def test_a_mesh_alone_is_what_a_scene_of_it_alone_shows(backend):
    if backend == "embree":
        pytest.importorskip("embreex", reason="no wheel of embreex here")
    meshes = [card(-0.4, 0.3, 0.2), card(0.0), card(-0.2, -0.4, 0.3), card(0.3, 0.1, 0.8)]
    scene = Scene(meshes, backend)
    seen = passes(scene, CAMERA)
    alone, wanted = passes_alone(scene, CAMERA, seen, 1), passes(Scene(meshes[1:2], backend), CAMERA)
    assert (seen.mask & (seen.mesh != 1) & wanted.mask).sum() > 200  # some of it is hidden
    for name in ("mask", "parse", "back", "front"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(wanted, name), err_msg=name)
    for name in ("depth", "rest", "normal", "uv"):
        np.testing.assert_allclose(getattr(alone, name), getattr(wanted, name), atol=1e-5, err_msg=name)
    assert set(np.unique(alone.mesh)) == {-1, 1} and set(np.unique(alone.face)) == {-1, 2, 3}


def test_a_picture_in_bands_is_the_picture_in_one_piece(monkeypatch):
    scene = Scene([card(0.0), card(-0.3, 0.2, 0.25)])
    whole = render(scene, CAMERA, seed=3)
    monkeypatch.setattr(rendering, "SAMPLES_AT_ONCE", 1)
    bands = list(rendering._bands(rendering.pixel_window(scene, CAMERA, 2), 2, rendering._smoothing_levels(CAMERA)))
    assert len(bands) > 2
    assert sum(last - first for _, (first, last) in bands) == np.diff(rendering.pixel_window(scene, CAMERA, 2)[:2])[0]
    np.testing.assert_array_equal(render(scene, CAMERA, seed=3), whole)


def test_noise_belongs_to_the_place_in_the_picture():
    """Something added at one side changes nothing at the other, to the grain."""
    one, two = Scene([card(0.0)]), Scene([card(0.0), card(-0.02, 0.42, 0.05)])
    first, second = render(one, CAMERA, seed=5), render(two, CAMERA, seed=5)
    np.testing.assert_array_equal(first[:, :24], second[:, :24])
    assert (first != second).any()
