"""Minibatches of a data set that lies in memory on the device of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs, leaves_of, like_inputs, map_inputs
from bayesnas.runtime.device import sent
from bayesnas.runtime.processes.share import WHOLE, Share


class Batches:
    """Minibatches in a seeded random order, a new one every epoch.

    The order of an epoch depends on the seed and the epoch alone, so a fit can start in the
    middle of one. Every epoch shows each example once; the last batch may be smaller. Batches
    are gathered one by one: a permuted copy of the sample would leave the cache before it is read.

    Args:
        x: inputs ``[n, ...]``, one tensor or several.
        y: targets ``[n, ...]``.
        batch_size: examples a batch; n or more gives full batches, in the order of the data.
        seed: of the order.
        share: which rows of every batch are given.

    >>> import torch
    >>> batches = Batches(torch.arange(5.0), torch.arange(5), batch_size=2, seed=0)
    >>> [len(batches.at(step)[0]) for step in range(4)]
    [2, 2, 1, 2]
    """

    def __init__(
        self, x: AnyInputs, y: Tensor, batch_size: int, seed: int, share: Share = WHOLE
    ) -> None:
        """Keep the data; see the class."""
        self._x, self._y = map_inputs(Tensor.detach, x), y.detach()
        self._seed, self.share = seed, share
        self._epoch = -1
        self.size = len(x)
        self.batch_size = min(batch_size, self.size)
        self.per_epoch = -(-self.size // self.batch_size)
        mine = share.rows(self.size)
        self._all = (self._x[mine], self._y[mine]) if share.size > 1 else (self._x, self._y)

    def at(self, step: int) -> tuple[AnyInputs, Tensor]:
        """Inputs and targets of a step, counted from 0 over all epochs."""
        if self.per_epoch == 1:
            return self._all
        epoch, rows = self.place(step)
        if epoch != self._epoch:
            self._order, self._epoch = self.order(epoch), epoch
        indices = self._order[rows]
        if self.share.size > 1:
            indices = indices[self.share.rows(len(indices))]
        return self.picked(indices)

    def rows_at(self, step: int) -> int:
        """How many rows the batch of a step has, over all shares."""
        return rows_of_batch(self, step)

    def place(self, step: int) -> tuple[int, slice]:
        """Epoch of a step, and its rows in the order of that."""
        epoch, position = divmod(step, self.per_epoch)
        return epoch, slice(position * self.batch_size, (position + 1) * self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """Indices of the examples in the order of an epoch, ``[n]``."""
        return sent(epoch_order(self.size, self._seed, epoch), self._x.device)

    def picked(self, indices: Tensor) -> tuple[AnyInputs, Tensor]:
        """Inputs and targets of some examples, ``[*indices, ...]``."""
        rows, shape = indices.flatten(), indices.shape

        def pick(values: Tensor) -> Tensor:
            chosen: Tensor = values.index_select(0, rows).unflatten(0, shape)
            return chosen

        x = pick(self._x) if isinstance(self._x, Tensor) else self._x.map(pick)
        return x, pick(self._y)


def rows_of_batch(batches: SomeBatches, step: int) -> int:
    """Rows of the batch of a step: the last of an epoch may have fewer."""
    first = (step % batches.per_epoch) * batches.batch_size
    return min(batches.batch_size, batches.size - first)


def epoch_order(size: int, seed: int, epoch: int) -> Tensor:
    """Indices of so many examples in the order of an epoch, which follows from its arguments."""
    generator = torch.Generator().manual_seed((seed << 20) + epoch)
    return torch.randperm(size, generator=generator)


class SomeBatches(Protocol):
    """Minibatches of a sample, wherever it lies."""

    size: int
    batch_size: int
    per_epoch: int
    share: Share

    def at(self, step: int) -> tuple[AnyInputs, Tensor]:
        """Inputs and targets of a step."""
        ...

    def rows_at(self, step: int) -> int:
        """How many rows the batch of a step has, over all shares."""
        ...

    def order(self, epoch: int) -> Tensor:
        """Indices of the examples in the order of an epoch."""
        ...


def joined(batches: SomeBatches, step: int, count: int) -> tuple[AnyInputs, Tensor]:
    """So many minibatches from a step on, of one epoch at most, as one."""
    parts = [batches.at(step + index) for index in range(min(count, batches.per_epoch))]
    if len(parts) == 1:
        return parts[0]
    leaves = zip(*(leaves_of(x) for x, _ in parts), strict=True)
    x = like_inputs(parts[0][0], [torch.cat(leaf) for leaf in leaves])
    return x, torch.cat([y for _, y in parts])


class StackedBatches:
    """Minibatches of many chains over one sample, each chain's in its own order.

    Args:
        chains: the minibatches of every chain, of one sample and one size.

    Attributes:
        shared: whether every batch is the whole sample, in which all chains see the same.

    >>> import torch
    >>> alone = [Batches(torch.arange(5.0), torch.arange(5), 2, seed) for seed in (0, 1)]
    >>> x, _ = StackedBatches(alone).at(1)
    >>> x.shape, bool((x[1] == alone[1].at(1)[0]).all())
    (torch.Size([2, 2]), True)
    """

    def __init__(self, chains: Sequence[SomeBatches]) -> None:
        """Keep the chains' own minibatches; see the class."""
        self._chains = list(chains)
        self._epoch = -1
        in_memory = isinstance(self._chains[0], Batches)
        self.shared = self._chains[0].per_epoch == 1 and in_memory

    def at(self, step: int) -> tuple[AnyInputs, Tensor]:
        """Inputs and targets of a step, ``[chains, b, ...]``; ``[n, ...]`` where all are shared."""
        first = self._chains[0]
        if self.shared:
            return first.at(step)
        if not isinstance(first, Batches):  # every chain has views of its own of a row
            xs, ys = zip(*(chain.at(step) for chain in self._chains), strict=True)
            leaves = zip(*(leaves_of(x) for x in xs), strict=True)
            return like_inputs(xs[0], [torch.stack(leaf) for leaf in leaves]), torch.stack(ys)
        epoch, rows = first.place(step)
        if epoch != self._epoch:
            self._orders = torch.stack([chain.order(epoch) for chain in self._chains])
            self._epoch = epoch
        return first.picked(self._orders[:, rows])
