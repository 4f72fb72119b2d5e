"""Comparisons as text for people and as CSV."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from bayesnas.files import write_atomically
from bayesnas.report.tables import rows_as_csv, table
from bayesnas.reproductions.base import Comparison


def as_text(comparisons: Sequence[Comparison]) -> str:
    """A table for every quantity: ours, and the published figure in brackets behind it.

    >>> comparisons = [
    ...     Comparison({"method": "direct", "λ": "1"}, "accuracy", 0.9, (0.95,)),
    ...     Comparison({"method": "direct", "λ": "10"}, "accuracy", None, (0.9, 0.8)),
    ... ]
    >>> print(as_text(comparisons))
    accuracy, ours (published)
    method            λ = 1           λ = 10
    direct  0.9500 (0.9000)  0.8500 ± 0.0707
    """
    return "\n\n".join(
        f"{quantity}, ours (published)\n{table(_rows(rows))}"
        for quantity, rows in _by_quantity(comparisons).items()
    )


def as_markdown(comparisons: Sequence[Comparison]) -> str:
    """The same as Markdown tables.

    >>> comparisons = [Comparison({"method": "direct", "λ": "1"}, "accuracy", 0.9, (0.95,))]
    >>> print(as_markdown(comparisons), end="")
    | accuracy, ours (published) | λ = 1 |
    |---|---|
    | direct | 0.9500 (0.9000) |
    """
    blocks = []
    for quantity, rows in _by_quantity(comparisons).items():
        (_, *columns), *cells = _rows(rows)
        heading = [f"{quantity}, ours (published)", *columns]
        lines = [f"| {' | '.join(line)} |" for line in (heading, *cells)]
        lines.insert(1, f"|{'---|' * len(heading)}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def as_csv(comparisons: Sequence[Comparison]) -> str:
    """One row a comparison; an empty cell where there is no figure.

    >>> print(as_csv([Comparison({"method": "direct"}, "S", 1.5, (1.0,))]), end="")
    method,quantity,published,ours,spread,starts
    direct,S,1.5,1.0,,1.0
    """
    labels = dict.fromkeys(name for comparison in comparisons for name in comparison.labels)
    rows = []
    for comparison in comparisons:
        row = dict.fromkeys(labels, "") | comparison.to_dict()
        row["starts"] = " ".join(map(repr, row["starts"]))
        rows.append(row)
    return rows_as_csv(rows)


def write_comparisons(folder: Path, comparisons: Sequence[Comparison]) -> dict[str, Path]:
    """Write ``comparison.csv`` and ``comparison.md`` into a folder.

    Returns:
        the files, by name.
    """
    texts = {"comparison.csv": as_csv(comparisons), "comparison.md": as_markdown(comparisons)}
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())
    return {name: folder / name for name in texts}


def figure(value: float, like: float | None = None) -> str:
    """A figure with the digits that matter at its size, or at that of another one.

    >>> figure(0.91234), figure(-56789.4), figure(7458976000.0), figure(57.4, like=-6375.0)
    ('0.9123', '-56,789', '7,458,976,000', '57')
    """
    size = abs(value if like is None else like)
    return f"{value:,.4f}" if size < 100 or math.isnan(size) else f"{value:,.0f}"


def _by_quantity(comparisons: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    groups: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        groups.setdefault(comparison.quantity, []).append(comparison)
    return groups


def _rows(comparisons: Sequence[Comparison]) -> Iterable[list[str]]:
    """Header and rows: the last label across, the others down; a single one goes down."""
    *names, last = comparisons[0].labels
    if not names:
        yield [last, ""]
        yield from ([c.labels[last], _cell(c)] for c in comparisons)
        return
    columns = dict.fromkeys(c.labels[last] for c in comparisons)
    yield [", ".join(names), *(f"{last} = {column}" for column in columns)]
    rows: dict[str, dict[str, str]] = {}
    for c in comparisons:
        row = ", ".join(c.labels[name] for name in names)
        rows.setdefault(row, {})[c.labels[last]] = _cell(c)
    yield from ([row, *(cells.get(c, "") for c in columns)] for row, cells in rows.items())


def _cell(comparison: Comparison) -> str:
    text = figure(comparison.mean)
    if comparison.spread:
        text += f" ± {figure(comparison.spread, like=comparison.mean)}"
    if comparison.published is not None:
        text += f" ({figure(comparison.published)})"
    return text


def mean_and_error(values: Sequence[float], *, signed: bool = False) -> str:
    """Mean and standard error; the value for one alone.

    >>> mean_and_error([1.0, 2.0, 3.0]), mean_and_error([0.5], signed=True)
    ('2.00 ± 0.58', '+0.50')
    """
    mean = format(statistics.fmean(values), "+.2f" if signed else ".2f")
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values) / math.sqrt(len(values)):.2f}"
