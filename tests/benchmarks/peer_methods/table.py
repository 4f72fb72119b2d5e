"""The tables of a cell."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from peer_methods.cells import Cell
from peer_methods.figures import Record, chosen
from peer_methods.methods import METHODS, ORDINARY

HEAD = (
    "| method | rate | accuracy, % | log loss | ECE | Brier | AUROC | s to the mark | s | "
    "kept, % | accuracy of what is kept |"
)


def print_table(
    cell: Cell,
    every_record: Sequence[Record],
    methods: Sequence[str],
    seeds: Sequence[int],
    rates: Sequence[float],
) -> None:
    """Print a row for each method whose fits are all there, and name the others.

    Figures are means over the seeds; those of accuracy and log loss with the standard deviation.
    """
    finished = {name: of_seeds(every_record, name, seeds, rates) for name in methods}
    marks = {record.seed: record.looks[-1][1] for record in finished.get(ORDINARY) or []}
    parts = len(cell.train), len(cell.validation), len(cell.test), len(cell.outside)
    print(
        f"\n{cell.title}, batch {cell.batch_size}; train {parts[0]:,}, held out {parts[1]:,}, "
        f"test {parts[2]:,}, other {parts[3]:,}; seeds {', '.join(map(str, seeds))}\n"
    )
    print(f"{HEAD}\n{'|---' * HEAD.count(' | ')}|---|")
    for name, records in finished.items():
        if records:
            print(row(name, records, marks))
    missing = [name for name, records in finished.items() if not records]
    if missing:
        print(f"\nNot finished: {', '.join(missing)}.")


def print_rates(
    every_record: Sequence[Record], methods: Sequence[str], seed: int, rates: Sequence[float]
) -> None:
    """Print what the rates were chosen by: the log loss of held-out rows at one seed."""
    print(f"\nlog loss of held-out rows, seed {seed}, at the rate of Adam of\n")
    print(f"| method | {' | '.join(f'{rate:g}' for rate in rates)} |")
    print(f"|---{'|---' * len(rates)}|")
    for name in methods:
        if chosen(every_record, name, seed, rates) is not None:
            losses = {
                r.rate: r.validation_nll for r in every_record if (r.method, r.seed) == (name, seed)
            }
            print(f"| {name} | {' | '.join(f'{losses[rate]:.3f}' for rate in rates)} |")


def of_seeds(
    every_record: Sequence[Record], method: str, seeds: Sequence[int], rates: Sequence[float]
) -> list[Record]:
    """Fits at the chosen rate; none unless all are there."""
    rate = chosen(every_record, method, seeds[0], rates)
    records = [r for r in every_record if (r.method, r.rate) == (method, rate) and r.seed in seeds]
    return records if len(records) == len(seeds) else []


def row(method: str, records: Sequence[Record], marks: dict[int, float]) -> str:
    def mean(values: Sequence[float], digits: int, spread: bool = False) -> str:
        if not values:
            return ""
        said = f"{statistics.mean(values):.{digits}f}"
        wide = spread and len(values) > 1
        return f"{said} ± {statistics.stdev(values):.{digits}f}" if wide else said

    cells = [
        method,
        f"{records[0].rate * METHODS[method].rate:g}",
        mean([100 * r.accuracy for r in records], 2, spread=True),
        mean([r.nll for r in records], 3, spread=True),
        mean([r.ece for r in records], 3),
        mean([r.brier for r in records], 3),
        mean([r.auroc for r in records], 3),
        reached(records, marks),
        mean([r.seconds for r in records], 1),
        mean([100 * r.kept for r in records if r.kept is not None], 1),
        mean([100 * r.kept_accuracy for r in records if r.kept_accuracy is not None], 2),
    ]
    return f"| {' | '.join(cells)} |"


def reached(records: Sequence[Record], marks: dict[int, float]) -> str:
    """Mean seconds to the ordinary net's log loss, and of how many seeds where not of all."""
    if not marks:
        return ""
    times = [r.seconds_to(marks[r.seed]) for r in records]
    there = [seconds for seconds in times if seconds is not None]
    if not there:
        return "never"
    some = f" ({len(there)} of {len(times)})" if len(there) < len(times) else ""
    return f"{statistics.mean(there):.1f}{some}"
