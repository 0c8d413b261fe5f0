"""A-CE2P at its published size, what its weights expect of a picture, and published checkpoints in their own layout."""

import os
import pickle

import pytest
import torch
from synthetic import standing_pose

from vtonlib.checkpoints import save_weights
from vtonlib.perceive.a_ce2p import (
    ACE2P,
    NAMES,
    PARAMETERS,
    ACE2PConfig,
    ActivatedNorm,
    Context,
    Decoder,
    SCHPParser,
    load_schp,
    logits_on_picture,
    schp_input,
)

SMALL = ACE2PConfig(blocks=(1, 1, 2, 1), width=8, side=65)


def small_net(seed: int = 0) -> ACE2P:
    torch.manual_seed(seed)
    return ACE2P(SMALL).eval()


def published(net: ACE2P) -> dict:
    """The content of a checkpoint as the authors write it."""
    return {"epoch": 149, "state_dict": {f"module.{name}": tensor for name, tensor in net.state_dict().items()}}


@pytest.fixture(scope="module")
def shapes():
    """The network at its full size, without values: it costs neither memory nor time."""
    with torch.device("meta"):
        return ACE2P().eval()


def test_parameters_and_names_are_the_published_ones(shapes):
    assert sum(weight.numel() for weight in shapes.parameters()) == PARAMETERS == 66_723_928
    state = shapes.state_dict()
    assert len(state) == NAMES == 603
    assert not [name for name in state if name.endswith("num_batches_tracked")]
    parts = {
        "layer1": 236_288, "layer2": 1_219_584, "layer3": 26_090_496, "layer4": 14_964_736,
        "context_encoding": 23_073_792, "edge": 464_912, "decoder": 293_492, "fushion": 267_796,
    }  # fmt: skip
    assert {name: sum(w.numel() for w in getattr(shapes, name).parameters()) for name in parts} == parts


def test_logits_have_the_published_size():
    net = ACE2P(ACE2PConfig(blocks=(1, 1, 1, 1), width=4)).eval()  # no width changes a size
    with torch.no_grad():
        parsing, fused, edge = net(torch.zeros(1, 3, 473, 473))
    assert (parsing.shape, fused.shape, edge.shape) == ((1, 20, 119, 119), (1, 20, 119, 119), (1, 2, 119, 119))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv3.weight", (128, 64, 3, 3)),
        ("bn3.running_var", (128,)),
        ("layer1.0.downsample.1.weight", (256,)),
        ("layer3.22.conv2.weight", (256, 256, 3, 3)),
        ("layer4.0.downsample.0.weight", (2048, 1024, 1, 1)),
        ("context_encoding.stages.3.1.weight", (512, 2048, 1, 1)),
        ("context_encoding.stages.0.2.running_mean", (512,)),
        ("context_encoding.bottleneck.0.weight", (512, 4096, 3, 3)),
        ("edge.conv3.0.weight", (256, 1024, 1, 1)),
        ("edge.conv4.weight", (2, 256, 3, 3)),
        ("edge.conv5.bias", (2,)),
        ("decoder.conv2.0.weight", (48, 256, 1, 1)),
        ("decoder.conv3.2.weight", (256, 256, 1, 1)),
        ("decoder.conv4.weight", (20, 256, 1, 1)),
        ("fushion.0.weight", (256, 1024, 1, 1)),
        ("fushion.3.bias", (20,)),
    ],
)
def test_names_of_the_published_state_dict(shapes, name, shape):
    assert tuple(shapes.state_dict()[name].shape) == shape


def test_the_scale_of_a_normalisation_is_the_size_of_its_weight():
    norm, x = ActivatedNorm(2).eval(), torch.randn(3, 2, 4, 5)
    norm.weight.data, norm.bias.data = torch.tensor([-2.0, 0.0]), torch.tensor([0.5, -1.0])
    norm.running_mean.copy_(torch.tensor([1.0, -3.0]))
    norm.running_var.copy_(torch.tensor([4.0, 0.25]))
    first = (x[:, 0] - 1) / (4 + 1e-5) ** 0.5 * (2 + 1e-5) + 0.5
    torch.testing.assert_close(norm(x)[:, 0], torch.where(first > 0, first, 0.01 * first))
    second = (x[:, 1] + 3) / (0.25 + 1e-5) ** 0.5 * 1e-5 - 1
    torch.testing.assert_close(norm(x)[:, 1], 0.01 * second)


def test_the_backbone_has_no_leak_and_the_last_layer_is_dilated():
    net = small_net()
    assert net.layer4[0].bn2.slope == net.bn1.slope == 1
    assert {block.conv2.dilation for block in net.layer4} == {(2, 2)}
    assert {block.conv2.dilation for block in net.layer3} == {(1, 1)}
    x = torch.randn(1, 128, 6, 5)
    assert net.layer3(torch.randn(1, 64, 12, 10)).shape == net.layer4(x).shape[:1] + (128, 6, 5)
    assert net.layer4(x).shape == (1, 256, 6, 5)


def _only(convolution, channel: int) -> None:
    """Let a convolution give one input channel, and nothing else, as its channel 0."""
    side = convolution.kernel_size[0] // 2
    convolution.weight.data.zero_()
    convolution.weight.data[0, channel, side, side] = 1


def test_context_has_its_own_features_behind_the_pooled_ones():
    context, x = Context(6, 4).eval(), torch.rand(2, 6, 7, 5)
    _only(context.bottleneck[0], 4 * 4 + 5)
    torch.testing.assert_close(context(x)[:, 0], x[:, 5], atol=1e-4, rtol=1e-4)
    _only(context.bottleneck[0], 2)  # the mean over the whole picture comes first
    _only(context.stages[0][1], 3)
    context.stages[0][1].weight.data = context.stages[0][1].weight.data.roll(2, 0)
    expected = x[:, 3].mean((1, 2))[:, None, None].expand(-1, 7, 5)
    torch.testing.assert_close(context(x)[:, 0], expected, atol=1e-4, rtol=1e-4)


def test_decoder_and_fusion_have_the_coarse_and_the_decoders_features_first():
    decoder, coarse, fine = Decoder(4, 20).eval(), torch.rand(1, 32, 3, 3), torch.rand(1, 16, 5, 5)
    _only(decoder.conv3[0], 0)
    _only(decoder.conv3[2], 0)
    _only(decoder.conv1[0], 7)
    _, features = decoder(coarse, fine)
    torch.testing.assert_close(features[:, 0, ::2, ::2], coarse[:, 7], atol=1e-4, rtol=1e-4)  # corners onto corners
    net = small_net()
    net.fushion[0].weight.data[:, : 4 * SMALL.width] = 0
    net(torch.randn(1, 3, 65, 65)).fused.sum().backward()
    assert net.decoder.conv3[2].weight.grad is None or not net.decoder.conv3[2].weight.grad.any()
    assert net.edge.conv3[0].weight.grad.any()


def test_the_network_sees_blue_first_between_black_bars():
    rows = torch.linspace(-1, 1, 32)[:, None].expand(32, 24)
    picture = torch.stack([rows, torch.full_like(rows, -1), torch.full_like(rows, 1)])[None]  # R rises, no G, all B
    square = schp_input(picture, 63)
    assert square.shape == (1, 3, 63, 63)
    blue, green, red = square[0, :, :, 31]
    torch.testing.assert_close(blue, torch.full((63,), (1 - 0.406) / 0.225))
    torch.testing.assert_close(green, torch.full((63,), -0.456 / 0.224))
    torch.testing.assert_close(red, (torch.linspace(0, 1, 63) - 0.485) / 0.229)  # first row to first row, last to last
    bar = torch.tensor([-0.406 / 0.225, -0.456 / 0.224, -0.485 / 0.229])
    torch.testing.assert_close(square[0, :, 30, 6], bar)  # 23 of 31 units are picture: 8.0 to 54.0 of 62
    torch.testing.assert_close(square[0, 0, :, 8], blue)
    torch.testing.assert_close(square[0, 0, :, 54], blue)
    torch.testing.assert_close(square[0, :, 30, 56], bar)


@pytest.mark.parametrize("size", [(40, 30), (31, 50), (200, 2)])
def test_what_is_found_in_the_square_goes_back_to_its_place(size):
    """Logits that are the square's coordinates come back as the picture's, moved and scaled."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 17), torch.linspace(-1, 1, 17), indexing="ij")
    found = logits_on_picture(torch.stack([x, y])[None], size, 65)[0]
    assert found.shape == (2, *size)
    half = (max(size) - 1) / 2
    across, down = ((torch.arange(n) - (n - 1) / 2) / half for n in (size[1], size[0]))
    torch.testing.assert_close(found[0, 0], across, atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1, :, 0], down, atol=1e-5, rtol=0)


def test_a_parser_gives_labels_at_the_size_of_the_picture():
    parser = SCHPParser(small_net())
    pictures = torch.rand(2, 3, 50, 40) * 2 - 1
    probabilities = parser.probabilities(pictures)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2, 50, 40))
    assert torch.equal(parser.lip(pictures), probabilities.argmax(1))
    assert parser.lip(pictures[0]).shape == (1, 50, 40)
    with pytest.raises(ValueError, match=r"expected a picture .* got \(1, 50, 40\)"):
        parser(pictures[0, :1])


def test_jumpsuits_never_come_out_as_neck():
    net, pose = small_net(), torch.from_numpy(standing_pose((64, 48)))
    net.fushion[3].bias.data[10] = 1e4
    parser, picture = SCHPParser(net), torch.zeros(3, 64, 48)
    assert parser.lip(picture).unique().tolist() == [10]
    assert parser(picture).unique().tolist() == [6]
    assert parser(picture, pose).unique().tolist() == [5, 9]


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    """A checkpoint of the published size in the published layout, and some of what is in it."""
    net = ACE2P()
    path = tmp_path_factory.mktemp("schp") / "exp-schp-201908261155-lip.pth"
    torch.save(published(net), path)
    return path, {
        name: net.state_dict()[name].clone() for name in ("conv1.weight", "layer3.22.bn3.weight", "fushion.3.bias")
    }


def test_a_checkpoint_of_the_published_layout_is_taken(full_size):
    path, some = full_size
    parser = load_schp(path, config=ACE2PConfig(side=65))
    state = parser.net.state_dict()
    assert sum(weight.numel() for weight in parser.net.parameters()) == PARAMETERS
    for name, tensor in some.items():
        assert torch.equal(state[name], tensor), name
    assert not parser.net.training and not any(weight.requires_grad for weight in parser.net.parameters())
    parse = parser(torch.rand(3, 64, 48) * 2 - 1)
    assert parse.shape == (1, 64, 48) and parse.dtype == torch.int64


@pytest.mark.parametrize("form", ["zip", "as torch 0.4 and 1.0 wrote it", "without module.", "safetensors"])
def test_every_form_gives_the_same_network(tmp_path, form):
    net, picture = small_net(1), torch.rand(1, 3, 30, 40) * 2 - 1
    path = tmp_path / ("a.safetensors" if form == "safetensors" else "a.pth")
    if form == "safetensors":
        save_weights(path, net, {}, half=False)
    else:
        content = net.state_dict() if form == "without module." else published(net)
        torch.save(content, path, _use_new_zipfile_serialization=form != "as torch 0.4 and 1.0 wrote it")
    found = load_schp(path, config=SMALL).probabilities(picture)
    torch.testing.assert_close(found, SCHPParser(net).probabilities(picture))


class Trap:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_that_holds_more_than_tensors_is_refused_and_never_run(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"state_dict": {"module.conv1.weight": Trap(tmp_path / "trap")}}, path)
    with pytest.raises(ValueError, match="expected a checkpoint of tensors alone"):
        load_schp(path, config=SMALL)
    path.write_bytes(pickle.dumps(Trap(tmp_path / "trap"), protocol=2))
    with pytest.raises(ValueError, match=r"a\.pth"):
        load_schp(path, config=SMALL)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {}}, {"epoch": 3}, torch.zeros(2)])
def test_a_checkpoint_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth: expected tensors by name"):
        load_schp(tmp_path / "a.pth", config=SMALL)


def test_what_does_not_fit_is_named(tmp_path):
    state = published(small_net())
    del state["state_dict"]["module.edge.conv5.bias"]
    state["state_dict"]["module.bn1.num_batches_tracked"] = torch.tensor(3)
    state["state_dict"]["module.fushion.3.bias"] = torch.zeros(18)
    torch.save(state, tmp_path / "atr.pth")
    with pytest.raises(ValueError, match="20 labels") as error:
        load_schp(tmp_path / "atr.pth", config=SMALL)
    for part in ("1 missing: edge.conv5.bias", "1 unexpected: bn1.num_batches_tracked", "fushion.3.bias (18,)"):
        assert part in str(error.value)


def test_an_absent_file_and_bad_configs(tmp_path):
    with pytest.raises(FileNotFoundError, match="do not come with the course"):
        load_schp(tmp_path / "nothing.pth")
    with pytest.raises(ValueError, match="width"):
        ACE2PConfig(width=6)
    with pytest.raises(ValueError, match="four numbers"):
        ACE2PConfig(blocks=(3, 4, 6))
    with pytest.raises(ValueError, match=r"got \(3, 65, 65\)"):
        small_net()(torch.zeros(3, 65, 65))
