"""The network that changes its own weights: addresses, gradients, and whether changing helps."""

from __future__ import annotations

import math

import pytest
import torch

from bayesnas.inference.learned.meta_levels.net import MetaLevelNet
from bayesnas.inference.learned.meta_levels.regressions import (
    errors,
    regressions,
    train_on_regressions,
)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return MetaLevelNet(inputs=2, outputs=1, hidden=3, sharpness=30.0).double()


def address_of(net, number):
    """Activations of address units that mean one weight."""
    return [2.0 * ((number >> digit) & 1) - 1.0 for digit in range(net.address)]


def test_every_weight_has_an_address_of_its_own(net):
    assert len(net.codes) == net.weights.numel() <= 2**net.address
    assert len(set(map(tuple, net.codes.tolist()))) == len(net.codes)
    assert net.codes[5].tolist() == address_of(net, 5)
    smaller = net.address - 1  # with fewer digits there would be more weights than addresses
    units = 1 + 3 + 2 * smaller + 1
    assert units * (2 + 1 + 2 + units) > 2**smaller


@pytest.mark.parametrize("number", [0, 17, 101])
def test_a_sharp_address_reads_and_writes_one_weight(net, number):
    # Only the bias acts, by which the address units mean the weight and Δ is tanh(0.5).
    first = net.outputs + net.hidden
    bias = net.inputs + net.outputs + 1
    with torch.no_grad():
        net.weights.zero_()
        address = torch.tensor(address_of(net, number)).double()
        for start in (first, first + net.address):
            net.weights[start : start + net.address, bias] = 3 * address
        net.weights[-1, bias] = 0.5
        net.weights.view(-1)[number] += 0.25
    zeros = torch.zeros(2, net.inputs, dtype=torch.double)
    state = net.advance(zeros, zeros[:, :1], net.start(2))
    before = net.weights.detach()
    assert torch.allclose(state.value, before.view(-1)[number].expand(2, 1), atol=1e-6)
    expected = before.clone()
    expected.view(-1)[number] += math.tanh(0.5)
    torch.testing.assert_close(state.weights[1].detach(), expected, rtol=1e-6, atol=1e-6)


def test_without_modification_it_is_a_plain_recurrent_network(net):
    net.modifies = False
    x, y, _ = torch.randn(3, 4, 6, 2).double().unbind()
    y = y[..., :1]
    predicted = net(x, y)
    units, error, value = torch.zeros(4, len(net.weights)).double(), torch.zeros(4, 1).double(), 0.0
    for step in range(6):
        read = torch.full((4, 1), 0.0).double() + value
        row = torch.cat([x[:, step], error, read, torch.ones(4, 1).double(), units], 1)
        total = row @ net.weights.T
        torch.testing.assert_close(predicted[:, step], total[:, :1])
        units, error = total.tanh(), y[:, step] - total[:, :1]
        reading = units[:, 4 : 4 + net.address]
        kernel = (30.0 * reading @ net.codes.T).softmax(1)
        value = kernel @ net.weights.view(-1, 1)


def test_gradients_through_time_are_finite_differences(net):
    net.sharpness = 1.0
    x, y = torch.randn(3, 5, 2).double(), torch.randn(3, 5, 1).double()

    def loss():
        return (net(x, y) - y).square().mean()

    (slope,) = torch.autograd.grad(loss(), net.weights)
    direction = torch.randn_like(net.weights)
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            net.weights += sign * 1e-5 * direction
            ends.append(float(loss()))
            net.weights -= sign * 1e-5 * direction
    assert math.isclose(float((slope * direction).sum()), (ends[0] - ends[1]) / 2e-5, rel_tol=1e-6)


def test_sequences_are_lines_one_after_another():
    x, y = regressions(5, tasks=3, examples=4, seed=1)
    for task in range(3):
        part = slice(4 * task, 4 * task + 4)
        slopes = (y[:, part].diff(dim=1) / x[:, part].diff(dim=1)).squeeze(-1)
        torch.testing.assert_close(slopes, slopes[:, :1].expand(5, 3), rtol=1e-2, atol=1e-3)
    again = regressions(5, tasks=3, examples=4, seed=1)
    assert torch.equal(again.x, x)
    assert not torch.equal(regressions(5, tasks=3, examples=4, seed=2).x, x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": 0, "outputs": 1}, "inputs must"),
        ({"inputs": 1, "outputs": 1, "hidden": 0}, "hidden must"),
        ({"inputs": 1, "outputs": 1, "sharpness": 0.0}, "sharpness must"),
        ({"inputs": 1, "outputs": 1, "modifies": 1}, "modifies must"),
    ],
)
def test_what_a_net_refuses(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MetaLevelNet(**options)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_changing_its_weights_lowers_the_error_on_later_examples(seed):
    torch.manual_seed(seed)
    net = MetaLevelNet(1, 1, hidden=4)
    net = train_on_regressions(net, steps=800, lr=0.02, seed=seed)
    sequences = regressions(500, tasks=2, examples=10, seed=12345)
    whole = errors(net, sequences)[:, 15:].mean(1)
    net.modifies = False
    cut = errors(net, sequences)[:, 15:].mean(1)
    difference = cut - whole
    assert difference.mean() > 5.5 * difference.std() / len(difference) ** 0.5
