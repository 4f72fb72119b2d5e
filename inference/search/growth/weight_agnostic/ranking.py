"""Non-dominated sorting by two or more objectives."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def fronts(values: npt.ArrayLike) -> list[Indices]:
    """Rows sorted into fronts: none of a front is dominated by one of its own or a later front.

    A row dominates another one if it is nowhere smaller and somewhere larger.

    Args:
        values: ``[rows, objectives]``, each to be maximised.

    References:
        Deb, Pratap, Agarwal, Meyarivan, *A fast and elitist multiobjective genetic algorithm:
        NSGA-II*, 2002.

    >>> [front.tolist() for front in fronts([[1, 2], [2, 1], [1, 1], [0, 0]])]
    [[0, 1], [2], [3]]
    """
    table = np.asarray(values, dtype=np.float64)
    no_less: Any = (table[:, None] >= table[None]).all(2)
    dominates = no_less & ~no_less.T
    above = dominates.sum(0)
    left = np.ones(len(table), dtype=bool)
    peeled = []
    while left.any():
        front = np.flatnonzero(left & (above == 0))
        left[front] = False
        above = above - dominates[front].sum(0)
        peeled.append(front)
    return peeled


def crowding(values: npt.ArrayLike) -> Floats:
    """How far the neighbours of each row of a front lie apart, summed over the objectives.

    Each objective is scaled to [0, 1] over the front; the rows at its ends get infinity.

    Args:
        values: ``[rows, objectives]``.

    >>> crowding([[0.0, 4.0], [1.0, 1.0], [4.0, 0.0]]).tolist()
    [inf, 2.0, inf]
    """
    table = np.asarray(values, dtype=np.float64)
    distances = np.zeros(len(table))
    for column in table.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distances[order[[0, -1]]] = np.inf
        if span > 0:
            distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distances


def order(values: npt.ArrayLike) -> Indices:
    """Rows from the best to the worst: by front, within it those in less crowded places first.

    >>> order([[0.0, 4.0], [0.9, 1.2], [1.0, 1.0], [4.0, 0.0], [0.0, 0.0]]).tolist()
    [0, 3, 2, 1, 4]
    """
    table: Any = np.asarray(values, dtype=np.float64)
    ordered = []
    for front in fronts(table):
        place = np.argsort(-crowding(table[front]), kind="stable")
        ordered.append(front[place])
    return np.concatenate(ordered)
