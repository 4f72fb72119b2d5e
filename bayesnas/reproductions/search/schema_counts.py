"""Counts of schemata in simulated generations against the bound of the schema theorem."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesnas.inference.search.strategies.schemata import Schema, SchemaTheorem
from bayesnas.reproductions.base import Comparison, Request
from bayesnas.reproductions.search.parts import Part, PartRecord

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


def settings(request: Request) -> Mapping[str, Any]:
    """Simulated generations: 10,000, or 1,000 where it is to be quick."""
    return {"generations": GENERATIONS // 10 if request.quick else GENERATIONS}


def run(request: Request, given: Mapping[str, Any]) -> Part:
    """Mean counts beside the exact expectation, and what falls below the bound."""
    generations = given["generations"]
    request.say(f"schemata: {generations:,} simulated generations")
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
            labels = {"operators": operators, "schema": schema.pattern}
            values = {"simulated": mean, "standard error": error, "bound": bound}
            comparisons += [
                Comparison(
                    {**labels, "of": of},
                    "members in the next generation",
                    expected if of == "simulated" else None,
                    (float(value),),
                )
                for of, value in values.items()
            ]
            if mean < bound - 3 * error or abs(mean - expected) > 3 * error:
                outside.append(f"{schema.pattern} ({operators})")
    remarks = [
        f"Schemata: {generations:,} generations of {SIZE} strings of {LENGTH} bits; in brackets "
        "the exact expectation. Means below the bound, or off the expectation, by more than three "
        f"standard errors: {', '.join(outside) or 'none'}."
    ]
    return Part(comparisons, remarks)


PART = PartRecord(settings, run)
