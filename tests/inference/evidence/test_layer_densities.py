"""k̂ by layer, where the posterior of one layer is known and that of another is missed."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch

import bayesnas as bn

ROWS = 40


def pair() -> bn.models.PyroPair:
    """Weights of two equal columns, and of one that is orthogonal to them."""

    def model(x, y=None):
        ridge = pyro.sample("ridge.w", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        alone = pyro.sample("alone.w", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(x[:, :2] @ ridge + x[:, 2] * alone, 0.1), obs=y)

    def guide(x, y=None):
        loc = pyro.param("loc", torch.zeros(2))
        # The widths of both given the other, as mean-field fits have them; exact for the third.
        scale = (1 + ROWS / 0.1**2) ** -0.5
        pyro.sample("ridge.w", dist.Normal(loc, scale).to_event(1))
        pyro.sample("alone.w", dist.Normal(0.0, scale))

    return bn.models.PyroPair(model, guide)


def test_the_layer_that_is_off_is_found() -> None:
    signs = torch.tensor([1.0, -1.0]).repeat(ROWS // 2)
    x = torch.stack([torch.ones(ROWS), torch.ones(ROWS), signs], 1)
    data = (x, torch.zeros(ROWS))
    post = bn.fit(pair(), data, steps=1, lr=1e-12, progress=False)
    ks = [post.pareto_k_by_layer(data, draws=300, seed=seed) for seed in range(6)]
    assert {name for k in ks for name in k} == {"ridge", "alone"}
    # The variances along the ridge are 1 and 1/4,001: exactly k = 1 - 1/4,001. Of 300 draws k̂ is
    # 0.77 ± 0.22, and the mean of six lies 5.3 of its standard errors above 0.3.
    assert sum(k["ridge"] for k in ks) / 6 > 0.3
    assert all(k["alone"] == 0.0 for k in ks)
    assert ks[0] == post.pareto_k_by_layer(data, draws=300)


def test_latents_of_rows_and_points_are_refused() -> None:
    x = torch.rand(6, 4)
    vae = bn.models.ArdVae(4, latents=2, hidden=(3,), likelihood="bernoulli")
    post = bn.fit(vae, (x, x), steps=2, progress=False)
    with pytest.raises(ValueError, match="latents of every example"):
        post.pareto_k_by_layer((x, x))
    net = bn.models.GaussianNet(bn.nn.mlp([4, 2]))
    with pytest.raises(ValueError, match="draws must be"):
        bn.fit(net, (x, torch.arange(6) % 2), steps=2).pareto_k_by_layer(
            (x, torch.arange(6) % 2), draws=0
        )
