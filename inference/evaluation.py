"""How good a fitted model is: accuracy, calibration, and the terms of the bound."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesnas.inference.objective import bound_terms
from bayesnas.inference.predictive import (
    conditional_means,
    few_rows,
    observed_terms,
    point_masses,
    posterior_draws,
    posterior_means,
    predicted_labels,
)
from bayesnas.inference.session import RandomStream, pyro_session
from bayesnas.models.base import BayesianModel
from bayesnas.models.pyro_pair import PyroPair

_BATCH = 4096
_CALIBRATION_BINS = 15


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
        posterior_draws(model, few_rows(model, x), draws, seed)
        if draws
        else iter([posterior_means(model, few_rows(model, x))])
    )
    means: Tensor | None = None
    log_density: Tensor | None = None
    sums = []
    for draw in found:
        terms = observed_terms(model, x, y, draw)
        values, log_lik = terms.means.double(), terms.log_lik.double()
        means = values if means is None else means + values
        log_density = log_lik if log_density is None else torch.logaddexp(log_density, log_lik)
        sums.append(log_lik.sum().item() + terms.once.double().item())
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
        kl, kl_error = kl_and_error(model, x, y, draws, seed)
    metrics = {
        "nll": -found.log_density.mean().item(),
        "elbo": found.expected_log_lik - (kl_weight * kl if kl_weight else 0.0),
        "kl": kl,
        "expected_log_lik": found.expected_log_lik,
        "elbo_error": math.hypot(found.expected_log_lik_error, kl_weight * kl_error)
        if kl_error
        else found.expected_log_lik_error,
    }
    labels = y.ndim == 1 and found.means.ndim == 2  # a probability for each class
    counts = isinstance(model, PyroPair) and not (
        labels or (y.ndim == 1 and _is_binary(found.means, y))
    )
    if y.is_floating_point() or counts:
        if found.means.shape != y.shape:
            return metrics  # a law of classes over real targets, or one of another shape
        return {"rmse": (found.means - y.to(found.means)).square().mean().sqrt().item(), **metrics}
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
    return kl_and_error(model, x, y, draws, seed)[0]


def kl_and_error(
    model: BayesianModel, x: Tensor, y: Tensor, draws: int, seed: int
) -> tuple[float, float]:
    """KL(q ‖ p) as :func:`kl_of`, and its Monte Carlo standard error: 0 for closed forms.

    Infinite where the guide puts a point mass on a continuous latent.
    """
    few = few_rows(model, x)
    stream = RandomStream(seed, x.device)
    if isinstance(model, PyroPair) and point_masses(model, few, seed):
        return math.inf, 0.0
    local = next(posterior_draws(model, few, 1, seed)).local
    # Without latents of each example the KL is that of the weights: two rows do.
    size = len(x) if model.row_sites.whole else _BATCH
    batches = x.split(size) if local else (few,)
    targets = y.split(size) if local else (y[: len(few)],)
    found = []
    for _ in range(max(draws, 1)):
        weights_kl, local_kl = 0.0, 0.0
        for rows, labels in zip(batches, targets, strict=True):
            with torch.no_grad(), pyro_session(stream):
                terms = bound_terms(model, rows, labels, data_scale=None, differentiable=False)
            local_kl += sum(float(terms.kl[name]) for name in terms.local)
            weights_kl = sum(float(kl) for n, kl in terms.kl.items() if n not in terms.local)
        found.append(weights_kl + local_kl)
    spread = torch.tensor(found, dtype=torch.float64).std().item() if len(found) > 1 else 0.0
    return sum(found) / len(found), spread / math.sqrt(len(found))


def _is_binary(means: Tensor, y: Tensor) -> bool:
    probable = bool(((means >= 0) & (means <= 1)).all())
    return means.shape == y.shape and probable and bool(((y == 0) | (y == 1)).all())


def reliability(probabilities: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Confidence, accuracy and share of the examples in 15 equal bins of confidence.

    Args:
        probabilities: ``[n, classes]``, or ``[n]`` for P(y = 1).
        y: labels ``[n]``.

    Returns:
        three tensors ``[15]``; confidence and accuracy are NaN in an empty bin.
    """
    labels = predicted_labels(probabilities)
    if probabilities.ndim == 1:
        confidence = torch.maximum(probabilities, 1 - probabilities)
    else:
        confidence = probabilities.amax(-1)
    right = (labels == y).to(confidence)
    index = (confidence * _CALIBRATION_BINS).long().clamp_max(_CALIBRATION_BINS - 1)
    count = torch.zeros(_CALIBRATION_BINS).to(confidence).index_add(0, index, right * 0 + 1)
    mean_confidence = torch.zeros_like(count).index_add(0, index, confidence) / count
    accuracy = torch.zeros_like(count).index_add(0, index, right) / count
    return mean_confidence, accuracy, count / len(y)


def calibration_error(probabilities: Tensor, y: Tensor) -> float:
    """Expected calibration error, Σ_b share_b · |accuracy_b − confidence_b| (Guo et al. 2017).

    >>> import torch
    >>> round(calibration_error(torch.tensor([[0.8, 0.2], [0.8, 0.2]]), torch.tensor([0, 1])), 3)
    0.3
    """
    confidence, accuracy, share = reliability(probabilities, y)
    return ((accuracy - confidence).abs() * share).nansum().item()


def accuracy_of_means(model: BayesianModel, x: Tensor, y: Tensor) -> float | None:
    """Accuracy at the posterior means; None where the targets are no classes."""
    if y.is_floating_point():
        return None
    with _evaluating(model):
        means = conditional_means(model, x, posterior_means(model, few_rows(model, x)))
    return (predicted_labels(means) == y).float().mean().item()
