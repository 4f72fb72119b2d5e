"""What a distribution is underneath, and means of densities on a logarithmic scale."""

from __future__ import annotations

import math
from typing import Any

import pyro.distributions as dist
from torch import Tensor


def innermost(fn: Any) -> Any:
    """The distribution inside ``Independent``, ``MaskedDistribution`` and transformed ones.

    >>> type(innermost(dist.Normal(0.0, 1.0).expand([2]).to_event(1).mask(False))).__name__
    'Normal'
    """
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return fn


def is_point_mass(fn: Any) -> bool:
    """Whether all mass of a distribution is on one value, as that of ``AutoDelta``.

    >>> import torch
    >>> is_point_mass(dist.Delta(torch.zeros(2)).to_event(1)), is_point_mass(dist.Normal(0.0, 1.0))
    (True, False)
    """
    return isinstance(innermost(fn), dist.Delta)


def log_mean_exp(logs: Tensor, dim: int = 0) -> Tensor:
    """Logarithm of the mean of what these are the logarithms of, without overflow.

    >>> import torch
    >>> log_mean_exp(torch.tensor([1000.0, 1000.0]))
    tensor(1000.)
    """
    return logs.logsumexp(dim) - math.log(logs.shape[dim])
