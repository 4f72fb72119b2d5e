"""What several objectives leave: the points that no other dominates, and their hypervolume."""

from __future__ import annotations

import numpy as np


def non_dominated(points: np.ndarray) -> np.ndarray:
    """Which points have no other that is as small in every objective and smaller in one.

    Args:
        points: ``[n, objectives]``, minimised.

    Returns:
        ``[n]``, booleans; equal points are all kept.

    >>> non_dominated(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])).tolist()
    [True, True, False]
    """
    kept = np.ones(len(points), dtype=bool)
    for i, point in enumerate(points):
        kept[i] = not ((points <= point).all(1) & (points < point).any(1)).any()
    return kept


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    r"""Volume of what the points dominate below a reference point.

    .. math:: \mathrm{vol}\, \bigcup_i \{z : p_i \le z \le r\}

    By slices along the last objective: exact, in time that grows as n to the number of
    objectives, which is little for the fronts of searches.

    Args:
        points: ``[n, objectives]``, minimised; one that is not below the reference adds nothing.
        reference: ``[objectives]``, r.

    References:
        Zitzler, Thiele, *Multiobjective optimization using evolutionary algorithms*, 1998.

    >>> hypervolume(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([2.0, 2.0]))
    3.0
    """
    inside = points[(points < reference).all(1)]
    if len(inside) == 0:
        return 0.0
    if inside.shape[1] == 1:
        return float(reference[0] - inside.min())
    inside = inside[np.argsort(inside[:, -1], kind="stable")]
    ends = np.append(inside[1:, -1], reference[-1])
    return sum(
        float(ends[i] - inside[i, -1]) * hypervolume(inside[: i + 1, :-1], reference[:-1])
        for i in range(len(inside))
        if ends[i] > inside[i, -1]
    )
