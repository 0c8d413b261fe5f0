"""The layout of MVG: five views of a person in three folders, its public form, and the studio's."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic import make_raw, smooth_picture

from vtonlib.data import open_dataset
from vtonlib.layouts import MPV, MVG, DamagedFile, VitonHD, mvg, recognise
from vtonlib.layouts.files import write_bytes

PEOPLE = ("000003", "000007")
OTHER = dict(zip(PEOPLE, PEOPLE[::-1]))
STUDIO_ONLY = {
    "image_ori", "parse", "openpose_json", "densepose-iuv", "flow", "flow-back", "truth-hidden", "truth-depth",
    "truth-unpaired", "truth-unpaired-parse", "truth-unpaired-flow", "truth-unpaired-flow-back",
    "truth-unpaired-hidden", "truth-new-pose", "truth-new-pose-parse", "truth-new-pose-iuv", "truth-new-pose-keypoints",
}  # fmt: skip


def shop(person):
    raw = make_raw("x", seed=100 + PEOPLE.index(person))
    pictures = {name: getattr(raw, name) for name in ("cloth", "cloth_mask", "cloth_back", "cloth_back_mask")}
    return {"garment_name": person, **pictures}


def views_of(person):
    """What the studio would hand to the writer."""
    views = []
    for view in range(5):
        raw = make_raw(mvg.view_name(person, view), person, seed=10 * PEOPLE.index(person) + view)
        other = dataclasses.replace(
            raw.unpaired, **shop(OTHER[person]), flow=raw.flow, flow_back=raw.flow_back, hidden=raw.hidden
        )
        views.append(dataclasses.replace(raw, **shop(person), unpaired=other))
    return views


def write_studio(root):
    for person in PEOPLE:
        mvg.write_views(root / "test", views_of(person))
    mvg.write_unpaired(root, OTHER.items())
    write_bytes(root / "studio.json", b'{"recipe": "test"}\n')
    return root


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return write_studio(tmp_path_factory.mktemp("mvg"))


@pytest.fixture
def copy(studio, tmp_path):
    shutil.copytree(studio, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def public(copy):
    (copy / "studio.json").unlink()
    for folder in STUDIO_ONLY:
        shutil.rmtree(copy / "test" / folder)
    return copy


def near(got, expected):
    return got.shape == expected.shape and np.abs(got.astype(int) - expected).mean() < 2.5


def cut_out(image, parse):
    return np.where((parse > 0)[..., None], image, 255)


def alike(got, raw, fields):
    for field, error in fields.items():
        np.testing.assert_allclose(getattr(got, field), getattr(raw, field), atol=error, rtol=0, err_msg=field)


PERSON = {"parse": 0, "densepose": 0, "pose": 6e-4, "hands": 6e-4, "depth": 1.01e-4}
WORN = {"flow": 1 / 128, "flow_back": 1 / 128, "hidden": 0}
SHOP = {"cloth_mask": 0, "cloth_back_mask": 0}

# ---- round trips ---------------------------------------------------------------------------------------------------


def test_files_lie_as_mv_vtons_loader_expects(studio):
    """Folders named ID_1 to ID_3, three sorted pictures in each, and every file that the loader opens."""
    folders = sorted(path.name for path in (studio / "test/image-wo-bg").iterdir())
    assert folders == [f"{person}_{k}" for person in PEOPLE for k in (1, 2, 3)]
    garment_of = dict(line.split() for line in (studio / "unpaired.txt").read_text().splitlines())
    for folder in folders:
        person, order = folder.split("_")
        other = f"{garment_of[person]}_{order}"
        for own in (folder, other):
            front, target, back = sorted(path.name for path in (studio / "test/image-wo-bg" / own).iterdir())
            assert (front, target, back) == ("1.jpg", f"{int(order) + 1}.jpg", "5.jpg")
            for path in (f"cloth/{own}/{front}", f"cloth/{own}/{back}", f"cloth-mask/{own}/{front}",
                         f"cloth-mask/{own}/{back}", f"skeletons/{own}/{front}", f"skeletons/{own}/{target}",
                         f"skeletons/{own}/{back}", f"inpaint_mask/{own}/{target}", f"warp_feat/{own}.jpg",
                         f"warp_feat_unpair/{own}.jpg", f"image_ori/{own}/{target}"):  # fmt: skip
                assert (studio / "test" / path).is_file(), path


def test_all_five_views_come_back(studio):
    source = MVG(studio)
    assert source.variant == "studio" and source.recipe == {"recipe": "test"}
    assert source.names() == [(f"{person}_{view}", person) for person in PEOPLE for view in range(5)]
    for raw in views_of(PEOPLE[0]):
        got = source.read(raw.name, PEOPLE[0])
        assert (got.name, got.garment_name) == (raw.name, PEOPLE[0]) and near(got.image, cut_out(raw.image, raw.parse))
        assert near(got.cloth, raw.cloth) and near(got.cloth_back, raw.cloth_back)
        alike(got, raw, PERSON | WORN | SHOP)
        assert got.skeleton.shape == (64, 48, 3) and got.skeleton.max() > 100
        other = got.unpaired
        assert other.garment_name == PEOPLE[1] and near(other.image, cut_out(raw.unpaired.image, raw.unpaired.parse))
        alike(other, raw.unpaired, {"parse": 0} | WORN | SHOP)
        assert got.new_pose.name == raw.name and near(got.new_pose.cloth, got.cloth)
        alike(got.new_pose, raw.new_pose, {"parse": 0, "densepose": 0, "pose": 6e-4})


def test_with_another_garment(studio):
    source, raw = MVG(studio), views_of(PEOPLE[0])[2]
    assert ("000003_2", "000007") in source.names("unpaired") and len(source.names("unpaired")) == 10
    got = source.read("000003_2", "000007")
    assert got.garment_name == "000007" and near(got.cloth_back, shop("000007")["cloth_back"])
    assert got.flow is got.flow_back is got.hidden is got.new_pose is None
    alike(got, raw, PERSON)
    assert got.unpaired.garment_name == "000007" and near(got.unpaired.cloth, got.cloth)


def test_as_a_data_set(studio):
    assert recognise(studio) is MVG
    dataset = open_dataset(studio, size=(32, 24))
    assert len(dataset) == 10 and "mvg (studio)" in repr(dataset)
    sample = dataset[4]
    assert sample.name == "000003_4" and sample.garment.back.shape == (3, 32, 24)
    assert sample.truth.flow_back.shape == (2, 32, 24) and sample.truth.depth.max() > 3
    unpaired = open_dataset(studio, pairing="unpaired", size=(32, 24))[4]
    torch.testing.assert_close(unpaired.truth.unpaired.garment.back, unpaired.garment.back)


def test_what_is_drawn_for_the_layout(studio):
    raw = views_of(PEOPLE[0])[1]
    read = lambda path: np.asarray(Image.open(studio / "test" / path)).astype(int)  # noqa: E731
    mask = read("inpaint_mask/000003_1/2.jpg") >= 128
    assert mask[raw.parse == 5].all() and not mask[raw.parse == 13].any()
    feature = read("warp_feat/000003_1.jpg")
    shows = ~np.isnan(raw.flow[..., 0])
    inner = shows.copy()
    for axis in (0, 1):
        for step in (-3, 3):
            inner &= np.roll(shows, step, axis) & np.isnan(raw.flow_back[..., 0])
    x, y = np.rint(raw.flow[inner]).astype(int).T
    assert inner.sum() > 100 and np.abs(feature[inner] - raw.cloth[y, x]).mean() < 8
    erased = mask & ~shows & np.isnan(raw.flow_back[..., 0])
    assert np.abs(feature[erased] - 128).mean() < 10
    assert np.abs(feature[(raw.parse == 0) & ~mask] - 255).mean() < 5
    assert near(read("image_ori/000003_1/2.jpg"), raw.image)


def test_bilinear_pasting():
    shop_picture = smooth_picture((20, 30), 0)
    xy = np.array([[0, 0], [29, 19], [4.5, 7], [-0.5, 30], [3, 2.25]])
    got = mvg._bilinear(shop_picture, xy).astype(int)
    np.testing.assert_array_equal(got[0], shop_picture[0, 0])
    np.testing.assert_array_equal(got[1], shop_picture[19, 29])
    np.testing.assert_allclose(got[2], shop_picture[7, 4:6].astype(int).mean(axis=0), atol=0.51)
    np.testing.assert_array_equal(got[3], shop_picture[19, 0])
    np.testing.assert_allclose(got[4], 0.75 * shop_picture[2, 3] + 0.25 * shop_picture[3, 3], atol=0.51)


def test_writing_again_gives_the_same_bytes(studio, tmp_path):
    again = write_studio(tmp_path)
    files = {path.relative_to(studio): path.read_bytes() for path in studio.rglob("*") if path.is_file()}
    assert files == {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()}


# ---- the public form -----------------------------------------------------------------------------------------------


def test_a_public_copy_is_read(public, studio):
    source = MVG(public)
    assert recognise(public) is MVG and source.variant == "public" and source.recipe is None
    assert source.names() == [(f"{person}_{k}", person) for person in PEOPLE for k in (1, 2, 3)]
    got, full = source.read("000003_2", "000003"), MVG(studio).read("000003_2", "000003")
    for field in ("image", "skeleton", "cloth", "cloth_back", "cloth_mask", "cloth_back_mask"):
        np.testing.assert_array_equal(getattr(got, field), getattr(full, field))
    for field in ("parse", "pose", "hands", "densepose", "flow", "depth", "unpaired", "new_pose"):
        assert getattr(got, field) is None, field
    unpaired = open_dataset(public, pairing="unpaired")
    assert len(unpaired) == 6 and unpaired[0].garment.back is not None and unpaired[0].truth is None


def test_any_three_names_in_order_will_do(public):
    for folder in ("image-wo-bg", "cloth", "cloth-mask", "skeletons"):
        for path in list((public / "test" / folder / "000003_2").iterdir()):
            path.rename(path.with_name({"1": "a", "3": "m", "5": "z"}[path.stem] + ".jpg"))
    got = MVG(public).read("000003_2", "000003")
    assert near(got.image, cut_out(views_of("000003")[2].image, views_of("000003")[2].parse))
    assert near(got.cloth_back, shop("000003")["cloth_back"])
    path = public / "test/image-wo-bg/000003_2"
    shutil.copy(path / "a.jpg", path / "b.jpg")
    with pytest.raises(DamagedFile, match=r"three pictures: front, target, back, got 4: a\.jpg, b\.jpg"):
        MVG(public).read("000003_2", "000003")


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_the_writer_refuses_what_does_not_fit(tmp_path):
    views = views_of(PEOPLE[0])
    for change, message in [
        ({"name": "000003_3"}, r"expected sample 2 to be \('000003_2', '000003'\), got \('000003_3', '000003'\)"),
        ({"garment_name": "x"}, "expected sample 2 to be"),
        ({"cloth_back": None, "cloth_back_mask": None}, "this layout needs cloth_back, cloth_back_mask"),
        ({"parse": None}, "this layout needs parse"),
        ({"depth": views[2].depth[1:]}, r"depth is \(63, 48\)"),
        ({"unpaired": views[1]}, "unpaired is another person"),
        ({"new_pose": views[1]}, "new_pose is '000003_1'"),
    ]:
        changed = [*views[:2], dataclasses.replace(views[2], **change), *views[3:]]
        with pytest.raises(ValueError, match=message):
            mvg.write_views(tmp_path / "test", changed)
    with pytest.raises(ValueError, match=r"views: expected 5 samples, at .* degrees, got 4"):
        mvg.write_views(tmp_path / "test", views[:4])
    assert not list(tmp_path.iterdir())
    for bad in ("", "a_b", "a/b", "a b"):
        with pytest.raises(ValueError, match="person_id: expected an id"):
            mvg.write_unpaired(tmp_path, [(bad, "x")])
    with pytest.raises(ValueError, match="view: expected 0 to 4, got 5"):
        mvg.view_name("a", 5)


@pytest.mark.parametrize(
    "path",
    ["image-wo-bg/000003_2/3.jpg", "cloth/000003_2/1.jpg", "cloth/000003_2/5.jpg", "cloth-mask/000003_2/5.jpg",
     "skeletons/000003_2/3.jpg", "parse/000003_2.png", "densepose-iuv/000003_2.png", "flow/000003_2.png",
     "openpose_json/000003_2_keypoints.json", "flow-back/000003_2.png", "truth-depth/000003_2.png",
     "truth-unpaired-flow/000003_2--000007.png", "cloth/000007_2/1.jpg"],
)  # fmt: skip
def test_missing_and_truncated_files_are_named(copy, path):
    path = copy / "test" / path
    data = path.read_bytes()
    for share in (0, 0.5):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(DamagedFile) as caught:
            MVG(copy).read("000003_2", "000003")
        assert caught.value.path == path
    path.unlink()
    with pytest.raises((FileNotFoundError, DamagedFile)) as caught:
        MVG(copy).read("000003_2", "000003")
    assert str(path.parent) in str(caught.value)


def test_wrong_sizes_and_values_are_refused(copy):
    for path, picture, message in [
        ("parse/000003_2.png", Image.new("L", (48, 63)), "expected 64 x 48"),
        ("densepose-iuv/000003_2.png", Image.new("RGB", (48, 64), (25, 0, 0)), "DensePose parts"),
        ("skeletons/000003_2/3.jpg", Image.new("RGB", (47, 64)), "expected 64 x 48"),
        ("cloth-mask/000003_2/1.jpg", Image.new("L", (47, 64)), "expected 64 x 48"),
        ("image-wo-bg/000003_2/3.jpg", Image.new("L", (48, 64)), "mode RGB, got mode L"),
    ]:
        before = (copy / "test" / path).read_bytes()
        picture.save(copy / "test" / path)
        with pytest.raises(DamagedFile, match=message):
            MVG(copy).read("000003_2", "000003")
        (copy / "test" / path).write_bytes(before)


def test_absent_and_misnamed_things_are_named(copy, tmp_path):
    with pytest.raises(FileNotFoundError, match="expected the pictures of split 'train'"):
        MVG(copy, "train")
    with pytest.raises(ValueError, match="pairing: expected one of"):
        MVG(copy).names("both")
    with pytest.raises(FileNotFoundError, match="000009_1: expected a folder of three pictures, got nothing there"):
        MVG(copy).read("000009_1", "000003")
    (copy / "unpaired.txt").write_text("000003 000009\n")
    with pytest.raises(FileNotFoundError, match=r"cloth/000009_1: expected the garment of '000003_0' \(unpaired\)"):
        MVG(copy).names("unpaired")
    for text, message in (("a b c\n", "two ids, person and garment, in line 1"), ("\na_1 b\n", "in line 2")):
        (copy / "unpaired.txt").write_text(text)
        with pytest.raises(DamagedFile, match=message):
            MVG(copy).names("unpaired")
    (copy / "unpaired.txt").unlink()
    assert MVG(copy).read("000003_1", "000003").unpaired is None
    with pytest.raises(FileNotFoundError, match=r"unpaired\.txt: expected a file"):
        MVG(copy).names("unpaired")
    (copy / "test/image-wo-bg/stray").mkdir()
    with pytest.raises(DamagedFile, match="a folder named ID_k"):
        MVG(copy).names()
    assert not any(kind.recognises(copy) for kind in (VitonHD, MPV)) and not MVG.recognises(tmp_path / "nowhere")
