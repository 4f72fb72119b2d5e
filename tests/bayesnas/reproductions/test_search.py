"""The tabulated space, and the searches that are judged on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bayesnas.inference.search import architecture
from bayesnas.reproductions.search.tabulated_space import (
    FILE,
    digits_graph,
    make_table,
    tabulated,
)


def test_the_table_is_of_the_graph_that_it_says():
    table, graph = tabulated(), digits_graph()
    assert table.space == type(table.space).of_graph(graph)
    assert table.space.size == 5**6
    assert FILE.stat().st_size < 150_000
    generator = np.random.default_rng(0)
    for _ in range(20):
        candidate = table.space.sample(generator)
        alone = graph.discrete(architecture(graph, candidate))
        found = table(candidate)
        assert found["parameters"] == alone.parameter_count
        assert found["multiply_adds"] == alone.multiply_add_count


def test_an_architecture_through_which_nothing_goes_is_at_chance():
    table = tabulated()
    nothing = dict.fromkeys(table.space, "none")
    assert table(nothing)["error"] > 0.85
    assert table(nothing)["nll"] == pytest.approx(np.log(10), abs=0.05)
    assert table.best("error") < 0.05


@pytest.mark.slow
def test_the_table_is_what_its_training_gives():
    """Another machine rounds otherwise, and 8,000 steps make much of that: ranks, not digits."""
    from scipy.stats import spearmanr

    torch.set_num_threads(1)
    made = make_table()
    for name in ("error", "nll"):
        found = spearmanr(made.columns[name], tabulated().columns[name]).statistic
        assert found > 0.8
