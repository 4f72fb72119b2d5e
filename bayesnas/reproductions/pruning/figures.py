"""The figure of the homework: accuracy against the share removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayesnas.plots.axes import percent
from bayesnas.plots.fit import CRITERION_STYLES
from bayesnas.reproductions.pruning.measure import Measured
from bayesnas.reproductions.pruning.settings import IN_ROUNDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS = (
    ("L2", ("l2",)),
    ("L1", ("l1",)),
    ("variational", ("variational",)),
    ("small images", ("small-l2", "small-variational")),
)


def pruning_figure(by_family: Mapping[str, list[Measured]], fractions: Sequence[float]) -> Figure:
    """A column a family, without training again above and with it below; bands over the starts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.0, 7.0), layout="constrained")
    grid = figure.subplots(2, len(_PANELS), sharex=True, sharey=True)
    for column, (title, keys) in zip(grid.T, _PANELS, strict=True):
        for ax, retrained in zip(column, (False, True), strict=True):
            for by, whole, curves in _lines(by_family, keys, retrained):
                _plot(ax, by, [0.0, *fractions], np.column_stack([whole, curves]))
            ax.set_title(f"{title}, trained again" if retrained else title, loc="left", fontsize=11)
            ax.grid(color="#E6E6E6", linewidth=0.6)
            percent(ax, "x")
            percent(ax, "y")
            ax.set_ylim(0, 1)
            ax.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0])
            ax.set_xlabel("weights removed")
            ax.set_ylabel("test accuracy")
            ax.label_outer()
        column[0].legend(frameon=False, fontsize=8, loc="lower left")
    return figure


def _lines(
    by_family: Mapping[str, list[Measured]], keys: Sequence[str], retrained: bool
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Criterion, accuracies with all weights ``[start]``, and by share ``[start, share]``."""
    seen: set[str] = set()
    for key in keys:
        starts = by_family[key]
        whole = np.array([each.whole for each in starts])
        for by in starts[0].pruned:
            if by not in seen:
                curves = [(each.retrained if retrained else each.pruned)[by] for each in starts]
                yield by, whole, np.array(curves)
            seen.add(by)


def _plot(ax: Axes, by: str, shares: Sequence[float], curves: np.ndarray) -> None:
    label, colour, marker, line = CRITERION_STYLES[by.removesuffix(IN_ROUNDS)]
    if by.endswith(IN_ROUNDS):
        label, line = f"{label}, in rounds", ":"
    ax.plot(
        shares,
        curves.mean(0),
        color=colour,
        marker=marker,
        markersize=4,
        linestyle=line,
        label=label,
        fillstyle="none" if "magnitude" in by else "full",
    )
    ax.fill_between(shares, curves.min(0), curves.max(0), color=colour, alpha=0.2, linewidth=0)
