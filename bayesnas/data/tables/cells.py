"""What the cells of a column of a table are, and the same as plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

Kind = Literal["number", "boolean", "date", "category"]

_ISO_DATE = r"\d{4}-\d{2}-\d{2}([T ].*)?"
_TRUTH = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}


def kind_of(name: str, column: Any) -> Kind:
    """What most cells of a column are.

    Text is a number or a date where any of the cells can be read as one, so that a slip of the pen
    in another makes no categories of all, but is refused when the column is read.

    Args:
        name: of the column, for messages.
        column: a series of pandas.

    Raises:
        ValueError: no cell has a value.
    """
    from pandas.api import types

    present = column.dropna()
    if present.empty:
        raise ValueError(f"column {name!r} must have a value in some row, got none: leave it out")
    if types.is_bool_dtype(present.dtype) or all(isinstance(v, (bool, np.bool_)) for v in present):
        return "boolean"
    if types.is_datetime64_any_dtype(present.dtype):
        return "date"
    if types.is_numeric_dtype(present.dtype):
        return "number"
    if isinstance(present.dtype, _categorical()):
        return "category"
    if np.isfinite(_as_numbers(present)).any():
        return "number"
    return "date" if np.isfinite(_as_dates(present)).any() else "category"


def _categorical() -> Any:
    import pandas as pd

    return pd.CategoricalDtype


def as_numbers(name: str, column: Any, kind: Kind) -> np.ndarray[Any, Any]:
    """Cells of a column of numbers, booleans (0, 1) or dates (days since 1970) ``[n]``.

    Raises:
        ValueError: naming column and row, for a cell that is none of that kind.
    """
    readers: dict[Kind, Callable[[Any], np.ndarray[Any, Any]]] = {
        "number": _as_numbers,
        "boolean": _as_truth,
        "date": _as_dates,
    }
    numbers = readers[kind](column)
    wrong = np.isnan(numbers) & column.notna().to_numpy() | np.isinf(numbers)
    if wrong.any():
        row = int(wrong.argmax())
        expected = {"number": "numbers", "boolean": "true and false", "date": "ISO dates"}[kind]
        cell = column.astype(object).iloc[row]
        raise ValueError(
            f"column {name!r} must hold {expected}, got {cell!r} in row {column.index[row]}"
        )
    return numbers


def as_text(column: Any) -> np.ndarray[Any, Any]:
    """Cells of a column of categories ``[n]``, missing ones as None."""
    missing = column.isna().to_numpy()
    return np.array(
        [None if gone else str(value) for value, gone in zip(column, missing, strict=True)],
        dtype=object,
    )


def _as_numbers(column: Any) -> np.ndarray[Any, Any]:
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    return np.asarray(numbers.to_numpy(dtype=np.float64, na_value=np.nan))


def _as_truth(column: Any) -> np.ndarray[Any, Any]:
    truth = [_TRUTH.get(str(value).strip().lower(), np.nan) for value in column]
    return np.asarray(truth, dtype=np.float64)


def _as_dates(column: Any) -> np.ndarray[Any, Any]:
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        text = column.astype("string")
        column = text.where(text.str.fullmatch(_ISO_DATE))
    dates = pd.to_datetime(column, format="ISO8601", errors="coerce", utc=True)
    days = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    return np.asarray(days.to_numpy(dtype=np.float64))
