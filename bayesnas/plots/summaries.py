"""Summaries that the plots draw: windows of steps, bins on a logarithmic axis, intervals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

_WINDOWS = 120  # of a history: enough for a curve, few enough to smooth it
_DECADES = 4  # of signal-to-noise shown below the largest


def windows(values: Doubles) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Middle step, mean, 5 % and 95 % quantiles of consecutive windows; NaN dropped."""
    present = np.isfinite(values)
    finite = values[present]
    steps = np.flatnonzero(present) + 1.0
    count = max(min(_WINDOWS, len(finite)), 1)
    parts = [part for part in np.array_split(finite, count) if len(part)]
    middles = [part.mean() for part in np.array_split(steps, count) if len(part)]
    return (
        np.array(middles),
        np.array([part.mean() for part in parts]),
        np.array([np.quantile(part, 0.05) for part in parts]),
        np.array([np.quantile(part, 0.95) for part in parts]),
    )


def log_edges(ratios: Doubles, fewest: int) -> Doubles:
    """Bin edges over four to five decades, from a power of ten to above the largest ratio.

    Args:
        ratios: of all layers.
        fewest: weights of the smallest layer, for which more bins than this would be noise.
    """
    largest = max(float(ratios.max()), 1e-12)
    low = 10.0 ** np.floor(np.log10(largest) - _DECADES)
    bins = int(np.clip(3 * np.sqrt(fewest), 16, 40))
    return np.geomspace(low, 1.2 * largest, bins + 1)


def jeffreys(accuracy: Doubles, counts: Doubles) -> tuple[Doubles, Doubles]:
    """Central 90 % of Beta(k + 1/2, n − k + 1/2) for k of n right (Brown, Cai, DasGupta 2001)."""
    from scipy.stats import beta

    right, wrong = accuracy * counts, (1 - accuracy) * counts
    low, high = beta.ppf([[0.05], [0.95]], right + 0.5, wrong + 0.5)
    return np.minimum(low, accuracy), np.maximum(high, accuracy)
