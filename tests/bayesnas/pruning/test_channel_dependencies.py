import pytest
import torch
from silenced_nets import assert_same_outputs, silence, size
from torch import nn
from torch.nn.functional import conv2d, linear

from bayesnas.pruning.compaction import compact


class Mixed(nn.Module):
    """Two dense layers with something in between."""

    def __init__(self, between):
        super().__init__()
        self.first, self.between, self.last = nn.Linear(4, 6), between, nn.Linear(6, 2)

    def forward(self, x):
        return self.last(self.between(self.first(x)))


class FromFunction(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    "between",
    [
        nn.LayerNorm(6),
        nn.GroupNorm(2, 6),
        nn.Softmax(1),
        FromFunction(lambda x: x - x.mean(1, keepdim=True)),
        FromFunction(lambda x: x.flip(1)),
        FromFunction(lambda x: x[:, [1, 0, 2, 3, 4, 5]]),
        FromFunction(lambda x: linear(x, torch.ones(6, 6))),
        FromFunction(lambda x: x.cumsum(1)),
        FromFunction(lambda x: x + torch.arange(6.0)),
        FromFunction(lambda x: x.view(-1, 6)),
        FromFunction(lambda x: torch.cat([x[:, 3:], x[:, :3]], 1)),
    ],
    ids=range(11),
)
def test_channels_that_are_mixed_stay(between):
    net = Mixed(between)
    silence(net.first.weight, rows=[5])
    silence(net.last.weight, columns=[0, 1])
    x = torch.randn(3, 4)

    small = compact(net, x)

    assert (small.first.out_features, small.last.in_features) == (6, 6)
    assert_same_outputs(small, net, x)


class Gated(nn.Module):
    """Channels weighted by a single-channel map, and by one weight a channel."""

    def __init__(self):
        super().__init__()
        self.body, self.where = nn.Conv2d(1, 6, 3), nn.Conv2d(1, 1, 3)
        self.which, self.last = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 2, 3)

    def forward(self, x):
        body = self.body(x) * torch.sigmoid(self.where(x))
        return self.last(body * torch.sigmoid(self.which(body.mean((2, 3), keepdim=True))))


def test_gates_keep_their_outputs():
    net = Gated()
    silence(net.last.weight, columns=[0, 1])
    silence(net.which.weight, columns=[0, 2])
    x = torch.randn(2, 1, 8, 8)

    small = compact(net, x)

    assert small.where.out_channels == 1
    assert_same_outputs(small, net, x)


class Functional(nn.Module):
    """Uses the weight of a layer outside this layer."""

    def __init__(self):
        super().__init__()
        self.encode, self.decode = nn.Linear(5, 4), nn.Linear(4, 5)

    def forward(self, x):
        hidden = torch.relu(self.encode(x))
        return self.decode(hidden) + linear(hidden, self.encode.weight.T)


def test_a_weight_used_elsewhere_stays_whole():
    net = Functional()
    silence(net.decode.weight, columns=[0, 1])
    x = torch.randn(3, 5)

    small = compact(net, x)

    assert small.encode.out_features == 4
    assert_same_outputs(small, net, x)


def test_tied_layers_stay_whole_and_tied():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    net[2].weight = net[0].weight
    silence(net[0].weight, rows=[0], columns=[1])
    silence(net[4].weight, columns=[2])
    x = torch.randn(3, 4)

    small = compact(net, x)

    assert small[2].weight is small[0].weight
    assert size(small) == size(net)
    assert_same_outputs(small, net, x)


def test_a_layer_used_twice_keeps_the_outputs():
    shared = nn.Linear(4, 4)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), shared, nn.Tanh(), shared, nn.Linear(4, 2))
    silence(shared.weight, rows=[0], columns=[1])
    x = torch.randn(3, 3)

    assert_same_outputs(compact(net, x), net, x)


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.left, self.right = nn.Linear(4, 6), nn.Linear(6, 2), nn.Linear(6, 3)

    def forward(self, x, y):
        hidden = torch.relu(self.first(x * y))
        return {"left": self.left(hidden), "others": (self.right(hidden), x + y)}


def test_several_inputs_and_outputs():
    net = TwoHeads()
    silence(net.left.weight, columns=[0, 1, 2])
    silence(net.right.weight, columns=[1, 2, 3])
    x, y = torch.randn(3, 4), torch.randn(3, 4)

    small = compact(net, (x, y))

    assert [m.in_features for m in (small.left, small.right)] == [4, 4]
    outputs, expected = small(x, y), net(x, y)
    torch.testing.assert_close(outputs["left"], expected["left"])
    torch.testing.assert_close(outputs["others"], expected["others"])


def test_hidden_layers_that_are_returned_stay():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x):
            hidden = self.first(x)
            return self.last(hidden), hidden

    net = Both()
    silence(net.last.weight, columns=[0, 1, 2])
    x = torch.randn(3, 4)

    assert compact(net, x).first.out_features == 6


def test_functional_convolutions_are_not_taken_for_elementwise():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        FromFunction(lambda x: conv2d(x, torch.ones(4, 4, 1, 1, dtype=x.dtype))),
        nn.Conv2d(4, 2, 3),
    )
    silence(net[2].weight, columns=[0, 1])
    x = torch.randn(2, 1, 8, 8)

    small = compact(net, x)

    assert small[0].out_channels == 4
    assert_same_outputs(small, net, x)
