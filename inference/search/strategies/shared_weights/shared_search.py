"""What a search in a supernet found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayesnas.inference.search.judges.supernet import Supernet
from bayesnas.inference.search.space import Candidate, network_of
from bayesnas.inference.search.strategies.policies import Policy
from bayesnas.nn.graphs.graph import Graph


@dataclass(frozen=True)
class SharedSearch:
    """What a search in a supernet found.

    Attributes:
        supernet: with the shared weights.
        policy: the distribution over architectures.
        ranked: candidates drawn from it with the losses of one validation sample, the best first.
        history: by round, ``train_nll`` of the weights, ``loss`` of the architectures drawn and
            ``entropy`` of the distribution, nats: one that falls to 0 early has collapsed.
    """

    supernet: Supernet
    policy: Policy
    ranked: tuple[tuple[Candidate, float], ...]
    history: Mapping[str, list[float]] = field(default_factory=dict)

    @property
    def candidate(self) -> Candidate:
        """The best of the drawn ones."""
        return self.ranked[0][0]

    def architecture(self) -> Graph:
        """Its network, without dead edges, with copies of the shared weights: to be retrained."""
        return network_of(self.supernet.graph, self.candidate)
