"""Search over structures and hyperparameters: differentiable, or by trials of candidates."""

from bayesnas.inference.search.clipped_sgd import ClippedSGD
from bayesnas.inference.search.conditions import When
from bayesnas.inference.search.differentiable import (
    STRUCTURE_LR,
    TEMPERATURES,
    classifier,
    darts,
    darts_cc,
    gumbel_darts,
)
from bayesnas.inference.search.growth.adanet.search import AdaNet, adanet
from bayesnas.inference.search.growth.add_del.alternate import AddDel, add_del
from bayesnas.inference.search.growth.add_del.elements import Elements
from bayesnas.inference.search.growth.add_del.hidden_neurons import HiddenNeurons
from bayesnas.inference.search.growth.add_del.linear_features import LinearFeatures
from bayesnas.inference.search.growth.weight_agnostic.result import WeightAgnostic
from bayesnas.inference.search.growth.weight_agnostic.search import weight_agnostic
from bayesnas.inference.search.judges.fits import AmortizedJudge, FitJudge
from bayesnas.inference.search.judges.latency import Latency
from bayesnas.inference.search.judges.supernet import Supernet
from bayesnas.inference.search.judges.supernet_judge import SupernetJudge
from bayesnas.inference.search.judges.table import Table
from bayesnas.inference.search.registry import STRATEGIES, StrategyRecord
from bayesnas.inference.search.run import InterruptedSearchWarning, search
from bayesnas.inference.search.space import Candidate, SearchSpace, architecture
from bayesnas.inference.search.strategy import Strategy, StrategyFactory
from bayesnas.inference.search.trials.result import SearchResult, SearchTrial
from bayesnas.inference.search.trials.storage import StorageError
from bayesnas.inference.search.variables import Categorical, Integer, LogReal, Real

__all__ = [
    "STRATEGIES",
    "STRUCTURE_LR",
    "TEMPERATURES",
    "AdaNet",
    "AddDel",
    "AmortizedJudge",
    "Candidate",
    "Categorical",
    "ClippedSGD",
    "Elements",
    "FitJudge",
    "HiddenNeurons",
    "Integer",
    "InterruptedSearchWarning",
    "Latency",
    "LinearFeatures",
    "LogReal",
    "Real",
    "SearchResult",
    "SearchSpace",
    "SearchTrial",
    "StorageError",
    "Strategy",
    "StrategyFactory",
    "StrategyRecord",
    "Supernet",
    "SupernetJudge",
    "Table",
    "WeightAgnostic",
    "When",
    "adanet",
    "add_del",
    "architecture",
    "classifier",
    "darts",
    "darts_cc",
    "gumbel_darts",
    "search",
    "weight_agnostic",
]
