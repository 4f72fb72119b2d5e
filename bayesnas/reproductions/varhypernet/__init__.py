"""Grebenkova, Bakhteev and Strijov (2021): hypernetworks over the KL weight, on MNIST.

Direct fits at four KL weights against one fit for all of them, with and without an epoch of
fine-tuning: accuracy, updates of parameters, stability, bound and pruning curves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from bayesnas.files import write_atomically
from bayesnas.inference.optim.update_counts import parameter_updates
from bayesnas.models import GaussianNet
from bayesnas.nn import mlp
from bayesnas.report.figure import write_figure
from bayesnas.report.tables import rows_as_csv
from bayesnas.reproductions.base import Comparison, Reproduced, Reproduction, Request, claim
from bayesnas.reproductions.tables import write_comparisons
from bayesnas.reproductions.varhypernet import published
from bayesnas.reproductions.varhypernet.figures import pruning_figure
from bayesnas.reproductions.varhypernet.fits import Fits, span
from bayesnas.reproductions.varhypernet.measure import FRACTIONS, Measured, measured
from bayesnas.reproductions.varhypernet.settings import (
    HIDDEN,
    METHODS,
    Method,
    Settings,
    build_model,
    prepare,
)

_FILES = ("pruning.csv", "pruning.png")


def run(request: Request) -> Reproduced:
    """Fit, measure and write ``comparison.csv`` and ``.md``, ``pruning.csv`` and ``.png``.

    Raises:
        ValueError: where the folder holds a reproduction with other settings.
        FileNotFoundError: MNIST is not there and can't be downloaded.
    """
    settings, data = prepare(request)
    claim(request.out, {**settings.to_dict(), "fingerprint": data.train.fingerprint})
    fits = Fits(request.out / "fits", settings, data, request)
    by_fit = {}
    for method in METHODS.values():
        for kl_weight in published.KL_WEIGHTS:
            at = method, kl_weight, fits, data, settings, request.out / "measured"
            by_fit[method.key, kl_weight] = measured(*at)
            request.say(_line(method, kl_weight, by_fit[method.key, kl_weight]))
    comparisons = list(compare(by_fit, settings, build_model(data)))
    files = _write(request.out, comparisons, by_fit)
    return Reproduced("varhypernet", settings.to_dict(), remarks(settings), comparisons, files)


REPRODUCTION = Reproduction("hypernetworks over the KL weight", published.REFERENCE, run)


def compare(
    by_fit: Mapping[tuple[str, float], Measured], settings: Settings, model: GaussianNet
) -> Iterator[Comparison]:
    """Put every figure beside the published one."""
    for quantity, table, values in _QUANTITIES:
        for (key, kl_weight), figures in by_fit.items():
            column = published.KL_WEIGHTS.index(kl_weight)
            theirs = table[key][column] if key in table else None
            labels = {"method": _name(METHODS[key]), "λ": f"{kl_weight:g}"}
            yield Comparison(labels, quantity, theirs, tuple(values(figures)))
    for method in METHODS.values():
        as_published = published_updates(method)
        as_run = updates(
            method,
            model,
            examples=settings.examples,
            batch_size=settings.batch_size,
            epochs=settings.epochs,
        )
        for label, count, theirs in (
            ("as published", as_published, published.UPDATES.get(method.key)),
            ("as run", as_run, None),
        ):
            labels = {"method": _name(method), "settings": label}
            yield Comparison(labels, "updates", theirs, (float(count),))


_QUANTITIES: tuple[
    tuple[str, Mapping[str, tuple[float, ...]], Callable[[Measured], list[float]]], ...
] = (
    ("accuracy", published.ACCURACY, lambda measured: [row[0] for row in measured.accuracy]),
    ("stability", published.STABILITY, lambda measured: measured.stability),
    ("bound", published.BOUND, lambda measured: measured.bound),
)


def published_updates(method: Method) -> int:
    """Updates of single parameters at the settings of the source."""
    return updates(
        method,
        GaussianNet(mlp([784, HIDDEN, 10])),
        examples=published.EXAMPLES,
        batch_size=published.BATCH_SIZE,
        epochs=published.EPOCHS,
    )


def updates(
    method: Method, model: GaussianNet, *, examples: int, batch_size: int, epochs: int
) -> int:
    """Updates of single parameters that a method takes for all KL weights, as published.

    Fits at one λ are made for every λ; an epoch of fine-tuning counts once, as in the source.
    """
    count = partial(parameter_updates, model, examples=examples, batch_size=batch_size)
    if method.base is not None:
        sizes = {"examples": examples, "batch_size": batch_size, "epochs": epochs}
        return updates(METHODS[method.base], model, **sizes) + count(epochs=1)
    epochs = epochs if method.long else 1
    if method.amortize is None:
        return count(epochs=epochs, fits=len(published.KL_WEIGHTS))
    return count(epochs=epochs, kl_weight=span(), amortize=method.amortize)


def remarks(settings: Settings) -> list[str]:
    """What was run, and what is not as in the source."""
    starts = "1 start" if settings.starts == 1 else f"{settings.starts} starts"
    sentences = [
        f"{settings.data}, {settings.examples:,} training examples, {starts}, "
        f"{settings.epochs} epochs of Adam, cosine schedule, minibatches of "
        f"{settings.batch_size}, local reparameterisation; 𝓛 over {settings.draws} draws.",
        "Accuracy and stability are those of the posterior means on the test part.",
    ]
    if settings.examples != published.EXAMPLES:
        sentences.append(
            f"λ is multiplied, and 𝓛 divided, by {settings.scale:.3g}, so that with fewer examples "
            "than the published 60,000 log-likelihood and KL weigh as they do there."
        )
    return sentences


def _write(
    out: Path, comparisons: list[Comparison], by_fit: Mapping[tuple[str, float], Measured]
) -> dict[str, Path]:
    files = write_comparisons(out, comparisons)
    files |= {name: out / name for name in _FILES}
    rows = [
        {"method": key, "kl_weight": kl_weight, "start": start, "removed": f, "accuracy": value}
        for (key, kl_weight), figures in by_fit.items()
        for start, curve in enumerate(figures.accuracy)
        for f, value in zip(FRACTIONS, curve, strict=True)
    ]
    write_atomically(files["pruning.csv"], rows_as_csv(rows).encode())
    write_figure(pruning_figure(by_fit), files["pruning.png"])
    return files


def _name(method: Method) -> str:
    return f"({method.key}) {method.title}"


def _line(method: Method, kl_weight: float, figures: Measured) -> str:
    bound = sum(figures.bound) / len(figures.bound)
    accuracy = sum(row[0] for row in figures.accuracy) / len(figures.accuracy)
    return f"{_name(method)}, λ = {kl_weight:g}: accuracy {accuracy:.4f}, 𝓛 {bound:,.0f}"
