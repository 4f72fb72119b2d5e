"""A process of a fit that ended before the fit did, and who of the others says so."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from typing import Any

_REASON = "bayesnas/reason"
_SECONDS = 5  # to wait for a store that may have ended with the process it was in


class ProcessLostError(RuntimeError):
    """Another process of the fit ended, or does not answer; the fit can't go on.

    >>> import bayesnas as bn
    >>> try:  # doctest: +SKIP
    ...     post = bn.fit(model, data.train, out="runs/a")
    ... except bn.inference.ProcessLostError:
    ...     print("run again with resume=True")
    """


class Speaker:
    """Lets one process speak for all, by a store that they share.

    Args:
        store: of torch.distributed; None where there is none, and everyone speaks.
        rank: of this process.
    """

    def __init__(self, store: Any, rank: int) -> None:
        """Keep the store; see the class."""
        self._store, self._rank = store, rank

    def is_first(self, text: str) -> bool:
        """Whether no process has asked for this text before."""
        key = f"bayesnas/said/{hashlib.sha256(text.encode()).hexdigest()}"
        try:
            return self._store is None or int(self._store.add(key, 1)) == 1
        except RuntimeError:  # the process that the store was in has ended
            return True

    def leave_reason(self, error: BaseException) -> None:
        """Tell the others why this process ends."""
        text = f"process {self._rank}: {type(error).__name__}: {error}"
        with contextlib.suppress(RuntimeError):
            if self._store is not None:
                self._store.set(_REASON, text)

    def reason(self) -> str | None:
        """Why another process ended, where it could tell."""
        if self._store is None:
            return None
        try:
            self._store.set_timeout(datetime.timedelta(seconds=_SECONDS))
            return str(self._store.get(_REASON), "utf-8") if self._store.check([_REASON]) else None
        except RuntimeError:
            return None
