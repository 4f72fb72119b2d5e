"""The posterior of the one weight that all connections share, and the evidence of a graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal, Uniform

from bayesnas.inference.search.growth.weight_agnostic.evaluation import SharedWeights
from bayesnas.nn.grown.neuron_graph import NeuronGraph

LOW, HIGH = -2.0, 2.0
"""Range of the random shared weight of the paper."""

_AT_ONCE = 16  # weights evaluated together
_START = 64  # intervals at the start
_MOST = 1024  # intervals
_WIDE = 8.0  # deviations of a normal prior that are integrated over


@dataclass(frozen=True)
class WeightPosterior:
    r"""p(w | y, x, Γ) of the shared weight of a graph Γ, by adaptive Simpson quadrature.

    .. math:: p(y \mid x, \Gamma) = \int p(w) \prod_n p(y_n \mid x_n, w, \Gamma)\, dw

    One dimension, so no approximation but that of the quadrature; the evidence compares graphs.

    Attributes:
        graph: Γ.
        weight: points, rising, float64 ``[points]``.
        log_lik: of the whole sample at each point, in nats.
        mass: posterior probability that the quadrature gives each point; it adds up to 1.
        log_evidence: ln p(y | x, Γ), in nats.
        log_error: estimate of its error.
    """

    graph: NeuronGraph
    weight: Tensor = field(repr=False)
    log_lik: Tensor = field(repr=False)
    mass: Tensor = field(repr=False)
    log_evidence: float
    log_error: float

    @property
    def mean(self) -> float:
        """Posterior mean of the weight."""
        return float((self.mass * self.weight).sum())

    @property
    def std(self) -> float:
        """Posterior standard deviation of the weight."""
        return float((self.mass * (self.weight - self.mean).square()).sum().sqrt())

    @property
    def best(self) -> float:
        """The point of the largest likelihood, the tuned weight."""
        return float(self.weight[self.log_lik.argmax()])

    def predict(self, x: Tensor) -> Tensor:
        """Class probabilities of rows, averaged over the posterior, ``[n, classes]``."""
        x = x.double().flatten(1)
        kept = self.mass > 1e-12
        probabilities = torch.zeros(len(x), self.graph.outputs, dtype=x.dtype)
        labels = torch.zeros(len(x), dtype=torch.int64)
        pairs = zip(self.weight[kept].split(_AT_ONCE), self.mass[kept].split(_AT_ONCE), strict=True)
        for weights, mass in pairs:
            outputs = SharedWeights(x, labels, weights).outputs(self.graph)
            probabilities += (mass[:, None, None] * outputs.softmax(1)).sum(0).T
        return probabilities


def weight_posterior(
    graph: NeuronGraph,
    x: Tensor,
    y: Tensor,
    prior: Distribution | None = None,
    tolerance: float = 1e-6,
) -> WeightPosterior:
    """The posterior of the shared weight of a graph.

    Args:
        graph: Γ.
        x: inputs ``[n, d]``.
        y: labels ``[n]``.
        prior: of the weight, a ``Uniform`` or a ``Normal``; by default uniform on [−2, 2].
        tolerance: relative error of the integral at which intervals are halved no more.

    Raises:
        TypeError: for another prior.

    >>> graph = NeuronGraph(1, 2, [], [(0, 3)])  # two classes, the difference of their logits w x
    >>> posterior = weight_posterior(graph, torch.tensor([[1.0], [-1.0]]), torch.tensor([1, 0]))
    >>> round(posterior.log_evidence, 4)  # ln of the mean of σ(w)² over [−2, 2]: ln(½ − tanh(1)/4)
    -1.1725
    """
    low, high, density = _range_of(prior)
    rows = x.double()

    def evaluated(weights: Tensor) -> Tensor:
        """Weight, log-likelihood and log joint density, ``[..., 3]``."""
        parts = weights.flatten().split(_AT_ONCE)
        log_lik = torch.cat([SharedWeights(rows, y, part).log_lik(graph) for part in parts])
        log_lik = len(rows) * log_lik.reshape(weights.shape)
        return torch.stack([weights, log_lik, log_lik + density.log_prob(weights)], -1)

    nodes = evaluated(torch.linspace(low, high, 2 * _START + 1, dtype=torch.float64))
    pieces = torch.stack([nodes[:-2:2], nodes[1:-1:2], nodes[2::2]], 1)
    error = torch.full((_START,), math.inf, dtype=torch.float64)
    while True:
        shift = pieces[..., 2].max()
        total = _integrals(pieces, shift).sum()
        worst = error > math.log(tolerance) + shift + (total / len(pieces)).log()
        if not worst.any() or len(pieces) > _MOST:
            break
        halves, errors = _halved(pieces[worst], evaluated)
        pieces = torch.cat([pieces[~worst], halves])
        error = torch.cat([error[~worst], errors])
    return _summed(graph, pieces, error)


def _range_of(prior: Distribution | None) -> tuple[float, float, Distribution]:
    if prior is None:
        prior = Uniform(LOW, HIGH)
    if isinstance(prior, Uniform):
        start, end = prior.low.double(), prior.high.double()
        return float(start), float(end), Uniform(start, end, validate_args=False)
    if isinstance(prior, Normal):
        loc, scale = torch.stack([prior.loc, prior.scale]).double()
        ends = loc - _WIDE * scale, loc + _WIDE * scale
        return float(ends[0]), float(ends[1]), Normal(loc, scale)
    raise TypeError(f"prior must be a Uniform or a Normal, got {type(prior).__name__}")


def _integrals(pieces: Tensor, shift: Tensor) -> Tensor:
    """Simpson's rule for the density over exp(shift), of every piece."""
    height = (pieces[..., 2] - shift).exp()
    return (pieces[:, 2, 0] - pieces[:, 0, 0]) / 6 * (height * _RULE).sum(1)


_RULE = torch.tensor([1.0, 4.0, 1.0], dtype=torch.float64)


def _halved(pieces: Tensor, evaluated: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Both halves of every piece, and the logarithm of the error of each half."""
    left, middle, right = pieces.unbind(1)
    quarters = evaluated(torch.stack([left + middle, middle + right], 1)[..., 0] / 2)
    first = torch.stack([left, quarters[:, 0], middle], 1)
    second = torch.stack([middle, quarters[:, 1], right], 1)
    shift = torch.maximum(pieces[..., 2].max(), quarters[..., 2].max())
    apart = _integrals(first, shift) + _integrals(second, shift) - _integrals(pieces, shift)
    error = (apart.abs() / 15 / 2).log() + shift  # of Simpson's rule, from one step to the next
    return torch.cat([first, second]), torch.cat([error, error])


def _summed(graph: NeuronGraph, pieces: Tensor, error: Tensor) -> WeightPosterior:
    shift = pieces[..., 2].max()
    width = (pieces[:, 2, 0] - pieces[:, 0, 0]) / 6
    shares = width[:, None] * (pieces[..., 2] - shift).exp() * _RULE
    weight, place = torch.unique(pieces[..., 0].flatten(), return_inverse=True)
    mass = torch.zeros_like(weight).index_add_(0, place, shares.flatten())
    log_lik = torch.empty_like(weight).index_copy_(0, place, pieces[..., 1].flatten())
    total = mass.sum()
    log_error = float((error - shift).exp().sum() / total)
    return WeightPosterior(
        graph, weight, log_lik, mass / total, float(shift + total.log()), log_error
    )
