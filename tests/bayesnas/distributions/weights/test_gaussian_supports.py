"""GaussianSupports against enumeration by hand, multivariate normals and its own draws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Laplace, MultivariateNormal, Normal, kl_divergence

from bayesnas.distributions import SpikeAndSlab
from bayesnas.distributions.deferred.deferred import Deferred, DeferredDraw
from bayesnas.distributions.deferred.expected_likelihoods import ExpectedNormal
from bayesnas.distributions.weights.gaussian_supports import GaussianSupports, all_supports

GATE = torch.tensor([0.3, -1.0, -0.5], dtype=torch.float64)
LINEAR = torch.tensor([2.0, 1.0, -0.7], dtype=torch.float64)
PRECISION = torch.tensor([[3.0, 2.0, 0.1], [2.0, 2.5, 0.0], [0.1, 0.0, 1.5]], dtype=torch.float64)


def three() -> GaussianSupports:
    return GaussianSupports(GATE, LINEAR, PRECISION, all_supports(3))


def by_hand() -> list[tuple[float, list[int], Tensor, Tensor]]:
    """(probability, features, mean, covariance) of every support."""
    parts = []
    for on in itertools.chain.from_iterable(itertools.combinations(range(3), k) for k in range(4)):
        block = PRECISION[list(on)][:, list(on)]
        covariance = torch.linalg.inv(block) if on else block.reshape(0, 0)
        mean = covariance @ LINEAR[list(on)]
        log_weight = (
            GATE[list(on)].sum()
            + 0.5 * LINEAR[list(on)] @ mean
            + 0.5 * torch.logdet(2 * math.pi * covariance)
        )
        parts.append((log_weight.exp().item(), list(on), mean, covariance))
    total = sum(weight for weight, *_ in parts)
    return [(weight / total, *rest) for weight, *rest in parts]


def test_moments_equal_those_by_hand() -> None:
    mean, second, inclusion = torch.zeros(3), torch.zeros(3, 3), torch.zeros(3)
    for weight, on, m, c in by_hand():
        full, outer = torch.zeros(3).double(), torch.zeros(3, 3).double()
        full[on] = m
        for a, j in enumerate(on):
            for b, k in enumerate(on):
                outer[j, k] = c[a, b] + m[a] * m[b]
        mean, second = mean + weight * full, second + weight * outer
        inclusion[on] += weight
    q = three()
    covariance = second - mean[:, None] * mean
    assert torch.allclose(q.inclusion, inclusion.double())
    assert torch.allclose(q.mean, mean)
    assert torch.allclose(q.covariance_matrix, covariance)
    assert torch.allclose(q.variance, covariance.diagonal())
    x = torch.tensor([[1.0, -2.0, 0.5], [0.0, 1.0, 1.0]], dtype=torch.float64)
    f_mean, f_variance = q.predictor(x)
    assert torch.allclose(f_mean, x @ mean)
    assert torch.allclose(f_variance, ((x @ covariance) * x).sum(1))
    weights, means, variances = q.predictor_components(x)
    assert torch.allclose(means @ weights, f_mean)
    mixed = (variances + means.square()) @ weights - f_mean.square()
    assert torch.allclose(mixed, f_variance)


def test_log_prob_equals_that_by_hand() -> None:
    value = torch.tensor([0.4, -1.2, 0.8], dtype=torch.float64)
    q = three()
    for weight, on, m, c in by_hand():
        at = torch.zeros(3).double()
        at[on] = value[on]
        expected = math.log(weight)
        if on:
            expected += MultivariateNormal(m, c).log_prob(value[on]).item()
        assert q.log_prob(at).item() == pytest.approx(expected)
    assert q.log_prob(torch.zeros(2, 5, 3)).shape == (2, 5)


def test_draws_have_supports_and_moments() -> None:
    torch.manual_seed(0)
    q = three()
    draws = q.sample(torch.Size([40000]))
    assert torch.allclose((draws != 0).double().mean(0), q.inclusion, atol=0.012)
    assert torch.allclose(draws.mean(0), q.mean, atol=0.02)
    assert torch.allclose(torch.cov(draws.mT), q.covariance_matrix, atol=0.03)


@pytest.mark.parametrize(
    "prior",
    [
        SpikeAndSlab(torch.tensor([0.2, 0.5, 0.9]).double(), 0.3, 1.5),
        SpikeAndSlab(0.5, torch.zeros(3).double(), 1.0),
    ],
)
def test_kl_to_spikes_and_slabs_equals_monte_carlo(prior: SpikeAndSlab) -> None:
    torch.manual_seed(0)
    q, p = three(), prior.to_event(1)
    draws = q.sample(torch.Size([40000]))
    ratio = q.log_prob(draws) - p.log_prob(draws)
    error = 5.5 * ratio.std() / math.sqrt(40000)
    assert abs(kl_divergence(q, p) - ratio.mean()) < error


def test_kl_of_one_support_is_that_of_normals() -> None:
    q = GaussianSupports(torch.zeros(3).double(), LINEAR, PRECISION)
    covariance = torch.linalg.inv(PRECISION)
    plain = MultivariateNormal(covariance @ LINEAR, covariance)
    scale = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    expected = kl_divergence(plain, MultivariateNormal(torch.zeros(3).double(), scale.diag() ** 2))
    prior = Independent(Normal(torch.zeros(3).double(), scale), 1)
    assert torch.allclose(kl_divergence(q, prior), expected)
    known = ExpectedNormal(torch.zeros(3).double(), 0.0, scale**-2).to_event(1)
    assert torch.allclose(kl_divergence(q, known), expected)
    assert torch.allclose(q.log_prob(LINEAR), plain.log_prob(LINEAR))


def test_kl_is_finite_in_float32_at_certain_gates() -> None:
    gate = torch.tensor([-300.0, 0.0, 300.0], requires_grad=True)
    precision = torch.diag(torch.tensor([1e-6, 1.0, 1e8])).double()
    q = GaussianSupports(gate.double(), torch.zeros(3).double(), precision, all_supports(3))
    kl = kl_divergence(q, SpikeAndSlab(0.5, torch.zeros(3), 1.0).to_event(1))
    kl.backward()
    assert torch.isfinite(kl)
    assert gate.grad is not None
    assert torch.isfinite(gate.grad).all()


def test_other_priors_have_no_closed_form() -> None:
    with pytest.raises(NotImplementedError):
        kl_divergence(three(), Independent(Laplace(torch.zeros(3), 1.0), 1))
    with pytest.raises(NotImplementedError):
        kl_divergence(three(), Independent(Normal(torch.zeros(2, 3), 1.0), 2))


def test_a_deferred_draw_knows_its_source_and_is_drawn_once() -> None:
    torch.manual_seed(0)
    deferred = Deferred(three())
    draw = deferred.rsample()
    assert isinstance(draw, DeferredDraw)
    assert draw.source is deferred.source
    assert draw.shape == (3,)
    assert torch.equal(draw + 0, draw + 0)
    assert type(draw + 0) is Tensor
    assert torch.allclose(deferred.log_prob(draw), deferred.source.log_prob(draw.draw()))
    assert torch.equal(deferred.mean, deferred.source.mean)
    prior = SpikeAndSlab(0.5, torch.zeros(3).double(), 1.0).to_event(1)
    assert torch.equal(kl_divergence(deferred, prior), kl_divergence(deferred.source, prior))
    assert deferred.sample(torch.Size([4])).shape == (4, 3)


def test_all_supports_are_all_subsets() -> None:
    rows = {tuple(row) for row in all_supports(4).long().tolist()}
    assert rows == set(itertools.product((0, 1), repeat=4))
    assert np.array_equal(all_supports(3)[0], [False] * 3)
