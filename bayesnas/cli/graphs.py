"""Graphs of operations that files describe, and their architectures as networks for data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import nn

from bayesnas.data import DataSet
from bayesnas.inference.search.space import architecture
from bayesnas.nn import Graph
from bayesnas.nn.graphs.topology import Primitives, Vertex
from bayesnas.tensor_files import read_json

_DATA = "data"  # the vertex of rows as they come, where a graph takes another shape


def read_graph(path: Path) -> Graph:
    """The graph in a file of ``json.dump(graph.to_dict())``, with fresh weights.

    Raises:
        FileNotFoundError: there is none.
        ValueError: naming the file, where it is no description of a graph.
    """
    if not path.is_file():
        raise FileNotFoundError(f"graph: there is no file {path}")
    content = read_json(path)
    try:
        with torch.random.fork_rng(devices=[]):
            return Graph.from_dict(content)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"graph: {path} must be JSON of Graph.to_dict(), got: {error}") from error


def network_of_graph(graph: Graph, operations: Mapping[str, str], data: DataSet) -> Graph:
    """One architecture of a graph, without dead edges, that takes rows as the data have them.

    Args:
        graph: with or without mixed edges.
        operations: a name for every mixed edge.
        data: whose rows have as many values as the inputs of the graph.

    Raises:
        ValueError: naming the argument, for an edge without an operation, an unknown one, or a
            graph whose inputs are of another size.
    """
    if not graph.mixed and operations:
        raise ValueError(f"operations: no edge has several, got {', '.join(operations)}")
    try:
        choice = architecture(graph, operations) if graph.mixed else {}
    except ValueError as error:
        raise ValueError(f"operations: {error}") from error
    alone = graph.discrete(dict(choice.items())).without_dead_edges()
    return _taking(alone, tuple(data.train.first(1).x.shape[1:]))


def _taking(graph: Graph, rows: tuple[int, ...]) -> Graph:
    """The graph with an edge in front that gives rows the shape that it takes."""
    expected = tuple(graph.shapes[graph.input])
    if rows == expected:
        return graph
    if torch.Size(rows).numel() != torch.Size(expected).numel():
        raise ValueError(
            f"graph must take rows of shape {['n', *rows]}, as the data have them, or of as many "
            f"values, got inputs of shape {['n', *expected]}"
        )
    shaping = [nn.Flatten(), nn.Unflatten(1, expected)]
    shaping = shaping[:1] if len(expected) == 1 else shaping[1:] if len(rows) == 1 else shaping
    start = _DATA + "_" * sum(vertex.startswith(_DATA) for vertex in graph.vertices)
    edges: dict[tuple[Vertex, Vertex], Primitives] = {(start, graph.input): nn.Sequential(*shaping)}
    for edge in graph.edges:
        edges[edge] = {name: graph.primitive(edge, name) for name in graph.names[edge]}
    aggregation = cast(Mapping[Vertex, str], graph.aggregation)
    return Graph(edges, example=torch.zeros(2, *rows), aggregation=aggregation)
