"""p(w | γ) and q(w | γ) of the weights of one operation of a graph."""

from __future__ import annotations

from torch import Tensor

from bayesnas.distributions import GaussianWeights
from bayesnas.distributions.operation_weights import AveragedWeights, PresentWeights


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
    share: Tensor,
    exponent: Tensor | None,
    *,
    is_hard: bool,
    floor: float,
) -> GaussianWeights:
    r"""N(μ gᵃ, σ² g²ᵃ), g = max(γ, ε); on vertices N(μ, σ²) where the operation is there.

    Args:
        guide: N(μ, σ²).
        share: γ of the operation, ``[]``, or ``[n]``, one an example.
        exponent: a, None for 0.
        is_hard: whether γ is 0 or 1.
        floor: ε.
    """
    if is_hard:
        return PresentWeights(
            guide.loc, guide.scale, share.mean(), keep=guide.keep, local=guide.local
        )
    if exponent is None:
        return guide
    factor = share.clamp_min(floor).pow(exponent)
    return GaussianWeights(
        guide.loc * factor, guide.scale * factor, keep=guide.keep, local=guide.local
    )
