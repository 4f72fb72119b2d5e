"""What operations cost: n of the complexity prior p(Γ) ∝ exp(−⟨γ, n⟩/c)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.topology import Edge, Vertex, edge_name

COSTS = ("parameters", "multiply-adds", "latency")

Cost = str | Mapping[tuple[Vertex, Vertex], Sequence[float]] | Mapping[str, Sequence[float]] | None
"""A name out of ``COSTS``, or the numbers by mixed edge, ``("x", "h")`` or ``"x->h"``."""


def operation_costs(graph: Graph, cost: Cost) -> dict[Edge, tuple[float, ...]]:
    """Cost n of every operation, by mixed edge.

    Args:
        graph: the graph.
        cost: ``"parameters"``, ``"multiply-adds"``, ``"latency"`` (microseconds of a forward pass,
            measured here and now), numbers of one's own, or None for zeros.

    Raises:
        ValueError: for an unknown name, an edge without as many numbers >= 0 as it has operations,
            or an edge that is no mixed one.

    >>> from torch import nn, zeros
    >>> graph = Graph({("x", "y"): [nn.Linear(4, 2), nn.Linear(4, 2, False)]}, example=zeros(1, 4))
    >>> operation_costs(graph, "parameters"), operation_costs(graph, {"x->y": [3.0, 0.5]})
    ({('x', 'y'): (10, 8)}, {('x', 'y'): (3.0, 0.5)})
    """
    costs: Mapping[Edge, Sequence[float]]
    if cost is None:
        return {edge: (0.0,) * len(graph.names[edge]) for edge in graph.mixed}
    if isinstance(cost, Mapping):
        return _checked_cost(graph, cost)
    if cost not in COSTS:
        raise ValueError(f"cost must be one of {list(COSTS)} or numbers by edge, got {cost!r}")
    if cost == "latency":
        seconds = graph.latencies()
        costs = {edge: [1e6 * s for s in times] for edge, times in seconds.items()}
    else:
        costs = graph.parameter_counts if cost == "parameters" else graph.multiply_adds
    return {edge: tuple(costs[edge]) for edge in graph.mixed}


def _checked_cost(
    graph: Graph,
    cost: Mapping[tuple[Vertex, Vertex], Sequence[float]] | Mapping[str, Sequence[float]],
) -> dict[Edge, tuple[float, ...]]:
    given = {
        edge if isinstance(edge, str) else edge_name((str(edge[0]), str(edge[1]))): tuple(numbers)
        for edge, numbers in cost.items()
    }
    known = {edge_name(edge): edge for edge in graph.mixed}
    if set(given) != set(known):
        raise ValueError(f"cost must name the mixed edges {sorted(known)}, got {sorted(given)}")
    for name, numbers in given.items():
        count = len(graph.names[known[name]])
        if len(numbers) != count or not all(0 <= n < math.inf for n in numbers):
            raise ValueError(
                f"cost of edge {name} must be {count} finite numbers >= 0, got {list(numbers)}"
            )
    return {known[name]: numbers for name, numbers in given.items()}
