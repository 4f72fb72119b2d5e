"""Shared weights: values against the network, the posterior against SciPy's quadrature."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch.distributions import Normal, Uniform

from bayesnas.inference.search.growth.weight_agnostic.evaluation import SharedWeights
from bayesnas.inference.search.growth.weight_agnostic.operators import mutate
from bayesnas.inference.search.growth.weight_agnostic.weight_posterior import weight_posterior
from bayesnas.nn import NeuronGraph, NeuronNet

WEIGHTS = (-2.0, -0.5, 1.0)


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 3, generator=generator)
    return x, (x[:, 0] * x[:, 1] > 0).long() + (x[:, 2] > 1).long()


def grown(count, steps=25):
    random, graphs = np.random.default_rng(0), [NeuronGraph(3, 3, [], [(0, 4), (1, 5)])]
    for _ in range(count * steps):
        graphs.append(mutate(graphs[-1], random, (0.3, 0.5, 0.2)))
    return graphs[steps::steps]


def test_outputs_are_those_of_the_network_at_every_weight(rows):
    x, y = rows
    x = x.double()
    shared = SharedWeights(x, y, WEIGHTS)
    for graph in grown(8):
        outputs = shared.outputs(graph)
        for place, weight in enumerate(WEIGHTS):
            net = NeuronNet.of(graph, weight).double()
            expected = net(x).detach()
            assert torch.allclose(outputs[place].T, expected, rtol=1e-9, atol=1e-9)
            nll = torch.nn.functional.cross_entropy(expected, y)
            assert float(shared.log_lik(graph)[place]) == pytest.approx(-float(nll), rel=1e-9)
            share = (expected.argmax(1) == y).double().mean()
            assert float(shared.accuracy(graph)[place]) == pytest.approx(float(share))


def test_what_was_evaluated_before_changes_no_bit(rows):
    graphs = grown(12, steps=3)
    together = SharedWeights(*rows, WEIGHTS)
    for graph in graphs:
        alone = SharedWeights(*rows, WEIGHTS).log_lik(graph)
        assert torch.equal(together.log_lik(graph), alone)
        together.forget()


def test_values_that_no_graph_asks_for_are_forgotten(rows):
    shared = SharedWeights(*rows, WEIGHTS)
    first, second = grown(2)
    shared.log_lik(first)
    shared.forget()
    shared.log_lik(second)
    shared.forget()
    assert 0 < len(shared._values) <= len(second.order)


@pytest.mark.parametrize(
    ("prior", "low", "high", "density"),
    [
        (None, -2.0, 2.0, lambda w: 0.25),
        (Uniform(0.0, 3.0), 0.0, 3.0, lambda w: 1 / 3),
        (
            Normal(0.5, 0.7),
            -5.0,
            6.0,
            lambda w: np.exp(-(((w - 0.5) / 0.7) ** 2) / 2) / 0.7 / np.sqrt(2 * np.pi),
        ),
    ],
)
def test_evidence_and_moments_are_those_of_quadrature(rows, prior, low, high, density):
    x, y = rows
    graph = NeuronGraph(
        3, 3, ["tanh", "gaussian"], [(0, 7), (1, 7), (7, 4), (7, 8), (2, 8), (8, 5), (3, 6)]
    )

    def likelihood(w):
        with torch.no_grad():
            output = NeuronNet.of(graph, w).double()(x.double())
        return float(torch.exp(-torch.nn.functional.cross_entropy(output, y, reduction="sum") + 40))

    posterior = weight_posterior(graph, x, y, prior)
    total, first, second = (
        quad(lambda w, p=power: w**p * likelihood(w) * density(w), low, high, epsrel=1e-8)[0]
        for power in range(3)
    )
    assert posterior.log_evidence == pytest.approx(np.log(total) - 40, abs=1e-5)
    assert posterior.mean == pytest.approx(first / total, abs=1e-4)
    variance = second / total - (first / total) ** 2
    assert posterior.std == pytest.approx(np.sqrt(variance), abs=1e-4)
    grid = np.linspace(max(low, -2), min(high, 3), 401)
    assert likelihood(posterior.best) >= 0.999 * max(likelihood(w) for w in grid)


def test_a_step_is_integrated_over_both_sides():
    # Two rows, the logit 1 where w > 0 and 0 elsewhere: likelihood ¼, and σ(1) (1 − σ(1)).
    graph = NeuronGraph(1, 2, ["step", "absolute"], [(0, 4), (4, 5), (5, 3)])
    x, y = torch.ones(2, 1), torch.tensor([0, 1])
    posterior = weight_posterior(graph, x, y)

    def likelihood(w):
        logit = abs(w * (w > 0)) * w
        probability = 1 / (1 + np.exp(-logit))
        return probability * (1 - probability)

    above = quad(likelihood, 0, 2)[0]
    assert posterior.log_evidence == pytest.approx(np.log((2 * 0.25 + above) / 4), abs=1e-5)


def test_predictions_are_averages_over_the_posterior(rows):
    x, y = rows
    graph = NeuronGraph(3, 3, ["tanh"], [(0, 7), (1, 7), (7, 4), (2, 5), (3, 6)])
    posterior = weight_posterior(graph, x, y)
    rng = np.random.default_rng(0)
    draws = 400
    weights = rng.choice(
        posterior.weight.numpy(), draws, p=(posterior.mass / posterior.mass.sum()).numpy()
    )
    with torch.no_grad():
        each = torch.stack([NeuronNet.of(graph, w)(x).softmax(1) for w in weights])
    error = each.std(0) / draws**0.5
    probabilities = posterior.predict(x)
    assert torch.allclose(probabilities.sum(1), torch.ones(len(x)).double())
    assert bool(((each.mean(0) - probabilities).abs() <= 6 * error + 1e-5).all())


def test_another_prior_is_refused(rows):
    with pytest.raises(TypeError, match="Uniform or a Normal, got Laplace"):
        weight_posterior(NeuronGraph(3, 3), *rows, torch.distributions.Laplace(0.0, 1.0))
