"""k̂ of what a posterior predicts: can importance weights correct that?"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.evaluation.conditionals import conditional_means
from bayesnas.inference.evaluation.predictive import posterior_draws
from bayesnas.inference.evidence.log_densities import log_densities
from bayesnas.models.base import BayesianModel


def prediction_pareto_k(
    model: BayesianModel,
    x: AnyInputs,
    y: Tensor,
    asked: Iterable[AnyInputs],
    draws: int,
    kl_weight: float,
    seed: int,
) -> Tensor:
    """k̂ of E[h r] / E[r] for the prediction h of every row; see ``Posterior``.

    Args:
        model: without latents of every example.
        x: inputs of the training data ``[n, ...]``.
        y: their targets.
        asked: inputs of which predictions are made ``[m, ...]``, in parts.
        draws: from the guide.
        kl_weight: λ of the target.
        seed: of the draws.

    Returns:
        ``[m, ...]``, in the shape of one prediction.
    """
    densities = log_densities(model, x, y, draws, seed)
    parts = []
    for rows in asked:
        same = posterior_draws(model, model.few_rows(x), draws, seed)
        means = torch.stack([conditional_means(model, rows, draw) for draw in same]).cpu()
        columns = means.double().flatten(1).numpy().T
        k = densities.pareto_k_of(columns, kl_weight)
        parts.append(torch.from_numpy(k).reshape(means.shape[1:]))
    return torch.cat(parts)
