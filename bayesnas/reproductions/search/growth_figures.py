"""Figures of structures that grow: by generation, by step, by round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from bayesnas.inference.search import WeightAgnostic
from bayesnas.plots.structure.neurons import plot_neurons

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def weight_agnostic_figure(results: Sequence[WeightAgnostic]) -> Figure:
    """Performance and connections by generation, a line a seed, and the first graph."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 5.0), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 2))
    for each in results:
        history = each.history
        (line,) = left.plot(history.index, history.performance)
        left.plot(history.index, history.best_weight, ":", color=line.get_color())
        middle.plot(history.index, history.connections)
    left.set(xlabel="generation", ylabel="mean log-likelihood, nats (dotted: at the best weight)")
    middle.set(xlabel="generation", ylabel="connections of the best network")
    plot_neurons(results[0].graph, right)
    return figure


def add_del_figure(steps: pd.DataFrame) -> Figure:
    """Validation error against size, step by step, of features and of neurons."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.5), layout="constrained")
    panels = figure.subplots(1, 2)
    for ax, (name, of_seed) in zip(panels, steps.groupby("elements"), strict=True):
        for seed, path in of_seed.groupby("seed"):
            _walk(ax, path, f"seed {seed}")
        ax.set(xlabel=str(name), ylabel="validation error", yscale="log")
        ax.legend(frameon=False)
    return figure


def _walk(ax: Axes, path: pd.DataFrame, label: str) -> None:
    """A line through all steps, the kept ones marked."""
    (line,) = ax.plot(path["size"], path["error"], linewidth=0.8, alpha=0.6)
    kept = path[path.kept]
    ax.plot(kept["size"], kept["error"], "o", markersize=3, color=line.get_color(), label=label)


def adanet_figure(steps: pd.DataFrame) -> Figure:
    """Objective and depth of the candidates by round; those that joined are filled."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.5), layout="constrained")
    panels = figure.subplots(1, 2)
    for seed, of_seed in steps.groupby("seed"):
        joined = of_seed[of_seed.accepted]
        for ax, column in zip(panels, ("objective", "depth"), strict=True):
            (line,) = ax.plot(joined["round"], joined[column], "o-", label=f"seed {seed}")
            others = of_seed[~of_seed.accepted]
            ax.plot(others["round"], others[column], "o", mfc="none", color=line.get_color())
            ax.set(xlabel="round", ylabel=column)
    panels[0].set_yscale("log")
    panels[0].legend(frameon=False)
    return figure
