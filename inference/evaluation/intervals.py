"""What new targets will be: their means, standard deviations and intervals, noise included."""

from __future__ import annotations

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.inference.evaluation.conditionals import (
    conditional_mean,
    conditional_means,
    conditional_samples,
    mean_of_target,
)
from bayesnas.inference.evaluation.predictive import PosteriorDraw, batch_traces, posterior_draws
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.random_state import RandomStream


def predictive_moments(
    model: BayesianModel, x: Tensor, example: Tensor, draws: int, seed: int
) -> tuple[Tensor, Tensor]:
    r"""Mean and standard deviation of the targets, by the law of total variance.

    .. math:: V[y] = E_w V[y \mid w] + V_w E[y \mid w]

    Args:
        model: fitted, in evaluation mode.
        x: inputs ``[n, ...]``.
        example: a few inputs, for guides that look at them.
        draws: of the weights.
        seed: of the draws.

    Returns:
        two tensors ``[n, ...]`` in double precision.
    """
    total, squares = torch.zeros(()), torch.zeros(())
    for draw in posterior_draws(model, example, draws, seed):
        total = total.to(x.device) + conditional_means(model, x, draw).double()
        squares = squares.to(x.device) + _second_moments(model, x, draw)
    mean = total / draws
    return mean, (squares / draws - mean.square()).clamp(min=0.0).sqrt()


def predictive_interval(
    model: BayesianModel, x: Tensor, example: Tensor, level: float, draws: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Both ends of central intervals of the targets, ``[n, ...]``, from one target a draw.

    Args:
        model: fitted, in evaluation mode.
        x: inputs ``[n, ...]``.
        example: a few inputs, for guides that look at them.
        level: probability of an interval.
        draws: of the weights.
        seed: of the draws.
    """
    sampled = predictive_samples(model, x, example, draws, seed)
    low, high = ((1 - level) / 2, (1 + level) / 2)
    return sampled.quantile(low, dim=0), sampled.quantile(high, dim=0)


def predictive_samples(
    model: BayesianModel, x: AnyInputs, example: AnyInputs, draws: int, seed: int
) -> Tensor:
    """One target of every row for each draw of the weights, noise included, ``[draws, n, ...]``."""
    stream = RandomStream(seed + 1, example.device)
    return torch.stack(
        [
            conditional_samples(model, x, draw, stream)
            for draw in posterior_draws(model, example, draws, seed)
        ]
    )


def _second_moments(model: BayesianModel, x: Tensor, draw: PosteriorDraw) -> Tensor:
    """E[y² | w] for every row, in batches."""
    parts = []
    for trace, rows in batch_traces(model, x, draw):
        fn = trace.nodes[model.target_site]["fn"]
        squares = fn.variance.double() + conditional_mean(fn).double().square()
        parts.append(mean_of_target(model, trace, squares, rows))
    return torch.cat(parts)
