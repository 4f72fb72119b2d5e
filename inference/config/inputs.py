"""Data handed to a fit or to its posterior: as tensors, checked against the model."""

from __future__ import annotations

import copy
import dataclasses
import logging
from typing import Any

from torch import Tensor

from bayesnas.data import Split
from bayesnas.data.checks import as_floats, check_finite
from bayesnas.data.conversion import as_pair, as_tensor, column_names
from bayesnas.inference.runtime.random_state import random_state_kept
from bayesnas.models.base import BayesianModel

_LOG = logging.getLogger("bayesnas")
_MOST_NAMES = 8  # of columns in a message

Data = Split | tuple[object, object]
"""A part of a data set, or a pair ``(x, y)`` of arrays, tables, lists or tensors."""


def checked_data(model: BayesianModel, data: Data, name: str) -> Split:
    """Data as tensors that fit the model; one line of the log says what was cast.

    Args:
        model: what has to take it; it is not changed.
        data: a part of a data set, or a pair ``(x, y)``.
        name: of the argument, for messages.

    Raises:
        TypeError: where ``data`` is neither.
        ValueError: for an empty set, x and y of different length, NaN or infinite values, what is
            no number, labels out of range, or shapes that the model doesn't take.
    """
    try:
        split, casts = _converted(model, data)
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
    if casts:
        _LOG.info("%s: %s, the type of the model's parameters", name, " and ".join(casts))
    return split


def split_of(model: BayesianModel, data: Data) -> Split:
    """Data as the model takes them: checked and cast, or as they were given.

    A model of the zoo gets x, and the targets of a regression, in the floating-point type of its
    parameters. A ``PyroPair`` gets tensors as they are, and of arrays and tables the same type.
    """
    return _converted(model, data)[0]


def _converted(model: BayesianModel, data: Data) -> tuple[Split, list[str]]:
    """The part, and what was cast in it."""
    names = None
    if isinstance(data, Split):
        x, y = data
        pair: Split | tuple[Tensor, Tensor] = data
    else:
        x, y, names = as_pair(data)
        pair = (x, y)
    if model.takes_data_as_given:
        split = Split.as_given(pair)
    else:
        task = None if isinstance(data, Split) else model.task
        split = Split.of(pair, task=task, dtype=model.input_dtype(x))
    if names is not None:
        split = dataclasses.replace(
            split, info=dataclasses.replace(split.info, feature_names=names)
        )
    casts = [
        f"{letter} cast from {given.dtype} to {made.dtype}"
        for letter, given, made in (("x", x, split.x), ("y", y, split.y))
        if given.dtype != made.dtype and made.is_floating_point()
    ]
    return split, casts


def inputs_of(model: BayesianModel, x: Any, known: tuple[str, ...] | None) -> Tensor:
    """Inputs alone, as :func:`split_of` would make them.

    Args:
        model: what has to take them.
        x: an array, table, list or tensor ``[n, ...]``.
        known: names of the columns in training; None where there were none.

    Raises:
        TypeError, ValueError: naming x, for what is no finite number, or for columns other than
            those of the training data, or in another order.
    """
    check_columns(column_names(x), known)
    found = as_tensor("x", x)
    if model.takes_data_as_given:
        if found.is_floating_point():
            check_finite("x", found)
        return found
    dtype = model.input_dtype(found)
    return as_floats("x", found, dtype) if dtype.is_floating_point else found


def check_columns(names: tuple[str, ...] | None, known: tuple[str, ...] | None) -> None:
    """Raise ValueError where the columns of a table are not those of the training data."""
    if names is None or known is None or names == known:
        return
    same = sorted(names) == sorted(known)
    raise ValueError(
        f"x must have the columns of the training data{' in their order' if same else ''}, "
        f"{_few(known)}, got {_few(names)}"
    )


def _few(names: tuple[str, ...]) -> str:
    rest = len(names) - _MOST_NAMES
    return f"{list(names[:_MOST_NAMES])}" + (f" and {rest} more" if rest > 0 else "")


def check_as_trained(name: str, values: Tensor, example: Tensor) -> None:
    """Raise ValueError unless rows are of the type and shape that a model was trained on."""
    if values.dtype != example.dtype or values.shape[1:] != example.shape[1:]:
        raise ValueError(
            f"{name} must be {example.dtype} of shape {['n', *example.shape[1:]]}, as in "
            f"training, got {values.dtype} of shape {list(values.shape)}"
        )


def check_alike(train: Split, validation: Split) -> None:
    """Raise ValueError unless rows of the validation data are shaped like those of training."""
    for letter, first, second in (("x", train.x, validation.x), ("y", train.y, validation.y)):
        if first.shape[1:] != second.shape[1:]:
            raise ValueError(
                f"validation: {letter} must have shape {['n', *first.shape[1:]]} as in training, "
                f"got {list(second.shape)}"
            )
    try:
        check_columns(validation.info.feature_names, train.info.feature_names)
    except ValueError as error:
        raise ValueError(f"validation: {error}") from error
