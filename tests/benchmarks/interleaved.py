"""Steps timed in turns: what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def interleaved(
    steps: Mapping[str, Callable[[], object]],
    rounds: int,
    warm_up: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Seconds of every step in every round, after some that are not counted.

    Args:
        steps: by name; each is run once a round.
        rounds: that are counted.
        warm_up: rounds before them, in which steps compile.
        clock: of CPU time, or of wall time.
    """
    times: dict[str, list[float]] = {name: [] for name in steps}
    for index in range(warm_up + rounds):
        for name, step in steps.items():
            began = clock()
            step()
            if index >= warm_up:
                times[name].append(clock() - began)
    return times
