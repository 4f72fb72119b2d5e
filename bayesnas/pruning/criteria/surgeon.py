"""Optimal Brain Surgeon: weights removed one by one, what stays moved to make up for it."""

from __future__ import annotations

import torch
from torch import Tensor

_SHRINK = 0.8  # the matrix is cut down once so many of its rows are left


def surgeon(
    weights: Tensor, curvature: Tensor, removable: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    r"""Remove weights by the smallest rise of a quadratic loss, and move the others to its minimum.

    .. math:: q = \arg\min_i \frac{w_i^2}{2 [H^{-1}]_{ii}},\quad
              w \leftarrow w - \frac{w_q}{[H^{-1}]_{qq}} H^{-1} e_q,\quad
              H^{-1} \leftarrow H^{-1}
              - \frac{H^{-1} e_q e_q^\top H^{-1}}{[H^{-1}]_{qq}}

    The last step is the inverse of H without row and column q. Where H is diagonal nothing moves,
    and the order is that of Optimal Brain Damage.

    Args:
        weights: ``[n]``, at a minimum of the loss.
        curvature: H ``[n, n]``, positive definite.
        removable: boolean ``[n]``.
        count: how many to remove, at most as many as are removable.

    Returns:
        the indices removed, in their order ``[count]``, and the weights after, ``[n]``, float64,
        exactly 0 where removed.

    Raises:
        ValueError: where H is not positive definite.

    References:
        Hassibi, Stork, *Second order derivatives for network pruning: Optimal Brain Surgeon*,
        NIPS 1992.

    >>> curvature = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    >>> order, left = surgeon(torch.tensor([1.0, 3.0]), curvature, torch.ones(2).bool(), 1)
    >>> order.tolist(), left.tolist()
    ([0], [0.0, 3.5])
    """
    inverse = inverted(curvature)
    left = weights.detach().double().clone()
    places = torch.arange(len(left), device=left.device)  # of the matrix's rows among the weights
    alive, free = torch.ones_like(removable), removable.clone()
    order = torch.empty(count, dtype=torch.long, device=left.device)
    for step in range(count):
        if int(alive.sum()) < _SHRINK * len(alive):
            inverse, places, free = inverse[alive][:, alive], places[alive], free[alive]
            alive = torch.ones_like(free)
        diagonal = inverse.diagonal()
        current = left[places]
        rise = (0.5 * current.square() / diagonal).masked_fill(~free, torch.inf)
        at = int(rise.argmin())
        column = inverse[:, at] / diagonal[at].sqrt()
        left[places] = current - (current[at] / column[at]) * column
        inverse.addr_(column, column, alpha=-1)
        inverse.diagonal()[at] = 1.0  # never read again, never divided by as 0
        order[step] = places[at]
        left[places[at]] = 0.0
        alive[at] = free[at] = False
    left[order] = 0.0
    return order, left


def inverted(curvature: Tensor) -> Tensor:
    """The inverse of a positive definite matrix, float64.

    Raises:
        ValueError: where it is none.
    """
    factor, failed = torch.linalg.cholesky_ex(curvature.double())
    if int(failed):
        raise ValueError(
            "the curvature must be positive definite: weights that the loss does not see need a "
            "penalty, l2 > 0 or a prior"
        )
    return torch.cholesky_inverse(factor)
