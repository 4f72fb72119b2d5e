"""Measures of complexity: KL in nats and bits, parametric complexity, description length."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from bayesnas.distributions import GaussianWeights


def nats_to_bits(nats: float) -> float:
    """Convert nats to bits: divide by ln 2.

    >>> nats_to_bits(math.log(8))
    3.0
    """
    return nats / math.log(2)


def smallest_gaussian_kl(posteriors: Sequence[GaussianWeights]) -> Tensor:
    r"""Min over s of Σ KL(N(μ, σ²) ‖ N(0, s²)) over the kept weights of the posteriors.

    The parametric complexity of a layer whose prior is a centred Gaussian of any scale: the
    minimum is at :math:`s^2 = \mathrm{mean}(\mu^2 + \sigma^2)`.

    Args:
        posteriors: guides of the weight tensors that share the prior scale.

    Returns:
        a scalar, in nats; 0 where every weight is removed.

    >>> q = GaussianWeights(torch.tensor([1.0]), torch.tensor([1.0]))
    >>> smallest_gaussian_kl([q])  # s² = 2: ½ ln 2
    tensor(0.3466)
    """
    second_moment = torch.stack([(q.mean.square() + q.variance).sum() for q in posteriors]).sum()
    kept = sum(q.loc.numel() if q.keep is None else int(q.keep.sum()) for q in posteriors)
    if kept == 0:
        return torch.zeros_like(second_moment)
    scale = (second_moment / kept).sqrt()
    centre = torch.zeros_like(scale)
    terms = [
        kl_divergence(q, GaussianWeights(centre, scale, q.event_shape, q.keep)) for q in posteriors
    ]
    return torch.stack(terms).sum()
