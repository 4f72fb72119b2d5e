"""The trials of a study as a queue: who takes which, and what a killed worker left.

A study of n trials has n slots. A slot is a waiting trial from the start; a worker takes it by
setting its state, which one process alone can do, and finishes it once. Where a worker is killed
its trial fails, marked as killed, and the slot gets another trial with the same candidate.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bayesnas.inference.search.trials.optuna_import import import_optuna

SLOT, WORKER, BEAT, KILLED, ERROR = "slot", "worker", "beat", "killed", "error"
"""Attributes of a trial: its place, who runs it, when that was last alive, how it failed."""

HEARTBEAT, GRACE = 60.0, 300.0  # seconds between signs of life, and without one until it is dead
MOST_ATTEMPTS = 4  # at one slot: a candidate that kills every worker is given up


class Queue:
    """The slots of one study.

    Args:
        study: Optuna's.
        storage: it is kept in.
    """

    def __init__(self, study: Any, storage: Any) -> None:
        """Keep both; see the class."""
        self.study, self.storage = study, storage
        self._states = import_optuna().trial.TrialState
        self._one_at_a_time = _lock_of(storage)

    def fill(self, count: int, candidates: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Give every slot that has no trial one, waiting.

        Args:
            count: of slots.
            candidates: of the slots where they are known, one each; those that the study has
                already are left out. None: as the strategy proposes.
        """
        attempts: dict[int, list[Any]] = {slot: [] for slot in range(count)}
        trials = self.trials()
        for trial in trials:
            attempts.setdefault(trial.user_attrs.get(SLOT, -1), []).append(trial)
        taken = {_entries(_candidate(trial)) for trial in trials}
        left = iter([each for each in candidates or () if _entries(each) not in taken])
        for slot in range(count):
            if not attempts[slot]:
                self._enqueue(slot, {} if candidates is None else next(left))
            elif self._is_lost(attempts[slot]):
                self._enqueue(slot, attempts[slot][-1].params)

    def take(self) -> Any | None:
        """The next waiting trial, now this process's alone; None where there is none."""
        for trial in sorted(self.trials(self._states.WAITING), key=place):
            if self.claim(trial):
                return trial
        return None

    def claim(self, trial: Any) -> bool:
        """Whether a waiting trial is this process's from now on."""
        gone = contextlib.suppress(import_optuna().exceptions.UpdateFinishedTrialError)
        with self._one_at_a_time, gone:
            if self.storage.set_trial_state_values(trial._trial_id, self._states.RUNNING):
                self.storage.set_trial_user_attr(trial._trial_id, WORKER, worker_name())
                return True
        return False

    @contextlib.contextmanager
    def beating(self, trial: Any) -> Iterator[None]:
        """Sign that the worker is alive, every minute inside the block."""
        stopped = threading.Event()

        def beat() -> None:
            while not stopped.wait(HEARTBEAT):
                self.storage.set_trial_user_attr(trial._trial_id, BEAT, time.time())

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def revive(self, *, own: bool = False) -> int:
        """Give the slots of dead workers new trials.

        Args:
            own: take this process's own trials for dead, too: it is being interrupted.

        Returns:
            how many trials had lost their worker.
        """
        lost = [t for t in self.trials(self._states.RUNNING) if (own and _is_own(t)) or _is_dead(t)]
        return sum(self._give_back(trial) for trial in lost)

    def finished(self) -> int:
        """How many slots have a trial that is complete, or failed and was not killed."""
        done = self.trials(self._states.COMPLETE, self._states.FAIL)
        return len({t.user_attrs.get(SLOT) for t in done if t.values or KILLED not in t.user_attrs})

    def trials(self, *states: Any) -> list[Any]:
        """Trials in the order of their numbers, of some states or of all."""
        trials = self.study.get_trials(deepcopy=False, states=states if states else None)
        return sorted(trials, key=lambda trial: trial.number)

    def _is_lost(self, attempts: Sequence[Any]) -> bool:
        """Whether a slot's last worker was killed, and then the process that noticed was, too."""
        last = attempts[-1]
        return bool(
            len(attempts) < MOST_ATTEMPTS
            and last.state == self._states.FAIL
            and last.user_attrs.get(KILLED)
            and time.time() - last.datetime_complete.timestamp() > HEARTBEAT
        )

    def _give_back(self, trial: Any) -> bool:
        """Fail a trial as killed and queue its candidate again, unless another process has."""
        try:
            self.storage.set_trial_user_attr(trial._trial_id, KILLED, True)
            if not self.storage.set_trial_state_values(trial._trial_id, self._states.FAIL):
                return False
        except import_optuna().exceptions.UpdateFinishedTrialError:
            return False
        slot = trial.user_attrs.get(SLOT)
        attempts = sum(other.user_attrs.get(SLOT) == slot for other in self.trials())
        if attempts < MOST_ATTEMPTS:
            self._enqueue(slot, trial.params)
        return True

    def _enqueue(self, slot: int, candidate: Mapping[str, Any]) -> None:
        self.study.enqueue_trial(dict(candidate), user_attrs={SLOT: slot})


def _lock_of(storage: Any) -> contextlib.AbstractContextManager[Any]:
    """A lock beside a file of SQLite, which has none for a row that is read and then written."""
    from filelock import FileLock

    kind, _, path = str(getattr(storage, "url", "")).partition(":///")
    if not kind.startswith("sqlite") or not path or path.startswith(":memory:"):
        return contextlib.nullcontext()
    return FileLock(f"{path.partition('?')[0]}.lock", thread_local=False)


def place(trial: Any) -> tuple[int, int]:
    """The slot of a trial, then its number: the order in which trials are taken and told.

    So a trial that is made again comes where it would have come.
    """
    return trial.user_attrs.get(SLOT, trial.number), trial.number


def _candidate(trial: Any) -> Mapping[str, Any]:
    """What a trial was queued with, whether it has begun or not."""
    queued: Mapping[str, Any] = trial.system_attrs.get("fixed_params", {})
    return queued or trial.params


def _entries(candidate: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    return frozenset(candidate.items())


def worker_name() -> str:
    """``host:process``."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _is_own(trial: Any) -> bool:
    return bool(trial.user_attrs.get(WORKER) == worker_name())


def _is_dead(trial: Any) -> bool:
    """Whether the worker of a running trial is gone, or gave no sign of life for too long."""
    host, _, process = str(trial.user_attrs.get(WORKER, "")).rpartition(":")
    if host == socket.gethostname() and not _is_alive(int(process)):
        return True
    started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return time.time() - max(started, float(trial.user_attrs.get(BEAT, 0.0))) > GRACE


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # where signal 0 would end it; the sign of life decides
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True
