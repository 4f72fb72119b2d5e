"""The evidence by thermodynamic integration along the KL weight, from guides at each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import softmax
from torch import Tensor

from bayesnas.checks import positive
from bayesnas.export.psis import largest_pareto_k
from bayesnas.inference.evaluation.predictive import PosteriorDraw, posterior_draws
from bayesnas.inference.evidence.importance import log_mean
from bayesnas.inference.evidence.log_densities import Doubles, check_shared, log_densities, scored
from bayesnas.inference.evidence.result import Evidence, PathPoint
from bayesnas.models.base import BayesianModel

LEAST_POINTS = 3
_ROUNDING = 1e-4  # by which a log density of one draw may differ along λ, relative to its size


def path_point(
    model: BayesianModel, x: Tensor, y: Tensor, kl_weight: float, draws: int, seed: int
) -> PathPoint:
    """Measure a guide that was fitted at a KL weight."""
    densities = log_densities(model, x, y, draws, seed)
    log_weights, k = densities.log_weights(kl_weight), densities.pareto_k(kl_weight)
    is_weighted = k <= largest_pareto_k(draws)
    shares = softmax(log_weights) if is_weighted else np.full(draws, 1 / draws)
    expected = float(shares @ densities.log_lik)
    error = float(np.sqrt(np.square(shares * (densities.log_lik - expected)).sum()))
    log_normaliser, log_normaliser_error = log_mean(log_weights)
    return PathPoint(
        1 / kl_weight,
        expected,
        error,
        float(softmax(log_weights) @ densities.log_lik),
        log_normaliser,
        log_normaliser_error,
        float(log_weights.mean()),
        float(densities.log_weights().mean()),
        k,
        is_weighted,
    )


def integrated(points: Sequence[PathPoint]) -> Evidence:
    r"""The log evidence from points of falling λ, the last of them at λ = 1.

    With β = 1/λ the logarithm of Z_β = ∫ p(w) p(y | x, w)^β dw has the derivative

    .. math:: \frac{d}{d\beta} \ln Z_\beta = E_\beta \ln p(y | x, w),

    the expectation over the tempered posterior of the KL weight λ, and

    .. math:: \ln p(y | x) = \ln Z_{\beta_0}
        + \int_{\beta_0}^1 E_\beta \ln p(y | x, w)\, d\beta.

    The integral is Simpson's over ln β. Z at β₀, the largest λ, where the posterior is near the
    prior, is taken from importance weights.

    ``lower`` is the bound E_q ln p − KL of the guide at λ = 1. A left sum would give no more: for
    the best guides of a family E_q ln p is the derivative of their bound, so where the expectations
    are those of guides the integral tends to that bound. ``upper`` is the sum of right ends over β,
    since the integrand rises (its derivative is the variance of ln p), with importance weights at
    every λ; it holds as far as these do, and errs upwards where draws of a narrow guide stand for a
    wide posterior.

    References:
        Gelman, Meng, *Simulating normalizing constants*, 1998; Friel, Pettitt, *Marginal likelihood
        estimation via power posteriors*, 2008.
    """
    from scipy.integrate import simpson  # which takes longer to import than this module

    power = np.array([p.power for p in points])
    slope = np.array([p.expected_log_lik for p in points])
    first = points[0]
    share = simpson(np.eye(len(points)), x=np.log(power)) * power
    start = first.log_normaliser if first.is_weighted else first.tempered_bound
    start_error = first.log_normaliser_error if first.is_weighted else 0.0
    errors = np.square(share * [p.error for p in points]).sum() + start_error**2
    rising = np.array([p.weighted_log_lik for p in points])
    return Evidence(
        start + float(share @ slope),
        math.sqrt(errors),
        points[-1].bound,
        first.power * float(rising[0]) + float(np.diff(power) @ rising[1:]),
        "thermodynamic",
        max(p.pareto_k for p in points),
        _warning(points),
        tuple(points),
    )


def check_path(kl_weights: Sequence[float]) -> list[float]:
    """KL weights in falling order, as :func:`integrated` needs them.

    Raises:
        ValueError: for fewer than three, one below 1, or none at 1.
    """
    falling = sorted({positive("kl_weights", each) for each in kl_weights}, reverse=True)
    if len(falling) < LEAST_POINTS or falling[-1] != 1.0:
        raise ValueError(
            "kl_weights must be 1 and at least two larger ones for thermodynamic integration, "
            f"which goes from the prior to the posterior at 1, got {list(kl_weights)}"
        )
    return falling


class SameModel:
    """Checks that prior and likelihood don't change along λ, at one draw of the guide at λ = 1."""

    def __init__(self, model: BayesianModel, x: Tensor, y: Tensor, seed: int) -> None:
        """Score the draw under the model at λ = 1."""
        check_shared(model, x, seed)
        self._x, self._y = x, y
        self._draw: PosteriorDraw = next(posterior_draws(model, model.few_rows(x), 1, seed))
        self._expected: Doubles = np.array(scored(model, x, y, self._draw))

    def __call__(self, model: BayesianModel, kl_weight: float) -> None:
        """Compare the model at another λ.

        Raises:
            ValueError: where its log densities at the draw are others.
        """
        terms = np.array(scored(model, self._x, self._y, self._draw))
        if not np.allclose(terms, self._expected, rtol=_ROUNDING, atol=_ROUNDING):
            raise ValueError(
                "thermodynamic integration needs one prior and one likelihood along λ, but at one "
                f"draw (ln prior, ln likelihood) is {_pair(self._expected)} at λ = 1 and "
                f"{_pair(terms)} at λ = {kl_weight:g}: fix the hyperparameters and point estimates "
                "of the model, or amortise the guide alone, amortize={name: map}"
            )


def _pair(values: Doubles) -> str:
    return f"({values[0]:.6g}, {values[1]:.6g})"


def _warning(points: Sequence[PathPoint]) -> str:
    far = [1 / p.power for p in points if not p.is_weighted]
    if not far:
        return ""
    return (
        f"k̂ is too large for importance weights at {len(far)} of {len(points)} KL weights, up to "
        f"{max(far):g}: there the expectation over the guide stands for that over the "
        "posterior, and the integral tends to the evidence lower bound of the guide"
    )
