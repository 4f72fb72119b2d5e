"""The binary concrete distribution as a gate in (0, 1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from bayesnas.distributions.relaxed.binary_concrete import BinaryConcrete
from bayesnas.distributions.relaxed.simplex_points import cube_point, logit_of
from bayesnas.distributions.shape import Shape


class ConcreteGate(BinaryConcrete):
    r"""A relaxed Bernoulli whose value is the gate x = σ(y) itself, y a ``BinaryConcrete``.

    The density is that of x. A draw carries its logit (see
    :mod:`bayesnas.distributions.relaxed.simplex_points`), so that the density is exact where x
    rounds to 0 or 1. The KL divergence is that of y.

    Args:
        temperature: τ > 0, a number or a tensor.
        logits: ln α; broadcast with τ.

    Shapes:
        batch ``broadcast(τ, logits)``; event ``()``.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: for a temperature that is not positive.

    >>> import torch
    >>> gate = ConcreteGate(0.05, logits=torch.zeros(1000))
    >>> bool(gate.log_prob(gate.rsample()).isfinite().all())
    True
    """

    support = constraints.unit_interval  # type: ignore[assignment]  # where the logit's is real

    @property
    def mean(self) -> Tensor:
        """E x, which has no closed form."""
        raise NotImplementedError("the mean of a concrete gate has no closed form")

    @property
    def variance(self) -> Tensor:
        """Var x, which has no closed form."""
        raise NotImplementedError("the variance of a concrete gate has no closed form")

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw gates, differentiable in both parameters."""
        return cube_point(super().rsample(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of the gate in nats."""
        if self._validate_args:
            self._validate_sample(value)
        y = logit_of(value)
        density = F.logsigmoid(self.logits - self.temperature * y)
        density = density + F.logsigmoid(self.temperature * y - self.logits)
        return density + self.temperature.log() - F.logsigmoid(y) - F.logsigmoid(-y)
