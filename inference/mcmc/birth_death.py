"""Networks with a unit more, drawn from the prior given the others, or with one less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bayesnas.models.nonparametric.belief_network import BeliefNetwork, Layer, Network

Connections = npt.NDArray[np.bool_]


def with_new_parent(
    model: BeliefNetwork, network: Network, index: int, unit: int, rng: np.random.Generator
) -> Network:
    """Give a unit a parent of its own, drawn from the prior with all that is above it.

    The parent is a new customer of the layer above its own: it takes a dish that is there with
    probability m / (K + β), and Poisson(αβ / (K + β)) new ones, which are new customers of the next
    layer in turn. The weight to ``unit`` is 0 and waits to be drawn.

    Args:
        model: the prior.
        network: stays as it is.
        index: layer of the unit.
        unit: who gets a parent, the last unit of layer ``index + 1``.
        rng: random state.
    """
    rows: list[Connections] = []  # of every layer above `index`, what its new units take above
    count = 1
    while count:
        row, count = _new_customers(model, network, index + 1 + len(rows), count, rng)
        rows.append(row)
    fresh = _drawn(model, network, index + 1, rows, rng)
    layers = list(network.layers)
    listens = np.arange(layers[index].width)[:, None] == unit
    layers[index] = _listening(layers[index], listens)
    for place, new in enumerate(fresh, start=index + 1):
        if place == len(layers):
            layers.append(new)
            continue
        strangers = np.zeros((layers[place].width, _added(new, layers[place])), dtype=bool)
        layers[place] = _joined(_listening(layers[place], strangers), new)
    return Network(tuple(layers))


def without_unit(network: Network, index: int, unit: int) -> Network:
    """Take a unit of a hidden layer away, and all above it that is left without a child."""
    layers = list(network.layers)
    keep = np.arange(layers[index].width) != unit
    while index < len(layers) and not keep.all():
        below, layer = layers[index - 1], layers[index]
        layers[index - 1] = replace(
            below, connections=below.connections[:, keep], weights=below.weights[:, keep]
        )
        if not keep.any():
            return Network(tuple(layers[:index]))
        layers[index] = Layer(
            layer.logits[:, keep],
            layer.connections[keep],
            layer.weights[keep],
            layer.bias[keep],
            layer.precision[keep],
        )
        keep = layers[index].connections.any(0)
        index += 1
    return Network(tuple(layers))


def _new_customers(
    model: BeliefNetwork, network: Network, index: int, count: int, rng: np.random.Generator
) -> tuple[Connections, int]:
    """What ``count`` new units of a layer take of the next, new units last; how many those are."""
    connections = np.zeros((0, 0), dtype=bool)
    if index < len(network.layers):
        connections = network.layers[index].connections
    customers, known = connections.shape
    counts = connections.sum(0).astype(float)
    rows: list[Connections] = []
    for served in range(customers, customers + count):
        popularity = counts / (served + model.concentration)
        row = rng.random(len(counts)) < popularity
        new = rng.poisson(model.mass * model.concentration / (served + model.concentration))
        row = np.concatenate([row, np.ones(new, dtype=bool)])
        counts = np.concatenate([counts, np.zeros(new)]) + row
        rows.append(row)
    matrix = np.zeros((count, len(counts)), dtype=bool)
    for target, row in zip(matrix, rows, strict=True):
        target[: len(row)] = row
    return matrix, matrix.shape[1] - known


def _drawn(
    model: BeliefNetwork,
    network: Network,
    index: int,
    rows: list[Connections],
    rng: np.random.Generator,
) -> list[Layer]:
    """The new units of every layer from ``index`` on, each drawn given those above it."""
    layers: list[Layer] = []
    for place in range(index + len(rows) - 1, index - 1, -1):
        above = np.zeros((len(network.layers[0].logits), 0))
        if place + 1 < len(network.layers):
            above = network.layers[place + 1].logits
        if layers:
            above = np.concatenate([above, layers[0].logits], axis=1)
        layers.insert(0, model.sample_layer(rows[place - index], above, place, rng))
    return layers


def _listening(layer: Layer, columns: Connections) -> Layer:
    """A layer with more units above it, and who listens to them; the weights are 0 as yet."""
    return replace(
        layer,
        connections=np.concatenate([layer.connections, columns], axis=1),
        weights=np.concatenate([layer.weights, np.zeros(columns.shape)], axis=1),
    )


def _added(new: Layer, old: Layer) -> int:
    """Units above that new units listen to and those that were there do not know."""
    return int(new.connections.shape[1] - old.connections.shape[1])


def _joined(first: Layer, second: Layer) -> Layer:
    """The units of both, as one layer."""
    return Layer(
        np.concatenate([first.logits, second.logits], axis=1),
        np.concatenate([first.connections, second.connections]),
        np.concatenate([first.weights, second.weights]),
        np.concatenate([first.bias, second.bias]),
        np.concatenate([first.precision, second.precision]),
    )
