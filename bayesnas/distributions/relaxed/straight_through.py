"""Vertices of the simplex and of the cube, drawn with a gradient."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, OneHotCategorical, register_kl

from bayesnas.distributions.shape import Shape


class StraightThroughOneHot(dist.OneHotCategorical):
    r"""A categorical distribution over the vertices of the simplex, with gradients by ReinMax.

    A draw is a vertex D; what it passes back to the logits is the gradient of

    .. math:: 2 \pi_1 - \tfrac12 \pi_0, \qquad \pi_0 = \mathrm{softmax}(\ln\alpha),\quad
        \pi_1 = \tfrac12 (\pi_0 + D),

    with :math:`\pi_1` varied through its logits. In expectation that is the gradient of E f(D)
    for every quadratic f, where the plain straight-through estimator is right for linear f alone.

    Density and moments are those of ``OneHotCategorical``, and so is the KL divergence to one, but
    that it stays finite where probabilities round to 0.

    References:
        Liu, Dong, Liu, Yu, Gao, *Bridging discrete and backpropagation: straight-through and
        beyond*, 2023; Bengio, Léonard, Courville, 2013, for the straight-through estimator.

    >>> import torch
    >>> logits = torch.zeros(3, requires_grad=True)
    >>> draw = StraightThroughOneHot(logits=logits).rsample()
    >>> sorted(draw.tolist()), draw.requires_grad
    ([0.0, 0.0, 1.0], True)
    """

    has_rsample = True

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw vertices ``sample_shape + [..., K]``."""
        logits = self.logits.expand(self._extended_shape(torch.Size(sample_shape)))
        return _reinmax(logits)


class StraightThroughBernoulli(dist.Bernoulli):  # type: ignore[misc]  # pyro is untyped
    r"""A Bernoulli with gradients by ReinMax: :class:`StraightThroughOneHot` of two classes.

    >>> import torch
    >>> logits = torch.tensor([-40.0, 40.0], requires_grad=True)
    >>> StraightThroughBernoulli(logits=logits).rsample().tolist()
    [0.0, 1.0]
    """

    has_rsample = True

    @property
    def variance(self) -> Tensor:
        """P (1 − p), also where p rounds to 1."""
        logits: Tensor = self.logits
        return logits.sigmoid() * (-logits).sigmoid()

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw zeros and ones ``sample_shape + [...]``."""
        logits = self.logits.expand(self._extended_shape(torch.Size(sample_shape)))
        return _reinmax(torch.stack([logits, torch.zeros_like(logits)], -1))[..., 0]

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return the same distribution over a larger batch."""
        wide = self._get_checked_instance(StraightThroughBernoulli, _instance)
        return super().expand(batch_shape, _instance=wide)


@register_kl(StraightThroughOneHot, OneHotCategorical)  # type: ignore[untyped-decorator]
def _kl_one_hot(q: StraightThroughOneHot, p: OneHotCategorical) -> Tensor:
    """Σ α_q (ln α_q − ln α_p), finite where α_p rounds to 0; torch's is infinite there."""
    kl: Tensor = (q.probs * (q.logits - p.logits)).sum(-1)
    return kl


@register_kl(StraightThroughBernoulli, Bernoulli)  # type: ignore[untyped-decorator]
def _kl_bernoulli(q: StraightThroughBernoulli, p: Bernoulli) -> Tensor:
    """As for a categorical of two classes."""
    one = F.logsigmoid(q.logits) - F.logsigmoid(p.logits)
    zero = F.logsigmoid(-q.logits) - F.logsigmoid(-p.logits)
    kl: Tensor = q.logits.sigmoid() * one + (-q.logits).sigmoid() * zero
    return kl


def _reinmax(logits: Tensor) -> Tensor:
    """One vertex for every row of ``[..., K]``, see :class:`StraightThroughOneHot`."""
    tiny = torch.finfo(logits.dtype).tiny
    # By Gumbel noise, since drawing an index would be an operation of its own in a traced step.
    noise = -(-torch.rand_like(logits).clamp_min(tiny).log()).log()
    index = (logits.detach() + noise).argmax(-1, keepdim=True)
    vertex = (index == torch.arange(logits.shape[-1], device=logits.device)).to(logits)
    before = logits.softmax(-1)
    middle = (before.detach() + vertex) / 2
    through = (middle.clamp_min(tiny).log() - logits.detach() + logits).softmax(-1)
    passed = 2 * through - before / 2
    return vertex + (passed - passed.detach())  # exactly a vertex
