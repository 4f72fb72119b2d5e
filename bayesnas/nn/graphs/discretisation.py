"""One network out of a graph: a choice on every edge, and what then does nothing left out."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from bayesnas.nn.graphs.darts_operations import Together, Zero
from bayesnas.nn.graphs.topology import Edge, GraphLike, Vertex, as_edge, edge_name

Choice = str | tuple[str, ...] | Tensor
"""A primitive's name, several that are added up, or γ ``[K]``, of which the largest counts."""

Chosen = dict[tuple[Vertex, Vertex], dict[str, nn.Module]]


def chosen(graph: GraphLike, choice: Mapping[tuple[Vertex, Vertex], Choice]) -> Chosen:
    """Copies of the chosen primitives, one an edge.

    Raises:
        ValueError: where a mixed edge has no choice, or a name is none of its primitives.
    """
    by_edge = {as_edge(edge): name for edge, name in choice.items()}
    kept: Chosen = {}
    for edge in graph.edges:
        names = _names(graph, edge, by_edge.get(edge))
        modules = {name: copy.deepcopy(graph.primitive(edge, name)) for name in names}
        kept[edge] = modules if len(names) == 1 else {"+".join(names): Together(modules)}
    return kept


def likely_operations(
    graph: GraphLike, probabilities: Mapping[Edge, Tensor], *, several: bool
) -> dict[tuple[Vertex, Vertex], Choice]:
    """A choice for every edge: its likeliest operation, or with ``several`` all above ½.

    Where none is above ½ it is the likeliest, too.
    """
    choice: dict[tuple[Vertex, Vertex], Choice] = {}
    for edge, values in probabilities.items():
        pairs = zip(graph.names[edge], values.tolist(), strict=True)
        likely = tuple(name for name, probability in pairs if probability > 0.5)
        choice[edge] = likely if several and likely else values
    return choice


def _names(graph: GraphLike, edge: Edge, choice: Choice | None) -> tuple[str, ...]:
    known = graph.names[edge]
    if choice is None and len(known) == 1:
        return known
    if isinstance(choice, Tensor):
        return (known[int(choice.argmax())],)
    names = choice if isinstance(choice, tuple) else (choice,)
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        got = repr(wrong[0]) if wrong else "no name"
        raise ValueError(
            f"choice for edge {edge_name(edge)} must be one of {list(known)}, got {got}"
        )
    return tuple(str(name) for name in names)


def living_primitives(graph: GraphLike) -> Chosen:
    """Copies of the primitives of all edges that the value of a graph depends on.

    Raises:
        ValueError: for a graph with mixed edges.
    """
    if graph.mixed:
        raise ValueError(
            f"a graph must have one primitive on every edge, got several on {len(graph.mixed)} "
            "of them: make a choice first, graph.discrete(...)"
        )
    return {
        edge: {name: copy.deepcopy(graph.primitive(edge, name)) for name in graph.names[edge]}
        for edge in _living_edges(graph)
    }


def _living_edges(graph: GraphLike) -> tuple[Edge, ...]:
    """The edges of a graph without mixed ones that its value depends on.

    An edge that is :class:`~bayesnas.nn.graphs.darts_operations.Zero` adds nothing to a sum and is
    left out of it where something else arrives; zeros in a mean, a product or side by side count,
    so there it stays. Then every edge goes from which no way leads to the output any more.
    """
    left = []
    for vertex in graph.vertices[1:]:
        arriving = graph.incoming(vertex)
        if graph.aggregation[vertex] == "sum":
            others = [e for e in arriving if not _is_zero(graph, e)]
            arriving = others or arriving[:1]
        left += arriving
    reaching = {graph.output}
    for vertex in reversed(graph.vertices):
        reaching |= {source for source, target in left if target == vertex and vertex in reaching}
    return tuple(edge for edge in left if edge[1] in reaching)


def _is_zero(graph: GraphLike, edge: Edge) -> bool:
    return all(isinstance(graph.primitive(edge, name), Zero) for name in graph.names[edge])
