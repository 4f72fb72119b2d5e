"""Rows of a source that are chosen, and rows that are their own targets."""

from __future__ import annotations

from torch import Tensor

from bayesnas.data.inputs import Inputs
from bayesnas.data.streams.sources import Source
from bayesnas.data.streams.stacking import Row


class ChosenRows:
    """Some rows of a source, such as those of the training part of a file.

    Args:
        source: of all rows, which has them in any order.
        rows: indices of the chosen ones, ``[n]``.
    """

    in_order = False

    def __init__(self, source: Source, rows: Tensor) -> None:
        """Keep both; see the class."""
        self._source, self._rows = source, rows

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def read(self, seed: int, epoch: int, indices: Tensor) -> Row:
        """Inputs and targets of some of the chosen rows."""
        return self._source.read(seed, epoch, self._rows[indices])

    def describe(self) -> str:
        """How many rows of what."""
        return f"{len(self)} rows of {self._source.describe()}"


class OwnTargets:
    """Rows of which every one is its own target: what autoencoders fit.

    Args:
        source: of rows with one input.
    """

    def __init__(self, source: Source) -> None:
        """Keep the source; see the class."""
        self._source, self.in_order = source, source.in_order

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._source)

    def read(self, seed: int, epoch: int, indices: Tensor) -> Row:
        """Inputs of some rows, twice.

        Raises:
            TypeError: for rows of several inputs.
        """
        x, _ = self._source.read(seed, epoch, indices)
        if isinstance(x, Inputs):
            raise TypeError(f"an example of several inputs can't be its own target, got {x}")
        return x, x

    def describe(self) -> str:
        """What it is of."""
        return f"{self._source.describe()}, their own targets"
