"""Distributions that Pyro lacks, with their KL divergences registered with torch."""

from bayesnas.distributions.binary_concrete import BinaryConcrete
from bayesnas.distributions.gaussian_weights import GaussianWeights
from bayesnas.distributions.hard_concrete import HardConcrete
from bayesnas.distributions.log_uniform import LogUniform
from bayesnas.distributions.spike_and_slab import SpikeAndSlab

__all__ = ["BinaryConcrete", "GaussianWeights", "HardConcrete", "LogUniform", "SpikeAndSlab"]
