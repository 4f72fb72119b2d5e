"""New rows from a file, as a fit took those it was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayesnas.data.conversion import is_table
from bayesnas.data.info import DataInfo
from bayesnas.data.sources.arrays import as_number_tensor, as_target_tensor
from bayesnas.data.sources.csv_npz import check_numeric, has_header, read_arrays, read_table
from bayesnas.files import path_of
from bayesnas.typed import typed


@typed(unchecked=("rows",))
def read_rows(
    rows: Any, like: DataInfo, *, target: str | None = None
) -> tuple[Tensor, Tensor | None]:
    """Rows of a file or a table for a posterior, and their targets where there are any.

    Columns are found by the names they had in training, whatever their order; others are left
    aside. Cells become numbers, and rows are standardised, as those of the training part were;
    labels are numbered alike.

    Args:
        rows: a path to a `.csv`, `.npz` or `.npy` file, or a table of pandas: with the columns of
            the training data, with or without its target; of an `.npz` arrays `x` and, with
            targets, `y`; an `.npy` is x.
        like: what is known of the training data, `post.data`.
        target: column of the targets; None: that of the training data where it was named, or
            else the one that is no feature, where there is one such.

    Returns:
        x `[n, ...]` and y `[n]`, or None without targets.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no table, lacks a column, holds a cell of another kind than in training,
            or a label that the training data had not.

    Warns:
        UnseenCellWarning: for categories, and for missing cells, that training had not.

    Example:
        >>> import numpy, bayesnas.data
        >>> data = bayesnas.data.load("diabetes", standardise=True)
        >>> numpy.savez("new.npz", x=numpy.ones((5, 10)))
        >>> x, y = read_rows("new.npz", data.info)
        >>> x.shape, y
        (torch.Size([5, 10]), None)
    """
    x, y, name = (
        _from_table(rows, like, target) if is_table(rows) else _from_file(rows, like, target)
    )
    if not bool(x.isfinite().all()):
        row = int((~x.isfinite()).flatten(1).any(1).nonzero()[0])
        raise ValueError(f"{name} must hold finite numbers, got others in row {row}")
    targets = None if y is None else _targets(y, like)
    if like.standardisation is not None:
        x = like.standardisation.apply(x)
        targets = None if targets is None else like.standardisation.apply_y(targets)
    return x, targets


def _from_file(path: Any, like: DataInfo, target: str | None) -> tuple[Tensor, Any, str]:
    file = path_of("rows", path)
    if not file.is_file():
        raise FileNotFoundError(f"there is no data file {file}")
    if file.suffix not in (".csv", ".npz", ".npy"):
        raise ValueError(f"data must be a .csv, .npz or .npy file, got {str(path)!r}")
    if file.suffix != ".csv":
        if like.encoding is not None:
            raise ValueError(
                "data must be a .csv file or a table, as the training data were, got "
                f"{file.name}: {like.encoding.describe()}"
            )
        read = _from_npz(file) if file.suffix == ".npz" else (_from_npy(file), None)
        return *read, file.name
    return *_from_csv(file, like, target), file.name


def _from_npz(path: Path) -> tuple[Tensor, Any]:
    arrays = read_arrays(path)
    if "x" not in arrays or arrays.keys() - {"x", "y"}:
        raise ValueError(
            f"{path.name} must hold the array x, and y where there are targets, "
            f"got {', '.join(sorted(arrays)) or 'none'}"
        )
    return as_number_tensor("x", arrays["x"]), arrays.get("y")


def _from_npy(path: Path) -> Tensor:
    try:
        return as_number_tensor("x", np.load(path, allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path.name} must be an .npy file of numbers: {error}") from error


def _from_csv(path: Path, like: DataInfo, target: str | None) -> tuple[Tensor, Any]:
    wanted = _columns_of(like)
    if wanted is not None and not _numbered(wanted):
        text = () if like.encoding is None else like.encoding.text_names
        frame = read_table(path, header=0, columns=1, text=text)
        frame.columns = [str(c) for c in frame.columns]
        return _from_table(frame, like, target, path.name)[:2]
    header = has_header(path)
    frame = read_table(path, header=0 if header else None, columns=1)
    frame.columns = [str(c) if header else f"column{c}" for c in frame.columns]
    if wanted is not None:
        return _from_table(frame, like, target, path.name)[:2]
    if target is not None and target not in frame.columns:
        raise ValueError(f"target must be one of {', '.join(frame.columns)}, got {target!r}")
    features = frame if target is None else frame.drop(columns=target)
    check_numeric(features)
    return as_number_tensor("x", features), None if target is None else frame[target]


def _from_table(
    frame: Any, like: DataInfo, target: str | None, name: str = "the table"
) -> tuple[Tensor, Any, str]:
    """Columns by their names."""
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    if not frame.columns.is_unique:
        raise ValueError(f"{name} must name each column once, got {', '.join(frame.columns)}")
    known = _columns_of(like)
    wanted = list(frame.columns) if known is None else list(known)
    missing = [column for column in wanted if column not in frame.columns]
    if missing:
        raise ValueError(
            f"{name} must have the columns of the training data: {', '.join(missing)} "
            f"missing, got {', '.join(map(str, frame.columns))}"
        )
    y = _target_column(frame, wanted, like, target)
    if like.encoding is not None:
        return torch.from_numpy(like.encoding.apply(frame)), y, name
    features = frame[wanted]
    check_numeric(features)
    return as_number_tensor("x", features), y, name


def _columns_of(like: DataInfo) -> Sequence[str] | None:
    """Names of the columns of features as the training data had them."""
    return like.feature_names if like.encoding is None else like.encoding.names


def _numbered(names: Sequence[str]) -> bool:
    return all(name == f"column{index}" for index, name in enumerate(names))


def _target_column(
    frame: Any, features: Sequence[str], like: DataInfo, target: str | None
) -> Any | None:
    known = None if like.source is None else like.source.target
    others = [name for name in frame.columns if name not in features]
    if target is not None and target not in others:
        raise ValueError(f"target must be one of {', '.join(others) or 'none'}, got {target!r}")
    name = target or (known if known in others else None)
    if name is None and known is None and len(others) == 1:
        name = others[0]
    return None if name is None else frame[name]


def _targets(y: Any, like: DataInfo) -> Tensor:
    """Targets as numbers: of classes with names, text by their order."""
    numbers, names = as_target_tensor(y)
    if names is None:
        return numbers if like.task == "classification" else numbers.double()
    known = like.class_names
    if like.task == "regression" or known is None:
        raise ValueError(f"y must hold numbers, as in training, got text such as {names[0]!r}")
    new = [name for name in names if name not in known]
    if new:
        raise ValueError(
            f"y must hold labels of the training data, {_listed(known)}, got {new[0]!r}"
        )
    order = torch.tensor([known.index(name) for name in names])
    return order[numbers]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown}, …"
