"""The six pruning figures of the source, and the two of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayesnas.plots.axes import percent
from bayesnas.plots.fit import BLACK, BLUE, GREEN, ORANGE, PURPLE
from bayesnas.reproductions.varhypernet import published
from bayesnas.reproductions.varhypernet.measure import FRACTIONS, Measured
from bayesnas.reproductions.varhypernet.settings import METHODS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINES = ((BLUE, "o", "-"), (ORANGE, "s", "--"), (GREEN, "^", "-."), (PURPLE, "D", ":"))
_ENDS = (FRACTIONS[0], FRACTIONS[-1])


def pruning_figure(by_fit: Mapping[tuple[str, float], Measured]) -> Figure:
    """Accuracy against the share of weights removed, a panel a method and a line a KL weight.

    Bands reach from the lowest to the highest start. Crosses are the published accuracies, whole
    and with 90 % removed (accuracy over stability); the lines between are not in the tables.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 11.0), layout="constrained")
    grid = figure.subplots(4, 2, sharex=True, sharey=True).ravel()
    for ax, (key, method) in zip(grid, METHODS.items(), strict=True):
        rows = [by_fit[key, kl_weight].accuracy for kl_weight in published.KL_WEIGHTS]
        plot_pruning(rows, ax)
        if key in published.ACCURACY:
            plot_published(key, ax)
        ax.set_title(f"({key}) {method.title}", loc="left", fontsize=11)
        ax.grid(color="#E6E6E6", linewidth=0.6)
        ax.label_outer()
    grid[0].plot([], [], color=BLACK, marker="x", linestyle="none", label="published")
    grid[0].legend(frameon=False, fontsize=9)
    return figure


def plot_pruning(rows: Sequence[list[list[float]]], ax: Axes) -> Axes:
    """Draw accuracies ``[kl_weight][start][fraction]``: means over the starts, and bands."""
    for kl_weight, starts, (colour, marker, line) in zip(
        published.KL_WEIGHTS, rows, _LINES, strict=True
    ):
        values = np.asarray(starts)
        ax.plot(
            FRACTIONS,
            values.mean(0),
            color=colour,
            marker=marker,
            markersize=4,
            linestyle=line,
            label=f"λ = {kl_weight:g}",
        )
        low, high = values.min(0), values.max(0)
        ax.fill_between(FRACTIONS, low, high, color=colour, alpha=0.2, linewidth=0)
    percent(ax, "x")
    percent(ax, "y")
    ax.set_xlabel("weights removed")
    ax.set_ylabel("test accuracy")
    return ax


def plot_published(key: str, ax: Axes) -> Axes:
    """Add the published accuracies of a method, whole and with 90 % of the weights removed."""
    for accuracy, stability, (colour, _, _) in zip(
        published.ACCURACY[key], published.STABILITY[key], _LINES, strict=True
    ):
        ax.plot(_ENDS, (accuracy, accuracy / stability), color=colour, marker="x", linestyle="none")
    return ax
