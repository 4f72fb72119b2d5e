"""Pictures of a fit, one axes each.

Every function draws on the axes it is given, or on a new figure of ``matplotlib.pyplot``, and
returns the axes. The colours are those of Okabe and Ito (2008), told apart by colour-blind
readers, and line styles and markers differ as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesnas.checks import fraction_in, shown
from bayesnas.plots.axes import (
    axes_or_new,
    label_first_decade,
    leave_out_the_start,
    logarithmic,
    percent,
)
from bayesnas.plots.summaries import log_edges, windows
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, AMBER, BLACK, GREY, RED = "#56B4E9", "#E69F00", "#000000", "#8C8C8C", "#A50026"

_LAYER_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER)
CRITERION_STYLES = {  # label, colour, marker, line
    "density": (r"relative density $\rho$", BLUE, "o", "-"),
    "evidence": (r"evidence $\Delta F$", SKY, "D", "-"),
    "reduction": ("model reduction", RED, "*", "-"),
    "magnitude": (r"magnitude $|\mu|$", GREEN, "^", "-."),
    "obd": ("Optimal Brain Damage", PURPLE, "v", "-"),
    "fisher": ("empirical Fisher", AMBER, "<", "-."),
    "obs": ("Optimal Brain Surgeon", BLACK, "P", "-"),
    "relevance": ("relevance", GREY, "X", "-."),
    "random": ("at random", ORANGE, "s", "--"),
}


@typed()
def plot_history(history: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Loss −𝓛 over the steps, and the two terms that it is made of, in nats.

    A line is the mean over up to 120 windows of steps, the band around the loss holds the middle
    90 % of the steps of a window. With several chains every chain has a line.

    Args:
        history: what ``post.history()`` gives: ``loss``, ``expected_log_lik`` and ``kl`` over
            ``(chain, step)``, NaN after a chain's end.
        ax: axes to draw on.

    Returns:
        The axes; logarithmic unless a term is negative.

    Raises:
        ValueError: there is no finite step.

    >>> import numpy as np, xarray as xr
    >>> from matplotlib.figure import Figure
    >>> terms = ("loss", "expected_log_lik", "kl")
    >>> history = xr.Dataset({name: (("chain", "step"), np.ones((1, 50))) for name in terms})
    >>> plot_history(history, Figure().subplots()).get_xlabel()
    'step'
    """
    terms = {
        r"loss $-\mathcal{L}$": (history["loss"], BLUE, "-"),
        r"$-\mathrm{E}_q\,\log p(D\,|\,w)$": (-history["expected_log_lik"], ORANGE, "--"),
        r"$\mathrm{KL}(q\,\|\,p)$": (history["kl"], GREEN, "-."),
    }
    if not bool(np.isfinite(history["loss"]).any()):
        raise ValueError("history must have finite steps, got none")
    ax = axes_or_new(ax)
    lowest = np.inf
    for label, (values, colour, line) in terms.items():
        for chain in np.atleast_2d(np.asarray(values, dtype=np.float64)):
            step, mean, low, high = windows(chain)
            lowest = min(lowest, mean.min(initial=np.inf))
            ax.plot(step, mean, color=colour, linestyle=line, label=label)
            if label.startswith("loss"):
                ax.fill_between(step, low, high, color=colour, alpha=0.2, linewidth=0)
            label = f"_{label}"  # one entry in the legend for all chains
    if lowest > 0:
        logarithmic(ax)
    else:
        leave_out_the_start(ax)
    ax.set_xlim(left=0)
    ax.set_xlabel("step")
    ax.set_ylabel("nats, full sample")
    ax.legend()
    return ax


@typed()
def plot_pruning_curve(
    curve: xr.Dataset, ax: Axes | None = None, *, metric: str | None = None
) -> Axes:
    """How predictions fare as weights are removed, one line for each order of removal.

    Args:
        curve: what ``post.pruning_curve(data)`` gives: metrics over ``(by, fraction)``.
        ax: axes to draw on.
        metric: variable of ``curve``; by default ``accuracy``, or ``rmse`` where there is none.

    Raises:
        ValueError: ``curve`` has no such metric.

    >>> import bayesnas as bn
    >>> from matplotlib.figure import Figure
    >>> data = bn.data.load("digits")
    >>> model = bn.models.GaussianNet(bn.nn.mlp([64, 10]))
    >>> post = bn.fit(model, data.train, steps=5, progress=False)
    >>> plot_pruning_curve(post.pruning_curve(data.test), Figure().subplots()).get_xlabel()
    'weights removed'
    """
    if metric is None:
        metric = "accuracy" if "accuracy" in curve else "rmse"
    if metric not in curve:
        raise ValueError(f"metric must be one of {sorted(map(str, curve))}, got {shown(metric)}")
    ax = axes_or_new(ax)
    for by in curve["by"].values:
        label, colour, marker, line = CRITERION_STYLES.get(str(by), (str(by), GREY, "x", ":"))
        ax.plot(
            curve["fraction"],
            curve[metric].sel(by=by),
            color=colour,
            marker=marker,
            linestyle=line,
            label=label,
            fillstyle="none" if by == "magnitude" else "full",  # shows what lies below it
        )
    if metric == "accuracy":
        ax.set_ylim(0, 1.02)
        percent(ax, "y")
    ax.set_xlim(-0.02, 1)
    percent(ax, "x")
    ax.set_xlabel("weights removed")
    ax.set_ylabel(f"{metric} of the posterior means")
    ax.legend(title="removed first, by", alignment="left")
    return ax


@typed()
def plot_signal_to_noise(
    ratios: Mapping[str, npt.ArrayLike], ax: Axes | None = None, *, marked: float | None = 0.9
) -> Axes:
    """Histogram of ``|μ|/σ`` of the weights of every layer, on a logarithmic axis.

    Pruning by relative density, ρ = exp(−μ²/2σ²), removes weights from the left.

    Args:
        ratios: ``|μ|/σ`` of the weights that are kept, any shape, by layer. The axis covers four
            decades or five; what is smaller is counted in the first bin.
        ax: axes to draw on.
        marked: a line is drawn where this fraction of all weights lies to the left; None: none.

    Raises:
        ValueError: there is no weight, or a ratio is negative, infinite or NaN.

    >>> from matplotlib.figure import Figure
    >>> plot_signal_to_noise({"layer1": [0.1, 1.0, 10.0]}, Figure().subplots()).get_xscale()
    'log'
    """
    if marked is not None:
        marked = fraction_in("marked", marked)
    values = {name: np.asarray(r, dtype=np.float64).ravel() for name, r in ratios.items()}
    values = {name: r for name, r in values.items() if len(r)}
    pooled = np.concatenate([np.empty(0), *values.values()])
    if not len(pooled) or not bool(((pooled >= 0) & np.isfinite(pooled)).all()):
        wrong = pooled[~((pooled >= 0) & np.isfinite(pooled))]
        raise ValueError(
            f"ratios must hold finite numbers >= 0, got {wrong[0] if len(wrong) else 'none'}"
        )
    ax = axes_or_new(ax)
    edges = log_edges(pooled, fewest=min(map(len, values.values())))
    for (name, r), colour in zip(values.items(), _layer_colours(len(values)), strict=True):
        counts, _ = np.histogram(np.clip(r, edges[0], edges[-1]), bins=edges)
        ax.stairs(counts / len(r), edges, color=colour, linewidth=1.4)
        ax.plot([], [], color=colour, label=f"{name} ({len(r):,})")
    ax.set_xscale("log")
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(bottom=0)
    _layer_legend(ax, marked)
    if marked is not None:
        position = max(float(np.quantile(pooled, marked)), edges[0])
        ax.axvline(position, color=BLACK, linestyle=":", linewidth=1)
    label_first_decade(ax, edges[0])
    percent(ax, "y")
    ax.set_xlabel(r"signal-to-noise ratio $|\mu|/\sigma$")
    ax.set_ylabel("share of the layer's weights")
    return ax


def _layer_colours(count: int) -> list[Any]:
    if count <= len(_LAYER_COLOURS):
        return list(_LAYER_COLOURS[:count])
    import matplotlib

    return list(matplotlib.colormaps["cividis"](np.linspace(0, 0.95, count)))


def _layer_legend(ax: Axes, marked: float | None) -> None:
    """All layers by name, or of many the first, the middle and the last."""
    handles, labels = ax.get_legend_handles_labels()
    if len(handles) > len(_LAYER_COLOURS):
        chosen = (0, len(handles) // 2, len(handles) - 1)
        title = f"{len(handles)} layers (weights), e.g."
        handles, labels = [handles[i] for i in chosen], [labels[i] for i in chosen]
    else:
        title = "layer (weights)"
    if marked is not None:
        handles += ax.plot([], [], color=BLACK, linestyle=":", linewidth=1)
        labels += [f"{100 * marked:g} % of all lie left"]
    # Beside the first bin, which is high where many weights are near zero.
    beside = (0.05, 1.0)
    ax.legend(
        handles, labels, title=title, alignment="left", loc="upper left", bbox_to_anchor=beside
    )
