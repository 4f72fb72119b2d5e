"""Picture of p-values that are uniform where a posterior is calibrated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bayesnas.checks import shown, whole_number
from bayesnas.plots.axes import axes_or_new
from bayesnas.plots.fit import BLACK, BLUE, GREY
from bayesnas.typed import typed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEVEL = 0.99


@typed()
def plot_p_values(p_values: npt.ArrayLike, ax: Axes | None = None, *, bins: int = 10) -> Axes:
    """Histogram of the p-values of one scalar, over the band where uniform ones would be.

    Level: the posterior is calibrated. Sloped: it is shifted. A valley: it is too narrow; a hill:
    too wide. A bar of a calibrated one is in the band with probability 0.99.

    Args:
        p_values: in [0, 1], ``[n]``, as one of ``bayesnas.vsbc(...).p_values``.
        ax: axes to draw on.
        bins: number of bars.

    Raises:
        ValueError: for what is no row of numbers in [0, 1].

    >>> from matplotlib.figure import Figure
    >>> ax = Figure().subplots()
    >>> [int(bar.get_height()) for bar in plot_p_values([0.1, 0.2, 0.9], ax, bins=2).patches[:2]]
    [2, 1]
    """
    from scipy.stats import binom  # which takes longer to import than all pictures

    p = np.asarray(p_values, dtype=np.float64)
    bins = whole_number("bins", bins, 2, 1000)
    if p.ndim != 1 or not len(p) or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(
            f"p_values must be numbers in [0, 1], those of one scalar, got {shown(p_values)}"
        )
    ax = axes_or_new(ax)
    counts, edges = np.histogram(p, bins=bins, range=(0, 1))
    low, high = binom.interval(_LEVEL, len(p), 1 / bins)
    ax.bar(edges[:-1], counts, width=1 / bins, align="edge", color=BLUE, alpha=0.7, linewidth=0)
    ax.axhspan(float(low), float(high), color=GREY, alpha=0.35, linewidth=0, zorder=0)
    ax.axhline(len(p) / bins, color=BLACK, linestyle=":", linewidth=1)
    ax.set_xlim(0, 1)
    ax.set_xlabel("p-value of the truth")
    ax.set_ylabel("simulations")
    return ax
