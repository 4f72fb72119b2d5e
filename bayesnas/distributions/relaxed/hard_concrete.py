"""The hard concrete distribution: a gate in [0, 1] with atoms at both ends."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, constraints, register_kl
from torch.distributions.utils import broadcast_all

from bayesnas.distributions.relaxed.binary_concrete import (
    check_temperature,
    log_logistic,
    same_temperature,
    standard_logistic,
)
from bayesnas.distributions.shape import Shape
from bayesnas.scalars import is_number
from bayesnas.typed import typed

# Gauss-Legendre in u on [0, 1], at u⁵.
_GAUSS_NODES, _GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(32)
_NODES = (0.5 + _GAUSS_NODES / 2) ** 5
_WEIGHTS = 2.5 * _GAUSS_WEIGHTS * (0.5 + _GAUSS_NODES / 2) ** 4


@typed()
class HardConcrete(TorchDistribution):
    r"""A binary concrete stretched to (γ, ζ) and clipped to [0, 1].

    .. math::
        s = \sigma\left(\frac{\operatorname{logit} u + \ln\alpha}{\beta}\right), \qquad
        z = \min(1, \max(0,\, s(\zeta - \gamma) + \gamma))

    .. math::
        P(z = 0) = \sigma\left(\beta \ln\frac{-\gamma}{\zeta} - \ln\alpha\right), \qquad
        P(z = 1) = \sigma\left(\ln\alpha - \beta \ln\frac{1 - \gamma}{\zeta - 1}\right)

    ``log_prob`` is taken with respect to Lebesgue measure on (0, 1) plus a unit mass at each
    end: at 0 and 1 it is the log of the probability above, in between the log of the density.

    Args:
        temperature: β > 0, a number or a tensor.
        logits: ln α.
        stretch: (γ, ζ), with γ < 0 and ζ > 1.

    Shapes:
        batch: ``temperature`` and ``logits`` broadcast together; event ``()``.

    Raises:
        ValueError: for a temperature that is not > 0, or a stretch that does not reach beyond
            [0, 1] on both sides.

    The KL divergence of two with one temperature (equal numbers, or the same tensor) and one
    stretch has a closed form; others raise NotImplementedError.

    References:
        Louizos, Welling, Kingma, *Learning sparse neural networks through L0 regularization*,
        2018.

    >>> import torch
    >>> gate = HardConcrete(logits=torch.tensor([-3.0, 0.0, 3.0]))
    >>> gate.prob_zero
    tensor([0.8024, 0.1682, 0.0100])
    >>> gate.test_gate
    tensor([0.0000, 0.5000, 1.0000])
    """

    arg_constraints = {  # noqa: RUF012
        "temperature": constraints.positive,
        "logits": constraints.real,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self,
        temperature: float | Tensor = 2 / 3,
        *,
        logits: Tensor,
        stretch: tuple[float, float] = (-0.1, 1.1),
        validate_args: bool | None = None,
    ) -> None:
        """Broadcast the parameters; see the class."""
        temperature = check_temperature(temperature)
        check_stretch(stretch)
        self.stretch = (float(stretch[0]), float(stretch[1]))
        self._given_temperature = temperature
        self.temperature, self.logits = broadcast_all(temperature, logits)
        super().__init__(self.logits.shape, validate_args=validate_args)

    @property
    def prob_zero(self) -> Tensor:
        """P(z = 0)."""
        return self._edge_logits()[0].sigmoid()

    @property
    def prob_one(self) -> Tensor:
        """P(z = 1)."""
        return self._edge_logits()[1].sigmoid()

    @property
    def prob_active(self) -> Tensor:
        """P(z > 0) = 1 − P(z = 0), precise near 0 too."""
        return (-self._edge_logits()[0]).sigmoid()

    def _edge_logits(self) -> tuple[Tensor, Tensor]:
        """Logits of P(z = 0) and of P(z = 1)."""
        low, high = self.stretch
        zero = self.temperature * math.log(-low / high) - self.logits
        return zero, self.logits - self.temperature * math.log((1 - low) / (high - 1))

    @property
    def test_gate(self) -> Tensor:
        """The gate at test time, clip(σ(ln α)(ζ − γ) + γ): no noise and no temperature."""
        low, high = self.stretch
        return (self.logits.sigmoid() * (high - low) + low).clamp(0.0, 1.0)

    @property
    def mean(self) -> Tensor:
        """E z = c + ∫_c^1 P(z > t) dt − ∫_0^c P(z < t) dt by quadrature, to about 1e-7."""
        centre, (above, _), (below, _) = self._moments()
        return (centre + above - below).to(self.logits.dtype)

    @property
    def variance(self) -> Tensor:
        """Variance of z, by quadrature of E (z − c)², to about 1e-5 of its value."""
        _, (above, square_above), (below, square_below) = self._moments()
        square = square_above + square_below
        return (square - (above - below).square()).clamp_min(0).to(self.logits.dtype)

    def _moments(self) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The noiseless gate c, and means of (z − c)₊, (z − c)₊², (c − z)₊ and (c − z)₊².

        In double precision. Between c and either end the nodes crowd towards c, where P(z > t)
        falls: within 1/β of it, so that nodes at even distances would miss it at large β.
        """
        low, high = self.stretch
        logits, temperature = self.logits.double(), self.temperature.double()
        s = (logits / temperature).sigmoid().detach()
        centre = (s * (high - low) + low).clamp(0.0, 1.0)
        gap = logits - temperature * self._logit(centre)  # that of P(z > c)
        is_inside = (centre > 0) & (centre < 1)
        gap = torch.where(is_inside, gap - gap.detach(), gap)  # 0 but for rounding

        def side(sign: float, room: Tensor) -> tuple[Tensor, Tensor]:
            distance = room[..., None] * room.new_tensor(_NODES)
            apart = (sign * distance / (centre - low)[..., None]).log1p()
            apart = apart - (-sign * distance / (high - centre)[..., None]).log1p()
            logit = sign * (gap[..., None] - temperature[..., None] * apart)
            weighted = logit.sigmoid() * room[..., None] * room.new_tensor(_WEIGHTS)
            return weighted.sum(-1), (2 * distance * weighted).sum(-1)

        return centre, side(1.0, 1 - centre), side(-1.0, centre)

    def _logit(self, z: Tensor) -> Tensor:
        """Logit of s where the stretched value is ``z``."""
        low, high = self.stretch
        return (z - low).log() - (high - z).log()

    def expand(
        self, batch_shape: Shape, _instance: Distribution | None = None
    ) -> TorchDistribution:
        """Return the same distribution over a larger batch."""
        given = self._given_temperature
        shape = torch.Size(batch_shape)
        if isinstance(given, Tensor) and given.ndim:
            given = self.temperature.expand(shape)
        return type(self)(
            given, logits=self.logits.expand(shape), stretch=self.stretch, validate_args=False
        )

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw gates, differentiable in both parameters where they are neither 0 nor 1."""
        low, high = self.stretch
        noise = standard_logistic(self._extended_shape(torch.Size(sample_shape)), self.logits)
        s = ((self.logits + noise) / self.temperature).sigmoid()
        return (s * (high - low) + low).clamp(0.0, 1.0)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probability of 0 and of 1, log density in between, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        low, high = self.stretch
        interior = (
            log_logistic(self.logits - self.temperature * self._logit(value))
            + self.temperature.log()
            + math.log(high - low)
            - (value - low).log()
            - (high - value).log()
        )
        at_zero, at_one = (F.logsigmoid(logit) for logit in self._edge_logits())
        return torch.where(value <= 0, at_zero, torch.where(value >= 1, at_one, interior))


def check_stretch(stretch: tuple[float, float]) -> None:
    """Raise ValueError unless γ < 0 and ζ > 1, both finite."""
    ends = tuple(stretch) if isinstance(stretch, (list, tuple)) else ()
    if (
        len(ends) != 2
        or not all(map(is_number, ends))
        or not (-math.inf < ends[0] < 0 and 1 < ends[1] < math.inf)
    ):
        raise ValueError(
            f"stretch must be two numbers, one below 0 and one above 1, got {stretch!r}"
        )


def logits_of_active(
    probability: float, temperature: float, stretch: tuple[float, float] = (-0.1, 1.1)
) -> float:
    """The ln α at which P(z > 0) is ``probability``, in (0, 1).

    >>> import torch
    >>> HardConcrete(0.5, logits=torch.tensor(logits_of_active(0.3, 0.5))).prob_active
    tensor(0.3000)
    """
    low, high = stretch
    return math.log(probability / (1 - probability)) + temperature * math.log(-low / high)


@register_kl(HardConcrete, HardConcrete)  # type: ignore[untyped-decorator]
def _kl_hard_concrete(q: HardConcrete, p: HardConcrete) -> Tensor:
    r"""KL in closed form: both atoms, and the interior in terms of the uniform u behind q.

    With δ = ln α_p − ln α_q and w(u) = u + e^δ (1 − u) the log ratio of the densities is
    2 ln w − δ, and ∫ ln w du is elementary. In double precision, for the differences of near
    equal terms; and for δ > 0 of the mirrored gates, 1 − z, whose δ is < 0, so that no power of e
    overflows.
    """
    alike = same_temperature(q._given_temperature, p._given_temperature)
    if not alike or q.stretch != p.stretch:
        raise NotImplementedError("no closed form for hard concretes of two shapes")
    dtype = q.logits.dtype
    q, p = (
        HardConcrete(d._given_temperature, logits=d.logits.double(), stretch=d.stretch)
        for d in (q, p)
    )
    shift = p.logits - q.logits
    equal = shift.abs() < 1e-6  # the KL is below 1e-12 there
    shift = torch.where(equal, -1.0, shift)
    zero, one = q._edge_logits()
    # w − 1 = growth · (1 − u), and 1 − u runs from P(z > 0) to P(z = 1), or P(z < 1) to P(z = 0).
    is_mirrored = shift > 0
    first = torch.where(is_mirrored, (-one).sigmoid(), (-zero).sigmoid())
    last = torch.where(is_mirrored, zero.sigmoid(), one.sigmoid())
    shift = -shift.abs()
    growth = shift.expm1()
    log_w = (_area(growth * first) - _area(growth * last)) / growth
    interior = 2 * log_w - shift * (first - last)
    atoms = sum(
        F.logsigmoid(of_q).exp() * (F.logsigmoid(of_q) - F.logsigmoid(of_p))
        for of_q, of_p in zip(q._edge_logits(), p._edge_logits(), strict=True)
    )
    return torch.where(equal, 0.0, interior + atoms).to(dtype)


def _area(excess: Tensor) -> Tensor:
    """∫ ln w dw from 1 to 1 + excess: w ln w − w + 1."""
    excess = excess.clamp_min(-1 + 1e-15)
    return (1 + excess) * excess.log1p() - excess
