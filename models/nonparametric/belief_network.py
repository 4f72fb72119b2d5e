"""Layered networks of unbounded width and depth, nonlinear and Gaussian: density and draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy import special

from bayesnas.checks import positive, shown, size, whole_number
from bayesnas.distributions import CascadingIndianBuffet, LayeredGraph
from bayesnas.typed import typed

Doubles: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """Units, and what each of them takes from the layer above.

    Attributes:
        logits: a = logit u of every unit, ``[n, units]``.
        connections: who listens to whom, boolean ``[units, units above]``.
        weights: ``[units, units above]``, 0 where there is no connection.
        bias: ``[units]``.
        precision: ν, ``[units]``.
    """

    logits: Doubles
    connections: npt.NDArray[np.bool_]
    weights: Doubles
    bias: Doubles
    precision: Doubles

    @property
    def width(self) -> int:
        """Number of units."""
        return int(self.logits.shape[1])


@dataclass(frozen=True)
class Network:
    """A network and its units on n examples.

    Attributes:
        layers: the visible units first; no hidden layer is empty.
    """

    layers: tuple[Layer, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of every layer."""
        return tuple(layer.width for layer in self.layers)

    @property
    def graph(self) -> LayeredGraph:
        """Who listens to whom."""
        matrices = [torch.as_tensor(layer.connections).float() for layer in self.layers[:-1]]
        return LayeredGraph(tuple(matrices), self.layers[0].width)

    def means(self, layer: int) -> Doubles:
        """Mean of the logits of a layer given the one above, ``[n, units]``."""
        below = self.layers[layer]
        total = np.broadcast_to(below.bias, below.logits.shape)
        if layer + 1 < len(self.layers):
            above = special.expit(self.layers[layer + 1].logits)
            total = total + above @ below.weights.T
        return total

    def with_layer(self, index: int, layer: Layer) -> Network:
        """The same with another layer at an index."""
        return Network((*self.layers[:index], layer, *self.layers[index + 1 :]))

    def with_visible(self, logits: Doubles) -> Network:
        """The same with other values of the visible units."""
        return self.with_layer(0, replace(self.layers[0], logits=logits))


@dataclass(frozen=True)
class GammaPrior:
    """Gamma prior of a precision.

    Attributes:
        shape: > 0.
        rate: > 0; the mean is shape / rate.
    """

    shape: float
    rate: float


class BeliefNetwork:
    r"""A nonlinear Gaussian belief network whose structure is a cascade of Indian buffets.

    .. math::
        Z &\sim \mathrm{CIBP}(\alpha, \beta), \qquad
        W_{kj} \sim N(0, s_w^2), \quad b_k \sim N(0, s_b^2), \quad \nu_k \sim \mathrm{Gamma} \\
        y^{(m)}_n &= (Z^{(m+1)} \odot W^{(m+1)})\, u^{(m+1)}_n + b^{(m)}, \qquad
        u^{(m)}_n = \sigma(y^{(m)}_n + \varepsilon_n), \quad
        \varepsilon_{nk} \sim N(0, 1/\nu^{(m)}_k)

    Layer 0 is visible. The units of layer m choose their parents in layer m + 1 as the customers
    of an Indian buffet choose dishes, so number and width of the hidden layers are open. What is
    stored of a unit is its logit, which is Gaussian given its parents.

    Args:
        visible: K⁰, number of visible units.
        mass: α > 0, mean number of parents of a unit.
        concentration: β > 0; the smaller, the more parents are shared.
        weight_scale: s_w > 0.
        bias_scale: s_b > 0.
        visible_precision: shape and rate of the Gamma prior of ν of visible units.
        hidden_precision: of hidden units.

    Raises:
        ValueError: naming the argument, what came and what was expected.

    References:
        Adams, Wallach, Ghahramani, *Learning the structure of deep sparse graphical models*, 2010.

    >>> import numpy as np
    >>> model = BeliefNetwork(visible=4)
    >>> network = model.sample(20, np.random.default_rng(0))
    >>> network.layers[0].logits.shape
    (20, 4)
    >>> bool(np.isfinite(model.log_density(network)))
    True
    """

    @typed()
    def __init__(
        self,
        visible: int,
        *,
        mass: float = 1.0,
        concentration: float = 1.0,
        weight_scale: float = 2.0,
        bias_scale: float = 2.0,
        visible_precision: tuple[float, float] = (1.0, 0.1),
        hidden_precision: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        """Check the hyperparameters; see the class."""
        self.cascade = CascadingIndianBuffet(mass, concentration, size("visible", visible))
        self.visible = self.cascade.width
        self.mass, self.concentration = float(mass), float(concentration)
        self.weight_scale = positive("weight_scale", weight_scale)
        self.bias_scale = positive("bias_scale", bias_scale)
        self._visible_precision = _gamma("visible_precision", visible_precision)
        self._hidden_precision = _gamma("hidden_precision", hidden_precision)

    @typed()
    def precision_prior(self, layer: int) -> GammaPrior:
        """Prior of ν in a layer.

        Raises:
            ValueError: for a layer below 0.
        """
        is_hidden = whole_number("layer", layer, 0) > 0
        return self._hidden_precision if is_hidden else self._visible_precision

    # Draws --------------------------------------------------------------------------------

    @typed()
    def sample(self, n: int, rng: np.random.Generator) -> Network:
        """Draw a network and n examples from the prior.

        Args:
            n: number of examples, 0 for the network alone.
            rng: random state.

        Raises:
            ValueError: for a negative number of examples.
            TypeError: for what is no generator of NumPy's.
        """
        n = whole_number("n", n, 0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))
            graph = self.cascade.sample()
        return self.sample_given(graph, n, rng)

    @typed()
    def sample_given(self, graph: LayeredGraph, n: int, rng: np.random.Generator) -> Network:
        """Draw all but the structure from the prior.

        Raises:
            ValueError: the graph has another number of visible units.
        """
        n = whole_number("n", n, 0)
        if graph.visible != self.visible:
            raise ValueError(f"graph must have {self.visible} visible units, got {graph.visible}")
        matrices = [matrix.numpy().astype(bool) for matrix in graph.connections]
        matrices.append(np.zeros((graph.widths[-1], 0), dtype=bool))
        layers: list[Layer] = []
        above = np.zeros((n, 0))
        for index in range(len(matrices) - 1, -1, -1):
            layer = self.sample_layer(matrices[index], above, index, rng)
            layers.insert(0, layer)
            above = layer.logits
        return Network(tuple(layers))

    def sample_layer(
        self,
        connections: npt.NDArray[np.bool_],
        above: Doubles,
        index: int,
        rng: np.random.Generator,
    ) -> Layer:
        """Draw parameters and logits of a layer from the prior, given the logits above.

        Args:
            connections: boolean ``[units, units above]``.
            above: logits ``[n, units above]``.
            index: of the layer.
            rng: random state.
        """
        units = len(connections)
        prior = self.precision_prior(index)
        weights = self.weight_scale * rng.standard_normal(connections.shape) * connections
        bias = self.bias_scale * rng.standard_normal(units)
        precision = rng.gamma(prior.shape, 1 / prior.rate, units)
        noise = rng.standard_normal((len(above), units)) / np.sqrt(precision)
        logits = special.expit(above) @ weights.T + bias + noise
        return Layer(logits, connections, weights, bias, precision)

    @typed()
    def sample_visible(self, network: Network, rng: np.random.Generator) -> Doubles:
        """Draw the visible units' logits given all the rest, ``[n, visible]``.

        Raises:
            TypeError: naming an argument of another type.
        """
        noise = rng.standard_normal(network.layers[0].logits.shape)
        return network.means(0) + noise / np.sqrt(network.layers[0].precision)

    # Density ------------------------------------------------------------------------------

    @typed()
    def log_density(self, network: Network) -> float:
        """Ln p(structure, parameters, all logits).

        The units of a layer are labelled in an order drawn at random, so a buffet of J customers
        and K dishes, of which dish k has m_k customers, has the probability
        (αβ)^K / K! · exp(−α Σ_j β/(j+β−1)) · ∏_k B(m_k, J − m_k + β).

        Raises:
            TypeError: for what is no network.
        """
        from scipy import stats  # half a second, which every import of the package would pay

        total = sum(self.log_structure(layer.connections) for layer in network.layers)
        for index, layer in enumerate(network.layers):
            prior = self.precision_prior(index)
            weights = layer.weights[layer.connections]
            total += stats.norm.logpdf(weights, scale=self.weight_scale).sum()
            total += stats.norm.logpdf(layer.bias, scale=self.bias_scale).sum()
            total += stats.gamma.logpdf(layer.precision, prior.shape, scale=1 / prior.rate).sum()
            total += self.log_likelihood(network, index).sum()
        return float(total)

    def log_structure(self, connections: npt.NDArray[np.bool_]) -> float:
        """Ln probability of the labelled connections of one layer, ``[customers, dishes]``."""
        customers, dishes = connections.shape
        counts = connections.sum(0)
        alpha, beta = self.mass, self.concentration
        rate = alpha * float((beta / (np.arange(customers) + beta)).sum())
        shared = float(special.betaln(counts, customers - counts + beta).sum())
        log_prob: float = dishes * math.log(alpha * beta) - math.lgamma(dishes + 1) - rate + shared
        return log_prob

    @typed()
    def log_likelihood(self, network: Network, layer: int = 0) -> Doubles:
        """Ln p of the logits of a layer given the one above, ``[n, units]``.

        Raises:
            TypeError: for what is no network.
            ValueError: for a layer that there is none of.
        """
        from scipy import stats

        layer = whole_number("layer", layer, 0, len(network.layers) - 1)
        scale = 1 / np.sqrt(network.layers[layer].precision)
        log_probs: Doubles = stats.norm.logpdf(
            network.layers[layer].logits, network.means(layer), scale
        )
        return log_probs


def _gamma(name: str, value: Sequence[float]) -> GammaPrior:
    if len(value) != 2:
        raise ValueError(f"{name} must be a pair (shape, rate), got {shown(value)}")
    return GammaPrior(*(positive(name, each) for each in value))
