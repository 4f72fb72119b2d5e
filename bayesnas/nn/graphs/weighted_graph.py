"""A graph at fixed structure parameters."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from bayesnas.nn.graphs.graph import Graph


class WeightedGraph(nn.Module):
    """A graph with γ held fixed: a plain network."""

    def __init__(self, graph: Graph, gamma: Mapping[tuple[str, str], Tensor]) -> None:
        """Keep both; γ as buffers."""
        super().__init__()
        self.graph = graph
        self._edges = tuple(gamma)
        for index, value in enumerate(gamma.values()):
            self.register_buffer(f"gamma{index}", value.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """The value at the graph's output."""
        gamma = {edge: self.get_buffer(f"gamma{i}") for i, edge in enumerate(self._edges)}
        output: Tensor = self.graph(x, gamma, check=False)
        return output
