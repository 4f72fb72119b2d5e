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
        found = self.source.support
        assert found is not None
        return found

    @property
    def mean(self) -> Tensor:
        """Mean of the source."""
        found: Tensor = self.source.mean
        return found

    @property
    def variance(self) -> Tensor:
        """Variance of the source."""
        found: Tensor = self.source.variance
        return found
