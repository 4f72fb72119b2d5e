"""Search by trials: a strategy proposes candidates of a space, an objective judges them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from tqdm import tqdm

from bayesnas.checks import flag, name_of, seed_number, shown, whole_number
from bayesnas.inference.search.registry import STRATEGIES
from bayesnas.inference.search.space import Candidate, SearchSpace
from bayesnas.inference.search.strategy import (
    Strategy,
    StrategyFactory,
    ask_generator,
    is_strategy,
)
from bayesnas.inference.search.trials.objectives import Objectives
from bayesnas.inference.search.trials.pool import Work, run_workers, sampler_of
from bayesnas.inference.search.trials.queue import Queue
from bayesnas.inference.search.trials.result import SearchResult, result_of
from bayesnas.inference.search.trials.samplers import SAMPLERS
from bayesnas.inference.search.trials.storage import Storage
from bayesnas.inference.search.trials.study import Plan, judge_settings, make_study
from bayesnas.inference.search.trials.worker import Objective, run_trials
from bayesnas.inference.search.variables import Variable
from bayesnas.nn.graphs.graph import Graph
from bayesnas.runtime.interrupt import InterruptedFitWarning
from bayesnas.typed import typed
from bayesnas.words import did_you_mean

TRIALS = 100
"""Of a search that does not say how many."""
MOST_TRIALS = 100_000
"""Of a study, which holds a place for each from the start."""
_MOST_WORKERS = 1024


@typed()
def search(
    space: SearchSpace | Mapping[str, Variable] | Graph,
    objective: Objective,
    strategy: str | Strategy | StrategyFactory = "tpe",
    *,
    trials: int | None = None,
    objectives: str | Sequence[str] | Mapping[str, str] = "score",
    storage: Storage = None,
    name: str = "search",
    workers: int = 1,
    seed: int = 0,
    resume: bool = False,
    progress: bool = False,
) -> SearchResult:
    """Judge candidates of a space, as a strategy proposes them, in a study of Optuna.

    The study holds one place for every trial from the start; workers, of this call or of other
    machines on the same storage, take them one by one, so each is finished once. Whose worker is
    killed is given to another one with the same candidate. A trial whose loss or score is not
    finite fails, and the search goes on; any other error of the objective is raised, and the
    study keeps what is finished.

    Args:
        space: variables by name; of a graph, an operation for every mixed edge.
        objective: takes a candidate, gives a number, one an objective, or numbers by name, of
            which those that are no objective are kept as metrics of the trial. For several
            workers it is sent to other processes: a function of a module, or an object with
            ``__call__``, such as those of ``bayesnas.inference.search.judges``. What an object
            gives by ``config()``, JSON values by name, is kept: a study judged otherwise is not
            gone on with.
        strategy: ``"random"``, ``"grid"`` (every candidate; in a random order where ``trials``
            are fewer), ``"tpe"``, ``"nsga2"`` and ``"cmaes"`` are Optuna's; a name of
            ``STRATEGIES``; a strategy's class, or a ``functools.partial`` of it; or a strategy,
            for one worker.
        trials: places of the study, 100 by default, and of a grid all. A study that is resumed
            may get more.
        objectives: a name, several, or ``{"accuracy": "maximise"}``; minimised unless said.
        storage: None for memory; a path that ends in ``.db`` (SQLite) or ``.journal`` (a file
            that also network disks lock well); or the URL of a database server.
        name: of the study; a storage holds several.
        workers: processes on this machine. More machines: the same call with ``resume=True``.
        seed: of the strategy. A trial draws by the seed and its place, or by the trials that its
            strategy was told, so with one worker a resumed search is that without interruption.
        resume: go on with the study if it is there.
        progress: show a bar.

    Returns:
        all trials; after Ctrl-C, with a warning, as they stand.

    Raises:
        ValueError: for an empty space, no trials, an unknown strategy or objective (with the
            nearest names), a study of another space, or Optuna that is not installed.
        FileExistsError: there is a study of that name, and ``resume`` is False.
        StorageError: the storage can't be written.
        TypeError: for a strategy that is neither a name nor what asks and tells.

    References:
        Akiba, Sano, Yanase, Ohta, Koyama, *Optuna: a next-generation hyperparameter optimization
        framework*, 2019; Bergstra, Bengio, *Random search for hyper-parameter optimization*, 2012.

    >>> from bayesnas.inference.search import LogReal
    >>> import math
    >>> space = {"scale": LogReal(1e-3, 1e3)}
    >>> result = search(space, lambda c: abs(math.log(c["scale"])), "random", trials=50)
    >>> len(result.trials), result.best.scores["score"] < 1.0
    (50, True)
    """
    variables = _space(space)
    asked = Objectives.of(objectives)
    resolved, strategy_name = _strategy(strategy, variables, asked)
    seed, workers = seed_number("seed", seed), whole_number("workers", workers, 1, _MOST_WORKERS)
    plan = Plan(variables, asked, strategy_name, seed, judge_settings(objective))
    candidates = _grid(variables, trials, seed) if strategy_name == "grid" else None
    if candidates is None:
        count = whole_number("trials", TRIALS if trials is None else trials, 1, MOST_TRIALS)
    else:
        count = len(candidates)
    if workers > 1 and (storage is None or is_strategy(resolved)):
        needed = "a storage" if storage is None else "a strategy's class, or its name"
        raise ValueError(f"workers must be 1, or come with {needed}, got {workers}")
    sampler = sampler_of(resolved, plan)  # refuses what is missing before a study is made
    queue = make_study(plan, storage, name_of("name", name), resume=flag("resume", resume))
    queue.revive()
    queue.fill(count, candidates)
    with tqdm(total=count, desc="trials", disable=not progress, leave=False) as bar:

        def show() -> None:
            bar.update(queue.finished() - bar.n)

        try:
            if workers == 1:
                run_trials(queue, variables, objective, asked, sampler, show)
            else:
                run_workers(queue, Work(storage, name, objective, resolved), workers, show)
        except KeyboardInterrupt:
            warnings.warn(_interrupted(queue, count, storage), InterruptedSearchWarning, 3)
    return result_of(queue, plan)


class InterruptedSearchWarning(InterruptedFitWarning):
    """A search was stopped by Ctrl-C and returned as it stood.

    >>> import warnings
    >>> from bayesnas.inference.search import Real
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", InterruptedSearchWarning)  # a part is no result
    ...     result = search({"x": Real(0, 1)}, lambda c: c["x"], "random", trials=3)
    """


def _interrupted(queue: Queue, count: int, storage: Storage) -> str:
    onwards = "" if storage is None else f"; resume=True goes on with it in {storage}"
    return f"the search was interrupted after {queue.finished()} of {count} trials{onwards}"


def _space(given: SearchSpace | Mapping[str, Variable] | Graph) -> SearchSpace:
    if isinstance(given, Graph):
        return SearchSpace.of_graph(given)
    if not given:
        raise ValueError(f"space must have one variable or more, got {shown(given)}")
    return given if isinstance(given, SearchSpace) else SearchSpace(given)


def _strategy(given: object, space: SearchSpace, objectives: Objectives) -> tuple[Any, str]:
    """What makes the sampler, and the name that the study keeps."""
    if not isinstance(given, str):
        if not (callable(given) or is_strategy(given)):
            raise TypeError(
                "strategy must be a name, a strategy, or what makes one, got "
                f"{type(given).__name__}"
            )
        return given, _name(given)
    if given in SAMPLERS:
        if given == "cmaes" and len(objectives.names) > 1:
            raise ValueError("strategy 'cmaes' takes one objective, got several")
        return given, given
    names = [*SAMPLERS, *STRATEGIES]
    if given not in STRATEGIES:
        hint = did_you_mean(given, names)
        raise ValueError(f"strategy must be one of {names}, got {given!r}{hint}")
    record = STRATEGIES[given]
    if len(objectives.names) > 1 and not record.several:
        raise ValueError(f"strategy {given!r} takes one objective, got {list(objectives.names)}")
    if record.finite and space.choices is None:
        real = next(name for name, variable in space.items() if variable.values is None)
        raise ValueError(f"strategy {given!r} takes no real variables, got {real!r}")
    return record.factory, given


def _name(strategy: Any) -> str:
    """Of a strategy's class, with the options of a ``functools.partial``."""
    if isinstance(strategy, functools.partial):
        options = ", ".join(f"{key}={value!r}" for key, value in strategy.keywords.items())
        return f"{_name(strategy.func)}({options})"
    return str(getattr(strategy, "__name__", type(strategy).__name__))


def _grid(space: SearchSpace, trials: int | None, seed: int) -> list[Candidate]:
    """Every candidate in order, or as many as there are trials in a random order."""
    all_candidates = list(islice(space.candidates(), MOST_TRIALS + 1))
    if len(all_candidates) > MOST_TRIALS:
        raise ValueError(
            f"a grid must be of at most {MOST_TRIALS:,} candidates, got a space of more: "
            "strategy='random' draws some of them"
        )
    if trials is not None and whole_number("trials", trials, 1, MOST_TRIALS) < len(all_candidates):
        order = ask_generator(seed, 0).permutation(len(all_candidates))[:trials]
        return [all_candidates[i] for i in order]
    return all_candidates
