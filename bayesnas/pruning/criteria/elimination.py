"""Weights set to zero one after another under a Gaussian, those that stay conditioned on it."""

from __future__ import annotations

import torch
from torch import Tensor

_PENDING = 64  # columns that wait before the covariance is brought up to date, all at once


def elimination_order(
    mean: Tensor, precision: Tensor, groups: Tensor, prior_precision: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Set groups of weights to zero, always the one that costs least, and condition the others.

    With w ~ N(μ, Σ), Σ = P⁻¹, each step takes the group G with the largest gain and conditions on
    w_G = 0, which leaves a Gaussian:

    .. math:: g_G = -\tfrac12 \mu_G^\top \Sigma_{GG}^{-1} \mu_G
              \;\Big[ + \tfrac12 \ln \frac{\det S_G}{\det \Sigma_{GG}} \Big],\quad
              \mu \leftarrow \mu - \Sigma_{\cdot G} \Sigma_{GG}^{-1} \mu_G,\quad
              \Sigma \leftarrow \Sigma - \Sigma_{\cdot G} \Sigma_{GG}^{-1} \Sigma_{G \cdot}

    Without a prior −g is the rise of the quadratic loss ½ (w − μ)ᵀ P (w − μ), the others moved to
    its minimum: Optimal Brain Surgeon. With the prior N(0, S), S diagonal, g is the log evidence
    without the group minus that with it, the Savage–Dickey ratio ln q(w_G = 0) − ln p(w_G = 0):
    Bayesian model reduction. Gains along the order add up to that of the whole set.

    A step costs O(n) for the gains and O(64 n) for the column that it needs; the covariance is
    brought up to date every 64 columns by one matrix product, n³/3 multiplications in all.

    Args:
        mean: μ ``[n]``; of a loss, its minimum.
        precision: P ``[n, n]``, positive definite; of a loss, its curvature.
        groups: indices of the weights of every group that may go, ``[groups, members]``, −1 where
            a group has fewer; ``[groups, 1]`` for single weights. No weight is in two of them.
        prior_precision: the diagonal of S⁻¹, ``[n]``, > 0 where a weight may go.

    Returns:
        rows of ``groups`` in the order in which they go, all of them, and their gains.

    Raises:
        ValueError: P is not positive definite.

    References:
        Hassibi, Stork, *Second order derivatives for network pruning: Optimal Brain Surgeon*,
        NIPS 1992; Friston, Penny, *Post hoc Bayesian model selection*, NeuroImage, 2011.

    >>> precision = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    >>> order, gains = elimination_order(
    ...     torch.tensor([1.0, 3.0]), precision, torch.tensor([[0], [1]])
    ... )
    >>> order.tolist(), [round(gain, 2) for gain in gains.tolist()]
    ([0, 1], [-0.75, -12.25])
    """
    state = _Conditioned(mean, precision, groups, prior_precision)
    order, gains = [], []
    for _ in range(len(groups)):
        group, gain = state.remove_next()
        order.append(group)
        gains.append(gain)
    return (
        torch.tensor(order, dtype=torch.long, device=mean.device),
        torch.tensor(gains, dtype=torch.float64, device=mean.device),
    )


def conditional_mean(mean: Tensor, precision: Tensor, removed: Tensor) -> Tensor:
    r"""Mean of N(μ, P⁻¹) given that some weights are zero.

    .. math:: \mu_S \leftarrow P_{SS}^{-1} (P \mu)_S

    for those that stay, S: the minimum of the quadratic loss on them alone. The precision of what
    stays is :math:`P_{SS}`, a part of P, so that the deviations :math:`P_{ii}^{-1/2}` of a
    mean-field Gaussian that is closest to the posterior remain what they are.

    Args:
        mean: μ ``[n]``.
        precision: P ``[n, n]``.
        removed: boolean ``[n]``.

    Returns:
        float64 ``[n]``, exactly 0 where removed.

    >>> precision = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    >>> conditional_mean(torch.tensor([1.0, 3.0]), precision, torch.tensor([True, False]))
    tensor([0.0000, 3.5000], dtype=torch.float64)
    """
    left = torch.zeros_like(mean, dtype=torch.float64)
    stay = ~removed
    if bool(stay.any()):
        rows = precision.double()[stay]
        factor = _factor(rows[:, stay])
        left[stay] = torch.cholesky_solve((rows @ mean.double())[:, None], factor)[:, 0]
    return left


class _Conditioned:
    """A Gaussian given that the groups taken so far are zero.

    Its covariance is ``_covariance`` − ``_pending`` ``_pending``ᵀ; ``_blocks`` are its blocks on
    the diagonal, one a group, always up to date, with ones where a group has fewer members.
    """

    def __init__(
        self, mean: Tensor, precision: Tensor, groups: Tensor, prior_precision: Tensor | None
    ) -> None:
        self._mean = mean.detach().double().clone()
        self._covariance = torch.cholesky_inverse(_factor(precision.double()))
        self._valid = groups >= 0
        self._at = groups.clamp_min(0)  # where the weights of each group stand
        self._ids = torch.arange(len(groups), device=groups.device)
        self._there = torch.ones_like(self._ids, dtype=torch.bool)
        self._pending = self._covariance.new_empty(len(mean), 0)
        self._blocks = self._covariance[self._at[:, :, None], self._at[:, None, :]]
        pairs = self._valid[:, :, None] & self._valid[:, None, :]
        one = torch.eye(groups.shape[1], dtype=torch.bool, device=groups.device)
        self._blocks = torch.where(pairs, self._blocks, (one & ~pairs).to(self._blocks))
        self._prior_log_det: Tensor | None = None  # of every group's prior covariance
        if prior_precision is not None:
            logs = prior_precision.double()[self._at].log()
            self._prior_log_det = -logs.masked_fill(~self._valid, 0.0).sum(1)

    def remove_next(self) -> tuple[int, float]:
        """Condition on the group with the largest gain; its index and gain."""
        gains = self._gains()
        at = int(gains.argmax())
        gain = float(gains[at])
        members = self._at[at][self._valid[at]]
        columns = self._covariance[members].T - self._pending @ self._pending[members].T
        factor = torch.linalg.cholesky(columns[members])
        scaled = torch.linalg.solve_triangular(factor, columns.T, upper=False).T
        whitened = torch.linalg.solve_triangular(factor, self._mean[members, None], upper=False)
        self._mean = self._mean - (scaled @ whitened)[:, 0]
        rows = scaled[self._at] * self._valid[:, :, None]
        self._blocks = self._blocks - rows @ rows.mT
        self._there[at] = False
        self._pending = torch.cat([self._pending, scaled], 1)
        group = int(self._ids[at])
        if self._pending.shape[1] >= _PENDING:
            self._update()
        return group, gain

    def _gains(self) -> Tensor:
        means = self._mean[self._at] * self._valid
        if means.shape[1] == 1:
            variance = self._blocks[:, 0, 0].masked_fill(~self._there, 1.0)
            square, log_det = means[:, 0].square() / variance, variance.log()
        else:
            eye = torch.eye(means.shape[1], dtype=means.dtype, device=means.device)
            factor = torch.linalg.cholesky(
                torch.where(self._there[:, None, None], self._blocks, eye)
            )
            whitened = torch.linalg.solve_triangular(factor, means[:, :, None], upper=False)
            square = whitened[:, :, 0].square().sum(1)
            log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
        gains = -0.5 * square
        if self._prior_log_det is not None:
            gains = gains + 0.5 * (self._prior_log_det - log_det)
        return gains.masked_fill(~self._there, -torch.inf)

    def _update(self) -> None:
        """Bring the covariance up to date, and drop what is gone from it."""
        self._covariance.addmm_(self._pending, self._pending.T, alpha=-1)
        left = torch.ones_like(self._mean, dtype=torch.bool)
        gone = ~self._there
        left[self._at[gone][self._valid[gone]]] = False
        self._covariance = self._covariance[left][:, left]
        self._mean = self._mean[left]
        self._pending = self._mean.new_empty(len(self._mean), 0)
        places = left.cumsum(0) - 1
        self._at = places[self._at].clamp_min(0)[self._there]
        self._valid, self._ids = self._valid[self._there], self._ids[self._there]
        self._blocks = self._blocks[self._there]
        if self._prior_log_det is not None:
            self._prior_log_det = self._prior_log_det[self._there]
        self._there = self._there[self._there]


def _factor(precision: Tensor) -> Tensor:
    """The Cholesky factor of a precision, or a curvature.

    Raises:
        ValueError: it is not positive definite.
    """
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(precision)
    if int(failed):
        raise ValueError(
            "the curvature must be positive definite: weights that the loss does not see need a "
            "penalty, l2 > 0 or a prior"
        )
    return factor
