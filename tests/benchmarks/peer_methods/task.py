"""What every method is given, and what it gives back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from bayesnas.data import Split

DRAWS = 16  # of the weights, of every prediction by a method that draws them
ROWS = 2_000  # that are predicted at once
LOOKS = 10  # at predictions during a fit, at most

Predict = Callable[[Tensor], Tensor]
"""Rows ``[n, ...]`` to class probabilities ``[n, classes]``."""


class MakeNet(Protocol):
    """Makes the net of a comparison, with dropout before its last layer where a method wants it."""

    def __call__(self, dropout: float = 0.0) -> nn.Sequential: ...


def processor_seconds() -> float:
    """Time of the processor, of this process and of the compilers that it waited for."""
    return sum(os.times()[:4])


@dataclass
class Watch:
    """Looks at a method now and then while it fits; what a look costs does not count.

    Attributes:
        look: mean log loss of predictions, in nats an example.
        epochs: of the fit.
        seen: processor seconds since the start and log loss, of every look.
    """

    look: Callable[[Predict], float]
    epochs: int
    seen: list[tuple[float, float]] = field(default_factory=list)
    _began: float = 0.0

    def start(self) -> None:
        self._began = processor_seconds()

    def __call__(self, epoch: int, predict: Predict) -> None:
        """Look at the end of an epoch, counted from one: of ten epochs, and of the last."""
        every = max(1, self.epochs // LOOKS)
        if epoch % every and epoch != self.epochs:
            return
        stopped = processor_seconds()
        self.seen.append((stopped - self._began, self.look(predict)))
        self._began += processor_seconds() - stopped


@dataclass
class Task:
    """A net, its data, and how long and how fast it is fitted."""

    net: MakeNet
    train: Split
    validation: Split
    epochs: int
    batch_size: int
    lr: float
    seed: int
    watch: Watch

    @property
    def batches_an_epoch(self) -> int:
        return -(-len(self.train) // self.batch_size)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch in a random order."""
        for rows in torch.randperm(len(self.train)).split(self.batch_size):
            yield self.train.x[rows], self.train.y[rows]


@dataclass(frozen=True)
class Fitted:
    """A fitted method.

    Attributes:
        predict: class probabilities.
        smaller: removes weights by the method's own rule, and gives the share that is left with
            the predictions of what is left; None for methods that remove nothing.
        note: what is worth knowing of the fit.
    """

    predict: Predict
    smaller: Callable[[], tuple[float, Predict]] | None = None
    note: str = ""


@dataclass(frozen=True)
class Method:
    """A way to fit, and what it needs.

    Attributes:
        fit: fits a task.
        package: to import beside torch and Pyro, or None.
        rate: the learning rate where Adam's is 1: other optimisers have other units.
    """

    fit: Callable[[Task], Fitted]
    package: str | None = None
    rate: float = 1.0


def by_parts(predict: Predict) -> Predict:
    """Predictions of many rows without gradients, some thousand at once."""

    @torch.no_grad()
    def of_all(x: Tensor) -> Tensor:
        return torch.cat([predict(rows) for rows in x.split(ROWS)])

    return of_all


def averaged(forward: Callable[[Tensor], Tensor], draws: int = DRAWS) -> Predict:
    """Probabilities averaged over calls of a net that draws its weights, or what stands for it."""

    def predict(x: Tensor) -> Tensor:
        return torch.stack([forward(x).double().softmax(-1) for _ in range(draws)]).mean(0)

    return by_parts(predict)


def plain(net: nn.Module) -> Predict:
    """Probabilities of a net as it is."""
    return averaged(net, draws=1)
