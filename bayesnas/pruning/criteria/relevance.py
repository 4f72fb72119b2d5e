"""Relevance of parameters by the collinearity of their posterior (Belsley's diagnostics)."""

from __future__ import annotations

import torch
from torch import Tensor


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


def relevance_order(precision: Tensor, removable: Tensor) -> Tensor:
    """Weights from the least relevant to the most, one for every condition index.

    The indices are taken from the largest on; each gives the weight, of those left, with the
    largest share of its variance there (Grabovoy, Bakhteev, Strijov 2019). The source decomposes
    the covariance anew after each removal; here one decomposition gives the whole order, as a
    direction has lost its dependency once one of its weights is gone.

    Args:
        precision: inverse of the posterior's covariance, ``[n, n]``.
        removable: boolean ``[n]``.

    Returns:
        indices of the removable weights.

    References:
        Grabovoy, Bakhteev, Strijov, *Estimation of the relevance of the neural network
        parameters*, Informatics and Applications 13(2), 2019; Belsley, Kuh, Welsch, *Regression
        diagnostics*, 1980.

    >>> relevance_order(torch.diag(torch.tensor([4.0, 1.0, 9.0])), torch.ones(3).bool())
    tensor([1, 0, 2])
    """
    _, shares = variance_shares(precision)
    shares.masked_fill_(~removable[:, None], -1.0)
    columns = shares.T.contiguous()
    order = []
    for share in columns:
        at = int(share.argmax())
        if float(share[at]) < 0:  # all that may go are taken
            break
        order.append(at)
        columns[:, at] = -1.0
    return torch.tensor(order, dtype=torch.long, device=precision.device)
