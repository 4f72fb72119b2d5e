"""A sample as its distinct rows and how much each counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def distinct_rows(
    x: Doubles, y: npt.NDArray[Any], weights: Doubles
) -> tuple[Doubles, npt.NDArray[Any], Doubles]:
    r"""Every row once, in ascending order, with the sum of its weights.

    :math:`\sum_i w_i \ln p(y_i \mid x_i)` stays what it was. So a fit is the same whether a row
    has weight 2 or stands there twice, whether it has weight 0 or is left out, and in whatever
    order rows come.

    Args:
        x: inputs ``[n, d]``.
        y: targets ``[n]`` or ``[n, k]``.
        weights: ``[n]``, >= 0.

    Returns:
        x ``[m, d]``, y ``[m]`` or ``[m, k]`` and weights ``[m]`` > 0.

    >>> x, y, weights = np.array([[2.0], [1.0], [2.0]]), np.array([0, 1, 0]), np.ones(3)
    >>> [values.tolist() for values in distinct_rows(x, y, weights)]
    [[[1.0], [2.0]], [1, 0], [1.0, 2.0]]
    """
    counted = weights > 0
    table = np.column_stack([x, y])[counted]
    _, first, place = np.unique(table, axis=0, return_index=True, return_inverse=True)
    sums = np.bincount(place.ravel(), weights[counted], minlength=len(first))
    return x[counted][first], y[counted][first], np.asarray(sums, dtype=np.float64)
