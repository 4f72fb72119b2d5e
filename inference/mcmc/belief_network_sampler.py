"""Markov chain Monte Carlo over structure, weights and units of a nonlinear belief network."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import special

from bayesnas.inference.mcmc.birth_death import with_new_parent, without_unit
from bayesnas.inference.mcmc.conjugate_regression import Regression
from bayesnas.inference.mcmc.elliptical_slice import elliptical_slice
from bayesnas.models.nonparametric.belief_network import BeliefNetwork, Doubles, Network
from bayesnas.typed import typed


class BeliefNetworkSampler:
    r"""Moves that leave p(structure, parameters, hidden units | visible units) as it is.

    A sweep goes through the layers. For every unit k of a layer:

    - births and deaths of its parents that have no other child (Metropolis–Hastings). A new unit
      comes from the prior given all that is there: with its parents, among them new units with
      parents of their own, parameters and logits. It is accepted by the evidence of the logits of
      k, weights and bias integrated out. With a unit go those above it that nobody else needs;
    - every other edge of it by Gibbs, from the popularity of the parent and the same evidence;
    - weights and bias together, then ν, from their conjugate conditionals.

    Then the logits of the layer, unit by unit, by elliptical slices.

    Args:
        model: prior and density.
        rng: random state.

    Attributes:
        power: τ, with p(visible | rest) to the power of τ in its place; 1 but while warming up.

    Raises:
        TypeError: naming an argument of another type.

    References:
        Adams, Wallach, Ghahramani 2010; Murray, Adams, MacKay, *Elliptical slice sampling*, 2010.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> model = BeliefNetwork(visible=3)
    >>> network = model.sample(10, rng)
    >>> after = BeliefNetworkSampler(model, rng).sweep(network)
    >>> bool((after.layers[0].logits == network.layers[0].logits).all())
    True
    """

    @typed()
    def __init__(self, model: BeliefNetwork, rng: np.random.Generator) -> None:
        """Take model and random state; see the class."""
        self.model = model
        self.rng = rng
        self.power = 1.0

    @typed()
    def sweep(self, network: Network) -> Network:
        """Every move once.

        Raises:
            TypeError: for what is no network.
        """
        # Units have no order, so those of a layer are visited in an order drawn at random. Moves
        # of a unit change the layers above alone, new ones among them, which come next.
        index = 0
        while index < len(network.layers):
            for unit in self.rng.permutation(network.layers[index].width):
                network = self._birth_or_death(network, index, unit)
                network = self._edges(network, index, unit)
                network = self._parameters(network, index, unit)
            index += 1
        for index in range(1, len(network.layers)):
            for unit in range(network.layers[index].width):
                network = self._logits(network, index, unit)
        return network

    # Structure ----------------------------------------------------------------------------

    def _birth_or_death(self, network: Network, index: int, unit: int) -> Network:
        if self.rng.random() < 0.5:
            return self._birth(network, index, unit)
        return self._death(network, index, unit)

    def _birth(self, network: Network, index: int, unit: int) -> Network:
        proposed = with_new_parent(self.model, network, index, unit, self.rng)
        gain = self._evidence_ratio(proposed, index, unit, proposed.widths[index + 1] - 1)
        choices = len(_unshared_parents(proposed, index, unit))
        log_accept = gain + self._log_new_dish(network, index) - math.log(choices)
        if math.log(self.rng.random()) < log_accept:
            return self._weights(proposed, index, unit)
        return network

    def _death(self, network: Network, index: int, unit: int) -> Network:
        choices = _unshared_parents(network, index, unit)
        if not len(choices):
            return network
        gone = int(self.rng.choice(choices))
        loss = self._evidence_ratio(network, index, unit, gone)
        log_accept = math.log(len(choices)) - loss - self._log_new_dish(network, index)
        if math.log(self.rng.random()) < log_accept:
            return self._weights(without_unit(network, index + 1, gone), index, unit)
        return network

    def _log_new_dish(self, network: Network, index: int) -> float:
        """Mean number of dishes that a customer alone takes, αβ/(J + β − 1), its logarithm.

        Of prior over proposal no more is left: all above a new unit is proposed as the prior has
        it.
        """
        alpha, beta = self.model.mass, self.model.concentration
        return math.log(alpha * beta / (network.layers[index].width + beta - 1))

    def _edges(self, network: Network, index: int, unit: int) -> Network:
        """Gibbs over the edges to parents that other units listen to as well."""
        layer = network.layers[index]
        if not layer.connections.shape[1]:
            return network
        others = layer.connections.sum(0) - layer.connections[unit]
        regression = self._regression(network, index, unit)
        row = layer.connections[unit].copy()
        for parent in np.flatnonzero(others):
            # m / (J + β − 1) against 1 − that
            prior = math.log(others[parent]) - math.log(
                layer.width + self.model.concentration - 1 - others[parent]
            )
            row[parent] = True
            log_odds = prior + regression.evidence(row)
            row[parent] = False
            log_odds -= regression.evidence(row)
            row[parent] = self.rng.random() < special.expit(log_odds)
        connections = layer.connections.copy()
        connections[unit] = row
        return network.with_layer(index, replace(layer, connections=connections))

    # Parameters and units -----------------------------------------------------------------

    def _parameters(self, network: Network, index: int, unit: int) -> Network:
        """Weights and bias of a unit, then its precision."""
        network = self._weights(network, index, unit)
        layer, prior = network.layers[index], self.model.precision_prior(index)
        residual = layer.logits[:, unit] - network.means(index)[:, unit]
        precision = layer.precision.copy()
        power = self._power(index)
        shape = prior.shape + power * len(residual) / 2
        rate = prior.rate + power * (residual**2).sum() / 2
        precision[unit] = self.rng.gamma(shape, 1 / rate)
        return network.with_layer(index, replace(layer, precision=precision))

    def _weights(self, network: Network, index: int, unit: int) -> Network:
        layer = network.layers[index]
        row = layer.connections[unit]
        drawn = self._regression(network, index, unit).draw(row, self.rng)
        weights, bias = layer.weights.copy(), layer.bias.copy()
        bias[unit] = drawn[0]
        weights[unit] = 0.0
        weights[unit, row] = drawn[1:]
        return network.with_layer(index, replace(layer, weights=weights, bias=bias))

    def _logits(self, network: Network, index: int, unit: int) -> Network:
        """The logits of a hidden unit given parents and children."""
        layer, below = network.layers[index], network.layers[index - 1]
        children = below.connections[:, unit]
        weights = below.weights[children, unit]
        precision = self._power(index - 1) * below.precision[children]
        old = special.expit(layer.logits[:, unit])
        rest = (below.logits - network.means(index - 1))[:, children] + np.outer(old, weights)

        def log_likelihood(logits: Doubles) -> Doubles:
            errors = rest - np.outer(special.expit(logits), weights)
            log_probs: Doubles = -0.5 * (errors**2 @ precision)
            return log_probs

        mean, scale = network.means(index)[:, unit], 1 / math.sqrt(layer.precision[unit])
        logits = layer.logits.copy()
        logits[:, unit] = elliptical_slice(logits[:, unit], mean, scale, log_likelihood, self.rng)
        return network.with_layer(index, replace(layer, logits=logits))

    def _power(self, index: int) -> float:
        """What the likelihood of a layer is raised to."""
        return 1.0 if index else self.power

    # Evidence of a unit -------------------------------------------------------------------

    def _regression(self, network: Network, index: int, unit: int) -> Regression:
        """The logits of a unit as a regression on all units above, with an intercept."""
        layer = network.layers[index]
        above = _no_units(network)
        if index + 1 < len(network.layers):
            above = special.expit(network.layers[index + 1].logits)
        return Regression(
            above,
            layer.logits[:, unit],
            self._power(index) * layer.precision[unit],
            self.model.weight_scale,
            self.model.bias_scale,
        )

    def _evidence_ratio(self, network: Network, index: int, unit: int, parent: int) -> float:
        """Ln evidence of a unit with a parent, over that without it."""
        regression = self._regression(network, index, unit)
        row = network.layers[index].connections[unit].copy()
        connected = regression.evidence(row)
        row[parent] = False
        return connected - regression.evidence(row)


def _no_units(network: Network) -> Doubles:
    return np.zeros((len(network.layers[0].logits), 0))


def _unshared_parents(network: Network, index: int, unit: int) -> npt.NDArray[np.intp]:
    """Parents of a unit that have no other child."""
    connections = network.layers[index].connections
    return np.flatnonzero(connections[unit] & (connections.sum(0) == 1))
