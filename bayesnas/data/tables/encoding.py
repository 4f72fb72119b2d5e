"""A table of any cells as one of numbers, the same for new rows as for those of training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from bayesnas.checks import choice, shown
from bayesnas.data.tables.cells import Kind, as_numbers, kind_of
from bayesnas.data.tables.columns import Column, needs_encoding
from bayesnas.typed import typed


class UnseenCellWarning(UserWarning):
    """New rows have cells such as no row of training had.

    >>> import warnings, pandas as pd, bayesnas as bn
    >>> kinds = pd.DataFrame({"kind": ["flat", "house"] * 10})
    >>> data = bn.data.from_arrays(kinds, [0.0, 1.0] * 10, test=0)
    >>> with warnings.catch_warnings(record=True) as seen:
    ...     warnings.simplefilter("always", UnseenCellWarning)
    ...     data.info.encoding.apply(pd.DataFrame({"kind": ["boat"]})).tolist()
    [[0.0, 0.0]]
    >>> len(seen)
    1
    """


@typed()
@dataclass(frozen=True)
class TableEncoding:
    """How every column of a table becomes columns of numbers, in JSON values.

    Numbers, booleans and dates stay one column, with the median of the training rows (of booleans
    the more frequent) for missing cells; a category is a column of 0 and 1 for each that training
    had. Where cells were missing in training one more column says which. The work is done by
    scikit-learn's `ColumnTransformer`, `SimpleImputer` and `OneHotEncoder`, built anew from what
    stands here: no pickle.

    Args:
        columns: of the table, in the order of the training data.

    Raises:
        TypeError: for what is no sequence of columns.
        ValueError: for no column.

    Example:
        >>> import pandas
        >>> table = pandas.DataFrame({"size": [1.0, None, 3.0], "colour": ["red", "blue", "red"]})
        >>> encoding = TableEncoding.fit(table)
        >>> encoding.feature_names
        ('size', 'size missing', 'colour=blue', 'colour=red')
        >>> encoding.apply(table)[1].tolist()
        [2.0, 1.0, 1.0, 0.0]
        >>> TableEncoding.from_dict(encoding.to_dict()) == encoding
        True
    """

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("columns must be one or more, got none")

    @classmethod
    @typed(unchecked=("frame", "kinds"))
    def fit(cls, frame: Any, kinds: Mapping[str, Kind] | None = None) -> TableEncoding:
        """What training rows say of the columns.

        Args:
            frame: a table of pandas.
            kinds: of the columns; None: by their cells.

        Raises:
            ValueError: naming the column, for cells of several kinds, a column without values,
                or one with so many categories that they are names of rows.
            TypeError: naming what is no table of pandas, or no mapping.
        """
        _check_table(frame)
        kinds = kinds_of(frame) if kinds is None else _checked_kinds(kinds, frame)
        return cls(tuple(Column.fit(name, frame[name], kind) for name, kind in kinds.items()))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of the table."""
        return tuple(column.name for column in self.columns)

    @property
    def text_names(self) -> tuple[str, ...]:
        """Names of the columns of the table that hold categories."""
        return tuple(column.name for column in self.columns if column.categories is not None)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of numbers."""
        return tuple(name for column in self.columns for name in column.features())

    def describe(self) -> str:
        """What becomes of the columns, in a line.

        >>> TableEncoding((Column("day", "date", fill=1.0),)).describe()
        '1 column as 1 of numbers: dates day'
        """
        plurals = {"boolean": "booleans", "date": "dates", "category": "categories"}
        parts = []
        for kind, plural in plurals.items():
            names = [column.name for column in self.columns if column.kind == kind]
            parts += [f"{plural} {', '.join(names)}"] if names else []
        lacking = [column.name for column in self.columns if column.missing]
        parts += [f"missing cells in {', '.join(lacking)}"] if lacking else []
        count = len(self.columns)
        heading = (
            f"{count} column{'s' if count > 1 else ''} as {len(self.feature_names)} of numbers"
        )
        return f"{heading}: {'; '.join(parts)}"

    @typed(unchecked=("frame",))
    def apply(self, frame: Any) -> np.ndarray[Any, Any]:
        """Rows of a table as numbers.

        Args:
            frame: a table of pandas with these columns, in any order, among others.

        Returns:
            ``[n, d]`` in double precision, a column for each of `feature_names`.

        Raises:
            ValueError: a column is missing, or a cell is of another kind than its column.
            TypeError: for what is no table of pandas.

        Warns:
            UnseenCellWarning: for categories, and for missing cells, that training had not.
        """
        _check_table(frame)
        missing = [name for name in self.names if name not in frame.columns]
        if missing:
            raise ValueError(
                f"the table must have the columns of the training data: {', '.join(missing)} "
                f"missing, got {', '.join(map(str, frame.columns))}"
            )
        cells = [column.cells(frame[column.name]) for column in self.columns]
        for column, values in zip(self.columns, cells, strict=True):
            said = column.surprise(values)
            if said is not None:
                warnings.warn(said, UnseenCellWarning, stacklevel=3)
        with warnings.catch_warnings():  # said above, with the name of the column
            warnings.filterwarnings("ignore", "Found unknown categories", UserWarning)
            return np.asarray(self._transform(cells), dtype=np.float64)

    def _transform(self, cells: list[np.ndarray[Any, Any]]) -> Any:
        """Columns of cells as numbers, by transformers fitted to two rows like the training's."""
        import pandas as pd
        from sklearn.compose import ColumnTransformer

        def frame(values: list[Any]) -> pd.DataFrame:
            kinds = ["object" if column.categories else "float64" for column in self.columns]
            pairs = zip(values, kinds, strict=True)
            return pd.DataFrame({n: pd.Series(v, dtype=k) for n, (v, k) in enumerate(pairs)})

        together = ColumnTransformer(
            [(str(n), column.transformer(), [n]) for n, column in enumerate(self.columns)],
            sparse_threshold=0,
        )
        together.fit(frame([column.witness() for column in self.columns]))
        return together.transform(frame(cells))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"columns": [column.to_dict() for column in self.columns]}

    @classmethod
    @typed()
    def from_dict(cls, values: dict[str, Any]) -> TableEncoding:
        """The inverse of `to_dict`.

        Raises:
            ValueError: `values` lacks columns, or one of them its name or kind.
        """
        columns = values.get("columns") if isinstance(values, Mapping) else None
        if not isinstance(columns, (list, tuple)) or not all(
            isinstance(column, Mapping) for column in columns
        ):
            raise ValueError(f"values: a stored table encoding lacks columns, got {shown(values)}")
        return cls(tuple(Column.from_dict(column) for column in values["columns"]))


def _check_table(frame: Any) -> None:
    """Refuse what is no table with a name of its own for every column."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame must be a table of pandas, got {type(frame).__name__}")
    if not frame.columns.is_unique or not len(frame.columns):
        raise ValueError(
            f"frame must have columns of different names, got {shown(list(frame.columns))}"
        )


def _checked_kinds(kinds: Any, frame: Any) -> Mapping[str, Kind]:
    """Kinds of columns that the table has."""
    if not isinstance(kinds, Mapping) or not kinds:
        raise TypeError(f"kinds must be a mapping from names of columns, got {shown(kinds)}")
    for name, kind in kinds.items():
        if name not in frame.columns:
            raise ValueError(f"kinds must be of columns of the table, got {shown(name)}")
        choice(f"kinds[{name!r}]", kind, get_args(Kind))
    return kinds


def kinds_of(frame: Any) -> dict[str, Kind]:
    """What the cells of every column are.

    Raises:
        ValueError: naming a column without values, or of numbers, booleans or dates a cell that is
            none.
    """
    kinds = {name: kind_of(str(name), frame[name]) for name in frame.columns}
    for name, kind in kinds.items():
        if kind != "category":
            as_numbers(str(name), frame[name], kind)
    return kinds


def takes_encoding(frame: Any) -> bool:
    """Whether a table is anything but numbers and booleans, all of them there."""
    return any(needs_encoding(str(name), frame[name]) for name in frame.columns)
