"""Draws of γ on the simplex of three functions, a panel a setting and temperature."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bayesnas.plots.fit import BLACK, BLUE
from bayesnas.reproductions.generalised.settings import FUNCTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CORNERS = ((0.0, 0.0), (0.5, math.sqrt(3) / 2), (1.0, 0.0))
_TITLES = {
    "f0": "λ = (.01, 1, 100)",
    "f1": "λ = (1, 1, 1)",
    "f2": "λ = (100, 1, .01)",
    "f0 → f1": "(.01, 1, 100), repelled",
    "f0 → f1, from the fit of f0": "going on from the first",
}


def simplex_figure(draws: Mapping[tuple[str, float], Tensor]) -> Figure:
    """A row a temperature, a column a setting.

    Args:
        draws: draws ``[n, 3]`` by setting and temperature.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for name, _ in draws))
    temperatures = list(dict.fromkeys(temperature for _, temperature in draws))
    size = 3.0 * len(names), 2.9 * len(temperatures)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(temperatures), len(names), squeeze=False)
    for row, temperature in zip(panels, temperatures, strict=True):
        for ax, name in zip(row, names, strict=True):
            ax.set_axis_off()
            if (name, temperature) in draws:
                plot_simplex(draws[name, temperature], ax)
                ax.set_title(f"{_TITLES[name]}, τ = {temperature:g}", fontsize=9)
    return figure


def plot_simplex(draws: Tensor, ax: Axes) -> Axes:
    """Points ``[n, 3]`` in a triangle whose corners are the functions."""
    outline = [*_CORNERS, _CORNERS[0]]
    ax.plot(*zip(*outline, strict=True), color=BLACK, linewidth=0.8)
    for (x, y), name, side in zip(_CORNERS, FUNCTIONS, ("right", "center", "left"), strict=True):
        above = "bottom" if side == "center" else "top"
        ax.text(x, y, f" {name} ", ha=side, va=above, fontsize=9)
    across, up = (draws @ torch.tensor(_CORNERS)).unbind(1)
    ax.scatter(across, up, s=7, color=BLUE, alpha=0.25, linewidths=0)
    ax.set_aspect("equal")
    return ax
