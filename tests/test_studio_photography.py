"""Looks: draws of light, camera and backdrop in numbers, and what lens and file do to a picture."""

from dataclasses import replace

import numpy as np
import pytest

from vtonlib.studio.backdrop import KINDS, SHARES, Backdrop, drawing_size, enlarge, paint_backdrop
from vtonlib.studio.camera import Camera
from vtonlib.studio.lamps import FRONTAL_LIGHT, WILD_LIGHTS, lamp_at, tint
from vtonlib.studio.lighting import Light, Material, about_vertical, light_up
from vtonlib.studio.mesh import Mesh, Scene, Surface
from vtonlib.studio.photography import (
    LOOKS,
    NEAREST,
    backdrop_for,
    camera_for,
    develop,
    draw_photography,
    light_for,
    photography_attributes,
    take,
)
from vtonlib.studio.planes import Canvas, Mottle, View, cell_value, lines

SIZE = (96, 72)
LEVEL = Camera((0, -4.0, 1.2), (0, 0, 1.2), SIZE, fov=25.0)


def drawn(look, count=40):
    return [draw_photography(np.random.default_rng([3, k]), look) for k in range(count)]


def puppet():
    """A white cylinder, 1.7 m high, that stands on the floor."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([0.2 * np.cos(turn), 0.2 * np.sin(turn)], 1)
    vertices = np.concatenate([np.c_[ring, np.zeros(24)], np.c_[ring, np.full(24, 1.7)]])
    k, after = np.arange(24), (np.arange(24) + 1) % 24
    faces = np.concatenate([np.c_[k, after, after + 24], np.c_[k, after + 24, k + 24]])

    def shade(hit):
        return Surface(np.full((len(hit), 3), 0.7, np.float32), specular=0.0, roughness=1.0)

    return Scene([Mesh(vertices.astype(np.float32), faces, shade, 5)], backend="numpy")


# ---- draws


@pytest.mark.parametrize("look", LOOKS)
def test_the_same_seed_draws_the_same_and_another_something_else(look):
    one, two = drawn(look), drawn(look)
    assert one == two and len(set(one)) == len(one)
    kinds = {photography.backdrop.kind for photography in drawn(look, 150)}
    assert kinds == set(SHARES[look])


def test_an_unknown_look_is_refused():
    with pytest.raises(ValueError, match="studio, wild, got 'holiday'"):
        draw_photography(np.random.default_rng(0), "holiday")


def test_wild_varies_more_than_studio():
    spread = {}
    for look in LOOKS:
        several = drawn(look, 150)
        spread[look] = np.std(
            [
                [p.framing.fov, p.framing.bottom, p.framing.tilt, np.log(p.exposure), p.grain, *p.white_balance[::2]]
                for p in several
            ],
            axis=0,
        )
    assert (spread["wild"] > 2 * spread["studio"]).all()
    assert {p.lighting for p in drawn("wild", 150)} == set(WILD_LIGHTS)
    assert all(p.jpeg == 100 for p in drawn("studio")) and all(40 <= p.jpeg <= 95 for p in drawn("wild"))


def test_attributes_are_plain_values():
    attributes = photography_attributes(drawn("wild", 1)[0])
    assert {"look", "backdrop", "lighting", "fov", "tilt", "exposure", "jpeg"} <= set(attributes)
    assert all(isinstance(value, (str, int, float)) for value in attributes.values())


# ---- light


def one_point(normal, wrap=0.0):
    normal = np.array([normal], np.float32)
    number = [np.array([value], np.float32) for value in (0.0, 1.0, wrap, 0.0)]
    nothing = np.zeros((1, 3), np.float32)
    return Material(np.ones((1, 3), np.float32), *number, normal, np.zeros(1, bool), nothing)


def lit(light, normal=(0, -1, 0), wrap=0.0, view=(0, -1, 0)):
    position, view = np.array([[0, 0, 1.2]], np.float32), np.array([view], np.float32)
    return light_up(position, view, one_point(normal, wrap), np.ones((1, 2), np.float32), light)[0]


def test_lamps_turn_with_the_camera():
    light = Light(back_strength=1.0)
    for degrees in (30.0, 90.0, 180.0, -45.0):
        turned = light.turned(degrees)
        x, y, z = light.key
        angle = np.deg2rad(degrees)
        expected = (x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle), z)
        np.testing.assert_allclose(turned.key, expected, atol=1e-12)
        assert turned.back == about_vertical(light.back, degrees)
    assert light.turned(180.0) == light.turned() and light.turned(90.0).turned(-90.0) == light


@pytest.mark.parametrize("wrap", [0.0, 0.3])
def test_each_lamp_colours_its_own_part_of_the_light(wrap):
    red, dark = (1.0, 0.0, 0.0), {"key_strength": 0.0, "fill_strength": 0.0, "ambient": 0.0, "rim": 0.0}
    for name, strength in (("key", "key_strength"), ("fill", "fill_strength"), ("ambient", "ambient")):
        colour = lit(Light(**{**dark, strength: 0.8, f"{name}_colour": red}), wrap=wrap)
        assert colour[0] > 0.2 and (colour[1:] == 0).all()


def test_a_light_from_behind_reaches_what_faces_away():
    off, on = Light(back=(0, 3, 1.2)), Light(back=(0, 3, 1.2), back_strength=1.0, back_colour=(0.5, 1, 1))
    np.testing.assert_array_equal(lit(on, (0, -1, 0)), lit(off, (0, -1, 0)))
    more = lit(on, (0, 1, 0), view=(1, 0, 0)) - lit(off, (0, 1, 0), view=(1, 0, 0))
    np.testing.assert_allclose(more, [0.5, 1.0, 1.0], atol=0.02)


def test_light_from_above_is_brighter_above():
    light = Light(key_strength=0.0, fill_strength=0.0, rim=0.0, ambient=1.0, overhead=0.4)
    np.testing.assert_allclose([lit(light, n)[0] for n in ((0, 0, 1), (0, 0, -1))], [1.0, 0.2], atol=1e-6)


@pytest.mark.parametrize("look", LOOKS)
def test_light_is_exposed_for_the_person(look):
    for photography in drawn(look):
        light = replace(photography.light, key_colour=(1, 1, 1), fill_colour=(1, 1, 1), ambient_colour=(1, 1, 1))
        light = replace(light, back_strength=0.0, rim=0.0)
        sides = [np.subtract(lamp_at(side, 0, 1), (0, 0, 1.2)) for side in (0.0, -50.0, 50.0)]
        mean = np.dot([0.5, 0.25, 0.25], [lit(light, normal)[1] for normal in sides])
        assert mean == pytest.approx(FRONTAL_LIGHT, rel=0.02)


def test_tints_are_as_bright_as_white():
    for warmth in (-1.0, 0.0, 0.7):
        colour = tint(warmth)
        assert np.dot(colour, [0.3, 0.6, 0.1]) == pytest.approx(1)
        assert np.sign(round(colour[0] - colour[2], 6)) == np.sign(warmth)


# ---- camera


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("azimuth", [0.0, 45.0, 180.0])
def test_the_camera_frames_what_it_says(look, azimuth):
    for photography in drawn(look):
        camera = camera_for(photography, 1.66, 0.02, SIZE, azimuth)
        framing = photography.framing
        ends = [(0, 0, 1.66 + framing.headroom), (0, 0, 0.02 + framing.bottom * 1.64)]
        aside = np.array(about_vertical((framing.offset, 0, 0), azimuth))
        xy, depth = camera.project(np.array(ends) + aside)
        np.testing.assert_allclose(xy[:, 1], [0, SIZE[0]], atol=1e-6)
        np.testing.assert_allclose(xy[:, 0], SIZE[1] / 2, atol=1e-6)
        assert np.hypot(*(np.array(camera.eye[:2]) - aside[:2])) > NEAREST - 1e-6 and (depth > 0).all()


def test_the_camera_goes_round_to_the_left_of_the_person_and_the_lamps_with_it():
    photography = drawn("studio", 1)[0]
    photography = replace(photography, framing=replace(photography.framing, offset=0.0))
    camera, light = camera_for(photography, 1.7, 0.0, SIZE, 90.0), light_for(photography, 90.0)
    assert camera.eye[0] > 1 and abs(camera.eye[1]) < 1e-9  # the person looks to -y: their left hand is at +x
    before = camera_for(photography, 1.7, 0.0, SIZE).project(photography.light.key)[0]
    np.testing.assert_allclose(camera.project(light.key)[0], before, atol=1e-6)
    with pytest.raises(ValueError, match="crown must be above feet"):
        camera_for(photography, 0.0, 1.0, SIZE)


# ---- planes


@pytest.mark.parametrize("camera", [LEVEL, Camera((0.2, -3.0, 1.9), (0.2, 0, 0.9), SIZE, fov=40.0)])
def test_planes_lie_where_the_camera_sees_them(camera):
    view = View.of(camera, floor=0.1)
    row, column = np.mgrid[:96, :72]
    pixel = np.stack([column + 0.5, row + 0.5], -1)
    x, z = view.upright(2.0)
    points = np.stack([x, np.full(SIZE, 2.0), np.broadcast_to(z, SIZE) + 0.1], -1)
    np.testing.assert_allclose(camera.project(points)[0], pixel, atol=1e-2)
    x, y = view.floor()
    down = np.broadcast_to(y < 50, SIZE) & np.broadcast_to(view.rays()[2] < -1e-3, SIZE)
    points = np.stack([x, np.broadcast_to(y, SIZE), np.full(SIZE, 0.1)], -1)
    np.testing.assert_allclose(camera.project(points)[0][down], pixel[down], atol=2e-2)
    y, z = view.side(1.5)
    right = y < 50
    points = np.stack([np.full(SIZE, 1.5), y, z + 0.1], -1)
    assert 0.05 < right.mean() < 0.6
    np.testing.assert_allclose(camera.project(points)[0][right], pixel[right], atol=5e-2)


def test_boxes_and_blobs_have_the_size_that_is_asked_for():
    camera = Camera((0, -4.0, 0.0), (0, 0, 0), (200, 200), fov=2 * np.rad2deg(np.arctan(0.25)))  # 2 m at the person
    for draw, area in (
        (lambda canvas: canvas.box(0.0, -0.3, 0.4, -0.2, 0.3, (1, 1, 1)), 0.35),
        (lambda canvas: canvas.blob(0.0, 0.1, 0.2, 0.4, 0.2, (1, 1, 1)), np.pi * 0.08),
        (lambda canvas: canvas.blob(0.0, 0.1, 0.0, 0.4, 0.2, (1, 1, 1)), np.pi * 0.04),  # half of it is under the floor
        (lambda canvas: canvas.box(4.0, -0.3, 0.4, -0.2, 0.3, (1, 1, 1)), 0.35 / 4),
    ):
        canvas = Canvas(View.of(camera, floor=0.0), 0.0)
        canvas.view = replace(canvas.view, height=0.0)
        draw(canvas)
        assert canvas.picture[..., 0].sum() * 1e-4 == pytest.approx(area, rel=0.03)


def test_noise_and_cells_repeat_for_the_same_seed_and_fill_their_range():
    x, z = np.random.default_rng(0).uniform(-40, 40, (2, 5000)).astype(np.float32)
    one, two = (Mottle(np.random.default_rng(4), 0.5)(x, z) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert abs(one.mean()) < 0.1 and 0.2 < one.std() < 0.7
    cells = cell_value(np.floor(x), np.floor(z), seed=5)
    assert cells.min() >= 0 and cells.max() < 1 and cells.mean() == pytest.approx(0.5, abs=0.02)
    assert (cells != cell_value(np.floor(x), np.floor(z), seed=6)).mean() > 0.99
    np.testing.assert_allclose(lines(np.array([0.0, 0.04, 0.5, 1.0]), 0.1, 0.001), [1, 1, 0, 1])


# ---- backdrops


@pytest.mark.parametrize("kind", KINDS)
def test_backdrops_are_sound_for_any_camera(kind):
    for seed in range(3):
        camera = camera_for(drawn("wild", seed + 1)[-1], 1.7, 0.0, SIZE)
        picture = paint_backdrop(Backdrop(kind, seed, 1.0), camera)
        assert picture.shape == (*SIZE, 3) and picture.dtype == np.float32
        assert np.isfinite(picture).all() and picture.min() >= -1e-6 and 0.005 < picture.mean() < 3
        again = paint_backdrop(Backdrop(kind, seed, 1.0), camera)
        assert picture.tobytes() == again.tobytes()
        assert picture.tobytes() != paint_backdrop(Backdrop(kind, seed + 10, 1.0), camera).tobytes()


def test_backdrops_look_the_same_at_any_size():
    for kind in ("room", "white", "masonry"):
        photography = replace(drawn("studio", 1)[0], backdrop=Backdrop(kind, 4, 3.0))
        small, large = (
            backdrop_for(photography, camera_for(photography, 1.7, 0.0, size)) for size in ((128, 96), (512, 384))
        )
        assert large.shape == (512, 384, 3)
        shrunk = large.reshape(128, 4, 96, 4, 3).mean((1, 3))
        assert np.abs(shrunk - small).mean() < 0.02


def test_blur_takes_detail_away_and_is_drawn_small():
    photography = drawn("wild", 1)[0]
    camera = camera_for(photography, 1.7, 0.0, (256, 192))
    detail = []
    for blur in (0.0, 2.0, 6.0):
        picture = enlarge(paint_backdrop(Backdrop("masonry", 2, blur, distance=2.0), camera), camera.size)
        detail.append(np.abs(np.diff(picture, axis=0)).mean())
    assert detail[0] > 1.5 * detail[1] > 1.5 * 1.5 * detail[2]
    assert drawing_size((1024, 768), 1.0) == (256, 192) and drawing_size((1024, 768), 6.0) == (96, 72)
    assert drawing_size((96, 72), 0.0) == (96, 72)


def test_wrong_backdrops_are_refused():
    with pytest.raises(ValueError, match=r"kind must be one of white, .* got .moon."):
        paint_backdrop(Backdrop("moon", 0, 1.0), LEVEL)
    flat = Camera((0, -4.0, 1.2), (0, 0, 1.2), SIZE, half_height=1.0)
    with pytest.raises(ValueError, match="perspective"):
        paint_backdrop(Backdrop("white", 0, 1.0), flat)


def test_studio_backdrops_are_pale_and_even():
    for photography in drawn("studio"):
        picture = backdrop_for(photography, camera_for(photography, 1.7, 0.0, SIZE))
        assert picture.mean() > 0.35 and picture.std((0, 1)).max() < 0.08
        assert np.ptp(picture.mean((0, 1))) < 0.2


def test_the_person_shades_the_wall_behind_on_the_side_away_from_the_lamp():
    photography = drawn("studio", 1)[0]
    light = replace(photography.light, key=lamp_at(-40, 10, 3.5), key_radius=0.2)
    photography = replace(photography, light=light, backdrop=Backdrop("white", 1, 0.5, distance=0.4))
    camera = camera_for(photography, 1.7, 0.0, SIZE)
    mask = np.zeros(SIZE, bool)
    mask[20:, 30:42] = True
    plain = backdrop_for(photography, camera)
    shade = plain - backdrop_for(photography, camera, mask=mask)
    assert shade.min() >= 0 and shade.max() > 0.03
    assert shade[30:, 42:].mean() > 2 * shade[30:, :30].mean()  # the lamp is on the left
    far = replace(photography, backdrop=replace(photography.backdrop, distance=2.4))
    np.testing.assert_array_equal(backdrop_for(far, camera, mask=mask), backdrop_for(far, camera))


# ---- lens, sensor, file


def neutral(**changes):
    photography = replace(drawn("studio", 1)[0], white_balance=(1, 1, 1), blur=0, vignette=0, grain=0, jpeg=100)
    return replace(photography, **changes)


def test_developing_without_any_effect_changes_nothing():
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(develop(picture, neutral(), 1), picture)


def test_grain_vignette_and_white_balance_are_as_strong_as_asked_for():
    grey = np.full((*SIZE, 3), 128, np.uint8)
    assert develop(grey, neutral(grain=0.03), 1).std() / 255 == pytest.approx(0.03, rel=0.05)
    dark = develop(grey, neutral(vignette=0.3), 1)[..., 0].astype(int)
    assert dark[48, 36] == 128 and dark[0, 0] < 120 and dark[0, 0] == dark[-1, -1]
    warm = develop(grey, neutral(white_balance=(1.2, 1.0, 0.8)), 1)[0, 0].astype(int)
    assert warm[0] > 135 and warm[1] == 128 and warm[2] < 120


def test_blur_scales_with_the_picture():
    for size in ((64, 48), (256, 192)):
        edge = np.zeros((*size, 3), np.uint8)
        edge[:, size[1] // 2 :] = 200
        row = develop(edge, neutral(blur=4.0), 1)[size[0] // 2, :, 0] / 200
        slope = np.diff(row).max() * size[0] / 256
        assert slope == pytest.approx(1 / (4 * np.sqrt(2 * np.pi)), rel=0.25)


def test_grain_belongs_to_pixels_and_jpeg_loses_detail():
    rng = np.random.default_rng(0)
    one = rng.integers(60, 200, (*SIZE, 3), dtype=np.uint8)
    two = one.copy()
    two[40:50, 30:40] = 10
    photography = neutral(grain=0.02, blur=0.5)
    same = (develop(one, photography, 7) == develop(two, photography, 7)).all(-1)
    assert same[:36].all() and same[54:].all() and same[:, :26].all() and not same[45, 35]
    assert develop(one, photography, 7).tobytes() != develop(one, photography, 8).tobytes()
    bad, good = (np.abs(develop(one, neutral(jpeg=q), 1).astype(int) - one).mean() for q in (40, 95))
    assert bad > good > 0


def test_developing_refuses_other_types():
    with pytest.raises(ValueError, match=r"\(H,W,3\) uint8, got \(4, 4, 3\) float64"):
        develop(np.zeros((4, 4, 3)), neutral(), 0)


def test_a_photograph_is_the_same_for_the_same_seed_and_from_another_side_of_a_round_thing():
    scene, photography = puppet(), drawn("studio", 1)[0]
    pictures = []
    for azimuth in (0.0, 0.0, 90.0):
        camera = camera_for(photography, 1.7, 0.0, SIZE, azimuth)
        pictures.append(take(scene, camera, photography, 5, azimuth).astype(int))
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert np.abs(pictures[0] - pictures[2]).mean() < 1.0  # camera, lamps and backdrop went round together
