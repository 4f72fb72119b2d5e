"""Redundant weights: the likelihood is flat along them, and noise of the inputs finds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bayesnas.report.figure import write_figure
from bayesnas.reproductions.base import Comparison, Reproduced, Reproduction, Request, claim
from bayesnas.reproductions.redundancy.figures import redundancy_figure
from bayesnas.reproductions.redundancy.measure import MODELS, NETS, Measured, measured
from bayesnas.reproductions.redundancy.settings import COPIES, FEATURES, Settings, settings_of
from bayesnas.reproductions.tables import write_comparisons
from bayesnas.tensor_files import read_json, write_json

REFERENCE = "O. Bakhteev, lectures on model selection at MIPT, 2019"


def run(request: Request) -> Reproduced:
    """Fit and measure, and write ``comparison.csv``, ``.md`` and ``redundancy.png``.

    Raises:
        ValueError: where the folder holds a reproduction with other settings.
    """
    settings = settings_of(request)
    claim(request.out, settings.to_dict())
    results = [_kept(seed, settings, request) for seed in range(1, settings.starts + 1)]
    comparisons = list(compare(results, settings))
    files = _write(request.out, comparisons, results, settings)
    return Reproduced(
        "redundancy", settings.to_dict(), remarks(results, settings), comparisons, files
    )


REPRODUCTION = Reproduction(
    "redundant weights: a flat likelihood, and noise of the inputs", REFERENCE, run
)


def _kept(seed: int, settings: Settings, request: Request) -> Measured:
    path = request.out / "measured" / f"{seed}.json"
    if path.exists():
        return Measured(**read_json(path))
    request.say(f"seed {seed}")
    result = measured(seed, settings, request.device)
    path.parent.mkdir(exist_ok=True)
    write_json(path, asdict(result))
    return result


def compare(results: Sequence[Measured], settings: Settings) -> Iterator[Comparison]:
    """The three panels as tables; no figures are published."""
    for removed in (0, 5, 10, 15, 16, 17, 18, 19):
        labels = {"regression": "log-likelihood", "weights removed": str(removed)}
        ours = tuple(each.log_lik[removed] for each in results)
        yield Comparison(labels, "nats a training row", None, ours)
    for name in MODELS:
        for index, noise in enumerate(settings.noises):
            ours = tuple(each.rmse[name][index] for each in results)
            yield Comparison({"regression": name, "noise": f"{noise:g}"}, "test RMSE", None, ours)
    for name in NETS:
        for index, noise in enumerate(settings.image_noises):
            ours = tuple(each.accuracy[name][index] for each in results)
            labels = {"network": name, "noise": f"{noise:g}"}
            yield Comparison(labels, "test accuracy", None, ours)


def remarks(results: Sequence[Measured], settings: Settings) -> list[str]:
    """What was run, and which of a pair noise harms more."""
    worse = sum(each.rmse["redundant"][-1] > each.rmse["compact"][-1] for each in results)
    drops = {
        name: [each.accuracy[name][0] - each.accuracy[name][-1] for each in results]
        for name in NETS
    }
    more = sum(a > b for a, b in zip(drops["redundant"], drops["compact"], strict=True))
    weights = results[0].weights
    norms = {name: sum(each.norms[name] for each in results) / len(results) for name in MODELS}
    return [
        f"Linear regression, each of {FEATURES} features in {COPIES} copies, weights from N(0, 1); "
        "weights removed by Optimal Brain Surgeon. Both models of a pair see the same noise.",
        f"Of {len(results)} starts the redundant regression has the larger error under the largest "
        f"noise in {worse}; mean ‖w‖²: "
        + ", ".join(f"{name} {value:.2f}" for name, value in norms.items())
        + ".",
        f"Of {len(results)} starts the redundant network loses more accuracy to the largest noise "
        f"in {more} ({weights['redundant']:,} and {weights['compact']:,} weights).",
    ]


def _write(
    out: Path, comparisons: list[Comparison], results: Sequence[Measured], settings: Settings
) -> dict[str, Path]:
    files = write_comparisons(out, comparisons)
    files |= {name: out / name for name in ("redundancy.png",)}
    write_figure(redundancy_figure(results, settings), files["redundancy.png"])
    return files
