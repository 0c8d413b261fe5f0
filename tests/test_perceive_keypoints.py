"""From heatmaps to keypoints, and PCK."""

import math

import pytest
import torch

from vtonlib.perceive.keypoints import SPINE, blur, decode_heatmaps, pck, torso_length


def gaussians(points, size, sigma=1.5):
    """Maps (1,K,h,w) of Gaussians around points (K,2), written out once more from the formula."""
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    distance = (columns - points[:, 0, None, None]) ** 2 + (rows - points[:, 1, None, None]) ** 2
    return torch.exp(-distance / (2 * sigma**2))[None]


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5])
def test_a_gaussian_between_pixels_is_found_exactly(sigma):
    points = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([18.0, 12.0]) + 1
    found, peak = decode_heatmaps(gaussians(points, (15, 21), sigma))
    assert (found[0] - points).norm(dim=-1).max() < 0.01
    assert (peak > 0.7).all() and (peak <= 1).all()  # the nearest pixel is at most half a diagonal away


def test_a_gaussian_that_stands_askew_is_found_too():
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    x, y = columns - 9.3, rows - 8.8
    askew = torch.exp(-(x**2 + y**2 + 1.2 * x * y) / 5)[None, None]
    found, _ = decode_heatmaps(askew)
    torch.testing.assert_close(found[0, 0], torch.tensor([9.3, 8.8]), atol=1e-2, rtol=0)


def test_at_the_border_and_a_little_beyond():
    points = torch.tensor([[0.0, 0.2], [10.4, 11.3], [-0.4, 6.0], [5.0, -0.3]])
    found, _ = decode_heatmaps(gaussians(points, (12, 11)))
    torch.testing.assert_close(found[0], points, atol=1e-3, rtol=0)


def test_plateaus_and_empty_maps_stay_finite():
    maps = torch.zeros(1, 3, 9, 9)
    maps[0, 0, 3:6, 2:5] = 1.0
    maps[0, 1] = 0.5
    found, peak = decode_heatmaps(maps)
    assert found.isfinite().all()
    assert 2 <= found[0, 0, 0] <= 4 and 3 <= found[0, 0, 1] <= 5
    assert peak[0].tolist() == [1.0, 0.5, 0.0]


def test_a_ridge_does_not_send_the_point_away():
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    ridge = torch.exp(-((columns - rows) ** 2) / 4 - 1e-3 * (rows - 7) ** 2)[None, None]
    found, _ = decode_heatmaps(ridge)
    assert (found[0, 0] - 7).abs().max() <= 1


@pytest.mark.parametrize("maps", [torch.zeros(2, 9, 9), torch.zeros(1, 2, 2, 9), torch.zeros(1, 1, 9, 9).long()])
def test_decoding_refuses_what_is_no_map(maps):
    with pytest.raises(ValueError, match="heatmaps: expected floats"):
        decode_heatmaps(maps)


def test_blur_widens_a_gaussian_and_keeps_its_place():
    points = torch.tensor([[10.3, 9.6]])
    blurred = blur(gaussians(points, (20, 21), 1.5), 1.5)
    wide = gaussians(points, (20, 21), math.sqrt(2) * 1.5)
    torch.testing.assert_close(2 * blurred, wide, atol=0.02, rtol=0)
    torch.testing.assert_close(decode_heatmaps(blurred)[0][0], points, atol=0.02, rtol=0)
    assert blur(wide, 0) is wide
    with pytest.raises(ValueError, match="sigma"):
        blur(wide, -1.0)


def people():
    """Two people whose torsos, from left shoulder (5) to right hip (9), are 5 and 10 pixels long."""
    truth = torch.full((2, 25, 3), 0.9)
    truth[..., :2] = torch.arange(50.0).reshape(25, 2)
    truth[:, 5, :2] = torch.tensor([20.0, 10.0])
    truth[0, 9, :2], truth[1, 9, :2] = torch.tensor([17.0, 14.0]), torch.tensor([12.0, 16.0])
    return truth


def test_pck_counts_as_notebook_02_does():
    truth = people()
    truth[1, 10, 2] = 0  # not seen: not counted
    guess = truth.clone()
    guess[:, 3, 0] += 0.8  # within a tenth of 10, not of 5
    guess[:, 4, 2] = 0  # at the right place, but said to be not found: a miss
    guess[1, 10, 2] = 0.9
    hits, counted = pck(guess, truth)
    assert counted.sum() == 49 and not counted[1, 10]
    missed = (counted & ~hits).nonzero().tolist()
    assert missed == [[0, 3], [0, 4], [1, 4]] and not hits[1, 10]


def test_pck_needs_a_torso_and_counts_its_limit_in():
    truth = people()
    truth[0, 9, 2] = 0
    hits, counted = pck(truth, truth)
    assert not counted[0].any() and not hits[0].any() and hits[1].all()
    shifted = truth + torch.tensor([0.0, 2.5, 0.0])
    assert pck(shifted, truth, share=0.25)[0][1].all() and not pck(shifted, truth, share=0.2)[0].any()


def test_pck_of_hands_is_measured_by_the_body():
    truth = people()
    hand = truth[:, :21]
    torso = torso_length(truth)
    torch.testing.assert_close(torso, torch.tensor([5.0, 10.0]))
    hits, _ = pck(hand + torch.tensor([0.0, 0.9, 0.0]), hand, torso=torso)
    assert not hits[0].any() and hits[1].all()
    assert torso_length(truth, SPINE)[0] == pytest.approx(math.hypot(14, 14))
    with pytest.raises(ValueError, match="25 points"):
        pck(hand, hand)
    with pytest.raises(ValueError, match="one shape"):
        pck(hand, truth)
    with pytest.raises(ValueError, match="torso: expected shape"):
        pck(hand, hand, torso=torso[:1])
