"""Loss against steps, a panel for every kind of task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bayesnas.reproductions.learned_optimiser.measure import LEARNED, TEACHER, Curve
from bayesnas.reproductions.learned_optimiser.settings import Family

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES = {
    "SGD": ("#8C8C8C", ":"),
    "NAG": ("#0072B2", "-."),
    "RMSprop": ("#009E73", "--"),
    "Adam": ("#E69F00", "--"),
    TEACHER: ("#000000", ":"),
    LEARNED: ("#B2182B", "-"),
}
_COLUMNS = 3


def curves_figure(
    by_family: Mapping[str, Mapping[str, list[Curve]]], families: tuple[Family, ...]
) -> Figure:
    """A panel a variant; every trained optimiser is a line of its own."""
    from matplotlib.figure import Figure

    panels = [(family, variant) for family in families for variant in family.variants]
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(11.0, 3.0 * rows), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
    for ax, (family, variant) in zip(grid, panels, strict=False):
        for curve in by_family[family.key][variant.title]:
            _plot(ax, curve)
        title = family.title if variant is family.variants[0] else variant.title
        ax.set_title(title, loc="left", fontsize=9)
        ax.set_xlabel("step")
        ax.set_ylabel("mean loss")
        ax.grid(color="#E6E6E6", linewidth=0.6)
    for ax in grid[len(panels) :]:
        ax.set_visible(False)
    grid[1].legend(frameon=False, fontsize=8)  # where there is a teacher
    return figure


def _plot(ax: Axes, curve: Curve) -> None:
    colour, line = _STYLES[curve.optimizer]
    known = curve.optimizer in ax.get_legend_handles_labels()[1]
    ax.plot(
        curve.mean,
        color=colour,
        linestyle=line,
        linewidth=1.2,
        label="_" if known else curve.optimizer,
    )
    ax.set_yscale("log")
