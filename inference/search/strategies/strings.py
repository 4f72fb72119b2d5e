"""Candidates as strings of positions, and what strategies over such strings share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from bayesnas.checks import seed_number, shown
from bayesnas.inference.search.conditions import Value
from bayesnas.inference.search.space import Candidate, SearchSpace
from bayesnas.inference.search.strategies.genetic_operators import Strings
from bayesnas.inference.search.strategy import ask_generator, single_score

ABSENT = -1
"""Position at a variable whose condition does not hold."""


class StringSpace:
    """A finite space whose candidates are strings: the position of a value for every variable.

    Args:
        space: without real variables.
        strategy: whose it is, for messages.

    Attributes:
        names: of the variables.
        sizes: number of values of each, ``[L]``.

    Raises:
        ValueError: naming the first real variable.

    >>> from bayesnas.inference.search import Categorical, Integer
    >>> space = SearchSpace({"a": Categorical(("x", "y", "z")), "n": Integer(2, 5)})
    >>> strings = StringSpace(space, "genetic")
    >>> strings.positions({"a": "z", "n": 2}), strings.candidate(np.array([0, 3]))
    (array([2, 0]), {'a': 'x', 'n': 5})
    """

    def __init__(self, space: SearchSpace, strategy: str) -> None:
        """Look up the values; see the class."""
        if not isinstance(space, SearchSpace):
            raise TypeError(f"space must be a SearchSpace, got {shown(space)}")
        self.space = space
        self._values: dict[str, tuple[Value, ...]] = {}
        for name, variable in space.items():
            if variable.values is None:
                raise ValueError(
                    f"space: strategy {strategy!r} takes finite variables, got {name!r}, which is "
                    f"{variable.kind}"
                )
            self._values[name] = variable.values
        self.names = tuple(self._values)
        self.sizes = np.array([len(values) for values in self._values.values()], dtype=np.int64)
        self._places = [
            {value: place for place, value in enumerate(values)} for values in self._values.values()
        ]

    def positions(self, candidate: Mapping[str, Value]) -> Strings:
        """The string of a candidate, which is checked: ``[L]``."""
        checked = self.space.checked(candidate)
        places = [
            places[checked[name]] if name in checked else ABSENT
            for name, places in zip(self.names, self._places, strict=True)
        ]
        return np.array(places, dtype=np.int64)

    def candidate(self, positions: Strings) -> Candidate:
        """The candidate of a string; what it has at variables that are not there is not read."""
        candidate: Candidate = {}
        for name, place in zip(self.names, positions, strict=True):
            if self.space.is_active(name, candidate):
                candidate[name] = self._values[name][place]
        return candidate

    def has(self, positions: Strings, place: int) -> bool:
        """Whether a string, as far as it is known, has the variable at a place."""
        name = self.names[place]
        if self.space[name].when is None:
            return True
        known = {
            n: self._values[n][p]
            for n, p in zip(self.names[:place], positions[:place], strict=True)
            if p != ABSENT
        }
        return self.space.is_active(name, known)

    def completed(self, positions: Strings, rng: np.random.Generator) -> Strings:
        """The string with values drawn where the parents had none."""
        drawn = rng.integers(self.sizes)
        return np.where(positions == ABSENT, drawn, positions)

    def random(self, rng: np.random.Generator) -> Strings:
        """Every position drawn uniformly."""
        return rng.integers(self.sizes)


class StringStrategy(ABC):
    """A strategy of one objective over the strings of a finite space.

    Subclasses say what is proposed next and what is learnt from a score, as functions of what they
    were told; see ``bayesnas.inference.search.strategy.Strategy``.

    Args:
        space: finite.
        seed: of what is drawn.

    Attributes:
        name: by which messages call it.
    """

    name: ClassVar[str]

    def __init__(self, space: SearchSpace, *, seed: int = 0) -> None:
        """Nothing told yet; see the class."""
        self.strings = StringSpace(space, self.name)
        self.seed = seed_number("seed", seed)
        self.told = 0

    def ask(self) -> Candidate:
        """The next candidate to be judged."""
        return self.strings.candidate(self._propose(ask_generator(self.seed, self.told)))

    def tell(self, candidate: Mapping[str, Value], scores: Sequence[float]) -> None:
        """Learn from the score of a candidate; ``inf`` for a trial that failed.

        Raises:
            ValueError: for something else than a candidate of the space, or several scores.
        """
        positions = self.strings.positions(candidate)
        self._learn(positions, single_score(self.name, scores))
        self.told += 1

    @abstractmethod
    def _propose(self, rng: np.random.Generator) -> Strings:
        """Positions ``[L]``."""

    @abstractmethod
    def _learn(self, positions: Strings, score: float) -> None:
        """Take in the score of positions ``[L]``, ``ABSENT`` where a variable is not there."""
