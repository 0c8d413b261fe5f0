"""Writing a studio data set: the same bytes whatever happens on the way, and nothing shared between the splits."""

import json
import signal
import subprocess
import sys
import time

import pytest

from vtonlib.data import open_dataset
from vtonlib.studio import Studio
from vtonlib.studio.write import plan, split_of, unpaired_partners

PEOPLE, SIZE = 8, (64, 48)


def contents(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return Studio(3).write(tmp_path_factory.mktemp("one") / "set", PEOPLE, SIZE, processes=1, progress=False)


def test_two_processes_write_the_same_bytes(written, tmp_path):
    other = Studio(3).write(tmp_path / "set", PEOPLE, SIZE, processes=2, progress=False)
    first, second = contents(written), contents(other)
    assert first.keys() == second.keys() and len(first) > 100
    assert [name for name in first if first[name] != second[name]] == []


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(written, tmp_path):
    root = tmp_path / "set"
    call = f"from vtonlib.studio import Studio; Studio(3).write({str(root)!r}, {PEOPLE}, {SIZE}, processes=1)"
    process = subprocess.Popen([sys.executable, "-c", call], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(root.glob("samples/*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not json.loads((root / "studio.json").read_text())["complete"]
    Studio(3).write(root, PEOPLE, SIZE, processes=1, progress=False)
    left_over = [name for name in contents(root) if name not in contents(written)]
    assert all(".part" in name or name.startswith(".") for name in left_over)
    assert {name: data for name, data in contents(root).items() if name not in left_over} == contents(written)


def test_another_seed_gives_other_pictures(written, tmp_path):
    other = Studio(4).write(tmp_path / "set", PEOPLE, SIZE, processes=1, progress=False)
    name = "train/image/000000_00.jpg"
    assert (written / name).read_bytes() != (other / name).read_bytes()


def test_a_complete_set_is_left_alone(written):
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*")}
    assert Studio(3).write(written, PEOPLE, SIZE, progress=False) == written
    assert before == {path: path.stat().st_mtime_ns for path in written.rglob("*")}


def test_the_splits_share_no_person_and_no_garment(written):
    people = {split: set(open_dataset(written, split).pairs) for split in ("train", "test")}
    persons, garments = ({s: {pair[k] for pair in people[s]} for s in people} for k in (0, 1))
    assert not persons["train"] & persons["test"] and not garments["train"] & garments["test"]
    assert len(persons["train"]) == 6 and len(persons["test"]) == 2


def test_unpaired_partners_are_other_test_people():
    partners = unpaired_partners(1, 100)
    assert set(partners) == set(partners.values()) == {k for k in range(100) if split_of(k) == "test"}
    assert all(a != b for a, b in partners.items()) and partners == unpaired_partners(1, 100)
    assert partners != unpaired_partners(2, 100)
    assert [job.index for job in plan(1, 10, (64, 48), "x")] == list(range(10))


def test_the_unpaired_truth_is_there_and_differs_in_the_garment(written):
    sample = open_dataset(written, "test", "unpaired", size=None)[0]
    truth = sample.truth.unpaired
    assert truth.garment.name == sample.garment.name
    same_head = (sample.parse == 13) & (truth.parse == 13)
    assert (sample.person - truth.person)[:, same_head].abs().median() < 0.02
    top = (sample.parse == 5) & (truth.parse == 5)
    assert (sample.person - truth.person)[:, top].abs().mean() > 0.1


def test_manifest_and_studio_json(written):
    about = json.loads((written / "studio.json").read_text())
    assert about["complete"] and about["people"] == PEOPLE and about["seed"] == 3
    assert about["photographs"] == 6 + 2 * 3 and all(count > 0 for count in about["rejected"].values())
    lines = (written / "manifest.csv").read_text().splitlines()
    assert len(lines) == PEOPLE + 1 and lines[0].startswith("name,split,pose,yaw,new_pose,cut")


@pytest.fixture(scope="module", params=["mpv", "mvg"])
def series(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param) / "set"
    return Studio(3).write(root, PEOPLE, SIZE, request.param, look="wild", processes=2, progress=False)


def test_the_other_layouts_are_written_and_read(series):
    about = json.loads((series / "studio.json").read_text())
    pictures = {"mpv": 3, "mvg": 5}[about["layout"]]
    assert about["look"] == "wild" and about["photographs"] == 6 * pictures + 2 * {"mpv": 6, "mvg": 15}[about["layout"]]
    assert len((series / "manifest.csv").read_text().splitlines()) == 1 + pictures * PEOPLE
    assert len(open_dataset(series, "train", size=None)) == pictures * 6
    paired, unpaired = (open_dataset(series, "test", pairing, size=None)[0] for pairing in ("paired", "unpaired"))
    assert paired.size == SIZE and paired.garment.back is not None and paired.truth.depth.max() > 1
    truth = unpaired.truth.unpaired
    assert truth.garment.name == unpaired.garment.name != paired.garment.name
    assert (truth.person - unpaired.person).abs().mean() > 0.01
    sample = unpaired if about["layout"] == "mpv" else paired
    new_pose = sample.truth.new_pose
    assert new_pose.garment.name == sample.garment.name and (new_pose.person - sample.person).abs().mean() > 0.01


def test_the_new_pose_of_the_test_people_is_there(written):
    sample = open_dataset(written, "test", "paired", size=None)[0]
    assert sample.truth.new_pose.garment.name == sample.garment.name
    assert (sample.truth.new_pose.pose != sample.pose).any() and sample.truth.new_pose.parse is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"people": 4}, "people"), ({"size": (16, 12)}, "size"), ({"size": (100, 200)}, "size"),
        ({"layout": "mpeg"}, "layout"), ({"look": "dark"}, "look"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        Studio(0).write(tmp_path / "set", **{"people": PEOPLE, "size": SIZE, **arguments})
    assert not (tmp_path / "set").exists()


def test_a_bad_seed_is_refused():
    with pytest.raises(ValueError, match="seed"):
        Studio(-1)


def test_another_data_set_in_the_folder_is_refused_and_kept(written, tmp_path):
    before = contents(written)
    with pytest.raises(ValueError, match="seed: 3 there, 5 wanted"):
        Studio(5).write(written, PEOPLE, SIZE)
    assert contents(written) == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        Studio(3).write(tmp_path, PEOPLE, SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
