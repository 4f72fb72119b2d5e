"""Measures of complexity: KL in nats and bits, parametric complexity, description length."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

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
    dtype = posteriors[0].loc.dtype
    # There Σ (μ² + σ²) / s² is their number, and Σ ln(s/σ) is left. The squares are taken in
    # double precision, where those of 1e-30 are still numbers.
    means, logs = ([_kept(q, value) for q in posteriors] for value in ("loc", "log_scale"))
    logs_of_all, means_of_all = torch.cat(logs), torch.cat(means)
    kept = len(logs_of_all)
    if kept == 0:
        return torch.zeros((), dtype=dtype, device=posteriors[0].loc.device)
    second_moment = means_of_all.square().mean() + (2 * logs_of_all).exp().mean()
    return (0.5 * kept * second_moment.log() - logs_of_all.sum()).to(dtype)


def _kept(q: GaussianWeights, name: str) -> Tensor:
    """Means or log scales of the kept entries, flat and in double precision."""
    value: Tensor = getattr(q, name).expand(q.event_shape).double()
    return value.flatten() if q.keep is None else value[q.keep]
