"""How good a fitted model is: accuracy, calibration, and the terms of the bound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesnas.data import Split
from bayesnas.data.inputs import AnyInputs
from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.inference.evaluation.calibration import calibration_error
from bayesnas.inference.evaluation.conditionals import conditional_means, conditionals
from bayesnas.inference.evaluation.point_masses import point_masses
from bayesnas.inference.evaluation.predictive import (
    posterior_draws,
    posterior_means,
    predicted_labels,
)
from bayesnas.models.base import FEW, BayesianModel
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream

Rows = tuple[AnyInputs, Tensor]  # inputs and targets of some rows


@dataclass
class Predictive:
    """Predictions of some rows, averaged over draws.

    Attributes:
        means: class probabilities ``[n, classes]``, P(y = 1) ``[n]``, or means ``[n, ...]``.
        log_density: log of the predictive density of every target, ``[n]``, in nats.
        log_lik: log p(y | w) summed over the rows, in nats, by draw.
        shared: what of it belongs to no row, by draw.
        seen: rows of which anything is observed, boolean ``[n]``; None for all of them.
        entries: which entries of the targets are observed, boolean ``[n, ...]``; None for all.
        targets: as they were given ``[n, ...]``; of a model whose program observes several sites
            the values of that of the targets.
        labels: whether the targets are classes: whole numbers, but no counts.
    """

    means: Tensor
    log_density: Tensor
    log_lik: list[float]
    shared: list[float]
    seen: Tensor | None
    entries: Tensor | None
    targets: Tensor
    labels: bool

    def compared(self) -> tuple[Tensor, Tensor]:
        """Means and targets where these are observed."""
        if self.entries is None:
            return self.means, self.targets
        return self.means[self.entries], self.targets[self.entries]

    def expected_log_lik(self) -> tuple[float, float]:
        """E_q log p(y | w) and its Monte Carlo standard error (NaN for fewer than two draws)."""
        totals = [sum(both) for both in zip(self.log_lik, self.shared, strict=True)]
        return _mean_and_error(totals)

    def nll(self) -> float:
        """Mean negative log predictive density of an example, in nats."""
        seen = self.log_density if self.seen is None else self.log_density[self.seen]
        return -seen.mean().item()


@contextmanager
def _evaluating(model: BayesianModel) -> Iterator[None]:
    """Put a model into evaluation mode, and back into the mode it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def predictive(
    model: BayesianModel,
    x: AnyInputs,
    y: Tensor,
    draws: int,
    seed: int,
    few: AnyInputs | None = None,
) -> Predictive:
    """Average predictions over ``draws`` draws of the weights; 0 means posterior means.

    ``few`` are rows that say what examples share: those of ``x`` where none are given.
    """
    few = model.few_rows(x) if few is None else few
    latents = (
        posterior_draws(model, few, draws, seed) if draws else iter([posterior_means(model, few)])
    )
    sums, shared, means = [], [], torch.zeros(())
    log_density = torch.tensor(-torch.inf)
    for draw in latents:
        given = conditionals(model, x, y, draw)
        sums.append(given.log_lik.double().sum().item())
        shared.append(given.shared)
        means = means.to(given.means.device) + given.means.double()
        log_density = torch.logaddexp(log_density.to(means.device), given.log_lik.double())
    return Predictive(
        means / len(sums),
        log_density - math.log(len(sums)),
        sums,
        shared,
        given.seen,
        given.entries,
        given.targets if model.takes_data_as_given else y,
        given.labels,
    )


def _predictive_of(
    model: BayesianModel, sample: AnySplit, draws: int, seed: int, few: AnyInputs
) -> Predictive:
    """As :func:`predictive`, of a sample that may be read part by part: every part sees all draws.

    Memory holds what is predicted of all rows, and the inputs of one part.
    """
    parts = [
        predictive(model, x, y, draws, seed, few)
        for x, y in sample.parts(model.rows_at_once(len(sample)))
    ]
    return parts[0] if len(parts) == 1 else _together(parts)


def _few(model: BayesianModel, sample: AnySplit) -> Rows:
    """Rows that say all of what examples share."""
    if not isinstance(sample, Split):
        sample = sample.first(len(sample) if model.needs_all_rows else FEW)
    return model.few_rows(sample.x), model.few_rows(sample.y)


def _together(parts: Sequence[Predictive]) -> Predictive:
    return Predictive(
        torch.cat([part.means for part in parts]),
        torch.cat([part.log_density for part in parts]),
        [sum(by_part) for by_part in zip(*(part.log_lik for part in parts), strict=True)],
        parts[0].shared,
        _joined([part.seen for part in parts], [part.log_density for part in parts]),
        _joined([part.entries for part in parts], [part.targets for part in parts]),
        torch.cat([part.targets for part in parts]),
        parts[0].labels,
    )


def _joined(masks: Sequence[Tensor | None], values: Sequence[Tensor]) -> Tensor | None:
    """Masks of the values of several parts as one; None of a part says all of it."""
    given = [mask for mask in masks if mask is not None]
    if not given:
        return None
    dims = given[0].ndim
    return torch.cat(
        [
            torch.ones(like.shape[:dims], dtype=torch.bool, device=like.device)
            if mask is None
            else mask
            for mask, like in zip(masks, values, strict=True)
        ]
    )


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and its standard error; NaN of fewer than two values."""
    tensor = torch.tensor(values, dtype=torch.float64)
    error = tensor.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return tensor.mean().item(), error


def evaluate(
    model: BayesianModel,
    sample: AnySplit,
    kl_weight: float,
    draws: int,
    seed: int,
    example: Rows | None = None,
) -> dict[str, float]:
    """Metrics of a model on data; see ``Posterior.evaluate``.

    ``example`` are rows that say what examples share, by default those of the data.
    """
    few = _few(model, sample) if example is None else example
    with _evaluating(model):
        predicted = _predictive_of(model, sample, draws, seed, few[0])
        kl, kl_error = kl_of(model, sample, draws, seed, few)
    log_lik, error = predicted.expected_log_lik()
    metrics = {
        "nll": predicted.nll(),
        "elbo": log_lik - (kl_weight * kl if kl_weight else 0.0),
        "kl": kl,
        "expected_log_lik": log_lik,
        # Both averages are over the same draws of the guide or over independent ones; the sum of
        # the errors is the most that their difference can have.
        "elbo_error": error + kl_weight * kl_error,
    }
    means, targets = predicted.compared()
    if targets.is_floating_point() or not predicted.labels:
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


def mean_nll(
    model: BayesianModel,
    sample: AnySplit,
    *,
    seed: int,
    draws: int = 8,
    example: Rows | None = None,
) -> float:
    """Mean negative log predictive density of the targets, in nats an example."""
    few = _few(model, sample) if example is None else example
    with _evaluating(model):
        return _predictive_of(model, sample, draws, seed, few[0]).nll()


def row_losses(
    model: BayesianModel, sample: AnySplit, *, seed: int, draws: int, example: Rows | None = None
) -> Tensor:
    """Negative log predictive density of every row of which anything is observed, in nats."""
    few = _few(model, sample) if example is None else example
    with _evaluating(model):
        predicted = _predictive_of(model, sample, draws, seed, few[0])
    seen = predicted.seen
    return -(predicted.log_density if seen is None else predicted.log_density[seen])


def kl_of(
    model: BayesianModel, sample: AnySplit, draws: int, seed: int, example: Rows | None = None
) -> tuple[float, float]:
    """KL(q ‖ p) in nats and its standard error; averaged over ``draws`` where not closed-form.

    Latent sites of every example are summed over all rows of ``x``. Infinite where the guide puts
    all mass on one value of a continuous latent.
    """
    few = _few(model, sample) if example is None else example
    if point_masses(model, few[0]):
        return math.inf, 0.0
    stream = RandomStream(seed, sample.device)
    local = next(posterior_draws(model, few[0], 1, seed)).local
    size = model.rows_at_once(len(sample))
    # Without latents of each example the KL is that of the weights: two rows do.
    parts = sample.parts(size) if local else iter([few])
    weights_kl, local_kl = [0.0] * max(draws, 1), [0.0] * max(draws, 1)
    for x, y in parts:
        for draw in range(max(draws, 1)):
            for start in range(0, len(y), size):
                rows = slice(start, start + size)
                with torch.no_grad(), pyro_session(stream):
                    terms = bound_terms(model, x[rows], y[rows], differentiable=False)
                local_kl[draw] += sum(float(terms.kl[name]) for name in terms.local)
                shared = [float(kl) for n, kl in terms.kl.items() if n not in terms.local]
                weights_kl[draw] = sum(shared)
    return _mean_and_error([sum(both) for both in zip(weights_kl, local_kl, strict=True)])


def accuracy_of_means(model: BayesianModel, sample: AnySplit) -> float | None:
    """Accuracy at the posterior means; None where the targets are no classes."""
    few, right = _few(model, sample), 0
    if few[1].is_floating_point():
        return None
    with _evaluating(model):
        draw = posterior_means(model, few[0])
        for x, y in sample.parts(model.rows_at_once(len(sample))):
            right += int((predicted_labels(conditional_means(model, x, draw), y) == y).sum())
    return right / (len(sample) * few[1][0].numel())
