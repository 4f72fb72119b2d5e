"""Checks of arguments that every layer of the package makes."""

from __future__ import annotations


def whole_number(name: str, value: object, least: int = 1) -> int:
    """Return a whole number of at least ``least``; ValueError names it where it is not.

    >>> whole_number("latents", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}, got {value!r}")
    return value
