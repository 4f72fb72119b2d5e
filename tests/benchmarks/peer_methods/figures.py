"""What a fit is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesnas.inference.evaluation.calibration import calibration_error
from bayesnas.inference.evaluation.predictive import predicted_labels
from bayesnas.inference.evaluation.reported import brier_score, predictive_entropy, separation


@dataclass(frozen=True)
class Record:
    """Figures of one fit; of the test part but for ``validation_nll``.

    Attributes:
        rate: of the grid, before the unit of the method's optimiser.
        looks: processor seconds and log loss on the way.
        kept: share of the weights that the method's own rule leaves; None where it has none.
        kept_accuracy: without the others.
    """

    method: str
    rate: float
    seed: int
    note: str
    validation_nll: float
    looks: list[tuple[float, float]]
    accuracy: float
    nll: float
    ece: float
    brier: float
    auroc: float
    kept: float | None
    kept_accuracy: float | None

    @property
    def seconds(self) -> float:
        """Of the processor, of the whole fit."""
        return self.looks[-1][0]

    def seconds_to(self, mark: float) -> float | None:
        """To the first look that is no worse; None where there is none."""
        return next((seconds for seconds, loss in self.looks if loss <= mark), None)


def judged(probabilities: Tensor, y: Tensor, outside: Tensor) -> dict[str, float]:
    """Figures of class probabilities ``[n, classes]`` of labels and of images of another source."""
    return {
        "accuracy": accuracy(probabilities, y),
        "nll": log_loss(probabilities, y),
        "ece": calibration_error(probabilities, y),
        "brier": brier_score(probabilities, y),
        "auroc": separation(predictive_entropy(probabilities), predictive_entropy(outside)),
    }


def accuracy(probabilities: Tensor, y: Tensor) -> float:
    return (predicted_labels(probabilities, y) == y).double().mean().item()


def log_loss(probabilities: Tensor, y: Tensor) -> float:
    """Mean negative log probability of the labels, in nats."""
    right = probabilities.gather(-1, y[:, None])
    return -right.clamp_min(torch.finfo(torch.float32).tiny).log().mean().item()


def chosen(
    records: Sequence[Record], method: str, seed: int, rates: Sequence[float]
) -> float | None:
    """The rate whose predictions of held-out rows are the best; None before all are there."""
    losses = {
        record.rate: record.validation_nll
        for record in records
        if (record.method, record.seed) == (method, seed) and record.rate in rates
    }
    return min(losses, key=losses.__getitem__) if set(losses) == set(rates) else None
