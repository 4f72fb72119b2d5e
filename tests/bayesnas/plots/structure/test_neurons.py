"""The drawing of a graph of neurons: what is there, and where."""

from __future__ import annotations

from matplotlib.figure import Figure

from bayesnas.nn import NeuronGraph
from bayesnas.plots.structure.neurons import plot_neurons


def test_connected_vertices_stand_behind_what_they_read():
    graph = NeuronGraph(3, 2, ["sin", "relu"], [(0, 6), (6, 7), (3, 7), (7, 4), (1, 5)])
    axes = plot_neurons(graph, Figure().subplots())
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["input", "bias", "output", "sin", "relu"]
    drawn = {each.get_label(): each.get_offsets() for each in axes.collections[1:]}
    assert {name: len(points) for name, points in drawn.items()} == {
        "input": 2,
        "bias": 1,
        "output": 2,
        "sin": 1,
        "relu": 1,
    }
    columns = {name: set(points[:, 0].tolist()) for name, points in drawn.items()}
    assert columns == {"input": {0}, "bias": {0}, "sin": {1}, "relu": {2}, "output": {3}}
    assert len(axes.collections[0].get_segments()) == 5
    axes.figure.canvas.draw()


def test_a_graph_without_connections_is_empty():
    axes = plot_neurons(NeuronGraph(1, 1), Figure().subplots())
    assert axes.get_legend() is None
