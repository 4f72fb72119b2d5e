"""Louizos, Ullrich and Welling (2017): Bayesian compression of two nets for MNIST.

Whole groups of weights are removed, or single ones, in stages with fits between them; the table
of the source beside ours, error against size, the threshold that held-out data would choose, and
what is left of the first layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import bayesnas as bn
from bayesnas.data import DataSet
from bayesnas.files import write_atomically
from bayesnas.models import BayesianCompressionNet
from bayesnas.models.compression.threshold_sweep import knee
from bayesnas.report.figure import write_figure
from bayesnas.report.tables import rows_as_csv
from bayesnas.reproductions.base import Comparison, Reproduced, Reproduction, Request, claim
from bayesnas.reproductions.bayesian_compression import published
from bayesnas.reproductions.bayesian_compression.figures import (
    first_layer_figure,
    frontier_figure,
    sweep_figure,
)
from bayesnas.reproductions.bayesian_compression.fits import Fitted, Start
from bayesnas.reproductions.bayesian_compression.measure import Measured, error, measured
from bayesnas.reproductions.bayesian_compression.settings import (
    LENET_5,
    LENET_300_100,
    PRIORS,
    QUICK,
    QUICK_LENET_5,
    Recipe,
)
from bayesnas.reproductions.tables import write_comparisons

if TYPE_CHECKING:
    import xarray as xr

STARTS = 3
HELD_OUT = 1 / 12  # 5,000 of 60,000
_FILES = ("stages.csv", "frontier.png", "sweep.png")
_FIRST_LAYER = "first-layer.png"


def run(whole: Recipe, quick: Recipe, request: Request) -> Reproduced:
    """Fit, measure and write the tables ``comparison`` and ``stages`` and the pictures.

    Args:
        whole: what is done.
        quick: what is done instead where ``request.quick``.
        request: folder, starts, device and progress.

    Raises:
        ValueError: where the folder holds a reproduction with other settings.
        FileNotFoundError: MNIST is not there and can't be downloaded.
    """
    recipe = quick if request.quick else whole
    starts = request.seeds or (1 if request.quick else STARTS)
    data = _load(recipe, request)
    # Not how many starts: a second call may ask for more.
    claim(request.out, {**recipe.to_dict(), "fingerprint": data.train.fingerprint})
    rows: list[Measured] = []
    ends: dict[tuple[str, str], Fitted] = {}
    for seed in range(starts):
        for prior in PRIORS:
            for row, fitted in _measured_start(recipe, prior, seed, data, request):
                rows.append(row)
                if row.last and seed == 0:
                    ends[prior, row.way] = fitted
    sweeps, at_knee = _chosen_by_validation(recipe, request)
    comparisons = [*compare(rows, recipe), *at_knee]
    files = _write(request.out, comparisons, rows)
    write_figure(frontier_figure(rows, recipe), files["frontier.png"])
    write_figure(sweep_figure(sweeps), files["sweep.png"])
    files[_FIRST_LAYER] = request.out / _FIRST_LAYER
    write_figure(first_layer_figure(ends, recipe), files[_FIRST_LAYER])
    notes = remarks(recipe, starts)
    settings = {**recipe.to_dict(), "starts": starts}
    return Reproduced(whole.name, settings, notes, comparisons, files)


REPRODUCTION = Reproduction(
    "Bayesian compression of LeNet-300-100", published.REFERENCE, partial(run, LENET_300_100, QUICK)
)
REPRODUCTION_LENET_5 = Reproduction(
    "Bayesian compression of LeNet-5-Caffe",
    published.REFERENCE,
    partial(run, LENET_5, QUICK_LENET_5),
)


def compare(rows: Sequence[Measured], recipe: Recipe) -> Iterator[Comparison]:
    """Where ways end, beside the rows of the source."""
    for quantity, name in _QUANTITIES.items():
        for way, removed in recipe.ends.items():
            for prior in PRIORS:
                ours = [row for row in rows if row.last and (row.way, row.prior) == (way, prior)]
                theirs = recipe.row(way, prior)
                yield Comparison(
                    {"removed": removed, "prior": prior},
                    quantity,
                    None if theirs is None else getattr(theirs, name),
                    tuple(getattr(row, name) for row in ours),
                )


_QUANTITIES = {
    "test error, %": "error",
    "weights kept, %": "kept",
    "times smaller by pruning": "pruning",
    "times smaller, fast prediction": "fast",
    "times smaller, maximum": "maximum",
}


def remarks(recipe: Recipe, starts: int) -> list[str]:
    """What was run, and what is not as in the source."""
    epochs = recipe.pretraining.epochs
    chosen = (
        "the settings were chosen on held-out training data"
        if recipe.published
        else "the settings are there to see it work"
    )
    what = {"groups": "groups", "weights": "single weights"}
    ways = [
        f"{sum(stage.epochs for stage in stages)} while {what[way]} go"
        for way, stages in recipe.ways.items()
    ]
    if recipe.weights_from == "groups":
        between, beside = ", then ", ""
    else:
        between = ", or "
        beside = (
            " The figures beside those of single weights are its row for sparse variational "
            "dropout."
        )
    return [
        f"{recipe.title} on {recipe.data}, {starts} {'start' if starts == 1 else 'starts'}: "
        f"{epochs} epochs of maximum likelihood, {recipe.first.epochs} of a first fit, then "
        f"{between.join(ways)}.",
        f"How much is removed is set by size; {chosen}.",
        "The source removes once, by a threshold for each layer, does not fit again, and has no "
        f"noise on the inputs.{beside}",
        "Errors are those of the posterior means. 'At the knee' is removal by one threshold "
        "chosen on held-out training data, without a fit after it.",
    ]


def _load(recipe: Recipe, request: Request, validation: float = 0.0) -> DataSet:
    flatten = recipe.shape is not None
    return bn.data.load(recipe.data, root=request.root, flatten=flatten, validation=validation)


def _measured_start(
    recipe: Recipe, prior: str, seed: int, data: DataSet, request: Request
) -> Iterator[tuple[Measured, Fitted]]:
    assert data.test is not None
    folder = request.out / "fits"
    start = Start(
        recipe, prior, seed, data.train, folder / f"{prior}-{seed}", folder / f"{seed}.safetensors",
        request,
    )  # fmt: skip
    last = {way: len(recipe.ways[way]) - 1 for way in recipe.ends}
    for fitted in start.fitted():
        is_last = last.get(fitted.way) == fitted.index
        row = measured(fitted, prior, seed, data.test, start.size, is_last)
        request.say(
            f"{prior}, seed {seed}, {row.way}: {row.architecture}, {row.kept:.2f} % of the "
            f"weights, test error {row.error:.2f} %"
        )
        yield row, fitted


def _chosen_by_validation(
    recipe: Recipe, request: Request
) -> tuple[Mapping[str, xr.Dataset], list[Comparison]]:
    """The sweep of each prior on held-out training data, and the test error at its knee."""
    data = _load(recipe, request, HELD_OUT)
    assert data.validation is not None
    assert data.test is not None
    folder = request.out / "fits" / "held-out"
    sweeps, rows = {}, []
    for prior in PRIORS:
        net = folder / "0.safetensors"
        start = Start(recipe, prior, 0, data.train, folder / prior, net, request)
        first = start.first()
        model = first.posterior.model
        assert isinstance(model, BayesianCompressionNet)
        sweeps[prior] = model.group_sweep(*data.validation)
        smaller = first.posterior.prune(by="group", threshold=knee(sweeps[prior]))
        kept = smaller.complexity()
        for quantity, value in (
            ("test error, %", error(smaller.compact(), *data.test)),
            ("weights kept, %", 100 * kept["parameters_kept"] / kept["parameters"]),
        ):
            labels = {"removed": "groups, at the knee", "prior": prior}
            rows.append(Comparison(labels, quantity, None, (value,)))
    return sweeps, rows


def _write(
    out: Path, comparisons: Sequence[Comparison], rows: Sequence[Measured]
) -> dict[str, Path]:
    files = write_comparisons(out, comparisons)
    files |= {name: out / name for name in _FILES}
    write_atomically(files["stages.csv"], rows_as_csv([row.to_dict() for row in rows]).encode())
    return files
