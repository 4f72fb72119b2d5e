"""Guides of γ: the contract on every domain, and their draws against the domain and the prior."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import kl_divergence

import bayesnas as bn
from bayesnas.models.architecture.guides import DOMAINS, GUIDES, structure_guide
from bayesnas.models.architecture.latent_structure import LatentStructureNet
from bayesnas.testing import ModelContract

ALL = [(guide, domain) for guide, cls in GUIDES.items() for domain in cls.domains]
LOGITS = torch.tensor([[0.0, -1.5, 1.0], [0.4, 0.2, -0.7]])


def small_graph():
    torch.manual_seed(0)
    hidden = {"linear": nn.Linear(3, 4), "tanh": nn.Sequential(nn.Linear(3, 4), nn.Tanh())}
    return bn.nn.Graph({("x", "h"): hidden, ("h", "y"): nn.Linear(4, 2)}, example=torch.zeros(1, 3))


class DomainContract(ModelContract):
    """Small and short: one for each domain, and for the point mass."""

    steps = 4
    kl_draws = 100
    options: dict

    def make_model(self):
        return LatentStructureNet(small_graph(), cost="parameters", cost_scale=10.0, **self.options)

    def make_data(self):
        x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
        return x, (x[:, 0] > 0).long()


class TestSimplexVerticesContract(DomainContract):
    options = {"domain": "simplex-vertices"}  # noqa: RUF012


class TestCubeContract(DomainContract):
    """Hard concrete has an atom at 0, where the prior of the weights is at its floor."""

    options = {"guide": "hard-concrete"}  # noqa: RUF012


@pytest.mark.slow
class TestCubeVerticesContract(DomainContract):
    options = {  # noqa: RUF012
        "guide": "binary-concrete",
        "domain": "cube-vertices",
        "sample": "example",
    }


@pytest.mark.slow
class TestPointMassContract(DomainContract):
    options = {"guide": "point-mass"}  # noqa: RUF012


@pytest.mark.slow
class TestEveryExampleContract(DomainContract):
    """One γ an example inside the simplex, weights independent of it."""

    options = {"sample": "example", "temperature": (1.0, 0.5)}  # noqa: RUF012


PENALISED = ("point-mass", "penalised-gumbel-softmax")


def guide_and_prior(guide, domain, temperature=0.5):
    """Guide at parameters that are not those of its start, and prior."""
    family = structure_guide(guide, domain)
    tau = torch.tensor(temperature)
    start = family.start(*LOGITS.shape)
    torch.manual_seed(0)
    values = {name: value + torch.randn(value.shape) for name, value in start.items()}
    return family.posterior(values.__getitem__, tau), family.prior(LOGITS, tau)


@pytest.mark.parametrize(("guide", "domain"), ALL)
def test_draws_lie_in_their_domain(guide, domain):
    q, p = guide_and_prior(guide, domain)
    torch.manual_seed(1)
    for distribution in (q, p):
        if guide in PENALISED and distribution is p:  # no distribution
            continue
        draws = distribution.sample((500,))
        assert draws.shape == (500, 2, 3)
        assert ((draws >= 0) & (draws <= 1)).all()
        if domain.startswith("simplex"):
            assert torch.allclose(draws.sum(-1), torch.ones(()), atol=1e-5)
        if domain.endswith("vertices"):
            assert ((draws == 0) | (draws == 1)).all()


@pytest.mark.parametrize(("guide", "domain"), ALL)
def test_the_mean_is_the_share_of_draws_in_which_an_operation_wins(guide, domain):
    """P(arg max = k), P(γ > ½), P(γ > 0) for a hard concrete; E γ of the others."""
    q, _ = guide_and_prior(guide, domain)
    torch.manual_seed(2)
    draws = q.sample((20_000,))
    if guide.endswith("gumbel-softmax"):
        won = (draws == draws.amax(-1, keepdim=True)).float()
    elif guide == "binary-concrete":
        won = (draws > 0.5).float()
    elif guide == "hard-concrete":
        won = (draws > 0).float()
    else:
        won = draws
    error = won.std(0) / 20_000**0.5
    assert ((won.mean(0) - q.mean).abs() < 5.5 * error + 1e-5).all()


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_prior_of_a_vertex_is_that_of_its_cost(domain):
    """p(Γ) ∝ exp(−⟨γ, n⟩/c), which inside the domain holds of the operations that win."""
    guide = "binary-concrete" if domain.startswith("cube") else "gumbel-softmax"
    _, p = guide_and_prior(guide, domain)
    torch.manual_seed(3)
    draws = p.sample((20_000,))
    if domain.startswith("cube"):
        shares, expected = (draws > 0.5).float().mean(0), LOGITS.sigmoid()
    else:
        shares = (draws == draws.amax(-1, keepdim=True)).float().mean(0)
        expected = LOGITS.softmax(-1)
    assert torch.allclose(shares, expected, atol=5.5 * 0.5 / 20_000**0.5)


@pytest.mark.parametrize(("guide", "domain"), ALL)
def test_divergences_are_those_of_draws(guide, domain):
    if guide in PENALISED:
        pytest.skip("it has a penalty")
    q, p = guide_and_prior(guide, domain)
    torch.manual_seed(4)
    draws = q.sample((20_000,))
    ratio = (q.log_prob(draws) - p.log_prob(draws)).double()
    assert ratio.isfinite().all()
    try:
        exact = float(kl_divergence(q, p).sum())
    except NotImplementedError:
        assert guide in ("logit-normal", "dirichlet")
        return
    assert abs(float(ratio.mean()) - exact) < 5.5 * float(ratio.std()) / 20_000**0.5


@pytest.mark.parametrize(("guide", "domain"), ALL)
def test_gradients_reach_every_parameter(guide, domain):
    family = structure_guide(guide, domain)
    values = {name: v.requires_grad_() for name, v in family.start(*LOGITS.shape).items()}
    torch.manual_seed(5)
    draw = family.posterior(values.__getitem__, torch.tensor(0.5)).rsample((50,))
    (draw * torch.tensor([0.0, 1.0, 3.0])).sum().backward()
    for value in values.values():
        assert value.grad.isfinite().all()
        assert (value.grad != 0).any()


def test_low_temperatures_are_finite():
    for guide, domain in ALL:
        q, p = guide_and_prior(guide, domain, temperature=0.05)
        draws = q.sample((2000,))
        assert q.log_prob(draws).isfinite().all(), (guide, domain)
        assert p.log_prob(draws).isfinite().all(), (guide, domain)


def test_the_penalty_of_a_gumbel_softmax_is_that_of_its_probabilities():
    """⟨softmax α, n⟩/c whatever is drawn, as in DARTS-CC."""
    q, p = guide_and_prior("penalised-gumbel-softmax", "simplex")
    expected = -float((q.base_dist.logits.softmax(-1) * LOGITS).sum())
    assert float(kl_divergence(q, p)) == pytest.approx(expected, rel=1e-6)
    assert q.sample().max() < 1.0


def test_the_penalty_of_the_point_mass_is_linear():
    for domain in ("simplex", "cube"):
        q, p = guide_and_prior("point-mass", domain)
        expected = float((q.mean * LOGITS).sum())
        assert float(p.log_prob(q.sample())) == pytest.approx(expected, rel=1e-6)
        torch.manual_seed(6)
        vertices = p.sample((4000,)).mean(0)  # where a model without data is drawn from
        exact = LOGITS.softmax(-1) if domain == "simplex" else LOGITS.sigmoid()
        assert np.allclose(vertices, exact, atol=5.5 * 0.5 / 4000**0.5)


def test_unknown_guides_and_domains_are_named():
    with pytest.raises(ValueError, match=r"guide must be one of \['gumbel-softmax', "):
        structure_guide("normal", None)
    with pytest.raises(ValueError, match=r"domain must be one of \['simplex'\] for guide='diric"):
        structure_guide("dirichlet", "cube")
