"""The figure of the lottery tickets: accuracy against the share of weights that is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayesnas.plots.axes import percent
from bayesnas.reproductions.lottery_tickets.measure import Measured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINES = (
    ("winning", "winning tickets", "#1B6CA8", "o", "-"),
    ("reinitialised", "re-initialised", "#D1495B", "s", "--"),
    ("random", "random places", "#8A8A8A", "^", ":"),
)


def lottery_figure(runs: Sequence[Measured], controls: Sequence[int]) -> Figure:
    """Means over the starts, bands from the lowest to the highest; the dense network as a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    ax = figure.subplots()
    kept = np.array(runs[0].kept)
    for name, label, colour, marker, line in _LINES:
        curves = np.array([getattr(each, name) for each in runs])
        shares = kept if name == "winning" else kept[list(controls)]
        ax.plot(
            shares, curves.mean(0), color=colour, marker=marker, linestyle=line, label=label,
            markersize=4,
        )  # fmt: skip
        ax.fill_between(shares, curves.min(0), curves.max(0), color=colour, alpha=0.2, linewidth=0)
    dense = float(np.mean([each.winning[0] for each in runs]))
    ax.axhline(dense, color="#444444", linewidth=0.8, label="dense network")
    ax.set_xscale("log")
    ax.invert_xaxis()
    ticks = kept[:: max(1, len(kept) // 5)]
    ax.set_xticks(ticks, [f"{100 * share:.3g} %" for share in ticks])
    ax.minorticks_off()
    percent(ax, "y")
    ax.set_xlabel("weights left")
    ax.set_ylabel("test accuracy")
    ax.grid(color="#E6E6E6", linewidth=0.6)
    ax.legend(frameon=False, fontsize=8, loc="lower left")
    return figure
