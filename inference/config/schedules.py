"""Schedules of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable

from bayesnas.scalars import is_number

Schedule = str | Callable[[float], float]


_SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}


def learning_rate_factor(schedule: Schedule, progress: float) -> float:
    """Factor on the learning rate after a fraction ``progress`` in [0, 1) of the steps.

    Raises:
        ValueError: for an unknown name, or a function that gives no finite number >= 0.

    >>> learning_rate_factor("cosine", 0.5)
    0.5...
    """
    if callable(schedule):
        factor = schedule(progress)
        if not is_number(factor) or not 0 <= factor < math.inf:
            raise ValueError(
                f"schedule must give a finite factor >= 0, got {factor!r} at {progress:g}"
            )
        return float(factor)
    if not isinstance(schedule, str) or schedule not in _SCHEDULES:
        raise ValueError(
            f"schedule must be one of {sorted(_SCHEDULES)} or a function of the fraction done, "
            f"got {schedule!r}"
        )
    return _SCHEDULES[schedule](progress)
