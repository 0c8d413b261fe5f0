"""vtonlib.metrics: closed forms for constant pictures and known shifts, brute force for the window of SSIM."""

from __future__ import annotations

import math

import pytest
import torch

from vtonlib import metrics


def constant(value: float, *, batch: int = 1, size: tuple[int, int] = (20, 16)) -> torch.Tensor:
    return torch.full((batch, 3, *size), value)


def noise(seed: int, size: tuple[int, int] = (20, 16), batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(seed))


def left_half(batch: int = 1, size: tuple[int, int] = (20, 16)) -> torch.Tensor:
    mask = torch.zeros(batch, 1, *size)
    mask[..., : size[1] // 2] = 1
    return mask


def test_equal_pictures():
    picture = noise(0)
    torch.testing.assert_close(metrics.ssim(picture, picture), torch.ones(2))
    assert (metrics.l1(picture, picture) == 0).all()
    assert metrics.psnr(picture, picture).isinf().all()


def test_ssim_of_constant_pictures():
    a, b, c1 = 0.3, 0.5, 0.01**2
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert float(metrics.ssim(constant(a), constant(b))) == pytest.approx(expected, abs=1e-4)
    assert float(metrics.masked_ssim(constant(a), constant(b), left_half())) == pytest.approx(expected, abs=1e-4)


def ssim_at(x: torch.Tensor, y: torch.Tensor) -> float:
    """SSIM of two 11x11 windows, written out."""
    axis = torch.arange(11, dtype=torch.float64) - 5
    window = torch.exp(-(axis**2) / (2 * 1.5**2))
    window = window[:, None] * window[None]
    window = window / window.sum()
    mean_x, mean_y = (window * x).sum(), (window * y).sum()
    var_x, var_y = (window * (x - mean_x) ** 2).sum(), (window * (y - mean_y) ** 2).sum()
    covariance = (window * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = 0.01**2, 0.03**2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float(above / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)))


def test_ssim_agrees_with_a_loop_over_windows():
    one, other = noise(1, (15, 13), 1).double(), noise(2, (15, 13), 1).double()
    values = [
        ssim_at(one[0, channel, y : y + 11, x : x + 11], other[0, channel, y : y + 11, x : x + 11])
        for channel in range(3)
        for y in range(5)
        for x in range(3)
    ]
    assert float(metrics.ssim(one, other)) == pytest.approx(sum(values) / len(values), abs=1e-6)
    mask = torch.zeros(1, 15, 13)
    mask[0, 7, 6] = 1  # a single window, in the middle
    middle = [ssim_at(one[0, c, 2:13, 1:12], other[0, c, 2:13, 1:12]) for c in range(3)]
    assert float(metrics.masked_ssim(one, other, mask)) == pytest.approx(sum(middle) / 3, abs=1e-6)


def test_l1_and_psnr_closed_forms():
    assert float(metrics.l1(constant(0.25), constant(0.75))) == pytest.approx(0.5)
    assert float(metrics.psnr(constant(0.2), constant(0.3))) == pytest.approx(20, abs=1e-4)
    half = constant(0.4) + 0.2 * left_half()
    assert float(metrics.l1(half, constant(0.4))) == pytest.approx(0.1)
    assert float(metrics.masked_l1(half, constant(0.4), left_half())) == pytest.approx(0.2)
    assert float(metrics.masked_l1(half, constant(0.4), 1 - left_half())) == pytest.approx(0)
    expected = -10 * math.log10(0.04)
    assert float(metrics.masked_psnr(half, constant(0.4), left_half()[:, 0])) == pytest.approx(expected, abs=1e-4)


def test_values_are_kept_for_each_sample_and_nan_where_nothing_is_measured():
    prediction = torch.cat([constant(0.0), constant(0.5)])
    mask = torch.cat([left_half(), torch.zeros(1, 1, 20, 16)])
    value = metrics.masked_l1(prediction, constant(0.5, batch=2), mask)
    assert float(value[0]) == pytest.approx(0.5) and value[1].isnan()
    assert metrics.masked_ssim(prediction, constant(0.5, batch=2), mask)[1].isnan()


def test_pictures_of_another_range_or_shape_are_refused():
    with pytest.raises(ValueError, match=r"prediction: expected values in \[0, 1\], got \[-1"):
        metrics.ssim(constant(-1.0), constant(0.5))
    with pytest.raises(ValueError, match="target"):
        metrics.l1(constant(0.5), constant(math.nan))
    with pytest.raises(ValueError, match=r"\(B, C, H, W\)"):
        metrics.psnr(constant(0.5), constant(0.5, size=(16, 16)))
    with pytest.raises(ValueError, match="11x11"):
        metrics.ssim(constant(0.5, size=(8, 16)), constant(0.5, size=(8, 16)))
    with pytest.raises(ValueError, match="mask"):
        metrics.masked_l1(constant(0.5), constant(0.5), torch.ones(1, 1, 16, 20))


def test_numbers_of_regions_are_those_of_the_single_functions():
    one, other, half = noise(3), noise(4), left_half(2)
    half[1] = 0
    numbers = metrics.region_numbers(one, other, {"all": None, "left": half, "right": 1 - half[:, 0]})
    for name, mask in (("left", half), ("right", 1 - half)):
        for number, function in (("ssim", "masked_ssim"), ("psnr", "masked_psnr"), ("l1", "masked_l1")):
            expected = getattr(metrics, function)(one, other, mask)
            torch.testing.assert_close(numbers[name][number], expected, equal_nan=True)
    for number in ("ssim", "psnr", "l1"):
        torch.testing.assert_close(numbers["all"][number], getattr(metrics, number)(one, other))
    assert numbers["left"]["l1"][1].isnan() and numbers["right"]["l1"].isfinite().all()
    with pytest.raises(ValueError, match="11x11"):
        metrics.region_numbers(constant(0.5, size=(8, 16)), constant(0.5, size=(8, 16)), {})


def halves(picture: torch.Tensor) -> list[torch.Tensor]:
    """A feature network without weights: the picture itself, and the picture at half the size with a fourth channel."""
    small = torch.nn.functional.avg_pool2d(picture, 2)
    return [picture, torch.cat([3 * small, torch.ones_like(small[:, :1])], 1)]


def test_perceptual_distance_of_constant_pictures():
    # What the network sees: [-1, 1]. The first layer has directions (1, 0, 0) and (0, 1, 0), a distance of 2.
    red, green = (
        torch.tensor(colour).reshape(1, 3, 1, 1).expand(1, 3, 4, 6) for colour in ((1, 0.5, 0.5), (0.5, 1, 0.5))
    )
    second = 2 * (1 - 1 / (9 + 1))  # (3, 0, 0, 1) and (0, 3, 0, 1): twice one minus the cosine
    value = metrics.perceptual_distance(red, green, halves)
    assert float(value) == pytest.approx((2 + second) / 2, abs=1e-6)
    assert float(metrics.perceptual_distance(red, red, halves)) == 0
    grey = torch.full((1, 3, 4, 6), 0.5)  # a vector of length 0 has no direction and stays 0
    assert float(metrics.perceptual_distance(red, grey, lambda picture: [picture])) == pytest.approx(1)


def test_perceptual_distance_agrees_with_a_loop():
    one, other, mask = noise(5, (8, 6)), noise(6, (8, 6)), (noise(7, (8, 6))[:, :1] > 0.5).float()
    for sample in range(2):
        layers = []
        for seen, wished in zip(halves(one * 2 - 1), halves(other * 2 - 1)):
            height, width = seen.shape[2:]
            block = 8 // height
            above = below = 0.0
            for y in range(height):
                for x in range(width):
                    a, b = seen[sample, :, y, x], wished[sample, :, y, x]
                    distance = float((a / a.norm() - b / b.norm()).square().sum())
                    weight = float(mask[sample, 0, y * block : (y + 1) * block, x * block : (x + 1) * block].mean())
                    above, below = above + weight * distance, below + weight
            layers.append(above / below)
        value = metrics.perceptual_distance(one, other, halves, mask)[sample]
        assert float(value) == pytest.approx(sum(layers) / 2, abs=1e-5)
    torch.testing.assert_close(
        metrics.perceptual_distance(one, other, halves, torch.ones(2, 8, 6)),
        metrics.perceptual_distance(one, other, halves),
    )


def test_perceptual_distance_of_nothing_and_of_what_it_refuses():
    one, other = noise(8, (8, 6)), noise(9, (8, 6))
    mask = torch.ones(2, 1, 8, 6)
    mask[1] = 0
    value = metrics.perceptual_distance(one, other, halves, mask)
    assert value[0].isfinite() and value[1].isnan()
    with pytest.raises(ValueError, match=r"prediction: expected values in \[0, 1\]"):
        metrics.perceptual_distance(one * 2 - 1, other, halves)
    with pytest.raises(ValueError, match="mask: expected"):
        metrics.perceptual_distance(one, other, halves, torch.ones(1, 8, 6))
    with pytest.raises(ValueError, match="features: expected maps"):
        metrics.perceptual_distance(one, other, lambda picture: [])


def test_iou():
    one, other = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    one[0, ..., :2], other[0, ..., 1:3] = 1, 1
    value = metrics.iou(one, other)
    assert float(value[0]) == pytest.approx(1 / 3) and value[1].isnan()
    ignore = torch.zeros(2, 4, 4)
    ignore[0, :, 0] = 1
    assert float(metrics.iou(one, other, ignore)[0]) == pytest.approx(1 / 2)
    assert float(metrics.iou(one.bool(), one, ignore.bool())[0]) == 1
    with pytest.raises(ValueError, match="one shape"):
        metrics.iou(one, other[..., :3])


def test_flow_error_of_a_known_shift():
    target = torch.rand(2, 2, 6, 5) * 10
    prediction = target + torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    mask = torch.ones(2, 6, 5)
    error = metrics.flow_error(prediction, target, mask)
    torch.testing.assert_close(error.mean, torch.full((2,), 5.0))
    torch.testing.assert_close(error.median, torch.full((2,), 5.0))
    assert (error.within_3 == 0).all()


def test_flow_error_counts_known_visible_pixels_only():
    target = torch.zeros(3, 2, 2, 2)
    prediction = torch.zeros(3, 2, 2, 2)
    prediction[0, 0] = torch.tensor([[0.5, 2.0], [4.0, 100.0]])  # distances 0.5, 2, 4 and 100
    mask = torch.ones(3, 1, 2, 2)
    everything = metrics.flow_error(prediction, target, mask)
    assert [float(value[0]) for value in everything] == pytest.approx([106.5 / 4, 3.0, 0.25, 0.5, 0.75])
    target[0, 1, 1, 1] = torch.nan
    mask[2] = 0
    seen = metrics.flow_error(prediction, target, mask)
    assert [float(value[0]) for value in seen] == pytest.approx([6.5 / 3, 2.0, 1 / 3, 2 / 3, 1.0])
    assert [float(value[1]) for value in seen] == [0, 0, 1, 1, 1]
    assert all(value[2].isnan() for value in seen)


def test_flow_error_refuses_a_prediction_with_holes():
    target, prediction = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    prediction[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="isn't finite"):
        metrics.flow_error(prediction, target, torch.ones(1, 2, 2))
    with pytest.raises(ValueError, match="two flows"):
        metrics.flow_error(prediction, target, torch.ones(1, 3, 2))
