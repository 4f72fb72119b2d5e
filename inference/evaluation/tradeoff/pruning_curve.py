"""How the accuracy of a model falls as weights are removed, and how many may go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference.evaluation.metrics import evaluate
from bayesnas.inference.evaluation.tradeoff.model_pruning import ModelPruning
from bayesnas.models.base import BayesianModel
from bayesnas.models.compression.group_removal import removed_at, removed_to
from bayesnas.models.compression.grouped_weights import GroupedWeights
from bayesnas.models.compression.threshold_sweep import knee, mean_loss
from bayesnas.models.networks.base import NetModel
from bayesnas.pruning.criteria.group_masks import EmptiedLayerError
from bayesnas.pruning.criteria.keep_masks import check_amount
from bayesnas.pruning.criteria.registry import Criterion
from bayesnas.pruning.criteria.removal import SHARES_TO_CHOOSE_FROM

if TYPE_CHECKING:
    import xarray as xr

PRUNING_FRACTIONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Fractions of the weights removed, from the published tables and one further."""


def without_groups(
    model: BayesianModel, fraction: float | None, threshold: float | None, example: AnyInputs
) -> BayesianModel:
    """Return a copy of ``model`` without some of its groups; see ``Posterior.prune``."""
    grouped = _grouped(model)
    check_amount(fraction, threshold)
    if fraction is not None:
        return removed_to(grouped, fraction, example)
    assert threshold is not None
    return removed_at(grouped, threshold, example)


def _grouped(model: BayesianModel) -> GroupedWeights:
    if not isinstance(model, GroupedWeights):
        raise TypeError(
            "by='group' needs a model with a scale for every group of weights, such as "
            f"BayesianCompressionNet, got {type(model).__name__}"
        )
    return model


def check_alone(fraction: float | None, threshold: float | None) -> None:
    """Raise ValueError where an amount is given besides validation data."""
    if fraction is not None or threshold is not None:
        raise ValueError(
            "give one of fraction, threshold and validation, got "
            f"fraction={fraction}, threshold={threshold} besides validation"
        )


def chosen_threshold(model: BayesianModel, x: AnyInputs, y: Tensor) -> float:
    """Threshold of the smallest network within one standard error of the best, by groups.

    Args:
        model: a fitted model of a network.
        x: inputs of validation data.
        y: its targets.

    Raises:
        TypeError: for a model without groups to prune.
    """
    return knee(_grouped(model).group_sweep(x, y))


def chosen_fraction(model: BayesianModel, x: AnyInputs, y: Tensor, pruning: ModelPruning) -> float:
    """Share of weights removed in the smallest network within one standard error of the best.

    Args:
        model: a fitted model of a network.
        x: inputs of validation data.
        y: its targets.
        pruning: of the model.

    Raises:
        TypeError: for a model without weights to prune.
    """
    if not isinstance(model, NetModel):
        raise TypeError(f"validation= needs a model of a network, got {type(model).__name__}")
    losses = []
    for share in SHARES_TO_CHOOSE_FROM:
        try:
            losses.append(mean_loss(cast(NetModel, pruning.at(share)), x, y))
        except EmptiedLayerError:
            break
    best, error = min(losses, key=lambda each: each[0])
    limit = best + error
    return max(
        f for f, (mean, _) in zip(SHARES_TO_CHOOSE_FROM, losses, strict=False) if mean <= limit
    )


def pruning_curve(
    sample: AnySplit,
    fractions: Sequence[float],
    prunings: Mapping[Criterion, ModelPruning],
    seed: int,
) -> xr.Dataset:
    """Metrics of the posterior means against the fraction removed, dims ``(by, fraction)``."""
    import xarray as xr

    rows = [
        [evaluate(pruning.at(fraction), sample, 1.0, 0, seed) for fraction in fractions]
        for pruning in prunings.values()
    ]
    names = [name for name in ("accuracy", "rmse", "nll") if name in rows[0][0]]
    return xr.Dataset(
        {n: (("by", "fraction"), [[metrics[n] for metrics in row] for row in rows]) for n in names},
        coords={"by": list(prunings), "fraction": [float(fraction) for fraction in fractions]},
    )
