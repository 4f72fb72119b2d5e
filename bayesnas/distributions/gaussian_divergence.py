r"""KL divergences of Gaussians in the logs of their scales, registered for Pyro's classes.

.. math:: KL(N(\mu, \sigma^2) \| N(m, s^2)) = \ln s - \ln \sigma
    + \tfrac12 \bigl( e^{2 (\ln \sigma - \ln s)} - 1 \bigr) + \tfrac12 \frac{(\mu - m)^2}{s^2}

torch squares σ/s and then takes its logarithm, which is infinite in single precision from
σ/s < 1e-23 on. Here the divergence is finite wherever its value is a number of its type. Pyro's
Normal, LogNormal and HalfNormal get it by the registration of their own classes; torch's stay
as they are.

>>> import torch, pyro.distributions as dist
>>> from torch.distributions import kl_divergence
>>> kl_divergence(dist.Normal(0.0, 1e-30), dist.Normal(0.0, 1.0))  # 30 ln 10 − ½
tensor(68.5776)
"""

from __future__ import annotations

import torch
from pyro.distributions import HalfNormal, LogNormal, Normal
from torch import Tensor
from torch.distributions import register_kl


def gaussian_divergence(
    loc: Tensor, log_scale: Tensor, other_loc: Tensor, other_scale: Tensor, other_log_scale: Tensor
) -> Tensor:
    """KL(N(μ, σ²) ‖ N(m, s²)) entry by entry, in nats.

    Args:
        loc: μ.
        log_scale: ln σ.
        other_loc: m.
        other_scale: s > 0.
        other_log_scale: ln s.

    Returns:
        of the shape that all broadcast to; off by at most some roundings of 1, ln σ and ln s, times
        1 + σ²/s².

    >>> zero = torch.tensor(0.0)
    >>> gaussian_divergence(zero, torch.tensor(-200.0), zero, torch.tensor(1.0), zero)
    tensor(199.5000)
    """
    log_ratio = log_scale - other_log_scale
    shift = ((loc - other_loc) / other_scale).square()
    # expm1 would save a rounding of 1, and takes ten times as long as exp on a CPU.
    return 0.5 * ((2 * log_ratio).exp() - 1 + shift) - log_ratio


def positive_exp(log_scale: Tensor) -> Tensor:
    """exp, between the smallest normal and the largest number of the type: never 0, nor infinite.

    A scale of 0 or ∞ makes no Gaussian; what is lost by the rounding is in the log.

    >>> bool(positive_exp(torch.tensor(-200.0)) > 0)
    True
    """
    info = torch.finfo(log_scale.dtype)
    return log_scale.exp().clamp(info.tiny, info.max)


@register_kl(Normal, Normal)  # type: ignore[untyped-decorator]
def _kl_normal(q: Normal, p: Normal) -> Tensor:
    return gaussian_divergence(q.loc, q.scale.log(), p.loc, p.scale, p.scale.log())


@register_kl(LogNormal, LogNormal)  # type: ignore[untyped-decorator]
def _kl_log_normal(q: LogNormal, p: LogNormal) -> Tensor:
    return gaussian_divergence(q.loc, q.scale.log(), p.loc, p.scale, p.scale.log())


@register_kl(HalfNormal, HalfNormal)  # type: ignore[untyped-decorator]
def _kl_half_normal(q: HalfNormal, p: HalfNormal) -> Tensor:
    zero = torch.zeros_like(q.scale)
    return gaussian_divergence(zero, q.scale.log(), zero, p.scale, p.scale.log())
