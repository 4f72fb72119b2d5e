"""How far predicted probabilities agree with frequencies."""

from __future__ import annotations

import torch
from torch import Tensor

from bayesnas.inference.evaluation.predictive import (
    predicted_labels,
)

_CALIBRATION_BINS = 15


def reliability(probabilities: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Confidence, accuracy and share of the examples in 15 equal bins of confidence.

    Args:
        probabilities: ``[n, classes]``, or P(y = 1) in the shape of ``y``.
        y: labels ``[n]``, or several a row ``[n, k]``, each of which counts as an example.

    Returns:
        three tensors ``[15]``; confidence and accuracy are NaN in an empty bin.
    """
    labels = predicted_labels(probabilities, y)
    if probabilities.shape == y.shape:
        confidence = torch.maximum(probabilities, 1 - probabilities).flatten()
    else:
        confidence = probabilities.amax(-1).flatten()
    right = (labels == y).to(confidence).flatten()
    index = (confidence * _CALIBRATION_BINS).long().clamp_max(_CALIBRATION_BINS - 1)
    count = torch.zeros(_CALIBRATION_BINS).to(confidence).index_add(0, index, right * 0 + 1)
    mean_confidence = torch.zeros_like(count).index_add(0, index, confidence) / count
    accuracy = torch.zeros_like(count).index_add(0, index, right) / count
    return mean_confidence, accuracy, count / len(right)


def calibration_error(probabilities: Tensor, y: Tensor) -> float:
    """Expected calibration error, Σ_b share_b · |accuracy_b − confidence_b| (Guo et al. 2017).

    >>> import torch
    >>> round(calibration_error(torch.tensor([[0.8, 0.2], [0.8, 0.2]]), torch.tensor([0, 1])), 3)
    0.3
    """
    confidence, accuracy, share = reliability(probabilities, y)
    return ((accuracy - confidence).abs() * share).nansum().item()
