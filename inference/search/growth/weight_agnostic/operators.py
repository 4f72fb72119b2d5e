"""The three changes of a graph of neurons: a neuron, a connection, an activation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from numpy.random import Generator

from bayesnas.nn.grown.activations import ACTIVATIONS
from bayesnas.nn.grown.neuron_graph import Connection, NeuronGraph

_TRIES = 32  # at a random pair, before all pairs are looked at


def insert_neuron(graph: NeuronGraph, random: Generator) -> NeuronGraph | None:
    """A connection u → v becomes u → new → v, the new neuron of a random activation.

    Returns:
        the new graph; None where there is no connection.
    """
    if not graph.connections:
        return None
    source, target = graph.connections[random.integers(len(graph.connections))]
    kept = [each for each in graph.connections if each != (source, target)]
    name = _names()[random.integers(len(ACTIVATIONS))]
    return NeuronGraph(
        graph.inputs,
        graph.outputs,
        (*graph.activations, name),
        [*kept, (source, graph.size), (graph.size, target)],
    )


def add_connection(graph: NeuronGraph, random: Generator) -> NeuronGraph | None:
    """Two vertices become connected that were not, chosen evenly where no cycle comes of it.

    Returns:
        the new graph; None where every further connection would make a cycle.
    """
    sources = [v for v in range(graph.size) if v <= graph.bias or v >= graph.first_hidden]
    targets = range(graph.bias + 1, graph.size)
    present = set(graph.connections)

    def fits(pair: Connection) -> bool:
        return pair not in present and not graph.reaches(pair[1], pair[0])

    for first, second in zip(
        random.integers(len(sources), size=_TRIES).tolist(),
        random.integers(len(targets), size=_TRIES).tolist(),
        strict=True,
    ):
        pair = sources[first], targets[second]
        if fits(pair):
            break
    else:
        pairs = [(u, v) for u in sources for v in targets if fits((u, v))]
        if not pairs:
            return None
        pair = pairs[random.integers(len(pairs))]
    return NeuronGraph(graph.inputs, graph.outputs, graph.activations, [*graph.connections, pair])


def change_activation(graph: NeuronGraph, random: Generator) -> NeuronGraph | None:
    """A hidden neuron gets another activation.

    Returns:
        the new graph; None where there is no hidden neuron.
    """
    if not graph.activations:
        return None
    place = int(random.integers(len(graph.activations)))
    others = [name for name in _names() if name != graph.activations[place]]
    changed = list(graph.activations)
    changed[place] = others[random.integers(len(others))]
    return NeuronGraph(graph.inputs, graph.outputs, changed, graph.connections)


Operator = Callable[[NeuronGraph, Generator], NeuronGraph | None]
OPERATORS: tuple[Operator, ...] = (insert_neuron, add_connection, change_activation)


def mutate(graph: NeuronGraph, random: Generator, shares: Sequence[float]) -> NeuronGraph:
    """One change, of a random kind.

    Args:
        graph: what is changed; it stays as it is.
        random: numbers.
        shares: probabilities of the three :data:`OPERATORS`, in their order; of a kind that can't
            be, another one is taken.

    Returns:
        the new graph; the same one where nothing can be changed.
    """
    kinds = random.choice(len(OPERATORS), len(OPERATORS), replace=False, p=_all_possible(shares))
    for kind in map(int, kinds):
        mutant = OPERATORS[kind](graph, random)
        if mutant is not None:
            return mutant
    return graph


def _names() -> list[str]:
    return list(ACTIVATIONS)


def _all_possible(shares: Sequence[float]) -> list[float]:
    """Probabilities in proportion to the shares, with those that are 0 behind all others."""
    raised = [max(share, 1e-12) for share in shares]
    return [share / sum(raised) for share in raised]
