"""vtonlib.losses: closed forms, what a mask leaves out, and gradients that are finite where a prediction is exact."""

from __future__ import annotations

import pytest
import torch

from vtonlib.losses import class_weights, flow_loss, gmm_loss, l1_loss
from vtonlib.warp import pixel_centres, pixel_indices


def test_l1_loss_with_and_without_a_mask():
    prediction, target = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    prediction[0, :, :, :1] = 0.8
    assert float(l1_loss(prediction, target)) == pytest.approx(0.1)
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, ..., :2] = 1  # eight places, half of them wrong
    assert float(l1_loss(prediction, target, mask)) == pytest.approx(0.4)
    with pytest.raises(ValueError, match="the mask is empty"):
        l1_loss(prediction, target, torch.zeros(2, 1, 4, 4))
    with pytest.raises(ValueError, match="expected a mask"):
        l1_loss(prediction, target, torch.ones(2, 4, 4))
    with pytest.raises(ValueError, match="equal shapes"):
        l1_loss(prediction, target[:1])


def test_gmm_loss_is_the_papers_unless_asked_for_more():
    warped, worn = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    assert {name: float(term) for name, term in gmm_loss(warped, worn).items()} == {"l1": 1.0}
    warped_mask, worn_mask = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    worn_mask[..., :2] = 1
    terms = gmm_loss(warped, worn, warped_mask=warped_mask, worn_mask=worn_mask, mask_weight=3.0)
    assert set(terms) == {"l1", "mask"} and float(terms["mask"]) == pytest.approx(1.5)
    with pytest.raises(ValueError, match="needs warped_mask and worn_mask"):
        gmm_loss(warped, worn, mask_weight=1.0)


def test_gmm_loss_does_not_count_hidden_pixels():
    warped = torch.zeros(1, 3, 4, 4, requires_grad=True)
    worn, hidden = torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)
    worn[..., 2:], hidden[..., 2:] = 1, 1
    loss = sum(gmm_loss(warped + 0.25, worn, hidden=hidden).values())
    assert loss.item() == pytest.approx(0.25)
    loss.backward()
    assert (warped.grad[..., 2:] == 0).all() and (warped.grad[..., :2] > 0).all()


@pytest.mark.parametrize("align_corners", [True, False])
def test_flow_loss_is_in_pixels(align_corners):
    flow = pixel_indices((6, 5)).permute(2, 0, 1)[None] + torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    flow[0, 0, 0, 0] = torch.nan
    mask = torch.ones(1, 1, 6, 5)
    mask[..., 5, :] = 0
    flow[0, :, 5] = 1e6
    grid = pixel_centres((6, 5), align_corners=align_corners)[None].clone().requires_grad_()
    loss = flow_loss(grid, flow, mask, align_corners=align_corners)
    assert loss.item() == pytest.approx(5.0, rel=1e-4)
    loss.backward()
    assert grid.grad.isfinite().all() and (grid.grad[0, 0, 0] == 0).all() and (grid.grad[0, 5] == 0).all()


def test_flow_loss_at_zero_and_without_pixels():
    flow = pixel_indices((6, 5)).permute(2, 0, 1)[None]
    grid = pixel_centres((6, 5), align_corners=False)[None].clone().requires_grad_()
    loss = flow_loss(grid, flow, torch.ones(1, 1, 6, 5), align_corners=False)
    loss.backward()
    assert loss.item() < 1e-4 and grid.grad.isfinite().all()
    assert flow_loss(grid, flow, torch.zeros(1, 1, 6, 5), align_corners=False).item() == 0


def test_class_weights_lift_the_rare_up_to_a_cap():
    pixels = torch.tensor([9000, 900, 90, 10, 0])
    weights = class_weights(pixels, cap=8.0)
    assert weights[0] < weights[1] < weights[2] < weights[3] == weights[4] == 8.0
    assert float(weights[1] / weights[0]) == pytest.approx(10**0.5, rel=1e-5), "the square root of 10 times rarer"
    free = class_weights(pixels[:4], cap=1e6)
    assert float((free * pixels[:4]).sum() / pixels.sum()) == pytest.approx(1.0, rel=1e-5)
    with pytest.raises(ValueError, match="all are 0"):
        class_weights(torch.zeros(20), 4.0)
