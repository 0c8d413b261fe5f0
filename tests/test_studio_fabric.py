"""Fabrics and the shaders that put them on cloth."""

import numpy as np
import pytest

from vtonlib.studio import fabric, motifs
from vtonlib.studio import relief as relief_module
from vtonlib.studio.bottom_shader import BOTTOM_FABRICS, bottom_shader, draw_bottom_fabric
from vtonlib.studio.cloth_shader import COLLAR, cloth_shader, crease_normal, flat_shader, relief_normal, sample_texture
from vtonlib.studio.fabric import (
    BUSY,
    FABRIC_SHARE,
    FABRICS,
    INK_CONTRAST,
    PRINTS,
    SOLID,
    contrast,
    draw_palette,
    fabric_textures,
    lab,
)
from vtonlib.studio.lighting import decode_srgb
from vtonlib.studio.mesh import Hit
from vtonlib.studio.patterns import clouds
from vtonlib.studio.prints import PICTURES
from vtonlib.studio.vectors import dot, unit


def textures(kind, seed=0, width=1.2, height=0.7, scale=200, **more):
    return fabric_textures(kind, np.random.default_rng([seed, FABRICS.index(kind)]), width, height, scale, **more)


def hits(count=500, seed=0, **changes):
    """Points on a cloth seen from the front."""
    rng = np.random.default_rng(seed)
    normal = unit(rng.normal(0, 0.2, (count, 3)).astype(np.float32) + np.float32([0, -1, 0]))
    place = rng.uniform(-0.4, 0.4, (count, 3)).astype(np.float32)
    values = {
        "position": place, "normal": normal, "view": np.tile(np.float32([0, -1, 0]), (count, 1)), "rest": place,
        "uv": place[:, [0, 2]], "edge": np.full(count, 0.5, np.float32), "front": np.ones(count, bool),
        "back": np.zeros(count, bool),
    }  # fmt: skip
    return Hit(**(values | changes))


# ---- colours


def test_lab_has_its_known_values():
    white, black, red = lab(np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0]], float))
    np.testing.assert_allclose(white, [100, 0, 0], atol=0.02)
    np.testing.assert_allclose(black, [0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(red, [53.24, 80.09, 67.20], atol=0.1)
    assert contrast((1, 1, 1), (0, 0, 0)) == pytest.approx(100, abs=0.05)


@pytest.mark.parametrize("kind", FABRICS)
def test_prints_stand_out_from_everything_below_them(kind):
    rng = np.random.default_rng(0)
    palettes = [draw_palette(kind, rng) for _ in range(80)]
    for palette in palettes:
        assert contrast(palette.accent, palette.ground) >= fabric.ACCENT_CONTRAST
        assert contrast(palette.ink, palette.ground) >= 0.6 * INK_CONTRAST
        if kind in SOLID:
            assert contrast(palette.ink, palette.ground) >= INK_CONTRAST
    good = [contrast(p.ink, [p.ground, p.accent]).min() >= INK_CONTRAST for p in palettes]
    if kind not in SOLID:
        assert np.mean(good) > 0.5
    assert len({p.ground for p in palettes}) == 80
    styles = {p.print for p in palettes} | {p.back_print for p in palettes}
    assert None in styles and styles - {None} <= set(PRINTS) and len(styles) >= 4
    assert all(p.print is None or p.print != p.back_print for p in palettes)
    assert all(p.back_print != "pocket" for p in palettes)


def test_the_best_dye_is_taken_when_no_colour_is_far_enough():
    ramp = [(v, v, v) for v in (0.0, 0.25, 0.5, 0.75, 1.0)]
    chosen = fabric.draw_contrasting(np.random.default_rng(0), ramp, 90.0)
    assert chosen == max(fabric.DYES, key=lambda dye: contrast(dye, ramp).min())


# ---- textures


@pytest.mark.parametrize("kind", FABRICS)
def test_textures_have_their_size_and_depend_on_the_seed_alone(kind):
    front, back, palette = textures(kind)
    again, back_again, same = textures(kind)
    assert front.shape == back.shape == (140, 240, 3) and front.dtype == back.dtype == np.uint8
    np.testing.assert_array_equal(front, again)
    np.testing.assert_array_equal(back, back_again)
    assert palette == same
    assert not np.array_equal(front, textures(kind, seed=1)[0])


def test_detail_changes_neither_colours_nor_prints():
    for kind in FABRICS:
        assert textures(kind, scale=200)[2] == textures(kind, scale=100)[2]
    coarse, fine = textures("stripes", scale=100)[0], textures("stripes", scale=400)[0]
    shrunk = fine.reshape(70, 4, 120, 4, 3).mean((1, 3))
    assert np.abs(shrunk - coarse).mean() < 3


def test_unknown_kind_and_empty_texture_are_refused():
    with pytest.raises(ValueError, match=r"plain, .*'tweed'"):
        fabric_textures("tweed", np.random.default_rng(0), 1, 1, 100)
    with pytest.raises(ValueError, match="no pixels"):
        fabric_textures("plain", np.random.default_rng(0), 0.001, 1, 100)


@pytest.fixture
def no_prints(monkeypatch):
    """Fabrics without prints, so that only the pattern is looked at."""
    real = fabric.draw_palette

    def plain(kind, rng):
        palette = real(kind, rng)
        return fabric.Palette(palette.ground, palette.accent, palette.ink, None, None, None)

    monkeypatch.setattr(fabric, "draw_palette", plain)


def test_patterns_run_the_way_they_are_named(no_prints):
    stripes, upright, block = (
        textures(kind)[0].astype(int) for kind in ("stripes", "vertical-stripes", "colour-block")
    )
    assert np.ptp(stripes, axis=1).max() == 0 and np.ptp(stripes, axis=0).max() > 20
    assert np.ptp(upright, axis=0).max() == 0 and np.ptp(upright, axis=1).max() > 20
    assert np.ptp(block, axis=1).max() == 0 and len(np.unique(block.reshape(-1, 3), axis=0)) <= 3
    plain = textures("plain")[0]
    assert (plain == plain[0, 0]).all()
    gradient = textures("gradient")[0].astype(int)
    change = np.diff(gradient[:, 0], axis=0)
    assert ((change >= 0).all(0) | (change <= 0).all(0)).all() and np.abs(gradient[-1, 0] - gradient[0, 0]).max() > 20


def test_stripes_repeat_with_one_of_the_periods(no_prints):
    column = textures("stripes", height=0.8, scale=500)[0][:, 0].astype(float).sum(1)
    spectrum = np.abs(np.fft.rfft(column - column.mean()))
    period = 0.8 / spectrum.argmax()
    assert min(abs(period / p - 1) for p in (0.02, 0.035, 0.05, 0.08)) < 0.06


@pytest.mark.parametrize("kind", ["stripes", "vertical-stripes", "checks", "dots"])
def test_the_pattern_goes_on_from_front_to_back(no_prints, kind):
    front, back, _ = textures(kind)
    np.testing.assert_array_equal(back, front[:, ::-1])


def test_melange_and_flowers_are_not_copied_to_the_back(no_prints):
    for kind in ("melange", "floral"):
        front, back, _ = textures(kind)
        assert not np.array_equal(back, front[:, ::-1]) and not np.array_equal(back, front)
        np.testing.assert_allclose(front.mean((0, 1)), back.mean((0, 1)), atol=6)


@pytest.mark.parametrize("style", PRINTS)
@pytest.mark.parametrize("kind", ["plain", "stripes"])
def test_a_print_lies_where_the_chest_is(monkeypatch, style, kind):
    real = fabric.draw_palette
    printed = {"style": None}

    def forced(kind, rng):
        palette = real(kind, rng)
        return fabric.Palette(palette.ground, palette.accent, palette.ink, None, printed["style"], None)

    monkeypatch.setattr(fabric, "draw_palette", forced)
    bare, bare_back, _ = textures(kind, scale=400, chest=(0.5, 0.4))
    printed["style"] = style
    front, back, palette = textures(kind, scale=400, chest=(0.5, 0.4))
    np.testing.assert_array_equal(back, bare_back)
    rows, columns = np.nonzero((front != bare).any(-1))
    middle = np.array([(columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2]) / 400
    expected = (0.585, 0.37) if style == "pocket" else (0.5, 0.4)  # a pocket is on the person's left
    np.testing.assert_allclose(middle, expected, atol=0.07 if style in ("college", *PICTURES) else 0.02)
    width = (np.ptp(columns) + 1) / 400
    assert 0.08 < width < 0.35
    if style in PICTURES:
        assert len(np.unique(front[rows, columns], axis=0)) > 100, "a picture has many tones"
        return
    assert (
        np.abs(front[rows, columns].astype(int) - np.round(255 * np.array(palette.ink))).max(1) <= 2
    ).any()  # ink at full strength


def test_prints_on_busy_cloth_have_a_plate(monkeypatch):
    plates = []
    monkeypatch.setattr(fabric, "draw_print", lambda image, style, plate, *rest, **more: plates.append(plate))
    for seed in range(30):
        for kind in ("plain", "checks"):
            plates.clear()
            palette = textures(kind, seed=seed)[2]
            assert all(plate == (palette.ground if kind in BUSY else None) for plate in plates)
            assert len(plates) == (palette.print is not None) + (palette.back_print is not None)


def test_a_cut_has_only_the_prints_it_has_a_place_for(monkeypatch):
    styles, rooms = [], []

    def noted(image, style, *rest, room):
        styles.append(style)
        rooms.append(room)

    monkeypatch.setattr(fabric, "draw_print", noted)
    for seed in range(30):
        textures("plain", seed=seed, prints=("pocket", "text"), room=0.19)
        textures("plain", seed=seed, prints=())
    assert set(styles) == {"pocket", "text"} and set(rooms) == {0.19}


# ---- shaders


def test_texture_lookup_is_bilinear_and_clamped():
    height, width = 5, 7
    row, column = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    ramp = np.stack([column, row, 0 * row], -1).astype(np.float32)
    u, v = np.random.default_rng(0).random((2, 300)).astype(np.float32)
    value = sample_texture(ramp, u, v)
    np.testing.assert_allclose(value[:, 0], np.clip(u * width - 0.5, 0, width - 1), atol=1e-5)
    np.testing.assert_allclose(value[:, 1], np.clip(v * height - 0.5, 0, height - 1), atol=1e-5)
    corners = sample_texture(ramp, np.float32([-3, 3]), np.float32([-3, 3]))
    np.testing.assert_allclose(corners[:, :2], [[0, 0], [width - 1, height - 1]])


def test_cloth_shows_its_front_and_its_mirrored_back():
    front = np.zeros((4, 8, 3), np.uint8)
    front[:, :4, 0] = 255  # red where x is small
    back = np.zeros((4, 8, 3), np.uint8)
    back[:, :4, 1] = 255  # green on the left as seen from behind: where x is large
    shade = cloth_shader(front, back, (-1, 1, -1, 1), bump=0)
    uv = np.array([[-0.5, 0], [0.5, 0]] * 2, np.float32)
    seen = shade(hits(4, uv=uv, front=np.array([True, True, False, False]))).albedo
    np.testing.assert_allclose(seen, [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0]], atol=1e-5)


def test_the_top_of_the_texture_is_the_top_of_the_garment():
    picture = np.zeros((10, 4, 3), np.uint8)
    picture[:5] = 255
    shade = cloth_shader(picture, picture, (-0.5, 0.5, 0.2, 1.2), bump=0)
    seen = shade(hits(2, uv=np.array([[0, 1.1], [0, 0.3]], np.float32))).albedo
    np.testing.assert_allclose(seen, [[1] * 3, [0] * 3], atol=1e-5)


def test_collar_hem_and_inside():
    grey = np.full((4, 4, 3), 128, np.uint8)
    base = decode_srgb(128 / 255)
    shade = cloth_shader(grey, grey, (-1, 1, -1, 1), bump=0, collar=(1.0, 0.0, 0.0), inside=0.5)
    edge = np.array([0.5, 0.5, COLLAR / 2, 0.018, 0.0], np.float32)
    seen = shade(hits(5, edge=edge, back=np.array([False, True, False, False, False]))).albedo
    np.testing.assert_allclose(seen[0], base, rtol=1e-3)
    np.testing.assert_allclose(seen[1], 0.5 * base, rtol=1e-3)
    assert seen[2, 0] > 0.9 and seen[2, 1] == 0
    np.testing.assert_allclose(seen[3], 0.7 * base, rtol=1e-3)  # on the line of stitches
    assert seen[4, 0] == pytest.approx(0.65, abs=0.01)  # the cut edge is darker


@pytest.mark.parametrize(
    "texture, extent, message",
    [
        (np.zeros((4, 4), np.uint8), (-1, 1, -1, 1), r"\(H,W,3\) uint8"),
        (np.zeros((4, 4, 3)), (-1, 1, -1, 1), "float64"),
        (np.zeros((4, 4, 3), np.uint8), (1, -1, -1, 1), "left < right"),
    ],
)
def test_cloth_shader_refuses_wrong_textures(texture, extent, message):
    with pytest.raises(ValueError, match=message):
        cloth_shader(texture, texture, extent)


def test_creases_bend_normals_and_belong_to_their_seed():
    hit = hits(4000)
    bent = crease_normal(hit, 0.3, 38.0, seed=1)
    np.testing.assert_allclose(dot(bent, bent), 1, atol=1e-5)
    angle = np.degrees(np.arccos(np.clip(dot(bent, hit.normal), -1, 1)))
    assert 2 < angle.mean() < 30
    np.testing.assert_array_equal(bent, crease_normal(hit, 0.3, 38.0, seed=1))
    one, two = bent - hit.normal, crease_normal(hit, 0.3, 38.0, seed=60) - hit.normal
    assert abs(np.corrcoef(one[:, 0], two[:, 0])[0, 1]) < 0.15
    stronger = np.degrees(np.arccos(np.clip(dot(crease_normal(hit, 0.7, 38.0, seed=1), hit.normal), -1, 1)))
    assert stronger.mean() > 1.5 * angle.mean()
    assert cloth_shader(*[np.zeros((2, 2, 3), np.uint8)] * 2, (-1, 1, -1, 1), bump=0)(hit).normal is None


def test_plain_cloth_varies_about_its_colour():
    colour = (0.2, 0.3, 0.5)
    surface = flat_shader(colour, roughness=0.85)(hits(20_000))
    np.testing.assert_allclose(surface.albedo.mean(0), decode_srgb(colour), rtol=0.03)
    assert 0.02 < (surface.albedo / decode_srgb(colour)).std() < 0.12
    assert surface.roughness == 0.85 and surface.normal is not None
    even = flat_shader(colour, weave=0, bump=0)(hits(10))
    np.testing.assert_allclose(even.albedo, np.tile(decode_srgb(colour), (10, 1)), rtol=1e-6)
    seam = flat_shader(colour, weave=0, bump=0, hem=True)(hits(1, edge=np.float32([0.018]))).albedo
    np.testing.assert_allclose(seam[0], 0.7 * decode_srgb(colour), rtol=1e-3)


# ---- relief, pictures, bottoms


@pytest.mark.parametrize("kind", relief_module.RELIEF_SHADE)
def test_relief_is_the_same_at_any_detail_and_its_slopes_are_its_derivative(kind):
    size, scale = (80, 120), 400
    height = relief_module.relief(kind, np.random.default_rng(3), size, scale)
    np.testing.assert_array_equal(height, relief_module.relief(kind, np.random.default_rng(3), size, scale))
    assert height.shape == size and 0.0002 < np.ptp(height) < 0.012, "millimetres"
    slope = relief_module.slopes(height, scale)
    step = (height[40, 62] - height[40, 60]) / (2 / scale)
    assert slope[40, 61, 0] == pytest.approx(step, abs=1e-4)
    assert slope[40, 61, 1] == pytest.approx(-(height[41, 61] - height[39, 61]) / (2 / scale), abs=1e-4)


def test_smooth_fabrics_have_no_relief_and_valleys_are_darker():
    assert relief_module.relief("plain", np.random.default_rng(0), (9, 9), 400) is None
    height = np.float32([[0.0, 0.001]])
    grey = np.full((1, 2, 3), 200, np.uint8)
    assert relief_module.shaded(grey, height, 0.25)[0, :, 0].tolist() == [150, 200]


def test_a_slope_up_to_the_left_turns_the_normal_right():
    normal = np.float32([[0, -1, 0]])
    bent = relief_normal(normal, np.float32([[-0.5, 0.0]]))
    assert bent[0, 0] > 0.3 and bent[0, 1] < 0 and bent[0, 2] == 0


@pytest.mark.parametrize("name", motifs.MOTIFS)
def test_motifs_are_drawn_the_same_from_a_seed_and_fill_their_square(name):
    colour = (0.8, 0.2, 0.3)
    one, same = (np.asarray(motifs.motif(name, 64, np.random.default_rng(5), colour)) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    assert one.shape == (64, 64, 4) and 0.1 < (one[..., 3] > 128).mean() < 0.95


@pytest.mark.parametrize("name", motifs.SCENES)
def test_landscapes_are_light_above_and_never_flat(name):
    land = motifs.scene(name, (96, 120), np.random.default_rng(2))
    assert land.shape == (96, 120, 3) and land.min() >= 0 and land.max() <= 1
    assert land[20:50].mean() > land[70:].mean() and land.std() > 0.08


def test_fields_do_not_depend_on_the_detail():
    coarse = clouds((40, 60), 100, 0.1, np.random.default_rng(1))
    fine = clouds((160, 240), 400, 0.1, np.random.default_rng(1)).reshape(40, 4, 60, 4).mean((1, 3))
    assert np.abs(coarse - fine).max() < 0.06 and coarse.std() > 0.2


@pytest.mark.parametrize("kind", BOTTOM_FABRICS)
def test_bottoms_have_sound_surfaces_and_repeat(kind):
    rng = np.random.default_rng(0)
    rest = rng.uniform((-0.2, -0.12, -0.7), (0.2, 0.12, 0.24), (3000, 3)).astype(np.float32)
    hit = hits(3000, rest=rest, edge=np.full(3000, 0.2, np.float32))
    bottom_shader.cache_clear()
    surface = bottom_shader(kind, (0.3, 0.3, 0.35), 4)(hit)
    bottom_shader.cache_clear()
    np.testing.assert_array_equal(surface.albedo, bottom_shader(kind, (0.3, 0.3, 0.35), 4)(hit).albedo)
    assert np.isfinite(surface.albedo).all() and surface.albedo.min() >= 0 and surface.albedo.max() <= 1.05
    np.testing.assert_allclose(dot(surface.normal, surface.normal), 1, atol=1e-4)


def test_jeans_have_orange_stitches_along_the_fly_and_pale_knees():
    shade = bottom_shader("denim", (0, 0, 0), 0)
    place = [[0.034, -0.1, 0.16], [0.06, -0.1, 0.16], [0.15, -0.12, -0.29], [0.15, 0.05, -0.29]]
    rest = np.array(place, np.float32)
    albedo = shade(hits(4, rest=rest)).albedo
    warmth = albedo[:, 0] - albedo[:, 2]
    assert warmth[0] > warmth[1] + 0.05, "thread on the fly, cloth beside it"
    assert albedo[2].mean() > 1.15 * albedo[3].mean(), "the knee is paler than the hollow behind it"


def test_unknown_bottom_fabric_is_refused_and_draws_are_known():
    with pytest.raises(ValueError, match="'tweed'"):
        bottom_shader("tweed", (0.5, 0.5, 0.5))
    rng = np.random.default_rng(0)
    drawn = [draw_bottom_fabric(rng, skirt=False) for _ in range(300)]
    assert set(drawn) <= set(BOTTOM_FABRICS) and 0.3 < np.mean([kind == "denim" for kind in drawn]) < 0.5
    assert sum(FABRIC_SHARE) == pytest.approx(1) and len(FABRIC_SHARE) == len(FABRICS)
