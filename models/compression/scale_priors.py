"""The priors of Bayesian compression on the scale of a group of weights, with their guides."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution

from bayesnas.distributions import LogUniform, NormalJeffreys, TruncatedLogNormal
from bayesnas.distributions.logistic_averages import expected_sigmoid
from bayesnas.nn.lazy.scaled_tensor import LazyScales

Guides = Mapping[str, Distribution]
"""Univariate guides of a layer's scale variables, by name."""


class GroupPrior(abc.ABC):
    """p(z) of the scales z of a layer's groups, where z may be made of several variables.

    The guide of each variable has two parameters, ``loc`` and ``log_scale``.

    Attributes:
        name: what the argument ``prior`` of the model calls it.
        variables: names of what z is made of; a variable without a shape is shared by all
            groups of a layer.
    """

    name: str
    variables: tuple[str, ...]

    @abc.abstractmethod
    def initial_locs(self, groups: int) -> dict[str, Tensor]:
        """Starting ``loc`` of every variable, such that z starts near 1; by name; in float64."""

    @abc.abstractmethod
    def prior(self, variable: str, like: Tensor) -> Distribution:
        """Univariate prior of a variable, of the shape, type and device of ``like``."""

    @abc.abstractmethod
    def guide(self, variable: str, loc: Tensor, scale: Tensor) -> Distribution:
        """Univariate guide of a variable."""

    @abc.abstractmethod
    def join(self, values: Mapping[str, Tensor]) -> Tensor:
        """Z ``[groups]`` of draws (plain or lazily sampled) of the variables."""

    @abc.abstractmethod
    def scores(self, guides: Guides) -> Tensor:
        """How little each group matters, ``[groups]``; those at or above a threshold go."""

    @abc.abstractmethod
    def inclusion(self, guides: Guides) -> Tensor:
        """In [0, 1], ``[groups]``: near 0 where a group carries noise alone."""

    @abc.abstractmethod
    def moments(self, guides: Guides) -> tuple[Tensor, Tensor]:
        """E z and E z², ``[groups]``."""


class _SingleScale(GroupPrior):
    """One variable z a group; it goes by α = Var z / (E z)², the noise over the signal."""

    variables = ("z",)

    def join(self, values: Mapping[str, Tensor]) -> Tensor:
        """Z itself."""
        return values["z"]

    def inclusion(self, guides: Guides) -> Tensor:
        """1 / (1 + α) = (E z)² / E z², the complement of the rate of Gaussian dropout."""
        return torch.sigmoid(-self.scores(guides))

    def moments(self, guides: Guides) -> tuple[Tensor, Tensor]:
        """E z and E z²."""
        mean = guides["z"].mean
        return mean, mean.square() + guides["z"].variance


class NormalJeffreysScales(_SingleScale):
    """p(z) ∝ 1/|z| with q(z) = N(μ, αμ²): model 1 of the paper."""

    name = "normal-jeffreys"

    def initial_locs(self, groups: int) -> dict[str, Tensor]:
        """Z = 1."""
        return {"z": torch.ones(groups, dtype=torch.float64)}

    def prior(self, variable: str, like: Tensor) -> Distribution:
        """The improper 1/|z|."""
        return NormalJeffreys(like.shape, like=like)

    def guide(self, variable: str, loc: Tensor, scale: Tensor) -> Distribution:
        """A Gaussian."""
        return dist.Normal(loc, scale, validate_args=False)

    def scores(self, guides: Guides) -> Tensor:
        """Ln α = ln σ² − ln μ²."""
        z = guides["z"]
        return 2 * (z.stddev.log() - z.mean.abs().log())


class TruncatedLogUniformScales(_SingleScale):
    """Ln z uniform on [ln low, ln high], with a truncated log-normal guide.

    The proper form of the log-uniform prior (Neklyudov, Molchanov, Ashukha, Vetrov 2017).
    """

    name = "log-uniform-truncated"

    def __init__(self, low: float = math.exp(-20), high: float = 1.0) -> None:
        """Set the ends of the interval."""
        self.low, self.high = low, high

    def initial_locs(self, groups: int) -> dict[str, Tensor]:
        """The upper end."""
        return {"z": torch.full((groups,), math.log(self.high), dtype=torch.float64)}

    def prior(self, variable: str, like: Tensor) -> Distribution:
        """A log-uniform distribution."""
        low, high = torch.full_like(like, self.low), torch.full_like(like, self.high)
        return LogUniform(low, high, validate_args=False)

    def guide(self, variable: str, loc: Tensor, scale: Tensor) -> Distribution:
        """A truncated log-normal distribution."""
        return TruncatedLogNormal(loc, scale, self.low, self.high, validate_args=False)

    def scores(self, guides: Guides) -> Tensor:
        """Ln(Var z / (E z)²)."""
        z = guides["z"]
        assert isinstance(z, TruncatedLogNormal)
        return z.log_dispersion


class HorseshoeScales(GroupPrior):
    r"""z_g s ~ half-Cauchy(s), s ~ half-Cauchy(τ): model 2 of the paper.

    .. math:: z_g = \sqrt{\alpha_g \beta_g s_a s_b},\quad
        \alpha_g \sim \Gamma(\tfrac12, 1),\; \beta_g \sim I\Gamma(\tfrac12, 1),\;
        s_a \sim \Gamma(\tfrac12, \text{scale } \tau^2),\; s_b \sim I\Gamma(\tfrac12, 1),

    with log-normal guides for all four.
    """

    name = "horseshoe"
    variables = ("alpha", "beta", "s_a", "s_b")

    def __init__(self, global_scale: float = 1e-5) -> None:
        """Set τ."""
        self.global_scale = global_scale

    def initial_locs(self, groups: int) -> dict[str, Tensor]:
        """α = β = 1, and s_a at the scale of its prior, s_b at its inverse: z = 1."""
        s_a = torch.tensor(2 * math.log(self.global_scale), dtype=torch.float64)
        zeros = torch.zeros(groups, dtype=torch.float64)
        return {"alpha": zeros, "beta": zeros, "s_a": s_a, "s_b": -s_a}

    def prior(self, variable: str, like: Tensor) -> Distribution:
        """Gamma or inverse Gamma of shape ½."""
        half, one = torch.full_like(like, 0.5), torch.ones_like(like)
        if variable in ("beta", "s_b"):
            return dist.InverseGamma(half, one, validate_args=False)
        rate = one if variable == "alpha" else one / self.global_scale**2
        return dist.Gamma(half, rate, validate_args=False)

    def guide(self, variable: str, loc: Tensor, scale: Tensor) -> Distribution:
        """A log-normal distribution."""
        return dist.LogNormal(loc, scale, validate_args=False)

    def join(self, values: Mapping[str, Tensor]) -> Tensor:
        """√(α β s_a s_b); lazily sampled while all four are."""
        alpha, beta, s_a, s_b = (values[name] for name in self.variables)
        if not all(isinstance(value, LazyScales) for value in values.values()):
            return (alpha * beta).sqrt() * (s_a * s_b).sqrt()
        assert isinstance(alpha, LazyScales)
        local, shared = _root_of_product(alpha, beta), _root_of_product(s_a, s_b)
        return LazyScales(local.loc, [local, shared], alpha.keep)

    def scores(self, guides: Guides) -> Tensor:
        """−ln mode of q(z) = Σ σ²/4 − Σ μ/2 over the four variables."""
        loc, variance = _log_moments(guides, self.variables)
        return variance - loc

    def inclusion(self, guides: Guides) -> Tensor:
        """E κ, κ = αβ / (1 + αβ): one minus the shrinkage weight that names the horseshoe."""
        loc, variance = _log_moments(guides, ("alpha", "beta"))
        return expected_sigmoid(2 * loc, 2 * variance.sqrt())

    def moments(self, guides: Guides) -> tuple[Tensor, Tensor]:
        """E z and E z² of the log-normal z."""
        loc, variance = _log_moments(guides, self.variables)
        return (loc + 0.5 * variance).exp(), (2 * (loc + variance)).exp()


def _root_of_product(first: Tensor, second: Tensor) -> dist.LogNormal:
    """Distribution of √(ab) of two independent log-normal variables."""
    assert isinstance(first, LazyScales)
    assert isinstance(second, LazyScales)
    a, b = first.factors[0], second.factors[0]
    loc, variance = _log_moments({"a": a, "b": b}, ("a", "b"))
    return dist.LogNormal(loc, variance.sqrt(), validate_args=False)


def _log_moments(guides: Guides, variables: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Mean and variance of ln √(product of the variables)."""
    factors = [guides[variable] for variable in variables]
    log_normal = [q for q in factors if isinstance(q, dist.LogNormal)]
    locs = torch.broadcast_tensors(*(q.loc for q in log_normal))
    scales = torch.broadcast_tensors(*(q.scale for q in log_normal))
    return 0.5 * torch.stack(locs).sum(0), 0.25 * torch.stack(scales).square().sum(0)
