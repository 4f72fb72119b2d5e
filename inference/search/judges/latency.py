"""The time that a candidate's network takes, as a score."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from bayesnas.checks import draw_count, whole_number
from bayesnas.nn.costs import REPEATS, WARM_UP, latencies
from bayesnas.typed import typed


@typed()
@dataclass(frozen=True)
class Latency:
    """How the latency of a candidate is measured: the median time of a forward pass.

    Trials are measured hours apart, and beside other workers. What is close is told apart by
    :func:`bayesnas.nn.latencies`, which measures several networks in turns.

    Attributes:
        rows: of a pass; 1 for the time of an answer.
        repeats: passes that count.
        warm_up: passes before them.
        clock: seconds from some point in time.

    Raises:
        ValueError: naming a number out of range.
        TypeError: for a clock that can't be called.

    >>> import torch
    >>> Latency(repeats=5)(nn.Linear(4, 2), torch.ones(8, 4)) > 0
    True
    """

    rows: int = 1
    repeats: int = REPEATS
    warm_up: int = WARM_UP
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        draw_count("rows", self.rows)
        whole_number("repeats", self.repeats)
        whole_number("warm_up", self.warm_up, 0)

    def __call__(self, net: nn.Module, x: Tensor) -> float:
        """Milliseconds of a pass.

        Args:
            net: runs where the inputs are.
            x: inputs ``[n, ...]``, of which the first ``rows`` pass, again and again where they
                are fewer.
        """
        rows = x[[i % len(x) for i in range(self.rows)]]
        options = {"repeats": self.repeats, "warm_up": self.warm_up}
        return 1e3 * latencies({"net": net}, rows, clock=self.clock, **options)["net"]
