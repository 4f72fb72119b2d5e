"""A limit on the time of one call."""

from __future__ import annotations

import signal
from contextlib import contextmanager

SECONDS = 20


class Hang(BaseException):
    """It took longer; no ``except Exception`` holds it up."""


@contextmanager
def limited(seconds=SECONDS):
    """Stop what takes longer."""

    def stop(*_):
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
