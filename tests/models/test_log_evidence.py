"""Evidences that models know exactly, against dense Gaussians, sums and the sampler's own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

import bayesnas as bn
from bayesnas.inference.mcmc.conjugate_regression import Regression


def regression_data(features=3, rows=25):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(rows, features, generator=generator)
    y = 0.7 + x[:, 0] - 0.5 * x[:, 1] + 0.3 * torch.randn(rows, generator=generator)
    return x, y


def dense(design, scales, noise_scale, residual):
    """ln N(r; 0, X S² Xᵀ + σ² I), its covariance formed."""
    scaled = design.double() * torch.as_tensor(scales).double()
    eye = torch.eye(len(residual), dtype=torch.float64)
    covariance = scaled @ scaled.mT + noise_scale**2 * eye
    return MultivariateNormal(0 * residual.double(), covariance).log_prob(residual.double()).item()


def fitted(model, data):
    return bn.fit(model, data, steps=20, batch_size=len(data[0]), progress=False)


def test_of_ard_with_its_learned_hyperparameters():
    x, y = regression_data()
    model = fitted(bn.models.ArdRegression(3), (x, y)).model
    noise = model.likelihood.noise_scale.item()
    centred, residual = x - model.centre, (y - model.offset()).detach()
    expected = dense(centred, model.prior_variance().sqrt(), noise, residual)
    assert model.log_evidence(x, y).item() == pytest.approx(expected, rel=1e-6)


def test_of_spikes_and_slabs_is_the_sum_over_supports():
    x, y = regression_data()
    model = fitted(
        bn.models.SpikeAndSlabRegression(3, inclusion=0.3, slab_scale=0.8, noise_scale=0.4), (x, y)
    ).model
    centred, residual = x - model.centre, (y - model.offset()).detach()
    terms = []
    for support in itertools.product([0.0, 1.0], repeat=3):
        log_prior = sum(np.log(0.3) if on else np.log(0.7) for on in support)
        scales = 0.8 * torch.tensor(support)
        terms.append(log_prior + dense(centred, scales, 0.4, residual))
    expected = np.logaddexp.reduce(terms)
    assert model.log_evidence(x, y).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_of_a_linear_net(bias):
    x, y = regression_data()
    net = bn.nn.mlp([3, 1], bias=bias)
    model = bn.models.GaussianNet(net, prior_scale=1.5, likelihood="gaussian", noise_scale=0.3)
    design = torch.cat([x, torch.ones(25, 1)], 1) if bias else x
    expected = dense(design, 1.5, 0.3, y)
    assert model.log_evidence(x, y).item() == pytest.approx(expected, rel=1e-6)
    assert model.log_evidence(x, y[:, None]).item() == pytest.approx(expected, rel=1e-6)


def test_of_a_linear_net_is_that_of_the_samplers_regression():
    x, y = regression_data()
    linear = torch.nn.Linear(3, 1)
    model = bn.models.GaussianNet(linear, prior_scale=0.6, likelihood="gaussian", noise_scale=0.5)
    sampler = Regression(x.double().numpy(), y.double().numpy(), 4.0, 0.6, 0.6)
    expected = sampler.evidence(np.array([True, True, True]))
    assert model.log_evidence(x, y).item() == pytest.approx(expected, rel=1e-6)


def test_removed_weights_have_no_part_in_it():
    x, y = regression_data()
    model = bn.models.GaussianNet(
        torch.nn.Linear(3, 1, bias=False), likelihood="gaussian", noise_scale=0.5
    )
    model.set_keep_masks({"weight": torch.tensor([[True, False, True]])})
    expected = dense(x[:, [0, 2]], 1.0, 0.5, y)
    assert model.log_evidence(x, y).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        bn.models.GaussianNet(bn.nn.mlp([3, 2, 1]), likelihood="gaussian"),
        bn.models.GaussianNet(bn.nn.mlp([3, 2]), likelihood="gaussian"),
        bn.models.GaussianNet(bn.nn.mlp([3, 1]), likelihood="bernoulli"),
        bn.models.GaussianNet(bn.nn.mlp([3, 1]), likelihood="gaussian", stochastic="none"),
        bn.models.GaussianNet(
            torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Tanh()), likelihood="gaussian"
        ),
        bn.models.ArdRegression(3, hyperparameters="posterior"),
        bn.models.SpikeAndSlabRegression(3, likelihood="bernoulli"),
        bn.models.SpikeAndSlabRegression(17),
    ],
    ids=["deep", "two outputs", "bernoulli", "points", "tanh", "ard", "logistic", "many"],
)
def test_none_where_it_is_not_known(model):
    x, y = regression_data()
    assert model.log_evidence(x, y) is None
