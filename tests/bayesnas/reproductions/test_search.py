"""The tabulated space, and the searches that are judged on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bayesnas.inference.search import STRATEGIES, StrategyRecord, architecture
from bayesnas.inference.search.strategy import ask_generator
from bayesnas.reproductions import Request
from bayesnas.reproductions.paired import p_value
from bayesnas.reproductions.search import grid_and_random, schema_counts, table_of_strategies
from bayesnas.reproductions.search.tabulated_space import (
    FILE,
    digits_graph,
    make_table,
    tabulated,
)


class Uniform:
    def __init__(self, space, *, seed):
        self.space, self.seed, self.told = space, seed, 0

    def ask(self):
        return self.space.sample(ask_generator(self.seed, self.told))

    def tell(self, candidate, scores):
        self.told += 1


record = StrategyRecord("draws", "nobody", Uniform)


def test_the_table_is_of_the_graph_that_it_says():
    table, graph = tabulated(), digits_graph()
    assert table.space == type(table.space).of_graph(graph)
    assert table.space.size == 5**6
    assert FILE.stat().st_size < 150_000
    generator = np.random.default_rng(0)
    for _ in range(20):
        candidate = table.space.sample(generator)
        alone = graph.discrete(architecture(graph, candidate))
        row = table(candidate)
        assert row["parameters"] == alone.parameter_count
        assert row["multiply_adds"] == alone.multiply_add_count


def test_one_architecture_is_the_best_and_all_are_above_chance():
    table = tabulated()
    assert (table.columns["nll"] == table.best("nll")).sum() == 1
    assert table.best("error") < 0.05
    assert table.columns["error"].max() < 0.9


@pytest.mark.slow
def test_the_table_is_what_its_training_gives():
    """Another machine rounds otherwise, and 8,000 steps make much of that: ranks, not digits."""
    from scipy.stats import spearmanr

    torch.set_num_threads(1)
    made = make_table()
    for name in ("error", "nll"):
        correlation = spearmanr(made.columns[name], tabulated().columns[name]).statistic
        assert correlation > 0.8


def test_success_probabilities_are_those_of_simulated_targets(tmp_path):
    given = {"experiments": 400, "widths": [0.05, 0.2]}
    comparisons = grid_and_random.run(Request(tmp_path), given).comparisons
    for each in comparisons:
        error = (each.published * (1 - each.published) / 400) ** 0.5
        assert each.mean == pytest.approx(each.published, abs=5.5 * error + 1 / 400)
    by = {tuple(each.labels.values()): each.published for each in comparisons}
    assert by["random", "0.05"] == pytest.approx(1 - (1 - 0.0025) ** 512)
    assert all(by["random", w] > by["grid", w] for w in ("0.05", "0.2"))


def test_the_grid_has_four_points_that_differ_where_it_matters():
    points = grid_and_random.grid_points()
    assert points.shape == (512, 2)
    assert np.unique(points, axis=0).tolist() == [
        [a, b] for a in (0.25, 0.75) for b in (0.25, 0.75)
    ]


def test_mean_counts_of_schemata_are_the_expected_ones(tmp_path):
    comparisons = schema_counts.run(Request(tmp_path), {"generations": 2000}).comparisons
    by = {tuple(each.labels.values()): each for each in comparisons}
    assert len(by) == 2 * 5 * 3
    for (operators, schema, of), each in by.items():
        if of == "simulated":
            error = by[operators, schema, "standard error"].mean
            bound = by[operators, schema, "bound"].mean
            assert each.mean == pytest.approx(each.published, abs=5.5 * error)
            assert bound <= each.published + 1e-12
            assert operators != "selection alone" or bound == pytest.approx(each.published)


@pytest.mark.slow
def test_one_command_runs_all_registered_strategies(call_json, tmp_path, monkeypatch):
    monkeypatch.setattr(table_of_strategies, "SAMPLERS", ("random", "nsga2"))
    monkeypatch.setattr(table_of_strategies, "STRATEGIES", {"none": record})
    words = ("reproduce", "search", "--quick", "--seeds", "2", "--out", tmp_path / "search")
    monkeypatch.setitem(STRATEGIES, "none", record)
    output = call_json(*words)
    assert output["settings"]["strategies"]["strategies"] == ["random", "nsga2", "none"]
    rows = [row for row in output["comparisons"] if row["quantity"].startswith("regret")]
    # The best of a uniform sample of 50 leaves 1/51 of the space better, on average.
    shares = [r["ours"] for r in rows if "share" in r[""] and r["strategy"] == "random"]
    assert 0 <= shares[0] < 0.3  # two of them above it: (0.7 ** 50) ** 2
    assert (tmp_path / "search" / "regret.png").exists()
    assert call_json(*words)["comparisons"] == output["comparisons"]


def test_the_test_against_random_knows_better_from_equal():
    random = np.linspace(1.0, 2.0, 20)
    lower = random - np.linspace(0.1, 0.5, 20)
    assert p_value(lower, random) == pytest.approx(2**-20)
    assert p_value(random, random) == 1.0
    assert p_value(random + 0.5, random) > 0.99
