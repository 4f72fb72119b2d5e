"""Shared weights and tables, against the networks that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.inference.search import (
    AmortizedJudge,
    Categorical,
    FitJudge,
    Integer,
    SearchSpace,
    Supernet,
    Table,
    When,
)
from bayesnas.inference.search import architecture as chosen
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


def test_all_architectures_at_once_are_measured_as_one_by_one():
    supernet, (x, y) = Supernet(graph()), ring()
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
    found = judge({"width": 3, "kl_weight": 0.5, "seed": 2})
    post = bn.fit(net({"width": 3}), rows, kl_weight=0.5, seed=2, progress=False, **options)
    there, here = post.evaluate(others, draws=32), post.evaluate(rows, draws=32)
    assert found["nll"] == there["nll"]
    assert found["error"] == 1 - there["accuracy"]
    assert found["bound"] == here["expected_log_lik"] - 0.5 * here["kl"]
    assert found["parameters"] == (2 + 1) * 3 + (3 + 1) * 2
    assert (tmp_path / "width=3,kl_weight=0.5,seed=2" / "run.json").exists()
    assert judge({"width": 3, "kl_weight": 0.5, "seed": 2}) == found


def test_one_kl_weight_of_an_amortised_fit_is_judged_as_the_posterior_there():
    rows = ring(40)
    span = bn.LogUniform(0.1, 10.0)
    post = bn.fit(net({"width": 3}), rows, kl_weight=span, steps=6, device="cpu", progress=False)
    found = AmortizedJudge(post, rows, rows)({"kl_weight": 2.0})
    assert found["nll"] == post.at(2.0).evaluate(rows, draws=32)["nll"]
    with pytest.raises(ValueError, match="must be one number, got several"):
        FitJudge(net, rows, rows, (), {"kl_weight": span, "steps": 2})({"width": 2})
