"""An end of a process that is told to end and busy with what can't be interrupted."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType

FAILED = 1
"""Exit status of a process that ends because another one has."""


class EndWatch:
    """Ends the process some seconds after a SIGTERM inside the block, unless the block ends first.

    Python runs a handler of a signal between two of its own operations, and compiling a step, or
    waiting for a GPU, may take longer than a launcher waits before it kills. Outside the main
    thread it does nothing.

    Args:
        seconds: after the signal.
        last_words: gives what to say on stderr; empty for nothing.
    """

    def __init__(self, seconds: float, last_words: Callable[[], str]) -> None:
        """Set up nothing yet; see the class."""
        self._seconds, self._last_words = seconds, last_words
        self._over = threading.Event()
        self._ends: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> EndWatch:
        """Let signals wake a thread that watches."""
        if threading.current_thread() is not threading.main_thread():
            return self
        read, write = os.pipe()
        os.set_blocking(write, False)
        before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        if before != -1:  # of an event loop around the fit
            signal.set_wakeup_fd(before)
            os.close(read)
            os.close(write)
            return self
        self._ends = read, write
        self._thread = threading.Thread(target=self._watch, args=(read,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Watch no longer."""
        if self._ends is None or self._thread is None:
            return
        signal.set_wakeup_fd(-1)
        self._over.set()
        read, write = self._ends
        os.close(write)
        self._thread.join()
        os.close(read)

    def _watch(self, read: int) -> None:
        while signum := os.read(read, 1):
            if signum[0] == signal.SIGTERM and not self._over.wait(self._seconds):
                words = self._last_words()
                if words:
                    sys.stderr.write(f"{words}\n")
                    sys.stderr.flush()
                os._exit(FAILED)
