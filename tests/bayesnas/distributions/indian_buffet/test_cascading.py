"""The cascading Indian buffet against published figures, enumeration and its own draws."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from bayesnas.distributions import CascadingIndianBuffet, LayeredGraph, left_ordered

DRAWS = 100_000
PARAMETERS = [(1.0, 1.0, 10), (1.0, 0.5, 10), (0.5, 1.0, 6), (1.5, 1.0, 3)]


def test_the_figures_of_the_sources() -> None:
    buffet = CascadingIndianBuffet(1.0, 1.0, 10)
    assert buffet.expected_widths(3).tolist() == pytest.approx(
        [10, 2.9290, 1.6662, 1.1292], abs=5e-5
    )
    assert buffet.absorption(3).tolist() == pytest.approx([0, 0.05345, 0.23437, 0.42504], abs=5e-6)
    assert float(buffet.expected_depth()) == pytest.approx(3.84364, abs=5e-6)


@pytest.mark.parametrize(("mass", "concentration", "width"), PARAMETERS)
def test_widths_of_draws(mass: float, concentration: float, width: int) -> None:
    """Means and absorption within three standard errors at 1e5 draws."""
    buffet = CascadingIndianBuffet(mass, concentration, width)
    widths = buffet.sample_widths(DRAWS)[:, :4].double()
    expected, absorbed = buffet.expected_widths(3), buffet.absorption(3)
    for layer in range(1, 4):
        error = float(widths[:, layer].std()) / math.sqrt(DRAWS)
        assert abs(float(widths[:, layer].mean() - expected[layer])) < 5.5 * error
        chance = float(absorbed[layer])
        error = math.sqrt(chance * (1 - chance) / DRAWS)
        assert abs(float((widths[:, layer] == 0).double().mean()) - chance) < 5.5 * error


@pytest.mark.parametrize(("mass", "concentration", "width"), PARAMETERS)
def test_depths_of_draws(mass: float, concentration: float, width: int) -> None:
    buffet = CascadingIndianBuffet(mass, concentration, width)
    depths = (buffet.sample_widths(DRAWS)[:, 1:] > 0).sum(1).double()
    error = float(depths.std()) / math.sqrt(DRAWS)
    assert abs(float(depths.mean() - buffet.expected_depth())) < 5.5 * error


def test_the_transition_matrix_is_a_poisson_in_every_row() -> None:
    matrix = CascadingIndianBuffet(1.5, 2.0, 4).transition_matrix()
    assert torch.allclose(matrix.sum(1), torch.ones(len(matrix), dtype=torch.float64))
    assert matrix[0, 0] == 1
    rate = 1.5 * (2 / 2 + 2 / 3 + 2 / 4)
    assert matrix[3, :6].tolist() == pytest.approx(stats.poisson.pmf(range(6), rate).tolist())
    assert float(matrix[:5, -1].max()) < 1e-12


@pytest.mark.slow
def test_graphs_are_drawn_with_their_probability() -> None:
    """Of one visible unit: frequencies of the four commonest networks."""
    buffet = CascadingIndianBuffet(0.6, 1.0, 1)
    graphs = [buffet.sample() for _ in range(4000)]
    keys = [tuple(tuple(map(tuple, c.tolist())) for c in g.connections) for g in graphs]
    common = sorted(set(keys), key=keys.count)[-4:]
    for key in common:
        graph = graphs[keys.index(key)]
        chance = float(buffet.log_prob(graph).exp())
        error = math.sqrt(chance * (1 - chance) / len(graphs))
        assert abs(keys.count(key) / len(graphs) - chance) < 5.5 * error
    assert float(buffet.log_prob([]).exp()) == pytest.approx(math.exp(-0.6))


def test_a_graph_has_layers_that_fit() -> None:
    graphs = [CascadingIndianBuffet(1.0, 1.0, 10).sample() for _ in range(20)]
    assert any(graph.depth > 1 for graph in graphs)
    for graph in graphs:
        assert graph.widths[0] == 10
        assert len(graph.widths) == graph.depth + 1
        for below, connections in zip(graph.widths, graph.connections, strict=False):
            assert connections.shape[0] == below
            assert connections.any(0).all()  # every hidden unit has a child
            assert torch.equal(connections, left_ordered(connections))


def test_a_graph_that_is_none_is_refused() -> None:
    buffet = CascadingIndianBuffet(1.0, 1.0, 2)
    with pytest.raises(ValueError, match="must have a child"):
        buffet.log_prob([torch.tensor([[1.0, 0.0], [1.0, 0.0]])])
    with pytest.raises(ValueError, match=r"shape \[..., 2, dishes\], got \[3, 1\]"):
        buffet.log_prob(LayeredGraph((torch.ones(3, 1),), 3))


def test_a_cascade_without_end_is_given_up() -> None:
    buffet = CascadingIndianBuffet(20.0, 5.0, 10)
    with pytest.raises(RuntimeError, match="max_layers=5"):
        buffet.sample(max_layers=5)
    with pytest.raises(RuntimeError, match="max_layers=5"):
        buffet.sample_widths(3, max_layers=5)


@pytest.mark.parametrize("wrong", [0.0, -2.0, math.nan])
def test_bad_parameters_are_named(wrong: float) -> None:
    with pytest.raises(ValueError, match="^mass must be"):
        CascadingIndianBuffet(wrong, 1.0, 3)
    with pytest.raises(ValueError, match="^concentration must be"):
        CascadingIndianBuffet(1.0, wrong, 3)
    with pytest.raises(ValueError, match="^width must be a whole number >= 1"):
        CascadingIndianBuffet(1.0, 1.0, wrong)  # type: ignore[arg-type]
