"""A search space as distributions of Optuna, and a candidate out of a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayesnas.inference.search.space import Candidate, SearchSpace
from bayesnas.inference.search.trials.optuna_import import import_optuna
from bayesnas.inference.search.variables import Categorical, Integer, LogReal, Real

if TYPE_CHECKING:
    import optuna


def distributions_of(space: SearchSpace) -> dict[str, Any]:
    """Optuna's distribution of every variable.

    >>> from bayesnas.inference.search import Integer, SearchSpace
    >>> distributions_of(SearchSpace({"depth": Integer(1, 3)}))
    {'depth': IntDistribution(high=3, log=False, low=1, step=1)}
    """
    kinds = import_optuna().distributions
    distributions: dict[str, Any] = {}
    for name, variable in space.items():
        if isinstance(variable, Categorical):
            distributions[name] = kinds.CategoricalDistribution(variable.choices)
        elif isinstance(variable, Integer):
            distributions[name] = kinds.IntDistribution(variable.low, variable.high)
        elif isinstance(variable, Real):
            log = isinstance(variable, LogReal)
            distributions[name] = kinds.FloatDistribution(variable.low, variable.high, log=log)
    return distributions


def suggested(trial: optuna.Trial, space: SearchSpace) -> Candidate:
    """The candidate of a trial: its variables in order, those alone whose conditions hold."""
    candidate: Candidate = {}
    for name, variable in space.items():
        if not space.is_active(name, candidate):
            continue
        if isinstance(variable, Categorical):
            candidate[name] = trial.suggest_categorical(name, variable.choices)
        elif isinstance(variable, Integer):
            candidate[name] = trial.suggest_int(name, variable.low, variable.high)
        elif isinstance(variable, Real):
            log = isinstance(variable, LogReal)
            candidate[name] = trial.suggest_float(name, variable.low, variable.high, log=log)
    return candidate
