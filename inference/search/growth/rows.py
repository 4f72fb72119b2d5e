"""Rows of data for searches that look at all of them at once."""

from __future__ import annotations

import torch

from bayesnas.data import Inputs, Split
from bayesnas.data.conversion import as_pair
from bayesnas.data.info import Task
from bayesnas.inference.config.inputs import Data, in_memory


def flat_rows(
    name: str, data: Data, task: Task | None, dtype: torch.dtype = torch.float32
) -> Split:
    """A part whose inputs are a matrix ``[n, d]``.

    Args:
        name: of the argument, for messages.
        data: a part of a data set, or a pair ``(x, y)``.
        task: what y has to be for; None for either.
        dtype: of the inputs.

    Raises:
        TypeError, ValueError: naming the argument, for what is no finite data, several inputs, or
            data for another task.

    >>> flat_rows("data", (torch.zeros(3, 1, 2, 2), torch.tensor([0, 1, 1])), "classification")
    Split(arrays all: x [3, 4], y [3], 2 classes)
    """
    try:
        given = in_memory(data, "data")
        if not isinstance(given, Split):
            given = Split.of(as_pair(given)[:2], task=task, dtype=dtype)
        if task is not None and given.info.task != task:
            raise ValueError(f"y must be for {task}, got data for {given.info.task}")
        if isinstance(given.x, Inputs):
            raise ValueError(f"x must be one tensor, got {given.x}")
        if task == "classification" and given.y.ndim != 1:
            raise ValueError(f"y must be one label a row, got shape {list(given.y.shape)}")
        x = given.x.flatten(1) if given.x.ndim > 1 else given.x[:, None]
        return Split.of(Split(x, given.y, given.info), dtype=dtype)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error


def check_alike(train: Split, other: Split, name: str) -> None:
    """Raise ValueError unless another part has the features of training, and no further class."""
    if train.x.shape[1] != other.x.shape[1]:
        raise ValueError(
            f"{name}: x must have {train.x.shape[1]} features as in training, got "
            f"{other.x.shape[1]}"
        )
    if train.info.classes is not None and int(other.y.max()) >= train.info.classes:
        raise ValueError(
            f"{name}: y must be below {train.info.classes}, the classes of training, got "
            f"{int(other.y.max())}"
        )
