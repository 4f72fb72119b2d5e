"""Guides that draw without a reparameterisation: refused by our bound, fitted by Pyro's."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from torch import Tensor

import bayesnas as bn

DATA = (torch.zeros(4), torch.tensor([0.6, 0.5, 0.7, 0.4]))
Pair = tuple[object, object]


def switched() -> Pair:
    """Bernoulli against Bernoulli: their KL has a closed form, their draws no gradient."""

    def model(x: Tensor, y: Tensor | None = None) -> None:
        z = pyro.sample("z", dist.Bernoulli(0.5))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(z, 1.0), obs=y)

    def guide(x: Tensor, y: Tensor | None = None) -> None:
        pyro.sample("z", dist.Bernoulli(logits=pyro.param("logit", torch.tensor(1.0))))

    return model, guide


def counted() -> Pair:
    """Binomial against Poisson, whose KL has no closed form either."""

    def model(x: Tensor, y: Tensor | None = None) -> None:
        z = pyro.sample("z", dist.Poisson(2.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(z, 1.0), obs=y)

    def guide(x: Tensor, y: Tensor | None = None) -> None:
        pyro.sample("z", dist.Binomial(3, logits=pyro.param("logit", torch.tensor(0.0))))

    return model, guide


@pytest.mark.parametrize("pair", [switched, counted])
def test_our_bound_refuses_a_draw_without_gradient(pair) -> None:
    with pytest.raises(ValueError, match="site 'z' is not reparameterised"):
        bn.fit(bn.models.PyroPair(*pair()), DATA, steps=2, progress=False)


@pytest.mark.slow
def test_a_fit_with_an_elbo_of_pyros_is_evaluated_all_the_same() -> None:
    model, guide = counted()
    pair = bn.models.PyroPair(model, guide, elbo=Trace_ELBO())
    post = bn.fit(pair, DATA, steps=2, lr=1e-6, progress=False)
    metrics = post.evaluate(DATA, draws=4000)
    # Binomial(3, ½) against Poisson(2), by enumeration
    count = torch.arange(4.0)
    q, p = dist.Binomial(3, 0.5), dist.Poisson(2.0)
    weight = q.log_prob(count).exp()
    kl = (weight * (q.log_prob(count) - p.log_prob(count))).sum().item()
    squares = (weight * (DATA[1][:, None] - count).square().sum(0)).sum().item()
    log_lik = -0.5 * squares - 2 * math.log(2 * math.pi)
    assert metrics["kl"] == pytest.approx(kl, abs=0.03)
    assert metrics["expected_log_lik"] == pytest.approx(log_lik, abs=5 * metrics["elbo_error"])
