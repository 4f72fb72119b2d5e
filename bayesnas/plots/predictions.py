"""Pictures of predictions beside the truth, one axes each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bayesnas.checks import probability, size
from bayesnas.plots.axes import axes_or_new, percent, write_note
from bayesnas.plots.fit import BLACK, BLUE, GREY
from bayesnas.plots.summaries import jeffreys
from bayesnas.typed import typed

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@typed()
def plot_calibration(
    confidence: npt.ArrayLike,
    accuracy: npt.ArrayLike,
    share: npt.ArrayLike,
    ax: Axes | None = None,
    *,
    examples: int | None = None,
) -> Axes:
    """Reliability diagram: accuracy against confidence, above the share of the examples.

    On the diagonal predictions are calibrated (Guo et al. 2017); the expected calibration error,
    ``Σ share · |accuracy − confidence|``, is written beside it.

    Args:
        confidence: mean confidence of every bin ``[bins]``, NaN where it is empty; the bins are
            of equal width over [0, 1].
        accuracy: of every bin ``[bins]``.
        share: of the examples ``[bins]``; sums to 1.
        ax: axes to draw on.
        examples: their number, to draw a 90 % interval of the accuracy of every bin (Jeffreys).

    Raises:
        ValueError: the arrays are of different length.

    >>> from matplotlib.figure import Figure
    >>> ax = Figure().subplots()
    >>> plot_calibration([0.25, 0.75], [0.3, 0.7], [0.4, 0.6], ax).get_xlabel()
    'confidence'
    """
    c, a, s = (np.asarray(values, dtype=np.float64) for values in (confidence, accuracy, share))
    if not c.shape == a.shape == s.shape or c.ndim != 1:
        raise ValueError(
            "confidence, accuracy and share must have one length, "
            f"got shapes {c.shape}, {a.shape} and {s.shape}"
        )
    if examples is not None:
        examples = size("examples", examples)
    ax = axes_or_new(ax)
    edges = np.linspace(0, 1, len(s) + 1)
    ax.bar(edges[:-1], s, width=1 / len(s), align="edge", color=GREY, alpha=0.35, linewidth=0)
    ax.plot([0, 1], [0, 1], color=BLACK, linestyle=":", linewidth=1)
    filled = s > 0
    c, a, s = c[filled], a[filled], s[filled]
    if examples is not None:
        ax.vlines(c, *jeffreys(a, s * examples), color=BLUE, alpha=0.45, linewidth=2)
    ax.plot(c, a, color=BLUE, marker="o", linestyle="none", clip_on=False)
    write_note(ax, f"ECE {float(np.sum(s * np.abs(a - c))):.3f}")
    ax.set_xlim(0, 1.01)
    ax.set_ylim(0, 1.02)
    percent(ax, "x")
    percent(ax, "y")
    ax.set_xlabel("confidence")
    ax.set_ylabel("accuracy (points), share (bars)")
    return ax


@typed()
def plot_predictions(
    predicted: npt.ArrayLike,
    observed: npt.ArrayLike,
    low: npt.ArrayLike | None = None,
    high: npt.ArrayLike | None = None,
    ax: Axes | None = None,
    *,
    level: float = 0.9,
) -> Axes:
    """Predicted against true values of a regression, with predictive intervals.

    Args:
        predicted: predictive means ``[n]``.
        observed: true values ``[n]``.
        low: lower ends of the predictive intervals ``[n]``.
        high: their upper ends.
        ax: axes to draw on.
        level: probability of an interval; the share of true values inside is written beside it.

    Raises:
        ValueError: the arrays are of different length, or only one of the ends is given.

    >>> from matplotlib.figure import Figure
    >>> ax = plot_predictions([1, 2], [1.1, 1.8], [0, 1], [2, 3], Figure().subplots())
    >>> ax.get_xlabel()
    'true value'
    """
    level = probability("level", level)
    if (low is None) != (high is None):
        raise ValueError("low and high go together: got only one of them")
    mean, true = (np.asarray(v, dtype=np.float64).ravel() for v in (predicted, observed))
    if len(mean) != len(true):
        raise ValueError(
            f"predicted and observed must have one length, got {len(mean)} and {len(true)}"
        )
    ax = axes_or_new(ax)
    if low is not None and high is not None:
        ends = np.stack([np.asarray(end, dtype=np.float64).ravel() for end in (low, high)])
        ax.vlines(true, *ends, color=GREY, alpha=0.4, linewidth=0.8)
        inside = float(np.mean((ends[0] <= true) & (true <= ends[1])))
        write_note(ax, f"{100 * inside:.0f} % of true values within\n{100 * level:g} % intervals")
    ax.plot(true, mean, color=BLUE, marker="o", markersize=3, linestyle="none")
    ax.axline((true.mean(), true.mean()), slope=1, color=BLACK, linestyle=":", linewidth=1)
    ax.set_xlabel("true value")
    ax.set_ylabel("predicted mean" + ("" if low is None else f" and {100 * level:g} % interval"))
    return ax
