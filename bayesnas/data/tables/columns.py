"""One column of a table as columns of numbers, by a transformer of scikit-learn."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from bayesnas.checks import choice
from bayesnas.data.tables.cells import Kind, as_numbers, as_text, kind_of

_MOST_CATEGORIES = 100
_FEW_CATEGORIES = 10
_SHOWN = 5


@dataclass(frozen=True)
class Column:
    """How the cells of a column become numbers.

    Args:
        name: of the column.
        kind: "number", "boolean" (0 or 1), "date" (days since 1970-01-01) or "category".
        fill: what stands for a missing cell: the median, of booleans the more frequent; None of
            categories.
        categories: in ascending order, each of which becomes a column of 0 and 1; None of others.
        missing: whether cells were missing in training, which is a column of 0 and 1 too.
    """

    name: str
    kind: Kind
    fill: float | None = None
    categories: tuple[str, ...] | None = None
    missing: bool = False

    @classmethod
    def fit(cls, name: str, cells: Any, kind: Kind) -> Column:
        """What training rows say of a column.

        Args:
            name: of the column.
            cells: a series of pandas.
            kind: of the cells.

        Raises:
            ValueError: naming the column, for a cell of another kind, or so many categories that
                they are names of rows.
        """
        from sklearn.impute import SimpleImputer
        from sklearn.preprocessing import OneHotEncoder

        missing = bool(cells.isna().any())
        if kind == "category":
            text = as_text(cells)
            present = text[text != None][:, None]  # noqa: E711  # element by element
            if not len(present):
                raise ValueError(f"column {name!r} must have a value in some training row")
            (distinct,) = OneHotEncoder().fit(present).categories_
            _check_categories(name, distinct, len(present))
            return cls(name, kind, categories=tuple(distinct.tolist()), missing=missing)
        strategy = "most_frequent" if kind == "boolean" else "median"
        numbers = as_numbers(name, cells, kind)[:, None]
        if np.isnan(numbers).all():
            raise ValueError(f"column {name!r} must have a value in some training row")
        fill = float(SimpleImputer(strategy=strategy).fit(numbers).statistics_[0])
        return cls(name, kind, fill=fill, missing=missing)

    def features(self) -> list[str]:
        """Names of the columns of numbers."""
        if self.categories is None:
            return [self.name, f"{self.name} missing"] if self.missing else [self.name]
        names = [f"{self.name}={category}" for category in self.categories]
        return [*names, f"{self.name} missing"] if self.missing else names

    def cells(self, column: Any) -> np.ndarray[Any, Any]:
        """Cells of a table as the transformer takes them, ``[n]``."""
        text = self.kind == "category"
        return as_text(column) if text else as_numbers(self.name, column, self.kind)

    def transformer(self) -> Any:
        """A transformer of scikit-learn, ``[n, 1]`` to ``[n, features]``, to fit to `witness`."""
        from sklearn.impute import SimpleImputer
        from sklearn.preprocessing import OneHotEncoder

        if self.categories is None:
            return SimpleImputer(
                strategy="constant", fill_value=self.fill, add_indicator=self.missing
            )
        known = np.array([*self.categories, *([None] if self.missing else [])], dtype=object)
        return OneHotEncoder(categories=[known], handle_unknown="ignore", sparse_output=False)

    def witness(self) -> list[Any]:
        """Two cells that say what the cells of training were."""
        return [self.fill, np.nan] if self.categories is None else [self.categories[0]] * 2

    def surprise(self, cells: np.ndarray[Any, Any]) -> str | None:
        """What cells have that no cell of training had, as a sentence; None for nothing."""
        if self.categories is None:
            count = 0 if self.missing else int(np.isnan(cells).sum())
            if not count:
                return None
            return (
                f"column {self.name!r} lacks {count} of {len(cells)} cells and lacked none in "
                f"training: {self.fill:g} stands for them"
            )
        known = {*self.categories, *([None] if self.missing else [])}
        new = [cell for cell in cells if cell not in known]
        if not new:
            return None
        names = [repr(name) if name is not None else "missing" for name in dict.fromkeys(new)]
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        return (
            f"column {self.name!r} has {shown} in {len(new)} of {len(cells)} rows, which no row of "
            "training had: they count as none of its categories"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        values = dataclasses.asdict(self)
        values["categories"] = None if self.categories is None else list(self.categories)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Column:
        """The inverse of `to_dict`.

        Raises:
            ValueError: `values` lacks a name or a kind, or the kind is unknown.
        """
        missing = {"name", "kind"} - values.keys()
        if missing:
            raise ValueError(f"a stored column lacks {', '.join(sorted(missing))}")
        choice("kind of a stored column", values["kind"], get_args(Kind))
        categories = values.get("categories")
        return cls(
            values["name"],
            values["kind"],
            values.get("fill"),
            None if categories is None else tuple(categories),
            bool(values.get("missing")),
        )


def needs_encoding(name: str, column: Any) -> bool:
    """Whether a column is anything but numbers and booleans, all of them there."""
    from pandas.api.types import is_numeric_dtype

    kind_of(name, column)  # refuses one without a value
    return not is_numeric_dtype(column.dtype) or bool(column.isna().any())


def _check_categories(name: str, categories: Any, rows: int) -> None:
    count = len(categories)
    if count > _MOST_CATEGORIES or (count > _FEW_CATEGORIES and 2 * count > rows):
        raise ValueError(
            f"column {name!r} must hold at most {_MOST_CATEGORIES} categories, and fewer than a "
            f"row each, got {count} different texts in {rows} rows, such as {categories[0]!r}: "
            f"leave it out with drop=[{name!r}], or write dates as 2024-12-31"
        )
