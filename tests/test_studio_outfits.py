"""Cuts, collars, layers and draws of clothes: what must hold for every garment, and closed forms of their parts."""

from dataclasses import replace

import numpy as np
import pytest

from vtonlib.labels import LIP_INDEX
from vtonlib.studio.body import body_pack
from vtonlib.studio.contact import AT_HEM, UNDER_GAP, Sheet, lie_on, lie_under
from vtonlib.studio.cuts import ARM_LENGTH, BOTTOMS, CREW, DRESSES, JACKETS, SLEEVES, TOPS, WAIST, TopCut, sleeve_ease
from vtonlib.studio.details import BUTTON_EVERY, Sewn, sewn_shader
from vtonlib.studio.drape import LAYER_GAP, Cloth, DrapeSettings, Obstacle, _part_layers, drape
from vtonlib.studio.garment import garment_shape, landmarks
from vtonlib.studio.layers import put_on, worn_attributes
from vtonlib.studio.mesh import Hit, Surface
from vtonlib.studio.outfits import Outfit, TopDesign, draw_outfit, draw_top
from vtonlib.studio.wardrobe import Top

CUT = {cut.name: cut for cut in (*TOPS, *JACKETS, *DRESSES)}
OUTFIT = Outfit(BOTTOMS[0], (0.2, 0.25, 0.4), (0.9, 0.9, 0.9))


def wear(name, outfit):
    body = body_pack().canonical.vertices
    return put_on(body, body, Top(TopDesign(CUT[name], "plain", 3), 100), outfit)


def test_names_are_unique_and_sleeves_known():
    assert len(CUT) == len(TOPS) + len(JACKETS) + len(DRESSES)
    assert all(cut.gather in SLEEVES for cut in CUT.values())


@pytest.mark.parametrize("name", ["shirt", "hoodie", "open-shirt", "shirt-dress", "jacket", "strap-top"])
def test_a_shape_is_consistent(name):
    shape = garment_shape(CUT[name])
    rows = len(shape.rest)
    assert shape.faces.max() < rows == len(shape.edge) == len(shape.body_vertex) == len(shape.fabric)
    assert len(shape.front) == len(shape.faces)
    assert shape.edge.min() > -1e-9 and np.isfinite(shape.fabric).all()
    assert len(shape.render_vertices(shape.points.astype(np.float32))) == rows


@pytest.mark.parametrize("name", ["shirt", "polo", "hoodie"])
def test_a_collar_stands_above_its_neckline_and_lies_outside_of_the_cloth(name):
    shape = garment_shape(CUT[name])
    cloth = shape.render_vertices(shape.points.astype(np.float32))
    count = shape.to_render.shape[0]
    strip = cloth[count:].reshape(6, -1, 3)
    assert (strip[2, :, 2] > strip[0, :, 2]).mean() > 0.9  # the fold is above the bottom of the stand
    neck = strip[0].mean(0)[:2]
    assert (np.linalg.norm(strip[5, :, :2] - neck, axis=1) > np.linalg.norm(strip[2, :, :2] - neck, axis=1)).all()


def test_sleeves_widen_where_they_should():
    along, marks = np.linspace(0, 1.9, 50), landmarks()
    ease, points = np.full(50, 0.02), np.tile(marks.shoulder, (50, 1))
    end = along > 1.9 - 0.02 / ARM_LENGTH

    def of(kind):
        return sleeve_ease(TopCut("", 1.9, CREW, gather=kind), ease, along, points, marks)

    assert (of("plain") == ease).all()
    assert of("cuff")[end].max() < 0.01 and of("cuff")[10] == pytest.approx(0.02)
    assert of("balloon")[end].max() < 0.02 < 0.04 < of("balloon").max()
    assert of("bell").argmax() == 49 and of("bell")[49] == pytest.approx(0.08)


def test_layers_of_cloth_are_put_in_order():
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 60), [0.0]), -1).reshape(-1, 3)
    edge = np.where(grid[:, 0] < 0.3, 0.0, 0.1)
    sheet = Sheet(grid, np.tile([0.0, 0.0, 1.0], (len(grid), 1)), edge)
    points = np.array([[0.6, 0.5, 0.01], [0.6, 0.5, -0.02], [0.1, 0.5, 0.01], [0.6, 0.5, 0.2]])
    np.testing.assert_allclose(lie_under(points, sheet)[:, 2], [-UNDER_GAP, -0.02, 0.01, 0.2])
    np.testing.assert_allclose(lie_on(points, sheet, 0.015)[:, 2], [0.015, 0.015, 0.01, 0.2])
    assert AT_HEM < 0.1


def test_sleeve_and_torso_cloth_are_parted():
    position = np.array([[0.0, 0.0, -0.01], [0.0, 0.0, 0.0]])
    _part_layers(position, np.tile([0.0, 0.0, 1.0], (2, 1)), np.array([0]), np.array([1]))
    np.testing.assert_allclose(position[0, 2] - position[1, 2], LAYER_GAP)


def test_cloth_stays_below_an_arm_that_lies_on_it():
    x, y = np.meshgrid(np.linspace(0, 1, 7), np.linspace(0, 1, 7), indexing="ij")
    vertices = np.stack([x.ravel(), y.ravel(), np.full(49, 0.02)], 1)
    corner = (np.arange(6)[:, None] * 7 + np.arange(6)).ravel()
    cloth = Cloth(np.stack([corner, corner + 7, corner + 8, corner + 1], 1), 49)
    low = np.where(x.ravel() < 0.4, 0.006, np.inf)
    floor = Obstacle(vertices * [1, 1, 0], np.tile([0.0, 0.0, 1.0], (49, 1)), np.zeros(49, np.int8), low)
    draped = drape(
        cloth, vertices, cloth.lengths(vertices), floor, group=np.zeros(49, np.int8), margin=np.full(49, 0.004),
        attraction=np.full(49, 1.0), settings=DrapeSettings(steps=6),
    )  # fmt: skip
    assert draped[low < 1, 2].max() < 0.0061 and draped[low > 1, 2].min() > 0.015


def test_a_tucked_top_ends_at_the_waistband_under_the_trousers():
    band = landmarks().hip + WAIST
    loose, tucked = wear("t-shirt", OUTFIT), wear("t-shirt", replace(OUTFIT, tucked=True))
    lowest = [clothes.top.rest[clothes.top.faces][:, :, 2].max(1).min() for clothes in (loose, tucked)]
    assert lowest[0] < band - 0.05 and band - 0.02 < lowest[1] < band
    assert tucked.tucked_at == pytest.approx(band) and loose.tucked_at == -np.inf
    assert wear("hoodie", replace(OUTFIT, tucked=True)).tucked_at == -np.inf  # too bulky


def test_labels_of_dress_jacket_and_socks():
    skirt = replace(OUTFIT, bottom=BOTTOMS[4], sock=0.1, jacket=JACKETS[0])
    dress, layered = wear("dress", skirt), wear("t-shirt", skirt)
    assert set(dress.top.label) == {LIP_INDEX["dress"]}
    assert {*np.unique(np.concatenate([mesh.label for mesh in dress.others]))} == {8, 18, 19}
    assert {*np.unique(np.concatenate([mesh.label for mesh in layered.others]))} == {7, 8, 12, 18, 19}
    coat = next(mesh for mesh in layered.others if mesh.label[0] == 7)
    moved = np.linalg.norm(lie_under(layered.top.vertices, coat) - layered.top.vertices, axis=1)
    assert (moved > 0.003).mean() < 0.05  # the top is under it already


def test_attributes_say_what_is_worn():
    outfit = replace(OUTFIT, tucked=True, jacket=JACKETS[1])
    tops = {name: Top(TopDesign(CUT[name], "plain", 3), 100) for name in ("t-shirt", "hoodie", "dress")}
    found = {name: worn_attributes(top, outfit) for name, top in tops.items()}
    assert found["t-shirt"]["tucked"] and found["t-shirt"]["jacket"] == "jacket"
    assert not found["hoodie"]["tucked"] and found["hoodie"]["jacket"] == ""
    assert found["dress"]["bottom"] == "" and not found["dress"]["tucked"]


def test_buttons_are_drawn_where_they_belong():
    sewn = Sewn(neck=0.7, hem=0.1, button=(0.0, 0.0, 0.0))
    x, z = np.array([0.0, 0.1, 0.0]), np.array([0.7 - 0.018 - BUTTON_EVERY, 0.5, 0.7 - 0.018 - 1.5 * BUTTON_EVERY])
    zero, three = np.zeros((3, 3), np.float32), np.ones(3, bool)
    hit = Hit(zero, zero, zero, zero, np.stack([x, z], 1), np.full(3, 0.5), three, ~three)

    def plain(hit):
        return Surface(np.full((len(hit), 3), 0.5, np.float32))

    albedo = sewn_shader(plain, "shirt", sewn)(hit).albedo
    assert albedo[0].max() < 0.05
    np.testing.assert_allclose(albedo[1:], 0.5, rtol=0.01)
    assert sewn_shader(plain, "plain", sewn) is plain


def test_draws_cover_the_wardrobe():
    tops = [draw_top(np.random.default_rng(k)) for k in range(600)]
    assert {top.cut.name for top in tops} == {cut.name for cut in (*TOPS, *DRESSES)}
    assert 0.02 < np.mean([top.cut.skirt is not None for top in tops]) < 0.09
    outfits = [draw_outfit(np.random.default_rng(k), female=k % 2 == 0) for k in range(400)]
    assert not any(outfit.bottom.skirt for outfit in outfits[1::2])
    assert all(outfit.bottom.bare_legs for outfit in outfits if outfit.sock > 0)
    assert 0.02 < np.mean([outfit.jacket is not None for outfit in outfits]) < 0.14
    assert draw_outfit(np.random.default_rng(7), True) == draw_outfit(np.random.default_rng(7), True)
