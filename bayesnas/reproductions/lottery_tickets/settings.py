"""Network, data and settings of the lottery tickets."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

import bayesnas as bn
from bayesnas.data import DataSet
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.small_data import small_data


@dataclass(frozen=True)
class Settings:
    """What decides the numbers.

    Attributes:
        data: name of the data set.
        examples: of the training part.
        widths: of the network.
        starts: initial weights.
        rounds: of removal.
        controls: rounds whose tickets are compared with re-initialised and random ones.
        epochs: of a round.
        rate: part of what a hidden layer has left that goes in a round; of the last one half of it.
        lr: learning rate of Adam, constant.
        batch_size: examples in a batch.
        seed: of the first start.
    """

    data: str
    examples: int
    widths: tuple[int, ...]
    starts: int
    rounds: int
    controls: tuple[int, ...]
    epochs: int
    rate: float = 0.2
    lr: float = 1.2e-3
    batch_size: int = 60
    seed: int = 1

    def to_dict(self) -> dict[str, Any]:
        """All of them, as JSON values."""
        return {**asdict(self), "widths": list(self.widths), "controls": list(self.controls)}


def prepare(request: Request) -> tuple[Settings, DataSet]:
    """Settings and data of a request: LeNet-300-100, or a small network where quick.

    Raises:
        FileNotFoundError: MNIST is not there and can't be downloaded.
    """
    if request.quick:
        data = small_data(request.root)
        small = (data.train.x[0].numel(), 100, 10)
        starts = request.seeds or 1
        return Settings(data.name, len(data.train), small, starts, 5, (5,), 2), data
    data = bn.data.load("mnist", root=request.root)
    lenet, controls = (784, 300, 100, 10), (9, 15)
    return Settings(data.name, len(data.train), lenet, request.seeds or 3, 15, controls, 1), data


class GlorotLinear(nn.Linear):
    """A linear layer that begins as the source's: w ~ N(0, 2 / (inputs + outputs)), b = 0."""

    def reset_parameters(self) -> None:
        """Draw weights by Glorot and Bengio (2010)."""
        nn.init.xavier_normal_(self.weight)
        nn.init.zeros_(self.bias)


def network(widths: Sequence[int]) -> nn.Module:
    """A multilayer perceptron with ReLU, drawn from torch's global random state.

    >>> network([4, 3, 2])[1].weight.shape
    torch.Size([3, 4])
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in itertools.pairwise(widths):
        layers += [GlorotLinear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
