"""NormalJeffreys and its KL from a Gaussian, against quadrature, Dawson and scipy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, special
from torch.distributions import Normal, kl_divergence

from bayesnas.distributions import NormalJeffreys
from bayesnas.distributions.scales.normal_jeffreys import normal_jeffreys_kl

ONE = torch.ones((), dtype=torch.float64)


def kl_of_log_alpha(log_alpha: torch.Tensor) -> torch.Tensor:
    return normal_jeffreys_kl(torch.ones_like(log_alpha), (0.5 * log_alpha).exp())


def test_the_published_values() -> None:
    kl = kl_of_log_alpha(torch.tensor([-4.0, 0.0, 2.0], dtype=torch.float64))
    assert kl.numpy() == pytest.approx([2.625755, 0.426686, 0.066168], abs=5e-7)


@pytest.mark.parametrize("log_alpha", [-12.0, -9.0, -6.0, -3.95, -3.9, -2.0, 0.0, 3.0, 9.0])
def test_kl_equals_quadrature(log_alpha: float) -> None:
    """E ln|z| over z = 1 + sd ε, with the constant at which the KL of loc = 0 vanishes."""
    sd = math.exp(0.5 * log_alpha)

    def expected_log(loc: float) -> float:
        def integrand(e: float) -> float:
            return math.exp(-0.5 * e * e) / math.sqrt(2 * math.pi) * math.log(abs(loc + sd * e))

        root = -loc / sd
        ends = sorted({-12.0, 12.0, *([root] if abs(root) < 12 else [])})
        pieces = [
            integrate.quad(integrand, a, b, epsabs=1e-11, limit=400)[0]
            for a, b in itertools.pairwise(ends)
        ]
        return sum(pieces)

    expected = expected_log(1.0) - expected_log(0.0)
    kl = kl_of_log_alpha(torch.tensor(log_alpha, dtype=torch.float64))
    assert float(kl) == pytest.approx(expected, abs=1e-8)


def test_its_gradient_is_dawsons_function() -> None:
    u = np.geomspace(1e-10, 1e10, 81)
    loc = torch.tensor(np.sqrt(2 * u), requires_grad=True)
    normal_jeffreys_kl(loc, ONE).sum().backward()
    assert loc.grad is not None
    by_u = loc.grad.numpy() / np.sqrt(2 * u)
    assert by_u == pytest.approx(special.dawsn(np.sqrt(u)) / np.sqrt(u), rel=1e-8)


def test_the_sigmoid_approximation_is_off_by_less_than_a_hundredth() -> None:
    """The yardstick of Molchanov et al. 2017, and how far it is from exact."""
    log_alpha = torch.linspace(-9, 9, 500, dtype=torch.float64)
    k1, k2, k3 = 0.63576, 1.87320, 1.48695
    approximation = (
        k1
        - k1 * torch.sigmoid(k2 + k3 * log_alpha)
        + 0.5 * torch.nn.functional.softplus(-log_alpha)
    )
    difference = (kl_of_log_alpha(log_alpha) - approximation).abs().max()
    assert 0.005 < float(difference) < 0.0095


def test_values_and_gradients_are_finite_in_single_precision() -> None:
    loc = torch.tensor([0.0, 1e-30, 1e-10, 1.0, 1e10, 1e15], requires_grad=True)
    scale = torch.tensor([1.0, 1e10, 1e-3, 1e-15, 1e-10, 1e-15], requires_grad=True)
    kl = normal_jeffreys_kl(loc, scale)
    kl.sum().backward()
    assert torch.isfinite(kl).all()
    assert loc.grad is not None
    assert scale.grad is not None
    assert torch.isfinite(loc.grad).all()
    assert torch.isfinite(scale.grad).all()
    assert kl[0].item() == 0.0


def test_single_precision_agrees_with_double() -> None:
    log_alpha = torch.linspace(-12, 12, 200)
    exact = kl_of_log_alpha(log_alpha.double())
    assert torch.allclose(kl_of_log_alpha(log_alpha).double(), exact, atol=3e-6)


def test_the_registered_kl_is_the_mean_of_the_log_ratio() -> None:
    q, p = Normal(0.7 * ONE, 0.4 * ONE), NormalJeffreys(like=ONE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        draws = q.sample(torch.Size([200_000]))
    ratio = q.log_prob(draws) - p.log_prob(draws)
    error = float(ratio.std()) / math.sqrt(len(ratio))
    assert float(kl_divergence(q, p)) == pytest.approx(float(ratio.mean()), abs=5.5 * error)


def test_draws_are_uniform_in_their_logarithm() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        draws = NormalJeffreys([3]).sample(torch.Size([20_000]))
    assert draws.shape == (20_000, 3)
    assert (draws > 0).float().mean().item() == pytest.approx(
        0.5, abs=5.5 * 0.5 / math.sqrt(60_000)
    )
    logs = draws.abs().log()
    assert logs.mean().item() == pytest.approx(0.0, abs=5.5 * 20 / math.sqrt(12 * 60_000))
    assert logs.std().item() == pytest.approx(20 / math.sqrt(12), rel=0.02)
