"""Distributions that Pyro lacks, with their KL divergences registered with torch."""

from bayesnas.distributions.gaussian_weights import GaussianWeights

__all__ = ["GaussianWeights"]
