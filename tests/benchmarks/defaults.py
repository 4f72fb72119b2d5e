"""What a fit with no option is worth: every model of nets and regressions on six data sets.

.venv/bin/python tests/benchmarks/defaults.py --out runs/defaults       # all fits, then the tables
.venv/bin/python tests/benchmarks/defaults.py --out runs/defaults --only default --data wine

A fit that is in the folder is not made again, so that the command goes on where it was stopped, and
a second one prints the tables of docs/defaults.md; fits that are missing have no row.

"default" is bn.fit(model, train) with the model at its defaults; "tuned" is the best of it and of
fits that differ in one thing, by the mean log loss of validation rows (a fifth of the data): λ of
0.1, 0.3 and 1 (chains of one fit, which have their own numbers to rounding), three times the
learning rate and a third, a prior or slab scale of 0.3. All figures but those of the bound are of
the test part, at seed 0: log loss, error in per cent (classes) or root mean squared error (numbers,
in standard deviations), expected calibration error or the share of targets in their central 90 %
intervals, share of weights that are left at a density of 0.99, of compression nets by groups, as
validation rows choose, of regressions the share of features in the model. "gap" is what a fit twice
as long gains in the bound of the training part, in nats an example; "says" whether the fit said
that it had not converged. "shorter" fits, of an eighth of the steps, have no row: they show whether
such fits say so. "by validation" has λ chosen by the fit itself, kl_weight="validation". Steps are
traced, not compiled: the same numbers, to rounding.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.datasets import load_wine

import bayesnas as bn
from bayesnas.data import DataSet, Split
from bayesnas.files import write_atomically
from bayesnas.inference.training.convergence import unconverged
from bayesnas.models import BayesianModel
from bayesnas.report.findings import steps_taken

NAMES = ("wine", "breast-cancer", "diabetes", "digits", "mnist", "fashion-mnist")
KINDS = ("default", "weights", "validation", "shorter", "longer", "tuned")
IMAGES = {"mnist": 10_000, "fashion-mnist": 3_615}  # rows to fit on and to choose by
KL_WEIGHTS = (1.0, 0.3, 0.1)
LENGTHS = {"shorter": 1 / 8, "longer": 2.0}  # in lengths of the default fit
Make = Callable[..., BayesianModel]
Cell = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Study:
    """A model on a data set: how it is made, and what is tried besides its defaults."""

    data: str
    title: str
    make: Make
    options: tuple[Cell, ...] = ()

    def fits(self, kind: str, default: Cell) -> Iterator[tuple[str, Cell, Cell]]:
        """Name, arguments of the model and of the fit, of every fit of a kind."""
        if kind == "default":
            yield "default", {}, {}
        elif kind == "validation":
            yield kind, {}, {"kl_weight": "validation"}
        elif kind in LENGTHS:
            yield kind, {}, {"steps": round(LENGTHS[kind] * default["steps"])}
        elif kind == "weights":
            yield "λ", {}, {"kl_weight": KL_WEIGHTS, "batched": True}
        else:
            for rate in (default["lr"] / 3, 3 * default["lr"]):
                yield f"lr {rate:.2g}", {}, {"lr": rate}
            for options in self.options:
                words = ", ".join(f"{k.replace('_', ' ')} {v:g}" for k, v in options.items())
                yield words, options, {}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the fits")
    parser.add_argument("--data", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, metavar="KIND")
    parser.add_argument("--models", nargs="+", help="words that their names hold")
    parser.add_argument("--print", action="store_true", help="make no fit")
    args = parser.parse_args()
    cells = Cells(args.out / "cells.json")
    for kind in () if args.print else args.only:
        for name in args.data:
            data = loaded(name)
            for study in studies(name, data):
                if args.models is None or any(word in study.title for word in args.models):
                    fitted(study, kind, data, cells)
    for name in args.data:
        print_table(name, cells)
    print_choices(cells)


class Cells:
    """Figures of fits by name, in a file that is written after each."""

    def __init__(self, path: pathlib.Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self.values: dict[str, Cell] = json.loads(path.read_text()) if path.exists() else {}

    def add(self, name: str, value: Cell) -> None:
        self.values[name] = value
        write_atomically(self._path, json.dumps(self.values, indent=1).encode())

    def of(self, data: str, title: str) -> dict[str, Cell]:
        """Figures of the fits of a model on a data set, by the name of the fit."""
        split = {tuple(name.split(" | ")): value for name, value in self.values.items()}
        return {fit: value for (d, t, fit), value in split.items() if (d, t) == (data, title)}


def fitted(study: Study, kind: str, data: DataSet, cells: Cells) -> None:
    """Make the fits of a kind that are missing; that of all λ brings the default one."""
    there = cells.of(study.data, study.title)
    if kind in ("tuned", *LENGTHS) and "default" not in there:
        return
    for name, options, how in study.fits(kind, there.get("default", {})):
        if any(there_is.startswith(name) for there_is in there):
            continue
        model = study.make(**options)
        if kind == "validation":
            how["validation"] = data.validation
        post = bn.fit(model, data.train, compile="trace", progress=False, **how)
        title = f"{study.data} | {study.title}"
        if isinstance(post, bn.Posterior):
            cells.add(f"{title} | {name}", figures(post, data))
            continue
        usual = model.fit_defaults(len(data.train)).kl_weight
        weights: list[float] = list(post.kl_weights)
        for weight in weights:
            cell = figures(post.at(weight), data)
            cells.add(f"{title} | {name} {weight:g}", cell)
            if weight == usual and "default" not in there:
                cells.add(f"{title} | default", cell)  # the same fit


def figures(post: bn.Posterior, data: DataSet) -> Cell:
    assert data.test is not None
    assert data.validation is not None
    metrics = post.evaluate(data.test, draws=64)
    error = 100 * (1 - metrics["accuracy"]) if "accuracy" in metrics else metrics["rmse"]
    train = post.evaluate(data.train, draws=64)
    kl_weight = post.kl_weight
    return {
        "validation_nll": post.evaluate(data.validation, draws=64)["nll"],
        "nll": metrics["nll"],
        "error": error,
        "ece": metrics.get("ece"),
        "coverage": None if "ece" in metrics else post.metrics(data.test)["coverage"],
        "kept": kept_share(post, data.validation),
        "steps": steps_taken(post),
        "lr": post.settings.lr,
        "kl_weight": kl_weight,
        "bound": (train["expected_log_lik"] - kl_weight * train["kl"]) / len(data.train),
        "said": unconverged(post.records(), post.settings),
    }


def kept_share(post: bn.Posterior, validation: Split) -> float:
    """Share of the weights that are left: of groups as validation rows choose; of features."""
    if not post.model.weight_posteriors():
        return float((post.structure()["inclusion"] > 0.5).mean())
    by_groups = isinstance(post.model, bn.models.BayesianCompressionNet)
    how = {"by": "group", "validation": validation} if by_groups else {"threshold": 0.99}
    masks = post.prune(**how).model.keep_masks().values()
    return sum(int(m.sum()) for m in masks) / sum(m.numel() for m in masks)


# What is printed ------------------------------------------------------------------------------


def print_table(name: str, cells: Cells) -> None:
    if not any(key.startswith(f"{name} | ") for key in cells.values):
        return
    print(f"\n{name}\n")
    calibration = "covered, %" if name == "diabetes" else "ECE"
    print(f"| model | fit | log loss | error | {calibration} | kept, % | steps | gap | says |")
    print("|---|---|---|---|---|---|---|---|---|")
    titles = dict.fromkeys(key.split(" | ")[1] for key in cells.values if key.startswith(name))
    for title in titles:
        fits = cells.of(name, title)
        if "default" not in fits:
            continue
        default = fits["default"]
        gap = f"{fits['longer']['bound'] - default['bound']:.3f}" if "longer" in fits else ""
        print(row(title, "default", default, gap))
        others = ("validation", *LENGTHS)
        tried = {fit: value for fit, value in fits.items() if fit not in others}
        if len(tried) > 1:
            best = min(tried, key=lambda fit: float(tried[fit]["validation_nll"]))
            print(row("", f"tuned: {best}", tried[best], ""))
        if "validation" in fits:
            chosen = fits["validation"]
            print(row("", f"by validation: λ {chosen['kl_weight']:.2g}", chosen, ""))


def print_choices(cells: Cells) -> None:
    """Validation log loss at every λ: what the default λ was chosen by."""
    losses: dict[tuple[str, str], dict[float, float]] = {}
    for key, value in cells.values.items():
        name, title, fit = key.split(" | ")
        if fit[0] == "λ":
            losses.setdefault((title, name), {})[value["kl_weight"]] = value["validation_nll"]
    print("\nvalidation log loss at λ of\n")
    print("| model | data | " + " | ".join(f"{weight:g}" for weight in KL_WEIGHTS) + " |")
    print("|---|---|" + "---|" * len(KL_WEIGHTS))
    for (title, name), by_weight in sorted(losses.items()):
        if len(by_weight) > 1:
            shown = [f"{by_weight[w]:.3f}" if w in by_weight else "" for w in KL_WEIGHTS]
            print(f"| {title} | {name} | " + " | ".join(shown) + " |")


def row(title: str, fit: str, cell: Cell, gap: str) -> str:
    share = cell.get("coverage")
    covered = "" if share is None else f"{100 * share:.0f}"
    calibration = covered if cell["ece"] is None else f"{cell['ece']:.3f}"
    said = "" if cell["said"] is None else "not converged"
    return (
        f"| {title} | {fit} | {cell['nll']:.3f} | {cell['error']:.3g} | {calibration} | "
        f"{100 * cell['kept']:.0f} | {cell['steps']:,} | {gap} | {said} |"
    )


# Data and models ------------------------------------------------------------------------------


def loaded(name: str) -> DataSet:
    """Training, validation and test rows; of images the first of both for the first two."""
    if name == "wine":
        return wine()
    data = bn.data.load(name, validation=0.2, standardise=name not in ("digits", *IMAGES))
    if name not in IMAGES:
        return data
    assert data.validation is not None
    sizes = (IMAGES[name] * 4 // 5, IMAGES[name] // 5)
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


def studies(name: str, data: DataSet) -> list[Study]:
    """The models on a data set."""
    features = math.prod(data.train.x.shape[1:])
    numbers = data.info.task == "regression"
    outputs = 1 if numbers else int(data.info.classes or 0)
    likelihood = "gaussian" if numbers else "categorical"

    def net(cls: type[BayesianModel], **options: Any) -> Make:
        def make(**more: Any) -> BayesianModel:
            layers = bn.nn.mlp([features, 100, outputs])
            return cls(layers, likelihood=likelihood, **options, **more)

        return make

    smaller = ({"prior_scale": 0.3},), ({"slab_scale": 0.3},)
    made = [
        Study(name, "GaussianNet", net(bn.models.GaussianNet), smaller[0]),
        Study(name, "SpikeAndSlabNet", net(bn.models.SpikeAndSlabNet), smaller[1]),
    ]
    for prior in ("horseshoe", "normal-jeffreys"):
        make = net(bn.models.BayesianCompressionNet, prior=prior)
        made.append(Study(name, f"BayesianCompressionNet, {prior}", make))
    if numbers:
        for cls in (bn.models.ArdRegression, bn.models.SpikeAndSlabRegression):
            made.append(Study(name, cls.__name__, lambda cls=cls: cls(features)))
    return made


if __name__ == "__main__":
    main()
