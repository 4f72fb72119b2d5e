"""The evidence of a linear-Gaussian regression, exactly, for any subset of its features."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SUPPORTS_AT_ONCE = 4096


def log_evidences(
    design: Tensor, residual: Tensor, scales: Tensor, noise_variance: Tensor, supports: Tensor
) -> Tensor:
    r"""Ln p(y | x, Γ) of y = X_Γ w_Γ + ε, the weights integrated out, for every support Γ.

    With w_j ~ N(0, s_j²) and ε ~ N(0, σ²) the targets are Gaussian, and by Woodbury

    .. math:: \ln p = -\tfrac12 \left( n \ln 2\pi\sigma^2 + \ln\det M
        + r^\top r / \sigma^2 - c^\top M^{-1} c \right), \quad
        M = I + S X^\top X S / \sigma^2, \quad c = S X^\top r / \sigma^2

    on the rows and columns of Γ.

    Args:
        design: X ``[n, p]``.
        residual: targets less what is known of them, r ``[n]``.
        scales: prior standard deviations s ``[p]``, 0 among them.
        noise_variance: σ², a scalar.
        supports: boolean ``[S, p]``.

    Returns:
        ``[S]`` in nats, in double precision.

    References:
        Bishop, *Pattern recognition and machine learning*, 2006, section 3.5.

    >>> one = torch.ones(1, 1)
    >>> log_evidences(one, one[0], one[0], torch.tensor(1.0), one.bool())  # ln N(1; 0, 2)
    tensor([-1.5155], dtype=torch.float64)
    """
    scaled, residual = (design.double() * scales.double()), residual.double()
    variance = noise_variance.double()
    gram = scaled.mT @ scaled / variance
    projections = scaled.mT @ residual / variance
    constant = len(residual) * (2 * math.pi * variance).log() + residual @ residual / variance
    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    evidences = []
    for some in supports.split(_SUPPORTS_AT_ONCE):
        on = some.to(gram)
        factor = torch.linalg.cholesky(eye + gram * on[:, :, None] * on[:, None, :])
        half = torch.linalg.solve_triangular(factor, (projections * on)[:, :, None], upper=False)
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        evidences.append(-0.5 * (constant + log_det - half.square().sum((-2, -1))))
    return torch.cat(evidences)
