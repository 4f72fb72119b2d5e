"""Draws of the cascading Indian buffet process as pictures of networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from bayesnas.checks import seed_number
from bayesnas.distributions import CascadingIndianBuffet, LayeredGraph
from bayesnas.plots.axes import STYLE, axes_or_new
from bayesnas.plots.fit import BLUE, ORANGE
from bayesnas.typed import typed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARAMETERS = ((1.0, 1.0), (1.0, 0.5), (0.5, 1.0), (1.0, 2.0), (1.5, 1.0))
"""(α, β) of the draws in the figure of Adams, Wallach and Ghahramani."""


@typed()
def plot_cascade(graph: LayeredGraph, ax: Axes | None = None) -> Axes:
    """One network: a dot a unit, the visible ones below, a line from each unit to its parents.

    Args:
        graph: what to draw.
        ax: axes to draw on.

    Raises:
        TypeError: naming an argument of another type.

    >>> from bayesnas.distributions import CascadingIndianBuffet
    >>> from matplotlib.figure import Figure
    >>> graph = CascadingIndianBuffet(1.0, 1.0, width=10).sample()
    >>> plot_cascade(graph, Figure().subplots()).get_ylabel()
    'layer'
    """
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator

    ax = axes_or_new(ax)
    places = [_places(width, layer) for layer, width in enumerate(graph.widths)]
    lines = [
        (places[layer][below], places[layer + 1][above])
        for layer, matrix in enumerate(graph.connections)
        for below, above in matrix.nonzero().tolist()
    ]
    ax.add_collection(LineCollection(lines, colors="#9A9A9A", linewidths=0.7, zorder=1))
    for layer, place in enumerate(places):
        colour = ORANGE if layer == 0 else BLUE
        ax.scatter(place[:, 0], place[:, 1], s=28, color=colour, zorder=2, clip_on=False)
    half = max(graph.widths) / 2
    ax.set_xlim(-half, half)
    ax.set_ylim(-0.4, max(graph.depth, 1) + 0.4)
    ax.set_xticks([])
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel("layer")
    ax.grid(False)
    return ax


@typed()
def cascade_figure(
    parameters: Sequence[tuple[float, float]] = PARAMETERS, *, width: int = 10, seed: int = 0
) -> Figure:
    """One draw for every (α, β), side by side, with one scale of widths.

    Args:
        parameters: mass α and concentration β of every panel.
        width: number of visible units.
        seed: of the draws; torch's random state is left as it was.

    Returns:
        a figure that belongs to no window; ``figure.savefig(path)`` writes it.

    Raises:
        ValueError: no parameters, or some that are not positive.

    >>> len(cascade_figure([(1.0, 1.0), (2.0, 0.5)], width=5).axes)
    2
    """
    import matplotlib
    from matplotlib.figure import Figure

    if not parameters:
        raise ValueError("parameters must hold at least one pair (mass, concentration), got none")
    graphs = _draws(parameters, width, seed_number("seed", seed))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.6 * len(graphs), 3.6), layout="constrained")
        axes = figure.subplots(1, len(graphs), squeeze=False, sharex=True).ravel()
        for ax, graph, (mass, concentration) in zip(axes, graphs, parameters, strict=True):
            plot_cascade(graph, ax)
            ax.set_title(rf"$\alpha={mass:g}$, $\beta={concentration:g}$", weight="normal")
        for ax in axes[1:]:
            ax.set_ylabel("")
        half = max(max(graph.widths) for graph in graphs) / 2
        axes[0].set_xlim(-half, half)
        # Sizes and positions are settled under our style, not under the one at saving.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def _draws(parameters: Sequence[tuple[float, float]], width: int, seed: int) -> list[LayeredGraph]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [CascadingIndianBuffet(*pair, width).sample() for pair in parameters]


def _places(width: int, layer: int) -> np.ndarray:
    """Centred positions of the units of a layer, ``[width, 2]``."""
    x = np.arange(width) - (width - 1) / 2
    return np.stack([x, np.full(width, float(layer))], axis=1)
