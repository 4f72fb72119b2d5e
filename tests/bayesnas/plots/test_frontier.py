"""What the frontier's plots draw, read back from their axes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from bayesnas.plots.frontier import frontier_figure, plot_frontier


@pytest.fixture
def ax():
    return Figure().subplots()


def measures(kl_weights, **values):
    return xr.Dataset(
        {name: ("kl_weight", row) for name, row in values.items()},
        coords={"kl_weight": kl_weights},
    )


FRONTIER = measures(
    [10.0, 0.1, 1.0],
    accuracy=[0.8, 0.97, 0.95],
    elbo=[-900.0, -10.0, -100.0],
    parameters=[5.0, 50.0, 20.0],
)


def test_a_line_over_ascending_kl_weights(ax):
    plot_frontier(FRONTIER, "accuracy", ax)
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xdata(), [0.1, 1, 10])
    np.testing.assert_array_equal(line.get_ydata(), [0.97, 0.95, 0.8])
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "KL weight λ"
    assert ax.yaxis.get_major_formatter()(0.9) == "90 %"


def test_the_bound_is_drawn_as_a_loss(ax):
    plot_frontier(FRONTIER, "elbo", ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [10, 100, 900])
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize(
    ("name", "values"), [("elbo", [5.0, -1.0, -2.0]), ("parameters", [0.0, 3.0, 9.0])]
)
def test_what_is_not_positive_has_a_linear_axis(ax, name, values):
    plot_frontier(measures([0.1, 1.0, 10.0], **{name: values}), name, ax)
    assert ax.get_yscale() == "linear"


def test_separate_fits_are_dots_with_a_legend(ax):
    separate = measures([3.0], accuracy=[0.9])
    plot_frontier(FRONTIER, "accuracy", ax, separate=separate)
    dots = ax.lines[1]
    assert (list(dots.get_xdata()), list(dots.get_ydata())) == ([3.0], [0.9])
    assert dots.get_linestyle() == "None"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["one fit for all λ", "separate fits"]


def test_an_unknown_measure_is_refused(ax):
    with pytest.raises(ValueError, match="variable must be one of .*'accuracy'.* of frontier"):
        plot_frontier(FRONTIER, "speed", ax)
    with pytest.raises(ValueError, match="of separate, got 'elbo'"):
        plot_frontier(FRONTIER, "elbo", ax, separate=measures([3.0], accuracy=[0.9]))


def test_the_figure_has_a_panel_for_each_measure_and_its_caption_below():
    figure = frontier_figure(FRONTIER, caption="What it shows.")
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "a  Accuracy",
        "b  Bound",
        "c  Complexity",
    ]
    (text,) = figure.texts
    assert text.get_text() == "What it shows."
    lowest = min(ax.get_tightbbox().y0 for ax in figure.axes)
    assert text.get_window_extent().y1 <= lowest


def test_a_regression_without_weights_shows_its_error():
    figure = frontier_figure(measures([0.1, 1.0], rmse=[1.0, 2.0], elbo=[-5.0, -6.0]))
    assert [ax.get_ylabel() for ax in figure.axes] == ["rmse", r"loss $-\mathcal{L}$, nats"]


@pytest.mark.parametrize(
    ("kl_weights", "expected"),
    [([0.3, 1.0, 3.0], ["0.5", "1", "2"]), ([0.1, 10.0, 100.0], ["0.1", "1", "10", "100"])],
)
def test_labels_of_the_kl_weight_are_plain_and_few(ax, kl_weights, expected):
    plot_frontier(measures(kl_weights, accuracy=[0.9, 0.85, 0.8]), "accuracy", ax)
    ax.figure.draw_without_rendering()
    low, high = ax.get_xlim()
    labels = [
        label.get_text()
        for which in ("major", "minor")
        for label in ax.get_xticklabels(which=which)
        if low <= label.get_position()[0] <= high
    ]
    assert [label for label in labels if label] == expected
