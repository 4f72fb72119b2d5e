"""How good a fitted model is: accuracy, calibration, and the terms of the bound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.inference.evaluation.calibration import calibration_error
from bayesnas.inference.evaluation.point_masses import point_masses
from bayesnas.inference.evaluation.predictive import (
    conditional_means,
    conditionals,
    posterior_draws,
    posterior_means,
    predicted_labels,
)
from bayesnas.inference.runtime.pyro_context import pyro_session
from bayesnas.inference.runtime.random_state import RandomStream
from bayesnas.models.base import BayesianModel


@dataclass
class Predictive:
    """Predictions of some rows, averaged over draws.

    Attributes:
        means: class probabilities ``[n, classes]``, P(y = 1) ``[n]``, or means ``[n, ...]``.
        log_density: log of the predictive density of every target, ``[n]``, in nats.
        expected_log_lik: E_q log p(y | w) summed over the rows, in nats.
        expected_log_lik_error: its Monte Carlo standard error (NaN for fewer than two draws).
        seen: rows of which anything is observed, boolean ``[n]``; None for all of them.
        targets: values of the site of the targets ``[n, ...]``.
        labels: whether the targets are classes: whole numbers, but no counts.
    """

    means: Tensor
    log_density: Tensor
    expected_log_lik: float
    expected_log_lik_error: float
    seen: Tensor | None
    targets: Tensor
    labels: bool

    def of_seen(self, rows: Tensor) -> Tensor:
        """The rows of which anything is observed."""
        return rows if self.seen is None else rows[self.seen]

    def nll(self) -> float:
        """Mean negative log predictive density of an example, in nats."""
        return -self.of_seen(self.log_density).mean().item()


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
        posterior_draws(model, model.few_rows(x), draws, seed)
        if draws
        else iter([posterior_means(model, model.few_rows(x))])
    )
    sums, means, log_density = [], torch.zeros(()), torch.tensor(-torch.inf)
    for draw in found:
        given = conditionals(model, x, y, draw)
        sums.append(given.total())
        means = means.to(given.means.device) + given.means.double()
        log_density = torch.logaddexp(log_density.to(means.device), given.log_lik.double())
    expected, error = _mean_and_error(sums)
    return Predictive(
        means / len(sums),
        log_density - math.log(len(sums)),
        expected,
        error,
        given.seen,
        given.targets,
        given.labels,
    )


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and its standard error; NaN of fewer than two values."""
    tensor = torch.tensor(values, dtype=torch.float64)
    error = tensor.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return tensor.mean().item(), error


def evaluate(
    model: BayesianModel, x: Tensor, y: Tensor, kl_weight: float, draws: int, seed: int
) -> dict[str, float]:
    """Metrics of a model on data; see ``Posterior.evaluate``."""
    with _evaluating(model):
        found = predictive(model, x, y, draws, seed)
        kl, kl_error = kl_of(model, x, y, draws, seed)
    metrics = {
        "nll": found.nll(),
        "elbo": found.expected_log_lik - (kl_weight * kl if kl_weight else 0.0),
        "kl": kl,
        "expected_log_lik": found.expected_log_lik,
        # Both averages are over the same draws of the guide or over independent ones; the sum of
        # the errors is the most that their difference can have.
        "elbo_error": found.expected_log_lik_error + kl_weight * kl_error,
    }
    y = found.targets if model.takes_data_as_given else y  # where several sites are observed
    means, targets = found.of_seen(found.means), found.of_seen(y)
    if y.is_floating_point() or not found.labels:
        if means.shape != targets.shape:
            raise ValueError(
                f"y must have the shape of the model's means {list(means.shape)}, "
                f"got {list(targets.shape)}"
            )
        return {"rmse": (means - targets.to(means)).square().mean().sqrt().item(), **metrics}
    return {
        "accuracy": (predicted_labels(means, targets) == targets).float().mean().item(),
        "ece": calibration_error(means, targets),
        **metrics,
    }


def mean_nll(model: BayesianModel, x: Tensor, y: Tensor, *, seed: int, draws: int = 8) -> float:
    """Mean negative log predictive density of the targets, in nats an example."""
    with _evaluating(model):
        return predictive(model, x, y, draws, seed).nll()


def kl_of(model: BayesianModel, x: Tensor, y: Tensor, draws: int, seed: int) -> tuple[float, float]:
    """KL(q ‖ p) in nats and its standard error; averaged over ``draws`` where not closed-form.

    Latent sites of every example are summed over all rows of ``x``. Infinite where the guide puts
    all mass on one value of a continuous latent.
    """
    if point_masses(model, model.few_rows(x)):
        return math.inf, 0.0
    stream = RandomStream(seed, x.device)
    local = next(posterior_draws(model, model.few_rows(x), 1, seed)).local
    # Without latents of each example the KL is that of the weights: two rows do.
    batches = x.split(model.rows_at_once(len(x))) if local else (model.few_rows(x),)
    targets = y.split(model.rows_at_once(len(y))) if local else (model.few_rows(y),)
    totals = []
    for _ in range(max(draws, 1)):
        weights_kl, local_kl = 0.0, 0.0
        for rows, labels in zip(batches, targets, strict=True):
            with torch.no_grad(), pyro_session(stream):
                terms = bound_terms(model, rows, labels, differentiable=False)
            local_kl += sum(float(terms.kl[name]) for name in terms.local)
            weights_kl = sum(float(kl) for n, kl in terms.kl.items() if n not in terms.local)
        totals.append(weights_kl + local_kl)
    return _mean_and_error(totals)


def accuracy_of_means(model: BayesianModel, x: Tensor, y: Tensor) -> float | None:
    """Accuracy at the posterior means; None where the targets are no classes."""
    if y.is_floating_point():
        return None
    with _evaluating(model):
        means = conditional_means(model, x, posterior_means(model, model.few_rows(x)))
    return (predicted_labels(means, y) == y).float().mean().item()
