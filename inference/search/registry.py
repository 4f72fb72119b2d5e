"""The strategies of this library by name, beside the samplers of Optuna."""

from __future__ import annotations

from dataclasses import dataclass

from bayesnas.inference.search.strategy import StrategyFactory


@dataclass(frozen=True)
class StrategyRecord:
    """What is said of a strategy, and how it is made.

    Attributes:
        title: a line on what it is.
        reference: the source, authors and year.
        factory: makes one over a space; options by ``functools.partial``.
        several: whether it takes several objectives.
        finite: whether every variable must have countably many values.
    """

    title: str
    reference: str
    factory: StrategyFactory
    several: bool = False
    finite: bool = False


STRATEGIES: dict[str, StrategyRecord] = {}
"""By the name that ``bn.search(strategy=...)`` takes."""
