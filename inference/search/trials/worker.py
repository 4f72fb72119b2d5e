"""One worker: takes trials of a study until none is waiting."""

from __future__ import annotations

import contextlib
import numbers
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bayesnas.inference.elbo.nonfinite import NonFiniteLossError
from bayesnas.inference.search.space import Candidate, SearchSpace
from bayesnas.inference.search.trials.objectives import Objectives, all_finite
from bayesnas.inference.search.trials.optuna_import import import_optuna, quiet_optuna
from bayesnas.inference.search.trials.queue import ERROR, SLOT, Queue
from bayesnas.inference.search.trials.samplers import SamplerMaker
from bayesnas.inference.search.trials.suggestions import suggested
from bayesnas.runtime.interrupt import InterruptedFitWarning

Objective = Callable[[Candidate], Any]
"""From a candidate to a number, one an objective, or numbers by name."""

SECONDS, METRICS = "seconds", "metrics"
"""Attributes of a trial: how long its judge took, and what else it said."""


def run_trials(
    queue: Queue,
    space: SearchSpace,
    objective: Objective,
    objectives: Objectives,
    sampler: SamplerMaker,
    finished: Callable[[], None] = lambda: None,
) -> None:
    """Judge one waiting trial after the other.

    A loss or a score that is not finite fails its trial, and the next one is taken. Any other
    error fails it, too, and is raised. Ctrl-C gives the trial back to the queue.

    Args:
        queue: of the study.
        space: of its candidates.
        objective: the judge.
        objectives: names of what it gives.
        sampler: of every trial.
        finished: called after each.
    """
    finished_elsewhere = import_optuna().exceptions.UpdateFinishedTrialError
    with quiet_optuna():
        while (taken := queue.take()) is not None:
            queue.study.sampler = sampler(taken.user_attrs[SLOT])
            try:
                # A worker that was taken for dead finds its slot finished by another.
                with queue.beating(taken), contextlib.suppress(finished_elsewhere):
                    trial = import_optuna().trial.Trial(queue.study, taken._trial_id)
                    _judge(queue, trial, suggested(trial, space), objective, objectives)
            except KeyboardInterrupt:
                queue.revive(own=True)
                raise
            finished()


@contextlib.contextmanager
def interruptions_raised() -> Iterator[None]:
    """A fit inside the block that Ctrl-C stops raises it: half a fit is no score."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", InterruptedFitWarning)
            yield
    except InterruptedFitWarning as error:
        raise KeyboardInterrupt from error


def _judge(
    queue: Queue, trial: Any, candidate: Candidate, objective: Objective, objectives: Objectives
) -> None:
    failed = import_optuna().trial.TrialState.FAIL
    began = time.perf_counter()
    try:
        with interruptions_raised():
            values, others = objectives.split(objective(dict(candidate)))
        problem = None if all_finite(values) else f"scores are not finite: {values}"
    except NonFiniteLossError as error:
        values, others, problem = (), {}, str(error)
    except Exception as error:
        trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}"[:2000])
        queue.study.tell(trial, state=failed, skip_if_finished=True)
        raise
    trial.set_user_attr(SECONDS, time.perf_counter() - began)
    if others:
        trial.set_user_attr(METRICS, _plain(others))
    if problem is not None:
        trial.set_user_attr(ERROR, problem[:2000])
        queue.study.tell(trial, state=failed, skip_if_finished=True)
    else:
        queue.study.tell(trial, list(values), skip_if_finished=True)


def _plain(others: Mapping[str, Any]) -> dict[str, Any]:
    """What else a judge said, as far as JSON has it."""
    plain: dict[str, Any] = {}
    for name, value in others.items():
        if isinstance(value, (bool, str)) or value is None:
            plain[name] = value
        elif isinstance(value, numbers.Number):
            plain[name] = int(value) if isinstance(value, numbers.Integral) else float(value)  # type: ignore[arg-type]
    return plain
