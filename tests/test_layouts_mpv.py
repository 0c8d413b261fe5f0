"""The layout of MPV: triplets, its public form without the studio's extras, and the studio's."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic import make_raw

from vtonlib.data import open_dataset
from vtonlib.layouts import MPV, DamagedFile, VitonHD, mpv, recognise
from vtonlib.layouts.files import write_bytes

PEOPLE, POSES = ("000003", "000007"), (1, 2, 3)
OTHER = dict(zip(PEOPLE, PEOPLE[::-1]))


def photograph(person, number):
    """What the studio would hand to the writer: one picture of a person, and the same in the other's garment."""
    seed = 10 * PEOPLE.index(person) + number
    name, garment = mpv.person_name(person, number), mpv.garment_name(person)
    raw = dataclasses.replace(make_raw(name, garment, seed=seed), new_pose=None)
    own, other = shop(person), shop(OTHER[person])
    worn = dataclasses.replace(raw.unpaired, **other, flow=raw.flow, flow_back=raw.flow_back, hidden=raw.hidden)
    return dataclasses.replace(raw, **own, unpaired=worn)


def shop(person):
    raw = make_raw("x", seed=100 + PEOPLE.index(person))
    pictures = {name: getattr(raw, name) for name in ("cloth", "cloth_mask", "cloth_back", "cloth_back_mask")}
    return {"garment_name": mpv.garment_name(person), **pictures}


def triplets(garment_of):
    return [
        (mpv.person_name(person, a), mpv.person_name(person, b), mpv.garment_name(garment_of(person)), "test")
        for person in PEOPLE for a in POSES for b in POSES if a != b
    ]  # fmt: skip


def write_studio(root):
    for person in PEOPLE:
        for number in POSES:
            mpv.write_sample(root, photograph(person, number))
    mpv.write_triplets(root, triplets(lambda person: person))
    mpv.write_triplets(root, triplets(OTHER.get), unpaired=True)
    write_bytes(root / "studio.json", b'{"recipe": "test"}\n')
    return root


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return write_studio(tmp_path_factory.mktemp("mpv"))


@pytest.fixture
def copy(studio, tmp_path):
    shutil.copytree(studio, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def public(copy):
    """The same pictures as third parties hand MPV on: other folder names, OpenPose 1.0, none of the studio's files."""
    for path in copy.iterdir():
        if path.name not in ("all", "all_parsing", "all_person_clothes_keypoints", "all_poseA_poseB_clothes.txt"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in copy.rglob("*cloth_*"):
        if "mask" in path.name or "back" in path.name:
            path.unlink()
    for path in copy.rglob("*_keypoints.json"):
        person = json.loads(path.read_text())["people"][0]
        path.write_text(json.dumps({"version": 1.0, "people": [{"pose_keypoints": person["pose_keypoints"]}]}))
    (copy / "all").rename(copy / "MPV_192_256")
    (copy / "all_person_clothes_keypoints").rename(copy / "all_keypoints")
    (copy / "all_poseA_poseB_clothes.txt").rename(copy / "all_poseA_poseB_clothes_0607.txt")
    return copy


A, B = (mpv.person_name(PEOPLE[0], number) for number in (1, 2))
OWN, TRIED = (mpv.garment_name(person) for person in PEOPLE)


def near(got, expected):
    return got.shape == expected.shape and np.abs(got.astype(int) - expected).mean() < 2


def alike(got, raw, fields):
    for field, error in fields.items():
        np.testing.assert_allclose(getattr(got, field), getattr(raw, field), atol=error, rtol=0, err_msg=field)


PERSON = {"parse": 0, "densepose": 0, "pose": 6e-4, "hands": 6e-4, "depth": 1.01e-4}
WORN = {"flow": 1 / 128, "flow_back": 1 / 128, "hidden": 0}
SHOP = {"cloth_mask": 0, "cloth_back_mask": 0}

# ---- names and round trips -----------------------------------------------------------------------------------------


def test_names_look_like_mpvs():
    assert A == "000003-00@1=person_half_front" and OWN == "000003-00@0=cloth_front"
    assert mpv.person_name("7", 12, "half_back") == "7-00@12=person_half_back"
    for bad in ("", "0-1", "a@b", "a=b", "a/b", "a b", ".a"):
        with pytest.raises(ValueError, match="person_id: expected an id"):
            mpv.person_name(bad, 1)


def test_files_lie_where_public_loaders_look(studio):
    for path in (
        f"all/000003/{A}.jpg", f"all/000003/{OWN}.jpg", f"all/000003/{OWN}_mask.jpg", f"all_parsing/000003/{A}.png",
        f"all_person_clothes_keypoints/000003/{A}_keypoints.json", f"all_densepose/000003/{A}_IUV.png",
    ):  # fmt: skip
        assert (studio / path).is_file(), path
    lines = (studio / "all_poseA_poseB_clothes.txt").read_text().splitlines()
    assert lines[0] == f"000003/{A}.jpg\t000003/{B}.jpg\t000003/{OWN}.jpg\ttest" and len(lines) == 12
    vup = np.asarray(Image.open(studio / f"all_densepose/000003/{A}_IUV.png"))
    np.testing.assert_array_equal(vup[..., 2], photograph(PEOPLE[0], 1).densepose[..., 0])  # blue is the part


def test_a_paired_triplet_comes_back(studio):
    source, a, b = MPV(studio), photograph(PEOPLE[0], 1), photograph(PEOPLE[0], 2)
    assert source.variant == "studio" and source.names()[0] == (A, OWN, B)
    got = source.read(A, OWN, B)
    assert (got.name, got.garment_name) == (A, OWN) and near(got.image, a.image) and near(got.cloth, a.cloth)
    alike(got, a, PERSON | WORN | SHOP)
    target = got.new_pose
    assert (
        (target.name, target.garment_name) == (B, OWN) and near(target.image, b.image) and near(target.cloth, a.cloth)
    )
    alike(target, b, PERSON | WORN | SHOP)
    assert target.new_pose is target.unpaired is None
    worn = got.unpaired
    assert (worn.name, worn.garment_name) == (A, TRIED) and near(worn.image, a.unpaired.image)
    assert source.read(A, OWN).new_pose is None


def test_an_unpaired_triplet_has_what_a_try_on_should_make(studio):
    source, a, b = MPV(studio), photograph(PEOPLE[0], 1), photograph(PEOPLE[0], 2)
    assert source.names("unpaired")[0] == (A, TRIED, B)
    got = source.read(A, TRIED, B)
    assert got.garment_name == TRIED and near(got.image, a.image) and near(got.cloth, shop(PEOPLE[1])["cloth"])
    assert got.flow is got.flow_back is got.hidden is None  # they belong to the own garment
    alike(got, a, PERSON)
    for shown, raw in ((got.unpaired, a), (got.new_pose, b)):
        assert (shown.name, shown.garment_name) == (raw.name, TRIED) and near(shown.image, raw.unpaired.image)
        assert near(shown.cloth, got.cloth)
        alike(shown, raw.unpaired, {"parse": 0} | WORN)
        alike(shown, raw, {"pose": 6e-4})


def test_as_a_data_set(studio):
    assert recognise(studio) is MPV
    dataset = open_dataset(studio, size=(32, 24))
    assert len(dataset) == 12 and dataset.pairs[0] == (A, OWN, B) and "mpv (studio)" in repr(dataset)
    sample = dataset[0]
    assert sample.name == A and sample.garment.name == OWN and sample.garment.back is not None
    assert sample.truth.new_pose.name == B and sample.truth.new_pose.truth.flow.shape == (2, 32, 24)
    torch.testing.assert_close(sample.truth.new_pose.garment.image, sample.garment.image)
    unpaired = open_dataset(studio, pairing="unpaired", size=(32, 24))[0]
    assert (
        unpaired.truth.new_pose.garment.name == unpaired.truth.unpaired.garment.name == unpaired.garment.name == TRIED
    )
    assert unpaired.truth.new_pose.name == B and unpaired.truth.unpaired.name == unpaired.name == A


def test_writing_again_gives_the_same_bytes(studio, tmp_path):
    again = write_studio(tmp_path)
    files = {path.relative_to(studio): path.read_bytes() for path in studio.rglob("*") if path.is_file()}
    assert files == {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()}


def test_any_lip_label_comes_back(tmp_path):
    raw = photograph(PEOPLE[0], 1)
    parse = (np.arange(raw.parse.size).reshape(raw.parse.shape) % 20).astype(np.uint8)
    mpv.write_sample(tmp_path, dataclasses.replace(raw, parse=parse, unpaired=None))
    mpv.write_triplets(tmp_path, [(A, A, OWN, "train")])
    np.testing.assert_array_equal(MPV(tmp_path, "train").read(A, OWN).parse, parse)


# ---- the public form -----------------------------------------------------------------------------------------------


def test_a_public_copy_is_read(public, studio):
    source = MPV(public)
    assert recognise(public) is MPV and source.variant == "public" and len(source.names()) == 12
    got, full = source.read(A, OWN, B), MPV(studio).read(A, OWN, B)
    np.testing.assert_array_equal(got.image, full.image)
    np.testing.assert_array_equal(got.parse, full.parse)
    np.testing.assert_array_equal(got.new_pose.image, full.new_pose.image)
    np.testing.assert_array_equal(got.pose[[0, 4, 9, 18]], full.pose[[0, 4, 9, 18]])
    assert not got.pose[19:].any()
    for field in ("hands", "densepose", "cloth_mask", "cloth_back", "flow", "hidden", "depth", "unpaired"):
        assert getattr(got, field) is None, field
    with pytest.raises(FileNotFoundError, match=r"unpaired_poseA_poseB_clothes\.txt: expected a file"):
        source.names("unpaired")
    assert open_dataset(public)[0].truth.new_pose.name == B
    keypoints = public / f"all_keypoints/000003/{A}_keypoints.json"
    keypoints.write_text('{"people": []}')
    assert not source.read(A, OWN).pose.any()


def test_a_public_copy_without_extras_and_folders(public):
    """Pictures straight in all/, masks beside some, neither parses nor keypoints."""
    shutil.rmtree(public / "all_parsing")
    shutil.rmtree(public / "all_keypoints")
    for path in list((public / "MPV_192_256").rglob("*.jpg")):
        path.rename(public / "MPV_192_256" / path.name)
    triplet_list = public / "all_poseA_poseB_clothes_0607.txt"
    text = triplet_list.read_text().replace("000003/", "").replace("000007/", "").replace("\t", " ")
    triplet_list.write_text("\n" + text)
    Image.new("L", (48, 64), 255).save(public / "MPV_192_256" / f"{OWN}_mask.jpg")
    source = MPV(public)
    assert source.names()[0] == (A, OWN, B)
    got = source.read(*source.names()[0])
    assert got.parse is got.pose is None and got.cloth_mask.all()
    assert source.read(*source.names()[-1]).cloth_mask is None


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_the_writer_refuses_what_does_not_fit(tmp_path):
    raw = photograph(PEOPLE[0], 1)
    for change, message in [
        ({"name": "000001_00", "unpaired": None}, "name: expected ID-XX@NUMBER=WHAT"),
        ({"garment_name": "000001_00"}, "name: expected ID-XX@NUMBER=WHAT"),
        ({"garment_name": B}, "garment_name: expected a name ending in =cloth_front"),
        ({"new_pose": raw}, "new_pose is a sample of its own"),
        ({"depth": raw.depth[1:]}, r"depth is \(63, 48\), but image is \(64, 48\)"),
        ({"unpaired": dataclasses.replace(raw.unpaired, name=B)}, "another person"),
        ({"unpaired": dataclasses.replace(raw.unpaired, flow=raw.flow[1:])}, r"flow is \(63, 48\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            mpv.write_sample(tmp_path, dataclasses.replace(raw, **change))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="split: expected one of"):
        mpv.write_triplets(tmp_path, [(A, B, OWN, "val")])
    with pytest.raises(ValueError, match="name: expected"):
        mpv.write_triplets(tmp_path, [(A, "../x", OWN, "test")])


@pytest.mark.parametrize(
    "line, message",
    [("a.jpg\tb.jpg\ttest", "three pictures and train or test in line 2"), ("a b c val", "in line 2"),
     ("../a.jpg b.jpg c.jpg test", "plain file names in line 2"), ("x//a b c train", "plain file names in line 2")],
)  # fmt: skip
def test_a_damaged_list_is_named(copy, line, message):
    path = copy / "all_poseA_poseB_clothes.txt"
    path.write_text(path.read_text().splitlines()[0] + f"\n{line}\n")
    with pytest.raises(DamagedFile, match=message) as caught:
        MPV(copy)
    assert caught.value.path == path


@pytest.mark.parametrize(
    "path",
    [f"all/000003/{A}.jpg", f"all/000003/{OWN}.jpg", f"all/000003/{OWN}_mask.jpg", f"all_parsing/000003/{A}.png",
     f"all_person_clothes_keypoints/000003/{A}_keypoints.json", f"all_densepose/000003/{A}_IUV.png",
     f"flow/000003/{A}.png", f"flow-back/000003/{A}.png", f"truth-hidden/000003/{A}.png",
     f"truth-depth/000003/{A}.png", f"all/000003/{B}.jpg", f"flow/000003/{B}.png",
     f"truth-unpaired-parse/000003/{A}--{TRIED}.png"],
)  # fmt: skip
def test_missing_and_truncated_files_are_named(copy, path):
    path = copy / path
    data = path.read_bytes()
    for share in (0, 0.5):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(DamagedFile) as caught:
            MPV(copy).read(A, OWN, B)
        assert caught.value.path == path
    path.unlink()
    with pytest.raises(FileNotFoundError, match="expected a file, got nothing there") as caught:
        MPV(copy).read(A, OWN, B)
    assert str(path) in str(caught.value)


def test_wrong_sizes_and_values_are_refused(copy):
    for path, picture, message in [
        (f"all_parsing/000003/{A}.png", Image.new("L", (48, 63)), "expected 64 x 48"),
        (f"all_parsing/000003/{A}.png", Image.new("L", (48, 64), 20), r"LIP labels 0\.\.19"),
        (f"all_densepose/000003/{A}_IUV.png", Image.new("RGB", (48, 64), (0, 0, 25)), "DensePose parts"),
        (f"all/000003/{OWN}_mask.jpg", Image.new("L", (47, 64)), "expected 64 x 48"),
        (f"truth-depth/000003/{A}.png", Image.new("L", (48, 64)), "mode I;16"),
        (f"truth-unpaired/000003/{A}--{TRIED}.jpg", Image.new("RGB", (48, 60)), "expected 64 x 48"),
    ]:
        before = (copy / path).read_bytes()
        picture.save(copy / path)
        with pytest.raises(DamagedFile, match=message):
            MPV(copy).read(A, OWN, B)
        (copy / path).write_bytes(before)


def test_absent_things_are_named(copy, tmp_path):
    with pytest.raises(FileNotFoundError, match="expected the list of triplets"):
        MPV(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="expected triplets of split 'train', got none"):
        MPV(copy, "train")
    with pytest.raises(ValueError, match="pairing: expected one of"):
        MPV(copy).names("both")
    with pytest.raises(ValueError, match=r"'nobody': expected a name in all_poseA_poseB_clothes\.txt"):
        MPV(copy).read("nobody", OWN)
    (copy / f"all/000003/{B}.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=f"{B}.jpg: expected a file"):
        MPV(copy).names()
    shutil.rmtree(copy / "all")
    with pytest.raises(FileNotFoundError, match="expected the folder of pictures"):
        MPV(copy).names()
    assert not VitonHD.recognises(copy) and not MPV.recognises(tmp_path)
