"""Rows of a user's data set as one batch of tensors, or refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayesnas.data.conversion import as_tensor
from bayesnas.data.inputs import AnyInputs, Inputs

Row = tuple[AnyInputs, Tensor]
"""Inputs and target of one row, without a dimension for rows."""


def as_row(item: Any, index: int) -> tuple[Any, Tensor]:
    """One element of a data set: its inputs, by place or name where there are several, and target.

    Args:
        item: what the data set gave.
        index: of the row, for messages.

    Raises:
        TypeError: it is no pair.
        ValueError: it holds something else than real numbers.

    >>> as_row(([1.0, 2.0], 3), 0)[1]
    tensor(3)
    """
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        got = f"{type(item).__name__}"
        got += f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
        raise TypeError(
            f"dataset: every element must be a pair (x, y), got a {got} in row {index}: give a "
            "data set whose __getitem__ returns inputs and target"
        )
    x, y = item
    try:
        if not _is_several(x):
            return as_tensor("x", x), as_tensor("y", y)
        if isinstance(x, Inputs):
            x = x.tensors
        parts = x.items() if isinstance(x, dict) else enumerate(x)
        leaves = {key: as_tensor(f"x[{key!r}]", value) for key, value in parts}
        return leaves if isinstance(x, dict) else tuple(leaves.values()), as_tensor("y", y)
    except (TypeError, ValueError) as error:
        raise type(error)(f"dataset: row {index}: {error}") from error


def _is_several(x: Any) -> bool:
    """Whether the inputs of a row are several: a dict, or a tuple of tensors and arrays."""
    if isinstance(x, (dict, Inputs)):
        return True
    return isinstance(x, tuple) and any(isinstance(v, (Tensor, np.ndarray)) for v in x)


def stacked_rows(rows: Sequence[tuple[Any, Tensor]], indices: Sequence[int]) -> Row:
    """Rows as one batch.

    Args:
        rows: as :func:`as_row` gives them.
        indices: of the rows, for messages.

    Raises:
        ValueError: naming the first row whose shapes or types are not those of the one before.
    """
    xs, ys = [x for x, _ in rows], [y for _, y in rows]
    y = _stacked("y", ys, indices)
    first = xs[0]
    if isinstance(first, Tensor):
        return _stacked("x", xs, indices), y
    keys = list(first) if isinstance(first, dict) else list(range(len(first)))
    for x, index in zip(xs, indices, strict=True):
        these = list(x) if isinstance(x, dict) else list(range(len(x)))
        if type(x) is not type(first) or these != keys:
            raise ValueError(
                f"dataset: rows must have the same inputs, got {keys} in row {indices[0]} and "
                f"{these} in row {index}"
            )
    leaves = [_stacked(f"x[{key!r}]", [x[key] for x in xs], indices) for key in keys]
    named = dict(zip(map(str, keys), leaves, strict=True))
    return Inputs(named if isinstance(first, dict) else leaves), y


def _stacked(name: str, values: Sequence[Any], indices: Sequence[int]) -> Tensor:
    first = values[0]
    for value, index in zip(values, indices, strict=True):
        if not isinstance(value, Tensor):
            raise ValueError(f"dataset: {name} must be a tensor in every row, row {index} has more")
        if value.shape != first.shape or value.dtype != first.dtype:
            raise ValueError(
                f"dataset: {name} must have one shape and type in all rows, got "
                f"{list(first.shape)} of {first.dtype} in row {indices[0]} and "
                f"{list(value.shape)} of {value.dtype} in row {index}"
            )
    return torch.stack(list(values))
