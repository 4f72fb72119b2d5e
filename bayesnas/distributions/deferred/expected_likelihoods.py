"""Likelihoods averaged over what their parameters depend on: E log p in place of log p."""

from __future__ import annotations

import math

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.utils import broadcast_all

from bayesnas.distributions.logistic_averages import expected_cross_entropy, expected_sigmoid
from bayesnas.distributions.shape import Shape

_SMALLEST_VARIANCE = 1e-24  # keeps the gradient of sqrt finite where a variance is exactly zero


class ExpectedNormal(TorchDistribution):
    r"""E log N(y; f, 1/τ) over independent f and τ, of which only moments matter.

    .. math::
        \tfrac12 E\ln\tau - \tfrac12 \ln 2\pi
        - \tfrac12 E\tau\, ((y - E f)^2 + \mathrm{Var} f)

    ``log_prob`` is this expectation, the term of an evidence lower bound; its exponential is no
    density. ``sample`` draws from the predictive distribution at the mean precision.

    Args:
        loc: E f.
        variance: Var f ≥ 0.
        precision: E τ > 0.
        log_precision: E ln τ; by default ln E τ, of a τ that is known.

    Shapes:
        batch: all broadcast together; event ``()``.

    >>> import torch
    >>> ExpectedNormal(torch.tensor(0.0), 0.0, 1.0).log_prob(torch.tensor(1.0))  # N(1; 0, 1)
    tensor(-1.4189)
    """

    arg_constraints = {"loc": constraints.real, "precision": constraints.positive}  # noqa: RUF012
    support = constraints.real

    def __init__(
        self,
        loc: Tensor,
        variance: Tensor | float,
        precision: Tensor | float,
        log_precision: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        """Broadcast the moments; see the class."""
        self.loc, self.f_variance, self.precision = broadcast_all(loc, variance, precision)
        if log_precision is None:
            self.log_precision = self.precision.log()
        else:
            self.log_precision = log_precision.expand_as(self.precision)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """E f."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Var f + 1 / E τ."""
        return self.f_variance + 1 / self.precision

    def expand(
        self, batch_shape: Shape, _instance: Distribution | None = None
    ) -> TorchDistribution:
        """Return the same over a larger batch."""
        shape = torch.Size(batch_shape)
        return ExpectedNormal(
            self.loc.expand(shape),
            self.f_variance.expand(shape),
            self.precision.expand(shape),
            self.log_precision.expand(shape),
            validate_args=False,
        )

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw from N(E f, Var f + 1 / E τ)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        with torch.no_grad():
            noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
            return self.loc + self.variance.sqrt() * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """Return E log N(value; f, 1/τ) in nats."""
        square = (value - self.loc).square() + self.f_variance
        return 0.5 * (self.log_precision - self.precision * square - math.log(2 * math.pi))


class ExpectedBernoulli(TorchDistribution):
    r"""E log Bernoulli(y; σ(f)) over a mixture of Gaussians f.

    .. math:: y\, E f - \sum_s \pi_s\, E_{N(m_s, v_s)} \mathrm{softplus}(f)

    ``log_prob`` is this expectation, the term of an evidence lower bound; the mean is E σ(f).
    Both, and their gradients, are within 2e-7 of their values at any variance (plus rounding in
    single precision), see :mod:`bayesnas.distributions.logistic_averages`.

    Args:
        weights: π, ``[S]``, adding up to one.
        loc: m, ``[n, S]``.
        variance: v ≥ 0, ``[n, S]``.

    Shapes:
        batch ``[n]``; event ``()``.

    >>> import torch
    >>> sure = ExpectedBernoulli(torch.ones(1), torch.zeros(1, 1), torch.zeros(1, 1))
    >>> sure.log_prob(torch.tensor([1.0]))  # ln ½
    tensor([-0.6931])
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.boolean

    def __init__(
        self, weights: Tensor, loc: Tensor, variance: Tensor, validate_args: bool | None = None
    ) -> None:
        """Keep the mixture; see the class."""
        self.weights, self.loc, self.f_variance = weights, loc, variance
        super().__init__(loc.shape[:-1], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """P(y = 1) = E σ(f)."""
        return expected_sigmoid(self.loc, self._deviation()) @ self.weights

    def _deviation(self) -> Tensor:
        return self.f_variance.clamp_min(_SMALLEST_VARIANCE).sqrt()

    def expand(
        self, batch_shape: Shape, _instance: Distribution | None = None
    ) -> TorchDistribution:
        """Return the same over a larger batch."""
        shape = (*batch_shape, self.loc.shape[-1])
        return ExpectedBernoulli(
            self.weights, self.loc.expand(shape), self.f_variance.expand(shape), False
        )

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw from Bernoulli(E σ(f))."""
        shape = self._extended_shape(torch.Size(sample_shape))
        with torch.no_grad():
            return torch.bernoulli(self.mean.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return E log p(value | f) in nats."""
        each = expected_cross_entropy(self.loc, self._deviation(), value.unsqueeze(-1))
        return -(each @ self.weights)
