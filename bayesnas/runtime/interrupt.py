"""Signals that wait for the end of a step, so that nothing is half done."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class InterruptedFitWarning(RuntimeWarning):
    """A fit was stopped by Ctrl-C and returned as it stood."""


class DeferredInterrupt:
    """Hold back the first SIGINT inside the block; a second one interrupts at once.

    Outside the main thread, where Python delivers no signals, it does nothing.

    Args:
        signum: another signal than that of Ctrl-C.

    >>> with DeferredInterrupt() as interrupt:
    ...     interrupt.received()
    False
    """

    def __init__(self, signum: signal.Signals = signal.SIGINT) -> None:
        """Start with no signal received."""
        self._signum = signum
        self._received = False
        self._previous: Any = None
        self._installed = False

    def received(self) -> bool:
        """Whether the signal came."""
        return self._received

    def __enter__(self) -> DeferredInterrupt:
        """Take over the signal, in the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(self._signum, self._handle)
            self._installed = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the signal back; a fit around this one (in whose hook it ran) is stopped as well."""
        if not self._installed:
            return
        # None stands for a handler that was not installed from Python: it can't be named.
        signal.signal(self._signum, self._previous or signal.SIG_DFL)
        outer = getattr(self._previous, "__self__", None)
        if self._received and isinstance(outer, DeferredInterrupt):
            outer._received = True

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._received:
            raise KeyboardInterrupt
        self._received = True
