"""Minibatches of a data set that lies in memory on the device of the fit."""

from __future__ import annotations

import torch
from torch import Tensor

from bayesnas.inference.session import sent


class Batches:
    """Minibatches in a seeded random order, a new one every epoch.

    The order of an epoch depends on the seed and the epoch alone, so a fit can start in the
    middle of one. Every epoch shows each example once; the last batch may be smaller. The
    sample is permuted once an epoch, so that a batch is a contiguous slice.

    Args:
        x: inputs ``[n, ...]``.
        y: targets ``[n, ...]``.
        batch_size: examples a batch; n or more gives full batches, in the order of the data.
        seed: of the order.

    >>> import torch
    >>> batches = Batches(torch.arange(5.0), torch.arange(5), batch_size=2, seed=0)
    >>> [len(batches.at(step)[0]) for step in range(4)]
    [2, 2, 1, 2]
    """

    def __init__(self, x: Tensor, y: Tensor, batch_size: int, seed: int) -> None:
        """Keep the data; see the class."""
        self._x, self._y = x.detach(), y.detach()
        self._seed = seed
        self._epoch = -1
        self._permuted = (self._x, self._y)
        self.size = len(x)
        self.batch_size = min(batch_size, self.size)
        self.per_epoch = -(-self.size // self.batch_size)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a step, counted from 0 over all epochs."""
        epoch, position = divmod(step, self.per_epoch)
        if self.per_epoch > 1 and epoch != self._epoch:
            self._permute(epoch)
        rows = slice(position * self.batch_size, (position + 1) * self.batch_size)
        x, y = self._permuted
        return x[rows], y[rows]

    def _permute(self, epoch: int) -> None:
        generator = torch.Generator().manual_seed((self._seed << 20) + epoch)
        order = sent(torch.randperm(self.size, generator=generator), self._x.device)
        self._permuted = (self._x[order], self._y[order])
        self._epoch = epoch
