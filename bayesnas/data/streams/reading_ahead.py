"""Batches of a streamed data set in a given order, read by worker processes where there are any."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bayesnas.data.streams.sources import Source
from bayesnas.data.streams.stacking import Row


class Wanted(NamedTuple):
    """A batch: which rows of which epoch.

    Attributes:
        seed: of what is drawn in reading.
        epoch: likewise.
        indices: of the rows.
    """

    seed: int
    epoch: int
    indices: Tensor


def read_ahead(
    source: Source, batches: Iterable[Wanted], workers: int, prefetch: int
) -> Iterator[Row]:
    """Batches one after the other.

    Args:
        source: of the rows.
        batches: which, in this order.
        workers: processes of torch's ``DataLoader`` that read; 0 reads a batch when it is asked
            for, in this process.
        prefetch: batches that every worker reads before they are asked for.

    Returns:
        an iterator over inputs and targets, the same for every number of workers.
    """
    if workers == 0:
        return (source.read(*batch) for batch in batches)
    loader = DataLoader(
        _Reader(source),
        batch_size=None,  # a batch is one item: the order is said by the sampler
        sampler=batches,
        num_workers=workers,
        prefetch_factor=prefetch,
        collate_fn=_as_it_is,
        generator=torch.Generator(),  # else a seed is drawn from the random state of the fit
    )
    return iter(loader)


class _Reader(Dataset[Row]):
    def __init__(self, source: Source) -> None:
        self._source = source

    def __getitem__(self, batch: Wanted) -> Row:
        return self._source.read(*batch)


def _as_it_is(rows: Any) -> Any:
    return rows
