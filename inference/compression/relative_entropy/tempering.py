"""The posterior at the KL weight that its divergence asks for, from that at another."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_MOST = math.log(1e4)  # of ln t
_HALVINGS = 40


def tempered(
    loc: Tensor, scale: Tensor, prior_scale: Tensor, block: Tensor, blocks: int, budget: float
) -> tuple[Tensor, Tensor]:
    r"""Deviations that give every block of Gaussians at least a KL, and by which factor.

    At an optimum of the bound at λ the curvature of the loss is :math:`\lambda (1/\sigma^2 -
    1/s^2)`. Where it stays so, the optimum at λ/t has

    .. math:: \frac{1}{\sigma^2(t)} = t \left(\frac{1}{\sigma^2} - \frac{1}{s^2}\right)
              + \frac{1}{s^2},

    and its KL rises with t. t of a block is found by bisection, in [1, 10⁴]: a block whose KL is
    above the budget stays as it is.

    Args:
        loc: means μ, ``[n]``.
        scale: deviations σ, ``[n]``.
        prior_scale: deviations s of the prior, ``[n]``.
        block: of each, ``[n]``.
        blocks: their number.
        budget: the KL of each block in nats.

    Returns:
        deviations ``[n]`` and t ``[blocks]``.

    >>> loc, scale, block = torch.zeros(2), torch.tensor([0.5, 0.1]), torch.tensor([0, 1])
    >>> narrower, factor = tempered(loc, scale, torch.ones(2), block, 2, budget=1.0)
    >>> narrower  # KL is −ln σ + (σ² − 1)/2
    tensor([0.2291, 0.1000])
    >>> factor
    tensor([6.0196, 1.0000])
    """
    prior = prior_scale.square().reciprocal()
    curvature = (scale.square().reciprocal() - prior).clamp_min(0)
    low = loc.new_zeros(blocks)
    high = loc.new_full((blocks,), _MOST)

    def deviations(log_factor: Tensor) -> Tensor:
        return (log_factor.exp()[block] * curvature + prior).rsqrt()

    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        ratio = deviations(middle) / prior_scale
        kl = (ratio.square() + (loc / prior_scale).square() - 1) / 2 - ratio.log()
        above = loc.new_zeros(blocks).index_add(0, block, kl) > budget
        high, low = torch.where(above, middle, high), torch.where(above, low, middle)
    log_factors = (low + high) / 2
    return deviations(log_factors), log_factors.exp()
