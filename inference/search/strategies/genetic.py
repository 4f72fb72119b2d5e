"""Genetic search: selection, one-point crossover and mutation of strings of choices."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bayesnas.checks import choice, flag, fraction_in, non_negative, size, whole_number
from bayesnas.inference.search.space import SearchSpace
from bayesnas.inference.search.strategies.genetic_operators import (
    Strings,
    crossover,
    fitness_of,
    mutate,
    proportional,
    tournament,
)
from bayesnas.inference.search.strategies.strings import StringStrategy
from bayesnas.typed import typed

SELECTIONS = ("tournament", "proportional")
_ATTEMPTS = 100


@typed()
class Genetic(StringStrategy):
    r"""A genetic algorithm, generation by generation.

    A child has two parents out of the latest generation of ``population`` candidates. It takes the
    head of one and the tail of the other, cut at one of L − 1 places, with probability p_c, and
    changes each choice with probability p_m. Parents are the best of a tournament, or drawn with

    .. math:: P(i) = f_i / \sum_j f_j, \qquad f_i = s_{\max} - s_i
        + \phi (s_{\max} - s_{\min})

    Args:
        space: finite; the order of its variables is that of the string.
        seed: of what is drawn.
        population: candidates of a generation; the first are random.
        selection: ``"tournament"`` or ``"proportional"``.
        tournament: entrants of one.
        floor: φ ≥ 0, the share of the range of scores that the worst has as its fitness.
        crossover: p_c.
        mutation: p_m; None for 1/L.
        elite: best candidates that go on into the next generation with the scores they have.
        distinct: whether a child that was judged before is bred again, up to a hundred times. False
            for scores that are random.

    Raises:
        ValueError: naming the argument; for a space with real variables.

    References:
        Holland, *Adaptation in natural and artificial systems*, 1975; Goldberg, Deb, *A comparative
        analysis of selection schemes used in genetic algorithms*, 1991.

    >>> from bayesnas.inference.search import Categorical
    >>> space = SearchSpace({name: Categorical((0, 1)) for name in "abcdef"})
    >>> search, best = Genetic(space, population=8), 0
    >>> for _ in range(48):
    ...     candidate = search.ask()
    ...     best = max(best, sum(candidate.values()))
    ...     search.tell(candidate, [-sum(candidate.values())])
    >>> best
    6
    """

    name: ClassVar[str] = "genetic"

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        population: int = 20,
        selection: str = "tournament",
        tournament: int = 3,
        floor: float = 0.1,
        crossover: float = 0.9,
        mutation: float | None = None,
        elite: int = 2,
        distinct: bool = True,
    ) -> None:
        """Check the options; see the class."""
        super().__init__(space, seed=seed)
        self._size = whole_number("population", population, 2, 2**31)
        self._selection = choice("selection", selection, SELECTIONS)
        self._entrants = size("tournament", tournament)
        self._floor = non_negative("floor", floor)
        self._crossover = fraction_in("crossover", crossover)
        length = len(self.strings.names)
        self._mutation = 1 / length if mutation is None else fraction_in("mutation", mutation)
        self._elite = whole_number("elite", elite, 0, self._size - 1)
        self._distinct = flag("distinct", distinct)
        self._parents: list[tuple[float, Strings]] = []
        self._children: list[tuple[float, Strings]] = []
        self._judged: set[bytes] = set()

    def _propose(self, rng: np.random.Generator) -> Strings:
        for _ in range(_ATTEMPTS):
            child = self._child(rng)
            if not self._distinct or self._key(child) not in self._judged:
                break
        return child

    def _child(self, rng: np.random.Generator) -> Strings:
        if not self._parents:
            return self.strings.random(rng)
        first, second = self._selected(rng)
        child = crossover(first[None], second[None], self._crossover, rng)
        child = self.strings.completed(child[0], rng)
        mutant: Strings = mutate(child[None], self.strings.sizes, self._mutation, rng)[0]
        return mutant

    def _selected(self, rng: np.random.Generator) -> tuple[Strings, Strings]:
        """Two parents."""
        scores = np.array([score for score, _ in self._parents])
        if self._selection == "tournament":
            rows = tournament(scores, 2, self._entrants, rng)
        else:
            rows = proportional(fitness_of(scores, self._floor), 2, rng)
        first, second = (self._parents[row][1] for row in rows)
        return first, second

    def _learn(self, positions: Strings, score: float) -> None:
        self._judged.add(positions.tobytes())
        self._children.append((score, positions))
        elite = sorted(self._parents, key=lambda each: each[0])[: self._elite]
        if len(elite) + len(self._children) >= self._size:
            self._parents, self._children = elite + self._children, []

    def _key(self, positions: Strings) -> bytes:
        """What tells candidates apart: variables that are not there do not count."""
        return self.strings.positions(self.strings.candidate(positions)).tobytes()
