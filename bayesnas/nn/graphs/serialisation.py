"""A graph as JSON values and back, and as a drawing in the DOT language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bayesnas.nn.graphs.darts_operations import FactorizedReduce, Together, Zero
from bayesnas.nn.graphs.topology import GraphLike, Primitives, Vertex, as_edge, edge_name
from bayesnas.nn.rebuilding.module_spec import UndescribableNetError, build, describe

FORMAT = 1

# Operations that torch.nn has not, with the arguments that make them.
_OF_BAYESNAS: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "Zero": (Zero, ("stride",)),
    "FactorizedReduce": (FactorizedReduce, ("in_channels", "out_channels")),
}


def describe_graph(graph: GraphLike) -> dict[str, Any]:
    """See ``Graph.to_dict``."""
    seen: dict[int, str] = {}
    for name, parameter in graph.named_parameters(remove_duplicate=False):
        if seen.setdefault(id(parameter), name) != name:
            raise UndescribableNetError(
                f"parameter {name!r} is tied to {seen[id(parameter)]!r}, which can't be described"
            )
    edges = [
        {
            "source": edge[0],
            "target": edge[1],
            "primitives": {n: _describe(graph.primitive(edge, n)) for n in graph.names[edge]},
        }
        for edge in graph.edges
    ]
    return {
        "format": FORMAT,
        "example": list(graph.shapes[graph.input]),
        "aggregation": dict(graph.aggregation),
        "edges": edges,
    }


def graph_arguments(
    spec: Mapping[str, Any],
) -> tuple[dict[tuple[Vertex, Vertex], Primitives], dict[Vertex, str], Tensor]:
    """Edges, aggregations and example out of a description.

    Raises:
        ValueError: for another format, or a part that is missing.
    """
    if spec.get("format") != FORMAT:
        raise ValueError(
            f"spec must be a graph description of format {FORMAT}, got {spec.get('format')!r}"
        )
    try:
        parts = {
            (edge["source"], edge["target"]): {
                name: _build(part) for name, part in edge["primitives"].items()
            }
            for edge in spec["edges"]
        }
        modules = (module for part in parts.values() for module in part.values())
        dtype = next((p.dtype for m in modules for p in m.parameters()), None)
        edges: dict[tuple[Vertex, Vertex], Primitives] = {**parts}
        example = torch.zeros(2, *spec["example"], dtype=dtype)
        return edges, dict(spec["aggregation"]), example
    except KeyError as error:
        raise ValueError(f"spec must hold {error}, got {sorted(spec)}") from error


def dot(graph: GraphLike, probabilities: Mapping[tuple[Vertex, Vertex], Tensor] | None) -> str:
    """See ``Graph.to_dot``."""
    known = check_probabilities(graph, probabilities or {})
    lines = ["digraph {", "  rankdir=LR;", *(f'  "{vertex}";' for vertex in graph.vertices)]
    for edge in graph.edges:
        names = graph.names[edge]
        for name, probability in zip(names, known.get(edge, [None] * len(names)), strict=True):
            label, style = _label(graph.primitive(edge, name), name, len(names)), ""
            if probability is not None:
                label, style = f"{label} {probability:.2f}", f", penwidth={5 * probability:.2f}"
            lines.append(f'  "{edge[0]}" -> "{edge[1]}" [label="{label}"{style}];')
    return "\n".join([*lines, "}"]) + "\n"


def check_probabilities(
    graph: GraphLike, probabilities: Mapping[tuple[Vertex, Vertex], Tensor]
) -> dict[tuple[str, str], list[float]]:
    """Probabilities by edge as numbers; ValueError for an unknown edge or another count."""
    by_edge = {as_edge(edge): value.tolist() for edge, value in probabilities.items()}
    for edge, values in by_edge.items():
        expected = len(graph.names[edge]) if edge in graph.names else 0
        if len(values) != expected:
            raise ValueError(
                f"probabilities of edge {edge_name(edge)} must be {expected} numbers, "
                f"got {len(values)}"
            )
    return by_edge


def _label(module: nn.Module, name: str, count: int) -> str:
    """A primitive's name, or what it is where it has none of its own."""
    return type(module).__name__ if count == 1 and name == "0" else name


def _describe(module: nn.Module) -> dict[str, Any]:
    if type(module) is Together:
        return {"type": "Together", "children": {n: _describe(m) for n, m in module.items()}}
    entry = _OF_BAYESNAS.get(type(module).__name__)
    if entry is None or type(module) is not entry[0]:
        return describe(module)
    arguments = {name: getattr(module, name) for name in entry[1]}
    return {"type": type(module).__name__, "arguments": arguments}


def _build(spec: Mapping[str, Any]) -> nn.Module:
    if spec.get("type") == "Together":
        return Together({name: _build(part) for name, part in spec["children"].items()})
    entry = _OF_BAYESNAS.get(str(spec.get("type")))
    return build(spec) if entry is None else entry[0](**spec["arguments"])
