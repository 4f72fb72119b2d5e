"""REINFORCE: the gradient of an expectation over choices, by what drawn candidates scored."""

from __future__ import annotations

from torch import Tensor

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
    return (losses.to(logs.dtype) * logs).mean() - entropy_weight * entropies.mean()
