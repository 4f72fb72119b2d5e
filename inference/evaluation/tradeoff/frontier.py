"""The frontier between accuracy and complexity: what a model is worth at every KL weight."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference.evaluation.metrics import accuracy_of_means, evaluate
from bayesnas.inference.evaluation.tradeoff.model_pruning import ModelPruning
from bayesnas.models.base import BayesianModel

if TYPE_CHECKING:
    import xarray as xr

STABILITY_FRACTION = 0.9
"""Share of the weights removed to measure stability, from the published tables."""

SUPERFLUOUS_DENSITY = 0.99
"""ρ = exp(−μ²/2σ²) from which a weight counts as superfluous: |μ| < 0.14 σ.

Removing all of them cost at most 0.23 points of accuracy at any λ from 0.1 to 100 on MNIST with
784–50–10, and nothing on digits; a density of 0.9 costs 8 points on MNIST at λ = 100 (docs/cli.md).
"""


def frontier(
    models: Iterable[tuple[float, BayesianModel]],
    sample: AnySplit,
    *,
    draws: int,
    threshold: float,
    seed: int,
) -> xr.Dataset:
    """Measure fitted models at their KL weights; see ``AmortizedPosterior.frontier``.

    Args:
        models: λ and the model fitted at it; one is held at a time.
        sample: the data, on the device of the models.
        draws: weights drawn, 0 for posterior means.
        threshold: relative density from which a weight counts as superfluous.
        seed: of the draws.
    """
    import xarray as xr

    kl_weights: list[float] = []
    rows: list[dict[str, float]] = []
    for kl_weight, model in models:
        measures = evaluate(model, sample, kl_weight, draws, seed)
        if model.weight_posteriors():
            measures["parameters"] = kept_parameters(model, threshold)
            measures |= _stability(model, sample, seed)
        kl_weights.append(kl_weight)
        rows.append(measures)
    return xr.Dataset(
        {name: ("kl_weight", [row[name] for row in rows]) for name in rows[0]},
        coords={"kl_weight": kl_weights},
        attrs={"draws": draws, "threshold": threshold},
    )


def kept_parameters(model: BayesianModel, threshold: float) -> float:
    """Number of weights whose relative density ρ = exp(−μ²/2σ²) is below a threshold."""
    smaller = ModelPruning(model, "density").at(threshold=threshold)
    return float(sum(int(mask.sum()) for mask in smaller.keep_masks().values()))


def _stability(model: BayesianModel, sample: AnySplit, seed: int) -> dict[str, float]:
    """S = accuracy of the posterior means over that with 90 % of the weights removed."""
    whole = accuracy_of_means(model, sample)
    if whole is None:
        return {}
    pruning = ModelPruning(model, "density", seed=seed)
    rest = accuracy_of_means(pruning.at(STABILITY_FRACTION), sample)
    return {"stability": whole / rest if rest else math.inf}
