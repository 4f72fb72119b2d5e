"""The distributions of the gates of a network: hard concrete or binary concrete."""

from __future__ import annotations

import math

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from bayesnas.checks import choice, positive, probability
from bayesnas.distributions import BinaryConcrete, HardConcrete
from bayesnas.distributions.relaxed.hard_concrete import logits_of_active
from bayesnas.nn.modules.gate_groups import GateGroup
from bayesnas.nn.modules.keep_masks import KeepMasks

RELAXATIONS = ("hard-concrete", "binary-concrete")

GateDistribution = HardConcrete | BinaryConcrete


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

    def event(
        self, gates: TorchDistribution, group: GateGroup, keep: KeepMasks
    ) -> TorchDistribution:
        """The gates of a layer as one event; those without weights are out of the KL."""
        if any(keep[site] is not None for site in group.views):
            gates = gates.mask(group.any_kept(keep.masks()))
        event: TorchDistribution = gates.to_event(len(group.shape))
        return event

    def distribution(self, logits: Tensor) -> GateDistribution:
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
        gate = self.distribution(logits)
        return gate.prob_active if isinstance(gate, HardConcrete) else gate.probs

    def gate(self, value: Tensor) -> Tensor:
        """Return the gate in [0, 1] that a draw stands for."""
        return value if self.shuts else value.sigmoid()

    def point(self, logits: Tensor) -> Tensor:
        """Return the gate in [0, 1] where latents are set to their means."""
        return self.gate(self.distribution(logits).mean)


class GatePrior(nn.Module):
    """ln α of the prior of the gates: of one probability, or one a group that is trained.

    Args:
        gates: their family.
        inclusion: prior probability in (0, 1), or ``"learned"``, from 0.1 on.
        sites: of the groups of gates.
        dtype: of a parameter.

    Attributes:
        argument: ``inclusion`` as a JSON value.
        logits: ``[groups]`` where learned, else None.
    """

    def __init__(
        self, gates: RelaxedGates, inclusion: float | str, sites: list[str], dtype: torch.dtype
    ) -> None:
        """Check the argument; see the class."""
        super().__init__()
        learned = isinstance(inclusion, str)
        if isinstance(inclusion, str):
            choice("inclusion", inclusion, ("learned",))
        self.argument = inclusion if learned else probability("inclusion", inclusion)
        self._sites = sites
        self._fixed = gates.location(_LEARNED_FROM if learned else float(self.argument))
        start = torch.full((len(sites),), self._fixed, dtype=dtype)
        self.logits = nn.Parameter(start) if learned else None

    def forward(self, site: str, like: Tensor) -> Tensor:
        """Return ln α of the gates of a site, of the shape of ``like``."""
        if self.logits is None:
            return torch.full_like(like, self._fixed)
        return self.logits[self._sites.index(site)].expand(like.shape)


_LEARNED_FROM = 0.1


class _PointGate(HardConcrete):
    """A gate for which its test-time value stands where latents are set to their means."""

    @property
    def mean(self) -> Tensor:
        """The test-time gate: unlike E z, 0 for a gate that is mostly shut."""
        return self.test_gate
