"""Mixed edges of a graph that have the same operations, to be drawn together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.topology import Edge, edge_name

if TYPE_CHECKING:
    import xarray as xr


Gamma = Mapping[Edge, Tensor]
"""γ by edge: ``[K]``, or ``[n, K]``, one an example."""


@dataclass(frozen=True)
class EdgeGroup:
    """Edges with the same operations; their γ is one site ``[edges, operations]``.

    Attributes:
        site: name of the site, ``gamma``, or ``gamma0``, ``gamma1``, ... where there are several.
        edges: the edges, in the order of the graph.
        operations: names of the operations, the same on every edge.
    """

    site: str
    edges: tuple[Edge, ...]
    operations: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Edges, operations."""
        return len(self.edges), len(self.operations)

    @property
    def dims(self) -> tuple[str, str]:
        """Names of the two dims."""
        return f"{self.site}.edge", f"{self.site}.operation"

    def coords(self) -> dict[str, list[str]]:
        """Names of edges and operations along the dims."""
        values = [edge_name(edge) for edge in self.edges], list(self.operations)
        return dict(zip(self.dims, values, strict=True))


def edge_groups(graph: Graph) -> tuple[EdgeGroup, ...]:
    """The mixed edges by their operations.

    >>> from bayesnas.nn.graphs.darts_cells import cells
    >>> [group.shape for group in edge_groups(cells(["normal"], channels=2, nodes=4, image=4))]
    [(14, 8)]
    """
    members: dict[tuple[str, ...], list[Edge]] = {}
    for edge in graph.mixed:
        members.setdefault(graph.names[edge], []).append(edge)
    sites = ["gamma"] if len(members) == 1 else [f"gamma{i}" for i in range(len(members))]
    return tuple(
        EdgeGroup(site, tuple(edges), names)
        for site, (names, edges) in zip(sites, members.items(), strict=True)
    )


def by_edge(groups: Sequence[EdgeGroup], values: Mapping[str, Tensor]) -> dict[Edge, Tensor]:
    """A value ``[..., edges, operations]`` a site as one ``[..., operations]`` an edge."""
    return {
        edge: value
        for group in groups
        for edge, value in zip(group.edges, values[group.site].unbind(-2), strict=True)
    }


def operations_dataset(
    groups: Sequence[EdgeGroup], probabilities: Mapping[Edge, Tensor]
) -> xr.Dataset:
    """Probabilities of operations, edge × operation, a variable ``<site>.inclusion`` a group.

    Args:
        groups: the groups.
        probabilities: by edge, ``[K]``.
    """
    import xarray as xr

    variables, coords = {}, dict[str, list[str]]()
    for group in groups:
        values = torch.stack([probabilities[edge] for edge in group.edges])
        variables[f"{group.site}.inclusion"] = (group.dims, values.cpu().numpy())
        coords |= group.coords()
    return xr.Dataset(variables, coords, {"quantity": "posterior probability of an operation"})


def owner_of(graph: Graph, parameter: str) -> tuple[Edge, int]:
    """Edge and position of the primitive that a parameter of the graph belongs to.

    Args:
        graph: the graph.
        parameter: its name in ``graph.named_parameters()``, ``primitives.x->y.name.weight``.
    """
    _, of_edge, name, *_ = parameter.split(".")
    source, target = of_edge.split("->")
    return (source, target), graph.names[source, target].index(name)
