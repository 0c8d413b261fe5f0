"""Layouts: what is written is read back, and what is damaged is refused by name."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from synthetic import REAL, make_raw, needs_real, smooth_picture

from vtonlib.labels import LIP_PALETTE
from vtonlib.layouts import DamagedFile, VitonHD, recognise, write_pairs, write_sample
from vtonlib.layouts.files import read_pairs, read_picture, write_bytes
from vtonlib.represent import draw_human_agnostic, draw_parse_agnostic, draw_skeleton

NAMES = ("000001_00", "000002_00")
EVERY_FOLDER = {
    "image", "cloth", "cloth-mask", "cloth-back", "cloth-back-mask", "image-parse-v3", "image-densepose",
    "densepose-iuv", "openpose_img", "openpose_json", "image-parse-agnostic-v3.2", "agnostic-v3.2", "agnostic-mask",
    "flow", "flow-back", "truth-hidden", "truth-depth", "truth-unpaired", "truth-unpaired-parse",
    "truth-new-pose", "truth-new-pose-parse", "truth-new-pose-iuv", "truth-new-pose-keypoints",
}  # fmt: skip


def write_studio(root, **options):
    for seed, name in enumerate(NAMES):
        write_sample(root / "test", make_raw(name, seed=seed, **options))
    write_pairs(root / "test_pairs.txt", [(NAMES[0], "other_00"), (NAMES[1], NAMES[0])])
    write_bytes(root / "studio.json", b'{"recipe": "test"}\n')
    return root


def as_demo(root, to):
    """The same data under the folder names of the 2021 demo release."""
    pairs = {"image": "image", "cloth": "cloth", "cloth-mask": "cloth-mask", "image-parse-v3": "image-parse",
             "openpose_json": "openpose-json", "openpose_img": "openpose-img"}  # fmt: skip
    for full, demo in pairs.items():
        shutil.copytree(root / "test" / full, to / "test" / demo)
    shutil.copy(root / "test_pairs.txt", to / "test_pairs.txt")
    return to


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return write_studio(tmp_path_factory.mktemp("studio"))


@pytest.fixture
def copy(studio, tmp_path):
    shutil.copytree(studio, tmp_path / "copy")
    return tmp_path / "copy"


def near(got, expected):
    """Equal but for the rounding of a JPEG of quality 95."""
    error = np.abs(got.astype(int) - expected)
    return got.shape == expected.shape and got.dtype == np.uint8 and error.max() <= 14 and error.mean() < 2


# ---- round trips ---------------------------------------------------------------------------------------------------


def test_a_studio_sample_comes_back(studio):
    assert {folder.name for folder in (studio / "test").iterdir()} == EVERY_FOLDER
    source = VitonHD(studio, "test")
    assert source.variant == "studio" and source.recipe == {"recipe": "test"}
    for seed, name in enumerate(NAMES):
        raw, got = make_raw(name, seed=seed), source.read(name, name)
        assert got.name == name and got.garment_name == name
        for field in ("image", "cloth", "cloth_back"):
            assert near(getattr(got, field), getattr(raw, field)), field
        for field in ("parse", "densepose", "cloth_mask", "cloth_back_mask", "hidden"):
            np.testing.assert_array_equal(getattr(got, field), getattr(raw, field), err_msg=field)
            assert getattr(got, field).dtype == getattr(raw, field).dtype
        keypoints = (("pose", 6e-4), ("hands", 6e-4))
        for field, error in (*keypoints, ("flow", 1 / 128), ("flow_back", 1 / 128), ("depth", 1.01e-4)):
            np.testing.assert_allclose(getattr(got, field), getattr(raw, field), atol=error, rtol=0, err_msg=field)
            assert getattr(got, field).dtype == np.float32
        np.testing.assert_array_equal(got.skeleton, draw_skeleton(raw.pose, raw.hands, raw.image.shape[:2]))


def test_the_unpaired_truth_comes_with_either_pairing(studio):
    source, raw = VitonHD(studio, "test"), make_raw(NAMES[0], seed=0)
    for got in (source.read(NAMES[0], NAMES[0]), source.read(NAMES[0], "other_00")):
        other = got.unpaired
        assert other.garment_name == "other_00" and other.name == NAMES[0] and other.unpaired is None
        assert near(other.image, raw.unpaired.image) and near(other.cloth, raw.unpaired.cloth)
        np.testing.assert_array_equal(other.parse, raw.unpaired.parse)
        np.testing.assert_array_equal(other.pose, got.pose)
    unpaired = source.read(NAMES[0], "other_00")
    assert unpaired.garment_name == "other_00" and near(unpaired.cloth, raw.unpaired.cloth)
    assert unpaired.flow is None and unpaired.hidden is None  # they belong to the own garment
    assert source.read(NAMES[1], NAMES[0]).unpaired is None  # nobody drew that one


def test_the_new_pose_comes_with_the_own_garment(studio):
    source, raw = VitonHD(studio), make_raw(NAMES[0], seed=0)
    got = source.read(NAMES[0], NAMES[0]).new_pose
    assert (got.name, got.garment_name) == (NAMES[0], NAMES[0]) and got.new_pose is got.unpaired is got.flow is None
    assert near(got.image, raw.new_pose.image) and near(got.cloth, raw.cloth)
    for field in ("parse", "densepose", "cloth_mask", "cloth_back_mask"):
        np.testing.assert_array_equal(getattr(got, field), getattr(raw.new_pose, field))
    np.testing.assert_allclose(got.pose, raw.new_pose.pose, atol=6e-4)
    unpaired = source.read(NAMES[0], "other_00")
    assert unpaired.new_pose is unpaired.flow_back is None and abs(unpaired.depth - raw.depth).max() < 1.01e-4


def test_a_person_may_have_no_new_pose_but_not_half_of_it(copy):
    (copy / f"test/truth-new-pose/{NAMES[0]}.jpg").unlink()
    assert VitonHD(copy).read(NAMES[0], NAMES[0]).new_pose is None
    path = copy / f"test/truth-new-pose-keypoints/{NAMES[1]}_keypoints.json"
    path.unlink()
    with pytest.raises(FileNotFoundError, match=str(path)):
        VitonHD(copy).read(NAMES[1], NAMES[1])


def test_flow_of_the_unpaired_truth_comes_back(tmp_path):
    raw = make_raw()
    other = dataclasses.replace(raw.unpaired, flow=raw.flow, flow_back=raw.flow_back, hidden=raw.hidden)
    write_sample(tmp_path / "test", dataclasses.replace(raw, unpaired=other))
    got = VitonHD(tmp_path).read(raw.name, "other_00").unpaired
    np.testing.assert_allclose(got.flow, raw.flow, atol=1 / 128, rtol=0)
    np.testing.assert_allclose(got.flow_back, raw.flow_back, atol=1 / 128, rtol=0)
    np.testing.assert_array_equal(got.hidden, raw.hidden)


def test_what_is_drawn_for_the_layout(studio):
    raw, folder = make_raw(NAMES[0]), studio / "test"
    agnostic, mask = draw_human_agnostic(raw.image, raw.parse, raw.pose)
    stored = Image.open(folder / "image-parse-agnostic-v3.2" / f"{raw.name}.png")
    assert stored.mode == "P"
    np.testing.assert_array_equal(np.asarray(stored), draw_parse_agnostic(raw.parse, raw.pose))
    np.testing.assert_array_equal(
        np.asarray(stored.convert("RGB")), np.uint8(LIP_PALETTE)[draw_parse_agnostic(raw.parse, raw.pose)]
    )
    np.testing.assert_array_equal(np.asarray(Image.open(folder / f"agnostic-mask/{raw.name}_mask.png")) == 255, mask)
    assert Image.open(folder / f"image-densepose/{raw.name}.jpg").mode == "RGB"
    document = json.loads((folder / f"openpose_json/{raw.name}_keypoints.json").read_text())
    assert document["version"] == 1.3 and len(document["people"]) == 1
    picture = Image.open(folder / f"image/{raw.name}.jpg")
    assert picture.layer == [(1, 1, 1, 0), (2, 1, 1, 1), (3, 1, 1, 1)]  # 4:4:4, no colour subsampling
    stored = np.asarray(Image.open(folder / f"agnostic-v3.2/{raw.name}.jpg")).astype(int)
    assert np.abs(stored - agnostic).mean() < 3


def test_writing_again_gives_the_same_bytes(studio, tmp_path):
    again = write_studio(tmp_path)
    files = {path.relative_to(studio): path.read_bytes() for path in studio.rglob("*") if path.is_file()}
    assert files == {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()}


def test_demo_and_full_folders_read_the_same(studio, tmp_path):
    demo = VitonHD(as_demo(studio, tmp_path), "test")
    assert demo.variant == "demo" and demo.recipe is None
    got, full = demo.read(NAMES[0], NAMES[0]), VitonHD(studio).read(NAMES[0], NAMES[0])
    for field in ("image", "parse", "pose", "hands", "skeleton", "cloth", "cloth_mask"):
        np.testing.assert_array_equal(getattr(got, field), getattr(full, field))
    assert got.densepose is got.flow is got.hidden is got.cloth_back is got.unpaired is None
    shutil.copytree(studio / "test", tmp_path / "full" / "test")
    assert VitonHD(tmp_path / "full").variant == "full"


def test_a_sample_with_little_in_it(tmp_path):
    raw = make_raw(truth=False)
    raw = dataclasses.replace(raw, parse=None, pose=None, hands=None, cloth_mask=None)
    write_sample(tmp_path / "train", raw)
    assert {folder.name for folder in (tmp_path / "train").iterdir()} == {"image", "cloth"}
    got = VitonHD(tmp_path, "train").read(raw.name, raw.name)
    assert got.parse is got.pose is got.hands is got.skeleton is got.cloth_mask is got.unpaired is None


def test_the_writer_refuses_what_does_not_fit(tmp_path):
    raw = make_raw()
    for change, message in [
        ({"parse": raw.parse[1:]}, r"parse is \(63, 48\), but image is \(64, 48\)"),
        ({"cloth": None}, "cloth_mask is .* no such picture"),
        ({"parse": raw.parse + 15}, "expected LIP labels 0..19"),
        ({"pose": raw.pose * np.nan}, "pose: expected finite"),
        ({"flow": raw.flow + 2000}, "flow: expected coordinates in"),
        ({"flow_back": raw.flow_back[1:]}, r"flow_back is \(63, 48\), but image is \(64, 48\)"),
        ({"depth": raw.depth[:, 1:]}, r"depth is \(64, 47\), but image is \(64, 48\)"),
        ({"depth": raw.depth + 11}, "depth: expected metres in"),
        ({"unpaired": make_raw("somebody")}, "another person"),
        ({"new_pose": make_raw("somebody")}, "new_pose is 'somebody' in 'somebody'"),
        ({"new_pose": make_raw(raw.name, "other_00")}, "new_pose is '000001_00' in 'other_00'"),
    ]:
        with pytest.raises(ValueError, match=message):
            write_sample(tmp_path / "test", dataclasses.replace(raw, **change))


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("pulled the plug")))
    with pytest.raises(OSError, match="pulled the plug"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and [file.name for file in tmp_path.iterdir()] == ["file.bin"]


# ---- names and pairs -----------------------------------------------------------------------------------------------


def test_names_paired_and_unpaired(studio):
    source = VitonHD(studio)
    assert source.names("paired") == [(name, name) for name in NAMES]
    assert source.names("unpaired") == [(NAMES[0], "other_00"), (NAMES[1], NAMES[0])]
    with pytest.raises(ValueError, match="pairing: expected one of"):
        source.names("both")


def test_a_paired_file_says_what_is_worn(copy):
    write_pairs(copy / "test_pairs_paired.txt", [(NAMES[0], "other_00"), (NAMES[1], NAMES[1])])
    source = VitonHD(copy)
    assert source.names() == [(NAMES[0], "other_00"), (NAMES[1], NAMES[1])]
    assert source.read(NAMES[0], "other_00").flow is not None
    assert source.read(NAMES[0], NAMES[0]).flow is None


def test_missing_garments_and_photographs_are_named(copy):
    (copy / "test/cloth" / f"{NAMES[1]}.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=rf"cloth/{NAMES[1]}.jpg: expected a file.*person '{NAMES[1]}', paired"):
        VitonHD(copy).names()
    write_pairs(copy / "test_pairs.txt", [("nobody", NAMES[0])])
    with pytest.raises(FileNotFoundError, match=r"image/nobody\.jpg"):
        VitonHD(copy).names("unpaired")
    (copy / "test_pairs.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"test_pairs.txt: expected a file"):
        VitonHD(copy).names("unpaired")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(*[st.text("ab_019-.", min_size=1, max_size=8)] * 2), max_size=6))
def test_pairs_round_trip_or_refusal(tmp_path, pairs):
    path = tmp_path / "pairs.txt"
    if any(name.startswith(".") for pair in pairs for name in pair):
        with pytest.raises(ValueError, match="pairs: expected names"):
            write_pairs(path, pairs)
    else:
        write_pairs(path, pairs)
        assert read_pairs(path) == pairs
        write_pairs(path, [(f"{person}.jpg", f"{garment}.jpg") for person, garment in pairs])
        assert read_pairs(path) == pairs


@pytest.mark.parametrize(
    "text, message",
    [
        ("a.jpg b.jpg\nc.jpg\n", r"two names, person and garment, in line 2, got 1: 'c.jpg'"),
        ("a.jpg b.jpg c.jpg\n", "line 1, got 3"),
        ("../a.jpg b.jpg\n", "plain file names in line 1"),
    ],
)
def test_a_damaged_pairs_line_is_named(tmp_path, text, message):
    path = tmp_path / "test_pairs.txt"
    path.write_text(text)
    with pytest.raises(DamagedFile, match=message) as caught:
        read_pairs(path)
    assert caught.value.path == path and str(path) in str(caught.value)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DamagedFile, match="UTF-8"):
        read_pairs(path)


def test_blank_lines_and_tabs_are_fine(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("\na.jpg\tb.jpg\r\n\n  c.jpg   d.jpg  \n")
    assert read_pairs(path) == [("a", "b"), ("c", "d")]


# ---- damage --------------------------------------------------------------------------------------------------------


def refused(copy, path, message):
    with pytest.raises(DamagedFile, match=message) as caught:
        VitonHD(copy).read(NAMES[0], NAMES[0])
    assert caught.value.path == copy / "test" / path
    assert str(copy / "test" / path) in str(caught.value)


def test_a_coloured_parse_is_refused(copy):
    path = copy / "test/image-parse-v3" / f"{NAMES[0]}.png"
    Image.open(path).convert("RGB").save(path)
    refused(copy, f"image-parse-v3/{NAMES[0]}.png", "expected a picture of mode P or L, got mode RGB")


def test_a_parse_of_another_size_or_with_other_labels_is_refused(copy):
    path = copy / "test/image-parse-v3" / f"{NAMES[0]}.png"
    Image.open(path).resize((24, 32), Image.Resampling.NEAREST).save(path)
    refused(copy, f"image-parse-v3/{NAMES[0]}.png", r"expected 64 x 48 pixels \(height x width\), got 32 x 24")
    Image.fromarray(np.full((64, 48), 20, np.uint8)).save(path)
    refused(copy, f"image-parse-v3/{NAMES[0]}.png", r"expected LIP labels 0\.\.19, got the value 20")


def test_other_damaged_pictures_are_refused(copy):
    folder, name = copy / "test", NAMES[0]
    cases = [
        (f"image/{name}.jpg", Image.new("L", (48, 64)), "mode RGB, got mode L"),
        (f"cloth-mask/{name}.jpg", Image.new("RGB", (48, 64)), "mode L, got mode RGB"),
        (f"densepose-iuv/{name}.png", Image.new("RGB", (48, 64), (25, 0, 0)), "DensePose parts 0..24"),
        (f"flow/{name}.png", Image.fromarray(np.eye(128, 48, dtype=np.uint16)), "only one of them"),
        (f"flow/{name}.png", Image.fromarray(np.zeros((64, 48), np.uint16)), "expected 128 x 48"),
        (f"truth-depth/{name}.png", Image.new("L", (48, 64)), "mode I;16, got mode L"),
        (f"truth-depth/{name}.png", Image.fromarray(np.zeros((128, 48), np.uint16)), "expected 64 x 48"),
        (f"flow-back/{name}.png", Image.fromarray(np.zeros((64, 48), np.uint16)), "expected 128 x 48"),
        (f"truth-new-pose/{name}.jpg", Image.new("RGB", (40, 64)), "expected 64 x 48"),
        (f"openpose_img/{name}_rendered.png", Image.new("RGB", (47, 64)), "expected 64 x 48 .* got 64 x 47"),
        (f"truth-unpaired/{name}--other_00.jpg", Image.new("RGB", (40, 64)), "expected 64 x 48"),
    ]
    for path, picture, message in cases:
        before = (folder / path).read_bytes()
        picture.save(folder / path)
        refused(copy, path, message)
        (folder / path).write_bytes(before)
    assert VitonHD(copy).read(name, name).flow is not None


@pytest.mark.parametrize("folder, end", sorted({
    ("image", ".jpg"), ("cloth", ".jpg"), ("cloth-mask", ".jpg"), ("image-parse-v3", ".png"),
    ("openpose_img", "_rendered.png"),
    ("openpose_json", "_keypoints.json"), ("densepose-iuv", ".png"), ("flow", ".png"), ("truth-hidden", ".png"),
    ("cloth-back", ".jpg"), ("cloth-back-mask", ".jpg"), ("flow-back", ".png"), ("truth-depth", ".png"),
    ("truth-new-pose-parse", ".png"),
}))  # fmt: skip
def test_missing_and_truncated_files_are_named(copy, folder, end):
    path = copy / "test" / folder / f"{NAMES[0]}{end}"
    data = path.read_bytes()
    for share in (0, 0.02, 0.5, 0.8):
        path.write_bytes(data[: int(share * len(data))])
        refused(copy, path.relative_to(copy / "test"), "expected")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{path}: expected a file, got nothing there"):
        VitonHD(copy).read(NAMES[0], NAMES[0])


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_to_a_picture_is_read_or_refused(tmp_path, data):
    path = tmp_path / "picture"
    kind = data.draw(st.sampled_from(["JPEG", "PNG"]))
    Image.fromarray(smooth_picture((24, 16), 0)).save(path, kind)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        pixels = read_picture(path, modes=("RGB",), size=(24, 16))
        assert pixels.shape == (24, 16, 3) and pixels.dtype == np.uint8
    except DamagedFile as error:
        assert str(path) in str(error)


# ---- finding the layout --------------------------------------------------------------------------------------------


def test_recognise(studio, tmp_path):
    assert recognise(studio) is VitonHD and recognise(str(studio)) is VitonHD
    assert recognise(tmp_path, layout="viton-hd") is VitonHD
    with pytest.raises(ValueError, match=r"layout: expected one of \['mpv', 'mvg', 'viton-hd'\], got 'coco'"):
        recognise(studio, layout="coco")
    with pytest.raises(
        FileNotFoundError, match=r"expected a data set .*viton-hd: train/image.* got a folder with photos"
    ):
        (tmp_path / "photos").mkdir()
        recognise(tmp_path)
    with pytest.raises(FileNotFoundError, match="got nothing"):
        recognise(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match="got a file"):
        recognise(tmp_path / "file")


def test_an_absent_split_and_a_damaged_recipe_are_named(copy):
    with pytest.raises(FileNotFoundError, match="train/image: expected the photographs of split 'train'"):
        VitonHD(copy, "train")
    for text, message in (("{", "a JSON file"), ("[]", "a JSON object, got list")):
        (copy / "studio.json").write_text(text)
        with pytest.raises(DamagedFile, match=message):
            _ = VitonHD(copy).recipe


@pytest.mark.real
@needs_real
def test_the_real_samples_load():
    source = VitonHD(REAL, "test")
    assert source.variant == "demo"
    pairs = source.names("unpaired")
    assert len(pairs) == 18
    with pytest.raises(FileNotFoundError, match="the garment of person"):
        source.names("paired")
    below = 0
    for person, garment in {person: (person, garment) for person, garment in pairs}.values():
        raw = source.read(person, garment)
        assert raw.image.shape == (1024, 768, 3) and raw.parse.shape == (1024, 768)
        assert raw.skeleton.shape == (1024, 768, 3) and raw.cloth_mask.mean() > 0.1
        below += int((raw.hands[..., 1] > 1023.5).sum())
        assert (raw.hands[raw.hands[..., 1] > 1023.5][:, 2] == 0).all()
    assert below > 0  # hands below the edge of the photograph are real
