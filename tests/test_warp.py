"""vtonlib.warp: splines, sampling, correlation, matching and oracles, each against a closed form or a loop."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict, replace

import pytest
import torch
from torch.autograd import gradcheck

from vtonlib import warp
from vtonlib.warp import (
    GMM,
    GMM_COURSE,
    GMM_PAPER,
    GMM_PAPER_PLUS,
    GMM_VITON_HD,
    GMMConfig,
    ThinPlateSpline,
    TPSGrid,
    correlation_volume,
    feature_l2_norm,
    fold_overs,
    mask_oracle_tps,
    oracle_tps,
    pixel_centres,
    pixel_indices,
    warp_by_flow,
    warp_image,
)

BOTH = pytest.mark.parametrize("align_corners", [True, False])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_points(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, 2, generator=seeded(seed), dtype=torch.float64) * 2 - 1


def random_theta(batch: int, scale: float, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, 50, generator=seeded(seed), dtype=torch.float64) * scale


# --- thin-plate splines -----------------------------------------------------------------------------------------------


def test_kernel_values():
    squared = torch.tensor([0.0, 1.0, math.e, 4.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 0.0, math.e, 4 * math.log(4)], dtype=torch.float64)
    torch.testing.assert_close(warp.tps_kernel(squared), expected)


def test_spline_agrees_with_loops():
    source, target, points = random_points(6, seed=1), random_points(6, seed=2), random_points(4, seed=3)
    system = torch.zeros(9, 9, dtype=torch.float64)
    for i, j in itertools.product(range(6), range(6)):
        squared = float(((source[i] - source[j]) ** 2).sum())
        system[i, j] = squared * math.log(squared) if i != j else 0.0
    for i in range(6):
        system[i, 6:] = system[6:, i] = torch.tensor([1.0, source[i, 0], source[i, 1]])
    coefficients = torch.linalg.inv(system) @ torch.cat([target, torch.zeros(3, 2, dtype=torch.float64)])
    torch.testing.assert_close(warp.tps_solve(source, target), coefficients)
    for point, mapped in zip(points, warp.tps_apply(coefficients, source, points)):
        by_hand = coefficients[6] + coefficients[7] * point[0] + coefficients[8] * point[1]
        for k in range(6):
            squared = ((point - source[k]) ** 2).sum()
            by_hand = by_hand + coefficients[k] * squared * squared.log()
        torch.testing.assert_close(mapped, by_hand)


def test_spline_is_exact_on_its_control_points_and_batches():
    source, target = random_points(3, 8, seed=1), random_points(3, 8, seed=2)
    spline = ThinPlateSpline(source, target)
    torch.testing.assert_close(spline(source), target)
    torch.testing.assert_close(ThinPlateSpline(source[1], target[1])(source[1]), target[1])
    shared = ThinPlateSpline(source[0], target)  # one set of control points for the whole batch
    torch.testing.assert_close(shared(source[0].expand(3, -1, -1)), target)


def test_spline_reproduces_affine_maps_without_bending():
    matrix = torch.tensor([[0.8, -0.3], [0.2, 1.1]], dtype=torch.float64)
    shift = torch.tensor([0.1, -0.4], dtype=torch.float64)
    source, points = random_points(7), random_points(20, seed=5)
    spline = ThinPlateSpline(source, source @ matrix.T + shift)
    torch.testing.assert_close(spline(points), points @ matrix.T + shift)
    assert spline.bending_energy().abs() < 1e-10


def test_regularisation_trades_exactness_for_smoothness():
    source, target = random_points(9, seed=1), random_points(9, seed=2)
    rests, energies = [], []
    for regularisation in (0.0, 0.01, 0.1, 1.0):
        spline = ThinPlateSpline(source, target, regularisation=regularisation)
        rests.append(float((spline(source) - target).square().sum()))
        energies.append(float(spline.bending_energy()))
    assert rests == sorted(rests) and energies == sorted(energies, reverse=True)
    # An endless penalty leaves the least-squares affine map.
    design = torch.cat([torch.ones(9, 1, dtype=torch.float64), source], 1)
    affine = design @ torch.linalg.lstsq(design, target).solution
    torch.testing.assert_close(ThinPlateSpline(source, target, regularisation=1e9)(source), affine)


def test_regularised_spline_is_a_minimum():
    source, target = random_points(8, seed=1), random_points(8, seed=2)

    def cost(values: torch.Tensor) -> torch.Tensor:
        bending = ThinPlateSpline(source, values).bending_energy() / (16 * math.pi)
        return (values - target).square().sum() + 0.2 * bending

    best = ThinPlateSpline(source, target, regularisation=0.2)(source).requires_grad_()
    (gradient,) = torch.autograd.grad(cost(best), best)
    assert gradient.abs().max() < 1e-8


def test_bending_energy_is_the_integral():
    theta = random_theta(1, 0.2)
    control = warp.control_points()
    spline = ThinPlateSpline(control, control + theta.view(2, 25).T)
    # The middle finely, what lies around it coarsely, by finite differences of the map itself.
    fine, coarse = _bending_on_a_grid(spline, 3.0, 600), _bending_on_a_grid(spline, 24.0, 600)
    inner = _bending_on_a_grid(spline, 24.0, 600, inner=3.0)
    measured = fine + coarse - inner
    assert measured == pytest.approx(float(warp.bending_energy(theta)), rel=0.03)
    torch.testing.assert_close(spline.bending_energy(), warp.bending_energy(theta)[0])


def _bending_on_a_grid(spline: ThinPlateSpline, half: float, count: int, inner: float | None = None) -> float:
    axis = torch.linspace(-half, half, count, dtype=torch.float64)
    step = float(axis[1] - axis[0])
    points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    value = spline(points.reshape(-1, 2)).view(count, count, 2)
    xx = (value[1:-1, 2:] - 2 * value[1:-1, 1:-1] + value[1:-1, :-2]) / step**2
    yy = (value[2:, 1:-1] - 2 * value[1:-1, 1:-1] + value[:-2, 1:-1]) / step**2
    xy = (value[2:, 2:] - value[2:, :-2] - value[:-2, 2:] + value[:-2, :-2]) / (4 * step**2)
    density = (xx**2 + 2 * xy**2 + yy**2).sum(-1)
    if inner is not None:
        density = density * (points[1:-1, 1:-1].abs().amax(-1) <= inner)
    return float(density.sum()) * step**2


def test_gradients_of_solve_apply_and_grid():
    source, target, points = (random_points(5, seed=seed).requires_grad_() for seed in (1, 2, 3))
    assert gradcheck(warp.tps_solve, (source, target))
    assert gradcheck(lambda s, t, p: warp.tps_apply(warp.tps_solve(s, t), s, p), (source, target, points))
    assert gradcheck(lambda s, t: ThinPlateSpline(s, t).grid((3, 4), align_corners=True), (source, target))
    theta = random_theta(2, 0.1).requires_grad_()
    assert gradcheck(TPSGrid(size=(5, 4)).double(), (theta,))
    assert gradcheck(lambda values: warp.bending_energy(values), (theta,))


def test_gradient_is_finite_on_a_control_point():
    source, target = random_points(5, seed=1), random_points(5, seed=2)
    points = source.clone().requires_grad_()
    warp.tps_apply(warp.tps_solve(source, target), source, points).sum().backward()
    assert points.grad.isfinite().all()


def test_bad_control_points_are_refused():
    good = random_points(4)
    with pytest.raises(ValueError, match=r"same K >= 3.*\(4, 2\) and \(5, 2\)"):
        warp.tps_solve(good, random_points(5))
    with pytest.raises(ValueError, match="K >= 3"):
        warp.tps_solve(good[:2], good[:2])
    with pytest.raises(ValueError, match="distinct"):
        warp.tps_solve(good[[0, 1, 2, 2]], good)
    with pytest.raises(ValueError, match="not all on one line"):
        warp.tps_solve(torch.stack([good[:, 0], 0.3 * good[:, 0] + 0.1], -1), good)


# --- the regular grid of GMM ------------------------------------------------------------------------------------------


@BOTH
def test_theta_zero_is_the_identity_at_every_size(align_corners):
    module = TPSGrid(align_corners=align_corners, size=(8, 6))
    for size in ((8, 6), (16, 12), (7, 9)):
        grid = module(torch.zeros(2, 50), size)
        torch.testing.assert_close(grid, pixel_centres(size, align_corners=align_corners).expand(2, -1, -1, -1))


def test_viton_hd_extent_magnifies():
    grid = TPSGrid(extent=0.9, size=(8, 6))(torch.zeros(1, 50))
    torch.testing.assert_close(grid, 0.9 * pixel_centres((8, 6), align_corners=True)[None])


@pytest.mark.parametrize("extent", [1.0, 0.9])
@pytest.mark.parametrize("size", [(9, 7), (10, 11)])
def test_grid_is_the_spline_through_the_offset_control_points(extent, size):
    theta = random_theta(3, 0.2)
    control = warp.control_points(extent=extent)
    target = control + torch.stack([theta[:, :25], theta[:, 25:]], -1)
    points = extent * pixel_centres(size, align_corners=True, dtype=torch.float64).reshape(-1, 2)
    expected = ThinPlateSpline(control, target)(points.expand(3, -1, -1)).unflatten(1, size)
    module = TPSGrid(extent=extent, size=(9, 7))
    torch.testing.assert_close(module(theta.float(), size), expected.float(), atol=2e-5, rtol=1e-5)


def test_theta_order_is_x_major_and_x_before_y():
    control = warp.control_points()
    assert control[0 * 5 + 4].tolist() == [-1.0, 1.0] and control[3 * 5 + 1].tolist() == [0.5, -0.5]
    theta = torch.zeros(1, 50)
    theta[0, 3 * 5 + 1] = 0.3  # x of the control point in column 3, row 1
    moved = TPSGrid(size=(5, 5))(theta) - pixel_centres((5, 5), align_corners=True)
    expected = torch.zeros(1, 5, 5, 2)
    expected[0, 1, 3, 0] = 0.3
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=0)


def test_bending_energy_scales_with_the_extent():
    theta = random_theta(2, 0.1)
    control = warp.control_points(extent=0.9)
    spline = ThinPlateSpline(control, control + theta.view(2, 2, 25).transpose(1, 2))
    torch.testing.assert_close(spline.bending_energy(), warp.bending_energy(theta, extent=0.9))
    torch.testing.assert_close(warp.bending_energy(torch.ones(1, 50)), torch.zeros(1), atol=1e-4, rtol=0)


def test_tps_grid_keeps_no_tensors_and_refuses_other_thetas():
    assert TPSGrid().state_dict() == {}
    with pytest.raises(ValueError, match=r"expected \(B, 50\), got \(1, 18\)"):
        TPSGrid()(torch.zeros(1, 18))


# --- sampling ---------------------------------------------------------------------------------------------------------


def test_normalised_coordinates_of_corners_and_edges():
    first_and_last = torch.tensor([[0.0, 0.0], [3.0, 7.0]])
    exact = {"size": (8, 4)}
    true = warp.index_to_normalised(first_and_last, **exact, align_corners=True)
    torch.testing.assert_close(true, torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))
    edges = torch.tensor([[-0.5, -0.5], [3.5, 7.5]])
    false = warp.index_to_normalised(edges, **exact, align_corners=False)
    torch.testing.assert_close(false, torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))


@BOTH
def test_conversions_are_inverse(align_corners):
    points = torch.rand(5, 3, 2, generator=seeded(), dtype=torch.float64) * 40 - 10
    there = warp.index_to_normalised(points, (24, 18), align_corners=align_corners)
    torch.testing.assert_close(warp.normalised_to_index(there, (24, 18), align_corners=align_corners), points)


def test_resizing_leaves_normalised_coordinates_alone():
    points, scale = random_points(6) * 10, 2.5
    resized = (points + 0.5) * scale - 0.5
    small = warp.index_to_normalised(points, (20, 16), align_corners=False)
    large = warp.index_to_normalised(resized, (50, 40), align_corners=False)
    torch.testing.assert_close(small, large)


@BOTH
def test_identity_grid_returns_the_picture(align_corners):
    image = torch.rand(2, 3, 7, 5, generator=seeded())
    grid = pixel_centres((7, 5), align_corners=align_corners).expand(2, -1, -1, -1)
    for padding in ("zeros", "border"):
        torch.testing.assert_close(warp_image(image, grid, padding=padding, align_corners=align_corners), image)


@BOTH
def test_warp_by_whole_pixels_is_a_shift(align_corners):
    image = torch.rand(1, 2, 6, 5, generator=seeded())
    shifted = (pixel_indices((6, 5)) + torch.tensor([1.0, 2.0]))[None].permute(0, 3, 1, 2)
    grid = warp.flow_to_grid(shifted, (6, 5), align_corners=align_corners)
    zeros = warp_image(image, grid, align_corners=align_corners)
    expected = torch.zeros_like(image)
    expected[:, :, :4, :4] = image[:, :, 2:, 1:]
    torch.testing.assert_close(zeros, expected, atol=1e-5, rtol=0)
    border = warp_image(image, grid, padding="border", align_corners=align_corners)
    torch.testing.assert_close(border[:, :, 5, :4], image[:, :, 5, 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(warp.grid_to_flow(grid, (6, 5), align_corners=align_corners), shifted)


def test_sampling_agrees_with_bilinear_interpolation_by_hand():
    image = torch.rand(1, 1, 6, 5, generator=seeded(), dtype=torch.float64)
    x, y = 2.3, 3.6
    flow = torch.tensor([x, y], dtype=torch.float64).view(1, 2, 1, 1)
    p = image[0, 0]
    by_hand = (0.7 * p[3, 2] + 0.3 * p[3, 3]) * 0.4 + (0.7 * p[4, 2] + 0.3 * p[4, 3]) * 0.6
    torch.testing.assert_close(warp_by_flow(image, flow)[0, 0, 0, 0], by_hand)
    for align_corners in (True, False):
        grid = warp.flow_to_grid(flow, (6, 5), align_corners=align_corners)
        torch.testing.assert_close(warp_image(image, grid, align_corners=align_corners)[0, 0, 0, 0], by_hand)


def test_flow_identity_nan_and_other_sizes():
    image = torch.rand(1, 3, 6, 8, generator=seeded())
    flow = pixel_indices((6, 8)).permute(2, 0, 1)[None].clone()
    torch.testing.assert_close(warp_by_flow(image, flow), image, atol=1e-5, rtol=0)
    flow[0, 0, 2, 3] = flow[0, 1, 4, 4] = torch.nan
    warped = warp_by_flow(image, flow, fill=1.0)
    assert (warped[0, :, 2, 3] == 1).all() and (warped[0, :, 4, 4] == 1).all()
    assert (
        warp_image(image, warp.flow_to_grid(flow, (6, 8), align_corners=True), align_corners=True)[0, :, 2, 3] == 0
    ).all()
    doubled = torch.nn.functional.interpolate(image, scale_factor=2, mode="nearest")
    torch.testing.assert_close(warp_by_flow(doubled, 2 * flow + 0.5, fill=1.0), warped, atol=1e-5, rtol=0)


def test_bad_sampling_arguments_are_refused():
    with pytest.raises(ValueError, match="'reflection'"):
        warp_image(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, 2), padding="reflection", align_corners=True)
    with pytest.raises(ValueError, match="same B"):
        warp_image(torch.zeros(2, 1, 4, 4), torch.zeros(1, 4, 4, 2), align_corners=True)
    with pytest.raises(ValueError, match="too small"):
        warp.index_to_normalised(torch.zeros(1, 2), (5, 1), align_corners=True)


# --- correlation ------------------------------------------------------------------------------------------------------


def test_l2_norm():
    features = torch.randn(2, 5, 4, 3, generator=seeded())
    features[0, :, 1, 1] = 0
    normed = feature_l2_norm(features)
    lengths = normed.norm(dim=1)
    assert lengths[0, 1, 1] == 0
    lengths[0, 1, 1] = 1
    torch.testing.assert_close(lengths, torch.ones(2, 4, 3), atol=1e-5, rtol=0)


def test_correlation_agrees_with_loops():
    a, b = torch.randn(2, 5, 4, 3, generator=seeded(1)), torch.randn(2, 5, 4, 3, generator=seeded(2))
    volume = correlation_volume(a, b)
    assert volume.shape == (2, 12, 4, 3)
    for n, y, x, v, u in itertools.product(range(2), range(4), range(3), range(4), range(3)):
        expected = float((a[n, :, y, x] * b[n, :, v, u]).sum())
        assert float(volume[n, x * 4 + y, v, u]) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match="same batch and channels"):
        correlation_volume(a, b[:, :4])


# --- geometric matching -----------------------------------------------------------------------------------------------


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def official_keys() -> set[str]:
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    keys = {f"regression.linear.{name}" for name in ("weight", "bias")}
    for side in "AB":
        keys |= {f"extraction{side}.model.{n}.{name}" for n in (0, 3, 6, 9, 12, 15) for name in ("weight", "bias")}
        keys |= {f"extraction{side}.model.{n}.{name}" for n in (2, 5, 8, 11, 14) for name in norm}
    keys |= {f"regression.conv.{n}.{name}" for n in (0, 3, 6, 9) for name in ("weight", "bias")}
    return keys | {f"regression.conv.{n}.{name}" for n in (1, 4, 7, 10) for name in norm}


@pytest.mark.parametrize(
    ("config", "count"), [(GMM_PAPER, 19_057_650), (GMM_PAPER_PLUS, 19_055_602), (GMM_VITON_HD, 19_042_290)]
)
def test_paper_sizes_and_key_names(config, count):
    module = GMM(config).eval()
    assert parameters(module) == count
    assert parameters(module.regression) == 4_079_986
    state = module.state_dict()
    assert set(state) == official_keys() and len(state) == 104
    assert state["regression.linear.weight"].shape == (50, 768)
    if config is GMM_PAPER:
        assert parameters(module.extractionA) == 7_498_560 and parameters(module.extractionB) == 7_479_104
    inputs = torch.zeros(1, config.agnostic_channels, 256, 192), torch.zeros(1, config.garment_channels, 256, 192)
    with torch.no_grad():
        theta, grid = module(*inputs)
    assert theta.shape == (1, 50) and grid.shape == (1, 256, 192, 2) and theta.abs().max() < 1


def test_course_network_is_small_and_starts_at_the_identity():
    torch.manual_seed(0)
    module = GMM(GMM_COURSE).eval()
    assert parameters(module) < 2_000_000
    assert 2 * sum(value.numel() for value in module.state_dict().values()) <= 4 * 2**20  # bytes in float16
    agnostic, garment = torch.rand(2, 22, 256, 192), torch.rand(2, 3, 256, 192)
    output = module(agnostic, garment)
    assert output.theta.abs().max() == 0
    torch.testing.assert_close(output.grid[0], pixel_centres((256, 192), align_corners=False))
    torch.testing.assert_close(module.warp(garment, output.grid, padding="zeros"), garment, atol=1e-4, rtol=0)
    assert module(agnostic, garment, size=(64, 48)).grid.shape == (2, 64, 48, 2)


def test_theta_does_not_depend_on_the_size_of_the_inputs():
    torch.manual_seed(0)
    module = GMM(replace(GMM_COURSE, start_at_identity=False)).eval()
    agnostic, garment = torch.rand(1, 22, 128, 96), torch.rand(1, 3, 128, 96)
    large = [torch.nn.functional.interpolate(x, scale_factor=4, mode="nearest") for x in (agnostic, garment)]
    half = [torch.nn.functional.interpolate(x, scale_factor=0.5, mode="area") for x in large]
    with torch.no_grad():
        one, other = module(agnostic, garment, size=(256, 192)), module(*half, size=(256, 192))
        assert module(*large).grid.shape == (1, 512, 384, 2)
        assert float((module(*large).theta - one.theta).abs().max()) < 0.05 * float(one.theta.abs().max())
    assert one.theta.abs().max() > 1e-3
    torch.testing.assert_close(one.theta, other.theta, atol=0.01, rtol=0)


def test_gradients_reach_every_parameter_but_what_identity_holds_back():
    torch.manual_seed(0)
    config = GMMConfig(agnostic_channels=4, widths=(4, 8), regression_widths=(8, 8, 8, 8), size=(32, 32))
    module = GMM(config)
    output = module(torch.rand(2, 4, 32, 32), torch.rand(2, 3, 32, 32))
    output.grid.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    assert all(p.grad.abs().max() > 0 for name, p in module.named_parameters() if name.endswith("weight"))


def test_a_small_network_learns_to_shift():
    """The whole chain: the sign of theta, the order of x and y, the gradient through sampling all have to be right."""
    torch.manual_seed(0)
    config = GMMConfig(
        agnostic_channels=1, garment_channels=1, widths=(8, 16), regression_widths=(32, 16, 16, 16), size=(32, 32),
        align_corners=False, start_at_identity=True,
    )  # fmt: skip
    module = GMM(config)
    optimiser = torch.optim.Adam(module.parameters(), lr=2e-3)
    base = pixel_centres((32, 32), align_corners=False)

    def example(batch: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        shift = torch.rand(batch, 1, 1, 2, generator=generator) * 0.6 - 0.3
        garment = ((base.square() * torch.tensor([1.0, 2.0])).sum(-1) < 0.3).float().expand(batch, 1, -1, -1)
        return garment, warp_image(garment, base + shift, align_corners=False)

    def loss(batch: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        garment, worn = example(batch, generator)
        warped = module.warp(garment, module(worn * 2 - 1, garment * 2 - 1).grid, padding="zeros")
        return (warped - worn).abs().mean(), (garment - worn).abs().mean()

    generator = seeded(3)
    for _ in range(80):
        optimiser.zero_grad()
        loss(16, generator)[0].backward()
        optimiser.step()
    module.eval()
    with torch.no_grad():
        after, unwarped = loss(64, seeded(9))
    assert after < 0.4 * unwarped


def test_config_survives_json_and_refuses_nonsense():
    assert GMMConfig(**json.loads(json.dumps(asdict(GMM_COURSE)))) == GMM_COURSE
    with pytest.raises(TypeError, match="width"):
        GMMConfig(width=3)
    with pytest.raises(ValueError, match="four regression_widths"):
        GMMConfig(regression_widths=(8, 8))
    with pytest.raises(ValueError, match="multiple of 64"):
        GMMConfig(size=(250, 192))


def test_bad_inputs_are_refused():
    module = GMM(GMM_COURSE).eval()
    good = torch.zeros(1, 22, 128, 96)
    with pytest.raises(ValueError, match=r"garment \(B, 3, H, W\)"):
        module(good, torch.zeros(1, 1, 128, 96))
    with pytest.raises(ValueError, match=r"agnostic must have the aspect of 128x96, got \(128, 128\)"):
        module(torch.zeros(1, 22, 128, 128), torch.zeros(1, 3, 128, 96))


# --- oracles ----------------------------------------------------------------------------------------------------------


def known_flow(theta: torch.Tensor, size: tuple[int, int], align_corners: bool, extent: float) -> torch.Tensor:
    grid = TPSGrid(align_corners=align_corners, extent=extent, size=size).double()(theta)
    return warp.grid_to_flow(grid, size, align_corners=align_corners)


@BOTH
@pytest.mark.parametrize("extent", [1.0, 0.9])
def test_oracle_recovers_a_known_theta(align_corners, extent):
    theta = random_theta(2, 0.1)
    flow = known_flow(theta, (32, 24), align_corners, extent)
    visible = torch.ones(2, 32, 24)
    oracle = oracle_tps(flow, visible, extent=extent, align_corners=align_corners, softest=1e-10, slack=0.0)
    assert oracle.rms.max() < 0.01
    torch.testing.assert_close(oracle.theta, theta, atol=2e-3, rtol=0)
    expected = warp.flow_to_grid(flow, (32, 24), align_corners=align_corners)
    torch.testing.assert_close(oracle.grid, expected, atol=2e-3, rtol=0)


def test_oracle_uses_visible_pixels_only_and_keeps_to_the_slack():
    theta = random_theta(1, 0.1, seed=4)
    flow = known_flow(theta, (64, 48), False, 1.0)
    visible = torch.zeros(1, 1, 64, 48)
    visible[..., 16:48, 12:36] = 1
    spoiled = torch.where(visible.bool(), flow, 1e4 * torch.ones_like(flow))
    spoiled[..., :16, :] = torch.nan
    spoiled[0, 0, 20, 20] = torch.nan
    tight, loose = (oracle_tps(spoiled, visible, softest=1e-9, slack=slack) for slack in (0.0, 0.5))
    assert tight.rms < 0.01 and loose.rms <= tight.rms + 0.5
    assert loose.stiffness > tight.stiffness
    assert warp.bending_energy(loose.theta) < warp.bending_energy(tight.theta)
    miss = (warp.grid_to_flow(loose.grid, (64, 48), align_corners=False) - flow).square().sum(1).sqrt()
    seen = visible[:, 0].bool() & spoiled.isfinite().all(1)
    assert float(miss[seen].square().mean().sqrt()) == pytest.approx(float(loose.rms), rel=1e-6)


def test_oracle_gives_little_away_by_default():
    theta = random_theta(2, 0.1, seed=5)
    oracle = oracle_tps(known_flow(theta, (256, 192), False, 1.0), torch.ones(2, 256, 192))
    assert oracle.rms.max() < 0.4 and oracle.theta.abs().max() < 1


def test_oracle_goes_on_straight_beyond_the_garment():
    indices = pixel_indices((64, 48), dtype=torch.float64)
    affine = indices * torch.tensor([1.2, 0.8]) + torch.tensor([-3.0, 5.0])
    noise = torch.randn(64, 48, 2, generator=seeded(), dtype=torch.float64) * 0.05
    visible = torch.zeros(1, 64, 48)
    visible[:, 20:40, 16:32] = 1
    oracle = oracle_tps((affine + noise).permute(2, 0, 1)[None], visible)
    everywhere = warp.grid_to_flow(oracle.grid, (64, 48), align_corners=False)[0].permute(1, 2, 0)
    assert (everywhere - affine).norm(dim=-1).max() < 1.0
    assert fold_overs(oracle.grid) == 0


def test_oracle_reads_pictures_of_another_size():
    visible = torch.ones(1, 32, 24)
    flow = (2 * pixel_indices((32, 24)) + 0.5).permute(2, 0, 1)[None]
    oracle = oracle_tps(flow, visible, source_size=(64, 48))
    torch.testing.assert_close(oracle.theta, torch.zeros(1, 50), atol=1e-4, rtol=0)


def test_oracle_refuses_what_it_cannot_fit():
    flow = torch.full((1, 2, 8, 8), torch.nan)
    with pytest.raises(ValueError, match="sample 0 has 0 visible pixels"):
        oracle_tps(flow, torch.ones(1, 8, 8))
    with pytest.raises(ValueError, match="expected visible"):
        oracle_tps(flow, torch.ones(1, 4, 8))


def test_mask_oracle_raises_the_overlap_and_flow_weight_holds_it_back():
    size = (64, 48)
    base = pixel_centres(size, align_corners=False)
    garment_mask = ((base * torch.tensor([1.0, 1.2])).square().sum(-1) < 0.3).float()[None, None]
    box = (base - torch.tensor([0.2, -0.1])).abs() * torch.tensor([1.6, 1.2])
    worn_mask = (box.amax(-1) < 0.5).float()[None, None]
    flow = pixel_indices(size).permute(2, 0, 1)[None].clone()  # a flow at odds with the silhouettes
    start = torch.zeros(1, 50)

    def overlap(theta: torch.Tensor) -> float:
        warped = warp_image(garment_mask, TPSGrid(align_corners=False, size=size)(theta), align_corners=False) > 0.5
        return float((warped & worn_mask.bool()).sum() / (warped | worn_mask.bool()).sum())

    def distance(theta: torch.Tensor) -> float:
        found = warp.grid_to_flow(TPSGrid(align_corners=False, size=size)(theta), size, align_corners=False)
        return float((found - flow).norm(dim=1)[worn_mask[:, 0] > 0].mean())

    free = mask_oracle_tps(start, garment_mask, worn_mask)
    held = mask_oracle_tps(start, garment_mask, worn_mask, flow=flow, flow_weight=1.0)
    assert overlap(free) > 0.95 > overlap(start)
    assert overlap(held) < overlap(free) and distance(held) < 0.5 * distance(free)
    with pytest.raises(ValueError, match="needs the true flow"):
        mask_oracle_tps(start, garment_mask, worn_mask, flow_weight=1.0)


def test_mask_oracle_leaves_hidden_pixels_out():
    size = (32, 32)
    base = pixel_centres(size, align_corners=False)
    mask = (base.abs().amax(-1) < 0.5).float()[None, None]
    hidden = torch.zeros(1, 1, 32, 32)
    hidden[..., 12:20] = 1
    worn = mask * (1 - hidden)  # an arm down the middle
    theta = mask_oracle_tps(torch.zeros(1, 50), mask, worn, hidden=hidden, steps=50)
    assert theta.abs().max() < 0.05  # all that can be seen agrees already
    assert mask_oracle_tps(torch.zeros(1, 50), mask, worn, steps=50).abs().max() > 0.05


def test_fold_overs_and_total_variation():
    size = (8, 6)
    identity = pixel_centres(size, align_corners=True)[None]
    assert fold_overs(identity) == 0 and fold_overs(identity.flip(2)) == 1
    assert warp.total_variation(identity + 0.3, align_corners=True).abs() < 1e-6
    folded = identity.clone()
    folded[0, :, 3, 0] = folded[0, :, 5, 0] + 0.1  # column 3 jumps over 4 and 5: cells 3|4 turn over
    assert float(fold_overs(folded)) == pytest.approx(1 / 5)
    mask = torch.zeros(1, 8, 6)
    mask[..., :2] = 1
    assert float(fold_overs(folded, mask)) == 0
    stretched = identity * torch.tensor([1.5, 1.0])
    assert float(warp.total_variation(stretched, align_corners=True)) == pytest.approx(0.5 * 2 / 5, rel=1e-5)


def test_total_variation_of_pictures():
    picture = torch.ones(2, 3, 4, 5)
    picture[1, :, 1, 2] = 0.25  # one dark pixel: two differences across, two down
    expected = 2 * 0.75 / (4 * 4) + 2 * 0.75 / (3 * 5)
    torch.testing.assert_close(warp.picture_total_variation(picture), torch.tensor([0.0, expected]))
    stripes = (torch.arange(6) % 2).float().expand(1, 3, 4, 6)
    assert warp.picture_total_variation(stripes) == 1 and warp.picture_total_variation(stripes.mT) == 1
