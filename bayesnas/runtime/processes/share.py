"""Which rows of a batch a process takes."""

from __future__ import annotations

from typing import NamedTuple


class Share(NamedTuple):
    """The part of every batch that one of several processes takes.

    Rows follow one another, and the numbers of two processes differ by one at most.

    Attributes:
        rank: of the process.
        size: number of processes.

    >>> [Share(rank, 3).rows(8) for rank in range(3)]
    [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
    """

    rank: int
    size: int

    def rows(self, batch: int) -> slice:
        """Rows of a batch of so many; where there are none for this process, one of another."""
        first, end = batch * self.rank // self.size, batch * (self.rank + 1) // self.size
        if first < end:
            return slice(first, end)
        first = min(first, batch - 1)
        return slice(first, first + 1)

    def count(self, batch: int) -> int:
        """How many rows of a batch of so many :meth:`rows` gives."""
        rows = self.rows(batch)
        return int(rows.stop - rows.start)

    def weight(self, batch: int) -> float:
        """What of a batch of so many rows this process has; 0 where its row is another's.

        >>> Share(0, 2).weight(5), [Share(rank, 3).weight(2) for rank in range(3)]
        (0.4, [0.0, 0.5, 0.5])
        """
        first, end = batch * self.rank // self.size, batch * (self.rank + 1) // self.size
        return (end - first) / batch


WHOLE = Share(0, 1)
