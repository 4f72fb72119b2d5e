"""Data handed to a fit or to its posterior, checked against the model."""

from __future__ import annotations

import copy

from torch import Tensor

from bayesnas.data import Split
from bayesnas.inference.runtime.random_state import random_state_kept
from bayesnas.models.base import BayesianModel

Data = Split | tuple[Tensor, Tensor]


def checked_data(model: BayesianModel, data: Data, name: str) -> Split:
    """Data as tensors that fit the model.

    Args:
        model: what has to take it; it is not changed.
        data: a part of a data set, or a pair ``(x, y)``.
        name: of the argument, for messages.

    Raises:
        TypeError: where ``data`` is neither.
        ValueError: for an empty set, x and y of different length, NaN or infinite values, labels
            out of range, or shapes that the model doesn't take.
    """
    try:
        split = split_of(model, data)
        if model.task is not None and split.info.task != model.task:
            raise ValueError(
                f"the model's likelihood is for {model.task}, got data for {split.info.task}"
            )
        # Of a bare pair the number of classes is only known from below.
        classes = split.info.classes if isinstance(data, Split) else None
        with random_state_kept():
            copy.deepcopy(model).cpu().check(split.x.cpu(), split.y.cpu(), classes)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error
    return split


def split_of(model: BayesianModel, data: Data) -> Split:
    """Data as the model takes them: checked and cast, or as they were given."""
    if model.takes_data_as_given:
        return Split.as_given(data)
    return Split.of(data, task=None if isinstance(data, Split) else model.task)


def check_alike(train: Split, validation: Split) -> None:
    """Raise ValueError unless rows of the validation data are shaped like those of training."""
    for letter, first, second in (("x", train.x, validation.x), ("y", train.y, validation.y)):
        if first.shape[1:] != second.shape[1:]:
            raise ValueError(
                f"validation: {letter} must have shape {['n', *first.shape[1:]]} as in training, "
                f"got {list(second.shape)}"
            )
