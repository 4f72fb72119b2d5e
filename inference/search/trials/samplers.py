"""Who proposes: Optuna's samplers, and a strategy of this library as one of them."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bayesnas.inference.search.space import SearchSpace
from bayesnas.inference.search.strategy import Strategy, StrategyFactory, is_strategy
from bayesnas.inference.search.trials.objectives import Objectives
from bayesnas.inference.search.trials.optuna_import import import_optuna
from bayesnas.inference.search.trials.queue import KILLED, place
from bayesnas.inference.search.trials.suggestions import distributions_of
from bayesnas.runtime.random_state import derived_seed

SAMPLERS = ("random", "grid", "tpe", "nsga2", "cmaes")
"""Strategies that are Optuna's own; a grid is a queue of trials, and needs no sampler."""

# TPE learns from the best tenth: of ten trials, Optuna's number, from one. Twenty are hyperopt's,
# and had the least regret of 10, 20, 30 and 40 on seeds 100 to 119 of the tabulated space.
_RANDOM_FIRST = 20

SamplerMaker = Callable[[int], Any]
"""From the place of a trial in the study to the sampler that proposes it."""


def optuna_sampler(name: str, seed: int) -> SamplerMaker:
    """A sampler of Optuna by name, made anew for every trial.

    What it learns is in the study. So its random numbers follow from the seed and the place of
    the trial alone, and a study that was interrupted goes on as if it had not been.

    Raises:
        ValueError: for CMA-ES without its package.
    """
    samplers = import_optuna().samplers
    if name == "cmaes" and importlib.util.find_spec("cmaes") is None:
        raise ValueError("strategy 'cmaes' needs cmaes, got none: pip install 'bayesnas[search]'")
    makers: Mapping[str, SamplerMaker] = {
        "random": lambda seed: samplers.RandomSampler(seed=seed),
        "grid": lambda seed: samplers.RandomSampler(seed=seed),
        "tpe": lambda seed: samplers.TPESampler(seed=seed, n_startup_trials=_RANDOM_FIRST),
        "nsga2": lambda seed: samplers.NSGAIISampler(seed=seed),
        "cmaes": lambda seed: samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
    }
    return lambda slot: makers[name](derived_seed(seed, slot))


def strategy_sampler(
    strategy: Strategy | StrategyFactory, space: SearchSpace, objectives: Objectives, seed: int
) -> SamplerMaker:
    """The same sampler for every trial: it keeps one strategy, told all finished trials."""
    made = strategy if is_strategy(strategy) else strategy(space, seed=seed)  # type: ignore[operator]
    if not is_strategy(made):
        raise TypeError(f"strategy must have the methods ask and tell, got {type(made).__name__}")
    kept = _sampler_class()(made, space, objectives)
    return lambda slot: kept


def _sampler_class() -> Any:
    """The adapter, a subclass of what is only there once Optuna is imported."""
    optuna = import_optuna()

    class StrategySampler(optuna.samplers.BaseSampler):  # type: ignore[misc, name-defined]
        """Asks a strategy for the candidate of a trial, after it has told it all finished ones."""

        def __init__(self, strategy: Strategy, space: SearchSpace, objectives: Objectives) -> None:
            self._strategy, self._space, self._objectives = strategy, space, objectives
            self._told: set[int] = set()

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            """Every variable."""
            return distributions_of(self._space)

        def sample_relative(
            self, study: Any, trial: Any, search_space: dict[str, Any]
        ) -> dict[str, Any]:
            """Tell and ask."""
            self._tell(study.get_trials(deepcopy=False, states=_finished(optuna)))
            return dict(self._space.checked(self._strategy.ask()))

        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            """Drawn by itself: of a trial whose worker was killed between two variables."""
            return self._space[name].sample(np.random.default_rng([trial.number]))

        def _tell(self, trials: Sequence[Any]) -> None:
            for each in sorted(trials, key=place):
                if each.number in self._told or each.user_attrs.get(KILLED):
                    continue
                self._told.add(each.number)
                scores = [math.inf] * len(self._objectives.names)
                if each.values is not None:
                    scores = list(self._objectives.minimised(each.values))
                self._strategy.tell(self._space.checked(each.params), scores)

    return StrategySampler


def _finished(optuna: Any) -> tuple[Any, Any]:
    return optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.FAIL
