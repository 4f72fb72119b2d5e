"""Where the rows of a streamed data set come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs, map_inputs
from bayesnas.data.streams.file_rows import FileRows
from bayesnas.data.streams.row_randomness import global_randomness_kept, seed_row
from bayesnas.data.streams.stacking import Row, as_row, stacked_rows

Transform = Callable[[Any], Any]
"""Of the inputs of one row, such as an augmentation."""


class Source(Protocol):
    """Rows by index; what is drawn in reading one depends on seed, epoch and index alone.

    Attributes:
        in_order: whether rows can only be read one after the other, from the first of an epoch on.
    """

    in_order: bool

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def read(self, seed: int, epoch: int, indices: Tensor) -> Row:
        """Inputs and targets of some rows."""
        ...

    def describe(self) -> str:
        """What it is, in words that are the same for the same data."""
        ...


class PairRows:
    """Rows of two arrays, in files or in memory; with a transform every row goes through it.

    Args:
        x: inputs ``[n, ...]``.
        y: targets ``[n, ...]``.
        transform: of the inputs of a row; without one all rows of a batch are read at once.
    """

    in_order = False

    def __init__(
        self, x: FileRows | AnyInputs, y: FileRows | Tensor, transform: Transform | None
    ) -> None:
        """Keep the arrays; see the class."""
        self._x, self._y, self._transform = x, y, transform

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._y)

    def read(self, seed: int, epoch: int, indices: Tensor) -> Row:
        """Inputs and targets of some rows."""
        x, y = self._x[indices], self._y[indices]
        if self._transform is None:
            return x, y
        numbers, rows = indices.tolist(), []
        with global_randomness_kept():
            for place, index in enumerate(numbers):
                seed_row(seed, epoch, index)
                row = map_inputs(lambda leaf, place=place: leaf[place], x)  # type: ignore[misc]
                rows.append(as_row((self._transform(row), y[place]), index))
        return stacked_rows(rows, numbers)

    def describe(self) -> str:
        """Shapes and types."""
        parts = [self._x, self._y]
        words = [f"{list(p.shape)} {p.dtype}" if hasattr(p, "shape") else repr(p) for p in parts]
        return f"pair of {words[0]} and {words[1]}"


class MapRows:
    """Rows of a map-style data set: ``dataset[index]`` is a pair (x, y).

    Args:
        dataset: with ``__len__`` and ``__getitem__``.
        transform: of the inputs of a row.
    """

    in_order = False

    def __init__(self, dataset: Any, transform: Transform | None) -> None:
        """Keep the data set; see the class."""
        self._dataset, self._transform = dataset, transform

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._dataset)

    def read(self, seed: int, epoch: int, indices: Tensor) -> Row:
        """Inputs and targets of some rows."""
        numbers, rows = indices.tolist(), []
        with global_randomness_kept():
            for index in numbers:
                seed_row(seed, epoch, index)
                rows.append(_row(self._dataset[index], index, self._transform))
        return stacked_rows(rows, numbers)

    def describe(self) -> str:
        """Class and length."""
        return f"{type(self._dataset).__name__} of {len(self)}"

    def __deepcopy__(self, memo: dict[int, Any]) -> MapRows:
        """The same data set, which reading does not change."""
        return self


class IterableRows:
    """Rows of an iterable, in the order in which it gives them.

    Every epoch is a new pass, after ``iterable.set_epoch(epoch)`` where there is such a method. A
    batch that does not follow the one read last is reached by going through the epoch from its
    first row.

    Args:
        iterable: of pairs (x, y); it must be able to begin again.
        size: number of rows N of an epoch; the iterable may have more.
        transform: of the inputs of a row.
    """

    in_order = True

    def __init__(self, iterable: Iterable[Any], size: int, transform: Transform | None) -> None:
        """Keep the iterable; see the class."""
        self._iterable, self._size, self._transform = iterable, size, transform
        self._at: tuple[int, int, int] | None = None
        self._rows: Iterator[Any] = iter(())

    def __len__(self) -> int:
        """Number of rows of an epoch."""
        return self._size

    def read(self, seed: int, epoch: int, indices: Tensor) -> Row:
        """Inputs and targets of rows that follow one another."""
        numbers = indices.tolist()
        with global_randomness_kept():
            if self._at != (seed, epoch, numbers[0]):
                self._begin(seed, epoch, numbers[0])
            rows = [_row(self._next(seed, epoch, i), i, self._transform) for i in numbers]
        self._at = seed, epoch, numbers[-1] + 1
        return stacked_rows(rows, numbers)

    def describe(self) -> str:
        """Class and length."""
        return f"{type(self._iterable).__name__} of {self._size}"

    def __deepcopy__(self, memo: dict[int, Any]) -> IterableRows:
        """Another reader of the same iterable."""
        return IterableRows(self._iterable, self._size, self._transform)

    def _begin(self, seed: int, epoch: int, position: int) -> None:
        set_epoch = getattr(self._iterable, "set_epoch", None)
        if callable(set_epoch):
            set_epoch(epoch)
        seed_row(seed, epoch, 0)
        self._rows = iter(self._iterable)
        for index in range(position):
            self._next(seed, epoch, index)

    def _next(self, seed: int, epoch: int, index: int) -> Any:
        seed_row(seed, epoch, index)
        try:
            return next(self._rows)
        except StopIteration:
            raise ValueError(
                f"dataset: the iterable must give n={self._size} rows in every pass, got {index}"
            ) from None


def _row(item: Any, index: int, transform: Transform | None) -> tuple[Any, Tensor]:
    if transform is None:
        return as_row(item, index)
    if isinstance(item, (tuple, list)) and len(item) == 2:
        item = (transform(item[0]), item[1])
    return as_row(item, index)


def spread_rows(size: int, count: int) -> Tensor:
    """Indices of ``count`` rows over all of a sample, or of all rows of a smaller one.

    >>> spread_rows(101, 3)
    tensor([  0,  50, 100])
    """
    if count >= size:
        return torch.arange(size)
    return torch.linspace(0, size - 1, count, dtype=torch.float64).round().long()
