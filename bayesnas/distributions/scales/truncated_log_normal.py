"""The log-normal distribution on an interval, and its KL divergence from the log-uniform."""

from __future__ import annotations

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, constraints, register_kl
from torch.distributions.utils import broadcast_all

from bayesnas.distributions.scales.log_uniform import LogUniform
from bayesnas.distributions.scales.truncated_gaussian import TruncatedGaussian
from bayesnas.distributions.shape import Shape
from bayesnas.typed import typed


@typed()
class TruncatedLogNormal(TorchDistribution):
    r"""ln x is Gaussian, given that ``low`` ≤ x ≤ ``high``.

    .. math:: p(x) = \frac{\phi((\ln x - \mu)/\sigma)}{x \sigma Z},\quad
        Z = \Phi(\beta) - \Phi(\alpha),\quad
        \alpha = \frac{\ln a - \mu}{\sigma},\; \beta = \frac{\ln b - \mu}{\sigma}

    The guide that goes with a :class:`LogUniform` prior on a scale (Neklyudov, Molchanov,
    Ashukha, Vetrov, *Structured Bayesian pruning via log-normal multiplicative noise*, 2017).
    All is computed in double precision, about the mode of ln x, so it is right where μ lies any
    number of σ outside the interval, or σ is any number of times its width; see
    :class:`~bayesnas.distributions.scales.truncated_gaussian.TruncatedGaussian` for the error.

    Args:
        loc: μ, mean of ln x before truncation.
        scale: σ > 0, standard deviation of ln x before truncation.
        low: a, lower end of the support, > 0.
        high: b, upper end, > ``low``.

    Raises:
        ValueError: unless 0 < low < high and both are finite, or where scale ≤ 0.

    Shapes:
        batch ``broadcast(loc, scale, low, high)``; event ``()``.

    >>> import math, torch
    >>> from torch.distributions import kl_divergence
    >>> q = TruncatedLogNormal(torch.tensor(-1.0), 0.7, math.exp(-20), 1.0)
    >>> kl_divergence(q, LogUniform(math.exp(-20), 1.0))
    tensor(2.1244)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    has_rsample = True

    def __init__(
        self,
        loc: float | Tensor,
        scale: float | Tensor,
        low: float | Tensor,
        high: float | Tensor,
        validate_args: bool | None = None,
    ) -> None:
        """Check the bounds and broadcast; see the class."""
        LogUniform(low, high, validate_args=validate_args)  # checks them
        self.loc, self.scale, self.low, self.high = broadcast_all(loc, scale, low, high)
        super().__init__(self.loc.shape, torch.Size(), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The interval [low, high]."""
        return constraints.interval(self.low, self.high)

    def expand(
        self, batch_shape: Shape, _instance: Distribution | None = None
    ) -> TruncatedLogNormal:
        """Return the same distribution for a larger batch shape."""
        shape = torch.Size(batch_shape)
        return TruncatedLogNormal(
            self.loc.expand(shape),
            self.scale.expand(shape),
            self.low.expand(shape),
            self.high.expand(shape),
            validate_args=False,
        )

    @property
    def mean(self) -> Tensor:
        """E x."""
        return self.log.log_exp_moment(1).exp().to(self.loc.dtype)

    @property
    def variance(self) -> Tensor:
        """Var x."""
        log = self.log
        log_variance = log.log_exp_dispersion() + 2 * log.log_exp_moment(1)
        return log_variance.exp().to(self.loc.dtype)

    @property
    def log_dispersion(self) -> Tensor:
        """Ln(Var x / (E x)²), which stays finite where the variance rounds to 0."""
        return self.log.log_exp_dispersion().to(self.loc.dtype)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw, differentiable in ``loc`` and ``scale``; ``sample_shape + batch_shape``."""
        shape = self._extended_shape(torch.Size(sample_shape))
        return self.icdf(torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device))

    def icdf(self, value: Tensor) -> Tensor:
        """Quantiles, differentiable in ``loc`` and ``scale`` (implicit reparameterisation)."""
        log_x = self.log.quantile(value.double())
        return log_x.exp().to(self.loc.dtype).clamp(self.low, self.high)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density, −inf outside the support."""
        if self._validate_args:
            self._validate_sample(value)
        inside = (value >= self.low) & (value <= self.high)
        log_x = torch.where(inside, value, self.low).double().log()
        density = self.log.log_density(log_x) - log_x
        return torch.where(inside, density, -torch.inf).to(self.loc.dtype)

    def entropy(self) -> Tensor:
        """Differential entropy, in nats: that of ln x and E ln x."""
        log = self.log
        return (log.entropy() + log.mean()).to(self.loc.dtype)

    def entropy_of_log(self) -> Tensor:
        """Differential entropy of ln x, in nats, in double precision."""
        return self.log.entropy()

    @property
    def log(self) -> TruncatedGaussian:
        """The distribution of ln x, in double precision."""
        ends = self.low.double().log(), self.high.double().log()
        return TruncatedGaussian(self.loc, self.scale, *ends)


@register_kl(TruncatedLogNormal, LogUniform)  # type: ignore[untyped-decorator]
def _kl_truncated_log_normal_log_uniform(q: TruncatedLogNormal, p: LogUniform) -> Tensor:
    log_width = (p.high.double().log() - p.low.double().log()).log()
    divergence = log_width - q.entropy_of_log()
    inside = (q.low >= p.low) & (q.high <= p.high)
    return torch.where(inside, divergence, torch.inf).to(q.loc.dtype)
