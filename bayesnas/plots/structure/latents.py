"""Latent dimensions as pictures: sorted by relevance, and what each of them does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesnas.plots.axes import STYLE, axes_or_new
from bayesnas.plots.fit import BLUE, GREY, ORANGE
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAVERSED = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Values of z in a row of a grid of traversals."""


@typed()
def latents_figure(
    measures: xr.Dataset, latents: Sequence[int], frames: npt.NDArray[Any]
) -> Figure:
    """Dimensions sorted by relevance, and beside them images as some of them move.

    Args:
        measures: what ``model.measures(x)`` gives.
        latents: indices of the dimensions that move, from the top.
        frames: ``[latents, len(TRAVERSED), height, width]``, rows of ``model.traverse``.

    Returns:
        a figure that belongs to no window; ``figure.savefig(path)`` writes it.

    Raises:
        TypeError: naming an argument of another type.
        KeyError: for measures without one of the three.

    >>> import numpy as np, xarray as xr
    >>> names = ("gamma", "variance", "sensitivity")
    >>> sizes = {name: ("latent", np.array([1.0, 0.5])) for name in names}
    >>> len(latents_figure(xr.Dataset(sizes), [0], np.zeros((1, len(TRAVERSED), 4, 4))).axes)
    2
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 5.4), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
        plot_relevance(measures, left).set_title("Dimensions by relevance")
        plot_traversals(latents, frames, right).set_title("One dimension moves")
        # Sizes and positions are settled under our style, not under the one at saving.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


@typed()
def plot_relevance(measures: xr.Dataset, ax: Axes | None = None) -> Axes:
    """γ, Var(E[z | x]) and sensitivity of every dimension, sorted by the last.

    Args:
        measures: what ``model.measures(x)`` gives: ``gamma``, ``variance`` and ``sensitivity``
            over ``latent``.
        ax: axes to draw on.

    Raises:
        TypeError: naming an argument of another type.
        KeyError: for measures without one of the three.

    >>> import numpy as np, xarray as xr
    >>> from matplotlib.figure import Figure
    >>> names = ("gamma", "variance", "sensitivity")
    >>> sizes = {name: ("latent", np.array([1.0, 0.0])) for name in names}
    >>> plot_relevance(xr.Dataset(sizes), Figure().subplots()).get_xlabel()
    'dimension, sorted by sensitivity'
    """
    from matplotlib.ticker import MaxNLocator

    ax = axes_or_new(ax)
    gamma, variance, sensitivity = (
        np.asarray(measures[name], dtype=float) for name in ("gamma", "variance", "sensitivity")
    )
    order = sensitivity.argsort()[::-1]
    lines = (
        (r"$\mathrm{E}\,\gamma$, largest 1", gamma / gamma.max(), BLUE, "o"),
        (r"$\mathrm{Var}_x\,\mathrm{E}[z\,|\,x]$", variance, ORANGE, "s"),
        ("sensitivity, largest 1", sensitivity / max(sensitivity.max(), 1e-300), GREY, "^"),
    )
    for label, values, colour, marker in lines:
        ax.plot(range(1, len(order) + 1), values[order], color=colour, marker=marker, label=label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("dimension, sorted by sensitivity")
    ax.set_ylim(bottom=0)
    ax.legend()
    return ax


@typed()
def plot_traversals(
    latents: Sequence[int], frames: npt.NDArray[Any], ax: Axes | None = None
) -> Axes:
    """A row of images for each dimension, which moves over :data:`TRAVERSED`.

    Args:
        latents: indices of the dimensions, from the top.
        frames: ``[latents, len(TRAVERSED), height, width]``, dark where large.
        ax: axes to draw on.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: for frames that have not four dimensions.

    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> frames = np.zeros((2, len(TRAVERSED), 4, 4))
    >>> plot_traversals([0, 1], frames, Figure().subplots()).get_xlabel()
    'z'
    """
    ax = axes_or_new(ax)
    rows, columns, height, width = frames.shape
    ax.imshow(frames.transpose(0, 2, 1, 3).reshape(rows * height, -1), cmap="gray_r")
    ax.set_xticks([(i + 0.5) * width for i in range(columns)], [f"{z:g}" for z in TRAVERSED])
    ax.set_yticks([(i + 0.5) * height for i in range(rows)], [str(latent) for latent in latents])
    ax.tick_params(length=0)
    ax.set_xlabel("z")
    ax.set_ylabel("dimension")
    ax.grid(False)
    return ax
