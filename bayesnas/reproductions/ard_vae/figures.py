"""Active dimensions along λ as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayesnas.plots.axes import STYLE, axes_or_new
from bayesnas.plots.fit import BLUE, GREY, ORANGE
from bayesnas.reproductions.ard_vae.factors import CurvePoint, exact_count
from bayesnas.reproductions.ard_vae.measure import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def curve_figure(by_kl_weight: Mapping[float, Measured], linear: Sequence[CurvePoint]) -> Figure:
    """Active dimensions along λ: of images against their cost, and of data where it is known.

    Args:
        by_kl_weight: what was measured of images, by λ.
        linear: the same of linear-Gaussian data.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        plot_images_curve(by_kl_weight, left)
        plot_linear_curve(linear, right)
        left.set_title("Images, one fit over λ")
        right.set_title("Linear-Gaussian data")
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def plot_images_curve(by_kl_weight: Mapping[float, Measured], ax: Axes | None = None) -> Axes:
    """Active dimensions against −E log p(x | z), a point for every λ.

    Args:
        by_kl_weight: what was measured, by λ.
        ax: axes to draw on.
    """
    ax = axes_or_new(ax)
    cost = [-row.log_likelihood for row in by_kl_weight.values()]
    active = [row.active["variance"] for row in by_kl_weight.values()]
    ax.plot(cost, active, color=BLUE, marker="o")
    for index, (weight, x, y) in enumerate(zip(by_kl_weight, cost, active, strict=True)):
        place = (-34, -14) if index % 2 else (5, 5)  # neighbours may lie close together
        ax.annotate(rf"$\lambda={weight:g}$", (x, y), xytext=place, textcoords="offset points")
    ax.set_xlabel(r"$-\mathrm{E}\,\log p(x\,|\,z)$, nats an image")
    ax.set_ylabel("active dimensions")
    ax.margins(x=0.15, y=0.12)
    ax.set_ylim(bottom=0)
    return ax


def plot_linear_curve(points: Sequence[CurvePoint], ax: Axes | None = None) -> Axes:
    """Active dimensions along λ of one fit and of fits at each, and their exact number.

    Args:
        points: of the curve.
        ax: axes to draw on.
    """
    ax = axes_or_new(ax)
    kl_weights = [point.kl_weight for point in points]
    edges = np.geomspace(kl_weights[0], kl_weights[-1], 400)
    ax.plot(edges, [exact_count(edge) for edge in edges], color=GREY, label="exact")
    ax.plot(kl_weights, [p.active for p in points], "o", color=BLUE, label="one fit over λ")
    separate = [point.separate_active for point in points]
    ax.plot(kl_weights, separate, "x", color=ORANGE, label="a fit at each λ", markersize=8)
    ax.set_xscale("log")
    ax.set_xlabel("λ")
    ax.set_ylabel("active dimensions")
    ax.legend()
    return ax
