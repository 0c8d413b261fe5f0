"""Representations against brute force: Pillow strokes from the papers' tables, loops over pixels, closed forms."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from synthetic import REAL, blocky_parse, make_raw, needs_real, smooth_picture, standing_pose

from vtonlib.data import collate, open_dataset, sample_from_raw
from vtonlib.labels import COCO_18_FROM_BODY_25, LIP
from vtonlib.represent import (
    body_shape,
    cloth_on_person,
    draw_human_agnostic,
    draw_parse_agnostic,
    draw_skeleton,
    human_agnostic,
    human_agnostic_mask,
    one_hot,
    parse_agnostic,
    person_representation,
    pose_heatmaps,
    reserved_regions,
    skeleton_picture,
)

FULL = (1024, 768)

# ---- agnostics: the papers' tables, drawn straight onto the picture -------------------------------------------------


def paper_parse_agnostic(parse, pose):
    result = parse.copy()
    for label, ids in ((14, [2, 5, 6, 7]), (15, [5, 2, 3, 4])):
        canvas = Image.new("L", parse.shape[::-1], "black")
        draw, before = ImageDraw.Draw(canvas), ids[0]
        for i in ids[1:]:
            if pose[before, :2].any() and pose[i, :2].any():
                draw.line([tuple(pose[before, :2].tolist()), tuple(pose[i, :2].tolist())], "white", width=100)
                (x, y), r = pose[i, :2].tolist(), 40 if i == ids[-1] else 150
                draw.ellipse((x - r, y - r, x + r, y + r), "white")
                before = i
        result[(np.array(canvas) == 255) & (parse == label)] = 0
    result[np.isin(parse, (5, 6, 7, 10))] = 0
    return result


def widen(pose):
    p = pose[:, :2].astype(np.float64)
    a, b, middle = np.linalg.norm(p[5] - p[2]), np.linalg.norm(p[12] - p[9]), (p[9] + p[12]) / 2
    p[9], p[12] = middle + (p[9] - middle) * (a / b), middle + (p[12] - middle) * (a / b)
    return [tuple(point) for point in p.tolist()], a


def disc(draw, point, rx, ry=None):
    (x, y), ry = point, ry or rx
    draw.ellipse((x - rx, y - ry, x + rx, y + ry), "gray")


def paper_human_agnostic(image, parse, pose, style):
    picture = Image.fromarray(image)
    draw, (p, shoulders) = ImageDraw.Draw(picture), widen(pose)
    r = 20 if style == "viton-hd" else int(shoulders / 16) + 1

    def torso():
        for i in (9, 12):
            disc(draw, p[i], r * 3, r * 6)
        draw.line([p[2], p[9]], "gray", width=r * 6)
        draw.line([p[5], p[12]], "gray", width=r * 6)
        draw.line([p[9], p[12]], "gray", width=r * 12)
        draw.polygon([p[2], p[5], p[12], p[9]], "gray")

    def arms():
        draw.line([p[2], p[5]], "gray", width=r * (10 if style == "viton-hd" else 12))
        for i in (2, 5):
            disc(draw, p[i], r * 5, r * (5 if style == "viton-hd" else 6))
        for i in (3, 4, 6, 7):
            if pose[i, :2].any() and pose[i - 1, :2].any():
                draw.line([p[i - 1], p[i]], "gray", width=r * 10)
                disc(draw, p[i], r * 5)

    (x, y) = p[1]
    if style == "viton-hd":
        arms(), torso()
        draw.rectangle((x - r * 7, y - r * 7, x + r * 7, y + r * 7), "gray")
    else:
        torso()
        draw.rectangle((x - r * 5, y - r * 9, x + r * 5, y), "gray")
        arms()
        for label, ids in ((14, (5, 6, 7)), (15, (2, 3, 4))):
            canvas = Image.new("L", picture.size, "white")
            hole = ImageDraw.Draw(canvas)
            (x, y), last = p[ids[0]], ids[-1]
            hole.ellipse((x - r * 5, y - r * 6, x + r * 5, y + r * 6), "black")
            for i in ids[1:]:
                if pose[i, :2].any() and pose[i - 1, :2].any():
                    hole.line([p[i - 1], p[i]], "black", width=r * 10)
                    (x, y), size = p[i], r * (4 if i == last else 5)
                    hole.ellipse((x - size, y - size, x + size, y + size), "black")
            keep = np.array(canvas) * (parse == label)
            picture.paste(Image.fromarray(image), None, Image.fromarray(keep.astype(np.uint8)))
    for labels in ((4, 13), (9, 12, 16, 17, 18, 19)):
        keep = np.isin(parse, labels).astype(np.uint8) * 255
        picture.paste(Image.fromarray(image), None, Image.fromarray(keep))
    return np.array(picture)


def jittered_pose(seed, missing=()):
    pose = standing_pose(FULL)
    pose[:, :2] += np.random.default_rng(seed).uniform(-60, 60, (25, 2)).astype(np.float32)
    pose[list(missing)] = 0
    return pose


@pytest.mark.parametrize("seed, missing", [(0, ()), (1, ()), (2, (4,)), (3, (3, 7)), (4, (6,)), (5, (3, 4, 6, 7))])
def test_agnostics_at_768_are_the_papers_to_the_pixel(seed, missing):
    parse, image, pose = blocky_parse(FULL), smooth_picture(FULL, seed), jittered_pose(seed, missing)
    image[image == 128] = 129  # so that grey is where something was painted
    np.testing.assert_array_equal(draw_parse_agnostic(parse, pose), paper_parse_agnostic(parse, pose))
    for style in ("viton-hd", "hr-viton"):
        agnostic, mask = draw_human_agnostic(image, parse, pose, style)
        np.testing.assert_array_equal(agnostic, paper_human_agnostic(image, parse, pose, style), err_msg=style)
        np.testing.assert_array_equal(mask, (agnostic == 128).all(axis=2))


@pytest.mark.real
@needs_real
def test_agnostics_of_real_people_are_the_papers_to_the_pixel():
    source = open_dataset(REAL, pairing="unpaired").source
    for name in ("00891_00", "03615_00", "08909_00"):
        raw = source.read(name, "01260_00")
        np.testing.assert_array_equal(
            draw_parse_agnostic(raw.parse, raw.pose), paper_parse_agnostic(raw.parse, raw.pose)
        )
        for style in ("viton-hd", "hr-viton"):
            agnostic, mask = draw_human_agnostic(raw.image, raw.parse, raw.pose, style)
            np.testing.assert_array_equal(agnostic, paper_human_agnostic(raw.image, raw.parse, raw.pose, style))
            top = np.isin(raw.parse, (5, 6, 7))
            assert mask[top].mean() > 0.98, (name, style)


@pytest.mark.parametrize("style", ["viton-hd", "hr-viton"])
def test_agnostics_scale_with_the_width(style):
    size = (256, 192)
    parse = blocky_parse(size)
    small = draw_human_agnostic(smooth_picture(size, 0), parse, standing_pose(size), style)[1]
    large = draw_human_agnostic(smooth_picture(FULL, 0), blocky_parse(FULL), standing_pose(FULL), style)[1]
    reduced = large[2::4, 2::4]
    assert (small & reduced).sum() / (small | reduced).sum() > 0.93
    kept = draw_parse_agnostic(parse, standing_pose(size))
    reduced = draw_parse_agnostic(blocky_parse(FULL), standing_pose(FULL))[2::4, 2::4]
    assert (kept == reduced).mean() > 0.97


def test_hands_stay_in_parse_agnostic_and_hr_style():
    parse, pose = blocky_parse(FULL), standing_pose(FULL)
    parse[670:760, 540:600] = 14  # a hand below the left wrist at (560, 660)
    below = np.zeros(FULL, bool)
    below[730:760, 545:595] = True
    assert (draw_parse_agnostic(parse, pose)[below] == 14).all()
    image = smooth_picture(FULL, 0)
    assert not draw_human_agnostic(image, parse, pose, "hr-viton")[1][below].any()
    assert draw_human_agnostic(image, parse, pose, "viton-hd")[1][below].any()


@settings(deadline=None, max_examples=60)
@given(st.sets(st.integers(0, 24)), st.sampled_from(["viton-hd", "hr-viton"]))
def test_missing_joints_only_take_strokes_away(missing, style):
    size = (64, 48)
    pose, image, parse = standing_pose(size), smooth_picture(size, 0), blocky_parse(size)
    whole = draw_parse_agnostic(parse, pose)
    pose[list(missing)] = 0
    agnostic, mask = draw_human_agnostic(image, parse, pose, style)
    assert agnostic.dtype == np.uint8 and (agnostic[mask] == 128).all()
    np.testing.assert_array_equal(agnostic[~mask], image[~mask])
    part = draw_parse_agnostic(parse, pose)
    assert not np.isin(part, (5, 6, 7, 10)).any()
    if not missing & {2, 3, 4, 5, 6, 7}:
        np.testing.assert_array_equal(part, whole)
    if missing >= set(range(1, 13)):
        assert not mask.any()


def test_coinciding_hips_and_no_shoulders_are_drawn_without_nan():
    size = (64, 48)
    pose = standing_pose(size)
    pose[9] = pose[12]
    assert draw_human_agnostic(smooth_picture(size, 0), blocky_parse(size), pose)[1].any()
    pose[[2, 5]] = 0
    assert draw_human_agnostic(smooth_picture(size, 0), blocky_parse(size), pose, "hr-viton")[1].any()


def test_agnostics_refuse_bad_arguments():
    parse, pose, image = blocky_parse((64, 48)), standing_pose((64, 48)), smooth_picture((64, 48), 0)
    with pytest.raises(ValueError, match="style: expected one of"):
        draw_human_agnostic(image, parse, pose, "cp-vton")
    with pytest.raises(ValueError, match=r"pose: expected shape \(25, 3\)"):
        draw_parse_agnostic(parse, pose[:18])
    with pytest.raises(ValueError, match="pose: expected finite"):
        draw_parse_agnostic(parse, pose * np.nan)
    with pytest.raises(ValueError, match="image: expected shape"):
        draw_human_agnostic(image[1:], parse, pose)
    with pytest.raises(ValueError, match="parse: expected label indices"):
        draw_parse_agnostic(image, pose)


# ---- heatmaps ------------------------------------------------------------------------------------------------------

# multiples of 1/64, so that sums are exact in float32 as they are in Pillow's float64
point = st.integers(-20 * 64, 60 * 64).map(lambda number: number / 64)


@settings(deadline=None, max_examples=300)
@given(st.tuples(point, point))
def test_squares_are_pillows_rectangles(at):
    x, y = at
    maps = pose_heatmaps(torch.tensor([(x, y, 1.0)]).repeat(18, 1), (40, 32), kind="square")
    picture = Image.new("L", (32, 40))
    ImageDraw.Draw(picture).rectangle((x - 5, y - 5, x + 5, y + 5), 1, 1)
    np.testing.assert_array_equal(maps[7].numpy(), np.asarray(picture))


def test_a_whole_square_has_121_pixels():
    pose = torch.tensor([[20.0, 20.0, 1.0]]).repeat(18, 1)
    assert (pose_heatmaps(pose, (64, 48), kind="square").sum((1, 2)) == 121).all()


@pytest.mark.parametrize("kind, radius", [("disc", None), ("disc", 2.5), ("gaussian", None), ("gaussian", 1.5)])
def test_discs_and_gaussians_against_a_loop(kind, radius):
    generator = torch.Generator().manual_seed(0)
    pose = torch.rand(25, 3, generator=generator, dtype=torch.float64) * torch.tensor([30.0, 40.0, 1.0]) - 2
    pose[:, 2] = 1
    maps = pose_heatmaps(pose, (30, 24), kind, radius, order="body-25")
    r = radius or {"disc": 4, "gaussian": 3}[kind]
    expected = torch.zeros(25, 30, 24, dtype=torch.float64)
    for k, (x, y, _) in enumerate(pose.tolist()):
        for row in range(30):
            for column in range(24):
                square = (row - y) ** 2 + (column - x) ** 2
                expected[k, row, column] = square <= r * r if kind == "disc" else np.exp(-square / (2 * r * r))
    torch.testing.assert_close(maps, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", ["disc", "square", "gaussian"])
def test_heatmaps_order_batch_and_unseen_points(kind):
    generator = torch.Generator().manual_seed(1)
    pose = torch.rand(2, 3, 25, 3, generator=generator) * torch.tensor([24.0, 32.0, 1.0]) + 0.01
    unseen = pose.clone()
    unseen[1, 2, 7, 2] = 0
    whole, part = pose_heatmaps(pose, (32, 24), kind, order="body-25"), pose_heatmaps(unseen, (32, 24), kind)
    assert whole.shape == (2, 3, 25, 32, 24) and part.shape == (2, 3, 18, 32, 24)
    assert whole.min() >= 0 and whole.max() <= 1
    assert not part[1, 2, 7].any()
    picked = whole[:, :, list(COCO_18_FROM_BODY_25)]
    picked[1, 2, 7] = 0
    torch.testing.assert_close(part, picked)
    torch.testing.assert_close(part[1, 0], pose_heatmaps(pose[1, 0], (32, 24), kind))
    torch.testing.assert_close(part, pose_heatmaps(unseen[..., list(COCO_18_FROM_BODY_25), :], (32, 24), kind))


def test_a_point_outside_reaches_in_only_if_it_is_seen():
    pose = torch.zeros(18, 3)
    pose[0] = torch.tensor([-2.0, 10, 0.7])
    pose[1] = torch.tensor([-2.0, 10, 0.0])
    maps = pose_heatmaps(pose, (20, 20))
    assert maps[0].any() and maps[0, 10, 2] == 1 and maps[0, 10, 3] == 0
    assert not maps[1].any()


def test_gaussian_heatmaps_are_differentiable():
    pose = torch.rand(18, 3, dtype=torch.float64) * 8
    pose[:, 2] = 1
    xy = pose[:, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda xy: pose_heatmaps(torch.cat([xy, pose[:, 2:]], 1), (8, 8), "gaussian"), (xy,)
    )


def test_heatmaps_refuse_bad_arguments():
    pose = torch.rand(18, 3)
    for arguments, message in [
        ((pose, (8, 8), "blob"), "kind: expected"),
        ((pose, (8, 8), "disc", -1), "radius: expected"),
        ((pose, (8, 8), "disc", 4, "coco"), "order: expected"),
        ((pose, (8, 8), "disc", 4, "body-25"), "order: expected coco-18"),
        ((pose[:17], (8, 8)), "pose: expected floats"),
        ((pose.long(), (8, 8)), "pose: expected floats"),
    ]:
        with pytest.raises(ValueError, match=message):
            pose_heatmaps(*arguments)


# ---- body shape, reserved regions, the 22 channels ------------------------------------------------------------------


@pytest.mark.parametrize("size", [(256, 192), (64, 48), (1024, 768)])
def test_body_shape_is_pillows(size):
    parse = blocky_parse(size)
    picture = Image.fromarray(((parse > 0) * 255).astype(np.uint8))
    small = picture.resize((12, 16), Image.Resampling.BILINEAR)
    expected = np.asarray(small.resize(size[::-1], Image.Resampling.BILINEAR)) / 255
    shape = body_shape(torch.from_numpy(parse))
    assert shape.shape == (1, *size) and shape.dtype == torch.float32
    # Pillow rounds to whole grey levels four times (down and up, each in x and in y), half a level each
    assert np.abs(shape[0].numpy() - expected).max() <= 2 / 255
    assert np.abs(shape[0].numpy() - expected).mean() <= 0.5 / 255
    exact = (
        picture.convert("F").resize((12, 16), Image.Resampling.BILINEAR).resize(size[::-1], Image.Resampling.BILINEAR)
    )
    np.testing.assert_allclose(shape[0].numpy(), np.asarray(exact) / 255, atol=1e-5)


def test_body_shape_without_antialiasing_would_be_another():
    parse = torch.from_numpy(blocky_parse((256, 192)))
    silhouette = (parse > 0).float()[None, None]
    aliased = torch.nn.functional.interpolate(silhouette, (16, 12), mode="bilinear")
    aliased = torch.nn.functional.interpolate(aliased, (256, 192), mode="bilinear")
    assert (aliased[0] - body_shape(parse)).abs().max() > 10 / 255


@pytest.fixture(scope="module")
def sample():
    return sample_from_raw(make_raw(size=(96, 72)))


def test_reserved_regions_and_worn_garment(sample):
    head, worn = reserved_regions(sample.person, sample.parse), cloth_on_person(sample.person, sample.parse)
    person = (sample.person + 1) / 2
    is_head = np.isin(sample.parse.numpy(), (1, 2, 4, 13))
    assert is_head.any() and not is_head.all()
    torch.testing.assert_close(head[:, is_head], person[:, is_head])
    assert not head[:, ~is_head].any()
    is_top = np.isin(sample.parse.numpy(), (5, 6, 7))
    picture, mask = worn
    torch.testing.assert_close(picture[:, is_top], person[:, is_top])
    assert (picture[:, ~is_top] == 1).all()
    np.testing.assert_array_equal(mask[0].numpy(), is_top)
    with pytest.raises(ValueError, match="person: expected shape"):
        reserved_regions(sample.person[..., 1:], sample.parse)


def test_person_representation_channels_and_batch(sample):
    maps = person_representation(sample)
    assert maps.shape == (22, 96, 72) and maps.min() >= 0 and maps.max() <= 1
    torch.testing.assert_close(maps[:18], pose_heatmaps(sample.pose, (96, 72), "square", 5 * 96 / 256))
    torch.testing.assert_close(maps[18:19], body_shape(sample.parse))
    torch.testing.assert_close(maps[19:], reserved_regions(sample.person, sample.parse))
    other = sample_from_raw(make_raw(size=(96, 72), seed=3))
    batch = person_representation(collate([other, sample]))
    torch.testing.assert_close(batch[1], maps)


@pytest.mark.parametrize("style", ["viton-hd", "hr-viton"])
def test_agnostics_of_samples_and_batches(sample, style):
    raw = make_raw(size=(96, 72))
    agnostic, mask = draw_human_agnostic(raw.image, raw.parse, raw.pose, style)
    got = human_agnostic(sample, style)
    np.testing.assert_allclose(got.permute(1, 2, 0).numpy(), agnostic / 255, atol=1e-6)
    np.testing.assert_array_equal(human_agnostic_mask(sample, style)[0].numpy(), mask)
    np.testing.assert_array_equal(parse_agnostic(sample).numpy(), draw_parse_agnostic(raw.parse, raw.pose))
    other = sample_from_raw(make_raw(size=(96, 72), seed=3))
    batch = collate([other, sample])
    torch.testing.assert_close(human_agnostic(batch, style)[1], got)
    torch.testing.assert_close(parse_agnostic(batch)[1], parse_agnostic(sample))
    torch.testing.assert_close(skeleton_picture(batch)[1], skeleton_picture(sample))
    assert parse_agnostic(batch).dtype == torch.int64


def test_what_is_missing_is_named(sample):
    from dataclasses import replace

    for function in (person_representation, human_agnostic, parse_agnostic):
        with pytest.raises(ValueError, match="has no parse: human parsing"):
            function(replace(sample, parse=None))
    with pytest.raises(ValueError, match="has no pose: pose estimation"):
        skeleton_picture(replace(sample, pose=None))


def test_one_hot_groups():
    parse = torch.arange(20).reshape(4, 5)
    groups = one_hot(parse)
    assert groups.shape == (13, 4, 5)
    assert (groups.sum(0) == 1).all()  # every label is in exactly one group
    assert groups[0].flatten().nonzero().flatten().tolist() == [0, 10]
    assert groups[3].flatten().nonzero().flatten().tolist() == [5, 6, 7]
    torch.testing.assert_close(one_hot(parse, LIP).argmax(0), parse)
    assert one_hot(parse[None, None]).shape == (1, 1, 13, 4, 5)
    with pytest.raises(ValueError, match="parse: expected labels"):
        one_hot(parse + 1)


# ---- skeleton ------------------------------------------------------------------------------------------------------


def test_skeleton_shows_seen_bones_only():
    size = (256, 192)
    pose, hands = standing_pose(size), make_raw(size=size).hands
    picture = draw_skeleton(pose, None, size)
    assert picture.shape == (*size, 3) and picture.dtype == np.uint8
    middle = np.round((pose[1, :2] + pose[8, :2]) / 2).astype(int)
    assert picture[middle[1], middle[0]].max() > 200
    assert not picture[:10, :10].any()
    assert draw_skeleton(pose, hands, size).sum() > picture.sum()
    pose[3, 2] = 0
    without = draw_skeleton(pose, None, size)
    elbow = np.round((standing_pose(size)[2, :2] + standing_pose(size)[3, :2]) / 2).astype(int)
    assert picture[elbow[1], elbow[0]].any() and not without[elbow[1], elbow[0]].any()
    pose[:, 2] = 0
    assert not draw_skeleton(pose, None, size).any()


def test_skeleton_is_smooth_and_tells_left_from_right():
    size = (256, 192)
    picture = draw_skeleton(standing_pose(size), None, size)
    bright = picture.max(axis=2)
    assert ((bright > 20) & (bright < 235)).sum() > 100  # edges in between
    right, left = (np.round(standing_pose(size)[i, :2]).astype(int) for i in (3, 6))
    assert np.abs(picture[right[1], right[0]].astype(int) - picture[left[1], left[0]]).max() > 60


def test_skeleton_refuses_bad_arguments():
    with pytest.raises(ValueError, match="pose: expected shape"):
        draw_skeleton(np.zeros((18, 3)), None, (32, 24))
    with pytest.raises(ValueError, match="hands: expected finite"):
        draw_skeleton(np.zeros((25, 3)), np.full((2, 21, 3), np.inf), (32, 24))


def test_the_drawing_half_needs_no_torch():
    program = (
        "import sys; import vtonlib.represent, vtonlib.layouts, vtonlib.sample, vtonlib.labels;"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules;"
        "vtonlib.represent.pose_heatmaps; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    with pytest.raises(AttributeError, match="no attribute 'heat'"):
        import vtonlib.represent as represent

        represent.heat  # noqa: B018
