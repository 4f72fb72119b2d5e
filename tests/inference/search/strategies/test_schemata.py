"""The schema theorem against enumeration of parents, cuts and mutations, and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from bayesnas.inference.search.strategies.schemata import Schema, SchemaTheorem

GENERATIONS = 10_000
SCHEMATA = [
    Schema([1, None, None, None, None, None]),
    Schema([None, 2, 1, None, None, None]),
    Schema([0, None, None, None, None, 1]),
    Schema([None, 0, None, 1, 2, None]),
]


@pytest.fixture
def population():
    """30 strings of six variables with 2 or 3 values, and a fitness with interactions."""
    rng = np.random.default_rng(4)
    sizes = np.array([2, 3, 2, 3, 3, 2])
    strings = rng.integers(sizes, size=(30, 6))
    return strings, 0.2 + rng.random(30) + 1.5 * (strings[:, 1] == 2), sizes


def enumerated(theorem: SchemaTheorem, schema: Schema) -> float:
    """E N(h, t+1) from every pair of parents, every cut and the child's chances to mutate."""
    strings, sizes = theorem.population, theorem.sizes
    chosen = theorem.fitness / theorem.fitness.sum()
    count, length = strings.shape
    total = 0.0
    for i, j in itertools.product(range(count), repeat=2):
        cuts = [(length, 1 - theorem.crossover)]
        cuts += [(cut, theorem.crossover / (length - 1)) for cut in range(1, length)]
        for cut, probability in cuts:
            child = [*strings[i][:cut], *strings[j][cut:]]
            becomes = 1.0
            for value, wanted, size in zip(child, schema.choices, sizes, strict=True):
                if wanted is not None:
                    rate = theorem.mutation
                    becomes *= 1 - rate if value == wanted else rate / (size - 1)
            total += chosen[i] * chosen[j] * probability * becomes
    return count * total


@pytest.mark.parametrize(
    ("crossover", "mutation"), [(0.0, 0.0), (0.7, 0.0), (0.0, 0.1), (0.9, 0.2)]
)
def test_the_expectation_is_that_of_enumeration_and_never_below_the_bound(
    population, crossover, mutation
):
    theorem = SchemaTheorem(*population, crossover=crossover, mutation=mutation)
    for schema in SCHEMATA:
        assert math.isclose(theorem.expected(schema), enumerated(theorem, schema), rel_tol=1e-9)
        assert theorem.expected(schema) >= theorem.bound(schema) - 1e-12


def test_without_crossover_and_mutation_the_bound_is_the_expectation(population):
    """N f(h) / f̄, by hand."""
    strings, fitness, sizes = population
    theorem = SchemaTheorem(strings, fitness, sizes)
    for schema in SCHEMATA:
        members = [all(w in (None, v) for v, w in zip(s, schema.choices)) for s in strings]  # noqa: B905
        by_hand = fitness[members].sum() / fitness.mean()
        assert math.isclose(theorem.bound(schema), by_hand, rel_tol=1e-12)
        assert math.isclose(theorem.expected(schema), by_hand, rel_tol=1e-12)


@pytest.mark.parametrize(("crossover", "mutation"), [(0.0, 0.0), (0.9, 0.05)])
def test_simulated_generations_have_the_expected_members(population, crossover, mutation):
    """Means of 10⁴ generations within 5.5 standard errors; a bound is never broken by more."""
    theorem = SchemaTheorem(*population, crossover=crossover, mutation=mutation)
    generations = theorem.simulate(GENERATIONS, seed=0)
    for schema in SCHEMATA:
        counts = schema.count(generations)
        error = counts.std(ddof=1) / math.sqrt(GENERATIONS)
        # Without error where a population has no member, or nothing else.
        assert abs(counts.mean() - theorem.expected(schema)) <= 5.5 * error + 1e-12
        assert counts.mean() >= theorem.bound(schema) - 5.5 * error - 1e-12


def test_order_and_defining_length():
    assert (SCHEMATA[0].order, SCHEMATA[0].defining_length) == (1, 0)
    assert (SCHEMATA[3].order, SCHEMATA[3].defining_length) == (3, 3)
    everything = Schema([None] * 6)
    assert (everything.order, everything.defining_length) == (0, 0)
    assert repr(Schema([12, None])) == "Schema('12,*')"


def test_one_variable_has_no_cut():
    theorem = SchemaTheorem(
        np.array([[0], [1]]), np.array([1.0, 3.0]), np.array([2]), crossover=1.0
    )
    assert theorem.expected(Schema([1])) == theorem.bound(Schema([1])) == 1.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"population": np.zeros(3, int)}, r"population must be \[n, L\], got shape \[3\]"),
        ({"fitness": np.ones(2)}, r"fitness must have shape \[30\], got \[2\]"),
        ({"fitness": np.full(30, -1.0)}, "fitness must be finite and >= 0"),
        ({"fitness": np.zeros(30)}, "fitness must be positive for one string or more, got zeros"),
        ({"sizes": np.full(6, 2)}, "population must hold positions of choices, below sizes"),
        ({"crossover": 1.5}, r"crossover must be a fraction in \[0, 1\], got 1.5"),
    ],
)
def test_bad_input(population, change, message):
    given = dict(zip(("population", "fitness", "sizes"), population, strict=True)) | change
    with pytest.raises(ValueError, match=message):
        SchemaTheorem(**given)


def test_a_schema_of_another_length(population):
    with pytest.raises(ValueError, match="schema must have 6 variables"):
        SchemaTheorem(*population).expected(Schema([1, None]))
    with pytest.raises(ValueError, match="choices must be a sequence of positions and None"):
        Schema("01*")
