"""The laws that gates of a network are drawn from: hard concrete or binary concrete."""

from __future__ import annotations

import math

from torch import Tensor

from bayesnas.checks import choice, positive
from bayesnas.distributions import BinaryConcrete, HardConcrete
from bayesnas.distributions.relaxed.hard_concrete import logits_of_active

RELAXATIONS = ("hard-concrete", "binary-concrete")

GateLaw = HardConcrete | BinaryConcrete


class RelaxedGates:
    """A family of relaxed Bernoulli variables of one temperature.

    Args:
        relaxation: ``"hard-concrete"``, with atoms at 0 and 1, or ``"binary-concrete"``, whose
            values are logits of gates.
        temperature: > 0.

    >>> import torch
    >>> gates = RelaxedGates("hard-concrete", 0.5)
    >>> gates.inclusion(torch.full((2,), gates.location(0.1)))
    tensor([0.1000, 0.1000])
    """

    def __init__(self, relaxation: str, temperature: float) -> None:
        """Check the arguments; see the class."""
        self.shuts = choice("relaxation", relaxation, RELAXATIONS) == "hard-concrete"
        self.temperature = positive("temperature", temperature)

    def law(self, logits: Tensor) -> GateLaw:
        """Return the distribution with location ln α = ``logits``."""
        if self.shuts:
            return _PointGate(self.temperature, logits=logits)
        return BinaryConcrete(self.temperature, logits=logits)

    def location(self, inclusion: float) -> float:
        """Return the ln α at which a gate's probability is ``inclusion``."""
        if self.shuts:
            return logits_of_active(inclusion, self.temperature)
        return math.log(inclusion / (1 - inclusion))

    def inclusion(self, logits: Tensor) -> Tensor:
        """P(z > 0) of a hard concrete gate, P(z > ½) of a binary concrete one."""
        law = self.law(logits)
        return law.prob_active if isinstance(law, HardConcrete) else law.probs

    def gate(self, value: Tensor) -> Tensor:
        """Return the gate in [0, 1] that a draw stands for."""
        return value if self.shuts else value.sigmoid()

    def point(self, logits: Tensor) -> Tensor:
        """Return the gate in [0, 1] that stands for the law where latents are set to means."""
        return self.gate(self.law(logits).mean)


class _PointGate(HardConcrete):
    """A gate for which its test-time value stands where latents are set to their means."""

    @property
    def mean(self) -> Tensor:
        """The test-time gate: unlike E z, 0 for a gate that is mostly shut."""
        return self.test_gate
