"""Shared weights and tables, against the networks that they stand for."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import update_bn

import bayesnas as bn
from bayesnas.inference.search import (
    AmortizedJudge,
    Categorical,
    FitJudge,
    Integer,
    Latency,
    SearchSpace,
    Supernet,
    SupernetJudge,
    Table,
    When,
)
from bayesnas.inference.search import architecture as chosen
from bayesnas.inference.search.judges import fits
from bayesnas.inference.search.judges.enumeration import measure_all
from bayesnas.nn.graphs.darts_operations import Zero


def graph(width: int = 3) -> bn.nn.Graph:
    def options():
        curve = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        return {"none": Zero(), "line": nn.Linear(width, width, bias=False), "curve": curve}

    edges = {
        ("x", "a"): nn.Linear(2, width),
        ("a", "b"): options(),
        ("a", "c"): options(),
        ("b", "c"): options(),
        ("c", "y"): nn.Linear(width, 2),
    }
    return bn.nn.Graph(edges, example=torch.zeros(1, 2))


def ring(n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
    return x, (x.square().sum(1) > 1.4).long()


def test_an_architecture_of_a_supernet_is_that_of_the_graph():
    supernet, (x, _) = Supernet(graph()), ring()
    for candidate in supernet.space.candidates():
        alone = supernet.graph.discrete(chosen(supernet.graph, candidate))
        assert torch.allclose(supernet(x, candidate), alone(x), atol=1e-6)
        assert supernet.parameters_of(candidate) == alone.parameter_count
        assert supernet.multiply_adds_of(candidate) == alone.multiply_add_count


def normalised() -> bn.nn.Graph:
    """Two edges whose operations differ in scale and end in batch normalisation."""

    def options():
        line = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        return {"line": line, "squares": nn.Sequential(Squares(), nn.BatchNorm1d(2, momentum=0.3))}

    edges = {("x", "h"): options(), ("h", "z"): options(), ("z", "y"): nn.Linear(2, 2)}
    return bn.nn.Graph(edges, example=torch.zeros(2, 2))


class Squares(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 5 * x.square() + 1


def test_an_architecture_is_measured_with_its_own_batch_statistics():
    supernet, (x, y) = Supernet(normalised()), ring(60)
    supernet.fit(x, y, steps=40)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    for candidate in supernet.space.candidates():
        alone = supernet.graph.discrete(chosen(supernet.graph, candidate))
        update_bn([x[:40]], alone)
        output = alone.eval()(x[40:])
        measures = supernet.measure(candidate, x[40:], y[40:], calibration=x[:40])
        assert measures["nll"] == pytest.approx(cross_entropy(output, y[40:]).item(), abs=1e-5)
        own = supernet.measure(candidate, x, y)["nll"]
        assert own == pytest.approx(cross_entropy(alone.train()(x), y).item(), abs=1e-5)
        mixture = cross_entropy(supernet(x, candidate), y).item()
        assert abs(own - mixture) > 1e-3  # running averages are those of all four
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())
    momenta = {m.momentum for m in supernet.modules() if isinstance(m, nn.BatchNorm1d)}
    assert momenta == {0.1, 0.3}
    assert not any(module.training for module in supernet.modules())


@pytest.mark.parametrize("make", [graph, normalised])
def test_all_architectures_at_once_are_measured_as_one_by_one(make):
    supernet, (x, y) = Supernet(make()), ring()
    supernet.fit(x, y, steps=5)
    rows = list(measure_all(supernet, x, y))
    for candidate, measured in zip(supernet.space.candidates(), rows, strict=True):
        alone = supernet.measure(candidate, x, y)
        assert measured["error"] == pytest.approx(alone["error"])
        assert measured["nll"] == pytest.approx(alone["nll"], abs=1e-5)


def test_shared_weights_learn_and_leave_the_graph_and_the_random_state_alone():
    given, (x, y) = graph(8), ring(200)
    before = {name: value.clone() for name, value in given.state_dict().items()}
    state = torch.get_rng_state()
    supernet = Supernet(given)
    supernet.fit(x, y, steps=600, batch_size=50, lr=3e-2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in given.state_dict().items())
    curved = {"a->b": "curve", "a->c": "curve", "b->c": "curve"}
    dead = dict.fromkeys(curved, "none")
    share = float(y.double().mean())
    # Nothing of x arrives: no better than the larger class. The curve does better by far.
    assert supernet.measure(dead, x, y)["error"] >= min(share, 1 - share) - 1e-9
    assert supernet.measure(curved, x, y)["error"] < 0.6 * min(share, 1 - share)


def test_two_fits_of_one_seed_agree():
    torch.manual_seed(0)
    given, (x, y) = graph(), ring()
    first, second = Supernet(given), Supernet(given)
    assert first.fit(x, y, steps=10, seed=4) == second.fit(x, y, steps=10, seed=4)
    assert first.fit(x, y, steps=10, seed=4) != second.fit(x, y, steps=10, seed=5)


def test_weights_of_another_graph_are_refused(tmp_path):
    supernet = Supernet(graph())
    path = tmp_path / "weights.safetensors"
    supernet.save(path)
    again = Supernet(graph())
    again.load(str(path))
    x, _ = ring()
    candidate = next(supernet.space.candidates())
    assert torch.equal(again(x, candidate), supernet(x, candidate))
    other = Supernet(graph(4))
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(ValueError, match="must hold weights of this graph, got those of another"):
        other.load(path)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


SPACE = SearchSpace({"a": Integer(1, 3), "b": Categorical(("x", "y"))})


def test_a_table_gives_every_candidate_its_row(tmp_path):
    numbers = np.arange(6.0)
    table = Table(SPACE, {"score": numbers, "cost": -numbers}, {"seed": 1})
    table.save(str(tmp_path / "table.npz"))
    again = Table.load(str(tmp_path / "table.npz"))
    assert again.about == {"seed": 1}
    for row, candidate in enumerate(SPACE.candidates()):
        assert again(candidate) == {"score": row, "cost": -row}
    assert again.best("score") == 0
    with pytest.raises(ValueError, match=r"objective must be one of \[.score., .cost.\]"):
        again.best("width")


def test_wrong_tables_are_refused(tmp_path):
    with pytest.raises(ValueError, match="column 'score' must have one number for each of 6"):
        Table(SPACE, {"score": np.zeros(5)}, {})
    conditional = SearchSpace({"a": Integer(1, 2), "b": Integer(1, 2, when=When("a", (1,)))})
    with pytest.raises(ValueError, match="without conditions"):
        Table(conditional, {"score": np.zeros(3)}, {})
    path = tmp_path / "table.npz"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="truncated, damaged or no table"):
        Table.load(path)


def net(candidate):
    return bn.models.GaussianNet(bn.nn.mlp([2, candidate["width"], 2]))


def test_a_judged_fit_is_the_fit_itself_and_a_folder_keeps_it(tmp_path):
    rows, others = ring(40), ring(20)
    options = {"steps": 6, "device": "cpu", "compile": False}
    judge = FitJudge(net, rows, others, ("kl_weight", "seed"), options, folder=tmp_path)
    measures = judge({"width": 3, "kl_weight": 0.5, "seed": 2})
    post = bn.fit(net({"width": 3}), rows, kl_weight=0.5, seed=2, progress=False, **options)
    there, here = post.evaluate(others, draws=32), post.evaluate(rows, draws=32)
    assert measures["nll"] == there["nll"]
    assert measures["error"] == 1 - there["accuracy"]
    assert measures["bound"] == here["expected_log_lik"] - 0.5 * here["kl"]
    assert measures["evidence"] == here["expected_log_lik"] - here["kl"]
    assert measures["parameters"] == (2 + 1) * 3 + (3 + 1) * 2
    assert measures["multiply_adds"] == 2 * 3 + 3 * 2
    assert "latency" not in measures
    assert (tmp_path / "width=3,kl_weight=0.5,seed=2" / "run.json").exists()
    assert judge({"width": 3, "kl_weight": 0.5, "seed": 2}) == measures


def test_one_kl_weight_of_an_amortised_fit_is_judged_as_the_posterior_there():
    rows = ring(40)
    span = bn.LogUniform(0.1, 10.0)
    post = bn.fit(net({"width": 3}), rows, kl_weight=span, steps=6, device="cpu", progress=False)
    measures = AmortizedJudge(post, rows, rows)({"kl_weight": 2.0})
    assert measures["nll"] == post.at(2.0).evaluate(rows, draws=32)["nll"]
    with pytest.raises(ValueError, match="must be one number, got several"):
        FitJudge(net, rows, rows, (), {"kl_weight": span, "steps": 2})({"width": 2})


def test_the_evidence_is_a_bound_at_every_kl_weight_and_tight_at_one():
    """One weight, so a mean-field guide has the posterior itself, and ln p(y | x) is known."""
    x = torch.linspace(-1, 1, 40)[:, None]
    y = 1.5 * x[:, 0] + 0.5 * torch.randn(40, generator=torch.Generator().manual_seed(0))
    covariance = 0.25 * torch.eye(40) + x @ x.T
    exact = float(MultivariateNormal(torch.zeros(40), covariance).log_prob(y))

    def line(candidate):
        net = bn.nn.mlp([1, 1], bias=False)
        return bn.models.GaussianNet(net, likelihood="gaussian", noise_scale=0.5)

    options = {"steps": 200, "lr": 0.1, "device": "cpu"}
    judge = FitJudge(line, (x, y), (x, y), ("kl_weight",), options, draws=400)
    at_one, at_ten = judge({"kl_weight": 1.0}), judge({"kl_weight": 10.0})
    # The mean of 400 draws of E ln p has a standard error below 0.05 under either posterior.
    assert abs(at_one["evidence"] - exact) < 0.3
    assert at_one["evidence"] == at_one["bound"]
    assert at_ten["evidence"] < exact - 0.5
    assert at_ten["bound"] < at_ten["evidence"]


class Ticks:
    """A clock on which a reading takes a millisecond longer each time."""

    def __init__(self) -> None:
        self.readings, self.now = 0, 0.0

    def __call__(self) -> float:
        self.readings += 1
        self.now += 1e-3 * self.readings
        return self.now


def test_a_latency_is_measured_where_it_is_asked_for():
    rows = ring(40)
    latency = Latency(rows=8, repeats=3, warm_up=2, clock=Ticks())
    options = {"steps": 2, "device": "cpu", "compile": False}
    fitted = FitJudge(net, rows, rows, (), options, latency=latency)({"width": 3})
    # A pass lies between readings 2k − 1 and 2k, and takes 2k ms; k = 3, 4, 5 count.
    assert fitted["latency"] == pytest.approx(8.0)
    latency = Latency(repeats=1, warm_up=0, clock=Ticks())
    shared = SupernetJudge(Supernet(graph()), *rows, latency=latency)
    assert shared(next(shared.supernet.space.candidates()))["latency"] == pytest.approx(2.0)
    pair = bn.models.PyroPair(lambda x, y=None: None, lambda x, y=None: None)

    def no_network() -> nn.Module:
        return pair.plain_module()

    post = SimpleNamespace(example=rows, compact=no_network, model=pair)
    assert fits._costs(post, None) == {}
    with pytest.raises(ValueError, match="latency must be of a network of one input, got PyroPair"):
        fits._costs(post, latency)
