"""Metrics that papers report: Brier score, risk–coverage, CRPS, coverage and width of intervals."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs
from bayesnas.data.streams.streamed_split import AnySplit
from bayesnas.inference.evaluation.conditionals import conditional_means, conditionals
from bayesnas.inference.evaluation.intervals import central_interval, predictive_samples
from bayesnas.inference.evaluation.predictive import posterior_draws, predicted_labels
from bayesnas.models.base import BayesianModel

Score = Literal["entropy", "mutual-information", "confidence", "deviation"]
"""How unsure a prediction is."""


def reported_metrics(
    model: BayesianModel, sample: AnySplit, example: AnyInputs, level: float, draws: int, seed: int
) -> dict[str, float]:
    """Metrics of predictions; see ``Posterior.metrics``.

    Args:
        model: fitted, in evaluation mode.
        sample: a part of a data set, with targets.
        example: a few inputs, for guides that look at them.
        level: of the intervals of a regression.
        draws: of the weights.
        seed: of the draws.

    Raises:
        TypeError: where the program of the model masks rows.
    """
    parts, targets = [], []
    for x, y in sample.parts(model.rows_at_once(len(sample))):
        _check_all_seen(model, x, y, example, seed)
        targets.append(y)
        if sample.info.task == "classification":
            parts.append(mean_probabilities(model, x, example, draws, seed)[0])
        else:
            parts.append(predictive_samples(model, x, example, draws, seed).movedim(0, -1))
    predicted, y = torch.cat(parts).double(), torch.cat(targets)
    if sample.info.task == "classification":
        return {"brier": brier_score(predicted, y), "aurc": risk_coverage_area(predicted, y)}
    samples = predicted.movedim(-1, 0)
    low, high = central_interval(samples, level)
    return {
        "crps": crps(samples, y.double()),
        "coverage": ((low <= y) & (y <= high)).double().mean().item(),
        "width": (high - low).mean().item(),
    }


def _check_all_seen(
    model: BayesianModel, x: AnyInputs, y: Tensor, example: AnyInputs, seed: int
) -> None:
    if model.takes_data_as_given:
        draw = next(posterior_draws(model, example, 1, seed))
        given = conditionals(model, x, y, draw)
        if given.seen is not None or given.entries is not None:
            raise TypeError("metrics counts all rows alike, got a program that masks some")


def mean_probabilities(
    model: BayesianModel, x: AnyInputs, example: AnyInputs, draws: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Probabilities averaged over draws, and the mean entropy of those of a draw, in nats."""
    total, entropy = torch.zeros(()), torch.zeros(())
    for draw in posterior_draws(model, example, draws, seed):
        of_draw = conditional_means(model, x, draw).double()
        total = total.to(of_draw.device) + of_draw
        entropy = entropy.to(of_draw.device) + predictive_entropy(of_draw, binary=_is_of_two(model))
    return total / draws, entropy / draws


def predictive_entropy(probabilities: Tensor, *, binary: bool = False) -> Tensor:
    """Entropy of predicted labels in nats, ``[n]``; of several labels a row the sum over them.

    Args:
        probabilities: ``[n, classes]``; where ``binary``, P(y = 1) ``[n]`` or ``[n, k]``.
        binary: whether they are of labels that are 0 or 1 each.

    >>> predictive_entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    tensor([0.6931, 0.0000])
    """
    entropy: Tensor = torch.special.entr(probabilities)
    if binary:
        entropy = entropy + torch.special.entr(1 - probabilities)
    return entropy.flatten(1).sum(1) if entropy.ndim > 1 else entropy


def separation(inside: Tensor, outside: Tensor) -> float:
    """AUROC of a score that is larger outside: the chance that it is in a pair, ties half.

    Args:
        inside: scores ``[n]`` of rows like those of training.
        outside: scores ``[m]`` of rows of another source.

    >>> separation(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
    0.875
    """
    from sklearn.metrics import roc_auc_score

    labels = torch.cat([torch.zeros(len(inside)), torch.ones(len(outside))])
    return float(roc_auc_score(labels.numpy(), torch.cat([inside, outside]).cpu().numpy()))


def uncertainty(
    model: BayesianModel,
    x: AnyInputs,
    example: AnyInputs,
    score: Score,
    draws: int,
    seed: int,
) -> Tensor:
    """How unsure the prediction of every row is, ``[n]``; see ``Posterior.uncertainty``."""
    if score == "deviation":
        samples = predictive_samples(model, x, example, draws, seed).double()
        deviation = samples.std(0)
        return deviation.flatten(1).mean(1) if deviation.ndim > 1 else deviation
    mean, entropy = mean_probabilities(model, x, example, draws, seed)
    if score == "confidence":
        surest = torch.maximum(mean, 1 - mean) if _is_of_two(model) else mean.amax(-1)
        return 1 - (surest.flatten(1).mean(1) if surest.ndim > 1 else surest)
    total = predictive_entropy(mean, binary=_is_of_two(model))
    return total if score == "entropy" else (total - entropy).clamp(min=0.0)


def _is_of_two(model: BayesianModel) -> bool:
    return getattr(getattr(model, "likelihood", None), "name", None) == "bernoulli"


def brier_score(probabilities: Tensor, y: Tensor) -> float:
    r"""Mean of :math:`\sum_c (p_c - 1[y = c])^2`, halved for two classes (Brier 1950).

    Args:
        probabilities: ``[n, classes]``, or P(y = 1) in the shape of ``y``.
        y: labels ``[n]``, or several a row.

    >>> brier_score(torch.tensor([[0.75, 0.25], [0.5, 0.5]]), torch.tensor([0, 0]))
    0.15625
    """
    if probabilities.shape == y.shape:
        return (probabilities - y).square().mean().item()
    right = torch.nn.functional.one_hot(y, probabilities.shape[-1])
    score = (probabilities - right).square().sum(-1).mean()
    return float(score / 2 if probabilities.shape[-1] == 2 else score)


def risk_coverage_area(probabilities: Tensor, y: Tensor) -> float:
    r"""Area under the risk–coverage curve (Geifman, El-Yaniv 2017).

    .. math:: \frac1n \sum_{k=1}^n \frac1k \sum_{i \le k} 1[\hat y_i \ne y_i]

    with the surest rows first. Rows that are equally sure share their mean error, so that their
    order says nothing.

    Args:
        probabilities: ``[n, classes]``, or P(y = 1) in the shape of ``y``.
        y: labels ``[n]``, or several a row, each of which counts as an example.

    >>> risk_coverage_area(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([0, 1]))
    0.25
    """
    wrong = (predicted_labels(probabilities, y) != y).double().flatten()
    both = probabilities.shape == y.shape
    surest = torch.maximum(probabilities, 1 - probabilities) if both else probabilities.amax(-1)
    _, place, count = (-surest.flatten()).unique(return_inverse=True, return_counts=True)
    mean = torch.zeros(len(count)).to(wrong).index_add(0, place, wrong) / count
    errors = mean.repeat_interleave(count)
    covered = torch.arange(1, len(errors) + 1).to(errors)
    return float((errors.cumsum(0) / covered).mean())


def crps(samples: Tensor, y: Tensor) -> float:
    r"""Continuous ranked probability score of draws of the targets (Gneiting, Raftery 2007).

    .. math:: E|X - y| - \tfrac12 E|X - X'|

    over the empirical distribution of the draws, by their order: the mean over rows, in the units
    of ``y``.

    Args:
        samples: ``[draws, n, ...]``.
        y: targets ``[n, ...]``.

    >>> crps(torch.tensor([[1.0], [3.0]]), torch.tensor([2.0]))
    0.5
    """
    ordered, draws = samples.sort(dim=0).values, len(samples)
    place = torch.arange(1, draws + 1).to(samples).reshape(-1, *(1,) * y.ndim)
    spread = ((2 * place - draws - 1) * ordered).sum(0) / draws**2
    return ((samples - y).abs().mean(0) - spread).mean().item()
