"""Ready-made plain nets: a multilayer perceptron and a small convolutional net."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from bayesnas.checks import shown, size, whole_number
from bayesnas.scalars import is_whole
from bayesnas.typed import typed
from bayesnas.words import did_you_mean

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
}


@typed(unchecked=("widths", "activation"))
def mlp(widths: Sequence[int], activation: str = "relu", bias: bool = True) -> nn.Sequential:
    """A multilayer perceptron: x -> W_L a(... a(W_1 x + b_1) ...) + b_L.

    Args:
        widths: number of inputs, of units in each hidden layer, and of outputs.
        activation: ``"relu"``, ``"tanh"``, ``"gelu"``, ``"silu"``, ``"elu"``, ``"leaky_relu"``,
            ``"sigmoid"`` or ``"softplus"``; none follows the last layer.
        bias: whether the layers have biases.

    Returns:
        A ``Sequential`` of ``flatten``, ``layer1``, ``activation1``, ``layer2``, ... It takes
        `n x ...` with ``widths[0]`` values a row, and gives `n x widths[-1]`.

    Raises:
        ValueError: ``widths`` are not two or more whole numbers >= 1, or the activation is unknown.

    >>> net = mlp([64, 100, 10])
    >>> [name for name, _ in net.named_children()]
    ['flatten', 'layer1', 'activation1', 'layer2']
    >>> net.layer1.weight.shape
    torch.Size([100, 64])
    """
    sizes = _whole_numbers("widths", widths, at_least=2)
    make_activation = _activation(activation)
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    layers.update(_dense_layers(sizes, make_activation, bias))
    return nn.Sequential(layers)


@typed(unchecked=("channels", "hidden", "image", "activation"))
def convnet(
    channels: Sequence[int] = (20, 50),
    hidden: Sequence[int] = (500,),
    classes: int = 10,
    in_channels: int = 1,
    image: int | tuple[int, int] = 28,
    kernel: int = 5,
    pool: int = 2,
    activation: str = "relu",
) -> nn.Sequential:
    """Convolutions with max pooling, then dense layers; by default LeNet-5-Caffe.

    The default has 20 and 50 filters of 5 x 5, 500 hidden units and 431,080 parameters: the net
    on which Bayesian compression is usually compared (LeCun, Bottou, Bengio and Haffner, 1998,
    in the form of the Caffe examples; activations after the convolutions as in Louizos, Ullrich
    and Welling, 2017).

    Args:
        channels: filters of each convolution (stride 1, no padding).
        hidden: units of each hidden dense layer; may be empty.
        classes: number of outputs.
        in_channels: channels of the images.
        image: side of the (square) images in pixels, or (height, width).
        kernel: side of the filters in pixels.
        pool: side of the pooling windows in pixels; 1 for no pooling layers.
        activation: as in :func:`mlp`.

    Returns:
        A ``Sequential`` of ``conv1``, ``conv_activation1``, ``pool1``, ..., ``flatten``,
        ``layer1``, ``activation1``, ... It takes `n x in_channels x height x width`, and gives
        `n x classes`.

    Raises:
        ValueError: a size is not a whole number >= 1, nothing is left of the image before the last
            convolution, or the activation is unknown.

    >>> net = convnet()
    >>> [name for name, _ in net.named_children()][:4]
    ['conv1', 'conv_activation1', 'pool1', 'conv2']
    >>> sum(p.numel() for p in net.parameters())
    431080
    """
    filters = _whole_numbers("channels", channels, at_least=1)
    units = _whole_numbers("hidden", hidden, at_least=0)
    height, width = _image_size(image)
    classes = size("classes", classes)
    incoming = size("in_channels", in_channels)
    kernel = size("kernel", kernel)
    pool = whole_number("pool", pool)
    make_activation = _activation(activation)

    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, outgoing in enumerate(filters, start=1):
        layers[f"conv{number}"] = nn.Conv2d(incoming, outgoing, kernel)
        layers[f"conv_activation{number}"] = make_activation()
        if pool > 1:
            layers[f"pool{number}"] = nn.MaxPool2d(pool)
        height, width = (height - kernel + 1) // pool, (width - kernel + 1) // pool
        if min(height, width) < 1:
            raise ValueError(
                f"image must be large enough for {len(filters)} convolutions with kernel={kernel} "
                f"and pool={pool}, got {image}: nothing is left of it after conv{number}"
            )
        incoming = outgoing
    layers["flatten"] = nn.Flatten()
    layers.update(_dense_layers([incoming * height * width, *units, classes], make_activation))
    return nn.Sequential(layers)


def _dense_layers(
    sizes: Sequence[int], make_activation: Callable[[], nn.Module], bias: bool = True
) -> OrderedDict[str, nn.Module]:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    last = len(sizes) - 1
    for number in range(1, last + 1):
        layers[f"layer{number}"] = nn.Linear(sizes[number - 1], sizes[number], bias=bias)
        if number < last:
            layers[f"activation{number}"] = make_activation()
    return layers


def _activation(name: str) -> Callable[[], nn.Module]:
    if isinstance(name, str) and name in _ACTIVATIONS:
        return _ACTIVATIONS[name]
    hint = did_you_mean(name, _ACTIVATIONS) or f"; known: {', '.join(_ACTIVATIONS)}"
    raise ValueError(f"activation must be a known name, got {shown(name)}{hint}")


_LARGEST_SIDE = 2**16  # of an image, in pixels


def _image_size(image: int | tuple[int, int]) -> tuple[int, int]:
    sides = list(image) if isinstance(image, Sequence) else [image, image]
    if len(sides) != 2 or not all(is_whole(side) and 1 <= side <= _LARGEST_SIDE for side in sides):
        raise ValueError(
            "image must be a whole number >= 1 or two of them, (height, width), at most "
            f"{_LARGEST_SIDE:,}, got {shown(image)}"
        )
    return int(sides[0]), int(sides[1])


def _whole_numbers(name: str, values: object, at_least: int) -> list[int]:
    given: list[Any] = list(values) if isinstance(values, Sequence) else [None]
    if len(given) < at_least or not all(is_whole(v) and v >= 1 for v in given):
        amount = ("", "one or more ", "two or more ")[at_least]
        raise ValueError(f"{name} must be {amount}whole numbers >= 1, got {shown(values)}")
    return [int(value) for value in given]
