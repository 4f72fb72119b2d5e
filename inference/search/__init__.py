"""Search over structures and hyperparameters: differentiable, or by trials of candidates."""

from bayesnas.inference.search.differentiable import (
    STRUCTURE_LR,
    TEMPERATURES,
    ClippedSGD,
    classifier,
    darts,
    darts_cc,
    gumbel_darts,
)
from bayesnas.inference.search.registry import STRATEGIES, StrategyRecord
from bayesnas.inference.search.space import Candidate, SearchSpace, architecture
from bayesnas.inference.search.strategy import Strategy, StrategyFactory
from bayesnas.inference.search.variables import Categorical, Integer, LogReal, Real, When

__all__ = [
    "STRATEGIES",
    "STRUCTURE_LR",
    "TEMPERATURES",
    "Candidate",
    "Categorical",
    "ClippedSGD",
    "Integer",
    "LogReal",
    "Real",
    "SearchSpace",
    "Strategy",
    "StrategyFactory",
    "StrategyRecord",
    "When",
    "architecture",
    "classifier",
    "darts",
    "darts_cc",
    "gumbel_darts",
]
