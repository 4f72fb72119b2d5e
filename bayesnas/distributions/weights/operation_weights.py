"""Gaussian weights of an operation that may not be there, or that is weighted by many γ."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import register_kl

from bayesnas.distributions.weights.gaussian_weights import GaussianWeights


class PresentWeights(GaussianWeights):
    r"""Weights that count as far as their operation is there.

    Where it is not, nothing reads them, and model and guide agree on them: ``log_prob`` and KL
    divergence are those of :class:`GaussianWeights` times the presence, 0 or 1.

    Args:
        loc: means.
        scale, log_scale: standard deviations or their logarithms.
        presence: scalar, 0 or 1, or the mean of several; differentiable.
        shape, keep, local: as in :class:`GaussianWeights`.

    >>> import torch
    >>> from torch.distributions import kl_divergence
    >>> def w(loc, presence):
    ...     return PresentWeights(torch.tensor([loc]), torch.ones(1), torch.tensor(presence))
    >>> kl_divergence(w(2.0, 1.0), w(0.0, 1.0)), kl_divergence(w(2.0, 0.0), w(0.0, 0.0))
    (tensor(2.), tensor(0.))
    """

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor | None,
        presence: Tensor,
        shape: torch.Size | None = None,
        keep: Tensor | None = None,
        local: bool = False,
        log_scale: Tensor | None = None,
    ) -> None:
        """Keep the presence; see the class."""
        super().__init__(loc, scale, shape=shape, keep=keep, local=local, log_scale=log_scale)
        self.presence = presence

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of the kept entries times the presence."""
        return super().log_prob(value) * self.presence


class AveragedWeights(GaussianWeights):
    r"""E log N(w; 0, s²) over several s: a Gaussian and a constant.

    .. math::
        \tfrac1n \sum_i \ln N(w; 0, s_i^2) = \ln N(w; 0, S^2) + \ln S - \tfrac1n \sum_i \ln s_i,
        \qquad S^{-2} = \tfrac1n \sum_i s_i^{-2}

    ``log_prob`` is this mean, the term of an evidence lower bound; its exponential is no density.

    Args:
        scales: s, ``[n]``, positive.
        shape: event shape.
        keep: as in :class:`GaussianWeights`.

    >>> import torch
    >>> w = AveragedWeights(torch.tensor([1.0, 2.0]), torch.Size([1]))
    >>> w.log_prob(torch.ones(1))  # (ln N(1; 0, 1) + ln N(1; 0, 4)) / 2
    tensor(-1.5780)
    """

    def __init__(self, scales: Tensor, shape: torch.Size, keep: Tensor | None = None) -> None:
        """Average the scales; see the class."""
        logs = scales.log()
        # In the log domain: s⁻² is no number of single precision for s < 1e-19.
        log_scale = 0.5 * (math.log(scales.numel()) - (-2 * logs).flatten().logsumexp(0))
        zero = log_scale.new_zeros(())
        super().__init__(zero, shape=shape, keep=keep, log_scale=log_scale)
        self._constant = log_scale - logs.mean()

    @property
    def excess(self) -> Tensor:
        """What is added to the log density of the Gaussian, over all kept entries."""
        return self._masked(self._constant.expand(self.event_shape)).sum()

    def log_prob(self, value: Tensor) -> Tensor:
        """Mean log density of the kept entries, summed over the event."""
        return super().log_prob(value) + self.excess


@register_kl(PresentWeights, PresentWeights)  # type: ignore[untyped-decorator]
def _kl_present_weights(q: PresentWeights, p: PresentWeights) -> Tensor:
    return q.divergence(p) * q.presence


@register_kl(GaussianWeights, AveragedWeights)  # type: ignore[untyped-decorator]
def _kl_averaged_weights(q: GaussianWeights, p: AveragedWeights) -> Tensor:
    return q.divergence(p) - p.excess
