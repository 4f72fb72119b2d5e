"""What the primitives of a graph take, give and cost, found by running them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bayesnas.nn.costs import evaluating, run_counted
from bayesnas.nn.costs import latencies as net_latencies
from bayesnas.nn.graphs.topology import AGGREGATIONS, Edge, GraphLike, edge_name

Shapes = dict[str, tuple[int, ...]]
Counts = dict[Edge, tuple[int, ...]]


def measure(graph: GraphLike, example: Tensor) -> tuple[Shapes, Counts]:
    """Run two rows of an example once.

    Returns:
        shape of the value at every vertex, without the batch; multiply–adds an example of each
        primitive, by edge.

    Raises:
        ValueError: naming the edge or the vertex where shapes disagree.
    """
    counts: Counts = {}
    with torch.no_grad(), evaluating(cast(nn.Module, graph)):
        values = {graph.input: example[:2]}
        for vertex in graph.vertices[1:]:
            arriving = []
            for edge in graph.incoming(vertex):
                value, counts[edge] = _measured(graph, edge, values[edge[0]])
                arriving.append(value)
            values[vertex] = _aggregated(graph, vertex, arriving)
    return {vertex: tuple(value.shape[1:]) for vertex, value in values.items()}, counts


def latencies(graph: GraphLike, example: Tensor, repeats: int) -> dict[Edge, tuple[float, ...]]:
    """See ``Graph.latencies``."""
    seconds: dict[Edge, tuple[float, ...]] = {}
    for edge in graph.edges:
        x = example.new_ones(len(example), *graph.shapes[edge[0]])
        primitives = {name: graph.primitive(edge, name) for name in graph.names[edge]}
        seconds[edge] = tuple(net_latencies(primitives, x, repeats=repeats).values())
    return seconds


def size_of(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def _measured(graph: GraphLike, edge: Edge, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Output of an edge's first primitive, and the multiply–adds of all; they give one shape."""
    outputs: dict[str, Tensor] = {}
    counts = []
    for name in graph.names[edge]:
        try:
            outputs[name], count = run_counted(graph.primitive(edge, name), x)
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"edge {edge_name(edge)}: primitive {name!r} does not take values of shape "
                f"{['n', *x.shape[1:]]}: {error}"
            ) from error
        counts.append(count)
    shapes = {name: ["n", *value.shape[1:]] for name, value in outputs.items()}
    first: Tensor = next(iter(outputs.values()))
    if any(value.shape != first.shape for value in outputs.values()):
        raise ValueError(
            f"edge {edge_name(edge)}: primitives must give values of one shape, got {shapes}"
        )
    return first, tuple(counts)


def _aggregated(graph: GraphLike, vertex: str, arriving: list[Tensor]) -> Tensor:
    kind = graph.aggregation[vertex]
    try:
        return AGGREGATIONS[kind](arriving)
    except RuntimeError as error:
        shapes = {
            edge_name(edge): ["n", *value.shape[1:]]
            for edge, value in zip(graph.incoming(vertex), arriving, strict=True)
        }
        raise ValueError(
            f"vertex {vertex!r}: the edges that arrive must have shapes to {kind}, got {shapes}"
        ) from error
