"""Rows as a table of text, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells in aligned columns, the first to the left, the others to the right.

    >>> print(table([["", "train", "test"], ["nll", "0.1", "12.3"]]))
         train  test
    nll    0.1  12.3
    """
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def rows_as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows that share their columns, with a header.

    >>> print(rows_as_csv([{"a": 1, "b": 2.5}]), end="")
    a,b
    1,2.5
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def epochs_text(steps: int, batch: int, rows: int) -> str:
    """How many times steps of so many rows have seen all rows, of which there are ``rows``.

    >>> epochs_text(3000, 256, 320), epochs_text(25, 256, 1437)
    ('1,500', '4.17')
    """
    epochs = steps / -(-rows // batch)
    return f"{epochs:,.0f}" if epochs >= 100 else f"{epochs:.3g}"
