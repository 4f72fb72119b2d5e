"""functional_call: a module run with other values, and left as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bayesnas.nn.functional_call import functional_call


class Twice(nn.Module):
    """One layer under two names, and one parameter tied between two layers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2, dtype=torch.float64)
        self.again = nn.Sequential(self.first, nn.Tanh())
        self.left, self.right = (nn.Linear(2, 2, dtype=torch.float64) for _ in range(2))
        self.right.weight = self.left.weight
        self.register_buffer("shift", torch.zeros(2, dtype=torch.float64))

    def forward(self, x, *, scale=1.0):
        return scale * self.right(self.left(self.again(self.first(x)))) + self.shift


def values(net, seed):
    generator = torch.Generator().manual_seed(seed)
    named = [*net.named_parameters(), *net.named_buffers()]
    return {
        n: torch.randn(t.shape, dtype=t.dtype, generator=generator, requires_grad=True)
        for n, t in named
    }


def by_hand(v, x, scale):
    def linear(h, weight, bias):
        return h @ v[f"{weight}.weight"].T + v[f"{bias}.bias"]

    h = torch.tanh(linear(linear(x, "first", "first"), "first", "first"))
    return scale * linear(linear(h, "left", "left"), "left", "right") + v["shift"]


@pytest.mark.parametrize(
    "alias", [{}, {"first.weight": "again.0.weight"}, {"left.weight": "right.weight"}]
)
def test_outputs_and_gradients_are_those_of_the_values(alias):
    net, x = Twice(), torch.randn(3, 2, dtype=torch.float64)
    state = values(net, 1)
    expected = by_hand(state, x, 2.0)
    expected.sum().backward()
    gradients = {name: value.grad.clone() for name, value in state.items()}
    for value in state.values():
        value.grad = None

    output = functional_call(
        net, {alias.get(name, name): value for name, value in state.items()}, x, {"scale": 2.0}
    )
    output.sum().backward()

    torch.testing.assert_close(output, expected)
    for name, value in state.items():
        torch.testing.assert_close(value.grad, gradients[name])


def test_the_module_is_left_as_it_was():
    net = Twice()
    before = {name: id(t) for name, t in net.named_parameters(remove_duplicate=False)}

    functional_call(net, values(net, 1), torch.zeros(1, 2, dtype=torch.float64))

    after = {name: id(t) for name, t in net.named_parameters(remove_duplicate=False)}
    assert after == before
    assert net.first is net.again[0]


def test_an_error_inside_leaves_it_so_too():
    net = Twice()
    before = [id(t) for t in net.parameters()]
    with pytest.raises(RuntimeError):
        functional_call(net, values(net, 1), torch.zeros(1, 5, dtype=torch.float64))
    assert [id(t) for t in net.parameters()] == before


def test_two_values_for_one_parameter_are_refused():
    net = Twice()
    a, b = torch.zeros(2, 2), torch.ones(2, 2)
    with pytest.raises(
        ValueError, match="one value for tied parameters, got another: right.weight"
    ):
        functional_call(net, {"left.weight": a, "right.weight": b}, torch.zeros(1, 2))


def test_a_recurrent_layer_reads_the_values():
    """h = tanh(w x + u h + b), by hand over three steps."""
    net = nn.RNN(1, 1, batch_first=True)
    w, u, a, b = (
        torch.full(shape, value)
        for shape, value in (((1, 1), 0.5), ((1, 1), -0.3), ((1,), 0.1), ((1,), 0.2))
    )
    state = {"weight_ih_l0": w, "weight_hh_l0": u, "bias_ih_l0": a, "bias_hh_l0": b}
    x, h = torch.tensor([[[1.0], [2.0], [-1.0]]]), torch.zeros(1, 1)
    before = [id(weight) for weight in net._flat_weights]

    outputs, _ = functional_call(net, state, x)

    for t in range(3):
        h = torch.tanh(0.5 * x[:, t] - 0.3 * h + 0.3)
        torch.testing.assert_close(outputs[:, t], h)
    assert [id(weight) for weight in net._flat_weights] == before
