"""Ranges of metaparameters: the KL weight λ and what else a fit is made a function of."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, ClassVar

_SLACK = 1e-6  # relative to the range: how far outside a value may lie by rounding

KL_WEIGHT = "kl_weight"
"""Name of the metaparameter λ."""


@dataclass(frozen=True)
class Interval(abc.ABC):
    """The range of one metaparameter, and what evenly spaced means there.

    Attributes:
        low: smallest value.
        high: largest value.
        name: of the metaparameter.
    """

    spacing: ClassVar[str]

    low: float
    high: float
    name: str = KL_WEIGHT

    def normalised(self, value: float) -> float:
        """T in [0, 1].

        Raises:
            ValueError: for a value outside the range; the message says the range.
        """
        if not self.contains(value):
            raise ValueError(
                f"{self.name} must be in the fitted range [{self.low:g}, {self.high:g}], "
                f"got {value!r}"
            )
        return min(max(self._fraction(value), 0.0), 1.0)

    def value(self, t: float) -> float:
        """The value at t, exact at both ends."""
        if t in (0.0, 1.0):
            return self.high if t else self.low
        return self._between(t)

    def to_dict(self) -> dict[str, Any]:
        """Name, spacing and ends, as JSON values."""
        return {"name": self.name, "spacing": self.spacing, "low": self.low, "high": self.high}

    @abc.abstractmethod
    def contains(self, value: float) -> bool:
        """Whether a value lies in the range, but for rounding."""

    @abc.abstractmethod
    def _fraction(self, value: float) -> float: ...

    @abc.abstractmethod
    def _between(self, t: float) -> float: ...


class LogInterval(Interval):
    """A range on a log scale, t = ln(v / low) / ln(high / low), low > 0.

    >>> LogInterval(0.1, 1000.0).normalised(10.0)
    0.5
    """

    spacing = "log"

    def contains(self, value: float) -> bool:
        """Whether a value lies in the range, but for rounding."""
        return self.low * (1 - _SLACK) <= value <= self.high * (1 + _SLACK)

    def _fraction(self, value: float) -> float:
        return math.log(value / self.low) / math.log(self.high / self.low)

    def _between(self, t: float) -> float:
        return float(self.low * (self.high / self.low) ** t)


class LinearInterval(Interval):
    """A range on a linear scale, t = (v − low) / (high − low).

    >>> LinearInterval(0.0, 4.0, "temperature").value(0.25)
    1.0
    """

    spacing = "linear"

    def contains(self, value: float) -> bool:
        """Whether a value lies in the range, but for rounding."""
        slack = _SLACK * (self.high - self.low)
        return self.low - slack <= value <= self.high + slack

    def _fraction(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def _between(self, t: float) -> float:
        return self.low + (self.high - self.low) * t


INTERVALS: dict[str, type[Interval]] = {
    kind.spacing: kind for kind in (LogInterval, LinearInterval)
}
