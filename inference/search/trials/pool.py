"""Several workers of one study, each a process."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from bayesnas.inference.search.strategy import StrategyFactory
from bayesnas.inference.search.trials.queue import Queue
from bayesnas.inference.search.trials.samplers import (
    SAMPLERS,
    SamplerMaker,
    optuna_sampler,
    strategy_sampler,
)
from bayesnas.inference.search.trials.storage import Storage
from bayesnas.inference.search.trials.study import Plan, open_study
from bayesnas.inference.search.trials.worker import Objective, run_trials
from bayesnas.runtime.random_state import derived_seed
from bayesnas.words import did_you_mean

_WAIT = 0.5  # seconds between looks at how far the study is


@dataclass(frozen=True)
class Work:
    """What a worker process is told.

    Attributes:
        storage: of the study.
        name: of the study.
        objective: the judge.
        strategy: name of a sampler, or a strategy's factory.
    """

    storage: Storage
    name: str
    objective: Objective
    strategy: str | StrategyFactory


class WorkerError(RuntimeError):
    """A worker stopped at an error of the objective; the study holds all that was finished."""


def sampler_of(strategy: str | StrategyFactory | Any, plan: Plan, worker: int = 0) -> SamplerMaker:
    """The sampler of a worker; several have random numbers of their own.

    A sampler of Optuna draws by the seed and the place of the trial, so whoever takes the trial
    draws the same. A strategy draws by what it was told, which several may share.
    """
    if isinstance(strategy, str):
        if strategy not in SAMPLERS:
            raise ValueError(
                f"strategy must be one of {list(SAMPLERS)}, got {strategy!r}"
                + did_you_mean(strategy, SAMPLERS)
            )
        return optuna_sampler(strategy, plan.seed)
    seed = derived_seed(plan.seed, worker) if worker else plan.seed
    return strategy_sampler(strategy, plan.space, plan.objectives, seed)


def run_workers(
    queue: Queue, work: Work, workers: int, finished: Callable[[], None] = lambda: None
) -> None:
    """Start processes, put another in the place of one that is killed, and wait for all.

    Args:
        queue: of the study.
        work: what they are told.
        workers: how many.
        finished: called now and then.

    Raises:
        TypeError: the objective can't be sent to another process.
        WorkerError: the objective raised; the others give their trials back to the queue.
    """
    _check_picklable(work)
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // workers)
    numbers = iter(range(1, 1_000_000))

    def start() -> Any:
        process = context.Process(target=_run, args=(work, next(numbers), threads))
        process.start()
        return process

    running = [start() for _ in range(workers)]
    failed, stopping, idle_deaths = False, False, 0
    try:
        while running:
            multiprocessing.connection.wait([p.sentinel for p in running], timeout=_WAIT)
            finished()
            ended = [p for p in running if not p.is_alive()]
            running = [p for p in running if p not in ended]
            for process in ended:
                process.join()
                was_killed = process.exitcode is not None and process.exitcode < 0
                if was_killed and not stopping:
                    idle_deaths += queue.revive() == 0
                    running.append(start())
                failed |= process.exitcode != 0 and not was_killed
            # A worker that is killed before it takes a trial, again and again, lacks memory.
            failed |= idle_deaths > _MOST_IDLE_DEATHS * workers
            if failed and not stopping:
                _interrupt(running)
                stopping = True
    except KeyboardInterrupt:
        _interrupt(running)
        for process in running:
            process.join()
        queue.revive()
        raise
    if failed:
        queue.revive()
        raise WorkerError(_last_error(queue))


_MOST_IDLE_DEATHS = 3  # a worker
_ERROR = 3  # exit status of a worker whose objective raised; 1 of one that could not begin


def _run(work: Work, number: int, threads: int) -> None:
    """The body of a worker process."""
    torch.set_num_threads(threads)
    try:
        queue, plan = open_study(work.storage, work.name)
        sampler = sampler_of(work.strategy, plan, number)
        run_trials(queue, plan.space, work.objective, plan.objectives, sampler)
    except KeyboardInterrupt:
        os._exit(0)
    except Exception:
        import traceback

        traceback.print_exc()
        os._exit(_ERROR)


def _interrupt(processes: list[Any]) -> None:
    for process in processes:
        if process.is_alive():
            os.kill(process.pid, signal.SIGINT)


def _check_picklable(work: Work) -> None:
    for name in ("objective", "strategy"):
        try:
            pickle.dumps(getattr(work, name))
        except Exception as error:
            raise TypeError(
                f"{name} must be importable and picklable for several workers, as a function of "
                f"a module is, got {getattr(work, name)!r:.100}: {error}"
            ) from error


def _last_error(queue: Queue) -> str:
    errors = [t for t in queue.trials() if "error" in t.user_attrs]
    last = max(errors, key=lambda trial: trial.datetime_complete, default=None)
    if last is None:
        return "a worker could not begin, see above"
    return f"trial {last.number} ({last.params}): {last.user_attrs['error']}"
