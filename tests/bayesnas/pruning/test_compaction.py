import warnings

import numpy as np
import pytest
import torch
from silenced_nets import assert_same_outputs, silence, size
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

import bayesnas.pruning.compaction
from bayesnas.nn.modules.mlp import convnet, mlp
from bayesnas.pruning.channel_dependencies import End
from bayesnas.pruning.compaction import compact
from bayesnas.pruning.dead_channels import Edit


def sparse_mlp(seed, activation="relu", bias=True):
    rng = np.random.default_rng(seed)
    widths = [int(w) for w in rng.integers(2, 12, size=rng.integers(3, 6))]
    net = mlp(widths, activation=activation, bias=bias)
    with torch.no_grad():
        for parameter in net.parameters():
            gone = torch.rand_like(parameter) < rng.uniform(0.3, 0.97)
            parameter[gone] = 0
    return net, widths


def widths_on_paths(net, widths):
    """Hidden units that lie on a path of non-zero weights from an input to an output."""
    wired = [layer.weight.detach().numpy() != 0 for layer in net if isinstance(layer, nn.Linear)]
    forward = [np.ones(widths[0], dtype=bool)]
    for weight in wired:
        forward.append((weight & forward[-1]).any(1))
    backward = [np.ones(widths[-1], dtype=bool)]
    for weight in reversed(wired):
        backward.insert(0, (weight & backward[0][:, None]).any(0))
    both = [int((f & b).sum()) for f, b in zip(forward, backward, strict=True)]
    return [widths[0], *(max(1, count) for count in both[1:-1]), widths[-1]]


@pytest.mark.parametrize("seed", range(24))
def test_exactly_the_units_on_a_path_through_the_net_stay(seed):
    activation = ("relu", "tanh", "sigmoid", "softplus")[seed % 4]
    net, widths = sparse_mlp(seed, activation)
    x = torch.randn(16, widths[0])

    small = compact(net, x)

    linear_layers = [layer for layer in small if isinstance(layer, nn.Linear)]
    left = [linear_layers[0].in_features, *(layer.out_features for layer in linear_layers)]
    assert left == widths_on_paths(net, widths)
    assert_same_outputs(small, net, x)


def test_a_net_without_weights_keeps_one_unit_a_layer_and_its_constant_output():
    net = mlp([64, 100, 50, 10])
    for layer in (net.layer1, net.layer2, net.layer3):
        nn.init.zeros_(layer.weight)
    x = torch.randn(4, 64)

    small = compact(net, x)

    assert size(small) == (64 + 1) + (1 + 1) + (10 + 10)
    torch.testing.assert_close(small(x), net.layer3.bias.expand(4, 10))


def test_a_net_without_zeros_stays_whole():
    net = mlp([5, 4, 3])
    small = compact(net, torch.randn(2, 5))
    assert all(torch.equal(a, b) for a, b in zip(small.parameters(), net.parameters(), strict=True))


def test_constant_units_move_into_the_bias_by_their_value():
    net = mlp([3, 4, 2], activation="tanh")
    silence(net.layer1.weight, rows=[1, 2])

    small = compact(net, torch.randn(5, 3))

    constants = torch.tanh(net.layer1.bias[1:3])
    shifted = net.layer2.bias + net.layer2.weight[:, 1:3] @ constants
    torch.testing.assert_close(small.layer2.bias, shifted)
    torch.testing.assert_close(small.layer1.weight, net.layer1.weight[[0, 3]])


def test_a_layer_without_bias_gets_one_only_if_there_is_something_to_put_there():
    for activation, has_bias in (("sigmoid", True), ("relu", False)):
        net = mlp([3, 4, 2], activation=activation, bias=False)
        silence(net.layer1.weight, rows=[0])
        x = torch.randn(5, 3)

        small = compact(net, x)

        assert small.layer1.bias is None
        assert (small.layer2.bias is not None) == has_bias
        assert small.layer1.out_features == 3
        assert_same_outputs(small, net, x)


def test_inputs_and_outputs_stay():
    net = mlp([4, 5, 3])
    silence(net.layer1.weight, columns=[0, 1])
    silence(net.layer2.weight, rows=[2])
    x = torch.randn(6, 4)

    small = compact(net, x)

    assert size(small) == size(net)
    assert_same_outputs(small, net, x)


def test_units_over_sequences_go_too():
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 2))
    silence(net[2].weight, rows=[0, 1], columns=[1, 2, 3])
    x = torch.randn(3, 7, 4)

    small = compact(net, x)

    assert [small[i].out_features for i in (0, 2, 4)] == [5, 4, 2]
    assert_same_outputs(small, net, x)


class ThroughNumpy(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.last(torch.from_numpy(np.tanh(self.first(x).numpy())))


def test_a_net_that_cannot_be_followed_stays_whole_and_says_why():
    net = ThroughNumpy()
    silence(net.last.weight, columns=[0])
    x = torch.randn(3, 4)

    with pytest.warns(UserWarning, match="ThroughNumpy could not be followed.*numpy") as caught:
        small = compact(net, x)

    assert len(caught) == 1
    assert small is not net
    assert size(small) == size(net)
    assert_same_outputs(small, net, x)


def test_an_example_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="example must be an input that the net runs on, got Run"):
        compact(mlp([4, 3, 2]), torch.zeros(2, 5))


def test_the_net_its_modes_types_and_flags_are_kept():
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 2)).double()
    net[0].weight.requires_grad_(False)
    net[2].eval()
    silence(net[3].weight, columns=[0, 1])
    before = {key: value.clone() for key, value in net.state_dict().items()}
    state = torch.random.get_rng_state()

    small = compact(net, torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator()))

    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert [m.training for m in small] == [True, True, False, True]
    assert small[0].out_features == 4
    assert {p.dtype for p in small.parameters()} == {torch.float64}
    assert [p.requires_grad for p in small.parameters()] == [False, True, True, True]
    assert all(p.grad is None for p in small.parameters())


class Pixels(nn.Module):
    """Casts its input itself, so that it can't be run in double precision."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)

    def forward(self, x):
        return self.last(torch.tanh(self.norm(self.first(x.float() / 255))))


def test_a_net_that_fixes_its_precision_shrinks_in_it():
    net = Pixels().eval()
    silence(net.first.weight, rows=[3])
    silence(net.last.weight, columns=[0, 1])
    x = torch.randint(0, 256, (5, 4))

    small = compact(net, x)

    assert small.first.out_features == small.norm.num_features == 3
    torch.testing.assert_close(small(x), net(x), rtol=1e-5, atol=1e-5)


def test_gradients_switched_off_by_the_caller_do_no_harm():
    net = mlp([4, 6, 2])
    silence(net.layer2.weight, columns=[0, 1])
    x = torch.randn(3, 4)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            assert compact(net, x).layer1.out_features == 4


def test_nothing_is_printed_and_nothing_warned(capfd):
    net = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2))
    net.scale = nn.Parameter(torch.ones(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compact(net, torch.randn(3, 4))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (mlp([6, 5, 4, 3]), (4, 6)),
        (convnet(), (2, 1, 28, 28)),
        (ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5), (2, 3, 32, 32)),
    ],
    ids=["mlp", "lenet", "resnet"],
)
def test_the_result_goes_through_torch_export(net, shape):
    net.eval()
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            silence(module.weight, columns=range(0, module.weight.shape[1], 2))
    x = torch.randn(shape)

    small = compact(net, x)

    assert size(small) < size(net)
    exported = torch.export.export(small, (x,)).module()
    torch.testing.assert_close(exported(x), net(x), rtol=1e-5, atol=1e-5)


def test_what_fails_verification_is_not_removed(monkeypatch):
    net = mlp([4, 6, 2], activation="tanh")
    silence(net.layer2.weight, columns=[0])

    def edits(working, probes):
        if working.layer1.out_features < 6:
            return []
        right, wrong, impossible = Edit(), Edit(), Edit()
        for edit, unit in ((right, 0), (wrong, 1)):
            edit.remove[End("layer1", "out")] = {unit}
            edit.remove[End("layer2", "in")] = {unit}
        impossible.remove[End("layer1", "out")] = {2}
        return [wrong, right, impossible]

    monkeypatch.setattr(bayesnas.pruning.compaction, "find_edits", edits)
    x = torch.randn(3, 4)

    small = compact(net, x)

    torch.testing.assert_close(small.layer1.weight, net.layer1.weight[1:])
    assert_same_outputs(small, net, x)
