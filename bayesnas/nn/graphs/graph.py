"""A network as an acyclic graph with several weighted primitives on every edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.checks import shown, size
from bayesnas.nn.graphs import serialisation as graph_spec
from bayesnas.nn.graphs.costs import latencies, measure, size_of
from bayesnas.nn.graphs.discretisation import Choice, chosen, living_primitives
from bayesnas.nn.graphs.topology import (
    AGGREGATIONS,
    Edge,
    Primitives,
    Vertex,
    aggregation_by_vertex,
    as_edge,
    edge_name,
    named_primitives,
    ordered_vertices,
    weighted_sum,
)
from bayesnas.typed import typed


@typed(unchecked=("edges",))
class Graph(nn.Module):
    r"""An acyclic graph (V, E), primitives on every edge, an aggregation at every vertex.

    .. math::
        f_v(x) = \mathrm{agg}_v \{ \sum_k \gamma^{jv}_k\, g^{jv}_k(f_j(x)) : (j, v) \in
            E\}, \qquad f_0(x) = x

    The structure parameters γ come in with every call, so a prior, a guide or an optimiser of
    them is nothing that the graph knows of. Every γ in [0, 1]^K gives a model.

    Args:
        edges: for every edge ``(source, target)`` its primitives: modules by name, a sequence of
            modules (named by their position), or one module, a fixed edge.
        example: an input ``[n, ...]`` by which all shapes are checked.
        aggregation: ``"sum"``, ``"mean"``, ``"product"`` or ``"concat"`` (along dim 1) for all
            vertices, or by vertex; where a vertex is not named, ``"sum"``.

    Attributes:
        input, output: the one vertex where nothing arrives, and the one from which nothing leaves.
        vertices: in an order in which they can be computed.
        edges: in the order of ``vertices``, then as given.
        names: names of the primitives, by edge.
        mixed: the edges with more than one primitive, which have a γ.
        shapes: shape of the value at every vertex, without the batch.
        parameter_counts: number of parameters of each primitive, by edge.
        multiply_adds: multiply–adds an example of each primitive, by edge.

    Raises:
        ValueError: for a cycle, several inputs or outputs, an edge without primitives, shapes
            that disagree, or an unknown aggregation, naming the edge or vertex.
        TypeError: for edges that are no mapping from pairs of vertices.

    References:
        Bakhteev, Strijov, *Comprehensive analysis of gradient-based hyperparameter optimization
        algorithms*, 2020, for models as graphs; Liu, Simonyan, Yang, *DARTS*, 2019.

    >>> import torch
    >>> options = {"free": nn.Linear(4, 8), "unbiased": nn.Linear(4, 8, bias=False)}
    >>> graph = Graph(
    ...     {("x", "h"): options, ("h", "y"): nn.Sequential(nn.Tanh(), nn.Linear(8, 3))},
    ...     example=torch.zeros(2, 4),
    ... )
    >>> graph.mixed, graph.shapes["h"], graph.multiply_adds["x", "h"]
    ((('x', 'h'),), (8,), (32, 32))
    >>> graph(torch.randn(5, 4), {("x", "h"): torch.tensor([1.0, 0.0])}).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        edges: Mapping[tuple[Vertex, Vertex], Primitives],
        *,
        example: Tensor,
        aggregation: str | Mapping[Vertex, str] = "sum",
    ) -> None:
        """Order the vertices, register the primitives, check shapes; see the class."""
        super().__init__()
        if not isinstance(edges, Mapping):
            raise TypeError(f"edges must be a mapping from pairs of vertices, got {shown(edges)}")
        given = {as_edge(edge): named_primitives(edge, choices) for edge, choices in edges.items()}
        self.vertices = ordered_vertices(given)
        self.input, self.output = self.vertices[0], self.vertices[-1]
        place = {vertex: i for i, vertex in enumerate(self.vertices)}
        # What arrives at a vertex stays in the order given: "concat" depends on it.
        self.edges = tuple(sorted(given, key=lambda edge: place[edge[1]]))
        self.names = {edge: tuple(given[edge]) for edge in self.edges}
        self.mixed = tuple(edge for edge in self.edges if len(self.names[edge]) > 1)
        self.aggregation = aggregation_by_vertex(aggregation, self.vertices[1:])
        self.primitives = nn.ModuleDict(
            {edge_name(edge): nn.ModuleDict(given[edge]) for edge in self.edges}
        )
        if not example.ndim:
            raise ValueError(f"example must be inputs [n, ...], got {shown(example)}")
        self.shapes, self.multiply_adds = measure(self, example)
        self.parameter_counts = {
            edge: tuple(size_of(self.primitive(edge, name)) for name in self.names[edge])
            for edge in self.edges
        }

    @typed()
    def primitive(self, edge: tuple[Vertex, Vertex], name: str) -> nn.Module:
        """One primitive of an edge.

        Raises:
            TypeError: naming an argument of another type.
            AttributeError: for an edge or a primitive that there is none of.
        """
        of_edge: nn.Module = self.primitives.get_submodule(edge_name(as_edge(edge)))
        return of_edge.get_submodule(name)

    @typed()
    def incoming(self, vertex: str) -> list[Edge]:
        """The edges that end at a vertex.

        Raises:
            TypeError: for a vertex that is no string.
        """
        return [edge for edge in self.edges if edge[1] == vertex]

    def forward(
        self,
        x: Tensor,
        gamma: Mapping[tuple[Vertex, Vertex], Tensor] | None = None,
        *,
        check: bool = True,
    ) -> Tensor:
        """The value at the output.

        Args:
            x: inputs ``[n, ...]``.
            gamma: γ by edge, ``[K]`` for the whole batch or ``[n, K]``, one an example. Needed
                for every mixed edge; a fixed edge without one has γ = 1. None weighs the
                primitives of each mixed edge by 1/K.
            check: whether to look at the values of γ; False inside a traced step.

        Raises:
            ValueError: naming the edge, for a missing γ, one of a wrong shape or outside
                [0, 1], or a γ of an unknown edge.
        """
        weights = self._weights(x, gamma, check)
        values = {self.input: x}
        for vertex in self.vertices[1:]:
            arriving = [
                self._edge_value(edge, values[edge[0]], weights.get(edge))
                for edge in self.incoming(vertex)
            ]
            values[vertex] = AGGREGATIONS[self.aggregation[vertex]](arriving)
        return values[self.output]

    def _edge_value(self, edge: Edge, x: Tensor, gamma: Tensor | None) -> Tensor:
        """Σ_k γ_k g_k(x) of an edge."""
        outputs: list[Tensor] = [self.primitive(edge, name)(x) for name in self.names[edge]]
        return outputs[0] if gamma is None else weighted_sum(outputs, gamma)

    def _weights(
        self, x: Tensor, gamma: Mapping[tuple[Vertex, Vertex], Tensor] | None, check: bool
    ) -> dict[Edge, Tensor]:
        """γ by edge, its shapes checked, and its values on request."""
        if gamma is None:
            return {
                e: x.new_full((len(self.names[e]),), 1 / len(self.names[e])) for e in self.mixed
            }
        weights = {as_edge(edge): value for edge, value in gamma.items()}
        missing = [edge_name(edge) for edge in self.mixed if edge not in weights]
        unknown = [edge_name(edge) for edge in weights if edge not in self.names]
        if missing or unknown:
            raise ValueError(
                f"gamma must be given for every mixed edge, got none for {missing} and "
                f"unknown edges {unknown}"
            )
        for edge, value in weights.items():
            count = len(self.names[edge])
            if tuple(value.shape) not in ((count,), (x.shape[0], count)):
                raise ValueError(
                    f"gamma of edge {edge_name(edge)} must be [{count}] or [{x.shape[0]}, "
                    f"{count}], got {list(value.shape)}"
                )
            if check and not bool(((value >= 0) & (value <= 1)).all()):
                raise ValueError(
                    f"gamma of edge {edge_name(edge)} must lie in [0, 1], got {value.tolist()}"
                )
        return weights

    @typed()
    def latencies(self, rows: int = 32, repeats: int = 15) -> dict[Edge, tuple[float, ...]]:
        """Seconds of a forward pass of each primitive, by edge: medians, on this machine.

        Args:
            rows: examples in a pass.
            repeats: passes timed, after five that are not, see :func:`~bayesnas.nn.latencies`.

        Raises:
            ValueError: naming a number below 1.
        """
        return latencies(self, self._like_inputs(size("rows", rows)), repeats)

    def to_dict(self) -> dict[str, Any]:
        """Vertices, edges and primitives as JSON values, without weights.

        Raises:
            UndescribableNetError: a primitive is no layer of ``torch.nn``, no operation of
                ``bayesnas.nn.graphs.darts_operations`` and no ``Sequential`` of layers of
                ``torch.nn``, or shares parameters with another.
        """
        return graph_spec.describe_graph(self)

    @classmethod
    @typed()
    def from_dict(cls, spec: Mapping[str, Any]) -> Graph:
        """The graph that :meth:`to_dict` described, with fresh weights.

        Raises:
            ValueError: the description is of another format, or incomplete.

        >>> import json
        >>> layers = {("x", "y"): [nn.Linear(2, 1), nn.Linear(2, 1, bias=False)]}
        >>> graph = Graph(layers, example=torch.zeros(1, 2))
        >>> Graph.from_dict(json.loads(json.dumps(graph.to_dict()))).parameter_counts
        {('x', 'y'): (3, 2)}
        """
        edges, aggregation, example = graph_spec.graph_arguments(spec)
        return cls(edges, aggregation=aggregation, example=example)

    @typed()
    def to_dot(self, probabilities: Mapping[tuple[Vertex, Vertex], Tensor] | None = None) -> str:
        """The graph in the DOT language: a line an operation, as wide as it is probable.

        Args:
            probabilities: by edge, ``[K]``.

        Raises:
            TypeError: for what is no mapping.
        """
        return graph_spec.dot(self, probabilities)

    @typed()
    def discrete(self, choice: Mapping[tuple[Vertex, Vertex], Choice]) -> Graph:
        """A graph with one primitive on every edge, copies of the chosen ones.

        Args:
            choice: for every mixed edge a primitive's name, names of several that are added up,
                or γ ``[K]``, of which the largest counts.

        Raises:
            ValueError: where a mixed edge has no choice, or a name is none of its primitives.
        """
        return self._with(dict(chosen(self, choice)))

    def without_dead_edges(self) -> Graph:
        """The same function without the edges that it does not depend on; copies of the others.

        A ``Zero`` is left out of a sum at which something else arrives, and then every edge from
        which no way leads to the output; vertices go with their edges.

        Raises:
            ValueError: for a graph with mixed edges: make a choice first, :meth:`discrete`.
        """
        return self._with(living_primitives(self))

    @property
    def parameter_count(self) -> int:
        """Number of parameters of all primitives together."""
        return sum(sum(counts) for counts in self.parameter_counts.values())

    @property
    def multiply_add_count(self) -> int:
        """Multiply–adds an example of all primitives together."""
        return sum(sum(counts) for counts in self.multiply_adds.values())

    def _with(self, primitives: Mapping[tuple[Vertex, Vertex], Primitives]) -> Graph:
        """A graph with some of the edges, its aggregations as here."""
        kept = {target for _, target in primitives}
        aggregation: dict[Vertex, str] = {v: k for v, k in self.aggregation.items() if v in kept}
        graph = Graph(primitives, example=self._like_inputs(2), aggregation=aggregation)
        return graph.train(self.training)

    def _like_inputs(self, rows: int) -> Tensor:
        """Zeros of the shape of the inputs, where the parameters are."""
        like = next(self.parameters(), torch.zeros(()))
        return torch.zeros(rows, *self.shapes[self.input], dtype=like.dtype, device=like.device)
