"""What the pictures of cascades draw, read back from their axes."""

from __future__ import annotations

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from bayesnas.distributions import LayeredGraph
from bayesnas.plots.structure.cascade import PARAMETERS, cascade_figure, plot_cascade


def test_a_dot_a_unit_and_a_line_a_connection():
    below = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    ax = plot_cascade(LayeredGraph((below, torch.ones(2, 1)), 3), Figure().subplots())
    lines, *dots = ax.collections
    assert [len(layer.get_offsets()) for layer in dots] == [3, 2, 1]
    assert [set(layer.get_offsets()[:, 1]) for layer in dots] == [{0}, {1}, {2}]
    segments = [segment.tolist() for segment in lines.get_segments()]
    assert len(segments) == 6
    assert [[-1, 0], [-0.5, 1]] in segments
    assert [[1, 0], [-0.5, 1]] not in segments


def test_a_network_without_hidden_layers():
    ax = plot_cascade(LayeredGraph((), 4), Figure().subplots())
    assert [len(dots.get_offsets()) for dots in ax.collections[1:]] == [4]


def test_the_figure_of_five_draws_is_a_picture(tmp_path):
    before = torch.get_rng_state()
    figure = cascade_figure(seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    figure.savefig(tmp_path / "cascade.png", dpi=50)
    with Image.open(tmp_path / "cascade.png") as picture:
        assert picture.size[0] > 400
        assert len(set(picture.convert("L").resize((64, 32)).tobytes())) > 5
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert len(titles) == len(PARAMETERS) == 5
    assert titles[1] == r"$\alpha=1$, $\beta=0.5$"


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match="parameters must hold at least one"):
        cascade_figure([])
    with pytest.raises(ValueError, match="^mass must be"):
        cascade_figure([(0.0, 1.0)])
