"""Mixture weights of AdaNet: a convex problem, by coordinate descent."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_TOLERANCE = 1e-12  # fall of the objective in a round over all weights at which it is solved
_ROUNDS = 1000
_HALVINGS = 40


class Mixture(NamedTuple):
    """Weights that minimise an objective.

    Attributes:
        weights: float64 ``[parts]``.
        objective: at them, in nats.
    """

    weights: Tensor
    objective: float


def objective(parts: Tensor, y: Tensor, weights: Tensor, penalties: Tensor) -> Tensor:
    r"""What AdaNet minimises in the mixture weights, in nats.

    .. math:: -\frac1n \sum_i \ln \mathrm{softmax}(\sum_k w_k h_k(x_i))_{y_i}
        + \sum_k \Gamma_k |w_k|

    Args:
        parts: outputs h of the subnetworks, ``[parts, n, classes]``.
        y: labels ``[n]``.
        weights: w, ``[parts]``.
        penalties: Γ ≥ 0, ``[parts]``.

    >>> parts, y = torch.zeros(1, 3, 2), torch.tensor([0, 1, 0])
    >>> objective(parts, y, torch.tensor([2.0]), torch.tensor([0.5]))  # ln 2 + 1
    tensor(1.6931)
    """
    logits = torch.einsum("s,snk->nk", weights, parts)
    loss = torch.nn.functional.cross_entropy(logits, y)
    return loss + (penalties * weights.abs()).sum()


def solve_mixture(
    parts: Tensor, y: Tensor, penalties: Tensor, start: Tensor | None = None
) -> Mixture:
    """Weights of the least objective.

    One weight after the other takes a Newton step on the loss with the penalty kept as it is (a
    soft threshold), halved until the objective does not rise, until a round over all of them
    changes nothing.

    Args:
        parts: outputs of the subnetworks, ``[parts, n, classes]``.
        y: labels ``[n]``.
        penalties: Γ ≥ 0, ``[parts]``.
        start: weights to begin at; None: 0.

    >>> parts, y = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([0, 1])
    >>> solve_mixture(parts, y, torch.tensor([0.25])).weights  # 1 - σ(w) = ¼
    tensor([1.0986], dtype=torch.float64)
    """
    parts, penalties = parts.double(), penalties.double()
    weights = parts.new_zeros(len(parts)) if start is None else start.double().clone()
    logits = torch.einsum("s,snk->nk", weights, parts)
    rows = torch.arange(len(y))
    least = float(objective(parts, y, weights, penalties))
    for _ in range(_ROUNDS):
        before = least
        for place, part in enumerate(parts):
            probabilities = logits.softmax(1)
            mean = (probabilities * part).sum(1)
            slope = (mean - part[rows, y]).mean()
            curvature = ((probabilities * part.square()).sum(1) - mean.square()).mean()
            target = _soft_threshold(weights[place], slope, curvature, penalties[place])
            step = target - weights[place]
            for _ in range(_HALVINGS):
                moved = weights.clone()
                moved[place] += step
                value = float(objective(parts, y, moved, penalties))
                if value <= least:
                    logits = logits + step * part
                    weights, least = moved, value
                    break
                step = step / 2
        if before - least < _TOLERANCE:
            break
    return Mixture(weights, least)


def _soft_threshold(weight: Tensor, slope: Tensor, curvature: Tensor, penalty: Tensor) -> Tensor:
    """The least of a quadratic of the loss plus penalty · |w|."""
    if not curvature > 0:
        return weight if abs(slope) > penalty else torch.zeros_like(weight)
    free = weight - slope / curvature
    return free.sign() * (free.abs() - penalty / curvature).clamp_min(0)
