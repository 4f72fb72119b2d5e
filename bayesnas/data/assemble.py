"""From the numbers of a source to a checked, split and standardised data set."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bayesnas.data.checks import as_labels, as_several_labels, check_finite, check_rows, infer_task
from bayesnas.data.dataset import DataSet
from bayesnas.data.holdout import check_fractions, check_seed, hold_out
from bayesnas.data.info import DataInfo, Part, Task, check_task
from bayesnas.data.inputs import AnyInputs, named_inputs
from bayesnas.data.split import Split
from bayesnas.data.standardisation import Standardisation
from bayesnas.data.tables.cells import Kind
from bayesnas.data.tables.encoding import TableEncoding

DEFAULT_TEST = 0.2

Parts = dict[Part, tuple[AnyInputs, Tensor]]


@dataclass(frozen=True, eq=False)
class Raw:
    """A data set as its source gives it: parts of numbers, and what the source says of them.

    Args:
        name: of the data set.
        parts: `(x, y)` by part; "train" always, "validation" and "test" where the source has them.
        task: None where the type of y decides.
        class_names: None where the source has no names.
        feature_names: likewise.
        image_shape: `(channels, height, width)` where rows are images.
        frame: a table whose cells have to become numbers; x of a part is then `[n]`, which rows of
            it are its own.
        kinds: what the cells of its columns are.
    """

    name: str
    parts: Parts
    task: Task | None = None
    class_names: Sequence[str] | None = None
    feature_names: Sequence[str] | None = None
    image_shape: tuple[int, ...] | None = None
    frame: Any = None
    kinds: Mapping[str, Kind] | None = None


def assemble(
    raw: Raw,
    *,
    test: float | None,
    validation: float,
    seed: int,
    standardise: bool,
    dtype: torch.dtype = torch.float32,
) -> DataSet:
    """Check, split and standardise.

    Args:
        raw: what the source gives.
        test: fraction of the rows held out for testing; None: 0.2 where the source has no test
            part.
        validation: fraction of the rows held out for validation; where the source has a test
            part, of the rows of its training part.
        seed: of the split.
        standardise: by mean and scale of the training part.
        dtype: of x; of several inputs those of floating point have it.

    Raises:
        ValueError: x, y, a fraction or the seed is not as it should be, or a fraction is given
            for a part that the source brings.
    """
    parts, task, classes = divide(raw, test=test, validation=validation, seed=seed)
    encoding = None
    if raw.frame is not None:
        encoding, parts = _encoded(raw, parts)
        raw = dataclasses.replace(raw, feature_names=encoding.feature_names)
    standardisation = _fit_standardisation(parts["train"], task) if standardise else None
    splits = {
        part: _split(raw, part, x, y, task, classes, standardisation, encoding, dtype)
        for part, (x, y) in parts.items()
    }
    return DataSet(raw.name, splits["train"], splits.get("validation"), splits.get("test"))


def divide(
    raw: Raw, *, test: float | None, validation: float, seed: int
) -> tuple[Parts, Task, int | None]:
    """Check, and hold rows out for the parts that the source does not bring; see `assemble`.

    Returns:
        The parts, with int64 labels for a classification, the task, and the number of classes.
    """
    test = _fraction(raw, "test", test, DEFAULT_TEST)
    validation = _fraction(raw, "validation", validation or None, 0.0)
    check_fractions(test, validation)
    check_seed(seed)
    task = infer_task(raw.parts["train"][1]) if raw.task is None else raw.task
    check_task(task)
    parts, classes = _checked(raw, task)
    n = len(parts["train"][0])
    parts = _take(parts, "test", math.ceil(test * n), seed, task)
    parts = _take(parts, "validation", math.ceil(validation * n), seed, task)
    return parts, task, classes


def _fraction(raw: Raw, part: Part, given: float | None, default: float) -> float:
    """The fraction to hold out: none where the source brings the part."""
    if part not in raw.parts:
        return default if given is None else given
    if given is not None:
        raise ValueError(f"{raw.name} brings its own {part} part: leave {part}= out, got {given!r}")
    return 0.0


def _checked(raw: Raw, task: Task) -> tuple[Parts, int | None]:
    """Parts with finite x and, for a classification, int64 labels; and the number of classes."""
    classes = None if raw.class_names is None or task == "regression" else len(raw.class_names)
    parts: Parts = {}
    for part, (x, y) in raw.parts.items():
        try:
            check_rows(x, y)
            for name, values in named_inputs(x):
                check_finite(name, values)
            if task == "classification":
                several = y.ndim > 1 and y[0].numel() > 1
                y = as_several_labels(y) if several else as_labels(y, classes)
            else:
                check_finite("y", y)
        except ValueError as error:
            where = f"{part}: " if len(raw.parts) > 1 else ""
            raise ValueError(f"{where}{error}") from error
        parts[part] = (x, y)
    _check_shapes(parts)
    if task == "classification" and parts["train"][1].ndim > 1:
        classes = 2  # of each label
    elif task == "classification" and classes is None:
        classes = _count_classes(torch.cat([y for _, y in parts.values()]))
    return parts, classes


def _check_shapes(parts: Parts) -> None:
    if len(parts) == 1:
        return
    shapes = {part: list(x.shape[1:]) for part, (x, _) in parts.items()}
    if any(shape != shapes["train"] for shape in shapes.values()):
        raise ValueError(f"rows of x must have one shape in all parts, got {shapes}")


def _count_classes(labels: Tensor) -> int:
    """C where the labels are exactly 0…C−1; a gap is an error, since it is mostly a quantity."""
    present = labels.unique()
    classes = int(present[-1]) + 1
    if len(present) == classes:
        return classes
    absent = sorted(set(range(min(classes, len(present) + 1))) - set(present.tolist()))[0]
    raise ValueError(
        f"labels y must be 0..C-1, got {len(present)} different ones up to {classes - 1} "
        f"and none equal to {absent}; give class_names= where a class may have no row, "
        "or task='regression' where y is a quantity"
    )


def _take(parts: Parts, part: Part, count: int, seed: int, task: Task) -> Parts:
    """Move `count` rows of the training part to a part of their own."""
    if count == 0:
        return parts
    x, y = parts["train"]
    labels = y if task == "classification" and y.ndim == 1 else None
    stay, taken = hold_out(len(x), count, seed, labels)
    return {**parts, "train": (x[stay], y[stay]), part: (x[taken], y[taken])}


def _encoded(raw: Raw, parts: Parts) -> tuple[TableEncoding, Parts]:
    """Rows of a table as numbers, by what its training rows say."""
    tables = {part: raw.frame.iloc[rows.numpy()] for part, (rows, _) in parts.items()}
    encoding = TableEncoding.fit(tables["train"], raw.kinds)
    encoded: Parts = {
        part: (torch.from_numpy(encoding.apply(tables[part])), y) for part, (_, y) in parts.items()
    }
    return encoding, encoded


def _fit_standardisation(train: tuple[AnyInputs, Tensor], task: Task) -> Standardisation:
    x, y = train
    return Standardisation.fit(x, y if task == "regression" else None)


def _split(
    raw: Raw,
    part: Part,
    x: AnyInputs,
    y: Tensor,
    task: Task,
    classes: int | None,
    standardisation: Standardisation | None,
    encoding: TableEncoding | None,
    dtype: torch.dtype,
) -> Split:
    if standardisation is not None:
        x, y = standardisation.apply(x), standardisation.apply_y(y)
    info = DataInfo(
        name=raw.name,
        part=part,
        task=task,
        n=len(x),
        classes=classes,
        class_names=_names(raw.class_names) if task == "classification" else None,
        feature_names=_names(raw.feature_names),
        image_shape=raw.image_shape,
        standardisation=standardisation,
        encoding=encoding,
    )
    return Split.of(Split(x, y, info), dtype=dtype)


def _names(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(map(str, names))
