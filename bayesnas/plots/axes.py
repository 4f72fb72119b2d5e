"""Axes: made where none are given, their style, scales, ticks and notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.which": "major",
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
}
"""What matplotlib is told before a figure of several panels is drawn."""


def axes_or_new(ax: Axes | None) -> Axes:
    """The axes given, or those of a new figure of the caller's own backend."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots()[1]


def leave_out_the_start(ax: Axes) -> None:
    """Set limits that leave out the steep start: quantiles of the lines, with a margin."""
    heights = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in ax.lines])
    low, high = heights.min(), np.quantile(heights, 0.95)
    margin = 0.06 * max(high - low, 1e-9)
    ax.set_ylim(low - margin, high + margin)


def label_first_decade(ax: Axes, first: float) -> None:
    """Say at the left edge that what is smaller is there too."""
    from matplotlib.ticker import FuncFormatter

    def label(value: float, _: int | None = None) -> str:
        power = rf"10^{{{round(np.log10(value))}}}"
        return rf"$\leq{power}$" if value < 1.01 * first else f"${power}$"

    ax.xaxis.set_major_formatter(FuncFormatter(label))


def logarithmic(ax: Axes, axis: Literal["x", "y"] = "y") -> None:
    """A logarithmic axis, its ticks plain numbers: 1, 2 and 5 of a decade where it spans few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set(**{f"{axis}scale": "log"})
    low, high = ax.get_ylim() if axis == "y" else ax.get_xlim()
    few = 1000 if axis == "y" else 30  # labels stand side by side along x
    subs = (1.0,) if high > few * low else (1.0, 2.0, 5.0)
    chosen = ax.xaxis if axis == "x" else ax.yaxis
    chosen.set_major_locator(LogLocator(subs=subs))
    chosen.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    chosen.set_minor_formatter(NullFormatter())


def write_note(ax: Axes, text: str) -> None:
    """Write a note into the upper left corner, readable on top of what is drawn there."""
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}
    ax.text(0.03, 0.96, text, transform=ax.transAxes, va="top", bbox=box)


def percent(ax: Axes, axis: Literal["x", "y"]) -> None:
    """Show the shares along an axis in per cent."""
    from matplotlib.ticker import FuncFormatter

    chosen = ax.xaxis if axis == "x" else ax.yaxis
    chosen.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.6g} %"))
