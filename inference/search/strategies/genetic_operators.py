"""Selection, crossover and mutation of strings of choices, whole populations at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Strings = npt.NDArray[np.int64]
"""Positions of choices ``[n, L]``: a row a candidate, a column a variable."""
Numbers = npt.NDArray[np.float64]


def fitness_of(scores: Numbers, floor: float = 0.0) -> Numbers:
    r"""Fitness of scores that are minimised.

    .. math:: f_i = s_{\max} - s_i + \phi\, (s_{\max} - s_{\min})

    Equal scores have fitness 1; one that is infinite, of a trial that failed, has 0 beside others.

    Args:
        scores: ``[n]``.
        floor: φ ≥ 0, the share of the range that the worst has.

    >>> fitness_of(np.array([0.0, 1.0, 2.0])).tolist()
    [2.0, 1.0, 0.0]
    """
    finite = np.isfinite(scores)
    if not finite.any():
        return np.ones_like(scores)
    worst, best = scores[finite].max(), scores[finite].min()
    if worst == best:
        return finite.astype(np.float64)
    fitness: Numbers = np.where(finite, worst - scores + floor * (worst - best), 0.0)
    return fitness


def proportional(fitness: Numbers, count: int, rng: np.random.Generator) -> Strings:
    """Rows drawn with probabilities f_i / Σ f, with replacement: ``[count]``.

    >>> proportional(np.array([0.0, 1.0]), 3, np.random.default_rng(0)).tolist()
    [1, 1, 1]
    """
    bounds = np.cumsum(fitness)
    drawn = rng.random(count) * bounds[-1]
    rows = np.searchsorted(bounds, drawn, side="right")
    # A draw may round to the end, which is the bound of the last row that has fitness.
    last = np.flatnonzero(fitness)[-1]
    chosen: Strings = np.minimum(rows, last).astype(np.int64)
    return chosen


def tournament(scores: Numbers, count: int, size: int, rng: np.random.Generator) -> Strings:
    """The best of ``size`` rows drawn with replacement, ``count`` times: ``[count]``.

    >>> tournament(np.array([1.0, 0.0]), 3, 50, np.random.default_rng(0)).tolist()
    [1, 1, 1]
    """
    entrants = rng.integers(len(scores), size=(count, size))
    winners = scores[entrants].argmin(1)
    chosen: Strings = entrants[np.arange(count), winners]
    return chosen


def crossover(
    first: Strings, second: Strings, probability: float, rng: np.random.Generator
) -> Strings:
    """One-point crossover: the head of the first parent, the tail of the second.

    The cut is one of the L − 1 between two variables; without crossover the child is the first
    parent.

    Args:
        first: parents, ``[m, L]``.
        second: other parents.
        probability: of a crossover.
        rng: source of the draws.

    >>> ones, twos = np.full((1, 3), 1), np.full((1, 3), 2)
    >>> child = crossover(ones, twos, 1.0, np.random.default_rng(0))
    >>> child.tolist() in ([[1, 1, 2]], [[1, 2, 2]])
    True
    """
    count, length = first.shape
    if length == 1:
        return first.copy()
    cut = rng.integers(1, length, size=(count,))
    cut = np.where(rng.random(count) < probability, cut, length)
    return np.where(np.arange(length) < cut[:, None], first, second)


def mutate(
    strings: Strings, sizes: Strings, probability: float, rng: np.random.Generator
) -> Strings:
    """Change each choice with a probability to another one of its variable, all alike likely.

    Args:
        strings: ``[m, L]``.
        sizes: choices of each variable, ``[L]``; one alone never changes.
        probability: of a change.
        rng: source of the draws.

    >>> mutate(np.zeros((1, 3), int), np.array([2, 1, 2]), 1.0, np.random.default_rng(0)).tolist()
    [[1, 0, 1]]
    """
    changes = rng.random(strings.shape) < probability
    steps = rng.integers(1, np.maximum(sizes, 2), size=strings.shape)
    changed: Strings = np.where(changes & (sizes > 1), (strings + steps) % sizes, strings)
    return changed


def next_generation(
    population: Strings,
    fitness: Numbers,
    sizes: Strings,
    *,
    crossover_probability: float,
    mutation_probability: float,
    generations: int,
    rng: np.random.Generator,
) -> Any:
    """Independent next generations of one population: ``[generations, n, L]``.

    Every child has two parents, drawn in proportion to fitness.

    Args:
        population: ``[n, L]``.
        fitness: ``[n]``, not negative.
        sizes: choices of each variable, ``[L]``.
        crossover_probability: p_c.
        mutation_probability: p_m.
        generations: how many.
        rng: source of the draws.
    """
    count, length = population.shape
    children = generations * count
    first = population[proportional(fitness, children, rng)]
    second = population[proportional(fitness, children, rng)]
    child = crossover(first, second, crossover_probability, rng)
    child = mutate(child, sizes, mutation_probability, rng)
    return child.reshape(generations, count, length)
