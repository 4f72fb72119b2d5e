"""The schema theorem: members of a schema in the next generation, at least and exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayesnas.checks import fraction_in, shown, whole_number
from bayesnas.inference.search.strategies.genetic_operators import (
    Numbers,
    Strings,
    next_generation,
)
from bayesnas.typed import typed


@typed(unchecked=("choices",))
class Schema:
    """A set of strings: some variables have given choices, the others any.

    Args:
        choices: position of the choice of every variable, None for any.

    Attributes:
        order: o(h), the number of variables that are fixed.
        defining_length: δ(h), the distance from the first of them to the last.

    Raises:
        ValueError: for no variable, or a choice that is no whole number >= 0.

    References:
        Holland, *Adaptation in natural and artificial systems*, 1975.

    >>> schema = Schema([0, 0, 1, None, 1])
    >>> schema, schema.order, schema.defining_length
    (Schema('001*1'), 4, 4)
    >>> schema.matches(np.array([[0, 0, 1, 1, 1], [1, 0, 1, 1, 1]])).tolist()
    [True, False]
    """

    def __init__(self, choices: Sequence[int | None]) -> None:
        """Keep what is fixed; see the class."""
        if isinstance(choices, str) or not isinstance(choices, Sequence) or not choices:
            raise ValueError(
                "choices must be a sequence of positions and None, one a variable, "
                f"got {shown(choices)}"
            )
        self.choices = tuple(
            None if each is None else whole_number("choices", each, 0) for each in choices
        )
        fixed = [place for place, each in enumerate(self.choices) if each is not None]
        self._fixed = np.array(fixed, dtype=np.int64)
        self._values = np.array([self.choices[place] for place in fixed], dtype=np.int64)
        self.order = len(fixed)
        self.defining_length = fixed[-1] - fixed[0] if fixed else 0

    @property
    def pattern(self) -> str:
        """The choices in order, a star for any."""
        separator = "" if all(each is None or each < 10 for each in self.choices) else ","
        return separator.join("*" if each is None else str(each) for each in self.choices)

    def matches(self, strings: Strings) -> np.ndarray:
        """Which strings are members: ``[..., L]`` to ``[...]``."""
        members: np.ndarray = (strings[..., self._fixed] == self._values).all(-1)
        return members

    def count(self, population: Strings) -> np.ndarray:
        """N(h), the number of members of each population: ``[..., n, L]`` to ``[...]``."""
        counts: np.ndarray = self.matches(population).sum(-1)
        return counts

    def __repr__(self) -> str:
        """The pattern."""
        return f"Schema({self.pattern!r})"


@typed(unchecked=("population", "fitness", "sizes"))
class SchemaTheorem:
    r"""Members of schemata in the generation after a population, under fitness-proportional choice.

    With N(h, t) members of mean fitness f(h) in a population of mean fitness f̄,

    .. math:: E\, N(h, t+1) \ge N(h, t) \frac{f(h)}{\bar f}
        \Bigl[1 - p_c \frac{\delta(h)}{L - 1}\Bigr] (1 - p_m)^{o(h)}

    which is an equality without crossover and mutation. The expectation is also known with both.
    A child is the head of one parent and the tail of another, cut at one of L − 1 places, or the
    first parent; then every choice changes to another one with probability p_m. With selection
    probabilities π_i and m_ij the probability that choice j of string i is the schema's after
    mutation (1 where the schema leaves it free),

    .. math:: E\, N(h, t+1) = n \Bigl[(1 - p_c) \sum_i \pi_i \prod_j m_{ij} + \frac{p_c}{L - 1}
        \sum_{c=1}^{L-1} \Bigl(\sum_i \pi_i \prod_{j < c} m_{ij}\Bigr)
        \Bigl(\sum_i \pi_i \prod_{j \ge c} m_{ij}\Bigr)\Bigr]

    Args:
        population: positions of choices ``[n, L]``.
        fitness: ``[n]``, not negative, not all zero.
        sizes: choices of each variable, ``[L]``.
        crossover: p_c.
        mutation: p_m.

    Raises:
        ValueError: naming the argument.

    References:
        Holland, *Adaptation in natural and artificial systems*, 1975, the bound; Stephens,
        Waelbroeck, *Schemata evolution and building blocks*, 1999, the expectation.

    >>> population = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> theorem = SchemaTheorem(population, np.array([1.0, 1.0, 3.0, 3.0]), np.array([2, 2]))
    >>> theorem.bound(Schema([1, None])), theorem.expected(Schema([1, None]))
    (3.0, 3.0)
    """

    def __init__(
        self,
        population: Strings,
        fitness: Numbers,
        sizes: Strings,
        *,
        crossover: float = 0.0,
        mutation: float = 0.0,
    ) -> None:
        """Check and keep; see the class."""
        self.population = np.asarray(population, dtype=np.int64)
        self.fitness = np.asarray(fitness, dtype=np.float64)
        self.sizes = np.asarray(sizes, dtype=np.int64)
        self.crossover = fraction_in("crossover", crossover)
        self.mutation = fraction_in("mutation", mutation)
        if self.population.ndim != 2 or 0 in self.population.shape:
            raise ValueError(f"population must be [n, L], got shape {list(self.population.shape)}")
        count, length = self.population.shape
        _check_shape("fitness", self.fitness, (count,))
        _check_shape("sizes", self.sizes, (length,))
        if not (np.isfinite(self.fitness).all() and (self.fitness >= 0).all()):
            raise ValueError(f"fitness must be finite and >= 0, got {shown(fitness)}")
        if self.fitness.sum() == 0:
            raise ValueError("fitness must be positive for one string or more, got zeros")
        if not ((self.population >= 0) & (self.population < self.sizes)).all():
            raise ValueError("population must hold positions of choices, below sizes")

    def bound(self, schema: Schema) -> float:
        """The least that E N(h, t+1) can be."""
        self._check(schema)
        members = schema.matches(self.population)
        selected = len(self.population) * self._selection[members].sum()
        cuts = max(self.population.shape[1] - 1, 1)
        kept = 1 - self.crossover * schema.defining_length / cuts
        return float(selected * kept * (1 - self.mutation) ** schema.order)

    def expected(self, schema: Schema) -> float:
        """E N(h, t+1), exactly."""
        self._check(schema)
        matches = self._match_probabilities(schema)
        heads = self._selection @ np.cumprod(matches, 1)  # of the first 1, ..., L choices
        tails = self._selection @ np.cumprod(matches[:, ::-1], 1)[:, ::-1]
        whole = heads[-1]
        crossed = (heads[:-1] * tails[1:]).mean() if len(heads) > 1 else whole
        share = (1 - self.crossover) * whole + self.crossover * crossed
        return float(len(self.population) * share)

    def simulate(self, generations: int, seed: int = 0) -> np.ndarray:
        """Independent next generations ``[generations, n, L]``."""
        children: np.ndarray = next_generation(
            self.population,
            self.fitness,
            self.sizes,
            crossover_probability=self.crossover,
            mutation_probability=self.mutation,
            generations=whole_number("generations", generations),
            rng=np.random.default_rng(seed),
        )
        return children

    @property
    def _selection(self) -> Numbers:
        """π ``[n]``."""
        shares: Numbers = self.fitness / self.fitness.sum()
        return shares

    def _match_probabilities(self, schema: Schema) -> Numbers:
        """The probabilities m_ij ``[n, L]``."""
        kept = np.ones(self.population.shape)
        for place, choice in enumerate(schema.choices):
            if choice is None:
                continue
            others = int(self.sizes[place]) - 1
            rate = self.mutation if others else 0.0
            is_there = self.population[:, place] == choice
            kept[:, place] = np.where(is_there, 1 - rate, rate / max(others, 1))
        return kept

    def _check(self, schema: Schema) -> None:
        length = self.population.shape[1]
        if len(schema.choices) != length:
            raise ValueError(
                f"schema must have {length} variables, as the population, got {schema!r}"
            )


def _check_shape(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} must have shape {list(shape)}, got {list(values.shape)}")
