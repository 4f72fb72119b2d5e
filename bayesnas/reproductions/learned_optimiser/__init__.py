"""Learning to learn by gradient descent by gradient descent: loss against steps, and beyond."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from bayesnas.files import write_atomically
from bayesnas.report.figure import write_figure
from bayesnas.report.tables import rows_as_csv
from bayesnas.reproductions.base import Comparison, Reproduced, Reproduction, Request, claim
from bayesnas.reproductions.learned_optimiser.figures import curves_figure
from bayesnas.reproductions.learned_optimiser.measure import LEARNED, TEACHER, Curve, measured
from bayesnas.reproductions.learned_optimiser.settings import Family, Settings, prepare
from bayesnas.reproductions.learned_optimiser.truncation import compare_truncations, truncations
from bayesnas.reproductions.paired import p_value
from bayesnas.reproductions.tables import write_comparisons

REFERENCE = (
    "M. Andrychowicz, M. Denil, S. Gomez, M. Hoffman, D. Pfau, T. Schaul, B. Shillingford, "
    "N. de Freitas, Learning to learn by gradient descent by gradient descent, NIPS 2016"
)
Found = Mapping[str, Mapping[str, list[Curve]]]


def run(request: Request) -> Reproduced:
    """Train, measure, and write ``comparison.csv`` and ``.md``, ``curves.csv`` and ``.png``.

    Raises:
        ValueError: where the folder holds a reproduction with other settings.
        FileNotFoundError: MNIST is not there and can't be downloaded.
    """
    settings, families = prepare(request)
    claim(request.out, settings.to_dict())
    by_family = {family.key: measured(family, settings, request) for family in families}
    truncated = compare_truncations(truncations(settings, request))
    comparisons = [*compare(by_family, families), *truncated]
    files = _write(request.out, comparisons, by_family, families)
    words = remarks(by_family, families, settings)
    return Reproduced("learned-optimiser", settings.to_dict(), words, comparisons, files)


REPRODUCTION = Reproduction("learned optimisers: an LSTM beside SGD and Adam", REFERENCE, run)


def compare(by_family: Found, families: tuple[Family, ...]) -> Iterator[Comparison]:
    """Mean final losses; of the learned optimisers one a training seed. No tables are published."""
    for family in families:
        for variant in family.variants:
            by_name: dict[str, list[float]] = {}
            for curve in by_family[family.key][variant.title]:
                by_name.setdefault(curve.optimizer, []).append(float(np.mean(curve.final)))
            for name, values in by_name.items():
                labels = {"tasks": family.title, "measured on": variant.title, "optimiser": name}
                yield Comparison(labels, "final loss", None, tuple(values))


def remarks(by_family: Found, families: tuple[Family, ...], settings: Settings) -> list[str]:
    """What was run, and whom each learned optimiser beats."""
    words = [
        f"{settings.steps} steps of a task, gradients go back {settings.unroll}; "
        f"{settings.seeds} trained optimisers of each family; perceptrons on {settings.data}, "
        "their images averaged over squares where they are called small.",
        "Learning rates of hand-made optimisers are the best of "
        f"{settings.rates}, a factor of two apart, for each kind of tasks by itself; on "
        f"quadratics of {2 * settings.rates}, a factor of its root.",
    ]
    ends = [
        f"{family.title}, {variant.title}: {curve.optimizer}"
        for family in families
        for variant in family.variants
        for curve in by_family[family.key][variant.title]
        if curve.at_end
    ]
    words.append("Best at an end of its grid: " + (", ".join(ends) or "none") + ".")
    for family in families:
        for variant in family.variants:
            curves = by_family[family.key][variant.title]
            words.append(f"{family.title}, {variant.title}: {paired(curves)}.")
    return words


def paired(curves: list[Curve]) -> str:
    """The learned optimisers against the best hand-made one, Adam and their teacher, same tasks.

    Wilcoxon's signed-rank test, one-sided, since losses have heavy tails.
    """
    by_name = {curve.optimizer: curve for curve in curves if curve.optimizer != LEARNED}
    tuned = [name for name in by_name if name != TEACHER]
    best = min(tuned, key=lambda name: float(np.mean(by_name[name].final)))
    others = {best: f"{best}, the best hand-made"}
    for name, words in {"Adam": "Adam", TEACHER: "the teacher"}.items():
        if name in by_name:
            others.setdefault(name, words)
    return "final loss over that of " + "; of ".join(
        f"{words}: {_ratios(curves, by_name[name])}" for name, words in others.items()
    )


def _ratios(curves: list[Curve], other: Curve) -> str:
    words = []
    for curve in curves:
        if curve.optimizer == LEARNED:
            ratio = float(np.mean(curve.final)) / float(np.mean(other.final))
            words.append(f"{ratio:.2f} (p = {p_value(curve.final, other.final):.1g})")
    return ", ".join(words)


def _write(
    out: Path, comparisons: list[Comparison], by_family: Found, families: tuple[Family, ...]
) -> dict[str, Path]:
    files = write_comparisons(out, comparisons)
    files |= {name: out / name for name in ("curves.csv", "curves.png")}
    rows = [
        {
            "tasks": family.key,
            "measured on": variant.title,
            "optimiser": curve.optimizer,
            "seed": curve.seed,
            "lr": curve.lr,
            "step": step,
            "loss": loss,
        }
        for family in families
        for variant in family.variants
        for curve in by_family[family.key][variant.title]
        for step, loss in enumerate(curve.mean)
    ]
    write_atomically(files["curves.csv"], rows_as_csv(rows).encode())
    write_figure(curves_figure(by_family, families), files["curves.png"])
    return files
