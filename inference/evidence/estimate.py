"""The evidence of one model by any of the methods, and of guides along λ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from torch import Tensor

from bayesnas.checks import choice, draw_count
from bayesnas.export.psis import MIN_DRAWS
from bayesnas.inference.evidence.importance import elbo_evidence, importance_evidence
from bayesnas.inference.evidence.laplace import laplace_evidence
from bayesnas.inference.evidence.result import Evidence
from bayesnas.inference.evidence.thermodynamic import (
    SameModel,
    check_path,
    integrated,
    path_point,
)
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.random_state import derived_seed

EvidenceMethod = Literal["auto", "exact", "elbo", "importance", "laplace", "laplace-diagonal"]


def estimated_evidence(
    model: BayesianModel, x: Tensor, y: Tensor, method: EvidenceMethod, draws: int, seed: int
) -> Evidence:
    """Ln p(y | x) of a model by a method; see ``Posterior.evidence``.

    Raises:
        ValueError: for ``"exact"`` of a model of which it is not known, and where a method does
            not take the model.
    """
    choice("method", method, get_args(EvidenceMethod))
    if method in ("auto", "exact"):
        exact = model.log_evidence(x, y)
        if exact is not None:
            value = exact.item()
            return Evidence(value, 0.0, value, value, "exact")
        if method == "exact":
            raise ValueError(
                f"method='exact' needs a model whose evidence is known, got {model.describe()}: "
                "take 'importance', or 'elbo' for a bound"
            )
    if method == "elbo":
        return elbo_evidence(model, x, y, draws, seed)
    if method == "laplace":
        return laplace_evidence(model, x, y, "full", seed)
    if method == "laplace-diagonal":
        return laplace_evidence(model, x, y, "diagonal", seed)
    return importance_evidence(model, x, y, draw_count("draws", draws, MIN_DRAWS), seed)


def path_evidence(
    model_at: Callable[[float], BayesianModel],
    kl_weights: Sequence[float],
    x: Tensor,
    y: Tensor,
    draws: int,
    seed: int,
) -> Evidence:
    """Ln p(y | x) by thermodynamic integration; see ``AmortizedPosterior.evidence``.

    Args:
        model_at: the model fitted at a KL weight; one is held at a time.
        kl_weights: λ ≥ 1, 1 among them.
        x: inputs ``[n, ...]``.
        y: targets ``[n, ...]``.
        draws: from the guide at every λ.
        seed: of the draws; every λ has draws of its own.

    Raises:
        ValueError: where the KL weights are no path to 1, or the model changes along them.
    """
    ordered, draws = check_path(kl_weights), draw_count("draws", draws, MIN_DRAWS)
    same = SameModel(model_at(1.0).eval(), x, y, seed)
    points = []
    for index, kl_weight in enumerate(ordered):
        model = model_at(kl_weight).eval()
        same(model, kl_weight)
        points.append(path_point(model, x, y, kl_weight, draws, derived_seed(seed, index)))
    return integrated(points)
