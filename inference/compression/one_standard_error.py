"""The one-standard-error rule: the smallest network whose loss is as good as the lowest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Loss = tuple[float, float]
"""Mean loss on validation data, and its standard error."""


def largest_good_loss(losses: Iterable[Loss], tolerance: float) -> float:
    """The lowest of some losses and ``tolerance`` of its standard errors.

    Losses up to there differ from the lowest by no more than chance (Breiman, Friedman, Olshen,
    Stone, *Classification and regression trees*, 1984, section 3.4.3). Of equal losses the one of
    the smallest error counts.

    >>> largest_good_loss([(0.5, 0.125), (0.25, 0.125), (0.25, 0.25)], tolerance=2.0)
    0.5
    """
    lowest, error = min(losses)
    return lowest + tolerance * error


def smallest_good(losses: Sequence[float], weights: Sequence[int], limit: float) -> int:
    """Index of the fewest weights among losses within a limit; the first of equals.

    Where rounding leaves none within it, the lowest loss is taken.

    Args:
        losses: of the networks.
        weights: how many each has.
        limit: of :func:`largest_good_loss`.

    >>> smallest_good([0.2, 0.3, 0.3, 0.9], [40, 20, 20, 10], limit=0.5)
    1
    """
    good = [index for index, loss in enumerate(losses) if loss <= max(limit, min(losses))]
    return min(good, key=lambda index: weights[index])
