"""The cells of the comparison: a net on a data set."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.data import DataSet, Split
from peer_methods.task import MakeNet

EPOCHS = {"mnist": 10, "fashion-mnist": 60, "digits": 2}
OTHER = {"mnist": "fashion-mnist", "fashion-mnist": "mnist"}
HIDDEN = 100


@dataclass(frozen=True)
class Cell:
    """A net, the data it is fitted and judged by, and images of another data set."""

    data: str
    net_name: str
    net: MakeNet
    train: Split
    validation: Split
    test: Split
    outside: Tensor
    epochs: int
    batch_size: int = 128

    @property
    def title(self) -> str:
        return f"{self.data}, {self.net_name}, {self.epochs} epochs"


def compared(data: str, net: str, epochs: int | None = None) -> Cell:
    """A cell by names."""
    flatten = net == "perceptron"
    part = images(data, flatten)
    assert part.validation is not None
    assert part.test is not None
    if data in OTHER:
        other = images(OTHER[data], flatten).test
        assert other is not None
        outside = other.x[: len(part.test)]
    else:
        outside = shuffled(part.test.x)
    return Cell(
        data, net, NETS[net](part.train.x[0]), part.train, part.validation, part.test, outside,
        EPOCHS[data] if epochs is None else epochs,
    )  # fmt: skip


def images(name: str, flatten: bool) -> DataSet:
    """A data set with a fifth of its training part held out."""
    if name != "digits":
        return bn.data.load(name, validation=0.2, flatten=flatten)
    data = bn.data.load(name, validation=0.2)
    if flatten:
        return data
    assert data.validation is not None
    assert data.test is not None
    return replace(
        data, train=square(data.train), validation=square(data.validation), test=square(data.test)
    )


def square(part: Split) -> Split:
    return Split(part.x.reshape(-1, 1, 8, 8), part.y, part.info)


def shuffled(x: Tensor) -> Tensor:
    """Images whose pixels have changed places: of the digits, which have no other data set."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(x[0].numel(), generator=generator)
    return x.flatten(1)[:, order].reshape(x.shape)


def perceptron(image: Tensor) -> MakeNet:
    """One hidden layer of 100."""

    def make(dropout: float = 0.0) -> nn.Sequential:
        last = [nn.Dropout(dropout)] if dropout else []
        return nn.Sequential(
            nn.Linear(image.numel(), HIDDEN), nn.ReLU(), *last, nn.Linear(HIDDEN, 10)
        )

    return make


def convolutional(image: Tensor) -> MakeNet:
    """Two convolutions with pooling and a linear layer: of 5 × 5, of the digits smaller."""
    sizes = (5, 5) if image.shape[-1] == 28 else (3, 2)

    def make(dropout: float = 0.0) -> nn.Sequential:
        last = [nn.Dropout(dropout)] if dropout else []
        features = nn.Sequential(
            nn.Conv2d(1, 8, sizes[0]), nn.MaxPool2d(2), nn.ReLU(),
            nn.Conv2d(8, 16, sizes[1]), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        width = features(image[None]).shape[1]
        return nn.Sequential(*features, *last, nn.Linear(width, 10))

    return make


NETS = {"perceptron": perceptron, "convolutional": convolutional}
