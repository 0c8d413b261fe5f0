"""The residual generator and the multi-scale discriminator: sizes by hand, shapes, what a logit sees, refusals."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from vtonlib.nets import (
    DiscriminatorConfig,
    MultiscaleDiscriminator,
    PatchDiscriminator,
    ResidualGenerator,
    ResidualGeneratorConfig,
)
from vtonlib.nets.residual_generator import ResidualBlock, block_layers, decoder_layers, encoder_layers


def parameters(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def small(**changes) -> ResidualGeneratorConfig:
    values = {"in_channels": 3, "out_channels": 2, "width": 4, "halvings": 2, "blocks": 2, "norm": "instance"}
    return ResidualGeneratorConfig(**{**values, **changes})


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def generator_size(inputs, outputs, width, halvings, blocks, convs, stem, batch_norm) -> int:
    """From the layer table of pix2pixHD: convolutions have a bias, a batch norm has scale and shift."""

    def convolution(channels, out, kernel, normed=True):
        return channels * out * kernel**2 + out + (2 * out if batch_norm and normed else 0)

    widths = [width * 2**index for index in range(halvings + 1)]
    down = sum(convolution(a, b, 3) for a, b in pairwise(widths))
    up = sum(convolution(b, a, 3) for a, b in pairwise(widths))
    middle = blocks * convs * convolution(widths[-1], widths[-1], 3)
    return convolution(inputs, width, stem) + down + middle + up + convolution(width, outputs, stem, normed=False)


@pytest.mark.parametrize(("convs", "expected"), [(2, 45_736_916), (3, 66_984_404)])
def test_the_size_of_the_papers_generator(convs, expected):
    assert generator_size(25, 20, 64, 3, 9, convs, 7, True) == expected
    config = ResidualGeneratorConfig(in_channels=25, out_channels=20, convs_per_block=convs)
    with torch.device("meta"):
        assert parameters(ResidualGenerator(config)) == expected
        assert parameters(ResidualGenerator(replace(config, enlarge="bilinear"))) == expected
    assert (config.bottleneck, config.multiple) == (512, 8)


def test_the_size_of_the_release():
    """pix2pixHD's own: four halvings, instance norm."""
    with torch.device("meta"):
        config = ResidualGeneratorConfig(in_channels=36, out_channels=3, halvings=4, norm="instance")
        assert parameters(ResidualGenerator(config)) == generator_size(36, 3, 64, 4, 9, 2, 7, False) == 182_546_755


@pytest.mark.parametrize("enlarge", ["transposed", "bilinear"])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_generator_written_out(norm, enlarge):
    """Stem, halving, one block, doubling, last convolution by hand. No activation at the end, none after the sum."""
    config = small(halvings=1, blocks=1, stem=5, norm=norm, enlarge=enlarge)
    network = ResidualGenerator(config).train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(noise(*parameter.shape, seed=parameter.numel()), alpha=0.1)
    x, weights = noise(2, 3, 12, 8), network.state_dict()

    def convolve(y, name, padding=0, stride=1):
        return functional.conv2d(y, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, padding)

    def reflected(y, margin):
        return functional.pad(y, [margin] * 4, mode="reflect")

    def normed(y, name):
        if norm == "instance":
            return functional.instance_norm(y)
        return functional.batch_norm(y, None, None, weights[f"{name}.weight"], weights[f"{name}.bias"], training=True)

    y = normed(convolve(reflected(x, 2), "encoder.0"), "encoder.1").relu()
    y = normed(convolve(y, "encoder.3", 1, 2), "encoder.4").relu()
    inner = normed(convolve(reflected(y, 1), "blocks.0.model.0"), "blocks.0.model.1").relu()
    y = y + normed(convolve(reflected(inner, 1), "blocks.0.model.3"), "blocks.0.model.4")
    assert y.min() < 0, "a ReLU behind the sum would show"
    if enlarge == "transposed":
        y = functional.conv_transpose2d(y, weights["decoder.0.weight"], weights["decoder.0.bias"], 2, 1, 1)
        y, last = normed(y, "decoder.1").relu(), "decoder.3"
    else:
        y = functional.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
        y, last = normed(convolve(y, "decoder.1", 1), "decoder.2").relu(), "decoder.4"
    by_hand = convolve(reflected(y, 2), last)
    assert torch.allclose(network(x), by_hand, atol=1e-5)
    assert by_hand.std() > 0.05


def test_the_parts_fit_together_on_their_own():
    config = small(enlarge="bilinear")
    encoder, blocks, decoder = encoder_layers(7, config), block_layers(16, config), decoder_layers(5, config)
    features = encoder(noise(1, 7, 16, 24))
    assert features.shape == (1, config.bottleneck, 4, 6)
    assert decoder(blocks(features)).shape == (1, 5, 16, 24)
    network = ResidualGenerator(small())
    x = noise(2, 3, 16, 8)
    assert torch.equal(network(x), network.decoder(network.blocks(network.encoder(x))))


@pytest.mark.parametrize("convs", [1, 2, 3])
def test_a_block_of_no_weight_is_the_identity(convs):
    block = ResidualBlock(4, small(convs_per_block=convs, norm="batch"))
    convolutions = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == convs and sum(isinstance(layer, nn.ReLU) for layer in block.modules()) == convs - 1
    nn.init.zeros_(convolutions[-1].weight)
    nn.init.zeros_(convolutions[-1].bias)
    x = noise(2, 4, 5, 6)
    assert torch.equal(block(x), x)


def test_the_initial_weights():
    torch.manual_seed(0)
    network = ResidualGenerator(ResidualGeneratorConfig(in_channels=3, out_channels=3, width=32, blocks=1))
    drawn = torch.cat([layer.weight.flatten() for layer in network.modules() if isinstance(layer, nn.Conv2d)])
    enlarged = network.decoder[0]
    scales = torch.cat([layer.weight for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)])
    assert isinstance(enlarged, nn.ConvTranspose2d)
    assert drawn.std().item() == pytest.approx(0.02, rel=0.02) and abs(drawn.mean()) < 1e-3
    assert enlarged.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert scales.std().item() == pytest.approx(0.02, rel=0.15) and scales.mean().item() == pytest.approx(1, abs=0.01)
    torch.manual_seed(0)
    for spectral in (False, True):
        judge = PatchDiscriminator(DiscriminatorConfig(in_channels=3, width=32, spectral=spectral))
        layer = judge.layers[1][0]
        weight = layer.parametrizations.weight.original if spectral else layer.weight
        assert weight.std().item() == pytest.approx(0.02, rel=0.05) and not layer.bias.any()


def test_what_a_generator_refuses():
    network = ResidualGenerator(small())
    with pytest.raises(ValueError, match=r"ResidualGenerator: expected \(B, 3, H, W\), got \(1, 2, 16, 16\)"):
        network(torch.zeros(1, 2, 16, 16))
    with pytest.raises(ValueError, match="multiples of 4 and at least 8, got 18x16"):
        network(torch.zeros(1, 3, 18, 16))
    with pytest.raises(ValueError, match="at least 8, got 16x4"):
        network(torch.zeros(1, 3, 16, 4))
    assert network(torch.zeros(1, 3, 8, 8)).shape == (1, 2, 8, 8)
    tall = ResidualGenerator(small(stem=21))
    with pytest.raises(ValueError, match="at least 11, got 8x12"):
        tall(torch.zeros(1, 3, 8, 12))
    assert tall(torch.zeros(1, 3, 12, 12)).shape == (1, 2, 12, 12)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("width", 0, "1 or more, got 0"), ("halvings", 0, "1 or more"), ("blocks", -1, "1 or more"),
     ("stem", 4, "an odd size, got 4"), ("stem", -1, "an odd size"), ("convs_per_block", 0, "1 or more"),
     ("norm", "layer", "one of batch, instance, got 'layer'"), ("enlarge", "nearest", "one of transposed, bilinear")],
)  # fmt: skip
def test_values_a_generator_can_not_have(name, value, expected):
    with pytest.raises(ValueError, match=f"ResidualGeneratorConfig: {name}: expected {expected}"):
        small(**{name: value})
    with pytest.raises(TypeError):
        small(depth=3)


def discriminator_size(inputs, width, layers, scales) -> int:
    """4x4 convolutions with bias and without an affine norm: `layers` halvings, one more, the logits."""
    widths = [inputs] + [min(width * 2**index, 8 * width) for index in range(layers + 1)] + [1]
    return scales * sum(16 * a * b + b for a, b in pairwise(widths))


@pytest.mark.parametrize(("layers", "expected"), [(3, 5_603_202), (4, 13_992_834)])
def test_the_sizes_of_the_discriminators(layers, expected):
    """networks.md's numbers are for 39 channels; MG-VTON's parse critic, 24 + 20 channels, has 10,240 more."""
    assert discriminator_size(39, 64, layers, 2) == expected
    with torch.device("meta"):
        config = DiscriminatorConfig(in_channels=39, layers=layers)
        assert parameters(MultiscaleDiscriminator(config)) == expected
        wider = DiscriminatorConfig(in_channels=44, layers=layers)
        assert parameters(MultiscaleDiscriminator(wider)) == expected + 2 * 5 * 16 * 64


def test_scales_come_from_fine_to_coarse_and_the_last_map_is_the_logits():
    network = MultiscaleDiscriminator(DiscriminatorConfig(in_channels=3, width=4, scales=3))
    judged = network(noise(2, 3, 64, 48))
    assert [len(maps) for maps in judged] == [5, 5, 5]
    assert [tuple(maps[0].shape) for maps in judged] == [(2, 4, 33, 25), (2, 4, 17, 13), (2, 4, 9, 7)]
    assert [tuple(value.shape) for value in judged[0]] == [
        (2, 4, 33, 25), (2, 8, 17, 13), (2, 16, 9, 7), (2, 32, 10, 8), (2, 1, 11, 9),
    ]  # fmt: skip
    assert all(maps[-1].shape[1] == 1 and maps[-1].min() < 0 < maps[-1].max() for maps in judged)
    assert all(maps[0].requires_grad for maps in judged)


def test_the_coarse_scale_sees_means_that_leave_the_border_out():
    network = MultiscaleDiscriminator(DiscriminatorConfig(in_channels=2, width=4, norm="none"))
    x = noise(1, 2, 32, 34)
    counts = functional.conv2d(torch.ones(1, 1, 32, 34), torch.ones(1, 1, 3, 3), stride=2, padding=1)
    halved = functional.conv2d(x.transpose(0, 1), torch.ones(1, 1, 3, 3), stride=2, padding=1).transpose(0, 1) / counts
    fine, coarse = network(x)
    assert torch.allclose(coarse[-1], network.scales[1](halved)[-1], atol=1e-6)
    assert torch.equal(fine[-1], network.scales[0](x)[-1])


def test_a_discriminator_written_out():
    network = PatchDiscriminator(DiscriminatorConfig(in_channels=2, width=4, layers=2))
    x, weights = noise(2, 2, 16, 20), network.state_dict()

    def convolve(y, name, stride):
        return functional.conv2d(y, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, 2)

    first = functional.leaky_relu(convolve(x, "layers.0.0", 2), 0.2)
    second = functional.leaky_relu(functional.instance_norm(convolve(first, "layers.1.0", 2)), 0.2)
    third = functional.leaky_relu(functional.instance_norm(convolve(second, "layers.2.0", 1)), 0.2)
    expected = [first, second, third, convolve(third, "layers.3", 1)]
    found = network(x)
    assert len(found) == 4 and all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(("layers", "patch"), [(3, 70), (4, 142)])
def test_how_large_a_patch_a_logit_sees(layers, patch):
    """From the last layer back: the patch grows by (4 - 1) pixels of each layer's input, times its stride."""
    size = 1
    for stride in [1, 1] + [2] * layers:
        size = size * stride + 4 - stride
    assert size == patch
    network = PatchDiscriminator(DiscriminatorConfig(in_channels=1, width=2, layers=layers, norm="none"))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()  # all positive: no path can cancel another
    x = torch.ones(1, 1, 256, 256, requires_grad=True)
    logits = network(x)[-1]
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    seen = x.grad[0, 0] > 0
    assert seen.any(0).sum() == patch and seen.any(1).sum() == patch


def largest_singular_value(layer: nn.Conv2d) -> float:
    return torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item()


def test_spectral_norm_bounds_every_convolution_and_keeps_its_size():
    config = DiscriminatorConfig(in_channels=3, width=8, spectral=True)
    network = MultiscaleDiscriminator(config).train()
    for _ in range(30):
        network(noise(1, 3, 32, 32))
    network.eval()
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 2 * 5
    assert [largest_singular_value(layer) for layer in convolutions] == pytest.approx([1] * 10, abs=1e-2)
    plain = MultiscaleDiscriminator(DiscriminatorConfig(in_channels=3, width=8))
    assert parameters(network) == parameters(plain)
    assert max(largest_singular_value(layer) for layer in plain.modules() if isinstance(layer, nn.Conv2d)) < 0.9


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_other_norms(norm):
    network = PatchDiscriminator(DiscriminatorConfig(in_channels=3, width=4, norm=norm))
    kinds = [type(layer) for layer in network.modules()]
    assert kinds.count(nn.BatchNorm2d) == (3 if norm == "batch" else 0) and nn.InstanceNorm2d not in kinds
    assert network(noise(2, 3, 16, 16))[-1].shape == (2, 1, 4 + 1, 4 + 1)


def test_what_a_discriminator_refuses():
    network = MultiscaleDiscriminator(DiscriminatorConfig(in_channels=3, width=4))
    with pytest.raises(ValueError, match=r"MultiscaleDiscriminator: expected \(B, 3, H, W\), got \(3, 16, 16\)"):
        network(torch.zeros(3, 16, 16))
    with pytest.raises(ValueError, match="at least 16, got 12x64"):
        network(torch.zeros(1, 3, 12, 64))
    assert len(network(torch.zeros(1, 3, 16, 16))) == 2


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("width", 0, "1 or more, got 0"), ("layers", 0, "1 or more"), ("scales", 0, "1 or more"),
     ("kernel", 1, "2 or more"), ("norm", "layer", "one of batch, instance, none, got 'layer'")],
)  # fmt: skip
def test_values_a_discriminator_can_not_have(name, value, expected):
    with pytest.raises(ValueError, match=f"DiscriminatorConfig: {name}: expected {expected}"):
        DiscriminatorConfig(**{"in_channels": 3, name: value})
