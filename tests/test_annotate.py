"""From a photograph to a sample and to files: with networks that read a drawing, so that every answer is known."""

import argparse
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic import REAL, blocky_parse, needs_real

import vtonlib.perceive.write as write_module
from vtonlib.data import open_dataset
from vtonlib.labels import BODY_25_INDEX, LIP_PALETTE
from vtonlib.perceive import Annotator, NobodyFound, PhotographWarning, annotate, write_viton_hd
from vtonlib.perceive.folder import add_annotate_arguments, annotate_all, annotate_command, named, photographs
from vtonlib.perceive.framing import Window, frame, whole
from vtonlib.perceive.people import components, cut_edges, find_person, missing_parts
from vtonlib.perceive.write import write_viton_hd_garment
from vtonlib.represent import human_agnostic_mask, parse_agnostic

GROUND = (128, 128, 128)
COLOURS = torch.tensor([GROUND, *LIP_PALETTE[1:]]).float()
SIZE = (128, 96)
# Where joints are in the box around a label: share of its width and height.
JOINTS = {
    "nose": (13, .5, .5), "left-eye": (13, .7, .3), "right-eye": (13, .3, .3), "neck": (10, .5, .9),
    "right-shoulder": (5, .1, .05), "left-shoulder": (5, .9, .05), "right-hip": (9, .2, .05),
    "left-hip": (9, .8, .05), "mid-hip": (9, .5, .05), "right-knee": (9, .2, .6), "left-knee": (9, .8, .6),
    "right-elbow": (15, .5, .4), "right-wrist": (15, .5, .9), "left-elbow": (14, .5, .4), "left-wrist": (14, .5, .9),
}  # fmt: skip


# ---- a drawing, and networks that read it --------------------------------------------------------------------------


def drawing(size, *people) -> np.ndarray:
    """(H,W,3) uint8: people (left, top, height) in the colours of their labels, 3 wide for 4 high, perhaps cut off."""
    parse = np.zeros(size, np.uint8)
    for left, top, height in people:
        body = blocky_parse((height, height * 3 // 4))
        rows, columns = np.nonzero(body)
        inside = (rows + top >= 0) & (rows + top < size[0]) & (columns + left >= 0) & (columns + left < size[1])
        parse[rows[inside] + top, columns[inside] + left] = body[rows[inside], columns[inside]]
    return COLOURS.numpy().astype(np.uint8)[parse]


def read_parse(picture: torch.Tensor) -> torch.Tensor:
    """Each pixel's nearest colour of a label, as a parser would give it."""
    levels = (picture.movedim(1, -1) + 1) * 127.5
    return (COLOURS.square().sum(1) - 2 * levels @ COLOURS.T).argmin(-1)


def read_pose(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Joints in the largest piece of the drawing, each where its label is."""
    parse = read_parse(picture)[0].numpy()
    pieces, areas = components(parse > 0)
    pose, hands = torch.zeros(1, 25, 3), torch.zeros(1, 2, 21, 3)
    for joint, (label, across, down) in JOINTS.items():
        rows, columns = np.nonzero((parse == label) & (pieces == areas.argmax() + 1)) if len(areas) else ([], [])
        if len(rows) >= 9:
            x = columns.min() + across * np.ptp(columns)
            y = rows.min() + down * np.ptp(rows)
            pose[0, BODY_25_INDEX[joint]] = torch.tensor([x, y, 0.9])
            if joint.endswith("wrist"):
                hands[0, 0 if joint.startswith("left") else 1, :] = torch.tensor([x, y, 0.5])
    return pose, hands


def read_densepose(picture: torch.Tensor) -> torch.Tensor:
    """The torso, with u and v from left to right and from top to bottom of the picture."""
    torso = (read_parse(picture) == 5).float()
    v, u = torch.meshgrid(*(torch.linspace(0, 1, side) for side in picture.shape[2:]), indexing="ij")
    return torch.stack([torso * 2, torso * u, torso * v], 1)


def read_mask(picture: torch.Tensor) -> torch.Tensor:
    """What is not white."""
    return (picture.amin(1, keepdim=True) < 0.9).float()


READER = Annotator(pose=read_pose, parser=read_parse, densepose=read_densepose, masker=read_mask, size=SIZE)


@pytest.fixture
def shirt(tmp_path):
    picture = Image.new("RGB", (60, 60), "white")
    picture.paste((200, 30, 40), (10, 15, 50, 50))
    picture.save(tmp_path / "red shirt.png")
    return tmp_path / "red shirt.png"


def saved(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


# ---- the picture ---------------------------------------------------------------------------------------------------


def test_a_photograph_becomes_a_complete_sample(tmp_path, shirt):
    photo = saved(tmp_path / "me.png", drawing((300, 400), (150, 60, 200)))
    sample = annotate(photo, shirt, annotator=READER, size=SIZE)
    assert sample.name == "me" and sample.garment.name == "red_shirt" and sample.padding == (0, 0, 0, 0)
    assert sample.person.shape == sample.skeleton.shape == sample.densepose.shape == (3, *SIZE)
    assert sample.parse.shape == SIZE and sample.parse.dtype == torch.int64
    # the annotations lie on the picture: what the networks say of the picture itself
    assert (sample.parse == read_parse(sample.person[None])[0]).all()
    np.testing.assert_allclose(sample.pose, read_pose(sample.person[None])[0][0])
    assert (sample.densepose == read_densepose(sample.person[None])[0]).all()
    # of one person, cropped to: the face is in the upper third and the person fills most of the height
    rows = np.flatnonzero((sample.parse > 0).any(1))
    assert np.ptp(rows) > 0.8 * SIZE[0] and sample.pose[0, 1] < SIZE[0] / 3
    assert sample.skeleton.max() > 0 and sample.skeleton.min() == -1
    # the garment keeps its aspect on white
    rows, columns = (np.flatnonzero(sample.garment.mask[0].any(axis)) for axis in (1, 0))
    assert abs(np.ptp(columns) / np.ptp(rows) - 40 / 35) < 0.06 and sample.garment.image[:, 0, 0].tolist() == [1, 1, 1]
    assert human_agnostic_mask(sample).mean() > 0.1 and not (parse_agnostic(sample) == 5).any()


def test_paths_arrays_and_tensors_give_the_same(tmp_path):
    pixels = drawing((300, 400), (150, 60, 200))
    tensor = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 127.5 - 1
    samples = [READER(photo).sample for photo in (saved(tmp_path / "a.png", pixels), pixels, tensor)]
    for sample in samples[1:]:
        assert torch.equal(sample.person, samples[0].person) and torch.equal(sample.pose, samples[0].pose)


@pytest.mark.parametrize("size", [(100, 400), (400, 100), (240, 180), (97, 131)])
def test_nothing_is_squashed_and_padding_is_reported(size):
    """Both scales agree whatever the photograph's aspect, and in the padding there is nothing."""
    height = min(size[0], size[1] * 4 // 3)
    pixels = drawing(size, ((size[1] - height * 3 // 4) // 2, (size[0] - height) // 2, height))
    for crop in (True, False):
        annotated = READER(pixels, crop=crop)
        left, top, right, bottom = annotated.report.window
        inner = SIZE[0] - sum(annotated.sample.padding[1::2]), SIZE[1] - sum(annotated.sample.padding[::2])
        scale = inner[0] / (bottom - top), inner[1] / (right - left)
        assert abs(scale[0] * (right - left) - inner[1]) <= 1 and abs(scale[1] * (bottom - top) - inner[0]) <= 1
        outside = torch.ones(SIZE, dtype=bool)
        pad_left, pad_top = annotated.sample.padding[:2]
        outside[pad_top : pad_top + inner[0], pad_left : pad_left + inner[1]] = False
        assert not annotated.sample.parse[outside].any() and not annotated.sample.densepose[:, outside].any()
        seen = annotated.sample.pose[annotated.sample.pose[:, 2] > 0]
        assert len(seen) >= 8 and not outside[seen[:, 1].round().int(), seen[:, 0].round().int()].any()
        if not crop:
            assert (left, top, right, bottom) == (0, 0, size[1], size[0])


def test_frame_keeps_the_aspect_inside_the_photograph():
    rng = np.random.default_rng(0)
    for _ in range(200):
        photo = tuple(int(side) for side in rng.integers(60, 900, 2))
        left, top = int(rng.integers(0, photo[1] - 20)), int(rng.integers(0, photo[0] - 20))
        right, bottom = int(rng.integers(left + 10, photo[1] + 1)), int(rng.integers(top + 10, photo[0] + 1))
        window = frame((left, top, right, bottom), photo, (1024, 768))
        box, fit = window.box, window.fit
        assert 0 <= box[0] < box[2] <= photo[1] and 0 <= box[1] < box[3] <= photo[0]
        lost = max(box[0] - left, box[1] - top, right - box[2], bottom - box[3])
        assert lost <= max(1, 0.011 * max(right - left, bottom - top))  # in the window but for a hundredth
        if box[2] - box[0] < photo[1] and box[3] - box[1] < photo[0]:
            assert not any(fit.padding)
        assert abs(fit.scale[0] / fit.scale[1] - 1) < 0.02
        back = window.back(window.inner)
        assert all(abs(one - other) <= 1 for one, other in zip(back, box, strict=True))


def test_a_filled_photograph_of_the_aspect_stays_as_it_is():
    pixels = drawing((256, 192), (0, 0, 256))
    annotated = READER(pixels, size=(256, 192))
    assert annotated.report.window == (0, 0, 192, 256)
    np.testing.assert_array_equal(((annotated.sample.person + 1) * 127.5).round().permute(1, 2, 0).numpy(), pixels)


def test_masks_are_cut_as_pictures_are():
    rng = np.random.default_rng(1)
    mask = np.kron(rng.random((15, 20)) > 0.5, np.ones((20, 20), bool))
    window = Window.of((40, 20, 200, 140), (300, 400), (120, 160))
    np.testing.assert_array_equal(window.mask(mask), mask[20:140, 40:200])
    assert whole((300, 400), (150, 200)).mask(mask).shape == (150, 200)


# ---- nobody, several, cut off --------------------------------------------------------------------------------------


def test_nobody_is_said():
    with pytest.raises(NobodyFound, match=r"found nobody: .* 0 % of the picture"):
        annotate(np.full((200, 150, 3), 128, np.uint8), annotator=READER, size=SIZE)


def test_colours_without_a_body_are_nobody():
    chair = np.full((200, 150, 3), 128, np.uint8)
    chair[50:150, 40:90] = LIP_PALETTE[5]
    with pytest.raises(NobodyFound, match="only 2 joints"):
        annotate(chair, annotator=READER, size=SIZE)


def test_of_two_people_the_larger_one_is_taken():
    alone = drawing((300, 500), (260, 40, 240))
    both = drawing((300, 500), (20, 100, 180), (260, 40, 240))
    with pytest.warns(PhotographWarning, match="2 people found: the largest one is taken"):
        sample = annotate(both, annotator=READER, size=SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = annotate(alone, annotator=READER, size=SIZE)
    assert torch.equal(sample.pose, expected.pose) and torch.equal(sample.parse, expected.parse)


def test_a_neighbour_in_the_window_is_in_the_picture_but_not_in_the_annotations():
    both = drawing((300, 500), (150, 60, 200), (232, 40, 240))
    annotated = READER(both, crop=True)
    shown = read_parse(annotated.sample.person[None])[0] > 0
    _, areas = components((annotated.sample.parse > 0).numpy())
    assert annotated.report.people == 2 and shown.sum() > 1.05 * (annotated.sample.parse > 0).sum()
    assert areas.max() > 0.98 * areas.sum()


def test_people_who_touch_each_other_are_counted_by_their_faces():
    both = drawing((300, 500), (100, 40, 240), (200, 40, 240))
    annotated = READER(both)
    assert annotated.report.people == 2 and any("touch" in warning for warning in annotated.report.warnings)


def test_a_part_behind_a_bag_is_the_same_person():
    pixels = drawing((300, 400), (100, 20, 270))
    pixels[230:240] = 128  # the legs are cut in two
    annotated = READER(pixels)
    assert annotated.report.people == 1 and annotated.report.window[3] > 285


@pytest.mark.parametrize(("person", "missing", "edge"), [
    ((60, -100, 300), "head", "top"), ((60, 110, 300), "hips", "bottom"), ((-95, 60, 200), "elbows", "left"),
])  # fmt: skip
def test_a_body_that_is_cut_off_is_said(person, missing, edge):
    annotated = READER(drawing((300, 400), person))
    assert missing in annotated.report.missing and edge in annotated.report.cut
    assert any(missing in warning and f"cut off at the {edge}" in warning for warning in annotated.report.warnings)
    with pytest.warns(PhotographWarning, match="cut off"):
        annotate(drawing((300, 400), person), annotator=READER, size=SIZE)


def test_edges_of_the_window_are_none_of_the_photograph():
    mask = np.ones((40, 30), bool)
    edges = {"left": False, "top": True, "right": False, "bottom": False}
    assert cut_edges(mask, (0, 0, 30, 40), edges) == ("top",)
    mask[:6] = False
    assert cut_edges(mask, (0, 5, 30, 40), edges) == () and cut_edges(mask, (0, 6, 30, 40), edges) == ("top",)


def test_a_head_seen_from_behind_is_a_head():
    parse, pose = blocky_parse((128, 96)).astype(int), read_pose(torch.zeros(1, 3, 64, 64))[0][0].numpy()
    assert "head" not in missing_parts(parse, pose) and "head" in missing_parts(parse * 0, pose)
    with pytest.raises(NobodyFound, match="only 0 joints"):
        find_person(parse, pose)


def test_what_the_networks_give_is_checked():
    pixels = drawing((200, 150), (0, 0, 200))
    with pytest.raises(ValueError, match=r"densepose: expected a result of shape"):
        replace(READER, densepose=lambda picture: read_densepose(picture)[..., :-1])(pixels)
    with pytest.raises(ValueError, match="pose: expected finite"):
        replace(READER, pose=lambda picture: (torch.full((1, 25, 3), torch.nan), read_pose(picture)[1]))(pixels)
    with pytest.raises(ValueError, match="masker=None"):
        replace(READER, masker=None)(pixels, pixels)
    with pytest.raises(ValueError, match="expected a garment, found one in 0 %"):
        READER(pixels, np.full((60, 60, 3), 255, np.uint8))
    with pytest.raises(ValueError, match=r"size: .*\(8, 6\)"):
        annotate(pixels, annotator=READER, size=(8, 6))


def test_a_parser_that_takes_a_pose_is_given_it():
    given = []

    def parser(picture, pose=None):
        given.append(pose)
        return read_parse(picture)

    replace(READER, parser=parser)(drawing((200, 150), (0, 0, 200)))
    assert given and all(pose.shape == (1, 25, 3) and (pose[..., 2] > 0).sum() >= 10 for pose in given)


# ---- on disk -------------------------------------------------------------------------------------------------------


def files_of(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_what_was_written_opens_with_the_same_values(tmp_path, shirt):
    sample = READER(drawing((300, 400), (150, 60, 200)), shirt, name="me").sample
    root = write_viton_hd(sample, tmp_path / "set")
    (again,) = list(open_dataset(root, "test", pairing="unpaired", size=SIZE))
    assert (again.name, again.garment.name) == ("me", "red_shirt")
    tolerances = {"parse": 0, "pose": 6e-4, "hands": 6e-4, "skeleton": 1 / 255, "densepose": 0.51 / 255}
    for name, tolerance in tolerances.items():
        difference = (getattr(again, name).float() - getattr(sample, name).float()).abs().max()
        assert difference <= tolerance, (name, float(difference))
    assert torch.equal(again.garment.mask, sample.garment.mask)
    assert (again.person - sample.person).abs().mean() < 0.03  # JPEG
    assert torch.equal(parse_agnostic(again), parse_agnostic(sample))
    assert {path.name for path in (root / "test").iterdir()} >= {"agnostic-v3.2", "image-parse-agnostic-v3.2"}
    with pytest.raises(FileNotFoundError, match="paired samples, got none"):
        open_dataset(root, "test", pairing="paired")


def test_the_same_again_changes_nothing_and_another_person_is_refused(tmp_path, shirt):
    sample = READER(drawing((300, 400), (150, 60, 200)), shirt, name="me").sample
    root = write_viton_hd(sample, tmp_path / "set")
    before = files_of(root)
    write_viton_hd(sample, root)
    assert files_of(root) == before
    other = replace(sample, person=-sample.person, garment=replace(sample.garment, name="new"))
    with pytest.raises(FileExistsError, match=r"me\.\w+: another photograph of the name"):
        write_viton_hd(other, root)
    assert files_of(root) == before
    with pytest.raises(FileExistsError, match="another garment"):
        write_viton_hd_garment(replace(sample.garment, image=-sample.garment.image), root)
    write_viton_hd(other, root, overwrite=True)
    assert len(open_dataset(root, "test", pairing="unpaired")) == 2
    write_viton_hd(replace(sample, name="you"), root)
    assert [pair[0] for pair in open_dataset(root, "test", pairing="unpaired").pairs] == ["me", "me", "you"]


@pytest.mark.parametrize("fails_at", [0, 3, 8])
def test_an_error_leaves_nothing_half_written(tmp_path, shirt, monkeypatch, fails_at):
    sample = READER(drawing((300, 400), (150, 60, 200)), shirt, name="me").sample
    moved, really = [], write_module.os.replace

    def failing(source, target):
        if len(moved) == fails_at:
            raise OSError("no space left on the device")
        moved.append(target)
        really(source, target)

    monkeypatch.setattr(write_module.os, "replace", failing)
    with pytest.raises(OSError, match="no space left"):
        write_viton_hd(sample, tmp_path / "deep" / "set")
    assert not (tmp_path / "deep").exists()
    monkeypatch.undo()
    root = write_viton_hd(sample, tmp_path / "set")
    before = files_of(root)
    moved.clear()
    monkeypatch.setattr(write_module.os, "replace", failing)
    with pytest.raises(OSError, match="no space left"):
        write_viton_hd(replace(sample, name="you"), root)
    assert files_of(root) == before


def test_what_would_not_open_again_is_refused(tmp_path, shirt):
    sample = READER(drawing((300, 400), (150, 60, 200)), shirt, name="me").sample
    for wrong in ("a b", ".hidden", "a/b"):
        with pytest.raises(ValueError, match="name: "):
            write_viton_hd(replace(sample, name=wrong), tmp_path / "set")
    with pytest.raises(ValueError, match="has no densepose"):
        write_viton_hd(replace(sample, densepose=None), tmp_path / "set")
    with pytest.raises(ValueError, match="split"):
        write_viton_hd(sample, tmp_path / "set", split="validation")
    assert not (tmp_path / "set").exists()
    (tmp_path / "studio" / "test").mkdir(parents=True)
    (tmp_path / "studio" / "studio.json").write_text("{}")
    with pytest.raises(ValueError, match="data set of the studio"):
        write_viton_hd(sample, tmp_path / "studio")
    saved_image = tmp_path / "demo" / "test" / "image"
    saved_image.mkdir(parents=True)
    saved(saved_image / "old.jpg", drawing((64, 48)))
    with pytest.raises(FileExistsError, match=r"densepose-iuv.*choose another folder"):
        write_viton_hd(sample, tmp_path / "demo")
    assert len(files_of(tmp_path / "demo")) == 1


# ---- many photographs, and the command -----------------------------------------------------------------------------


def test_one_bad_file_does_not_stop_a_folder(tmp_path, shirt):
    folder, told = tmp_path / "photos", []
    folder.mkdir()
    saved(folder / "b.png", drawing((300, 400), (150, 60, 200)))
    saved(folder / "a b.png", drawing((300, 400), (20, 60, 220)))
    saved(folder / "empty.png", drawing((300, 400)))
    (folder / "c.jpg").write_text("no photograph")
    (folder / "notes.txt").write_text("passed over")
    files, besides = photographs([folder, folder / "b.png"])
    assert [file.name for file in files] == ["a b.png", "b.png", "c.jpg", "empty.png"]
    assert [file.name for file in besides] == ["notes.txt"]
    garments = [shirt, tmp_path / "nix.png"]
    summary = annotate_all(files, tmp_path / "set", READER, garments=garments, tell=told.append)
    assert summary.status == 1 and [report.name for report in summary.reports] == ["a_b", "b"]
    reasons = dict((file.name, reason) for file, reason in summary.failures)
    assert set(reasons) == {"c.jpg", "empty.png", "nix.png"}
    assert "a text file" in reasons["c.jpg"] and "found nobody" in reasons["empty.png"]
    assert str(folder / "empty.png") in reasons["empty.png"]
    assert "2 photographs annotated, 1 garments, 3 files failed" in summary.text() and len(told) == 6
    pairs = open_dataset(tmp_path / "set", "test", pairing="unpaired").pairs
    assert pairs == [("a_b", "red_shirt"), ("b", "red_shirt")]
    assert {path.stem for path in (tmp_path / "set" / "test" / "image").iterdir()} == {"a_b", "b"}
    assert annotate_all(files[:2], tmp_path / "set", READER, garments=[shirt], tell=told.append).status == 0


def test_files_of_one_stem_get_names_of_their_own(tmp_path):
    names = [name for name, _ in named([tmp_path / "a.jpg", tmp_path / "a.png", tmp_path / "x" / "a.png"])]
    assert names == ["a", "a_png", "a_png_2"]
    with pytest.raises(FileNotFoundError, match="nothing there"):
        photographs([tmp_path / "nix"])
    with pytest.raises(ValueError, match="expected photographs"):
        photographs([tmp_path])


def test_the_command_reports_and_gives_a_status(tmp_path, shirt, monkeypatch, capsys):
    monkeypatch.setattr(Annotator, "load", classmethod(lambda cls, **how: replace(READER, size=how["size"])))
    command = argparse.ArgumentParser()
    add_annotate_arguments(command, lambda text: tuple(map(int, text.split("x"))))
    good = saved(tmp_path / "good.png", drawing((300, 400), (60, 110, 300)))
    words = ["--out", str(tmp_path / "set"), "--garment", str(shirt), "--size", "128x96"]
    assert annotate_command(command.parse_args([str(good), *words])) == 0
    told = capsys.readouterr().out
    assert "good: 1 person" in told and "warning: no hips found" in told and "1 photographs annotated" in told
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    assert annotate_command(command.parse_args([str(good), str(bad), *words])) == 1
    assert "bad.png: expected a photograph" in capsys.readouterr().err
    assert len(open_dataset(tmp_path / "set", "test", pairing="unpaired", size=None)) == 1


# ---- the course's networks -----------------------------------------------------------------------------------------


@needs_real
@pytest.mark.real
@pytest.mark.parametrize("name", ["00891_00", "03615_00", "08909_00"])
def test_a_real_photograph_is_annotated(name):
    annotated = Annotator.load(size=(256, 192), backend=None)(REAL / "test" / "image" / f"{name}.jpg")
    given = next(s for s in open_dataset(REAL, "test", pairing="unpaired", size=(256, 192)) if s.name == name)
    erased, expected = (human_agnostic_mask(one).bool() for one in (annotated.sample, given))
    assert annotated.report.people == 1 and annotated.report.joints >= 10
    assert (erased & expected).sum() / (erased | expected).sum() > 0.6


def test_a_grey_wall_is_nobody():
    with pytest.raises(NobodyFound):
        Annotator.load(size=(256, 192), backend=None)(np.full((300, 300, 3), 128, np.uint8))
