import json
from collections import OrderedDict

import pytest
import torch
from torch import nn

from bayesnas.nn.modules.gaussian_noise import GaussianNoise
from bayesnas.nn.modules.mlp import convnet, mlp
from bayesnas.nn.rebuilding.module_spec import UndescribableNetError, build, describe, summary


def round_trip(net):
    return build(json.loads(json.dumps(describe(net))))


LAYERS = [
    nn.Linear(4, 2, bias=False),
    nn.Linear(4, 2, dtype=torch.float64),
    nn.Bilinear(2, 3, 4),
    nn.Conv1d(4, 6, 3, 1, "same", 1, 2, False, "circular"),
    nn.Conv2d(1, 2, (3, 5), stride=2, padding=(1, 2), padding_mode="reflect"),
    nn.Conv3d(1, 2, 3, dilation=2),
    nn.ConvTranspose1d(2, 2, 3),
    nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, False, dtype=torch.bfloat16),
    nn.ConvTranspose3d(1, 1, 2),
    nn.BatchNorm1d(3, momentum=None),
    nn.BatchNorm2d(3, eps=1e-3, affine=False),
    nn.BatchNorm3d(3, track_running_stats=False),
    nn.InstanceNorm2d(3, affine=True),
    nn.LayerNorm((3, 4), bias=False),
    nn.LayerNorm(3, elementwise_affine=False),
    nn.GroupNorm(2, 4),
    nn.RMSNorm(3),
    nn.MaxPool2d(2, ceil_mode=True),
    nn.AvgPool1d(3),
    nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    nn.AdaptiveAvgPool2d((None, 3)),
    nn.PReLU(3, 0.1),
    nn.Hardtanh(-2.0, 2.0),
    nn.Threshold(0.1, 0.2),
    nn.GELU("tanh"),
    nn.LeakyReLU(0.3, inplace=True),
    nn.Softplus(2),
    nn.LogSoftmax(1),
    nn.Dropout2d(0.1),
    GaussianNoise(0.2),
    nn.Flatten(2, 3),
    nn.Unflatten(1, (2, 3)),
    nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
    nn.ZeroPad2d((1, 2, 3, 4)),
    nn.PixelShuffle(2),
    nn.Embedding(5, 3, padding_idx=1),
    nn.Identity(),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layers_come_back_with_their_settings_and_tensors(layer):
    net = nn.Sequential(layer)

    rebuilt = round_trip(net)

    assert repr(rebuilt) == repr(net)
    tensors = {key: (value.shape, value.dtype) for key, value in net.state_dict().items()}
    assert {k: (v.shape, v.dtype) for k, v in rebuilt.state_dict().items()} == tensors
    rebuilt.load_state_dict(net.state_dict())


@pytest.mark.parametrize(
    ("net", "shape"), [(mlp([6, 5, 3], "gelu"), (4, 6)), (convnet(), (2, 1, 28, 28))], ids=str
)
def test_a_rebuilt_net_with_the_same_weights_computes_the_same(net, shape):
    rebuilt = round_trip(net)
    rebuilt.load_state_dict(net.state_dict())

    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(rebuilt(x), net(x), rtol=0, atol=0)


def test_nested_and_named_sequentials_come_back():
    block = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 3), act=nn.ReLU()))
    net = nn.Sequential(OrderedDict(block=block, head=nn.Sequential(nn.Flatten(), nn.Linear(8, 2))))

    assert repr(round_trip(net)) == repr(net)
    assert repr(round_trip(nn.Linear(3, 1))) == repr(nn.Linear(3, 1))


def test_an_activation_used_twice_is_described_twice():
    relu = nn.ReLU()
    net = nn.Sequential(nn.Linear(2, 2), relu, nn.Linear(2, 2), relu)

    assert [type(layer) for layer in round_trip(net)] == [nn.Linear, nn.ReLU] * 2


def test_frozen_parameters_stay_frozen():
    net = mlp([3, 2, 1])
    net.layer1.weight.requires_grad_(False)

    frozen = {name: p.requires_grad for name, p in round_trip(net).named_parameters()}
    assert frozen == {name: name != "layer1.weight" for name in frozen}


def test_the_global_random_state_is_left_alone():
    net = mlp([4, 3, 2])
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    round_trip(net)
    assert torch.rand(1) == expected


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Residual(nn.Module):
    def forward(self, x):
        return x + 1


def hooked():
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda module, inputs, output: 2 * output)
    return layer


def overridden():
    layer = nn.ReLU()
    layer.forward = lambda x: x
    return layer


def enlarged():
    layer = nn.Linear(2, 2)
    layer.weight = nn.Parameter(torch.zeros(3, 2))
    return layer


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Doubled(2, 2), "layer 'body.0' is a .*Doubled"),
        (Residual(), "layer 'body.0' is a .*Residual"),
        (nn.ModuleList([nn.Linear(2, 2)]), "layer 'body.0' is a .*ModuleList"),
        (nn.TransformerEncoderLayer(4, 2), "TransformerEncoderLayer whose argument 'd_model'"),
        (nn.LSTM(3, 2), "layer 'body.0' is a LSTM"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "layer 'body.0' is a .*Linear"),
        (hooked(), "layer 'body.0' is a Linear with hooks"),
        (overridden(), "layer 'body.0' is a ReLU with hooks or a forward of its own"),
        (enlarged(), "layer 'body.0' is a Linear .*parameters or buffers would come back"),
        (nn.Linear(2, 2, dtype=torch.complex64), "Linear that can't be written to a run"),
    ],
    ids=lambda value: None if isinstance(value, nn.Module) else value[:30],
)
def test_what_cannot_be_described_says_where_and_what_to_do(layer, message):
    net = nn.Sequential(OrderedDict(body=nn.Sequential(layer, nn.ReLU())))

    with pytest.raises(UndescribableNetError, match=message) as raised:
        describe(net)
    assert "pass model= to bn.load" in str(raised.value)
    assert isinstance(raised.value, TypeError)


def test_a_layer_used_twice_and_a_tied_parameter_stay_one():
    shared, first, last = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    last.weight = first.weight

    net = round_trip(nn.Sequential(shared, nn.ReLU(), nn.Sequential(shared, first), last))

    assert net[0] is net[2][0]
    assert net[3].weight is net[2][1].weight
    assert net[3].bias is not net[2][1].bias
    assert len(list(net.parameters())) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"tied": [["1.weight", "0.nothing"]]},
        {"tied": [["nowhere.weight", "0.weight"]]},
        {"children": [["0", {"type": "Shared", "with": "7"}]]},
    ],
)
def test_what_is_shared_with_nothing_is_refused(change):
    with pytest.raises(ValueError, match="spec must (tie|share)"):
        build(describe(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))) | change)


def test_parameters_outside_the_layers_cannot_be_described():
    net = mlp([2, 2])
    net.register_parameter("extra", nn.Parameter(torch.zeros(1)))

    with pytest.raises(UndescribableNetError, match="parameters or buffers outside its layers"):
        describe(net)


def test_a_changed_setting_is_described_as_it_is():
    net = nn.Sequential(nn.BatchNorm1d(2))
    net[0].momentum = 0.5

    assert round_trip(net)[0].momentum == 0.5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "format 1, got None"),
        ({"format": 2, "type": "ReLU", "arguments": {}}, "format 1, got 2"),
        (
            {"format": 1, "type": "os.system", "arguments": {}},
            "layers of torch.nn, got 'os.system'",
        ),
        ({"format": 1, "type": "ModuleList", "arguments": {}}, "got 'ModuleList'"),
        ({"format": 1, "type": "functional", "arguments": {}}, "got 'functional'"),
        ({"format": 1, "type": "Parameter", "arguments": {}}, "got 'Parameter'"),
        ({"format": 1, "type": None, "arguments": {}}, "got None"),
        ({"format": 1, "type": "ReLU", "arguments": {"shell": 1}}, "got shell"),
        ({"format": 1, "type": "ReLU", "arguments": {"__class__": 1}}, "got __class__"),
        (
            {"format": 1, "type": "PReLU", "arguments": {}, "dtype": "load"},
            "dtype must be one of .*got 'load'",
        ),
    ],
)
def test_a_description_names_nothing_but_layers_of_torch(spec, message):
    with pytest.raises(ValueError, match=message):
        build(spec)


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (mlp([784, 50, 10]), "784–50–10"),
        (mlp([4, 1], bias=False), "4–1"),
        (nn.Sequential(mlp([4, 3]), nn.Tanh(), nn.Linear(3, 2)), "4–3–2"),
        (convnet(), "Sequential, 431,080 parameters"),
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)), "Sequential, 29 para"),
        (nn.Sequential(nn.Linear(4, 6), nn.GLU(), nn.Linear(3, 2)), "Sequential, 38 parameters"),
        (nn.Linear(2, 2), "Linear, 6 parameters"),
        (nn.Sequential(nn.ReLU()), "Sequential, 0 parameters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_summary_names_widths_or_size(net, text):
    assert summary(net).startswith(text)
