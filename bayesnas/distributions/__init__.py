"""Distributions that Pyro lacks, with their KL divergences registered with torch."""

from pyro.distributions import Uniform

import bayesnas.distributions.gaussian_divergence
import bayesnas.distributions.scales.log_normal  # noqa: F401  # both register KL divergences
from bayesnas.distributions.indian_buffet.cascading import CascadingIndianBuffet, LayeredGraph
from bayesnas.distributions.indian_buffet.finite import BetaBernoulliBuffet, StickBreakingBuffet
from bayesnas.distributions.indian_buffet.kumaraswamy import Kumaraswamy
from bayesnas.distributions.indian_buffet.two_parameter import IndianBuffet, left_ordered
from bayesnas.distributions.relaxed.binary_concrete import BinaryConcrete
from bayesnas.distributions.relaxed.concrete_gate import ConcreteGate
from bayesnas.distributions.relaxed.gumbel_softmax import GumbelSoftmax
from bayesnas.distributions.relaxed.hard_concrete import HardConcrete
from bayesnas.distributions.relaxed.logit_normal import LogitNormal
from bayesnas.distributions.relaxed.straight_through import (
    StraightThroughBernoulli,
    StraightThroughOneHot,
)
from bayesnas.distributions.relaxed.temperature_schedules import (
    constant_temperature,
    exponential_temperature,
    linear_temperature,
)
from bayesnas.distributions.scales.horseshoe import Horseshoe
from bayesnas.distributions.scales.log_uniform import LogUniform
from bayesnas.distributions.scales.normal_jeffreys import NormalJeffreys
from bayesnas.distributions.scales.truncated_log_normal import TruncatedLogNormal
from bayesnas.distributions.weights.gaussian_weights import GaussianWeights
from bayesnas.distributions.weights.group_scales import GroupScales
from bayesnas.distributions.weights.spike_and_slab import SpikeAndSlab

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
    "Uniform",
    "constant_temperature",
    "exponential_temperature",
    "left_ordered",
    "linear_temperature",
]
