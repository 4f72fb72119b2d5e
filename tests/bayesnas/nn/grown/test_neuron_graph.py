"""Graphs of neurons: their order, what is refused, JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesnas.nn import NeuronGraph


@st.composite
def acyclic(draw):
    """Connections that follow a random order of the hidden neurons, so that none closes a cycle."""
    hidden = draw(st.integers(0, 5))
    order = draw(st.permutations(range(5, 5 + hidden)))
    readable = [0, 1, 2, *order]
    pairs = [(u, v) for place, v in enumerate(order) for u in readable[: 3 + place]]
    pairs += [(u, v) for u in readable for v in (3, 4)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True))
    return NeuronGraph(2, 2, ["tanh"] * hidden, chosen)


@settings(max_examples=50, deadline=None)
@given(acyclic())
def test_every_neuron_comes_behind_what_it_reads(graph):
    place = {vertex: index for index, vertex in enumerate(graph.order)}
    assert sorted(graph.order) == list(range(3, graph.size))
    for source, target in graph.connections:
        assert source <= graph.bias or place[source] < place[target]


@settings(max_examples=50, deadline=None)
@given(acyclic(), st.data())
def test_a_connection_back_along_a_path_is_a_cycle(graph, data):
    hidden = range(graph.first_hidden, graph.size)
    pairs = [(u, v) for u in hidden for v in hidden if (u, v) not in graph.connections]
    for u, v in data.draw(st.permutations(pairs))[:3]:
        again = [*graph.connections, (u, v)]
        if graph.reaches(v, u):
            with pytest.raises(ValueError, match="no cycle"):
                NeuronGraph(2, 2, graph.activations, again)
        else:
            NeuronGraph(2, 2, graph.activations, again)


@settings(max_examples=50, deadline=None)
@given(acyclic())
def test_json_gives_the_graph_back(graph):
    assert NeuronGraph.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1), "inputs"),
        ((1, 0), "outputs"),
        ((1, 1, ["rleu"]), "did you mean 'relu'"),
        ((1, 1, [], [(0, 1)]), "to one of 2 to 2"),
        ((1, 1, [], [(3, 2)]), "one of the 3 vertices"),
        ((1, 1, ["tanh"], [(2, 3)]), "not leave an output"),
        ((1, 1, [], [(0, 2), (0, 2)]), r"\(0, 2\) twice"),
        ((1, 1, ["tanh", "tanh"], [(3, 4), (4, 3)]), "no cycle"),
        ((1, 1, [], [(0, 1, 2)]), "pairs"),
        ((1, 1, [], [(0.5, 2)]), "whole number"),
    ],
)
def test_what_is_no_graph_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NeuronGraph(*arguments)


def test_what_is_no_description_is_refused():
    with pytest.raises(ValueError, match="must hold"):
        NeuronGraph.from_dict({"inputs": 1})
