"""The frontier between error and size, the sweep of the threshold, what the first layer reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from bayesnas.models import BayesianCompressionNet
from bayesnas.models.compression.threshold_sweep import knee
from bayesnas.plots.fit import BLACK, BLUE, GREEN
from bayesnas.plots.structure.groups import plot_footprints, plot_group_sweep, plot_inputs
from bayesnas.reproductions.bayesian_compression.fits import Fitted
from bayesnas.reproductions.bayesian_compression.measure import Measured
from bayesnas.reproductions.bayesian_compression.settings import Recipe

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE = {"normal-jeffreys": (BLUE, "o"), "horseshoe": (GREEN, "s")}
_LINES = {"groups": "--", "weights": "-"}
_UNITS = 20  # footprints shown


def frontier_figure(measured: Sequence[Measured], recipe: Recipe) -> Figure:
    """Test error against the share of the weights that is left, a line a start and a way down."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    plot_frontier(measured, recipe, figure.subplots())
    return figure


def plot_frontier(measured: Sequence[Measured], recipe: Recipe, ax: Axes) -> Axes:
    """Draw the stages of every start as lines, and the published nets as crosses."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for prior, seed in dict.fromkeys((row.prior, row.seed) for row in measured):
        colour, marker = _STYLE[prior]
        rows = [row for row in measured if (row.prior, row.seed) == (prior, seed)]
        for way in recipe.ways:
            path = _path(rows, way, recipe)
            ax.plot(
                [row.kept for row in path],
                [row.error for row in path],
                color=colour,
                marker=marker,
                markersize=4,
                linestyle=_LINES[way],
                alpha=0.8,
                label=f"{prior}, {way}" if seed == rows[0].seed == measured[0].seed else None,
            )
    # Neighbours of the same error have their names on different sides.
    sides = (("left", "bottom"), ("right", "bottom"), ("left", "top"))
    for row, (across, up) in zip(recipe.published.values(), sides, strict=False):
        ax.plot(row.kept, row.error, color=BLACK, marker="x", linestyle="none")
        name, at = f"  {row.method}  ", (row.kept, row.error)
        ax.annotate(name, at, fontsize=8, ha=across, va=up)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.margins(x=0.12)
    ax.invert_xaxis()
    ax.set_xlabel("weights kept, %")
    ax.set_ylabel("test error, %")
    ax.legend(frameon=False, fontsize=8)
    return ax


def _path(rows: Sequence[Measured], way: str, recipe: Recipe) -> list[Measured]:
    """The stages of a way, after the one where it begins."""
    starts = [row for row in rows if row.way == recipe.begins(way)]
    return [*starts[-1:], *(row for row in rows if row.way == way)]


def sweep_figure(sweeps: Mapping[str, xr.Dataset]) -> Figure:
    """Validation error as the threshold falls, a panel a prior, with the knee."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8 * len(sweeps), 3.6), layout="constrained")
    panels = figure.subplots(1, len(sweeps), squeeze=False)[0]
    for ax, (prior, sweep) in zip(panels, sweeps.items(), strict=True):
        plot_group_sweep(sweep, ax, threshold=knee(sweep))
        ax.set_title(prior, loc="left", fontsize=11)
    return figure


def first_layer_figure(ends: Mapping[tuple[str, str], Fitted], recipe: Recipe) -> Figure:
    """What the first layer reads, a row a prior and way: inputs, and weights of its units.

    Inputs are the darker, the more weights read them. For a first layer of filters these
    alone are drawn.
    """
    from matplotlib.figure import Figure

    wide = 1 if recipe.shape is None else 2
    size = (4.8, 1.3) if wide == 1 else (8.0, 2.6)
    figure = Figure(figsize=(size[0], size[1] * len(ends)), layout="constrained")
    ratios = [1.0] if wide == 1 else [1.0, 3.0]
    panels = figure.subplots(len(ends), wide, squeeze=False, width_ratios=ratios)
    for row, ((prior, way), fitted) in zip(panels, ends.items(), strict=True):
        weights, shape = _footprints(fitted, recipe)
        if recipe.shape is not None:
            plot_inputs((weights != 0).sum(0), shape, row[0])
        strongest = weights.flatten(1).norm(dim=1).argsort(descending=True)[:_UNITS]
        plot_footprints(weights[strongest], shape, row[-1])
        row[0].set_title(f"{prior}, {recipe.ends[way]}", loc="left", fontsize=10)
    return figure


def _footprints(fitted: Fitted, recipe: Recipe) -> tuple[torch.Tensor, tuple[int, int]]:
    """Weights of the first layer by unit, ``[units, rows · columns]``, removed inputs as 0."""
    model = fitted.posterior.model
    assert isinstance(model, BayesianCompressionNet)
    net = model.plain_module().cpu()
    layer = next(m for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv2d)))
    weights = layer.weight.detach()
    if recipe.shape is None:
        return weights[:, 0].flatten(1), (int(weights.shape[-2]), int(weights.shape[-1]))
    rows, columns = recipe.shape
    whole = torch.zeros(len(weights), rows * columns)
    places = torch.arange(rows * columns) if fitted.inputs is None else fitted.inputs
    whole[:, places] = weights
    return whole, recipe.shape
