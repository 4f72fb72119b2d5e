"""What the data say of linear weights, a Gaussian factor for every support."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_RIDGE = 1e-9  # of the mean diagonal of Λ, where the data say nothing
_STEP = 0.1  # of a standard error, moved by a unit of a parameter


class SupportFactors(nn.Module):
    r"""Factors :math:`c_\Gamma \exp(\eta_\Gamma^\top w - \tfrac12 w^\top \Lambda_\Gamma w)` to fit.

    They start at those of a first batch, t₀ and L₀ L₀ᵀ, and move from there in units of their
    standard errors:

    .. math:: \Lambda = L_0 A A^\top L_0^\top, \qquad
        \eta = \Lambda t_0 + L_0 A A^\top u, \qquad A = (I + T)\,\mathrm{diag}(e^d)

    with u, d, T (strictly lower triangular) and ln c 0 at the start. So an optimiser whose steps
    have one size, such as Adam, hardly leaves a start that is right.

    Args:
        supports: S, how many of them there are.
        features: p.

    >>> linear, precision, log_factors = SupportFactors(4, 2)()
    >>> linear.shape, precision.shape, log_factors.shape
    (torch.Size([4, 2]), torch.Size([4, 2, 2]), torch.Size([4]))
    """

    start_target: Tensor
    start_root: Tensor
    start_log_factors: Tensor

    def __init__(self, supports: int, features: int) -> None:
        """Create the parameters; see the class."""
        super().__init__()
        self.target = nn.Parameter(torch.zeros(supports, features))
        self.log_diagonal = nn.Parameter(torch.zeros(supports, features))
        self.lower = nn.Parameter(torch.zeros(supports, features, features))
        self.log_factors = nn.Parameter(torch.zeros(supports))
        self.register_buffer("start_target", torch.zeros(supports, features).double())
        self.register_buffer("start_root", torch.eye(features).double().repeat(supports, 1, 1))
        self.register_buffer("start_log_factors", torch.zeros(supports).double())

    @torch.no_grad()
    def prepare(self, linear: Tensor, precision: Tensor, log_factors: Tensor) -> None:
        """Take η ``[S, p]``, Λ ``[S, p, p]`` and ln c ``[S]`` as the start."""
        size = precision.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(1e-12)
        eye = torch.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
        root = torch.linalg.cholesky(precision + _RIDGE * size[:, None, None] * eye)
        self.start_root.copy_(root)
        self.start_target.copy_(torch.cholesky_solve(linear[..., None], root)[..., 0])
        self.start_log_factors.copy_(log_factors)

    @torch.no_grad()
    def reset(self) -> None:
        """Go to the start, a hundredth of a standard error away from it at random."""
        for parameter in self.parameters():
            parameter.zero_()
        self.target.normal_(std=0.1)

    def forward(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return η ``[S, p]``, Λ ``[S, p, p]`` and ln c ``[S]``, in double precision."""
        diagonal = (_STEP * self.log_diagonal.double()).exp()
        eye = torch.eye(diagonal.shape[-1], dtype=diagonal.dtype, device=diagonal.device)
        inner = (eye + _STEP * self.lower.double().tril(-1)) * diagonal[..., None, :]
        root = self.start_root @ inner
        moved = _STEP * self.target.double()[..., None]
        precision = root @ root.mT
        linear = precision @ self.start_target[..., None] + root @ (inner.mT @ moved)
        return linear[..., 0], precision, self.start_log_factors + self.log_factors.double()
