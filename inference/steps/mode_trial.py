"""Which way of taking steps is the fastest: found out while they are taken."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_LOG = logging.getLogger("bayesnas")
_TIMED = 5  # steps of every mode
_COMPILING = 15.0  # compiling takes so many times as long as tracing (docs/benchmarks.md)
_SAVED = 0.3  # of the time of a step, by compiling it


class ModeTrial:
    """Times a few steps of a fit in every mode that may pay, and settles on the fastest.

    They are steps of the fit like all others, and differ by rounding alone. The first step of a
    mode sets it up and does not count; of the next five the fastest does, since what disturbs a
    step only adds to its time. Steps are taken eagerly, then traced. They are compiled where 0.3 of
    the time of the steps left is more than compiling takes, fifteen times what tracing took here.

    The clock is that of the calling thread on the processor. It takes its share of all that several
    threads do, so this is the time of a step on a machine without other work; by the wall, on a
    busy one, how long a step waits for its turn would decide.

    Args:
        steps: of the fit.
        can_compile: whether there is a compiler; asked where compiling would pay.
        clock: seconds.

    Attributes:
        clock: as given.
        mode: of the next step, ``"eager"``, ``"trace"`` or ``"inductor"``.
        settled: whether it is that of all steps left.

    >>> trial = ModeTrial(steps=2_000)
    >>> for seconds in [0.01, *[0.002] * 5, 0.5, *[0.001] * 5]:
    ...     trial.note(seconds)
    >>> trial.mode, trial.settled  # 0.3 × 2 s are fewer than 15 × 0.5 s
    ('trace', True)
    """

    def __init__(
        self,
        steps: int,
        can_compile: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """Begin with eager steps; see the class."""
        self.clock = clock
        self.mode, self.settled = "eager", False
        self._left, self._can_compile = steps, can_compile
        self._set_up: dict[str, float] = {}
        self._fastest: dict[str, float] = {}
        self._times: list[float] = []

    def note(self, seconds: float, *, possible: bool = True) -> None:
        """Note a step in :attr:`mode`.

        Args:
            seconds: that it took.
            possible: whether it could be taken in this mode.
        """
        self._left -= 1
        if not possible:
            self._settle()
        elif self.mode not in self._set_up:
            self._set_up[self.mode] = seconds
        else:
            self._times.append(seconds)
            if len(self._times) == _TIMED:
                self._fastest[self.mode], self._times = min(self._times), []
                self._go_on()

    def _go_on(self) -> None:
        if self.mode == "eager":
            self.mode = "trace"
        elif self.mode == "trace" and self._compiling_pays() and self._can_compile():
            self.mode = "inductor"
        else:
            self._settle()

    def _compiling_pays(self) -> bool:
        saved = _SAVED * self._left * min(self._fastest.values())
        return saved > _COMPILING * self._set_up["trace"]

    def _settle(self) -> None:
        self.mode = min(self._fastest, key=self._fastest.__getitem__)
        self.settled = True
        times = ", ".join(
            f"{mode} {1e3 * seconds:.2f} ms (set up in {self._set_up[mode]:.1f} s)"
            for mode, seconds in self._fastest.items()
        )
        _LOG.info(
            "steps are taken in mode %s: fastest of %d, on the processor: %s",
            self.mode,
            _TIMED,
            times,
        )
