"""Thermodynamic integration, against the exact evidence of linear regressions."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal
from torch.distributions import MultivariateNormal

import bayesnas as bn
from bayesnas.inference.evidence.estimate import path_evidence
from bayesnas.inference.evidence.result import PathPoint
from bayesnas.inference.evidence.thermodynamic import integrated

NOISE = 0.5
LARGEST = 1e4


def correlated_data(rows=60, features=4):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(rows, features, generator=generator)
    x[:, 1] = 0.9 * x[:, 0] + 0.4 * x[:, 1]
    return x, x[:, 0] - x[:, 2] + NOISE * torch.randn(rows, generator=generator)


def regression(x, y=None):
    """w ~ N(0, I), y ~ N(x w, σ²)."""
    weight = pyro.sample("w", dist.Normal(x.new_zeros(x.shape[1]), 1.0).to_event(1))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(x @ weight, NOISE), obs=y)


def exact_evidence(x, y):
    x, y = x.double(), y.double()
    covariance = x @ x.mT + NOISE**2 * torch.eye(len(x), dtype=torch.float64)
    return MultivariateNormal(0 * y, covariance).log_prob(y).item()


def tempered(x, y, power):
    """Mean and precision of the posterior ∝ N(w; 0, I) N(y; x w, σ²)^β."""
    precision = power * x.mT @ x / NOISE**2 + torch.eye(x.shape[1], dtype=x.dtype)
    return torch.linalg.solve(precision, power * x.mT @ y / NOISE**2), precision


def exact_point(x, y, kl_weight):
    """Everything that a guide without error says, in closed form."""
    x, y, power = x.double(), y.double(), 1 / kl_weight
    mean, precision = tempered(x, y, power)
    spread = torch.linalg.inv(precision)
    constant = -0.5 * len(y) * math.log(2 * math.pi * NOISE**2)
    residual = (y - x @ mean).square().sum() + (x @ spread * x).sum()
    slope = (constant - 0.5 * residual / NOISE**2).item()
    divergence = 0.5 * (spread.trace() + mean @ mean - len(mean) + precision.logdet()).item()
    normaliser = power * slope - divergence
    bound = slope - divergence
    return PathPoint(power, slope, 0.0, slope, normaliser, 0.0, normaliser, bound, 0.0, True)


def test_exact_expectations_add_up_to_the_evidence():
    x, y = correlated_data()
    points = [exact_point(x, y, weight) for weight in np.geomspace(LARGEST, 1, 33)]
    evidence = integrated(points)
    exact = exact_evidence(x, y)
    assert points[-1].log_normaliser == pytest.approx(exact, abs=1e-8)  # at λ = 1 they are one
    assert evidence.log_evidence == pytest.approx(exact, abs=0.02)
    assert evidence.error == 0
    assert evidence.lower <= exact + 1e-8 <= evidence.upper
    assert evidence.lower == pytest.approx(exact)  # the bound of an exact guide
    fine = integrated([exact_point(x, y, weight) for weight in np.geomspace(LARGEST, 1, 257)])
    assert fine.log_evidence == pytest.approx(exact, abs=1e-4)
    assert exact < fine.upper < exact + (evidence.upper - exact) / 7  # the sums close in, as 1/n


def test_the_upper_end_is_the_sum_of_the_right_ends_and_the_lower_one_the_bound():
    x, y = correlated_data()
    points = [exact_point(x, y, weight) for weight in np.geomspace(LARGEST, 1, 17)]
    evidence = integrated([dataclasses.replace(point, bound=-1e9) for point in points])
    power = np.array([point.power for point in points])
    slope = np.array([point.expected_log_lik for point in points])
    right = power[0] * slope[0] + sum(np.diff(power) * slope[1:])
    assert evidence.upper == pytest.approx(right)
    assert exact_evidence(x, y) < evidence.upper
    assert evidence.lower == -1e9
    assert np.all(np.diff(slope) > 0)


def guided_pair(loc, factor):
    def guide(x, y=None):
        at = pyro.param("at", loc)
        pyro.sample("w", dist.MultivariateNormal(at, precision_matrix=factor))

    pair = bn.models.PyroPair(regression, guide)
    pair.prepare(*correlated_data())
    return pair


def exact_guide(kl_weight):
    x, y = correlated_data()
    mean, precision = tempered(x.double(), y.double(), 1 / kl_weight)
    return guided_pair(mean.float(), precision.float())


def test_draws_of_exact_guides_give_the_evidence_within_their_error():
    x, y = correlated_data()
    evidence = path_evidence(exact_guide, list(np.geomspace(1, LARGEST, 13)), x, y, 60, 0)
    assert 0 < evidence.error < 0.5
    margin = 0.2
    assert abs(evidence.log_evidence - exact_evidence(x, y)) < 5.5 * evidence.error + margin
    assert evidence.warning == ""
    assert len(evidence.path) == 13


def test_mean_field_expectations_add_up_to_the_bound_and_no_further():
    """d/dβ max_q (β E_q ln p − KL) = E_q ln p: the integrand is the derivative of the bound."""
    x, y = correlated_data()

    def point(kl_weight):
        x_, y_, power = x.double(), y.double(), 1 / kl_weight
        mean, precision = tempered(x_, y_, power)
        variance = 1 / precision.diagonal()
        residual = (y_ - x_ @ mean).square().sum() + (x_.square() @ variance).sum()
        constant = -0.5 * len(y) * math.log(2 * math.pi * NOISE**2)
        slope = (constant - 0.5 * residual / NOISE**2).item()
        divergence = 0.5 * (variance + mean.square() - 1 - variance.log()).sum().item()
        bound = power * slope - divergence
        return PathPoint(
            power, slope, 0.0, slope, bound, 0.0, bound, slope - divergence, 9.0, False
        )

    points = [point(weight) for weight in np.geomspace(LARGEST, 1, 129)]
    evidence = integrated(points)
    assert evidence.log_evidence == pytest.approx(points[-1].bound, abs=1e-3)
    assert points[-1].bound < exact_evidence(x, y) - 0.5
    assert "tends to the evidence lower bound" in evidence.warning


def amortised(autoguide, **options):
    data = correlated_data()
    pair = bn.models.PyroPair(regression, autoguide(regression, init_scale=0.1))
    options = {"steps": 4000, "lr": 0.1, "batch_size": 60, "progress": False} | options
    return bn.fit(pair, data, kl_weight=bn.LogUniform(1, LARGEST), **options), data


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:k̂ is too large:UserWarning")
def test_one_amortised_fit_with_full_covariance_is_within_a_nat():
    post, data = amortised(AutoMultivariateNormal, steps=8000)
    evidence = post.evidence(data, draws=300)
    assert evidence.method == "thermodynamic"
    assert evidence.error < 0.17
    assert abs(evidence.log_evidence - exact_evidence(*data)) < 1.0


def mean_field_guide(kl_weight):
    """The best of independent Gaussians: the exact mean, precisions from the diagonal."""
    x, y = correlated_data()
    mean, precision = tempered(x.double(), y.double(), 1 / kl_weight)
    return guided_pair(mean.float(), precision.diagonal().diag().float())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:k̂ is too large:UserWarning")
def test_importance_weights_take_out_what_a_mean_field_guide_lacks():
    x, y = correlated_data()
    evidence = path_evidence(mean_field_guide, list(np.geomspace(1, LARGEST, 13)), x, y, 400, 0)
    assert evidence.lower < exact_evidence(x, y) < evidence.upper


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:k̂ is too large:UserWarning")
def test_one_amortised_mean_field_fit_brackets_the_evidence():
    post, data = amortised(AutoNormal)
    evidence = post.evidence(data, draws=300)
    bound = post.at(1.0).evidence(data, method="elbo", draws=300)
    assert evidence.lower == pytest.approx(bound.log_evidence, abs=5.5 * 2 * bound.error)
    assert evidence.lower < exact_evidence(*data) < evidence.upper


@pytest.mark.filterwarnings("ignore:k̂ is too large:UserWarning")
def test_a_list_of_kl_weights_is_a_path_too():
    data = correlated_data()
    model = bn.models.ArdRegression(4, noise_scale=NOISE, intercept=False)
    model.log_prior_scale.requires_grad_(False)
    path = [1.0, 10.0, 100.0]
    posts = bn.fit(model, data, kl_weight=[0.5, *path], steps=60, lr=0.05, progress=False)
    evidence = posts.evidence(data, draws=40)
    assert [1 / p.power for p in evidence.path] == pytest.approx(path[::-1])
    exact = posts.at(1.0).evidence(data).log_evidence
    assert evidence.lower - 0.1 < exact < evidence.upper + 5.5 * evidence.error


def test_a_model_that_changes_along_the_path_is_refused():
    data = correlated_data()
    post = bn.fit(
        bn.models.ArdRegression(4),
        data,
        kl_weight=bn.LogUniform(1, 100),
        steps=60,
        lr=0.05,
        progress=False,
    )
    with pytest.raises(ValueError, match=r"one prior and one likelihood along λ.*amortize="):
        post.evidence(data, draws=30)


def test_paths_that_do_not_end_at_one_are_refused():
    data = correlated_data()
    options = {"steps": 2, "progress": False}
    model = bn.models.GaussianNet(bn.nn.mlp([4, 1]), likelihood="gaussian", noise_scale=NOISE)
    post = bn.fit(model, data, kl_weight=bn.LogUniform(0.5, 10), **options)
    for path in ([10.0, 5.0, 2.0], [1.0, 10.0], [0.5, 1.0, 10.0], [], [1.0, -2.0, 3.0]):
        with pytest.raises(ValueError, match="kl_weights must"):
            post.evidence(data, kl_weights=path)
    with pytest.raises(ValueError, match=r"fitted range \[0.5, 10\], got 20"):
        post.evidence(data, kl_weights=[1, 10, 20])
    low = bn.fit(model, data, kl_weight=bn.LogUniform(0.1, 0.9), **options)
    with pytest.raises(ValueError, match=r"1, which must lie in it, got the range"):
        low.evidence(data)
    with pytest.raises(ValueError, match="draws must be a whole number >= 30"):
        post.evidence(data, draws=10)
