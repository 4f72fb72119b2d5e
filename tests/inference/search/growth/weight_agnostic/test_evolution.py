"""Operators, sorting and generations of weight-agnostic search."""

from __future__ import annotations

import itertools
import json

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from bayesnas.inference.search.growth.weight_agnostic.evolution import Evolution, Generations
from bayesnas.inference.search.growth.weight_agnostic.operators import (
    add_connection,
    change_activation,
    insert_neuron,
    mutate,
)
from bayesnas.inference.search.growth.weight_agnostic.ranking import crowding, fronts, order
from bayesnas.nn import NeuronGraph

SHARES = (0.25, 0.25, 0.5)


def grown(seed, steps, shares=SHARES):
    graph, random = NeuronGraph(2, 2, [], [(0, 3)]), default_rng(seed)
    for _ in range(steps):
        graph = mutate(graph, random, shares)
    return graph


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 60))
def test_a_grown_graph_is_acyclic_and_every_neuron_lies_between_inputs_and_outputs(seed, steps):
    graph = grown(seed, steps)
    drawn = networkx.DiGraph(graph.connections)
    assert networkx.is_directed_acyclic_graph(drawn)
    for neuron in range(graph.first_hidden, graph.size):
        assert networkx.ancestors(drawn, neuron) & {0, 1, 2}
        assert networkx.descendants(drawn, neuron) & {3, 4}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 30))
def test_each_operator_changes_what_it_says(seed, steps):
    graph, random = grown(seed, steps), default_rng(seed)
    before = set(graph.connections)

    more = insert_neuron(graph, random)
    new = set(more.connections) - before
    (split,) = before - set(more.connections)
    assert new == {(split[0], graph.size), (graph.size, split[1])}
    assert more.activations[:-1] == graph.activations

    joined = add_connection(graph, random)
    if joined is not None:
        assert before < set(joined.connections)
        assert len(joined.connections) == len(before) + 1
        assert joined.activations == graph.activations

    changed = change_activation(graph, random)
    if graph.activations:
        pairs = zip(graph.activations, changed.activations, strict=True)
        assert sum(a != b for a, b in pairs) == 1
        assert changed.connections == graph.connections
    else:
        assert changed is None


def test_connections_are_added_until_none_is_left_that_makes_no_cycle():
    graph, random = NeuronGraph(1, 1, ["tanh", "tanh"], [(0, 3), (3, 4), (4, 2)]), default_rng(0)
    while (more := add_connection(graph, random)) is not None:
        graph = more
    # Inputs and bias to three vertices, the first neuron to the second, both to the output.
    assert len(graph.connections) == 2 * 3 + 1 + 2


def test_every_connection_that_is_missing_is_as_likely_as_the_others():
    graph, random = NeuronGraph(2, 2, ["tanh"], [(0, 5), (5, 3)]), default_rng(0)
    draws = 4000
    counts: dict[tuple[int, int], int] = {}
    for _ in range(draws):
        (new,) = set(add_connection(graph, random).connections) - set(graph.connections)
        counts[new] = counts.get(new, 0) + 1
    missing = {(u, v) for u in (0, 1, 2) for v in (3, 4, 5)} | {(5, 4)}
    missing -= set(graph.connections)
    assert set(counts) == missing
    share = 1 / len(missing)
    error = (draws * share * (1 - share)) ** 0.5
    assert all(abs(count - draws * share) < 5.5 * error for count in counts.values())


def test_what_cannot_be_changed_stays():
    full = NeuronGraph(1, 1, [], [(0, 2), (1, 2)])
    assert (
        mutate(full, default_rng(0), (0.0, 1.0, 0.0)).size == 4
    )  # a neuron, no connection is left
    empty = NeuronGraph(1, 1)
    assert len(mutate(empty, default_rng(0), (1.0, 0.0, 0.0)).connections) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_fronts_are_those_of_their_definition(values):
    left, expected = set(range(len(values))), []
    while left:
        front = {
            i
            for i in left
            if not any(
                all(a >= b for a, b in zip(values[j], values[i], strict=True))
                and values[j] != values[i]
                for j in left
            )
        }
        expected.append(sorted(front))
        left -= front
    assert [front.tolist() for front in fronts(values)] == expected
    assert sorted(order(values)) == list(range(len(values)))


def test_crowding_is_the_sum_of_scaled_gaps():
    values = np.array([[0.0, 10.0], [1.0, 7.0], [3.0, 2.0], [5.0, 0.0]])
    gaps = (3 - 0) / 5 + (10 - 2) / 10, (5 - 1) / 5 + (7 - 0) / 10
    assert crowding(values) == pytest.approx([np.inf, *gaps, np.inf])
    assert crowding([[1.0, 1.0]] * 3)[1] == 0


def test_elites_stay_and_children_come_of_those_that_were_not_culled():
    how = Evolution(population=20, tournament=3, elite=0.25, culled=0.5, connected=1.0, by_size=0.0)
    generations = Generations(2, 2, how, seed=0)
    for _ in range(3):
        generations.tell(np.zeros((20, 2)))
    graphs = generations.ask()
    scores = np.arange(20.0)[:, None] * np.ones((1, 2))
    generations.tell(scores)
    after = generations.ask()
    assert len(after) == 20
    assert after[:2] == [graphs[19], graphs[18]]  # a quarter of the ten that are left
    parents = graphs[10:]

    def is_child(graph):
        return any(abs(graph.size - parent.size) <= 1 for parent in parents)

    assert all(map(is_child, after))


def test_a_state_through_json_goes_on_with_the_same_generations():
    how = Evolution(population=12, tournament=2)
    first, second = (Generations(4, 2, how, seed=seed) for seed in (3, 4))
    scores = default_rng(0).normal(size=(5, 12, 3))
    for each in scores[:2]:
        first.tell(each)
    second.restore(json.loads(json.dumps(first.state())))
    for each in scores[2:]:
        for generations in (first, second):
            generations.tell(each)
        assert first.ask() == second.ask()
    assert second.number == 5


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"population": 1}, "population must be a whole number >= 2"),
        ({"population": 5, "tournament": 6}, "tournament must be a whole number from 1 to 5"),
        ({"elite": 1.0}, "elite must be a fraction"),
        ({"culled": -0.1}, "culled must be a fraction"),
        ({"connected": 1.5}, "connected must be a fraction"),
        ({"by_size": float("nan")}, "by_size must be a fraction"),
        ({"changes": (1.0, 0.0)}, "three shares"),
        ({"changes": (0.0, 0.0, 0.0)}, "three shares"),
        ({"changes": (-1.0, 1.0, 1.0)}, "changes must be"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Evolution(**setting)


def test_sizes_are_minimised():
    how = Evolution(population=2, tournament=1, elite=0.5, culled=0.0, by_size=1.0)
    generations = Generations(1, 1, how, seed=0)
    small, large = NeuronGraph(1, 1, [], [(0, 2)]), NeuronGraph(1, 1, [], [(0, 2), (1, 2)])
    for pair in itertools.permutations([small, large]):
        generations.restore({**generations.state(), "graphs": [g.to_dict() for g in pair]})
        generations.tell(np.zeros((2, 1)))
        assert generations.ask()[0] == small
