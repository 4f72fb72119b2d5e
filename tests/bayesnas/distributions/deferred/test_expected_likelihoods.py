"""Averaged likelihoods against quadrature by scipy."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch
from scipy.integrate import quad
from scipy.special import expit
from torch.distributions import Gamma, Normal

from bayesnas.distributions.deferred.expected_likelihoods import ExpectedBernoulli, ExpectedNormal


def double(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("variance", [0.0, 0.3, 4.0])
def test_expected_normal_equals_quadrature(variance: float) -> None:
    log_prob = ExpectedNormal(double(0.4), variance, 2.5).log_prob(double(1.3)).item()
    if variance == 0:
        assert log_prob == pytest.approx(Normal(0.4, 2.5**-0.5).log_prob(double(1.3)).item())
        return
    q = scipy.stats.norm(0.4, math.sqrt(variance))
    expected, _ = quad(lambda f: q.pdf(f) * scipy.stats.norm.logpdf(1.3, f, 2.5**-0.5), -20, 20)
    assert log_prob == pytest.approx(expected)


def test_expected_normal_over_a_random_precision() -> None:
    gamma = Gamma(double(3.0), double(2.0))
    log_mean = (gamma.concentration.digamma() - gamma.rate.log()).item()
    expected_normal = ExpectedNormal(double(0.4), 0.3, gamma.mean, double(log_mean))
    prior = scipy.stats.gamma(3.0, scale=0.5)
    expected, _ = quad(
        lambda t: prior.pdf(t) * (0.5 * math.log(t / 2 / math.pi) - 0.5 * t * (0.9**2 + 0.3)),
        0,
        50,
    )
    assert expected_normal.log_prob(double(1.3)).item() == pytest.approx(expected)
    torch.manual_seed(0)
    draws = expected_normal.sample(torch.Size([20000]))
    assert draws.var().item() == pytest.approx(0.3 + 1 / 1.5, rel=0.05)
    assert expected_normal.variance.item() == pytest.approx(0.3 + 1 / 1.5)


@pytest.mark.parametrize("loc", [-6.0, 0.0, 2.0])
@pytest.mark.parametrize("variance", [0.0, 0.05, 1.0, 4.0])
def test_expected_bernoulli_equals_quadrature(loc: float, variance: float) -> None:
    mixture = ExpectedBernoulli(
        double(0.0).new_tensor([0.3, 0.7]),
        double(0.0).new_tensor([[loc, 1.0]]),
        double(0.0).new_tensor([[variance, 0.5]]),
    )

    def average(function) -> float:
        total = 0.0
        for weight, m, v in ((0.3, loc, variance), (0.7, 1.0, 0.5)):
            if v == 0:
                total += weight * function(m)
                continue
            q = scipy.stats.norm(m, math.sqrt(v))
            total += weight * quad(lambda f, q=q: q.pdf(f) * function(f), m - 30, m + 30)[0]
        return total

    assert mixture.mean.item() == pytest.approx(average(expit), abs=1e-5)
    for y, sign in ((1.0, 1), (0.0, -1)):
        expected = average(lambda f, sign=sign: -math.log1p(math.exp(-sign * f)))
        assert mixture.log_prob(torch.tensor([y])).item() == pytest.approx(expected, abs=1e-5)


def test_gradients_are_finite_where_a_variance_is_zero() -> None:
    variance = torch.zeros(1, 1, requires_grad=True)
    bernoulli = ExpectedBernoulli(torch.ones(1), torch.ones(1, 1), variance)
    bernoulli.log_prob(torch.ones(1)).sum().backward()
    assert variance.grad is not None
    assert torch.isfinite(variance.grad).all()
