"""The histogram of p-values: its bars, and the band of uniform ones."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import binom

from bayesnas.plots import plot_p_values


def test_bars_are_counts_and_the_band_holds_those_of_uniform_ones():
    p = np.linspace(0.001, 0.999, 200) ** 2
    ax = plot_p_values(p, Figure().subplots(), bins=10)
    counts = np.array([bar.get_height() for bar in ax.patches[:10]])
    assert counts.tolist() == [((p >= k / 10) & (p < (k + 1) / 10)).sum() for k in range(10)]
    band = ax.patches[10].get_bbox()
    inside = np.arange(int(band.y0), int(band.y1) + 1)
    assert binom.pmf(inside, 200, 0.1).sum() >= 0.99
    assert binom.pmf(inside[1:-1], 200, 0.1).sum() < 0.99
    assert counts[0] > band.y1


@pytest.mark.parametrize("p", [[], [0.2, 1.2], [0.1, np.nan], [[0.1], [0.2]]])
def test_what_is_no_row_of_probabilities_is_refused(p):
    with pytest.raises(ValueError, match="p_values must be numbers in"):
        plot_p_values(p, Figure().subplots())
