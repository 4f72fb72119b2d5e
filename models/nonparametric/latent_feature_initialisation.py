"""Where a latent feature model starts: the best of short runs of coordinate ascent, and merges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

_STARTS, _ITERATIONS = 10, 40
_AFTER_A_MOVE, _PARTNERS, _LEAST_GAIN = 20, 2, 0.1  # iterations, features to merge with, nats
_RAREST = 0.05  # share of examples; what fewer have is mostly their noise


def start_features(x: Tensor, features: int, feature_scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Means and variances of A and the noise scale, by mean-field variational inference.

    The finite model, π_k ~ Beta(1/K, 1) at its most probable value, from random assignments. From
    the run of the best bound on, two features are merged, or one is dropped, as long as that raises
    the bound: one glyph told by two features is an optimum that ascent does not leave. Features
    are sorted by popularity; those of fewer than 5 % of the examples are zero.

    Args:
        x: ``[n, D]``.
        features: K.
        feature_scale: σ_A.

    Returns:
        ``[K, D]``, ``[K]`` and ``[]``.

    References:
        Doshi-Velez, Miller, Van Gael, Teh, *Variational inference for the Indian buffet process*,
        2009.

    >>> x = torch.tensor([[2.0, 2.0], [0.0, 0.1], [2.1, 1.9], [0.1, 0.0]])
    >>> start_features(x, 1, 1.0)[0].round()
    tensor([[2., 2.]])
    """
    runs = (_ascend(x, _random(x, features), feature_scale) for _ in range(_STARTS))
    best = _merged(x, max(runs, key=lambda run: run.bound), feature_scale)
    order = best.q.sum(0).argsort(descending=True)
    is_shared = (best.q.mean(0) >= _RAREST)[:, None]
    return (best.mean * is_shared)[order], best.variance[order], best.noise.sqrt()


class _Run(NamedTuple):
    """Where an ascent ended."""

    q: Tensor  # of z, [n, K]
    mean: Tensor  # of A, [K, D]
    variance: Tensor  # of A, [K]
    noise: Tensor  # σ_x²
    bound: float  # up to a constant


def _random(x: Tensor, features: int) -> Tensor:
    return 0.5 * torch.rand(len(x), features, device=x.device)


def _merged(x: Tensor, best: _Run, feature_scale: float) -> _Run:
    """The run after moves that raise its bound, each the first one found, at most K of them."""
    for _ in range(best.q.shape[1]):
        tried = (_ascend(x, q, feature_scale, best.noise, _AFTER_A_MOVE) for q in _moves(best))
        better = next((run for run in tried if run.bound > best.bound + _LEAST_GAIN), None)
        if better is None:
            return best
        best = better
    return best


def _moves(run: _Run) -> Iterator[Tensor]:
    """Assignments without one of the shared features: dropped, or in one of those most like it.

    The rarest goes first.
    """
    popularity = run.q.mean(0)
    shared = [k for k in popularity.argsort().tolist() if float(popularity[k]) >= _RAREST]
    directions = torch.nn.functional.normalize(run.mean, dim=1)
    likeness = directions @ directions.mT
    for j in shared:
        others = sorted((k for k in shared if k != j), key=lambda k: -float(likeness[j, k]))
        for i in [j, *others[:_PARTNERS]]:
            moved = run.q.clone()
            moved[:, i] = torch.maximum(run.q[:, i], run.q[:, j])
            moved[:, j] = 0.0
            yield moved


def _ascend(
    x: Tensor,
    start: Tensor,
    feature_scale: float,
    noise: Tensor | None = None,
    iterations: int = _ITERATIONS,
) -> _Run:
    """One run of coordinate ascent from assignments on."""
    (count, dim), features = x.shape, start.shape[1]
    q = start.clone()
    prior = torch.eye(features, device=x.device) / feature_scale**2
    noise = x.square().mean() if noise is None else noise
    for _ in range(iterations):
        spread = (q * (1 - q)).sum(0)
        precision = (q.mT @ q + spread.diag()) / noise + prior
        covariance = torch.linalg.inv(precision)
        mean = covariance @ (q.mT @ x) / noise
        second = mean @ mean.mT + dim * covariance
        logits = ((q.sum(0) + 1 / features) / (count + 1)).clamp(1e-6, 1 - 1e-6).logit()
        for k in range(features):
            others = q @ second[:, k] - q[:, k] * second[k, k]
            gain = x @ mean[k] - others - 0.5 * second[k, k]
            q[:, k] = torch.sigmoid(logits[k] + gain / noise)
        residual = (x - q @ mean).square().sum() + (q * (1 - q) * mean.square().sum(1)).sum()
        noise = (residual / x.numel()).clamp_min(1e-12)
    entropy = torch.special.entr(q).sum() + torch.special.entr(1 - q).sum()
    log_prior = (q * logits).sum() - count * torch.nn.functional.softplus(logits).sum()
    occam = 0.5 * dim * (torch.logdet(precision) + 2 * features * math.log(feature_scale))
    size = 0.5 * mean.square().sum() / feature_scale**2
    bound = entropy + log_prior - occam - size - 0.5 * x.numel() * noise.log()
    return _Run(q, mean, covariance.diagonal(), noise, float(bound))
