"""TruncatedLogNormal and its KL from LogUniform, against scipy and quadrature."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import kl_divergence

from bayesnas.distributions import LogUniform, TruncatedLogNormal

LOW, HIGH = math.exp(-20.0), 1.0


def pair(loc: float, scale: float) -> tuple[TruncatedLogNormal, LogUniform]:
    ends = [torch.tensor(v, dtype=torch.float64) for v in (loc, scale, LOW, HIGH)]
    return TruncatedLogNormal(*ends), LogUniform(*ends[2:])


def test_the_published_value() -> None:
    assert float(kl_divergence(*pair(-1.0, 0.7))) == pytest.approx(2.124351, abs=5e-7)


# What training visits, and past both ends of the interval.
VISITED = [
    (-1.0, 0.7), (0.0, 0.011), (-3.0, 0.05), (-10.0, 3.0), (-19.5, 0.5), (2.0, 1.0), (5.0, 0.5),
    (-25.0, 1.0), (-10.0, 30.0), (-10.0, 1e3), (8.0, 4.0),
]  # fmt: skip


@pytest.mark.parametrize(("loc", "scale"), VISITED)
def test_kl_and_moments_equal_quadrature(loc: float, scale: float) -> None:
    q, p = pair(loc, scale)
    a, b = (-20.0 - loc) / scale, (0.0 - loc) / scale
    mode = min(max(loc, -20.0), 0.0)
    width = min(scale, scale**2 / max(abs(mode - loc), 1e-9))
    low, high = max(-20.0, mode - 14 * scale - 40 * width), min(0.0, mode + 14 * scale)
    low = max(low, mode - 45 * width) if loc > 0 else low
    high = min(high, mode + 45 * width) if loc < -20 else high

    def log_density(t: float) -> float:  # of t = ln x, not normalised
        return -0.5 * (((t - loc) / scale) ** 2 - ((mode - loc) / scale) ** 2)

    def integral(f) -> float:
        edges = np.linspace(low, high, 41)
        return sum(
            integrate.quad(f, s, e, epsabs=0, epsrel=1e-11)[0] for s, e in itertools.pairwise(edges)
        )

    mass = integral(lambda t: math.exp(log_density(t)))
    cross = integral(lambda t: math.exp(log_density(t)) * log_density(t)) / mass
    expected = cross - math.log(mass) + math.log(20.0)
    assert float(kl_divergence(q, p)) == pytest.approx(expected, abs=1e-7)
    mean = integral(lambda t: math.exp(log_density(t) + t)) / mass
    assert float(q.mean) == pytest.approx(mean, rel=1e-8)
    variance = integral(lambda t: math.exp(log_density(t)) * (math.exp(t) - mean) ** 2) / mass
    assert float(q.variance) == pytest.approx(variance, rel=1e-5)
    assert float(q.log_dispersion) == pytest.approx(math.log(variance / mean**2), abs=1e-5)
    assert a < b


@pytest.mark.parametrize(("loc", "scale"), [(-1.0, 0.7), (0.0, 0.1), (3.0, 1.0), (-22.0, 0.8)])
def test_quantiles_and_density_equal_scipys(loc: float, scale: float) -> None:
    q, _ = pair(loc, scale)
    theirs = stats.truncnorm((-20.0 - loc) / scale, -loc / scale, loc, scale)
    u = torch.linspace(0.001, 0.999, 21, dtype=torch.float64)
    log_x = q.icdf(u).log()
    assert log_x.numpy() == pytest.approx(theirs.ppf(u.numpy()), abs=1e-9)
    density = q.log_prob(log_x.exp()) + log_x
    assert density.numpy() == pytest.approx(theirs.logpdf(log_x.numpy()), abs=1e-8)


def test_quantiles_are_differentiable() -> None:
    u = torch.tensor([0.02, 0.5, 0.97], dtype=torch.float64)
    for loc, scale in [(-1.0, 0.7), (2.0, 1.0), (-22.0, 0.8)]:
        at = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (loc, scale)]

        def log_quantile(loc: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            return TruncatedLogNormal(loc, scale, LOW, HIGH).icdf(u).log()

        assert torch.autograd.gradcheck(log_quantile, at, rtol=1e-5)


EDGES = [
    (50.0, 0.01), (-500.0, 0.3), (1e3, 1.0), (0.0, 1e-4), (-20.0, 1e-4), (-10.0, 1e4), (0.0, 1e6),
]  # fmt: skip


@pytest.mark.parametrize(("loc", "scale"), EDGES)
def test_single_precision_is_finite_at_the_edges(loc: float, scale: float) -> None:
    parameters = [torch.tensor(v, requires_grad=True) for v in (loc, scale)]
    q = TruncatedLogNormal(*parameters, LOW, HIGH)
    kl = kl_divergence(q, LogUniform(LOW, HIGH))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        draws = q.rsample(torch.Size([1000]))
    (kl + draws.log().mean()).backward()
    assert torch.isfinite(kl)
    assert kl.item() >= -1e-6
    assert torch.isfinite(draws).all()
    assert bool((draws >= q.low).all() and (draws <= q.high).all())
    assert torch.isfinite(q.log_prob(draws)).all()
    assert torch.isfinite(torch.stack([q.mean, q.variance, q.log_dispersion])).all()
    for parameter in parameters:
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad)


def test_far_outside_it_is_an_exponential_at_the_end() -> None:
    """Where μ is many σ above: −ln x ~ Exponential(μ/σ²), so KL = ln(20 μ/σ²) − 1."""
    q, p = pair(50.0, 0.01)
    assert float(kl_divergence(q, p)) == pytest.approx(math.log(20 * 50.0 / 1e-4) - 1, abs=1e-6)


def test_a_wide_one_is_the_prior() -> None:
    q, p = pair(-10.0, 1e5)
    assert float(kl_divergence(q, p)) == pytest.approx(0.0, abs=1e-9)


def test_a_prior_that_does_not_cover_it() -> None:
    q = TruncatedLogNormal(-1.0, 0.7, 1e-3, 2.0)
    assert float(kl_divergence(q, LogUniform(1e-3, 1.0))) == math.inf


def test_bad_bounds_are_named() -> None:
    with pytest.raises(ValueError, match="low must be a finite number > 0, got 0.0"):
        TruncatedLogNormal(0.0, 1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="high must be a finite number > low"):
        TruncatedLogNormal(0.0, 1.0, 1.0, 0.5)
    with pytest.raises(ValueError, match="scale"):
        TruncatedLogNormal(0.0, -1.0, 0.1, 1.0, validate_args=True)
