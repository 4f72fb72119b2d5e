"""The numbers that a search is about: their names, which way is better, and what a judge gave."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayesnas.checks import shown
from bayesnas.scalars import is_number
from bayesnas.words import did_you_mean

MINIMISE, MAXIMISE = "minimise", "maximise"


@dataclass(frozen=True)
class Objectives:
    """Names of the objectives and their directions.

    Attributes:
        directions: ``"minimise"`` or ``"maximise"`` by name.

    >>> Objectives.of(["error", "parameters"]).signs
    (1.0, 1.0)
    >>> Objectives.of({"accuracy": "maximise"}).split({"accuracy": 0.9, "nll": 0.3})
    ((0.9,), {'nll': 0.3})
    """

    directions: Mapping[str, str]

    @classmethod
    def of(cls, given: str | Sequence[str] | Mapping[str, str]) -> Objectives:
        """From a name, several, or directions by name; what is only named is minimised.

        Raises:
            ValueError: for no name, a name that comes twice, or an unknown direction.
        """
        if isinstance(given, str):
            given = [given]
        directions = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given, MINIMISE)
        if not directions or len(directions) < len(given):
            raise ValueError(f"objectives must be different names, one or more, got {shown(given)}")
        for name, direction in directions.items():
            if not isinstance(name, str) or not name or direction not in (MINIMISE, MAXIMISE):
                raise ValueError(
                    f"objectives must be names with {MINIMISE!r} or {MAXIMISE!r}, got "
                    f"{shown(direction)} for {shown(name)}"
                )
        return cls(directions)

    @property
    def names(self) -> tuple[str, ...]:
        """In order."""
        return tuple(self.directions)

    @property
    def signs(self) -> tuple[float, ...]:
        """1 for a minimised one, −1 for a maximised one."""
        return tuple(1.0 if way == MINIMISE else -1.0 for way in self.directions.values())

    @property
    def optuna_directions(self) -> list[str]:
        """As Optuna spells them."""
        return [way.replace("ise", "ize") for way in self.directions.values()]

    def minimised(self, values: Sequence[float]) -> tuple[float, ...]:
        """Values whose maximised ones are negated."""
        return tuple(s * v for s, v in zip(self.signs, values, strict=True))

    def split(self, outcome: object) -> tuple[tuple[float, ...], dict[str, Any]]:
        """The values of the objectives, and what else a judge said.

        Args:
            outcome: a number, a sequence of one number an objective, or numbers by name.

        Raises:
            TypeError: for anything else.
            ValueError: an objective is not among the names, with the nearest ones.
        """
        if isinstance(outcome, Mapping):
            for name in self.names:
                if name not in outcome:
                    raise ValueError(
                        f"objectives must be among {sorted(map(str, outcome))}, got {name!r}"
                        + did_you_mean(name, map(str, outcome))
                    )
            values = [outcome[name] for name in self.names]
            others = {str(k): v for k, v in outcome.items() if k not in self.names}
        else:
            values = list(outcome) if isinstance(outcome, (list, tuple)) else [outcome]
            others = {}
        if len(values) != len(self.names) or not all(map(is_number, values)):
            raise TypeError(
                f"objective must give a number for each of {list(self.names)}, got {shown(outcome)}"
            )
        return tuple(float(value) for value in values), others


def all_finite(values: Sequence[float]) -> bool:
    """Whether no value is infinite or NaN."""
    return all(map(math.isfinite, values))
