"""Every model of the zoo as a Pyro model like any other."""

from __future__ import annotations

import copy

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.contrib.autoname import scope
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.models.base import BayesianModel

X = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
CLASSES = X[:, :3].argmax(1)


def graph() -> bn.nn.Graph:
    edge = {"linear": nn.Linear(4, 3), "tanh": nn.Sequential(nn.Linear(4, 3), nn.Tanh())}
    return bn.nn.Graph({("x", "y"): edge}, example=X[:2])


MODELS = {
    "ard-regression": (lambda: bn.models.ArdRegression(4), X[:, 0]),
    "ard-vae": (lambda: bn.models.ArdVae(4, 2, hidden=(3,), likelihood="gaussian"), X),
    "bayesian-compression": (lambda: bn.models.BayesianCompressionNet(bn.nn.mlp([4, 3])), CLASSES),
    "gaussian-net": (lambda: bn.models.GaussianNet(bn.nn.mlp([4, 3])), CLASSES),
    "indian-buffet-vae": (lambda: bn.models.IndianBuffetVae(4, 2, hidden=(3,)), X),
    "latent-features": (lambda: bn.models.LatentFeatures(4, 2), X),
    "latent-structure-net": (lambda: bn.models.LatentStructureNet(graph()), CLASSES),
    "spike-and-slab-net": (lambda: bn.models.SpikeAndSlabNet(bn.nn.mlp([4, 3])), CLASSES),
    "supermask-net": (lambda: bn.models.SupermaskNet(bn.nn.mlp([4, 3])), CLASSES),
    "spike-and-slab-regression": (lambda: bn.models.SpikeAndSlabRegression(4), X[:, 0]),
}


@pytest.fixture(autouse=True)
def own_store():
    pyro.clear_param_store()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    pyro.clear_param_store()


def made(kind: str) -> tuple[BayesianModel, Tensor]:
    make, y = MODELS[kind]
    model = make()
    x = y if y.ndim == 2 else X
    with bn.runtime.pyro_context.pyro_session(bn.runtime.random_state.RandomStream(0, x.device)):
        model.prepare(x, y)
        model.reset()
    return model, y


def svi(model: object, guide: object) -> SVI:
    return SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())


def values(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def test_the_table_holds_the_zoo() -> None:
    assert set(MODELS) == set(bn.models.available()) - {"pyro-pair"}


@pytest.mark.parametrize("kind", MODELS)
def test_two_of_a_class_train_in_one_program_each_its_own(kind: str) -> None:
    """And a third, a copy of the first: what trains one leaves the others alone."""
    (first, y), (second, _) = made(kind), made(kind)
    third = copy.deepcopy(first)
    for trained, others in ((first, (second, third)), (second, (first,)), (third, (first,))):
        untouched, before = [values(m) for m in others], values(trained)
        assert svi(trained.model, trained.guide).step(X, y) == pytest.approx(0, abs=1e9)
        assert any(not torch.equal(a, b) for a, b in zip(before, values(trained), strict=True))
        for other, old in zip(others, untouched, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(old, values(other), strict=True))


@pytest.mark.parametrize("kind", MODELS)
def test_two_of_a_class_stand_in_one_larger_model(kind: str) -> None:
    """Prefixed by the user: the sites of both, and the sum of their log densities."""
    (first, y), (second, _) = made(kind), made(kind)

    def both(part: str):
        def program(x: Tensor, y: Tensor) -> None:
            for name, model in (("a", first), ("b", second)):
                with scope(prefix=name):
                    getattr(model, part)(x, y)

        return program

    trace = poutine.trace(both("model")).get_trace(X, y)
    names = {n for n, s in trace.nodes.items() if s["type"] == "sample"}
    assert {"a/y", "b/y"} <= names
    assert {n[2:] for n in names if n[0] == "a"} == {n[2:] for n in names if n[0] == "b"}
    before = values(first), values(second)
    assert svi(both("model"), both("guide")).step(X, y) == pytest.approx(0, abs=1e9)
    for model, old in zip((first, second), before, strict=True):
        assert any(not torch.equal(a, b) for a, b in zip(old, values(model), strict=True))


@pytest.mark.parametrize("kind", MODELS)
def test_predictive_draws_from_prior_and_posterior(kind: str) -> None:
    model, y = made(kind)
    for options in ({}, {"guide": model.guide}):
        draws = Predictive(model.model, num_samples=3, return_sites=["y"], **options)(X)
        assert draws["y"].shape[0] == 3
        assert draws["y"].squeeze(1).shape[1:] == y.shape


@pytest.mark.slow
def test_nuts_finds_the_posterior_of_a_linear_gaussian_net() -> None:
    """w ~ N(0, 1), y ~ N(x·w, ½²): the posterior is Gaussian with precision XᵀX / ¼ + I."""
    net = nn.Linear(2, 1, bias=False)
    model = bn.models.GaussianNet(net, likelihood="gaussian", noise_scale=0.5)
    x = X[:, :2]
    y = x @ torch.tensor([1.0, -0.5])
    precision = x.T @ x / 0.25 + torch.eye(2)
    exact = torch.linalg.solve(precision, x.T @ y / 0.25)
    mcmc = MCMC(NUTS(model.model), num_samples=400, warmup_steps=150, disable_progbar=True)
    mcmc.run(x, y)
    draws = mcmc.get_samples()["weight"].squeeze(1)
    spread = precision.inverse().diagonal().sqrt()
    assert bool(((draws.mean(0) - exact).abs() < 0.5 * spread).all())
    assert bool(((draws.std(0) / spread - 1).abs() < 0.35).all())


def test_names_are_stable_after_the_store_is_cleared_and_models_are_moved() -> None:
    (first, y), (second, _) = made("gaussian-net"), made("gaussian-net")
    for model in (first, second):
        model.guide(X, y)
    names = set(pyro.get_param_store().keys())
    assert {name.partition("$$$")[0] for name in names} == {"GaussianNet", "GaussianNet_2"}
    second.load_state_dict(first.state_dict())
    second.to(torch.float32)
    second.guide(X, y)
    assert set(pyro.get_param_store().keys()) == names
    pyro.clear_param_store()
    for model in (second, first):
        model.guide(X, y)
    assert set(pyro.get_param_store().keys()) == names


def test_a_submodule_of_a_pyro_module_is_trained_with_it() -> None:
    inner = bn.models.GaussianNet(bn.nn.mlp([4, 1]), likelihood="gaussian")

    def model(x: Tensor, y: Tensor) -> None:
        shift = pyro.sample("shift", dist.Normal(0.0, 1.0))
        with scope(prefix="net"):
            inner.model(x, y - shift)

    def guide(x: Tensor, y: Tensor) -> None:
        pyro.sample("shift", dist.Normal(pyro.param("loc", torch.tensor(0.0)), 0.1))
        with scope(prefix="net"):
            inner.guide(x, y)

    before = values(inner)
    svi(model, guide).step(X, X[:, 0])
    assert all(not torch.equal(a, b) for a, b in zip(before, values(inner), strict=True))
