"""Bounds of Pyro's own guides and of guides by hand: never above the evidence, by quadrature."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, autoguide
from scipy import integrate
from torch import Tensor
from torch.distributions import constraints

import bayesnas as bn
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.inference.elbo.closed_form import closed_forms
from bayesnas.inference.elbo.sites import split_sites

Y = torch.tensor([0.5, -0.7, 1.0, 0.2])
X = torch.ones(4)


def positive(x, y=None):
    scale = pyro.sample("z", dist.Gamma(2.0, 2.0))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(0.0 * x, scale), obs=y)


def unit(x, y=None):
    p = pyro.sample("z", dist.Beta(2.0, 3.0))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(p * x, 0.5), obs=y)


def simplex(x, y=None):
    p = pyro.sample("z", dist.Dirichlet(torch.tensor([2.0, 3.0])))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(p[0] * x, 0.5), obs=y)


def cholesky(x, y=None):
    factor = pyro.sample("z", dist.LKJCholesky(2, 1.5))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(factor[1, 0] * x, 0.5), obs=y)


def log_lik(mean, scale):
    return float(dist.Normal(mean, scale).log_prob(Y.double()).sum())


def evidence(name):
    """Log of the integral over the one free coordinate, by scipy."""
    density, low, high = {
        "positive": (
            lambda s: dist.Gamma(2.0, 2.0).log_prob(torch.tensor(s)).item() + log_lik(0.0, s),
            0.0, 30.0,
        ),
        "unit": (
            lambda p: dist.Beta(2.0, 3.0).log_prob(torch.tensor(p)).item() + log_lik(p, 0.5),
            0.0, 1.0,
        ),
        # The first weight of a Dirichlet(2, 3) is Beta(2, 3); that of LKJ(1.5) in two dimensions
        # is 2 Beta(1.5, 1.5) - 1.
        "simplex": (
            lambda p: dist.Beta(2.0, 3.0).log_prob(torch.tensor(p)).item() + log_lik(p, 0.5),
            0.0, 1.0,
        ),
        "cholesky": (
            lambda p: dist.Beta(1.5, 1.5).log_prob(torch.tensor(p)).item()
            + log_lik(2 * p - 1, 0.5),
            0.0, 1.0,
        ),
    }[name]  # fmt: skip
    return math.log(integrate.quad(lambda v: math.exp(density(v)), low + 1e-9, high - 1e-9)[0])


MODELS = {"positive": positive, "unit": unit, "simplex": simplex, "cholesky": cholesky}
GUIDES = (
    autoguide.AutoNormal,
    autoguide.AutoDiagonalNormal,
    autoguide.AutoMultivariateNormal,
    autoguide.AutoLowRankMultivariateNormal,
    autoguide.AutoStructured,
)


def made(guide, model):
    if guide is autoguide.AutoLowRankMultivariateNormal:
        return guide(model, rank=1)
    if guide is autoguide.AutoStructured:
        return guide(model, conditionals="normal", dependencies={})
    return guide(model)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.__name__)
def test_no_bound_of_an_autoguide_is_above_the_evidence(name, guide):
    """At whatever parameters: unfitted ones are the harder test, since nothing trained hides it."""
    pair = bn.models.PyroPair(MODELS[name], made(guide, MODELS[name]))
    pair.prepare(X, Y)
    bounds = torch.tensor(
        [bound_terms(pair, X, Y, differentiable=False).bound(1.0).item() for _ in range(200)]
    )
    error = bounds.std().item() / math.sqrt(200)
    # Six standard errors: a false alarm has a probability below 1e-8.
    assert bounds.mean().item() < evidence(name) + 6 * error + 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("elbo", [None, Trace_ELBO()], ids=["ours", "Trace_ELBO"])
@pytest.mark.parametrize("guide", GUIDES[:3], ids=lambda guide: guide.__name__)
def test_a_fitted_bound_is_just_below_the_evidence(guide, elbo):
    pair = bn.models.PyroPair(positive, guide(positive), elbo=elbo)
    post = bn.fit(pair, (X, Y), steps=400, lr=0.04, progress=False)
    metrics = post.evaluate((X, Y), draws=1000)
    exact = evidence("positive")
    assert metrics["elbo"] < exact + 6 * metrics["elbo_error"]
    assert metrics["elbo"] > exact - 0.3
    assert set(post.sample(3)) == {"z"}
    assert set(post.to_arviz(draws=5, data=(X, Y))["posterior"].data_vars) == {"z"}


def traces(model, guide):
    guide_trace = poutine.trace(guide).get_trace(X, Y)
    model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(X, Y)
    return split_sites(guide_trace)[0], split_sites(model_trace)[0]


def chain(first, second):
    """A guide or model of a and b, in the order and with the dependency that is asked for."""

    def program(x, y=None):
        for name in (first, second):
            loc = 0.0
            if name == second:
                loc = 0.5 * values[first]
            values[name] = pyro.sample(name, dist.Normal(torch.as_tensor(loc), 1.3))

    values: dict[str, Tensor] = {}
    return program


def test_the_closed_form_is_left_where_the_guide_draws_a_parent_later():
    same = closed_forms(*traces(chain("a", "b"), chain("a", "b")))
    assert set(same) == {"a", "b"}
    turned = closed_forms(*traces(chain("a", "b"), chain("b", "a")))
    assert set(turned) == {"a"}  # p(b | a) is of an a that the guide drew given b


@pytest.mark.parametrize(
    ("model_fn", "guide_fn"),
    [
        (lambda: dist.Normal(torch.zeros(3), 1.0), lambda: dist.Delta(torch.ones(3), 0.4)),
        (
            lambda: dist.Normal(torch.zeros(3), 1.0).mask(torch.tensor([True, False, True])),
            lambda: dist.Normal(torch.zeros(3), 1.0),
        ),
        (
            lambda: dist.Normal(torch.zeros(3), 1.0).to_event(1),
            lambda: dist.Delta(torch.ones(3), 0.4, event_dim=1),
        ),
    ],
    ids=["Delta with a density", "masked prior", "Delta of a vector"],
)
def test_divergences_that_are_not_of_the_densities_are_not_taken(model_fn, guide_fn):
    def program(fn):
        return lambda x, y=None: pyro.sample("z", fn())

    guide, model = program(guide_fn), program(model_fn)
    assert closed_forms(*traces(model, guide)) == {}
    guide_sites, _model_sites = traces(model, guide)
    by_hand = guide_fn().log_prob(guide_sites["z"]["value"]).sum() - model_fn().log_prob(
        guide_sites["z"]["value"]
    ).sum()  # fmt: skip
    pair = bn.models.PyroPair(model, guide)
    pyro.set_rng_seed(0)
    expected = float(by_hand) if "Delta" in repr(guide_fn()) else None
    kl = bound_terms(pair, X, Y, differentiable=False).kl["z"].item()
    if expected is not None:
        assert kl == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_a_reversed_guide_is_bounded_by_the_evidence():
    """Gaussians throughout: log p(y) of y ~ N(b, 1), b ~ N(a / 2, 1.3²), a ~ N(0, 1.3²)."""

    def model(x, y=None):
        a = pyro.sample("a", dist.Normal(torch.tensor(0.0), 1.3))
        b = pyro.sample("b", dist.Normal(0.5 * a, 1.3))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(b * x, 1.0), obs=y)

    def guide(x, y=None):
        loc = pyro.param("loc", torch.tensor(0.0))
        slope = pyro.param("slope", torch.tensor(0.0))
        scales = pyro.param("scales", torch.ones(2), constraint=constraints.positive)
        b = pyro.sample("b", dist.Normal(loc, scales[0]))
        pyro.sample("a", dist.Normal(slope * b, scales[1]))

    covariance = torch.eye(4, dtype=torch.float64) + (1.3**2 * 1.25)
    exact = dist.MultivariateNormal(torch.zeros(4, dtype=torch.float64), covariance)
    log_evidence = exact.log_prob(Y.double()).item()
    post = bn.fit(bn.models.PyroPair(model, guide), (X, Y), steps=800, lr=0.03, progress=False)
    metrics = post.evaluate((X, Y), draws=2000)
    assert metrics["elbo"] < log_evidence + 6 * metrics["elbo_error"]
    assert metrics["elbo"] > log_evidence - 0.1  # the guide's family holds the posterior
