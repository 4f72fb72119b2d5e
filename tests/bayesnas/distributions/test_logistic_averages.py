"""Averages of the logistic over Gaussians of any variance, against a plain fine quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special

from bayesnas.distributions import LogitNormal
from bayesnas.distributions.deferred.expected_likelihoods import ExpectedBernoulli
from bayesnas.distributions.logistic_averages import expected_cross_entropy, expected_sigmoid

VARIANCES = [0.0, 1e-6, 1e-2, 0.5, 1.0, 2.0, 2.1024, 2.1026, 3.0, 4.0, 10.0, 1e2, 1e4, 1e6, 1e8]
MEANS = [0.0, 0.4, 1.0, -2.0, 5.0, -12.0, 30.0, 300.0, -1e4]
BOUND = 2e-7


def nodes(mean: float, variance: float) -> tuple[np.ndarray, np.ndarray]:
    """A trapezoidal rule in z, fine in units of z and of f."""
    scale = math.sqrt(variance)
    z = np.arange(-13, 13, min(0.02, 0.5 / max(scale, 1e-9)))
    weights = np.exp(-0.5 * z**2)
    return mean + scale * z, weights / weights.sum()


def double(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


@pytest.mark.parametrize("variance", VARIANCES)
def test_the_average_and_its_derivatives_are_within_the_bound(variance: float) -> None:
    for mean in MEANS:
        f, weights = nodes(mean, variance)
        loc, scale = (v.requires_grad_() for v in double(mean, math.sqrt(variance)))
        for y in (0.0, 1.0):
            average = expected_cross_entropy(loc, scale, torch.tensor(y, dtype=torch.float64))
            exact = weights @ np.logaddexp(0, (1 - 2 * y) * f)
            assert float(average.detach()) == pytest.approx(exact, abs=BOUND, rel=1e-9)
            by_loc, by_scale = torch.autograd.grad(average, [loc, scale])
            assert float(by_loc) == pytest.approx(weights @ special.expit(f) - y, abs=BOUND)
            if variance:  # d/ds = s E σ′(f)
                curvature = weights @ (special.expit(f) * special.expit(-f))
                expected = math.sqrt(variance) * curvature
                assert float(by_scale) == pytest.approx(expected, abs=BOUND)
        share = expected_sigmoid(loc, scale)
        assert float(share.detach()) == pytest.approx(weights @ special.expit(f), abs=BOUND)
        (slope,) = torch.autograd.grad(share, loc)
        curvature = weights @ (special.expit(f) * special.expit(-f))
        assert float(slope) == pytest.approx(curvature, abs=BOUND)


@pytest.mark.parametrize("variance", VARIANCES)
def test_single_precision_loses_its_rounding_and_no_more(variance: float) -> None:
    means = torch.tensor(MEANS)
    q = ExpectedBernoulli(torch.ones(1), means[:, None], torch.full((len(means), 1), variance))
    for y in (0.0, 1.0):
        log_probs = q.log_prob(torch.full((len(means),), y))
        for mean, value in zip(MEANS, log_probs.tolist(), strict=True):
            f, weights = nodes(float(torch.tensor(mean)), float(torch.tensor(variance)))
            exact = -(weights @ np.logaddexp(0, (1 - 2 * y) * f))
            assert value == pytest.approx(exact, rel=2e-6, abs=1e-6)
    shares = [nodes(mean, variance)[1] @ special.expit(nodes(mean, variance)[0]) for mean in MEANS]
    assert q.mean.numpy() == pytest.approx(np.array(shares), abs=2e-6)


def test_a_mixture_is_averaged_over_its_parts() -> None:
    weights = torch.tensor([0.25, 0.75], dtype=torch.float64)
    loc = torch.tensor([[1.0, -40.0], [0.0, 2.0]], dtype=torch.float64)
    variance = torch.tensor([[1e4, 0.3], [1e-6, 9.0]], dtype=torch.float64)
    bernoulli = ExpectedBernoulli(weights, loc, variance)
    y = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)  # two draws of two targets
    log_prob = bernoulli.log_prob(y)
    assert log_prob.shape == (2, 2)
    for draw in range(2):
        for n in range(2):
            exact = 0.0
            for part in range(2):
                f, each = nodes(float(loc[n, part]), float(variance[n, part]))
                sign = 1 - 2 * float(y[draw, n])
                exact -= float(weights[part]) * (each @ np.logaddexp(0, sign * f))
            assert float(log_prob[draw, n]) == pytest.approx(exact, abs=1e-6, rel=1e-9)


@pytest.mark.parametrize("scale", [0.1, 1.4, 3.0, 50.0, 1e4])
def test_the_mean_of_a_logit_normal_of_any_scale(scale: float) -> None:
    loc = torch.tensor([0.3, -2.0], dtype=torch.float64)
    cube = LogitNormal(loc, torch.tensor(scale, dtype=torch.float64)).mean
    simplex = LogitNormal(loc, torch.tensor(scale, dtype=torch.float64), domain="simplex").mean
    parts = []
    for mean in loc.tolist():
        f, weights = nodes(mean, scale**2)
        parts.append(float(weights @ special.expit(f)))
    assert cube.tolist() == pytest.approx(parts, abs=1e-6)
    f, weights = nodes(0.3 - math.log(2), scale**2)
    first = float(weights @ special.expit(f))
    assert simplex.tolist() == pytest.approx(
        [first, (1 - first) * parts[1], (1 - first) * (1 - parts[1])], abs=1e-6
    )
