"""The horseshoe and the log-normal KLs of its decomposition, against scipy and quadrature."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch.distributions import Gamma, InverseGamma, LogNormal, kl_divergence

from bayesnas.distributions import Horseshoe
from bayesnas.distributions.scales.horseshoe import log_scaled_e1


def test_the_published_values() -> None:
    density = Horseshoe(1.0).log_prob(torch.tensor([0.05, 2.0], dtype=torch.float64)).exp()
    assert density.numpy() == pytest.approx([0.776691, 0.0458841], abs=5e-7)


def test_scaled_e1_equals_scipys() -> None:
    x = np.geomspace(1e-300, 600, 400)
    ours = log_scaled_e1(torch.tensor(np.log(x))).numpy()
    assert ours == pytest.approx(np.log(special.exp1(x)) + x, abs=1e-12)


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_it_is_the_marginal_of_a_gaussian_with_a_half_cauchy_scale(scale: float) -> None:
    for w in (1e-3, 0.3, 2.0, 50.0):

        def joint(log_z: float, w: float = w) -> float:
            z = math.exp(log_z)
            return stats.norm.pdf(w, scale=z) * stats.halfcauchy.pdf(z, scale=scale) * z

        exact = sum(
            integrate.quad(joint, a, a + 2, epsabs=0, epsrel=1e-10)[0] for a in range(-20, 24, 2)
        )
        density = Horseshoe(scale).log_prob(torch.tensor(-w, dtype=torch.float64)).exp()
        assert float(density) == pytest.approx(exact, rel=1e-6)


def test_it_is_finite_for_tiny_and_huge_values_in_single_precision() -> None:
    value = torch.tensor([1e-38, 1e-20, 1e-3, 1.0, 1e10, 1e38], requires_grad=True)
    for scale in (1e-10, 1.0, 1e10):
        value.grad = None
        log_prob = Horseshoe(scale).log_prob(value)
        log_prob.sum().backward()
        assert torch.isfinite(log_prob).all()
        assert value.grad is not None
        assert torch.isfinite(value.grad).all()
        exact = Horseshoe(torch.tensor(scale).double()).log_prob(value.detach().double())
        assert torch.allclose(log_prob.detach().double(), exact, rtol=1e-5, atol=1e-5)
    assert Horseshoe(1.0).log_prob(torch.tensor(0.0)) == math.inf


def test_draws_follow_the_density() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        draws = Horseshoe(0.5).sample(torch.Size([20_000])).double()
    edges = torch.tensor([0.01, 0.1, 0.5, 2.0, 10.0], dtype=torch.float64)
    for low, high in itertools.pairwise(edges):
        grid = torch.linspace(float(low), float(high), 4001, dtype=torch.float64)
        density = Horseshoe(0.5).log_prob(grid).exp()
        exact = 2 * float(torch.trapezoid(density, grid))
        share = ((draws.abs() > low) & (draws.abs() < high)).double().mean().item()
        assert share == pytest.approx(exact, abs=5.5 * math.sqrt(exact / len(draws)))
    assert Horseshoe(torch.ones(3)).expand([2, 3]).rsample(torch.Size([4])).shape == (4, 2, 3)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_bad_scales_are_named(scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be a finite number > 0"):
        Horseshoe(scale)


def test_published_kls_of_the_decomposition() -> None:
    q = LogNormal(torch.tensor(0.3, dtype=torch.float64), 0.6)
    half = torch.tensor(0.5, dtype=torch.float64)
    assert float(kl_divergence(q, Gamma(half, 1 / 0.49))) == pytest.approx(2.455688, abs=5e-7)
    kl = kl_divergence(q, InverseGamma(half, torch.ones_like(half)))
    assert float(kl) == pytest.approx(0.701172, abs=5e-7)


@pytest.mark.parametrize("loc", [-24.0, -3.0, 0.0, 2.0, 12.0])
@pytest.mark.parametrize("scale", [0.01, 0.3, 1.5])
def test_kls_equal_quadrature(loc: float, scale: float) -> None:
    """Over t = ln x: E_q[ln q − ln p], p at the scales of the horseshoe's parts."""
    t = torch.linspace(loc - 12 * scale, loc + 12 * scale, 40_001, dtype=torch.float64)
    q = LogNormal(torch.tensor(loc, dtype=torch.float64), torch.tensor(scale).double())
    half, one = torch.tensor(0.5).double(), torch.tensor(1.0).double()
    density = (q.log_prob(t.exp()) + t).exp()
    for p in (Gamma(half, one), Gamma(half, 1e4 * one), InverseGamma(half, one)):
        if isinstance(p, InverseGamma):  # torch's own log density overflows at tiny x
            log_p = -1.5 * t - (-t).exp() - torch.lgamma(half)
        else:
            log_p = 0.5 * p.rate.log() - 0.5 * t - p.rate * t.exp() - torch.lgamma(half)
        expected = torch.trapezoid(density * (q.log_prob(t.exp()) - log_p), t)
        kl = kl_divergence(q, p)
        assert float(kl) == pytest.approx(float(expected), rel=1e-8, abs=1e-7)


def test_kl_at_a_tiny_global_scale_is_finite_in_single_precision() -> None:
    tau = 1e-10
    q = LogNormal(torch.tensor(2 * math.log(tau)), torch.tensor(0.1))
    kl = kl_divergence(q, Gamma(torch.tensor(0.5), torch.tensor(1 / tau**2)))
    exact = kl_divergence(
        LogNormal(q.loc.double(), q.scale.double()),
        Gamma(torch.tensor(0.5).double(), torch.tensor(1 / tau**2).double()),
    )
    assert float(kl) == pytest.approx(float(exact), rel=1e-5)
