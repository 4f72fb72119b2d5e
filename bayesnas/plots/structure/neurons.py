"""A graph of single neurons, from the inputs on the left to the outputs on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesnas.nn.grown.activations import ACTIVATIONS
from bayesnas.nn.grown.neuron_graph import NeuronGraph
from bayesnas.plots.axes import axes_or_new
from bayesnas.typed import typed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Place = tuple[float, float]


@typed()
def plot_neurons(graph: NeuronGraph, ax: Axes | None = None) -> Axes:
    """Draw every vertex that a connection leads from or to, coloured by its activation.

    A column holds the neurons of one length of the longest way from the inputs; the outputs stand
    behind all others.

    Args:
        graph: the graph.
        ax: axes to draw on.

    Raises:
        TypeError: for what is no graph of neurons.

    >>> from bayesnas.nn import NeuronGraph
    >>> from matplotlib.figure import Figure
    >>> graph = NeuronGraph(2, 1, ["tanh"], [(0, 4), (1, 4), (4, 3)])
    >>> axes = plot_neurons(graph, ax=Figure().subplots())
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['input', 'output', 'tanh']
    """
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    ax = axes_or_new(ax)
    places = _places(graph)
    lines = [(places[source], places[target]) for source, target in graph.connections]
    width = 1.0 if len(lines) < 100 else 0.4
    ax.add_collection(LineCollection(lines, colors="#999999", linewidths=width, zorder=1))
    kinds = {vertex: _kind(graph, vertex) for vertex in places}
    colours = dict(zip(ACTIVATIONS, colormaps["tab10"](np.arange(len(ACTIVATIONS))), strict=True))
    for kind in ["input", "bias", "output", *ACTIVATIONS]:
        points = [places[vertex] for vertex, of_vertex in kinds.items() if of_vertex == kind]
        if points:
            colour = colours.get(kind, "#333333")
            marker = {"input": "s", "bias": "D", "output": "^"}.get(kind, "o")
            across, up = zip(*points, strict=True)
            ax.scatter(across, up, s=24, color=colour, marker=marker, label=kind, zorder=2)
    if kinds:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=6, fontsize=8)
    ax.axis("off")
    return ax


def _kind(graph: NeuronGraph, vertex: int) -> str:
    if vertex < graph.bias:
        return "input"
    if vertex == graph.bias:
        return "bias"
    return "output" if vertex < graph.first_hidden else graph.activation(vertex)


def _places(graph: NeuronGraph) -> dict[int, Place]:
    """Of connected vertices: column, and height from 0 to 1 in it."""
    connected = {vertex for pair in graph.connections for vertex in pair}
    depth = dict.fromkeys(range(graph.bias + 1), 0)
    for vertex in graph.order:
        depth[vertex] = 1 + max((depth[source] for source in graph.sources[vertex]), default=0)
    last = max(depth.values())
    depth |= dict.fromkeys(range(graph.bias + 1, graph.first_hidden), last)
    columns: dict[int, list[int]] = {}
    for vertex in sorted(connected):
        columns.setdefault(depth[vertex], []).append(vertex)
    return {
        vertex: (float(column), 1 - (row + 0.5) / len(members))
        for column, members in columns.items()
        for row, vertex in enumerate(members)
    }
