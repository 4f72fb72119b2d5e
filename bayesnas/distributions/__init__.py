"""Distributions that Pyro lacks, with their KL divergences registered with torch."""

from bayesnas.distributions.gaussian_weights import GaussianWeights
from bayesnas.distributions.log_uniform import LogUniform

__all__ = ["GaussianWeights", "LogUniform"]
