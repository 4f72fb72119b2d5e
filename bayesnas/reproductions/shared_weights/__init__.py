"""ENAS and budgeted super networks against random architectures, on a slice of Fashion-MNIST.

Every architecture is trained again from fresh weights, all alike, and compared with the random ones
that are no larger.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping

from bayesnas.reproductions.base import Comparison, Reproduced, Reproduction, Request, claim
from bayesnas.reproductions.shared_weights.space import Settings, settings_of
from bayesnas.reproductions.shared_weights.study import Study, Trained
from bayesnas.reproductions.tables import mean_and_error, write_comparisons

REFERENCE = (
    "H. Pham, M. Guan, B. Zoph, Q. Le, J. Dean, Efficient neural architecture search via parameter "
    "sharing, 2018; T. Veniat, L. Denoyer, Learning time/memory-efficient deep architectures with "
    "budgeted super networks, 2018"
)


def run(request: Request) -> Reproduced:
    """Search, train again, and write ``comparison.csv`` and ``comparison.md``.

    Raises:
        ValueError: where the folder holds a reproduction with other settings.
        FileNotFoundError: Fashion-MNIST is not there and can't be downloaded.
    """
    settings = settings_of(request)
    claim(request.out, settings.to_dict())
    by_method = Study(settings, request).run()
    comparisons = list(compare(by_method))
    files = write_comparisons(request.out, comparisons)
    words = remarks(by_method, settings)
    return Reproduced("shared-weights", settings.to_dict(), words, comparisons, files)


REPRODUCTION = Reproduction("searches with shared weights against random ones", REFERENCE, run)


def front_at(random: list[Trained], parameters: int) -> Trained | None:
    """The random architecture of the best mean validation accuracy among those no larger.

    >>> small, large = Trained(10, (0.5,), (0.6,)), Trained(20, (0.8,), (0.7,))
    >>> front_at([small, large], 15) is small, front_at([small, large], 5)
    (True, None)
    """
    smaller = [each for each in random if each.parameters <= parameters]
    return max(smaller, key=lambda each: statistics.fmean(each.validation), default=None)


def compare(by_method: Mapping[str, list[Trained]]) -> Iterator[Comparison]:
    """Test accuracies beside those of the random front at the same size."""
    for method, entries in by_method.items():
        for index, each in enumerate(entries):
            labels = {"method": method, "number": str(index), "parameters": str(each.parameters)}
            yield Comparison({**labels, "of": "itself"}, "test accuracy", None, each.test)
            front = front_at(by_method["random"], each.parameters)
            if method != "random" and front is not None:
                yield Comparison(
                    {**labels, "of": "random front"}, "test accuracy", None, front.test
                )


def remarks(by_method: Mapping[str, list[Trained]], settings: Settings) -> list[str]:
    """By method, the mean difference from the random front and its standard error."""
    lines = [
        f"Fashion-MNIST averaged over 2 × 2 pixels, {settings.train:,} training, "
        f"{settings.validation:,} validation and {settings.test:,} test images; six edges of five "
        f"operations, {settings.channels} channels; searches of {settings.epochs} epochs, every "
        f"architecture trained again for {settings.retraining_epochs} with "
        f"{settings.retrainings} seeds."
    ]
    for method, entries in by_method.items():
        if method == "random":
            continue
        fronts = [(each, front_at(by_method["random"], each.parameters)) for each in entries]
        differences = [
            100 * (statistics.fmean(each.test) - statistics.fmean(front.test))
            for each, front in fronts
            if front is not None
        ]
        if len(differences) > 1:
            lines.append(
                f"{method}: {mean_and_error(differences, signed=True)} points "
                f"from the random front at its size, {len(differences)} searches."
            )
    return lines
