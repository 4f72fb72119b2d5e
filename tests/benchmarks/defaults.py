"""What a fit with no option is worth: every model of nets and regressions on five data sets.

.venv/bin/python tests/benchmarks/defaults.py                       # the table
.venv/bin/python tests/benchmarks/defaults.py --data wine diabetes  # some of it

"default" is bn.fit(model, train) with the model at its defaults; "tuned" is the best of learning
rates 0.003, 0.01, 0.03 and, of nets, prior or slab scales 0.3 and 1, at twice the length, by the
mean log loss of validation rows (a fifth of the data). All figures but those of the bound are of
the test part, at seed 0: log loss, error in per cent (classes) or root mean squared error
(numbers, in standard deviations), expected calibration error, share of weights that are not
removed at a density of 0.99. "gap" is what a fit four times as long gains in the bound of the
training part, in nats an example.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_wine

import bayesnas as bn
from bayesnas.data import DataSet, Split
from bayesnas.models import BayesianModel
from bayesnas.report.findings import steps_taken

NAMES = ("digits", "breast-cancer", "wine", "diabetes", "mnist")
RATES = (0.003, 0.01, 0.03)
SCALES = (0.3, 1.0)
MNIST_ROWS = 10_000
Make = Callable[..., BayesianModel]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--skip-tuned", action="store_true", help="the defaults alone")
    args = parser.parse_args()
    print("| data | model | fit | log loss | error | ECE | kept, % | steps | gap |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in args.data:
        data = loaded(name)
        for title, (make, grid) in models(data).items():
            default = bn.fit(make(), data.train, progress=False)
            steps = steps_taken(default)
            longer = bn.fit(make(), data.train, steps=4 * steps, progress=False)
            gap = (bound(longer, data.train) - bound(default, data.train)) / len(data.train)
            print(line(name, title, "default", default, data, f"{steps} | {gap:.3f}"))
            if args.skip_tuned:
                continue
            words, best = tuned(make, grid, data, 2 * steps)
            print(line(name, title, words, best, data, f"{2 * steps} | "))


def loaded(name: str) -> DataSet:
    """Training, validation and test rows; of MNIST the first 10,000 for the first two."""
    if name == "wine":
        return wine()
    data = bn.data.load(name, validation=0.2, standardise=name not in ("digits", "mnist"))
    if name != "mnist":
        return data
    assert data.validation is not None
    sizes = (MNIST_ROWS * 4 // 5, MNIST_ROWS // 5)
    train, validation = (
        first(part, n) for part, n in zip((data.train, data.validation), sizes, strict=True)
    )
    return dataclasses.replace(data, train=train, validation=validation)


def wine() -> DataSet:
    """The 178 wines of three cultivars that scikit-learn ships."""
    x, y = load_wine(return_X_y=True)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "wine.npz"
        np.savez(path, x=x, y=y)
        return bn.data.load(path, validation=0.2, standardise=True)


def first(part: Split, rows: int) -> Split:
    info = dataclasses.replace(part.info, n=rows)
    return Split(part.x[:rows], part.y[:rows], info)


def models(data: DataSet) -> dict[str, tuple[Make, list[dict[str, Any]]]]:
    """How to make each model, and the values of its arguments that are tried."""
    features = math.prod(data.train.x.shape[1:])
    numbers = data.info.task == "regression"
    outputs = 1 if numbers else int(data.info.classes or 0)
    likelihood = "gaussian" if numbers else "categorical"

    def net(cls: type[BayesianModel], **options: Any) -> Make:
        def make(**more: Any) -> BayesianModel:
            layers = bn.nn.mlp([features, 100, outputs])
            return cls(layers, likelihood=likelihood, **options, **more)

        return make

    scales = [{"prior_scale": scale} for scale in SCALES]
    slabs = [{"slab_scale": scale} for scale in SCALES]
    makers: dict[str, tuple[Make, list[dict[str, Any]]]] = {
        "GaussianNet": (net(bn.models.GaussianNet), scales),
        "SpikeAndSlabNet": (net(bn.models.SpikeAndSlabNet), slabs),
    }
    for prior in ("horseshoe", "normal-jeffreys"):
        make = net(bn.models.BayesianCompressionNet, prior=prior)
        makers[f"BayesianCompressionNet, {prior}"] = make, [{}]
    if numbers:
        makers["ArdRegression"] = (lambda: bn.models.ArdRegression(features)), [{}]
        makers["SpikeAndSlabRegression"] = (
            (lambda: bn.models.SpikeAndSlabRegression(features)),
            [{}],
        )
    return makers


def tuned(
    make: Make, grid: list[dict[str, Any]], data: DataSet, steps: int
) -> tuple[str, bn.Posterior]:
    best: tuple[float, str, bn.Posterior] | None = None
    assert data.validation is not None
    for lr, options in itertools.product(RATES, grid):
        post = bn.fit(make(**options), data.train, lr=lr, steps=steps, progress=False)
        nll = post.evaluate(data.validation, draws=32)["nll"]
        words = f"lr {lr:g}" + "".join(f", {k.split('_')[0]} {v:g}" for k, v in options.items())
        if best is None or nll < best[0]:
            best = nll, words, post
    assert best is not None
    return best[1], best[2]


def bound(post: bn.Posterior, part: Split) -> float:
    return post.evaluate(part, draws=64)["elbo"]


def line(name: str, title: str, fit: str, post: bn.Posterior, data: DataSet, rest: str) -> str:
    assert data.test is not None
    metrics = post.evaluate(data.test, draws=64)
    error = 100 * (1 - metrics["accuracy"]) if "accuracy" in metrics else metrics["rmse"]
    kept = 100 * kept_share(post)
    ece = f"{metrics['ece']:.3f}" if "ece" in metrics else ""
    return (
        f"| {name} | {title} | {fit} | {metrics['nll']:.3f} | {error:.3g} | {ece} | {kept:.0f} | "
        f"{rest} |"
    )


def kept_share(post: bn.Posterior) -> float:
    masks = post.prune(threshold=0.99).model.keep_masks().values()
    return sum(int(m.sum()) for m in masks) / sum(m.numel() for m in masks)


if __name__ == "__main__":
    main()
