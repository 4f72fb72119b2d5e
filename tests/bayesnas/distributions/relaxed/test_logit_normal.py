"""LogitNormal against torch's transforms, quadrature and its own draws."""

from __future__ import annotations

import pytest
import torch
from scipy.integrate import quad
from torch.distributions import (
    Normal,
    SigmoidTransform,
    StickBreakingTransform,
    TransformedDistribution,
    kl_divergence,
)

from bayesnas.distributions import GumbelSoftmax, LogitNormal
from bayesnas.distributions.relaxed.simplex_points import log_of, simplex_point

DOUBLE = torch.float64
LOC = torch.tensor([0.5, -1.0, 0.2], dtype=DOUBLE)
SCALE = torch.tensor([0.7, 1.5, 0.4], dtype=DOUBLE)


@pytest.mark.parametrize(
    ("domain", "transform"), [("cube", SigmoidTransform()), ("simplex", StickBreakingTransform())]
)
def test_density_and_map_are_those_of_torchs_transforms(domain, transform):
    ours = LogitNormal(LOC, SCALE, domain=domain)
    theirs = TransformedDistribution(Normal(LOC, SCALE), [transform])
    torch.manual_seed(0)
    x = ours.sample((300,))
    torch.manual_seed(0)
    assert torch.allclose(x, theirs.sample((300,)), atol=1e-12)
    assert ours.log_prob(x).shape == theirs.log_prob(x).shape
    assert torch.allclose(ours.log_prob(x), theirs.log_prob(x), atol=1e-8)
    assert torch.allclose(ours.log_prob(x.clone()), theirs.log_prob(x), atol=1e-8)


@pytest.mark.parametrize("domain", ["cube", "simplex"])
def test_the_density_of_one_coordinate_integrates_to_one(domain):
    distribution = LogitNormal(LOC[:1], SCALE[:1], domain=domain)

    def density(x):
        point = [x] if domain == "cube" else [x, 1 - x]
        return distribution.log_prob(torch.tensor(point, dtype=DOUBLE)).exp().item()

    assert quad(density, 0, 1)[0] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("domain", ["cube", "simplex"])
def test_wide_draws_stay_inside_with_a_finite_density_in_float32(domain):
    torch.manual_seed(1)
    q = LogitNormal(torch.zeros(15), torch.tensor(200.0), domain=domain, validate_args=True)
    draws = q.sample((2000,))
    assert (draws > 0).all()
    assert (draws.amax(-1) <= 1).all()
    if domain == "cube":
        assert (draws < 1).all()
    else:
        assert torch.allclose(draws.sum(-1), torch.ones(2000), atol=1e-5)
    assert q.log_prob(draws).isfinite().all()
    assert q.log_prob(draws.clone()).isfinite().all()


def test_a_narrow_base_gives_a_vertex_or_the_centre():
    narrow = torch.tensor(1e-4)
    centre = LogitNormal(torch.zeros(3), narrow, domain="simplex").sample()
    assert torch.allclose(centre, torch.full((4,), 0.25), atol=1e-3)
    vertex = LogitNormal(torch.tensor([-30.0, 30.0, 0.0]), narrow, domain="simplex").sample()
    assert torch.allclose(vertex, torch.eye(4)[1], atol=1e-6)


@pytest.mark.parametrize("domain", ["cube", "simplex"])
def test_the_kl_equals_a_million_draws(domain):
    torch.manual_seed(2)
    q = LogitNormal(LOC, SCALE, domain=domain)
    p = LogitNormal(torch.zeros(3, dtype=DOUBLE), torch.ones(3, dtype=DOUBLE), domain=domain)
    draws = q.sample((1_000_000,))
    ratio = q.log_prob(draws) - p.log_prob(draws)
    assert ((kl_divergence(q, p) - ratio.mean(0)).abs() < 5.5 * ratio.std(0) / 1000).all()


def test_two_domains_have_no_divergence():
    cube, simplex = (LogitNormal(LOC, SCALE, domain=d) for d in ("cube", "simplex"))
    with pytest.raises(NotImplementedError, match="two domains"):
        kl_divergence(cube, simplex)


@pytest.mark.parametrize("domain", ["cube", "simplex"])
def test_the_mean_equals_that_of_a_million_draws(domain):
    torch.manual_seed(5)
    distribution = LogitNormal(LOC, SCALE, domain=domain)
    draws = distribution.sample((1_000_000,))
    assert ((distribution.mean - draws.mean(0)).abs() < 5.5 * draws.std(0) / 1000).all()


def test_a_gumbel_softmax_scores_its_draws_exactly():
    """Both use ln x, so a draw that rounds to a vertex has a finite, exact density."""
    torch.manual_seed(3)
    distribution = LogitNormal(torch.zeros(3), torch.tensor(60.0), domain="simplex")
    draws = distribution.sample((1000,))
    prior = GumbelSoftmax(0.5, logits=torch.zeros(4))
    exact = GumbelSoftmax(0.5, logits=torch.zeros(4, dtype=DOUBLE))
    expected = exact.log_prob(simplex_point(log_of(draws).double().log_softmax(-1)))
    assert (draws <= torch.finfo(torch.float32).tiny).any()
    assert torch.allclose(prior.log_prob(draws).double(), expected, rtol=1e-5, atol=1e-3)


def test_reparameterised_gradients_match_quadrature():
    """d E σ(μ + σε) / dμ = E σ'(z)."""
    torch.manual_seed(4)
    loc = torch.full((200_000,), 0.5, dtype=DOUBLE, requires_grad=True)
    x = LogitNormal(loc, torch.tensor(0.7, dtype=DOUBLE)).rsample()
    (each,) = torch.autograd.grad(x.sum(), loc)
    normal = Normal(torch.tensor(0.5, dtype=DOUBLE), torch.tensor(0.7, dtype=DOUBLE))

    def integrand(z):
        z = torch.tensor(z, dtype=DOUBLE)
        return (normal.log_prob(z).exp() * z.sigmoid() * (-z).sigmoid()).item()

    expected = quad(integrand, -6, 7)[0]
    assert abs(each.mean().item() - expected) < 5.5 * each.std().item() / 200_000**0.5


def test_expanding_keeps_the_domain():
    wide = LogitNormal(LOC, SCALE, domain="simplex").expand(torch.Size([5]))
    assert wide.sample().shape == (5, 4)
    assert LogitNormal(LOC, SCALE).expand(torch.Size([2, 3])).sample().shape == (2, 3)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"domain must be one of \['cube', 'simplex'\]"):
        LogitNormal(LOC, SCALE, domain="ball")
    with pytest.raises(ValueError, match="loc must be"):
        LogitNormal(torch.tensor(0.0), torch.tensor(1.0), domain="simplex")
    distribution = LogitNormal(LOC, SCALE, domain="simplex", validate_args=True)
    with pytest.raises(ValueError, match="lie in the simplex"):
        distribution.log_prob(torch.full((4,), 0.5))
