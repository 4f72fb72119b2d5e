"""The figure of the strategies: regret of the best so far against trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def regret_figure(traces: Mapping[str, np.ndarray], objective: str) -> Figure:
    """A line a strategy, the mean over its seeds ``[seeds, trials]``, with its standard error."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    ax = figure.subplots()
    for name, regrets in traces.items():
        trials, mean = np.arange(1, regrets.shape[1] + 1), regrets.mean(0)
        error = regrets.std(0, ddof=1) / len(regrets) ** 0.5 if len(regrets) > 1 else 0 * mean
        style: dict[str, Any] = {"color": "black", "linestyle": "--"} if name == "random" else {}
        (line,) = ax.plot(trials, mean, label=name, **style)
        ax.fill_between(
            trials, mean - error, mean + error, color=line.get_color(), alpha=0.15, linewidth=0
        )
    ax.set_yscale("log")
    ax.set_xlabel("trials")
    ax.set_ylabel(f"regret of {objective}, nats an example")
    ax.grid(color="#E6E6E6", linewidth=0.6)
    ax.legend(frameon=False, fontsize=8)
    return figure
