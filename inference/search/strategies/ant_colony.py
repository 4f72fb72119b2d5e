"""Ant colony search: pheromone on the way from one choice to the next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from bayesnas.checks import fraction_in, non_negative, positive, shown, size
from bayesnas.inference.search.conditions import Value
from bayesnas.inference.search.space import Candidate, SearchSpace
from bayesnas.inference.search.strategies.genetic_operators import Numbers, Strings
from bayesnas.inference.search.strategies.strings import ABSENT, StringStrategy
from bayesnas.typed import typed


@typed()
class AntColony(StringStrategy):
    r"""Ants choose a value for one variable after the other, led by pheromone τ and heuristic η.

    τ lies on the step from the value l of the variable before to a value k. With probability q₀ an
    ant takes the best step, with 1 − q₀ one drawn in proportion:

    .. math:: k = \arg\max_k \tau_{lk}^{\alpha} \eta_k^{\beta}, \qquad
        P(k) \propto \tau_{lk}^{\alpha} \eta_k^{\beta}

    An ant that was judged evaporates a little of what lies on its way, so that others go elsewhere;
    after each generation of ants the best so far adds to its own:

    .. math:: \tau \leftarrow (1 - \rho)\, \tau + \rho\, \tau_0, \qquad
        \tau \leftarrow (1 - \rho_g)\, \tau + \rho_g

    The source adds ρ_g times the accuracy of the best ant; here it is 1 whatever the scale of the
    scores. With ``layers`` the colony starts with the first layer and gets one more a generation;
    variables of later layers have their value of ``rest`` until then.

    Args:
        space: finite.
        seed: of what is drawn.
        ants: of a generation.
        greediness: q₀.
        pheromone: τ₀ in (0, 1], on every step at first.
        decay: ρ, of the ants' own steps.
        evaporation: ρ_g, of the best ant's steps.
        pheromone_power: α.
        heuristic_power: β.
        heuristic: η > 0 by variable and value, 1 where none is given; such as inverse costs.
        layers: names of variables, layer by layer, in the order in which they come in; None for
            all at once. Variables in no layer are there from the start.
        rest: value of each variable of ``layers`` before its layer comes in, such as a skip.

    Raises:
        ValueError: naming the argument; for a space with real variables.

    References:
        Dorigo, Gambardella, *Ant colony system*, 1997; Byla, Pang, *DeepSwarm: optimising
        convolutional neural networks using swarm intelligence*, 2019.

    >>> from bayesnas.inference.search import Categorical
    >>> space = SearchSpace({name: Categorical((0, 1)) for name in "abcd"})
    >>> search = AntColony(space, ants=4)
    >>> for _ in range(600):
    ...     candidate = search.ask()
    ...     search.tell(candidate, [-sum(candidate.values())])
    >>> search.best
    {'a': 1, 'b': 1, 'c': 1, 'd': 1}
    """

    name: ClassVar[str] = "ant-colony"

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        ants: int = 16,
        greediness: float = 0.5,
        pheromone: float = 0.1,
        decay: float = 0.1,
        evaporation: float = 0.1,
        pheromone_power: float = 1.0,
        heuristic_power: float = 1.0,
        heuristic: Mapping[str, Mapping[Value, float]] | None = None,
        layers: Sequence[Sequence[str]] | None = None,
        rest: Mapping[str, Value] | None = None,
    ) -> None:
        """Lay the first pheromone; see the class."""
        super().__init__(space, seed=seed)
        self._ants = size("ants", ants)
        self._greediness = fraction_in("greediness", greediness)
        self._first = fraction_in("pheromone", pheromone, "(0, 1]")
        self._decay = fraction_in("decay", decay)
        self._evaporation = fraction_in("evaporation", evaporation)
        self._alpha = non_negative("pheromone_power", pheromone_power)
        self._beta = non_negative("heuristic_power", heuristic_power)
        sizes = [int(count) for count in self.strings.sizes]
        # By variable: from the value before (the last row: from nothing) to its own.
        self.pheromones: list[Numbers] = [
            np.full((before + 1, count), self._first)
            for before, count in zip([0, *sizes], sizes, strict=False)
        ]
        self._heuristic = self._heuristics(heuristic or {})
        self._comes_in, self._rest = self._depths(layers, rest or {})
        self._best: tuple[float, Strings] | None = None

    @property
    def best(self) -> Candidate:
        """The best candidate so far.

        Raises:
            ValueError: before a score was told that is finite.
        """
        if self._best is None:
            raise ValueError("best: no candidate has a finite score yet")
        return self.strings.candidate(self._best[1])

    @property
    def generation(self) -> int:
        """Generations of ants that were judged."""
        return self.told // self._ants

    def _propose(self, rng: np.random.Generator) -> Strings:
        path = np.full(len(self.strings.names), ABSENT)
        for place in range(len(path)):
            if not self.strings.has(path, place):
                continue
            if self._comes_in[place] > self.generation:
                path[place] = self._rest[place]
            else:
                path[place] = self._step(path, place, rng)
        return path

    def _step(self, path: Strings, place: int, rng: np.random.Generator) -> int:
        """The value that an ant takes next."""
        pheromone = self.pheromones[place][self._row(path, place)]
        pull = pheromone**self._alpha * self._heuristic[place] ** self._beta
        if rng.random() < self._greediness:
            return int(rng.choice(np.flatnonzero(pull == pull.max())))
        return int(rng.choice(len(pull), p=pull / pull.sum()))

    def _learn(self, positions: Strings, score: float) -> None:
        self._blend(positions, self._decay, self._first)
        if math.isfinite(score) and (self._best is None or score < self._best[0]):
            self._best = score, positions
        if (self.told + 1) % self._ants == 0 and self._best is not None:
            self._blend(self._best[1], self._evaporation, 1.0)

    def _blend(self, path: Strings, share: float, towards: float) -> None:
        """Move the pheromone on a way by a share towards a value."""
        for place, choice in enumerate(path):
            if choice != ABSENT:
                trail, row = self.pheromones[place], self._row(path, place)
                trail[row, choice] = (1 - share) * trail[row, choice] + share * towards

    @staticmethod
    def _row(path: Strings, place: int) -> int:
        """Where a step comes from; −1, the last row, from nothing."""
        return int(path[place - 1]) if place else -1

    def _heuristics(self, given: Mapping[str, Mapping[Value, float]]) -> list[Numbers]:
        """η by variable."""
        self._check_names("heuristic", given)
        by_variable = []
        for name, count in zip(self.strings.names, self.strings.sizes, strict=True):
            values = np.ones(count)
            for value, eta in given.get(name, {}).items():
                values[self._place(name, value)] = positive(f"heuristic of {name}", eta)
            by_variable.append(values)
        return by_variable

    def _depths(self, layers: Any, rest: Mapping[str, Value]) -> tuple[list[int], list[int]]:
        """By variable: the generation in which it comes in, and its position until then."""
        depth: dict[str, int] = {}
        for number, layer in enumerate(layers or ()):
            if isinstance(layer, str) or not isinstance(layer, Sequence):
                raise ValueError(
                    f"layers must be sequences of names of variables, got {shown(layer)}"
                )
            depth |= dict.fromkeys(layer, number)
        self._check_names("layers", depth)
        self._check_names("rest", rest)
        missing = [name for name, number in depth.items() if number and name not in rest]
        if missing:
            raise ValueError(
                f"rest must have a value for every later layer, got none for {missing}"
            )
        waiting = [
            self._place(name, rest[name]) if depth.get(name) else 0 for name in self.strings.names
        ]
        return [depth.get(name, 0) for name in self.strings.names], waiting

    def _place(self, name: str, value: Value) -> int:
        variable = self.strings.space[name]
        return (variable.values or ()).index(variable.checked(name, value))

    def _check_names(self, argument: str, given: Mapping[str, Any]) -> None:
        unknown = [name for name in given if name not in self.strings.names]
        if unknown:
            raise ValueError(
                f"{argument} must name variables of {list(self.strings.names)}, got {unknown}"
            )
