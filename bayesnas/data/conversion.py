"""Arrays, tables and lists of the user's as tensors: exactly, or refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bayesnas.data.inputs import AnyInputs, Inputs, is_several

Array = npt.NDArray[Any]


def as_tensor(name: str, values: Any) -> Tensor:
    """Numbers of the user's as a tensor that holds exactly them.

    A tensor is handed back as it is (of one made in inference mode a copy). A NumPy array, a pandas
    frame or series, nested lists, and whatever NumPy can read become a tensor on the CPU of the
    same boolean, integer or floating-point type; unsigned integers above 8 bits become int64,
    Python's numbers int64 or float64, and the columns of a frame the smallest type that holds them
    all. pandas need not be there.

    Args:
        name: of the argument, for messages.
        values: the numbers.

    Raises:
        TypeError: for complex, sparse or nested tensors.
        ValueError: for what is no real number (text, categories, dates, objects), masked or missing
            values, ragged lists, and numbers that no type of torch holds; of a table the column
            is named.

    >>> as_tensor("x", np.array([[1, 2]], dtype=np.uint16))
    tensor([[1, 2]])
    """
    if isinstance(values, Tensor):
        return _real(name, values)
    if isinstance(values, (list, tuple)) and any(isinstance(v, Tensor) for v in values):
        values = _stacked(name, values)
    if is_table(values):
        return torch.from_numpy(_exact(name, table_to_numpy(name, values)))
    if hasattr(values, "iloc"):
        label = getattr(values, "name", None)
        place = name if label is None else f"{name} ({label!r})"
        return torch.from_numpy(_exact(name, _column(place, values)))
    array = to_numpy(name, values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got {_described(values, array)}")
    return torch.from_numpy(_exact(name, array))


def as_target_tensor(values: Any) -> Tensor:
    """Targets as :func:`as_tensor` makes them; a table of one column is that column ``[n]``."""
    if is_table(values) and len(values.columns) == 1 and hasattr(values, "iloc"):
        values = values.iloc[:, 0]
    return as_tensor("y", values)


def as_inputs(values: Any) -> AnyInputs:
    """Inputs as :func:`as_tensor` makes them; of a dict or a tuple of arrays several.

    >>> as_inputs((np.zeros((2, 3)), np.ones(2, dtype=bool)))
    Inputs([2, 3], [2])
    """
    if isinstance(values, Inputs):
        return values
    if not is_several(values):
        return as_tensor("x", values)
    if isinstance(values, dict):
        return Inputs({key: as_tensor(f"x[{key!r}]", value) for key, value in values.items()})
    return Inputs([as_tensor(f"x[{place}]", value) for place, value in enumerate(values)])


def as_pair(data: Any) -> tuple[AnyInputs, Tensor, tuple[str, ...] | None]:
    """Inputs and targets of a pair as tensors, and the names of the columns of x, if it has any.

    Args:
        data: a tuple ``(x, y)``; a list of two arrays, tables or tensors does as well.

    Raises:
        TypeError: for anything else, saying what to give.
        ValueError: for values that :func:`as_tensor` refuses, and for tables whose rows have
            different indexes: rows belong together by their position.
    """
    is_pair = isinstance(data, (tuple, list)) and len(data) == 2
    if is_pair and isinstance(data, list):  # two lists in a list are rows as well
        is_pair = all(hasattr(part, "shape") for part in data)
    if not is_pair:
        raise TypeError(
            "data must be a part of a data set (data.train) or a pair (x, y) of arrays, tables, "
            f"lists or tensors, got {type(data).__name__}{_hint(data)}"
        )
    x, y = data
    check_index("x", x, "y", y)
    return as_inputs(x), as_target_tensor(y), column_names(x)


def is_table(values: Any) -> bool:
    """Whether something has named columns, as a frame of pandas."""
    return hasattr(values, "columns") and hasattr(values, "to_numpy")


def column_names(values: Any) -> tuple[str, ...] | None:
    """Names of the columns of a table; None of what has none."""
    return tuple(str(column) for column in values.columns) if is_table(values) else None


def table_to_numpy(name: str, table: Any) -> Array:
    """A table of numbers as one array ``[n, columns]`` of the type that holds all of them.

    Raises:
        ValueError: naming the column, for one that is not numeric or lacks values.
    """
    if not hasattr(table, "iloc"):  # of another library: NumPy reads it
        return to_numpy(name, table)
    columns = [
        _column(f"{name} column {label!r}", table.iloc[:, place])
        for place, label in enumerate(table.columns)
    ]
    if not columns:
        return np.empty((len(table), 0))
    together = np.result_type(*{column.dtype for column in columns})
    for label, column in zip(table.columns, columns, strict=True):
        if not np.can_cast(column.dtype, together) or column.dtype.kind != together.kind:
            _check_exact(f"{name} column {label!r}", column, column.astype(together))
    return np.stack([column.astype(together) for column in columns], axis=1)


def to_numpy(name: str, values: Any) -> Array:
    """What NumPy makes of values, a tensor on another device among them.

    Raises:
        ValueError: for ragged lists and masked values.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
    if np.ma.isMaskedArray(values) and np.ma.is_masked(values):
        count = int(np.ma.getmaskarray(values).sum())
        raise ValueError(f"{name} must have no masked values, got {count}: fill them before")
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{name} must be a rectangular array, got {error}") from error


def _real(name: str, values: Tensor) -> Tensor:
    if values.is_nested:
        raise TypeError(
            f"{name} must be one rectangular tensor, got a nested one: give "
            ".to_padded_tensor(...), and the lengths as another input"
        )
    if values.layout != torch.strided:
        raise TypeError(f"{name} must be dense, got a {values.layout} tensor: give .to_dense()")
    if values.is_complex() or values.is_quantized:
        raise TypeError(f"{name} must hold real numbers, got a tensor of {values.dtype}")
    return values.clone() if values.is_inference() else values  # those can't be trained on


def _stacked(name: str, values: Sequence[Any]) -> Any:
    try:
        return torch.stack([torch.as_tensor(value) for value in values]).detach().cpu().numpy()
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a rectangular array, got {error}") from error


def _column(place: str, column: Any) -> Array:
    """One column as numbers of its own type; nullable types of pandas as what they stand for."""
    missing = np.asarray(column.isna())
    dtype = getattr(column.dtype, "numpy_dtype", getattr(column.dtype, "subtype", column.dtype))
    if getattr(dtype, "kind", "O") not in "biuf":
        raise ValueError(f"{place} must hold real numbers, got {column.dtype}{_ADVICE}")
    if missing.any():
        row = int(missing.argmax())
        count = int(missing.sum())
        raise ValueError(f"{place} must be finite, got a missing value in row {row} ({count} are)")
    array: Array = column.to_numpy(dtype=dtype)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.isfinite(array).argmin())
        raise ValueError(f"{place} must be finite, got {array[row]} in row {row}")
    return array


_ADVICE = ": encode it as numbers, as bayesnas.data.from_arrays and pandas.get_dummies do"


def _exact(name: str, array: Array) -> Array:
    """The same numbers in memory of their own, of a type that torch has."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    dtype = array.dtype.newbyteorder("=")
    if kind == "u" and size > 1:
        dtype = np.dtype(np.int64)
    elif kind == "f" and size > 8:
        dtype = np.dtype(np.float64)
    exact = np.array(array, dtype=dtype, order="C")
    if dtype != array.dtype.newbyteorder("="):
        _check_exact(name, array, exact)
    return exact


def _check_exact(place: str, before: Array, after: Array) -> None:
    with np.errstate(all="ignore"):
        changed = (after.astype(before.dtype) != before) & ~(before != before)
    if before.dtype.kind == "u" and after.dtype.kind == "i":
        changed = changed | (after < 0)
    if changed.any():
        value = before.flat[int(changed.argmax())]
        raise ValueError(f"{place} must hold numbers that {after.dtype} holds, got {value!r}")


def _described(values: Any, array: Array) -> str:
    if array.ndim == 0:
        dense = ": give .toarray()" if hasattr(values, "toarray") else ""
        return f"a {type(values).__name__}{dense}"
    if array.dtype.kind != "O":
        return f"an array of {array.dtype}"
    for place in np.ndindex(array.shape):
        value = array[place]
        if not isinstance(value, (int, float, np.integer, np.floating, np.bool_)):
            return f"an array of objects, {type(value).__name__} at {list(place)}"
    return "an array of objects: give one of numbers, array.astype(float)"


def check_index(first_name: str, first: Any, second_name: str, second: Any) -> None:
    """Raise ValueError where the rows of two tables have different indexes."""
    if not all(hasattr(part, "iloc") for part in (first, second)) or len(first) != len(second):
        return
    if not bool((first.index == second.index).all()):
        raise ValueError(
            f"{first_name} and {second_name} must have the same index, since their rows belong "
            f"together by position: give {second_name}.loc[{first_name}.index], or "
            ".reset_index(drop=True) of both where the order is right"
        )


def _hint(data: Any) -> str:
    if hasattr(data, "train"):
        return ": give one of its parts, data.train"
    if hasattr(data, "dataset"):
        return ": give its data set, bayesnas.data.from_dataset(loader.dataset)"
    if hasattr(data, "tensors"):
        return ": give its tensors, (x, y)"
    if (hasattr(data, "__getitem__") and hasattr(data, "__len__")) or hasattr(data, "__iter__"):
        return ": of a data set that gives its rows one by one, bayesnas.data.from_dataset(...)"
    return ""
