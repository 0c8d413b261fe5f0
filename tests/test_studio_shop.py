"""In-shop pictures: the flow into them must lead each bit of cloth to itself, however the garment was moved there."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from vtonlib.studio import truth
from vtonlib.studio.cuts import TOPS
from vtonlib.studio.mesh import Mesh, Scene
from vtonlib.studio.outfits import TopDesign
from vtonlib.studio.presentation import Presentation, draw_presentation, present, shop_ground
from vtonlib.studio.render import passes
from vtonlib.studio.wardrobe import Top

SIZE = (256, 192)
CUTS = {cut.name: cut for cut in TOPS}
WAYS = {
    "plain": {"style": "ghost", "depth": 0.22, "turn": 0.0, "sleeves": 0.0, "fitted": True},
    "hanging": {"style": "ghost", "depth": 0.5, "turn": 0.0, "sleeves": 32.0, "fitted": False},
    "turned": {"style": "flat", "depth": 0.12, "turn": 6.0, "sleeves": 24.0, "fitted": True},
}


def top_shown(way: str, cut: str = "sweater") -> Top:
    top = Top(TopDesign(CUTS[cut], "checks", 5), 200)
    drawn = draw_presentation(np.random.default_rng(0))
    top.__dict__["presentation"] = replace(drawn, **WAYS[way])
    return top


@pytest.fixture(scope="module", params=WAYS)
def shown(request):
    top = top_shown(request.param)
    return top, top.shop(SIZE)


def worn_passes(top: Top, behind: bool):
    """The garment on the canonical body: nothing like the shop's arrangement."""
    shape = top.shape
    worn = Mesh(shape.rest, shape.faces, top.shader, 5, uv=shape.fabric, edge=shape.edge, front=shape.front,
                garment=True)  # fmt: skip
    return passes(Scene((worn,)), _camera(SIZE, behind)), worn


def _camera(size, behind):
    from vtonlib.studio.camera import Camera

    return Camera(eye=(0.8, 3.4 if behind else -3.4, 0.6), target=(0, 0, 0.43), size=size, fov=18.0)


@pytest.mark.parametrize("behind", [False, True])
def test_the_flow_leads_every_bit_of_cloth_to_itself(shown, behind):
    """Fabric coordinates at the worn pixel and under its flow agree to half a pixel of the in-shop picture."""
    top, shop = shown
    worn, mesh = worn_passes(top, behind)
    flows = truth.garment_flows(worn, mesh, shop)
    flow, seen, camera = (
        (flows["flow_back"], shop.back_passes, shop.back_camera) if behind
        else (flows["flow"], shop.passes, shop.camera)
    )  # fmt: skip
    known = np.isfinite(flow).all(-1)
    towards = worn.mask & (worn.front != behind) & ~worn.back
    assert known.sum() > 0.6 * towards.sum()
    there = flow[known][:, ::-1].T
    uv = np.stack([map_coordinates(seen.uv[..., axis], there, order=1, mode="nearest") for axis in (0, 1)], 1)
    apart = np.linalg.norm(uv - worn.uv[known], axis=1) * SIZE[0] / (2 * camera.half_height)
    assert np.nanmedian(apart) < 0.5 and np.nanquantile(apart, 0.9) < 1.0


def test_front_and_back_flows_hardly_share_a_pixel(shown):
    top, shop = shown
    worn, mesh = worn_passes(top, behind=False)
    flows = truth.garment_flows(worn, mesh, shop)
    front, back = (np.isfinite(flows[name]).all(-1) for name in ("flow", "flow_back"))
    assert (front & back).sum() < 0.03 * front.sum() and front.sum() > 8 * back.sum()


def test_pixels_of_another_mesh_are_refused(shown):
    top, shop = shown
    worn, _ = worn_passes(top, behind=False)
    with pytest.raises(ValueError, match="garment: expected pixels of a mesh with the shop's 10 vertices"):
        truth.garment_flow(worn, worn.mask, shop.passes, shop.camera, shop.positions[:10])


def test_in_shop_pictures_are_rendered_once_a_size():
    top = top_shown("plain", "t-shirt")
    assert top.shop((64, 48)) is top.shop((64, 48)) and top.shop((64, 48)).front.shape == (64, 48, 3)
    assert top.shop([64, 48]) is top.shop((64, 48)) and top.shop((32, 24)).back.shape == (32, 24, 3)


def test_hanging_sleeves_narrow_the_garment_and_keep_the_torso():
    plain, hung = top_shown("plain"), top_shown("hanging")
    wide, narrow = (np.ptp(top.pressed_mesh.vertices[:, 0]) for top in (plain, hung))
    assert narrow < 0.85 * wide
    torso = np.isin(np.arange(len(plain.shape.rest)), np.flatnonzero(np.abs(plain.shape.rest[:, 0]) < 0.08))
    moved = np.abs(plain.pressed_mesh.vertices - hung.pressed_mesh.vertices)[torso][:, [0, 2]]
    assert np.median(moved) < 0.005


def test_a_turn_is_a_rotation_of_the_picture():
    shape, way = top_shown("plain").shape, draw_presentation(np.random.default_rng(0))
    straight, turned = (present(shape, replace(way, **WAYS["plain"] | {"turn": turn})) for turn in (0.0, 5.0))
    edge = straight[shape.faces[:, 1]] - straight[shape.faces[:, 0]]
    new = turned[shape.faces[:, 1]] - turned[shape.faces[:, 0]]
    np.testing.assert_allclose(np.linalg.norm(new, axis=1), np.linalg.norm(edge, axis=1), atol=1e-5)
    right, up = straight[np.argmax(straight[:, 0])], turned[np.argmax(straight[:, 0])]
    assert up[2] > right[2], "counter-clockwise: the right-hand side goes up"


def test_draws_vary_and_stay_in_their_ranges():
    drawn = [draw_presentation(np.random.default_rng(seed)) for seed in range(200)]
    flat = np.array([way.style == "flat" for way in drawn])
    assert 0.2 < flat.mean() < 0.5 and 0.4 < np.mean([way.fitted for way in drawn]) < 0.8
    assert all(abs(way.turn) <= 6 and (way.style == "flat" or way.turn == 0) for way in drawn)
    assert all(0.1 <= way.depth <= 0.5 for way in drawn) and len({way.ground for way in drawn}) == 4
    assert draw_presentation(np.random.default_rng(3)) == draw_presentation(np.random.default_rng(3))


def test_a_lying_garment_throws_a_soft_shadow_and_a_standing_one_none():
    mask = np.zeros((64, 48), bool)
    mask[20:40, 15:35] = True
    way = draw_presentation(np.random.default_rng(0))
    lying, standing = (shop_ground(replace(way, shadow=shadow), mask) for shadow in (0.4, 0.0))
    assert isinstance(way, Presentation) and np.ptp(standing[..., 0]) == 0
    assert lying[41, 25, 0] < lying[60, 5, 0] - 0.05 and lying[60, 5, 0] == pytest.approx(standing[0, 0, 0], abs=1e-3)


def test_constant_scale_keeps_metres_of_one_size():
    views = [top_shown("hanging", cut)._shop_camera(SIZE, from_behind=False) for cut in ("t-shirt", "cropped")]
    assert views[0].half_height == views[1].half_height
