"""Gaussian weights behind gates that may be shut."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import register_kl

from bayesnas.distributions.weights.gaussian_weights import GaussianWeights


class GatedWeights(GaussianWeights):
    r"""A Gaussian over a weight tensor given its gates: weights behind a shut gate are 0.

    Shut weights cost nothing, which makes gate and weight together a spike-and-slab posterior:
    the expected KL divergence is Σ P(open) KL(N(μ, σ²) ‖ N(0, s²)). Given a draw of the gates the
    divergence counts the open ones; its gradient is that of the expectation, so it reaches the
    gates' probabilities without noise.

    Args:
        loc: means.
        scale, log_scale: standard deviations or their logarithms.
        is_open: which gates are open in this draw, boolean, of the shape of the weights.
        prob_open: their probabilities, differentiable, broadcastable to the weights.
        keep: boolean mask of the weights that are still in the model, or None.
        local: as in :class:`GaussianWeights`.
    """

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor | None,
        is_open: Tensor,
        prob_open: Tensor,
        keep: Tensor | None = None,
        local: bool = False,
        log_scale: Tensor | None = None,
    ) -> None:
        """Join both masks; see the class."""
        present = is_open if keep is None else is_open & keep
        super().__init__(loc, scale, keep=present, local=local, log_scale=log_scale)
        kept = torch.ones_like(loc) if keep is None else keep.to(loc)
        # Worth the count of open gates, with the gradient of their probabilities.
        self.presence = present.to(loc) + kept * (prob_open - prob_open.detach())


@register_kl(GatedWeights, GaussianWeights)  # type: ignore[untyped-decorator]
def _kl_gated_weights(q: GatedWeights, p: GaussianWeights) -> Tensor:
    return (q.divergences(p) * q.presence).sum()
