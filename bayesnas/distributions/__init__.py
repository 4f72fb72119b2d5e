"""Distributions that Pyro lacks, with their KL divergences registered with torch."""

import bayesnas.distributions.log_normal  # noqa: F401  # registers its KL divergences
from bayesnas.distributions.binary_concrete import BinaryConcrete
from bayesnas.distributions.cascading_indian_buffet import CascadingIndianBuffet, LayeredGraph
from bayesnas.distributions.concrete_gate import ConcreteGate
from bayesnas.distributions.finite_indian_buffet import BetaBernoulliBuffet, StickBreakingBuffet
from bayesnas.distributions.gaussian_weights import GaussianWeights
from bayesnas.distributions.group_scales import GroupScales
from bayesnas.distributions.gumbel_softmax import GumbelSoftmax
from bayesnas.distributions.hard_concrete import HardConcrete
from bayesnas.distributions.horseshoe import Horseshoe
from bayesnas.distributions.indian_buffet import IndianBuffet, left_ordered
from bayesnas.distributions.kumaraswamy import Kumaraswamy
from bayesnas.distributions.log_uniform import LogUniform
from bayesnas.distributions.logit_normal import LogitNormal
from bayesnas.distributions.normal_jeffreys import NormalJeffreys
from bayesnas.distributions.spike_and_slab import SpikeAndSlab
from bayesnas.distributions.straight_through import (
    StraightThroughBernoulli,
    StraightThroughOneHot,
)
from bayesnas.distributions.temperature import (
    constant_temperature,
    exponential_temperature,
    linear_temperature,
)
from bayesnas.distributions.truncated_log_normal import TruncatedLogNormal

__all__ = [
    "BetaBernoulliBuffet",
    "BinaryConcrete",
    "CascadingIndianBuffet",
    "ConcreteGate",
    "GaussianWeights",
    "GroupScales",
    "GumbelSoftmax",
    "HardConcrete",
    "Horseshoe",
    "IndianBuffet",
    "Kumaraswamy",
    "LayeredGraph",
    "LogUniform",
    "LogitNormal",
    "NormalJeffreys",
    "SpikeAndSlab",
    "StickBreakingBuffet",
    "StraightThroughBernoulli",
    "StraightThroughOneHot",
    "TruncatedLogNormal",
    "constant_temperature",
    "exponential_temperature",
    "left_ordered",
    "linear_temperature",
]
