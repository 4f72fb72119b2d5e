"""Every architecture of a supernet measured, what they share computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from bayesnas.inference.search.conditions import Value
from bayesnas.inference.search.judges.batch_statistics import batch_statistics
from bayesnas.inference.search.judges.supernet import Supernet
from bayesnas.nn.graphs.topology import AGGREGATIONS, Edge, edge_name

_KEPT = 64  # values of vertices and edges; neighbours in the order share all but the latest


def measure_all(supernet: Supernet, x: Tensor, y: Tensor) -> Iterator[dict[str, float]]:
    """What ``supernet.measure`` gives, for ``supernet.space.candidates()`` in their order.

    Args:
        supernet: with trained weights.
        x: inputs ``[n, ...]``.
        y: classes ``[n]``.

    >>> from torch import nn
    >>> from bayesnas.nn import Graph
    >>> layers = {"line": nn.Linear(2, 3, bias=False), "shift": nn.Linear(2, 3)}
    >>> supernet = Supernet(Graph({("x", "y"): layers}, example=torch.zeros(1, 2)))
    >>> len(list(measure_all(supernet, torch.ones(4, 2), torch.zeros(4).long())))
    2
    """
    shared = _Shared(supernet.eval(), x)
    for candidate in supernet.space.candidates():
        with torch.no_grad(), batch_statistics(supernet):
            output = shared.value(supernet.graph.output, candidate)
            error = float((output.argmax(-1) != y).double().mean())
            losses = {"error": error, "nll": float(F.cross_entropy(output, y))}
        yield losses


class _Shared:
    """Values of vertices and edges by the choices that they depend on, the latest kept."""

    def __init__(self, supernet: Supernet, x: Tensor) -> None:
        self._graph, self._x = supernet.graph, x
        self._kept: OrderedDict[tuple[object, ...], Tensor] = OrderedDict()
        self._choices: dict[str, tuple[str, ...]] = {self._graph.input: ()}
        for vertex in self._graph.vertices[1:]:
            arriving = self._graph.incoming(vertex)
            before = [name for edge in arriving for name in self._choices[edge[0]]]
            mixed = [edge_name(edge) for edge in arriving if edge in self._graph.mixed]
            self._choices[vertex] = tuple(dict.fromkeys([*before, *mixed]))

    def value(self, vertex: str, candidate: Mapping[str, Value]) -> Tensor:
        """Of a vertex."""
        if vertex == self._graph.input:
            return self._x
        key = (vertex, *(candidate[name] for name in self._choices[vertex]))
        return self._remembered(key, lambda: self._sum(vertex, candidate))

    def _sum(self, vertex: str, candidate: Mapping[str, Value]) -> Tensor:
        arriving = [self._edge(edge, candidate) for edge in self._graph.incoming(vertex)]
        return AGGREGATIONS[self._graph.aggregation[vertex]](arriving)

    def _edge(self, edge: Edge, candidate: Mapping[str, Value]) -> Tensor:
        names = self._graph.names[edge]
        name = names[0] if len(names) == 1 else str(candidate[edge_name(edge)])
        key = (edge, name, *(candidate[each] for each in self._choices[edge[0]]))
        operation = self._graph.primitive(edge, name)
        return self._remembered(key, lambda: operation(self.value(edge[0], candidate)))

    def _remembered(self, key: tuple[object, ...], make: Callable[[], Tensor]) -> Tensor:
        if key not in self._kept:
            self._kept[key] = make()
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
