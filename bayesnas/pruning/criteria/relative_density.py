"""Relative density of a Gaussian posterior at zero."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_relative_density(loc: Tensor, scale: Tensor) -> Tensor:
    """Log ρ = −μ² / (2σ²), the log of :func:`relative_density`, in double precision.

    In single precision ρ itself is 0 wherever ``|μ| > 14σ``, which leaves the strongest weights
    unranked; its log tells them apart.

    Args:
        loc: means μ, any shape.
        scale: standard deviations σ >= 0, of the same shape. Where σ = 0 the result is 0 for
            μ = 0 and −inf otherwise.

    Returns:
        Values in [−inf, 0], the shape of ``loc``, float64.

    Raises:
        ValueError: the shapes differ, or there is a NaN, an infinite mean or a negative scale.

    >>> log_relative_density(torch.tensor([0.0, 30.0]), torch.tensor([1.0, 1.0])).abs()
    tensor([  0., 450.], dtype=torch.float64)
    """
    check_gaussian("", loc, scale)
    mean, deviation = loc.detach().double(), scale.detach().double()
    certain = deviation == 0
    ratio = mean / torch.where(certain, torch.ones_like(deviation), deviation)
    limit = torch.where(mean == 0, 0.0, -math.inf).to(mean)
    return torch.where(certain, limit, -0.5 * ratio.square())


def relative_density(loc: Tensor, scale: Tensor) -> Tensor:
    """ρ = exp(−μ² / (2σ²)): the density of N(μ, σ²) at 0 relative to the density at its mode.

    A weight whose ρ is near 1 is one that the posterior takes no stand on: setting it to zero
    costs least (Graves, Practical variational inference for neural networks, 2011).

    Args:
        loc: means μ, any shape.
        scale: standard deviations σ >= 0, of the same shape. Where σ = 0, ρ is 1 for μ = 0 and 0
            otherwise.

    Returns:
        Values in [0, 1] of the shape and type of ``loc``.

    Raises:
        ValueError: the shapes differ, or there is a NaN, an infinite mean or a negative scale.

    >>> relative_density(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.0]))
    tensor([1.0000, 0.1353])
    """
    return log_relative_density(loc, scale).exp().to(loc.dtype)


def check_gaussian(where: str, loc: Tensor, scale: Tensor) -> None:
    """Raise ValueError unless means are finite and deviations >= 0, of one shape."""
    if loc.shape != scale.shape:
        raise ValueError(
            f"scale{where} must have the shape of loc, {tuple(loc.shape)}, got {tuple(scale.shape)}"
        )
    if not loc.isfinite().all():
        raise ValueError(f"loc{where} must be finite, got NaN or infinity")
    if not (scale >= 0).all():
        raise ValueError(f"scale{where} must be >= 0, got a negative number or NaN")
