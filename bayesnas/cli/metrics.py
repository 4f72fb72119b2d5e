"""Metrics as tables of text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bayesnas.cli.output import number
from bayesnas.inference.evaluation.tradeoff.frontier import STABILITY_FRACTION
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.report.findings import target_scale
from bayesnas.report.tables import table

if TYPE_CHECKING:
    import xarray as xr

_BOUND_ROWS = ("elbo", "expected_log_lik", "kl")
_HEADINGS = {"elbo": "bound, train", "parameters": "kept"}


def metrics_table(post: Posterior, metrics: dict[str, dict[str, float]]) -> str:
    """Metrics as rows, a column each for the parts of the data.

    The terms of the bound stand for the training sample alone: they are sums over it.
    """
    columns = list(metrics)
    names = [name for name in metrics[columns[0]] if name not in (*_BOUND_ROWS, "elbo_error")]
    rows = [["", *columns]]
    rows += [[name, *(number(metrics[c][name]) for c in columns)] for name in names]
    scale = target_scale(post)
    if scale is not None:
        for name in ("rmse", "crps", "width"):
            if name in names:
                in_units = [number(scale * metrics[c][name]) for c in columns]
                rows.append([f"{name}, not standardised", *in_units])
    if "train" in metrics:
        rest = [""] * (len(columns) - 1)
        train = metrics["train"]
        bound = number(train["elbo"])
        rows.append(["bound E log p - λ KL", bound, *rest])
        rows.append(["  E log p(D|w)", number(train["expected_log_lik"]), *rest])
        rows.append(["  KL(q||p)", number(train["kl"]), *rest])
    return table(rows)


def frontier_table(measures: xr.Dataset, fits: Sequence[str] | None = None) -> str:
    """Measures over the KL weight: a row for each, and in front the fit where there are several.

    Predictions, stability and kept weights are those of the part that is judged, the bound and
    the KL those of the training part.
    """
    wanted = ("accuracy", "rmse", "nll", "ece", "stability", "elbo", "kl", "parameters")
    shown = [name for name in wanted if name in measures]
    rows = [["λ", *(_HEADINGS.get(name, name) for name in shown)]]
    rows += [
        [f"{kl_weight:.4g}", *(_measure(name, measures[name].values[index]) for name in shown)]
        for index, kl_weight in enumerate(measures["kl_weight"].values)
    ]
    if fits is not None:
        rows = [["fit", *rows[0]], *([fit, *row] for fit, row in zip(fits, rows[1:], strict=True))]
    return table(rows)


def frontier_legend(measures: xr.Dataset) -> str:
    """What the columns of :func:`frontier_table` are, in words."""
    predictions = [n for n in ("accuracy", "rmse", "nll", "ece", "stability") if n in measures]
    words = {
        "nll": "nll: negative log-likelihood of a row",
        "ece": "ece: by how much probabilities miss the share that is right",
        "stability": f"stability: accuracy by that of {1 - STABILITY_FRACTION:.0%} of the weights",
        "kl": "bound and kl: in nats, training part",
        "parameters": f"kept: weights with ρ < {measures.attrs['threshold']:g}",
    }
    text = [f"{', '.join(predictions)}: {measures.attrs['part']} part"]
    text += [words[name] for name in words if name in measures]
    return textwrap.fill("; ".join(text), 100)


def _measure(name: str, value: float) -> str:
    return f"{value:,.0f}" if name in ("elbo", "kl", "parameters") else number(float(value))
