"""The condition of a variable of a search space, and the values that one may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bayesnas.checks import instance, shown
from bayesnas.typed import typed

Value = str | int | float | bool | None
"""One entry of a candidate; what JSON and every storage of trials can hold."""


@typed()
@dataclass(frozen=True)
class When:
    """The condition of a variable: it is there where another one has one of some values.

    Attributes:
        name: of the other variable, which comes earlier in the space.
        values: of which it must have one.

    Raises:
        ValueError: for no name, no value, and values that JSON does not hold.

    >>> When("depth", (2, 3)).holds({"depth": 1})
    False
    """

    name: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if not self.name or not self.values or not all(map(is_value, self.values)):
            raise ValueError(
                "name and values of a condition must be a variable and one value of it or more, "
                f"got {shown((self.name, self.values))}"
            )

    def holds(self, candidate: Mapping[str, Value]) -> bool:
        """Whether a candidate, as far as it is known, has the variable.

        Raises:
            TypeError: for what is no mapping.
        """
        instance("candidate", candidate, Mapping, "mapping by name")
        return self.name in candidate and candidate[self.name] in self.values


def is_value(value: object) -> bool:
    """Whether JSON holds it, and it equals itself."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, int))
