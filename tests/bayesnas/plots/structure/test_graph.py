"""The drawing of a graph: its widths, its vertices, what it leaves out."""

from __future__ import annotations

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

import bayesnas as bn
from bayesnas.plots.structure.graph import plot_graph


@pytest.fixture
def graph():
    edges = {("x", "h"): [nn.Tanh(), nn.ReLU()], ("h", "y"): nn.Linear(2, 1)}
    return bn.nn.Graph(edges, example=torch.zeros(1, 2))


def widths(axes):
    return sorted(t.arrow_patch.get_linewidth() for t in axes.texts if t.get_text() == "")


def test_arrows_are_as_wide_as_the_operations_are_probable(graph):
    probabilities = {("x", "h"): torch.tensor([0.125, 0.875])}
    axes = plot_graph(graph, probabilities, Figure().subplots())
    assert widths(axes) == [0.5, 1.0, 3.5]
    assert [t.get_text() for t in axes.texts if t.get_text()] == ["x", "h", "y"]
    axes.figure.canvas.draw()


def test_improbable_operations_are_left_out(graph):
    probabilities = {("x", "h"): torch.tensor([0.125, 0.875])}
    assert widths(plot_graph(graph, probabilities, Figure().subplots(), least=0.5)) == [1.0, 3.5]


def test_without_probabilities_operations_are_equally_wide(graph):
    assert widths(plot_graph(graph, ax=Figure().subplots())) == [1.0, 2.0, 2.0]


def test_a_wrong_number_of_probabilities_is_named(graph):
    with pytest.raises(ValueError, match="probabilities of edge x->h must be 2 numbers, got 3"):
        plot_graph(graph, {("x", "h"): torch.ones(3)}, Figure().subplots())


def test_all_vertices_are_within_the_axes():
    graph = bn.nn.cells(["reduction", "reduction"], channels=2, nodes=2, image=8)
    ax = plot_graph(graph, ax=Figure().subplots())
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    places = [text.xyann if hasattr(text, "xyann") else text.get_position() for text in ax.texts]
    assert len(places) > 10
    assert all(left <= x <= right and low <= y <= high for x, y in places)
