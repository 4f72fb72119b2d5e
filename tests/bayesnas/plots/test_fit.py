"""What the plots draw, read back from their axes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from bayesnas.plots import (
    plot_calibration,
    plot_history,
    plot_predictions,
    plot_pruning_curve,
    plot_signal_to_noise,
)


@pytest.fixture
def ax():
    return Figure().subplots()


def history(loss, chains=1):
    loss = np.broadcast_to(loss, (chains, len(loss)))
    terms = {"loss": loss, "expected_log_lik": -0.25 * loss, "kl": 0.75 * loss}
    return xr.Dataset({name: (("chain", "step"), value) for name, value in terms.items()})


def curve(**metrics):
    by = ["density", "random"]
    values = {name: (("by", "fraction"), np.array(rows)) for name, rows in metrics.items()}
    return xr.Dataset(values, coords={"by": by, "fraction": [0.0, 0.5, 0.9]})


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_short_history_is_drawn_step_by_step(ax):
    plot_history(history(np.array([8.0, 4.0, 2.0])), ax)
    loss, log_lik, kl = ax.lines
    np.testing.assert_array_equal(loss.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(loss.get_ydata(), [8, 4, 2])
    np.testing.assert_array_equal(log_lik.get_ydata(), [2, 1, 0.5])
    np.testing.assert_array_equal(kl.get_ydata(), [6, 3, 1.5])
    assert ax.get_yscale() == "log"


def test_steps_without_a_figure_are_left_out(ax):
    plot_history(history(np.array([np.nan, 8.0, np.nan, 2.0, np.nan])), ax)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [2, 4])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [8, 2])


def test_a_long_history_is_averaged_over_windows(ax):
    loss = np.arange(1.0, 1201.0)
    plot_history(history(loss), ax)
    steps, means = ax.lines[0].get_data()
    assert len(steps) == 120
    np.testing.assert_allclose(means, loss.reshape(120, 10).mean(1))
    np.testing.assert_allclose(steps, means)  # the loss of step s is s


def test_a_negative_loss_is_not_drawn_on_a_logarithmic_axis(ax):
    loss = np.concatenate([[1e6], np.linspace(5.0, -5.0, 99)])
    plot_history(history(loss), ax)
    assert ax.get_yscale() == "linear"
    low, high = ax.get_ylim()
    assert low < -5
    assert 4 < high < 1e3  # the start does not flatten the rest


def test_chains_share_an_entry_of_the_legend_and_end_where_they_stopped(ax):
    both = history(np.array([8.0, 4.0, 2.0]), chains=2).copy(deep=True)
    for name in both:
        both[name] = both[name].where((both.step < 2) | (both.chain < 1))
    plot_history(both, ax)
    assert len(texts(ax)) == 3
    assert [len(line.get_xdata()) for line in ax.lines] == [3, 2, 3, 2, 3, 2]


def test_a_history_without_a_finite_step_is_refused(ax):
    with pytest.raises(ValueError, match="must have finite steps"):
        plot_history(history(np.array([np.nan])), ax)


def test_the_pruning_curve_has_a_line_for_each_order(ax):
    rows = [[0.9, 0.8, 0.5], [0.9, 0.4, 0.1]]
    plot_pruning_curve(curve(accuracy=rows, nll=rows), ax)
    assert [line.get_ydata().tolist() for line in ax.lines] == rows
    assert texts(ax) == [r"relative density $\rho$", "at random"]
    assert ax.get_ylim()[0] == 0


def test_the_pruning_curve_of_a_regression_is_its_rmse(ax):
    rows = [[1.0, 1.1, 2.0], [1.0, 3.0, 9.0]]
    plot_pruning_curve(curve(rmse=rows, nll=rows), ax)
    assert ax.get_ylabel().startswith("rmse")
    plot_pruning_curve(curve(rmse=rows, nll=rows), ax, metric="nll")
    assert ax.get_ylabel().startswith("nll")
    with pytest.raises(ValueError, match=r"one of \['nll', 'rmse'\], got 'accuracy'"):
        plot_pruning_curve(curve(rmse=rows, nll=rows), ax, metric="accuracy")


def test_calibration_shows_filled_bins_their_share_and_the_error(ax):
    confidence, accuracy = [np.nan, 0.4, 0.7, 0.95], [np.nan, 0.5, 0.7, 0.85]
    plot_calibration(confidence, accuracy, [0.0, 0.2, 0.3, 0.5], ax)
    points = ax.lines[-1]
    np.testing.assert_array_equal(points.get_xydata(), [[0.4, 0.5], [0.7, 0.7], [0.95, 0.85]])
    bars = [(bar.get_x(), bar.get_height()) for bar in ax.patches]
    assert bars == [(0.0, 0.0), (0.25, 0.2), (0.5, 0.3), (0.75, 0.5)]
    assert [text.get_text() for text in ax.texts] == ["ECE 0.070"]  # .2 · .1 + .5 · .1


def test_intervals_of_the_accuracy_shrink_with_the_examples():
    def width(examples):
        ax = Figure().subplots()
        plot_calibration([0.8], [0.75], [1.0], ax, examples=examples)
        ((_, low), (_, high)) = ax.collections[0].get_segments()[0]
        assert low < 0.75 < high
        return high - low

    # For many examples the interval is the normal one, ± 1.645 sqrt(p (1 − p) / n).
    expected = 2 * 1.6449 * np.sqrt(0.75 * 0.25 / 10_000)
    assert width(10_000) == pytest.approx(expected, rel=0.01)
    assert width(100) > 9 * width(10_000)


def test_calibration_needs_arrays_of_one_length(ax):
    with pytest.raises(ValueError, match="must have one length"):
        plot_calibration([0.5], [0.5, 0.5], [1.0], ax)


def test_predictions_say_how_often_intervals_cover(ax):
    mean, true = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.1, 2.2, 5.0, 4.1])
    plot_predictions(mean, true, mean - 0.5, mean + 0.5, ax, level=0.8)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), np.stack([true, mean], 1))
    assert ax.texts[0].get_text() == "75 % of true values within\n80 % intervals"
    assert len(ax.collections[0].get_segments()) == 4


def test_predictions_are_checked(ax):
    with pytest.raises(ValueError, match="low and high go together"):
        plot_predictions([1.0], [1.0], low=[0.0], ax=ax)
    with pytest.raises(ValueError, match="got 1 and 2"):
        plot_predictions([1.0], [1.0, 2.0], ax=ax)


def test_the_histograms_of_the_layers_add_up(ax):
    ratios = {"a": np.geomspace(0.01, 10, 1000), "b": np.array([0.0, 1e-9, 3.0, 3.0])}
    plot_signal_to_noise(ratios, ax, marked=0.5)
    shares = [stairs.get_data().values for stairs in ax.patches]
    np.testing.assert_allclose([values.sum() for values in shares], 1)
    assert shares[1][0] == 0.5  # what is too small for the axis is in the first bin
    assert texts(ax) == ["a (1,000)", "b (4)", "50 % of all lie left"]
    (median,) = (line for line in ax.lines if len(line.get_xdata()) == 2)
    expected = np.median(np.concatenate(list(ratios.values())))
    assert median.get_xdata()[0] == pytest.approx(expected)


def test_of_many_layers_the_legend_names_a_few(ax):
    plot_signal_to_noise({f"layer{i}": [1.0, 2.0] for i in range(20)}, ax, marked=None)
    assert texts(ax) == ["layer0 (2)", "layer10 (2)", "layer19 (2)"]
    assert ax.get_legend().get_title().get_text() == "20 layers (weights), e.g."


@pytest.mark.parametrize(("ratios", "got"), [([], "none"), ([1.0, np.nan], "nan"), ([-1.0], "-1")])
def test_ratios_are_checked(ax, ratios, got):
    with pytest.raises(ValueError, match=f"finite numbers >= 0, got {got}"):
        plot_signal_to_noise({"a": ratios}, ax)


@pytest.mark.slow
def test_the_backend_is_left_to_the_user(tmp_path):
    code = (
        "import sys, matplotlib, bayesnas.plots.predictions, bayesnas.report.figure\n"
        "from matplotlib.figure import Figure\n"
        "bayesnas.plots.predictions.plot_calibration([.5], [.5], [1.0], Figure().subplots())\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "matplotlib.use('svg')\n"
        "ax = bayesnas.plots.predictions.plot_calibration([.5], [.5], [1.0])\n"
        "import matplotlib.pyplot as plt\n"
        "print(plt.get_backend(), ax.figure is plt.gcf())"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["svg", "True"], done.stderr
