"""Perceptrons that are trained on a data set from different starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

from bayesnas.checks import size
from bayesnas.data import Split
from bayesnas.inference.learned.tasks.base import (
    Drawn,
    TaskFamily,
    generator_of_step,
)
from bayesnas.nn.modules.mlp import mlp
from bayesnas.runtime.random_state import RandomStream, derived_seed
from bayesnas.typed import typed


class Perceptrons(TaskFamily):
    """The mean cross-entropy of a small classifier on minibatches; every task has its own start.

    Args:
        data: labelled examples, rows of numbers or images.
        hidden: widths of the hidden layers.
        activation: as in ``bayesnas.nn.mlp``.
        batch_size: examples in a minibatch, drawn with replacement, of every task and step anew.

    Raises:
        ValueError: for data without classes.

    References:
        Andrychowicz et al., *Learning to learn by gradient descent by gradient descent*, 2016, 3.2.

    >>> import bayesnas as bn
    >>> tasks = Perceptrons(bn.data.load("digits").train, hidden=(20,), batch_size=16)
    >>> start, losses = tasks.draw(2, seed=0)
    >>> start.shape, losses(start, 0).shape  # 64 · 20 + 20 + 20 · 10 + 10
    (torch.Size([2, 1510]), torch.Size([2]))
    """

    @typed()
    def __init__(
        self,
        data: Split,
        hidden: Sequence[int] = (20,),
        activation: str = "sigmoid",
        batch_size: int = 128,
    ) -> None:
        """Build the net; see the class."""
        classes = data.info.classes
        if classes is None:
            raise ValueError("data must have classes, got targets of a regression")
        self._x, self._y = data.x.flatten(1), data.y
        self._hidden, self._activation = tuple(hidden), activation
        self._batch_size = size("batch_size", batch_size)
        with RandomStream(0, torch.device("cpu")).active():
            self._net = mlp([self._x.shape[1], *hidden, classes], activation)
        self._data = data.fingerprint

    def draw(self, count: int, seed: int) -> Drawn:
        """Draw the initial weights of every net."""
        named = dict(self._net.named_parameters())
        shapes = [value.shape for value in named.values()]
        sizes = [value.numel() for value in named.values()]

        def one(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
            pieces = zip(named, theta.split(sizes), shapes, strict=True)
            state = {name: piece.view(shape) for name, piece, shape in pieces}
            return F.cross_entropy(functional_call(self._net, state, (x,)), y)

        many = vmap(one)

        def losses(theta: Tensor, step: int) -> Tensor:
            rows = torch.randint(
                len(self._x), (count, self._batch_size), generator=generator_of_step(seed, step)
            )
            losses: Tensor = many(theta, self._x[rows], self._y[rows])
            return losses

        with RandomStream(derived_seed(seed, 0), torch.device("cpu")).active():
            start = torch.stack([self._fresh() for _ in range(count)])
        return Drawn(start, losses)

    def _fresh(self) -> Tensor:
        for module in self._net.modules():
            if isinstance(module, nn.Linear):
                module.reset_parameters()
        values = [value.detach().flatten() for value in self._net.parameters()]
        return torch.cat(values)

    def config(self) -> dict[str, Any]:
        """Widths, activation, size of the batches and fingerprint of the data."""
        return {
            "tasks": "perceptrons",
            "hidden": list(self._hidden),
            "activation": self._activation,
            "batch_size": self._batch_size,
            "data": self._data,
        }
