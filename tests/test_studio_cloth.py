"""Subdivision, clipping, constraint colouring and draping, against closed forms."""

import numpy as np
import pytest

from vtonlib.studio.body import triangles
from vtonlib.studio.drape import Cloth, DrapeSettings, Obstacle, colour_edges, constraint_edges, drape
from vtonlib.studio.subdivide import catmull_clark, clip_triangles, compact, quad_edges

CUBE = np.array([[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]])
CORNERS = np.array([[x, y, z] for z in (-1, 1) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))], float)


def sheet(n=8):
    """n x n quads in the plane z = 0 over the unit square."""
    x, y = np.meshgrid(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1), indexing="ij")
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1)
    i, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    corner = (i * (n + 1) + j).ravel()
    return vertices, np.stack([corner, corner + n + 1, corner + n + 2, corner + 1], 1)


def area(vertices, faces):
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()


def test_catmull_clark_on_a_cube_gives_the_known_points():
    matrix, quads = catmull_clark(CUBE, 8)
    points = matrix @ CORNERS
    assert matrix.shape == (8 + 12 + 6, 8) and quads.shape == (24, 4)
    np.testing.assert_allclose(np.asarray(matrix.sum(1)).ravel(), 1)  # affine: a translation stays a translation
    # the paper's rule at a corner of valence 3: (F + 2R + 0 P) / 3 = 5/9 of the corner
    np.testing.assert_allclose(points[:8], CORNERS * 5 / 9)
    np.testing.assert_allclose(np.sort(np.linalg.norm(points[8:20], axis=1)), 0.75 * np.sqrt(2))


def test_catmull_clark_keeps_orientation_and_a_flat_boundary():
    vertices, quads = sheet(4)
    matrix, fine = catmull_clark(quads, len(vertices))
    points = matrix @ vertices
    assert np.allclose(points[:, 2], 0)
    a, b, d = points[fine[:, 0]], points[fine[:, 1]], points[fine[:, 3]]
    assert (np.cross(b - a, d - a)[:, 2] > 0).all()
    assert len(quad_edges(fine)[0]) == 2 * 8 * 9


@pytest.mark.parametrize("seed", range(4))
def test_clipping_cuts_along_the_line_and_keeps_area_and_orientation(seed):
    vertices, quads = sheet()
    rng = np.random.default_rng(seed)
    normal, offset = rng.normal(size=2), 0.1 * rng.normal()
    field = (vertices[:, :2] - 0.5) @ normal + offset
    faces, matrix = clip_triangles(triangles(quads), field)
    other, other_matrix = clip_triangles(triangles(quads), -field)
    points = matrix @ vertices
    assert area(points, faces) + area(other_matrix @ vertices, other) == pytest.approx(1)
    assert (matrix @ field).min() > -1e-12
    a, b, c = (points[faces[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] >= -1e-12).all()


def test_compact_renumbers():
    faces, ids = compact(np.array([[7, 3, 9], [9, 3, 5]]))
    np.testing.assert_array_equal(ids, [3, 5, 7, 9])
    np.testing.assert_array_equal(ids[faces], [[7, 3, 9], [9, 3, 5]])


def test_constraints_of_a_sheet_and_a_valid_colouring():
    n = 5
    vertices, quads = sheet(n)
    edges, stiffness = constraint_edges(quads)
    assert len(edges) == 2 * n * (n + 1) + 2 * n * n + 2 * (n - 1) * (n + 1)
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1) * n
    np.testing.assert_allclose(length[stiffness == 1], 1)
    np.testing.assert_allclose(length[stiffness == 0.5], np.sqrt(2))
    np.testing.assert_allclose(length[stiffness < 0.2], 2)
    colours = colour_edges(edges, len(vertices))
    for colour in range(colours.max() + 1):
        touched = edges[colours == colour].ravel()
        assert len(np.unique(touched)) == len(touched)


def test_projection_restores_lengths():
    vertices, quads = sheet(4)
    cloth = Cloth(quads, len(vertices))
    rest = cloth.lengths(vertices)
    stretched = vertices * [1.3, 1, 1]
    for _ in range(300):
        cloth.project(stretched, rest)
    np.testing.assert_allclose(cloth.lengths(stretched), rest, rtol=2e-3)


def test_a_falling_sheet_rests_on_the_floor():
    vertices, quads = sheet(6)
    cloth = Cloth(quads, len(vertices))
    start = vertices + [0, 0, 0.01]
    grid = np.stack(np.meshgrid(np.linspace(-0.5, 1.5, 41), np.linspace(-0.5, 1.5, 41), [0.0]), -1).reshape(-1, 3)
    floor = Obstacle(grid, np.tile([0.0, 0.0, 1.0], (len(grid), 1)), np.zeros(len(grid), np.int8))
    n = len(vertices)
    draped = drape(
        cloth, start, cloth.lengths(vertices), floor,
        group=np.zeros(n, np.int8), margin=np.full(n, 0.004), attraction=np.zeros(n),
        settings=DrapeSettings(steps=40),
    )  # fmt: skip
    np.testing.assert_allclose(draped[:, 2], 0.004, atol=1e-4)
