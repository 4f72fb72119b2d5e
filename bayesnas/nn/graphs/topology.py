"""Vertices, edges and aggregations of a graph: names, order, sums and checks."""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, Self

import torch
from torch import Tensor, nn

Edge = tuple[str, str]
Vertex = str | int
Primitives = nn.Module | Sequence[nn.Module] | Mapping[str, nn.Module]

AGGREGATIONS: dict[str, Callable[[list[Tensor]], Tensor]] = {
    "sum": lambda values: torch.stack(values).sum(0),
    "mean": lambda values: torch.stack(values).mean(0),
    "product": lambda values: torch.stack(values).prod(0),
    "concat": lambda values: torch.cat(values, 1),
}
"""What a vertex makes of the values that arrive: ``concat`` along the channels."""


def weighted_sum(outputs: Sequence[Tensor], gamma: Tensor) -> Tensor:
    """Σ_k γ_k g_k of an edge's K outputs ``[n, ...]``; γ ``[K]``, or ``[n, K]``, one an example.

    >>> weighted_sum([torch.ones(2, 1), torch.zeros(2, 1)], torch.tensor([[0.2, 0.8], [1.0, 0.0]]))
    tensor([[0.2000],
            [1.0000]])
    """
    # [n, 1, 1, 1] weighs examples, [] the batch.
    ones = (1,) * (outputs[0].ndim - 1) if gamma.ndim > 1 else ()
    shares = [share.reshape(share.shape + ones) for share in gamma.unbind(-1)]
    total = shares[0] * outputs[0]
    for share, output in zip(shares[1:], outputs[1:], strict=True):
        total = total + share * output
    return total


class GraphLike(Protocol):
    """What is read of a :class:`~bayesnas.nn.graphs.graph.Graph`, which describes each."""

    input: str
    output: str
    vertices: tuple[str, ...]
    edges: tuple[Edge, ...]
    names: dict[Edge, tuple[str, ...]]
    mixed: tuple[Edge, ...]
    aggregation: dict[str, str]
    shapes: dict[str, tuple[int, ...]]

    def primitive(self, edge: tuple[Vertex, Vertex], name: str) -> nn.Module:
        """One primitive of an edge."""
        ...

    def incoming(self, vertex: str) -> list[Edge]:
        """The edges that end at a vertex."""
        ...

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """As of any module."""
        ...

    def modules(self) -> Iterator[nn.Module]:
        """As of any module."""
        ...

    def eval(self) -> Self:
        """As of any module."""
        ...


def as_edge(edge: tuple[Vertex, Vertex]) -> Edge:
    """An edge with the names of its vertices as strings."""
    if not isinstance(edge, tuple) or len(edge) != 2:
        raise ValueError(f"an edge must be a pair (source, target), got {edge!r}")
    names = str(edge[0]), str(edge[1])
    for name in names:
        if not name or any(mark in name for mark in (".", "/", "->", '"')):
            raise ValueError(
                f"a vertex must have a name without '.', '/', '->' and '\"', got {name!r}"
            )
    return names


def edge_name(edge: Edge) -> str:
    """``source->target``, as the edge is called in messages and in the ``state_dict``."""
    return f"{edge[0]}->{edge[1]}"


def named_primitives(edge: object, primitives: Primitives) -> dict[str, nn.Module]:
    """The primitives of an edge by name; raises where there are none, or some are no modules."""
    if isinstance(primitives, nn.Module) and not isinstance(
        primitives, nn.ModuleList | nn.ModuleDict
    ):
        return {"0": primitives}
    if isinstance(primitives, Mapping | nn.ModuleDict):
        named = dict(primitives.items())
    else:
        named = {str(i): module for i, module in enumerate(primitives)}
    dotted = [name for name in named if not name or "." in name]
    if dotted:
        raise ValueError(f"edge {edge}: primitives must have names without '.', got {dotted}")
    wrong = [name for name, module in named.items() if not isinstance(module, nn.Module)]
    if not named or wrong:
        got = f"no modules for {wrong}" if wrong else "an empty list"
        raise ValueError(f"edge {edge} must have one or more primitives (modules), got {got}")
    return named


def ordered_vertices(edges: Mapping[Edge, object]) -> tuple[str, ...]:
    """The vertices in an order of computation, the input first and the output last."""
    if not edges:
        raise ValueError("edges must hold one edge or more, got none")
    before: dict[str, list[str]] = {}
    for source, target in edges:
        before.setdefault(source, [])
        before.setdefault(target, []).append(source)
    try:
        order = tuple(graphlib.TopologicalSorter(before).static_order())
    except graphlib.CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise ValueError(f"edges must form no cycle, got {cycle}") from None
    sources = {source for source, _ in edges}
    inputs = [vertex for vertex in order if not before[vertex]]
    outputs = [vertex for vertex in order if vertex not in sources]
    for kind, ends in (("input, where nothing arrives", inputs), ("output", outputs)):
        if len(ends) != 1:
            raise ValueError(f"edges must have one vertex that is the {kind}, got {ends}")
    return order


def aggregation_by_vertex(
    given: str | Mapping[Vertex, str], vertices: Sequence[str]
) -> dict[str, str]:
    """The aggregation of every vertex; raises where a vertex or an aggregation is unknown."""
    by_vertex = {str(v): kind for v, kind in given.items()} if isinstance(given, Mapping) else {}
    unknown = sorted(set(by_vertex) - set(vertices))
    if unknown:
        raise ValueError(f"aggregation must name vertices that edges end at, got {unknown}")
    default = given if isinstance(given, str) else "sum"
    kinds = {vertex: by_vertex.get(vertex, default) for vertex in vertices}
    for vertex, kind in kinds.items():
        if kind not in AGGREGATIONS:
            raise ValueError(
                f"aggregation of vertex {vertex!r} must be one of {list(AGGREGATIONS)}, "
                f"got {kind!r}"
            )
    return kinds
