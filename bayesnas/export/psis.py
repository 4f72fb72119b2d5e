"""Pareto-smoothed importance sampling: is a guide close enough to its tempered target?"""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bayesnas.checks import non_negative, shown
from bayesnas.export.arviz_version import arviz, has_inference_data, to_numpy
from bayesnas.typed import typed

if TYPE_CHECKING:
    import numpy.typing as npt

    from bayesnas.export.arviz_version import Array

    Doubles: TypeAlias = npt.NDArray[np.float64]

# The smallest sample with six draws in the tail. Of five, ArviZ 1.x says that no shape fits them.
MIN_DRAWS = 30
# Tail weights closer than this (on the log scale) are equal but for rounding.
EQUAL = 1e-8
GOOD_K = 0.7
"""k̂ above which no number of draws makes averages by weights reliable."""


def largest_pareto_k(draws: int) -> float:
    """K̂ above which averages over so many weighted draws are not reliable.

    min(1 − 1/log₁₀ S, 0.7) of Vehtari et al. (2024).

    >>> round(largest_pareto_k(200), 2), largest_pareto_k(10_000)
    (0.57, 0.7)
    """
    return min(1 - 1 / math.log10(draws), GOOD_K)


@typed()
def tempered_log_weights(
    log_prior_total: Array, log_lik_total: Array, log_q_total: Array, kl_weight: float
) -> Doubles:
    r"""Log importance weights of draws from a guide, against the target it was fitted to.

    A fit at KL weight λ maximises E_q log p(D|w) − λ KL(q‖p). Divided by λ, that is the evidence
    bound of the tempered target p(w) p(D|w)^{1/λ}, and the weight of a draw w ~ q is

    $$\log r(w) = \log p(w) + \tfrac{1}{\lambda} \log p(D \mid w) - \log q(w).$$

    The sum is made in float64. Totals that reach it in float32 carry rounding errors of about
    1e-7 times their size, and where they are large those alone can look like a heavy tail.

    Args:
        log_prior_total: log p(w), summed over all sites, `draws` or `chains x draws`.
        log_lik_total: log p(D|w), summed over the whole training sample, unscaled; same shape.
        log_q_total: log q(w), summed over all sites; same shape.
        kl_weight: λ, a finite number > 0.

    Returns:
        The log weights, unnormalised, in the shape of the arguments.

    Raises:
        ValueError: if the shapes differ, or `kl_weight` is not a finite number > 0. At 0 the
            tempered target is a point, the maximum of the likelihood, and has no density.

    Example:
        >>> import numpy as np
        >>> log_p, log_lik, log_q = np.array([-1.0, -2.0]), np.array([-3.0, -1.0]), np.zeros(2)
        >>> tempered_log_weights(log_p, log_lik, log_q, kl_weight=0.5)
        array([-7., -4.])
    """
    kl_weight = checked_kl_weight(kl_weight)
    if kl_weight == 0:
        raise ValueError(
            "kl_weight must be > 0 for importance weights, got 0: "
            "the tempered target is then a point, the maximum of the likelihood"
        )
    totals = {
        "log_prior_total": _doubles("log_prior_total", log_prior_total),
        "log_lik_total": _doubles("log_lik_total", log_lik_total),
        "log_q_total": _doubles("log_q_total", log_q_total),
    }
    expected = totals["log_prior_total"].shape
    for name, total in totals.items():
        if total.shape != expected:
            raise ValueError(
                f"{name} must have the shape of log_prior_total, {expected}, got {total.shape}"
            )
    log_prior, log_lik, log_q = totals.values()
    return log_prior + log_lik / kl_weight - log_q


@typed(unchecked=("data", "log_weights", "values"))
def pareto_k(log_weights: Array, values: Array | None = None) -> float:
    r"""Shape k̂ of the generalised Pareto tail of importance weights, by ArviZ's PSIS.

    The weights' moments of order below 1/k exist. A guide is a good importance sampler of its
    target where k̂ < 0.5, a usable one up to 0.7, and too narrow or misplaced above (Vehtari et
    al. 2024; for variational inference Yao et al. 2018).

    The tail is the largest ⌊min(S/5, 3√S)⌋ of S weights under either generation of ArviZ, so
    both give the same number as long as no weights in it are equal. (Called by itself, `psislw`
    of ArviZ 0.23 rounds up instead, and that of 1.x wants the log weights negated.)

    Args:
        log_weights: log weights of the independent draws of one guide, `draws`, at least 30 of
            them; −inf (weight zero) is allowed. Several chains are several guides: call this
            once for each.
        values: h(w) of every draw, `draws`: k̂ is then that of its expectation
            $\sum_s r_s h_s / \sum_s r_s$, the larger one of the tails of ``|h|`` r, the numerator,
            and of r, the denominator. Where h takes one value or two it adds nothing to r.

    Returns:
        k̂. It is 0 if the tail's weights are equal within 1e-8: they are bounded, as those of an
        exact guide are. It is infinite if no generalised Pareto distribution fits the tail.

    Raises:
        ValueError: if `log_weights` is not one-dimensional, has fewer than 30 draws, holds NaN
            or +inf, or nothing but −inf; if `values` are others than one finite number a draw.
        TypeError: for what is no array of numbers.

    References:
        Vehtari, Simpson, Gelman, Yao, Gabry (2024), Pareto smoothed importance sampling, Journal
        of Machine Learning Research 25(72). Yao, Vehtari, Simpson, Gelman (2018), Yes, but did
        it work? Evaluating variational inference, ICML.

    Example:
        >>> import numpy as np
        >>> draws = np.random.default_rng(0).normal(size=4000)
        >>> too_narrow = (0.3 * draws) ** 2 / 2 * (1 / 0.3**2 - 1)  # N(0, 0.3²) against N(0, 1)
        >>> pareto_k(too_narrow) > 0.7
        True
        >>> too_wide = (2 * draws) ** 2 / 2 * (1 / 2**2 - 1)
        >>> pareto_k(too_wide) < 0.5
        True
        >>> pareto_k(too_narrow, np.exp(0.04 * draws**2)) > pareto_k(too_narrow)  # h grows with r
        True
    """
    weights = _doubles("log_weights", log_weights, nan=True)
    _check_weights(weights)
    of_weights = _tail_shape(weights)
    return of_weights if values is None else max(of_weights, numerator_shape(weights, values))


def numerator_shape(weights: Doubles, values: Array) -> float:
    """K̂ of |h| r alone, −∞ where h adds nothing to r; see :func:`pareto_k`.

    Args:
        weights: log weights that :func:`pareto_k` has checked.
        values: h of every draw.
    """
    terms = _doubles("values", values, nan=True)
    if terms.shape != weights.shape or not np.isfinite(terms).all():
        raise ValueError(
            f"values must be a finite number for each of {len(weights)} draws, got "
            f"{shown(values) if terms.shape == weights.shape else f'shape {terms.shape}'}"
        )
    if len(np.unique(terms)) < 3:
        return -math.inf
    with np.errstate(divide="ignore"):  # h = 0: the term is zero, its log −inf
        numerator = weights + np.log(np.abs(terms))
    return -math.inf if np.isneginf(numerator).all() else _tail_shape(numerator)


def _tail_shape(weights: Doubles) -> float:
    """K̂ of the largest weights; see :func:`pareto_k`."""
    draws = len(weights)
    tail = math.floor(min(draws / 5, 3 * math.sqrt(draws)))
    if tail_spread(weights, tail) <= EQUAL:
        return 0.0
    # What overflows in the fit comes out as NaN or inf, and is dealt with below.
    with np.errstate(all="ignore"):
        shape = _psis_shape(weights, tail)
    return math.inf if math.isnan(shape) else shape


def separate_ties(log_likelihood: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int]:
    """Make pointwise log-likelihoods fit for `az.loo` where they are equal in all draws.

    An observation predicted with certainty has log-likelihood 0 in every draw, and so do all
    observations of a guide that is a point. Its leave-one-out weights are then equal: ArviZ 1.x
    refuses the whole data set ("All tail values are the same"), 0.23 reports k̂ = inf. Such an
    observation (the lowest ⌊√draws⌋ values within 1e-12) is lowered by an even ramp over the
    draws of at most 1e-10 (times its size, if above one), which moves no estimate and gives its
    weights a tail that can be fitted.

    Args:
        log_likelihood: `chains x draws x ...`.

    Returns:
        The array, as it came where nothing had to be done and as a float64 copy otherwise; and
        the number of observations that were changed.
    """
    draws = log_likelihood.shape[0] * log_likelihood.shape[1]
    columns = log_likelihood.reshape(draws, -1)
    tail = math.isqrt(draws)
    if columns.size == 0 or draws < 2:
        return log_likelihood, 0
    lowest = columns.min(axis=0)
    size = np.where(np.isfinite(lowest), np.maximum(1.0, np.abs(lowest)), 0.0)
    spread = np.array([tail_spread(-column, tail) for column in columns.T])
    tied = (spread <= 1e-12 * size) & (size > 0)
    if not tied.any():
        return log_likelihood, 0
    separated = columns.astype(np.float64)
    ramp = np.linspace(0.0, 1e-10, draws)
    separated[:, tied] -= ramp[:, None] * size[tied]
    return separated.reshape(log_likelihood.shape), int(tied.sum())


def tail_spread(values: npt.NDArray[Any], tail: int) -> float:
    """Difference between the largest of `values` and the largest that is below the tail."""
    ordered = np.partition(values, [len(values) - tail - 1])
    with np.errstate(invalid="ignore"):  # inf - inf: NaN, which is no small spread
        return float(ordered[-tail:].max() - ordered[-tail - 1])


def checked_kl_weight(kl_weight: float) -> float:
    """The KL weight λ as a float, or a `ValueError` if it is not a finite number >= 0."""
    return non_negative("kl_weight", kl_weight)


def _doubles(name: str, value: Array, *, nan: bool = False) -> Doubles:
    try:
        doubles: Doubles = to_numpy(value).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers, got {shown(value)}") from error
    if not nan and np.isnan(doubles).any():
        raise ValueError(f"{name} must hold numbers, got NaN")
    return doubles


def _psis_shape(log_weights: Doubles, tail: int) -> float:
    if has_inference_data():
        # This efficiency does nothing but set the tail's length, ⌈3√(draws/reff)⌉, to `tail`.
        efficiency = 9 * len(log_weights) / (tail - 0.5) ** 2
        return float(arviz().psislw(log_weights, reff=efficiency)[1])
    # `pareto_khat(log_weights=True)` would be the plainer call, but fits the log weights.
    statistics = importlib.import_module("arviz_stats.base").array_stats
    return float(statistics.psislw(-log_weights, r_eff=1.0)[1])


def _check_weights(weights: Doubles) -> None:
    if weights.ndim != 1:
        raise ValueError(
            "log_weights must have one dimension, the draws of one guide, "
            f"got shape {weights.shape}"
        )
    if len(weights) < MIN_DRAWS:
        raise ValueError(f"log_weights must hold at least {MIN_DRAWS} draws, got {len(weights)}")
    if np.isnan(weights).any() or np.isposinf(weights).any():
        raise ValueError("log_weights must be finite or -inf, got NaN or +inf")
    if np.isneginf(weights).all():
        raise ValueError("log_weights must not all be -inf: no draw has any weight")
