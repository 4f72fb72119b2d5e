"""The frontier between accuracy and complexity, drawn against the KL weight."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from bayesnas.plots.axes import STYLE, axes_or_new, logarithmic, percent
from bayesnas.plots.fit import BLUE, GREEN, ORANGE, PURPLE, SKY
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABELS = {
    "accuracy": "accuracy",
    "rmse": "rmse",
    "nll": "mean negative log density",
    "ece": "calibration error",
    "elbo": r"loss $-\mathcal{L}$, nats",
    "kl": r"$\mathrm{KL}(q\,\|\,p)$, nats",
    "parameters": "weights kept",
    "stability": "stability",
}
_COLOURS = {"elbo": ORANGE, "parameters": GREEN, "kl": PURPLE, "stability": SKY}
_TITLES = {"elbo": "Bound", "parameters": "Complexity", "accuracy": "Accuracy", "rmse": "Error"}
_CAPTION_WIDTH = 150  # characters


@typed()
def plot_frontier(
    frontier: xr.Dataset,
    variable: str,
    ax: Axes | None = None,
    *,
    separate: xr.Dataset | None = None,
) -> Axes:
    """One measure against the KL weight: a line, and dots for separate fits.

    The bound 𝓛 is drawn as the loss −𝓛, on a logarithmic axis where it is positive.

    Args:
        frontier: measures over the dim ``kl_weight``, as ``post.frontier(...)`` gives them.
        variable: which of them.
        ax: axes to draw on.
        separate: the same of fits at one KL weight each.

    Raises:
        ValueError: ``frontier`` or ``separate`` has no such variable.

    >>> import xarray as xr
    >>> from matplotlib.figure import Figure
    >>> frontier = xr.Dataset({"accuracy": ("kl_weight", [0.9, 0.8])}, {"kl_weight": [0.1, 1.0]})
    >>> plot_frontier(frontier, "accuracy", Figure().subplots()).get_xscale()
    'log'
    """
    for name, dataset in (("frontier", frontier), ("separate", separate)):
        if dataset is not None and variable not in dataset:
            raise ValueError(
                f"variable must be one of {sorted(map(str, dataset))} of {name}, got {variable!r}"
            )
    ax = axes_or_new(ax)
    colour = _COLOURS.get(variable, BLUE)
    weights, values = _line(frontier, variable)
    ax.plot(weights, values, color=colour, marker="o", markersize=3, label="one fit for all λ")
    drawn = [values]
    if separate is not None:
        weights, values = _line(separate, variable)
        ax.plot(
            weights,
            values,
            color="black",
            linestyle="none",
            marker="o",
            markersize=6,
            markerfacecolor="none",
            label="separate fits",
        )
        drawn.append(values)
        ax.legend()
    logarithmic(ax, "x")
    if variable in ("elbo", "kl", "parameters") and min(v.min() for v in drawn) > 0:
        logarithmic(ax)
    if variable == "accuracy":
        percent(ax, "y")
        ax.set_ylim(top=min(ax.get_ylim()[1], 1.002))  # no ticks above 100 %
    ax.set_xlabel("KL weight λ")
    ax.set_ylabel(_LABELS.get(variable, variable))
    return ax


@typed()
def frontier_figure(
    frontier: xr.Dataset, *, separate: xr.Dataset | None = None, caption: str = ""
) -> Figure:
    """Accuracy (or rmse), bound and kept weights against the KL weight, with a caption below.

    The figure belongs to no window; ``figure.savefig(path)`` writes it.

    Raises:
        TypeError: naming an argument of another type.

    >>> import xarray as xr
    >>> measures = {"accuracy": ("kl_weight", [0.9, 0.8]), "parameters": ("kl_weight", [80, 20])}
    >>> len(frontier_figure(xr.Dataset(measures, {"kl_weight": [0.1, 1.0]})).axes)
    2
    """
    import matplotlib
    from matplotlib.figure import Figure

    metric = "accuracy" if "accuracy" in frontier else "rmse"
    shown = [name for name in (metric, "elbo", "parameters") if name in frontier]
    with matplotlib.rc_context(STYLE):
        text = "\n".join(textwrap.wrap(caption, _CAPTION_WIDTH))
        below = 0.19 * (text.count("\n") + 1) + 0.16 if text else 0.0
        height = 3.4 + below
        figure = Figure(figsize=(3.6 * len(shown), height))
        share = below / height
        figure.set_layout_engine("constrained", rect=(0.01, share, 0.98, 0.99 - share), wspace=0.05)
        axes = figure.subplots(1, len(shown), squeeze=False).ravel()
        for ax, letter, name in zip(axes, "abc", shown, strict=False):
            plot_frontier(frontier, name, ax, separate=separate)
            ax.set_title(f"{letter}  {_TITLES[name]}")
        figure.text(0.02, share - 0.04 / height, text, va="top", fontsize=9, linespacing=1.35)
        # Sizes and positions are settled under our style, not under the one at saving.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def _line(frontier: xr.Dataset, variable: str) -> tuple[np.ndarray, np.ndarray]:
    """Ascending KL weights and values; the bound as the loss."""
    ordered = frontier.sortby("kl_weight")
    values = np.asarray(ordered[variable].values, dtype=np.float64)
    return ordered["kl_weight"].values, -values if variable == "elbo" else values
