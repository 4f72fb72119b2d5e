"""Every strategy against random search, on the tabulated space, whose best is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import bayesnas as bn
from bayesnas.inference.search import STRATEGIES
from bayesnas.report.figure import write_figure
from bayesnas.reproductions.base import Comparison, Request
from bayesnas.reproductions.paired import p_value
from bayesnas.reproductions.search.figures import regret_figure
from bayesnas.reproductions.search.parts import Part, PartRecord
from bayesnas.reproductions.search.tabulated_space import tabulated
from bayesnas.tensor_files import read_json, write_json

SAMPLERS = ("random", "tpe", "nsga2")
OBJECTIVE = "nll"
TRIALS, SEEDS = 200, 20
_LEVEL = 0.01


def settings(request: Request) -> Mapping[str, Any]:
    """Strategies by name, trials, seeds."""
    seeds = request.seeds if request.seeds is not None else 3 if request.quick else SEEDS
    return {
        "strategies": [*SAMPLERS, *strategies_of_the_table()],
        "objective": OBJECTIVE,
        "trials": 50 if request.quick else TRIALS,
        "seeds": seeds,
    }


def strategies_of_the_table() -> list[str]:
    """Those of the registry that take one objective."""
    return [name for name, record in STRATEGIES.items() if not record.several]


def run(request: Request, given: Mapping[str, Any]) -> Part:
    """Search with each strategy and seed, and compare the regrets of the pairs with random's."""
    traces = {name: _traces(name, given, request) for name in given["strategies"]}
    regrets = {name: trace[:, -1] for name, trace in traces.items()}
    comparisons = list(_compare(regrets, given))
    picture = request.out / "regret.png"
    write_figure(regret_figure(traces, given["objective"]), picture)
    return Part(comparisons, _remarks(regrets, given), {"regret.png": picture})


PART = PartRecord(settings, run)


def _traces(name: str, given: Mapping[str, Any], request: Request) -> np.ndarray:
    """Regret of the best so far ``[seeds, trials]``, kept in a file a seed."""
    request.say(f"{name}: {given['seeds']} searches of {given['trials']} trials")
    seeds = tqdm(range(given["seeds"]), desc=name, disable=not request.progress, leave=False)
    return np.array([_trace(name, seed, given, request.out) for seed in seeds])


def _trace(name: str, seed: int, given: Mapping[str, Any], out: Path) -> list[float]:
    path = out / "searches" / f"{name}-{seed}.json"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        result = bn.search(
            tabulated().space,
            tabulated(),
            name,
            trials=given["trials"],
            objectives=given["objective"],
            seed=seed,
        )
        scores = [trial.scores[given["objective"]] for trial in result.trials]
        write_json(path, {"scores": scores})
    best = np.minimum.accumulate(read_json(path)["scores"])
    return list(best - tabulated().best(given["objective"]))


def _compare(regrets: Mapping[str, np.ndarray], given: Mapping[str, Any]) -> Iterator[Comparison]:
    quantity = f"regret of {given['objective']} after {given['trials']} trials"
    for name, final in regrets.items():
        yield Comparison({"strategy": name, "": "regret"}, quantity, None, tuple(final.tolist()))
        below = np.mean(tabulated().columns[given["objective"]] < final[:, None] + _best(given), 1)
        yield Comparison(
            {"strategy": name, "": "share of the space that is better"},
            quantity,
            None,
            tuple(below.tolist()),
        )
        if name != "random" and len(final) > 1:
            p = p_value(final, regrets["random"])
            yield Comparison({"strategy": name, "": "p against random"}, quantity, None, (p,))


def _best(given: Mapping[str, Any]) -> float:
    return tabulated().best(given["objective"])


def _remarks(regrets: Mapping[str, np.ndarray], given: Mapping[str, Any]) -> list[str]:
    others = [name for name in regrets if name != "random"]
    missed = [name for name in others if p_value(regrets[name], regrets["random"]) >= _LEVEL]
    return [
        f"Strategies: {given['seeds']} seeds of {given['trials']} trials on the table of "
        f"{tabulated().space.size:,} architectures, judged by {given['objective']} with shared "
        "weights on held-out digits; paired Wilcoxon test against random search.",
        f"Not better than random at p < {_LEVEL:g}: {', '.join(missed) or 'none'}.",
    ]
