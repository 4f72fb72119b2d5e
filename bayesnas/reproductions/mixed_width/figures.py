"""Accuracy against parameters, and under noise on the inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayesnas.plots.axes import percent
from bayesnas.plots.fit import BLACK, BLUE, ORANGE
from bayesnas.reproductions.mixed_width.fits import Compared
from bayesnas.reproductions.mixed_width.settings import NOISE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def mixed_width_figure(by_data: Mapping[str, Sequence[Compared]]) -> Figure:
    """A row a data set: test accuracy against parameters, and against the noise.

    Args:
        by_data: by data set, what came of every start.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.8 * len(by_data)), layout="constrained")
    rows = figure.subplots(len(by_data), 2, squeeze=False)
    for (left, right), (name, starts) in zip(rows, by_data.items(), strict=True):
        plot_sizes(starts, left)
        plot_noise(starts, right)
        left.set_title(name, loc="left", fontsize=11)
    rows[0][0].legend(frameon=False, fontsize=9)
    rows[0][1].legend(frameon=False, fontsize=9)
    return figure


def plot_sizes(starts: Sequence[Compared], ax: Axes) -> Axes:
    """A point a network: all random ones, the best of each random search, and the chosen ones."""
    drawn = [one for start in starts for one in start.random]
    for label, networks, colour, marker in (
        ("random", drawn, BLACK, "."),
        ("best of a random search", [start.best for start in starts], ORANGE, "s"),
        ("chosen by Γ", [start.proposed for start in starts], BLUE, "o"),
    ):
        sizes = [one.parameters for one in networks]
        clean = [one.test[0] for one in networks]
        ax.plot(sizes, clean, color=colour, marker=marker, linestyle="none", label=label)
    ax.set_xscale("log")
    ax.set_xlabel("parameters")
    return _labelled(ax)


def plot_noise(starts: Sequence[Compared], ax: Axes) -> Axes:
    """Means over the starts, bands of one standard error."""
    for label, networks, colour, marker in (
        ("best of a random search", [start.best for start in starts], ORANGE, "s"),
        ("chosen by Γ", [start.proposed for start in starts], BLUE, "o"),
    ):
        curves = np.array([one.test for one in networks])
        mean = curves.mean(0)
        ax.plot(NOISE, mean, color=colour, marker=marker, label=label)
        if len(curves) > 1:
            error = curves.std(0, ddof=1) / np.sqrt(len(curves))
            ax.fill_between(NOISE, mean - error, mean + error, color=colour, alpha=0.2, linewidth=0)
    ax.set_xlabel("standard deviation of the noise on the inputs")
    return _labelled(ax)


def _labelled(ax: Axes) -> Axes:
    percent(ax, "y")
    ax.set_ylabel("test accuracy")
    ax.grid(color="#E6E6E6", linewidth=0.6)
    return ax
