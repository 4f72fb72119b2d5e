"""The networks of the step benchmark, with layers to choose: plain ones, or Bayesian by hand."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PRIOR = 0.1

Layers = tuple[Callable[..., nn.Module], Callable[..., nn.Module]]


class HandLayer(nn.Module):
    """A linear or convolution layer with Gaussian weights, as one writes it by hand."""

    def __init__(self, layer: nn.Linear | nn.Conv2d, local: bool) -> None:
        """Take shapes and starting means from a plain layer."""
        super().__init__()
        assert layer.bias is not None
        self.loc, self.bias_loc = nn.Parameter(layer.weight.data), nn.Parameter(layer.bias.data)
        self.log_scale = nn.Parameter(torch.full_like(self.loc, -4.0))
        self.bias_log_scale = nn.Parameter(torch.full_like(self.bias_loc, -4.0))
        self.local = local
        self.padding = layer.padding if isinstance(layer, nn.Conv2d) else None

    def apply_layer(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Apply the deterministic layer."""
        if self.padding is None:
            return F.linear(x, weight, bias)
        return F.conv2d(x, weight, bias, padding=self.padding)

    def forward(self, x: Tensor) -> Tensor:
        """Sample the outputs, or the weights once a batch."""
        if self.local:
            mean = self.apply_layer(x, self.loc, self.bias_loc)
            squares = (2 * self.log_scale).exp(), (2 * self.bias_log_scale).exp()
            variance = self.apply_layer(x.square(), *squares)
            return mean + variance.sqrt() * torch.randn_like(mean)
        weight = self.loc + self.log_scale.exp() * torch.randn_like(self.loc)
        bias = self.bias_loc + self.bias_log_scale.exp() * torch.randn_like(self.bias_loc)
        return self.apply_layer(x, weight, bias)

    def kl(self) -> Tensor:
        """KL(q ‖ N(0, 0.1²)) of weight and bias."""
        pairs = (self.loc, self.log_scale), (self.bias_loc, self.bias_log_scale)
        terms = [
            (math.log(PRIOR) - s + ((2 * s).exp() + m * m) / (2 * PRIOR**2) - 0.5).sum()
            for m, s in pairs
        ]
        return terms[0] + terms[1]


def hand_layers(local: bool) -> Layers:
    """Linear and convolution layers by hand."""
    return (
        lambda *shape, **options: HandLayer(nn.Linear(*shape, **options), local),
        lambda *shape, **options: HandLayer(nn.Conv2d(*shape, **options), local),
    )


PLAIN: Layers = (nn.Linear, nn.Conv2d)


class Cell(nn.Module):
    """A mixed operation: convolutions, pooling and identity, weighted by a softmax."""

    def __init__(self, channels: int, conv: Callable[..., nn.Module]) -> None:
        """Create the operations."""
        super().__init__()
        self.conv3, self.conv5 = (
            conv(channels, channels, 3, padding=1),
            conv(channels, channels, 5, padding=2),
        )
        self.mix = nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        """Mix the operations."""
        outputs = self.conv3(x), self.conv5(x), F.max_pool2d(x, 3, 1, 1), x
        weights = self.mix.softmax(0)
        return torch.relu(sum(w * y for w, y in zip(weights, outputs, strict=True)))


def mlp(layers: Layers) -> nn.Module:
    """784–100–10: 80 thousand parameters."""
    linear, _ = layers
    return nn.Sequential(
        OrderedDict(layer1=linear(784, 100), activation=nn.ReLU(), layer2=linear(100, 10))
    )


def wide(width: int) -> Callable[[Layers], nn.Module]:
    """784–width–width–10: 1.8 million parameters at 1,000, 19 million at 4,000."""

    def make(layers: Layers) -> nn.Module:
        linear, _ = layers
        return nn.Sequential(
            linear(784, width), nn.ReLU(), linear(width, width), nn.ReLU(), linear(width, 10)
        )

    return make


def conv(layers: Layers) -> nn.Module:
    """Two convolutions with pooling and a linear layer, on 28×28 images."""
    linear, conv2d = layers
    return nn.Sequential(
        conv2d(1, 8, 5), nn.MaxPool2d(2), nn.ReLU(),
        conv2d(8, 16, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), linear(256, 10),
    )  # fmt: skip


def cell(layers: Layers) -> nn.Module:
    """A stem, two mixed cells and a linear layer, on 28×28 images."""
    linear, conv2d = layers
    return nn.Sequential(
        conv2d(1, 8, 3, padding=1), nn.MaxPool2d(4), Cell(8, conv2d), Cell(8, conv2d),
        nn.Flatten(), linear(392, 10),
    )  # fmt: skip


NETS = {
    "mlp": mlp,
    "mlp1000": wide(1000),
    "mlp4000": wide(4000),
    "conv": conv,
    "cell": cell,
}


def batch(name: str, size: int = 256) -> tuple[Tensor, Tensor]:
    """A batch of noise of the shape of MNIST: speed doesn't depend on its values."""
    generator = torch.Generator().manual_seed(0)
    shape = (size, 784) if name.startswith("mlp") else (size, 1, 28, 28)
    return (
        torch.rand(*shape, generator=generator),
        torch.randint(0, 10, (size,), generator=generator),
    )
