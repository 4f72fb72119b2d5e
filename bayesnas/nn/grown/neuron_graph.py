"""An acyclic graph of single neurons."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeGuard

from bayesnas.checks import shown, size, whole_number
from bayesnas.nn.grown.activations import activation_name
from bayesnas.typed import typed

Connection = tuple[int, int]


class NeuronGraph:
    r"""Inputs, a bias, outputs and hidden neurons, each pair connected or not.

    A vertex v ≥ d is a neuron with the value :math:`f_v = a_v(\sum_{u \to v} w_{uv} f_u)`; vertices
    0 … d − 1 are the inputs, d the bias, whose value is 1, d + 1 … d + k the outputs, linear, and
    from d + k + 1 on the hidden neurons. Weights are no part of the graph.

    Args:
        inputs: d ≥ 1.
        outputs: k ≥ 1.
        activations: of the hidden neurons, one each, of
            :data:`~bayesnas.nn.grown.activations.ACTIVATIONS`.
        connections: pairs (source, target), in any order.

    Attributes:
        bias: d, the vertex whose value is 1.
        first_hidden: d + k + 1, the first hidden neuron, were there one.
        size: number of vertices.

    Raises:
        ValueError: naming the argument: an unknown activation, a connection of a vertex that is not
            there, into an input or out of an output, one that comes twice, or a cycle.
        TypeError: naming what is no sequence.

    References:
        Gaier, Ha, *Weight agnostic neural networks*, NeurIPS 2019.

    >>> graph = NeuronGraph(2, 1, ["tanh"], [(0, 4), (1, 4), (4, 3), (2, 3)])
    >>> graph
    NeuronGraph(2 inputs, 1 output, 1 hidden neuron, 4 connections)
    >>> graph.sources[3], graph.order
    ((2, 4), (4, 3))
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        activations: Sequence[str] = (),
        connections: Iterable[Sequence[int]] = (),
    ) -> None:
        """Check and sort the connections; see the class."""
        self.inputs = size("inputs", inputs)
        self.outputs = size("outputs", outputs)
        for name, value in (("activations", activations), ("connections", connections)):
            is_one = isinstance(value, (str, bytes)) or getattr(value, "ndim", 1) == 0
            if is_one or not isinstance(value, Iterable):
                raise TypeError(f"{name} must be a sequence, got {shown(value)}")
        self.activations = tuple(activation_name("activations", name) for name in activations)
        self.connections = _sorted(connections)
        self.bias = self.inputs
        self.first_hidden = self.inputs + 1 + self.outputs
        self.size = self.first_hidden + len(self.activations)
        self._check()

    @cached_property
    def sources(self) -> dict[int, tuple[int, ...]]:
        """Of every output and hidden neuron the vertices that it reads, rising."""
        sources: dict[int, list[int]] = {v: [] for v in range(self.inputs + 1, self.size)}
        for source, target in self.connections:
            sources[target].append(source)
        return {vertex: tuple(each) for vertex, each in sources.items()}

    @cached_property
    def targets(self) -> dict[int, tuple[int, ...]]:
        """Of every vertex those that read it, rising."""
        targets: dict[int, list[int]] = {vertex: [] for vertex in range(self.size)}
        for source, target in self.connections:
            targets[source].append(target)
        return {vertex: tuple(each) for vertex, each in targets.items()}

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Outputs and hidden neurons, each behind all that it reads; of several the least first.

        Raises:
            ValueError: there is a cycle.
        """
        waits = {
            vertex: sum(source > self.inputs for source in sources)
            for vertex, sources in self.sources.items()
        }
        free = [vertex for vertex, count in waits.items() if not count]
        heapq.heapify(free)
        ordered = []
        while free:
            vertex = heapq.heappop(free)
            ordered.append(vertex)
            for target in self.targets[vertex]:
                waits[target] -= 1
                if not waits[target]:
                    heapq.heappush(free, target)
        if len(ordered) < len(waits):
            cycle = sorted(set(waits) - set(ordered))
            raise ValueError(f"connections must have no cycle, got one among vertices {cycle[:8]}")
        return tuple(ordered)

    @typed()
    def activation(self, vertex: int) -> str:
        """The activation of a neuron; ``"linear"`` of an output.

        Raises:
            ValueError: for a vertex that there is none of.
        """
        if whole_number("vertex", vertex, 0, self.size - 1) < self.first_hidden:
            return "linear"
        return self.activations[vertex - self.first_hidden]

    @typed()
    def reaches(self, start: int, end: int) -> bool:
        """Whether a path leads from a vertex to another one, or they are the same.

        Raises:
            ValueError: naming a vertex that there is none of.
        """
        start = whole_number("start", start, 0, self.size - 1)
        end = whole_number("end", end, 0, self.size - 1)
        seen, waiting = {start}, [start]
        while waiting:
            vertex = waiting.pop()
            if vertex == end:
                return True
            new = [target for target in self.targets[vertex] if target not in seen]
            seen.update(new)
            waiting += new
        return False

    def to_dict(self) -> dict[str, Any]:
        """The graph as JSON values."""
        return {
            "inputs": self.inputs,
            "outputs": self.outputs,
            "activations": list(self.activations),
            "connections": [list(each) for each in self.connections],
        }

    @classmethod
    @typed()
    def from_dict(cls, content: Mapping[str, Any]) -> NeuronGraph:
        """The graph of :meth:`to_dict`.

        Raises:
            ValueError: something is missing, or no graph.
        """
        try:
            return cls(**{name: content[name] for name in _FIELDS})
        except (KeyError, TypeError) as error:
            raise ValueError(f"a graph of neurons must hold {list(_FIELDS)}: {error}") from error

    def __eq__(self, other: object) -> bool:
        """The same vertices, activations and connections."""
        return isinstance(other, NeuronGraph) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        """How much there is of it."""
        counts = {
            "input": self.inputs,
            "output": self.outputs,
            "hidden neuron": len(self.activations),
            "connection": len(self.connections),
        }
        words = [f"{count:,} {name}{'' if count == 1 else 's'}" for name, count in counts.items()]
        return f"NeuronGraph({', '.join(words)})"

    def _fields(self) -> tuple[object, ...]:
        return self.inputs, self.outputs, self.activations, self.connections

    def _check(self) -> None:
        inputs, first_hidden, size = self.inputs, self.first_hidden, self.size
        for source, target in self.connections:
            if not inputs < target < size or source >= size:
                raise ValueError(
                    f"connections must lead from one of the {size} vertices to one of "
                    f"{inputs + 1} to {size - 1}, got {(source, target)}"
                )
            if inputs < source < first_hidden:
                raise ValueError(f"connections must not leave an output, got {(source, target)}")
        if len(set(self.connections)) < len(self.connections):
            twice = next(a for a, b in itertools.pairwise(self.connections) if a == b)
            raise ValueError(f"connections must come once each, got {twice} twice")
        _ = self.order


_FIELDS = ("inputs", "outputs", "activations", "connections")


def _is_connection(value: object) -> TypeGuard[Connection]:
    """Whether it is a pair of Python's whole numbers, as most are: graphs are made by thousands."""
    return (
        type(value) is tuple and len(value) == 2 and type(value[0]) is int and type(value[1]) is int
    )


def _sorted(connections: Iterable[Sequence[int]]) -> tuple[Connection, ...]:
    pairs = []
    for each in connections:
        if not _is_connection(each):
            try:
                source, target = each
            except (TypeError, ValueError):
                raise ValueError(
                    f"connections must be pairs (source, target), got {each!r:.100}"
                ) from None
            each = (whole_number("connections", source, 0), whole_number("connections", target, 0))
        pairs.append(each)
    return tuple(sorted(pairs))
