"""What is left of a net whose groups were removed, and how far that can go, one axes each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesnas.checks import finite, whole_number
from bayesnas.plots.axes import axes_or_new
from bayesnas.plots.fit import BLUE, GREY, ORANGE
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes


@typed()
def plot_group_sweep(
    sweep: xr.Dataset, ax: Axes | None = None, *, threshold: float | None = None
) -> Axes:
    """Loss of the posterior means, and weights kept, as the threshold falls and groups go.

    The band is one standard error of the loss to either side. The threshold falls to the right,
    so that nets get smaller.

    Args:
        sweep: what ``model.group_sweep(x, y)`` gives.
        ax: axes to draw on; the weights have an axis of their own on the right.
        threshold: the one taken, say ``knee(sweep)``; marked where it is given.

    Raises:
        ValueError: the threshold lies outside those of the sweep.

    Returns:
        The axes of the loss; those of the weights share its x axis.

    >>> import bayesnas as bn
    >>> from matplotlib.figure import Figure
    >>> data = bn.data.load("digits", validation=0.2)
    >>> model = bn.models.BayesianCompressionNet(bn.nn.mlp([64, 10, 10]))
    >>> post = bn.fit(model, data.train, steps=20, progress=False)
    >>> sweep = post.model.group_sweep(data.validation.x, data.validation.y)
    >>> threshold = bn.models.knee(sweep)
    >>> plot_group_sweep(sweep, Figure().subplots(), threshold=threshold).get_xlabel()
    'threshold'
    """
    at = sweep["threshold"].values
    threshold = None if threshold is None else finite("threshold", threshold)
    if threshold is not None and not at.min() <= threshold <= at.max():
        raise ValueError(
            f"threshold must be in [{at.min():g}, {at.max():g}], the range of the sweep, "
            f"got {threshold:g}"
        )
    ax = axes_or_new(ax)
    loss, error = sweep["loss"].values, sweep["loss_error"].values
    ax.plot(at, loss, color=BLUE, marker="o", markersize=3)
    ax.fill_between(at, loss - error, loss + error, color=BLUE, alpha=0.2, linewidth=0)
    ax.set_xlabel("threshold")
    ax.set_ylabel("loss on validation data", color=BLUE)
    weights = ax.twinx()
    weights.plot(at, sweep["weights"].values, color=GREY, linestyle="--")
    weights.set_ylim(bottom=0)
    weights.set_ylabel("weights kept", color=GREY)
    weights.grid(visible=False)
    if threshold is not None:
        ax.axvline(threshold, color=ORANGE, linestyle=":", label=f"threshold {threshold:.3g}")
        ax.legend(frameon=False, loc="center left")
    ax.invert_xaxis()
    return ax


@typed()
def plot_inputs(kept: npt.ArrayLike, shape: tuple[int, int], ax: Axes | None = None) -> Axes:
    """The inputs that a first layer still reads, as a picture: dark where one is read.

    Args:
        kept: a value an input, ``[rows · columns]``: booleans, or how many weights read it.
        shape: rows and columns.
        ax: axes to draw on.

    Raises:
        ValueError: there are not rows · columns values.

    >>> from matplotlib.figure import Figure
    >>> ax = plot_inputs([True, False, True, True], (2, 2), Figure().subplots())
    >>> ax.images[0].get_array().shape
    (2, 2)
    """
    ax = axes_or_new(ax)
    ax.imshow(_picture("kept", kept, shape), cmap="Greys", vmin=0, interpolation="nearest")
    _bare(ax)
    ax.spines[:].set_visible(True)  # an edge that is not read is white
    return ax


def plot_layer_sizes(whole: Sequence[int], left: Sequence[int], ax: Axes | None = None) -> Axes:
    """The units of every layer, those that are left before those of the whole network.

    Args:
        whole: inputs, and units or channels of each layer.
        left: of them, what is left.
        ax: axes to draw on.

    Raises:
        ValueError: ``whole`` and ``left`` are of other lengths.
    """
    if len(whole) != len(left):
        raise ValueError(f"left must have {len(whole)} sizes, as whole has, got {len(left)}")
    ax = axes_or_new(ax)
    places = np.arange(len(whole))
    ax.barh(places, whole, color="#DDDDDD", label="before")
    ax.barh(places, left, color=BLUE, label="left")
    for place, (all_of_it, count) in enumerate(zip(whole, left, strict=True)):
        ax.annotate(
            f"{count:,} of {all_of_it:,}",
            (all_of_it, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    names = ["inputs", *(f"layer {i}" for i in range(1, len(whole) - 1)), "outputs"]
    ax.set_yticks(places, names[: len(whole)])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.35 * max(whole))
    ax.set_xlabel("units")
    ax.grid(visible=False, axis="y")
    return ax


@typed()
def plot_footprints(
    weights: npt.ArrayLike, shape: tuple[int, int], ax: Axes | None = None, *, columns: int = 10
) -> Axes:
    """The weights of units as pictures of what they read: blue above 0, red below, white where 0.

    Args:
        weights: ``[units, rows · columns]``; those with the largest norm are drawn first.
        shape: rows and columns of a picture.
        ax: axes to draw on.
        columns: pictures side by side.

    Raises:
        ValueError: a unit has not rows · columns weights.

    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> len(plot_footprints(np.eye(4), (2, 2), Figure().subplots()).images)
    1
    """
    columns = whole_number("columns", columns)
    rows = np.asarray(weights, dtype=float)
    rows = rows[np.argsort(-np.linalg.norm(rows, axis=1), kind="stable")]
    height, width = shape
    down = -(-len(rows) // columns)
    # A gap of one pixel between the pictures, NaN, which is drawn in grey.
    canvas = np.full((down * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for place, row in enumerate(rows):
        top, left = place // columns * (height + 1), place % columns * (width + 1)
        picture = _picture("weights", row, shape)
        canvas[top : top + height, left : left + width] = picture / (np.abs(picture).max() or 1.0)
    ax = axes_or_new(ax)
    ax.set_facecolor("#DDDDDD")
    ax.imshow(canvas, cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
    _bare(ax)
    return ax


def _picture(name: str, values: npt.ArrayLike, shape: tuple[int, int]) -> npt.NDArray[Any]:
    flat = np.asarray(values, dtype=float).ravel()
    if flat.size != shape[0] * shape[1]:
        raise ValueError(
            f"{name} must have a value for each of {shape[0]} x {shape[1]} inputs, got {flat.size}"
        )
    return flat.reshape(shape)


def _bare(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
