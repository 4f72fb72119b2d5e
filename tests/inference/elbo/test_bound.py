"""The λ-weighted bound: against Pyro's own ELBOs, scaling, and the handlers."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import TraceMeanField_ELBO
from torch import Tensor

import bayesnas as bn
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream

CPU = torch.device("cpu")


def net_and_data() -> tuple[bn.models.GaussianNet, Tensor, Tensor]:
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    model = bn.models.GaussianNet(bn.nn.mlp([4, 5, 3]), prior_scale=0.4, initial_scale=0.3)
    return model, x, torch.arange(12) % 3


@pytest.mark.parametrize("kl_weight", [0.0, 0.2, 1.0, 7.0])
@pytest.mark.parametrize("data_scale", [1.0, 5.0])
def test_the_bound_equals_pyros_elbo_of_the_weighted_pair(
    kl_weight: float, data_scale: float
) -> None:
    """Same random state, same number, and the same gradients."""
    model, x, y = net_and_data()
    with pyro_session(RandomStream(3, CPU)):
        bound_terms(model, x, y, data_scale=data_scale).bound(kl_weight).neg().backward()
    ours = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    weighted_model = bn.inference.kl_weighted(model.model, kl_weight, data_scale)
    weighted_guide = bn.inference.kl_weighted(model.guide, kl_weight, data_scale)
    with pyro_session(RandomStream(3, CPU)):
        loss = TraceMeanField_ELBO().differentiable_loss(weighted_model, weighted_guide, x, y)
        loss.backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, ours[name], rtol=1e-4, atol=1e-5), name


def test_minibatch_bounds_average_to_the_full_one() -> None:
    """Over a partition of the sample, Σ_b (b/N) · bound_b = bound, at fixed weights."""
    model, x, y = net_and_data()
    with torch.no_grad():
        for name in model.variational:
            if name.endswith("log_scale"):
                model.variational.assign(name, torch.full_like(model.variational[name], -30.0))
        with pyro_session(RandomStream(0, CPU)):
            full = bound_terms(model, x, y).bound(2.0)
            parts = [
                len(xb) / 12 * bound_terms(model, xb, yb, data_scale=12 / len(xb)).bound(2.0)
                for xb, yb in zip(x.split(5), y.split(5), strict=True)
            ]
    assert torch.stack(parts).sum().item() == pytest.approx(full.item(), rel=1e-5)


def test_latents_of_every_example_are_scaled_with_the_data() -> None:
    def model(x: Tensor, y: Tensor | None = None) -> None:
        w = pyro.sample("w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(w, 1.0))
            pyro.sample("y", dist.Normal(z, 1.0), obs=y)

    def guide(x: Tensor, y: Tensor | None = None) -> None:
        pyro.sample("w", dist.Normal(0.0, 2.0))
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(torch.zeros(len(x)), 3.0))

    pair = bn.models.PyroPair(model, guide)
    x = y = torch.zeros(4)
    with torch.no_grad():
        with pyro_session(RandomStream(0, CPU)):
            once = bound_terms(pair, x, y)
        with pyro_session(RandomStream(0, CPU)):
            scaled = bound_terms(pair, x, y, data_scale=10.0)
    assert scaled.local == {"z"}
    assert torch.allclose(scaled.kl["w"], once.kl["w"])
    assert torch.allclose(scaled.kl["z"], 10 * once.kl["z"])
    assert torch.allclose(scaled.log_lik["y"], 10 * once.log_lik["y"])


def test_kl_weighted_takes_zero_where_poutine_scale_does_not() -> None:
    model, x, y = net_and_data()
    with pytest.raises(ValueError, match="scale"):
        poutine.scale(model.guide, scale=0.0)
    with pyro_session(RandomStream(0, CPU)):
        weighted = bn.inference.kl_weighted(model.model, 0.0)
        trace = poutine.trace(weighted).get_trace(x, y)
    trace.compute_log_prob()
    assert trace.nodes["layer1.weight"]["log_prob_sum"] == 0.0
    assert trace.nodes["y"]["log_prob_sum"] != 0.0


def test_the_tempered_optimum_is_the_bound_of_a_larger_sample() -> None:
    """𝓛 at λ = c is c times the ELBO of m/c examples: property of the KL weight."""
    model, x, y = net_and_data()
    with torch.no_grad(), pyro_session(RandomStream(0, CPU)):
        terms = bound_terms(model, x, y)
    with torch.no_grad(), pyro_session(RandomStream(0, CPU)):
        smaller = bound_terms(model, x, y, data_scale=1 / 4.0)
    assert terms.bound(4.0).item() == pytest.approx(4.0 * smaller.bound(1.0).item(), rel=1e-5)


def test_sites_of_model_and_guide_must_match() -> None:
    model, x, y = net_and_data()
    model.guide = lambda x, y=None: None  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="only in the model"), pyro_session(RandomStream(0, CPU)):
        bound_terms(model, x, y)
