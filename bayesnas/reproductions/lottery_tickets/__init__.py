"""Lottery tickets of LeNet-300-100 on MNIST, against re-initialised and random ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bayesnas.report.figure import write_figure
from bayesnas.reproductions.base import Comparison, Reproduced, Reproduction, Request, claim
from bayesnas.reproductions.lottery_tickets.figures import lottery_figure
from bayesnas.reproductions.lottery_tickets.measure import Measured, measured
from bayesnas.reproductions.lottery_tickets.settings import Settings, prepare
from bayesnas.reproductions.tables import write_comparisons

REFERENCE = (
    "J. Frankle, M. Carbin, The lottery ticket hypothesis: finding sparse, trainable neural "
    "networks, ICLR 2019"
)


def run(request: Request) -> Reproduced:
    """Train the tickets and their controls, and write ``comparison.csv``, ``.md`` and a figure.

    Raises:
        ValueError: where the folder holds a reproduction with other settings.
        FileNotFoundError: MNIST is not there and can't be downloaded.
    """
    settings, data = prepare(request)
    claim(request.out, {**settings.to_dict(), "fingerprint": data.train.fingerprint})
    runs = [measured(start, data, settings, request) for start in range(settings.starts)]
    comparisons = list(compare(runs, settings))
    files = _write(request.out, comparisons, runs, settings)
    return Reproduced(
        "lottery-tickets", settings.to_dict(), remarks(runs, settings), comparisons, files
    )


REPRODUCTION = Reproduction("lottery tickets of LeNet-300-100", REFERENCE, run)


def compare(runs: Sequence[Measured], settings: Settings) -> Iterator[Comparison]:
    """Accuracies by share left and kind of ticket; the source has them as curves alone."""
    places = {index: place for place, index in enumerate(settings.controls)}
    for index, kept in enumerate(runs[0].kept):
        row = f"{100 * kept:.1f} %"
        ours = tuple(each.winning[index] for each in runs)
        yield Comparison({"weights left": row, "ticket": "winning"}, "accuracy", None, ours)
        if index in places:
            for kind in ("reinitialised", "random"):
                ours = tuple(getattr(each, kind)[places[index]] for each in runs)
                yield Comparison({"weights left": row, "ticket": kind}, "accuracy", None, ours)


def remarks(runs: Sequence[Measured], settings: Settings) -> list[str]:
    """What was run, and how the tickets stand to the dense network and to the controls."""
    starts = "1 start" if settings.starts == 1 else f"{settings.starts} starts"
    words = [
        f"{settings.data}, {settings.examples:,} training examples, {starts}; every round "
        f"{_passes(settings.epochs)} of Adam at {settings.lr:g}, batches of {settings.batch_size}; "
        f"{100 * settings.rate:g} % of what a layer has left goes in a round, half of it in the "
        "last layer.",
        "Accuracy of the test part after the last step of a round.",
    ]
    for place, index in enumerate(settings.controls):
        against = {
            "the dense network": [each.winning[index] - each.winning[0] for each in runs],
            "re-initialised": [each.winning[index] - each.reinitialised[place] for each in runs],
            "random places": [each.winning[index] - each.random[place] for each in runs],
        }
        told = ", ".join(
            f"{name} {' / '.join(f'{100 * gain:+.2f}' for gain in gains)}"
            for name, gains in against.items()
        )
        words.append(f"{100 * runs[0].kept[index]:.1f} % left, points by start above: {told}.")
    return words


def _passes(epochs: int) -> str:
    return "1 epoch" if epochs == 1 else f"{epochs} epochs"


def _write(
    out: Path, comparisons: list[Comparison], runs: Sequence[Measured], settings: Settings
) -> dict[str, Path]:
    files = write_comparisons(out, comparisons)
    files |= {name: out / name for name in ("lottery-tickets.png",)}
    write_figure(lottery_figure(runs, settings.controls), files["lottery-tickets.png"])
    return files
