"""Data handed to a fit or to its posterior: as tensors, checked against the model."""

from __future__ import annotations

import copy
import dataclasses
import logging
from typing import Any

from torch import Tensor

from bayesnas.data import Inputs, Split, StreamedSplit
from bayesnas.data.checks import check_finite, typed_inputs
from bayesnas.data.conversion import as_inputs, as_pair, column_names
from bayesnas.data.inputs import AnyInputs, leaves_of, named_inputs, shapes_of
from bayesnas.data.streams.streamed_split import AnySplit, RowForm
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.random_state import random_state_kept

_LOG = logging.getLogger("bayesnas")
_MOST_NAMES = 8  # of columns in a message

HEAD = 32
"""Rows by which a data set that is read when needed is checked against a model."""

Data = Split | StreamedSplit | tuple[object, object]
"""A part of a data set, or a pair ``(x, y)`` of arrays, tables, lists or tensors."""


def checked_data(model: BayesianModel, data: Data, name: str) -> AnySplit:
    """Data as tensors that fit the model; one line of the log says what was cast.

    Args:
        model: what has to take it; it is not changed.
        data: a part of a data set, or a pair ``(x, y)``.
        name: of the argument, for messages.

    Raises:
        TypeError: where ``data`` is neither.
        ValueError: for an empty set, x and y of different length, NaN or infinite values, what is
            no number, labels out of range, or shapes that the model doesn't take; of data that
            are read when needed the first rows are looked at here, and the others as they come.
    """
    try:
        split, casts = _converted(model, data)
        if model.task is not None and split.info.task != model.task:
            raise ValueError(
                f"the model's likelihood is for {model.task}, got data for {split.info.task}"
            )
        _check_several(model, split)
        # Of a bare pair the number of classes is only known from below.
        classes = None if isinstance(data, tuple | list) else split.info.classes
        few = split if isinstance(split, Split) else split.first(HEAD)
        with random_state_kept():
            copy.deepcopy(model).cpu().check(few.x.cpu(), few.y.cpu(), classes)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error
    if casts:
        _LOG.info("%s: %s, the type of the model's parameters", name, " and ".join(casts))
    return split


def _check_several(model: BayesianModel, split: AnySplit) -> None:
    x = split.first(1).x
    if isinstance(x, Inputs) and not model.takes_several_inputs:
        raise ValueError(f"x must be one tensor for a {type(model).__name__}, got {x}")


def checked_tensors(model: BayesianModel, data: Data, name: str) -> Split:
    """Data of which all rows are seen together; as :func:`checked_data`, and no streamed ones."""
    checked = checked_data(model, in_memory(data, name), name)
    assert isinstance(checked, Split)
    return checked


def split_of(model: BayesianModel, data: Data) -> AnySplit:
    """Data as the model takes them: checked and cast, or as they were given.

    A model of the zoo gets x, and the targets of a regression, in the floating-point type of its
    parameters; of several inputs those that are not of floating point keep their types. A
    ``PyroPair`` gets tensors as they are, and of arrays and tables the same type.
    """
    return _converted(model, data)[0]


def in_memory(data: Data, name: str) -> Data:
    """Data that are not streamed.

    Raises:
        TypeError: naming the argument, for those that are.
    """
    if isinstance(data, StreamedSplit):
        raise TypeError(
            f"{name} must be in memory here, since all rows are seen together: give "
            f"{name}.first(n) or tensors (x, y), got {data}"
        )
    return data


def _converted(model: BayesianModel, data: Data) -> tuple[AnySplit, list[str]]:
    """The part, and what was cast in it."""
    if isinstance(data, StreamedSplit):
        return _streamed(model, data)
    names = None
    if isinstance(data, Split):
        x, y = data
        pair: Split | tuple[AnyInputs, Tensor] = data
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
    return split, _casts(x, y, split)


def _streamed(model: BayesianModel, data: StreamedSplit) -> tuple[StreamedSplit, list[str]]:
    few = data.first(1)
    dtype = None if model.takes_data_as_given else model.input_dtype(few.x)
    form = RowForm(dtype, data.info.task, data.info.classes)
    formed = data.formed(form)
    return formed, _casts(few.x, few.y, formed.first(1))


def _casts(x: AnyInputs, y: Tensor, made: Split) -> list[str]:
    pairs = zip([*named_inputs(x), ("y", y)], [*leaves_of(made.x), made.y], strict=True)
    return [
        f"{name} cast from {given.dtype} to {cast.dtype}"
        for (name, given), cast in pairs
        if given.dtype != cast.dtype and cast.is_floating_point()
    ]


def inputs_of(model: BayesianModel, x: Any, known: tuple[str, ...] | None) -> AnyInputs:
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
    inputs = as_inputs(x)
    if model.takes_data_as_given:
        for name, leaf in named_inputs(inputs):
            if leaf.is_floating_point():
                check_finite(name, leaf)
        return inputs
    return typed_inputs(inputs, model.input_dtype(inputs))


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


def check_same_inputs(x: AnyInputs, example: AnyInputs) -> None:
    """Raise ValueError unless inputs are of the types and shapes that a model was trained on."""
    if isinstance(x, Inputs) or isinstance(example, Inputs):
        kinds = [
            {name: (leaf.dtype, leaf.shape[1:]) for name, leaf in named_inputs(part)}
            for part in (x, example)
        ]
        if kinds[0] != kinds[1]:
            raise ValueError(f"x must be {_kinds(example)}, as in training, got {_kinds(x)}")
        return
    if x.ndim > 0 and x.dtype != example.dtype:
        check_as_trained("x", x, example)
    if x.shape[1:] != example.shape[1:] or len(x) == 0:
        raise ValueError(
            f"x must have shape {['n', *example.shape[1:]]} with n >= 1, as in training, "
            f"got {list(x.shape)}"
        )


def _kinds(x: AnyInputs) -> str:
    types = ", ".join(str(leaf.dtype) for leaf in leaves_of(x))
    return f"{shapes_of(x)} of {types}"


def check_alike(train: AnySplit, validation: AnySplit) -> None:
    """Raise ValueError unless rows of the validation data are shaped like those of training."""
    one, other = train.first(1), validation.first(1)
    for letter, first, second in (("x", one.x, other.x), ("y", one.y, other.y)):
        shapes = [
            {name: leaf.shape[1:] for name, leaf in named_inputs(part)} for part in (first, second)
        ]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"validation: {letter} must have shape {shapes_of(first)} as in training, "
                f"got {shapes_of(second)}"
            )
    try:
        check_columns(validation.info.feature_names, train.info.feature_names)
    except ValueError as error:
        raise ValueError(f"validation: {error}") from error
