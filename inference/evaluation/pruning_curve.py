"""Pruned copies of a model, and how its accuracy falls as weights are removed."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference.evaluation.metrics import evaluate
from bayesnas.models.base import BayesianModel
from bayesnas.models.compression.group_removal import removed_at, removed_to
from bayesnas.models.compression.grouped_weights import GroupedWeights
from bayesnas.models.compression.threshold_sweep import knee, losses_of
from bayesnas.models.networks.base import NetModel
from bayesnas.pruning.criteria import Criterion, Removal, check_amount, keep_masks, removal_scores

if TYPE_CHECKING:
    import xarray as xr

PRUNING_FRACTIONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Fractions of the weights removed, from the published tables and one further."""

_CANDIDATES = (*(index / 40 for index in range(40)), 0.98, 0.985, 0.99, 0.995)


def pruned(
    model: BayesianModel,
    fraction: float | None,
    threshold: float | None,
    by: Criterion,
    seed: int,
) -> BayesianModel:
    """Return a copy of ``model`` without some of its weights; see ``Posterior.prune``."""
    posteriors = model.weight_posteriors()
    if not posteriors:
        raise TypeError(f"{type(model).__name__} has no weights to prune")
    locs = {site: loc for site, (loc, _) in posteriors.items()}
    scales = {site: scale for site, (_, scale) in posteriors.items()}
    scores = removal_scores(locs, scales, by, seed)
    masks = keep_masks(scores, fraction, threshold, model.keep_masks(), by)
    smaller = copy.deepcopy(model)
    smaller.set_keep_masks(masks)
    return smaller


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


def chosen_amount(
    model: BayesianModel, x: AnyInputs, y: Tensor, by: Removal, seed: int
) -> tuple[float | None, float | None]:
    """Fraction or threshold of the smallest network within one standard error of the best.

    Args:
        model: a fitted model of a network.
        x: inputs of validation data.
        y: its targets.
        by: what is removed first; groups by a threshold, single weights by a fraction.
        seed: of a random order.

    Raises:
        TypeError: for a model without weights, or groups, to prune.
    """
    if by == "group":
        return None, knee(_grouped(model).group_sweep(x, y))
    if not isinstance(model, NetModel):
        raise TypeError(f"validation= needs a model of a network, got {type(model).__name__}")
    losses = [
        losses_of(cast(NetModel, pruned(model, share, None, by, seed)), x, y)
        for share in _CANDIDATES
    ]
    means = [float(each.mean()) for each in losses]
    best = means.index(min(means))
    limit = means[best] + float(losses[best].std()) / math.sqrt(len(y))
    return max(f for f, mean in zip(_CANDIDATES, means, strict=True) if mean <= limit), None


def pruning_curve(
    model: BayesianModel,
    sample: AnySplit,
    fractions: Sequence[float],
    by: Sequence[Criterion],
    seed: int,
) -> xr.Dataset:
    """Metrics of the posterior means against the fraction removed, dims ``(by, fraction)``."""
    if not len(by) or not len(fractions):
        raise ValueError(f"by and fractions must hold one each or more, got {by!r}, {fractions!r}")
    import xarray as xr

    found = [
        [
            evaluate(pruned(model, fraction, None, criterion, seed), sample, 1.0, 0, seed)
            for fraction in fractions
        ]
        for criterion in by
    ]
    names = [name for name in ("accuracy", "rmse", "nll") if name in found[0][0]]
    return xr.Dataset(
        {
            n: (("by", "fraction"), [[metrics[n] for metrics in row] for row in found])
            for n in names
        },
        coords={"by": list(by), "fraction": [float(fraction) for fraction in fractions]},
    )
