"""The rounds of a search in a supernet, which go on from its checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor
from tqdm import tqdm

from bayesnas.inference.search.strategies.shared_weights.checkpoint import SearchCheckpoint, State
from bayesnas.runtime.interrupt import DeferredInterrupt, InterruptedFitWarning
from bayesnas.runtime.random_state import RandomStream


class Resumable(Protocol):
    """A search in rounds, all of whose state but torch's random numbers can be kept."""

    @property
    def done(self) -> int:
        """Rounds so far."""
        ...

    def round(self) -> None:
        """One more."""
        ...

    def state(self) -> State:
        """All that later rounds follow from, but for torch's random state."""
        ...

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        ...


def run_rounds(
    search: Resumable,
    rounds: int,
    *,
    checkpoint: SearchCheckpoint,
    stream: RandomStream,
    progress: bool,
) -> None:
    """All rounds of a search, or those that its checkpoint has not.

    Args:
        search: moved in place.
        rounds: of the whole search.
        checkpoint: where it is kept.
        stream: what is drawn from, active.
        progress: show a bar.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once the round is written. Where there is no folder a
            warning says so, and the search stays as it stood.
    """
    if (kept := checkpoint.read(stream)) is not None:
        search.restore(*kept)
    with (
        DeferredInterrupt() as interrupt,
        tqdm(total=rounds, initial=search.done, disable=not progress, leave=False) as bar,
    ):
        while search.done < rounds and not interrupt.received():
            search.round()
            bar.update()
            if checkpoint.is_due(search.done, rounds) or interrupt.received():
                checkpoint.write(search.state(), stream)
    if search.done < rounds:
        where = f"in round {search.done} of {rounds}"
        if checkpoint.folder is not None:
            raise KeyboardInterrupt(
                f"stopped {where}; resume=True goes on from {checkpoint.folder}"
            )
        message = f"interrupted {where}: this is the result as it stood"
        warnings.warn(message, InterruptedFitWarning, stacklevel=4)
