"""Regularised evolution: tournaments in a population from which the oldest goes."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

import numpy as np

from bayesnas.checks import size
from bayesnas.inference.search.space import SearchSpace
from bayesnas.inference.search.strategies.genetic_operators import Strings, tournament
from bayesnas.inference.search.strategies.strings import StringStrategy
from bayesnas.typed import typed


@typed()
class RegularisedEvolution(StringStrategy):
    """Evolution by mutation alone, in which every candidate dies of age.

    The parent is the best of ``tournament`` candidates drawn from the latest ``population`` that
    were judged; its child has another value at one variable. Nothing stays for being good: what
    was lucky once is forgotten unless its children are good too.

    Args:
        space: finite.
        seed: of what is drawn.
        population: P, candidates that are alive; as many random ones come first.
        tournament: S, drawn with replacement.

    Raises:
        ValueError: naming the argument; for a space with real variables or without a choice.

    References:
        Real, Aggarwal, Huang, Le, *Regularized evolution for image classifier architecture search*,
        2018.

    >>> from bayesnas.inference.search import Categorical
    >>> space = SearchSpace({name: Categorical((0, 1)) for name in "abcdef"})
    >>> search = RegularisedEvolution(space, population=4, tournament=4)
    >>> for _ in range(4):
    ...     search.tell(dict.fromkeys("abcdef", 0), [1.0])
    >>> sum(search.ask().values())
    1
    """

    name: ClassVar[str] = "regularised-evolution"

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        population: int = 64,
        tournament: int = 16,
    ) -> None:
        """Check the options; see the class."""
        super().__init__(space, seed=seed)
        self._entrants = size("tournament", tournament)
        self._alive: deque[tuple[float, Strings]] = deque(maxlen=size("population", population))
        if not (self.strings.sizes > 1).any():
            raise ValueError("space must have a variable with two values or more, got none")

    def _propose(self, rng: np.random.Generator) -> Strings:
        if self.told < (self._alive.maxlen or 0):
            return self.strings.random(rng)
        scores = np.array([score for score, _ in self._alive])
        _, parent = self._alive[int(tournament(scores, 1, self._entrants, rng)[0])]
        return self._mutant(parent, rng)

    def _mutant(self, parent: Strings, rng: np.random.Generator) -> Strings:
        """Another value at one of the variables that the parent has."""
        sizes = self.strings.sizes
        places = np.flatnonzero((sizes > 1) & (parent >= 0))
        child = self.strings.completed(parent, rng)
        place = int(rng.choice(places if len(places) else np.flatnonzero(sizes > 1)))
        child[place] = (child[place] + rng.integers(1, sizes[place])) % sizes[place]
        return child

    def _learn(self, positions: Strings, score: float) -> None:
        self._alive.append((score, positions))
