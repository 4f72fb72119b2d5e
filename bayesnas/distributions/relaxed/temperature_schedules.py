"""Temperatures of relaxed distributions as functions of the training step."""

from __future__ import annotations

import math
from collections.abc import Callable

from bayesnas.checks import non_negative, positive, whole_number
from bayesnas.typed import typed

Schedule = Callable[[float], float]


@typed()
def constant_temperature(value: float) -> Schedule:
    """The same temperature at every step.

    Raises:
        ValueError: for a temperature that is not positive.

    >>> constant_temperature(0.5)(1000)
    0.5
    """
    value = positive("value: temperature", value)
    return lambda step: value


@typed()
def linear_temperature(start: float, end: float, steps: int) -> Schedule:
    """From ``start`` at step 0 to ``end`` at step ``steps``, and ``end`` after it.

    Raises:
        ValueError: for a temperature that is not a finite number > 0, or ``steps`` < 1.

    >>> tau = linear_temperature(1.0, 0.2, 50)  # Yakovlev et al., in epochs
    >>> tau(0), tau(25), tau(60)
    (1.0, 0.6, 0.2)
    """
    start, end = positive("start: temperature", start), positive("end: temperature", end)
    steps = whole_number("steps", steps)

    def temperature(step: float) -> float:
        reached = min(max(step / steps, 0.0), 1.0)
        return (1 - reached) * start + reached * end

    return temperature


@typed()
def exponential_temperature(start: float, end: float, rate: float) -> Schedule:
    """max(end, start · exp(−rate · step)), the schedule of Jang, Gu, Poole (2017).

    Raises:
        ValueError: for a temperature that is not a finite number > 0, or a rate < 0.

    >>> tau = exponential_temperature(1.0, 0.5, rate=1e-3)
    >>> tau(0), tau(10_000)
    (1.0, 0.5)
    """
    start, end = positive("start: temperature", start), positive("end: temperature", end)
    rate = non_negative("rate", rate)
    return lambda step: max(end, start * math.exp(-rate * step))
