"""Variables of a search space: what one entry of a candidate may be."""

from __future__ import annotations

import math
import sys
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from bayesnas.checks import finite, positive, shown, whole_number
from bayesnas.inference.search.conditions import Value, When, is_value
from bayesnas.scalars import is_number, is_whole
from bayesnas.typed import typed

_MOST_VALUES = 1_000_000  # of an integer, to be listed
_WIDEST = sys.float_info.max
_LARGEST = 2**53  # up to which whole numbers are exact where a storage holds doubles


@dataclass(frozen=True)
class Variable:
    """One variable of a search space; see its kinds.

    Attributes:
        when: None for a variable that every candidate has.
    """

    kind: ClassVar[str]
    when: When | None = field(default=None, kw_only=True)

    @property
    def values(self) -> tuple[Value, ...] | None:
        """Every value in order, None where there is no list of them."""
        return None

    @abstractmethod
    @typed()
    def sample(self, generator: np.random.Generator) -> Value:
        """A value drawn uniformly, or log-uniformly for a ``LogReal``."""

    @abstractmethod
    def checked(self, name: str, value: object) -> Value:
        """The value as one of the variable's own.

        Raises:
            ValueError: naming the variable, for any other.
        """

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        options = {k: v for k, v in vars(self).items() if k != "when"}
        condition = {"when": [self.when.name, list(self.when.values)]} if self.when else {}
        return {"kind": self.kind, **options, **condition}


@typed()
@dataclass(frozen=True)
class Categorical(Variable):
    """One of several values without an order.

    Args:
        choices: the values, all different.
        when: see :class:`When`.

    Raises:
        ValueError: for no choice, equal ones, and values that JSON does not hold.

    >>> Categorical(("relu", "tanh")).values
    ('relu', 'tanh')
    """

    choices: tuple[Value, ...]
    kind: ClassVar[str] = "categorical"

    def __post_init__(self) -> None:
        choices = tuple(self.choices) if isinstance(self.choices, (list, tuple)) else ()
        odd = [choice for choice in choices if not is_value(choice)]
        # 1, 1.0 and True are equal, and would be one and the same cell of a table of trials.
        if not choices or odd or len(set(choices)) < len(choices):
            raise ValueError(
                "choices must be different numbers, strings, True, False or None, one or more, "
                f"got {shown(self.choices)}"
            )
        object.__setattr__(self, "choices", choices)

    @property
    def values(self) -> tuple[Value, ...]:
        """The choices."""
        return self.choices

    @typed()
    def sample(self, generator: np.random.Generator) -> Value:
        """A choice, all equally likely.

        Raises:
            TypeError: for what is no generator of NumPy's.
        """
        return self.choices[int(generator.integers(len(self.choices)))]

    @typed()
    def checked(self, name: str, value: object) -> Value:
        """The choice; see the class above.

        Raises:
            ValueError: for a value that is none of the choices.
        """
        plain = value.item() if isinstance(value, np.generic) else value
        for choice in self.choices:
            if plain == choice and isinstance(plain, bool) == isinstance(choice, bool):
                return choice
        raise ValueError(f"{name} must be one of {list(self.choices)}, got {shown(value)}")


@typed()
@dataclass(frozen=True)
class Integer(Variable):
    """A whole number from ``low`` to ``high``, both included.

    Args:
        low: the smallest.
        high: the largest.
        when: see :class:`When`.

    Raises:
        ValueError: naming an end that is no whole number, or an empty range.

    >>> Integer(1, 3).values
    (1, 2, 3)
    """

    low: int
    high: int
    kind: ClassVar[str] = "integer"

    def __post_init__(self) -> None:
        low = whole_number("low", self.low, -_LARGEST, _LARGEST)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", whole_number("high", self.high, low, _LARGEST))

    @property
    def values(self) -> tuple[Value, ...] | None:
        """All of them, None for more than a million."""
        count = self.high - self.low + 1
        return tuple(range(self.low, self.high + 1)) if count <= _MOST_VALUES else None

    @typed()
    def sample(self, generator: np.random.Generator) -> Value:
        """A number, all equally likely.

        Raises:
            TypeError: for what is no generator of NumPy's.
        """
        return int(generator.integers(self.low, self.high + 1))

    @typed()
    def checked(self, name: str, value: object) -> Value:
        """The number as an int.

        Raises:
            ValueError: for a value that is no whole number of the range.
        """
        if not is_whole(value):
            raise ValueError(f"{name} must be a whole number, got {shown(value)}")
        return whole_number(name, value, self.low, self.high)


@typed()
@dataclass(frozen=True)
class Real(Variable):
    """A number between ``low`` and ``high``, drawn uniformly.

    Args:
        low: the smallest.
        high: the largest.
        when: see :class:`When`.

    Raises:
        ValueError: naming an end that is not finite, or an empty range.

    >>> Real(0.0, 1.0).checked("rate", 0.5)
    0.5
    """

    low: float
    high: float
    kind: ClassVar[str] = "real"

    def __post_init__(self) -> None:
        low, high = finite("low", self.low), finite("high", self.high)
        if not low < high:
            raise ValueError(f"high must be above low, {low}, got {high}")
        if not math.isfinite(high - low):
            raise ValueError(f"high must be less than {_WIDEST:g} above low, {low}, got {high}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @typed()
    def sample(self, generator: np.random.Generator) -> Value:
        """A number, drawn uniformly.

        Raises:
            TypeError: for what is no generator of NumPy's.
        """
        return float(generator.uniform(self.low, self.high))

    @typed()
    def checked(self, name: str, value: object) -> Value:
        """The number as a float.

        Raises:
            ValueError: for a value that is no number of the range.
        """
        if not is_number(value) or not self.low <= value <= self.high:
            raise ValueError(
                f"{name} must be a number from {self.low} to {self.high}, got {shown(value)}"
            )
        return float(value)


@typed()
@dataclass(frozen=True)
class LogReal(Real):
    """A number between ``low`` > 0 and ``high``, whose logarithm is drawn uniformly.

    Args:
        low: the smallest.
        high: the largest.
        when: see :class:`When`.

    Raises:
        ValueError: naming an end that is not positive, or an empty range.

    >>> value = LogReal(1e-3, 1e3).sample(np.random.default_rng(0))
    >>> 1e-3 <= value <= 1e3
    True
    """

    kind: ClassVar[str] = "log-real"

    def __post_init__(self) -> None:
        positive("low", self.low)
        super().__post_init__()

    @typed()
    def sample(self, generator: np.random.Generator) -> Value:
        """A number, drawn log-uniformly.

        Raises:
            TypeError: for what is no generator of NumPy's.
        """
        drawn = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, self.low), self.high)


KINDS: dict[str, type[Variable]] = {cls.kind: cls for cls in (Categorical, Integer, Real, LogReal)}


def variable_of(spec: Mapping[str, Any]) -> Variable:
    """The variable that :meth:`Variable.to_dict` described.

    >>> variable_of(Integer(1, 3, when=When("deep", (True,))).to_dict())
    Integer(when=When(name='deep', values=(True,)), low=1, high=3)
    """
    given = dict(spec)
    kind = given.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"kind of a variable must be one of {list(KINDS)}, got {shown(kind)}")
    if "choices" in given:
        given["choices"] = tuple(given["choices"])
    if "when" in given:
        name, values = given.pop("when")
        given["when"] = When(name, tuple(values))
    return KINDS[kind](**given)
