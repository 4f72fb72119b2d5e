"""A limit on the time of one call."""

from __future__ import annotations

import signal
from contextlib import contextmanager

SECONDS = 20  # of the processor: a busy machine makes no hang
WALL = 300  # of the clock, for what waits for something that never comes


class Hang(BaseException):
    """It took longer; no ``except Exception`` holds it up."""


@contextmanager
def limited(seconds=SECONDS):
    """Stop what takes longer."""

    def stop(*_):
        raise Hang

    before = {number: signal.signal(number, stop) for number in (signal.SIGALRM, signal.SIGPROF)}
    signal.alarm(WALL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
