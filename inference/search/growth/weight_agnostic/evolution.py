"""Generations of graphs: ranked by two objectives, the best kept, tournaments, one change each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesnas.checks import draw_count, fraction_in, non_negative, whole_number
from bayesnas.inference.search.growth.weight_agnostic.operators import OPERATORS, mutate
from bayesnas.inference.search.growth.weight_agnostic.ranking import order
from bayesnas.nn.grown.neuron_graph import NeuronGraph

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evolution:
    """Settings of an evolution, by default those of the paper for MNIST with fewer graphs.

    Attributes:
        population: graphs a generation.
        tournament: graphs of which the best becomes a parent.
        elite: share of a generation that stays as it is.
        culled: share that has no children.
        connected: probability of each connection from an input to an output at the start.
        by_size: probability of ranking a generation by mean performance and fewness of
            connections; else it is by mean and best performance.
        changes: shares of an inserted neuron, an added connection, a changed activation.
    """

    population: int = 200
    tournament: int = 10
    elite: float = 0.2
    culled: float = 0.2
    connected: float = 0.05
    by_size: float = 0.8
    changes: tuple[float, ...] = (0.25, 0.25, 0.5)

    def __post_init__(self) -> None:
        """Check every setting."""
        draw_count("population", self.population, 2)
        whole_number("tournament", self.tournament, 1, self.population)
        for name in ("elite", "culled"):
            fraction_in(name, getattr(self, name), "[0, 1)")
        for name in ("connected", "by_size"):
            fraction_in(name, getattr(self, name))
        shares = [non_negative("changes", share) for share in self.changes]
        if len(shares) != len(OPERATORS) or not sum(shares):
            raise ValueError(
                "changes must be three shares, of inserted neurons, added connections and changed "
                f"activations, not all 0, got {self.changes!r:.200}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {**asdict(self), "changes": list(self.changes)}


class Generations:
    """Generations one after the other: ask for the graphs of one, tell their scores.

    Args:
        inputs: of the graphs.
        outputs: of the graphs.
        how: settings.
        seed: of everything random.

    >>> how = Evolution(population=4, tournament=2, connected=1.0)
    >>> generations = Generations(2, 1, how, seed=0)
    >>> graphs = generations.ask()
    >>> generations.tell(np.zeros((4, 6)))
    >>> len(generations.ask()), generations.number
    (4, 1)
    """

    def __init__(self, inputs: int, outputs: int, how: Evolution, seed: int) -> None:
        """Draw the first generation; see the class."""
        self.how = how
        self.number = 0
        self._random = np.random.default_rng(seed)
        self._graphs = [self._sparse(inputs, outputs) for _ in range(how.population)]

    def ask(self) -> list[NeuronGraph]:
        """The graphs of this generation."""
        return list(self._graphs)

    def tell(self, scores: Scores) -> None:
        """Make the next generation.

        Args:
            scores: performance of every graph at every shared weight, the larger the better,
                ``[graphs, weights]``.
        """
        how, random = self.how, self._random
        best = self._ranked(scores)[: len(self._graphs) - int(how.culled * len(self._graphs))]
        elites = [self._graphs[place] for place in best[: int(how.elite * len(best))]]
        children = how.population - len(elites)
        winners = random.integers(len(best), size=(children, how.tournament)).min(1)
        self._graphs = elites + [
            mutate(self._graphs[best[winner]], random, how.changes) for winner in winners
        ]
        self.number += 1

    def state(self) -> dict[str, Any]:
        """All that decides the generations to come, as JSON values."""
        return {
            "number": self.number,
            "graphs": [graph.to_dict() for graph in self._graphs],
            "random": self._random.bit_generator.state,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        self.number = state["number"]
        self._graphs = [NeuronGraph.from_dict(each) for each in state["graphs"]]
        self._random.bit_generator.state = state["random"]

    def _ranked(self, scores: Scores) -> Sequence[int]:
        connections = np.array([len(graph.connections) for graph in self._graphs])
        by_size = self._random.random() < self.how.by_size
        # A graph without a connection would be on every front.
        second = -np.maximum(connections, 1.0) if by_size else scores.max(1)
        return order(np.stack([scores.mean(1), second], 1)).tolist()  # type: ignore[no-any-return]

    def _sparse(self, inputs: int, outputs: int) -> NeuronGraph:
        """Inputs and bias connected to the outputs at random."""
        drawn = self._random.random((inputs + 1, outputs)) < self.how.connected
        pairs = [(int(u), inputs + 1 + int(v)) for u, v in zip(*drawn.nonzero(), strict=True)]
        return NeuronGraph(inputs, outputs, [], pairs)
