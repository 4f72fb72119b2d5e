"""What a Gaussian guide takes the data to say of linear weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_RIDGE = 1e-6  # of the mean variance of the features; lets collinear ones be whitened


class PseudoLikelihood(nn.Module):
    r"""A Gaussian factor :math:`\exp(\eta^\top w - \tfrac12 w^\top \Lambda w)` to fit.

    A guide that is the prior times this factor follows the hyperparameters of the prior at once,
    and contains the posterior of a linear-Gaussian regression: there the factor is the
    likelihood itself, :math:`\Lambda = \tau X^\top X / \lambda` and
    :math:`\eta = \tau X^\top y / \lambda` with τ the noise precision (the form of Khan, Lin
    2017).

    Its parameters are in whitened coordinates u = R w with Rᵀ R the covariance of the features, so
    that one step size fits every direction however correlated the features are:

    .. math:: \Lambda = \tau R^\top T T^\top R, \qquad \eta = \tau R^\top T T^\top v

    with T lower triangular. R comes from the first batch of a fit, as do the starting values: the
    least-squares fit of that batch, known as precisely as the batch says. Any factor can be
    reached from any R.

    Args:
        features: p.

    >>> linear, precision = PseudoLikelihood(3)(torch.ones(()))
    >>> precision.shape
    torch.Size([3, 3])
    """

    whitening: Tensor
    least_squares: Tensor
    unit: Tensor
    log_start: Tensor

    def __init__(self, features: int) -> None:
        """Create the parameters; see the class."""
        super().__init__()
        self.target = nn.Parameter(torch.zeros(features))
        self.log_diagonal = nn.Parameter(torch.zeros(features))
        self.lower = nn.Parameter(torch.zeros(features, features))
        self.register_buffer("whitening", torch.eye(features, dtype=torch.float64))
        self.register_buffer("least_squares", torch.zeros(features))
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("log_start", torch.zeros(()))

    @torch.no_grad()
    def prepare(self, x: Tensor, response: Tensor, unit: Tensor) -> None:
        """Take coordinates and starting values from a batch.

        Args:
            x: centred inputs ``[n, p]``.
            response: centred targets ``[n]``.
            unit: their scale; v is stored in it.
        """
        table = x.double()
        covariance = table.mT @ table / len(table)
        ridge = _RIDGE * covariance.diagonal().mean().clamp_min(1e-12)
        eye = torch.eye(len(covariance), dtype=table.dtype, device=table.device)
        lower = torch.linalg.cholesky(covariance + ridge * eye)
        cross = table.mT @ response.double() / len(table)
        fitted = torch.linalg.solve_triangular(lower, cross[:, None], upper=False)[:, 0]
        self.whitening.copy_(lower.mT)
        self.least_squares.copy_(fitted / unit)
        self.unit.copy_(unit)
        self.log_start.fill_(0.5 * math.log(len(table)))

    @torch.no_grad()
    def reset(self) -> None:
        """Start near the least-squares fit: a standard error away from it, at random."""
        noise = torch.randn_like(self.target) * (-self.log_start).exp()
        self.target.copy_(self.least_squares + noise)
        self.log_diagonal.copy_(self.log_start.expand_as(self.log_diagonal))
        self.lower.zero_()

    def forward(self, noise_precision: Tensor) -> tuple[Tensor, Tensor]:
        """Return η ``[p]`` and Λ ``[p, p]``, in double precision, given τ."""
        diagonal = self.log_diagonal.double().exp()
        eye = torch.eye(len(diagonal), dtype=diagonal.dtype, device=diagonal.device)
        factor = diagonal[:, None] * (eye + self.lower.double().tril(-1))
        root = factor.mT @ self.whitening
        target = factor.mT @ (self.unit * self.target).double()
        precision = noise_precision.double()
        return precision * (root.mT @ target), precision * (root.mT @ root)
