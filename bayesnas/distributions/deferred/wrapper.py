"""Distributions that have support and moments of another one."""

from __future__ import annotations

from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints


class OfSource(TorchDistribution):
    """A distribution that differs from its ``source`` in how it is drawn.

    Attributes:
        source: what it has support, mean and variance from.
    """

    source: TorchDistribution

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """Support of the source."""
        support = self.source.support
        assert support is not None
        return support

    @property
    def mean(self) -> Tensor:
        """Mean of the source."""
        mean: Tensor = self.source.mean
        return mean

    @property
    def variance(self) -> Tensor:
        """Variance of the source."""
        variance: Tensor = self.source.variance
        return variance
