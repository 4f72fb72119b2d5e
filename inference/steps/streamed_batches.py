"""Minibatches of a data set whose rows are read when they are needed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from bayesnas.data import Split, StreamedSplit
from bayesnas.data.inputs import AnyInputs
from bayesnas.data.streams.reading_ahead import Wanted
from bayesnas.inference.steps.minibatches import Batches, epoch_order, rows_of_batch
from bayesnas.runtime.processes.share import WHOLE, Share


class StreamedBatches:
    """Minibatches in the order that :class:`Batches` has for the same seed, read from a stream.

    Those that follow one another are read ahead, where there are workers; any other is read when
    it is asked for. The batch of the last step is kept.

    Args:
        sample: of the rows; an iterable's are taken in its own order.
        batch_size: examples a batch.
        seed: of the order, and of what is drawn while rows are read.
        share: which rows of every batch are given. Of an iterable, whose rows come one after the
            other, the others are read too.

    >>> import torch
    >>> from bayesnas.data import from_dataset
    >>> rows = from_dataset((torch.arange(5.0), torch.arange(5)))
    >>> here, there = StreamedBatches(rows, 2, 0), Batches(torch.arange(5.0), torch.arange(5), 2, 0)
    >>> all(bool((here.at(step)[1] == there.at(step)[1]).all()) for step in range(6))
    True
    """

    def __init__(
        self, sample: StreamedSplit, batch_size: int, seed: int, share: Share = WHOLE
    ) -> None:
        """Keep the stream; see the class."""
        self._sample, self._seed, self.share = sample, seed, share
        self.size = len(sample)
        self.batch_size = min(batch_size, self.size)
        self.per_epoch = -(-self.size // self.batch_size)
        self._epoch = -1
        self._step = -1
        self._batch: tuple[AnyInputs, Tensor] | None = None
        self._ahead: Iterator[tuple[AnyInputs, Tensor]] | None = None
        self._next = -1

    def at(self, step: int) -> tuple[AnyInputs, Tensor]:
        """Inputs and targets of a step, counted from 0 over all epochs."""
        if self._batch is None or step != self._step:
            x, y = self._read(step)
            if self._sample.source.in_order:
                mine = self.share.rows(len(y))
                x, y = x[mine], y[mine]
            self._batch, self._step = (x, y), step
        return self._batch

    def rows_at(self, step: int) -> int:
        """How many rows the batch of a step has, over all shares."""
        return rows_of_batch(self, step)

    def _read(self, step: int) -> tuple[AnyInputs, Tensor]:
        if self._sample.workers == 0:
            return self._sample.read(self._wanted(step))
        if step != self._next:
            if step != self._step + 1:  # a single one, as the first of a fit that is resumed
                return self._sample.read(self._wanted(step))
            self._ahead = self._sample.batches(map(self._wanted, itertools.count(step)))
        assert self._ahead is not None
        batch = next(self._ahead)
        self._next = step + 1
        return batch

    def _wanted(self, step: int) -> Wanted:
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            in_order = self.per_epoch == 1 or self._sample.source.in_order
            self._order = torch.arange(self.size) if in_order else self.order(epoch)
            self._epoch = epoch
        rows = slice(position * self.batch_size, (position + 1) * self.batch_size)
        whole = self._order[rows]
        in_order = self._sample.source.in_order
        mine = whole if in_order else whole[self.share.rows(len(whole))]
        return Wanted(self._seed, epoch, mine)

    def order(self, epoch: int) -> Tensor:
        """Indices of the examples in the order of an epoch, ``[n]``."""
        return epoch_order(self.size, self._seed, epoch)


AnyBatches = Batches | StreamedBatches


def batches_of(
    sample: Split | StreamedSplit, batch_size: int, seed: int, share: Share = WHOLE
) -> AnyBatches:
    """The minibatches of a sample, in memory or read when needed; or a share of each."""
    if isinstance(sample, StreamedSplit):
        return StreamedBatches(sample, batch_size, seed, share)
    return Batches(sample.x, sample.y, batch_size, seed, share)
