"""The frontier of accuracy against parameters, and the architectures at both ends of λ̃."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch.nn.functional as F

from bayesnas.models.architecture.latent_structure import LatentStructureNet
from bayesnas.plots.fit import BLACK, BLUE, ORANGE
from bayesnas.plots.structure.graph import plot_graph
from bayesnas.reproductions.darts_cc.retraining import Retrained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def frontier_figure(by_data: Mapping[str, Mapping[str, Sequence[Sequence[Retrained]]]]) -> Figure:
    """A panel a data set.

    Args:
        by_data: by data set and method, for every start its architectures.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6 * len(by_data), 4.4), layout="constrained")
    panels = figure.subplots(1, len(by_data), squeeze=False)[0]
    for ax, (name, methods) in zip(panels, by_data.items(), strict=True):
        plot_methods(methods, ax)
        ax.set_title(name, loc="left", fontsize=11)
    panels[0].legend(frameon=False, fontsize=9)
    return figure


def plot_methods(methods: Mapping[str, Sequence[Sequence[Retrained]]], ax: Axes) -> Axes:
    """Points for the baselines, a line a search for ours."""
    for method, colour, marker, line in (
        ("random", BLACK, ".", "none"),
        ("DARTS", ORANGE, "s", "none"),
        ("DARTS-CC", BLUE, "o", "-"),
    ):
        for index, start in enumerate(methods.get(method, ())):
            ax.plot(
                [one.parameters for one in start],
                [one.accuracy for one in start],
                color=colour,
                marker=marker,
                linestyle=line,
                alpha=0.8,
                label=method if index == 0 else None,
            )
    ax.set_xscale("log")
    ax.set_xlabel("parameters")
    ax.set_ylabel("test accuracy")
    ax.grid(color="#E6E6E6", linewidth=0.6)
    return ax


def ends_figure(low: LatentStructureNet, high: LatentStructureNet) -> Figure:
    """The likeliest operations of every edge at the smallest and at the largest λ̃."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 11))
    titles = "smallest λ̃", "largest λ̃"
    for ax, model, title in zip(figure.subplots(2, 1), (low, high), titles, strict=True):
        likeliest = {
            edge: F.one_hot(values.argmax(), len(values))
            for edge, values in model.probabilities().items()
        }
        plot_graph(model.graph, dict(likeliest.items()), ax=ax, least=0.5)
        ax.set_title(title, loc="left")
    return figure
