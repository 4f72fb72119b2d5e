"""The log-uniform (reciprocal) distribution on an interval."""

from __future__ import annotations

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.utils import broadcast_all

from bayesnas.distributions.shape import Shape
from bayesnas.typed import typed


@typed()
class LogUniform(TorchDistribution):
    r"""ln x is uniform: every order of magnitude between ``low`` and ``high`` is as likely.

    .. math:: p(x) = \frac{1}{x \ln(b / a)},\quad a \le x \le b

    Also called the reciprocal distribution; without bounds it is the improper prior of a scale
    parameter (Jeffreys 1946).

    Args:
        low: a, the lower end of the support, > 0.
        high: b, the upper end, > ``low``; broadcast with ``low``.
        validate_args: False to check nothing: neither the bounds nor, as in
            ``torch.distributions``, what ``log_prob`` and ``cdf`` are given.

    Raises:
        ValueError: unless 0 < low < high and both are finite.

    Shapes:
        batch ``broadcast(low, high)``; event ``()``.

    >>> import torch
    >>> weights = LogUniform(0.1, 1000.0)
    >>> weights.icdf(torch.tensor([0.0, 0.25, 0.5, 1.0]))
    tensor([1.0000e-01, 1.0000e+00, 1.0000e+01, 1.0000e+03])
    >>> weights.log_prob(torch.tensor(2.0))  # −ln 2 − ln ln 10⁴
    tensor(-2.9135)
    """

    arg_constraints = {  # noqa: RUF012
        "low": constraints.positive,
        "high": constraints.positive,
    }
    has_rsample = True

    def __init__(
        self, low: float | Tensor, high: float | Tensor, validate_args: bool | None = None
    ) -> None:
        """Check and broadcast the bounds; see the class."""
        self.low, self.high = broadcast_all(low, high)
        if validate_args is not False:
            self._check_bounds(low, high)
        super().__init__(self.low.shape, torch.Size(), validate_args=validate_args)

    def _check_bounds(self, low: float | Tensor, high: float | Tensor) -> None:
        if not bool((self.low > 0).all() and self.low.isfinite().all()):
            raise ValueError(f"low must be a finite number > 0, got {low}")
        if not bool((self.high > self.low).all() and self.high.isfinite().all()):
            raise ValueError(f"high must be a finite number > low = {low}, got {high}")

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The interval [low, high]."""
        return constraints.interval(self.low, self.high)

    @property
    def _log_low(self) -> Tensor:
        return self.low.double().log()

    @property
    def _log_ratio(self) -> Tensor:
        """Ln(b/a) in double precision: the ratio may overflow, or round to 1."""
        return self.high.double().log() - self._log_low

    @property
    def mean(self) -> Tensor:
        """(b − a) / ln(b/a)."""
        width = self.high.double() - self.low.double()
        return (width / self._log_ratio).to(self.low.dtype)

    @property
    def variance(self) -> Tensor:
        """(b² − a²) / (2 ln(b/a)) − mean² = mean² (h coth h − 1), h = ½ ln(b/a)."""
        half = 0.5 * self._log_ratio
        mean = (self.high.double() - self.low.double()) / (2 * half)
        return (mean.square() * _coth_excess(half)).to(self.low.dtype)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> LogUniform:
        """Return the same distribution for a larger batch shape."""
        batch_shape = torch.Size(batch_shape)
        return LogUniform(
            self.low.expand(batch_shape), self.high.expand(batch_shape), validate_args=False
        )

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw, differentiable in the bounds; ``sample_shape + batch_shape``."""
        shape = self._extended_shape(torch.Size(sample_shape))
        return self.icdf(torch.rand(shape, dtype=self.low.dtype, device=self.low.device))

    def log_prob(self, value: Tensor) -> Tensor:
        """−ln x − ln ln(b/a), and −inf outside the support."""
        if self._validate_args:
            self._validate_sample(value)
        inside = (value >= self.low) & (value <= self.high)
        log_value = torch.where(inside, value, self.low).double().log()
        density = (-log_value - self._log_ratio.log()).to(self.low.dtype)
        return torch.where(inside, density, -torch.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """P(x ≤ value) = ln(value/a) / ln(b/a)."""
        if self._validate_args:
            self._validate_sample(value)
        bounded = value.clamp(self.low, self.high).double()
        return ((bounded.log() - self._log_low) / self._log_ratio).to(self.low.dtype)

    def icdf(self, value: Tensor) -> Tensor:
        """Quantiles a (b/a)^value, within the bounds whatever the rounding."""
        quantile = (self._log_low + self._log_ratio * value).exp().to(self.low.dtype)
        return quantile.clamp(self.low, self.high)

    def entropy(self) -> Tensor:
        """½ ln(ab) + ln ln(b/a), in nats."""
        log_ratio = self._log_ratio
        return (self._log_low + 0.5 * log_ratio + log_ratio.log()).to(self.low.dtype)


def _coth_excess(h: Tensor) -> Tensor:
    """H coth h − 1 for h > 0, by its series where the difference cancels."""
    is_small = h < _SMALL
    far, near = torch.where(is_small, 1.0, h), torch.where(is_small, h, 0.0).square()
    series = near * (1 / 3 - near * (1 / 45 - near * (2 / 945 - near / 4725)))
    return torch.where(is_small, series, far / far.tanh() - 1)


_SMALL = 0.05
