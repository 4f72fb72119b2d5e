"""p(w | γ) and q(w | γ) of the weights of one operation of a graph."""

from __future__ import annotations

import torch
from torch import Tensor

from bayesnas.distributions import GaussianWeights
from bayesnas.distributions.weights.operation_weights import AveragedWeights, PresentWeights


def prior_given(
    prior: GaussianWeights, share: Tensor, *, is_hard: bool, floor: float
) -> GaussianWeights:
    r"""N(0, max(γ, ε)² s²), which on vertices counts where the operation is there.

    Args:
        prior: N(0, s²).
        share: γ of the operation, ``[]``, or ``[n]``, one an example: then the mean of the log
            densities.
        is_hard: whether γ is 0 or 1.
        floor: ε.
    """
    shape, keep = prior.event_shape, prior.keep
    if is_hard:
        return PresentWeights(prior.loc, prior.scale, share.mean(), shape=shape, keep=keep)
    scale = prior.scale * share.clamp_min(floor)
    if share.ndim:
        return AveragedWeights(scale, shape, keep)
    return GaussianWeights(prior.loc, scale, shape=shape, keep=keep)


def posterior_given(
    guide: GaussianWeights,
    prior: GaussianWeights,
    share: Tensor,
    *,
    coupled: bool,
    is_hard: bool,
    floor: float,
) -> GaussianWeights:
    r"""N(μ, σ²), on vertices where the operation is there; coupled, with a factor N(γw; μ, σ²).

    .. math:: q(w \mid \gamma) \propto N(w;\, 0, v)\, N(\gamma w;\, \mu, \sigma^2)
        = N\Bigl(\frac{\gamma v \mu}{\sigma^2 + \gamma^2 v},\,
        \frac{\sigma^2 v}{\sigma^2 + \gamma^2 v}\Bigr), \qquad v = \max(\gamma, \epsilon)^2 s^2

    Args:
        guide: N(μ, σ²).
        prior: N(0, s²).
        share: γ of the operation, ``[]``, or ``[n]``, one an example.
        coupled: whether w follows γ.
        is_hard: whether γ is 0 or 1.
        floor: ε.
    """
    if is_hard:
        return PresentWeights(
            guide.loc,
            None,
            share.mean(),
            keep=guide.keep,
            local=guide.local,
            log_scale=guide.log_scale,
        )
    if not coupled:
        return guide
    before = prior.scale * share.clamp_min(floor)
    shrinkage = before / torch.hypot(guide.scale, share * before)  # √v / √(σ² + γ²v)
    return GaussianWeights(
        guide.loc * (share * shrinkage) * shrinkage,
        log_scale=guide.log_scale + shrinkage.log(),
        keep=guide.keep,
        local=guide.local,
    )
