"""Tests of p-values that an exact posterior makes uniform, and an unbiased one symmetric."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def symmetry_test(p: Doubles) -> Doubles:
    r"""Probability of p-values as asymmetric about 1/2 as these, if they were symmetric.

    The statistic is that of Kolmogorov and Smirnov between p and 1 − p,
    :math:`\sup_x |F_n(x) - 1 + F_n((1 - x)^-)|`: of signs of p − 1/2 in the order of falling
    \|p − 1/2\|, the largest partial sum. Of a symmetric distribution the signs are those of a fair
    coin, so that its distribution is that of the maximum of a random walk, for any number of
    p-values (Butler, *A test for symmetry using the sample distribution function*, 1969).

    Args:
        p: ``[n, ...]``, those of one scalar along the first dimension, without ties.

    Returns:
        ``[...]``.

    >>> float(symmetry_test(np.array([0.1, 0.2, 0.3])))  # three of one side: 2 / 2³
    0.25
    """
    order = np.argsort(-np.abs(p - 0.5), axis=0)
    signs = np.sign(np.take_along_axis(p - 0.5, order, axis=0))
    largest = np.abs(np.cumsum(signs, axis=0)).max(axis=0).astype(int)
    of_each = {int(level): _reaches(len(p), int(level)) for level in np.unique(largest)}
    p_values = [of_each[int(level)] for level in largest.flat]
    return np.array(p_values, dtype=np.float64).reshape(largest.shape)


def _reaches(steps: int, level: int) -> float:
    """Probability that a walk of so many fair steps ±1 is once at the level or its negative."""
    if level == 0:
        return 1.0
    inside = np.zeros(2 * level - 1)
    inside[level - 1] = 1.0
    reached = 0.0
    for _ in range(steps):
        reached += (inside[0] + inside[-1]) / 2
        inside = (np.r_[0.0, inside[:-1]] + np.r_[inside[1:], 0.0]) / 2
    return min(float(reached), 1.0)


def uniformity_test(p: Doubles) -> Doubles:
    """Probability of p-values as far from uniform as these, if they were: Kolmogorov's test.

    Args:
        p: ``[n, ...]``, those of one scalar along the first dimension.

    Returns:
        ``[...]``.

    >>> uniformity_test(np.array([[0.1, 0.01], [0.5, 0.02], [0.9, 0.03]])).round(3).tolist()
    [0.986, 0.0]
    """
    from scipy.stats import kstwo  # which takes longer to import than this package

    n = len(p)
    ordered = np.sort(p, axis=0)
    upper = np.arange(1, n + 1).reshape(-1, *[1] * (p.ndim - 1)) / n
    distance = np.maximum(upper - ordered, ordered - (upper - 1 / n)).max(axis=0)
    return np.asarray(kstwo.sf(distance, n), dtype=np.float64)
