"""Adversarial losses in closed form, what they do to a generator, and the distance of features."""

import math

import pytest
import torch

from vtonlib.adversarial import ADVERSARIAL, discriminator_loss, feature_matching_loss, generator_loss
from vtonlib.nets import DiscriminatorConfig, MultiscaleDiscriminator


def judged(*logits: float, maps: int = 1):
    """Two maps a scale and the logits, all of one value, each scale at half the size of the one before."""
    scales = []
    for index, logit in enumerate(logits):
        size = 8 >> index
        scales.append([torch.full((2, 3, size, size), 100.0)] * maps + [torch.full((2, 1, size, size), logit)])
    return scales


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


GENERATOR = {
    "log": lambda x: -math.log(sigmoid(x)),
    "least-squares": lambda x: (x - 1) ** 2,
    "hinge": lambda x: -x,
}
DISCRIMINATOR = {
    "log": lambda r, f: -(math.log(sigmoid(r)) + math.log(1 - sigmoid(f))) / 2,
    "least-squares": lambda r, f: ((r - 1) ** 2 + f**2) / 2,
    "hinge": lambda r, f: (max(0, 1 - r) + max(0, 1 + f)) / 2,
}


@pytest.mark.parametrize("kind", ADVERSARIAL)
@pytest.mark.parametrize("logit", [-3.0, -0.5, 0.0, 2.0])
def test_closed_forms(kind, logit):
    assert generator_loss(judged(logit), kind).item() == pytest.approx(GENERATOR[kind](logit), abs=1e-5)
    for other in (-2.0, 0.25, 1.5):
        expected = DISCRIMINATOR[kind](logit, other)
        assert discriminator_loss(judged(logit), judged(other), kind).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_the_mean_over_scales_whatever_their_sizes(kind):
    a, b = -0.7, 1.9
    expected = (GENERATOR[kind](a) + GENERATOR[kind](b)) / 2
    assert generator_loss(judged(a, b), kind).item() == pytest.approx(expected, abs=1e-5)
    expected = (DISCRIMINATOR[kind](a, b) + DISCRIMINATOR[kind](b, a)) / 2
    assert discriminator_loss(judged(a, b), judged(b, a), kind).item() == pytest.approx(expected, abs=1e-5)
    assert generator_loss(judged(a, a, a), kind).item() == pytest.approx(GENERATOR[kind](a), abs=1e-5)


def test_the_mean_over_patches_comes_after_the_form():
    logits = torch.tensor([-4.0, 4.0]).reshape(1, 1, 1, 2)
    assert generator_loss([[logits]], "least-squares").item() == pytest.approx((25 + 9) / 2)
    assert discriminator_loss([[logits]], [[logits]], "hinge").item() == pytest.approx((5 / 2 + 5 / 2) / 2)


def test_large_logits_stay_finite():
    for logit in (-1e4, 1e4):
        for kind in ADVERSARIAL:
            assert generator_loss(judged(logit), kind).isfinite()
            assert discriminator_loss(judged(logit), judged(logit), kind).isfinite()


def test_no_idea_costs_log_2():
    assert discriminator_loss(judged(0.0), judged(0.0), "log").item() == pytest.approx(math.log(2))
    assert generator_loss(judged(0.0), "log").item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_the_two_pull_in_opposite_directions(kind):
    logits = torch.full((1, 1, 2, 2), 0.5, requires_grad=True)
    (ours,) = torch.autograd.grad(generator_loss([[logits]], kind), logits)
    (theirs,) = torch.autograd.grad(discriminator_loss(judged(0.0), [[logits]], kind), logits)
    assert (ours < 0).all() and (theirs > 0).all(), "the generator wants the logits higher, the discriminator lower"


def test_the_log_form_does_not_saturate():
    """Where the discriminator is sure (logit -10), log(1 - D) has no slope left, and -log D the slope -1."""
    logit = torch.full((1, 1, 1, 1), -10.0, requires_grad=True)
    (ours,) = torch.autograd.grad(generator_loss([[logit]], "log"), logit)
    (papers,) = torch.autograd.grad(torch.log(1 - torch.sigmoid(logit)).sum(), logit)
    assert ours.item() == pytest.approx(sigmoid(-10) - 1) and papers.item() == pytest.approx(-sigmoid(-10), rel=1e-2)
    assert abs(ours) > 1e4 * abs(papers) and ours.sign() == papers.sign()


def test_feature_matching_by_hand():
    def maps(a, b, logit):
        return [torch.full((1, 2, 4, 4), a), torch.full((1, 4, 2, 2), b), torch.full((1, 1, 1, 1), logit)]

    real, fake = [maps(1.0, 0.0, 9.0), maps(0.0, 0.0, 9.0)], [maps(0.0, 3.0, -9.0), maps(0.5, -0.5, -9.0)]
    assert feature_matching_loss(real, fake).item() == pytest.approx((1 + 3 + 0.5 + 0.5) / 4)
    assert feature_matching_loss(real, real) == 0


def test_feature_matching_moves_the_made_picture_only():
    network = MultiscaleDiscriminator(DiscriminatorConfig(in_channels=3, width=4)).requires_grad_(False)
    pictures = torch.randn(2, 1, 3, 32, 24, generator=torch.Generator().manual_seed(0))
    real, fake = (picture.clone().requires_grad_() for picture in pictures)
    feature_matching_loss(network(real), network(fake)).backward()
    assert real.grad is None and fake.grad.abs().sum() > 0


def test_what_is_refused():
    with pytest.raises(ValueError, match="generator_loss: kind: expected one of log, least-squares, hinge, got 'wgan'"):
        generator_loss(judged(0.0), "wgan")
    with pytest.raises(ValueError, match="discriminator_loss: kind"):
        discriminator_loss(judged(0.0), judged(0.0), "wgan")
    with pytest.raises(ValueError, match="scales: expected as many for real and fake, got 1 and 2"):
        discriminator_loss(judged(0.0), judged(0.0, 0.0), "log")
    with pytest.raises(ValueError, match="generator_loss: expected the maps of at least one scale, got none"):
        generator_loss([], "log")
    with pytest.raises(ValueError, match="feature_matching_loss: scales"):
        feature_matching_loss(judged(0.0), judged(0.0, 0.0))
    with pytest.raises(ValueError, match="feature_matching_loss: layers"):
        feature_matching_loss(judged(0.0), judged(0.0, maps=2))
    with pytest.raises(ValueError, match=r"equal shapes, got \(2, 3, 8, 8\) and \(1, 3, 8, 8\)"):
        feature_matching_loss(judged(0.0), [[value[:1] for value in judged(0.0)[0]]])
    with pytest.raises(ValueError, match="maps before the logits, got none"):
        feature_matching_loss(judged(0.0, maps=0), judged(0.0, maps=0))
