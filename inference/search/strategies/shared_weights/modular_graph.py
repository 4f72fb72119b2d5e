"""Modules in the layers of a graph, and paths that use some of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from bayesnas.checks import step_count
from bayesnas.inference.search.strategies.shared_weights.alternation import retrainable
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.topology import AGGREGATIONS, Edge, edge_name

Path = np.ndarray
"""Positions of the active modules ``[layers, N]``; a module may be named twice."""
_FARTHEST = 2  # that a mutation moves an index


class ModularGraph:
    """A graph whose mixed edges are layers of modules; what a path uses of one is added up.

    Args:
        graph: it is copied, its weights drawn anew from torch's generator.
        active: N, most modules of a path in a layer.

    Attributes:
        graph: the copy.
        active: N.
        frozen: edge and name of the modules that are not trained any more.

    Raises:
        ValueError: the graph has no mixed edges.
    """

    def __init__(self, graph: Graph, active: int) -> None:
        """Draw the weights; see the class."""
        if not graph.mixed:
            raise ValueError("graph must have a mixed edge, got one primitive on every edge")
        self.active = step_count("active", active)
        self.graph = retrainable(graph)
        self.frozen: set[tuple[Edge, str]] = set()
        self._layers = [len(graph.names[edge]) for edge in graph.mixed]

    def features(self, path: Path, x: Tensor) -> Tensor:
        """The value at the graph's output along a path."""
        graph, values = self.graph, {self.graph.input: x}
        rows = dict(zip(graph.mixed, path, strict=True))
        for vertex in graph.vertices[1:]:
            arriving = [self._edge(e, rows.get(e), values[e[0]]) for e in graph.incoming(vertex)]
            kind = graph.aggregation[vertex]
            values[vertex] = arriving[0] if len(arriving) == 1 else AGGREGATIONS[kind](arriving)
        return values[graph.output]

    def drawn(self, rng: np.random.Generator) -> Path:
        """A path of modules drawn uniformly."""
        sizes = np.array(self._layers)[:, None]
        path: Path = rng.integers(sizes, size=(len(self._layers), self.active))
        return path

    def mutated(self, path: Path, rng: np.random.Generator) -> Path:
        """A copy in which indices have moved."""
        moves = rng.random(path.shape) < 1 / path.size
        steps = rng.integers(-_FARTHEST, _FARTHEST + 1, size=path.shape)
        child: Path = (path + moves * steps) % np.array(self._layers)[:, None]
        return child

    def parameters_of(self, path: Path) -> list[nn.Parameter]:
        """Weights along a path that are not frozen."""
        rows = dict(zip(self.graph.mixed, path, strict=True))
        parameters = []
        for edge in self.graph.edges:
            names = self.graph.names[edge]
            used = names if edge not in rows else [names[p] for p in set(rows[edge].tolist())]
            for name in used:
                if (edge, name) not in self.frozen:
                    parameters += list(self.graph.primitive(edge, name).parameters())
        return parameters

    def freeze(self, path: Path) -> None:
        """Keep the modules of a path, and the edges that are no choice, as they are."""
        fixed = {(e, n) for e in self.graph.edges if e not in self.graph.mixed
                 for n in self.graph.names[e]}  # fmt: skip
        chosen = {
            (edge, self.graph.names[edge][place])
            for edge, row in zip(self.graph.mixed, path, strict=True)
            for place in row
        }
        self.frozen |= fixed | chosen

    def draw_anew(self) -> None:
        """Fresh weights for what is not frozen."""
        fresh = retrainable(self.graph)
        for edge in self.graph.edges:
            for name in self.graph.names[edge]:
                if (edge, name) not in self.frozen:
                    state = fresh.primitive(edge, name).state_dict()
                    self.graph.primitive(edge, name).load_state_dict(state)

    def names_of(self, path: Path) -> dict[str, tuple[str, ...]]:
        """Names of the modules of a path, by edge."""
        return {
            edge_name(edge): tuple(self.graph.names[edge][place] for place in sorted(set(row)))
            for edge, row in zip(self.graph.mixed, path.tolist(), strict=True)
        }

    def _edge(self, edge: Edge, row: np.ndarray | None, x: Tensor) -> Tensor:
        names = self.graph.names[edge]
        chosen = names if row is None else [names[place] for place in sorted(set(row.tolist()))]
        terms: list[Tensor] = [self.graph.primitive(edge, name)(x) for name in chosen]
        return terms[0] if len(terms) == 1 else torch.stack(terms).sum(0)
