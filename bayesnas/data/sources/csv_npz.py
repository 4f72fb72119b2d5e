"""Data sets from files of the user's: `.npz` and `.csv`."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bayesnas.data.assemble import Parts, Raw
from bayesnas.data.info import Part, Task
from bayesnas.data.sources.arrays import as_number_tensor, as_target_tensor
from bayesnas.data.tables.encoding import kinds_of, takes_encoding
from bayesnas.memory import available_memory
from bayesnas.words import did_you_mean

# What zipfile, zlib and numpy raise at one or another broken byte.
_DAMAGE = (EOFError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)


def read_npz(path: Path, task: Task | None, flatten: bool | None) -> Raw:
    """A file of numpy arrays `x, y`, or `x_train, y_train` with `_test` and `_validation` parts.

    Raises:
        ValueError: the file is truncated or no `.npz`, an array is missing or is not one of
            these, or holds anything but numbers (y: or text).
    """
    arrays = read_arrays(path)
    keys = part_keys(path, set(arrays))
    y = np.concatenate([arrays[f"y{suffix}"] for suffix in keys.values()])
    targets, class_names = as_target_tensor(y)
    lengths = [len(arrays[f"y{suffix}"]) for suffix in keys.values()]
    parts: Parts = {}
    for (part, suffix), target in zip(keys.items(), targets.split(lengths), strict=True):
        x = as_number_tensor(f"x{suffix}", arrays[f"x{suffix}"])
        parts[part] = (x.flatten(1) if flatten and x.ndim > 1 else x, target)
    return Raw(path.name, parts, task, class_names)


def read_csv(path: Path, task: Task | None, target: str | None, drop: Sequence[str] = ()) -> Raw:
    """A table with a column to predict: the one named `target`, or the last.

    The first line is a header where the text in it could not be data: where `target` or `drop`
    names a column of it, or a column other than the last holds no number there.

    Raises:
        ValueError: the file is no table of two columns or more, has no column `target`, or a
            column of features holds numbers and text, or no value at all.
    """
    header = target is not None or bool(drop) or has_header(path)
    frame = read_table(path, header=0 if header else None)
    frame.columns = [str(c) if header else f"column{c}" for c in frame.columns]
    column = frame.columns[-1] if target is None else target
    for name, value in (("target", column), *(("drop", each) for each in drop)):
        if value not in frame.columns:
            known, hint = ", ".join(frame.columns), did_you_mean(value, frame.columns)
            raise ValueError(f"{name} must be one of {known}, got {value!r}{hint}")
    features = frame.drop(columns=[column, *drop])
    if features.shape[1] == 0:
        raise ValueError("a table needs a column of features, got none that is left")
    targets, class_names = as_target_tensor(_named_truth(frame[column]))
    raw = Raw(path.name, {}, task, class_names, list(features.columns))
    if not takes_encoding(features):
        return replace(raw, parts={"train": (as_number_tensor("x", features), targets)})
    _check_header(features.columns)
    kinds = kinds_of(features)
    rows = torch.arange(len(features))
    return replace(raw, parts={"train": (rows, targets)}, frame=features, kinds=kinds)


def _named_truth(column: Any) -> Any:
    """Booleans as the names of two classes, other targets as they are."""
    return column.astype(str) if column.dtype == bool else column


def _check_header(names: Iterable[str]) -> None:
    """Raise ValueError where a first line that holds text seems to be a row all the same."""
    for name in names:
        try:
            float(name)
        except ValueError:
            continue
        raise ValueError(
            f"a table with text in it must have a first line that names its columns, got {name!r}"
        )


def read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """All arrays of an `.npz`, without pickle.

    Raises:
        ValueError: the file is truncated, or no `.npz` of plain arrays.
    """
    # np.load leaves a file that it opened itself open where it raises.
    with path.open("rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            with archive:
                _check_size(archive)
                return {key: np.atleast_1d(archive[key]) for key in archive.files}
        except _DAMAGE as error:
            raise ValueError(
                f"the file must be a whole .npz of plain arrays, got: {error}"
            ) from error


def _check_size(archive: Any) -> None:
    """Raise ValueError where memory has no room for what an `.npz` inflates to."""
    size = sum(part.file_size for part in archive.zip.infolist())
    if size > available_memory():
        raise ValueError(f"{size:,} bytes of arrays, more than memory has room for")


def part_keys(path: Path, keys: set[str]) -> dict[Part, str]:
    """The suffix of the arrays of each part, after checking that just these are there."""
    suffixes: dict[Part, str] = {"train": "_train", "validation": "_validation", "test": "_test"}
    if "x_train" not in keys:
        suffixes = {"train": ""}
    present = {
        part: suffix
        for part, suffix in suffixes.items()
        if part == "train" or {f"x{suffix}", f"y{suffix}"} & keys
    }
    expected = {f"{letter}{suffix}" for letter in "xy" for suffix in present.values()}
    if keys != expected:
        raise ValueError(
            "the arrays must be x, y, or x_train, y_train with optional x_test, y_test, "
            f"x_validation, y_validation, got {', '.join(sorted(keys)) or 'none'}"
        )
    return present


def has_header(path: Path) -> bool:
    """Whether a column of the first line other than the last is no number."""
    from pandas.api.types import is_numeric_dtype

    first = read_table(path, header=None, rows=1, columns=1)
    return any(not is_numeric_dtype(first[column].dtype) for column in first.columns[:-1])


def check_numeric(features: Any) -> None:
    """Raise ValueError, naming column and row, unless all columns of a frame are numbers."""
    import pandas as pd

    for name in features.columns:
        if not pd.api.types.is_numeric_dtype(features[name].dtype):
            numbers = pd.to_numeric(features[name], errors="coerce")
            row = int((numbers.isna() & features[name].notna()).to_numpy().argmax())
            raise ValueError(
                f"column {name!r} must hold numbers, got {features[name].iloc[row]!r} in row {row}"
            )


def read_table(
    path: Path,
    header: int | None,
    rows: int | None = None,
    columns: int = 2,
    text: Sequence[str] = (),
) -> Any:
    """A frame of a `.csv` file of so many columns or more, some of which are text as they stand.

    Columns are separated by what is more frequent in the first line, commas or semicolons; with
    semicolons numbers may have a decimal comma.

    Raises:
        ValueError: the file is no such table.
    """
    frame = _read_separated(path, header, rows, text)
    if frame.shape[1] < columns:
        raise ValueError(
            "a table needs two columns or more, separated by commas or semicolons, got 1"
        )
    if frame.empty:
        raise ValueError("a table needs at least one row, got none")
    return frame


def _read_separated(path: Path, header: int | None, rows: int | None, text: Sequence[str]) -> Any:
    import pandas as pd

    def read(decimal: str) -> Any:
        return pd.read_csv(
            path,
            sep=separator,
            decimal=decimal,
            header=header,
            nrows=rows,
            skipinitialspace=True,
            dtype=dict.fromkeys(text, str),
            low_memory=False,
        )

    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline()
        separator = ";" if first.count(";") > first.count(",") else ","
        frame = read(".")
        if separator == ";" and any(_has_decimal_commas(frame[name]) for name in frame.columns):
            frame = read(",")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the file must be a table in UTF-8, got: {error}: save it as 'CSV UTF-8'"
        ) from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise ValueError(f"the file must be a table, got: {error}") from error
    return frame


def _has_decimal_commas(column: Any) -> bool:
    """Whether all cells of a column are numbers, some of them with a decimal comma."""
    from pandas.api.types import is_numeric_dtype

    if is_numeric_dtype(column.dtype):
        return False
    cells = column.dropna().astype(str)
    numbers = cells.str.fullmatch(r"[-+]?\d+(,\d+)?([eE][-+]?\d+)?")
    return bool(len(cells)) and bool(numbers.all()) and bool(cells.str.contains(",").any())
