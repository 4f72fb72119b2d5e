"""Vertices drawn with a gradient: against enumeration, for linear and quadratic functions."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, OneHotCategorical, kl_divergence

from bayesnas.distributions import StraightThroughBernoulli, StraightThroughOneHot

MATRIX = torch.tensor([[2.0, 0.5, -1.0], [0.5, -3.0, 0.0], [-1.0, 0.0, 1.0]])
VECTOR = torch.tensor([0.3, -1.0, 2.0])


def quadratic(v):
    return ((v @ MATRIX) * v).sum(-1) + v @ VECTOR


def test_the_gradient_of_a_quadratic_is_that_of_the_enumeration():
    logits = torch.tensor([0.5, -0.3, 0.1], requires_grad=True)
    exact = (logits.softmax(-1) * quadratic(torch.eye(3))).sum()
    (expected,) = torch.autograd.grad(exact, logits)
    torch.manual_seed(0)
    rows = logits.expand(100_000, 3)
    draws = StraightThroughOneHot(logits=rows).rsample()
    (gradients,) = torch.autograd.grad(quadratic(draws).sum(), rows)
    error = gradients.std(0) / 100_000**0.5
    assert ((gradients.mean(0) - expected).abs() < 5.5 * error).all()
    # The plain straight-through estimator is off by many standard errors here.
    probs = rows.softmax(-1)
    plain = draws.detach() + probs - probs.detach()
    (biased,) = torch.autograd.grad(quadratic(plain).sum(), rows)
    assert ((biased.mean(0) - expected).abs() > 20 * error).any()


def test_the_gradient_of_a_bernoulli_is_that_of_the_enumeration():
    logits = torch.tensor(0.8, requires_grad=True)
    (expected,) = torch.autograd.grad(3.0 * logits.sigmoid(), logits)  # f(0) = 0, f(1) = 3
    torch.manual_seed(0)
    rows = logits.expand(100_000)
    draws = StraightThroughBernoulli(logits=rows).rsample()
    (gradients,) = torch.autograd.grad((draws + 2 * draws.square()).sum(), rows)
    assert abs(gradients.mean() - expected) < 5.5 * gradients.std() / 100_000**0.5


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_draws_are_vertices_with_their_probabilities(scale):
    logits = scale * torch.tensor([[0.2, -0.4, 0.1], [0.0, 0.5, 0.9]])
    torch.manual_seed(1)
    draws = StraightThroughOneHot(logits=logits).rsample((20_000,))
    assert ((draws == 0) | (draws == 1)).all()
    assert (draws.sum(-1) == 1).all()
    assert torch.allclose(draws.mean(0), logits.softmax(-1), atol=5.5 * 0.5 / 20_000**0.5)
    gates = StraightThroughBernoulli(logits=logits).rsample((20_000,))
    assert ((gates == 0) | (gates == 1)).all()
    assert torch.allclose(gates.mean(0), logits.sigmoid(), atol=5.5 * 0.5 / 20_000**0.5)


def test_density_and_divergence_are_those_of_the_plain_distributions():
    q, p = torch.tensor([0.2, -0.4, 0.1]), torch.tensor([1.0, 0.0, -1.0])
    for ours, plain in (
        (StraightThroughOneHot, OneHotCategorical),
        (StraightThroughBernoulli, Bernoulli),
    ):
        value = torch.tensor([0.0, 1.0, 0.0])
        assert torch.equal(ours(logits=q).log_prob(value), plain(logits=q).log_prob(value))
        kl = kl_divergence(ours(logits=q), ours(logits=p))
        assert torch.allclose(kl, kl_divergence(plain(logits=q), plain(logits=p)))
        assert (
            ours(logits=q).expand((2, 3) if ours is StraightThroughBernoulli else (2,)).has_rsample
        )


def test_divergences_stay_finite_where_probabilities_round_to_zero():
    """ln α differs by 400: KL = ½ · 400 − ln 2 for two classes that q holds equal."""
    p = torch.tensor([0.0, -400.0])
    q = torch.zeros(2, requires_grad=True)
    kl = kl_divergence(StraightThroughOneHot(logits=q), OneHotCategorical(logits=p))
    assert float(kl.detach()) == pytest.approx(200.0 - 0.6931472, rel=1e-5)
    assert torch.autograd.grad(kl, q)[0].isfinite().all()
    kl = kl_divergence(StraightThroughBernoulli(logits=q[:1]), Bernoulli(logits=p[1:]))
    assert float(kl.detach()) == pytest.approx(200.0 - 0.6931472, rel=1e-5)
    assert torch.autograd.grad(kl, q)[0].isfinite().all()


@pytest.mark.parametrize("logit", [-60.0, -3.0, 20.0, 60.0])
def test_the_variance_where_a_probability_rounds_to_1(logit: float) -> None:
    variance = float(StraightThroughBernoulli(logits=torch.tensor(logit)).variance)
    assert variance == pytest.approx(
        math.exp(-abs(logit)) / (1 + math.exp(-abs(logit))) ** 2, rel=1e-5
    )
