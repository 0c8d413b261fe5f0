"""Joint resizing against closed forms, the data set face, mirroring."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import REAL, make_raw, needs_real, standing_pose

from vtonlib.data import Fit, TryOnSample, collate, mirror, open_dataset, sample_from_raw
from vtonlib.layouts import write_pairs, write_sample

sides = st.integers(8, 90)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("dataset")
    for seed, name in enumerate(("a_00", "b_00", "c_00")):
        write_sample(root / "test", make_raw(name, seed=seed))
    write_pairs(root / "test_pairs.txt", [("a_00", "other_00"), ("b_00", "other_00"), ("c_00", "a_00")])
    return root


# ---- fitting -------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(sides, sides, sides, sides)
def test_fit_keeps_the_aspect_and_fills_the_picture(height, width, outer_height, outer_width):
    outer = (outer_height, outer_width)
    fit = Fit.of((height, width), outer)
    left, top, right, bottom = fit.padding
    assert min(fit.padding) >= 0
    assert (top + fit.inner[0] + bottom, left + fit.inner[1] + right) == outer
    assert (left == right == 0) or (top == bottom == 0) or min(fit.inner[0] - outer[0], fit.inner[1] - outer[1]) >= -1
    assert abs(left - right) <= 1 and abs(top - bottom) <= 1
    factor = min(outer_height / height, outer_width / width)
    assert abs(fit.inner[0] - height * factor) <= max(0.5, 1 - height * factor)
    assert abs(fit.inner[1] - width * factor) <= max(0.5, 1 - width * factor)
    pixels = np.arange(height * width * 3, dtype=np.uint32).astype(np.uint8).reshape(height, width, 3)
    assert fit.picture(pixels, "border").shape == (*outer, 3)
    assert fit.labels(pixels[..., 0]).shape == outer and fit.mask(pixels[..., 0] > 3).dtype == bool
    assert fit.flow(np.zeros((height, width, 2), np.float32), fit).shape == (*outer, 2)


def test_the_same_size_changes_nothing():
    raw = make_raw()
    sample = sample_from_raw(raw)
    assert sample.padding == (0, 0, 0, 0)
    np.testing.assert_array_equal(((sample.person + 1) * 127.5).round().permute(1, 2, 0).numpy(), raw.image)
    np.testing.assert_array_equal(sample.parse.numpy(), raw.parse)
    np.testing.assert_array_equal(sample.pose.numpy(), raw.pose)
    np.testing.assert_array_equal(sample.hands.numpy(), raw.hands)
    np.testing.assert_array_equal(sample.truth.flow.permute(1, 2, 0).numpy(), raw.flow)
    np.testing.assert_array_equal(sample.truth.flow_back.permute(1, 2, 0).numpy(), raw.flow_back)
    np.testing.assert_array_equal(sample.truth.hidden.numpy(), raw.hidden)
    np.testing.assert_array_equal(sample.truth.depth.numpy(), raw.depth)
    np.testing.assert_array_equal(sample.truth.new_pose.parse.numpy(), raw.new_pose.parse)
    np.testing.assert_array_equal(sample.densepose[0].numpy(), raw.densepose[..., 0])
    np.testing.assert_allclose(sample.densepose[1:].permute(1, 2, 0).numpy(), raw.densepose[..., 1:] / 255, atol=1e-6)


def test_shapes_types_and_ranges():
    sample = sample_from_raw(make_raw(), (128, 96))
    assert sample.size == (128, 96) and sample.person.dtype == torch.float32
    for picture in (sample.person, sample.garment.image, sample.garment.back):
        assert picture.shape == (3, 128, 96) and picture.min() >= -1 and picture.max() <= 1 and picture.is_contiguous()
    for mask in (sample.garment.mask, sample.garment.back_mask):
        assert mask.shape == (1, 128, 96) and set(mask.unique().tolist()) == {0, 1} and mask.dtype == torch.float32
    assert sample.parse.dtype == torch.int64 and sample.pose.dtype == sample.hands.dtype == torch.float32
    assert sample.truth.flow.dtype == torch.float32 and sample.truth.hidden.dtype == torch.bool
    assert sample.densepose[0].max() <= 24 and sample.densepose[1:].max() <= 1
    assert sample.truth.flow_back.shape == (2, 128, 96) and sample.truth.flow_back.dtype == torch.float32
    assert sample.truth.depth.shape == (128, 96) and sample.truth.depth.dtype == torch.float32
    assert sample.truth.new_pose.size == (128, 96) and sample.truth.new_pose.garment.name == sample.garment.name
    assert isinstance(sample.truth.unpaired, TryOnSample) and sample.truth.unpaired.garment.name == "other_00"


@settings(deadline=None, max_examples=40)
@given(st.integers(16, 100), st.integers(16, 100))
def test_keypoints_stay_on_what_they_mark(height, width):
    """A bright blob is where its keypoint is, after any resizing and padding."""
    size, (x, y) = (80, 60), (41.0, 22.0)
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    blob = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 4.0**2))
    fit = Fit.of(size, (height, width))
    drawn = fit.picture(np.repeat(blob.astype(np.uint8)[..., None], 3, axis=2), 0)[..., 0].astype(float)
    moved = fit.points(np.float32([[x, y, 0.5], [0, 0, 0]]))
    rows, columns = np.mgrid[0:height, 0:width]
    centre = np.array([(drawn * columns).sum(), (drawn * rows).sum()]) / drawn.sum()
    np.testing.assert_allclose(moved[0, :2], centre, atol=0.12)
    assert moved[0, 2] == 0.5 and not moved[1].any()  # a missing point stays missing


def test_points_move_by_the_convention():
    fit = Fit.of((1024, 768), (256, 192))
    np.testing.assert_allclose(fit.points(np.float32([[1.5, 1.5, 1], [765.5, 1021.5, 0]])), [[0, 0, 1], [191, 255, 0]])
    fit = Fit.of((100, 100), (50, 80))
    assert fit.padding == (15, 0, 15, 0)
    np.testing.assert_allclose(fit.points(np.float32([[0.5, 0.5, 1]])), [[15, 0, 1]])


def test_padding_repeats_the_border_and_is_white_behind_garments():
    raw = make_raw(size=(60, 60), shop_size=(40, 80))
    sample = sample_from_raw(raw, (80, 60))
    assert sample.padding == (0, 10, 0, 10)
    assert (sample.person[:, :10] == sample.person[:, 10:11]).all()
    assert not sample.parse[:10].any() and not sample.parse[-10:].any()
    assert sample.truth.flow[:, :10].isnan().all() and sample.truth.flow_back[:, :10].isnan().all()
    assert not sample.truth.depth[:10].any() and sample.truth.new_pose.padding == sample.padding
    assert (sample.garment.image[:, :20] == 1).all() and not sample.garment.mask[:, :20].any()
    assert sample.garment.image[:, 40].min() < 0.9


def test_the_flow_follows_both_pictures():
    """A flow that is linear in the photograph is the same linear map after both pictures are resized and padded."""
    raw = make_raw(size=(64, 48), shop_size=(100, 150))
    raw = dataclasses.replace(raw, unpaired=None)
    size = (160, 120)
    fit, shop = Fit.of((64, 48), size), Fit.of((100, 150), size)
    flow = sample_from_raw(raw, size).truth.flow.permute(1, 2, 0).numpy()
    known = ~np.isnan(flow[..., 0])
    assert known.any() and not known.all()
    rows, columns = np.nonzero(known)
    photo = np.stack([columns, rows], 1).astype(float)
    photo = (photo + 0.5 - fit.padding[:2]) / fit.scale - 0.5  # back to the photograph on disk
    expected = (photo * [0.9, 0.8] + [1.5, 2.25]) * [150 / 48, 100 / 64]
    expected = (expected + 0.5) * shop.scale - 0.5 + shop.padding[:2]
    error = np.abs(flow[known] - expected)
    inner = np.isin(fit.labels(raw.parse), 5)
    for axis in (0, 1):  # away from the garment's outline, where pixels around all have a flow
        inner &= np.roll(inner, 4, axis) & np.roll(inner, -4, axis)
    inside = inner[known]
    assert inside.sum() > 1000
    assert error[inside].max() < 2e-3
    assert error.max() < 2.5  # at the outline: the nearest pixel's


def test_a_reduced_flow_has_no_bias():
    rows, columns = np.mgrid[0:64, 0:48].astype(np.float32)
    fit = Fit.of((64, 48), (32, 24))
    flow = fit.flow(np.stack([columns, rows], axis=2), fit)  # every pixel to itself
    rows, columns = np.mgrid[0:32, 0:24]
    np.testing.assert_allclose(flow, np.stack([columns, rows], axis=2), atol=1e-5)


def test_flow_is_not_mixed_over_a_tear():
    flow = np.zeros((8, 8, 2), np.float32)
    flow[:, 4:] = 40
    fitted = Fit.of((8, 8), (20, 20)).flow(flow, Fit.of((64, 64), (64, 64)))
    np.testing.assert_array_equal(fitted[:, :10], 0)
    np.testing.assert_allclose(fitted[:, 10:], 40)


def test_labels_are_taken_not_mixed():
    labels = np.random.default_rng(0).integers(0, 20, (40, 30)).astype(np.uint8)
    doubled = Fit.of((40, 30), (80, 60)).labels(labels)
    np.testing.assert_array_equal(doubled, labels.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(Fit.of((40, 30), (8, 6)).labels(labels), labels[2::5, 2::5])
    np.testing.assert_array_equal(Fit.of((80, 60), (40, 30)).labels(doubled), labels)


def test_depth_is_taken_not_mixed():
    raw = make_raw(size=(64, 48))
    depth = sample_from_raw(raw, (150, 112)).truth.depth
    assert set(depth.unique().tolist()) <= set(np.unique(raw.depth).tolist())  # nothing between a body and nothing


def test_the_flow_into_the_back_follows_the_picture_of_the_back():
    """The back's picture may be of another size than the front's."""
    raw = make_raw(size=(64, 48))
    raw = dataclasses.replace(raw, cloth_back=raw.cloth_back.repeat(2, 0).repeat(2, 1), cloth_back_mask=None)
    raw = dataclasses.replace(raw, flow_back=raw.flow_back * 2 + 0.5)
    got = sample_from_raw(raw).truth.flow_back.permute(1, 2, 0).numpy()
    np.testing.assert_allclose(got, (raw.flow_back + 0.5) / 2 - 0.5, atol=1e-5)
    with pytest.raises(ValueError, match="a flow needs the in-shop picture that it leads to, got cloth_back=None"):
        sample_from_raw(dataclasses.replace(raw, cloth_back=None))


def test_a_flow_without_its_garment_is_refused():
    with pytest.raises(ValueError, match="a flow needs the in-shop picture"):
        sample_from_raw(dataclasses.replace(make_raw(), cloth=None, cloth_mask=None))


# ---- data sets -----------------------------------------------------------------------------------------------------


def test_open_dataset(root):
    dataset = open_dataset(root, size=(32, 24))
    assert len(dataset) == 3 and [sample.name for sample in dataset] == ["a_00", "b_00", "c_00"]
    assert all(sample.name == sample.garment.name and sample.size == (32, 24) for sample in dataset)
    assert dataset[-1].name == "c_00" and "3 samples" in repr(dataset)
    assert dataset[0].truth.flow is not None and dataset[0].truth.unpaired.garment.name == "other_00"
    unpaired = open_dataset(root, pairing="unpaired", size=None)
    assert unpaired.pairs == [("a_00", "other_00"), ("b_00", "other_00"), ("c_00", "a_00")]
    sample = unpaired[0]
    assert sample.size == (64, 48) and sample.garment.name == "other_00" and sample.truth.flow is None
    truth = sample.truth.unpaired
    torch.testing.assert_close(truth.garment.image, sample.garment.image)
    torch.testing.assert_close(truth.pose, sample.pose)
    assert not torch.equal(truth.person, sample.person)
    assert sample.truth.new_pose is sample.truth.flow_back is None and dataset[0].truth.new_pose.garment.name == "a_00"
    assert unpaired[2].truth.unpaired is unpaired[2].truth.flow is None and unpaired[2].truth.depth.max() > 3


def test_a_data_set_travels_to_worker_processes(root):
    dataset = pickle.loads(pickle.dumps(open_dataset(root, size=(32, 24))))
    loader = torch.utils.data.DataLoader(dataset, batch_size=3, collate_fn=collate)
    batch = next(iter(loader))
    assert batch.person.shape == (3, 3, 32, 24) and batch.truth.flow.shape == (3, 2, 32, 24)
    assert batch.garment.name == ["a_00", "b_00", "c_00"]


def test_open_dataset_refuses_bad_arguments(root, tmp_path):
    for arguments, error, message in [
        ({"split": "train"}, FileNotFoundError, "expected the photographs of split 'train'"),
        ({"pairing": "all"}, ValueError, "pairing: expected one of"),
        ({"layout": "coco"}, ValueError, "layout: expected one of"),
        ({"size": (0, 4)}, ValueError, "size: expected"),
        ({"size": (4.0, 4)}, ValueError, "size: expected"),
        ({"size": (4, 4, 3)}, ValueError, "size: expected"),
    ]:
        with pytest.raises(error, match=message):
            open_dataset(root, **arguments)
    with pytest.raises(FileNotFoundError, match="expected a data set"):
        open_dataset(tmp_path)


@pytest.mark.real
@needs_real
def test_real_samples_are_try_on_samples():
    dataset = open_dataset(REAL, pairing="unpaired", size=(256, 192))
    assert len(dataset) == 18
    batch = collate([dataset[0], dataset[6], dataset[12]])
    assert batch.person.shape == (3, 3, 256, 192) and batch.truth is None and batch.densepose is None
    seen = batch.pose[..., 2] > 0
    assert batch.pose[..., 0][seen].max() <= 191.5 and batch.pose[..., 1][seen].max() <= 255.5
    assert batch.hands[..., 1].max() > 255.5  # below the edge


# ---- mirror --------------------------------------------------------------------------------------------------------


def same(one, other):
    """Equal field by field, nested; NaN equals NaN."""
    if isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, equal_nan=True, atol=2e-5, rtol=0)
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            same(getattr(one, field.name), getattr(other, field.name))
    else:
        assert one == other


@pytest.fixture(scope="module")
def sample():
    raw = make_raw(size=(64, 48))
    raw.pose[10] = 0  # a missing joint
    sample = sample_from_raw(raw, (70, 53))
    other = dataclasses.replace(sample.truth.unpaired, skeleton=None, densepose=None)
    turned = dataclasses.replace(sample.truth.new_pose, skeleton=None, densepose=None)
    truth = dataclasses.replace(sample.truth, unpaired=other, new_pose=turned)
    return dataclasses.replace(sample, truth=truth, padding=(1, 2, 3, 4))


def test_mirror_twice_is_the_identity(sample):
    bare = dataclasses.replace(sample, skeleton=None, densepose=None)
    same(mirror(mirror(bare)), bare)
    batch = collate([bare, bare])
    same(mirror(mirror(batch)), batch)
    same(mirror(batch), collate([mirror(bare), mirror(bare)]))


def test_mirror_swaps_left_and_right(sample):
    other = mirror(sample)
    width = sample.size[1]
    assert other.skeleton is None and other.densepose is None and other.padding == (3, 2, 1, 4)
    assert torch.equal(other.person, sample.person.flip(-1))
    assert torch.equal(other.garment.image, sample.garment.image.flip(-1))
    assert torch.equal(other.garment.back_mask, sample.garment.back_mask.flip(-1))
    assert torch.equal(other.parse == 14, (sample.parse == 15).flip(-1))
    assert torch.equal(other.parse == 5, (sample.parse == 5).flip(-1))
    torch.testing.assert_close(other.pose[2, 0], width - 1 - sample.pose[5, 0])
    torch.testing.assert_close(other.pose[2, 1:], sample.pose[5, 1:])
    torch.testing.assert_close(other.hands[0, :, 1:], sample.hands[1, :, 1:])
    assert not sample.pose[10].any() and not other.pose[13].any()
    assert torch.equal(other.truth.depth, sample.truth.depth.flip(-1)) and sample.truth.depth.max() > 3
    there, mirrored = sample.truth.flow_back.flip(-1), other.truth.flow_back
    torch.testing.assert_close(mirrored[0], width - 1 - there[0], equal_nan=True)
    torch.testing.assert_close(mirrored[1], there[1], equal_nan=True)
    assert torch.equal(other.truth.new_pose.person, sample.truth.new_pose.person.flip(-1))


def test_the_mirrored_flow_leads_to_the_same_garment_point(sample):
    other = mirror(sample)
    picture, mirrored = sample.garment.image, other.garment.image
    checked = 0
    for y, x in torch.nonzero(~sample.truth.flow[0].isnan())[::37].tolist():
        to_x, to_y = sample.truth.flow[:, y, x].round().long().tolist()
        new_x, new_y = other.truth.flow[:, y, sample.size[1] - 1 - x].tolist()
        assert abs(new_x - (52 - sample.truth.flow[0, y, x].item())) < 1e-4
        if 0 <= to_x < 53 and 0 <= to_y < 70:
            assert torch.equal(picture[:, to_y, to_x], mirrored[:, round(new_y), 52 - to_x])
            checked += 1
    assert checked > 10


def test_mirror_of_a_bare_sample():
    bare = TryOnSample(name="x", person=torch.rand(3, 8, 6))
    assert torch.equal(mirror(bare).person, bare.person.flip(-1))
    pose = torch.from_numpy(standing_pose((8, 6)))
    assert mirror(dataclasses.replace(bare, pose=pose)).pose.shape == (25, 3)
