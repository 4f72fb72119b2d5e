"""The frontier of error against bytes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from bayesnas.plots.fit import BLACK, BLUE, GREEN
from bayesnas.reproductions.small_nets.measure import Point
from bayesnas.reproductions.small_nets.settings import SmallNet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE = {"normal-jeffreys": (BLUE, "o"), "horseshoe": (GREEN, "s")}


def frontier_figure(points: Sequence[Point], nets: Sequence[SmallNet]) -> Figure:
    """A panel a net: files as dots, means over seeds as lines, published nets as crosses."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4 * len(nets), 4.2), layout="constrained")
    panels = figure.subplots(1, len(nets), squeeze=False)[0]
    for ax, small in zip(panels, nets, strict=True):
        plot_net([p for p in points if p.net == small.recipe.title], small, ax)
    return figure


def plot_net(points: Sequence[Point], small: SmallNet, ax: Axes) -> Axes:
    """One panel: the abscissa is logarithmic, small files to the right."""
    for prior in small.priors:
        colour, marker = _STYLE[prior]
        of_prior = [p for p in points if p.prior == prior]
        ax.plot(
            [p.size for p in of_prior], [p.error for p in of_prior],
            color=colour, marker=marker, linestyle="none", markersize=3, alpha=0.5,
        )  # fmt: skip
        done = dict.fromkeys(p.done for p in of_prior)
        steps = [[p for p in of_prior if p.done == name] for name in done]
        ax.plot(
            [fmean(p.size for p in step) for step in steps],
            [fmean(p.error for p in step) for step in steps],
            color=colour, marker=marker, markersize=5, label=prior,
        )  # fmt: skip
    for row in small.published:
        if row.size is not None:
            ax.plot(row.size, row.error, color=BLACK, marker="x", linestyle="none")
            name = f" {row.method.partition(' (')[0].partition(', as')[0]}"
            ax.annotate(name, (row.size, row.error), fontsize=7, va="bottom")
    for size, wrong in small.goals.items():
        ax.plot(size, wrong, color=BLACK, marker="+", markersize=9, linestyle="none")
    ax.set_xscale("log")
    ax.invert_xaxis()
    ax.set_xlabel("bytes on disk")
    ax.set_ylabel("test error, %")
    ax.set_title(small.recipe.title, loc="left", fontsize=11)
    ax.legend(frameon=False, fontsize=8)
    return ax
