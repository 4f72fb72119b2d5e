"""What is measured of a fit to tell whether it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

from bayesnas.data import DataSet
from bayesnas.inference.evaluation.predictive import posterior_draws
from bayesnas.inference.training.convergence import unconverged, why_untold
from bayesnas.report.findings import (
    Array,
    Findings,
    interval_coverage,
    latents_in_use,
)

_MOST_ROWS = 20_000  # k̂ looks at all of them at every draw
_ROWS_IN_ALL, _FEWEST, _MOST = 500_000, 100, 1000  # rows times draws, and draws


@dataclass(frozen=True)
class FitChecks:
    """What warnings are made of.

    Attributes:
        part: of the data, on which predictions are judged.
        examples: in that part.
        kl_weight: λ of the posterior.
        kl_weight_range: smallest and largest λ of the fit; None for a fit at one.
        pareto_k: k̂ of the guide against its target; None where it was not measured.
        pareto_draws: behind it.
        no_pareto_k: why not.
        rising: what is to be said of a fit whose bound still rose; None where it did not.
        no_rising: why that was not looked at; empty where it was.
        coverage: share of the true values in their 90 % predictive intervals; None but for a
            regression.
        calibration: confidence, accuracy and share of the bins, ``[3, bins]``; None but for a
            classification.
        parameters: weights with a posterior.
        kept: of them.
        superfluous: of those kept, how many may go at no cost that is worth a name.
        latents: latent dimensions of an autoencoder, and how many are in use; None for others.
    """

    part: str
    examples: int
    kl_weight: float
    kl_weight_range: tuple[float, float] | None
    pareto_k: float | None
    pareto_draws: int
    no_pareto_k: str
    rising: str | None
    no_rising: str
    coverage: float | None
    calibration: Array | None
    parameters: int
    kept: int
    superfluous: int
    latents: tuple[int, int] | None = None


def check_fit(
    findings: Findings, data: DataSet, span: tuple[float, float] | None, superfluous: int
) -> FitChecks:
    """Measure what is not in the findings yet.

    Args:
        findings: of the fit.
        data: what it was fitted on, in parts.
        span: smallest and largest λ of the fit; None for a fit at one.
        superfluous: weights that are kept and may go.
    """
    post, rows = findings.post, findings.predictions
    pareto_draws = min(max(_ROWS_IN_ALL // len(data.train), _FEWEST), _MOST)
    pareto_k, reason = _pareto_k(findings, data, pareto_draws)
    records = post.records()
    return FitChecks(
        part=findings.part,
        examples=findings.sizes[findings.part],
        kl_weight=post.kl_weight,
        kl_weight_range=span,
        pareto_k=pareto_k,
        pareto_draws=pareto_draws,
        no_pareto_k=reason,
        rising=unconverged(records, post.settings, span),
        no_rising=why_untold(records, post.settings),
        coverage=None if rows is None else interval_coverage(rows),
        calibration=findings.calibration,
        parameters=int(findings.complexity["parameters"]),
        kept=int(findings.complexity["parameters_kept"]),
        superfluous=superfluous,
        latents=latents_in_use(findings),
    )


def _pareto_k(findings: Findings, data: DataSet, draws: int) -> tuple[float | None, str]:
    """K̂, or None and the reason."""
    post, rows = findings.post, len(data.train)
    if rows > _MOST_ROWS:
        return None, f"not measured on {rows:,} examples; post.pareto_k(data.train) does it"
    if post.run.weights:
        return None, "not defined for weighted examples"
    if post.kl_weight == 0:
        return None, "not defined at λ = 0"
    train = data.train.first(rows)
    x = train.x.to(post.example[0])
    if next(posterior_draws(post.model.eval(), post.model.few_rows(x), 1, 0)).local:
        return None, "not defined for a model with latents of every example"
    try:
        return post.pareto_k(train, draws=draws), ""
    except (TypeError, ValueError) as error:
        return None, f"not defined here: {error}"
