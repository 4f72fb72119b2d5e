"""Weight-agnostic networks on 8 x 8 digits: the four rows of the paper's table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

import bayesnas as bn
from bayesnas.files import write_atomically
from bayesnas.inference.search import WeightAgnostic, weight_agnostic
from bayesnas.report.figure import write_figure
from bayesnas.reproductions.base import Comparison, Request
from bayesnas.reproductions.search.growth_figures import weight_agnostic_figure
from bayesnas.reproductions.search.parts import Part, PartRecord

PUBLISHED = {"random": 0.820, "ensemble": 0.916, "tuned": 0.919, "trained": 0.942}
"""Of MNIST at 16 x 16, 960 networks and 4,096 generations (Gaier, Ha 2019)."""
PUBLISHED_CONNECTIONS = 1849.0
GENERATIONS, POPULATION, SEEDS = 1600, 200, 3
_FIRST_SEED = 1


def settings(request: Request) -> Mapping[str, Any]:
    """Generations, population, seeds."""
    seeds = request.seeds if request.seeds is not None else 1 if request.quick else SEEDS
    return {
        "data": "digits",
        "validation": 0.2,
        "generations": 40 if request.quick else GENERATIONS,
        "population": 60 if request.quick else POPULATION,
        "tournament": 3 if request.quick else 10,
        "epochs": 30 if request.quick else 300,
        "seeds": seeds,
    }


def run(request: Request, given: Mapping[str, Any]) -> Part:
    """Search with every seed, and measure what becomes of the weights on the test part."""
    data = bn.data.load(given["data"], validation=given["validation"])
    assert data.test is not None
    assert data.validation is not None
    results, tables = [], []
    for seed in range(_FIRST_SEED, _FIRST_SEED + given["seeds"]):
        request.say(f"weight-agnostic search, {given['generations']} generations, seed {seed}")
        result = weight_agnostic(
            data.train,
            data.validation,
            generations=given["generations"],
            population=given["population"],
            tournament=given["tournament"],
            seed=seed,
            out=request.out / f"weight-agnostic-{seed}",
            resume=True,
            progress=request.progress,
        )
        results.append(result)
        tables.append(result.table(data.train, data.test, epochs=given["epochs"], seed=seed))
    files = {name: request.out / name for name in ("weight-agnostic.csv", "weight-agnostic.png")}
    steps = pd.concat(
        {seed: each.history for seed, each in enumerate(results, _FIRST_SEED)}, names=["seed"]
    )
    write_atomically(files["weight-agnostic.csv"], steps.to_csv().encode())
    write_figure(weight_agnostic_figure(results), files["weight-agnostic.png"])
    best_evidence = [_connections_of_best_evidence(each, data.train) for each in results]
    return Part(list(_compare(results, tables, best_evidence)), _remarks(given, tables), files)


PART = PartRecord(settings, run)


def _connections_of_best_evidence(result: WeightAgnostic, train: bn.data.Split) -> int:
    table = result.evidence(train)
    return int(table.connections.iloc[int(table.log_evidence.argmax())])


def _compare(
    results: Sequence[WeightAgnostic], tables: Sequence[pd.DataFrame], best_evidence: Sequence[int]
) -> Iterator[Comparison]:
    for name, published in PUBLISHED.items():
        ours = tuple(float(table.accuracy[name]) for table in tables)
        yield Comparison({"weights": name}, "WANN: test accuracy", published, ours)
    connections = {
        "of the chosen graph": tuple(float(len(each.graph.connections)) for each in results),
        "of the front's graph of the largest evidence": tuple(map(float, best_evidence)),
    }
    for name, counts in connections.items():
        known = PUBLISHED_CONNECTIONS if name == "of the chosen graph" else None
        yield Comparison({"connections": name}, "WANN: connections", known, counts)
    neurons = tuple(float(len(each.graph.activations)) for each in results)
    yield Comparison({"neurons": "hidden, of the chosen graph"}, "WANN: neurons", None, neurons)


def _remarks(given: Mapping[str, Any], tables: Sequence[pd.DataFrame]) -> list[str]:
    deviations = ", ".join(f"{table.deviation['random']:.3f}" for table in tables)
    above = all(table.accuracy["tuned"] > table.accuracy["random"] for table in tables)
    return [
        f"WANN: {given['data']}, {given['population']} networks, {given['generations']} "
        f"generations, {given['seeds']} seeds; the graph is chosen on validation data. In brackets "
        "the paper's figures, of MNIST at 16 x 16, 960 networks and 4,096 generations.",
        f"A random weight is uniform on [-2, 2]; deviations of its accuracy: {deviations}. Tuned "
        f"above random: {'in every search' if above else 'not in every search'}.",
    ]
