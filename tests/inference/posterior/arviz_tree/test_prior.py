"""Prior groups of an export, held to moments that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bayesnas as bn

PRIOR, NOISE, DRAWS = 2.0, 0.5, 1500


@pytest.fixture(scope="module")
def tree():
    x = torch.tensor([[1.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
    data = (x, torch.tensor([5.0, 6.0, 7.0]))
    net = bn.nn.mlp([2, 1], bias=False)
    options = {"prior_scale": PRIOR, "likelihood": "gaussian", "noise_scale": NOISE}
    model = bn.models.GaussianNet(net, **options)
    post = bn.fit(model, data, steps=200, lr=0.05, progress=False)
    return post.to_arviz(5, data, prior_draws=DRAWS)


def test_the_prior_is_that_of_the_model_and_not_of_the_data(tree) -> None:
    weight = tree["prior"]["layer1.weight"]
    assert weight.sizes == {"chain": 1, "draw": DRAWS, "layer1.out": 1, "layer1.in": 2}
    # Six standard errors: of a mean of s/√n, of a standard deviation of s/√(2n).
    assert np.abs(weight.mean("draw")).max() < 6 * PRIOR / DRAWS**0.5
    assert np.abs(weight.std("draw") - PRIOR).max() < 6 * PRIOR / (2 * DRAWS) ** 0.5


def test_prior_predictions_have_both_variances(tree) -> None:
    y = tree["prior_predictive"]["y"]
    exact = (PRIOR**2 * np.array([1.0, 9.0, 0.0]) + NOISE**2) ** 0.5
    deviation = y.std("draw").to_numpy()[0]
    assert np.all(np.abs(deviation / exact - 1) < 6 / (2 * DRAWS) ** 0.5)
    assert np.all(np.abs(y.mean("draw").to_numpy()[0]) < 6 * exact / DRAWS**0.5)


def test_what_was_fitted_is_as_without_it(tree) -> None:
    assert tree["posterior"].sizes["draw"] == 5
    assert tree["log_prior"].sizes["draw"] == 5


def test_latents_of_rows_are_drawn_from_their_prior() -> None:
    x = torch.rand(6, 4, generator=torch.Generator().manual_seed(0))
    vae = bn.models.ArdVae(4, latents=2, hidden=(3,), likelihood="bernoulli")
    post = bn.fit(vae, (x, x), steps=3, progress=False)
    tree = post.to_arviz(2, (x, x), latent_draws=1, prior_draws=3)
    assert set(tree["prior"].data_vars) == set(tree["posterior"].data_vars)
    assert set(np.unique(tree["prior_predictive"]["y"])) <= {0.0, 1.0}


def test_without_data_there_are_no_predictions() -> None:
    x = torch.zeros(4, 2)
    post = bn.fit(bn.models.GaussianNet(bn.nn.mlp([2, 2])), (x, torch.arange(4) % 2), steps=2)
    tree = post.to_arviz(2, prior_draws=3, var_names=["layer1.bias"])
    assert list(tree["prior"].data_vars) == ["layer1.bias"]
    assert "prior_predictive" not in tree.children
    assert "prior" not in post.to_arviz(2).children
