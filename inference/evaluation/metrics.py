"""How good a fitted model is: accuracy, calibration, and the terms of the bound."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.inference.evaluation.calibration import calibration_error
from bayesnas.inference.evaluation.predictive import (
    conditional_means,
    means_and_log_likelihoods,
    posterior_draws,
    posterior_means,
    predicted_labels,
)
from bayesnas.inference.runtime.pyro_context import pyro_session
from bayesnas.inference.runtime.random_state import RandomStream
from bayesnas.models.base import ROWS_AT_ONCE, BayesianModel


@dataclass
class Predictive:
    """Predictions of some rows, averaged over draws.

    Attributes:
        means: class probabilities ``[n, classes]``, P(y = 1) ``[n]``, or means ``[n, ...]``.
        log_density: log of the predictive density of every target, ``[n]``, in nats.
        expected_log_lik: E_q log p(y | w) summed over the rows, in nats.
        expected_log_lik_error: its Monte Carlo standard error (NaN for fewer than two draws).
    """

    means: Tensor
    log_density: Tensor
    expected_log_lik: float
    expected_log_lik_error: float


@contextmanager
def _evaluating(model: BayesianModel) -> Iterator[None]:
    """Put a model into evaluation mode, and back into the mode it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def predictive(model: BayesianModel, x: Tensor, y: Tensor, draws: int, seed: int) -> Predictive:
    """Average predictions over ``draws`` draws of the weights; 0 means posterior means."""
    found = (
        posterior_draws(model, x[:2], draws, seed)
        if draws
        else iter([posterior_means(model, x[:2])])
    )
    means: Tensor | None = None
    log_density: Tensor | None = None
    sums = []
    for draw in found:
        values, log_lik = (v.double() for v in means_and_log_likelihoods(model, x, y, draw))
        means = values if means is None else means + values
        log_density = log_lik if log_density is None else torch.logaddexp(log_density, log_lik)
        sums.append(log_lik.sum().item())
    assert means is not None
    assert log_density is not None
    total = torch.tensor(sums, dtype=torch.float64)
    error = total.std().item() / math.sqrt(len(sums)) if len(sums) > 1 else math.nan
    return Predictive(
        means / len(sums), log_density - math.log(len(sums)), total.mean().item(), error
    )


def evaluate(
    model: BayesianModel, x: Tensor, y: Tensor, kl_weight: float, draws: int, seed: int
) -> dict[str, float]:
    """Metrics of a model on data; see ``Posterior.evaluate``."""
    with _evaluating(model):
        found = predictive(model, x, y, draws, seed)
        kl = kl_of(model, x, y, draws, seed)
    metrics = {
        "nll": -found.log_density.mean().item(),
        "elbo": found.expected_log_lik - kl_weight * kl,
        "kl": kl,
        "expected_log_lik": found.expected_log_lik,
        "elbo_error": found.expected_log_lik_error,
    }
    if y.is_floating_point():
        return {"rmse": (found.means - y).square().mean().sqrt().item(), **metrics}
    return {
        "accuracy": (predicted_labels(found.means) == y).float().mean().item(),
        "ece": calibration_error(found.means, y),
        **metrics,
    }


def mean_nll(model: BayesianModel, x: Tensor, y: Tensor, *, seed: int, draws: int = 8) -> float:
    """Mean negative log predictive density of the targets, in nats an example."""
    with _evaluating(model):
        return -predictive(model, x, y, draws, seed).log_density.mean().item()


def kl_of(model: BayesianModel, x: Tensor, y: Tensor, draws: int, seed: int) -> float:
    """KL(q ‖ p) in nats; closed-form terms are exact, others averaged over ``draws``.

    Latent sites of every example are summed over all rows of ``x``.
    """
    stream = RandomStream(seed, x.device)
    local = next(posterior_draws(model, x[:2], 1, seed)).local
    # Without latents of each example the KL is that of the weights: two rows do.
    batches = x.split(ROWS_AT_ONCE) if local else (x[:2],)
    targets = y.split(ROWS_AT_ONCE) if local else (y[:2],)
    total = 0.0
    for _ in range(max(draws, 1)):
        weights_kl, local_kl = 0.0, 0.0
        for rows, labels in zip(batches, targets, strict=True):
            with torch.no_grad(), pyro_session(stream):
                terms = bound_terms(model, rows, labels, differentiable=False)
            local_kl += sum(float(terms.kl[name]) for name in terms.local)
            weights_kl = sum(float(kl) for n, kl in terms.kl.items() if n not in terms.local)
        total += weights_kl + local_kl
    return total / max(draws, 1)


def accuracy_of_means(model: BayesianModel, x: Tensor, y: Tensor) -> float | None:
    """Accuracy at the posterior means; None where the targets are no classes."""
    if y.is_floating_point():
        return None
    with _evaluating(model):
        means = conditional_means(model, x, posterior_means(model, x[:2]))
    return (predicted_labels(means) == y).float().mean().item()
