"""Graph against the same network written by hand, and its errors."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.nn.graphs.darts_operations import FactorizedReduce, Zero
from bayesnas.nn.rebuilding.module_spec import UndescribableNetError

X, H, Y = "x", "h", "y"


def small(**options):
    torch.manual_seed(0)
    edges = {
        (X, H): {"linear": nn.Linear(4, 6), "tanh": nn.Sequential(nn.Linear(4, 6), nn.Tanh())},
        (X, Y): [nn.Linear(4, 3)],
        (H, Y): [nn.Linear(6, 3), nn.Linear(6, 3, bias=False), nn.Sequential(nn.Linear(6, 3))],
    }
    return bn.nn.Graph(edges, example=torch.zeros(2, 4), **options)


def test_the_value_is_that_of_the_formula():
    graph = small()
    x = torch.randn(5, 4)
    gamma = {(X, H): torch.tensor([0.25, 0.5]), (H, Y): torch.tensor([1.0, 0.0, 0.3])}
    one, two = (graph.primitive((X, H), name) for name in ("linear", "tanh"))
    h = 0.25 * one(x) + 0.5 * two(x)
    last = [graph.primitive((H, Y), name) for name in "012"]
    expected = graph.primitive((X, Y), "0")(x) + last[0](h) + 0.3 * last[2](h)
    assert torch.allclose(graph(x, gamma), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["sum", "mean", "product", "concat"])
def test_aggregations(kind):
    graph = bn.nn.Graph(
        {(0, 1): nn.Tanh(), (0, 2): nn.Identity(), (1, 3): nn.Identity(), (2, 3): nn.Identity()},
        example=torch.zeros(1, 4),
        aggregation={3: kind},
    )
    x = torch.randn(6, 4)
    expected = {
        "sum": x + x.tanh(),
        "mean": (x + x.tanh()) / 2,
        "product": x * x.tanh(),
        "concat": torch.cat([x.tanh(), x], 1),
    }
    assert torch.allclose(graph(x), expected[kind])


def test_gamma_of_every_example():
    graph = small()
    x = torch.randn(5, 4)
    many = {(X, H): torch.rand(5, 2), (H, Y): torch.rand(5, 3)}
    rows = [graph(x[i : i + 1], {e: value[i] for e, value in many.items()}) for i in range(5)]
    assert torch.allclose(graph(x, many), torch.cat(rows), atol=1e-6)


def test_gamma_of_every_example_weighs_images():
    graph = bn.nn.Graph({(X, Y): [nn.Identity(), nn.Tanh()]}, example=torch.zeros(1, 2, 3, 3))
    x, gamma = torch.randn(4, 2, 3, 3), torch.rand(4, 2)
    expected = torch.stack([g[0] * v + g[1] * v.tanh() for g, v in zip(gamma, x, strict=True)])
    assert torch.allclose(graph(x, {(X, Y): gamma}), expected)


def test_every_corner_of_the_cube_gives_a_model():
    graph = small()
    x = torch.randn(5, 4)
    for corner in range(32):
        bits = torch.tensor([float(corner >> i & 1) for i in range(5)])
        gamma = {(X, H): bits[:2], (H, Y): bits[2:]}
        gamma = {edge: value.requires_grad_() for edge, value in gamma.items()}
        output = graph(x, gamma)
        output.sum().backward()
        assert output.shape == (5, 3)
        assert output.isfinite().all()
    nothing = graph(x, {(X, H): torch.zeros(2), (H, Y): torch.zeros(3)})
    assert torch.allclose(nothing, graph.primitive((X, Y), "0")(x))


def test_without_gamma_the_primitives_of_an_edge_weigh_the_same():
    graph = small()
    x = torch.randn(5, 4)
    equal = {(X, H): torch.full((2,), 0.5), (H, Y): torch.full((3,), 1 / 3)}
    assert torch.allclose(graph(x), graph(x, equal), atol=1e-6)


def test_a_fixed_edge_takes_a_gamma_too():
    graph = bn.nn.Graph({(X, Y): nn.Linear(2, 1)}, example=torch.zeros(1, 2))
    x = torch.randn(3, 2)
    assert graph.mixed == ()
    assert torch.allclose(graph(x, {(X, Y): torch.tensor([0.5])}), 0.5 * graph(x))


def test_counts_and_shapes():
    graph = bn.nn.Graph(
        {
            (X, H): {
                "conv": nn.Conv2d(2, 4, 3, padding=1),
                "grouped": nn.Conv2d(2, 4, 1, groups=2),
            },
            (H, Y): nn.Sequential(nn.Flatten(), nn.Linear(100, 3)),
        },
        example=torch.zeros(7, 2, 5, 5),
    )
    assert graph.shapes == {X: (2, 5, 5), H: (4, 5, 5), Y: (3,)}
    assert graph.parameter_counts[X, H] == (2 * 4 * 9 + 4, 4 + 4)
    assert graph.multiply_adds[X, H] == (25 * 2 * 4 * 9, 25 * 4)
    assert graph.multiply_adds[H, Y] == (300,)


def test_building_leaves_modes_and_batch_statistics_alone():
    norm = nn.BatchNorm1d(4)
    frozen = nn.Dropout().eval()
    bn.nn.Graph({(X, Y): [norm, frozen]}, example=torch.ones(1, 4))
    assert norm.training
    assert not frozen.training
    assert torch.equal(norm.running_mean, torch.zeros(4))


def test_a_round_trip_through_json_computes_the_same():
    graph = small(aggregation={Y: "mean"})
    again = bn.nn.Graph.from_dict(json.loads(json.dumps(graph.to_dict())))
    again.load_state_dict(graph.state_dict())
    x = torch.randn(5, 4)
    assert torch.equal(graph(x), again(x))
    assert again.to_dict() == graph.to_dict()
    assert (again.names, again.mixed) == (graph.names, graph.mixed)


def test_own_primitives_go_through_json():
    edges = {(X, Y): [Zero(2), FactorizedReduce(2, 2), nn.AvgPool2d(2, ceil_mode=True)]}
    graph = bn.nn.Graph(edges, example=torch.zeros(1, 2, 5, 5))
    again = bn.nn.Graph.from_dict(graph.to_dict())
    assert again.parameter_counts == graph.parameter_counts == {(X, Y): (0, 4, 0)}
    assert isinstance(again.primitive((X, Y), "0"), Zero)


def test_what_has_no_description_says_so():
    shared = nn.Linear(2, 2)
    tied = bn.nn.Graph({(X, H): shared, (H, Y): shared}, example=torch.zeros(1, 2))
    assert sum(p.numel() for p in tied.parameters()) == 6
    with pytest.raises(UndescribableNetError, match="is tied to"):
        tied.to_dict()
    with pytest.raises(ValueError, match="graph description of format 1, got None"):
        bn.nn.Graph.from_dict({})
    with pytest.raises(ValueError, match="spec must hold 'example'"):
        bn.nn.Graph.from_dict({"format": 1, "edges": [], "aggregation": {}})


def test_dot_has_a_line_an_operation():
    graph = small()
    text = graph.to_dot({(X, H): torch.tensor([0.25, 0.75])})
    assert text.startswith("digraph {")
    assert '  "x" -> "h" [label="tanh 0.75", penwidth=3.75];' in text
    assert '  "x" -> "y" [label="Linear"];' in text
    assert text.count("->") == 6
    with pytest.raises(ValueError, match="probabilities of edge x->h must be 2 numbers, got 3"):
        graph.to_dot({(X, H): torch.ones(3)})


def test_a_discrete_graph_is_the_chosen_part():
    graph = small()
    x = torch.randn(5, 4)
    chosen = graph.discrete({(X, H): "tanh", (H, Y): torch.tensor([0.1, 0.7, 0.2])})
    gamma = {(X, H): torch.tensor([0.0, 1.0]), (H, Y): torch.tensor([0.0, 1.0, 0.0])}
    assert chosen.mixed == ()
    assert torch.allclose(chosen(x), graph(x, gamma), atol=1e-6)
    with torch.no_grad():
        next(chosen.parameters()).zero_()
    assert not torch.equal(chosen(x), graph(x, gamma))  # the weights are copies
    with pytest.raises(ValueError, match=r"choice for edge h->y must be one of .* got None"):
        graph.discrete({(X, H): "tanh"})


def test_a_cycle_is_named():
    step = {(X, H): nn.Identity(), (H, "g"): nn.Identity(), ("g", H): nn.Identity()}
    with pytest.raises(ValueError, match=r"no cycle, got (h -> g -> h|g -> h -> g)"):
        bn.nn.Graph({**step, ("g", Y): nn.Identity()}, example=torch.zeros(1, 2))


def test_an_edge_whose_primitives_disagree_is_named():
    options = [nn.Linear(2, 3), nn.Linear(2, 4)]
    with pytest.raises(ValueError, match=r"edge x->y: primitives must give .* '1': \['n', 4\]"):
        bn.nn.Graph({(X, Y): options}, example=torch.zeros(1, 2))


def test_a_primitive_that_does_not_take_its_input_is_named():
    edges = {(X, H): nn.Linear(2, 3), (H, Y): {"a": nn.Linear(3, 1), "b": nn.Linear(5, 1)}}
    with pytest.raises(ValueError, match=r"edge h->y: primitive 'b' does not take .* \['n', 3\]"):
        bn.nn.Graph(edges, example=torch.zeros(1, 2))


def test_edges_that_arrive_in_two_shapes_are_named():
    edges = {(X, H): nn.Linear(2, 3), (X, Y): nn.Linear(2, 4), (H, Y): nn.Linear(3, 5)}
    with pytest.raises(ValueError, match=r"vertex 'y': .*'x->y': \['n', 4\], 'h->y': \['n', 5\]"):
        bn.nn.Graph(edges, example=torch.zeros(1, 2))


@pytest.mark.parametrize("empty", [[], {}, nn.ModuleList()])
def test_an_empty_list_of_primitives_is_named(empty):
    with pytest.raises(ValueError, match=r"edge \('x', 'y'\) must have .* got an empty list"):
        bn.nn.Graph({(X, Y): empty}, example=torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ({}, "edges must hold one edge or more"),
        ({(X, Y): [torch.tanh]}, r"must have one or more primitives \(modules\)"),
        ({(X, Y): nn.Tanh(), ("z", Y): nn.Tanh()}, r"one vertex that is the input.*\['x', 'z'\]"),
        ({(X, Y): nn.Tanh(), (X, H): nn.Tanh()}, r"one vertex that is the output"),
        ({("a.b", Y): nn.Tanh()}, "a vertex must have a name without"),
        ({"xy": nn.Tanh()}, "an edge must be a pair"),
        ({(X, Y): {"a.b": nn.Tanh()}}, r"primitives must have names without '.', got \['a.b'\]"),
    ],
)
def test_other_bad_edges_are_named(edges, message):
    with pytest.raises(ValueError, match=message):
        bn.nn.Graph(edges, example=torch.zeros(1, 2))


def test_bad_aggregations_are_named():
    with pytest.raises(ValueError, match=r"aggregation of vertex 'h' must be one of .*'median'"):
        small(aggregation={H: "median"})
    with pytest.raises(ValueError, match=r"aggregation must name vertices.*\['q'\]"):
        small(aggregation={"q": "sum"})


def test_bad_gammas_are_named():
    graph = small()
    x, good = torch.zeros(5, 4), {(X, H): torch.ones(2), (H, Y): torch.ones(3)}
    with pytest.raises(ValueError, match=r"got none for \['h->y'\]"):
        graph(x, {(X, H): torch.ones(2)})
    with pytest.raises(ValueError, match=r"unknown edges \['y->x'\]"):
        graph(x, {**good, (Y, X): torch.ones(1)})
    with pytest.raises(ValueError, match=r"edge x->h must be \[2\] or \[5, 2\], got \[3\]"):
        graph(x, {**good, (X, H): torch.ones(3)})
    for wrong in (1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"gamma of edge x->h must lie in \[0, 1\]"):
            graph(x, {**good, (X, H): torch.tensor([0.5, wrong])})
    assert graph(x, {**good, (X, H): torch.tensor([0.5, 1.5])}, check=False).isfinite().all()


def test_operations_chosen_together_are_added_up():
    graph = small()
    x = torch.randn(5, 4)
    choice = {(X, H): ("linear", "tanh"), (H, Y): torch.tensor([0.0, 1.0, 0.0])}
    chosen = graph.discrete(choice)
    gamma = {(X, H): torch.ones(2), (H, Y): torch.tensor([0.0, 1.0, 0.0])}
    assert chosen.mixed == ()
    assert chosen.names[X, H] == ("linear+tanh",)
    assert chosen.parameter_counts[X, H] == (2 * 30,)
    assert torch.allclose(chosen(x), graph(x, gamma), atol=1e-6)
    again = bn.nn.Graph.from_dict(json.loads(json.dumps(chosen.to_dict())))
    again.load_state_dict(chosen.state_dict())
    assert torch.equal(again(x), chosen(x))
    with pytest.raises(ValueError, match="choice for edge x->h must be one of .* got no name"):
        graph.discrete({**choice, (X, H): ()})


def with_zeros(kind):
    """Zeros arrive at v and at y; only zeros leave u."""
    torch.manual_seed(0)
    edges = {
        (X, "u"): nn.Linear(4, 4),
        (X, "v"): nn.Linear(4, 4),
        ("u", "v"): Zero(),
        ("u", Y): Zero(),
        ("v", Y): nn.Tanh(),
    }
    return bn.nn.Graph(edges, example=torch.zeros(1, 4), aggregation=kind)


@pytest.mark.parametrize("kind", ["sum", "mean", "product", "concat"])
def test_leaving_dead_edges_out_changes_no_value(kind):
    graph = with_zeros({"v": "sum", Y: kind}).eval()
    x = torch.randn(5, 4)
    bare = graph.without_dead_edges()
    assert torch.equal(bare(x), graph(x))
    assert not bare.training
    if kind == "sum":
        assert set(bare.edges) == {(X, "v"), ("v", Y)}
        assert bare.parameter_count == graph.parameter_count - 20
        assert bare.multiply_add_count == graph.multiply_add_count - 16
    else:  # its zeros count, and with them u
        assert ("u", Y) in bare.edges


def test_what_arrives_stays_in_order_when_vertices_change_theirs():
    """Without its edge from a, b is computed before a; y still has a's channels first."""
    edges = {
        (X, "a"): nn.Tanh(),
        (X, "b"): nn.Identity(),
        ("a", "b"): Zero(),
        ("a", Y): nn.Identity(),
        ("b", Y): nn.Identity(),
    }
    x = torch.randn(2, 3)
    for first in ("a", "b"):
        order = dict(sorted(edges.items(), key=lambda item: item[0][0] != first))
        graph = bn.nn.Graph(order, example=x, aggregation={Y: "concat"})
        bare = graph.without_dead_edges()
        again = bn.nn.Graph.from_dict(json.loads(json.dumps(bare.to_dict())))
        columns = (x.tanh(), x) if first == "a" else (x, x.tanh())
        for one in (graph, bare, again):
            assert torch.equal(one(x), torch.cat(columns, 1))


def test_where_only_zeros_arrive_one_stays():
    edges = {(X, H): nn.Linear(4, 4), (X, Y): Zero(), (H, Y): Zero()}
    graph = bn.nn.Graph(edges, example=torch.zeros(1, 4))
    bare = graph.without_dead_edges()
    assert bare.edges == ((X, Y),)
    assert torch.equal(bare(torch.ones(2, 4)), torch.zeros(2, 4))


def test_dead_edges_need_a_choice_first():
    with pytest.raises(ValueError, match="one primitive on every edge, got several on 2 of them"):
        small().without_dead_edges()


def test_latencies_are_times_of_every_primitive():
    graph = small()
    latencies = graph.latencies(rows=4, repeats=3)
    assert {edge: len(times) for edge, times in latencies.items()} == {
        edge: len(names) for edge, names in graph.names.items()
    }
    assert all(0 < seconds < 10 for times in latencies.values() for seconds in times)
    with pytest.raises(ValueError, match="repeats must be a whole number >= 1, got 0"):
        graph.latencies(repeats=0)
