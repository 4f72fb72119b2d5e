"""The DARTS space against the counts published for it."""

from __future__ import annotations

import json

import pytest
import torch

import bayesnas as bn
from bayesnas.nn.graphs.darts_operations import PRIMITIVES

OPERATIONS = ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")
PUBLISHED = {16: (800, 1312, 400, 656), 32: (2624, 3648, 1312, 1824)}
FREE = ("max_pool_3x3", "avg_pool_3x3", "none")


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def graph():
    torch.manual_seed(0)
    return bn.nn.cells()


@pytest.mark.parametrize("channels", [16, 32])
@pytest.mark.parametrize("stride", [1, 2])
def test_operations_have_the_published_counts(channels, stride):
    counts = tuple(size(PRIMITIVES[name](channels, stride)) for name in OPERATIONS)
    assert counts == PUBLISHED[channels]
    assert [size(PRIMITIVES[name](channels, stride)) for name in FREE] == [0, 0, 0]
    assert size(PRIMITIVES["skip_connect"](channels, stride)) == (channels**2 if stride == 2 else 0)


@pytest.mark.parametrize("name", PRIMITIVES)
@pytest.mark.parametrize("side", [7, 8])
def test_operations_halve_even_and_odd_images(name, side):
    x = torch.randn(2, 4, side, side)
    assert PRIMITIVES[name](4, 1)(x).shape == x.shape
    assert PRIMITIVES[name](4, 2)(x).shape == (2, 4, 4, 4)


def test_every_cell_has_fourteen_mixed_edges_of_eight_operations(graph):
    assert len(PRIMITIVES) == 8
    for cell in range(3):
        mixed = [edge for edge in graph.mixed if edge[1].startswith(f"c{cell}node")]
        assert len(mixed) == 14
        assert {graph.names[edge] for edge in mixed} == {tuple(PRIMITIVES)}


def test_the_graph_counts_the_operations_as_published(graph):
    place = [graph.names["c0in0", "c0node0"].index(name) for name in OPERATIONS]
    for edge, channels in ((("c0in0", "c0node0"), 16), (("c1node0", "c1node3"), 32)):
        counts = graph.parameter_counts[edge]
        assert tuple(counts[i] for i in place) == PUBLISHED[channels]
    assert graph.parameter_counts["c1in0", "c1node0"][2] == 32**2  # the skip at stride 2
    sep = graph.multiply_adds["c0in0", "c0node0"][3]
    assert sep == 28 * 28 * 800  # every weight once a pixel


def test_widths_and_images_of_the_default(graph):
    shapes = [graph.shapes[v] for v in ("x", "stem", "c0", "c1", "c2", "y")]
    assert shapes == [(1, 28, 28), (48, 28, 28), (64, 28, 28), (128, 14, 14), (256, 7, 7), (10,)]


def test_the_smallest_architecture_has_the_published_size(graph):
    """Yakovlev et al. report 20.5k parameters at the largest KL weight on Fashion-MNIST."""
    least = graph.discrete(dict.fromkeys(graph.mixed, "none"))
    assert size(least) == 20_506
    assert least(torch.randn(2, 1, 28, 28)).shape == (2, 10)


def test_a_random_architecture_has_the_parameters_that_the_counts_say(graph):
    torch.manual_seed(1)
    gamma = {edge: torch.rand(len(graph.names[edge])) for edge in graph.mixed}
    chosen = sum(graph.parameter_counts[edge][int(g.argmax())] for edge, g in gamma.items())
    assert size(graph.discrete(gamma)) == 20_506 + chosen


def test_the_sum_of_no_operations_is_a_constant():
    graph = bn.nn.cells(["normal", "reduction"], channels=4, nodes=2, image=9)
    x = torch.randn(3, 1, 9, 9)
    nothing = {edge: torch.zeros(8) for edge in graph.mixed}
    output = graph(x, nothing)
    assert torch.allclose(output, output[:1].expand(3, -1))


def test_cells_go_through_json():
    graph = bn.nn.cells(["normal", "reduction"], channels=4, nodes=2, image=8)
    again = bn.nn.Graph.from_dict(json.loads(json.dumps(graph.to_dict())))
    again.load_state_dict(graph.state_dict())
    x = torch.randn(4, 1, 8, 8)
    assert torch.equal(graph.eval()(x), again.eval()(x))
    assert again.parameter_counts == graph.parameter_counts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ["big"]}, r"kinds must be one or more of .*\['big'\]"),
        ({"kinds": []}, "kinds must be one or more"),
        ({"operations": []}, "operations must be one or more"),
        ({"operations": ["sep"]}, r"operations must be one or more of .*\['sep'\]"),
        ({"channels": 0}, "channels must be a whole number >= 1, got 0"),
        ({"classes": 2.5}, "classes must be a whole number >= 1, got 2.5"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        bn.nn.cells(**options)


@pytest.mark.parametrize("seed", range(6))
def test_dead_edges_of_a_random_cell_do_not_matter(seed):
    """Half of the operations are "none", and one beside another operation always is."""
    torch.manual_seed(seed)
    graph = bn.nn.cells(["normal", "reduction"], channels=4, nodes=2, image=8)
    names = ["none", "none", "sep_conv_3x3", "skip_connect", "none", "max_pool_3x3"]
    choice = {edge: names[int(torch.randint(6, ()))] for edge in graph.mixed}
    choice |= {("c0in0", "c0node0"): "none", ("c0in1", "c0node0"): "sep_conv_3x3"}
    discrete = graph.discrete(choice).eval()
    x = torch.randn(3, 1, 8, 8)
    bare = discrete.without_dead_edges()
    assert torch.allclose(bare(x), discrete(x), atol=1e-6)
    assert len(bare.edges) < len(discrete.edges)
    assert bare.parameter_count == sum(p.numel() for p in bare.parameters())
