"""ENAS and the budgeted super network: on data whose best operation is known; enumeration."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.inference.elbo.nonfinite import NonFiniteLossError
from bayesnas.inference.search.judges.supernet import Supernet
from bayesnas.inference.search.strategies.policies import IndependentPolicy
from bayesnas.inference.search.strategies.shared_weights.alternation import (
    Alternation,
    SharedTraining,
)
from bayesnas.inference.search.strategies.shared_weights.budgeted_supernet import (
    ExpectedCost,
    budgeted_supernet,
)
from bayesnas.inference.search.strategies.shared_weights.checkpoint import SearchCheckpoint
from bayesnas.inference.search.strategies.shared_weights.enas import enas
from bayesnas.inference.search.strategies.shared_weights.rounds import run_rounds
from bayesnas.inference.search.strategies.shared_weights.samples import Batches, Sample
from bayesnas.runtime.random_state import RandomStream

SHORT = {"epochs": 12, "batch_size": 32, "progress": False, "device": "cpu"}


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.square()


def ring_graph() -> bn.nn.Graph:
    """For data in a ring: squares do, lines do not; the second edge has a costly operation."""
    first = {"line": nn.Linear(2, 2), "square": nn.Sequential(Square(), nn.Linear(2, 2))}
    second = {"cheap": nn.Linear(2, 2), "dear": nn.Sequential(nn.Linear(2, 8), nn.Linear(8, 2))}
    return bn.nn.Graph({("x", "h"): first, ("h", "y"): second}, example=torch.zeros(1, 2))


@pytest.fixture(scope="module")
def halves():
    x = torch.randn(512, 2, generator=torch.Generator().manual_seed(0))
    y = (x.square().sum(1) > 1.4).long()
    return (x[:256], y[:256]), (x[256:], y[256:])


def test_enas_finds_the_operation_that_fits(halves):
    result = enas(ring_graph(), *halves, controller_lr=0.02, seed=0, **SHORT)
    assert result.candidate["x->h"] == "square"
    losses = {tuple(c.values()): loss for c, loss in result.ranked}
    assert losses == dict(sorted(losses.items(), key=lambda pair: pair[1]))
    assert result.history["loss"][-1] < result.history["loss"][0]
    network = result.architecture()
    assert network.mixed == ()
    name = result.candidate["h->y"]
    shared = result.supernet.graph.primitive(("h", "y"), name).state_dict()
    taken = network.primitive(("h", "y"), network.names["h", "y"][0]).state_dict()
    assert all(torch.equal(shared[key], taken[key]) for key in shared)


def test_enas_is_the_same_twice_and_leaves_the_callers_graph_and_numbers(halves):
    graph, state = ring_graph(), torch.get_rng_state()
    before = {name: value.clone() for name, value in graph.state_dict().items()}
    state = torch.get_rng_state()
    options = {**SHORT, "epochs": 2, "controller_steps": 3}
    one, two = (enas(graph, *halves, seed=4, **options) for _ in range(2))
    assert one.ranked == two.ranked
    assert one.history == two.history
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in graph.state_dict().items())


def test_a_budget_leaves_the_cheap_operation(halves):
    """12 parameters or 48."""
    result = budgeted_supernet(ring_graph(), *halves, budget=20, seed=0, **SHORT)
    assert result.candidate == {"x->h": "square", "h->y": "cheap"}
    assert all(candidate["h->y"] == "cheap" for candidate, _ in result.ranked)


def test_the_expected_cost_is_that_of_enumeration():
    graph = ring_graph()
    costs, policy = ExpectedCost(graph, "parameters"), IndependentPolicy([2, 2])
    policy.free.data = torch.randn(2, 2)
    names = [graph.names[edge] for edge in graph.mixed]
    total = torch.zeros(())
    for places in itertools.product(range(2), repeat=2):
        choice = {
            edge: graph.names[edge][place] for edge, place in zip(graph.mixed, places, strict=True)
        }
        size = graph.discrete(choice).parameter_count
        candidate = {"x->h": names[0][places[0]], "h->y": names[1][places[1]]}
        assert costs.of(candidate) == size
        total = total + policy(torch.tensor([places]))[0].exp()[0] * size
    torch.testing.assert_close(costs(policy), total)
    one, two = (torch.autograd.grad(value, policy.free)[0] for value in (costs(policy), total))
    torch.testing.assert_close(one, two)


def test_a_step_moves_the_weights_of_the_drawn_architecture_alone(halves):
    supernet, policy = Supernet(ring_graph()), IndependentPolicy([2, 2])
    policy.free.data = torch.tensor([[0.0, 0.0], [50.0, -50.0]])  # always "cheap"
    settings = Alternation(
        epochs=1, batch_size=32, lr=0.1, weight_decay=0.1, warm_up=0, policy_steps=1,
        policy_batch=1, policy_lr=0.1, baseline_decay=0.9, entropy_weight=0.0,
    )  # fmt: skip
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    nothing = SearchCheckpoint(None, {}, supernet.graph, {}, every=1, resume=False)
    parts = [Sample(*half) for half in halves]
    stream = RandomStream(0, torch.device("cpu"))
    with stream.active():
        training = SharedTraining(
            supernet, policy, settings, *parts, loss="nll", penalty=None, seed=0
        )
        run_rounds(training, 1, checkpoint=nothing, stream=stream, progress=False)
    moved = {name for name, value in supernet.state_dict().items() if (value != before[name]).any()}
    assert moved == {name for name in before if ".dear." not in name}


def test_batches_see_every_example_once_a_pass():
    torch.manual_seed(0)
    batches = Batches(Sample(torch.arange(6.0), torch.arange(6)), 3)
    seen = torch.cat([batches.next().y for _ in range(4)])
    assert seen[:6].sort().values.tolist() == seen[6:].sort().values.tolist() == list(range(6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": (torch.zeros(3, 2), torch.zeros(3))}, "data must have inputs .* and classes"),
        ({"data": (torch.zeros(3, 2), torch.arange(4))}, "data must have inputs"),
        ({"validation": None}, r"validation must be \(x, y\) or a part of a data set, got None"),
        ({"data": (torch.full((3, 2), torch.nan), torch.arange(3))}, "data.x must be finite"),
        ({"epochs": 0}, "epochs must be a whole number from 1"),
        ({"loss": "accuracy"}, "loss must be one of"),
        ({"budget": 5}, "budget must be at least the cost of the cheapest architecture, 12, got 5"),
        ({"cost": "latency"}, "cost must be one of"),
    ],
)
def test_bad_input(halves, change, message):
    given = {"data": halves[0], "validation": halves[1], "budget": 20, **SHORT, **change}
    with pytest.raises(ValueError, match=message):
        budgeted_supernet(ring_graph(), **given)


def test_a_graph_without_a_choice_is_refused(halves):
    graph = bn.nn.Graph({("x", "y"): nn.Linear(2, 2)}, example=torch.zeros(1, 2))
    with pytest.raises(ValueError, match="graph must have a mixed edge"):
        enas(graph, *halves, **SHORT)


def test_a_budget_that_nothing_drawn_is_within_is_said(halves, monkeypatch):
    def dear(policy, uniforms, present=None):
        return torch.ones(uniforms.shape, dtype=torch.long)

    monkeypatch.setattr(IndependentPolicy, "sample", dear)
    options = {**SHORT, "epochs": 1, "policy_steps": 1, "derive": 3}
    with pytest.warns(
        UserWarning, match="none of 3 architectures drawn is within the budget of 12"
    ):
        search = budgeted_supernet(ring_graph(), *halves, budget=12, **options)
    assert search.candidate == {"x->h": "square", "h->y": "dear"}


def test_a_graph_without_weights_and_weights_that_diverge_are_said(halves):
    with pytest.raises(NonFiniteLossError, match="not finite in round 1: try a smaller lr than"):
        enas(ring_graph(), *halves, **{**SHORT, "lr": 1e30})
    plain = bn.nn.Graph({("x", "y"): [nn.Identity(), Square()]}, example=torch.zeros(1, 2))
    with pytest.raises(ValueError, match="graph must have an operation with weights, got none"):
        enas(plain, *halves, **SHORT)


def test_weights_of_a_supernet_of_another_graph_are_refused(halves, tmp_path):
    result = enas(ring_graph(), *halves, **{**SHORT, "epochs": 1})
    result.supernet.save(tmp_path / "weights.safetensors")
    again = Supernet(ring_graph())
    again.load(tmp_path / "weights.safetensors")
    x = halves[0][0]
    assert torch.equal(again(x, result.candidate), result.supernet(x, result.candidate))
    other = bn.nn.Graph({("x", "y"): [nn.Linear(2, 2), nn.Linear(2, 2)]}, example=torch.zeros(1, 2))
    with pytest.raises(ValueError, match="must hold weights of this graph, got those of another"):
        Supernet(other).load(tmp_path / "weights.safetensors")
