"""Pictures as text that stands in a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayesnas.plots.axes import STYLE
from bayesnas.plots.frontier import plot_frontier
from bayesnas.report.figure import panels_of
from bayesnas.report.findings import Findings

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_SIZE = (5.2, 3.9)  # inches


@dataclass(frozen=True)
class Picture:
    """One panel.

    Attributes:
        title: of it.
        source: a ``data:`` address.
    """

    title: str
    source: str


def pictures_of(findings: Findings) -> list[Picture]:
    """Every panel of the report, one picture each."""
    return [Picture(title, svg_source(draw)) for title, draw in panels_of(findings)]


def frontier_pictures(measures: xr.Dataset) -> list[Picture]:
    """What the fit is worth along λ."""
    titles = {
        "accuracy": f"Accuracy along λ, {measures.attrs['part']} part",
        "rmse": f"Error along λ, {measures.attrs['part']} part",
        "nll": f"Negative log density along λ, {measures.attrs['part']} part",
        "elbo": "Bound along λ, training part",
        "parameters": "Weights kept along λ",
    }
    shown = [name for name in titles if name in measures]
    if shown[0] != "nll":
        shown.remove("nll")
    return [Picture(titles[name], svg_source(_line(measures, name))) for name in shown]


def _line(measures: xr.Dataset, name: str) -> Callable[[Axes], object]:
    return lambda ax: plot_frontier(measures, name, ax)


def svg_source(draw: Callable[[Axes], object]) -> str:
    """Draw on one axes, and give the same text for the same drawing."""
    import matplotlib
    from matplotlib.figure import Figure

    style = {**STYLE, "svg.hashsalt": "bayesnas", "svg.fonttype": "path"}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=_SIZE, layout="constrained")
        draw(figure.subplots())
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", dpi=150, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(stream.getvalue()).decode()}"
