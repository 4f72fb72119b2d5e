"""Counts."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from bayesnas.likelihoods.base import Likelihood, check_counts, check_same_shape, flat, rows


class PoissonOfLogRate(dist.Poisson):
    """A Poisson distribution by the logarithm of its rate, also where the rate rounds to 0.

    The three terms of its density grow as y ln y and cancel to ½ ln y: they are added in double
    precision.

    >>> PoissonOfLogRate(torch.tensor(-200.0)).log_prob(torch.tensor(1.0))
    tensor(-200.)
    """

    def __init__(self, log_rate: Tensor, validate_args: bool | None = None) -> None:
        """Keep the logarithm; see the class."""
        self.log_rate = log_rate
        super().__init__(log_rate.exp(), validate_args=validate_args)  # type: ignore[no-untyped-call]

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> PoissonOfLogRate:
        """Return the same over a larger batch."""
        return PoissonOfLogRate(self.log_rate.expand(torch.Size(batch_shape)), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probability of counts, in nats."""
        value, log_rate = value.double(), self.log_rate.double()
        log_prob: Tensor = value * log_rate - log_rate.exp() - (value + 1).lgamma()
        return log_prob.to(self.log_rate.dtype)


class Poisson(Likelihood):
    r"""Counts y with rate exp(f), f of shape ``[n]``, ``[n, 1]`` or ``[n, k]``.

    .. math:: \ln p(y \mid f) = y f - e^f - \ln y!

    References:
        McCullagh, Nelder, *Generalized linear models*, 1989, chapter 6.

    >>> Poisson()(torch.zeros(1)).log_prob(torch.tensor([2.0])).exp()  # e⁻¹ / 2
    tensor([0.1839])
    """

    name = "poisson"
    task = "regression"
    outputs = "logarithm of the mean of y"

    def forward(self, output: Tensor) -> dist.TorchDistribution:
        """Poisson with log rates ``[n]``, or ``[n, k]`` as one event."""
        log_rate = flat(output)
        return rows(PoissonOfLogRate(log_rate), log_rate)

    def check(self, output_shape: torch.Size, y: Tensor, classes: int | None = None) -> None:
        """Counts of the shape of the outputs."""
        check_same_shape(self.name, output_shape, y)
        check_counts(self.name, y)
