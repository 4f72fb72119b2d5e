"""Latent features of images, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesnas.export.arviz_version import to_numpy
from bayesnas.plots.axes import axes_or_new
from bayesnas.typed import typed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayesnas.export.arviz_version import Array


@typed()
def plot_features(features: Array, shape: tuple[int, int], ax: Axes | None = None) -> Axes:
    """A picture of every feature in a row, white at 0, with a column left free between two.

    Args:
        features: loadings, ``[K, height · width]``; K ≥ 1.
        shape: height and width.
        ax: axes to draw on.

    Raises:
        ValueError: features that have not the shape of the pictures.

    >>> import torch
    >>> from matplotlib.figure import Figure
    >>> ax = plot_features(torch.randn(4, 36), (6, 6), Figure().subplots())
    >>> ax.images[0].get_array().shape
    (6, 27)
    """
    values = to_numpy(features)
    height, width = shape
    if values.ndim != 2 or not len(values) or values.shape[1] != height * width:
        raise ValueError(
            f"features must have shape [K, {height * width}] for pictures of {height} x {width}, "
            f"got {list(values.shape)}"
        )
    framed = np.full((len(values), height, width + 1), np.nan)
    framed[:, :, :-1] = values.reshape(-1, height, width)
    canvas = framed.transpose(1, 0, 2).reshape(height, -1)[:, :-1]
    ax = axes_or_new(ax)
    largest = float(np.abs(values).max()) or 1.0
    ax.imshow(canvas, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
    ax.set_axis_off()
    return ax
