"""The affine-then-TPS matcher: composition against formulas, synthetic pairs, losses, recovery, training and files."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest
import torch
from synthetic import make_raw
from torch import nn
from torch.nn import functional

from vtonlib.checkpoints import WEIGHTS_FOLDER, load_weights, read_metadata, save_weights
from vtonlib.data import open_dataset
from vtonlib.layouts import write_pairs, write_sample
from vtonlib.sample import collate
from vtonlib.systems.cp_vton_warp import gmm_batch
from vtonlib.systems.matcher_training import (
    RECIPES,
    GarmentCache,
    MatcherRecipe,
    load_matcher,
    matcher_grid,
    measure_matcher,
    mirrored,
    refresh_statistics,
    synthetic_error,
    train_matcher,
)
from vtonlib.warp import (
    MATCHER_COURSE,
    AffineTPSMatcher,
    MatcherConfig,
    MatcherOutput,
    SyntheticPair,
    SyntheticStrengths,
    TPSGrid,
    apply_affine,
    compose_grids,
    control_points,
    draw_affine_theta,
    draw_occluders,
    draw_tps_theta,
    grid_between_conventions,
    grid_distance,
    grid_loss,
    grid_to_flow,
    invert_affine,
    parameter_loss,
    pixel_centres,
    residual_theta,
    synthetic_pair,
    tps_apply,
    tps_design,
    tps_solve,
    warp_image,
)

BOTH = pytest.mark.parametrize("align_corners", [True, False])
SIZE = (128, 96)
SMALL = MatcherConfig(widths=(8, 16), regression_widths=(16, 16, 8, 8), size=(64, 48))
STILL = SyntheticStrengths(rotation=0, scale=0, shear=0, shift=0, bend=0, ripple=0, occluders=0, tone=0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_affine(count: int, seed: int = 0) -> torch.Tensor:
    return torch.eye(2, 3) + 0.3 * torch.randn(count, 2, 3, generator=seeded(seed))


def some_theta(count: int, seed: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(count, 50, generator=seeded(seed))


def waves(count: int, size, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Smooth pictures (count,channels,H,W) in [-1,1], on white from a fifth of the picture to its border."""
    y, x = torch.meshgrid(*(torch.linspace(0, 1, n) for n in size), indexing="ij")
    a, b, c = 1 + 3 * torch.rand(3, count, channels, 1, 1, generator=seeded(seed))
    inside = ((x - 0.5).abs() < 0.3) & ((y - 0.5).abs() < 0.3)
    return torch.where(inside, 0.8 * torch.sin(2 * math.pi * (a * x + b * y + c)), 1.0)


def random_matcher(config: MatcherConfig = SMALL, seed: int = 0) -> AffineTPSMatcher:
    """In eval mode, with last layers that do something."""
    torch.manual_seed(seed)
    matcher = AffineTPSMatcher(config).eval()
    for regression in (matcher.affine_regression, matcher.tps_regression):
        nn.init.normal_(regression.linear.weight, std=0.05)
    return matcher


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small data set on disk: five people to train on, three to test on."""
    root = tmp_path_factory.mktemp("data")
    for split, count in (("train", 5), ("test", 3)):
        names = [f"{split}{i}_00" for i in range(count)]
        for i, name in enumerate(names):
            write_sample(root / split, make_raw(name, size=SIZE, seed=10 * i))
        shifted = names[1:] + names[:1]
        write_pairs(root / f"{split}_pairs.txt", [(f"{a}.jpg", f"{b}.jpg") for a, b in zip(names, shifted)])
    return root


# ---- maps and grids ------------------------------------------------------------------------------------------------


@BOTH
def test_the_affine_grid_is_pytorchs(align_corners):
    matcher, affine = AffineTPSMatcher(replace(SMALL, align_corners=align_corners)), some_affine(2)
    expected = functional.affine_grid(affine, [2, 1, 10, 7], align_corners=align_corners)
    torch.testing.assert_close(matcher.affine_grid(affine, (10, 7)), expected)


def test_affine_maps_by_hand_and_their_inverse():
    affine, points = some_affine(3), torch.rand(3, 4, 5, 2, generator=seeded(2))
    (a, b, c), (d, e, f) = affine[1].tolist()
    x, y = points[1, 2, 3].tolist()
    mapped = apply_affine(affine, points)
    assert mapped.shape == points.shape
    torch.testing.assert_close(mapped[1, 2, 3], torch.tensor([a * x + b * y + c, d * x + e * y + f]))
    torch.testing.assert_close(apply_affine(invert_affine(affine), mapped), points, atol=1e-4, rtol=1e-4)


@BOTH
def test_the_whole_grid_is_the_spline_and_then_the_affine_map(align_corners):
    """Point by point: solve the spline, apply it, and put the result into the affine formula."""
    matcher, affine, theta = (
        AffineTPSMatcher(replace(SMALL, align_corners=align_corners)),
        some_affine(2),
        some_theta(2),
    )
    grid = matcher.grid(affine, theta, (12, 9))
    centres, control = pixel_centres((12, 9), align_corners=align_corners), control_points().float()
    for number in range(2):
        moved = control + theta[number].view(2, 25).T
        spline = tps_apply(tps_solve(control, moved), control, centres.flatten(0, 1))
        expected = spline @ affine[number, :, :2].T + affine[number, :, 2]
        torch.testing.assert_close(grid[number].flatten(0, 1), expected, atol=1e-4, rtol=1e-4)


def test_the_order_of_the_two_maps_is_that_of_two_warps():
    """Reading the source by the affine grid, and that picture by the spline, gives what the whole grid reads."""
    matcher, size, picture = AffineTPSMatcher(SMALL), (128, 96), waves(1, (128, 96))
    affine, theta = (some_affine(1, seed=3) + torch.eye(2, 3)) / 2, some_theta(1)
    first, second = matcher.affine_grid(affine, size), matcher.tps_grid(theta, size)
    twice = matcher.warp(matcher.warp(picture, first, padding="border"), second, padding="border")
    once = matcher.warp(picture, matcher.grid(affine, theta, size), padding="border")
    reverse = matcher.warp(picture, compose_grids(second, first, align_corners=False), padding="border")
    assert (twice - once).abs().mean() < 0.3 * (twice - reverse).abs().mean()


@BOTH
def test_composed_grids_meet_an_affine_map_everywhere(align_corners):
    inner = 2.5 * (torch.rand(2, 6, 5, 2, generator=seeded(4)) * 2 - 1)  # far beyond the border as well
    affine = some_affine(2)
    outer = apply_affine(affine, pixel_centres((9, 7), align_corners=align_corners).expand(2, -1, -1, -1))
    expected = apply_affine(affine, inner)
    torch.testing.assert_close(compose_grids(outer, inner, align_corners=align_corners), expected, atol=1e-5, rtol=1e-4)


@BOTH
def test_composed_grids_are_bilinear_inside(align_corners):
    edge = 1 if align_corners else 1 - 1 / 7
    inner = edge * (torch.rand(2, 6, 5, 2, generator=seeded(4), dtype=torch.float64) * 2 - 1)
    outer = torch.randn(2, 9, 7, 2, generator=seeded(5), dtype=torch.float64)
    inner[..., 1] *= 1 if align_corners else (1 - 1 / 9) / edge
    expected = functional.grid_sample(outer.permute(0, 3, 1, 2), inner, align_corners=align_corners)
    torch.testing.assert_close(compose_grids(outer, inner, align_corners=align_corners), expected.permute(0, 2, 3, 1))


def test_composed_grids_come_near_to_the_formula_and_pass_gradients():
    matcher, affine, theta = AffineTPSMatcher(SMALL), some_affine(1), some_theta(1)
    spline, size = matcher.tps_grid(theta, (64, 48)), (64, 48)
    outer = matcher.affine_grid(affine, size).requires_grad_()
    composed = compose_grids(outer, spline, align_corners=False)
    torch.testing.assert_close(composed, matcher.grid(affine, theta, size), atol=1e-5, rtol=1e-4)
    composed.sum().backward()
    assert torch.isclose(outer.grad.sum(), torch.tensor(2.0 * 64 * 48)), "the four shares of a point add up to 1"
    with pytest.raises(ValueError, match=r"got \(1, 64, 48, 2\) and \(2, 64, 48, 2\)"):
        compose_grids(outer, spline.expand(2, -1, -1, -1), align_corners=False)
    with pytest.raises(ValueError, match="2x2 or more, got 1x48"):
        compose_grids(outer[:, :1], spline, align_corners=False)


def test_grids_between_the_conventions_read_the_same_pixels():
    matcher = AffineTPSMatcher(SMALL)
    grid, picture = matcher.grid(some_affine(1), some_theta(1), (30, 20)), waves(1, (64, 48))
    other = grid_between_conventions(grid, (64, 48), given=False, wanted=True)
    expected = warp_image(picture, grid, align_corners=False)
    torch.testing.assert_close(warp_image(picture, other, align_corners=True), expected, atol=1e-4, rtol=1e-4)
    assert grid_between_conventions(grid, (64, 48), given=True, wanted=True) is grid


# ---- the network ---------------------------------------------------------------------------------------------------


@BOTH
def test_the_identity_at_the_start(align_corners):
    matcher = AffineTPSMatcher(replace(SMALL, align_corners=align_corners)).eval()
    output = matcher(waves(2, (64, 48)), waves(2, (64, 48), seed=1))
    assert isinstance(output, MatcherOutput)
    assert torch.equal(output.affine, torch.eye(2, 3).expand(2, -1, -1)) and not output.theta.any()
    centres = pixel_centres((64, 48), align_corners=align_corners).expand(2, -1, -1, -1)
    torch.testing.assert_close(output.grid, centres, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.affine_grid, centres, atol=1e-5, rtol=0)
    other = AffineTPSMatcher(replace(SMALL, start_at_identity=False)).eval()
    assert other(waves(2, (64, 48)), waves(2, (64, 48), seed=1)).theta.abs().max() > 0


def test_grids_of_any_size_and_features_at_their_own():
    matcher, source, target = random_matcher(), waves(2, (128, 96)), waves(2, (128, 96), seed=1)
    output = matcher(source, target)
    assert output.grid.shape == output.affine_grid.shape == (2, 128, 96, 2) and output.theta.shape == (2, 50)
    assert output.affine.shape == (2, 2, 3) and output.theta.abs().max() > 1e-3
    small = matcher(source, target, size=(32, 24))
    torch.testing.assert_close(small.grid, matcher.grid(output.affine, output.theta, (32, 24)))
    features = torch.randn(2, 7, 32, 24, generator=seeded())
    warped = matcher.warp_features(features, output)
    torch.testing.assert_close(warped, warp_image(features, small.grid, align_corners=False))
    # The same map at every size: a smooth picture warped small is the warped picture made small.
    picture = functional.interpolate(torch.randn(2, 1, 4, 3, generator=seeded()), (128, 96), mode="bicubic")
    large = matcher.warp_features(picture, output, padding="border")
    reduced = matcher.warp_features(functional.avg_pool2d(picture, 4), output, padding="border")
    assert (functional.avg_pool2d(large, 4) - reduced).abs().mean() < 0.03 * picture.std()


@pytest.mark.parametrize("channels", [1, 20])
def test_any_number_of_channels(channels):
    matcher = random_matcher(replace(SMALL, in_channels=channels))
    output = matcher(waves(1, (64, 48), channels), waves(1, (64, 48), channels, seed=1))
    assert output.grid.shape == (1, 64, 48, 2)
    with pytest.raises(ValueError, match=rf"expected source \(B, {channels}, H, W\), got \(1, 3, 64, 48\)"):
        matcher(waves(1, (64, 48)), waves(1, (64, 48)))


def test_wrong_pictures_and_configs_are_refused():
    matcher = AffineTPSMatcher(SMALL)
    with pytest.raises(ValueError, match=r"target must have the aspect of 64x48, got \(64, 64\)"):
        matcher(waves(1, (64, 48)), waves(1, (64, 64)))
    with pytest.raises(ValueError, match="multiple of 32"):
        MatcherConfig(size=(128, 100))
    with pytest.raises(ValueError, match="padding must be"):
        MatcherConfig(padding="white")
    with pytest.raises(ValueError, match="four regression_widths"):
        MatcherConfig(regression_widths=(8, 8, 8))
    assert MatcherConfig(**json.loads(json.dumps(asdict(SMALL)))) == SMALL
    assert MATCHER_COURSE.feature_size == (16, 12)


def test_the_correlation_is_normalised_where_asked():
    matcher = random_matcher()
    one, other = (torch.randn(2, 16, 16, 12, generator=seeded(seed)) for seed in (0, 1))
    volume = matcher._correlation(one, other)
    plain = random_matcher(replace(SMALL, normalise_correlation=False))._correlation(one, other)
    assert volume.shape == plain.shape == (2, 192, 16, 12)
    assert volume.min() == 0 and plain.min() < 0
    torch.testing.assert_close(volume.square().sum(1), torch.ones(2, 16, 12), atol=1e-4, rtol=0)
    place, k = (5, 3), 2 * 16 + 7  # the place (x, y) = (2, 7) of the source, column by column
    cosine = functional.cosine_similarity(one[0, :, 7, 2], other[0, :, *place], dim=0)
    torch.testing.assert_close(plain[0, k, *place], cosine, atol=1e-5, rtol=1e-4)
    expected = plain[0, :, *place].relu()
    torch.testing.assert_close(volume[0, :, *place], expected / expected.norm(), atol=1e-4, rtol=1e-3)


def test_gradients_go_where_the_docstring_says():
    matcher, source, target = random_matcher(), waves(2, (64, 48)), waves(2, (64, 48), seed=1)
    weight = matcher.affine_regression.linear.weight
    matcher(source, target).theta.square().sum().backward()
    assert weight.grad is None, "the second pass does not move the first"
    matcher(source, target).grid.square().sum().backward()
    assert weight.grad.abs().max() > 0


# ---- synthetic pairs -----------------------------------------------------------------------------------------------


def test_drawn_affine_maps_keep_to_their_strengths():
    only_turned = draw_affine_theta(500, replace(STILL, rotation=30), seeded(), size=(200, 100))
    # In pixels, half a picture is 50 across and 100 down: there the maps are pure rotations of at most 30 degrees.
    pixels = only_turned[..., :2] * torch.tensor([50.0, 100.0])[:, None] / torch.tensor([50.0, 100.0])
    torch.testing.assert_close(pixels @ pixels.mT, torch.eye(2).expand(500, -1, -1), atol=1e-5, rtol=0)
    angles = torch.atan2(pixels[:, 1, 0], pixels[:, 0, 0]).rad2deg()
    assert 28 < angles.max() <= 30.001 and -30.001 <= angles.min() < -28 and not only_turned[..., 2].any()
    only_scaled = draw_affine_theta(500, replace(STILL, scale=0.5), seeded(), size=(200, 100))
    logs = only_scaled[:, [0, 1], [0, 1]].log()
    assert 0.45 < logs.abs().max() <= 0.5001 and not only_scaled[:, [0, 1], [1, 0]].any()
    assert torch.corrcoef(logs.T)[0, 1].abs() < 0.15, "each axis by itself"
    only_shifted = draw_affine_theta(500, replace(STILL, shift=0.1), seeded(), size=(200, 100))
    assert 0.19 < only_shifted[..., 2].abs().max() <= 0.2001
    only_sheared = draw_affine_theta(500, replace(STILL, shear=0.2), seeded(), size=(200, 100))
    assert 0.38 < only_sheared[:, 0, 1].abs().max() <= 0.4001, "twice as many half widths as half heights"
    assert not only_sheared[:, 1, 0].any()


@pytest.mark.parametrize("strengths", [replace(STILL, bend=0.1), replace(STILL, ripple=0.1)])
def test_drawn_splines_have_no_affine_part(strengths):
    theta = draw_tps_theta(400, strengths, seeded()).view(400, 2, 25)
    control = control_points().float()
    assert theta.mean(-1).abs().max() < 1e-6 and (theta @ control).abs().max() < 1e-5
    assert 0.06 < theta.std() < 0.1
    assert draw_tps_theta(3, strengths, seeded(), grid_size=4).shape == (3, 32)


def test_a_bend_is_smooth_and_a_ripple_is_not():
    """Splines of 3x3 control points give back the one at its 5x5 control points, and not the other."""
    design = tps_design(control_points(), 3).float()
    rests = []
    for strengths in (replace(STILL, bend=0.1), replace(STILL, ripple=0.1)):
        theta = draw_tps_theta(400, strengths, seeded()).view(400, 2, 25)
        rests.append(float((theta - theta @ torch.linalg.pinv(design).T @ design.T).std() / theta.std()))
    assert rests[0] < 1e-5 and rests[1] == pytest.approx(math.sqrt(16 / 22), rel=0.03)


def test_occluders_are_rectangles():
    strengths = replace(STILL, occluders=0.5, occluder_side=0.4)
    masks = draw_occluders(400, strengths, seeded(), (40, 30))
    assert masks.shape == (400, 1, 40, 30)
    for mask in masks[:, 0]:
        rows, columns = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows[:, None] & columns)
        assert rows.sum() <= 16 and columns.sum() <= 12
        assert rows.sum() == 0 or rows.nonzero().max() - rows.nonzero().min() == rows.sum() - 1
    assert 0.4 < masks.flatten(1).any(1).float().mean() < 0.55
    assert not draw_occluders(50, STILL, seeded(), (40, 30)).any()


@BOTH
def test_a_pair_is_what_its_parameters_say(align_corners):
    tps_grid = TPSGrid(align_corners=align_corners, size=(64, 48))
    picture = waves(3, (64, 48))
    strengths = SyntheticStrengths(occluders=0, tone=0)
    pair = synthetic_pair(picture, strengths, seeded(), tps_grid=tps_grid)
    assert isinstance(pair, SyntheticPair) and pair.source is picture
    expected = functional.grid_sample(picture, pair.grid, padding_mode="border", align_corners=align_corners)
    assert torch.equal(pair.target, expected) and (pair.target - picture).abs().mean() > 0.05
    torch.testing.assert_close(pair.grid, apply_affine(pair.affine, tps_grid(pair.theta, (64, 48))))
    base = functional.affine_grid(pair.affine, [3, 1, 64, 48], align_corners=align_corners)
    torch.testing.assert_close(pair.affine_grid, base, atol=1e-5, rtol=1e-4)
    again = synthetic_pair(picture, strengths, seeded(), tps_grid=tps_grid)
    assert torch.equal(again.target, pair.target)
    assert not torch.equal(synthetic_pair(picture, strengths, seeded(1), tps_grid=tps_grid).target, pair.target)


def test_occluders_and_tone_change_the_target_only():
    tps_grid, picture = TPSGrid(align_corners=False, size=(64, 48)), waves(8, (64, 48), channels=4) - 0.5
    fill = torch.tensor([1.0, -1.0, 0.5, 0.0])
    covered = replace(STILL, occluders=1, occluder_side=0.8)
    pair = synthetic_pair(picture, covered, seeded(), tps_grid=tps_grid, fill=fill)
    same = (pair.target - picture).abs().amax(1) < 1e-4
    filled = (pair.target - fill[:, None, None]).abs().amax(1) == 0
    assert (same | filled).all() and filled.float().mean() > 0.05 and same.float().mean() > 0.2
    toned = synthetic_pair(picture, replace(STILL, tone=0.3), seeded(), tps_grid=tps_grid, fill=0.5)
    gain = (toned.target - 0.5) / (picture - 0.5)
    low, high = picture.aminmax()
    free = ((picture - 0.5).abs() > 0.1) & (toned.target > low) & (toned.target < high)
    for one, where in zip(gain.flatten(0, 1), free.flatten(0, 1)):
        assert one[where].std() < 1e-3 and 0.7 <= one[where].mean() <= 1.3
    assert gain[free].std() > 0.05


def test_strengths_and_pairs_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"bend must be from 0 to 0\.3, got 0\.5"):
        SyntheticStrengths(bend=0.5)
    with pytest.raises(ValueError, match="rotation must be"):
        SyntheticStrengths(rotation=-1)
    with pytest.raises(ValueError, match=r"pictures \(B, C, H, W\), got \(3, 64, 48\)"):
        synthetic_pair(waves(1, (64, 48))[0], STILL, seeded(), tps_grid=TPSGrid())
    with pytest.raises(ValueError, match=r"extent 1, got 0\.9"):
        synthetic_pair(waves(1, (64, 48)), STILL, seeded(), tps_grid=TPSGrid(extent=0.9))


# ---- losses --------------------------------------------------------------------------------------------------------


def outputs(affine, theta, size=(64, 48)) -> MatcherOutput:
    matcher = AffineTPSMatcher(SMALL)
    return MatcherOutput(affine, theta, matcher.affine_grid(affine, size), matcher.grid(affine, theta, size))


def test_what_is_left_after_a_wrong_affine_map_is_exact():
    """predicted(residual(p)) = affine(tps(p)) at every pixel, also where it lies beyond the picture."""
    affine, predicted, theta = some_affine(2), some_affine(2, seed=9), some_theta(2)
    left = residual_theta(affine, theta, predicted)
    torch.testing.assert_close(outputs(predicted, left).grid, outputs(affine, theta).grid, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(residual_theta(affine, theta, affine), theta, atol=1e-5, rtol=1e-4)


def test_losses_are_nothing_at_the_truth_and_by_hand_beside_it():
    pair = synthetic_pair(waves(2, (64, 48)), SyntheticStrengths(), seeded(), tps_grid=TPSGrid(align_corners=False))
    truth = outputs(pair.affine, pair.theta)
    for loss in (parameter_loss, grid_loss):
        assert all(term < 1e-9 for term in loss(truth, pair).values())
    shift = torch.tensor([[0.0, 0.0, 0.3], [0.0, 0.0, -0.4]])
    moved = outputs(pair.affine + shift, pair.theta)
    assert float(parameter_loss(moved, pair)["affine"]) == pytest.approx((0.3**2 + 0.4**2) / 6, rel=1e-4)
    assert {name: float(term) for name, term in grid_loss(moved, pair).items()} == pytest.approx(
        {"affine": 0.25, "grid": 0.25}, rel=1e-4
    )
    # The second pass is asked to make the shift good: its target moves by it, its own error is the inverse of that.
    left = residual_theta(pair.affine, pair.theta, pair.affine + shift)
    assert float(parameter_loss(outputs(pair.affine + shift, left), pair)["theta"]) < 1e-12
    assert float(parameter_loss(moved, pair)["theta"]) > 0.01
    bent = outputs(pair.affine, pair.theta + torch.cat([torch.full((2, 25), 0.1), torch.zeros(2, 25)], 1))
    assert float(parameter_loss(bent, pair)["theta"]) == pytest.approx(0.1**2 / 2, rel=1e-3)
    with pytest.raises(ValueError, match=r"expected grids \(2, 64, 48, 2\), got \(2, 32, 24, 2\)"):
        grid_loss(outputs(pair.affine, pair.theta, (32, 24)), pair)


def test_grid_distance_is_in_pixels_of_the_picture_that_is_read():
    centres = pixel_centres((64, 48), align_corners=False).expand(2, -1, -1, -1)
    moved = centres + torch.tensor([2 * 3 / 200, 2 * 4 / 400])  # 3 across and 4 down in a picture 400 high, 200 wide
    torch.testing.assert_close(grid_distance(moved, centres, (400, 200)), torch.tensor([5.0, 5.0]))
    mask = torch.zeros(2, 1, 64, 48)
    mask[0, :, :10] = 1
    half = torch.where(mask[:, 0, ..., None] > 0, moved, centres)
    distance = grid_distance(half, centres, (400, 200), mask)
    assert float(distance[0]) == pytest.approx(5) and math.isnan(distance[1])


@pytest.mark.parametrize("loss", [parameter_loss, grid_loss])
def test_the_maps_of_a_few_pairs_are_recovered(loss):
    """Overfitting: the affine pass comes as near as an affine map can, both together within a pixel of eight."""
    torch.manual_seed(0)
    matcher = AffineTPSMatcher(SMALL)
    pair = synthetic_pair(waves(4, (64, 48)), SyntheticStrengths(occluders=0), seeded(), tps_grid=matcher.tps_grid)
    optimiser = torch.optim.Adam(matcher.parameters(), lr=3e-3)
    for step in range(60):
        optimiser.param_groups[0]["lr"] = 3e-3 * (1 if step < 30 else 0.2)
        total = sum(loss(matcher(pair.source, pair.target), pair).values())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    output = matcher(pair.source, pair.target)  # in training mode: the statistics of these very pairs
    still = pixel_centres((64, 48), align_corners=False).expand(4, -1, -1, -1)
    grids = (still, pair.affine_grid, output.affine_grid, output.grid)
    before, best_affine, affine, both = (
        float(grid_distance(grid.detach(), pair.grid, (64, 48)).mean()) for grid in grids
    )
    assert before > 5 and affine < best_affine + 0.5 and both < 1 < best_affine - 1
    assert float((output.affine - pair.affine).detach().abs().max()) < 0.1


# ---- training and files --------------------------------------------------------------------------------------------


def test_garments_in_memory(data):
    dataset = open_dataset(data, split="train", pairing="paired", size=SIZE)
    cache = GarmentCache(dataset, [0, 2])
    pictures, masks = cache.batch([1])
    expected = gmm_batch(collate([dataset[2]]))
    assert len(cache) == 2 and (pictures - expected.garment).abs().max() < 0.5 / 127.5 + 1e-6
    assert torch.equal(masks, expected.garment_mask)
    with pytest.raises(ValueError, match="at least one"):
        GarmentCache(dataset, [])
    bare = replace(dataset[0], garment=replace(dataset[0].garment, mask=None))
    with pytest.raises(ValueError, match=r"garment 'train0_00' has no mask"):
        GarmentCache([bare], [0])
    turned = mirrored(pictures, 1.0, seeded())
    assert torch.equal(turned, pictures.flip(-1)) and torch.equal(mirrored(pictures, 0.0, seeded()), pictures)


def test_the_error_on_synthetic_pairs(data):
    dataset = open_dataset(data, split="train", pairing="paired", size=(64, 48))
    cache = GarmentCache(dataset, range(3))
    scores, sheet = synthetic_error(AffineTPSMatcher(SMALL).eval(), cache, SyntheticStrengths(), rounds=2)
    assert scores["identity"] == pytest.approx(scores["affine"]) == pytest.approx(scores["affine_tps"])
    assert scores["identity"] > 3 and scores["identity_picture"] > scores["identity"]
    again, _ = synthetic_error(AffineTPSMatcher(SMALL).eval(), cache, SyntheticStrengths(), rounds=2)
    assert again == pytest.approx(scores)
    assert sheet.shape == (3, 4 * 68 - 4, 4 * 52 - 4)


def test_refreshed_statistics_are_those_of_the_pairs():
    """The first layer's mean by hand: of source and target together, and of the source as the second pass sees it."""
    matcher, strengths = random_matcher(), SyntheticStrengths()
    pairs = [
        synthetic_pair(waves(4, (64, 48), seed=i), strengths, seeded(i), tps_grid=matcher.tps_grid) for i in range(3)
    ]
    first = matcher.extraction.model[2]
    nn.init.constant_(first.running_mean, 50.0)
    expected = []
    with torch.no_grad():
        for pair in pairs:
            moved = matcher.train().warp(pair.source, matcher(*pair[:2]).affine_grid, padding="border")
            for seen in (torch.cat(pair[:2]), moved):
                expected.append(matcher.extraction.model[:2](seen).mean((0, 2, 3)))
    refresh_statistics(matcher, pairs)
    torch.testing.assert_close(first.running_mean, torch.stack(expected).mean(0), atol=1e-5, rtol=1e-4)
    assert first.momentum == 0.1 and not matcher.training


def test_train_matcher_from_files_to_weights(data, tmp_path):
    stage = replace(RECIPES["smoke"].stage, progress=False, device="cpu", steps=3)
    recipe = replace(RECIPES["smoke"], config=SMALL, stage=stage)
    command = "python -m vtonlib train matcher --data data --out out"
    path = train_matcher(data, tmp_path / "run", recipe=recipe, command=command, weights=tmp_path / "w.safetensors")
    metadata = read_metadata(path)
    assert metadata["system"] == "matcher" and metadata["stage"] == "affine-tps" and metadata["command"] == command
    assert metadata["data"]["samples"] == 5 and metadata["recipe"]["loss"] == "parameter"
    assert metadata["recipe"]["strengths"]["bend"] == recipe.strengths.bend
    scores = metadata["metrics"]["held out, synthetic, 64x48"]
    assert scores["garments"] == 1 and scores["identity"] > 1
    weights = path.read_bytes()
    again = train_matcher(data, tmp_path / "run", recipe=recipe, command=command, weights=path)
    assert again.read_bytes() == weights
    # Killed after two steps and started again, it ends with the same weights.
    checkpoints = replace(recipe, stage=replace(stage, checkpoint_every=2))

    class Killed(Exception):
        pass

    def kill(*_, **__):
        raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr("vtonlib.systems.matcher_training.synthetic_error", kill)
        train_matcher(data, tmp_path / "other", recipe=replace(checkpoints), command=command)
    resumed = train_matcher(data, tmp_path / "other", recipe=checkpoints, command=command)
    first, second = AffineTPSMatcher(SMALL), AffineTPSMatcher(SMALL)
    load_weights(path, first)
    load_weights(resumed, second)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values()))
    assert first.tps_regression.linear.weight.abs().max() > 0
    assert (tmp_path / "run" / "pictures" / "000003.png").is_file()
    loaded = load_matcher(path)
    assert loaded.config == SMALL and not loaded.training
    assert torch.equal(loaded.affine_regression.linear.weight, first.affine_regression.linear.weight)
    with pytest.raises(ValueError, match=r"run\.json: the folder holds another run \(recipe differ\)"):
        train_matcher(data, tmp_path / "run", recipe=replace(recipe, loss="grid"), command=command)


def test_files_of_other_networks_are_refused(tmp_path):
    about = {"system": "matcher", "stage": "affine-tps", "config": asdict(SMALL)}
    matcher = AffineTPSMatcher(SMALL)
    path = save_weights(tmp_path / "m.safetensors", matcher, {**about, "system": "cp-vton"})
    with pytest.raises(ValueError, match=r"m\.safetensors: expected weights with system = matcher, got cp-vton"):
        load_matcher(path)
    save_weights(path, matcher, {key: about[key] for key in ("system", "stage")})
    with pytest.raises(ValueError, match="no config"):
        load_matcher(path)
    save_weights(path, matcher, {**about, "config": {**about["config"], "in_channels": 4}})
    with pytest.raises(ValueError, match="wrong shape: extraction"):
        load_matcher(path)
    save_weights(path, matcher, {**about, "config": {**about["config"], "wide": 4}})
    with pytest.raises(ValueError, match="unknown key wide"):
        load_matcher(path)
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        load_matcher(tmp_path / "none.safetensors")


def test_recipes_are_json_and_checked():
    for recipe in RECIPES.values():
        assert json.loads(json.dumps(asdict(recipe)))["loss"] == recipe.loss
    with pytest.raises(ValueError, match="loss must be one of parameter, grid"):
        MatcherRecipe(stage=RECIPES["smoke"].stage, loss="flow")
    with pytest.raises(ValueError, match="mirror must be"):
        replace(RECIPES["smoke"], mirror=2.0)


@BOTH
def test_the_grid_for_a_real_pair_is_in_gmms_convention(data, align_corners):
    batch = gmm_batch(collate([open_dataset(data, split="test", size=SIZE)[0]]))
    matcher = random_matcher(replace(SMALL, align_corners=align_corners))
    output, grid = matcher(batch.garment, batch.worn), matcher_grid(matcher, batch)
    assert grid.shape == (1, *SIZE, 2)
    torch.testing.assert_close(
        grid_to_flow(grid, SIZE, align_corners=False),
        grid_to_flow(output.grid, SIZE, align_corners=align_corners),
        atol=1e-3, rtol=1e-4,
    )  # fmt: skip


def test_measuring_real_pairs(data):
    dataset = open_dataset(data, split="test", pairing="paired", size=SIZE)
    still = AffineTPSMatcher(SMALL).eval()
    numbers = measure_matcher(still, dataset, batch_size=2)
    assert numbers["affine"] == pytest.approx(numbers["affine_tps"], rel=1e-4) and numbers["affine"]["samples"] == 3
    batch = gmm_batch(collate([dataset[index] for index in range(3)]))
    visible = (batch.worn_mask * (1 - batch.hidden))[:, 0] > 0.5
    here = torch.stack(torch.meshgrid(torch.arange(128.0), torch.arange(96.0), indexing="ij")[::-1])
    distance = (batch.flow - here).norm(dim=1)
    keep = visible & distance.isfinite()
    expected = sum(float(distance[i][keep[i]].mean()) for i in range(3)) / 3
    assert numbers["affine_tps"]["flow_mean"] == pytest.approx(expected, rel=1e-3)
    with pytest.raises(ValueError, match="training mode"):
        measure_matcher(AffineTPSMatcher(SMALL), dataset)
    with pytest.raises(ValueError, match="empty"):
        measure_matcher(still, [])
    with pytest.raises(ValueError, match="has no truth"):
        measure_matcher(still, [replace(dataset[0], truth=None)])


def test_the_course_weights_that_come_with_the_library():
    path = WEIGHTS_FOLDER / "matcher.safetensors"
    assert path.stat().st_size <= 4 * 2**20
    metadata = read_metadata(path)
    assert {"system", "stage", "config", "recipe", "data", "command", "metrics"} <= set(metadata)
    line = "python -m vtonlib train matcher --data data/benchmark --out runs/matcher --profile laptop"
    assert metadata["command"] == line
    matcher = load_matcher()
    assert matcher.config == MATCHER_COURSE
    picture = waves(8, SIZE)
    pair = synthetic_pair(picture, SyntheticStrengths(occluders=0), seeded(), tps_grid=matcher.tps_grid)
    still = pixel_centres(SIZE, align_corners=False).expand(8, -1, -1, -1)
    before = grid_distance(still, pair.grid, SIZE).mean()
    after = grid_distance(matcher(pair.source, pair.target).grid, pair.grid, SIZE).mean()
    assert after < 0.75 * before, "it was trained on garments, and finds a warp of waves on white as well"
