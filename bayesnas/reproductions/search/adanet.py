"""AdaNet on digits: which subnetworks join, and what the network is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

import bayesnas as bn
from bayesnas.files import write_atomically
from bayesnas.inference.search import AdaNet, adanet
from bayesnas.report.figure import write_figure
from bayesnas.reproductions.accuracies import accuracy
from bayesnas.reproductions.base import Comparison, Request
from bayesnas.reproductions.search.growth_figures import adanet_figure
from bayesnas.reproductions.search.parts import Part, PartRecord

SEEDS = 3


def settings(request: Request) -> Mapping[str, Any]:
    """Width, rounds, training of a candidate, seeds."""
    seeds = request.seeds if request.seeds is not None else 1 if request.quick else SEEDS
    return {
        "data": "digits",
        "validation": 0.2,
        "width": 8 if request.quick else 16,
        "most_rounds": 3 if request.quick else 20,
        "epochs": 5 if request.quick else 30,
        "seeds": seeds,
    }


def run(request: Request, given: Mapping[str, Any]) -> Part:
    """Grow a network with every seed, and measure it beside its first linear candidate."""
    nets = [_grown(seed, given, request) for seed in range(given["seeds"])]
    files = {name: request.out / name for name in ("adanet.csv", "adanet.png")}
    steps = {seed: each.history for seed, each in enumerate(nets)}
    table = pd.concat(steps, names=["seed"]).reset_index(0)
    write_atomically(files["adanet.csv"], table.to_csv(index=False).encode())
    write_figure(adanet_figure(table), files["adanet.png"])
    depths = "; ".join(" ".join(map(str, each.depths)) for each in nets)
    remarks = [
        f"AdaNet: {given['data']}, width {given['width']}, {given['epochs']} epochs a candidate, "
        f"{given['seeds']} seeds; penalty 0.003 times the root of the depth, plus 0.001. Depths in "
        f"the order of joining, by seed: {depths}."
    ]
    return Part(list(_compare(nets, given)), remarks, files)


PART = PartRecord(settings, run)


def _grown(seed: int, given: Mapping[str, Any], request: Request) -> AdaNet:
    folder = request.out / f"adanet-{seed}"
    if (folder / "growth.json").exists():
        loaded = AdaNet.load(folder)
        assert isinstance(loaded, AdaNet)
        return loaded
    request.say(f"AdaNet, seed {seed}")
    data = bn.data.load(given["data"], validation=given["validation"])
    net = adanet(
        data.train,
        data.validation,
        width=given["width"],
        most_rounds=given["most_rounds"],
        epochs=given["epochs"],
        seed=seed,
        progress=request.progress,
    )
    net.save(folder)
    return net


def _compare(nets: Sequence[AdaNet], given: Mapping[str, Any]) -> Iterator[Comparison]:
    data = bn.data.load(given["data"], validation=given["validation"])
    assert data.test is not None
    x, y = data.test.x, data.test.y
    accuracies = [accuracy(each.module, x, y) for each in nets]
    linear = [each.steps[1] for each in nets]
    last = [[step for step in each.steps if step["accepted"]][-1] for each in nets]
    rows = {
        "validation accuracy of a linear network": [step["validation_accuracy"] for step in linear],
        "objective of a linear network": [step["objective"] for step in linear],
        "objective": [each.objective for each in nets],
        "subnetworks": [float(len(each.depths)) for each in nets],
        "deepest": [float(max(each.depths, default=0)) for each in nets],
        "validation accuracy": [step["validation_accuracy"] for step in last],
        "test accuracy": accuracies,
    }
    for name, ours in rows.items():
        yield Comparison({"": name}, "AdaNet", None, tuple(ours))
