"""The numbers of a frontier: what every KL weight of a fit is worth, part by part of the data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bayesnas.data import DataSet, Split
from bayesnas.inference import Posterior
from bayesnas.inference.config.inputs import split_of
from bayesnas.inference.evaluation.tradeoff.frontier import SUPERFLUOUS_DENSITY, frontier
from bayesnas.inference.posterior.kl_weights.kl_path import KLWeightPath
from bayesnas.nn.hypernetworks.intervals import LogInterval
from bayesnas.report.findings import judged_part

if TYPE_CHECKING:
    import xarray as xr

_TRAINING = ("elbo", "expected_log_lik", "kl", "elbo_error")


def kl_weight_grid(post: KLWeightPath, count: int | None = None) -> list[float]:
    """KL weights over the range of a fit, evenly on a log scale, the ends included.

    Args:
        post: an amortised posterior.
        count: their number; None: one a decade, at least three and at most seven.
    """
    amortization = post.settings.amortization
    assert amortization is not None
    return log_grid(amortization.span, count)


def log_grid(span: LogInterval, count: int | None = None) -> list[float]:
    """See :func:`kl_weight_grid`.

    >>> log_grid(LogInterval(0.1, 100.0))
    [0.1, 1.0, 10.0, 100.0]
    >>> len(log_grid(LogInterval(0.1, 100.0), 13))
    13
    """
    if count is None:
        decades = 0
        while span.low * 10 ** (decades + 1) <= span.high * (1 + 1e-9):
            decades += 1
        count = min(max(decades + 1, 3), 7)
    points = (span.value(index / (count - 1)) for index in range(count))
    # 1, not 0.9999999999999998; the ends are exact.
    return [float(f"{kl_weight:.12g}") for kl_weight in points]


def measure_frontier(
    posts: Iterable[Posterior],
    data: DataSet,
    *,
    draws: int = 32,
    threshold: float = SUPERFLUOUS_DENSITY,
) -> xr.Dataset:
    """Measure posteriors along their KL weights.

    Predictions, stability and kept weights are judged on the test part (or else the validation
    part, or else the training part); the bound and its terms are those of the training part.

    Args:
        posts: one for each KL weight; one is held at a time.
        data: what they were fitted on, in parts.
        draws: draws of the weights; 0: posterior means.
        threshold: relative density from which a weight counts as superfluous.

    Returns:
        measures over the dim ``kl_weight``; ``attrs`` name the part.
    """
    import xarray as xr

    name, part = judged_part(data)
    by_fit = [_measure(post, part, data.train, draws, threshold) for post in posts]
    measures = xr.concat(by_fit, "kl_weight")
    return measures.assign_attrs(part=name, draws=draws, threshold=threshold)


def rows_of(measures: xr.Dataset) -> list[dict[str, Any]]:
    """One row for each KL weight."""
    return [
        {"kl_weight": float(kl_weight)}
        | {str(name): float(measures[name].values[index]) for name in measures}
        for index, kl_weight in enumerate(measures["kl_weight"].values)
    ]


def _measure(
    post: Posterior, part: Split, train: Split, draws: int, threshold: float
) -> xr.Dataset:
    sample = split_of(post.model, part).to(post.device)
    models = [(post.kl_weight, post.model)]
    measures = frontier(models, sample, draws=draws, threshold=threshold, seed=0)
    if part is train:
        return measures
    bound = post.evaluate(train, draws=draws)
    return measures.assign({name: ("kl_weight", [bound[name]]) for name in _TRAINING})
