"""What is measured of every method at every KL weight, and kept for a second call."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from bayesnas.data import DataSet
from bayesnas.inference import Posterior
from bayesnas.reproductions.varhypernet.fits import Fits
from bayesnas.reproductions.varhypernet.settings import Method, Settings
from bayesnas.tensor_files import read_json, write_json

FRACTIONS = tuple(percent / 100 for percent in range(0, 100, 10))
"""Shares of the weights removed, those of the published figures."""


@dataclass(frozen=True)
class Measured:
    """Figures of one method at one KL weight, a value for every start.

    Attributes:
        bound: 𝓛 of the training sample, in nats, as of as many examples as in the source.
        bound_error: its Monte Carlo standard error.
        accuracy: of the posterior means on the test part, ``[start][fraction]``, weights removed
            by :data:`FRACTIONS`.
    """

    bound: list[float]
    bound_error: list[float]
    accuracy: list[list[float]]

    @property
    def stability(self) -> list[float]:
        """Accuracy over the accuracy with 90 % of the weights removed, of every start."""
        return [row[0] / row[-1] for row in self.accuracy]


def measured(
    method: Method, kl_weight: float, fits: Fits, data: DataSet, settings: Settings, folder: Path
) -> Measured:
    """Measure, or read what was measured before."""
    path = folder / f"{method.key}-{kl_weight:g}.json"
    if path.exists():
        return Measured(**read_json(path))
    figures = _measure(fits.posterior(method, kl_weight), data, settings)
    folder.mkdir(exist_ok=True)
    write_json(path, asdict(figures))
    return figures


def _measure(post: Posterior, data: DataSet, settings: Settings) -> Measured:
    assert data.test is not None
    figures = Measured([], [], [])
    for index in range(post.chains):
        chain = post.chain(index)
        metrics = chain.evaluate(data.train, draws=settings.draws)
        curve = chain.pruning_curve(data.test, FRACTIONS, by=("density",))
        figures.bound.append(metrics["elbo"] / settings.scale)
        figures.bound_error.append(metrics["elbo_error"] / settings.scale)
        figures.accuracy.append(curve["accuracy"].sel(by="density").values.tolist())
    return figures
