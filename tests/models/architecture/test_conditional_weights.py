"""p(w | γ) and q(w | γ): the conjugate guide against quadrature and against a regression."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from bayesnas.distributions import GaussianWeights
from bayesnas.models.architecture.conditional_weights import posterior_given, prior_given

FLOOR = 0.1
PRIOR = GaussianWeights(torch.tensor(0.0), torch.tensor(2.0), shape=torch.Size([1]))


def coupled(loc: float, scale: float, share: float) -> GaussianWeights:
    guide = GaussianWeights(torch.tensor([loc]), torch.tensor([scale]))
    return posterior_given(
        guide, PRIOR, torch.tensor(share), coupled=True, is_hard=False, floor=FLOOR
    )


@pytest.mark.parametrize("share", [0.03, 0.4, 1.0])
def test_the_conjugate_guide_is_prior_times_factor(share: float):
    """Mean and standard deviation of p(w | γ) N(γw; μ, σ²), normalised on a grid."""
    w = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
    before = prior_given(PRIOR, torch.tensor(share), is_hard=False, floor=FLOOR)
    log_density = Normal(0.0, before.scale.double()).log_prob(w)
    log_density = log_density + Normal(0.7, 0.05).log_prob(share * w)
    weights = log_density.softmax(0)
    mean = float(weights @ w)
    deviation = float(weights @ (w - mean).square()) ** 0.5
    guide = coupled(0.7, 0.05, share)
    assert float(guide.loc) == pytest.approx(mean, rel=1e-5)
    assert float(guide.scale) == pytest.approx(deviation, rel=1e-5)


def test_a_regression_on_one_operation_has_its_exact_posterior_whatever_its_share():
    """Y = γ w x + ε: one μ and σ, those of the product γw, serve every γ above the floor."""
    x = torch.linspace(-1, 1, 20)
    y = 1.3 * x + 0.4 * torch.randn(20, generator=torch.Generator().manual_seed(0))
    loc, scale = float(x @ y / (x @ x)), 0.4 / float(x @ x) ** 0.5
    for share in (0.15, 0.6, 1.0):
        precision = share**2 * float(x @ x) / 0.4**2 + 1 / (share * 2.0) ** 2
        mean = share * float(x @ y) / 0.4**2 / precision
        guide = coupled(loc, scale, share)
        assert float(guide.loc) == pytest.approx(mean, rel=1e-5)
        assert float(guide.scale) == pytest.approx(precision**-0.5, rel=1e-5)


def test_an_operation_that_is_not_there_costs_nothing():
    share = torch.tensor(0.0)
    before = prior_given(PRIOR, share, is_hard=False, floor=FLOOR)
    assert float(kl_divergence(coupled(0.7, 0.05, 0.0), before)) == pytest.approx(0.0, abs=1e-6)
    apart = GaussianWeights(torch.tensor([0.7]), torch.tensor([0.05]))
    assert float(kl_divergence(apart, before)) > 1.0
