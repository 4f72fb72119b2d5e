"""The whole weight-agnostic search: what it finds, writes, resumes and refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import signal

import numpy as np
import pytest
import torch

import bayesnas as bn
from bayesnas.inference.search import WeightAgnostic, weight_agnostic
from bayesnas.inference.search.growth.rows import flat_rows
from bayesnas.inference.search.growth.weight_agnostic import search as module
from bayesnas.inference.search.growth.weight_agnostic.evolution import Evolution
from bayesnas.runtime.interrupt import InterruptedFitWarning

SMALL = {"generations": 12, "population": 16, "tournament": 3, "connected": 0.3}


@pytest.fixture(scope="module")
def sides():
    """Two classes by |x₀|, which no network without hidden neurons tells apart."""
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0].abs() > 0.67).long()


@pytest.fixture(scope="module")
def result(sides):
    options = {"generations": 40, "population": 40, "tournament": 4, "connected": 0.5}
    return weight_agnostic(sides, weights=(0.5, 1.0, 2.0), **options)


@pytest.fixture
def numbers_of():
    return lambda result: json.dumps(result.to_dict(), sort_keys=True)


def test_neurons_grow_where_they_are_needed(result):
    assert result.graph.activations
    assert result.history["performance"].is_monotonic_increasing  # the best is an elite
    assert list(result.history.columns) == [
        "performance",
        "best_weight",
        "connections",
        "neurons",
        "median",
    ]
    assert float(result.performance.max()) > -0.6  # ln ½ is −0.69


def test_the_front_is_one_and_its_performance_is_that_of_the_networks(sides):
    x, y = sides
    result = weight_agnostic(sides, **SMALL)
    sizes = [len(graph.connections) for graph in result.front]
    means = result.performance.mean(1).tolist()
    assert means == sorted(means, reverse=True)
    assert sizes == sorted(sizes, reverse=True)
    assert result.graph == result.front[0]
    for graph, row in zip(result.front, result.performance, strict=True):
        for weight, performance in zip(result.weights, row.tolist(), strict=True):
            output = bn.nn.NeuronNet.of(graph, weight)(x).detach()
            nll = float(torch.nn.functional.cross_entropy(output, y))
            assert performance == pytest.approx(-nll, abs=1e-5)


@pytest.mark.parametrize("flipped", [False, True])
def test_validation_data_choose_from_the_front(sides, flipped):
    x = sides[0]
    rows = flat_rows("data", (x, (x[:, 0] > 0).long()), "classification")
    search = module._Search(rows, 2, (1.0, 2.0), Evolution(2, 1), {"seed": 0})
    reads, is_empty = bn.nn.NeuronGraph(2, 2, [], [(0, 4)]), bn.nn.NeuronGraph(2, 2)
    search._front = [(graph, np.zeros(2)) for graph in (is_empty, reads)]
    held_out = flat_rows("validation", (x, rows.y ^ flipped), "classification")
    assert search.result(held_out).graph == (is_empty if flipped else reads)


def test_one_seed_one_result(sides, numbers_of):
    first, again = (weight_agnostic(sides, seed=5, **SMALL) for _ in range(2))
    other = weight_agnostic(sides, seed=6, **SMALL)
    assert numbers_of(first) == numbers_of(again) != numbers_of(other)


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(
    sides, numbers_of, tmp_path, monkeypatch
):
    whole = weight_agnostic(sides, **SMALL)
    step = module._Search.step

    def interrupted(self):
        step(self)
        if self.number == 5:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(module._Search, "step", interrupted)
    with pytest.raises(KeyboardInterrupt, match="generation 5 of 12; resume=True"):
        weight_agnostic(sides, out=tmp_path, checkpoint_every=2, **SMALL)
    with pytest.warns(InterruptedFitWarning, match="generation 5 of 12"):
        assert len(weight_agnostic(sides, **SMALL).history) == 5
    monkeypatch.setattr(module._Search, "step", step)
    resumed = weight_agnostic(sides, out=tmp_path, resume=True, **SMALL)
    assert numbers_of(resumed) == numbers_of(whole)
    assert numbers_of(WeightAgnostic.load(tmp_path)) == numbers_of(whole)
    longer = weight_agnostic(sides, out=tmp_path, resume=True, **{**SMALL, "generations": 14})
    assert len(longer.history) == 14


def test_a_killed_search_goes_on_from_its_checkpoint(sides, numbers_of, tmp_path, monkeypatch):
    step = module._Search.step

    def killed(self):
        if self.number == 7:
            raise RuntimeError("killed")
        step(self)

    monkeypatch.setattr(module._Search, "step", killed)
    with pytest.raises(RuntimeError, match="killed"):
        weight_agnostic(sides, out=tmp_path, checkpoint_every=3, **SMALL)
    monkeypatch.setattr(module._Search, "step", step)
    resumed = weight_agnostic(sides, out=tmp_path, resume=True, **SMALL)
    assert numbers_of(resumed) == numbers_of(weight_agnostic(sides, **SMALL))


def test_a_file_gives_the_result_back(sides, numbers_of, tmp_path):
    result = weight_agnostic(sides, **SMALL)
    result.save(tmp_path / "result.json")
    loaded = WeightAgnostic.load(tmp_path / "result.json")
    assert numbers_of(loaded) == numbers_of(result)
    assert torch.equal(loaded.module().weight, result.module().weight)


def test_the_table_is_that_of_the_networks(sides, result):
    x, y = sides
    train, test = (x[:120], y[:120]), (x[120:], y[120:])
    table = result.table(train, test, epochs=10)
    assert table.index.tolist() == ["random", "ensemble", "tuned", "trained"]

    def accuracy(net):
        return float((net(test[0]).argmax(1) == test[1]).double().mean())

    tuned = result.module(result.posterior(train).best)
    assert table.accuracy["tuned"] == pytest.approx(accuracy(tuned))
    assert table.accuracy["trained"] == pytest.approx(accuracy(result.trained(train, epochs=10)))
    grid = [accuracy(result.module(w)) for w in np.linspace(-1.99, 1.99, 200)]
    assert table.accuracy["random"] == pytest.approx(np.mean(grid), abs=1e-6)
    assert table.deviation["random"] == pytest.approx(np.std(grid, ddof=1), abs=1e-6)
    ensemble = sum(result.module(w)(test[0]).softmax(1) for w in result.weights).argmax(1)
    assert table.accuracy["ensemble"] == pytest.approx(float((ensemble == test[1]).double().mean()))


def test_training_raises_the_likelihood(sides, result):
    x, y = sides

    @torch.no_grad()
    def loss(net):
        return float(torch.nn.functional.cross_entropy(net(x), y))

    best = result.posterior(sides).best
    assert loss(result.trained(sides, epochs=40)) < loss(result.module(best))


@pytest.mark.parametrize("connections", [[], [(0, 6), (6, 3)]])
def test_weights_without_a_gradient_stay(sides, result, connections):
    graph = bn.nn.NeuronGraph(2, 2, ["step"] * 2, connections)
    flat = dataclasses.replace(result, graph=graph, front=(graph,))
    assert flat.trained(sides).graph == graph


def test_the_evidence_of_a_front_is_that_of_its_graphs(sides):
    result = weight_agnostic(sides, **SMALL)
    table = result.evidence(sides)
    place = result.front.index(result.graph)
    assert len(table) == len(result.front)
    assert table.log_evidence[place] == result.posterior(sides).log_evidence


def test_what_cannot_be_searched_is_refused(sides, tmp_path):
    x, y = sides
    for options, message in [
        ({"generations": 0}, "generations"),
        ({"weights": []}, "weights must hold one"),
        ({"weights": [float("nan")]}, "weights must be a finite number"),
        ({"population": 4, "tournament": 9}, "tournament"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"seed": -1}, "seed"),
        ({"validation": (x[:, :1], y)}, "validation: x must have 2 features"),
        ({"validation": (x, y + 1)}, "validation: y must be below 2"),
        ({"out": ""}, "out must be a path"),
    ]:
        with pytest.raises(ValueError, match=message):
            weight_agnostic(sides, **{**SMALL, **options})
    with pytest.raises(ValueError, match="data: x must be finite"):
        weight_agnostic((x / 0, y), **SMALL)
    with pytest.raises(ValueError, match="data: .*whole numbers"):
        weight_agnostic((x, x[:, 0]), **SMALL)
    with pytest.raises(TypeError, match="data must be"):
        weight_agnostic(3, **SMALL)


def test_a_folder_of_another_search_is_refused(sides, tmp_path):
    x, y = sides
    weight_agnostic(sides, out=tmp_path, **SMALL)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="has a search; give another folder, or resume=True"):
        weight_agnostic(sides, out=tmp_path, **SMALL)
    with pytest.raises(ValueError, match="population=16, got 17"):
        weight_agnostic(sides, out=tmp_path, resume=True, **{**SMALL, "population": 17})
    with pytest.raises(ValueError, match="a search with data="):
        weight_agnostic((x[1:], y[1:]), out=tmp_path, resume=True, **SMALL)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "checkpoint.json").write_text("{}")
    with pytest.raises(ValueError, match=r"checkpoint\.json"):
        weight_agnostic(sides, out=tmp_path, resume=True, **SMALL)


def test_a_file_that_is_no_result_is_refused(sides, tmp_path):
    path = tmp_path / "result.json"
    with pytest.raises(FileNotFoundError):
        WeightAgnostic.load(path)
    path.write_text('{"format": "other"}')
    with pytest.raises(ValueError, match="format"):
        WeightAgnostic.load(path)
    result = weight_agnostic(sides, **SMALL)
    content = result.to_dict()
    del content["front"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="damaged"):
        WeightAgnostic.load(path)


@pytest.mark.slow
def test_one_shared_weight_tells_digits_apart():
    data = bn.data.load("digits", validation=0.2)
    result = weight_agnostic(data.train, data.validation, generations=200, progress=False)
    table = result.table(data.train, data.test, epochs=50)
    assert table.accuracy["trained"] > table.accuracy["tuned"] > table.accuracy["random"] > 0.15
    assert table.accuracy["tuned"] > 0.3
