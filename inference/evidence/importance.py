"""The evidence from draws of a guide: the bound of one draw, and that of many."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp, softmax
from torch import Tensor

from bayesnas.data import Split
from bayesnas.export.psis import largest_pareto_k
from bayesnas.inference.evaluation.metrics import evaluate
from bayesnas.inference.evidence.log_densities import Doubles, check_shared, log_densities
from bayesnas.inference.evidence.result import Evidence
from bayesnas.models.base import BayesianModel


def elbo_evidence(model: BayesianModel, x: Tensor, y: Tensor, draws: int, seed: int) -> Evidence:
    """The bound E_q ln p(y | x, w) − KL(q ‖ p), its KL in closed form where one is known."""
    metrics = evaluate(model, Split.as_given((x, y)), 1.0, draws, seed)
    bound = metrics["elbo"]
    return Evidence(bound, metrics["elbo_error"], bound, np.inf, "elbo")


def importance_evidence(
    model: BayesianModel, x: Tensor, y: Tensor, draws: int, seed: int
) -> Evidence:
    r"""The importance-weighted bound of all draws together.

    .. math:: \hat L_S = \ln \frac1S \sum_{s=1}^S r_s, \qquad
        r_s = \frac{p(y | x, w_s)\, p(w_s)}{q(w_s)}, \quad w_s \sim q

    In expectation it is at most the log evidence, and reaches it as S grows if the weights have a
    mean, of which k̂ < 1 speaks, and soon if they have a variance, k̂ < ½. ``lower`` is the average
    of ln r, the plain bound; ``upper`` that over the weights, Σ r ln r / Σ r, an estimate of the
    evidence upper bound E_p(w|y) ln r, as good as the weights are.

    References:
        Burda, Grosse, Salakhutdinov, *Importance weighted autoencoders*, 2016; Ji, Shen,
        *Stochastic variational inference via upper bound*, 2019.

    Raises:
        ValueError: for a model with latents of every example, or a guide of point masses.
    """
    check_shared(model, x, seed)
    densities = log_densities(model, x, y, draws, seed)
    log_weights, k = densities.log_weights(), densities.pareto_k()
    estimate, error = log_mean(log_weights)
    return Evidence(
        estimate,
        error,
        float(log_weights.mean()),
        float(softmax(log_weights) @ log_weights),
        "importance",
        k,
        "" if k <= largest_pareto_k(draws) else _too_far(k, draws),
    )


def log_mean(log_values: Doubles) -> tuple[float, float]:
    """Ln of the mean of exp, and its standard error to first order.

    >>> log_mean(np.log(np.array([1.0, 3.0])))  # mean 2, standard error 1
    (0.693..., 0.5...)
    """
    draws = len(log_values)
    shares = softmax(log_values)
    relative_variance = draws * float(np.square(shares).sum()) - 1
    error = float(np.sqrt(max(relative_variance, 0.0) / (draws - 1)))
    return float(logsumexp(log_values) - np.log(draws)), error


def _too_far(k: float, draws: int) -> str:
    return (
        f"k̂ = {k:.2f} of {draws} importance weights is above {largest_pareto_k(draws):.2f}: the "
        "guide is too far from the posterior, and the estimate a lower bound that can be far from "
        "the evidence"
    )
