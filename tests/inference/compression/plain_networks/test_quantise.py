"""Shared weights: few numbers, trained, and as a file."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import bayesnas as bn

CPU = {"device": "cpu"}


@pytest.fixture(scope="module")
def sparse(digits):
    torch.manual_seed(0)
    net = bn.nn.mlp([64, 20, 10])
    options = {"progress": False, **CPU}
    trained = bn.prune(net, digits, fraction=0.0, epochs=15, lr=1e-2, **options).module
    return bn.prune(trained, digits, fraction=0.8, epochs=5, lr=1e-2, **options)


def loss(net, data):
    with torch.no_grad():
        return float(nn.functional.cross_entropy(net(data.x), data.y))


@pytest.mark.parametrize("epochs", [0, 3])
def test_each_layer_has_few_numbers_and_zeros_stay(epochs, digits, sparse):
    before = copy.deepcopy(sparse.module.state_dict())
    state = torch.get_rng_state()
    quantised = bn.quantise(sparse.module, digits, bits=3, epochs=epochs, **CPU)
    for layer in ("layer1", "layer2"):
        weight = getattr(quantised.module, layer).weight
        assert len(weight[weight != 0].unique()) <= 8
        assert torch.equal(weight != 0, getattr(sparse.module, layer).weight != 0)
        assert torch.equal(quantised.masks[f"{layer}.weight"], weight != 0)
        assert weight.requires_grad
    assert quantised.weights == sparse.weights
    assert list(quantised.module.state_dict()) == list(before)
    assert all(
        torch.equal(sparse.module.state_dict()[name], value) for name, value in before.items()
    )
    assert torch.equal(torch.get_rng_state(), state)


def test_training_the_numbers_lowers_the_loss(digits, sparse):
    at_once = bn.quantise(sparse.module, digits, bits=2, epochs=0, **CPU)
    trained = bn.quantise(sparse.module, digits, bits=2, epochs=10, lr=1e-3, **CPU)
    assert loss(trained.module, digits) < loss(at_once.module, digits)


def test_convolutions_have_bits_of_their_own():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3))
    data = torch.randn(12, 1, 8, 8), torch.arange(12) % 3
    quantised = bn.quantise(net, data, bits=1, convolution_bits=4, epochs=1, **CPU).module
    assert len(quantised[0].weight.unique()) == 16
    assert len(quantised[3].weight.unique()) == 2


def test_the_whole_of_it_as_a_file(digits, sparse, tmp_path):
    shared = bn.quantise(sparse.module, digits, epochs=1, **CPU)
    size = shared.encode(tmp_path / "net.bin")
    assert size == (tmp_path / "net.bin").stat().st_size
    # 296 weights of at most 5 + 5 bits, 30 biases and two code books in 32, and the layers' names.
    assert size < 296 * 10 / 8 + 4 * (30 + 64) + 600
    assert torch.equal(bn.decode(tmp_path / "net.bin")(digits.x), shared.module(digits.x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 0}, "bits must be a whole number from 1 to 8, got 0"),
        ({"bits": 9}, "bits must be a whole number from 1 to 8, got 9"),
        ({"convolution_bits": 9}, "convolution_bits must be a whole number from 1 to 8"),
        ({"epochs": -1}, "epochs must be a whole number from 0"),
        ({"lr": 0}, "lr must be a finite number > 0"),
    ],
)
def test_bad_arguments_are_named(options, message, digits, sparse):
    with pytest.raises(ValueError, match=message):
        bn.quantise(sparse.module, digits, **options, **CPU)
