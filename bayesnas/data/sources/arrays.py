"""Data sets from arrays of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayesnas.data.assemble import Raw, assemble
from bayesnas.data.conversion import is_table, to_numpy
from bayesnas.data.dataset import DataSet
from bayesnas.data.info import Task
from bayesnas.data.inputs import AnyInputs, Inputs, is_several
from bayesnas.data.tables.encoding import kinds_of, takes_encoding
from bayesnas.typed import typed


@typed()
def from_arrays(
    x: Any,
    y: Any,
    *,
    test: float = 0.2,
    validation: float = 0.0,
    seed: int = 0,
    task: Task | None = None,
    standardise: bool = False,
    keep_dtype: bool = False,
    name: str = "arrays",
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] | None = None,
) -> DataSet:
    """A data set from arrays, tensors, lists or pandas objects, split by a seed.

    The split is that of scikit-learn's `train_test_split` with the same seed, stratified for a
    classification, with the rows of each part in the order they came. Nothing is shared with the
    arrays given.

    Args:
        x: numbers `[n, d]`, or images `[n, c, h, w]`; a tuple or a dict of arrays for a net with
            several inputs, of which those of floating point become float32 and the others keep
            their types. Of a pandas frame categories, dates, booleans and missing cells become
            numbers by what the training rows say: `data.info.encoding`, a `TableEncoding`.
        y: labels `[n]` in 0…C−1 (or text, which is numbered in sorted order), several of 0 and 1
            a row `[n, k]` (split without stratification), or targets `[n]` or `[n, k]`.
        test: fraction of the rows held out for testing, rounded up; 0.0: no such part.
        validation: fraction of all rows held out for validation; 0.0: no such part.
        seed: of the split.
        task: "classification" or "regression"; None: classification for whole numbers,
            booleans and text, regression for floating-point numbers.
        standardise: give x (and y of a regression) mean 0 and standard deviation 1 on the
            training part; see `Standardisation`.
        keep_dtype: leave x in the type it has, as a net that begins with an embedding takes its
            tokens, instead of float32.
        name: of the data set.
        class_names: a name for each class; without it every class has to occur in y.
        feature_names: a name for each column; None: the columns of a pandas frame.

    Returns:
        A DataSet whose x is float32 (or `Inputs`) and whose y is int64 or float32.

    Raises:
        ValueError: NaN or infinite values, labels that are not whole or not in 0…C−1, x and y of
            different length, no rows, a column that mixes numbers and text, fractions out of
            range.

    Example:
        >>> data = from_arrays([[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1], test=0.5)
        >>> data.train, data.validation
        (Split(arrays train: x [2, 1], y [2], 2 classes), None)
    """
    if feature_names is None and hasattr(x, "columns"):
        feature_names = [str(column) for column in x.columns]
    targets, names_in_y = as_target_tensor(y)
    if class_names is not None and not len(class_names):
        raise ValueError("class_names must name one class or more, got none")
    if names_in_y is not None and class_names is not None:
        raise ValueError("class_names goes with labels 0..C-1, got it together with labels of text")
    frame = _to_encode(x)
    raw = Raw(
        name=name,
        parts={"train": (torch.arange(len(x)) if frame is not None else _as_inputs(x), targets)},
        task=task,
        class_names=names_in_y if class_names is None else class_names,
        feature_names=feature_names,
        frame=frame,
        kinds=None if frame is None else kinds_of(frame),
    )
    _check_feature_names(raw)
    if standardise and isinstance(raw.parts["train"][0], Inputs):
        raise ValueError("standardise is for one input, got several: give them standardised")
    dtype = raw.parts["train"][0].dtype if keep_dtype and not is_several(x) else torch.float32
    return assemble(
        raw, test=test, validation=validation, seed=seed, standardise=standardise, dtype=dtype
    )


def _to_encode(x: Any) -> Any | None:
    """A table of pandas that holds more than numbers, with text as the names of its columns."""
    if not is_table(x) or not hasattr(x, "iloc"):
        return None
    frame = x.set_axis([str(column) for column in x.columns], axis=1)
    if not frame.columns.is_unique:
        raise ValueError(f"x must name each column once, got {', '.join(frame.columns)}")
    return frame if takes_encoding(frame) else None


def _as_inputs(x: Any) -> AnyInputs:
    if not is_several(x):
        return as_number_tensor("x", x)
    if isinstance(x, Inputs):
        x = x.tensors
    if isinstance(x, dict):
        return Inputs({key: as_number_tensor(f"x[{key!r}]", part) for key, part in x.items()})
    return Inputs([as_number_tensor(f"x[{place}]", part) for place, part in enumerate(x)])


def as_number_tensor(name: str, values: Any) -> Tensor:
    """A copy of `values` as a tensor on the CPU, of a boolean, integer or floating type.

    Raises:
        ValueError: a value is not a real number; of a pandas frame, the column is named.
    """
    array = _frame_to_numpy(name, values) if hasattr(values, "columns") else to_numpy(name, values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got an array of {array.dtype}")
    return torch.from_numpy(array.astype(_torch_type(array.dtype)))


def as_target_tensor(y: Any) -> tuple[Tensor, list[str] | None]:
    """Targets as a tensor, and class names where they were text.

    Returns:
        The tensor, and the sorted class names; None for numbers.

    Raises:
        ValueError: y is neither numbers nor text, or some of the text is missing.

    Example:
        >>> as_target_tensor(["b", "a", "b"])
        (tensor([1, 0, 1]), ['a', 'b'])
    """
    if hasattr(y, "columns"):
        if len(y.columns) > 1:
            return as_number_tensor("y", y), None
        y = y.iloc[:, 0]
    array = to_numpy("y", y)
    if array.dtype.kind == "U" and isinstance(y, (list, tuple)):
        array = np.asarray(y, dtype=object)  # numpy has made text of the numbers among them
    if array.dtype.kind == "U" or any(isinstance(v, str) for v in _objects(array)):
        return _number_text(array)
    if array.dtype.kind == "O":
        array = np.asarray(array.tolist())
    return as_number_tensor("y", array), None


def _objects(array: np.ndarray[Any, Any]) -> list[Any]:
    return array.ravel().tolist() if array.dtype.kind == "O" else []


def _number_text(array: np.ndarray[Any, Any]) -> tuple[Tensor, list[str]]:
    for row, value in enumerate(array.ravel().tolist()):
        if not isinstance(value, str):
            raise ValueError(f"labels y must be all numbers or all text, got {value!r}, row {row}")
    names, numbers = np.unique(array.astype(str), return_inverse=True)
    return torch.from_numpy(numbers.astype(np.int64).reshape(array.shape)), names.tolist()


def _frame_to_numpy(name: str, frame: Any) -> np.ndarray[Any, Any]:
    """Float64 of a pandas frame, missing values as NaN."""
    from pandas.api.types import is_numeric_dtype

    for column in frame.columns:
        dtype = frame[column].dtype
        if not is_numeric_dtype(dtype):
            raise ValueError(f"{name} must hold real numbers, got column {column!r} of {dtype}")
    array: np.ndarray[Any, Any] = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return array


def _torch_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type, in this machine's byte order, that torch holds such numbers in."""
    if dtype.kind == "f":
        return np.dtype(np.float32 if dtype.itemsize <= 4 else np.float64)
    if dtype.kind == "u" and dtype.itemsize > 1:
        return np.dtype(np.int64)
    return dtype.newbyteorder("=")


def _check_feature_names(raw: Raw) -> None:
    x = raw.parts["train"][0]
    if raw.feature_names is not None and isinstance(x, Inputs):
        raise ValueError("feature_names is for one input of columns, got several inputs")
    if raw.feature_names is not None and x.ndim > 1 and len(raw.feature_names) != x.shape[1]:
        raise ValueError(
            f"feature_names must name each of {x.shape[1]} columns, got {len(raw.feature_names)}"
        )
