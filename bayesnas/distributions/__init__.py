"""Distributions that Pyro lacks, with their KL divergences registered with torch."""

import bayesnas.distributions.log_normal  # noqa: F401  # registers its KL divergences
from bayesnas.distributions.binary_concrete import BinaryConcrete
from bayesnas.distributions.gaussian_weights import GaussianWeights
from bayesnas.distributions.group_scales import GroupScales
from bayesnas.distributions.gumbel_softmax import GumbelSoftmax
from bayesnas.distributions.hard_concrete import HardConcrete
from bayesnas.distributions.horseshoe import Horseshoe
from bayesnas.distributions.log_uniform import LogUniform
from bayesnas.distributions.logit_normal import LogitNormal
from bayesnas.distributions.normal_jeffreys import NormalJeffreys
from bayesnas.distributions.spike_and_slab import SpikeAndSlab
from bayesnas.distributions.temperature import (
    constant_temperature,
    exponential_temperature,
    linear_temperature,
)
from bayesnas.distributions.truncated_log_normal import TruncatedLogNormal

__all__ = [
    "BinaryConcrete",
    "GaussianWeights",
    "GroupScales",
    "GumbelSoftmax",
    "HardConcrete",
    "Horseshoe",
    "LogUniform",
    "LogitNormal",
    "NormalJeffreys",
    "SpikeAndSlab",
    "TruncatedLogNormal",
    "constant_temperature",
    "exponential_temperature",
    "linear_temperature",
]
