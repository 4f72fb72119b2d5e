"""Checks of arguments that every layer of the package makes."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TypeGuard


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number, of Python or NumPy; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def whole_number(name: str, value: object, least: int = 1, most: int | None = None) -> int:
    """Return a whole number of at least ``least`` and at most ``most``, if that is given.

    Raises:
        ValueError: naming the argument, for anything else.

    >>> whole_number("latents", 3)
    3
    """
    if not is_whole(value) or value < least or (most is not None and value > most):
        span = f">= {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {span}, got {value!r}")
    return int(value)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a real number, of Python or NumPy; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def non_negative(name: str, value: object) -> float:
    """Return a finite number >= 0 as a float.

    Raises:
        ValueError: naming the argument, for anything else.

    >>> non_negative("scale", 2)
    2.0
    """
    if not is_number(value) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")
    return float(value)
