"""The strategies of this library by name, beside the samplers of Optuna."""

from __future__ import annotations

from dataclasses import dataclass

from bayesnas.inference.search.strategies.ant_colony import AntColony
from bayesnas.inference.search.strategies.budgeted import Budgeted
from bayesnas.inference.search.strategies.genetic import Genetic
from bayesnas.inference.search.strategies.regularised_evolution import RegularisedEvolution
from bayesnas.inference.search.strategies.reinforce import Reinforce
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

    >>> from bayesnas.inference.search import STRATEGIES
    >>> STRATEGIES["genetic"].several
    False
    """

    title: str
    reference: str
    factory: StrategyFactory
    several: bool = False
    finite: bool = False


STRATEGIES: dict[str, StrategyRecord] = {
    "ant-colony": StrategyRecord(
        "pheromone on the way from one choice to the next",
        "Byla, Pang 2019; Dorigo, Gambardella 1997",
        AntColony,
        finite=True,
    ),
    "budgeted": StrategyRecord(
        "independent choices with learned logits, the expected cost within a budget",
        "Veniat, Denoyer 2018",
        Budgeted,
        finite=True,
    ),
    "genetic": StrategyRecord(
        "selection, one-point crossover and mutation of strings of choices",
        "Holland 1975",
        Genetic,
        finite=True,
    ),
    "regularised-evolution": StrategyRecord(
        "tournaments and mutation; the oldest dies",
        "Real, Aggarwal, Huang, Le 2018",
        RegularisedEvolution,
        finite=True,
    ),
    "reinforce": StrategyRecord(
        "a recurrent controller trained by REINFORCE",
        "Zoph, Le 2017",
        Reinforce,
        finite=True,
    ),
}
"""By the name that ``bn.search(strategy=...)`` takes."""
