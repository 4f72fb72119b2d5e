"""Genetic search: operators by their exact frequencies, generations by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bayesnas.inference.search.strategies.genetic import Genetic
from bayesnas.inference.search.strategies.genetic_operators import (
    crossover,
    fitness_of,
    mutate,
    proportional,
    tournament,
)
from bayesnas.inference.search.strategies.regularised_evolution import RegularisedEvolution

DRAWS = 40_000


def agrees(frequency: float, probability: float) -> bool:
    error = math.sqrt(probability * (1 - probability) / DRAWS)
    return abs(frequency - probability) <= 5.5 * error


def test_proportional_selection_has_the_frequencies_of_fitness():
    fitness = np.array([0.0, 1.0, 3.0])
    drawn = proportional(fitness, DRAWS, np.random.default_rng(0))
    shares = np.bincount(drawn, minlength=3) / DRAWS
    assert shares[0] == 0
    assert agrees(shares[2], 0.75)


def test_a_tournament_is_lost_only_if_the_best_does_not_enter():
    """P(best wins) = 1 − (1 − 1/n)^S with n candidates and S entrants."""
    scores = np.array([3.0, 0.5, 2.0, 1.0])
    drawn = tournament(scores, DRAWS, 3, np.random.default_rng(0))
    shares = np.bincount(drawn, minlength=4) / DRAWS
    assert agrees(shares[1], 1 - 0.75**3)
    assert agrees(shares[0], 0.25**3)


def test_crossover_cuts_everywhere_alike():
    first, second = np.zeros((DRAWS, 4), int), np.ones((DRAWS, 4), int)
    heads = 4 - crossover(first, second, 0.6, np.random.default_rng(0)).sum(1)
    shares = np.bincount(heads, minlength=5) / DRAWS
    assert shares[0] == 0
    assert agrees(shares[4], 0.4)
    assert all(agrees(share, 0.2) for share in shares[1:4])


def test_mutation_changes_to_every_other_value_alike():
    strings = np.tile([1, 0], (DRAWS, 1))
    mutants = mutate(strings, np.array([3, 1]), 0.3, np.random.default_rng(0))
    shares = np.bincount(mutants[:, 0], minlength=3) / DRAWS
    assert agrees(shares[1], 0.7)
    assert agrees(shares[0], 0.15)
    assert (mutants[:, 1] == 0).all()


def test_a_failed_trial_has_no_fitness_beside_others():
    assert fitness_of(np.array([math.inf, 1.0, 1.0])).tolist() == [0, 1, 1]
    assert fitness_of(np.array([math.inf, math.inf])).tolist() == [1, 1]
    assert fitness_of(np.array([0.0, 2.0, math.inf]), floor=0.5).tolist() == [3, 1, 0]


@pytest.mark.parametrize("selection", ["tournament", "proportional"])
def test_a_generation_keeps_its_elite_and_no_more(search_space, selection):
    """With two parents left alone and neither crossover nor mutation every child is one of them."""
    search = Genetic(
        search_space, population=3, elite=2, selection=selection, crossover=0.0, mutation=0.0,
        floor=0.0, distinct=False,
    )  # fmt: skip
    candidates = [{"a": v, "b": v, "c": 0} for v in (0, 1, 2)]
    for candidate, score in zip(candidates, (2.0, 0.0, 1.0), strict=True):
        search.tell(candidate, [score])
    search.tell(candidates[0], [5.0])  # the third generation: elite 1 and 2, and this one
    asked = [search.ask()]
    for _ in range(20):
        search.tell(candidates[1], [0.0])
        asked.append(search.ask())
    assert all(candidate in candidates for candidate in asked)
    assert asked[-1] == candidates[1]  # the elite are copies of the best by now


def test_no_child_is_judged_twice_where_scores_are_exact(search_space, additive):
    search, seen = Genetic(search_space, population=8), set()
    for _ in range(60):  # of 75
        candidate = search.ask()
        seen.add(tuple(candidate.values()))
        search.tell(candidate, [additive(candidate)])
    assert len(seen) == 60


def test_the_oldest_dies_however_good_it_is(search_space):
    search = RegularisedEvolution(search_space, population=2, tournament=40)
    for value, score in ((0, 0.0), (1, 1.0), (2, 2.0)):
        search.tell({"a": value, "b": value, "c": value}, [score])
    child = search.ask()
    parents = [{"a": v, "b": v, "c": v} for v in (1, 2)]
    changed = [sum(child[name] != parent[name] for name in "abc") for parent in parents]
    assert min(changed) == 1
    assert changed[0] == 1  # the better of the two that live, but with a probability of 2⁻⁴⁰


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda space: Genetic(space, population=1), "population must be a whole number from 2"),
        (lambda space: Genetic(space, elite=20), "elite must be a whole number from 0 to 19"),
        (lambda space: Genetic(space, selection="roulette"), "selection must be one of"),
        (lambda space: Genetic(space, mutation=2.0), r"mutation must be a fraction in \[0, 1\]"),
        (lambda space: RegularisedEvolution(space, tournament=0), "tournament must be a whole"),
    ],
)
def test_bad_options(search_space, make, message):
    with pytest.raises(ValueError, match=message):
        make(search_space)
