"""The figure of redundancy: the likelihood as weights go, and errors under noise of the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayesnas.reproductions.redundancy.measure import MODELS, NETS, Measured
from bayesnas.reproductions.redundancy.settings import Settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"redundant": "#D1495B", "compact": "#1B6CA8", "redundant, L2": "#8A8A8A"}


def redundancy_figure(results: Sequence[Measured], settings: Settings) -> Figure:
    """Three panels; lines are means over the starts, bands from the lowest to the highest."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 3.6), layout="constrained")
    flat, noise, images = figure.subplots(1, 3)
    curves = np.array([each.log_lik for each in results])
    _band(flat, range(curves.shape[1]), curves, "#1B6CA8", "")
    flat.set_xlabel("weights removed, of 20")
    flat.set_ylabel("log-likelihood, nats a training row")
    for name in MODELS:
        rmse = np.array([each.rmse[name] for each in results])
        _band(noise, settings.noises, rmse, _COLOURS[name], name)
    noise.set_ylabel("test RMSE of the regression")
    for name in NETS:
        accuracy = np.array([each.accuracy[name] for each in results])
        _band(images, settings.image_noises, accuracy, _COLOURS[name], name)
    images.set_ylabel("test accuracy of the network")
    for ax in (noise, images):
        ax.set_xlabel("standard deviation of the noise of the inputs")
        ax.legend(frameon=False, fontsize=8)
    for ax in (flat, noise, images):
        ax.grid(color="#E6E6E6", linewidth=0.6)
    return figure


def _band(ax: Axes, at: Sequence[float], curves: np.ndarray, colour: str, label: str) -> None:
    ax.plot(at, curves.mean(0), color=colour, marker="o", markersize=3, label=label or None)
    ax.fill_between(at, curves.min(0), curves.max(0), color=colour, alpha=0.2, linewidth=0)
