"""Random architectures: every choice alike, or of a size that was asked for."""

from __future__ import annotations

import collections

import pytest
import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.nn.graphs.random_architectures import architecture_sizes, random_architecture


def mixed() -> bn.nn.Graph:
    curved = nn.Sequential(nn.Linear(2, 8), nn.Tanh())
    options = {"line": nn.Linear(2, 8, bias=False), "curve": curved, "nothing": Nothing()}
    return bn.nn.Graph(
        {("x", "h"): options, ("h", "y"): nn.Linear(8, 2)}, example=torch.zeros(1, 2)
    )


class Nothing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x), 8)


def test_random_architectures_take_every_operation_alike():
    graph = mixed()
    names = [random_architecture(graph, seed).names["x", "h"][0] for seed in range(300)]
    counts = collections.Counter(names)
    assert set(counts) == {"line", "curve", "nothing"}
    # Standard deviations of a binomial of 300 at 1/3.
    assert all(abs(count - 100) < 5.5 * (300 * 2 / 9) ** 0.5 for count in counts.values())
    again = random_architecture(graph, 7).names["x", "h"]
    assert random_architecture(graph, 7).names["x", "h"] == again


@pytest.mark.slow_except("25.0")
@pytest.mark.parametrize("wanted", [25.0, 29.0])
def test_random_architectures_of_a_size_have_it_in_the_mean(wanted: float):
    """And of two operations that cost the same neither is likelier, whatever the size."""
    edges = {
        ("x", "h"): {
            "one": nn.Linear(2, 8, bias=False),
            "other": nn.Linear(2, 8, bias=False),
            "large": nn.Linear(2, 8),
        },
        ("h", "y"): nn.Sequential(nn.Flatten(), nn.Linear(8, 1, bias=False)),
    }
    graph = bn.nn.Graph(edges, example=torch.zeros(1, 2))
    names = [random_architecture(graph, seed, wanted).names["x", "h"][0] for seed in range(400)]
    counts = collections.Counter(names)
    large = (wanted - 24) / 8  # 24 parameters with the small ones, 32 with the large one
    for name, share in {"large": large, "one": (1 - large) / 2, "other": (1 - large) / 2}.items():
        assert abs(counts[name] - 400 * share) < 5.5 * (400 * share * (1 - share)) ** 0.5, name


def test_sizes_of_the_smallest_and_the_largest():
    assert architecture_sizes(mixed()) == (18, 42)


def test_a_size_that_no_random_architecture_has_is_an_error():
    for parameters in (18.0, 42.0, float("nan")):  # all "nothing", all "curve"
        with pytest.raises(ValueError, match="parameters must lie between 18 and 42, got"):
            random_architecture(mixed(), 0, parameters)


def test_dead_edges_are_left_out():
    """Of cells whose operations are mostly "none", parts that lead nowhere."""
    graph = bn.nn.cells(
        ["reduction"], channels=2, nodes=1, image=8, operations=["none", "max_pool_3x3"]
    )
    sizes = {random_architecture(graph, seed).parameter_count for seed in range(12)}
    assert len(sizes) > 1
    assert max(sizes) == architecture_sizes(graph)[0]
