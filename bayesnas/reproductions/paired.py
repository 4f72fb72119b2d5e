"""Whether one of two ways that met the same cases is the lower, case by case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = Sequence[float] | npt.NDArray[np.floating]


def p_value(values: Numbers, others: Numbers) -> float:
    """Of Wilcoxon's one-sided signed-rank test (1945) that ``values`` are not below ``others``.

    Cases without a difference are left out, as by Wilcoxon; 1.0 where none has one.

    Args:
        values: one number a case.
        others: of the same cases.

    >>> p_value([1.0, 2.0, 5.0], [2.0, 4.0, 5.0])  # two of two are lower: 1 / 4
    0.25
    """
    from scipy.stats import wilcoxon

    differences = np.asarray(values, dtype=float) - np.asarray(others, dtype=float)
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    return float(wilcoxon(differences, alternative="less").pvalue)
