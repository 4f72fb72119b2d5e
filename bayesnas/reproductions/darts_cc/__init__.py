"""Yakovlev and others (2022): architectures of every complexity out of one search.

One search along λ̃ gives the architectures; they, those of DARTS and random ones are retrained
alike, and set out as accuracy against parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

from bayesnas.files import write_atomically
from bayesnas.nn.graphs.graph import Graph
from bayesnas.report.figure import write_figure
from bayesnas.report.tables import rows_as_csv
from bayesnas.reproductions.base import Comparison, Reproduced, Reproduction, Request, claim
from bayesnas.reproductions.darts_cc import published
from bayesnas.reproductions.darts_cc.figures import ends_figure, frontier_figure
from bayesnas.reproductions.darts_cc.fits import Searches
from bayesnas.reproductions.darts_cc.retraining import Retrained, retrained
from bayesnas.reproductions.darts_cc.settings import Images, Settings, images, settings_of
from bayesnas.reproductions.tables import write_comparisons
from bayesnas.tensor_files import read_json, write_json

Methods = dict[str, list[list[Retrained]]]
"""By method, for every start its architectures; a random one is a start of its own."""


def run(request: Request) -> Reproduced:
    """Search, retrain, and write tables and pictures.

    Raises:
        ValueError: where the folder holds a reproduction with other settings.
        FileNotFoundError: a data set is not there and can't be downloaded.
    """
    settings = settings_of(request)
    loaded = [images(name, settings, request.root) for name in settings.data]
    claim(request.out, settings.to_dict())
    by_data: dict[str, Methods] = {}
    files: dict[str, Path] = {}
    for data in loaded:
        searches = Searches(request.out / data.name, data, settings, request)
        by_data[data.name] = _methods(searches, data, settings, request)
        files |= _ends(searches, data.name, request.out)
    comparisons = [c for name, methods in by_data.items() for c in compare(name, methods)]
    files |= _write(request.out, comparisons, by_data)
    return Reproduced(
        "darts-cc", settings.to_dict(), remarks(settings, by_data), comparisons, files
    )


REPRODUCTION = Reproduction(
    "architectures of every complexity from one search", published.REFERENCE, run
)


def _methods(searches: Searches, data: Images, settings: Settings, request: Request) -> Methods:
    def train(key: str, architecture: Callable[[], Graph], seed: int) -> Retrained:
        return _retrained(key, architecture, data, settings, request, seed)

    starts, places = range(settings.starts), published.PLACES
    return {
        "DARTS-CC": [
            [
                train(f"cc-{start}-{p:g}", partial(searches.architecture, start, p), start)
                for p in places
            ]
            for start in starts
        ],
        "DARTS": [
            [train(f"darts-{start}", partial(searches.darts, start), start)] for start in starts
        ],
        "random": [
            [train(f"random-{index}", partial(searches.random, index), index)]
            for index in range(settings.random)
        ],
    }


def _retrained(
    key: str,
    architecture: Callable[[], Graph],
    data: Images,
    settings: Settings,
    request: Request,
    seed: int,
) -> Retrained:
    """Retrain, or read what was retrained before."""
    path = request.out / data.name / "retrained" / f"{key}.json"
    if path.exists():
        return Retrained(**read_json(path))
    outcome = retrained(architecture(), data, settings, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(outcome))
    request.say(f"{data.name} {key}: {outcome.parameters:,} parameters, {outcome.accuracy:.4f}")
    return outcome


def compare(name: str, methods: Methods) -> Iterator[Comparison]:
    """Parameters and accuracy of every method, beside the published ones of Fashion-MNIST."""
    rows: dict[str | float, list[Retrained]] = {
        place: [start[index] for start in methods["DARTS-CC"]]
        for index, place in enumerate(published.PLACES)
    }
    rows |= {key: [one for start in methods[key] for one in start] for key in ("DARTS", "random")}
    published_here = name == "fashion-mnist"
    for quantity, theirs in (
        ("parameters", published.PARAMETERS),
        ("accuracy", published.ACCURACY),
    ):
        for key, members in rows.items():
            label = key if isinstance(key, str) else f"λ̃ at {key:g}"
            values = tuple(float(getattr(one, quantity)) for one in members)
            figure = theirs[key] if published_here else None
            yield Comparison({"architecture": label, "data": name}, quantity, figure, values)


def margins(methods: Methods) -> list[float]:
    """By how much ours are better than random architectures of their size, by place of λ̃.

    Of random architectures of equal size the accuracy is read off the parabola through theirs
    against log parameters, no farther out than the smallest and the largest of them; the margin
    is the mean over the searches.
    """
    import numpy as np

    drawn = [one for start in methods["random"] for one in start]
    sizes = np.log([one.parameters for one in drawn])
    curve = np.polyfit(sizes, [one.accuracy for one in drawn], min(2, len(drawn) - 1))
    gains = []
    for index in range(len(published.PLACES)):
        ours = [start[index] for start in methods["DARTS-CC"]]
        log_sizes = np.log([one.parameters for one in ours]).clip(sizes.min(), sizes.max())
        better = np.array([one.accuracy for one in ours]) - np.polyval(curve, log_sizes)
        gains.append(float(better.mean()))
    return gains


def remarks(settings: Settings, by_data: Mapping[str, Methods]) -> list[str]:
    """What was run, what is not as in the source, and what came of it."""
    starts = "1 search" if settings.starts == 1 else f"{settings.starts} searches"
    said = [
        f"{', '.join(by_data)}: at most {settings.train:,} training images, {starts} of "
        f"{settings.search_steps} steps, cells {', '.join(settings.kinds)} of {settings.channels} "
        f"channels and {settings.nodes} nodes, λ̃ from {settings.low:g} to {settings.high:g} of "
        "that at which the largest architecture costs as much as knowing nothing of the classes; "
        "as it grows, costlier operations only fall behind.",
        f"All architectures are retrained alike, {settings.epochs} epochs, the epoch chosen on "
        "validation data; the published accuracies are the best on the test part, of networks "
        "of their own size and training.",
    ]
    for name, methods in by_data.items():
        sizes = [[one.parameters for one in start] for start in methods["DARTS-CC"]]
        falls = all(row == sorted(row, reverse=True) for row in sizes)
        factors = ", ".join(f"{row[0] / row[-1]:.1f}" for row in sizes)
        said.append(
            f"{name}: parameters {'fall' if falls else 'do not all fall'} with λ̃ in every search, "
            f"by factors of {factors}; ours less random architectures of equal size, in points, "
            f"from the smallest λ̃ on: {', '.join(f'{100 * m:+.1f}' for m in margins(methods))}."
        )
    return said


def _ends(searches: Searches, name: str, out: Path) -> dict[str, Path]:
    path = out / f"ends-{name}.png"
    write_figure(ends_figure(searches.model(0, 0.0), searches.model(0, 1.0)), path)
    return {path.name: path}


def _write(
    out: Path, comparisons: list[Comparison], by_data: Mapping[str, Methods]
) -> dict[str, Path]:
    files = write_comparisons(out, comparisons)
    files |= {name: out / name for name in ("architectures.csv", "frontier.png")}
    rows = [
        {
            "data": name, "method": method, "start": index, "parameters": one.parameters,
            "accuracy": one.accuracy, "validation": one.validation, "epoch": one.epoch,
        }
        for name, methods in by_data.items()
        for method, starts in methods.items()
        for index, start in enumerate(starts)
        for one in start
    ]  # fmt: skip
    write_atomically(files["architectures.csv"], rows_as_csv(rows).encode())
    write_figure(frontier_figure(by_data), files["frontier.png"])
    return files
