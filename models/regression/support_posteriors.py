"""The best Gaussian on every support of a logistic regression, all supports at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bayesnas.distributions.logistic_averages import expected_cross_entropy

_ITERATIONS, _STEP = 60, 0.5
_MOST_VALUES = 2**21  # of supports times examples times features, looked at together
_FEWEST_ROWS, _MOST_ROWS, _MOST_WORK = 64, 10_000, 2**27
_SMALLEST_SCALE = 1e-6  # of a linear predictor


def rows_worth_fitting(features: int) -> int:
    """How many rows :func:`fit_supports` takes for some seconds' work: S n p² are bounded.

    >>> rows_worth_fitting(4), rows_worth_fitting(12)
    (10000, 227)
    """
    supports: int = 2**features
    return max(_FEWEST_ROWS, min(_MOST_ROWS, _MOST_WORK // (supports * features**2)))


class BestFactors(NamedTuple):
    """Gaussian factors that stand for the data, one a support.

    Attributes:
        linear: η, ``[S, p]``.
        precision: Λ, ``[S, p, p]``.
        log_lik: E log p(y | w) under the prior times the factor, ``[S]``.
    """

    linear: Tensor
    precision: Tensor
    log_lik: Tensor


@torch.no_grad()
def fit_supports(x: Tensor, y: Tensor, supports: Tensor, prior_precision: Tensor) -> BestFactors:
    r"""Maximise E log p(y | w) − KL(q(w) ‖ N(0, s²)) on every support, by natural gradients.

    With f = x w, every step goes half of the way to

    .. math:: \Lambda = X^\top \mathrm{diag}(E \sigma'(f)) X, \qquad
        \eta = X^\top \bigl(E \sigma'(f) \odot E f - E \sigma(f) + y \bigr),

    whose fixed points are those of the bound.

    Args:
        x: inputs ``[n, p]``.
        y: targets ``[n]``, 0 or 1.
        supports: boolean ``[S, p]``.
        prior_precision: 1/s², a scalar.

    References:
        Khan, Lin, *Conjugate-computation variational inference*, 2017.
    """
    x, y = x.double(), y.double()
    size = max(1, _MOST_VALUES // max(x.numel(), 1))
    parts = [_fit_some(x, y, some.to(x), prior_precision.double()) for some in supports.split(size)]
    return BestFactors(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _fit_some(x: Tensor, y: Tensor, on: Tensor, prior_precision: Tensor) -> BestFactors:
    linear = (x.mT @ (y - 0.5)).expand(len(on), -1)
    precision = (0.25 * x.mT @ x).expand(len(on), -1, -1)
    for _ in range(_ITERATIONS):
        _, next_linear, next_precision = _improved(x, y, on, linear, precision, prior_precision)
        linear = torch.lerp(linear, next_linear, _STEP)
        precision = torch.lerp(precision, next_precision, _STEP)
    log_lik, _, _ = _improved(x, y, on, linear, precision, prior_precision)
    return BestFactors(linear, precision, log_lik)


def _improved(
    x: Tensor, y: Tensor, on: Tensor, linear: Tensor, precision: Tensor, prior_precision: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """E log p(y | w), and the factor that the posterior with this one asks for."""
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    both = on[:, :, None] * on[:, None, :]
    within = (precision + prior_precision * eye) * both + torch.diag_embed(1 - on)
    factor = torch.linalg.cholesky(within)
    inverse = torch.linalg.solve_triangular(factor, eye.expand_as(within), upper=False)
    root = inverse.mT * both
    mean = (root @ (inverse @ (linear * on)[:, :, None]))[:, :, 0]
    loc = mean @ x.mT
    scale = (x @ root).square().sum(-1).sqrt().clamp_min(_SMALLEST_SCALE)
    with torch.enable_grad():
        loc.requires_grad_()
        scale.requires_grad_()
        loss = expected_cross_entropy(loc, scale, y.expand_as(loc))
        slope, by_scale = torch.autograd.grad(loss.sum(), [loc, scale])
    loc, scale = loc.detach(), scale.detach()
    curvature = (by_scale / scale).clamp_min(0)
    asked = (curvature * loc - slope) @ x
    return -loss.detach().sum(-1), asked, torch.einsum("sn,np,nq->spq", curvature, x, x)
