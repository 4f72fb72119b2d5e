"""Where maps bend, and what a monotone one is ordered by: checks of both."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bayesnas.checks import finite, shown
from bayesnas.nn.hypernetworks.intervals import Interval
from bayesnas.scalars import is_number, is_whole

Knots = int | tuple[float, ...]

_MOST_KNOTS = 10_000  # each is a copy of all parameters
_FEW = 3  # of a metaparameter that a mapping leaves out


def checked_knots(knots: object) -> Any:
    """Return a number of knots, at least 2, or the place of each; by name where a mapping came.

    >>> checked_knots([0.1, 1, 10])
    (0.1, 1.0, 10.0)
    """
    if isinstance(knots, Mapping):
        return {str(name): _checked(checked) for name, checked in knots.items()}
    return _checked(knots)


def positions(knots: Knots | Mapping[str, Knots], axes: Sequence[Interval]) -> list[list[float]]:
    """T of every knot, axis by axis.

    Raises:
        ValueError: for values that do not increase from end to end of a range, a name that is none
            of the axes', or more knots in all than memory could hold parameters for.
    """
    if isinstance(knots, Mapping):
        names = [axis.name for axis in axes]
        if unknown := sorted(set(knots) - set(names)):
            raise ValueError(f"knots must be of {names}, the metaparameters, got {unknown}")
        by_axis = [_positions(knots.get(axis.name, _FEW), axis) for axis in axes]
    else:
        by_axis = [_positions(knots, axis) for axis in axes]
    count = math.prod(map(len, by_axis))
    if count > _MOST_KNOTS:
        raise ValueError(f"knots must be at most {_MOST_KNOTS:,} in all, got {count:,}")
    return by_axis


def _positions(knots: Knots, axis: Interval) -> list[float]:
    if isinstance(knots, int):
        return [index / (knots - 1) for index in range(knots)]
    places = [axis.normalised(knot) for knot in knots]
    if places != sorted(set(places)) or (places[0], places[-1]) != (0.0, 1.0):
        raise ValueError(
            f"knots must increase from {axis.low:g} to {axis.high:g}, the range of {axis.name}, "
            f"got {list(knots)}"
        )
    return places


def _checked(knots: object) -> Knots:
    if is_whole(knots) and 2 <= knots <= _MOST_KNOTS:
        return int(knots)
    if isinstance(knots, Sequence) and not isinstance(knots, str):
        values = tuple(finite("knots", knot) for knot in knots)
        if any(low >= high for low, high in itertools.pairwise(values)):
            raise ValueError(f"knots must increase, got {shown(knots)}")
        if len(values) >= 2:
            return values
    if is_whole(knots) and knots > _MOST_KNOTS:
        raise ValueError(f"knots must be at most {_MOST_KNOTS:,}, got {shown(knots)}")
    raise ValueError(f"knots must be at least 2, got {shown(knots)}")


def checked_costs(costs: object) -> tuple[float, ...]:
    """Return finite numbers as floats.

    >>> checked_costs([0, 400])
    (0.0, 400.0)
    """
    given = tuple(costs) if isinstance(costs, Iterable) else (None,)
    if not all(is_number(cost) and math.isfinite(cost) for cost in given):
        raise ValueError(f"costs must be finite numbers, got {shown(costs)}")
    return tuple(float(cost) for cost in given)
