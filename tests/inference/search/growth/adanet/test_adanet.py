"""AdaNet: mixture weights against SciPy, sums of subnetworks by hand, growth."""

from __future__ import annotations

import math
import os
import signal

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

import bayesnas as bn
from bayesnas.inference.search import AdaNet, adanet
from bayesnas.inference.search.growth.adanet import search as module
from bayesnas.inference.search.growth.adanet.mixture import objective, solve_mixture
from bayesnas.nn import SubnetworkSum
from bayesnas.runtime.interrupt import InterruptedFitWarning

SMALL = {"width": 4, "epochs": 4, "lr": 0.1, "batch_size": 32, "most_rounds": 3}


def parts_and_labels(seed, parts=4, rows=40, classes=3):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (rows,), generator=generator)
    grown = torch.randn(parts, rows, classes, generator=generator).double()
    grown[0] += nn.functional.one_hot(y, classes)
    grown[1] = grown[0] + 0.1 * grown[1]
    return grown, y


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("penalty", [0.0, 0.01, 0.1])
def test_mixture_weights_are_those_of_scipy(seed, penalty):
    parts, y = parts_and_labels(seed)
    penalties = penalty * torch.tensor([1.0, 2.0, 0.5, 1.0]).double()

    def split(both):  # w = u - v with u, v >= 0 makes |w| smooth
        u, v = torch.tensor(both).chunk(2)
        value = objective(parts, y, u - v, torch.zeros(4).double()) + (penalties * (u + v)).sum()
        return float(value)

    expected = minimize(split, np.full(8, 0.1), bounds=[(0, None)] * 8, options={"ftol": 1e-15})
    grown = solve_mixture(parts, y, penalties)
    assert grown.objective == pytest.approx(float(expected.fun), abs=1e-6)
    assert grown.objective <= expected.fun + 1e-8
    weights = expected.x[:4] - expected.x[4:]
    assert grown.weights.tolist() == pytest.approx(weights.tolist(), abs=2e-3)
    assert grown.objective == pytest.approx(float(objective(parts, y, grown.weights, penalties)))


def test_a_large_penalty_leaves_no_weight_and_a_start_changes_nothing():
    parts, y = parts_and_labels(0)
    none = solve_mixture(parts, y, torch.full((4,), 10.0), torch.ones(4))
    assert none.weights.tolist() == [0.0] * 4
    assert none.objective == pytest.approx(math.log(3))
    penalties = torch.full((4,), 0.01)
    start = torch.tensor([3.0, -2.0, 0.0, 1.0])
    first, second = (solve_mixture(parts, y, penalties, each) for each in (None, start))
    assert first.objective == pytest.approx(second.objective, abs=1e-8)


def test_a_constant_part_gets_no_weight():
    parts, y = parts_and_labels(0)
    parts[2] = 1.0  # moves all logits alike
    assert solve_mixture(parts, y, torch.full((4,), 0.01)).weights[2] == 0


def test_a_sum_by_hand():
    torch.manual_seed(0)
    net, x = SubnetworkSum(2, 3, [[], [4], [5, 6]]), torch.randn(7, 2)
    with torch.no_grad():
        net.mixture.copy_(torch.tensor([0.5, -1.0, 2.0]))
    linear, one, two = net.subnetworks
    first = torch.relu(one.layers[0](x))
    second = torch.relu(two.layers[0](x))
    third = torch.relu(two.layers[1](torch.cat([second, first], 1)))
    expected = 0.5 * linear.output(x) - one.output(first) + 2 * two.output(third)
    assert torch.allclose(net(x), expected, atol=1e-6)
    assert torch.equal(SubnetworkSum(2, 3, [])(x), torch.zeros(7, 3))


@pytest.fixture(scope="module")
def rings():
    """Two classes by the distance from 0, which no linear network tells apart."""
    x = torch.randn(240, 2, generator=torch.Generator().manual_seed(0))
    return x, (x.square().sum(1) > 1.4).long()


@pytest.fixture(scope="module")
def grown(rings):
    x, y = rings
    return adanet((x[:160], y[:160]), (x[160:], y[160:]), **{**SMALL, "epochs": 10})


def test_the_network_grows_only_where_its_objective_falls(grown):
    history = grown.history
    accepted = history[history.accepted]
    assert (accepted.objective.diff().dropna() < -1e-3).all()
    assert accepted.objective.iloc[0] == pytest.approx(math.log(2))
    assert grown.depths == accepted.depth.tolist()[1:]
    assert 1 in grown.depths  # a linear network does not do
    for number, candidates in history[history["round"] > 0].groupby("round"):
        deepest = max([0, *accepted[accepted["round"] < number].depth])
        assert candidates.depth.tolist() == [deepest, deepest + 1]
        best = candidates.objective.idxmin()
        assert not candidates.accepted.drop(best).any()


def test_the_objective_is_that_of_the_network_and_no_weights_have_a_lower_one(grown, rings):
    x, y = rings[0][:160], rings[1][:160]
    last = grown.history[grown.history.accepted].iloc[-1]
    with torch.no_grad():
        parts = grown.module.parts(x)
        loss = float(nn.functional.cross_entropy(grown.module(x), y))
    penalties = 0.003 * torch.tensor(grown.depths).double().sqrt() + 0.001
    penalty = float((penalties * torch.tensor(grown.mixture).abs()).sum())
    assert loss == pytest.approx(last.loss, abs=1e-5)
    assert penalty == pytest.approx(last.penalty, abs=1e-6)
    assert grown.objective == pytest.approx(loss + penalty, abs=1e-5)
    assert solve_mixture(parts, y, penalties).objective == pytest.approx(grown.objective, abs=1e-5)
    spread = parts - parts.mean(2, keepdim=True)
    for square in spread.square().mean((1, 2)).tolist():
        assert square == pytest.approx(1.0, abs=1e-3)


def test_validation_is_that_of_the_network(grown, rings):
    x, y = rings[0][160:], rings[1][160:]
    last = grown.history[grown.history.accepted].iloc[-1]
    with torch.no_grad():
        outputs = grown.module(x)
    assert last.validation_accuracy == float((outputs.argmax(1) == y).double().mean())
    assert last.validation_loss == pytest.approx(
        float(nn.functional.cross_entropy(outputs, y)), abs=1e-6
    )
    assert last.validation_accuracy > 0.8
    assert last.parameters == sum(each.numel() for each in grown.module.parameters())


def test_earlier_subnetworks_stay_as_they_were(rings):
    one, two = (adanet(rings, **{**SMALL, "most_rounds": rounds}) for rounds in (1, 2))
    assert len(two.depths) == 2
    for name, value in one.module.subnetworks[0].state_dict().items():
        assert torch.equal(two.module.subnetworks[0].state_dict()[name], value)


def test_a_penalty_that_is_too_large_lets_nothing_grow(rings):
    none = adanet(rings, **SMALL, weight_penalty=10.0)
    assert (none.depths, none.objective) == ([], pytest.approx(math.log(2)))
    assert len(none.history) == 3  # the search has ended after a round
    assert torch.equal(none.module(rings[0]), torch.zeros(240, 2))


def test_a_costly_depth_keeps_the_network_shallow(rings):
    x = rings[0]
    y = (x[:, 0] > 0).long()  # linear
    flat = adanet((x, y), **SMALL, complexity_weight=1.0)
    assert set(flat.depths) == {0}


def test_a_seed_gives_one_result_and_leaves_the_random_state(rings):
    before = torch.get_rng_state()
    first, again, other = (adanet(rings, **SMALL, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert first.steps == again.steps != other.steps


def test_files_give_the_result_back(grown, rings, tmp_path):
    grown.save(tmp_path)
    loaded = AdaNet.load(tmp_path)
    assert (loaded.depths, loaded.mixture, loaded.steps) == (
        grown.depths,
        grown.mixture,
        grown.steps,
    )
    assert torch.equal(loaded.module(rings[0]), grown.module(rings[0]))


def test_an_interrupt_gives_the_network_as_it_stood(rings, monkeypatch):
    mixed = module._Growth._mixed

    def interrupted(self, net):
        if len(net.widths) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return mixed(self, net)

    monkeypatch.setattr(module._Growth, "_mixed", interrupted)
    with pytest.warns(InterruptedFitWarning, match="with 1 subnetworks"):
        assert len(adanet(rings, **SMALL).depths) == 1


def test_what_does_not_fit_is_refused(rings):
    x, y = rings
    for options, message in [
        ({"width": 0}, "width"),
        ({"complexity_weight": -1.0}, "complexity_weight"),
        ({"weight_penalty": math.nan}, "weight_penalty"),
        ({"complexity": lambda depth: -1.0}, "complexity must be"),
        ({"most_rounds": 0}, "most_rounds"),
        ({"least_gain": -1.0}, "least_gain"),
        ({"epochs": 0}, "epochs"),
        ({"lr": 0.0}, "lr"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"validation": (x, y + 1)}, "validation: y must be below 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            adanet(rings, **{**SMALL, **options})
    with pytest.raises(ValueError, match="data: .*whole numbers"):
        adanet((x, x[:, 0]), **SMALL)
    with pytest.raises(TypeError, match="complexity must be a function"):
        adanet(rings, **{**SMALL, "complexity": 3})
    with pytest.raises(TypeError, match="data must be"):
        adanet(bn)
