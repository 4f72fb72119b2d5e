"""What the pictures of compressed nets draw, read back from their axes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesnas.plots.structure.groups import (
    plot_footprints,
    plot_group_sweep,
    plot_inputs,
    plot_layer_sizes,
)

SWEEP = xr.Dataset(
    {
        "loss": ("threshold", [0.02, 0.018, 0.05]),
        "loss_error": ("threshold", [0.002, 0.001, 0.004]),
        "weights": ("threshold", [900, 500, 20]),
    },
    coords={"threshold": [3.0, 1.0, -2.0]},
)


@pytest.fixture
def ax() -> Axes:
    return Figure().subplots()


def test_the_sweep_shows_loss_weights_and_the_threshold_taken(ax: Axes) -> None:
    assert plot_group_sweep(SWEEP, ax, threshold=1.0) is ax
    loss, taken = ax.lines
    np.testing.assert_array_equal(loss.get_xdata(), [3, 1, -2])
    np.testing.assert_array_equal(loss.get_ydata(), [0.02, 0.018, 0.05])
    np.testing.assert_array_equal(taken.get_xdata(), [1, 1])
    assert ax.get_legend().get_texts()[0].get_text() == "threshold 1"
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((0.017, 0.054))
    left, right = ax.get_xlim()
    assert left > right  # nets get smaller to the right
    (weights,) = (other for other in ax.figure.axes if other is not ax)
    np.testing.assert_array_equal(weights.lines[0].get_ydata(), [900, 500, 20])
    assert weights.get_ylim()[0] == 0


def test_a_threshold_outside_the_sweep_is_refused(ax: Axes) -> None:
    with pytest.raises(ValueError, match=r"threshold must be in \[-2, 3\].*got 4"):
        plot_group_sweep(SWEEP, ax, threshold=4.0)
    plot_group_sweep(SWEEP, ax)
    assert len(ax.lines) == 1


def test_inputs_are_dark_where_they_are_read(ax: Axes) -> None:
    plot_inputs([True, False, False, True, True, False], (2, 3), ax)
    image = ax.images[0]
    np.testing.assert_array_equal(image.get_array(), [[1, 0, 0], [1, 1, 0]])
    assert image.cmap(image.norm(1.0))[:3] == pytest.approx((0, 0, 0), abs=0.01)
    with pytest.raises(ValueError, match="kept must have a value for each of 2 x 3 inputs, got 5"):
        plot_inputs([1, 0, 1, 0, 1], (2, 3), ax)


def test_footprints_start_with_the_strongest_unit_each_on_its_own_scale(ax: Axes) -> None:
    plot_footprints([[1.0, 0.0], [0.0, -4.0], [0.0, 0.0]], (1, 2), ax, columns=2)
    drawn = ax.images[0].get_array().filled(np.nan)
    nan = np.nan
    expected = [[0, -1, nan, 1, 0], [nan] * 5, [0, 0, nan, nan, nan]]
    np.testing.assert_array_equal(drawn, expected)
    with pytest.raises(ValueError, match="weights must have a value for each of 1 x 3"):
        plot_footprints([[1.0, 0.0]], (1, 3), ax)


def test_layer_sizes_stand_before_those_of_the_whole_network():
    ax = plot_layer_sizes([64, 100, 10], [43, 17, 10], Figure().subplots())
    widths = sorted(patch.get_width() for patch in ax.patches)
    assert widths == [10, 10, 17, 43, 64, 100]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["inputs", "layer 1", "outputs"]
    assert [text.get_text() for text in ax.texts][1] == "17 of 100"
    with pytest.raises(ValueError, match="left must have 2 sizes, as whole has, got 1"):
        plot_layer_sizes([3, 2], [3])
