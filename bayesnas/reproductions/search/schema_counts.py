"""Counts of schemata in simulated generations against the bound of the schema theorem."""

from __future__ import annotations

import math

import numpy as np

from bayesnas.inference.search.strategies.schemata import Schema, SchemaTheorem
from bayesnas.reproductions.base import Comparison, Request

GENERATIONS = 10_000
LENGTH, SIZE = 8, 50
SCHEMATA = tuple(
    Schema([None if mark == "*" else int(mark) for mark in pattern])
    for pattern in ("1*******", "11******", "1******1", "***101**", "1*1*1*1*")
)
OPERATORS = {"selection alone": (0.0, 0.0), "crossover 0.9, mutation 0.02": (0.9, 0.02)}


def population(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random binary strings, and a fitness of ones with an interaction and noise."""
    rng = np.random.default_rng(seed)
    strings = rng.integers(2, size=(SIZE, LENGTH))
    fitness = 0.5 + strings.sum(1) + 3 * strings[:, 3] * strings[:, 5] + rng.random(SIZE)
    return strings, fitness


def measure(request: Request) -> tuple[list[Comparison], list[str]]:
    """Mean counts beside bound and expectation; which are out of three standard errors."""
    generations = GENERATIONS // 10 if request.quick else GENERATIONS
    strings, fitness = population()
    comparisons, outside = [], []
    for operators, (crossover, mutation) in OPERATORS.items():
        theorem = SchemaTheorem(
            strings, fitness, np.full(LENGTH, 2), crossover=crossover, mutation=mutation
        )
        children = theorem.simulate(generations)
        for schema in SCHEMATA:
            counts = schema.count(children)
            mean, error = counts.mean(), counts.std(ddof=1) / math.sqrt(generations)
            bound, expected = theorem.bound(schema), theorem.expected(schema)
            labels = {"operators": operators, "schema": repr(schema)[8:-2]}
            values = {"bound": bound, "expected": expected, "simulated": mean, "error": error}
            comparisons += [
                Comparison({**labels, "of": what}, "members", None, (float(value),))
                for what, value in values.items()
            ]
            if mean < bound - 3 * error or abs(mean - expected) > 3 * error:
                outside.append(f"{labels['schema']} ({operators})")
    return comparisons, [
        f"{generations:,} simulated generations of {SIZE} strings of {LENGTH} bits. Means below "
        "the bound, or off the exact expectation, by more than three standard errors: "
        + (", ".join(outside) or "none")
        + "."
    ]
