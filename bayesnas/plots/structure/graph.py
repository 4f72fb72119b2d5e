"""A graph drawn with what is known of its operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from bayesnas.checks import fraction_in
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.serialisation import check_probabilities
from bayesnas.nn.graphs.topology import Edge, Vertex
from bayesnas.plots.axes import axes_or_new
from bayesnas.typed import typed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDEST = 4.0  # points, at probability 1
_SPREAD = 0.35  # bend of the outermost arrow of an edge
_FIXED = "#999999"


@typed()
def plot_graph(
    graph: Graph,
    probabilities: Mapping[tuple[Vertex, Vertex], Tensor] | None = None,
    ax: Axes | None = None,
    *,
    least: float = 0.0,
) -> Axes:
    """Vertices from left to right, an arrow an operation, as wide as it is probable.

    Args:
        graph: the graph.
        probabilities: inclusion probabilities by mixed edge, ``[K]``; without them the operations
            of an edge are equally wide.
        ax: axes to draw on.
        least: operations less probable than this are left out.

    Raises:
        ValueError: for probabilities of an unknown edge, or another number than it has primitives.

    >>> import bayesnas as bn
    >>> from matplotlib.figure import Figure
    >>> graph = bn.nn.cells(["normal"], channels=4, nodes=2, image=8)
    >>> axes = plot_graph(graph, ax=Figure().subplots())
    >>> [text.get_text() for text in axes.texts if text.get_text()][:2]
    ['x', 'stem']
    """
    from matplotlib import colormaps
    from matplotlib.lines import Line2D

    least = fraction_in("least", least)
    ax = axes_or_new(ax)
    known = check_probabilities(graph, probabilities or {})
    places = _places(graph)
    kinds = sorted({name for edge in graph.mixed for name in graph.names[edge]})
    colours = dict(zip(kinds, colormaps["tab10"](np.arange(len(kinds)) % 10), strict=True))
    for edge in graph.edges:
        names = graph.names[edge]
        mixed = edge in graph.mixed
        values = known.get(edge, [1 / len(names)] * len(names))
        bends = np.linspace(-_SPREAD, _SPREAD, len(names)) if mixed else np.zeros(1)
        for name, probability, bend in zip(names, values, bends, strict=True):
            if probability >= least:
                colour = colours[name] if mixed else _FIXED
                width = _WIDEST * probability if mixed else 1.0
                _arrow(ax, places, edge, float(bend), width, colour)
    for vertex, (across, up) in places.items():
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": "#333333"}
        ax.text(across, up, vertex, ha="center", va="center", fontsize=8, bbox=box, zorder=3)
    lines = [Line2D([], [], color=colours[kind], label=kind) for kind in kinds]
    if lines:
        ax.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4)
    ax.update_datalim(list(places.values()))  # texts and arrows alone leave the limits as they are
    ax.margins(0.1)
    ax.axis("off")
    return ax


def _arrow(
    ax: Axes,
    places: Mapping[str, tuple[float, float]],
    edge: Edge,
    bend: float,
    width: float,
    colour: object,
) -> None:
    style = {
        "arrowstyle": "-|>",
        "color": colour,
        "linewidth": width,
        "shrinkA": 12,
        "shrinkB": 12,
        "connectionstyle": f"arc3,rad={bend}",
    }
    ax.annotate("", places[edge[1]], places[edge[0]], arrowprops=style, zorder=1)


def _places(graph: Graph) -> dict[str, tuple[float, float]]:
    """A column for every length of the longest way from the input, vertices spread in it."""
    depth = {graph.input: 0}
    for vertex in graph.vertices[1:]:
        depth[vertex] = 1 + max(depth[source] for source, _ in graph.incoming(vertex))
    columns: dict[int, list[str]] = {}
    for vertex in graph.vertices:
        columns.setdefault(depth[vertex], []).append(vertex)
    places = {}
    for column, members in columns.items():
        for row, vertex in enumerate(members):
            # A slant by column keeps vertices that stand alone in theirs off one line.
            up = row - (len(members) - 1) / 2 + 0.4 * np.sin(1.7 * column)
            places[vertex] = (float(column), float(up))
    return places
