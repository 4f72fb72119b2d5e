"""Relevance of parameters by the collinearity of their posterior (Belsley's diagnostics)."""

from __future__ import annotations

import torch
from torch import Tensor

DECOMPOSITIONS = 50
"""Of a precision, where there are as many weights; each takes n³ operations."""


def variance_shares(precision: Tensor) -> tuple[Tensor, Tensor]:
    r"""Condition indices of a precision matrix, and the shares of each weight's variance.

    With P = U Λ Uᵀ the variance of weight i under N(μ, P⁻¹) is a sum over the eigenvectors,

    .. math:: \mathrm{Var}\,w_i = \sum_j \frac{u_{ij}^2}{\lambda_j},\quad
              \eta_j = \frac{\lambda_{\max}}{\lambda_j},\quad
              q_{ij} = \frac{u_{ij}^2 / \lambda_j}{\sum_k u_{ik}^2 / \lambda_k}

    A large η says that the weights with a large q in it can trade off against each other.

    Args:
        precision: P ``[n, n]``, symmetric, positive definite.

    Returns:
        η ``[n]``, falling, and q ``[n, n]``, weight × index; its rows add up to 1.

    Raises:
        ValueError: P is not positive definite.

    >>> eta, shares = variance_shares(torch.tensor([[1.0, 0.9], [0.9, 1.0]]))
    >>> [round(each, 3) for each in eta.tolist()], [round(q, 3) for q in shares[0].tolist()]
    ([19.0, 1.0], [0.95, 0.05])
    """
    values, vectors = torch.linalg.eigh(precision.double())
    if not bool(values[0] > 0):
        raise ValueError(
            f"precision must be positive definite, got the eigenvalue {float(values[0]):.3g}"
        )
    parts = vectors.square() / values
    return values[-1] / values, parts / parts.sum(1, keepdim=True)


def relevance_order(
    precision: Tensor, removable: Tensor, decompositions: int = DECOMPOSITIONS
) -> Tensor:
    """Weights from the least relevant to the most, by the most collinear directions.

    The largest condition index says which direction is the most collinear; of the weights left the
    one with the largest share of its variance there is the least relevant, and goes (Grabovoy,
    Bakhteev, Strijov 2019). The precision of what stays, a part of P, is decomposed anew. Where a
    decomposition after each removal would be too many, one gives as many weights as are needed,
    from its largest indices on.

    Args:
        precision: inverse of the posterior's covariance, ``[n, n]``.
        removable: boolean ``[n]``.
        decompositions: about how many are made.

    Returns:
        indices of the removable weights.

    References:
        Grabovoy, Bakhteev, Strijov, *Estimation of the relevance of the neural network
        parameters*, Informatics and Applications 13(2), 2019; Belsley, Kuh, Welsch, *Regression
        diagnostics*, 1980.

    >>> relevance_order(torch.diag(torch.tensor([4.0, 1.0, 9.0])), torch.ones(3).bool())
    tensor([1, 0, 2])
    """
    left, free = torch.arange(len(precision), device=precision.device), removable.clone()
    at_once = max(1, int(removable.sum()) // decompositions)
    order: list[Tensor] = []
    while bool(free[left].any()):
        _, shares = variance_shares(precision[left][:, left])
        taken = left[_largest_shares(shares, free[left], at_once)]
        order.append(taken)
        free[taken] = False
        stay = torch.ones_like(free)
        stay[torch.cat(order)] = False
        left = stay.nonzero().flatten()
    return torch.cat(order) if order else left[:0]


def _largest_shares(shares: Tensor, removable: Tensor, count: int) -> Tensor:
    """So many weights, each with the largest share, of those left, in its direction."""
    columns = shares.masked_fill(~removable[:, None], -1.0).T.contiguous()
    taken: list[int] = []
    for share in columns:
        at = int(share.argmax())
        if len(taken) == count or float(share[at]) < 0:
            break
        taken.append(at)
        columns[:, at] = -1.0
    return torch.tensor(taken, dtype=torch.long, device=shares.device)
