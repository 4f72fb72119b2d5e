"""A graph of neurons as a network whose weights can be trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bayesnas.checks import finite
from bayesnas.nn.grown.activations import ACTIVATIONS
from bayesnas.nn.grown.neuron_graph import NeuronGraph
from bayesnas.nn.rebuilding.module_classes import register_module
from bayesnas.typed import typed


@register_module
class NeuronNet(nn.Module):
    r"""A network with one weight a connection: :math:`f_v = a_v(\sum_{u \to v} w_{uv} f_u)`.

    Inputs ``[n, ...]`` are flattened to ``[n, d]``, the outputs are ``[n, k]``. The weights,
    ``weight`` ``[connections, 1]`` in the order of ``graph.connections``, start at a shared value.

    Args:
        inputs: d.
        outputs: k.
        activations: of the hidden neurons.
        connections: pairs (source, target), numbered as in :class:`NeuronGraph`.
        weight: the shared value.

    Raises:
        ValueError: naming the argument, as :class:`NeuronGraph`.
        TypeError: naming what is no sequence.

    >>> net = NeuronNet(1, 1, ["absolute"], [(0, 3), (3, 2), (1, 2)], weight=2.0)
    >>> net(torch.tensor([[-3.0]])).tolist()  # 2 |2 · -3| + 2
    [[14.0]]
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        activations: Sequence[str],
        connections: Sequence[Sequence[int]],
        weight: float = 1.0,
    ) -> None:
        """Make the weights; see the class."""
        super().__init__()
        self.graph = NeuronGraph(inputs, outputs, activations, connections)
        shared = finite("weight", weight)
        self.weight = nn.Parameter(torch.full((len(self.graph.connections), 1), shared))
        places = {connection: row for row, connection in enumerate(self.graph.connections)}
        self._steps = [
            (
                vertex,
                sources,
                [places[source, vertex] for source in sources],
                ACTIVATIONS[self.graph.activation(vertex)],
            )
            for vertex in self.graph.order
            for sources in [self.graph.sources[vertex]]
        ]

    @classmethod
    @typed()
    def of(cls, graph: NeuronGraph, weight: float = 1.0) -> NeuronNet:
        """The network of a graph, all weights of one value.

        Raises:
            TypeError: for what is no graph of neurons.
            ValueError: for a weight that is not finite.
        """
        return cls(**graph.to_dict(), weight=weight)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``[n, k]`` of inputs ``[n, ...]``."""
        rows = x.flatten(1) if x.ndim > 1 else x[:, None]
        graph = self.graph
        if rows.shape[1] != graph.inputs:
            raise ValueError(f"x must have {graph.inputs} numbers a row, got {rows.shape[1]}")
        values = dict(enumerate(rows.unbind(1)))
        values[graph.bias] = torch.ones_like(rows[:, 0])
        weight = self.weight[:, 0]
        for vertex, sources, places, activation in self._steps:
            if sources:
                read = torch.stack([values[source] for source in sources], 1)
                values[vertex] = activation(read @ weight[places])
            else:
                values[vertex] = activation(torch.zeros_like(rows[:, 0]))
        return torch.stack([values[v] for v in range(graph.bias + 1, graph.first_hidden)], 1)

    def extra_repr(self) -> str:
        """How much there is of it, as ``repr`` shows it."""
        return repr(self.graph).removeprefix("NeuronGraph(").removesuffix(")")
