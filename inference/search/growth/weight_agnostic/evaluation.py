"""Graphs of neurons whose weights share one value, evaluated at many values at once."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from bayesnas.nn.grown.activations import ACTIVATIONS
from bayesnas.nn.grown.neuron_graph import NeuronGraph


class SharedWeights:
    """Outputs and likelihoods of graphs on one sample, at several shared weights.

    What a neuron computes follows from its activation and from what it reads. So values are kept by
    that, not by graph: graphs that differ in few neurons, as those of a generation do, share all
    others. :meth:`forget` drops what no graph since its last call has asked for.

    Args:
        x: inputs ``[n, d]``.
        y: labels ``[n]``.
        weights: shared values.

    >>> shared = SharedWeights(torch.tensor([[1.0], [-1.0]]), torch.tensor([1, 0]), [1.0, 2.0])
    >>> graph = NeuronGraph(1, 2, [], [(0, 3)])
    >>> shared.outputs(graph)[:, 1]  # at each weight, of each row
    tensor([[ 1., -1.],
            [ 2., -2.]])
    >>> shared.log_lik(graph)  # −ln(1 + e⁻ʷ)
    tensor([-0.3133, -0.1269], dtype=torch.float64)
    """

    def __init__(self, x: Tensor, y: Tensor, weights: Sequence[float] | Tensor) -> None:
        """Keep the sample by column; see the class."""
        one = torch.ones_like(x[:, :1])
        self._columns = torch.cat([x, one], 1).T.contiguous()
        self._y = y
        self._weights = torch.as_tensor(weights, dtype=x.dtype, device=x.device)[:, None]
        self._zero = torch.zeros_like(self._columns[0] * self._weights)
        self._values: dict[bytes, Tensor] = {}
        self._asked: dict[bytes, Tensor] = {}

    def outputs(self, graph: NeuronGraph) -> Tensor:
        """Outputs ``[weights, k, n]``."""
        keys: dict[int, bytes] = {}
        values: dict[int, Tensor] = {}
        for vertex in graph.order:
            sources = graph.sources[vertex]
            inputs = list(sources[: bisect.bisect_right(sources, graph.bias)])
            # Sums run in an order that depends on what is read, not on the graph's numbering.
            hidden = sorted(sources[len(inputs) :], key=keys.__getitem__)
            activation = graph.activation(vertex)
            key = keys[vertex] = _digest(activation, inputs, [keys[source] for source in hidden])
            value = self._asked.get(key)
            if value is None:
                value = self._values.get(key)
                if value is None:
                    value = self._computed(activation, inputs, [values[v] for v in hidden])
                self._asked[key] = value
            values[vertex] = value
        return torch.stack([values[v] for v in range(graph.bias + 1, graph.first_hidden)], 1)

    def log_lik(self, graph: NeuronGraph) -> Tensor:
        """Mean log-likelihood of the labels at each weight, float64 ``[weights]``, in nats."""
        outputs = self.outputs(graph)
        largest = outputs.amax(1, keepdim=True)
        outputs = outputs.sub_(largest)
        label = self._y.expand(len(outputs), 1, -1)
        log_probs = outputs.gather(1, label)[:, 0] - outputs.exp_().sum(1).log_()
        return log_probs.double().mean(1)

    def accuracy(self, graph: NeuronGraph) -> Tensor:
        """Share of the labels that the largest output names, at each weight, ``[weights]``."""
        return (self.outputs(graph).argmax(1) == self._y).double().mean(1)

    def forget(self) -> None:
        """Keep the values alone that were asked for since this was last called."""
        self._values, self._asked = self._asked, {}

    def _computed(self, activation: str, inputs: list[int], hidden: list[Tensor]) -> Tensor:
        """A neuron's values ``[weights, n]``."""
        total = self._zero
        if inputs:
            total = self._columns[inputs].sum(0) + total
        for place, read in enumerate(hidden):
            total = total + read if place == 0 else total.add_(read)
        return ACTIVATIONS[activation](self._weights * total)


def _digest(activation: str, inputs: list[int], hidden: list[bytes]) -> bytes:
    """What says all that a neuron computes."""
    text = f"{activation} {inputs} ".encode() + b"".join(hidden)
    return hashlib.blake2b(text, digest_size=16).digest()
