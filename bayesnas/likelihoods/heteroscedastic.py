"""Numbers with noise of a width of their own."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor

from bayesnas.likelihoods.base import Likelihood, flat, rows


class Heteroscedastic(Likelihood):
    r"""y ~ N(f₁, exp(2 f₂)): the net gives mean and log standard deviation of every target.

    .. math::
        \ln p(y \mid f) = -\tfrac12 e^{-2 f_2} (y - f_1)^2 - f_2 - \tfrac12 \ln 2\pi

    Outputs are ``[n, 2]`` for targets ``[n]``, and ``[n, 2 k]`` for ``[n, k]``: k means, then k log
    standard deviations.

    References:
        Nix, Weigend, *Estimating the mean and variance of the target probability distribution*,
        1994.

    >>> y = Heteroscedastic()(torch.tensor([[3.0, 0.0]]))
    >>> y.mean, y.stddev
    (tensor([3.]), tensor([1.]))
    """

    name = "heteroscedastic"
    task = "regression"
    outputs = "means of y, then logarithms of their standard deviations"

    def forward(self, output: Tensor) -> dist.TorchDistribution:
        """Normal with means ``[n]``, or ``[n, k]`` as one event."""
        loc, log_scale = (flat(part) for part in output.chunk(2, dim=-1))
        return rows(dist.Normal(loc, log_scale.exp()), loc)

    def in_units(self, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs are means, then logarithms of standard deviations."""
        return torch.cat([scale, torch.ones_like(scale)]), torch.cat([mean, scale.log()])

    def check(self, output_shape: torch.Size, y: Tensor, classes: int | None = None) -> None:
        """Two outputs for every target."""
        width = y[0].numel()
        if y.ndim > 2 or list(output_shape[1:]) != [2 * width]:
            raise ValueError(
                "net must give two outputs for every target, mean and log standard deviation, for "
                f"likelihood={self.name!r}, got outputs {['n', *output_shape[1:]]} for targets y "
                f"of shape {['n', *y.shape[1:]]}"
            )
