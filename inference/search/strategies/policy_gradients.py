"""REINFORCE: the gradient of an expectation over choices, by what drawn candidates scored."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable

from torch import Tensor

from bayesnas.checks import choice
from bayesnas.inference.search.strategies.policies import Policy


class MovingBaseline:
    """An exponential moving average of what was seen; the first value at first.

    Args:
        decay: share of the old average.

    >>> baseline = MovingBaseline(0.9)
    >>> baseline.update(1.0), baseline.update(2.0)
    (1.0, 1.1)
    """

    def __init__(self, decay: float) -> None:
        """Nothing seen yet; see the class."""
        self.decay = decay
        self.value: float | None = None

    def update(self, seen: float) -> float:
        """Take in a value; the average after it."""
        old = seen if self.value is None else self.value
        self.value = self.decay * old + (1 - self.decay) * seen
        return self.value

    def excess(self, seen: float) -> float:
        """A value less the average before it, 0 for the first."""
        return 0.0 if self.value is None else seen - self.value


SHAPINGS = ("log-rank", "none")
"""What a score is made before a gradient sees it: see :class:`LogRank`, or as it is."""


class LogRank:
    r"""Scores by their rank among all seen: ln((r + 1/2) / t), r of t scores below.

    Under a distribution that does not change −u is exponential: of mean 1 and variance 1 whatever
    the scale of the scores, hardly moved by disasters, and open towards the best.

    >>> ranks = LogRank()
    >>> [round(ranks(score), 2) for score in (0.3, 2.0, 0.1)]
    [-0.69, -0.29, -1.79]
    """

    def __init__(self) -> None:
        """Nothing seen yet; see the class."""
        self._seen: list[float] = []

    def __call__(self, score: float) -> float:
        """Take in a score; u of it, ties in the middle."""
        bisect.insort(self._seen, score)
        first, last = bisect.bisect_left(self._seen, score), bisect.bisect_right(self._seen, score)
        return math.log((first + last) / 2 / len(self._seen))


def shaping_of(name: str) -> Callable[[float], float]:
    """One of :data:`SHAPINGS` by name.

    Raises:
        ValueError: for another name.

    >>> shaping_of("none")(0.3)
    0.3
    """
    return LogRank() if choice("shaping", name, SHAPINGS) == "log-rank" else float


def surrogate(
    policy: Policy, strings: Tensor, losses: Tensor, entropy_weight: float = 0.0
) -> Tensor:
    r"""A function whose gradient estimates that of E loss − β H(π).

    .. math:: \frac1m \sum_i \bigl[\ell_i \ln \pi(a_i) - \beta\, H_i\bigr], \qquad
        H_i = \sum_j H\bigl(\pi(\cdot \mid a_{i,<j})\bigr)

    The gradient of the entropies is taken at the choices drawn, as usual; for independent
    variables, whose entropy depends on no choice, it is exact.

    Args:
        policy: π.
        strings: drawn from it, ``[m, L]``.
        losses: less a baseline, ``[m]``.
        entropy_weight: β.

    References:
        Williams, *Simple statistical gradient-following algorithms for connectionist reinforcement
        learning*, 1992.
    """
    logs, entropies = policy(strings)
    total: Tensor = (losses.to(logs.dtype) * logs).mean() - entropy_weight * entropies.mean()
    return total
