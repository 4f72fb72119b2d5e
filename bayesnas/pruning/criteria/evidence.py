"""How the evidence changes when the prior of a single weight is sharpened."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bayesnas.checks import shown
from bayesnas.pruning.criteria.relative_density import check_gaussian


def evidence_gain(
    loc: Tensor, scale: Tensor, prior_scale: Tensor, reduced_scale: float = 0.0
) -> Tensor:
    r"""ΔF, the log evidence with a sharper prior on a weight minus that with its own, in nats.

    With precisions P = 1/σ² of the posterior, p = 1/s² of the prior, p̃ = 1/r² of the sharper one,
    P̃ = P + p̃ − p and mean μ̃ = Pμ/P̃,

    .. math:: \Delta F = \tfrac12 \ln \frac{P\,\tilde p}{p\,\tilde P}
              - \tfrac12 (P\mu^2 - \tilde P \tilde\mu^2)
              \;\to\; \tfrac12 \ln \frac{P}{p} - \tfrac12 P\mu^2 \quad (r \to 0)

    where r → 0 removes the weight: the evidence rises without it wherever ΔF > 0. It is exact where
    σ² is the marginal variance of a Gaussian posterior (the Savage–Dickey ratio); a mean-field
    guide puts its own there. Of weights that are independent under the guide, ΔF adds up.

    Args:
        loc: posterior means μ, any shape.
        scale: posterior deviations σ > 0, of the same shape. Where σ = 0, ΔF is +∞ for μ = 0 and
            −∞ otherwise.
        prior_scale: prior deviations s > 0, broadcast to ``loc``; the prior has mean 0.
        reduced_scale: r in [0, s].

    Returns:
        float64, the shape of ``loc``.

    Raises:
        ValueError: the shapes differ, a mean is not finite, a deviation is negative, a prior
            deviation is not > 0 or ``reduced_scale`` is above one.

    References:
        Friston, Penny, *Post hoc Bayesian model selection*, NeuroImage, 2011; Wright, Igel,
        Selvan, *BMRS: Bayesian model reduction for structured pruning*, NeurIPS 2024.

    >>> import torch
    >>> evidence_gain(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.1]), torch.tensor(1.0))
    tensor([  0.6931, -47.6974], dtype=torch.float64)
    """
    check_gaussian("", loc, scale)
    prior = prior_scale.detach().double().expand(loc.shape)
    if not bool((prior > 0).all()):
        raise ValueError("prior_scale must be > 0, got zero, a negative number or NaN")
    if not bool(((prior >= reduced_scale) & (reduced_scale >= 0)).all()):
        raise ValueError(f"reduced_scale must be in [0, prior_scale], got {shown(reduced_scale)}")
    mean, deviation = loc.detach().double(), scale.detach().double()
    certain = deviation == 0
    precision = deviation.masked_fill(certain, 1.0) ** -2
    ratio = (reduced_scale / prior) ** 2
    spread = 1 + reduced_scale**2 * precision - ratio  # r² P̃
    signal = precision * mean.square() * (1 - ratio) / spread
    gain = 0.5 * ((precision * prior.square()).log() - spread.log() - signal)
    limit = torch.where(mean == 0, math.inf, -math.inf).to(mean)
    return torch.where(certain, limit, gain)
