"""Feature networks: shapes, scales, files; VGG19 in the release's order; their training from files to weights."""

import json

import pytest
import torch
from torch import nn

from vtonlib import features as features_module
from vtonlib.checkpoints import WEIGHTS_FOLDER, read_metadata, save_weights
from vtonlib.data import open_dataset
from vtonlib.features import CONFIGS, NAMES, VGG19_WEIGHTS, FeatureNet, VGG19Features, load_features
from vtonlib.losses import perceptual_loss
from vtonlib.systems.features_training import RECIPES, JudgeHead, set_scales, train_features

OWN = ("course", "judge")


@pytest.mark.parametrize("name", OWN)
def test_five_maps_each_half_the_size(name):
    maps = FeatureNet(CONFIGS[name])(torch.zeros(2, 3, 32, 24))
    assert [tuple(each.shape) for each in maps] == [
        (2, width, 32 >> level, 24 >> level if level < 4 else 2) for level, width in enumerate(CONFIGS[name].widths)
    ]


@pytest.mark.parametrize("name", OWN)
def test_the_course_weights_that_come_with_the_library(name):
    file = WEIGHTS_FOLDER / f"features-{name}.safetensors"
    assert file.stat().st_size <= 4 * 2**20
    options = f"--data data/benchmark --out runs/features-{name} --name {name} --profile laptop"
    assert read_metadata(file)["command"] == f"python -m vtonlib train features {options}"
    network = load_features(name)
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())
    assert (network.scales > 0).all() and not torch.equal(network.scales, torch.ones(5))


def test_the_two_networks_differ_in_weights_and_in_kind():
    course, judge = (load_features(name) for name in OWN)
    assert [m.shape[1] for m in course(torch.zeros(1, 3, 16, 16))] != [
        m.shape[1] for m in judge(torch.zeros(1, 3, 16, 16))
    ]


@pytest.mark.parametrize("name", OWN)
def test_a_worse_picture_is_further_away(name, studio_root):
    """On real studio pictures: nothing < a little blur < much blur, and a shift of a print is noticed."""
    network = load_features(name)
    person = torch.stack([open_dataset(studio_root, size=(128, 96))[index].person for index in range(4)])
    blurred = [nn.AvgPool2d(size, 1, size // 2, count_include_pad=False)(person) for size in (3, 9)]
    distances = [float(perceptual_loss(network, picture, person)) for picture in (person, *blurred)]
    assert distances[0] == 0 < 2 * distances[1] < distances[2] * 2 and distances[1] < distances[2]
    assert float(perceptual_loss(network, person.roll(2, -1), person)) > distances[1] / 2


def test_scales_make_every_map_one_on_average():
    network = FeatureNet(CONFIGS["judge"]).eval()
    pictures = torch.rand(20, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    set_scales(network, pictures)
    assert torch.allclose(torch.stack([m.abs().mean() for m in network(pictures)]), torch.ones(5), atol=0.05)


def test_names_and_files_that_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="expected one of course, judge, vgg19, got 'vgg16'"):
        load_features("vgg16")
    path = save_weights(tmp_path / "other.safetensors", FeatureNet(CONFIGS["judge"]), {"stage": "judge"})
    with pytest.raises(ValueError, match="expected the feature network 'course', got 'judge'"):
        load_features("course", path=path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match='features="vgg19" needs torchvision'):
        load_features("vgg19")
    assert set(NAMES) == {*OWN, "vgg19"}


def test_vgg19_takes_a_file_of_torchvision_and_cuts_after_the_five_first_activations(tmp_path):
    from torchvision.models import vgg19

    torch.manual_seed(0)
    whole = vgg19(weights=None)
    state = {name: tensor for name, tensor in whole.state_dict().items() if name.startswith("features.")}
    torch.save(state, tmp_path / "vgg19.pth")
    network = load_features("vgg19", path=tmp_path / "vgg19.pth")
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    maps, y = network(picture), picture
    wanted, block = [], 0
    for layer in whole.features:  # relu1_1, 2_1, ...: the first activation after the start and after each pooling
        y = layer(y)
        if isinstance(layer, nn.ReLU) and len(wanted) == block:
            wanted.append(y.clone())
        block += isinstance(layer, nn.MaxPool2d)
    for ours, theirs in zip(maps, wanted[:5], strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    assert network.layer_weights == VGG19_WEIGHTS == (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "half.pth")
    with pytest.raises(ValueError, match=r"half\.pth: expected VGG19's weights, missing"):
        load_features("vgg19", path=tmp_path / "half.pth")
    assert len(VGG19Features()(torch.zeros(1, 3, 32, 32))) == 5


@pytest.mark.parametrize("name", OWN)
def test_training_from_files_to_weights(name, studio_root, tmp_path):
    path = train_features(name, studio_root, tmp_path / "run", recipe=RECIPES["smoke"], command="a line", limit=12)
    metadata = read_metadata(path)
    assert metadata["stage"] == name and metadata["command"] == "a line" and metadata["metrics"]["held_out"] == 1
    json.dumps(metadata, allow_nan=False)
    before = path.read_bytes()
    again = train_features(name, studio_root, tmp_path / "run", recipe=RECIPES["smoke"], command="a line", limit=12)
    assert again.read_bytes() == before, "a finished run, called again, gives the same file"
    assert load_features(name, path=path).config == CONFIGS[name]
    with pytest.raises(ValueError, match="got 'vgg19'"):
        train_features("vgg19", studio_root, tmp_path / "other", recipe=RECIPES["smoke"], command="")


def test_the_judge_reads_the_garment_under_the_mask_only():
    torch.manual_seed(0)
    head = JudgeHead(CONFIGS["judge"].widths)
    network = FeatureNet(CONFIGS["judge"]).eval()
    maps = network(torch.rand(1, 3, 32, 32))
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., :16, :] = 1
    elsewhere = [each.clone() for each in maps]
    for each in elsewhere:
        each[:, :, each.shape[2] // 2 :] = 7.0
    assert torch.allclose(head.embedding(maps, mask), head.embedding(elsewhere, mask), atol=1e-6)
    assert features_module.CONFIGS["judge"].slope > 0
