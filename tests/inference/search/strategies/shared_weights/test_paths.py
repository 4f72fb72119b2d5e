"""PathNet and MultiPath: what is frozen stays, mutations by their frequencies, known best paths."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.inference.search.strategies.shared_weights.multi_path import multi_path
from bayesnas.inference.search.strategies.shared_weights.path_net import PathNet


class Column(nn.Module):
    """One column of the inputs, twice."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def forward(self, x: Tensor) -> Tensor:
        return x[:, [self.index, self.index]]


def layers(count: int = 2, modules: int = 4) -> bn.nn.Graph:
    def module(inputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, 6), nn.BatchNorm1d(6), nn.ReLU())

    edges = {
        (f"h{i}", f"h{i + 1}"): [module(2 if i == 0 else 6) for _ in range(modules)]
        for i in range(count)
    }
    return bn.nn.Graph(edges, example=torch.zeros(2, 2))


@pytest.fixture(scope="module")
def ring():
    x = torch.randn(256, 2, generator=torch.Generator().manual_seed(0))
    return x, (x.square().sum(1) > 1.4).long()


def test_a_later_task_does_not_change_an_earlier_one(ring):
    """Bit for bit, averages of normalisation included; free modules are drawn anew."""
    x, y = ring
    net = PathNet(layers(), active=2, population=6, seed=0)
    first = net.learn("ring", (x, y), nn.Linear(6, 2), tournaments=5, lr=0.1)
    before = net.predict("ring", x)
    frozen = set(net.frozen)
    states = {
        key: {n: v.clone() for n, v in net.graph.primitive(*key).state_dict().items()}
        for key in [(e, n) for e in net.graph.edges for n in net.graph.names[e]]
    }
    net.learn("half", (x, (x[:, 0] > 0).long()), nn.Linear(6, 2), tournaments=5, lr=0.1)
    assert torch.equal(net.predict("ring", x), before)
    assert {len(names) <= 2 for names in first.modules.values()} == {True}
    for key, state in states.items():
        now = net.graph.primitive(*key).state_dict()
        same = all(torch.equal(now[name], value) for name, value in state.items())
        assert same == (key in frozen)
    assert frozen <= net.frozen


def test_path_net_learns(ring):
    """Chance is wrong for two in five; a path of two layers for .06 ± .06, in the mean of six."""
    x, y = ring
    wrong = 0.0
    for seed in range(6):
        net = PathNet(layers(), active=3, population=4, seed=seed)
        net.learn("ring", (x, y), nn.Linear(6, 2), tournaments=20, steps=15, lr=0.2)
        wrong += float((net.predict("ring", x).argmax(1) != y).double().mean()) / 6
    assert wrong < 0.2


def test_mutations_move_an_index_in_n_l_by_up_to_two():
    """P(changed) = 1/(N L) · 4/5, each of four places alike; the fifth module is never reached."""
    net = PathNet(layers(count=2, modules=7), active=3, seed=0)
    path, rng, draws = np.zeros((2, 3), dtype=np.int64), np.random.default_rng(0), 8000
    places = np.stack([net.mutated(path, rng) for _ in range(draws)]).ravel()
    shares = np.bincount(places, minlength=7) / len(places)
    expected = 1 / 6 / 5
    error = math.sqrt(expected * (1 - expected) / len(places))
    assert shares[3] == shares[4] == 0
    assert all(abs(shares[place] - expected) < 5.5 * error for place in (1, 2, 5, 6))


def test_path_net_refuses_what_it_cannot_do(ring):
    net = PathNet(layers(), population=2)
    with pytest.raises(ValueError, match=r"task must be one of \[\], got 'ring'"):
        net.predict("ring", ring[0])
    net.learn("ring", ring, nn.Linear(6, 2), tournaments=1, steps=1)
    with pytest.raises(ValueError, match="task must be a new one, got 'ring'"):
        net.learn("ring", ring, nn.Linear(6, 2))
    with pytest.raises(ValueError, match="tournaments must be a whole number"):
        net.learn("other", ring, nn.Linear(6, 2), tournaments=0)
    with pytest.raises(ValueError, match="graph must have a mixed edge"):
        PathNet(bn.nn.Graph({("x", "y"): nn.Linear(2, 2)}, example=torch.zeros(1, 2)))


def columns() -> bn.nn.Graph:
    edges = {
        ("x", "h"): {"first": Column(0), "second": Column(1)},
        ("h", "f"): {"line": nn.Linear(2, 4), "again": nn.Linear(2, 4)},
    }
    return bn.nn.Graph(edges, example=torch.zeros(1, 2))


def test_every_domain_finds_its_path(ring):
    """Each domain's classes are the sign of another column: its path is known."""
    x, _ = ring
    domains = {
        name: ((x[:128], (x[:128, k] > 0).long()), (x[128:], (x[128:, k] > 0).long()))
        for k, name in enumerate(("left", "right"))
    }
    heads = {name: nn.Linear(4, 2) for name in domains}
    paths = multi_path(
        columns(), domains, heads, epochs=12, batch_size=32, controller_lr=0.02, progress=False
    )
    assert paths.paths["left"]["x->h"] == "first"
    assert paths.paths["right"]["x->h"] == "second"
    assert "x->h" not in paths.shared_edges
    for name, (_, (inputs, classes)) in domains.items():
        wrong = float((paths.predict(name, inputs).argmax(1) != classes).double().mean())
        assert wrong < 0.1
    assert paths.history["train_nll"][-1] < paths.history["train_nll"][0]


def test_multi_path_refuses_domains_without_heads(ring):
    part = (ring, ring)
    with pytest.raises(ValueError, match="heads must be given for"):
        multi_path(columns(), {"a": part}, {"b": nn.Linear(4, 2)})
    with pytest.raises(ValueError, match="domains must be a mapping with one domain or more"):
        multi_path(columns(), {}, {})
    with pytest.raises(ValueError, match=r"domains must be pairs .* got others for \['a'\]"):
        multi_path(columns(), {"a": ring[0]}, {"a": nn.Linear(4, 2)})


def test_multi_path_refuses_a_domain_with_the_name_of_the_joint_loss(ring):
    names = ("left", "train_nll")
    domains, heads = dict.fromkeys(names, (ring, ring)), dict.fromkeys(names, nn.Linear(4, 2))
    with pytest.raises(
        ValueError, match=r"other names than 'train_nll'.* got \['left', 'train_nll'\]"
    ):
        multi_path(columns(), domains, heads, epochs=1, progress=False)
