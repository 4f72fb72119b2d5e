"""Metrics of every part of the data, and what restarts say of their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesnas.data import DataSet
from bayesnas.inference import Posterior
from bayesnas.report.findings import Findings, parts_of

MEANINGS = {
    "accuracy": "share of labels that are right",
    "rmse": "root mean squared error, in the units that the fit saw",
    "nll": "mean negative log predictive density of an example, nats",
    "ece": "expected calibration error, 15 bins",
    "brier": "Brier score",
    "aurc": "area under the risk–coverage curve",
    "crps": "continuous ranked probability score",
    "coverage": "share of targets in their 90 % intervals",
    "width": "mean width of these intervals",
    "elbo": "the bound E log p − λ KL, nats, a sum over the part",
    "expected_log_lik": "E log p(y | x, w), nats, a sum over the part",
    "kl": "KL(q ‖ p), nats",
    "elbo_error": "Monte Carlo standard error of the bound",
}


@dataclass(frozen=True)
class MetricRow:
    """One metric.

    Attributes:
        name: as ``post.evaluate`` and ``post.metrics`` have it.
        meaning: in a few words.
        values: on every part of the data.
        spread: mean and standard deviation over the restarts on the part that is judged; None for
            one start.
    """

    name: str
    meaning: str
    values: tuple[float, ...]
    spread: tuple[float, float] | None


def metric_rows(findings: Findings, data: DataSet) -> tuple[list[str], list[MetricRow]]:
    """Names of the parts, and a row for every metric that ``bayesnas evaluate`` prints."""
    parts = parts_of(data)
    by_part = {name: _measured(findings.post, data, findings, name) for name in parts}
    spreads = _over_restarts(findings, data)
    names = list(by_part[findings.part])
    rows = [
        MetricRow(
            name,
            MEANINGS.get(name, ""),
            tuple(by_part[part][name] for part in parts),
            spreads.get(name),
        )
        for name in names
    ]
    return list(parts), rows


def _measured(post: Posterior, data: DataSet, findings: Findings, part: str) -> dict[str, float]:
    split, draws = parts_of(data)[part], findings.draws
    known = findings.metrics.get(part) if post is findings.post else None
    metrics = known or post.evaluate(split, draws=draws)
    if draws < 2 or post.model.reconstructs:
        return metrics
    try:
        return {**metrics, **post.metrics(split, draws=draws)}
    except TypeError:  # a Pyro pair that masks rows
        return metrics


def _over_restarts(findings: Findings, data: DataSet) -> dict[str, tuple[float, float]]:
    post = findings.post
    if post.chains == 1:
        return {}
    every = [
        _measured(post.chain(index), data, findings, findings.part) for index in range(post.chains)
    ]
    return {
        name: (float(np.mean(values)), float(np.std(values, ddof=1)))
        for name in every[0]
        for values in [[each[name] for each in every]]
    }
