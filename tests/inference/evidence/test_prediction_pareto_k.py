"""k̂ of predictions, beside weights and predictions written out for a regression."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.distributions import Normal

import bayesnas as bn
from bayesnas.export import pareto_k

ROWS, NOISE, DRAWS = 40, 0.5, 120
SIGNS = torch.tensor([1.0, -1.0])
X = torch.stack([SIGNS.repeat(ROWS // 2), SIGNS.repeat_interleave(ROWS // 2)], 1)  # orthogonal
Y = X @ torch.tensor([1.0, -0.5])


def scale_at(kl_weight):
    """Exact standard deviation of each weight at λ; the posterior has independent weights."""
    return (1 + ROWS / (kl_weight * NOISE**2)) ** -0.5


def fitted(width, kl_weight):
    """A guide with the exact mean whose widths are the exact ones times a number."""
    scale = scale_at(kl_weight)
    mean = X.T @ Y / (kl_weight * NOISE**2) * scale**2

    def model(x, y=None):
        w = pyro.sample("w", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(x @ w, NOISE), obs=y)

    def guide(x, y=None):
        loc = pyro.param("loc", mean)
        pyro.sample("w", dist.Normal(loc, width * scale).to_event(1))

    pair = bn.models.PyroPair(model, guide)
    options = {"steps": 1, "lr": 1e-12, "progress": False}
    return bn.fit(pair, (X, Y), kl_weight=kl_weight, **options), mean


@pytest.mark.parametrize("target", [2.0, 1.0])
def test_it_is_that_of_weights_and_predictions_written_out(target):
    post, mean = fitted(0.4, kl_weight=2.0)
    asked = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, -1.0]])
    k_of_rows = post.pareto_k_of_predictions(asked, (X, Y), draws=DRAWS, kl_weight=target)

    w = post.sample(DRAWS)["w"].double()
    log_prior = Normal(0.0, 1.0).log_prob(w).sum(-1)
    log_lik = Normal(w @ X.double().T, NOISE).log_prob(Y.double()).sum(-1)
    log_q = Normal(mean.double(), 0.4 * scale_at(2.0)).log_prob(w).sum(-1)
    log_r = (log_prior + log_lik / target - log_q).numpy()
    predicted = (w @ asked.double().T).numpy()
    for k, values in zip(k_of_rows.tolist(), predicted.T, strict=True):
        numerator = log_r + np.log(np.abs(values)) if values.any() else log_r
        assert k == pytest.approx(max(pareto_k(log_r), pareto_k(numerator)), abs=0.01)
    of_weights = post.pareto_k((X, Y), draws=DRAWS, kl_weight=target)
    assert k_of_rows[0].item() == pytest.approx(of_weights)  # a constant has the tail of r
    assert (k_of_rows >= of_weights - 1e-9).all()


def test_an_exact_guide_leaves_the_tail_of_the_prediction_alone():
    """Of a normal h with equal weights no moment is missing: k = 0, as k̂ of few draws has it."""
    post, _ = fitted(1.0, kl_weight=2.0)
    k_of_rows = post.pareto_k_of_predictions(torch.zeros(1, 2), (X, Y), draws=DRAWS)
    assert k_of_rows.tolist() == [0.0]
    k = post.pareto_k_of_predictions(torch.ones(1, 2), (X, Y), draws=DRAWS)
    h = post.predict(torch.ones(1, 2), DRAWS).double()[:, 0]
    assert k.item() == pytest.approx(max(0.0, pareto_k(h.abs().log())), abs=1e-9)


def test_latents_of_rows_are_refused():
    x = torch.rand(6, 4)
    vae = bn.models.ArdVae(4, latents=2, hidden=(3,), likelihood="bernoulli")
    post = bn.fit(vae, (x, x), steps=2, progress=False)
    with pytest.raises(ValueError, match="latents of every example"):
        post.pareto_k_of_predictions(x, (x, x))
    net = bn.fit(bn.models.GaussianNet(bn.nn.mlp([4, 2])), (x, torch.arange(6) % 2), steps=2)
    with pytest.raises(ValueError, match="draws must be"):
        net.pareto_k_of_predictions(x, (x, torch.arange(6) % 2), draws=0)
