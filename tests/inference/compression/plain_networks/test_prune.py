"""Plain networks pruned, in rounds, with training between them."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

import bayesnas as bn

QUIET = {"device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def trained(digits):
    torch.manual_seed(0)
    net = bn.nn.mlp([64, 12, 10])
    return bn.prune(net, digits, fraction=0.0, epochs=12, lr=1e-2, **QUIET).module


def zeros(net):
    return sum(int((p == 0).sum()) for name, p in net.named_parameters() if p.ndim > 1)


def loss(net, data):
    with torch.no_grad():
        return float(nn.functional.cross_entropy(net(data.x), data.y))


@pytest.mark.parametrize("by", ["magnitude", "obd", "fisher", "obs", "relevance", "random"])
def test_what_is_removed_is_zero_and_the_network_that_came_is_left_alone(by, digits, trained):
    before = copy.deepcopy(trained.state_dict())
    state = torch.get_rng_state()
    pruned = bn.prune(trained, digits, by=by, fraction=0.75, **QUIET)
    assert pruned.weights == 222
    assert zeros(pruned.module) == 666
    assert pruned.kept == pytest.approx(0.25)
    assert repr(pruned) == "Pruned(Sequential: 222 of 888 weights)"
    assert all(bool((p != 0).all()) for p in (pruned.module.layer1.bias, pruned.module.layer2.bias))
    assert all(torch.equal(trained.state_dict()[name], value) for name, value in before.items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("penalty", [{}, {"l1": 1e-3}, {"l2": 1e-2}])
def test_training_brings_nothing_back_and_lowers_the_loss(penalty, digits, trained):
    at_once = bn.prune(trained, digits, fraction=0.9, **QUIET)
    options = {"fraction": 0.9, "rounds": 3, "epochs": 3, "lr": 1e-2}
    pruned = bn.prune(trained, digits, **options, **penalty, **QUIET)
    assert pruned.weights == at_once.weights == 888 - round(0.9 * 888)
    assert zeros(pruned.module) == round(0.9 * 888)
    assert loss(pruned.module, digits) < loss(at_once.module, digits)
    again = bn.prune(trained, digits, **options, **penalty, **QUIET)
    assert torch.equal(pruned.module.layer1.weight, again.module.layer1.weight)


def test_penalties_make_weights_smaller(digits, trained):
    def size(**penalty):
        pruned = bn.prune(trained, digits, fraction=0.5, epochs=8, lr=1e-2, **penalty, **QUIET)
        with torch.no_grad():
            return float(sum(p.abs().sum() for p in pruned.module.parameters() if p.ndim > 1))

    assert max(size(l1=0.05), size(l2=0.05)) < size()


def test_rounds_take_the_same_part_of_what_is_left(digits, trained, monkeypatch):
    shares = []
    plan = bn.inference.compression.plain_networks.prune.RemovalPlan

    def at(self, fraction=None, threshold=None):
        shares.append(fraction)
        return original(self, fraction, threshold)

    original = plan.at
    monkeypatch.setattr(plan, "at", at)
    bn.prune(trained, digits, fraction=0.875, rounds=3, **QUIET)
    assert shares == pytest.approx([0.5, 0.75, 0.875])


def test_the_surgeon_leaves_a_linear_regression_at_least_squares():
    random = np.random.default_rng(3)
    x = random.normal(size=(50, 6))
    y = x @ np.array([1.0, 0.1, -2.0, 0.2, 0.5, -0.3]) + 0.5 + 0.1 * random.normal(size=50)
    design = np.column_stack([x, np.ones(50)])
    weights = np.linalg.lstsq(design, y, rcond=None)[0]
    net = nn.Linear(6, 1).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor(weights[None, :6]))
        net.bias.copy_(torch.tensor(weights[6:]))
    pruned = bn.prune(
        net, (torch.tensor(x), torch.tensor(y)), by="obs", fraction=0.5, likelihood="gaussian",
        noise_scale=0.1, **QUIET,
    )  # fmt: skip
    stay = [*pruned.masks["weight"].flatten().nonzero().flatten().tolist(), 6]
    assert len(stay) == 4
    expected = np.linalg.lstsq(design[:, stay], y, rcond=None)[0]
    left = np.append(pruned.module.weight.detach().numpy(), pruned.module.bias.detach().numpy())
    np.testing.assert_allclose(left[stay], expected, atol=1e-6)  # damped a little


def test_biases_go_when_asked(digits, trained):
    pruned = bn.prune(trained, digits, fraction=1.0, biases=True, **QUIET)
    assert all(bool((p == 0).all()) for p in pruned.module.parameters())


def test_a_threshold_is_a_magnitude_or_a_rise_of_the_loss(digits, trained):
    pruned = bn.prune(trained, digits, threshold=0.1, **QUIET)
    assert all(
        torch.equal(pruned.masks[f"{name}.weight"], getattr(trained, name).weight.abs() > 0.1)
        for name in ("layer1", "layer2")
    )
    assert bn.prune(trained, digits, by="obd", threshold=math.inf, **QUIET).weights == 0


def test_whole_units_go_and_the_small_network_is_the_same(digits, trained):
    pruned = bn.prune(trained, digits, by="fisher", fraction=0.5, groups=True, **QUIET)
    small = pruned.compact()
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in trained.parameters())
    torch.testing.assert_close(small(digits.x), pruned.module(digits.x))


def test_norms_and_frozen_weights_stay():
    net = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 5), nn.Linear(5, 3))
    net[2].requires_grad_(False)
    pruned = bn.prune(net, (torch.randn(9, 4), torch.arange(9) % 3), fraction=1.0, **QUIET)
    assert list(pruned.masks) == ["0.weight", "0.bias", "3.weight", "3.bias"]
    assert bool((pruned.module[1].weight == 1).all())
    assert torch.equal(pruned.module[2].weight, net[2].weight)
    assert zeros(pruned.module) == 24 + 15


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "fraction or threshold must be given"),
        ({"fraction": 0.5, "threshold": 1.0}, ValueError, "and not both"),
        ({"fraction": 1.2}, ValueError, r"fraction must be a fraction in \[0, 1\], got 1.2"),
        ({"fraction": math.nan}, ValueError, r"fraction must be a fraction in \[0, 1\]"),
        ({"threshold": -1.0}, ValueError, "threshold must be a number >= 0"),
        ({"threshold": 1.0, "by": "random"}, ValueError, "no meaning for by='random'"),
        ({"fraction": 0.5, "by": "fishers"}, ValueError, "got 'fishers'; did you mean 'fisher'"),
        ({"fraction": 0.5, "by": "density"}, TypeError, "by='density' needs a posterior"),
        ({"fraction": 0.5, "by": "evidence"}, TypeError, "by='evidence' needs a posterior"),
        ({"fraction": 0.5, "by": "relevance", "groups": True}, ValueError, "groups must be False"),
        ({"fraction": 0.5, "rounds": 0}, ValueError, "rounds must be a whole number from 1"),
        ({"fraction": 0.5, "epochs": -1}, ValueError, "epochs must be a whole number from 0"),
        ({"fraction": 0.5, "l1": -1.0}, ValueError, "l1 must be a finite number >= 0"),
        ({"fraction": 0.5, "lr": 0.0}, ValueError, "lr must be a finite number > 0"),
        ({"fraction": 0.5, "groups": 1}, ValueError, "groups must be True or False"),
        ({"fraction": 0.5, "likelihood": "gaussian"}, ValueError, "data: "),
    ],
)
def test_bad_arguments_are_named(options, error, message, digits, trained):
    with pytest.raises(error, match=message):
        bn.prune(trained, digits, **options, **QUIET)


def test_a_module_without_weights_and_too_large_a_one_are_named(digits):
    with pytest.raises(TypeError, match="module must have trainable parameters of two dims"):
        bn.prune(nn.LayerNorm(64), digits, fraction=0.5, **QUIET)
    with pytest.raises(ValueError, match="for at most 8,192 of them, got 9,010: by='obd' takes"):
        bn.prune(bn.nn.mlp([64, 120, 10]), digits, by="obs", fraction=0.5, **QUIET)
