"""BinaryConcrete against scipy's logistic, quadrature and its own draws."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from scipy.integrate import quad
from torch.distributions import kl_divergence

from bayesnas.distributions import BinaryConcrete

LOGITS = (-8.0, -2.0, 0.0, 0.3, 6.0)


def concrete(temperature: float, logit: float) -> BinaryConcrete:
    return BinaryConcrete(temperature, logits=torch.tensor(logit, dtype=torch.float64))


@pytest.mark.parametrize("temperature", [0.05, 2 / 3, 3.0])
@pytest.mark.parametrize("logit", LOGITS)
def test_density_moments_and_entropy_equal_scipys_logistic(
    temperature: float, logit: float
) -> None:
    ours = concrete(temperature, logit)
    theirs = scipy.stats.logistic(loc=logit / temperature, scale=1 / temperature)
    y = np.linspace(-30, 30, 41) / temperature
    assert np.allclose(ours.log_prob(torch.tensor(y)), theirs.logpdf(y), atol=1e-10)
    assert ours.mean.item() == pytest.approx(theirs.mean())
    assert ours.variance.item() == pytest.approx(theirs.var())
    assert ours.entropy().item() == pytest.approx(theirs.entropy())
    assert ours.probs.item() == pytest.approx(theirs.sf(0.0))


def test_draws_follow_the_density() -> None:
    torch.manual_seed(0)
    draws = concrete(0.3, -1.0).sample(torch.Size([20000]))
    logistic = scipy.stats.logistic(loc=-1.0 / 0.3, scale=1 / 0.3)
    assert scipy.stats.kstest(draws.numpy(), logistic.cdf).pvalue > 1e-7


@pytest.mark.parametrize("first", LOGITS)
@pytest.mark.parametrize("second", [*LOGITS, 0.300001, 0.55])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_kl_equals_quadrature(temperature: float, first: float, second: float) -> None:
    q, p = concrete(temperature, first), concrete(temperature, second)
    # In units of the logistic's own scale, around the modes of both.
    q_law = scipy.stats.logistic(loc=first)
    p_law = scipy.stats.logistic(loc=second)

    def integrand(t: float) -> float:
        return q_law.pdf(t) * (q_law.logpdf(t) - p_law.logpdf(t))

    expected = quad(integrand, -60, 60, points=[first, second], limit=400, epsabs=1e-11)[0]
    assert kl_divergence(q, p).item() == pytest.approx(expected, abs=1e-8)


def test_kl_is_finite_with_its_gradient_in_float32() -> None:
    logits = torch.tensor([-200.0, -1e-8, 0.0, 1e-6, 0.3, 90.0], requires_grad=True)
    prior = BinaryConcrete(0.1, logits=torch.tensor(0.0))
    kl = kl_divergence(BinaryConcrete(0.1, logits=logits), prior)
    kl.sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert kl[2] == 0
    assert torch.allclose(kl[0], torch.tensor(198.0))


def test_two_temperatures_have_no_closed_form() -> None:
    shared = torch.tensor(0.5)
    one, other = (BinaryConcrete(shared, logits=torch.tensor(v)) for v in (0.0, 1.0))
    assert torch.isfinite(kl_divergence(one, other))
    with pytest.raises(NotImplementedError, match="two temperatures"):
        kl_divergence(one, BinaryConcrete(0.25, logits=torch.tensor(0.0)))


def test_log_density_is_finite_in_float32_where_torchs_is_not() -> None:
    """The reference page's case: −89.69 is true, torch 2.x says −inf."""
    from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli

    value = torch.tensor([-900.0, 0.0, 900.0])
    logits = torch.tensor(0.0)
    ours = BinaryConcrete(0.1, logits=logits).log_prob(value)
    assert torch.isinf(LogitRelaxedBernoulli(torch.tensor(0.1), logits=logits).log_prob(value)[0])
    logistic = scipy.stats.logistic(scale=10.0)
    assert np.allclose(ours, logistic.logpdf(value.numpy()), rtol=1e-6)


def test_draws_and_densities_are_finite_at_low_temperatures() -> None:
    torch.manual_seed(0)
    gate = BinaryConcrete(0.01, logits=torch.linspace(-80, 80, 33))
    draws = gate.rsample(torch.Size([2000]))
    assert torch.isfinite(draws).all()
    assert torch.isfinite(gate.log_prob(draws)).all()


def test_gradients_are_those_of_the_location() -> None:
    """dy/d ln α = 1/τ, dy/dτ = −y/τ."""
    logits = torch.zeros(3, requires_grad=True)
    temperature = torch.tensor(0.25, requires_grad=True)
    draw = BinaryConcrete(temperature, logits=logits).rsample()
    draw.sum().backward()
    assert torch.equal(logits.grad, torch.full((3,), 4.0))
    assert temperature.grad is not None
    assert torch.allclose(temperature.grad, -draw.sum() / 0.25)


def test_expanding_keeps_parameters_and_the_closed_form() -> None:
    gate = BinaryConcrete(0.25, logits=torch.tensor([1.0, 2.0]))
    wide = gate.expand(torch.Size([3, 2]))
    assert wide.batch_shape == (3, 2)
    assert torch.equal(wide.logits[1], gate.logits)
    assert torch.equal(kl_divergence(wide, wide), torch.zeros(3, 2))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_temperatures_are_named(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be a finite number > 0"):
        BinaryConcrete(temperature, logits=torch.tensor(0.0))


def test_a_bad_temperature_in_a_tensor_is_named() -> None:
    with pytest.raises(ValueError, match="temperature"):
        BinaryConcrete(torch.tensor([1.0, -1.0]), logits=torch.zeros(2))
