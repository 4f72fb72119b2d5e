import numpy as np
import pytest
import torch
from torch import nn

from bayesnas.nn.modules.mlp import convnet, mlp


def names(net):
    return [name for name, _ in net.named_children()]


def test_mlp_has_named_layers_of_the_widths():
    net = mlp([64, 100, 30, 10])

    assert names(net) == ["flatten", "layer1", "activation1", "layer2", "activation2", "layer3"]
    shapes = {key: tuple(value.shape) for key, value in net.named_parameters()}
    assert shapes == {
        "layer1.weight": (100, 64),
        "layer1.bias": (100,),
        "layer2.weight": (30, 100),
        "layer2.bias": (30,),
        "layer3.weight": (10, 30),
        "layer3.bias": (10,),
    }


def test_mlp_computes_the_formula():
    net = mlp([6, 4, 3], activation="tanh")
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))

    first, last = net.layer1, net.layer2
    by_hand = torch.tanh(x.reshape(5, 6) @ first.weight.T + first.bias) @ last.weight.T + last.bias
    torch.testing.assert_close(net(x), by_hand)


@pytest.mark.parametrize(
    ("name", "at_minus_one"),
    [
        ("relu", 0.0),
        ("tanh", -0.7615942),
        ("gelu", -0.1586553),
        ("silu", -0.2689414),
        ("elu", -0.6321206),
        ("leaky_relu", -0.01),
        ("sigmoid", 0.2689414),
        ("softplus", 0.3132617),
    ],
)
def test_activations_by_name(name, at_minus_one):
    net = mlp([1, 1, 1], activation=name)

    assert net.activation1(torch.tensor(-1.0)).item() == pytest.approx(at_minus_one, abs=1e-6)


def test_mlp_without_bias_and_without_hidden_layers():
    net = mlp([4, 2], bias=False)

    assert names(net) == ["flatten", "layer1"]
    assert net.layer1.bias is None


def test_numpy_widths_are_whole_numbers():
    assert mlp(tuple(np.array([4, 2]))).layer1.in_features == 4


@pytest.mark.parametrize("widths", [[], [3], [3, 0], [3, 2.5], [3, True], [3, -1], "34", 34])
def test_bad_widths_are_named(widths):
    with pytest.raises(ValueError, match="widths must be two or more whole numbers >= 1, got"):
        mlp(widths)


def test_unknown_activation_is_answered_with_the_nearest_names():
    with pytest.raises(ValueError, match="activation must be a known name, got 'relo'.*relu"):
        mlp([2, 2, 2], activation="relo")
    with pytest.raises(ValueError, match="got 'zzzz'; known: relu, tanh"):
        mlp([2, 2, 2], activation="zzzz")


def test_convnet_is_lenet_5_caffe():
    net = convnet()

    assert names(net) == [
        *("conv1", "conv_activation1", "pool1", "conv2", "conv_activation2", "pool2"),
        *("flatten", "layer1", "activation1", "layer2"),
    ]
    sizes = [parameter.numel() for parameter in net.parameters()]
    assert sizes == [20 * 25, 20, 50 * 20 * 25, 50, 500 * 50 * 16, 500, 500 * 10, 10]
    assert sum(sizes) == 431_080  # the size of LeNet-5-Caffe in the compression literature
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        ({"channels": (4,), "hidden": (), "classes": 3, "image": (12, 9)}, (2, 1, 12, 9)),
        ({"channels": [4, 5, 6], "kernel": 3, "pool": 1, "image": 8, "in_channels": 3}, None),
        ({"in_channels": 3, "image": 32, "activation": "gelu"}, None),
    ],
)
def test_convnet_runs_on_the_images_it_was_made_for(kwargs, shape):
    net = convnet(**kwargs)
    side = kwargs["image"]

    x = torch.zeros(shape or (2, kwargs["in_channels"], side, side))
    assert net(x).shape == (2, kwargs.get("classes", 10))
    assert any(isinstance(layer, nn.MaxPool2d) for layer in net) == (kwargs.get("pool", 2) > 1)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"channels": ()}, "channels must be one or more whole numbers >= 1"),
        ({"hidden": (0,)}, "hidden must be whole numbers >= 1"),
        ({"classes": 0}, "classes must be a whole number >= 1, got 0"),
        ({"in_channels": 1.5}, "in_channels must be a whole number >= 1, got 1.5"),
        ({"kernel": None}, "kernel must be a whole number >= 1, got None"),
        ({"pool": True}, "pool must be a whole number >= 1, got True"),
        ({"image": (28, 28, 1)}, "image must be a whole number >= 1 or two of them"),
        ({"image": 8}, "nothing is left of it after conv2"),
        ({"activation": "tahn"}, "did you mean 'tanh'"),
    ],
)
def test_convnet_names_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        convnet(**kwargs)
