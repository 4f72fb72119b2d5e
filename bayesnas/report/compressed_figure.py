"""What is left of a network that was made smaller, in one picture."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import bayesnas as bn
from bayesnas.data import DataInfo
from bayesnas.inference import Compressed
from bayesnas.nn import SelectInputs
from bayesnas.plots.axes import STYLE, logarithmic
from bayesnas.plots.fit import BLUE, GREY, ORANGE
from bayesnas.plots.structure.groups import plot_inputs, plot_layer_sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CAPTION_WIDTH = 150  # characters
_MOST_NAMES = 24  # features of a table that are drawn with their names


def compressed_figure(small: Compressed, info: DataInfo) -> Figure:
    """Loss against size, the inputs that are read, and the units of every layer.

    The figure belongs to no window; ``figure.savefig(path)`` writes it.

    Args:
        small: what was made smaller.
        info: of the data, for the shape of images and the names of features.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        text = "\n".join(textwrap.wrap(_caption(small, info), _CAPTION_WIDTH))
        below = 0.19 * (text.count("\n") + 1) + 0.16
        height = 3.4 + below
        figure = Figure(figsize=(10.8, height))
        share = below / height
        figure.set_layout_engine("constrained", rect=(0.01, share, 0.98, 0.99 - share), wspace=0.05)
        loss, inputs, sizes = figure.subplots(1, 3)
        _plot_path(small, loss)
        _plot_read(small, info, inputs)
        plot_layer_sizes(layer_sizes(small.whole), layer_sizes(small.module), sizes)
        for ax, title in zip(
            (loss, inputs, sizes),
            (f"a  Size and {validation_loss(info)}", "b  Inputs that are read", "c  Units left"),
            strict=True,
        ):
            ax.set_title(title)
        figure.text(0.02, share - 0.04 / height, text, va="top", fontsize=9, linespacing=1.35)
        # Sizes and positions are settled under our style, not under the one at saving.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def layer_sizes(net: nn.Module) -> list[int]:
    """Inputs that are read, then units or channels of every linear layer and convolution.

    >>> net = bn.nn.mlp([4, 3, 2])
    >>> _ = net.layer1.weight.data[:, 1].zero_()  # an input that nothing reads
    >>> layer_sizes(net)
    [3, 3, 2]
    """
    return [int(inputs_read(net).sum()), *(layer.weight.shape[0] for layer in _layers(net))]


def inputs_read(net: nn.Module) -> npt.NDArray[Any]:
    """Which inputs, or channels, the first layer of a network reads, boolean ``[inputs]``."""
    read = _layers(net)[0].weight.detach().transpose(0, 1).flatten(1).any(1).cpu()
    selection = next((m for m in net.modules() if isinstance(m, SelectInputs)), None)
    if selection is None:
        return read.numpy()
    all_inputs = torch.zeros(max(selection.indices) + 1, dtype=torch.bool)
    all_inputs[selection.index.cpu()] = read
    return all_inputs.numpy()


def _layers(net: nn.Module) -> list[nn.Linear | nn.Conv1d | nn.Conv2d]:
    return [m for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d))]


def validation_loss(info: DataInfo) -> str:
    """What the loss of validation rows is called: of classes the share that is wrong."""
    return "error" if info.task == "classification" else "squared error"


def _plot_path(small: Compressed, ax: Axes) -> None:
    weights, loss = small.path["weights"].values, small.path["loss"].values
    error, chosen = small.path["loss_error"].values, small.path["chosen"].values
    whole = small.weights_before
    ax.axvline(whole, color=GREY, linestyle=":")
    ax.axhline(small.limit, color=GREY, linestyle="--")
    ax.errorbar(weights, loss, error, color=BLUE, marker="o", linewidth=1, linestyle="none")
    ax.plot(
        weights[chosen],
        loss[chosen],
        marker="o",
        markersize=9,
        color=ORANGE,
        linestyle="none",
        zorder=3,
    )
    if "kl_weight" in small.path:
        kl_weights = small.path["kl_weight"].values
        place = int(chosen.argmax())
        ax.annotate(
            f"λ = {kl_weights[place]:.2g}",
            (weights[place], loss[place]),
            xytext=(8, 8),
            textcoords="offset points",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )
    ax.set_xlim(0.8 * weights.min(), 1.25 * whole)
    logarithmic(ax, "x")
    ax.set_xlabel("weights")
    ax.set_ylabel(f"{validation_loss(small.data)} on validation data")


def _plot_read(small: Compressed, info: DataInfo, ax: Axes) -> None:
    read = inputs_read(small.module)
    shape = info.image_shape
    if shape is not None and shape[0] == 1 and isinstance(_layers(small.module)[0], nn.Linear):
        kept = np.zeros(shape[1] * shape[2])
        kept[: len(read)] = read
        plot_inputs(kept, (shape[1], shape[2]), ax)
        return
    names = info.feature_names or tuple(map(str, range(len(read))))
    shown = [name for name, is_read in zip(names, read, strict=False) if is_read][:_MOST_NAMES]
    ax.set_axis_off()
    more = int(read.sum()) - len(shown)
    lines = [*shown, f"and {more:,} more"] if more else shown
    ax.text(0, 1, "\n".join(lines), va="top", fontsize=9, transform=ax.transAxes)


def _caption(small: Compressed, info: DataInfo) -> str:
    read = int(inputs_read(small.module).sum())
    each = "KL weight λ" if "kl_weight" in small.path else "stage"
    return (
        f"{small.posterior.model.describe()} on {info.name}: {small.weights:,} of "
        f"{small.weights_before:,} weights ({100 * small.kept:.1f} %). a: what each {each} comes "
        f"to, with one standard error, left of the whole network's size (dotted); below the dashed "
        "line is as good as the best, and the smallest there, in orange, is taken. "
        f"b: the {read:,} inputs that it reads, black. c: its units, blue. bayesnas "
        f"{bn.__version__}."
    )
