"""The spike-and-slab distribution: zero with some probability, else Gaussian."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, constraints, register_kl
from torch.distributions.utils import broadcast_all

from bayesnas.distributions.gaussian_divergence import gaussian_divergence
from bayesnas.distributions.shape import Shape
from bayesnas.typed import typed


@typed()
class SpikeAndSlab(TorchDistribution):
    r"""Exactly 0 with probability 1 − p, drawn from N(μ, s²) with probability p.

    ``log_prob`` is taken with respect to Lebesgue measure plus a unit mass at 0, the only
    base measure under which spike and slab can be weighed against each other: ln(1 − p) at 0,
    ln p + ln N(x; μ, s²) elsewhere. Adding a density to the mass at 0, as a zero-inflated
    normal does, would make the two depend on the units of x.

    Args:
        probs: p ∈ [0, 1], the probability of the slab; or
        logits: its logit (one of the two), precise where p is near 0 or 1.
        loc: mean μ of the slab.
        scale: its standard deviation s > 0.

    Shapes:
        batch: the parameters broadcast together; event ``()``.

    Raises:
        ValueError: for both or neither of ``probs`` and ``logits``, a probability outside
            [0, 1] or a scale that is not > 0; values of tensors are read only where arguments
            are validated (``validate_args``, on by default).

    The KL divergence of q = (p, μ, s²) from (π, m, t²) is
    p ln(p/π) + (1−p) ln((1−p)/(1−π)) + p [ln(t/s) + (s² + (μ−m)²)/2t² − ½].
    A draw is not reparameterised: its zeros are no function of p.

    References:
        Mitchell, Beauchamp, *Bayesian variable selection in linear regression*, 1988; Titsias,
        Lázaro-Gredilla, *Spike and slab variational inference*, 2011.

    >>> import torch
    >>> prior = SpikeAndSlab(0.25, loc=torch.zeros(2), scale=2.0)
    >>> prior.log_prob(torch.tensor([0.0, 1.0])).exp()
    tensor([0.7500, 0.0440])
    >>> prior.variance
    tensor([1., 1.])
    """

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real
    has_rsample = False

    def __init__(
        self,
        probs: float | Tensor | None = None,
        loc: float | Tensor = 0.0,
        scale: float | Tensor = 1.0,
        *,
        logits: float | Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        """Broadcast the parameters; see the class."""
        if (probs is None) == (logits is None):
            raise ValueError("probs or logits must be given, and not both")
        self._has_logits = probs is None
        parameter = logits if probs is None else probs
        assert parameter is not None
        given, self.loc, self.scale = broadcast_all(parameter, loc, scale)
        self._given = given
        super().__init__(given.shape, validate_args=validate_args)
        if self._validate_args and not self._has_logits:
            _check_probabilities(given)

    @property
    def probs(self) -> Tensor:
        """Probability p of the slab."""
        return self._given.sigmoid() if self._has_logits else self._given

    @property
    def logits(self) -> Tensor:
        """Logit of p; infinite where p is 0 or 1."""
        return self._given if self._has_logits else self._given.logit()

    @property
    def log_probs(self) -> tuple[Tensor, Tensor]:
        """Logs of p and of 1 − p."""
        if self._has_logits:
            return F.logsigmoid(self._given), F.logsigmoid(-self._given)
        return self._given.log(), (-self._given).log1p()

    @property
    def mean(self) -> Tensor:
        """E x = pμ."""
        return self.probs * self.loc

    @property
    def variance(self) -> Tensor:
        """Variance, p s² + p(1 − p) μ²."""
        spike = (-self._given).sigmoid() if self._has_logits else 1 - self._given
        # In this order no square overflows that the probability brings back into range.
        slab = self.probs
        return slab * self.scale * self.scale + spike * (slab * self.loc * self.loc)

    def expand(
        self, batch_shape: Shape, _instance: Distribution | None = None
    ) -> TorchDistribution:
        """Return the same distribution over a larger batch."""
        shape = torch.Size(batch_shape)
        given = self._given.expand(shape)
        return type(self)(
            None if self._has_logits else given,
            self.loc.expand(shape),
            self.scale.expand(shape),
            logits=given if self._has_logits else None,
            validate_args=False,
        )

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw values, exact zeros among them; no gradient."""
        shape = self._extended_shape(torch.Size(sample_shape))
        with torch.no_grad():
            noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
            # A uniform draw may be exactly 0: 'less than' never opens a gate of probability 0.
            slab = torch.rand_like(noise) < self.probs
            return torch.where(slab, self.loc + self.scale * noise, 0.0)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probability of 0, log of p times the slab's density elsewhere, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        log_slab, log_spike = self.log_probs
        standardised = (value - self.loc) / self.scale
        log_density = -0.5 * standardised.square() - self.scale.log() - _HALF_LOG_TWO_PI
        return torch.where(value == 0, log_spike, log_slab + log_density)


_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def _check_probabilities(probs: Tensor) -> None:
    if not bool(((probs >= 0) & (probs <= 1)).all()):
        raise ValueError(
            f"probs must be probabilities in [0, 1], got values from {probs.min().item():g} "
            f"to {probs.max().item():g}"
        )


@register_kl(SpikeAndSlab, SpikeAndSlab)  # type: ignore[untyped-decorator]
def _kl_spike_and_slab(q: SpikeAndSlab, p: SpikeAndSlab) -> Tensor:
    (log_q, log_not_q), (log_p, log_not_p) = q.log_probs, p.log_probs
    slab = q.probs
    spike = (-q._given).sigmoid() if q._has_logits else 1 - slab
    gates = _weighted(slab, log_q, log_p) + _weighted(spike, log_not_q, log_not_p)
    between = gaussian_divergence(q.loc, q.scale.log(), p.loc, p.scale, p.scale.log())
    return gates + torch.where(slab > 0, slab * between, 0.0)  # also where it overflows


def _weighted(probability: Tensor, log_q: Tensor, log_p: Tensor) -> Tensor:
    """Probability · (log q − log p), 0 where the probability is 0 although log q is infinite."""
    possible = probability > 0
    difference = torch.where(possible, log_q, 0.0) - torch.where(possible, log_p, 0.0)
    return probability * difference
