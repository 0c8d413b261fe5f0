"""U2-Net as published: parameters, names, sizes, files; and the numbers that its release feeds it."""

import pytest
import torch
from torch import nn

from vtonlib.checkpoints import save_weights, write_tensors
from vtonlib.perceive.u2net import (
    CONFIGS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    RSU,
    U2NETP,
    U2Net,
    U2NetConfig,
    is_course_file,
    load_u2net,
    published_colours,
    published_input,
    published_output,
)


def small() -> U2Net:
    torch.manual_seed(0)
    return U2Net(U2NetConfig(encoder=((2, 4),) * 6, decoder=((2, 4),) * 5)).eval()


@pytest.mark.parametrize(("name", "parameters"), [("u2net", 44_009_869), ("u2netp", 1_131_181)])
def test_parameters_and_names_are_the_published_ones(name, parameters):
    with torch.device("meta"):
        network = U2Net(CONFIGS[name])
    names = list(network.state_dict())
    assert sum(weight.numel() for weight in network.parameters()) == parameters
    assert len(names) == 798
    expected = {
        "stage1.rebnconvin.conv_s1.weight", "stage1.rebnconv7.bn_s1.running_mean", "stage2.rebnconv6.conv_s1.bias",
        "stage4.rebnconv3d.bn_s1.num_batches_tracked", "stage6.rebnconv1d.conv_s1.weight",
        "stage5d.rebnconv4.bn_s1.bias",
        "stage1d.rebnconv6d.conv_s1.weight", "side1.weight", "side6.bias", "outconv.weight",
    }  # fmt: skip
    assert expected <= set(names)
    assert not any(each.startswith(("stage6d", "stage5.rebnconv5", "side7")) for each in names)


def test_seven_maps_of_the_pictures_size():
    network = U2Net(U2NETP).eval()
    with torch.no_grad():
        maps = network(torch.zeros(1, 3, 320, 320))
    assert [tuple(each.shape) for each in maps] == [(1, 1, 320, 320)] * 7
    assert all(0 <= float(each.min()) <= float(each.max()) <= 1 for each in maps)


def test_odd_sizes_and_logits():
    network, picture = small(), torch.randn(2, 3, 67, 45)
    maps, logits = network(picture), network.logits(picture)
    assert [tuple(each.shape) for each in maps] == [(2, 1, 67, 45)] * 7
    assert all(torch.equal(one, torch.sigmoid(other)) for one, other in zip(maps, logits, strict=True))
    with pytest.raises(ValueError, match=r"expected \(B, 3, H, W\)"):
        network(torch.zeros(1, 1, 64, 64))
    with pytest.raises(ValueError, match="32 pixels"):
        network(torch.zeros(1, 3, 64, 16))


def test_the_first_map_mixes_the_other_six():
    network = small()
    with torch.no_grad():
        network.outconv.weight.zero_()
        network.outconv.weight[0, 3] = 2.0
        network.outconv.bias.fill_(0.25)
        maps = network.logits(torch.randn(1, 3, 64, 64))
    assert torch.allclose(maps[0], 2 * maps[4] + 0.25, atol=1e-5)


def test_a_block_adds_what_it_was_given_and_knows_its_dilations():
    torch.manual_seed(0)
    block = RSU(5, 3, 2, 4).eval()
    picture = torch.randn(1, 3, 40, 24)
    for name, layer in block.named_modules():
        if name.endswith("1d.bn_s1"):  # the U-Net's last layer says 0: what is left is the identity beside it
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    assert torch.allclose(block(picture), block.rebnconvin(picture), atol=1e-6)
    dilations = {name: layer.dilation[0] for name, layer in block.named_modules() if isinstance(layer, nn.Conv2d)}
    assert dilations["rebnconv5.conv_s1"] == 2 and dilations["rebnconv4.conv_s1"] == 1
    flat = RSU(4, 3, 2, 4, dilated=True)
    order = ("1", "2", "3", "4", "3d", "2d", "1d")
    assert [getattr(flat, f"rebnconv{each}").conv_s1.dilation[0] for each in order] == [1, 2, 4, 8, 4, 2, 1]


def test_the_published_colours():
    picture = torch.full((2, 3, 4, 4), -0.5)  # 0.25 of 1; the brightest value is 0.5, so 0.25 becomes 0.5
    picture[0, 1, 0, 0] = 0.0
    colours = published_colours(picture)
    for channel in range(3):
        half = (0.5 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        assert float(colours[0, channel, 3, 3]) == pytest.approx(half, abs=1e-5)
        assert float(colours[1, channel, 3, 3]) == pytest.approx(
            (1 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel], abs=1e-5
        )
    assert torch.isfinite(published_colours(torch.full((1, 3, 4, 4), -1.0))).all(), "a black picture has no maximum"
    with pytest.raises(ValueError, match="picture"):
        published_colours(torch.zeros(3, 4, 4))


def test_the_published_sizes_and_answer():
    assert published_input(torch.zeros(2, 3, 50, 30)).shape == (2, 3, 320, 320)
    values = torch.linspace(0.2, 0.6, 16).reshape(1, 1, 4, 4)
    answer = published_output(values, (4, 4))
    assert float(answer.min()) == 0 and float(answer.max()) == 1
    assert torch.allclose(answer, (values - 0.2) / 0.4, atol=1e-6)
    assert published_output(torch.full((1, 1, 4, 4), 0.7), (8, 6)).abs().max() == 0


def test_files_of_the_release_and_their_faults(tmp_path):
    network = U2Net(U2NETP)
    state = network.state_dict()
    torch.save(state, tmp_path / "u2netp.pth")
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "several.pth")
    save_weights(tmp_path / "converted.safetensors", state, {}, half=False)
    picture = torch.randn(1, 3, 64, 64)
    wanted = network.eval()(picture)[0]
    for name in ("u2netp.pth", "several.pth", "converted.safetensors"):
        loaded = load_u2net(tmp_path / name)
        assert torch.equal(loaded(picture)[0], wanted) and not loaded.training
        assert not any(weight.requires_grad for weight in loaded.parameters())
    with pytest.raises(ValueError, match=r"u2netp\.pth: does not fit u2net"):
        load_u2net(tmp_path / "u2netp.pth", "u2net")
    torch.save(nn.Linear(1, 1), tmp_path / "module.pth")  # a pickled class, which would run code
    with pytest.raises(ValueError, match=r"module\.pth: expected a state dict of tensors"):
        load_u2net(tmp_path / "module.pth")
    torch.save({"epoch": 3}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth: expected a state dict of tensors, got dict"):
        load_u2net(tmp_path / "other.pth")
    with pytest.raises(FileNotFoundError, match=r"missing\.pth: no such weights file"):
        load_u2net(tmp_path / "missing.pth")
    with pytest.raises(ValueError, match="expected one of u2net, u2netp, got 'u3net'"):
        load_u2net(tmp_path / "u2netp.pth", "u3net")


def test_whose_file_it_is(tmp_path):
    write_tensors(tmp_path / "own.safetensors", {"x": torch.zeros(1)}, {"system": "perceive"})
    write_tensors(tmp_path / "release.safetensors", {"x": torch.zeros(1)}, {})
    assert is_course_file(tmp_path / "own.safetensors")
    assert not is_course_file(tmp_path / "release.safetensors") and not is_course_file(tmp_path / "u2netp.pth")


def test_a_config_with_other_channels_is_refused():
    with pytest.raises(ValueError, match="encoder: expected 6 pairs"):
        U2NetConfig(encoder=((2, 4),) * 5, decoder=((2, 4),) * 5)
