"""Where maps over λ bend, and what a monotone one is ordered by: checks of both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bayesnas.checks import is_number, is_whole, positive

_MOST_KNOTS = 10_000  # each is a copy of all parameters


def checked_knots(knots: object) -> int | tuple[float, ...]:
    """Return a number of knots, at least 2, or the λ of each.

    >>> checked_knots([0.1, 1, 10])
    (0.1, 1.0, 10.0)
    """
    if is_whole(knots) and 2 <= knots <= _MOST_KNOTS:
        return int(knots)
    if isinstance(knots, Sequence) and not isinstance(knots, str):
        found = tuple(positive("knots", knot) for knot in knots)
        if len(found) >= 2:
            return found
    if is_whole(knots) and knots > _MOST_KNOTS:
        raise ValueError(f"knots must be at most {_MOST_KNOTS:,}, got {knots!r}")
    raise ValueError(f"knots must be at least 2, got {knots!r}")


def checked_costs(costs: object) -> tuple[float, ...]:
    """Return finite numbers as floats.

    >>> checked_costs([0, 400])
    (0.0, 400.0)
    """
    given = tuple(costs) if isinstance(costs, Iterable) else (None,)
    if not all(is_number(cost) and math.isfinite(cost) for cost in given):
        raise ValueError(f"costs must be finite numbers, got {costs!r}")
    return tuple(float(cost) for cost in given)
