"""The log-normal distribution on an interval, and its KL divergence from the log-uniform."""

from __future__ import annotations

import math

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, constraints, register_kl
from torch.distributions.utils import broadcast_all
from torch.special import erfcx, log_ndtr, ndtri

from bayesnas.distributions.scales.log_uniform import LogUniform
from bayesnas.distributions.shape import Shape
from bayesnas.typed import typed

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
_ROOT_HALF = math.sqrt(0.5)


@typed()
class TruncatedLogNormal(TorchDistribution):
    r"""ln x is Gaussian, given that ``low`` ≤ x ≤ ``high``.

    .. math:: p(x) = \frac{\phi((\ln x - \mu)/\sigma)}{x \sigma Z},\quad
        Z = \Phi(\beta) - \Phi(\alpha),\quad
        \alpha = \frac{\ln a - \mu}{\sigma},\; \beta = \frac{\ln b - \mu}{\sigma}

    The guide that goes with a :class:`LogUniform` prior on a scale (Neklyudov, Molchanov,
    Ashukha, Vetrov, *Structured Bayesian pruning via log-normal multiplicative noise*, 2017).
    All is computed in double precision and in log space, so it stays finite where μ lies many
    σ outside the interval, or σ is many times its width.

    Args:
        loc: μ, mean of ln x before truncation.
        scale: σ > 0, standard deviation of ln x before truncation.
        low: a, lower end of the support, > 0.
        high: b, upper end, > ``low``.

    Raises:
        ValueError: unless 0 < low < high and both are finite, or where scale ≤ 0.

    Shapes:
        batch ``broadcast(loc, scale, low, high)``; event ``()``.

    >>> import torch
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
        interval = LogUniform(low, high, validate_args=validate_args)
        self.loc, self.scale, self.low, self.high = broadcast_all(
            loc, scale, interval.low, interval.high
        )
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
        return self._log_moment(1).exp().to(self.loc.dtype)

    @property
    def variance(self) -> Tensor:
        """Var x."""
        log_mean = self._log_moment(1)
        relative = torch.expm1(self._log_moment(2) - 2 * log_mean).clamp_min(0)
        return (relative * (2 * log_mean).exp()).to(self.loc.dtype)

    @property
    def log_dispersion(self) -> Tensor:
        """Ln(Var x / (E x)²), which stays finite where the variance rounds to 0."""
        relative = torch.expm1(self._log_moment(2) - 2 * self._log_moment(1))
        return relative.clamp_min(_TINY).log().to(self.loc.dtype)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw, differentiable in ``loc`` and ``scale``; ``sample_shape + batch_shape``."""
        shape = self._extended_shape(torch.Size(sample_shape))
        return self.icdf(torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device))

    def icdf(self, value: Tensor) -> Tensor:
        """Quantiles, differentiable in ``loc`` and ``scale`` (implicit reparameterisation)."""
        lower, upper = self._ends()
        standard = _truncated_quantile(value.double(), lower, upper)
        log_x = self.loc.double() + self.scale.double() * standard
        return log_x.exp().to(self.loc.dtype).clamp(self.low, self.high)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density, −inf outside the support."""
        if self._validate_args:
            self._validate_sample(value)
        inside = (value >= self.low) & (value <= self.high)
        log_x = torch.where(inside, value, self.low).double().log()
        loc, scale = self.loc.double(), self.scale.double()
        standard = (log_x - loc) / scale
        log_mass = _log_mass(*self._ends())
        density = -0.5 * standard.square() - _HALF_LOG_TWO_PI - scale.log() - log_x - log_mass
        return torch.where(inside, density, -torch.inf).to(self.loc.dtype)

    def entropy_of_log(self) -> Tensor:
        r"""Differential entropy of ln x, in nats, in double precision.

        :math:`\ln(\sqrt{2\pi e}\,\sigma Z) + (\alpha\phi(\alpha) - \beta\phi(\beta)) / 2Z`.
        """
        standardised = _Interval(*self._ends())
        return self.scale.double().log() + 0.5 + _HALF_LOG_TWO_PI + standardised.entropy_terms()

    def _ends(self) -> tuple[Tensor, Tensor]:
        """α and β in double precision."""
        loc, scale = self.loc.double(), self.scale.double()
        return (self.low.double().log() - loc) / scale, (self.high.double().log() - loc) / scale

    def _log_moment(self, order: int) -> Tensor:
        """Ln E x^order, in double precision."""
        lower, upper = self._ends()
        scale = self.scale.double()
        shift = order * scale
        gained = _log_mass(lower - shift, upper - shift) - _log_mass(lower, upper)
        return order * self.loc.double() + 0.5 * shift.square() + gained


_TINY = 1e-30
_LARGEST_EXPONENT = 700.0  # exp of it is finite in double precision


class _Interval:
    """Mass of a standard Gaussian on [lower, upper], with the exponents of its tails apart.

    The interval is reflected where its centre is right of 0, so that ``left`` ≤ 0. There
    ln Φ(x) = ln(erfcx(−x/√2)/2) − x²/2, and only differences of the squares are ever formed.
    """

    def __init__(self, lower: Tensor, upper: Tensor) -> None:
        self.flipped = lower + upper > 0
        self.left = torch.where(self.flipped, -upper, lower)
        self.right = torch.where(self.flipped, -lower, upper)
        self._in_tail = self.right < 0
        tail = _log_scaled_tail(torch.where(self._in_tail, self.right, 0.0))
        self._right = torch.where(self._in_tail, tail, log_ndtr(self.right))
        # ½(right² − left²), or −½left² where Φ(right) was not scaled
        beyond = torch.where(self._in_tail, self.right, 0.0)
        self._exponent = 0.5 * (beyond - self.left) * (beyond + self.left)
        left_over_right = _log_scaled_tail(self.left) - self._right + self._exponent
        self._rest = torch.log(-torch.expm1(left_over_right))  # ln(1 − Φ(left)/Φ(right))

    def log_mass(self) -> Tensor:
        """Ln(Φ(upper) − Φ(lower))."""
        squared = torch.where(self._in_tail, 0.5 * self.right.square(), 0.0)
        return self._right + self._rest - squared

    def entropy_terms(self) -> Tensor:
        """Ln Z + (left φ(left) − right φ(right)) / 2Z, of which −½ right² cancels in the tail."""
        scaled_density = (-_HALF_LOG_TWO_PI - self._right - self._rest).exp()
        outside = torch.where(self._in_tail, 0.0, 0.5 * self.right.square())
        right_term = self.right * (scaled_density * (-outside).exp())
        left_term = self.left * (scaled_density * self._exponent.exp())
        squared = torch.where(self._in_tail, self.right.square(), 0.0)
        return self._right + self._rest + 0.5 * (left_term - (right_term + squared))


def _log_scaled_tail(x: Tensor) -> Tensor:
    """Ln Φ(x) + x²/2 for x ≤ 0."""
    scaled: Tensor = erfcx(-x * _ROOT_HALF)
    return (0.5 * scaled).log()


def _log_mass(lower: Tensor, upper: Tensor) -> Tensor:
    return _Interval(lower, upper).log_mass()


def _truncated_quantile(u: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Quantiles of a standard Gaussian on [lower, upper], differentiable in both ends."""
    interval = _Interval(lower, upper)
    left, right, flipped = interval.left, interval.right, interval.flipped
    u = torch.where(flipped, 1 - u, u)
    with torch.no_grad():
        log_p = torch.logaddexp(
            torch.log1p(-u) + log_ndtr(left), u.log() + log_ndtr(right)
        )  # of Φ(x) = (1 − u) Φ(left) + u Φ(right)
        fixed = _inverse_log_ndtr(log_p).clamp(left, right)
        half_square = 0.5 * fixed.square()
        by_left = (1 - u) * _bounded_exp(half_square - 0.5 * left.square())
        by_right = u * _bounded_exp(half_square - 0.5 * right.square())
    # Zero in value; its gradient is that of x by the implicit function theorem.
    x = fixed + by_left * (left - left.detach()) + by_right * (right - right.detach())
    return torch.where(flipped, -x, x)


def _bounded_exp(exponent: Tensor) -> Tensor:
    return exponent.clamp_max(_LARGEST_EXPONENT).exp()


def _inverse_log_ndtr(log_p: Tensor) -> Tensor:
    """The x with ln Φ(x) = log_p: ndtri, or Newton's method where Φ(x) would be 0."""
    far = log_p < -_LARGEST_EXPONENT
    tail = -2 * torch.where(far, log_p, -_LARGEST_EXPONENT) - 2 * _HALF_LOG_TWO_PI
    x = -(tail - tail.log()).sqrt()
    for _ in range(3):
        log_cdf = log_ndtr(x)
        hazard = (-0.5 * x.square() - _HALF_LOG_TWO_PI - log_cdf).exp()
        x = x - (log_cdf - torch.where(far, log_p, -_LARGEST_EXPONENT)) / hazard
    return torch.where(far, x, ndtri(log_p.exp()))


@register_kl(TruncatedLogNormal, LogUniform)  # type: ignore[untyped-decorator]
def _kl_truncated_log_normal_log_uniform(q: TruncatedLogNormal, p: LogUniform) -> Tensor:
    log_width = (p.high.double().log() - p.low.double().log()).log()
    divergence = log_width - q.entropy_of_log()
    inside = (q.low >= p.low) & (q.high <= p.high)
    return torch.where(inside, divergence, torch.inf).to(q.loc.dtype)
