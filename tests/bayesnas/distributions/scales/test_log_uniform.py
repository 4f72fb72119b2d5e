"""LogUniform against scipy's reciprocal distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import bayesnas as bn
from bayesnas.distributions import LogUniform

BOUNDS = [(0.1, 100.0), (1e-10, 1e-6), (2.0, 2.5), (1e-3, 1e5)]


def test_it_is_one_of_the_outward_names() -> None:
    assert bn.LogUniform is bn.distributions.LogUniform is LogUniform


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_it_equals_scipys(low: float, high: float) -> None:
    bounds = [torch.tensor(bound, dtype=torch.float64) for bound in (low, high)]
    ours, theirs = LogUniform(*bounds), stats.loguniform(low, high)
    u = torch.linspace(0.0, 1.0, 11, dtype=torch.float64)
    x = torch.tensor(theirs.ppf(u.numpy())).clamp(low, high)
    assert torch.allclose(ours.icdf(u), x, rtol=1e-12)
    assert np.allclose(ours.log_prob(x), theirs.logpdf(x.numpy()), rtol=1e-12)
    assert np.allclose(ours.cdf(x), theirs.cdf(x.numpy()), atol=1e-12)
    assert float(ours.mean) == pytest.approx(theirs.mean(), rel=1e-10)
    assert float(ours.variance) == pytest.approx(theirs.var(), rel=1e-7)
    assert float(ours.entropy()) == pytest.approx(theirs.entropy(), rel=1e-10)


def test_draws_follow_the_distribution() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        draws = LogUniform(0.1, 100.0).sample(torch.Size([20_000])).double()
    assert stats.kstest(draws.numpy(), stats.loguniform(0.1, 100.0).cdf).pvalue > 1e-7


def test_single_precision_draws_stay_inside() -> None:
    distribution = LogUniform(1e-10, 1e-6)
    ends = distribution.icdf(torch.tensor([0.0, 1.0]))
    assert torch.isfinite(distribution.log_prob(ends)).all()
    assert torch.isfinite(LogUniform(1e-38, 1e38).icdf(torch.tensor([0.0, 0.5, 1.0]))).all()


def test_draws_are_differentiable_in_the_bounds() -> None:
    low, high = (torch.tensor(b, dtype=torch.float64, requires_grad=True) for b in (0.5, 4.0))

    def quantile(low: Tensor, high: Tensor) -> Tensor:
        return LogUniform(low, high).icdf(torch.tensor(0.3, dtype=torch.float64))

    assert torch.autograd.gradcheck(quantile, (low, high))
    with torch.random.fork_rng(devices=[]):
        assert LogUniform(low, high).rsample(torch.Size([3])).requires_grad


def test_bounds_broadcast_and_expand() -> None:
    distribution = LogUniform(torch.tensor([0.1, 1.0]), 10.0)
    assert distribution.batch_shape == (2,)
    assert distribution.expand([3, 2]).sample().shape == (3, 2)
    assert distribution.sample(torch.Size([5])).shape == (5, 2)


def test_outside_the_support() -> None:
    with pytest.raises(ValueError, match="within the support"):
        LogUniform(1.0, 2.0, validate_args=True).log_prob(torch.tensor(3.0))
    outside = torch.tensor([0.5, 3.0, -1.0])
    unchecked = LogUniform(1.0, 2.0, validate_args=False)
    assert torch.equal(unchecked.log_prob(outside), torch.full((3,), -torch.inf))
    assert torch.equal(unchecked.cdf(outside), torch.tensor([0.0, 1.0, 0.0]))


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (0.0, 1.0, "low must be a finite number > 0, got 0.0"),
        (-1.0, 1.0, "low must be a finite number > 0, got -1.0"),
        (float("nan"), 1.0, "low must be a finite number > 0, got nan"),
        (2.0, 1.0, "high must be a finite number > low = 2.0, got 1.0"),
        (1.0, 1.0, "high must be a finite number > low = 1.0, got 1.0"),
        (1.0, float("inf"), "high must be a finite number > low = 1.0, got inf"),
        (1.0, float("nan"), "high must be a finite number > low = 1.0, got nan"),
    ],
)
def test_bad_bounds_are_named(low: float, high: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LogUniform(low, high)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (1.0, 1.000001), (1000.0, 1000.0005), (0.5, 0.56), (1e-3, 1.0), (1e-30, 1e-3), (1.0, 1e18),
        (1e-38, 1e38), (3e-20, 3.0000003e-20),
    ],
)  # fmt: skip
def test_single_precision_at_the_ends(low: float, high: float) -> None:
    """Against series in the width of ln x, or the textbook formulas in doubles."""
    q = LogUniform(torch.tensor(low), torch.tensor(high))
    low, high = float(q.low), float(q.high)  # as rounded
    ratio = math.log1p((high - low) / low)
    mean = (high - low) / ratio
    if ratio < 0.01:  # ln x is uniform on a short interval
        variance = low * high * (ratio**2 / 12 + ratio**4 * (1 / 360 + 1 / 288))
    else:
        variance = (high - low) * (high + low) / (2 * ratio) - mean**2
    assert float(q.mean) == pytest.approx(mean, rel=1e-6)
    if variance < 3e38:
        assert float(q.variance) == pytest.approx(variance, rel=1e-5, abs=1e-44)
    else:
        assert float(q.variance) == math.inf
    assert float(q.entropy()) == pytest.approx(
        math.log(low) + ratio / 2 + math.log(ratio), abs=2e-5
    )
    middle = q.icdf(torch.tensor(0.5))
    expected = -math.log(float(middle)) - math.log(ratio)
    assert float(q.log_prob(middle)) == pytest.approx(expected, rel=1e-6)
    assert float(q.cdf(q.high)) == 1.0
    assert float(q.cdf(middle)) == pytest.approx(math.log(float(middle) / low) / ratio, rel=1e-4)
