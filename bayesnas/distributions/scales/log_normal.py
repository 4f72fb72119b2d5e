r"""KL divergences of a log-normal from Gamma, inverse Gamma and half-normal, registered with torch.

With them a half-Cauchy scale has a guide in closed form. If α ~ Gamma(½, scale τ²) and
β ~ inverse Gamma(½, 1) then √(αβ) ~ half-Cauchy(τ) (Wand, Ormerod, Padoan, Frühwirth 2011;
Louizos, Ullrich, Welling 2017).

.. math::
    KL(LN(\mu, \sigma^2) \| \Gamma(a, \theta)) &= a \ln\theta + \ln\Gamma(a) - a\mu
        + e^{\mu + \sigma^2/2}/\theta - \tfrac{1}{2} \ln(2\pi e \sigma^2) \\
    KL(LN(\mu, \sigma^2) \| I\Gamma(a, b)) &= -a \ln b + \ln\Gamma(a) + a\mu
        + b\, e^{-\mu + \sigma^2/2} - \tfrac{1}{2} \ln(2\pi e \sigma^2) \\
    KL(LN(\mu, \sigma^2) \| N^+(s)) &= \ln s - \mu + e^{2\mu + 2\sigma^2} / 2s^2
        - \ln\sigma - \ln 2 - \tfrac{1}{2}

>>> import torch
>>> from torch.distributions import Gamma, InverseGamma, LogNormal, kl_divergence
>>> kl_divergence(LogNormal(0.3, 0.6), Gamma(0.5, 1 / 0.49))
tensor(2.4557)
>>> kl_divergence(LogNormal(0.3, 0.6), InverseGamma(0.5, 1.0))
tensor(0.7012)
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.distributions import Gamma, HalfNormal, InverseGamma, LogNormal, register_kl

_HALF_LOG_TWO_PI_E = 0.5 * math.log(2 * math.pi * math.e)


@register_kl(LogNormal, Gamma)  # type: ignore[untyped-decorator]
def _kl_log_normal_gamma(q: LogNormal, p: Gamma) -> Tensor:
    log_rate = p.rate.log()
    # The rate in the exponent: 1/τ² may be too large, and x too small, for their product.
    mean = (q.loc + 0.5 * q.scale.square() + log_rate).exp()
    log_normaliser = p.concentration.lgamma() - p.concentration * (q.loc + log_rate)
    return log_normaliser + mean - q.scale.log() - _HALF_LOG_TWO_PI_E


@register_kl(LogNormal, InverseGamma)  # type: ignore[untyped-decorator]
def _kl_log_normal_inverse_gamma(q: LogNormal, p: InverseGamma) -> Tensor:
    log_rate = p.rate.log()
    mean_inverse = (0.5 * q.scale.square() - q.loc + log_rate).exp()
    log_normaliser = p.concentration.lgamma() + p.concentration * (q.loc - log_rate)
    return log_normaliser + mean_inverse - q.scale.log() - _HALF_LOG_TWO_PI_E


@register_kl(LogNormal, HalfNormal)  # type: ignore[untyped-decorator]
def _kl_log_normal_half_normal(q: LogNormal, p: HalfNormal) -> Tensor:
    log_ratio = q.loc - p.scale.log()
    mean_square = (2 * (log_ratio + q.scale.square())).exp()
    return 0.5 * mean_square - log_ratio - q.scale.log() - math.log(2) - 0.5
