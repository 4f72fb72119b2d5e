"""Pictures of a fit, one axes each.

Every function draws on the axes it is given, or on a new figure of ``matplotlib.pyplot``, and
returns the axes. The colours are those of Okabe and Ito (2008), told apart by colour-blind
readers, and line styles and markers differ as well.

>>> import bayesnas as bn
>>> from bayesnas.plots.fit import plot_pruning_curve
>>> from matplotlib.figure import Figure
>>> data = bn.data.load("digits")
>>> post = bn.fit(bn.models.GaussianNet(bn.nn.mlp([64, 20, 10])), data.train, steps=20)
>>> ax = plot_pruning_curve(post.pruning_curve(data.test), Figure().subplots())
>>> ax.get_xlabel()
'weights removed'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesnas.plots.axes import (
    axes_or_new,
    label_first_decade,
    leave_out_the_start,
    logarithmic,
    percent,
    write_note,
)
from bayesnas.plots.summaries import jeffreys, log_edges, windows

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, AMBER, BLACK, GREY = "#56B4E9", "#E69F00", "#000000", "#8C8C8C"

_LAYER_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER)
CRITERION_STYLES = {  # label, colour, marker, line
    "density": (r"relative density $\rho$", BLUE, "o", "-"),
    "evidence": (r"evidence $\Delta F$", SKY, "D", "-"),
    "magnitude": (r"magnitude $|\mu|$", GREEN, "^", "-."),
    "obd": ("Optimal Brain Damage", PURPLE, "v", "-"),
    "fisher": ("empirical Fisher", AMBER, "<", "-."),
    "obs": ("Optimal Brain Surgeon", BLACK, "P", "-"),
    "relevance": ("relevance", GREY, "X", "-."),
    "random": ("at random", ORANGE, "s", "--"),
}


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
    """
    if metric is None:
        metric = "accuracy" if "accuracy" in curve else "rmse"
    if metric not in curve:
        raise ValueError(f"metric must be one of {sorted(map(str, curve))}, got {metric!r}")
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
    Σ share · |accuracy − confidence|, is written beside it.

    Args:
        confidence: mean confidence of every bin ``[bins]``, NaN where it is empty; the bins are
            of equal width over [0, 1].
        accuracy: of every bin ``[bins]``.
        share: of the examples ``[bins]``; sums to 1.
        ax: axes to draw on.
        examples: their number, to draw a 90 % interval of the accuracy of every bin (Jeffreys).

    Raises:
        ValueError: the arrays are of different length.
    """
    c, a, s = (np.asarray(values, dtype=np.float64) for values in (confidence, accuracy, share))
    if not c.shape == a.shape == s.shape or c.ndim != 1:
        raise ValueError(
            "confidence, accuracy and share must have one length, "
            f"got shapes {c.shape}, {a.shape} and {s.shape}"
        )
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
    """
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


def plot_signal_to_noise(
    ratios: Mapping[str, npt.ArrayLike], ax: Axes | None = None, *, marked: float | None = 0.9
) -> Axes:
    """Histogram of |μ|/σ of the weights of every layer, on a logarithmic axis.

    Pruning by relative density, ρ = exp(−μ²/2σ²), removes weights from the left.

    Args:
        ratios: |μ|/σ of the weights that are kept, any shape, by layer. The axis covers four
            decades or five; what is smaller is counted in the first bin.
        ax: axes to draw on.
        marked: a line is drawn where this fraction of all weights lies to the left; None: none.

    Raises:
        ValueError: there is no weight, or a ratio is negative, infinite or NaN.
    """
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
