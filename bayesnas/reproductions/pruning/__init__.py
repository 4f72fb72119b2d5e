"""The homework of the course: criteria of pruning on logistic regression, on MNIST.

Accuracy against the share of weights removed, for all criteria, with an L1 or L2 penalty or a
variational posterior, with and without training again, against a random order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bayesnas.files import write_atomically
from bayesnas.report.figure import write_figure
from bayesnas.report.tables import rows_as_csv
from bayesnas.reproductions.base import Comparison, Reproduced, Reproduction, Request, claim
from bayesnas.reproductions.pruning.figures import pruning_figure
from bayesnas.reproductions.pruning.measure import Measured, measured
from bayesnas.reproductions.pruning.settings import FAMILIES, Settings, prepare
from bayesnas.reproductions.tables import write_comparisons

REFERENCE = (
    "O. Bakhteev, homework of the course on model selection at MIPT, 2019, after LeCun, Denker, "
    "Solla 1990, Graves 2011 and Han, Pool, Tran, Dally 2015"
)
ByFamily = Mapping[str, list[Measured]]


def run(request: Request) -> Reproduced:
    """Train, prune, and write ``comparison.csv`` and ``.md``, ``pruning.csv`` and ``.png``.

    Raises:
        ValueError: where the folder holds a reproduction with other settings.
        FileNotFoundError: MNIST is not there and can't be downloaded.
    """
    settings, data = prepare(request)
    claim(request.out, {**settings.to_dict(), "fingerprint": data.train.fingerprint})
    by_family: dict[str, list[Measured]] = {family.key: [] for family in FAMILIES}
    for start in range(settings.starts):
        for family in sorted(FAMILIES, key=lambda each: not each.small):
            by_family[family.key].append(measured(family, start, data, settings, request))
    comparisons = list(compare(by_family, settings))
    files = _write(request.out, comparisons, by_family, settings)
    words = remarks(by_family, settings)
    return Reproduced("pruning", settings.to_dict(), words, comparisons, files)


REPRODUCTION = Reproduction("criteria of pruning, logistic regression", REFERENCE, run)


def compare(by_family: ByFamily, settings: Settings) -> Iterator[Comparison]:
    """Accuracies by family, criterion and share removed; no figures are published."""
    for quantity, retrained in (("accuracy", False), ("accuracy, trained again", True)):
        for family in FAMILIES:
            starts = by_family[family.key]
            for by in family.rows:
                labels = {"net": family.title, "removed first by": by}
                if not retrained:
                    whole = tuple(each.whole for each in starts)
                    yield Comparison({**labels, "removed": "0 %"}, quantity, None, whole)
                for index, fraction in enumerate(settings.fractions):
                    ours = tuple(
                        (each.retrained if retrained else each.pruned)[by][index] for each in starts
                    )
                    removed = {**labels, "removed": f"{100 * fraction:g} %"}
                    yield Comparison(removed, quantity, None, ours)
            for by in starts[0].free:
                share = sum(each.free[by][0] for each in starts) / len(starts)
                ours = tuple(each.free[by][1 + retrained] for each in starts)
                labels = {"net": family.title, "removed first by": f"{by}, ΔF > 0: {share:.3f}"}
                yield Comparison({**labels, "removed": "by itself"}, quantity, None, ours)


def remarks(by_family: ByFamily, settings: Settings) -> list[str]:
    """What was run, and where a criterion is no better than a random order."""
    starts = "1 start" if settings.starts == 1 else f"{settings.starts} starts"
    below = list(_not_above_random(by_family, settings))
    return [
        f"{settings.data}, {settings.examples:,} training examples, {starts}; "
        f"{settings.epochs} epochs of Adam, {settings.retraining_epochs} after weights are "
        f"removed; L1 {settings.l1:g}, L2 {settings.l2:g} an example; λ = 1, prior scale learned; "
        f"curvatures of {settings.curvature_examples:,} examples. In rounds: "
        f"{100 * settings.round_share:g} % of the weights at a time, an epoch after each.",
        "Accuracy of the test part; shares are of the weights, biases stay.",
        "Mean accuracies not above those of a random order: " + (", ".join(below) or "none") + ".",
    ]


def _not_above_random(by_family: ByFamily, settings: Settings) -> Iterator[str]:
    for family in FAMILIES:
        for stage in ("pruned", "retrained"):
            means = {
                by: [
                    sum(getattr(each, stage)[by][index] for each in by_family[family.key])
                    for index in range(len(settings.fractions))
                ]
                for by in family.rows
            }
            for by, values in means.items():
                for fraction, value, chance in zip(
                    settings.fractions, values, means["random"], strict=True
                ):
                    if by != "random" and value <= chance:
                        yield f"{family.title}, {by}, {100 * fraction:g} % {stage}"


def _write(
    out: Path, comparisons: list[Comparison], by_family: ByFamily, settings: Settings
) -> dict[str, Path]:
    files = write_comparisons(out, comparisons)
    files |= {name: out / name for name in ("pruning.csv", "pruning.png")}
    rows = [
        {
            "family": family.key,
            "by": by,
            "start": start,
            "removed": fraction,
            "accuracy": each.pruned[by][index],
            "retrained": each.retrained[by][index],
        }
        for family in FAMILIES
        for start, each in enumerate(by_family[family.key])
        for by in family.rows
        for index, fraction in enumerate(settings.fractions)
    ]
    write_atomically(files["pruning.csv"], rows_as_csv(rows).encode())
    write_figure(pruning_figure(by_family, settings.fractions), files["pruning.png"])
    return files
