"""Searches with shared weights against random architectures, in small."""

from __future__ import annotations

import dataclasses

import pytest

from bayesnas.reproductions import REPRODUCTIONS, Request, shared_weights
from bayesnas.reproductions.shared_weights import Trained, compare, front_at, remarks
from bayesnas.reproductions.shared_weights.space import QUICK, fashion_graph

RANDOM = [Trained(10, (0.5, 0.7), (0.6, 0.6)), Trained(20, (0.7, 0.7), (0.5, 0.9))]


def test_the_front_is_chosen_by_validation_and_compared_by_test():
    by_method = {
        "random": RANDOM,
        "ENAS": [Trained(25, (0.9,), (0.8,)), Trained(12, (0.1,), (0.5,))],
    }
    assert front_at(RANDOM, 15) is RANDOM[0]
    assert front_at(RANDOM, 20) is RANDOM[1]
    beside = [each.mean for each in compare(by_method) if each.labels["of"] == "random front"]
    assert beside == pytest.approx([0.7, 0.6])
    # Differences .1 and −.1: mean 0, standard deviation √.02, standard error .1.
    assert "ENAS: +0.00 ± 10.00 points" in remarks(by_method, QUICK)[1]


def test_architectures_smaller_than_all_random_ones_have_no_front():
    by_method = {"random": RANDOM, "ENAS": [Trained(5, (0.9,), (0.8,))]}
    assert front_at(RANDOM, 5) is None
    assert [each.labels["of"] for each in compare(by_method)] == ["itself"] * 3


def test_the_space_has_five_operations_on_six_edges():
    graph = fashion_graph(4)
    assert [len(graph.names[edge]) for edge in graph.mixed] == [5] * 6


@pytest.mark.slow
def test_a_second_call_goes_on_with_what_is_there(fashion_mnist_root, tmp_path, monkeypatch):
    small = dataclasses.replace(QUICK, train=128, validation=64, test=100, epochs=2, random=2)
    monkeypatch.setattr(shared_weights.space, "QUICK", small)
    request = Request(tmp_path, quick=True, root=str(fashion_mnist_root))
    first = REPRODUCTIONS["shared-weights"].run(request)
    said = []
    again = REPRODUCTIONS["shared-weights"].run(dataclasses.replace(request, say=said.append))
    assert said == []
    assert again.comparisons == first.comparisons
    with pytest.raises(ValueError, match="is of a reproduction with"):
        REPRODUCTIONS["shared-weights"].run(dataclasses.replace(request, quick=False))
