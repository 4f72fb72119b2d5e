"""Where a latent feature model starts: the best of many short runs of coordinate ascent."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_STARTS, _ITERATIONS = 20, 40
_RAREST = 0.05  # share of examples; what fewer have is mostly their noise


def start_features(x: Tensor, features: int, feature_scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Means and variances of A and the noise scale, by mean-field variational inference.

    The finite model, π_k ~ Beta(1/K, 1) at its most probable value, from random assignments.
    Features are sorted by popularity; those of fewer than 5 % of the examples are zero.

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
    runs = [_ascend(x, features, feature_scale) for _ in range(_STARTS)]
    q, mean, variance, noise = max(runs, key=lambda run: run[1])[0]
    order = q.sum(0).argsort(descending=True)
    is_shared = (q.mean(0) >= _RAREST)[:, None]
    return (mean * is_shared)[order], variance[order], noise


def _ascend(x: Tensor, features: int, feature_scale: float) -> tuple[tuple[Tensor, ...], float]:
    """One run, and its bound up to a constant."""
    count, dim = x.shape
    q = 0.5 * torch.rand(count, features, device=x.device)
    prior = torch.eye(features, device=x.device) / feature_scale**2
    noise = x.square().mean()
    for _ in range(_ITERATIONS):
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
    return (q, mean, covariance.diagonal(), noise.sqrt()), float(bound)
