"""The U-Net against the release's sizes and names, by hand, and what its last normalisation does."""

import pytest
import torch
from torch.nn import functional

from vtonlib.nets import UNet, UNetConfig


def parameters(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("channels", "expected"), [(25, 21_349_252), (26, 21_350_276)])
def test_the_published_sizes_and_names(channels, expected):
    network = UNet(UNetConfig(in_channels=channels, out_channels=4))
    assert parameters(network) == expected
    names = list(network.state_dict())
    assert len(names) == 24
    deepest = "model.model.1.model.3.model.3.model.3.model.3.model."
    for name in (
        "model.model.0.",
        "model.model.4.",
        "model.model.1.model.1.",
        "model.model.1.model.6.",
        f"{deepest}4.",
    ):
        assert f"{name}weight" in names and f"{name}bias" in names
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes["model.model.4.weight"] == (4, 128, 3, 3)
    assert shapes[f"{deepest}1.weight"] == (512, 512, 4, 4)


def test_two_levels_written_out():
    """Depth two by hand: down, down, up, skip, up. The skip carries what the LeakyReLU has left of it."""
    network = UNet(UNetConfig(in_channels=2, out_channels=3, widths=(4, 5), last_norm=False)).eval()
    weights = network.state_dict()
    x = torch.randn(2, 2, 8, 12, generator=torch.Generator().manual_seed(0))

    def convolve(y, name, **how):
        return functional.conv2d(y, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1, **how)

    def enlarge(y):
        return functional.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)

    first = functional.leaky_relu(convolve(x, "model.model.0", stride=2), 0.2)
    second = convolve(first, "model.model.1.model.1", stride=2)
    up = convolve(enlarge(second.relu()), "model.model.1.model.4")
    up = functional.instance_norm(up)
    by_hand = convolve(enlarge(torch.cat([first, up], 1).relu()), "model.model.4")
    assert torch.allclose(network(x), by_hand, atol=1e-6)


def test_the_last_norm_fixes_mean_and_variance_of_every_output_whatever_the_weights():
    network = UNet(UNetConfig(in_channels=3, out_channels=4, widths=(8, 8)))
    torch.nn.init.normal_(network.model.model[-2].weight, std=5.0)
    torch.nn.init.constant_(network.model.model[-2].bias, 100.0)  # without a norm this alone would saturate a sigmoid
    out = network(torch.randn(2, 3, 32, 24, generator=torch.Generator().manual_seed(1)))
    assert torch.allclose(out.mean((2, 3)), torch.zeros(2, 4), atol=1e-4)
    assert torch.allclose(out.var((2, 3), correction=0), torch.ones(2, 4), atol=1e-3)
    masks = out[:, 3:].sigmoid()
    assert (masks.amin((1, 2, 3)) < 0.5).all() and (masks.amax((1, 2, 3)) > 0.5).all()
    free = UNet(UNetConfig(in_channels=3, out_channels=4, widths=(8, 8), last_norm=False))
    torch.nn.init.constant_(free.model.model[-1].bias, 100.0)
    assert free(torch.zeros(1, 3, 32, 24)).min() > 99


def test_every_input_reaches_every_output():
    network = UNet(UNetConfig(in_channels=3, out_channels=2, widths=(6, 6, 6)))
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(2), requires_grad=True)
    network(x)[0, 1, 0, 0].backward()
    assert (x.grad[0].abs().sum((1, 2)) > 0).all() and x.grad[0, :, -1, -1].abs().sum() > 0


def test_what_is_refused():
    network = UNet(UNetConfig(in_channels=3, out_channels=1, widths=(4, 4, 4)))
    with pytest.raises(ValueError, match=r"expected \(B, 3, H, W\)"):
        network(torch.zeros(1, 2, 16, 16))
    with pytest.raises(ValueError, match="multiples of 8, got 20x16"):
        network(torch.zeros(1, 3, 20, 16))
    with pytest.raises(ValueError, match="two or more positive widths"):
        UNetConfig(in_channels=3, out_channels=1, widths=(4,))
