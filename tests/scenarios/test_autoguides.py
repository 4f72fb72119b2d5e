"""Every guide of pyro.infer.autoguide: its bound lies below the evidence, and close to it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions.transforms import affine_autoregressive
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import (
    AutoDelta,
    AutoDiagonalNormal,
    AutoGaussian,
    AutoGuideList,
    AutoHierarchicalNormalMessenger,
    AutoIAFNormal,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
    AutoNormalizingFlow,
    AutoNormalMessenger,
    AutoRegressiveMessenger,
    AutoStructured,
)
from torch import Tensor

import bayesnas as bn

Y = torch.tensor([0.5, -0.7, 1.0])
COUNTS = torch.tensor([0, 1, 1, 2, 1])


def positive(x: Tensor, y: Tensor | None = None) -> None:
    scale = pyro.sample("z", dist.HalfNormal(1.0))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(0.0 * x, scale), obs=y)


def unit_interval(x: Tensor, y: Tensor | None = None) -> None:
    p = pyro.sample("z", dist.Beta(2.0, 3.0))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Normal(p + 0.0 * x, 1.0), obs=y)


def simplex(x: Tensor, y: Tensor | None = None) -> None:
    p = pyro.sample("z", dist.Dirichlet(torch.tensor([2.0, 2.0, 2.0])))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Categorical(p), obs=y)


def cholesky(x: Tensor, y: Tensor | None = None) -> None:
    root = pyro.sample("z", dist.LKJCholesky(2, 2.0))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.MultivariateNormal(torch.zeros(2), scale_tril=root), obs=y)


PAIRS = torch.tensor([[0.5, 0.4], [-0.7, -1.0], [1.0, 0.3], [0.1, -0.2]])


def by_quadrature(low: float, high: float, log_joint: Callable[[Tensor], Tensor]) -> float:
    grid = torch.linspace(low, high, 200_001, dtype=torch.float64)[1:-1]
    return float(torch.logsumexp(log_joint(grid), 0) + math.log(float(grid[1] - grid[0])))


def evidence_of_positive() -> float:
    return by_quadrature(
        0.0, 8.0,
        lambda s: dist.HalfNormal(1.0).log_prob(s) + dist.Normal(0, s[:, None]).log_prob(Y).sum(-1),
    )  # fmt: skip


def evidence_of_unit_interval() -> float:
    return by_quadrature(
        0.0, 1.0,
        lambda p: dist.Beta(2.0, 3.0).log_prob(p) + dist.Normal(p[:, None], 1).log_prob(Y).sum(-1),
    )  # fmt: skip


def evidence_of_simplex() -> float:
    """Dirichlet–multinomial, in closed form."""
    alpha, counts = torch.full((3,), 2.0), torch.bincount(COUNTS, minlength=3)
    constant = alpha.sum().lgamma() - (alpha.sum() + counts.sum()).lgamma()
    return float(constant + ((alpha + counts).lgamma() - alpha.lgamma()).sum())


def evidence_of_cholesky() -> float:
    """LKJ(2) of a 2 × 2 correlation r has density (1 − r²) · 3/4."""

    def log_joint(r: Tensor) -> Tensor:
        u, v = PAIRS.double().T
        rest = 1 - r[:, None] ** 2
        squares = (u**2 - 2 * r[:, None] * u * v + v**2) / rest
        log_lik = (-0.5 * squares - 0.5 * rest.log() - math.log(2 * math.pi)).sum(-1)
        return (1 - r**2).log() + math.log(0.75) + log_lik

    return by_quadrature(-1.0, 1.0, log_joint)


SUPPORTS: dict[str, tuple[Any, Tensor, Callable[[], float]]] = {
    "positive": (positive, Y, evidence_of_positive),
    "unit interval": (unit_interval, Y, evidence_of_unit_interval),
    "simplex": (simplex, COUNTS, evidence_of_simplex),
    "Cholesky": (cholesky, PAIRS, evidence_of_cholesky),
}


def in_list(model: Any) -> AutoGuideList:
    guide = AutoGuideList(model)
    guide.append(AutoNormal(model))
    return guide


def flow(model: Any) -> AutoNormalizingFlow:
    return AutoNormalizingFlow(model, partial(affine_autoregressive, hidden_dims=[4]))


GUIDES: dict[str, Callable[[Any], Any]] = {
    "AutoNormal": AutoNormal,
    "AutoDiagonalNormal": AutoDiagonalNormal,
    "AutoMultivariateNormal": AutoMultivariateNormal,
    "AutoLowRankMultivariateNormal": partial(AutoLowRankMultivariateNormal, rank=1),
    "AutoStructured": AutoStructured,
    "AutoGuideList": in_list,
    "AutoIAFNormal": AutoIAFNormal,
    "AutoNormalizingFlow": flow,
    "AutoGaussian": AutoGaussian,
    "AutoNormalMessenger": AutoNormalMessenger,
    "AutoHierarchicalNormalMessenger": AutoHierarchicalNormalMessenger,
    "AutoRegressiveMessenger": AutoRegressiveMessenger,
}
FLOWS = ("AutoIAFNormal", "AutoNormalizingFlow")  # of two dims or more, says Pyro
NONE = (
    ("AutoHierarchicalNormalMessenger", "Cholesky"),  # it takes a mean that torch does not have
    ("AutoRegressiveMessenger", "Cholesky"),  # it moves draws of a prior that has no rsample
)
CASES = [
    (guide, support)
    for guide in GUIDES
    for support in SUPPORTS
    if (guide not in FLOWS or support == "simplex") and (guide, support) not in NONE
]


def fitted(guide: Any, support: str, **options: Any) -> tuple[bn.Posterior, dict[str, float]]:
    model, y, _ = SUPPORTS[support]
    data = (torch.ones(len(y)), y)
    pair = bn.models.PyroPair(model, guide(model), **options)
    post = bn.fit(pair, data, steps=300, lr=0.03, schedule="cosine", compile="trace")
    return post, post.evaluate(data, draws=200)


@functools.cache
def fitted_with(guide: str, support: str) -> tuple[bn.Posterior, dict[str, float]]:
    return fitted(GUIDES[guide], support)


@pytest.mark.slow_except(
    "AutoNormal-positive",
    "AutoDiagonalNormal-Cholesky",
    "AutoMultivariateNormal-simplex",
    "AutoStructured-unit interval",
    "AutoHierarchicalNormalMessenger-positive",
)
@pytest.mark.parametrize(("guide", "support"), CASES)
def test_the_bound_is_just_below_the_evidence(guide: str, support: str) -> None:
    """Five standard errors above it at most, half a nat below it at most."""
    _, metrics = fitted_with(guide, support)
    evidence = SUPPORTS[support][2]()
    assert metrics["elbo"] < evidence + 5 * metrics["elbo_error"]
    assert metrics["elbo"] > evidence - 0.5


@pytest.mark.slow_except("positive")
@pytest.mark.parametrize("support", SUPPORTS)
def test_so_it_is_of_a_fit_by_an_elbo_of_pyros(support: str) -> None:
    _, metrics = fitted(AutoNormal, support, elbo=Trace_ELBO())
    evidence = SUPPORTS[support][2]()
    assert evidence - 0.5 < metrics["elbo"] < evidence + 5 * metrics["elbo_error"]


@pytest.mark.slow_except("AutoDelta-unit interval", "AutoLaplaceApproximation-positive")
@pytest.mark.parametrize("support", SUPPORTS)
@pytest.mark.parametrize("guide", [AutoDelta, AutoLaplaceApproximation])
def test_a_point_mass_has_an_infinite_divergence_and_no_weights(guide: Any, support: str) -> None:
    post, metrics = fitted(guide, support)
    assert metrics["kl"] == math.inf
    assert metrics["elbo"] == -math.inf
    assert math.isfinite(metrics["expected_log_lik"])
    data = (torch.ones(len(SUPPORTS[support][1])), SUPPORTS[support][1])
    with pytest.raises(ValueError, match=f"{guide.__name__}.*all mass on one value of"):
        post.pareto_k(data, draws=20)


@pytest.mark.slow_except("AutoNormal-positive", "AutoStructured-unit interval")
@pytest.mark.parametrize("support", SUPPORTS)
@pytest.mark.parametrize("guide", ["AutoNormal", "AutoMultivariateNormal", "AutoStructured"])
def test_only_sites_of_the_model_are_exported(guide: str, support: str) -> None:
    post, _ = fitted_with(guide, support)
    y = SUPPORTS[support][1]
    tree = post.to_arviz(draws=200, data=(torch.ones(len(y)), y))
    assert list(tree["posterior"].data_vars) == ["z"]
    assert list(post.sample(draws=3)) == ["z"]
    assert math.isfinite(post.pareto_k((torch.ones(len(y)), y), draws=400))
    # log q of the unconstrained draw plus the Jacobian: exp(lp − log q) averages to the evidence.
    stats = tree["sample_stats"]
    weights = torch.tensor((stats["lp"] - stats["log_q"]).values).flatten()
    log_evidence = float(torch.logsumexp(weights, 0)) - math.log(len(weights))
    assert log_evidence == pytest.approx(SUPPORTS[support][2](), abs=0.6)


def test_a_reversed_order_of_sites_takes_no_closed_form_that_is_not_one() -> None:
    """p(a) p(b | a) against q(b) q(a | b), both the same Gaussian: the divergence is 0.

    With a's term in closed form the others have a variance of 3/8, here 5.5 standard errors.
    """
    s2 = torch.tensor(2.0).sqrt()

    def model(x: Tensor, y: Tensor | None = None) -> None:
        a = pyro.sample("a", dist.Normal(0.0, 1.0))
        b = pyro.sample("b", dist.Normal(a, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(b + 0.0 * x, 1.0), obs=y)

    def guide(x: Tensor, y: Tensor | None = None) -> None:
        b = pyro.sample("b", dist.Normal(pyro.param("m", torch.tensor(0.0)), s2))
        pyro.sample("a", dist.Normal(b / 2, 1 / s2))

    post = bn.fit(
        bn.models.PyroPair(model, guide), (torch.ones(3), Y), steps=1, lr=1e-9, progress=False
    )
    kl = post.evaluate((torch.ones(3), Y), draws=500)["kl"]
    assert kl == pytest.approx(0.0, abs=5.5 * math.sqrt(0.375 / 500))


@pytest.mark.parametrize("batch_size", [1, 7, 20])
def test_latents_of_rows_need_the_whole_sample(batch_size: int) -> None:
    """An autoguide has a value for every row: full batches are exact, others are refused."""

    def model(x: Tensor, y: Tensor | None = None) -> None:
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Normal(z, 1.0), obs=y)

    y = torch.linspace(-2, 2, 20)
    options: dict[str, Any] = {"steps": 500, "lr": 0.05, "schedule": "cosine"}
    pair = bn.models.PyroPair(model, AutoNormal(model))
    if batch_size < 20:
        with pytest.raises(ValueError, match=r"AutoNormal.*batch_size=20"):
            bn.fit(pair, (y, y), batch_size=batch_size, **options)
        return
    post = bn.fit(pair, (y, y), batch_size=batch_size, **options)
    evidence = float(dist.Normal(0.0, math.sqrt(2)).log_prob(y).sum())
    metrics = post.evaluate((y, y), draws=200)
    assert evidence - 0.5 < metrics["elbo"] < evidence + 5 * metrics["elbo_error"]
    with pytest.raises(ValueError, match="20 rows of the training data"):
        post.evaluate((y[:5], y[:5]))
