"""The density of a belief network by hand, and its draws against exact moments."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special, stats

from bayesnas.distributions import LayeredGraph
from bayesnas.models.nonparametric.belief_network import BeliefNetwork


def test_the_density_of_one_hidden_unit():
    """Two visible units, one of them with a parent: every factor written out."""
    model = BeliefNetwork(
        2, mass=0.7, concentration=1.5, weight_scale=1.2, bias_scale=0.8,
        visible_precision=(2.0, 3.0), hidden_precision=(1.5, 0.5),
    )  # fmt: skip
    graph = LayeredGraph((torch.tensor([[1.0], [0.0]]),), 2)
    network = model.sample_given(graph, 3, np.random.default_rng(0))
    visible, hidden = network.layers
    beta = 1.5
    rate = 0.7 * (1 + beta / (1 + beta))
    structure = np.log(0.7 * beta) - rate + special.betaln(1, 1 + beta) - 0.7
    means = np.column_stack([
        special.expit(hidden.logits[:, 0]) * visible.weights[0, 0] + visible.bias[0],
        np.full(3, visible.bias[1]),
    ])  # fmt: skip
    exact = (
        structure
        + stats.norm.logpdf(visible.weights[0, 0], scale=1.2)
        + stats.norm.logpdf([*visible.bias, *hidden.bias], scale=0.8).sum()
        + stats.gamma.logpdf(visible.precision, 2.0, scale=1 / 3.0).sum()
        + stats.gamma.logpdf(hidden.precision, 1.5, scale=2.0).sum()
        + stats.norm.logpdf(visible.logits, means, visible.precision**-0.5).sum()
        + stats.norm.logpdf(hidden.logits, hidden.bias, hidden.precision**-0.5).sum()
    )
    assert visible.weights[1, 0] == 0
    assert model.log_density(network) == pytest.approx(exact, rel=1e-12)


def test_the_structure_has_the_probability_of_the_cascade():
    """Labelled columns are one of K!/∏K_h! orders of the class that the cascade speaks of."""
    model = BeliefNetwork(3, mass=0.9, concentration=0.6)
    first = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    second = torch.tensor([[1.0], [0.0], [1.0]])
    graph = LayeredGraph((first, second), 3)
    layers = [first.numpy() > 0, second.numpy() > 0, np.zeros((1, 0), dtype=bool)]
    log_prob = sum(model.log_structure(layer) for layer in layers)
    orders = np.log(3)  # 3! / 2! of the first layer, 1 of the second
    assert log_prob == pytest.approx(float(model.cascade.log_prob(graph)) - orders, rel=1e-5)


def test_draws_have_the_moments_of_the_density():
    """E ln p of the parts, closed forms, over draws at one graph."""
    model = BeliefNetwork(2, visible_precision=(3.0, 2.0))
    graph = LayeredGraph((torch.ones(2, 1),), 2)
    rng = np.random.default_rng(0)
    networks = [model.sample_given(graph, 4, rng) for _ in range(4000)]
    weights = np.array([network.layers[0].weights for network in networks])
    precision = np.array([network.layers[0].precision for network in networks])
    errors = np.array([network.layers[0].logits - network.means(0) for network in networks])
    scaled = errors * np.sqrt(precision)[:, None]
    assert weights.var() == pytest.approx(4.0, rel=5.5 * (2 / weights.size) ** 0.5)
    assert precision.mean() == pytest.approx(1.5, rel=0.05)
    assert scaled.mean() == pytest.approx(0.0, abs=0.03)
    assert scaled.var() == pytest.approx(1.0, rel=5.5 * (2 / scaled.size) ** 0.5)
    again = networks[0].with_visible(model.sample_visible(networks[0], rng))
    assert not np.array_equal(again.layers[0].logits, networks[0].layers[0].logits)
    assert again.layers[1] is networks[0].layers[1]


def test_one_seed_gives_one_network():
    model = BeliefNetwork(5)
    torch.manual_seed(1)
    first = model.sample(3, np.random.default_rng(7))
    before = torch.random.get_rng_state()
    second = model.sample(3, np.random.default_rng(7))
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.widths == second.widths
    assert np.array_equal(first.layers[0].logits, second.layers[0].logits)
    assert first.graph.widths == first.widths


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"visible": 0}, "visible must be a whole number >= 1"),
        ({"mass": 0.0}, "mass must be a finite number > 0"),
        ({"concentration": -1.0}, "concentration must be a finite number > 0"),
        ({"weight_scale": 0.0}, "weight_scale must be a finite number > 0"),
        ({"hidden_precision": (1.0,)}, "hidden_precision must be a sequence of 2 numbers"),
        ({"visible_precision": (1.0, 0.0)}, "visible_precision must be a finite number > 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        BeliefNetwork(**{"visible": 4, **arguments})
    graph = LayeredGraph((), 3)
    with pytest.raises(ValueError, match="graph must have 4 visible units, got 3"):
        BeliefNetwork(4).sample_given(graph, 2, np.random.default_rng(0))
