"""Checks of constructor arguments: errors name the argument, what came, what was expected."""

from __future__ import annotations

import math
from collections.abc import Sequence


def check_positive(name: str, value: object) -> float:
    """Return a finite number > 0 as a float.

    >>> check_positive("scale", 2)
    2.0
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number > 0, got {value!r}")
    return float(value)


def check_probability(name: str, value: object) -> float:
    """Return a probability strictly between 0 and 1, where its logit is finite.

    >>> check_probability("inclusion", 0.25)
    0.25
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"{name} must be a probability in (0, 1), got {value!r}")
    return float(value)


def check_choice(name: str, value: str, choices: Sequence[str]) -> str:
    """Return one of the choices.

    >>> check_choice("estimator", "local", ("local", "weight"))
    'local'
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}, got {value!r}")
    return value
