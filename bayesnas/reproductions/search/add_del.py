"""AddDel: error and size by step, of features of a regression and of neurons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.files import write_atomically
from bayesnas.inference.search import AddDel, HiddenNeurons, LinearFeatures, add_del
from bayesnas.report.figure import write_figure
from bayesnas.reproductions.accuracies import accuracy
from bayesnas.reproductions.base import Comparison, Request
from bayesnas.reproductions.search.growth_figures import add_del_figure
from bayesnas.reproductions.search.parts import Part, PartRecord

Rows = tuple[Tensor, Tensor]
SEEDS = 3


def settings(request: Request) -> Mapping[str, Any]:
    """Rises of both elements, and the training of the neurons."""
    seeds = request.seeds if request.seeds is not None else 1 if request.quick else SEEDS
    return {
        "features": "diabetes, products of two",
        "feature_rises": [0.02, 0.02],
        "neurons": "digits",
        "neuron_rises": [0.0, 0.02],
        "candidates": 2,
        "steps": 20 if request.quick else 100,
        "rows": 200 if request.quick else 1077,
        "seeds": seeds,
    }


def run(request: Request, given: Mapping[str, Any]) -> Part:
    """Search with every split, and compare with all features and with addition alone."""
    request.say(f"AddDel of features, {given['seeds']} splits")
    features = [_features(seed, given) for seed in range(given["seeds"])]
    neurons = [_neurons(seed, given, request) for seed in range(given["seeds"])]
    comparisons = [*_compare_features(features), *_compare_neurons(neurons)]
    files = {name: request.out / name for name in ("add-del.csv", "add-del.png")}
    steps = {
        (name, seed): each.history
        for name, several in (
            ("features", [chosen for chosen, _ in features]),
            ("neurons", neurons),
        )
        for seed, each in enumerate(several)
    }
    table = pd.concat(steps, names=["elements", "seed"]).reset_index([0, 1])
    write_atomically(files["add-del.csv"], table.to_csv(index=False).encode())
    write_figure(add_del_figure(table), files["add-del.png"])
    remarks = [
        f"AddDel of features: {given['features']}, 65 features of 442 rows, half to fit, a quarter "
        "to choose, a quarter to test; errors in units of the targets' variance; "
        f"{given['seeds']} splits. Addition alone is the first phase, without a rise.",
        f"AddDel of neurons: {given['neurons']}, {given['candidates']} candidates, "
        f"{given['steps']} steps of Adam a change; error on validation data in nats.",
    ]
    return Part(comparisons, remarks, files)


PART = PartRecord(settings, run)


def diabetes(seed: int) -> tuple[Rows, Rows, Rows]:
    """Training, validation and test rows of the ten variables and their products, standardised."""
    from sklearn.datasets import load_diabetes
    from sklearn.preprocessing import PolynomialFeatures

    x, y = load_diabetes(return_X_y=True)
    x = PolynomialFeatures(2, include_bias=False).fit_transform((x - x.mean(0)) / x.std(0))
    order = np.random.default_rng(seed).permutation(len(x))
    first, second = len(x) // 2, 3 * len(x) // 4
    train = order[:first]
    x = torch.from_numpy((x - x[train].mean(0)) / x[train].std(0))
    y = torch.from_numpy((y - y[train].mean()) / y[train].std())
    parts = np.split(order, [first, second])
    return tuple((x[rows], y[rows]) for rows in parts)  # type: ignore[return-value]


Outcome = tuple[AddDel, dict[str, dict[str, float]]]


def _features(seed: int, given: Mapping[str, Any]) -> Outcome:
    """The search, and sizes and errors of what it is compared with."""
    train, validation, test = diabetes(seed)
    elements = LinearFeatures(train, validation)
    add_rise, delete_rise = given["feature_rises"]
    chosen = add_del(elements, add_rise=add_rise, delete_rise=delete_rise, progress=False)
    whole = elements._fitted(tuple(range(train[0].shape[1])))
    greedy = add_del(elements, most_iterations=1, progress=False)
    kept = [step for step in greedy.steps if step["kept"] and step["phase"] != "del"]
    alone = elements._fitted(tuple(step["element"] for step in kept[1:]))
    modules = {
        "all": elements.module(whole),
        "added alone": elements.module(alone),
        "AddDel": chosen.module,
    }
    sizes = {"all": train[0].shape[1], "added alone": len(alone.features), "AddDel": chosen.size}
    columns = {
        name: {
            "features": float(sizes[name]),
            "validation error": _error(module, validation),
            "test error": _error(module, test),
        }
        for name, module in modules.items()
    }
    return chosen, columns


@torch.no_grad()
def _error(module: nn.Module, rows: Rows) -> float:
    outputs = module.double()(rows[0])[:, 0]
    module.float()
    return float((outputs - rows[1]).square().mean())


def _neurons(seed: int, given: Mapping[str, Any], request: Request) -> AddDel:
    folder = request.out / f"add-del-neurons-{seed}"
    if (folder / "growth.json").exists():
        loaded = AddDel.load(folder)
        assert isinstance(loaded, AddDel)
        return loaded
    request.say(f"AddDel of neurons, seed {seed}")
    data = bn.data.load(given["neurons"], validation=0.2)
    assert data.validation is not None
    elements = HiddenNeurons(
        data.train.first(given["rows"]),
        data.validation,
        candidates=given["candidates"],
        steps=given["steps"],
        seed=seed,
    )
    add_rise, delete_rise = given["neuron_rises"]
    chosen = add_del(
        elements, add_rise=add_rise, delete_rise=delete_rise, progress=request.progress
    )
    chosen.save(folder)
    return chosen


def _compare_features(results: Sequence[Outcome]) -> Iterator[Comparison]:
    for name, columns in results[0][1].items():
        for column in columns:
            ours = tuple(each[name][column] for _, each in results)
            yield Comparison({"chosen": name, "": column}, "AddDel of features", None, ours)


def _compare_neurons(results: Sequence[AddDel]) -> Iterator[Comparison]:
    data = bn.data.load("digits", validation=0.2)
    assert data.test is not None
    x, y = data.test.x, data.test.y
    accuracies = [accuracy(each.module, x, y) for each in results]
    for column, ours in (
        ("neurons", tuple(float(each.size) for each in results)),
        ("validation error", tuple(each.error for each in results)),
        ("test accuracy", tuple(accuracies)),
    ):
        yield Comparison({"chosen": "AddDel", "": column}, "AddDel of neurons", None, ours)
