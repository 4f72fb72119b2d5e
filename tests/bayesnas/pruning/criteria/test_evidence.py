"""ΔF against evidences that are known exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from bayesnas.pruning.criteria.evidence import evidence_gain

NOISE = 0.7


@pytest.fixture
def regression():
    """x, y, prior deviations, and the exact posterior of y = x w + noise."""
    random = np.random.default_rng(4)
    x = random.normal(size=(25, 4))
    x[:, 3] += 0.6 * x[:, 0]
    y = x @ np.array([1.5, 0.0, 0.05, -0.4]) + NOISE * random.normal(size=25)
    prior = np.array([1.0, 0.5, 2.0, 1.3])
    covariance = np.linalg.inv(x.T @ x / NOISE**2 + np.diag(prior**-2))
    return x, y, prior, covariance @ x.T @ y / NOISE**2, covariance


def log_evidence(x, y, prior):
    """ln N(y; 0, σ² I + x diag(s²) xᵀ), the weights integrated out."""
    covariance = NOISE**2 * np.eye(len(y)) + x * prior**2 @ x.T
    return stats.multivariate_normal(np.zeros(len(y)), covariance).logpdf(y)


@pytest.mark.parametrize("reduced", [0.0, 0.01, 0.2, 0.5])
def test_it_is_the_difference_of_two_exact_evidences(regression, reduced):
    x, y, prior, mean, covariance = regression
    gain = evidence_gain(
        torch.tensor(mean),
        torch.tensor(np.sqrt(np.diag(covariance))),
        torch.tensor(prior),
        reduced,
    )
    for index in range(4):
        sharper = prior.copy()
        sharper[index] = reduced
        expected = log_evidence(x, y, sharper) - log_evidence(x, y, prior)
        assert gain[index].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_it_rises_without_a_weight_that_is_not_there_and_falls_without_one_that_is():
    gain = evidence_gain(torch.tensor([0.01, 2.0]), torch.tensor([0.1, 0.1]), torch.ones(2))
    assert gain[0] > 0 > gain[1]


def test_of_one_weight_by_quadrature():
    """∫ q(w) p̃(w)/p(w) dw is the ratio of the evidences."""
    q, prior, sharper = stats.norm(0.4, 0.3), stats.norm(0, 1.2), stats.norm(0, 0.25)
    ratio, _ = integrate.quad(lambda w: q.pdf(w) * sharper.pdf(w) / prior.pdf(w), -3, 3)
    gain = evidence_gain(torch.tensor(0.4), torch.tensor(0.3), torch.tensor(1.2), 0.25)
    assert gain.item() == pytest.approx(math.log(ratio), rel=1e-6)


def test_a_prior_left_as_it_is_changes_nothing():
    loc, scale = torch.tensor([0.3, -2.0]), torch.tensor([0.1, 0.9])
    gain = evidence_gain(loc, scale, torch.tensor(0.8), 0.8)
    torch.testing.assert_close(gain, torch.zeros(2).double(), rtol=0, atol=1e-6)


def test_a_certain_weight_stays_unless_it_is_zero():
    gain = evidence_gain(torch.tensor([0.0, 0.1]), torch.zeros(2), torch.ones(()))
    assert gain.tolist() == [math.inf, -math.inf]


@pytest.mark.parametrize(
    ("prior", "reduced", "message"),
    [
        (0.0, 0.0, "prior_scale must be > 0"),
        (math.nan, 0.0, "prior_scale must be > 0"),
        (1.0, 1.5, r"reduced_scale must be in \[0, prior_scale\], got 1.5"),
        (1.0, -0.1, r"reduced_scale must be in \[0, prior_scale\], got -0.1"),
        (1.0, math.nan, r"reduced_scale must be in \[0, prior_scale\], got nan"),
    ],
)
def test_bad_scales_are_named(prior, reduced, message):
    with pytest.raises(ValueError, match=message):
        evidence_gain(torch.zeros(2), torch.ones(2), torch.tensor(prior), reduced)
